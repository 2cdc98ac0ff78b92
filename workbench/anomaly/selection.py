"""Exact order statistics of large columns: windows around a rank, counted and copied in one pass.

A sorted sample bounds where a rank lies. One pass counts the values below and at the bounds and copies those strictly
between; partitioning these few gives the order statistic exactly. Counts and copies of parts add up, so a table in many
parts is served by the same functions: `window_counts` is pure, and its answers are merged by `Counts.merge`. The sample
only decides how much is copied, never the answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

__all__ = [
    "EVERYTHING",
    "LARGE",
    "Counts",
    "Window",
    "all_finite",
    "count_below",
    "interpolate",
    "midpoint",
    "position",
    "sample_size",
    "select",
    "survey_rows",
    "window_counts",
    "windows_for",
]

#: from this many rows on, windows are cheaper than partitioning the whole
LARGE = 50_000
#: rows that are transformed and compared at a time, so that they stay in the cache
_PIECE = 1 << 15
#: half the width of a window, in standard deviations of the rank
_WIDTH = 3.5

#: maps rows (n,) or (n, p) to the values (n,) that are ordered
Values = Callable[[np.ndarray], np.ndarray]


# the quantile rule


def position(n: int, share: float) -> tuple[int, float]:
    """Return where a quantile lies among n sorted values: the 0-based index below it, and the fraction beyond that.

    The rule is h = p(n + 1), 1-based, clamped to [1, n], linear between neighbours: `method="weibull"` of
    `np.quantile`, to the last bit.

    Parameters
    ----------
    n : int
        Number of values, at least 1.
    share : float
        p, 0 to 1.
    """
    virtual = n * share + share - 1.0
    if virtual <= 0:
        return 0, 0.0
    if virtual >= n - 1:
        return n - 1, 0.0
    index = math.floor(virtual)
    return index, virtual - index


def interpolate(a: float, b: float, fraction: float) -> float:
    """Return the point between two neighbours; infinite ones too, and equal ones give that value."""
    if a == b or fraction == 0.0:
        return a
    step = b - a
    if math.isinf(step):
        if math.isinf(a) and math.isinf(b):
            return a if fraction < 0.5 else b
        if math.isinf(a) or math.isinf(b):
            return a if math.isinf(a) else b
        return a * (1.0 - fraction) + b * fraction
    return a + step * fraction if fraction < 0.5 else b - step * (1.0 - fraction)


def midpoint(a: float, b: float) -> float:
    """Return the mean of two numbers, without overflow."""
    if a == b:
        return a
    total = a + b
    return total / 2.0 if math.isfinite(total) else a / 2.0 + b / 2.0


# small arrays


def select(values: np.ndarray, ranks: Sequence[int]) -> list[float]:
    """Return order statistics of an array, by partitioning it.

    Parameters
    ----------
    values : float64 (n,), without NaN
    ranks : sequence of int
        0-based.
    """
    rest, below, found = np.array(values), 0, {}
    for rank in sorted(set(ranks)):
        # One rank at a time: for several at once NumPy takes a way that is five times slower.
        if rank == below:
            value = rest.min()
        else:
            rest.partition(rank - below)
            value, rest, below = rest[rank - below], rest[rank - below + 1 :], rank + 1
        found[rank] = float(value) + 0.0  # -0.0 becomes 0.0: which of equal values stands at a rank must not show
    return [found[rank] for rank in ranks]


def all_finite(x: np.ndarray) -> bool:
    """Return whether no value is infinite (or NaN); nearly as fast as adding them up."""
    with np.errstate(over="ignore", invalid="ignore"):
        return math.isfinite(np.add.reduce(x, axis=None)) or bool(np.isfinite(x).all())


# windows


class Window(NamedTuple):
    """Two bounds: values strictly between them are copied.

    Attributes
    ----------
    low, high : float
    ties : bool
        Whether values equal to a bound are counted too; needed only where values occur more than once.
    """

    low: float
    high: float
    ties: bool = True


#: all values
EVERYTHING = Window(-math.inf, math.inf)


def sample_size(n: int) -> int:
    """Return how many of n rows to sample: few, and yet enough that little of n lies between two bounds."""
    return min(n, round(2 * (1.75 * n) ** (2 / 3)))


def survey_rows(n: int, m: int) -> np.ndarray:
    """Return the positions of m of n rows, spread evenly but for a fixed jitter against periodic data."""
    if m >= n:
        return np.arange(n)
    step = n / m
    jitter = np.random.default_rng(m).random(m)
    return np.minimum(((np.arange(m) + jitter) * step).astype(np.int64), n - 1)


def windows_for(sample: np.ndarray, n: int, ranks: Sequence[int], width: float = _WIDTH) -> list[Window]:
    """Return disjoint windows, ascending, that hold the given ranks of n values almost surely.

    Parameters
    ----------
    sample : float64 (m,), sorted
    n : int
    ranks : sequence of int
        0-based.
    width : float
        In standard deviations of a rank in the sample.
    """
    m = len(sample)
    spans: list[list[int]] = []
    for rank in sorted(set(ranks)):
        share = (rank + 0.5) / n
        slack = width * math.sqrt(m * share * (1.0 - share)) + 1.0
        begin, end = math.floor(share * m - slack), math.ceil(share * m + slack)
        if spans and begin <= spans[-1][1]:
            spans[-1][1] = max(end, spans[-1][1])
        else:
            spans.append([begin, end])
    found: list[Window] = []
    for begin, end in spans:
        low = float(sample[begin]) if begin >= 0 else -math.inf
        high = float(sample[end]) if end < m else math.inf
        ties = _repeated(sample, begin) or _repeated(sample, end)
        if found and low <= found[-1].high:
            found[-1] = Window(found[-1].low, max(high, found[-1].high), ties or found[-1].ties)
        else:
            found.append(Window(low, high, ties))
    return found


def _repeated(sample: np.ndarray, place: int) -> bool:
    """Return whether the value at a place of the sorted sample occurs again beside it, or there is no such place."""
    if not 0 <= place < len(sample):
        return True
    return bool(sample[place] in sample[max(0, place - 1) : place]) or bool(
        sample[place] in sample[place + 1 : place + 2]
    )


@dataclass
class Counts:
    """What one window found in some rows; parts add up.

    Attributes
    ----------
    at_most : int
        Values not greater than the lower bound.
    at_low, at_high : int
        Values equal to the lower and to the upper bound; 0 where ties are not counted, or the bounds are equal.
    inside : list of float64 arrays
        The values strictly between the bounds.
    """

    at_most: int
    at_low: int
    at_high: int
    inside: list[np.ndarray]

    @classmethod
    def none(cls) -> Counts:
        """Return the counts of no rows."""
        return cls(0, 0, 0, [])

    def merge(self, other: Counts) -> Counts:
        """Add what another part found, and return itself."""
        self.at_most += other.at_most
        self.at_low += other.at_low
        self.at_high += other.at_high
        self.inside += other.inside
        return self

    def order(self, window: Window, ranks: Sequence[int]) -> list[float | None]:
        """Return order statistics of all values; None for a rank that this window does not tell."""
        inside = np.concatenate(self.inside) if self.inside else np.empty(0)
        first, last = self.at_most, self.at_most + len(inside)
        within = [rank - first for rank in ranks if first <= rank < last]
        picked = dict(zip(within, select(inside, within), strict=True))
        answers: list[float | None] = []
        for rank in ranks:
            if rank - first in picked:
                answers.append(picked[rank - first])
            elif rank < first and (rank >= first - self.at_low or window.low == -math.inf):
                answers.append(window.low + 0.0)
            elif rank >= last and (rank < last + self.at_high or window.high == math.inf):
                answers.append(window.high + 0.0)
            else:
                answers.append(None)
        return answers


def window_counts(x: np.ndarray, windows: Sequence[Window], transform: Values | None = None) -> list[Counts]:
    """Count and copy for several windows in one pass: pure, and additive over parts.

    Parameters
    ----------
    x : float64 (n,) or (n, p), without NaN
    windows : sequence of Window
    transform : callable, optional
        Maps rows to the values (n,) that are ordered; called on pieces of rows.

    Returns
    -------
    list of Counts
        One for each window.
    """
    found = [Counts.none() for _ in windows]
    above, below = np.empty(_PIECE, bool), np.empty(_PIECE, bool)
    for begin in range(0, len(x), _PIECE):
        piece = x[begin : begin + _PIECE]
        values = piece if transform is None else transform(piece)
        rows = len(values)
        for counts, (low, high, ties) in zip(found, windows, strict=True):
            inside = np.greater(values, low, out=above[:rows])
            counts.at_most += rows - int(np.count_nonzero(inside))
            if ties or low == high:
                counts.at_low += int(np.count_nonzero(np.equal(values, low, out=below[:rows])))
            if low == high:
                continue
            if ties:
                counts.at_high += int(np.count_nonzero(np.equal(values, high, out=below[:rows])))
            inside &= np.less(values, high, out=below[:rows])
            counts.inside.append(values[inside])
    return found


def count_below(x: np.ndarray, points: np.ndarray, transform: Values | None = None) -> np.ndarray:
    """Return how many values are less than each of some points: pure, and additive over parts.

    Parameters
    ----------
    x : float64 (n,) or (n, p), without NaN
    points : float64 (k,), ascending
    transform : callable, optional

    Returns
    -------
    int64 (k,)
    """
    total = np.zeros(len(points) + 1, np.int64)
    for begin in range(0, len(x), 1 << 20):
        piece = x[begin : begin + (1 << 20)]
        values = piece if transform is None else transform(piece)
        # A value lies below exactly those points that come after the last one not above it.
        total += np.bincount(np.searchsorted(points, values, side="right"), minlength=len(points) + 1)
    return np.cumsum(total)[:-1]
