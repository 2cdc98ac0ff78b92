"""Rows as codes, and how often values and sets of values occur in them: in NumPy, or by the kernels where loaded.

Both give the same integers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.anomaly.lattice import Lattice
    from workbench.anomaly.numbers import Number
    from workbench.anomaly.sets import Counter

__all__ = ["Rows", "RowsElsewhere", "rows_of"]

#: rows between two looks at whether the search shall stop
CHUNK = 1 << 22
#: a pair of columns with more candidates than this (and more for tables that rows do not fill) is counted by a table
#: of all its cells, if it has no more than these
MANY, CELLS = 300, 1 << 20
#: with more values than this in a column, by bytes of a code, a table of all is quicker than a comparison with each
COUNTED = (0, 45, 24, 0, 10)
#: codes of outliers up to which these are worked on at once, not column by column
NUMBERED = 1 << 18
#: rows of a block of bitmaps, and bits of all of them
ROWS_MOST, ROWS_LEAST, BITS = 32768, 2048, 4 << 20
#: 64-bit words of candidates that NumPy works on at a time
WORDS = 1 << 16


Counts = tuple["NDArray[np.int64]", "list[NDArray[np.float64]]"]


def rows_of(
    columns: Sequence[NDArray], cards: Sequence[int], kernels: Any = None, numbers: Sequence[Number] = ()
) -> Rows:
    """Return the rows, counted by the kernels if there are any, else by NumPy."""
    if kernels is None:
        return Rows(columns, cards, numbers)
    from workbench.anomaly.compiled import CompiledRows

    return CompiledRows(columns, cards, numbers, kernels)


def keys_of(
    lattice: Lattice, sets: NDArray[np.int32], columns: Sequence[int], cards: Sequence[int]
) -> tuple[list[NDArray[np.int64]] | None, NDArray[np.int64]]:
    """Number the sets over the same columns so that a row's set is a sum of what tables give for its codes.

    Returns
    -------
    tables : list of int64 arrays (card,) or None
        -1 for codes in no set; None where there are too many numbers.
    keys : int64 array (m,)
        Of each set.
    """
    keys, steps = np.zeros(len(sets), np.int64), 1
    tables = []
    for place in reversed(range(len(columns))):
        items, where = np.unique(sets[:, place], return_inverse=True)
        table = np.full(cards[columns[place]], -1, np.int64)
        table[lattice.codes[items]] = np.arange(len(items)) * steps
        tables.append(table)
        keys += where * steps
        steps *= len(items)
        if steps >= 1 << 62:
            return None, keys
    return tables[::-1], keys


class Rows:
    """Codes of some rows, counted in NumPy.

    Parameters
    ----------
    columns : sequence of uint8, uint16 or uint32 arrays (n,)
        Codes.
    cards : sequence of int
        How many codes each column has.
    numbers : sequence of Number
        What is summed beside the counts.
    """

    #: from so many candidates on the same columns on, rows are looked up among these
    heavy = 4000

    def __init__(self, columns: Sequence[NDArray], cards: Sequence[int], numbers: Sequence[Number] = ()) -> None:
        self.columns = [np.ascontiguousarray(codes) for codes in columns]
        self.cards = [int(card) for card in cards]
        self.n = len(self.columns[0]) if self.columns else 0
        self.numbers = numbers
        self.limbs = sum(number.grid.limbs for number in numbers)
        self._split: tuple[int, NDArray[np.int64]] | None = None

    def histogram(self, c: int) -> NDArray[np.int64]:
        """Return how many rows have each code of a column."""
        return np.bincount(self.columns[c], minlength=self.cards[c])

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """Where the codes of each column begin if those of all columns are numbered on, and where they end."""
        return np.concatenate([[0], np.cumsum(self.cards, dtype=np.int64)])

    @cached_property
    def numbered(self) -> NDArray[np.int64] | None:
        """Codes of few rows numbered on over all columns, (columns, n); None for many rows."""
        if self.n * len(self.columns) > NUMBERED:
            return None
        found = np.empty((len(self.columns), self.n), np.int64)
        for codes, offset, out in zip(self.columns, self.offsets.tolist(), found, strict=False):
            np.add(codes, offset, out=out, dtype=np.int64)
        return found

    def frequent(
        self, need: float, weights: NDArray[np.float64] | None
    ) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray]:
        """Return columns and codes of the values that `need` rows, or rows of so much weight, have, and how many."""
        if self.numbered is not None:
            carried = None if weights is None else np.broadcast_to(weights, self.numbered.shape).ravel()
            o = np.bincount(self.numbered.ravel(), carried, minlength=int(self.offsets[-1]))
        else:
            each = (
                self.histogram(c) if weights is None else np.bincount(codes, weights, minlength=self.cards[c])
                for c, codes in enumerate(self.columns)
            )
            o = np.concatenate(list(each))
        found = (o >= need).nonzero()[0]
        columns = (self.offsets.searchsorted(found, side="right") - 1).astype(np.int32)
        return columns, found - self.offsets[columns], o[found]

    def values(
        self, columns: NDArray[np.int32], codes: NDArray[np.int64], check: Callable[[], None] | None = None
    ) -> Counts:
        """Return how many rows have each of these values, and the sums of numbers over them.

        Parameters
        ----------
        columns, codes : arrays (m,)
            The values, ascending by column.
        check : callable, optional
            Called from time to time; may raise.
        """
        t, sums = np.zeros(len(codes), np.int64), np.zeros((len(codes), self.limbs), np.int64)
        first = columns.searchsorted(np.arange(len(self.columns) + 1)).tolist()
        few = []
        for c, column in enumerate(self.columns):
            low, high = first[c], first[c + 1]
            if high - low > COUNTED[column.itemsize]:
                t[low:high] = self.histogram(c)[codes[low:high]]
            elif high > low:
                few.append(np.arange(low, high))
            if self.limbs and high > low:
                for begin, end in self._chunks():
                    table = self._sums(column[begin:end].astype(np.int64), self.cards[c], begin, end)
                    sums[low:high] += table[codes[low:high]]
            if check is not None:
                check()
        if few:
            mine = np.concatenate(few)
            t[mine] = self._each(columns[mine], codes[mine])
        return t, self._join(sums)

    def count(self, lattice: Lattice, sets: NDArray[np.int32], check: Callable[[], None] | None = None) -> Counts:
        """Return how many rows are in each set, and the sums of numbers over them.

        Parameters
        ----------
        lattice : Lattice
            Which value each item is.
        sets : int32 array (m, k)
            Items of each set; sets that share their first items should follow one another.
        check : callable, optional
            Called from time to time; may raise.

        Returns
        -------
        t : int64 array (m,)
        sums : list of float64 arrays (m,)
            Of each of `numbers`.
        """
        t, sums = np.zeros(len(sets), np.int64), np.zeros((len(sets), self.limbs), np.int64)
        left = np.ones(len(sets), bool)
        if len(sets) > MANY and sets.shape[1] > 1:
            self._heavy(lattice, sets, t, sums, left, check)
        rest = left.nonzero()[0]
        if not len(rest):
            return t, self._join(sums)
        mine = sets if len(rest) == len(sets) else sets[rest]
        used = np.zeros(lattice.size, bool)
        used[mine] = True
        items = used.nonzero()[0]
        slots = np.empty(lattice.size, np.int32)
        slots[items] = np.arange(len(items), dtype=np.int32)
        found, totals = np.zeros(len(rest), np.int64), np.zeros((len(rest), self.limbs), np.int64)
        for begin, end in self._chunks():
            if check is not None:
                check()
            self._bitmaps(lattice, items, slots[mine], begin, end, found, totals)
        t[rest], sums[rest] = found, totals
        return t, self._join(sums)

    def _chunks(self) -> Iterator[tuple[int, int]]:
        for begin in range(0, self.n, CHUNK):
            yield begin, min(begin + CHUNK, self.n)

    def _limbs(self, begin: int, end: int) -> NDArray[np.int64]:
        """Return the limbs of all numbers of some rows; those of the last ones asked for are kept."""
        if self._split is None or self._split[0] != begin:
            self._split = begin, np.concatenate([number.limbs(begin, end) for number in self.numbers])
        return self._split[1]

    def _sums(self, key: NDArray[np.int64], cells: int, begin: int, end: int) -> NDArray[np.int64]:
        """Return the sums of the limbs by key, (cells, limbs): exact, as so few limbs stay below 2**53."""
        limbs = self._limbs(begin, end)
        found = np.empty((cells, len(limbs)), np.int64)
        for place, limb in enumerate(limbs):
            found[:, place] = np.bincount(key, limb, minlength=cells)
        return found

    def _join(self, sums: NDArray[np.int64]) -> list[NDArray[np.float64]]:
        joined, at = [], 0
        for number in self.numbers:
            joined.append(number.grid.join(sums[:, at : at + number.grid.limbs].T))
            at += number.grid.limbs
        return joined

    def _heavy(
        self,
        lattice: Lattice,
        sets: NDArray[np.int32],
        t: NDArray[np.int64],
        sums: NDArray[np.int64],
        left: NDArray[np.bool_],
        check: Callable[[], None] | None,
    ) -> None:
        """Count on columns with many candidates all of these in one walk over the rows; what is done is not `left`."""
        width, k = len(self.columns), sets.shape[1]
        if width**k > 1 << 20:
            return
        group = lattice.columns[sets[:, 0]].astype(np.int64)
        for place in range(1, k):
            group = group * width + lattice.columns[sets[:, place]]
        counts = np.bincount(group)
        for number in (counts > MANY).nonzero()[0].tolist():
            mine = (group == number).nonzero()[0]
            columns = lattice.columns[sets[mine[0]]].tolist()
            cells = self.cards[columns[0]] * self.cards[columns[-1]]
            if k == 2 and cells <= CELLS and len(mine) > MANY + 100 * cells // self.n:
                i, j = columns
                chosen = lattice.codes[sets[mine, 0]] * self.cards[j] + lattice.codes[sets[mine, 1]]
                t[mine] = self.pairs(i, j)[chosen]
                for begin, end in self._chunks() if self.limbs else ():
                    key = self.columns[i][begin:end].astype(np.int64) * self.cards[j] + self.columns[j][begin:end]
                    sums[mine] += self._sums(key, cells, begin, end)[chosen]
            elif len(mine) > self.heavy and not self.limbs:
                tables, keys = keys_of(lattice, sets[mine], columns, self.cards)
                if tables is None:
                    continue
                order = np.argsort(keys)
                mine, keys = mine[order], keys[order]
                for begin, end in self._chunks():
                    t[mine] += self._keyed(columns, tables, keys, begin, end)
            else:
                continue
            left[mine] = False
            if check is not None:
                check()

    def _keyed(
        self, columns: Sequence[int], tables: list[NDArray[np.int64]], keys: NDArray[np.int64], begin: int, end: int
    ) -> NDArray[np.int64]:
        """Count the rows begin..end of each key, which ascend."""
        found = np.zeros(len(keys), np.int64)
        for block in range(begin, end, 1 << 16):
            rows = np.arange(block, min(block + (1 << 16), end))
            key = np.zeros(len(rows), np.int64)
            for c, table in zip(columns, tables, strict=True):
                more = table[self.columns[c][rows]]
                alive = more >= 0
                rows, key = rows[alive], key[alive] + more[alive]
            at = np.minimum(np.searchsorted(keys, key), len(keys) - 1)
            found += np.bincount(at[keys[at] == key], minlength=len(keys))
        return found

    def _each(self, columns: NDArray[np.int32], codes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Count some values by comparison."""
        found = []
        for c, code in zip(columns.tolist(), codes.tolist(), strict=True):
            found.append(np.count_nonzero(self.columns[c] == self.columns[c].dtype.type(code)))
        return np.array(found, np.int64)

    def pairs(self, i: int, j: int) -> NDArray[np.int64]:
        """Return how many rows have each pair of codes of two columns: code * (card of the other) + other code."""
        cells = np.zeros(self.cards[i] * self.cards[j], np.int64)
        step = max(1 << 16, len(cells))
        for begin in range(0, self.n, step):
            key = self.columns[i][begin : begin + step].astype(np.int64) * self.cards[j]
            cells += np.bincount(key + self.columns[j][begin : begin + step], minlength=len(cells))
        return cells

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
        """Add the rows begin..end of each set, and their limbs, by one bit a row for each item."""
        rows = min(ROWS_MOST * 2, max(ROWS_LEAST, BITS * 4 // len(items) // 64 * 64))
        columns, codes = lattice.columns[items], lattice.codes[items]
        maps = np.zeros((len(items), rows // 8), np.uint8)
        for block in range(begin, end, rows):
            stop = min(block + rows, end)
            if stop - block < rows:
                maps = np.zeros((len(items), (stop - block + 63) // 64 * 8), np.uint8)
            for slot, (c, code) in enumerate(zip(columns.tolist(), codes.tolist(), strict=True)):
                column = self.columns[c]
                maps[slot, : (stop - block + 7) // 8] = np.packbits(
                    column[block:stop] == column.dtype.type(code), bitorder="little"
                )
            words = maps.view(np.uint64)
            step = max(1, WORDS // words.shape[1])
            for at in range(0, len(places), step):
                chosen = places[at : at + step]
                both = words[chosen[:, 0]]
                for part in range(1, chosen.shape[1]):
                    both &= words[chosen[:, part]]
                found[at : at + step] += np.bitwise_count(both).sum(axis=1, dtype=np.int64)
                for p in range(len(both)) if self.limbs else ():
                    mine = np.flatnonzero(np.unpackbits(both[p].view(np.uint8), bitorder="little"))
                    sums[at + p] += self._limbs(begin, end)[:, mine + (block - begin)].sum(axis=1)


class RowsElsewhere(Rows):
    """Rows that are not here: a counter knows their totals.

    Parameters
    ----------
    columns, cards
        Codes of the outlier rows, and how many there are.
    counter : Counter
    weighted : bool
        Whether the counter's totals are sums of weights.
    """

    def __init__(
        self, columns: Sequence[NDArray], cards: Sequence[int], counter: Counter, weighted: bool = False
    ) -> None:
        super().__init__(columns, cards)
        self.counter, self.weighted = counter, weighted

    def values(
        self, columns: NDArray[np.int32], codes: NDArray[np.int64], check: Callable[[], None] | None = None
    ) -> Counts:
        """Return the totals of values."""
        t = np.zeros(len(codes), np.float64 if self.weighted else np.int64)
        for c in np.unique(columns).tolist():
            mine = columns == c
            t[mine] = self.counter.totals[c][codes[mine]]
        return self._as_counts(t)

    def count(self, lattice: Lattice, sets: NDArray[np.int32], check: Callable[[], None] | None = None) -> Counts:
        """Return the totals of sets."""
        if not len(sets):
            return self._as_counts(np.zeros(0, np.int64))
        return self._as_counts(self.counter.count(lattice.columns[sets], lattice.codes[sets]))

    def _as_counts(self, t: NDArray) -> Counts:
        """Return totals where counts stand, or where the sums of the first number do."""
        if self.weighted:
            return np.zeros(len(t), np.int64), [np.asarray(t, np.float64)]
        return np.asarray(t, np.int64), []
