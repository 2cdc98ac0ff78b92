"""Built-in properties by their definitions: exact steps back in time, headings, stillness, turns."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tests.video.operators.scenes import query, still, walk
from workbench.video.language import tree
from workbench.video.operators.evaluate import evaluate
from workbench.video.operators.geometry import UniformScale
from workbench.video.operators.motion_props import History, built_in
from workbench.video.tracks import Tracks


def values(tracks: Tracks, name: str, scale: Any = None) -> list[Any]:
    return built_in(name, History(tracks), scale).python()


def line(dx: float, dy: float, count: int = 12) -> list[tuple[float, float]]:
    return [(100 + dx * i, 200 + dy * i) for i in range(count)]


def test_speed_is_over_the_latest_row_half_a_second_back() -> None:
    tracks = walk({1: line(3, 4)})
    assert values(tracks, "speed")[:5] == [None] * 5
    assert values(tracks, "speed")[5:] == pytest.approx([50.0] * 7)
    assert values(tracks, "speed", UniformScale(0.1))[5:] == pytest.approx([5.0] * 7)
    # with a gap the step is longer, and the time between counts
    gap = [(100, 200), (110, 200), None, None, None, None, None, None, (190, 200)]
    assert values(walk({1: gap}), "speed") == [None, None, pytest.approx(80 / 0.7)]


def test_speed_on_uneven_times() -> None:
    times = [0.0, 0.1, 0.6, 0.6999999, 1.2]
    tracks = walk({1: [(0, 100), (10, 100), (20, 100), (50, 100), (60, 100)]}, times=times)
    # 0.6 - 0.5 reaches 0.1 within the tolerance, and 1.2 - 0.5 reaches 0.6999999
    expected = [None, None, 10 / 0.5, 40 / (0.6999999 - 0.1), 10 / (1.2 - 0.6999999)]
    assert values(tracks, "speed") == [None, None, *map(pytest.approx, expected[2:])]


@pytest.mark.parametrize(
    ("step", "degrees"), [((9, 0), 0), ((9, -9), 45), ((0, -9), 90), ((-9, 0), 180), ((0, 9), 270), ((9, 9), 315)]
)
def test_heading_turns_anticlockwise_from_the_right(step: tuple[float, float], degrees: float) -> None:
    assert values(walk({1: line(*step)}), "heading")[-1] == pytest.approx(degrees)


def test_heading_is_missing_for_tiny_steps() -> None:
    # the size of a 100 x 100 box is 100, so a step of 1 px in half a second is enough and one below it is not
    assert values(walk({1: line(0.2, 0)}, size=(100, 100)), "heading")[-1] == 0
    assert values(walk({1: line(0.19, 0)}, size=(100, 100)), "heading")[-1] is None
    assert values(walk({1: still(12)}), "heading")[-1] is None
    assert values(walk({1: still(12)}, size=(0, 0)), "heading")[-1] is None


def test_still_compares_with_the_size_per_second() -> None:
    # size 100: 15 px in a second is not still, 14 px is
    assert values(walk({1: line(1.5, 0)}, size=(100, 100)), "still")[9:] == [None, False, False]
    assert values(walk({1: line(1.4, 0)}, size=(100, 100)), "still")[9:] == [None, True, True]
    assert values(walk({1: still(12)}, size=(0, 30)), "still")[-1] is None


def test_age_first_last_and_boxes() -> None:
    tracks = walk({3: [None, None, (100, 200), (101, 200)], 7: [(50, 60)]}, filled={3: [3]})
    assert values(tracks, "age") == [0.0, pytest.approx(0.1), 0.0]
    assert values(tracks, "first") == [0.2, 0.2, 0.0]
    assert values(tracks, "last") == [pytest.approx(0.3), pytest.approx(0.3), 0.0]
    assert values(tracks, "score") == [0.9, None, 0.9]
    assert values(tracks, "id") == [3, 3, 7]
    assert values(tracks, "label") == ["person"] * 3
    assert [list(point) for point in values(tracks, "foot")] == [[100, 200], [101, 200], [50, 60]]
    assert [list(point) for point in values(tracks, "center")] == [[100, 175], [101, 175], [50, 35]]
    assert (values(tracks, "width"), values(tracks, "height"), values(tracks, "area")) == (
        [20] * 3,
        [50] * 3,
        [1000] * 3,
    )
    assert list(values(tracks, "box")[0]) == [90, 150, 110, 200]


@pytest.mark.parametrize("name", ["speed", "still", "label", "foot", "id", "heading", "score"])
def test_no_rows(name: str) -> None:
    assert len(built_in(name, History(walk({})), None)) == 0


def bend(side: int, degrees: float = 90, straight: int = 20) -> list[tuple[float, float]]:
    """A way to the right that turns left (side 1) or right (side -1) within a second."""
    points, x, y = [], 100.0, 300.0
    for i in range(3 * straight):
        angle = math.radians(degrees) * min(max((i - straight) / 10, 0), 1) * side
        x, y = x + 5 * math.cos(angle), y - 5 * math.sin(angle)
        points.append((x, y))
    return points


def turns(points: list[tuple[float, float]], side: Any, by: float = 60, over: float = 3) -> list[tuple[float, float]]:
    found = evaluate(query(tree.Turns(var="x", side=side, by=by, over=over)), walk({1: points}))
    return list(zip(found.start.tolist(), found.end.tolist(), strict=True))


def test_turns_to_a_side() -> None:
    [(start, end)] = turns(bend(1), "left")
    assert 2.0 < start < 2.6 < end < 3.6
    assert turns(bend(1), "right") == []
    assert len(turns(bend(-1), "right")) == 1
    assert turns(bend(-1), "left") == []
    assert turns(bend(1, degrees=50), "left") == []
    # measured anew after each completed turn
    assert len(turns(bend(1, degrees=180), "left", by=60)) == 2
    # too slow a turn for the time given
    assert turns(bend(1), "left", by=60, over=0.3) == []


def test_a_turn_across_zero_degrees_is_unwrapped() -> None:
    points = [(x, 300 + y) for x, y in ((p[0], 0.3 * (p[1] - 300)) for p in bend(-1))]
    up_and_down = [(100 + 5 * i, 300 - 3 * min(i, 40 - i)) for i in range(41)]
    assert len(turns(up_and_down, "right", by=50)) == 1
    assert turns(up_and_down, "left", by=50) == []
    assert turns(points, "left") == []
    assert np.isfinite(points).all()
