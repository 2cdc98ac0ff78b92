"""What a score asks of the rows, so that one array and many parts of a table are fitted by the same code.

A score needs order statistics and exact sums of values that each row gives by itself. Both add up over parts:
`Additive` makes them out of one method, `each`, which calls a small picklable task on every part (one round over the
data). A table in parts is then a subclass with that method:

    class PartPasses(Additive):
        def each(self, task):                      # task(x, index of the part) -> anything picklable
            return [... for every part, in the order of the parts]

    PartPasses(surveys=[survey(x of a part, rate) for every part])     # in the round that reads the table
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from workbench.anomaly import selection
from workbench.anomaly.exact import ExactSum
from workbench.anomaly.selection import Counts, Window, interpolate, position
from workbench.anomaly.transforms import (
    Above,
    Below,
    Distance,
    Identity,
    ScoreOf,
    Squares,
    Transform,
    Usable,
    Winsorised,
    WinsorisedProduct,
    table_of,
)

__all__ = [
    "Above",
    "Additive",
    "ArrayPasses",
    "Below",
    "Distance",
    "Identity",
    "Passes",
    "ScoreOf",
    "Squares",
    "Survey",
    "Transform",
    "Usable",
    "Winsorised",
    "WinsorisedProduct",
    "between",
    "neighbours",
    "sample_rows",
    "survey",
]

T = TypeVar("T")


# what the first look at a part tells


@dataclass(frozen=True, eq=False)
class Survey:
    """What the first look at a part tells.

    Attributes
    ----------
    rows : int
    minus, plus : int64 (p,)
        Rows with -inf and +inf in each metric.
    unusable : int
        Rows with an infinite metric.
    sample : float64 (m,) or (m, p)
        Some rows: they decide how much the later rounds copy, not what these answer.
    """

    rows: int
    minus: np.ndarray
    plus: np.ndarray
    sample: np.ndarray
    unusable: int = 0


def survey(x: np.ndarray, rate: float | None = None) -> Survey:
    """Look at the rows of a part: pure.

    Parameters
    ----------
    x : float64 (n,) or (n, p), without NaN
    rate : float, optional
        Share of the rows to sample: `selection.sample_size(n) / n` for n rows in all, if that is known. By default as
        if the part were all there is.
    """
    n, table = len(x), table_of(x)
    minus, plus, unusable = np.zeros(table.shape[1], np.int64), np.zeros(table.shape[1], np.int64), 0
    if not selection.all_finite(x):
        minus, plus = np.count_nonzero(table == -np.inf, axis=0), np.count_nonzero(table == np.inf, axis=0)
        unusable = n - int(np.count_nonzero(np.isfinite(table).all(axis=1)))
    size = selection.sample_size(n) if rate is None else min(n, math.ceil(n * rate))
    return Survey(n, minus, plus, x[selection.survey_rows(n, size)] if size else x[:0], unusable)


# the passes


class Passes(Protocol):
    """Rows with a metric: x is float64 (n,) or (n, p), without NaN."""

    n: int
    p: int

    def infinite(self, col: int = 0) -> tuple[int, int]:
        """Return how many rows are -inf and +inf in a metric."""
        ...

    def unusable(self) -> int:
        """Return how many rows have an infinite metric."""
        ...

    def measure(
        self, orders: Sequence[tuple[Transform, Sequence[int]]], sums: Sequence[Transform] = ()
    ) -> tuple[list[list[float]], list[ExactSum]]:
        """Return order statistics (0-based ranks) and exact sums, all in one round where possible."""
        ...

    def order(self, transform: Transform, ranks: Sequence[int]) -> list[float]:
        """Return exact order statistics; ranks are 0-based."""
        ...

    def quantiles(self, transform: Transform, shares: Sequence[float]) -> list[float]:
        """Return quantiles by the rule h = p(n + 1)."""
        ...

    def sum(self, transform: Transform) -> float:
        """Return the exactly rounded sum."""
        ...

    def sample(self, m: int, seed: int) -> np.ndarray:
        """Return m rows, (m, p), chosen by seed and position among all rows, in the order of the rows."""
        ...

    def values(self) -> np.ndarray:
        """Return all rows, (n, p), in order."""
        ...

    def ranks(self, points: np.ndarray, transform: Transform) -> np.ndarray:
        """Return how many values are less than each point, int64 (k,); points ascend."""
        ...


class Additive:
    """Passes over parts, from one method that calls a task on each part.

    Parameters
    ----------
    surveys : sequence of Survey
        One a part, in the order of the parts.
    """

    #: how wide windows are, at the first try and when a rank was missed; then everything is copied
    _widths: tuple[float, ...] = (3.5, 25.0, math.inf)

    def __init__(self, surveys: Sequence[Survey]) -> None:
        self.surveys = tuple(surveys)
        self.n = sum(part.rows for part in self.surveys)
        self.p = len(self.surveys[0].minus) if self.surveys else 1
        self._sampled: np.ndarray | None = None

    def each(self, task: Callable[[np.ndarray, int], T]) -> list[T]:
        """Call task(x of a part, index of the part) for every part and return the answers in the order of the parts."""
        raise NotImplementedError

    def infinite(self, col: int = 0) -> tuple[int, int]:
        """Return how many rows are -inf and +inf in a metric."""
        return sum(int(part.minus[col]) for part in self.surveys), sum(int(part.plus[col]) for part in self.surveys)

    def unusable(self) -> int:
        """Return how many rows have an infinite metric."""
        return sum(part.unusable for part in self.surveys)

    def measure(
        self, orders: Sequence[tuple[Transform, Sequence[int]]], sums: Sequence[Transform] = ()
    ) -> tuple[list[list[float]], list[ExactSum]]:
        """Return order statistics and exact sums in one round, seldom two."""
        found: list[dict[int, float]] = [{} for _ in orders]
        totals = [ExactSum() for _ in sums]
        transforms = tuple(transform for transform, _ in orders)
        samples = [np.sort(transform(self._sample())) for transform in transforms]
        for width in self._widths:
            missing = [
                [rank for rank in ranks if rank not in known] for known, (_, ranks) in zip(found, orders, strict=True)
            ]
            first = width == self._widths[0]
            if not first and not any(missing):
                break
            windows = tuple(self._windows(sample, ranks, width) for sample, ranks in zip(samples, missing, strict=True))
            answers = self.each(_Measure(transforms, windows, tuple(sums) if first else ()))
            for i, ranks in enumerate(missing):
                for j, window in enumerate(windows[i]):
                    merged = Counts.none()
                    for counts, _ in answers:
                        merged.merge(counts[i][j])
                    picked = zip(ranks, merged.order(window, ranks), strict=True)
                    found[i].update({rank: value for rank, value in picked if value is not None})
            for _, parts in answers:
                for total, part in zip(totals, parts, strict=False):
                    total.merge(part)
        return [[known[rank] for rank in ranks] for known, (_, ranks) in zip(found, orders, strict=True)], totals

    def _windows(self, sample: np.ndarray, ranks: Sequence[int], width: float) -> list[Window]:
        if not ranks:
            return []
        if not math.isfinite(width):
            return [selection.EVERYTHING]
        windows = selection.windows_for(sample, self.n, ranks, width)
        return windows if width == self._widths[0] else [window._replace(ties=True) for window in windows]

    def order(self, transform: Transform, ranks: Sequence[int]) -> list[float]:
        """Return exact order statistics; ranks are 0-based."""
        return self.measure([(transform, ranks)])[0][0]

    def quantiles(self, transform: Transform, shares: Sequence[float]) -> list[float]:
        """Return quantiles by the rule h = p(n + 1)."""
        return between(self.order(transform, neighbours(self.n, shares)), self.n, shares)

    def sum(self, transform: Transform) -> float:
        """Return the exactly rounded sum."""
        return self.measure([], [transform])[1][0].value()

    def sample(self, m: int, seed: int) -> np.ndarray:
        """Return m rows, (m, p), chosen by seed and position among all rows, in the order of the rows."""
        chosen = sample_rows(self.n, m, seed)
        ends = np.cumsum([0, *(part.rows for part in self.surveys)])
        cuts = np.searchsorted(chosen, ends)
        rows = tuple(chosen[a:b] - end for a, b, end in zip(cuts[:-1], cuts[1:], ends[:-1], strict=True))
        return np.concatenate(self.each(_Take(rows))).reshape(len(chosen), self.p)

    def values(self) -> np.ndarray:
        """Return all rows, (n, p), in order."""
        return np.concatenate(self.each(_all)).reshape(self.n, self.p)

    def ranks(self, points: np.ndarray, transform: Transform) -> np.ndarray:
        """Return how many values are less than each point, int64 (k,); points ascend."""
        return np.asarray(np.sum(self.each(_Below(points, transform)), axis=0, dtype=np.int64))

    def _sample(self) -> np.ndarray:
        """Return the sampled rows of all parts, of each part the same share."""
        if self._sampled is None:
            rate = min((len(part.sample) / part.rows for part in self.surveys if part.rows), default=1.0)
            sizes = [min(len(part.sample), math.ceil(part.rows * rate)) for part in self.surveys]
            rows = [selection.survey_rows(len(part.sample), m) for part, m in zip(self.surveys, sizes, strict=True)]
            self._sampled = np.concatenate([part.sample[i] for part, i in zip(self.surveys, rows, strict=True)])
        return self._sampled


class ArrayPasses(Additive):
    """Passes over one array in this process.

    Parameters
    ----------
    x : float64 (n,) or (n, p), without NaN
    """

    _widths = (3.5, math.inf)

    def __init__(self, x: np.ndarray) -> None:
        # where the whole is partitioned, nothing is asked of a sample
        super().__init__([survey(x, None if len(x) >= selection.LARGE else 0.0)])
        self.x = x

    def each(self, task: Callable[[np.ndarray, int], T]) -> list[T]:
        """Call the task on the array."""
        return [task(self.x, 0)]

    def measure(
        self, orders: Sequence[tuple[Transform, Sequence[int]]], sums: Sequence[Transform] = ()
    ) -> tuple[list[list[float]], list[ExactSum]]:
        """Return order statistics and exact sums."""
        if self.n >= selection.LARGE:
            return super().measure(orders, sums)
        found = [selection.select(transform(self.x), ranks) for transform, ranks in orders]
        return found, [ExactSum().add(transform(self.x)) for transform in sums]

    def values(self) -> np.ndarray:
        """Return all rows, (n, p), in order."""
        return table_of(self.x)


# tasks


@dataclass(frozen=True)
class _Measure:
    """Window counts and exact sums of a part."""

    transforms: tuple[Transform, ...]
    windows: tuple[Sequence[Window], ...]
    sums: tuple[Transform, ...]

    def __call__(self, x: np.ndarray, index: int) -> tuple[list[list[Counts]], list[ExactSum]]:
        counts = [
            selection.window_counts(x, windows, transform) if windows else []
            for transform, windows in zip(self.transforms, self.windows, strict=True)
        ]
        return counts, [ExactSum().add_by(transform, x) for transform in self.sums]


@dataclass(frozen=True, eq=False)
class _Take:
    """Chosen rows of each part."""

    rows: tuple[np.ndarray, ...]

    def __call__(self, x: np.ndarray, index: int) -> np.ndarray:
        return x[self.rows[index]]


@dataclass(frozen=True, eq=False)
class _Below:
    """How many values of a part are less than some points."""

    points: np.ndarray
    transform: Transform

    def __call__(self, x: np.ndarray, index: int) -> np.ndarray:
        return selection.count_below(x, self.points, self.transform)


def _all(x: np.ndarray, index: int) -> np.ndarray:
    return x


# ranks


def neighbours(n: int, shares: Sequence[float]) -> list[int]:
    """Return the ranks that quantiles of n values lie between, two for each share."""
    ranks = []
    for share in shares:
        index, _ = position(n, share)
        ranks += [index, min(index + 1, n - 1)]
    return ranks


def between(values: Sequence[float], n: int, shares: Sequence[float]) -> list[float]:
    """Return quantiles from the values at the ranks that `neighbours` gives."""
    return [interpolate(values[2 * i], values[2 * i + 1], position(n, share)[1]) for i, share in enumerate(shares)]


def sample_rows(n: int, m: int, seed: int) -> np.ndarray:
    """Return the positions, ascending, of m of n rows: the same for the same n, m and seed."""
    if m >= n:
        return np.arange(n)
    return np.sort(np.random.Generator(np.random.PCG64(seed)).choice(n, m, replace=False, shuffle=False))
