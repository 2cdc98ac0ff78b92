"""The passes that a score makes over its rows, as rounds of tasks over the parts of a table."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from workbench.anomaly import selection
from workbench.anomaly.dask_parts import OnRows, Parts
from workbench.anomaly.passes import Additive

if TYPE_CHECKING:
    import numpy as np

    from workbench.anomaly.passes import Survey

__all__ = ["PartPasses", "thinned"]

T = TypeVar("T")


def thinned(surveys: Sequence[Survey]) -> list[Survey]:
    """Return surveys with samples in proportion to the rows: parts were sampled before their sizes were known."""
    shares = [len(part.sample) / part.rows for part in surveys if part.rows]
    n = sum(part.rows for part in surveys)
    if not n:
        return list(surveys)
    rate = min(min(shares), selection.sample_size(n) / n)
    found = []
    for part in surveys:
        size = min(len(part.sample), math.ceil(rate * part.rows))
        found.append(replace(part, sample=part.sample[selection.survey_rows(len(part.sample), size)]))
    return found


class PartPasses(Additive):
    """Passes over the metrics of a table in parts; rows without a metric are left out.

    Parameters
    ----------
    parts : Parts
    token : str
        What workers know the table by.
    names : sequence of str
        The metrics.
    surveys : sequence of Survey
        One a part, from the round that read the table first.
    """

    def __init__(self, parts: Parts, token: str, names: Sequence[str], surveys: Sequence[Survey]) -> None:
        super().__init__(surveys)
        self.parts, self.token, self.names = parts, token, tuple(names)

    def each(self, task: Callable[[np.ndarray, int], T]) -> list[T]:
        """Call task(x of a part, index of the part) for every part and return the answers in order."""
        return self.parts.all(OnRows(task, self.token, self.names), "score")
