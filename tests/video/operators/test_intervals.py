"""Interval algebra by brute force on a fine grid of times."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.video.language.tree import ObjectType, Variable
from workbench.video.operators.bind import Space
from workbench.video.operators.intervals import Spans, intersection, joined, lasting, places_within, runs, union
from workbench.video.tracks import Frames, Tracks

Mask = list[bool]
masks = st.lists(st.booleans(), min_size=1, max_size=40)


def space(*lengths: int, times: np.ndarray | None = None) -> Space:
    """Bindings of one object each, there from the first frame on; 10 frames a second."""
    most = max(lengths, default=0) + 1 if times is None else len(times)
    times = np.arange(most) / 10 if times is None else times
    frames = Frames(np.arange(most), times)
    ids = np.repeat(np.arange(len(lengths)) + 1, lengths)
    frame = np.concatenate([np.arange(length) for length in lengths]) if lengths else np.empty(0, np.int64)
    n = len(ids)
    tracks = Tracks(frames, 100, 100, ("a",), ids, frame, times[frame], np.zeros(n, np.int64), np.ones(n),
                    np.zeros((n, 4)), np.zeros(n, bool))  # fmt: skip
    kind = ObjectType("Object", None)
    variables = (Variable("x", kind),)
    return Space(tracks, variables, np.arange(n)[:, None], tracks.position, tracks.owner, tracks.ids[:, None])


def tenths(spans: Spans) -> set[tuple[int, int]]:
    """The tenths of a second that spans cover, by binding."""
    return {
        (int(binding), tenth)
        for binding, start, end in zip(spans.binding, spans.start, spans.end, strict=True)
        for tenth in range(round(start * 10), round(end * 10))
    }


def close_gaps(mask: Mask, gap: int) -> list[list[int]]:
    """Runs of true places, joined over at most `gap` false ones."""
    groups: list[list[int]] = []
    for place in [i for i, true in enumerate(mask) if true]:
        if groups and place - groups[-1][-1] - 1 <= gap:
            groups[-1].append(place)
        else:
            groups.append([place])
    return groups


@settings(max_examples=200, deadline=None)
@given(st.lists(masks, min_size=1, max_size=4), st.integers(0, 8), st.integers(0, 20))
def test_runs_joining_and_duration(bindings: list[Mask], gap: int, least: int) -> None:
    where = space(*map(len, bindings))
    spans = runs(where, np.concatenate([np.array(mask, bool) for mask in bindings]), gap / 10)
    expected = [(b, group[0], group[-1]) for b, mask in enumerate(bindings) for group in close_gaps(mask, gap)]
    assert [
        (int(b), int(f), int(la)) for b, f, la in zip(spans.binding, spans.first, spans.last, strict=True)
    ] == expected
    assert np.allclose(spans.start, [first / 10 for _, first, _ in expected])
    assert np.allclose(spans.end, [(last + 1) / 10 for _, _, last in expected])
    kept = lasting(spans, least / 10)
    assert len(kept) == sum(last + 1 - first >= least for _, first, last in expected)
    within = places_within(kept, where.binding, where.position, 99)
    assert {(int(where.binding[row]), int(where.frame[row])) for row in np.flatnonzero(within)} == tenths(kept)
    assert tenths(joined(runs(where, np.concatenate([np.array(m, bool) for m in bindings]), 0.0), gap / 10)) == tenths(
        spans
    )


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(masks, st.integers(0, 2**40)), min_size=1, max_size=3))
def test_intersection_and_union(bindings: list[tuple[Mask, int]]) -> None:
    where = space(*(len(mask) for mask, _ in bindings))
    left = runs(where, np.concatenate([np.array(mask, bool) for mask, _ in bindings]), 0.0)
    other = np.concatenate([[bool(bits >> i & 1) for i in range(len(mask))] for mask, bits in bindings])
    right = runs(where, other, 0.0)
    both, either = intersection(left, right), union(left, right)
    assert tenths(both) == tenths(left) & tenths(right)
    assert tenths(either) == tenths(left) | tenths(right)
    for spans in (both, either):
        order = np.lexsort((spans.start, spans.binding))
        assert (order == np.arange(len(spans))).all()
        assert np.allclose(spans.first / 10, spans.start)
        assert np.allclose((spans.last + 1) / 10, spans.end)
    same = either.binding[1:] == either.binding[:-1]
    assert (either.start[1:][same] - either.end[:-1][same] > 1e-6).all()
    assert tenths(intersection(right, left)) == tenths(both)
    assert tenths(union(right, left)) == tenths(either)


def test_times_are_equal_within_a_millionth() -> None:
    times = np.array([0.0, 0.1, 0.7000009, 0.8])
    where = space(4, times=times)
    assert len(runs(where, np.array([True, True, True, True]), 0.5)) == 1  # a frame covers at most 2 dt = 0.2 s
    times = np.arange(0, 1.01, 0.1) / 3 * 3
    spans = runs(space(len(times), times=times), np.ones(len(times), bool))
    assert len(lasting(spans, spans.end[0] - spans.start[0] + 5e-7)) == 1
    assert len(lasting(spans, spans.end[0] - spans.start[0] + 5e-6)) == 0


def test_a_long_pause_of_the_video_parts_a_run() -> None:
    times = np.array([0.0, 0.1, 0.2, 3.0, 3.1, 3.2])
    spans = runs(space(6, times=times), np.ones(6, bool))
    assert np.allclose(spans.start, [0.0, 3.0])
    assert np.allclose(spans.end, [0.4, 3.3])


def test_nothing() -> None:
    none = runs(space(3), np.zeros(3, bool))
    some = runs(space(3), np.ones(3, bool))
    assert len(none) == len(intersection(none, some)) == len(intersection(some, none)) == len(union(none, none)) == 0
    assert len(union(none, some)) == len(union(some, none)) == 1
