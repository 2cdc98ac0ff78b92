"""Candidates: the sets of values that are supported by the outlier rows, one value more at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.anomaly.compiled import address

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.anomaly.counting import Rows
    from workbench.anomaly.lattice import Lattice

__all__ = ["Candidates"]

#: elements (column tuple times row) that are worked on at a time
CHUNK = 1 << 20
#: a table of all cells is used while it has at most this many, and four for each element besides
CELLS = 1 << 16
#: from so many outlier rows on, a call of the kernel for each pair of columns is quicker than NumPy on all at once
ROWS = 512
#: from so many rows on (where all rows count, or nearly all are outliers) their items are not written down for pairs,
#: if a table of all codes of both columns has no more cells than this
MANY, CODES = 1 << 22, 1 << 20
#: pairs of sets that are joined at most
JOINS = 1 << 24

#: keys parent * size + item of sets, and outliers in each, or their weight
Some = tuple["NDArray[np.int64]", "NDArray[np.float64]"]
Check = Callable[[], None] | None


class Candidates:
    """What the outlier rows support.

    Parameters
    ----------
    lattice : Lattice
        Open sets so far; levels are added meanwhile.
    outliers : Rows
        The outlier rows; their only number, if any, is the weight.
    need : float
        Least count, or sum of weights; above 0.
    skip : bool array (columns, columns)
        Pairs of columns that may not stand in one set; the upper half is looked at.
    weights : float64 array (n,), optional
        Of the outlier rows, above 0. Sums of them are not exact here, so `need` is given with some slack.
    limit : int, optional
        Where there are more sets of an order, they are only counted.
    """

    def __init__(
        self,
        lattice: Lattice,
        outliers: Rows,
        need: float,
        skip: NDArray[np.bool_],
        weights: NDArray[np.float64] | None = None,
        limit: int | None = None,
    ) -> None:
        self.lattice, self.outliers, self.need, self.skip = lattice, outliers, need, skip
        self.weights, self.limit = weights, limit
        self.kernels: Any = getattr(outliers, "kernels", None)

    def extend(self, check: Check = None) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float64], int]:
        """Enumerate the supported sets of one value more than the last level, all of whose parts are open.

        Parameters
        ----------
        check : callable, optional
            Called from time to time; may raise.

        Returns
        -------
        parents, items : int32 arrays (m,)
            Position of the set in the last level, and the item added; sorted by these. Empty beyond the limit.
        o : float64 array (m,)
            Outlier rows, or their weight.
        total : int
            How many there are.
        """
        size = self.lattice.size
        parts = self._pairs() if len(self.lattice.levels) == 1 else self._larger(check)
        kept: list[Some] = []
        total = 0
        for key, o in parts:
            total += len(key)
            if self.limit is None or total <= self.limit:
                kept.append((key, o))
            else:
                kept.clear()
            if check is not None:
                check()
        if not kept:
            return np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0), total
        key, o = np.concatenate([key for key, _ in kept]), np.concatenate([o for _, o in kept])
        order = np.argsort(key)
        parents, items = np.divmod(key[order], size)
        return parents.astype(np.int32), items.astype(np.int32), o[order], total

    @cached_property
    def rows(self) -> NDArray[np.int32]:
        """For each column and outlier row, which of the column's items its value is, counted from 0.

        As many as the column has items, where the value is not open.
        """
        numbers, outliers = self._numbers, self.outliers
        if outliers.numbered is not None:
            return numbers[outliers.numbered]
        found = np.empty((len(outliers.columns), outliers.n), np.int32)
        for c, codes in enumerate(outliers.columns):
            found[c] = numbers[outliers.offsets[c] : outliers.offsets[c + 1]][codes]
        return found

    @cached_property
    def _numbers(self) -> NDArray[np.int32]:
        """The same for the codes of all columns, one after the other."""
        lattice, offsets = self.lattice, self.outliers.offsets
        numbers = np.repeat(lattice.many.astype(np.int32), self.outliers.cards)
        numbers[offsets[lattice.columns] + lattice.codes] = np.arange(lattice.size) - lattice.first[lattice.columns]
        return numbers

    # two values

    def _pairs(self) -> Iterator[Some]:
        """Yield the supported pairs, in any order."""
        n, many, cards = self.outliers.n, self.lattice.many, self.outliers.cards
        one, other = _all_pairs(self.lattice.width)
        good = (many[one] > 0) & (many[other] > 0) & ~self.skip[one, other]
        one, other = one[good], other[good]
        if n > MANY and self.weights is None:
            few = np.array(cards)[one] * np.array(cards)[other] <= CODES
            for i, j in zip(one[few].tolist(), other[few].tolist(), strict=True):
                yield self._pairs_of_codes(i, j)
            one, other = one[~few], other[~few]
        step = max(1, CHUNK // max(n, 1))
        for begin in range(0, len(one), step):
            yield self._pairs_of_items(one[begin : begin + step], other[begin : begin + step])

    def _pairs_of_codes(self, i: int, j: int) -> Some:
        """Return the supported pairs of two columns by a table of all their codes."""
        lattice = self.lattice
        table = self.outliers.pairs(i, j).reshape(self.outliers.cards[i], self.outliers.cards[j])
        mine, theirs = (lattice.codes[lattice.first[c] : lattice.first[c + 1]] for c in (i, j))
        table = table[np.ix_(mine, theirs)]
        a, b = (table >= self.need).nonzero()
        return (a + lattice.first[i]) * lattice.size + b + lattice.first[j], table[a, b].astype(np.float64)

    def _pairs_of_items(self, i: NDArray[np.int64], j: NDArray[np.int64]) -> Some:
        """Return the supported pairs of these pairs of columns."""
        lattice, rows, n = self.lattice, self.rows, self.outliers.n
        many, first = lattice.many, lattice.first
        wide = many[j] + 1
        bases = np.concatenate([[0], np.cumsum((many[i] + 1) * wide)])
        if bases[-1] > 4 * n * len(i) + CELLS:
            a, b = rows[i], rows[j]
            both = (a < many[i, None]) & (b < many[j, None])
            key = (a + first[i, None])[both] * lattice.size + (b + first[j, None])[both]
            return self._frequent(key, lattice.size**2, both)
        if self.kernels is not None and self.weights is None and n >= ROWS:
            table = np.zeros(bases[-1], np.int32)
            start, at, line = address(table), address(rows), 4 * n
            for c, d, base in zip(i.tolist(), j.tolist(), bases.tolist(), strict=False):
                self.kernels.histogram(at + c * line, 4, at + d * line, 4, int(many[d]) + 1, 0, n, start + 4 * base)
        else:
            key = rows[i] * wide[:, None] + rows[j] + bases[:-1, None]
            weights = None if self.weights is None else np.broadcast_to(self.weights, key.shape).ravel()
            table = np.bincount(key.ravel(), weights, minlength=bases[-1])
        cells = (table >= self.need).nonzero()[0]
        pair = bases.searchsorted(cells, side="right") - 1
        a, b = np.divmod(cells - bases[pair], wide[pair])
        kept = (a < many[i[pair]]) & (b < many[j[pair]])
        cells, pair, a, b = cells[kept], pair[kept], a[kept], b[kept]
        return (a + first[i[pair]]) * lattice.size + b + first[j[pair]], table[cells].astype(np.float64)

    # three and more

    def _larger(self, check: Check) -> Iterator[Some]:
        """Yield the supported sets of three and more values, all of whose parts are open."""
        lattice, tuples = self.lattice, self.lattice.tuples()
        joins = lattice.joins(min(JOINS, self.outliers.n * len(tuples)))
        if joins is None:
            for key, o in self._looked_up(tuples):
                whole = lattice.parts_open(key // lattice.size, key % lattice.size)
                yield key[whole], o[whole]
            return
        parents, items = joins
        t, sums = self.outliers.count(lattice, lattice.sets(parents, items), check)
        o = sums[0] if sums else t.astype(np.float64)
        kept = o >= self.need
        yield parents[kept].astype(np.int64) * lattice.size + items[kept], o[kept]

    def _looked_up(self, tuples: NDArray[np.int32]) -> Iterator[Some]:
        """Yield what extends open sets by one item, for all rows: where sets are too many to be joined."""
        lattice, n = self.lattice, self.outliers.n
        cells = len(lattice.levels[-1]) * lattice.size
        step, fewer = max(1, CHUNK // max(n * lattice.width, 1)), max(1, CHUNK // max(n, 1))
        for begin in range(0, len(tuples), step):
            chosen = tuples[begin : begin + step]
            nodes = self._items(chosen[:, 0])
            for level in range(1, chosen.shape[1]):
                nodes = lattice.step(level, nodes, self._items(chosen[:, level]))
            place, c = ((np.arange(lattice.width) > chosen[:, -1:]) & (lattice.many > 0)).nonzero()
            for at in range(0, len(place), fewer):
                parents, items = nodes[place[at : at + fewer]], self._items(c[at : at + fewer])
                both = (parents >= 0) & (items >= 0)
                yield self._frequent(parents[both] * lattice.size + items[both], cells, both)

    def _items(self, columns: NDArray) -> NDArray[np.int64]:
        """Return the items of all rows in these columns, -1 where there is none."""
        local = self.rows[columns]
        return np.where(local < self.lattice.many[columns, None], local + self.lattice.first[columns, None], -1)

    def _frequent(self, key: NDArray[np.int64], cells: int, chosen: NDArray[np.bool_]) -> Some:
        """Return the keys, of so many possible ones, that occur often enough; rows are those `chosen` (tuples, n)."""
        weights = None if self.weights is None else np.broadcast_to(self.weights, chosen.shape)[chosen]
        if cells <= 4 * len(key) + CELLS:
            counts = np.bincount(key, weights)
            found = (counts >= self.need).nonzero()[0]
            return found, counts[found].astype(np.float64)
        if weights is None:
            found, counts = np.unique(key, return_counts=True)
        else:
            found, where = np.unique(key, return_inverse=True)
            counts = np.bincount(where, weights, minlength=len(found))
        kept = counts >= self.need
        return found[kept], counts[kept].astype(np.float64)


@cache
def _all_pairs(width: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    one, other = np.triu_indices(width, 1)
    return one.astype(np.int64), other.astype(np.int64)
