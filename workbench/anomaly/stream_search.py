"""The explanation search of a stream that fades, carried on from pane to pane.

All sets that have, or lately nearly had, the support that an answer needs are known: their outliers and rows are
counted as they come, so that a pane costs what its own rows cost, not what all live ones do. Of a set that is not known
there is a bound on its outliers (`stream_table`). Only the sets of a row that comes can get more of them, so that the
support can only be reached by a set of the last pane whose bound reaches it: that set, and others of the pane that are
near, are then counted back and known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.anomaly import compare
from workbench.anomaly.explain import Rules, search
from workbench.anomaly.stream_found import Candidates
from workbench.anomaly.stream_sets import Counted, hashes, item_hashes
from workbench.anomaly.stream_table import Bounds, sets_of_a_row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from workbench.anomaly.stream_counts import FadingCounts
    from workbench.anomaly.stream_sets import PaneRows

__all__ = ["Tracker"]

#: share of the needed support with which sets are known when others have to be; what they may fall to
NEAR, LEFT = 0.75, 0.4
#: with fewer outliers in a set with the support, chance alone brings many sets near it: these are left alone
MANY = 16
#: all outliers are looked at anew when they have fallen to this share; until then sets with it are known
FALLEN = 0.9
#: more sets than this are gone through when the outliers have grown so much
FEW, GROWN = 256, 1.5
#: sets that are known at most, and sets that an outlier row may be in; with more, each pane searches anew
MOST, OF_A_ROW = 20_000, 1_000
#: panes until that is tried again
AGAIN = 16

_NONE = np.zeros(0)


class Tracker:
    """Sets that are or may soon be candidates, their outliers and rows, in the units of `FadingCounts`.

    Parameters
    ----------
    rules : Rules
    width : int
        How many columns there are.
    kind : type
        int64, or float64 where weights fade.
    """

    known: bool
    columns: NDArray[np.int32]
    codes: NDArray[np.int64]
    _o: NDArray[Any]
    _t: NDArray[Any]
    _since: NDArray[np.int64]
    _peak: float  # the most outliers there were since all were looked at, and when sets were last given up
    _pruned: float
    _urgent: int | None  # the pane from which on sets that are not known may have the support

    def __init__(self, rules: Rules, width: int, kind: Any) -> None:
        self.rules, self.width, self.kind = rules, width, kind
        self.largest = min(rules.max_combo, width)
        self.able = rules.min_support > 0 and sets_of_a_row(width, self.largest) <= OF_A_ROW
        if self.able:
            self._bounds_of_others = Bounds(width, self.largest, rules.min_support)
            self.able = self._bounds_of_others.able
        self._drop()
        self._wait = 0

    # ------------------------------------------------------------------------------------------------------ the panes

    def add(self, counts: FadingCounts, pane: PaneRows) -> None:
        """Count a pane that has come."""
        if not self.known:
            return
        weight = counts.pane_weight
        assert pane.rows is not None
        more = self._sets.count(pane.outliers, counts.cards)
        rows = self._sets.count(pane.rows, counts.cards)
        self._o = self._o + (more * weight if counts.decay else more)
        self._t = self._t + (rows * weight if counts.decay else rows)
        others = self._bounds_of_others
        np.subtract.at(others.table, self._where, more * float(weight))
        fullest = others.add(pane.codes, float(weight))
        self._peak = max(self._peak, float(counts.outlier_sum))
        if self._urgent is None and fullest > 0.0 and fullest >= self._need(counts):
            self._urgent = pane.number

    def forget(self, counts: FadingCounts, pane: PaneRows, weight: float) -> None:
        """Take a pane out that weighed `weight`, in the units of the sums."""
        if not self.known:
            return
        self._o = self._o - self._sets.count(pane.outliers, counts.cards) * weight
        if pane.rows is not None:
            rows = self._sets.count(pane.rows, counts.cards)
            self._t = self._t - np.where(self._since <= pane.number, rows * weight, 0.0)
        # what its other sets leave in the table is next to nothing, and only makes the bounds higher

    def rescale(self, by: float) -> None:
        """Divide all sums."""
        self._o, self._t = self._o / by, self._t / by
        if self.able:
            self._bounds_of_others.table /= by
        self._peak, self._pruned = self._peak / by, self._pruned / by

    # ----------------------------------------------------------------------------------------------------- the search

    def search(self, counts: FadingCounts) -> Candidates | None:
        """Return the candidates with their figures; None where this pane is to be searched anew."""
        if not self.able:
            return None
        whole = float(counts.outlier_sum)
        if not self.known or whole < FALLEN * self._peak:
            if self._wait > 0:
                self._wait -= 1
                return None
            if not self._look(counts):
                self._wait = AGAIN
                return None
        elif self._urgent is not None:
            self._learn(counts, self._urgent)
        elif len(self._o) > FEW and whole > GROWN * self._pruned:
            self._take(counts, self._kept(counts), self.columns[:0], self.codes[:0])
        if len(self._o) > MOST:
            self._drop()
            self._wait = AGAIN
            return None
        return self._candidates(counts)

    def _need(self, counts: FadingCounts) -> float:
        """Return what a set has to be known, in the units of the sums: the support, unless outliers get fewer."""
        return self.rules.min_support * float(counts.outlier_sum) * FALLEN

    def _candidates(self, counts: FadingCounts) -> Candidates | None:
        rules, outliers, rows = self.rules, counts.true(counts.outlier_sum), counts.N
        o = counts.settled(counts.true(self._o), outliers)
        support = np.asarray(o / outliers if outliers else np.zeros(len(o)), np.float64)
        chosen = (support >= rules.min_support) & (o > 0)
        t = counts.settled(counts.true(self._t), rows)
        first = counts.panes[0].number if counts.panes else 0
        since = np.maximum(self._since, first)
        if high := self._bounds[1]:  # totals of values are those of all live panes
            t[:high] = counts.of_values(self.columns[:high, 0], self.codes[:high, 0])
            since[:high] = first
        t = counts.settled(t, o)
        value = np.asarray(compare.value(rules.compare, o, t, outliers, rows), np.float64)
        passing = chosen & (value >= rules.min_ratio)
        opened = np.zeros(len(o) + 1, bool)  # the last stands for sets that are not known: these lack the support
        opened[:-1] = chosen & ~passing if rules.minimal else chosen
        for size in range(1, self.largest + 1):
            low, high = self._bounds[size - 1], self._bounds[size]
            if size > 1:
                whole = opened[self._parts[size - 1]].all(axis=1)
                for each in (chosen, passing, opened):
                    each[low:high] &= whole
            if np.count_nonzero(chosen[low:high]) > rules.max_candidates:
                return None
            if not opened[low:high].any():
                break
        return Candidates(self.columns, self.codes, self._bounds, chosen, passing, o, t, value, support, since, size)

    # ------------------------------------------------------------------------------------------------- what is known

    def _look(self, counts: FadingCounts) -> bool:
        """Look at all live outliers; return whether few enough sets have the support to be known."""
        columns, weights, panes = counts.outliers()
        outliers = counts.true(counts.outlier_sum)
        nothing = _Nothing(2.0 * outliers + 1.0 if counts.decay else 2 * outliers + 1, counts.cards)
        share = NEAR if self.rules.min_support * outliers >= MANY else FALLEN
        rules = Rules(
            "prevalence_difference", share * self.rules.min_support, -np.inf, self.largest, minimal=False,
            max_candidates=MOST,
        )  # fmt: skip
        found = search(columns, counts.cards, np.ones(len(panes), bool), rules, weights=weights, counter=nothing)
        if found.stopped or len(found.answers) > MOST:
            self._drop()
            return False
        others = self._bounds_of_others
        others.table[:] = 0.0
        for pane in counts.panes:
            others.add(pane.codes, float(counts.unit_weight(pane.number)))
        self._drop()
        self.known, self._peak, self._pruned = True, float(counts.outlier_sum), float(counts.outlier_sum)
        sets = found.answers
        self._take(counts, np.zeros(0, np.int64), sets.columns, sets.codes, np.asarray(counts.in_units(sets.o)))
        return True

    def _learn(self, counts: FadingCounts, first: int) -> None:
        """Get to know the sets of the panes from one on that may have the support, and those that nearly may."""
        others, need = self._bounds_of_others, self._need(counts)
        many = self.rules.min_support * counts.true(counts.outlier_sum) >= MANY
        recent = np.concatenate([pane.codes for pane in counts.panes if pane.number >= first], axis=1)
        rows, tuples = others.above(recent, (NEAR if many else FALLEN) / FALLEN * need)
        which = others.tuples[tuples]
        there = which < self.width
        codes = recent[np.minimum(which, self.width - 1), rows[:, None]].astype(np.int64)
        columns, codes = np.where(there, which, -1).astype(np.int32), np.where(there, codes, -1)
        numbers, once = np.unique(hashes(columns, codes), return_index=True)
        columns, codes = columns[once], codes[once]
        if len(self._hashes):
            order = np.argsort(self._hashes)
            at = order[np.minimum(np.searchsorted(self._hashes[order], numbers), len(order) - 1)]
            new = ~_same(self.columns[at], self.codes[at], columns, codes)
            columns, codes = columns[new], codes[new]
        o = counts.outliers_in(columns, codes)
        if not many:  # a place may hold several sets
            near = (o >= LEFT * need).nonzero()[0]
            columns, codes, o = columns[near], codes[near], o[near]
        self._take(counts, self._kept(counts), columns, codes, o)
        self._urgent = None

    def _kept(self, counts: FadingCounts) -> NDArray[np.int64]:
        """Return which sets are worth to be known further."""
        self._pruned = float(counts.outlier_sum)
        return (self._o >= LEFT * self._need(counts)).nonzero()[0]

    def _take(
        self,
        counts: FadingCounts,
        kept: NDArray[np.int64],
        columns: NDArray[np.int32],
        codes: NDArray[np.int64],
        o: NDArray[Any] = _NONE,
    ) -> None:
        """Know some of the known sets further, with what is counted of them, and new ones with their outliers."""
        new = Counted(columns, codes, self.width)
        t, since = counts.counted_back(new)
        others = self._bounds_of_others
        gone = np.ones(len(self._o), bool)
        gone[kept] = False
        np.add.at(others.table, self._where[gone], self._o[gone].astype(np.float64))
        np.subtract.at(others.table, others.places(hashes(columns, codes)), o.astype(np.float64))
        wide = max(self.columns.shape[1], columns.shape[1])
        columns = np.concatenate([_padded(self.columns[kept], wide), _padded(columns, wide)])
        codes = np.concatenate([_padded(self.codes[kept], wide), _padded(codes, wide)])
        whole = np.where(columns >= 0, columns.astype(np.int64) << 32 | np.maximum(codes, 0), -1)
        order = np.lexsort((*whole.T[::-1], np.count_nonzero(columns >= 0, axis=1)))
        self.columns, self.codes = columns[order], codes[order]
        self._o = np.concatenate([self._o[kept], o]).astype(self.kind)[order]
        self._t = np.concatenate([self._t[kept], t]).astype(self.kind)[order]
        self._since = np.concatenate([self._since[kept], np.full(len(t), since, np.int64)])[order]
        self._index()

    def _index(self) -> None:
        """Make what follows from columns and codes."""
        sizes = np.count_nonzero(self.columns >= 0, axis=1)
        self._bounds = np.searchsorted(sizes, np.arange(1, self.largest + 2)).tolist()
        self._hashes = hashes(self.columns, self.codes)
        if self.able:
            self._where = self._bounds_of_others.places(self._hashes)
        self._sets = Counted(self.columns, self.codes, self.width)
        self._parts = []
        for size in range(1, self.largest + 1):
            low, high = self._bounds[size - 1], self._bounds[size]
            if size == 1 or low == high:
                self._parts.append(np.zeros((high - low, size), np.int64))
                continue
            before = self._bounds[size - 2]
            known = self._hashes[before:low]
            order = np.argsort(known)
            items = item_hashes(self.columns[low:high, :size], self.codes[low:high, :size])
            wanted = self._hashes[low:high, None] - items
            at = order[np.minimum(np.searchsorted(known[order], wanted), len(known) - 1)] if len(known) else None
            # a set one of whose parts is not known has a part without the support: it lies under what is never open
            found = np.full((high - low, size), len(self._hashes)) if at is None else at + before
            if at is not None:
                found[known[at] != wanted] = len(self._hashes)
            self._parts.append(found)

    def _drop(self) -> None:
        """Know nothing."""
        self.known, self._urgent = False, None
        self.columns, self.codes = np.empty((0, 1), np.int32), np.empty((0, 1), np.int64)
        self._o, self._t = np.zeros(0, self.kind), np.zeros(0, self.kind)
        self._since = np.zeros(0, np.int64)
        self._peak = self._pruned = 0.0
        self._index()

    # ------------------------------------------------------------------------------------------------------ checkpoint

    def state(self) -> dict[str, Any]:
        """Return all there is to know, as arrays and plain data."""
        return {
            "known": self.known, "sets": [self.columns, self.codes, self._o, self._t, self._since],
            "table": self._bounds_of_others.table if self.able else np.zeros(0),
            "sums": [self._peak, self._pruned], "urgent": self._urgent, "wait": self._wait,
        }  # fmt: skip

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a state."""
        columns, codes, o, t, since = state["sets"]
        self.known, self._wait, self._urgent = bool(state["known"]), int(state["wait"]), state["urgent"]
        self.columns, self.codes = np.array(columns, np.int32), np.array(codes, np.int64)
        self._o, self._t, self._since = np.array(o, self.kind), np.array(t, self.kind), np.array(since, np.int64)
        self._peak, self._pruned = state["sums"]
        if self.able:
            self._bounds_of_others.table[:] = state["table"]
        self._index()


class _Nothing:
    """Totals of a search that asks for none."""

    def __init__(self, rows: float, cards: Sequence[int]) -> None:
        self.N = rows
        self.totals = [np.zeros(card) for card in cards]
        self.dependencies: tuple[tuple[int, int], ...] = ()

    def count(self, columns: NDArray[np.int32], codes: NDArray[np.int64]) -> NDArray[Any]:
        return np.zeros(len(columns))


def _padded(array: NDArray[Any], width: int) -> NDArray[Any]:
    if array.shape[1] == width:
        return array
    return np.pad(array, ((0, 0), (0, width - array.shape[1])), constant_values=-1)


def _same(
    columns: NDArray[np.int32], codes: NDArray[np.int64], others: NDArray[np.int32], their_codes: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Return which rows are the same sets, whatever they are padded to."""
    k = min(columns.shape[1], others.shape[1])
    same = (columns[:, :k] == others[:, :k]).all(axis=1) & (codes[:, :k] == their_codes[:, :k]).all(axis=1)
    for each in (columns, others):
        same &= (each[:, k:] < 0).all(axis=1)
    return np.asarray(same)
