"""Counting sets of values in NumPy: the twins of the kernels, for small tables and wherever nothing may be compiled.

A kernel and its twin give the same integers in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.anomaly.lattice import Lattice

__all__ = ["extend", "histograms", "items_of", "totals"]

#: a pair of columns with more candidates than this is counted by one table of all its cells
MANY = 40
#: rows whose bitmaps are held at a time (a multiple of 64), and 64-bit words of candidates
BLOCK, WORDS = 1 << 16, 1 << 16
#: cells of a table of counts, beside those that rows could fill
CELLS = 1 << 16


def histograms(columns: Sequence[NDArray], cards: Sequence[int]) -> list[NDArray[np.int64]]:
    """Return for each column how many rows have each code."""
    return [np.bincount(codes, minlength=card) for codes, card in zip(columns, cards, strict=True)]


def items_of(lattice: Lattice, columns: Sequence[NDArray], cards: Sequence[int]) -> NDArray[np.int32]:
    """Return for each column and row the item of its value; `lattice.size` where the value is not open.

    Returns
    -------
    int32 array (columns, rows)
    """
    items = np.empty((len(columns), len(columns[0]) if columns else 0), np.int32)
    for c, (codes, card) in enumerate(zip(columns, cards, strict=True)):
        lo, hi = lattice.first[c], lattice.first[c + 1]
        numbers = np.full(card, lattice.size, np.int32)
        numbers[lattice.codes[lo:hi]] = np.arange(lo, hi)
        items[c] = numbers[codes]
    return items


def extend(
    lattice: Lattice,
    rows: NDArray[np.int32],
    need: float,
    skip: NDArray[np.bool_],
    weights: NDArray[np.float64] | None = None,
    limit: int = 2_000_000,
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float64], int]:
    """Enumerate the supported sets of one value more than the last level, all of whose parts are open.

    Parameters
    ----------
    lattice : Lattice
        Open sets so far.
    rows : int32 array (columns, rows)
        Items of the outlier rows, as `items_of` gives them.
    need : float
        Least count, or sum of weights.
    skip : bool array (columns, columns)
        Pairs of columns that may not stand in one set; the upper half is looked at.
    weights : float64 array (rows,), optional
        Of each outlier row; sums of them are not exact, so `need` is given with some slack.
    limit : int
        How many are returned at most; if there are more, they are only counted.

    Returns
    -------
    parents, items : int32 arrays (m,)
        Position of the set in the last level, and the item added; sorted by these.
    o : float64 array (m,)
        Outlier rows, or their weight.
    total : int
        How many there are.
    """
    level, size = len(lattice.levels) - 1, lattice.size
    keys: list[NDArray[np.int64]] = []
    counts: list[NDArray[np.float64]] = []
    tuples = np.unique(lattice.columns[lattice.levels[level]], axis=0)
    for columns in tuples:
        nodes, alive = _nodes(lattice, rows, columns)
        if not len(alive):
            continue
        carried = None if weights is None else weights[alive]
        for c in range(int(columns[-1]) + 1, lattice.width):
            if lattice.first[c] == lattice.first[c + 1] or (level == 0 and skip[columns[0], c]):
                continue
            last = rows[c][alive]
            open_ = last < size
            key, o = _group(
                nodes[open_],
                last[open_] - lattice.first[c],
                int(lattice.first[c + 1] - lattice.first[c]),
                None if carried is None else carried[open_],
            )
            width = lattice.first[c + 1] - lattice.first[c]
            kept = o >= need
            key, o = key[kept], o[kept]
            keys.append(key // width * size + key % width + lattice.first[c])
            counts.append(o)
    if not keys:
        return np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0), 0
    key, o = np.concatenate(keys), np.concatenate(counts)
    order = np.argsort(key)
    key, o = key[order], o[order]
    parents, items = (key // size).astype(np.int32), (key % size).astype(np.int32)
    if level > 0:
        sets = lattice.sets(parents, items)
        whole = np.ones(len(sets), bool)
        for dropped in range(level + 1):
            part = np.flatnonzero(whole)
            whole[part] = lattice.find(np.delete(sets[part], dropped, axis=1)) >= 0
        parents, items, o = parents[whole], items[whole], o[whole]
    total = len(o)
    return parents[:limit], items[:limit], o[:limit], total


def _nodes(lattice: Lattice, rows: NDArray[np.int32], columns: NDArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return which open set over these columns each row is in, and the rows that are in any."""
    nodes = rows[columns[0]].astype(np.int64)
    alive = np.flatnonzero(nodes < lattice.size)
    nodes = nodes[alive]
    for level, c in enumerate(columns[1:], 1):
        nodes = lattice.step(level, nodes, rows[c][alive])
        kept = nodes >= 0
        nodes, alive = nodes[kept], alive[kept]
    return nodes, alive


def _group(
    nodes: NDArray[np.int64], last: NDArray, width: int, weights: NDArray[np.float64] | None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the different keys nodes * width + last, ascending, and how often each occurs."""
    if not len(nodes):
        return np.empty(0, np.int64), np.empty(0)
    low = int(nodes.min())
    span = (int(nodes.max()) - low + 1) * width
    key = (nodes - low) * width + last
    if span <= 4 * len(key) + CELLS:
        counts = np.bincount(key, weights)
        present = np.bincount(key) if weights is not None else counts
        found = np.flatnonzero(present)
        return found + low * width, counts[found].astype(np.float64)
    found, where, count = np.unique(key, return_inverse=True, return_counts=True)
    counts = count if weights is None else np.bincount(where, weights)
    return found + low * width, counts.astype(np.float64)


def totals(
    lattice: Lattice, columns: Sequence[NDArray], cards: Sequence[int], sets: NDArray[np.int32]
) -> NDArray[np.int64]:
    """Return how many rows are in each set.

    Parameters
    ----------
    lattice : Lattice
        Which value each item is.
    columns : sequence of integer arrays (n,)
        Codes of all rows.
    cards : sequence of int
        Number of codes of each column.
    sets : int32 array (m, k)
        Items of each set.
    """
    t = np.zeros(len(sets), np.int64)
    if not len(sets):
        return t
    left = np.ones(len(sets), bool)
    if sets.shape[1] == 2:
        _tables(lattice, columns, cards, sets, t, left)
    rest = np.flatnonzero(left)
    if not len(rest):
        return t
    used, places = np.unique(sets[rest], return_inverse=True)
    places = places.reshape(len(rest), -1)
    n = len(columns[0])
    for begin in range(0, n, BLOCK):
        maps = bitmaps(lattice, [codes[begin : begin + BLOCK] for codes in columns], used)
        step = max(1, WORDS // maps.shape[1])
        for at in range(0, len(rest), step):
            chosen = places[at : at + step]
            both = maps[chosen[:, 0]]
            for part in range(1, chosen.shape[1]):
                both &= maps[chosen[:, part]]
            t[rest[at : at + step]] += np.bitwise_count(both).sum(axis=1, dtype=np.int64)
    return t


def bitmaps(lattice: Lattice, columns: Sequence[NDArray], items: NDArray) -> NDArray[np.uint64]:
    """Return one bit a row for each item, rows from the lowest bit up; bits beyond the last row are 0."""
    n = len(columns[0])
    maps = np.zeros((len(items), (n + 63) // 64 * 8), np.uint8)
    for place, item in enumerate(items):
        codes = columns[lattice.columns[item]]
        maps[place, : (n + 7) // 8] = np.packbits(codes == codes.dtype.type(lattice.codes[item]), bitorder="little")
    return maps.view(np.uint64)


def _tables(
    lattice: Lattice,
    columns: Sequence[NDArray],
    cards: Sequence[int],
    sets: NDArray[np.int32],
    t: NDArray[np.int64],
    left: NDArray[np.bool_],
) -> None:
    """Count the pairs of columns with many candidates by a table of all cells; what is done is not `left`."""
    pair = lattice.columns[sets[:, 0]].astype(np.int64) * lattice.width + lattice.columns[sets[:, 1]]
    found, where, counts = np.unique(pair, return_inverse=True, return_counts=True)
    n = len(columns[0])
    for number in np.flatnonzero(counts > MANY):
        i, j = divmod(int(found[number]), lattice.width)
        if cards[i] * cards[j] > 4 * n + CELLS:
            continue
        cells = np.zeros(cards[i] * cards[j], np.int64)
        for begin in range(0, n, BLOCK):
            key = columns[i][begin : begin + BLOCK].astype(np.int64) * cards[j] + columns[j][begin : begin + BLOCK]
            cells += np.bincount(key, minlength=len(cells))
        mine = np.flatnonzero(where == number)
        a, b = lattice.codes[sets[mine, 0]], lattice.codes[sets[mine, 1]]
        t[mine] = cells[a * cards[j] + b]
        left[mine] = False
