"""Best crops and votes, early stopping against the full vote."""

from __future__ import annotations

import itertools
import statistics
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.video.operators.scenes import still, walk
from workbench.video.operators.vote import best_crops, crop_quality, vote, votes_needed
from workbench.video.tracks import Tracks


def best(tracks: Tracks, most: int = 5) -> list[int]:
    return tracks.frame[best_crops(tracks, 0, crop_quality(tracks), most)].tolist()


def test_best_crops_are_spread_and_by_quality() -> None:
    scores = [0.5, 0.6, 0.9, 0.8, 0.7, 0.6, 0.5, 0.55, 0.5, 0.5, 0.5, 0.5]
    # frame 2, then the best at least 0.5 s from it (7), then from both (none within 12 frames but 12), then the rest
    assert best(walk({1: still(12)}, scores={1: scores})) == [2, 7, 3, 4, 1]
    assert best(walk({1: still(31)})) == [0, 5, 10, 15, 20]
    assert best(walk({1: still(3)})) == [0, 1, 2]
    assert best(walk({1: still(3)}), 1) == [0]


def test_interpolated_rows_and_the_pictures_edge() -> None:
    assert best(walk({1: still(6)}, filled={1: [0, 5]})) == [1, 2, 3, 4]
    assert best(walk({1: [(10, 200), (11, 200), (630, 200), (200, 480)]})) == [1, 0, 2, 3]


@pytest.mark.parametrize(
    ("votes", "outcome"),
    [
        (["red", "blue", "blue"], "blue"),
        (["red", "blue"], "red"),
        ([None, "blue", "red"], "blue"),
        ([None, None], None),
        ([], None),
        ([1.0, 5.0, 2.0], 2.0),
        ([1.0, 2.0], 1.5),
        ([1, 5, 5], 5),
        ([1, 2, 2.0, 7], 2.0),
        ([True, False, False], False),
        ([[1], [2], [2]], [2]),
    ],
)
def test_vote(votes: list[Any], outcome: Any) -> None:
    assert vote(votes) == outcome


@pytest.mark.parametrize("cards", [("a", "b", None), ("a", "b", "c"), (1.0, 2.0, None), (1, 2, 3), (True, False, None)])
@pytest.mark.parametrize("total", [1, 2, 3, 4, 5])
def test_stopping_early_never_changes_the_outcome(cards: tuple[Any, ...], total: int) -> None:
    for full in itertools.product(cards, repeat=total):
        seen: list[Any] = []
        while more := votes_needed(seen, total):
            seen += full[len(seen) : len(seen) + more]
        assert vote(seen) == vote(full), (full, seen)


@pytest.mark.parametrize("total", [1, 2, 3, 4])
def test_stopping_is_as_early_as_can_be(total: int) -> None:
    for full in itertools.product(("a", "b", "c"), repeat=total):
        seen: list[Any] = []
        while more := votes_needed(seen, total):
            # nothing that may still come within fewer votes could have decided
            for fewer in range(more):
                for coming in itertools.product(("a", "b", "c", "d", "e"), repeat=fewer):
                    rest = total - len(seen) - fewer
                    ends = {
                        vote([*seen, *coming, *last])
                        for last in itertools.product(("a", "b", "c", "d", "e"), repeat=rest)
                    }
                    assert len(ends) > 1
            seen += full[len(seen) : len(seen) + more]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(st.none(), st.floats(-10, 10)), max_size=5))
def test_floats_take_the_median(votes: list[float | None]) -> None:
    cast = [value for value in votes if value is not None]
    assert vote(votes) == (statistics.median(cast) if cast else None)
