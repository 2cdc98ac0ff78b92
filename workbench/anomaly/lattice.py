"""The open sets of a search, level by level: what sets of one more value are made from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Lattice"]

#: cells of the table by which a level is looked up; larger ones are searched
CELLS = 1 << 20


class Lattice:
    """Open sets as a prefix tree over items, the open single values.

    Items are numbered by column, then code; a set is its items in ascending order, and the sets of a level are sorted
    by their items. So a set of r items is its parent (the set without its last item) and that item.

    Parameters
    ----------
    columns : int32 array (items,)
        Column of each open value, ascending.
    codes : int64 array (items,)
        Its code there, ascending within a column.
    width : int
        How many columns there are in all.

    Attributes
    ----------
    size : int
        How many items there are.
    first, many : int64 arrays (width + 1,) and (width,)
        Items of column c are first[c] to first[c + 1], and as many.
    levels : list of int32 arrays (m, r)
        Items of the open sets of r = 1, 2, ... values.
    parents, items : lists of int32 arrays (m,)
        Of each level: position of each set's parent in the level above, and its last item.
    """

    def __init__(self, columns: NDArray[np.int32], codes: NDArray[np.int64], width: int) -> None:
        self.columns, self.codes, self.width = columns, codes, width
        self.size = len(columns)
        self.first = np.searchsorted(columns, np.arange(width + 1)).astype(np.int64)
        self.many = np.diff(self.first)
        every = np.arange(self.size, dtype=np.int32)
        self.levels: list[NDArray[np.int32]] = [every[:, None]]
        self.parents: list[NDArray[np.int32]] = [np.zeros(self.size, np.int32)]
        self.items: list[NDArray[np.int32]] = [every]
        self._keys: list[NDArray[np.int64]] = [every.astype(np.int64)]
        self._tables: list[NDArray[np.int32] | None] = [None]

    def add(self, parents: NDArray[np.int32], items: NDArray[np.int32]) -> None:
        """Add a level: the open ones of what `sets` makes of these, sorted by parent, then item."""
        cells = len(self.levels[-1]) * self.size
        self.levels.append(self.sets(parents, items))
        self.parents.append(parents)
        self.items.append(items)
        self._keys.append(parents.astype(np.int64) * self.size + items)
        table = None
        if cells <= CELLS:
            table = np.full(cells, -1, np.int32)
            table[self._keys[-1]] = np.arange(len(parents), dtype=np.int32)
        self._tables.append(table)

    def sets(self, parents: NDArray[np.int32], items: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return the items of the sets that extend sets of the last level by one item each."""
        return np.concatenate([self.levels[-1][parents], items[:, None]], axis=1)

    def joins(self, limit: int) -> tuple[NDArray[np.int32], NDArray[np.int32]] | None:
        """Join sets of the last level that share all but their last items, where all parts of the result are open.

        Parameters
        ----------
        limit : int
            How many pairs of sets may be looked at.

        Returns
        -------
        parents, items : int32 arrays (m,)
            As `sets` takes them, sorted; None beyond the limit.
        """
        parents, items = self.parents[-1], self.items[-1]
        ends = np.searchsorted(parents, parents, side="right")
        after = ends - np.arange(len(parents)) - 1
        total = int(after.sum())
        if total > limit:
            return None
        one = np.repeat(np.arange(len(parents), dtype=np.int32), after)
        starts = np.cumsum(after) - after
        other = one + 1 + (np.arange(total) - np.repeat(starts, after))
        apart = self.columns[items[one]] < self.columns[items[other]]
        one, added = one[apart], items[other[apart]]
        # without their last item, or the last but one, they are the two sets that were joined
        whole = self.parts_open(one, added, self.levels[-1].shape[1] - 1)
        return one[whole], added[whole]

    def tuples(self) -> NDArray[np.int32]:
        """Return the different tuples of columns of the last level's sets."""
        columns = self.columns[self.levels[-1]]
        key = np.zeros(len(columns), np.int64)
        if self.width ** columns.shape[1] >= 1 << 62:
            return np.unique(columns, axis=0)
        for level in range(columns.shape[1]):
            key = key * self.width + columns[:, level]
        return columns[np.unique(key, return_index=True)[1]]

    def step(self, level: int, nodes: NDArray, items: NDArray) -> NDArray[np.int64]:
        """Return the positions in a level of the sets that extend `nodes` of the level above; -1 where not open.

        Parameters
        ----------
        level : int
            From 1; `levels[level]` is meant.
        nodes, items : integer arrays of one shape
            Positions in the level above, and items; -1 for none.
        """
        keys, table = self._keys[level], self._tables[level]
        there = (nodes >= 0) & (items >= 0)
        wanted = np.where(there, nodes.astype(np.int64) * self.size + items, 0)
        if not len(keys):
            return np.full(wanted.shape, -1, np.int64)
        if table is not None:
            return np.where(there, table[wanted], -1)
        at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.where(there & (keys[at] == wanted), at, -1)

    def parts_open(self, parents: NDArray, items: NDArray, places: int | None = None) -> NDArray[np.bool_]:
        """Return whether all parts with one value less of the sets that `sets` makes of these are open.

        Parameters
        ----------
        parents, items : int32 arrays (m,)
        places : int, optional
            Only the parts that lack one of the first so many items are in doubt; default all but the parents.
        """
        sets = self.sets(parents, items)
        whole = np.ones(len(sets), bool)
        for dropped in range(sets.shape[1] - 1 if places is None else places):
            part = np.flatnonzero(whole)
            kept = [place for place in range(sets.shape[1]) if place != dropped]
            nodes = sets[part, kept[0]].astype(np.int64)
            for level, place in enumerate(kept[1:], 1):
                nodes = self.step(level, nodes, sets[part, place])
            whole[part] = nodes >= 0
        return whole
