"""Variances with one rounding: the exact sums of values and of their squares as long integers, divided once.

A double is a whole number of 53 bits times a power of two. Numbers of eight powers in a row are added as four digits of
18 bits, and their squares as products of digits, so that sums of words hold them without carries; Python's integers put
the powers together. The variance is (n Σx² - (Σx)²) / (n (n - ddof)), and the quotient of two integers is the nearest
double.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from workbench.fusion.cpu.group import places

__all__ = ["by_key", "grouped", "over_axes", "reduced"]

_DIGITS, _DIGIT, _MASK = 4, 18, (1 << 18) - 1
#: powers of two that are added together
_POWERS = 8
#: numbers whose products of digits a word has room for
_ROOM = 1 << 24


@functools.cache
def reduced(name: str, axes: tuple[int, ...], keepdims: bool, ddof: float, dtype: np.dtype) -> Callable[..., Any]:
    """Return the call of a reduction: var, std, nanvar or nanstd; a deviation is the root of the rounded variance."""

    def call(x: np.ndarray) -> Any:
        return _rooted(over_axes(np.asarray(x), axes, keepdims, ddof, name.startswith("nan")), name, dtype)[()]

    return call


@functools.cache
def grouped(name: str, ddof: float, dtype: np.dtype) -> Callable[..., np.ndarray]:
    """Return the call of var or std by group, of each row's group, the groups, and the values."""

    def call(codes: np.ndarray, groups: np.ndarray, x: np.ndarray) -> np.ndarray:
        return _rooted(by_key(x, codes, len(groups), ddof, True), name, dtype)

    return call


def _rooted(found: np.ndarray, name: str, dtype: np.dtype) -> np.ndarray:
    return (np.sqrt(found) if name.endswith("std") else found).astype(dtype)


def over_axes(x: np.ndarray, axes: Sequence[int], keepdims: bool, ddof: float, skip: bool) -> np.ndarray:
    """Return the variance over some axes.

    Parameters
    ----------
    x : ndarray
        Of numbers.
    axes : sequence of int
        Not negative.
    keepdims : bool
        Keep reduced axes with length 1.
    ddof : float
    skip : bool
        Leave NaN out. Then no degree of freedom gives NaN; else the sum of squares divided by zero, as NumPy has it.

    Returns
    -------
    ndarray
        float64.
    """
    kept = [k for k in range(x.ndim) if k not in axes]
    shape = tuple([x.shape[k] for k in kept])
    many, each = math.prod(shape), math.prod([x.shape[k] for k in axes])
    found = by_key(x.transpose([*kept, *axes]).reshape(-1), np.repeat(np.arange(many), each), many, ddof, skip)
    return found.reshape([1 if k in axes else d for k, d in enumerate(x.shape)] if keepdims else shape)


def by_key(x: np.ndarray, keys: np.ndarray, size: int, ddof: float, skip: bool) -> np.ndarray:
    """Return the variance of the numbers of each key below `size`; a negative key is left out. See `over_axes`."""
    x = x.astype(np.float64, copy=False)
    there = (keys >= 0) & ~np.isnan(x) if skip else keys >= 0
    if not there.all():
        x, keys = x[there], keys[there]
    finite = np.isfinite(x)
    odd = np.zeros(size, bool)
    odd[keys[~finite]] = True
    counts = np.bincount(keys, minlength=size)
    if not finite.all():
        x, keys = x[finite], keys[finite]
    found = np.full(size, np.nan)
    low, totals = _totals(x, keys)
    for key, (count, strange) in enumerate(zip(counts.tolist(), odd.tolist(), strict=True)):
        if count and not strange:
            total, squares = totals.get(key, (0, 0))
            found[key] = _quotient(count * squares - total * total, 2 * low, count, ddof, skip)
    return found


def _quotient(spread: int, power: int, count: int, ddof: float, skip: bool) -> float:
    """Return spread * 2**power / (count * (count - ddof)), rounded once."""
    free = Fraction(count) - Fraction(ddof)
    if free <= 0:
        return math.nan if skip or not spread else math.inf
    over, under = spread * free.denominator, count * free.numerator
    if power < 0:
        under <<= -power
    else:
        over <<= power
    try:
        return over / under
    except OverflowError:
        return math.inf


def _totals(x: np.ndarray, keys: np.ndarray) -> tuple[int, dict[int, tuple[int, int]]]:
    """Return a power of two, and for each key Σx and Σx² as multiples of it and of its square."""
    found: dict[int, tuple[int, int]] = {}
    fractions, exponents = np.frexp(x)
    low = int(exponents.min(initial=0)) // _POWERS * _POWERS - 53
    for begin in range(0, len(x), _ROOM):
        part = slice(begin, begin + _ROOM)
        mine, powers = keys[part], exponents[part].astype(np.int64)
        more = powers % _POWERS
        whole = np.ldexp(fractions[part], 53).astype(np.int64) << more
        powers -= more
        numbers, size = places([mine, powers])
        firsts = np.full(size, -1, np.int64)
        firsts[numbers] = np.arange(len(mine))
        there = np.flatnonzero(firsts >= 0)
        at = firsts[there]
        digits = [whole >> k * _DIGIT if k == _DIGITS - 1 else whole >> k * _DIGIT & _MASK for k in range(_DIGITS)]
        totals, squares = [0] * len(there), [0] * len(there)
        for k, each in enumerate(digits):
            for row, value in enumerate(_summed(each, numbers, size)[there].tolist()):
                totals[row] += value << k * _DIGIT
        for j, k in itertools.combinations_with_replacement(range(_DIGITS), 2):
            for row, value in enumerate(_summed(digits[j] * digits[k], numbers, size)[there].tolist()):
                squares[row] += value << (j + k) * _DIGIT + (j != k)
        for key, power, total, square in zip(mine[at].tolist(), powers[at].tolist(), totals, squares, strict=True):
            shift = power - 53 - low
            before = found.get(key, (0, 0))
            found[key] = before[0] + (total << shift), before[1] + (square << 2 * shift)
    return low, found


def _summed(values: np.ndarray, numbers: np.ndarray, size: int) -> np.ndarray:
    found = np.zeros(size, np.int64)
    np.add.at(found, numbers, values)
    return found
