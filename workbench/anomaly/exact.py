"""Exact sums: doubles added without any rounding, in any order and any grouping, rounded once at the end.

Every double is a whole number of 2**-1074, and Python's whole numbers have no bounds: a sum is one such number. To get
there with few of them, the upper bits of many doubles are split off by adding and subtracting a large power of two.
They add up in float64 without rounding, and the rest is treated likewise until nothing is left (Rump, Ogita and Oishi,
"Accurate floating-point summation", 2008).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["ExactSum", "exact_sum"]

#: rows at a time, so that they stay in the cache; and the power of two that their number stays below
_PIECE, _BITS = 1 << 14, 15
#: numbers beyond 2**900 are brought down by 2**200 first, so that no power of two leaves the range
_HUGE, _SHIFT = 2.0**900, 200
#: below this, multiples of 2**-1074 add up without rounding as they are
_TINY = 2.0**-1022


class ExactSum:
    """A sum of float64 numbers that is exact until `value()` rounds it.

    Order and grouping do not matter: `a.merge(b)` equals adding the numbers of both to one. Infinite numbers and NaN
    are counted on the side and give what IEEE arithmetic gives. A sum is a few hundred bytes, also when it is pickled.

    Attributes
    ----------
    count : int
        How many numbers were added.
    plus, minus, nans : int
        How many of them were inf, -inf and NaN.
    """

    __slots__ = ("_units", "count", "minus", "nans", "plus")

    def __init__(self) -> None:
        self._units = 0  # the sum of the finite numbers, times 2**1074
        self.plus = self.minus = self.nans = self.count = 0

    def add(self, values: Any, weights: Any = None) -> ExactSum:
        """Add numbers, each times its weight if weights are given (the product is not rounded either).

        Parameters
        ----------
        values : array_like of float64
        weights : array_like of float64, optional
            Of the same shape.

        Returns
        -------
        ExactSum
            Itself.
        """
        x = np.asarray(values, dtype=np.float64).reshape(-1)
        w = None if weights is None else np.broadcast_to(np.asarray(weights, dtype=np.float64), x.shape)
        for begin in range(0, len(x), _PIECE):
            piece = x[begin : begin + _PIECE]
            if w is None:
                self._add(piece)
            else:
                for part in _products(piece, w[begin : begin + _PIECE]):
                    self._add(part)
        self.count += len(x)
        return self

    def add_by(self, transform: Callable[[np.ndarray], np.ndarray], rows: np.ndarray) -> ExactSum:
        """Add what a function makes of rows, a few rows at a time, and return itself."""
        for begin in range(0, len(rows), _PIECE):
            self.add(transform(rows[begin : begin + _PIECE]))
        return self

    def merge(self, other: ExactSum) -> ExactSum:
        """Add what another sum holds, and return itself."""
        self._units += other._units
        self.plus += other.plus
        self.minus += other.minus
        self.nans += other.nans
        self.count += other.count
        return self

    def value(self, divisor: int = 1, *, finite: bool = False) -> float:
        """Return the sum divided by a whole number, rounded once to the nearest double (ties to even).

        Parameters
        ----------
        divisor : int
            The number of rows, for a mean; at least 1.
        finite : bool
            Whether infinite numbers are left out.
        """
        if self.nans or (self.plus and self.minus and not finite):
            return math.nan
        if (self.plus or self.minus) and not finite:
            return math.inf if self.plus else -math.inf
        try:
            return self._units / (divisor << 1074)  # dividing whole numbers of any size rounds correctly in Python
        except OverflowError:
            return math.inf if self._units > 0 else -math.inf

    def _add(self, x: np.ndarray) -> None:
        """Add a few numbers."""
        if not len(x):
            return
        largest = max(float(x.max()), -float(x.min()))
        if not largest <= _HUGE:
            x = self._ordinary(x)
            if not len(x):
                return
            largest = float(np.abs(x).max())
        if largest == 0.0:
            return
        # Upper bits are multiples of `power` / 2**53 and add up to less than `power`: no sum of them is rounded.
        power = math.ldexp(1.0, math.frexp(largest)[1] + _BITS)
        while power > _TINY:
            upper = x + power
            upper -= power
            self._units += _whole(float(upper.sum()))
            x = x - upper
            if not x.any():
                return
            power = math.ldexp(power, _BITS - 53)
        self._units += _whole(float(x.sum()))

    def _ordinary(self, x: np.ndarray) -> np.ndarray:
        """Take what is not finite, or huge, out of a few numbers and return the others."""
        nan = np.isnan(x)
        self.nans += int(np.count_nonzero(nan))
        self.plus += int(np.count_nonzero(x == np.inf))
        self.minus += int(np.count_nonzero(x == -np.inf))
        size = np.abs(x)
        huge = (size > _HUGE) & (size < np.inf)
        if huge.any():
            scaled = ExactSum()
            scaled._add(np.ldexp(x[huge], -_SHIFT))
            self._units += scaled._units << _SHIFT
        return x[size <= _HUGE]

    def __getstate__(self) -> tuple[int, ...]:
        return self._units, self.count, self.plus, self.minus, self.nans

    def __setstate__(self, state: tuple[int, ...]) -> None:
        self._units, self.count, self.plus, self.minus, self.nans = state

    def __repr__(self) -> str:
        return f"<ExactSum of {self.count:,} numbers: {self.value()!r}>"


def exact_sum(values: Any) -> float:
    """Return the exactly rounded sum of an array of float64: what `math.fsum` gives.

    Parameters
    ----------
    values : array_like of float64
    """
    return ExactSum().add(values).value()


def _whole(value: float) -> int:
    """Return a double times 2**1074."""
    numerator, denominator = value.as_integer_ratio()
    return numerator << (1075 - denominator.bit_length())


def _products(x: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return arrays that add up to x * w without rounding: the products and what rounding them left (Dekker's way)."""
    with np.errstate(all="ignore"):
        product = x * w
        x_high, w_high = _upper(x), _upper(w)
        x_low, w_low = x - x_high, w - w_high
        rest = ((x_high * w_high - product) + x_high * w_low + x_low * w_high) + x_low * w_low
    # Where numbers are so large or so small that the halves leave the range, the rounded product has to do.
    safe = np.isfinite(rest) & (np.abs(product) > 1e-280)
    return product, np.where(safe, rest, 0.0)


def _upper(x: np.ndarray) -> np.ndarray:
    """Return the upper 26 bits of each mantissa."""
    shifted = x * 134217729.0  # 2**27 + 1
    return shifted - (shifted - x)
