"""Exact sums: doubles added without any rounding, in any order and any grouping, rounded once at the end.

Each double is an integer times a power of two. Its 53-bit integer is cut in two halves, and each half is added as int64
into a table with one entry for each exponent. Such tables may be added to one another, so a sum over parts has the same
bits as the sum over the whole. An entry holds 2**36 rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["ExactSum", "exact_sum"]

#: one entry for each value of a double's 11 exponent bits
_SLOTS = 2048
#: bits of the lower half of the mantissa
_HALF = 27
#: rows at a time: they stay in the cache, and `np.bincount` adds up to 2**26 half-mantissas in float64 without rounding
_PIECE = 1 << 15


class ExactSum:
    """A sum of float64 numbers that is exact until `value()` rounds it.

    Order and grouping do not matter: `a.merge(b)` equals adding the numbers of both to one. Infinite numbers and NaN
    are counted on the side and give what IEEE arithmetic gives.

    Attributes
    ----------
    count : int
        How many numbers were added.
    """

    __slots__ = ("count", "high", "low", "minus", "nans", "plus")

    def __init__(self) -> None:
        self.high = np.zeros(_SLOTS, np.int64)
        self.low = np.zeros(_SLOTS, np.int64)
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
        x = np.ascontiguousarray(values, dtype=np.float64).reshape(-1)
        if weights is None:
            self._add(x)
            self.count += len(x)
            return self
        w = np.ascontiguousarray(np.broadcast_to(np.asarray(weights, dtype=np.float64), x.shape)).reshape(-1)
        for begin in range(0, len(x), _PIECE):
            for part in _products(x[begin : begin + _PIECE], w[begin : begin + _PIECE]):
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
        self.high += other.high
        self.low += other.low
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
            # Dividing whole numbers of any size rounds correctly in Python.
            return self._units() / (divisor << 1074)
        except OverflowError:
            return math.inf if self._units() > 0 else -math.inf

    def copy(self) -> ExactSum:
        """Return an independent copy."""
        return ExactSum().merge(self)

    def _units(self) -> int:
        """Return the sum in units of the smallest double, 2**-1074."""
        total = 0
        for slot in np.flatnonzero(self.high | self.low).tolist():
            part = (int(self.high[slot]) << _HALF) + int(self.low[slot])
            total += part << max(slot - 1, 0)  # subnormal numbers (slot 0) have the exponent of slot 1
        return total

    def _add(self, x: np.ndarray) -> None:
        for begin in range(0, len(x), _PIECE):
            self._add_piece(x[begin : begin + _PIECE])

    def _add_piece(self, x: np.ndarray) -> None:
        bits = x.view(np.int64)
        slot = (bits >> 52) & 0x7FF
        mantissa = bits & ((1 << 52) - 1)
        if int(slot.max(initial=0)) == 0x7FF:
            finite = slot != 0x7FF
            self.nans += int(np.count_nonzero(np.isnan(x)))
            self.plus += int(np.count_nonzero(x == np.inf))
            self.minus += int(np.count_nonzero(x == -np.inf))
            bits, slot, mantissa = bits[finite], slot[finite], mantissa[finite]
        mantissa |= (slot != 0).astype(np.int64) << 52
        sign = 1 - ((bits >> 63) & 1) * 2
        high = (mantissa >> _HALF) * sign
        low = (mantissa & ((1 << _HALF) - 1)) * sign
        self.high += np.bincount(slot, high, _SLOTS).astype(np.int64)
        self.low += np.bincount(slot, low, _SLOTS).astype(np.int64)

    def __getstate__(self) -> tuple[Any, ...]:
        # Only the entries in use travel: a sum is a few hundred bytes, not 32 KiB.
        used = np.flatnonzero(self.high | self.low)
        return used, self.high[used], self.low[used], self.plus, self.minus, self.nans, self.count

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        used, high, low, self.plus, self.minus, self.nans, self.count = state
        self.high, self.low = np.zeros(_SLOTS, np.int64), np.zeros(_SLOTS, np.int64)
        self.high[used], self.low[used] = high, low

    def __repr__(self) -> str:
        return f"<ExactSum of {self.count:,} numbers: {self.value()!r}>"


def exact_sum(values: Any) -> float:
    """Return the exactly rounded sum of an array of float64: what `math.fsum` gives.

    Parameters
    ----------
    values : array_like of float64
    """
    return ExactSum().add(values).value()


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
