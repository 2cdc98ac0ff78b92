"""Joins of rows by equal keys: keys of both sides become numbers of one kind, and a table by number tells the rows.

Whole numbers of small ranges number themselves, and several keys make one mixed number; what is too far apart for a
table is numbered by first appearance. Where no number stands twice on the side that is looked into, a row has one
place at most and no rows are repeated.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from workbench.fusion.cpu.group import DENSE
from workbench.fusion.cpu.numbering import number
from workbench.fusion.cpu.sorting import argsort
from workbench.fusion.ops import DTYPES

__all__ = ["join"]

#: numbers that are still made by multiplication
_WIDE = 1 << 62


def join(
    left: Sequence[np.ndarray], right: Sequence[np.ndarray], how: str, threads: int = 1
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return for each row of two merged tables the row of the left one and of the right one, -1 for none.

    Parameters
    ----------
    left, right : sequence of ndarray
        Keys, 1-d, of the same dtypes on both sides. NaN equals NaN, and 0.0 equals -0.0.
    how : {"inner", "left", "right", "outer"}
        Rows are in the order of the left side, for "right" of the right side, for "outer" of the keys with NaN last;
        those of one key in the order of both sides.
    threads : int

    Returns
    -------
    tuple of ndarray or None
        int64; None for dtypes that are not numbers.
    """
    known = all(each.dtype in DTYPES and each.dtype.isnative for each in (*left, *right))
    if not known or any(a.dtype != b.dtype for a, b in zip(left, right, strict=True)):
        return None
    rows = len(left[0])
    both = [np.concatenate(pair) for pair in zip(left, right, strict=True)]
    codes, size = _numbered(both, threads)
    mine, theirs = codes[:rows], codes[rows:]
    if how == "right":
        second, first = _beside(theirs, mine, size, True)
        return first, second
    first, second = _beside(mine, theirs, size, how != "inner")
    if how == "outer":
        met = np.zeros(size, bool)
        met[mine] = True
        alone = np.flatnonzero(~met[theirs])
        first = np.concatenate([first, np.full(len(alone), -1)])
        second = np.concatenate([second, alone])
        order = _sorted([each[np.where(first < 0, second + rows, first)] for each in both])
        first, second = first[order], second[order]
    return first, second


def _numbered(columns: Sequence[np.ndarray], threads: int) -> tuple[np.ndarray, int]:
    """Return a number for each row that is equal where all keys are, and a bound of the numbers fit for a table."""
    total, size = _digits(columns[0], threads)
    for column in columns[1:]:
        digits, span = _digits(column, threads)
        if size * span > _WIDE:
            total, size = _dense(total, threads)
        if size * span > _WIDE:
            digits, span = _dense(digits, threads)
        total, size = total * span + digits, size * span
    return (total, size) if size <= max(DENSE, len(total)) else _dense(total, threads)


def _digits(column: np.ndarray, threads: int) -> tuple[np.ndarray, int]:
    if column.dtype.kind in "biu" and len(column):
        low, high = int(column.min()), int(column.max())
        if high - low < _WIDE:
            kind = np.dtype(np.uint64 if column.dtype == np.uint64 else np.int64)
            wide = column.astype(kind, copy=False)
            return (wide - kind.type(low)).view(np.int64) if low else wide.view(np.int64), high - low + 1
    return _dense(column, threads)


def _dense(values: np.ndarray, threads: int) -> tuple[np.ndarray, int]:
    """Return numbers by first appearance, and how many there are."""
    found, firsts = number(values, drop=False, threads=threads)
    return found, max(1, len(firsts))


def _beside(mine: np.ndarray, theirs: np.ndarray, size: int, keep: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs of rows with equal numbers, in the order of mine; with `keep` also rows of mine that have none."""
    table = np.full(size, -1, np.int64)
    table[theirs] = np.arange(len(theirs))
    counts = np.bincount(theirs, minlength=size)
    if len(theirs) == np.count_nonzero(counts):
        found = table[mine]
        if keep:
            return np.arange(len(mine)), found
        there = np.flatnonzero(found >= 0)
        return there, found[there]
    many = counts[mine]
    times = np.maximum(many, 1) if keep else many
    first = np.repeat(np.arange(len(mine)), times)
    # the place of a pair among those of its row
    nth = np.arange(len(first)) - np.repeat(np.cumsum(times) - times, times)
    starts = np.cumsum(counts) - counts
    order = _sorted([theirs])
    if not keep:
        return first, order[starts[mine][first] + nth]
    some = many[first] > 0
    return first, np.where(some, order[np.where(some, starts[mine][first] + nth, 0)], -1)


def _sorted(keys: Sequence[np.ndarray]) -> np.ndarray:
    found = argsort(keys, [True] * len(keys))
    return np.lexsort(list(reversed(keys))) if found is None else found
