"""Sets whose rows are counted in every pane of a stream, by one call of the kernel a pane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.anomaly import loading
from workbench.anomaly.compiled import CompiledRows
from workbench.anomaly.set_counts import count_sets

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Counted", "hashes", "item_hashes"]


class Counted:
    """Sets, made ready to be counted in one pane after the other.

    Parameters
    ----------
    columns, codes : int32 and int64 arrays (m, k)
        As of `Sets`; -1 pads.
    width : int
        How many columns there are.
    """

    def __init__(self, columns: NDArray[np.int32], codes: NDArray[np.int64], width: int) -> None:
        self.columns, self.codes, self.width = columns, codes, width
        m, k = columns.shape
        if not m:
            return
        # A shorter set repeats its last item: then one call counts sets of all sizes.
        last = np.maximum(np.count_nonzero(columns >= 0, axis=1) - 1, 0)
        places = np.minimum(np.arange(k), last[:, None])
        whole = np.take_along_axis(columns.astype(np.int64) << 32 | np.maximum(codes, 0), places, axis=1)
        keys, items = np.unique(whole, return_inverse=True)
        items = items.reshape(m, k).astype(np.int32)
        self._order = np.lexsort(items.T[::-1])  # sets that share their first items follow one another
        self._sets = np.ascontiguousarray(items[self._order])
        self._codes = keys & 0xFFFFFFFF
        self._columns = (keys >> 32).astype(np.int32)

    def __len__(self) -> int:
        return len(self.columns)

    def count(self, arrays: Sequence[NDArray[Any]], cards: Sequence[int]) -> NDArray[np.int64]:
        """Return how many rows are in each set.

        Parameters
        ----------
        arrays : sequence of uint8, uint16 or uint32 arrays (n,)
            Codes of the rows, an array a column.
        cards : sequence of int
            How many codes each column has.
        """
        n = len(arrays[0]) if arrays else 0
        if not len(self) or not n:
            return np.zeros(len(self), np.int64)
        arrays = [np.ascontiguousarray(_fits(a, card)) for a, card in zip(arrays, cards, strict=True)]
        kernels = loading.kernels(n)
        if kernels is None:
            return count_sets(
                [_fits(a, card) for a, card in zip(arrays, cards, strict=True)], cards, self.columns, self.codes
            )
        arrays = [np.ascontiguousarray(_fits(a, card)) for a, card in zip(arrays, cards, strict=True)]
        found, counts = np.zeros(len(self), np.int64), np.empty(len(self), np.int64)
        nothing = np.empty((len(self), 0), np.int64)
        CompiledRows(arrays, cards, (), kernels)._run(self._columns, self._codes, self._sets, 0, n, found, nothing)
        counts[self._order] = found
        return counts


def _fits(codes: NDArray[Any], card: int) -> NDArray[Any]:
    """Return codes in a type in which the sets' codes can be written too: older panes knew fewer of them."""
    from workbench.anomaly.dictionary import narrow

    return codes if card <= 1 << 8 * codes.itemsize else narrow(codes, card)


def item_hashes(columns: NDArray[Any], codes: NDArray[Any]) -> NDArray[np.uint64]:
    """Return a number for each item, evenly spread (the finaliser of splitmix64); 0 where the column is -1."""
    with np.errstate(over="ignore"):
        x = (np.asarray(columns, np.int64) + 1).astype(np.uint64) << np.uint64(40)
        x = x + np.asarray(codes, np.int64).astype(np.uint64)
        x *= np.uint64(0x9E3779B97F4A7C15)
        x ^= x >> np.uint64(30)
        x *= np.uint64(0xBF58476D1CE4E5B9)
        x ^= x >> np.uint64(27)
        x *= np.uint64(0x94D049BB133111EB)
        x ^= x >> np.uint64(31)
    return np.where(np.asarray(columns) >= 0, x, np.uint64(0))


def hashes(columns: NDArray[np.int32], codes: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return the sum of its items' numbers for each set, whatever it is padded to."""
    return item_hashes(columns, codes).sum(axis=1, dtype=np.uint64)
