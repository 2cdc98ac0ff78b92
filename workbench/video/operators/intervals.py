"""Interval algebra on arrays: runs of true rows, joining, duration, intersection and union.

All operators take and give spans sorted by binding and start that do not overlap within a binding, and treat times
that differ by at most 1e-6 s as equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.video.operators.bind import Space
from workbench.video.operators.columns import TIME_TOLERANCE
from workbench.video.tracks import Bools, Floats, Ints

__all__ = ["JOIN", "Spans", "intersection", "joined", "lasting", "rows_within", "runs", "union"]

#: Runs of true frames that are no further apart become one (seconds).
JOIN = 0.5


@dataclass(frozen=True)
class Spans:
    """Spans of bindings: [start, end) from the first to the last true row.

    Parameters
    ----------
    binding : ndarray of int64, shape (n,)
    start, end : ndarray of float64, shape (n,)
        Seconds; the end is that of the time which the last true frame covers.
    first, last : ndarray of int64, shape (n,)
        Rows of the space.
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


def runs(space: Space, true: Bools, gap: float = JOIN) -> Spans:
    """Return the spans of true rows: a frame covers its time, and what is at most `gap` apart is one span."""
    rows = np.flatnonzero(true)
    return joined(Spans(space.binding[rows], space.time[rows], space.end[rows], rows, rows), gap)


def joined(spans: Spans, gap: float) -> Spans:
    """Join spans of a binding that are at most `gap` seconds apart."""
    if not len(spans):
        return spans
    apart = spans.start[1:] - spans.end[:-1] > gap + TIME_TOLERANCE
    begins = np.flatnonzero(np.append(True, apart | (spans.binding[1:] != spans.binding[:-1])))
    ends = np.append(begins[1:], len(spans)) - 1
    return Spans(spans.binding[begins], spans.start[begins], spans.end[ends], spans.first[begins], spans.last[ends])


def lasting(spans: Spans, duration: float) -> Spans:
    """Keep the spans of at least this duration."""
    return spans.take(spans.end - spans.start >= duration - TIME_TOLERANCE)


def rows_within(spans: Spans, count: int) -> Bools:
    """Return which of the `count` rows of the space lie in a span."""
    steps = np.zeros(count + 1, np.int64)
    np.add.at(steps, spans.first, 1)
    np.add.at(steps, spans.last + 1, -1)
    return np.asarray(np.cumsum(steps[:-1]) > 0)


def intersection(left: Spans, right: Spans) -> Spans:
    """Return where both sides have a span of the same binding at the same time, for longer than 0 s."""
    # positions among all times in place of times make keys of (binding, time) exact
    _, place = np.unique(np.concatenate((left.start, left.end, right.start, right.end)), return_inverse=True)
    left_start, left_end, right_start, right_end = np.split(
        place.astype(np.int64), np.cumsum([len(left), len(left), len(right)])
    )
    base = len(place) + 1
    low = np.searchsorted(right.binding * base + right_end, left.binding * base + left_start, side="right")
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
    return both.take(both.end - both.start > TIME_TOLERANCE)


def union(left: Spans, right: Spans) -> Spans:
    """Return the spans of either side; what overlaps or touches becomes one."""
    binding = np.concatenate((left.binding, right.binding))
    start, end = np.concatenate((left.start, right.start)), np.concatenate((left.end, right.end))
    first, last = np.concatenate((left.first, right.first)), np.concatenate((left.last, right.last))
    order = np.lexsort((start, binding))
    both = Spans(binding, start, end, first, last).take(order)
    if not len(both):
        return both
    _, place = np.unique(both.end, return_inverse=True)
    # the furthest end so far within the binding, and the span that has it
    reach = np.maximum.accumulate(both.binding * (len(place) + 1) + place)
    furthest = _last_rise(both.binding * (len(place) + 1) + place, reach)
    ahead = both.end[furthest]
    fresh = np.append(True, (both.binding[1:] != both.binding[:-1]) | (both.start[1:] > ahead[:-1] + TIME_TOLERANCE))
    begins = np.flatnonzero(fresh)
    ends = furthest[np.append(begins[1:], len(both)) - 1]
    return Spans(both.binding[begins], both.start[begins], both.end[ends], both.first[begins], both.last[ends])


def _last_rise(keys: Ints, reach: Ints) -> Ints:
    """Return for each place the latest index at which the running maximum was reached."""
    return np.maximum.accumulate(np.where(keys == reach, np.arange(len(keys)), 0))
