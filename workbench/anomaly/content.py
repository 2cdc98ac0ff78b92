"""Hashes of what columns hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["table_key"]


def table_key(columns: Mapping[str, pa.ChunkedArray]) -> str:
    """Return a hash of names, types and values, the same in every process."""
    import pyarrow as pa

    from workbench.engine.keys import key

    return key(pa.table(dict(columns)))
