"""What the explanation search takes and gives: rules of an answer, sets of (column, value) pairs, what was found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Counter", "Found", "Moments", "Rules", "Sets"]

#: count, mean and population variance of a metric over the rows of each set
Moments = tuple["NDArray", "NDArray[np.float64]", "NDArray[np.float64]"]


@dataclass(frozen=True)
class Rules:
    """When a set of values is an answer.

    Attributes
    ----------
    compare : str
        Name of the compare metric.
    min_support : float
        Least share of the outliers that carry the set, inclusive.
    min_ratio : float
        Least value of the compare metric, inclusive.
    max_combo : int
        Most values in a set.
    minimal : bool
        Whether a set with a passing part is left out.
    max_candidates : int
        The search stops before an order with more candidates than this.
    """

    compare: str = "risk_ratio"
    min_support: float = 0.01
    min_ratio: float = 3.0
    max_combo: int = 3
    minimal: bool = True
    max_candidates: int = 2_000_000


@dataclass(frozen=True, eq=False)
class Sets:
    """Sets of (column, value) pairs with their figures.

    Attributes
    ----------
    columns : int32 array (m, k)
        Positions of the columns, ascending; -1 pads sets of fewer than k values.
    codes : int64 array (m, k)
        The value's code in each of these columns; -1 pads.
    o, t : int64 arrays (m,), float64 where rows are weighted
        Outliers and rows that have all values.
    value : float64 array (m,)
        The compare metric.
    support : float64 array (m,)
        Share of the outliers; of a mean shift, the smaller of that and the share of the inliers.
    """

    columns: NDArray[np.int32]
    codes: NDArray[np.int64]
    o: NDArray
    t: NDArray
    value: NDArray[np.float64]
    support: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.value)

    @property
    def sizes(self) -> NDArray[np.int64]:
        """How many values each set has."""
        return np.count_nonzero(self.columns >= 0, axis=1)

    @staticmethod
    def empty(weighted: bool = False) -> Sets:
        """Return no sets."""
        count = np.float64 if weighted else np.int64
        return Sets(
            np.empty((0, 1), np.int32),
            np.empty((0, 1), np.int64),
            np.empty(0, count),
            np.empty(0, count),
            np.empty(0),
            np.empty(0),
        )

    @staticmethod
    def concat(parts: Sequence[Sets]) -> Sets:
        """Return the sets of all parts, one part after the other, padded to the longest set."""
        if not parts:
            return Sets.empty()
        total = sum(len(part) for part in parts)
        width = max((part.columns.shape[1] for part in parts if len(part)), default=1)
        columns, codes = np.full((total, width), -1, np.int32), np.full((total, width), -1, np.int64)
        at = 0
        for part in parts:
            m, k = part.columns.shape
            if m:
                columns[at : at + m, :k], codes[at : at + m, :k] = part.columns, part.codes
            at += m
        return Sets(
            columns,
            codes,
            np.concatenate([part.o for part in parts]),
            np.concatenate([part.t for part in parts]),
            np.concatenate([part.value for part in parts]),
            np.concatenate([part.support for part in parts]),
        )

    def take(self, rows: NDArray) -> Sets:
        """Return the sets at these positions, or where a mask is True."""
        return Sets(
            self.columns[rows], self.codes[rows], self.o[rows], self.t[rows], self.value[rows], self.support[rows]
        )


@dataclass(eq=False)
class Found:
    """What a search has found, so far or in all.

    Attributes
    ----------
    answers : Sets
        In the order of the search: fewer values first, then by columns, then by codes. `ranking.rank` gives the ranks.
    O, N : int, or float where rows are weighted
        Outliers and rows in all.
    tested_o, tested_t : arrays (c,)
        Figures of all sets that were counted: what q-values are reckoned from.
    tested_index : int64 array (m,)
        Where the answers stand in these.
    closest : Sets, optional
        The best set that missed: one set, or None if there was none at all.
    candidates : list of int
        How many sets of one, two, ... values were counted.
    finished : int
        Orders that are finished.
    stopped : str, optional
        Why the search ended early, as a note.
    dependencies : list of (int, int)
        Columns (determinant, dependent) of which the first's value always tells the second's.
    moments_out, moments_in : Moments, optional
        For `mean_shift`: count, mean and variance of the metric over the outliers and inliers of each answer.
    """

    answers: Sets
    O: int | float  # noqa: E741
    N: int | float
    tested_o: NDArray
    tested_t: NDArray
    tested_index: NDArray[np.int64]
    closest: Sets | None = None
    candidates: list[int] = field(default_factory=list)
    finished: int = 0
    stopped: str | None = None
    dependencies: list[tuple[int, int]] = field(default_factory=list)
    moments_out: Moments | None = None
    moments_in: Moments | None = None


class Counter(Protocol):
    """Where totals come from when the rows are elsewhere: the search holds the outliers' codes only.

    Attributes
    ----------
    N : int, or float where rows are weighted
        Rows in all.
    totals : sequence of arrays
        For each column, the rows of each code.
    dependencies : sequence of (int, int)
        As in `Found`; those of all rows.
    """

    @property
    def N(self) -> int | float: ...

    @property
    def totals(self) -> Sequence[NDArray]: ...

    @property
    def dependencies(self) -> Sequence[tuple[int, int]]: ...

    def count(self, columns: NDArray[np.int32], codes: NDArray[np.int64]) -> NDArray:
        """Return the rows of each set; sets are given as in `Sets`, of any lengths, -1 pads."""
