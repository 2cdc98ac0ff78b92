"""What is kept in the store: codes of the parts of files, and whole answers about files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.anomaly.encode import Codes, encode_array

if TYPE_CHECKING:
    import numpy as np

    from workbench.anomaly.data import Part

__all__ = ["VERSION", "stored_codes"]

#: of how columns become codes; codes kept by another version are not read
VERSION = 1


def stored_codes(part: Part, name: str, edges: np.ndarray | None) -> Codes:
    """Return the codes of a part's rows, kept ones if the store has them."""
    return encode_array(name, part.load([name]).column(name), edges=edges)
