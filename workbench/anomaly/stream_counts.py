"""Counts of a stream that fades: totals of values, totals of sets that were asked for, and the codes of live panes."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.anomaly import loading, sketch
from workbench.anomaly.counting import rows_of
from workbench.anomaly.stream_search import Tracker
from workbench.anomaly.stream_sets import Coded, Counted, PaneRows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.anomaly.sets import Rules

__all__ = ["FORGOTTEN", "FadingCounts"]

#: panes that weigh less are forgotten
FORGOTTEN = 2.0**-20
#: a set that has not been asked for in so many panes is no longer counted on
PATIENCE = 16


class FadingCounts:
    """Totals over the live panes, pane p weighted by (1 - decay) to the power of its age.

    Totals of values are arrays, one a column; one that would take more than its share of the memory becomes a sketch,
    whose counts may be too high by `error_bound`. Totals of sets are kept from the first time they are asked for, and
    counted back over the panes whose codes are still there. All sums are in units of a pane that grows lighter, so that
    fading costs nothing.

    Parameters
    ----------
    columns : int
    decay : float
    memory : int
        Bytes; half of it for totals, half for codes.
    rules : Rules, optional
        Of the search, which is then carried on from pane to pane.
    """

    def __init__(self, columns: int, decay: float, memory: int, rules: Rules | None = None) -> None:
        self.decay, self.memory = decay, memory
        self.number = -1
        self.cards = [0] * columns
        self.panes: deque[PaneRows] = deque()
        self._type: Any = np.float64 if decay else np.int64
        self._weight = 1.0  # of a row of the present pane, in the units of the sums
        self._rows: int | float = 0
        #: outlier rows of the live panes, in the units of the sums
        self.outlier_sum: int | float = 0
        self._held = 0  # bytes of codes
        self._dense: list[NDArray[Any] | sketch.Counter] = [np.zeros(0, self._type) for _ in range(columns)]
        # of sets: position by key, and arrays by position
        self._place: dict[bytes, int] = {}
        self._columns, self._codes = np.empty((0, 1), np.int32), np.empty((0, 1), np.int64)
        self._totals: NDArray[Any] = np.zeros(0, self._type)
        self._since = np.zeros(0, np.int64)
        self._asked = np.zeros(0, np.int64)
        self._counted: Counted | None = None
        self.tracker = None if rules is None else Tracker(rules, columns, self._type)

    # ------------------------------------------------------------------------------------------- what the search asks

    @property
    def N(self) -> int | float:
        """Rows in all, or their weight."""
        return self.true(self._rows)

    @property
    def dependencies(self) -> Sequence[tuple[int, int]]:
        """None are known."""
        return ()

    @property
    def totals(self) -> Sequence[NDArray[Any]]:
        """For each column the rows of each code, or their weight."""
        return [
            self.settled(self.true(each[:card]), self.N)
            if isinstance(each, np.ndarray)
            else each.estimate(np.arange(card)) / self._weight
            for each, card in zip(self._dense, self.cards, strict=True)
        ]

    def count(self, columns: NDArray[np.int32], codes: NDArray[np.int64]) -> NDArray[Any]:
        """Return the rows of each set, or their weight; of new sets those that are still known."""
        places = self._places(columns, codes)
        self._asked[places] = self.number
        return np.asarray(self.settled(self.true(self._totals[places]), self.N))

    def of_values(self, columns: NDArray[np.int32], codes: NDArray[np.int64]) -> NDArray[Any]:
        """Return the rows of single values, or their weight."""
        sums = np.zeros(len(columns), self._type)
        for c, held in enumerate(self._dense):
            mine = columns == c
            if isinstance(held, sketch.Counter):
                sums[mine] = held.estimate(codes[mine]) if self.decay else np.rint(held.estimate(codes[mine]))
            else:
                sums[mine] = held[codes[mine]]
        return np.asarray(self.settled(self.true(sums), self.N))

    def outliers_in(self, columns: NDArray[np.int32], codes: NDArray[np.int64]) -> NDArray[Any]:
        """Return how many live outliers are in each of some sets, in the units of the sums."""
        found = np.zeros(len(columns), self._type)
        arrays, weights, _ = self.outliers()
        n = len(arrays[0])
        step = max(1, (1 << 20) // max(n, 1))
        for begin in range(0, len(columns) if n else 0, step):
            mine = slice(begin, begin + step)
            inside: NDArray[np.bool_] = np.ones((len(columns[mine]), n), bool)
            for c, array in enumerate(arrays):
                set_at, place = (columns[mine] == c).nonzero()
                inside[set_at] &= array == codes[mine][set_at, place][:, None].astype(np.uint32)
            found[mine] = np.count_nonzero(inside, axis=1) if weights is None else inside @ weights
        return np.asarray(self.in_units(found))

    def unit_weight(self, number: int) -> float:
        """Return what a row of a live pane weighs, in the units of the sums."""
        return self._weight * self._age_weight(number)

    def counted_back(self, sets: Counted) -> tuple[NDArray[Any], int]:
        """Return the sums of sets over all panes whose codes are there, and the first of these panes."""
        sums, since = np.zeros(len(sets), self._type), self.number + 1
        for pane in self.panes:
            if pane.rows is not None:
                counted = sets.count(pane.rows, self.cards)
                sums += counted * self.unit_weight(pane.number) if self.decay else counted
                since = min(since, pane.number)
        return sums, since

    def since(self, columns: NDArray[np.int32], codes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the first pane whose rows are counted, for each set; of single values all live panes are."""
        first = self.panes[0].number if self.panes else 0
        found = np.full(len(columns), first, np.int64)
        larger = np.flatnonzero(np.count_nonzero(columns >= 0, axis=1) > 1)
        if len(larger):
            found[larger] = np.maximum(first, self._since[self._places(columns[larger], codes[larger])])
        return found

    @property
    def error_bound(self) -> float:
        """By how much totals of values may be too high; 0 while they are exact."""
        bounds = [each.error_bound for each in self._dense if isinstance(each, sketch.Counter)]
        return max(bounds, default=0.0) / self._weight

    # ------------------------------------------------------------------------------------------------------ the units

    @property
    def pane_weight(self) -> int | float:
        """What a row of the present pane adds to a sum."""
        return self._weight if self.decay else 1

    def in_units(self, counts: Any) -> Any:
        """Return counts, or true weights, in the units of the sums."""
        return counts * self._weight if self.decay else counts

    def true(self, sums: Any) -> Any:
        """Return sums as counts, or weights."""
        return sums / self._weight if self.decay else sums

    def settled(self, sums: Any, whole: Any) -> Any:
        """Return weights, those that differ from a whole by less than any live row weighs being the whole: rounding
        must not leave rows outside a set in which all rows are.
        """
        return np.where(np.abs(whole - sums) < FORGOTTEN / 2, whole, sums) if self.decay else sums

    # ------------------------------------------------------------------------------------------------------ the panes

    def add(
        self,
        number: int,
        codes: list[NDArray[Any]],
        cards: Sequence[int],
        flags: NDArray[np.bool_],
        values: Sequence[NDArray[np.int64] | None] | None = None,
    ) -> None:
        """Take a pane.

        Parameters
        ----------
        number : int
            Greater than all before.
        codes : list of uint32 arrays (n,)
        cards : sequence of int
            How many codes each column has by now.
        flags : bool (n,)
            Which rows are outliers.
        values : sequence of int64 arrays, optional
            How many rows have each code, of the columns for which that is known.
        """
        if self.number >= 0 and self.decay:
            self._weight /= (1.0 - self.decay) ** (number - self.number)
        self.number, self.cards = number, list(cards)
        if not self.panes and self._rows == 0:
            self._weight = 1.0
        n = len(flags)
        chosen = np.flatnonzero(flags)
        marked = np.empty((len(codes), len(chosen)), np.uint32)
        for c, each in enumerate(codes):
            marked[c] = each[chosen]
        pane = PaneRows(number, marked, n, Coded(codes))
        self.panes.append(pane)
        self._held += pane.nbytes
        self._rows += self.in_units(n)
        self.outlier_sum += self.in_units(len(chosen))
        assert pane.rows is not None
        rows = rows_of(pane.rows.columns, self.cards, loading.kernels(n)) if codes else None
        for c, array in enumerate(codes):
            known = None if values is None else values[c]
            self._count_values(c, array, 1, 1.0, known if known is not None or rows is None else rows.histogram(c))
        if len(self._totals):
            self._totals = self._totals + self.in_units(self._sets().count(pane.rows, self.cards))
        if self.tracker is not None:
            self.tracker.add(self, pane)
        self._forget()
        self._fit_memory()
        if self._weight > 1e100:
            self._rescale()

    def outliers(self) -> tuple[list[NDArray[Any]], NDArray[np.float64] | None, NDArray[np.int64]]:
        """Return codes of all live outlier rows, their weights (None where all weigh 1), and their panes."""
        every = [pane.codes for pane in self.panes] or [np.zeros((len(self.cards), 0), np.uint32)]
        columns = list(np.concatenate(every, axis=1))
        counts = [pane.outliers.n for pane in self.panes]
        numbers = np.repeat([pane.number for pane in self.panes], counts).astype(np.int64)
        weights = (1.0 - self.decay) ** (self.number - numbers).astype(np.float64) if self.decay else None
        return columns, weights, numbers

    def rows_since(self, first: int) -> int | float:
        """Return the rows of the live panes from one on, or their weight."""
        return sum(pane.n * self._age_weight(pane.number) for pane in self.panes if pane.number >= first)

    # --------------------------------------------------------------------------------------------------------- private

    def _age_weight(self, number: int) -> float | int:
        return (1.0 - self.decay) ** (self.number - number) if self.decay else 1

    def _count_values(
        self, c: int, codes: NDArray[Any], sign: int, share: float = 1.0, counted: NDArray[np.int64] | None = None
    ) -> None:
        held = self._dense[c]
        if isinstance(held, sketch.Counter):
            if sign > 0:
                items, counts = np.unique(codes, return_counts=True)
                held.add(items.astype(np.int64), np.asarray(counts * self._weight, np.float64))
            return
        card = self.cards[c]
        if card > len(held):
            room = max(card, 2 * len(held))
            if room * 8 > self.memory // 2 // len(self.cards):
                self._dense[c] = self._sketched(held)
                self._count_values(c, codes, sign, share)  # by the sketch
                return
            held = self._dense[c] = np.concatenate([held, np.zeros(room - len(held), self._type)])
        if counted is None:
            counted = np.bincount(codes, minlength=card)
        held[:card] += sign * (counted * (self._weight * share) if self.decay else counted)

    def _sketched(self, held: NDArray[Any]) -> sketch.Counter:
        made = sketch.Counter(max(16, self.memory // 2 // len(self.cards) // 64))
        some = np.flatnonzero(held > 0)
        made.add(some, held[some].astype(np.float64))
        return made

    def _places(self, columns: NDArray[np.int32], codes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the positions of sets; those that are new are counted back first."""
        keys = _keys(columns, codes)
        places = [self._place.get(key, -1) for key in keys]
        new = [at for at, place in enumerate(places) if place < 0]
        if new:
            begin = len(self._totals)
            self._track(columns[new], codes[new])
            for at, row in enumerate(new):
                places[row] = self._place[keys[row]] = begin + at
        return np.array(places, np.int64)

    def _track(self, columns: NDArray[np.int32], codes: NDArray[np.int64]) -> None:
        totals, since = self.counted_back(Counted(columns, codes, len(self.cards)))
        width = max(self._columns.shape[1], columns.shape[1])
        self._columns = np.concatenate([_padded(self._columns, width), _padded(columns, width)])
        self._codes = np.concatenate([_padded(self._codes, width), _padded(codes, width)])
        self._totals = np.concatenate([self._totals, totals])
        self._since = np.concatenate([self._since, np.full(len(columns), since, np.int64)])
        self._asked = np.concatenate([self._asked, np.full(len(columns), self.number, np.int64)])
        self._counted = None

    def _sets(self) -> Counted:
        """Return the sets that were asked for, ready to be counted."""
        if self._counted is None:
            self._counted = Counted(self._columns, self._codes, len(self.cards))
        return self._counted

    def _forget(self) -> None:
        """Drop panes that weigh next to nothing, and sets that nobody asks for."""
        while self.decay and self.panes and self._age_weight(self.panes[0].number) < FORGOTTEN:
            pane = self.panes.popleft()
            share = float(self._age_weight(pane.number))
            self._held -= pane.nbytes
            self._rows -= pane.n * self._weight * share
            self.outlier_sum -= pane.outliers.n * self._weight * share
            if self.tracker is not None:
                self.tracker.forget(self, pane, self._weight * share)
            if pane.rows is not None:
                for c, codes in enumerate(pane.rows.columns):
                    self._count_values(c, codes, -1, share)
                if len(self._totals):
                    counted = self._sets().count(pane.rows, self.cards)
                    self._totals -= np.where(self._since <= pane.number, counted * self._weight * share, 0.0)
        stale = self._asked < self.number - PATIENCE
        if np.count_nonzero(stale) > max(64, len(stale) // 2):
            kept = np.flatnonzero(~stale)
            self._columns, self._codes = self._columns[kept], self._codes[kept]
            self._totals, self._since, self._asked = self._totals[kept], self._since[kept], self._asked[kept]
            self._place = {key: at for at, key in enumerate(_keys(self._columns, self._codes))}
            self._counted = None

    def _fit_memory(self) -> None:
        if self._held <= self.memory // 2:
            return
        for pane in self.panes:
            if self._held <= self.memory // 2:
                break
            self._held -= pane.nbytes
            pane.rows, pane.nbytes = None, 0

    def _rescale(self) -> None:
        by = self._weight
        self._rows /= by
        self.outlier_sum /= by
        if self.tracker is not None:
            self.tracker.rescale(by)
        self._totals = self._totals / by
        for each in self._dense:
            if isinstance(each, sketch.Counter):
                each.fade(1.0 / by)
            else:
                each /= by
        self._weight = 1.0

    # ------------------------------------------------------------------------------------------------------ checkpoint

    def state(self) -> dict[str, Any]:
        """Return all there is to know, as arrays and plain data."""
        return {
            "decay": self.decay, "memory": self.memory, "number": self.number, "cards": self.cards,
            "weight": self._weight, "rows": self._rows, "outliers": self.outlier_sum,
            "dense": [each if isinstance(each, np.ndarray) else each.state() for each in self._dense],
            "sets": [self._columns, self._codes, self._totals, self._since, self._asked],
            "tracker": None if self.tracker is None else self.tracker.state(),
            "panes": [
                [pane.number, pane.n, pane.codes, None if pane.rows is None else pane.rows.columns]
                for pane in self.panes
            ],
        }  # fmt: skip

    @classmethod
    def from_state(cls, state: Mapping[str, Any], rules: Rules | None = None) -> FadingCounts:
        """Return the counts that gave a state."""
        made = cls(len(state["cards"]), float(state["decay"]), int(state["memory"]), rules)
        made.number, made.cards = int(state["number"]), [int(card) for card in state["cards"]]
        made._weight, made._rows = float(state["weight"]), state["rows"]
        made._dense = [
            sketch.Counter.from_state(each) if isinstance(each, Mapping) else np.array(each, made._type)
            for each in state["dense"]
        ]
        columns, codes, totals, since, asked = state["sets"]
        made._columns, made._codes = np.array(columns, np.int32), np.array(codes, np.int64)
        made._totals, made._since = np.array(totals, made._type), np.array(since, np.int64)
        made._asked = np.array(asked, np.int64)
        made._place = {key: at for at, key in enumerate(_keys(made._columns, made._codes))}
        made.panes = deque(
            PaneRows(int(number), codes, int(n), None if rows is None else Coded(rows))
            for number, n, codes, rows in state["panes"]
        )
        made._held = sum(pane.nbytes for pane in made.panes)
        made.outlier_sum = state["outliers"]
        if made.tracker is not None:
            made.tracker.restore(state["tracker"])
        return made


def _keys(columns: NDArray[np.int32], codes: NDArray[np.int64]) -> list[bytes]:
    """Return what tells sets apart, whatever they are padded to."""
    sizes = np.count_nonzero(columns >= 0, axis=1).tolist()
    pairs = np.stack([columns.astype(np.int64), codes], axis=2)
    return [pairs[row, :size].tobytes() for row, size in enumerate(sizes)]


def _padded(array: NDArray[Any], width: int) -> NDArray[Any]:
    if array.shape[1] == width:
        return array
    return np.pad(array, ((0, 0), (0, width - array.shape[1])), constant_values=-1)
