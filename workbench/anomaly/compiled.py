"""Rows as codes, counted by the kernels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.anomaly.counting import BITS, ROWS_LEAST, ROWS_MOST, Rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.anomaly.lattice import Lattice
    from workbench.anomaly.numbers import Number

__all__ = ["CompiledRows", "address"]

#: with more values than this in a column, by bytes of a code, one walk over the rows makes bitmaps quicker than
#: comparisons
MAPPED = (0, 110, 60, 0, 30)
#: fewer rows than this are not worth a call of the kernel
FEW = 1024

NOTHING = np.empty((0, 0), np.int64)


class CompiledRows(Rows):
    """Codes of some rows, counted by the kernels."""

    heavy = 1500

    def __init__(
        self, columns: Sequence[NDArray], cards: Sequence[int], numbers: Sequence[Number], kernels: Any
    ) -> None:
        super().__init__(columns, cards, numbers)
        self.kernels = kernels

    @cached_property
    def layout(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Addresses of the columns, sizes of their codes in bytes, and how many bitmaps are made by comparison."""
        sizes = np.array([codes.itemsize for codes in self.columns], np.int64)
        return np.array([address(codes) for codes in self.columns], np.int64), sizes, np.array(MAPPED)[sizes]

    def histogram(self, c: int) -> NDArray[np.int64]:
        """Return how many rows have each code of a column."""
        return super().histogram(c) if self.n < FEW else self._table(c, c, 0, self.cards[c])

    def pairs(self, i: int, j: int) -> NDArray[np.int64]:
        """Return how many rows have each pair of codes of two columns: code * (card of the other) + other code."""
        return self._table(i, j, self.cards[j], self.cards[i] * self.cards[j])

    def _table(self, i: int, j: int, step: int, cells: int) -> NDArray[np.int64]:
        whole = np.zeros(cells, np.int64)
        one, other = self.columns[i], self.columns[j]
        size, other_size = one.itemsize, other.itemsize if step else 0
        for begin in range(0, self.n, 1 << 30):  # the table holds int32
            table = np.zeros(cells, np.int32)
            end = min(begin + (1 << 30), self.n)
            self.kernels.histogram(address(one), size, address(other), other_size, step, begin, end, address(table))
            whole += table
        return whole

    def _keyed(
        self, columns: Sequence[int], tables: list[NDArray[np.int64]], keys: NDArray[np.int64], begin: int, end: int
    ) -> NDArray[np.int64]:
        found = np.zeros(len(keys), np.int64)
        bits = len(keys).bit_length() + 1
        self.kernels.count_keys(
            np.array([address(self.columns[c]) for c in columns], np.int64),
            np.array([self.columns[c].itemsize for c in columns], np.int64),
            np.array([address(table) for table in tables], np.int64),
            keys,
            np.zeros(1 << bits, np.int32),
            64 - bits,
            np.empty(1024, np.int64),
            begin,
            end,
            found,
        )
        return found

    def _each(self, columns: NDArray[np.int32], codes: NDArray[np.int64]) -> NDArray[np.int64]:
        found = np.zeros(len(codes), np.int64)
        every = np.arange(len(codes), dtype=np.int32)[:, None]
        self._run(columns, codes, every, 0, self.n, found, np.empty((len(codes), 0), np.int64))
        return found

    def _bitmaps(
        self,
        lattice: Lattice,
        items: NDArray[np.int64],
        places: NDArray[np.int32],
        begin: int,
        end: int,
        found: NDArray[np.int64],
        sums: NDArray[np.int64],
    ) -> None:
        self._run(lattice.columns[items], lattice.codes[items], places, begin, end, found, sums)

    def _run(
        self,
        columns: NDArray[np.int32],
        codes: NDArray[np.int64],
        places: NDArray[np.int32],
        begin: int,
        end: int,
        found: NDArray[np.int64],
        sums: NDArray[np.int64],
    ) -> None:
        """Run the kernel on the bitmaps of some values, ascending by column; `places` are the sets."""
        many, k = len(codes), places.shape[1]
        rows = min(ROWS_MOST, max(ROWS_LEAST, BITS // many // 512 * 512), (end - begin + 511) // 512 * 512)
        maps = np.empty((many + 1 + k, rows // 64), np.uint64)
        first = columns.searchsorted(np.arange(len(self.columns) + 1))
        addresses, sizes, mapped = self.layout
        slots = np.zeros(len(self.columns), np.int64)
        held = []  # tables whose addresses are in use
        for c in (first[1:] - first[:-1] > mapped).nonzero()[0]:
            table = np.full(self.cards[c], many, np.int32)
            table[codes[first[c] : first[c + 1]]] = np.arange(first[c], first[c + 1])
            held.append(table)
            slots[c] = address(table)
        limbs = self._limbs(begin, end) if sums.shape[1] else NOTHING
        self.kernels.count_sets(addresses, sizes, first, codes, slots, places, begin, end, maps, found, limbs, sums)


def address(array: NDArray) -> int:
    """Return where an array's first element lies."""
    return int(array.ctypes.data)
