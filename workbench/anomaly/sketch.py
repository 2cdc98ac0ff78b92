"""Counts of a stream in bounded memory: the amortised maintenance counter of MacroBase, and its error bound.

Bailis et al., MacroBase: Prioritizing Attention in Fast Data, SIGMOD 2017. An item that comes in starts from the
largest count that was ever dropped, so that counts are never too low; by that count they may be too high.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Counter"]


class Counter:
    """Decayed counts of the most frequent items.

    Parameters
    ----------
    size : int
        Items kept after maintenance; up to twice as many in between.

    Attributes
    ----------
    error_bound : float
        A count is at most this much too high, and never too low; 0 until an item is dropped.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.error_bound = 0.0
        self._items = np.empty(0, np.int64)  # ascending
        self._counts = np.empty(0)

    def __len__(self) -> int:
        return len(self._items)

    def add(self, items: NDArray[np.int64], counts: NDArray[np.float64]) -> None:
        """Count items.

        Parameters
        ----------
        items : int64 (n,)
            Each once.
        counts : float64 (n,)
        """
        order = np.argsort(items, kind="stable")
        items, counts = np.asarray(items, np.int64)[order], np.asarray(counts, np.float64)[order]
        at = np.searchsorted(self._items, items)
        known = np.zeros(len(items), bool)
        inside = at < len(self._items)
        known[inside] = self._items[at[inside]] == items[inside]
        self._counts[at[known]] += counts[known]
        new = ~known
        if new.any():
            self._items = np.insert(self._items, at[new], items[new])
            self._counts = np.insert(self._counts, at[new], counts[new] + self.error_bound)
        if len(self._items) > 2 * self.size:
            self.maintain()

    def maintain(self) -> None:
        """Drop all but the `size` largest counts; of equal ones the smaller item stays."""
        if len(self._items) <= self.size:
            return
        order = np.argsort(-self._counts, kind="stable")
        dropped = self._counts[order[self.size]]
        keep = np.sort(order[: self.size])
        self.error_bound = max(self.error_bound, float(dropped))
        self._items, self._counts = self._items[keep], self._counts[keep]

    def fade(self, factor: float) -> None:
        """Multiply all counts, and the bound with them."""
        self._counts *= factor
        self.error_bound *= factor

    def estimate(self, items: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return counts that are never too low, and too high by at most `error_bound`."""
        items = np.asarray(items, np.int64)
        at = np.minimum(np.searchsorted(self._items, items), max(len(self._items) - 1, 0))
        if not len(self._items):
            return np.full(len(items), self.error_bound)
        return np.where(self._items[at] == items, self._counts[at], self.error_bound)

    def items(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the items kept, ascending, and their counts."""
        return self._items.copy(), self._counts.copy()

    def state(self) -> dict[str, Any]:
        """Return all there is to know, as arrays and plain data."""
        return {"size": self.size, "error_bound": self.error_bound, "items": self._items, "counts": self._counts}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Counter:
        """Return the counter that gave a state."""
        made = cls(int(state["size"]))
        made.error_bound = float(state["error_bound"])
        made._items, made._counts = np.array(state["items"], np.int64), np.array(state["counts"], np.float64)
        return made
