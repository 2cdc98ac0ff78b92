"""What the search of a pane found: candidates and their figures, put together when somebody looks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.anomaly.explain import Found
from workbench.anomaly.sets import Sets

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Candidates", "Level", "found_of"]


@dataclass(eq=False)
class Level:
    """The candidates of one size and their figures, as of one pane."""

    columns: NDArray[np.int32]
    codes: NDArray[np.int64]
    o: NDArray[Any]
    t: NDArray[Any]
    value: NDArray[np.float64]
    support: NDArray[np.float64]
    passing: NDArray[np.bool_]
    since: NDArray[np.int64]


@dataclass(eq=False)
class Candidates:
    """What the search of one pane found: figures of all known sets, which later panes do not change.

    Attributes
    ----------
    columns, codes : int arrays (m, k)
        The known sets, by size.
    bounds : list of int
        Where those of each size begin; the last is m.
    chosen, passing : bool (m,)
        Which are candidates, and which of these pass.
    o, t, value, support, since : arrays (m,)
    finished : int
        Sizes that were searched.
    """

    columns: NDArray[np.int32]
    codes: NDArray[np.int64]
    bounds: list[int]
    chosen: NDArray[np.bool_]
    passing: NDArray[np.bool_]
    o: NDArray[Any]
    t: NDArray[Any]
    value: NDArray[np.float64]
    support: NDArray[np.float64]
    since: NDArray[np.int64]
    finished: int

    def parts(self) -> list[tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.float64]]]:
        """Return columns, codes and values of the candidates, by size."""
        return [(each.columns, each.codes, each.value) for each in self.levels()]

    def levels(self) -> list[Level]:
        """Return the candidates of 1, 2, ... values."""
        made = []
        for size in range(1, self.finished + 1):
            low, high = self.bounds[size - 1], self.bounds[size]
            at = self.chosen[low:high].nonzero()[0] + low
            made.append(
                Level(self.columns[at, :size], self.codes[at, :size], self.o[at], self.t[at], self.value[at],
                      self.support[at], self.passing[at], self.since[at])
            )  # fmt: skip
        return made


def found_of(found: Candidates, outliers: int | float, rows: int | float) -> tuple[Found, NDArray[np.int64]]:
    """Return candidates as what a search finds, and the first pane whose rows are counted, for each answer."""
    levels = found.levels()
    answers, index, since, at = [], [], [], 0
    for each in levels:
        passing = each.passing.nonzero()[0]
        answers.append(
            Sets(each.columns[passing], each.codes[passing], each.o[passing], each.t[passing], each.value[passing],
                 each.support[passing])
        )  # fmt: skip
        index.append(passing + at)
        since.append(each.since[passing])
        at += len(each.o)
    together = Sets.concat(answers)
    made = Found(
        together, outliers, rows, np.concatenate([each.o for each in levels]),
        np.concatenate([each.t for each in levels]), np.concatenate(index),
        None if len(together) else _closest(levels), [len(each.o) for each in levels], len(levels),
    )  # fmt: skip
    return made, np.concatenate(since)


def _closest(levels: list[Level]) -> Sets | None:
    """Return the best set that missed: the highest value, then the most support, then what was found first."""
    best: tuple[float, float] | None = None
    found = None
    for each in levels:
        if not len(each.o) or np.isnan(top := np.fmax.reduce(each.value)):
            continue
        at = (each.value == top).nonzero()[0]
        row = at[[np.argmax(each.support[at])]]
        figures = float(top), float(each.support[row[0]])
        if best is None or figures > best:
            best = figures
            found = Sets(each.columns[row], each.codes[row], each.o[row], each.t[row], each.value[row],
                         each.support[row])  # fmt: skip
    return found
