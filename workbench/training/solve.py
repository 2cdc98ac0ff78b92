"""The search for the best cuts: an exact dynamic program over states, machines and levels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from workbench.training.cluster import Cluster
from workbench.training.costs import Costs, Place

__all__ = ["Cut", "Level", "best_cuts", "top_level"]

#: times that differ by less, relatively, are equal
TIE = 1e-12

#: how many numbers of units are worked on at once: more are fewer steps, but half of their candidates cannot be
_UNITS = 4

#: in place of the state before a segment: it begins its span, or it is that of one unit less
_BEGINS, _FEWER = -1, -2

#: rows of a table of candidates that are worked on at once, so that they stay in the processor's cache
_ROWS = 24

_Floats = np.ndarray[Any, np.dtype[np.float64]]
_Ints = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Cut:
    """One stage of a solution.

    Attributes
    ----------
    start, end : int
        States: from after `start` - 1 up to `end`.
    machines : tuple of int
        Replicas of each level, innermost first.
    outer : tuple of (int, int, bool)
        For each level, innermost first: start and end of the segment it belongs to, and whether that begins its
        span.
    place : Place
    after : int
        Machines of the innermost level after it in its span.
    """

    start: int
    end: int
    machines: tuple[int, ...]
    outer: tuple[tuple[int, int, bool], ...]
    place: Place
    after: int


@dataclass
class Level:
    """One level of the cluster: `count` units, each of them solved by the level below."""

    costs: Costs
    count: int
    bandwidth: float
    straight: bool
    fewer: bool
    below: Level | None
    tables: dict[Place, _Floats] = field(default_factory=dict)

    @property
    def machines(self) -> int:
        """Machines in all units."""
        return self.count * self.unit

    @property
    def unit(self) -> int:
        """Machines in one unit."""
        return 1 if self.below is None else self.below.machines

    @property
    def divisor(self) -> int:
        """What PipeDream divides the all-reduce of a first segment by: the count of the level below."""
        return 1 if self.below is None else self.below.count

    @property
    def free(self) -> bool:
        """Whether what is inside a segment does not hang on what is around it."""
        return self.costs.memory is None or self.costs.compat

    def segments(self, starts: Any, end: int, replicas: Any, after: Any, place: Place, *, begins: bool) -> _Floats:
        """Return seconds of the segments from some starts to one end; infinite where they do not fit.

        Parameters
        ----------
        starts : array of int
        end : int
        replicas, after : int or array of int, shape (n, 1)
            Units of the segment, and after it. Several at once only if what is inside does not hang on them.
        place : Place
        begins : bool
            Whether the segment begins its span.
        """
        costs = self.costs
        if self.below is None:
            compute = costs.compute[end + 1] - costs.compute[starts]
        else:
            within = Place() if self.free else place.inside(after, replicas, self.unit)
            compute = self.below.table(within)[end, starts]
        found = costs.time(compute, starts, end, replicas, self.bandwidth, self.divisor, begins=begins)
        if costs.memory is not None and (self.below is None or costs.compat):
            found = np.where(costs.too_large(starts, end, place, after, replicas), np.inf, found)
        return np.asarray(found)

    def first(self, starts: _Ints, end: int, place: Place) -> _Floats:
        """Return seconds of the segments that begin their span, on 1, 2, … units; one row each, flat for one start."""
        most = 1 if self.straight else self.count
        found = np.full((self.count, len(starts)), np.inf)
        if self.free or self.below is None:
            counts = np.arange(1, most + 1)[:, None]
            found[:most] = self.segments(starts, end, counts, self.count - counts, place, begins=True)
        else:
            for used in range(1, most + 1):
                found[used - 1] = self.segments(starts, end, used, self.count - used, place, begins=True)
        return found[:, 0] if len(starts) == 1 else found

    def last(self, starts: _Ints, end: int, place: Place) -> Callable[[range], _Floats]:
        """Return a function from units used to the seconds of the segments that come last of several.

        By units used, replicas at the end (1, 2, …) and start; without a limit on memory, the same for all units used.
        """
        most = 1 if self.straight else self.count - 1
        if self.costs.memory is None:
            counts = np.arange(1, most + 1)[:, None]
            table = self.segments(starts, end, counts, 0, place, begins=False)[None]
            return lambda used: table[:, : used[-1] - 1]

        def limited(used: range) -> _Floats:
            found = np.full((len(used), min(most, used[-1] - 1), len(starts)), np.inf)
            for row, units in enumerate(used):
                after = self.count - units
                counts = np.arange(1, min(most, units - 1) + 1)
                if self.free or self.below is None:
                    found[row, : len(counts)] = self.segments(starts, end, counts[:, None], after, place, begins=False)
                    continue
                for replicas in counts.tolist():
                    found[row, replicas - 1] = self.segments(starts, end, replicas, after, place, begins=False)
            return found

        return limited

    def table(self, place: Place) -> _Floats:
        """Return the best time on all units: of end j from start i, at [j, i]."""
        if place not in self.tables:
            self.tables[place] = self._all_spans(place)
        return self.tables[place]

    def _all_spans(self, place: Place) -> _Floats:
        states = self.costs.states
        size = len(states)
        best = np.full((self.count + 1, size, size), np.inf)
        scratch = np.empty((_ROWS, size))
        for end in range(size):
            before = np.flatnonzero(states.inside(end))
            starts = np.concatenate(([0], before + 1))
            best[1:, end, starts] = self.first(starts, end, place).reshape(self.count, -1)
            last = self.last(starts[1:], end, place)
            for used in range(1, self.count + 1):
                row = best[used, end]
                if self.fewer:
                    np.minimum(row, best[used - 1, end], out=row)
                if used == 1 or not len(before):
                    continue
                for replicas, seconds in enumerate(last(range(used, used + 1))[0], 1):
                    table = best[used - replicas]
                    for top in range(0, len(before), _ROWS):
                        cuts = before[top : top + _ROWS]
                        # spans that start after the cut have no part in it
                        width = int(cuts[-1]) + 1
                        block = scratch[: len(cuts), :width]
                        dense = width - int(cuts[0]) == len(cuts)
                        rows = table[cuts[0] : width, :width] if dense else table[cuts, :width]
                        np.maximum(rows, seconds[top : top + _ROWS, None], out=block)
                        np.minimum(row[:width], block.min(axis=0), out=row[:width])
        return best[self.count]

    def solve(self, start: int, end: int, place: Place) -> tuple[float, list[tuple[int, int, int, int]]]:
        """Return the best time of one span, and its segments: start, end, replicas and units after them.

        Of equal times: fewer segments, then the earliest cut, then the fewest replicas of the last one. There is no
        segment if none fit.
        """
        states, count = self.costs.states, self.count
        # row m: with m units used; row 0 stands for what cannot be
        best = np.full((count + 1, end + 1), np.inf)
        depth = np.zeros((count + 1, end + 1), dtype=np.int64)
        cut = np.full((count + 1, end + 1), _BEGINS, dtype=np.int64)
        replicas = np.zeros((count + 1, end + 1), dtype=np.int64)
        reached = states.inside(end)
        begin = np.array([start])
        for state in range(start, end + 1):
            if state != end and not reached[state]:
                continue
            inside = states.inside(state)
            if start and not inside[start - 1]:
                continue
            cuts = start + np.flatnonzero(inside[start:])
            least = self.first(begin, state, place)
            deep, source, number = np.ones(count, dtype=np.int64), np.full(count, _BEGINS), np.arange(1, count + 1)
            if len(cuts):
                self._last_of_several(best, depth, state, cuts, place, (least, deep, source, number))
            if self.fewer:
                for used in range(1, count):
                    if least[used - 1] < least[used]:
                        least[used], deep[used], source[used] = least[used - 1], deep[used - 1], _FEWER
            best[1:, state], depth[1:, state], cut[1:, state], replicas[1:, state] = least, deep, source, number
        time = float(best[count, end])
        return time, _back(cut, replicas, start, end, count) if time < np.inf else []

    def _last_of_several(
        self,
        best: _Floats,
        depth: _Ints,
        state: int,
        cuts: _Ints,
        place: Place,
        cell: tuple[_Floats, _Ints, _Ints, _Ints],
    ) -> None:
        """Put into `cell`, one entry for each number of units used, what is better than a single segment."""
        least, deep, source, number = cell
        last = self.last(cuts + 1, state, place)
        for top in range(1, self.count, _UNITS):
            # the numbers of units used that are worked on at once
            span = range(top + 1, min(top + _UNITS, self.count) + 1)
            used = np.array(span)
            seconds = last(span)
            left = np.maximum(used[:, None] - np.arange(1, seconds.shape[1] + 1), 0)
            found = np.maximum(best[:, cuts][left], seconds)
            lowest = found.reshape(len(used), -1).min(axis=1)
            better = lowest * (1 + TIE) < least[used - 1]
            if not better.any():
                continue
            which, rows, columns = np.nonzero(found <= np.where(better, lowest * (1 + TIE), -1.0)[:, None, None])
            depths = depth[left[which, rows], cuts[columns]] + 1
            order = (depths * (len(cuts) + 1) + columns) * (self.count + 1) + rows
            groups = np.concatenate(([0], np.flatnonzero(which[1:] != which[:-1]) + 1))
            chosen = np.minimum.reduceat(order, groups)
            place_of = used[which[groups]] - 1
            least[place_of] = lowest[which[groups]]
            rest, number[place_of] = np.divmod(chosen, self.count + 1)
            number[place_of] += 1
            deep[place_of], columns = np.divmod(rest, len(cuts) + 1)
            source[place_of] = cuts[columns]

    def cuts(self, start: int, end: int, place: Place) -> list[Cut]:
        """Return the stages of the best solution of one span, cut down to single machines."""
        segments = self.solve(start, end, place)[1]
        found = []
        for first, last, replicas, after in segments:
            outer = (first, last, first == start)
            if self.below is None:
                found.append(Cut(first, last, (replicas,), (outer,), place, after))
                continue
            # the true place, also where no memory is asked for: stages say what they hold
            for cut in self.below.cuts(first, last, place.inside(after, replicas, self.unit)):
                found.append(
                    Cut(cut.start, cut.end, (*cut.machines, replicas), (*cut.outer, outer), cut.place, cut.after)
                )
        return found


def best_cuts(costs: Costs, cluster: Cluster, *, straight: bool = False, fewer: bool = False) -> list[Cut]:
    """Return the stages of the best plan, or none if no plan fits."""
    return top_level(costs, cluster, straight, fewer).cuts(0, len(costs.states) - 1, Place())


def top_level(costs: Costs, cluster: Cluster, straight: bool, fewer: bool) -> Level:
    """Return the levels of a cluster, linked from the outermost one inwards."""
    level: Level | None = None
    for count, bandwidth in zip(cluster.machines, cluster.bandwidth, strict=True):
        level = Level(costs, count, bandwidth, straight, fewer, level)
    assert level is not None
    return level


def _back(cut: _Ints, replicas: _Ints, start: int, end: int, count: int) -> list[tuple[int, int, int, int]]:
    """Return the segments of a solution, from the state before the last one of each cell."""
    found = []
    state, used = end, count
    while True:
        before, number = int(cut[used, state]), int(replicas[used, state])
        if before == _FEWER:
            used -= 1
            continue
        found.append((start if before == _BEGINS else before + 1, state, number, count - used))
        if before == _BEGINS:
            return found[::-1]
        state, used = before, used - number
