"""Sets whose rows are counted in every pane of a stream, by one call of the kernel a pane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.anomaly import loading
from workbench.anomaly.compiled import MAPPED, NOTHING, address
from workbench.anomaly.counting import BITS, ROWS_LEAST, ROWS_MOST
from workbench.anomaly.set_counts import count_sets

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Coded", "Counted", "PaneRows", "hashes", "item_hashes"]


class Coded:
    """Codes of some rows, and where they lie: what is looked up once for all that is counted in them.

    Parameters
    ----------
    columns : sequence of uint8, uint16 or uint32 arrays (n,)
    """

    def __init__(self, columns: Sequence[NDArray[Any]]) -> None:
        self.columns = [np.ascontiguousarray(each) for each in columns]
        self.n = len(columns[0]) if len(columns) else 0
        self.sizes = np.array([each.itemsize for each in self.columns], np.int64)
        self.addresses = np.array([address(each) for each in self.columns], np.int64)
        self.key = self.sizes.tobytes()

    @property
    def nbytes(self) -> int:
        """Bytes of the codes."""
        return sum(each.nbytes for each in self.columns)

    def widened(self, cards: Sequence[int]) -> Coded:
        """Return the rows with codes in types that hold all codes there are by now."""
        from workbench.anomaly.dictionary import narrow

        return Coded(
            [a if card <= 1 << 8 * a.itemsize else narrow(a, card) for a, card in zip(self.columns, cards, strict=True)]
        )


class PaneRows:
    """What is kept of a live pane.

    Parameters
    ----------
    number : int
    codes : uint32 (columns, outliers)
        Of its outlier rows.
    n : int
        Rows.
    rows : Coded or None
        Codes of all rows, while memory lasts.
    """

    def __init__(self, number: int, codes: NDArray[np.uint32], n: int, rows: Coded | None) -> None:
        self.number, self.codes, self.n, self.rows = number, np.ascontiguousarray(codes, np.uint32), n, rows
        self.outliers = Coded(list(self.codes))
        self.nbytes = 0 if rows is None else rows.nbytes


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
        whole = columns.astype(np.int64) << 32 | np.maximum(codes, 0)
        for place in range(1, k):
            short = columns[:, place] < 0
            whole[short, place] = whole[short, place - 1]
        keys, items = np.unique(whole, return_inverse=True)
        items = items.reshape(m, k).astype(np.int32)
        self._order = np.lexsort(items.T[::-1])  # sets that share their first items follow one another
        self._sets = np.ascontiguousarray(items[self._order])
        self._codes, self._columns = keys & 0xFFFFFFFF, (keys >> 32).astype(np.int32)
        self._first = self._columns.searchsorted(np.arange(width + 1))
        self._largest = np.full(width, -1)
        np.maximum.at(self._largest, self._columns, self._codes)
        self._fitting: dict[bytes, bool] = {}
        self._tables: dict[bytes, tuple[NDArray[np.int64], list[tuple[int, NDArray[np.int32]]]]] = {}

    def __len__(self) -> int:
        return len(self.columns)

    def count(self, rows: Coded, cards: Sequence[int]) -> NDArray[np.int64]:
        """Return how many rows are in each set.

        Parameters
        ----------
        rows : Coded
        cards : sequence of int
            How many codes each column has.
        """
        n = rows.n
        if not len(self) or not n:
            return np.zeros(len(self), np.int64)
        if not self._fits(rows):  # older panes knew fewer codes
            rows = rows.widened(cards)
        kernels = loading.kernels(n)
        if kernels is None:
            return count_sets(rows.columns, cards, self.columns, self.codes)
        found, counts = np.zeros(len(self), np.int64), np.empty(len(self), np.int64)
        many, k = len(self._codes), self._sets.shape[1]
        block = min(ROWS_MOST, max(ROWS_LEAST, BITS // many // 512 * 512), (n + 511) // 512 * 512)
        maps = np.empty((many + 1 + k, block // 64), np.uint64)
        slots = self._slots(rows, cards)
        kernels.count_sets(
            rows.addresses, rows.sizes, self._first, self._codes, slots, self._sets, 0, n, maps, found, NOTHING,
            _NO_SUMS[: len(self)] if len(self) <= len(_NO_SUMS) else np.empty((len(self), 0), np.int64),
        )  # fmt: skip
        counts[self._order] = found
        return counts

    def _fits(self, rows: Coded) -> bool:
        """Return whether all codes of the sets can stand in the columns of some rows."""
        if rows.key not in self._fitting:
            self._fitting[rows.key] = bool((self._largest < np.left_shift(1, 8 * rows.sizes)).all())
        return self._fitting[rows.key]

    def _slots(self, rows: Coded, cards: Sequence[int]) -> NDArray[np.int64]:
        """Return addresses of tables from codes to bitmaps, for columns with many values; they are kept."""
        kept = self._tables.get(rows.key)
        if kept is not None and all(len(table) >= cards[c] for c, table in kept[1]):
            return kept[0]
        slots, tables, many = np.zeros(self.width, np.int64), [], len(self._codes)
        for c in (self._first[1:] - self._first[:-1] > np.array(MAPPED)[rows.sizes]).nonzero()[0].tolist():
            table = np.full(max(2 * cards[c], 256), many, np.int32)
            low, high = self._first[c : c + 2]
            table[self._codes[low:high]] = np.arange(low, high)
            tables.append((c, table))
            slots[c] = address(table)
        self._tables[rows.key] = slots, tables
        return slots


_NO_SUMS = np.empty((1 << 12, 0), np.int64)


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
