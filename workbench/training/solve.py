"""The search for the best cuts: an exact dynamic program over states, machines and levels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from workbench.training.cluster import Cluster
from workbench.training.costs import Costs, Place

__all__ = ["Cut", "best_cuts"]

#: times that differ by less, relatively, are equal
TIE = 1e-12

#: rows of a table of candidates that are worked on at once, so that they stay in the processor's cache
_ROWS = 24

_Floats = np.ndarray[Any, np.dtype[np.float64]]


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
        For each level, innermost first: start and end of the segment it belongs to, and whether that is all of its
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
class _Level:
    """One level of the cluster: `count` units, each of them solved by the level below."""

    costs: Costs
    count: int
    bandwidth: float
    straight: bool
    fewer: bool
    below: _Level | None
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
        """What PipeDream divides the all-reduce of a whole span by: the count of the level below."""
        return 1 if self.below is None else self.below.count

    def within(self, place: Place, after: int, replicas: int) -> Place:
        """Return the place of what is inside a segment; all the same where nothing goes by it."""
        return Place() if self.costs.memory is None or self.costs.compat else place.inside(after, replicas, self.unit)

    def segments(self, end: int, replicas: int, after: int, place: Place, valid: Any, *, whole: bool) -> _Floats:
        """Return seconds of the segments from every start to one end; infinite where there is none."""
        costs = self.costs
        starts = np.arange(end + 1)
        if self.below is None:
            compute = costs.compute[end + 1] - costs.compute[: end + 1]
        else:
            compute = self.below.table(self.within(place, after, replicas))[end, : end + 1]
        found = costs.time(compute, starts, end, replicas, self.bandwidth, self.divisor, whole=whole)
        found = np.where(valid, found, np.inf)
        if costs.memory is not None and (self.below is None or costs.compat):
            found[costs.too_large(starts, end, place, after, replicas)] = np.inf
        return found

    def candidates(self, end: int, place: Place, valid: Any) -> _Candidates:
        """Return the costs of all segments that end at one state."""
        return _Candidates(self, end, place, valid)

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
            valid = _starts(states.inside(end))
            candidates = self.candidates(end, place, valid)
            for used in range(1, self.count + 1):
                row = best[used, end]
                row[: end + 1] = candidates.whole(used)
                if self.fewer:
                    np.minimum(row, best[used - 1, end], out=row)
                for replicas, seconds in enumerate(candidates.last(used), 1):
                    before = best[used - replicas]
                    for top in range(0, end, _ROWS):
                        # spans that start after the cut have no part in it
                        bottom = min(top + _ROWS, end)
                        block = scratch[: bottom - top, :bottom]
                        np.maximum(before[top:bottom, :bottom], seconds[top + 1 : bottom + 1, None], out=block)
                        np.minimum(row[:bottom], block.min(axis=0), out=row[:bottom])
        return best[self.count]

    def solve(self, start: int, end: int, place: Place) -> tuple[float, list[tuple[int, int, int, int]]]:
        """Return the best time of one span, and its segments: start, end, replicas and units after them.

        Of equal times: fewer segments, then the earliest cut, then the fewest replicas of the last one.
        """
        states = self.costs.states
        size = end + 1
        best = np.full((self.count + 1, size), np.inf)
        depth = np.zeros((self.count + 1, size), dtype=np.int64)
        origin: dict[tuple[int, int], tuple[int, int]] = {}
        inside = states.inside(end)
        for state in range(start, size):
            if state != end and not inside[state]:
                continue
            valid = _starts(states.inside(state))
            if not valid[start]:
                continue
            candidates = self.candidates(state, place, valid)
            for used in range(1, self.count + 1):
                cell = (state, used)
                best[used, state] = candidates.whole(used)[start]
                depth[used, state] = 1
                origin[cell] = (-1, used)
                if self.fewer and best[used - 1, state] < best[used, state]:
                    best[used, state], depth[used, state] = best[used - 1, state], depth[used - 1, state]
                    origin[cell] = (-2, 0)
                seconds = candidates.last(used)[:, start + 1 :]
                if not seconds.size:
                    continue
                replicas = len(seconds)
                before = best[used - replicas : used, start:state][::-1]
                found = np.maximum(before, seconds)
                least = min(float(found.min()), float(best[used, state]))
                if least == np.inf:
                    continue
                near = np.flatnonzero(found <= least * (1 + TIE))
                if not near.size:
                    continue
                rows, columns = np.divmod(near, state - start)
                deep = depth[used - 1 - rows, start + columns] + 1
                chosen = np.lexsort((rows, columns, deep))[0]
                kept = best[used, state] <= least * (1 + TIE)
                if kept and depth[used, state] <= deep[chosen]:
                    best[used, state] = least
                    continue
                best[used, state], depth[used, state] = least, deep[chosen]
                origin[cell] = (start + int(columns[chosen]), int(rows[chosen]) + 1)
        return float(best[self.count, end]), self._back(origin, start, end)

    def _back(
        self, origin: dict[tuple[int, int], tuple[int, int]], start: int, end: int
    ) -> list[tuple[int, int, int, int]]:
        found = []
        state, used = end, self.count
        while (state, used) in origin:
            before, replicas = origin[state, used]
            if before == -2:
                used -= 1
                continue
            first = start if before == -1 else before + 1
            found.append((first, state, replicas, self.count - used))
            if before == -1:
                break
            state, used = before, used - replicas
        return found[::-1]

    def cuts(self, start: int, end: int, place: Place) -> list[Cut]:
        """Return the stages of the best solution of one span, cut down to single machines."""
        segments = self.solve(start, end, place)[1]
        found = []
        for first, last, replicas, after in segments:
            whole = len(segments) == 1
            outer = (first, last, whole)
            if self.below is None:
                found.append(Cut(first, last, (replicas,), (outer,), place, after))
                continue
            # the true place, also where no memory is asked for: stages say what they hold
            for cut in self.below.cuts(first, last, place.inside(after, replicas, self.unit)):
                found.append(
                    Cut(cut.start, cut.end, (*cut.machines, replicas), (*cut.outer, outer), cut.place, cut.after)
                )
        return found


class _Candidates:
    """Costs of all segments that end at one state, computed once for each number of machines that matters."""

    def __init__(self, level: _Level, end: int, place: Place, valid: Any) -> None:
        self.level, self.end, self.place, self.valid = level, end, place, valid
        self.rows: list[_Floats] | None = None

    def whole(self, used: int) -> _Floats:
        """Return seconds of the segments that are all of their span, on all units used."""
        level = self.level
        if level.straight and used > 1:
            return np.full(self.end + 1, np.inf)
        return level.segments(self.end, used, level.count - used, self.place, self.valid, whole=True)

    def last(self, used: int) -> _Floats:
        """Return seconds of the segments that come last of several, on 1, 2, … of the units used."""
        level = self.level
        most = min(used - 1, 1) if level.straight else used - 1
        if level.costs.memory is not None:
            rows = [self._row(replicas, level.count - used) for replicas in range(1, most + 1)]
            return np.array(rows).reshape(most, self.end + 1)
        if self.rows is None:
            self.rows = [self._row(replicas, 0) for replicas in range(1, 2 if level.straight else level.count)]
            self.table = np.array(self.rows).reshape(len(self.rows), self.end + 1)
        return self.table[:most]

    def _row(self, replicas: int, after: int) -> _Floats:
        return self.level.segments(self.end, replicas, after, self.place, self.valid, whole=False)


def best_cuts(costs: Costs, cluster: Cluster, *, straight: bool = False, fewer: bool = False) -> list[Cut]:
    """Return the stages of the best plan, or none if no plan fits."""
    return _top(costs, cluster, straight, fewer).cuts(0, len(costs.states) - 1, Place())


def _top(costs: Costs, cluster: Cluster, straight: bool, fewer: bool) -> _Level:
    level: _Level | None = None
    for count, bandwidth in zip(cluster.machines, cluster.bandwidth, strict=True):
        level = _Level(costs, count, bandwidth, straight, fewer, level)
    assert level is not None
    return level


def _starts(inside: np.ndarray[Any, np.dtype[np.bool_]]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return which starts a segment may have: the beginning, and after each state inside its end."""
    return np.concatenate(([True], inside))
