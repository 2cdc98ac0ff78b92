"""The open sets of a search, level by level: what sets of one more value are made from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Lattice"]


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
    first : int64 array (width + 1,)
        Items of column c are first[c] to first[c + 1].
    levels : list of int32 arrays (m, r)
        Items of the open sets of r = 1, 2, ... values.
    parents, items : lists of int32 arrays (m,)
        Of each level, position of the parent in the level above, and the last item.
    """

    def __init__(self, columns: NDArray[np.int32], codes: NDArray[np.int64], width: int) -> None:
        self.columns, self.codes, self.width = columns, codes, width
        self.size = len(columns)
        self.first = np.searchsorted(columns, np.arange(width + 1)).astype(np.int64)
        every = np.arange(self.size, dtype=np.int32)
        self.levels: list[NDArray[np.int32]] = [every[:, None]]
        self.parents: list[NDArray[np.int32]] = [np.zeros(self.size, np.int32)]
        self.items: list[NDArray[np.int32]] = [every]
        self._keys: list[NDArray[np.int64]] = [every.astype(np.int64)]

    def add(self, parents: NDArray[np.int32], items: NDArray[np.int32]) -> None:
        """Add a level: the open ones of what `sets` makes of these, sorted by parent, then item."""
        self.levels.append(self.sets(parents, items))
        self.parents.append(parents)
        self.items.append(items)
        self._keys.append(parents.astype(np.int64) * self.size + items)

    def sets(self, parents: NDArray[np.int32], items: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return the items of the sets that extend sets of the last level by one item each."""
        return np.concatenate([self.levels[-1][parents], items[:, None]], axis=1)

    def step(self, level: int, nodes: NDArray, items: NDArray) -> NDArray[np.int64]:
        """Return the positions in a level of the sets that extend `nodes` of the level above; -1 where not open."""
        keys = self._keys[level]
        wanted = nodes.astype(np.int64) * self.size + items
        if not len(keys):
            return np.full(len(wanted), -1, np.int64)
        at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.where((keys[at] == wanted) & (nodes >= 0) & (items < self.size), at, -1)

    def find(self, sets: NDArray[np.int32]) -> NDArray[np.int64]:
        """Return the positions of sets of r items in level r - 1; -1 where they are not open."""
        nodes = sets[:, 0].astype(np.int64)
        for level in range(1, sets.shape[1]):
            nodes = self.step(level, nodes, sets[:, level])
        return nodes

    def starts(self, level: int) -> NDArray[np.int64]:
        """Return where the children of each set of `level - 1` begin in `level`, and where the last ones end."""
        return np.searchsorted(self.parents[level], np.arange(len(self.levels[level - 1]) + 1)).astype(np.int64)
