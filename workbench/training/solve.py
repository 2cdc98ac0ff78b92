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

#: states for each node up to which blocks are left out: with many branches, those of a block have little in common
_NARROW = 2

#: states that are looked at for a bound of a span's time, and what is left to rounding where it is used
_SAMPLE, _SLACK = 40, 1e-9

#: in place of the state before a segment: it begins its span, or it is that of one unit less
_BEGINS, _FEWER = -1, -2

#: rows of a table of candidates that are worked on at once, or left out at once
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

    def last(self, starts: _Ints, end: int, place: Place, largest: int | None = None) -> Callable[[range], _Floats]:
        """Return a function from units used to the seconds of the segments that come last of several.

        By units used, replicas at the end (1, 2, …; up to `largest`) and start; without a limit on memory, the same
        for all units used.
        """
        most = 1 if self.straight else min(self.count - 1, largest or self.count)
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
        blocks = -(-size // _ROWS)
        # ends are padded to whole blocks; of each block the least time is kept, by the units used and the start
        best = np.full((self.count + 1, blocks * _ROWS, size), np.inf)
        floor = np.full((self.count + 1, blocks, size), np.inf)
        scratch = np.empty((_ROWS, size))
        narrow = size < _NARROW * len(states.graph.names)
        for end in range(size):
            before = np.flatnonzero(states.inside(end))
            starts = np.concatenate(([0], before + 1))
            best[1:, end, starts] = self.first(starts, end, place).reshape(self.count, -1)
            last = self.last(starts[1:], end, place)
            height = end // _ROWS + 1
            segments = np.full(height * _ROWS, np.inf)
            for used in range(1, self.count + 1):
                row = best[used, end]
                if self.fewer:
                    np.minimum(row, best[used - 1, end], out=row)
                if used > 1 and len(before):
                    for replicas, seconds in enumerate(last(range(used, used + 1))[0], 1):
                        left = used - replicas
                        if not narrow:
                            _lower_by_all(row, best[left], before, seconds, scratch)
                            continue
                        segments[before] = seconds
                        _lower(row, best[left], floor[left, :height], segments.reshape(height, _ROWS), scratch)
                floor[used, height - 1] = np.minimum(floor[used, height - 1], row)
        return best[self.count, :size]

    def solve(self, start: int, end: int, place: Place) -> tuple[float, list[tuple[int, int, int, int]]]:
        """Return the best time of one span, and its segments: start, end, replicas and units after them.

        Of equal times: fewer segments, then the earliest cut, then the fewest replicas of the last one. There is no
        segment if none fit.
        """
        states = self.costs.states
        reached = states.inside(end)
        found = [state for state in range(start, end) if reached[state]]
        if start:
            found = [state for state in found if states.inside(state)[start - 1]]
        visited = np.array([*found, end])
        bound = np.inf
        if len(visited) > 2 * _SAMPLE and self.count > 2:
            # a plan that is cut at few of the states takes no less than the best one, and not much more
            few = np.unique(np.linspace(0, len(visited) - 1, _SAMPLE).astype(np.int64))
            bound = self._search(start, visited[few], place, np.inf)[0]
        return self._search(start, visited, place, bound * (1 + _SLACK))

    def _search(
        self, start: int, visited: _Ints, place: Place, bound: float
    ) -> tuple[float, list[tuple[int, int, int, int]]]:
        """Solve one span over the states that are visited, its end last; what takes more than `bound` is left out.

        Units compute no more than `bound` each: from that follows how many have to be used up to a state, and how many
        after it.
        """
        states, count, end = self.costs.states, self.count, int(visited[-1])
        compute = self.costs.compute[1 : end + 2] - self.costs.compute[start]
        # without a bound one unit could do it all
        share = bound * self.unit if 0 < bound < np.inf else float(compute.max()) + 1.0
        fewest = np.maximum(np.ceil(compute / share - _SLACK), 1).astype(np.int64)
        most = count - np.ceil((compute[-1] - compute) / share - _SLACK).astype(np.int64)
        open_ = np.zeros(end + 1, dtype=bool)
        open_[visited] = (fewest <= most)[visited]
        # row m: with m units used; row 0 stands for what cannot be
        best = np.full((count + 1, end + 1), np.inf)
        depth = np.zeros((count + 1, end + 1), dtype=np.int64)
        cut = np.full((count + 1, end + 1), _BEGINS, dtype=np.int64)
        replicas = np.zeros((count + 1, end + 1), dtype=np.int64)
        begin = np.array([start])
        for state in np.flatnonzero(open_).tolist():
            cuts = start + np.flatnonzero(states.inside(state)[start:] & open_[start:state])
            room = most[state] - fewest[cuts]
            cuts = cuts[(room > 0) & (compute[state] - compute[cuts] <= room * share * (1 + _SLACK))]
            least = self.first(begin, state, place)
            deep, source, number = np.ones(count, dtype=np.int64), np.full(count, _BEGINS), np.arange(1, count + 1)
            if len(cuts):
                span = range(max(2, int(fewest[state])), int(most[state]) + 1)
                largest = int(most[state] - fewest[cuts].min())
                self._last_of_several(best, depth, state, cuts, place, span, largest, (least, deep, source, number))
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
        units: range,
        largest: int,
        cell: tuple[_Floats, _Ints, _Ints, _Ints],
    ) -> None:
        """Put into `cell`, one entry for each number of units used, what is better than a single segment.

        Of these numbers `units` are looked at, and last segments on at most `largest` of them.
        """
        least, deep, source, number = cell
        last = self.last(cuts + 1, state, place, largest)
        for top in range(0, len(units), _UNITS):
            # the numbers of units used that are worked on at once
            span = units[top : top + _UNITS]
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


def _lower(row: _Floats, table: _Floats, floor: _Floats, segments: _Floats, scratch: _Floats) -> None:
    """Lower the times of the spans to one end, by start, to those with a last segment: the best cut of each.

    Parameters
    ----------
    row : array
        Of each start; changed.
    table : array
        Times of what is before the last segment, by cut and start.
    floor : array
        The least of these in each block of cuts.
    segments : array, shape (blocks, cuts of a block)
        Seconds of the last segments, by cut.
    scratch : array
    """
    least = np.maximum(floor, segments.min(axis=1)[:, None])
    for block in np.flatnonzero((least < row).any(axis=1)).tolist():
        starts = np.flatnonzero(least[block] < row)
        if len(starts):
            some = slice(int(starts[0]), int(starts[-1]) + 1)
            within = scratch[:, : some.stop - some.start]
            np.maximum(table[block * _ROWS : (block + 1) * _ROWS, some], segments[block][:, None], out=within)
            np.minimum(row[some], within.min(axis=0), out=row[some])


def _lower_by_all(row: _Floats, table: _Floats, cuts: _Ints, segments: _Floats, scratch: _Floats) -> None:
    """Do what `_lower` does, with all cuts; `segments` has the seconds of these alone."""
    for top in range(0, len(cuts), _ROWS):
        some = cuts[top : top + _ROWS]
        # spans that start after the cut have no part in it
        first, width = int(some[0]), int(some[-1]) + 1
        within = scratch[: len(some), :width]
        rows = table[first:width, :width] if width - first == len(some) else table[some, :width]
        np.maximum(rows, segments[top : top + _ROWS, None], out=within)
        np.minimum(row[:width], within.min(axis=0), out=row[:width])


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
