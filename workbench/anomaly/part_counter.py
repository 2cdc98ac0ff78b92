"""The totals of candidates, counted in the parts of a table: the third round."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from workbench.anomaly.part_tasks import Column, CountPart, Marks
from workbench.anomaly.set_counts import count_sets

if TYPE_CHECKING:
    from workbench.anomaly.dask_parts import Parts
    from workbench.anomaly.encode import Codes
    from workbench.anomaly.language import Request

__all__ = ["PartCounter"]

#: orders 2 and 3 are counted in one round while they have no more candidates than this together
TOGETHER = 20_000


class PartCounter:
    """Where the search gets totals from while the rows are in parts elsewhere.

    Parameters
    ----------
    parts : Parts
    token : str
    marks : Marks
    columns : tuple of Column
    codes : sequence of Codes
        Of the outlier rows.
    totals : sequence of int64 arrays or None
        Rows of each code; None where these have to be counted first, for the codes that are supported.
    rows : int
        N.
    dependencies : list of (int, int)
    request : Request

    Attributes
    ----------
    N : int
    totals : list of int64 arrays
    dependencies : list of (int, int)
        Columns (determinant, dependent) of which the first tells the second in all rows.
    """

    def __init__(
        self,
        parts: Parts,
        token: str,
        marks: Marks,
        columns: tuple[Column, ...],
        codes: Sequence[Codes],
        totals: Sequence[np.ndarray | None],
        rows: int,
        dependencies: list[tuple[int, int]],
        request: Request,
    ) -> None:
        self.parts, self.token, self.marks, self.columns, self.codes = parts, token, marks, columns, codes
        self.N, self.dependencies, self.request = rows, dependencies, request
        self._ahead: dict[tuple[int, ...], int] = {}
        self.totals: Sequence[np.ndarray] = self._complete(totals)

    def count(self, columns: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """Return the rows of each set, int64 (m,); sets as in `Sets`, -1 pads."""
        if not len(columns):
            return np.zeros(0, np.int64)
        if self._ahead:
            known = [self._ahead.get(key, -1) for key in _keys(columns, codes)]
            if min(known) >= 0:
                return np.array(known, np.int64)
        triples = self._triples(columns, codes)
        if triples is None:
            return self._round(columns, codes)
        # Orders 2 and 3 in one round: a set that turns out not to be asked for was counted for nothing.
        pad = np.full((len(columns), 1), -1)
        more = (
            np.concatenate([np.hstack([columns, pad]), triples[0]]),
            np.concatenate([np.hstack([codes, pad]), triples[1]]),
        )
        total = self._round(*more)
        self._ahead = dict(zip(_keys(*triples), total[len(columns) :].tolist(), strict=True))
        return total[: len(columns)]

    # ------------------------------------------------------------------------------------------------------- private

    def _complete(self, totals: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        """Count the values of columns whose dictionary was too large to travel, as far as outliers support them."""
        found, wanted = [], []
        for c, total in enumerate(totals):
            if total is not None:
                found.append(total)
                continue
            o = np.bincount(self.codes[c].codes, minlength=self.codes[c].card)
            found.append(o.astype(np.int64))  # at least these; the others are not supported, so nobody asks
            outliers = len(self.codes[c].codes)
            supported = np.flatnonzero((o > 0) & (o / max(1, outliers) >= self.request.min_support))
            wanted.append(np.column_stack([np.full(len(supported), c), supported]))
        sets = np.concatenate(wanted) if wanted else np.empty((0, 2), np.int64)
        if len(sets):
            counted = self._round(sets[:, :1].astype(np.int32), sets[:, 1:].astype(np.int64))
            for (c, code), each in zip(sets.tolist(), counted.tolist(), strict=True):
                found[c][code] = each
        return found

    def _round(self, columns: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """Count sets in all parts and add up."""
        places = np.full(codes.shape, -1, np.int64)
        values = []
        for c, column in enumerate(self.codes):
            here = columns == c
            used, where = np.unique(codes[here], return_inverse=True)
            places[here] = where
            values.append(column.values.take(used))
        task = CountPart(self.token, self.marks, self.columns, columns, places, tuple(values), self.N)
        total = np.zeros(len(columns), np.int64)
        for _, counts in self.parts.each(task, "count"):
            total += counts
        return total

    def _triples(self, columns: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the sets of three that may be asked for next, if these are few; None if not.

        Those that the outliers support and all whose pairs are among the pairs given.
        """
        if columns.shape[1] != 2 or self.request.max_combo < 3 or len(columns) > TOGETHER:
            return None
        width = int(max(column.card for column in self.codes))
        items, place = np.unique(columns.astype(np.int64) * width + codes, return_inverse=True)
        first, second = place.reshape(columns.shape).T
        order = np.lexsort((second, first))
        first, second = first[order], second[order]
        begin, end = np.searchsorted(first, first, side="left"), np.searchsorted(first, first, side="right")
        if int((end - begin).sum()) > 20 * TOGETHER:
            return None
        # each pair (a, b) with each pair (a, c), where (b, c) is a pair too
        one = np.repeat(np.arange(len(first)), end - begin)
        other = np.arange(len(one)) - np.repeat(np.cumsum(end - begin) - (end - begin), end - begin) + begin[one]
        a, b, c = first[one], second[one], second[other]
        pairs = first * len(items) + second
        wanted = b * len(items) + c
        at = np.minimum(np.searchsorted(pairs, wanted), len(pairs) - 1)
        kept = (items[b] // width < items[c] // width) & (pairs[at] == wanted)
        triples = np.column_stack([a[kept], b[kept], c[kept]])
        if not len(triples):
            return None
        places, values = (items[triples] // width).astype(np.int32), items[triples] % width
        rows, cards = [column.codes for column in self.codes], [column.card for column in self.codes]
        o = count_sets(rows, cards, places, values)
        supported = (o > 0) & (o / len(rows[0]) >= self.request.min_support)
        if not supported.any() or int(supported.sum()) + len(columns) > TOGETHER:
            return None
        return places[supported], values[supported]


def _keys(columns: np.ndarray, codes: np.ndarray) -> list[tuple[int, ...]]:
    """Return each set as a tuple of columns and codes."""
    return list(map(tuple, np.concatenate([columns, codes], axis=1).tolist()))
