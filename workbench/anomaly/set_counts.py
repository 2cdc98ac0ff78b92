"""Counting sets of values of any sizes in rows that are at hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from workbench.anomaly import loading
from workbench.anomaly.counting import rows_of
from workbench.anomaly.lattice import Lattice

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["count_sets"]

#: rows, counted for a hundred sets, that save with kernels what a process needs to load them
KERNELS_FROM = 100_000_000


def count_sets(
    columns: Sequence[NDArray],
    cards: Sequence[int],
    sets_columns: NDArray[np.int32],
    sets_codes: NDArray[np.int64],
    *,
    rows_in_all: int = 0,
    check: Callable[[], None] | None = None,
) -> NDArray[np.int64]:
    """Return how many rows have all values of each set.

    Parameters
    ----------
    columns : sequence of uint8, uint16 or uint32 arrays (n,)
        Codes of the rows.
    cards : sequence of int
        How many codes each column has.
    sets_columns, sets_codes : int arrays (m, k)
        Columns, ascending, and codes of each set; -1 pads.
    rows_in_all : int
        Rows that are counted in such calls: kernels that are not loaded are loaded for very many only.
    check : callable, optional
        Called from time to time; may raise.
    """
    total = np.zeros(len(sets_columns), np.int64)
    if not len(total) or not columns or not len(columns[0]):
        return total
    worth = rows_in_all * max(1.0, len(sets_columns) / 100) >= KERNELS_FROM
    rows = rows_of(columns, cards, loading.kernels(loading.LARGE if worth else 0))
    sizes = np.count_nonzero(sets_columns >= 0, axis=1)
    for size in np.unique(sizes):
        mine = np.flatnonzero(sizes == size)
        places, codes = sets_columns[mine, :size].astype(np.int64), sets_codes[mine, :size]
        wide = int(max(cards))
        keys, items = np.unique(places * wide + codes, return_inverse=True)
        items = items.reshape(places.shape).astype(np.int32)
        item_columns, item_codes = (keys // wide).astype(np.int32), keys % wide
        if size == 1:
            total[mine] = rows.values(item_columns, item_codes, check)[0][items[:, 0]]
            continue
        # Sets that share their first items follow one another, which is how they are counted quickest.
        order = np.lexsort(items.T[::-1])
        lattice = Lattice(item_columns, item_codes, len(columns))
        total[mine[order]] = rows.count(lattice, np.ascontiguousarray(items[order]), check)[0]
    return total
