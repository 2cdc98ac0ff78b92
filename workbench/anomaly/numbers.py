"""Numbers of rows as whole numbers, so that sums over sets of rows are exact in any order and any partition.

A double is a whole number of some power of two. All numbers of a column are whole numbers of the smallest such power,
and are cut into limbs of 30 bits: sums of limbs are int64 sums, and one rounding at the end gives the double nearest to
the true sum. `exact.ExactSum` does the same for one sum; this is for a sum a candidate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Grid", "Number", "grid_of"]

#: bits of a limb: 2**23 of them add up without rounding in float64, and 2**33 in int64
BITS = 30
MASK = (1 << BITS) - 1
#: rows that are looked at at a time
STEP = 1 << 18


@dataclass(frozen=True)
class Grid:
    """The power of two that all numbers are multiples of, and the one that all are below.

    Attributes
    ----------
    low, high : int
        Exponents; `low == high` where all numbers are 0.
    endless : bool
        Whether any is infinite: two more limbs count these.
    """

    low: int = 0
    high: int = 0
    endless: bool = False

    def merge(self, other: Grid) -> Grid:
        """Return the grid of the numbers of both."""
        if self.low == self.high or other.low == other.high:
            wide = other if self.low == self.high else self
            return Grid(wide.low, wide.high, self.endless or other.endless)
        return Grid(min(self.low, other.low), max(self.high, other.high), self.endless or other.endless)

    @property
    def limbs(self) -> int:
        """How many limbs a number has."""
        return max(1, -(-(self.high - self.low) // BITS)) + 2 * self.endless

    def split(self, x: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the limbs of numbers, lowest first.

        Returns
        -------
        int64 array (limbs, n)
        """
        out = np.zeros((self.limbs, len(x)), np.int64)
        if self.endless:
            out[-2], out[-1] = x == np.inf, x == -np.inf
            x = np.where(np.isfinite(x), x, 0.0)
        if self.high - self.low <= 2 * BITS:
            whole = np.ldexp(x, -self.low).astype(np.int64)
            if self.high - self.low <= BITS:
                out[0] = whole
            else:
                out[0], out[1] = whole & MASK, whole >> BITS
            return out
        mantissa, exponent = np.frexp(np.abs(x))
        whole = np.ldexp(mantissa, 53).astype(np.int64)
        sign = np.where(x < 0, -1, 1)
        for limb in range(self.limbs - 2 * self.endless):
            shift = exponent.astype(np.int64) - 53 - self.low - BITS * limb
            up, down = np.clip(shift, 0, BITS), np.clip(-shift, 0, 63)
            bits = np.where(shift >= 0, ((whole & (MASK >> up)) << up), (whole >> down) & MASK)
            out[limb] = np.where(shift < BITS, bits, 0) * sign
        return out

    def join(self, sums: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return sums of numbers from sums of their limbs, each rounded once.

        Parameters
        ----------
        sums : int64 array (limbs, m)

        Returns
        -------
        float64 array (m,)
        """
        with np.errstate(over="ignore", invalid="ignore"):
            return self._joined(sums)

    def _joined(self, sums: NDArray[np.int64]) -> NDArray[np.float64]:
        finite = sums[: len(sums) - 2 * self.endless]
        if len(finite) == 1:
            total = np.ldexp(finite[0].astype(np.float64), self.low)
        elif len(finite) == 2 and np.abs(finite).max(initial=0) < 1 << 53:  # one sum of two exact doubles
            total = np.ldexp(np.ldexp(finite[1].astype(np.float64), BITS) + finite[0], self.low)
        else:
            total = np.empty(sums.shape[1])
            for i, limbs in enumerate(finite.T.tolist()):
                total[i] = _rounded(sum(limb << BITS * place for place, limb in enumerate(limbs)), self.low)
        if self.endless:
            total = total + np.where(sums[-2] > 0, np.inf, 0.0) - np.where(sums[-1] > 0, np.inf, 0.0)
        return total


def _rounded(whole: int, exponent: int) -> float:
    try:
        return math.ldexp(whole, exponent) if exponent >= 0 else whole / (1 << -exponent)
    except OverflowError:
        return math.inf if whole > 0 else -math.inf


def grid_of(x: NDArray[np.float64]) -> Grid:
    """Return the grid of numbers, none of which is NaN."""
    finite = x[np.isfinite(x) & (x != 0.0)]
    endless = bool(np.isinf(x).any())
    if not len(finite):
        return Grid(endless=endless)
    mantissa, exponent = np.frexp(np.abs(finite))
    whole = np.ldexp(mantissa, 53).astype(np.int64)
    _, lowest = np.frexp((whole & -whole).astype(np.float64))  # 2**(lowest - 1) is the lowest bit set
    return Grid(int((exponent - 53 + lowest - 1).min()), int(exponent.max()), endless)


class Number:
    """A number a row, of which sums over sets of rows are asked.

    Parameters
    ----------
    x : float64 array (n,), or callable
        No NaN; `x(rows)` gives those of a slice of rows, so that they need not be held.
    n : int, optional
        Rows, where `x` is a callable.
    """

    def __init__(self, x: NDArray[np.float64] | Callable[[slice], NDArray[np.float64]], n: int | None = None) -> None:
        self._of: Callable[[slice], NDArray[np.float64]] = x if callable(x) else x.__getitem__
        self.n = len(x) if n is None else n  # type: ignore[arg-type]

    def parts(self) -> Iterator[NDArray[np.float64]]:
        """Yield the numbers, a stretch of rows at a time."""
        for begin in range(0, self.n, STEP):
            yield self._of(slice(begin, min(begin + STEP, self.n)))

    @cached_property
    def grid(self) -> Grid:
        """The grid of all rows."""
        found = Grid()
        for part in self.parts():
            found = found.merge(grid_of(part))
        return found

    def limbs(self, begin: int, end: int) -> NDArray[np.int64]:
        """Return the limbs of the rows begin..end, (limbs, rows)."""
        out = np.empty((self.grid.limbs, end - begin), np.int64)
        for at in range(begin, end, STEP):
            stop = min(at + STEP, end)
            out[:, at - begin : stop - begin] = self.grid.split(self._of(slice(at, stop)))
        return out

    def sum(self) -> float:
        """Return the sum over all rows, rounded once."""
        total = np.zeros((self.grid.limbs, 1), np.int64)
        for part in self.parts():
            total[:, 0] += self.grid.split(part).sum(axis=1)
        return float(self.grid.join(total)[0])
