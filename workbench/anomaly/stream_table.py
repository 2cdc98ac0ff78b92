"""How many outliers a set may have that is not counted by itself: bounds from a table of hashed places.

All sets of values of an outlier row are hashed; the sets that share a place count together, so that none of them can
have more than stands there.
"""

from __future__ import annotations

from itertools import combinations
from math import comb
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.anomaly import loading
from workbench.anomaly.stream_sets import item_hashes

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Bounds", "sets_of_a_row"]

#: places at least and at most, and how many more than sets with the least support there can be
LEAST, LARGEST, SPARE = 1 << 14, 1 << 22, 8
#: pairs of a row and a tuple of columns that are worked on at a time
CHUNK = 1 << 20


def sets_of_a_row(width: int, largest: int) -> int:
    """Return how many sets of values a row is in."""
    return sum(comb(width, size) for size in range(1, largest + 1))


class Bounds:
    """The table.

    Parameters
    ----------
    width : int
        How many columns there are.
    largest : int
        Values in a set at most.
    support : float
        Least share of the outliers that matters, above 0.
    """

    def __init__(self, width: int, largest: int, support: float) -> None:
        self.width = width
        wanted = SPARE * sets_of_a_row(width, largest) / support
        self.table = np.zeros(1 << int(np.ceil(np.log2(min(max(wanted, LEAST), LARGEST)))))
        #: whether what other sets leave in a place is little beside the support
        self.able = wanted <= 4 * LARGEST
        every = [each for size in range(1, largest + 1) for each in combinations(range(width), size)]
        #: columns of each tuple; `width`, whose number is 0, pads
        self.tuples = np.full((len(every), largest), width, np.int64)
        for row, each in enumerate(every):
            self.tuples[row, : len(each)] = each

    def places(self, numbers: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return where sets lie, by the numbers that `hashes` gives."""
        return (numbers & np.uint64(len(self.table) - 1)).astype(np.int64)

    def add(self, codes: NDArray[Any], weight: float) -> float:
        """Add the sets of rows; return what stands in the fullest of their places.

        Parameters
        ----------
        codes : unsigned integers (width, n)
        weight : float
            Of each row.
        """
        n = codes.shape[1]
        if not n:
            return 0.0
        single = self._numbers(codes)
        add_sets = _kernel()
        if add_sets is not None:
            return float(add_sets(single, self.tuples, float(weight), self.table))
        step = max(1, CHUNK // len(self.tuples))
        parts = [self._sums(single[:, begin : begin + step]) for begin in range(0, n, step)]
        for part in parts:
            np.add.at(self.table, part.ravel(), float(weight))
        return max(float(self.table[part].max()) for part in parts)

    def above(self, codes: NDArray[Any], least: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return which sets of rows lie in places with so much: rows, and tuples of columns."""
        n = codes.shape[1]
        step = max(1, CHUNK // len(self.tuples))
        rows, tuples = [], []
        for begin in range(0, n, step):
            single = self._numbers(codes[:, begin : begin + step])
            which, row = (self.table[self._sums(single)] >= least).nonzero()
            rows.append(row + begin)
            tuples.append(which)
        return np.concatenate(rows), np.concatenate(tuples)

    def _numbers(self, codes: NDArray[Any]) -> NDArray[np.uint64]:
        """Return the number of each item, and of none: (width + 1, n)."""
        found = np.zeros((self.width + 1, codes.shape[1]), np.uint64)
        found[:-1] = item_hashes(np.arange(self.width)[:, None], codes)
        return found

    def _sums(self, single: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the place of each tuple of each row, (tuples, n)."""
        total = single[self.tuples[:, 0]]
        for place in range(1, self.tuples.shape[1]):
            total += single[self.tuples[:, place]]
        return self.places(total)


def _kernel() -> Any:
    """Return the kernel if kernels are in use and it is loaded."""
    if loading.kernels(0) is None:
        return None
    from workbench.anomaly import stream_kernels

    return stream_kernels.add_sets if stream_kernels.ready(stream_kernels.add_sets) else None
