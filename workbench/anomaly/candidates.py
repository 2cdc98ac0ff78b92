"""Candidates: the sets of values that are supported by the outlier rows, one value more at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.anomaly.compiled import address

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.anomaly.counting import Rows
    from workbench.anomaly.lattice import Lattice

__all__ = ["extend", "items_of"]

#: elements (column tuple times row) that are worked on at a time
CHUNK = 1 << 20
#: a table of all cells is used while it has at most this many, and four for each element besides
CELLS = 1 << 16
#: from so many outlier rows on, a call of the kernel for each pair of columns is quicker than NumPy on all at once
ROWS = 512

Candidates = tuple["NDArray[np.int64]", "NDArray[np.float64]"]


def items_of(lattice: Lattice, rows: Rows) -> NDArray[np.int32]:
    """Return for each column and row which of the column's items its value is, counted from 0.

    Returns
    -------
    int32 array (columns, rows)
        As many as the column has items, where the value is not open.
    """
    numbers = np.repeat(lattice.many.astype(np.int32), rows.cards)
    numbers[rows.offsets[lattice.columns] + lattice.codes] = np.arange(lattice.size) - lattice.first[lattice.columns]
    if rows.numbered is not None:
        return numbers[rows.numbered]
    items = np.empty((len(rows.columns), rows.n), np.int32)
    for c, codes in enumerate(rows.columns):
        items[c] = numbers[rows.offsets[c] : rows.offsets[c + 1]][codes]
    return items


def extend(
    lattice: Lattice,
    rows: NDArray[np.int32],
    need: float,
    skip: NDArray[np.bool_],
    *,
    weights: NDArray[np.float64] | None = None,
    outliers: Rows | None = None,
    limit: int | None = None,
    kernels: Any = None,
    check: Callable[[], None] | None = None,
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float64], int]:
    """Enumerate the supported sets of one value more than the last level, all of whose parts are open.

    Parameters
    ----------
    lattice : Lattice
        Open sets so far.
    rows : int32 array (columns, rows)
        Items of the outlier rows, as `items_of` gives them.
    need : float
        Least count, or sum of weights; above 0.
    skip : bool array (columns, columns)
        Pairs of columns that may not stand in one set; the upper half is looked at.
    weights : float64 array (rows,), optional
        Of each outlier row, above 0; sums of them are not exact, so `need` is given with some slack.
    outliers : Rows, optional
        The outlier rows themselves: sets may be counted on them where that is quicker. Their first number, if any, is
        the weight.
    limit : int, optional
        Where there are more, they are only counted.
    kernels : module, optional
        To count with.
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
    first = len(lattice.levels) == 1
    joined = None if first or outliers is None else _joined(lattice, outliers, need, check)
    if first:
        parts = _pairs(lattice, rows, need, skip, weights, kernels)
    elif joined is not None:
        parts = iter([joined])
    else:
        parts = _larger(lattice, rows, need, weights)
    kept: list[Candidates] = []
    total = 0
    for key, o in parts:
        if not first and joined is None:
            whole = lattice.parts_open(key // lattice.size, key % lattice.size)
            key, o = key[whole], o[whole]
        total += len(key)
        if limit is None or total <= limit:
            kept.append((key, o))
        else:
            kept.clear()
        if check is not None:
            check()
    if not kept:
        return np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0), total
    key, o = np.concatenate([key for key, _ in kept]), np.concatenate([o for _, o in kept])
    order = np.argsort(key)
    parents, items = np.divmod(key[order], lattice.size)
    return parents.astype(np.int32), items.astype(np.int32), o[order], total


@cache
def _all_pairs(width: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return np.triu_indices(width, 1)


def _pairs(
    lattice: Lattice,
    rows: NDArray[np.int32],
    need: float,
    skip: NDArray[np.bool_],
    weights: NDArray[np.float64] | None,
    kernels: Any,
) -> Iterator[Candidates]:
    """Yield the keys first item * size + second item of the supported pairs, in any order, and their counts."""
    n, many = rows.shape[1], lattice.many
    one, other = _all_pairs(lattice.width)
    good = (many[one] > 0) & (many[other] > 0) & ~skip[one, other]
    one, other = one[good], other[good]
    step = max(1, CHUNK // max(n, 1))
    for begin in range(0, len(one), step):
        i, j = one[begin : begin + step], other[begin : begin + step]
        wide = many[j] + 1
        bases = np.concatenate([[0], np.cumsum((many[i] + 1) * wide)])
        if bases[-1] > 4 * n * len(i) + CELLS:
            first, second = rows[i], rows[j]
            both = (first < many[i, None]) & (second < many[j, None])
            key = (first + lattice.first[i, None])[both] * lattice.size + (second + lattice.first[j, None])[both]
            yield _distinct(key, lattice.size**2, need, _carried(weights, both))
            continue
        if kernels is not None and weights is None and n >= ROWS:
            table = np.zeros(bases[-1], np.int32)
            start, at, line = address(table), address(rows), 4 * n
            for a, b, base in zip(i.tolist(), j.tolist(), bases.tolist(), strict=False):
                kernels.histogram(at + a * line, 4, at + b * line, 4, int(many[b]) + 1, 0, n, start + 4 * base)
        else:
            key = rows[i] * wide[:, None] + rows[j] + bases[:-1, None]
            carried = None if weights is None else np.broadcast_to(weights, key.shape).ravel()
            table = np.bincount(key.ravel(), carried, minlength=bases[-1])
        cells = (table >= need).nonzero()[0]
        pair = np.searchsorted(bases, cells, side="right") - 1
        a, b = np.divmod(cells - bases[pair], wide[pair])
        kept = (a < many[i[pair]]) & (b < many[j[pair]])
        cells, pair, a, b = cells[kept], pair[kept], a[kept], b[kept]
        key = (a + lattice.first[i[pair]]) * lattice.size + b + lattice.first[j[pair]]
        yield key, table[cells].astype(np.float64)


def _joined(lattice: Lattice, outliers: Rows, need: float, check: Callable[[], None] | None) -> Candidates | None:
    """Join sets that differ in the last item only, and count them; None where looking up rows is quicker."""
    joins = lattice.joins(outliers.n * len(lattice.tuples()))
    if joins is None:
        return None
    parents, items = joins
    t, sums = outliers.count(lattice, lattice.sets(parents, items), check)
    o = sums[0] if sums else t.astype(np.float64)
    kept = o >= need
    return (parents[kept].astype(np.int64) * lattice.size + items[kept]), o[kept]


def _larger(
    lattice: Lattice, rows: NDArray[np.int32], need: float, weights: NDArray[np.float64] | None
) -> Iterator[Candidates]:
    """Yield the keys parent * size + item of the supported sets of three and more values, and their counts."""
    n, tuples = rows.shape[1], lattice.tuples()
    cells = len(lattice.levels[-1]) * lattice.size
    step, fewer = max(1, CHUNK // max(n * lattice.width, 1)), max(1, CHUNK // max(n, 1))
    for begin in range(0, len(tuples), step):
        chosen = tuples[begin : begin + step]
        nodes = _items(lattice, rows, chosen[:, 0])
        for level in range(1, chosen.shape[1]):
            nodes = lattice.step(level, nodes, _items(lattice, rows, chosen[:, level]))
        place, c = np.nonzero((np.arange(lattice.width) > chosen[:, -1:]) & (lattice.many > 0))
        for at in range(0, len(place), fewer):
            parents, items = nodes[place[at : at + fewer]], _items(lattice, rows, c[at : at + fewer])
            both = (parents >= 0) & (items >= 0)
            yield _distinct(parents[both] * lattice.size + items[both], cells, need, _carried(weights, both))


def _items(lattice: Lattice, rows: NDArray[np.int32], columns: NDArray) -> NDArray[np.int64]:
    """Return the items of all rows in these columns, -1 where there is none."""
    local = rows[columns]
    return np.where(local < lattice.many[columns, None], local + lattice.first[columns, None], -1)


def _carried(weights: NDArray[np.float64] | None, chosen: NDArray[np.bool_]) -> NDArray[np.float64] | None:
    return None if weights is None else np.broadcast_to(weights, chosen.shape)[chosen]


def _distinct(key: NDArray[np.int64], cells: int, need: float, weights: NDArray[np.float64] | None) -> Candidates:
    """Return the keys, of so many possible ones, that occur often enough, and how often."""
    if cells <= 4 * len(key) + CELLS:
        counts = np.bincount(key, weights)
        found = (counts >= need).nonzero()[0]
        return found, counts[found].astype(np.float64)
    if weights is None:
        found, counts = np.unique(key, return_counts=True)
    else:
        found, where = np.unique(key, return_inverse=True)
        counts = np.bincount(where, weights, minlength=len(found))
    kept = counts >= need
    return found[kept], counts[kept].astype(np.float64)
