"""Regions, lines and scales, with shapely as the judge of what is simple."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.engine.errors import WorkbenchError
from workbench.video.language.shapes import (
    Line,
    Region,
    Scale,
    check_shapes,
    is_simple,
    line_shape,
    region_shape,
)  # fmt: skip
from workbench.video.language.tree import LineShape, RegionShape, ScaleSpec


def test_regions_keep_px_and_shares() -> None:
    region = Region((1, "20px"), ("50%", 3), (np.int64(5), 6.5))
    assert region.points == ((1.0, 20.0), (0.5, 3.0), (5.0, 6.5))
    assert region.percent == ((False, False), (True, False), (False, False))
    assert Region((1, 2), (3, 4), (5, 7)).percent == ()
    assert Region([(1, 2), (3, 4), (5, 7)]) == Region((1, 2), (3, 4), (5, 7))
    assert Region.rect(1, 2, 3, 4).points == ((1, 2), (3, 2), (3, 4), (1, 4))
    shape = region_shape("yard", Region.rect("10%", 0, "50%", "100%"))
    assert shape is not None
    assert shape.in_pixels(200, 100) == ((20, 0), (100, 0), (100, 100), (20, 100))


@pytest.mark.parametrize(
    "corner", [(1,), (1, 2, 3), 5, "ab", (1, "3s"), (1, float("nan")), (float("inf"), 1), (None, 1)]
)
def test_corners_are_two_lengths(corner: object) -> None:
    with pytest.raises(WorkbenchError, match=r"A corner is"):
        Region((0, 0), corner, (9, 9))


SIMPLE = [((0, 0), (9, 0), (9, 9)), ((0, 0), (9, 0), (9, 9), (5, 1), (0, 9)), ((0, 0), (5, 0), (9, 0), (9, 9))]
NOT_SIMPLE = [
    (), ((0, 0),), ((0, 0), (9, 0)), ((0, 0), (5, 0), (9, 0)), ((0, 0), (9, 9), (9, 0), (0, 9)),
    ((0, 0), (9, 0), (0, 0), (9, 9)), ((0, 0), (9, 0), (9, 9), (9, 0)), ((0, 0), (9, 0), (4, 0), (4, 9)),
    ((0, 0), (4, 4), (8, 0), (8, 8), (4, 4), (0, 8)),
]  # fmt: skip


@pytest.mark.parametrize("points", SIMPLE)
def test_simple_polygons(points: tuple[tuple[float, float], ...]) -> None:
    assert is_simple(points)
    assert is_simple(points[::-1])
    assert region_shape("a", Region(*points, points[0])) == RegionShape("a", points)


@pytest.mark.parametrize("points", NOT_SIMPLE)
def test_polygons_that_are_not_simple(points: tuple[tuple[float, float], ...]) -> None:
    assert not is_simple(points)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=3, max_size=6))
@settings(max_examples=150, deadline=None)
def test_shapely_agrees(points: list[tuple[int, int]]) -> None:
    expected = False
    if len(set(points)) == len(points):
        polygon = shapely.Polygon(points)
        expected = bool(polygon.area > 0 and shapely.LinearRing(points).is_simple)
    assert is_simple(points) is expected


def test_things_that_are_no_shapes() -> None:
    assert region_shape("a", 5) is None
    assert region_shape("a", Line((0, 0), (1, 1))) is None
    assert line_shape("a", Region((0, 0), (1, 1), (1, 0))) is None
    assert region_shape("a", [(0, 0), (9, 0), (9, 9)]) == RegionShape("a", ((0, 0), (9, 0), (9, 9)))
    assert line_shape("b", LineShape("a", ((0, 0), (1, 1)))) == LineShape("b", ((0, 0), (1, 1)))


def test_corners_outside_the_picture() -> None:
    yard = RegionShape("yard", ((0, 0), (768, 0), (1143, 960)))
    with pytest.raises(WorkbenchError) as caught:
        check_shapes([yard], 768, 576, "cam1.mp4")
    assert caught.value.message == "yard has a corner at (1143, 960) but cam1.mp4 is 768x576."
    assert caught.value.hint == 'Use corners inside the picture, or "%" units.'
    check_shapes([RegionShape("a", ((0, 0), (768, 0), (768, 576)))], 768, 576, "cam1.mp4")
    mixed = RegionShape("m", ((0, 0), (100, 0), (0.5, 0)), ((False, False), (False, False), (True, False)))
    with pytest.raises(WorkbenchError, match="m is not a simple polygon"):
        check_shapes([mixed], 768, 576, "cam1.mp4")


def test_scales() -> None:
    assert Scale((0, 0), (9, 0), "350cm").spec == ScaleSpec("uniform", 3.5, ((0, 0), (9, 0)))
    assert Scale(person="170cm").spec == ScaleSpec("person", 1.7)
    ground = ((0, 0, 0, 0), (1, 0, 1, 0), (1, 1, 1, 1), (0, 1, 0, 1))
    assert Scale(ground=ground).spec == ScaleSpec("ground", points=tuple(tuple(map(float, p)) for p in ground))


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((), {"person": "5px"}, r"Scale\(\) takes metres, got '5px'"),
        ((), {"person": "0m"}, r"Scale\(\) takes a length above 0"),
        ((), {"ground": ((1, 2, 3, 4),)}, r"ground= takes at least 4 points"),
        ((), {"ground": 5}, r"ground= takes points of four numbers"),
        (((0, 0), (1, 1)), {}, r"Scale\(\) takes two points and the length"),
        (((0, 0), (0, 0), "1m"), {}, r"A scale needs two different points"),
        ((("1%", 0), (0, 0), "1m"), {}, r"The points of a scale are in px"),
        (((0, 0), (1, 1), "1m"), {"person": "1m"}, r"A scale is one of"),
    ],
)
def test_scales_that_cannot_be(arguments: tuple, options: dict, message: str) -> None:
    with pytest.raises(WorkbenchError, match=message):
        Scale(*arguments, **options)
