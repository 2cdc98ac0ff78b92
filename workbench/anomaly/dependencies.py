"""Functional dependencies between columns: where one value always tells the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["dependencies"]

#: rows that are looked at first, spread over the table: they refute nearly all pairs
PROBE = 64
#: rows that are looked at next, and at most at a time
STEP, MOST = 1 << 10, 1 << 18


def dependencies(
    columns: Sequence[NDArray], cards: Sequence[int], check: Callable[[], None] | None = None
) -> list[tuple[int, int]]:
    """Return the pairs (determinant, dependent) of columns of which the first's value tells the second's in all rows.

    Parameters
    ----------
    columns : sequence of integer arrays (n,)
        Codes.
    cards : sequence of int
        How many codes each column has.
    check : callable, optional
        Called between pairs of columns that are looked at closely; may raise.
    """
    if not columns or not len(columns[0]):
        return []
    n = len(columns[0])
    probe = np.arange(0, n, max(1, n // PROBE))[:PROBE]
    same = np.packbits([(codes[probe][:, None] == codes[probe]).ravel() for codes in columns], axis=1)
    refuted = (same[:, None] & ~same).any(axis=2)  # by two rows that agree in the one and not in the other
    found = []
    for a, b in zip(*np.nonzero(~refuted), strict=True):
        if a == b:
            continue
        if _holds(columns[a], columns[b], cards[a]):
            found.append((int(a), int(b)))
        if check is not None:
            check()
    return found


def _holds(a: NDArray, b: NDArray, card: int) -> bool:
    """Return whether each code of `a` stands with one code of `b`; looks at more and more rows until it does not."""
    told = np.full(card, -1, np.int64)
    begin, step = 0, STEP
    while begin < len(a):
        keys, values = a[begin : begin + step], b[begin : begin + step].astype(np.int64)
        before = told[keys]
        if ((before >= 0) & (before != values)).any():
            return False
        told[keys] = values
        if (told[keys] != values).any():
            return False
        begin, step = begin + step, min(2 * step, MOST)
    return True
