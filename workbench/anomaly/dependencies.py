"""Functional dependencies between columns: where one value always tells the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["dependencies"]

#: rows that are looked at first, spread over the table: they refute nearly all pairs
PROBE = 512


def dependencies(columns: Sequence[NDArray], cards: Sequence[int]) -> list[tuple[int, int]]:
    """Return the pairs (determinant, dependent) of columns of which the first's value tells the second's in all rows.

    Parameters
    ----------
    columns : sequence of integer arrays (n,)
        Codes.
    cards : sequence of int
        How many codes each column has.
    """
    if not columns or not len(columns[0]):
        return []
    n = len(columns[0])
    probe = np.linspace(0, n - 1, min(n, PROBE)).astype(np.int64)
    first = [codes[probe] for codes in columns]
    pairs = [(a, b) for a in range(len(columns)) for b in range(len(columns)) if a != b]
    pairs = [(a, b) for a, b in pairs if _holds(first[a], first[b], cards[a], PROBE)]
    return [(a, b) for a, b in pairs if _holds(columns[a], columns[b], cards[a], 1 << 14)]


def _holds(a: NDArray, b: NDArray, card: int, step: int) -> bool:
    told = np.full(card, -1, np.int64)
    begin = 0
    while begin < len(a):
        keys, values = a[begin : begin + step], b[begin : begin + step].astype(np.int64)
        fresh = told[keys] < 0
        told[keys[fresh]] = values[fresh]
        if (told[keys] != values).any():
            return False
        begin, step = begin + step, step * 2
    return True
