"""Interval algebra on arrays: runs of true rows, joining, duration, intersection, union, and one after another.

All operators take and give spans sorted by binding, start and end, and treat times that differ by at most 1e-6 s as
equal. Spans of a binding may overlap: those of a `sequence` can.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.video.operators.bind import Space
from workbench.video.operators.columns import TIME_TOLERANCE
from workbench.video.tracks import Bools, Floats, Ints

__all__ = [
    "JOIN",
    "Spans",
    "chained",
    "followed",
    "inside",
    "intersection",
    "joined",
    "lasting",
    "places_within",
    "runs",
    "union",
]

#: Runs of true frames that are no further apart become one (seconds).
JOIN = 0.5


@dataclass(frozen=True)
class Spans:
    """Spans of bindings: [start, end), with the first and the last true frame.

    Parameters
    ----------
    binding : ndarray of int64, shape (n,)
    start, end : ndarray of float64, shape (n,)
        Seconds.
    first, last : ndarray of int64, shape (n,)
        Positions in the processed frames.
    """

    binding: Ints
    start: Floats
    end: Floats
    first: Ints
    last: Ints

    def __len__(self) -> int:
        return len(self.binding)

    def take(self, which: NDArray[Any]) -> Spans:
        """Return the spans at these indices, or where a mask is true."""
        return Spans(self.binding[which], self.start[which], self.end[which], self.first[which], self.last[which])

    def of(self, binding: Ints) -> Spans:
        """Return the same spans of other bindings."""
        return Spans(binding, self.start, self.end, self.first, self.last)

    def sorted(self) -> Spans:
        """Return the spans in order, those that are equal in all once."""
        order = np.lexsort((self.last, self.first, self.end, self.start, self.binding))
        spans = self.take(order)
        parts = (spans.binding, spans.start, spans.end, spans.first, spans.last)
        same = np.logical_and.reduce([part[1:] == part[:-1] for part in parts])
        return spans.take(np.append(True, ~same)[: len(spans)])


def _places(*times: Floats) -> list[Ints]:
    """Return the place of each time among all: whole numbers, so that keys of (binding, time) are exact."""
    _, place = np.unique(np.concatenate(times), return_inverse=True)
    return np.split(place.astype(np.int64), np.cumsum([len(part) for part in times])[:-1])


def _running_end(spans: Spans) -> tuple[Ints, Ints]:
    """Return for each span the place of the furthest end so far within its binding, and the span that has it."""
    (place,) = _places(spans.end)
    keys = spans.binding * (len(place) + 1) + place
    reach = np.maximum.accumulate(keys) if len(keys) else keys
    return reach, np.maximum.accumulate(np.where(keys == reach, np.arange(len(keys)), 0)) if len(keys) else keys


def runs(space: Space, true: Bools, gap: float = JOIN) -> Spans:
    """Return the spans of true rows: a frame covers its time, and what is at most `gap` apart is one span."""
    rows = np.flatnonzero(true)
    position = space.position[rows]
    return joined(Spans(space.binding[rows], space.time[rows], space.end[rows], position, position), gap)


def joined(spans: Spans, gap: float) -> Spans:
    """Join spans of a binding that are at most `gap` seconds apart."""
    if not len(spans):
        return spans
    _, furthest = _running_end(spans)
    apart = spans.start[1:] - spans.end[furthest[:-1]] > gap + TIME_TOLERANCE
    begins = np.flatnonzero(np.append(True, apart | (spans.binding[1:] != spans.binding[:-1])))
    stops = np.append(begins[1:], len(spans)) - 1
    ends = furthest[stops]
    return Spans(
        spans.binding[begins], spans.start[begins], spans.end[ends],
        np.minimum.reduceat(spans.first, begins), np.maximum.reduceat(spans.last, begins),
    )  # fmt: skip


def lasting(spans: Spans, duration: float) -> Spans:
    """Keep the spans of at least this duration."""
    return spans.take(spans.end - spans.start >= duration - TIME_TOLERANCE)


def places_within(spans: Spans, binding: Ints, position: Ints, base: int) -> Bools:
    """Return which (binding, position) pairs lie between the first and last true frame of a span of the binding.

    `base` is greater than every position.
    """
    keys = binding * base + position
    begun = np.searchsorted(np.sort(spans.binding * base + spans.first), keys, side="right")
    over = np.searchsorted(np.sort(spans.binding * base + spans.last), keys, side="left")
    return np.asarray(begun > over)


def intersection(left: Spans, right: Spans) -> Spans:
    """Return where both sides have a span of the same binding at the same time, for longer than 0 s."""
    left_start, left_end, right_start, right_end = _places(left.start, left.end, right.start, right.end)
    base = 2 * (len(left) + len(right)) + 1
    # what ends before this one starts is passed over, but for what lies before a longer one
    reach = right.binding * base + right_end
    reach = np.maximum.accumulate(reach) if len(reach) else reach
    low = np.searchsorted(reach, left.binding * base + left_start, side="right")
    high = np.searchsorted(right.binding * base + right_start, left.binding * base + left_end, side="left")
    count = np.maximum(high - low, 0)
    a = np.repeat(np.arange(len(left)), count)
    b = np.arange(len(a)) - np.repeat(np.cumsum(count) - count, count) + low[a]
    later, sooner = right.start[b] > left.start[a], right.end[b] < left.end[a]
    both = Spans(
        left.binding[a],
        np.maximum(left.start[a], right.start[b]),
        np.minimum(left.end[a], right.end[b]),
        np.where(later, right.first[b], left.first[a]),
        np.where(sooner, right.last[b], left.last[a]),
    )
    return both.take(both.end - both.start > TIME_TOLERANCE).sorted()


def union(left: Spans, right: Spans) -> Spans:
    """Return the spans of either side; what overlaps or touches becomes one."""
    both = Spans(
        np.concatenate((left.binding, right.binding)),
        np.concatenate((left.start, right.start)),
        np.concatenate((left.end, right.end)),
        np.concatenate((left.first, right.first)),
        np.concatenate((left.last, right.last)),
    )
    return joined(both.sorted(), 0.0)


# ---------------------------------------------------------------------------------------------- one after another


def _latest_ending(earlier: Spans, binding: Ints, before: Floats) -> Ints:
    """Return for each (binding, time) the latest-ending span that ends by then (ties: latest start), -1 if none."""
    order = np.lexsort((earlier.start, earlier.end, earlier.binding))
    ends, limits = _places(earlier.end, before + TIME_TOLERANCE)
    base = len(earlier) + len(before) + 1
    keys = (earlier.binding * base + ends)[order]
    at = np.searchsorted(keys, binding * base + limits, side="right") - 1
    found = order[np.maximum(at, 0)] if len(order) else np.zeros(len(binding), np.int64)
    known = at >= 0
    if len(order):
        known &= earlier.binding[found] == binding
    return np.where(known, found, -1)


def chained(steps: list[Spans], within: float | None) -> Spans:
    """Return the sequences of steps: at most one for each span of the last, looked for backwards.

    Each is [first.start, last.end); with `within`, the last starts at most so long after the first has ended.
    """
    last = np.arange(len(steps[-1]))
    current, here = steps[-1], last
    for earlier in reversed(steps[:-1]):
        before = _latest_ending(earlier, current.binding[here], current.start[here])
        last, here, current = last[before >= 0], before[before >= 0], earlier
    first, final = current.take(here), steps[-1].take(last)
    chain = Spans(final.binding, first.start, final.end, first.first, final.last)
    if within is not None:
        chain = chain.take(final.start - first.end <= within + TIME_TOLERANCE)
    return chain.sorted()


def followed(spans: Spans, by: Spans, within: float | None) -> Bools:
    """Return which spans one of `by` follows: it starts in [end, end + within]."""
    ends, starts = _places(spans.end - TIME_TOLERANCE, by.start)
    base = len(spans) + len(by) + 1
    at = np.searchsorted(by.binding * base + starts, spans.binding * base + ends, side="left")
    next_ = np.minimum(at, max(len(by) - 1, 0))
    if not len(by):
        return np.zeros(len(spans), bool)
    found = (at < len(by)) & (by.binding[next_] == spans.binding)
    if within is not None:
        found &= by.start[next_] <= spans.end + within + TIME_TOLERANCE
    return found


def inside(spans: Spans, others: Spans) -> Bools:
    """Return which spans lie inside one of `others`."""
    if not len(others):
        return np.zeros(len(spans), bool)
    limits, starts = _places(spans.start + TIME_TOLERANCE, others.start)
    base = len(spans) + len(others) + 1
    at = np.searchsorted(others.binding * base + starts, spans.binding * base + limits, side="right") - 1
    _, furthest = _running_end(others)
    found = furthest[np.maximum(at, 0)]
    known = (at >= 0) & (others.binding[found] == spans.binding)
    return known & (others.end[found] >= spans.end - TIME_TOLERANCE)
