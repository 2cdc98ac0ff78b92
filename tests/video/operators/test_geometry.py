"""Geometry against shapely and OpenCV, and against positions worked out by hand."""

from __future__ import annotations

import random

import cv2
import numpy as np
import pytest
import shapely
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from workbench.engine.errors import WorkbenchError
from workbench.video.language import tree
from workbench.video.operators import geometry
from workbench.video.tracks import Frames, Tracks

YARD = ((360, 367), (773, 267), (1143, 480), (951, 715), (399, 715))


def star(seed: int, corners: int) -> list[tuple[int, int]]:
    """A simple polygon: corners by angle around a point, at random distances."""
    rng = random.Random(seed)
    angles = sorted(rng.uniform(0, 2 * np.pi) for _ in range(corners))
    return [(int(50 + rng.uniform(5, 40) * np.cos(a)), int(50 + rng.uniform(5, 40) * np.sin(a))) for a in angles]


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**6), st.integers(3, 9))
def test_inside_agrees_with_shapely_and_opencv(seed: int, corners: int) -> None:
    polygon = star(seed, corners)
    shape = shapely.Polygon(polygon)
    assume(shape.is_valid and shape.area > 0)
    y, x = np.mgrid[0:100:3, 0:100:3]
    points = np.column_stack((x.ravel(), y.ravel())).astype(float)
    points = np.vstack((points, polygon, (np.array(polygon) + np.roll(polygon, 1, axis=0)) / 2))
    ours = geometry.inside_polygon(points, polygon)
    assert (ours == shapely.covers(shape, shapely.points(points))).all()
    contour = np.array(polygon, np.float32)
    assert (ours == [cv2.pointPolygonTest(contour, (px, py), False) >= 0 for px, py in points]).all()
    assert np.allclose(
        geometry.border_distance(points, polygon), shapely.distance(shape.exterior, shapely.points(points))
    )


def test_the_border_counts_as_inside_and_self_crossing_follows_even_odd() -> None:
    square = ((0, 0), (10, 0), (10, 10), (0, 10))
    points = np.array([[0, 0], [10, 10], [5, 0], [0, 5], [5, 5], [10.001, 5], [-0.001, 5], [5, 10.001]], float)
    assert geometry.inside_polygon(points, square).tolist() == [True] * 5 + [False] * 3
    pentagram = ((50, 0), (80, 95), (0, 35), (100, 35), (20, 95))
    assert not geometry.inside_polygon(np.array([[50.0, 50.0]]), pentagram)[0]


def boxes_at(feet: list[tuple[float, float]], height: float = 50) -> np.ndarray:
    return np.array([(x - 10, y - height, x + 10, y) for x, y in feet], float)


def cross(feet: list[tuple[float, float]], line: tuple = ((100, 0), (100, 200)), height: float = 50) -> list[int]:
    owner = np.zeros(len(feet), np.int64)
    return geometry.crossings(np.array(feet, float), boxes_at(feet, height), owner, line).tolist()


def test_left_of_the_way_is_side_zero() -> None:
    # from the top downwards, as seen: the picture's right is on the left hand
    cross_product, _ = geometry.line_sides(np.array([[150.0, 100.0], [50.0, 100.0]]), ((100, 0), (100, 200)))
    assert cross_product[0] < 0 < cross_product[1]
    assert cross([(50, 100), (150, 100)]) == [-1, 0]
    assert cross([(150, 100), (50, 100)]) == [-1, 1]


def test_a_crossing_needs_the_margin_on_both_sides() -> None:
    assert cross([(50, 100), (101, 100), (99, 100), (101.9, 100), (50, 100)]) == [-1] * 5  # trembling within 2 px
    assert cross([(50, 100), (101, 100), (102, 100)]) == [-1, -1, 0]  # decided at exactly 2 px
    assert cross([(50, 100), (105, 100), (106, 100)], height=300) == [-1, -1, 0]  # 2 % of 300 px
    assert cross([(99, 100), (150, 100)]) == [-1, -1]  # begins undecided


def test_a_crossing_beside_the_segment_is_none() -> None:
    assert cross([(50, 250), (150, 250)]) == [-1, -1]
    assert cross([(50, 200), (150, 200)]) == [-1, 0]  # through the end
    # around the end and back again: the side changes beside the segment
    assert cross([(50, 100), (50, 250), (150, 250), (150, 100), (50, 100)]) == [-1, -1, -1, -1, 1]


def test_crossings_do_not_join_tracks() -> None:
    feet = np.array([(50, 100), (150, 100)], float)
    assert geometry.crossings(
        feet, boxes_at([(50, 100), (150, 100)]), np.array([0, 1]), ((100, 0), (100, 200))
    ).tolist() == [-1, -1]


def test_entering_and_leaving_use_the_margin() -> None:
    square = ((0, 0), (100, 0), (100, 100), (0, 100))
    feet = [(50, 50), (150, 50), (99, 50), (101, 50), (98, 50), (101.5, 50), (102, 50)]
    owner = np.zeros(len(feet), np.int64)
    assert geometry.passages(np.array(feet, float), boxes_at(feet), owner, square).tolist() == [-1, 0, -1, -1, 1, -1, 0]


def test_points_of_a_box() -> None:
    box = np.array([[10.0, 20.0, 30.0, 60.0]])
    assert geometry.box_points(box, "foot")[0].tolist() == [[20, 60]]
    assert geometry.box_points(box, "center")[0].tolist() == [[20, 40]]
    assert sorted(p[0].tolist() for p in geometry.box_points(box, "box")) == [[10, 20], [10, 60], [30, 20], [30, 60]]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 20), min_size=8, max_size=8))
def test_relations_of_boxes(numbers: list[int]) -> None:
    a, b = [
        np.array([[min(x), min(y), max(x), max(y)]], float)
        for x, y in ((numbers[0:2], numbers[2:4]), (numbers[4:6], numbers[6:8]))
    ]
    first, second = (shapely.box(*box[0]) for box in (a, b))
    total = first.union(second).area
    iou = first.intersection(second).area / total if total else 0.0
    for limit in (0.0, 0.3):
        assume(abs(iou - limit) > 1e-9 or limit == 0.0)
        assert geometry.relation("overlaps", a, b, limit)[0] == (iou > limit)
    assert (
        geometry.relation("inside", a, b, 0)[0]
        == shapely.covers(second.envelope, shapely.points(a.reshape(2, 2))).all()
    )
    assert geometry.relation("left_of", a, b, 0)[0] == (a[0, 2] <= b[0, 0]) == geometry.relation("right_of", b, a, 0)[0]
    assert geometry.relation("above", a, b, 0)[0] == (a[0, 3] <= b[0, 1]) == geometry.relation("below", b, a, 0)[0]


def people(boxes: list[tuple[float, float, float, float]], interpolated: int = 0) -> Tracks:
    n = len(boxes)
    frames = Frames(np.arange(n), np.arange(n) / 25)
    filled = np.arange(n) < interpolated
    score = np.where(filled, np.nan, 0.9)
    return Tracks(frames, 640, 480, ("person",), np.ones(n, np.int64), np.arange(n), frames.time, np.zeros(n, np.int64),
                  score, np.array(boxes, float).reshape(-1, 4), filled)  # fmt: skip


def test_scales() -> None:
    a, b = np.array([[0.0, 0.0]]), np.array([[30.0, 40.0]])
    uniform = geometry.make_scale(tree.ScaleSpec("uniform", 3.5, ((10, 10), (10, 45))), people([]))
    assert uniform is not None
    assert uniform.metres(a, b)[0] == pytest.approx(5.0)
    # heights grow with foot y: 20 + y / 4
    tall = people([(0, y - (20 + y / 4), 10, y) for y in range(100, 300, 10)])
    person = geometry.make_scale(tree.ScaleSpec("person", 1.7), tall)
    assert person is not None
    low, high = np.array([[0.0, 120.0]]), np.array([[10.0, 240.0]])
    step = np.sqrt(10**2 + 120**2)
    assert person.metres(low, high)[0] == pytest.approx(step * (1.7 / 50 + 1.7 / 80) / 2)
    # beyond the horizon the height is clipped to 2 px
    assert person.metres(np.array([[0.0, -500.0]]), np.array([[1.0, -500.0]]))[0] == pytest.approx(1.7 / 2)
    pairs = tuple((x, y, x / 10 + 3, y / 20 - 1) for x, y in ((0, 0), (100, 0), (100, 100), (0, 100)))
    ground = geometry.make_scale(tree.ScaleSpec("ground", points=pairs), people([]))
    assert ground is not None
    assert ground.metres(np.array([[0.0, 0.0]]), np.array([[30.0, 80.0]]))[0] == pytest.approx(5.0)


def test_a_homography_maps_its_own_points() -> None:
    matrix = np.array([[0.02, 0.001, 1], [0.003, 0.05, -2], [0.0001, 0.002, 1]])
    picture = np.array([[10, 20], [600, 40], [580, 460], [30, 400], [300, 200]], float)
    mapped = np.column_stack((picture, np.ones(5))) @ matrix.T
    ground = mapped[:, :2] / mapped[:, 2:]
    pairs = tuple((*map(float, p), *map(float, g)) for p, g in zip(picture, ground, strict=True))
    scale = geometry.make_scale(tree.ScaleSpec("ground", points=pairs), people([]))
    assert scale is not None
    assert np.allclose(scale.metres(picture[:-1], picture[1:]), np.linalg.norm(np.diff(ground, axis=0), axis=1))


def test_scales_that_cannot_be_found_say_why() -> None:
    with pytest.raises(WorkbenchError, match="at least 10 detected people, got 9"):
        geometry.make_scale(tree.ScaleSpec("person", 1.7), people([(0, 0, 10, 50)] * 12, interpolated=3))
    with pytest.raises(WorkbenchError, match="at least 4 points"):
        geometry.make_scale(
            tree.ScaleSpec("ground", points=((0, 0, 0, 0), (1, 1, 1, 1), (2, 2, 2, 2), (3, 3, 3, 3))), people([])
        )
    with pytest.raises(WorkbenchError, match="twice the same point"):
        geometry.make_scale(tree.ScaleSpec("uniform", 2.0, ((1, 1), (1, 1))), people([]))
