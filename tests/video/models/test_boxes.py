"""Overlap, suppression and fitting against definitions."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.video.models.reference import overlap
from workbench.video.models.boxes import iou_matrix, letterbox, nms, select

corner = st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(1, 20), st.integers(1, 20))
boxes = st.lists(corner.map(lambda c: (c[0], c[1], c[0] + c[2], c[1] + c[3])), min_size=1, max_size=12)


@given(boxes, boxes)
@settings(max_examples=50, deadline=None)
def test_iou_is_intersection_over_union(left: list, right: list) -> None:
    found = iou_matrix(np.array(left, float), np.array(right, float))
    expected = [[overlap((*a, 0, 0), (*b, 0, 0)) for b in right] for a in left]
    np.testing.assert_allclose(found, expected)


@given(boxes, st.data())
@settings(max_examples=50, deadline=None)
def test_nms_is_greedy(drawn: list, data: st.DataObject) -> None:
    scores = data.draw(st.lists(st.floats(0, 1), min_size=len(drawn), max_size=len(drawn)))
    kept: list[int] = []
    for index in sorted(range(len(drawn)), key=lambda i: -scores[i]):
        if all(overlap((*drawn[index], 0, 0), (*drawn[other], 0, 0)) <= 0.5 for other in kept):
            kept.append(index)
    assert nms(np.array(drawn, float), np.array(scores), 0.5).tolist() == kept


def test_select_drops_what_is_no_box_and_keeps_other_labels() -> None:
    box = np.array([[0, 0, 9, 9], [0, 0, 9, 9], [0, 0, 9, 9], [5, 5, 5, 9], [np.nan, 0, 9, 9]], float)
    rows = select(box, np.array([0.5, 0.9, 0.7, 1.0, 1.0]), np.array([0, 0, 1, 0, 0]), 0.5)
    assert rows[:, 4:].tolist() == [[0.9, 0], [0.7, 1]]
    assert select(box[3:], np.ones(2), np.zeros(2, np.int64), 0.5).shape == (0, 6)


def test_letterbox_keeps_the_shape_and_pads_below_and_right() -> None:
    image = np.full((50, 100, 3), 200, np.uint8)
    canvas, scale = letterbox(image, 64, 64)
    assert scale == 0.64
    assert (canvas[:32, :64] == 200).all()
    assert (canvas[32:] == 114).all()
    same, one = letterbox(image[:64], 100, 64)
    assert one == 1.0
    np.testing.assert_array_equal(same[:50], image)
