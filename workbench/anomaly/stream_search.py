"""The explanation search of a stream that fades, carried on from pane to pane.

All sets with half the support that an answer needs are known: their outliers are counted as they come, so that a pane
costs what its own rows cost, not what all live outliers do. A set that is not known had less than that when all live
outliers were last looked at. It can only have reached the support since then if it is among so many of the outliers
that came since: their sets are counted in a table of hashed places, in which sets that share a place count together, so
that none is overlooked. When a place has that many, or the outliers are a quarter more, all live outliers are looked at
again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.anomaly import compare
from workbench.anomaly.explain import Found, Rules, search
from workbench.anomaly.sets import Sets
from workbench.anomaly.stream_sets import Counted, hashes, item_hashes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from workbench.anomaly.stream_counts import FadingCounts, PaneRows

__all__ = ["Level", "Tracker", "found_of"]

#: share of the needed support from which on sets are known
KNOWN = 0.5
#: share by which outliers may grow until all are looked at again
GROWN = 0.25
#: sets that are known at most, and sets that an outlier row may be in; with more, each pane searches anew
MOST, OF_A_ROW = 20_000, 1_000
#: panes until that is tried again
AGAIN = 16
#: places of the table
PLACES = 1 << 17
#: sets with so much of the needed support are counted back with those that have it: they are likely next
NEAR = 0.75


@dataclass(eq=False)
class Level:
    """The candidates of one size and their figures, as of one pane."""

    columns: NDArray[np.int32]
    codes: NDArray[np.int64]
    o: NDArray[Any]
    t: NDArray[Any]
    value: NDArray[np.float64]
    support: NDArray[np.float64]
    passing: NDArray[np.bool_]
    since: NDArray[np.int64]


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
    _since: NDArray[np.int64]  # -1: rows are not counted yet
    _table: NDArray[np.float64]
    _scanned: float  # outliers when all were looked at; those that came since; those in the fullest place
    _recent: float
    _fullest: float

    def __init__(self, rules: Rules, width: int, kind: Any) -> None:
        self.rules, self.width, self.kind = rules, width, kind
        self.largest = min(rules.max_combo, width)
        self.able = rules.min_support > 0 and sum(comb(width, r) for r in range(1, self.largest + 1)) <= OF_A_ROW
        self._tuples = [np.array(list(combinations(range(width), r))).T for r in range(1, self.largest + 1)]
        self._drop()
        self._wait = 0

    # ------------------------------------------------------------------------------------------------------ the panes

    def add(self, counts: FadingCounts, pane: PaneRows) -> None:
        """Count a pane that has come."""
        if not self.known:
            return
        weight = counts.pane_weight
        more: NDArray[Any] = self._every.count(pane.outliers, counts.cards)
        more = more * weight if counts.decay else more
        self._o += more
        held = self._held
        if len(held):
            rows = self._rows.count(pane.rows, counts.cards)  # type: ignore[arg-type]  # a pane that has come is whole
            self._t[held] += rows * weight if counts.decay else rows
        n = len(pane.outliers[0])
        self._recent += n * weight
        if self._recent >= GROWN * counts.outlier_sum or not n:
            return
        codes = np.stack([each.astype(np.int64) for each in pane.outliers])
        single = item_hashes(np.arange(self.width)[:, None], codes)
        sums = [single]
        for tuples in self._tuples[1:]:
            sums.append(np.add.reduce(single[tuples], axis=0))
        places = _places(np.concatenate(sums).ravel())
        np.add.at(self._table, places, float(weight))
        np.subtract.at(self._table, self._where, more)
        self._fullest = max(self._fullest, float(self._table[places].max()))

    def forget(self, counts: FadingCounts, pane: PaneRows, weight: float) -> None:
        """Take a pane out that weighed `weight`, in the units of the sums."""
        if not self.known:
            return
        self._o -= self._every.count(pane.outliers, counts.cards) * weight
        held = self._held
        if pane.rows is not None and len(held):
            rows = self._rows.count(pane.rows, counts.cards)
            self._t[held] -= np.where(self._since[held] <= pane.number, rows * weight, 0.0)

    def rescale(self, by: float) -> None:
        """Divide all sums."""
        self._o, self._t = self._o / by, self._t / by
        self._table /= by
        self._recent, self._fullest, self._scanned = self._recent / by, self._fullest / by, self._scanned / by

    # ----------------------------------------------------------------------------------------------------- the search

    def search(self, counts: FadingCounts) -> list[Level] | None:
        """Return candidates of 1, 2, ... values with their figures; None where this pane is to be searched anew."""
        if not self.able:
            return None
        whole = counts.outlier_sum
        need = self.rules.min_support * whole - KNOWN * self.rules.min_support * self._scanned
        grown = self._recent >= GROWN * whole
        if not self.known or grown or (self._recent >= need and self._fullest >= need * (1 - 1e-9)):
            if self._wait > 0:
                self._wait -= 1
                return None
            if not self._look(counts):
                self._wait = AGAIN
                return None
        return self._levels(counts)

    def _levels(self, counts: FadingCounts) -> list[Level] | None:
        rules, outliers, rows = self.rules, counts.true(counts.outlier_sum), counts.N
        o = counts.settled(counts.true(self._o), outliers)
        support = np.asarray(o / outliers if outliers else np.zeros(len(o)), np.float64)
        supported = (support >= rules.min_support) & (o > 0)
        opened = np.zeros(len(o), bool)
        levels: list[Level] = []
        first = counts.panes[0].number if counts.panes else 0
        for size in range(1, self.largest + 1):
            low, high = self._bounds[size - 1], self._bounds[size]
            mine = supported[low:high]
            if size > 1:
                mine = mine & opened[self._parts[size - 1]].all(axis=1)
            at = mine.nonzero()[0] + low
            if len(at) > rules.max_candidates:
                return None
            columns, codes = self.columns[at, :size], self.codes[at, :size]
            if size == 1:
                t, since = counts.of_values(columns[:, 0], codes[:, 0]), np.full(len(at), first, np.int64)
            else:
                self._fill(counts, at, low, high, support)
                t, since = counts.settled(counts.true(self._t[at]), rows), np.maximum(self._since[at], first)
            t = counts.settled(t, o[at])
            value = np.asarray(compare.value(rules.compare, o[at], t, outliers, rows), np.float64)
            passing = value >= rules.min_ratio
            levels.append(Level(columns, codes, o[at], t, value, support[at], passing, since))
            opened[at] = ~passing if rules.minimal else True
            if not opened[low:high].any():
                break
        return levels

    def _fill(
        self, counts: FadingCounts, at: NDArray[np.int64], low: int, high: int, support: NDArray[np.float64]
    ) -> None:
        """Count candidates back that were none before, and with them those that nearly are."""
        if (self._since[at] >= 0).all():
            return
        new = (self._since[low:high] < 0) & (support[low:high] >= NEAR * self.rules.min_support)
        new[at - low] |= self._since[at] < 0
        rows = new.nonzero()[0] + low
        self._t[rows], since = counts.counted_back(Counted(self.columns[rows], self.codes[rows], self.width))
        self._since[rows] = since
        self._hold()

    def _look(self, counts: FadingCounts) -> bool:
        """Look at all live outliers; return whether few enough sets have the support to be known."""
        columns, weights, panes = counts.outliers()
        outliers = counts.true(counts.outlier_sum)
        nothing = _Nothing(2.0 * outliers + 1.0 if counts.decay else 2 * outliers + 1, counts.cards)
        rules = Rules(
            "prevalence_difference", KNOWN * self.rules.min_support, -np.inf, self.largest, minimal=False,
            max_candidates=MOST,
        )  # fmt: skip
        found = search(columns, counts.cards, np.ones(len(panes), bool), rules, weights=weights, counter=nothing)
        if found.stopped or len(found.answers) > MOST:
            self._drop()
            return False
        self._take(counts, found.answers)
        self._scanned, self._recent, self._fullest = counts.outlier_sum, 0.0, 0.0
        self._table[:] = 0.0
        return True

    def _take(self, counts: FadingCounts, sets: Sets) -> None:
        """Know these sets from now on; what is counted of them stays."""
        old, old_t, old_since = self._hashes, self._t, self._since
        old_columns, old_codes = self.columns, self.codes
        self.known = True
        self.columns, self.codes = sets.columns, sets.codes
        self._o = np.array(counts.in_units(sets.o), self.kind)
        self._index()
        self._t, self._since = np.zeros(len(sets), self.kind), np.full(len(sets), -1, np.int64)
        if len(old) and len(sets):
            order = np.argsort(old, kind="stable")
            at = order[np.minimum(np.searchsorted(old[order], self._hashes), len(old) - 1)]
            same = _same(old_columns[at], old_codes[at], self.columns, self.codes)
            self._t[same], self._since[same] = old_t[at[same]], old_since[at[same]]
        self._hold()

    def _index(self) -> None:
        """Make what follows from columns and codes."""
        sizes = np.count_nonzero(self.columns >= 0, axis=1)
        self._bounds = np.searchsorted(sizes, np.arange(1, self.largest + 2)).tolist()
        self._hashes = hashes(self.columns, self.codes)
        self._where = _places(self._hashes)
        self._every = Counted(self.columns, self.codes, self.width)
        self._parts = []
        for size in range(1, self.largest + 1):
            low, high = self._bounds[size - 1], self._bounds[size]
            if size == 1 or low == high:
                self._parts.append(np.zeros((high - low, size), np.int64))
                continue
            before = self._bounds[size - 2]
            known = self._hashes[before:low]
            order = np.argsort(known, kind="stable")
            items = item_hashes(self.columns[low:high, :size], self.codes[low:high, :size])
            wanted = self._hashes[low:high, None] - items
            self._parts.append(order[np.minimum(np.searchsorted(known[order], wanted), len(known) - 1)] + before)

    def _hold(self) -> None:
        self._held = (self._since >= 0).nonzero()[0]
        self._rows = Counted(self.columns[self._held], self.codes[self._held], self.width)

    def _drop(self) -> None:
        """Know nothing."""
        self.known = False
        self.columns, self.codes = np.empty((0, 1), np.int32), np.empty((0, 1), np.int64)
        self._o, self._t = np.zeros(0, self.kind), np.zeros(0, self.kind)
        self._since = np.zeros(0, np.int64)
        self._table = np.zeros(PLACES if self.able else 0)
        self._scanned = 0.0
        self._recent = 0.0
        self._fullest = 0.0
        self._index()
        self._hold()

    # ------------------------------------------------------------------------------------------------------ checkpoint

    def state(self) -> dict[str, Any]:
        """Return all there is to know, as arrays and plain data."""
        return {
            "known": self.known, "sets": [self.columns, self.codes, self._o, self._t, self._since],
            "table": self._table, "sums": [self._scanned, self._recent, self._fullest], "wait": self._wait,
        }  # fmt: skip

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a state."""
        columns, codes, o, t, since = state["sets"]
        self.known, self._wait = bool(state["known"]), int(state["wait"])
        self.columns, self.codes = np.array(columns, np.int32), np.array(codes, np.int64)
        self._o, self._t, self._since = np.array(o, self.kind), np.array(t, self.kind), np.array(since, np.int64)
        self._table = np.array(state["table"], np.float64)
        self._scanned, self._recent, self._fullest = state["sums"]
        self._index()
        self._hold()


class _Nothing:
    """Totals of a search that asks for none."""

    def __init__(self, rows: float, cards: Sequence[int]) -> None:
        self.N = rows
        self.totals = [np.zeros(card) for card in cards]
        self.dependencies: tuple[tuple[int, int], ...] = ()

    def count(self, columns: NDArray[np.int32], codes: NDArray[np.int64]) -> NDArray[Any]:
        return np.zeros(len(columns))


def found_of(levels: list[Level], outliers: int | float, rows: int | float) -> tuple[Found, NDArray[np.int64]]:
    """Return candidates as what a search finds, and the first pane whose rows are counted, for each answer."""
    answers, index, since, at = [], [], [], 0
    for each in levels:
        passing = each.passing.nonzero()[0]
        answers.append(
            Sets(each.columns[passing], each.codes[passing], each.o[passing], each.t[passing], each.value[passing],
                 each.support[passing])
        )  # fmt: skip
        index.append(passing + at)
        since.append(each.since[passing])
        at += len(each.o)
    together = Sets.concat(answers)
    found = Found(
        together, outliers, rows, np.concatenate([each.o for each in levels]),
        np.concatenate([each.t for each in levels]), np.concatenate(index),
        None if len(together) else _closest(levels), [len(each.o) for each in levels], len(levels),
    )  # fmt: skip
    return found, np.concatenate(since)


def _closest(levels: list[Level]) -> Sets | None:
    """Return the best set that missed: the highest value, then the most support, then what was found first."""
    best: tuple[float, float] | None = None
    found = None
    for each in levels:
        if not len(each.o) or np.isnan(top := np.fmax.reduce(each.value)):
            continue
        at = (each.value == top).nonzero()[0]
        row = at[[np.argmax(each.support[at])]]
        figures = float(top), float(each.support[row[0]])
        if best is None or figures > best:
            best = figures
            found = Sets(each.columns[row], each.codes[row], each.o[row], each.t[row], each.value[row],
                         each.support[row])  # fmt: skip
    return found


def _places(numbers: NDArray[np.uint64]) -> NDArray[np.int64]:
    return (numbers & np.uint64(PLACES - 1)).astype(np.int64)


def _same(
    columns: NDArray[np.int32], codes: NDArray[np.int64], others: NDArray[np.int32], their_codes: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Return which rows are the same sets, whatever they are padded to."""
    k = min(columns.shape[1], others.shape[1])
    same = (columns[:, :k] == others[:, :k]).all(axis=1) & (codes[:, :k] == their_codes[:, :k]).all(axis=1)
    for each in (columns, others):
        same &= (each[:, k:] < 0).all(axis=1)
    return np.asarray(same)
