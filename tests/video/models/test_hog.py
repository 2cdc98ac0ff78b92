"""OpenCV's people detector."""

from __future__ import annotations

import numpy as np

from tests.video.models import reference
from tests.video.models.mirror import needs_mirror
from workbench.video.models.boxes import iou_matrix
from workbench.video.models.hog import HogPerson


def best_overlap(person: tuple[float, ...], found: np.ndarray) -> float:
    return float(iou_matrix(np.array([person]), found).max())


@needs_mirror
def test_people_are_found_and_boxes_fit_them() -> None:
    import cv2

    picture = reference.picture(*reference.PICTURES[0])
    person = (500.7, 36.6, 546.3, 154.8)  # as yolox-nano has it
    (found,) = HogPerson(480).open()([picture], [0], [0.0])
    assert all(0.1 <= score < 1 for score in found[:, 4])
    assert best_overlap(person, found) > 0.65
    # A picture twice as high is halved, and boxes come back in its own px.
    (large,) = HogPerson(480).open()([cv2.resize(picture, None, fx=2, fy=2)], [0], [0.0])
    assert best_overlap(tuple(2 * side for side in person), large) > 0.65


def test_pictures_smaller_than_the_window_have_nobody() -> None:
    (found,) = HogPerson(480).open()([np.zeros((60, 60, 3), np.uint8)], [0], [0.0])
    assert found.shape == (0, 6)
