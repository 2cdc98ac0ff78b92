"""`hog-person`: OpenCV's people detector of oriented gradients, which needs no weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.video.models.base import LEAST_SCORE, DetectionSession, DetectorSpec, Floats, Image
from workbench.video.models.boxes import select

__all__ = ["HogPerson", "load_hog"]

#: The detector's window keeps a margin around the person; these shares of its box are left off on each side.
_MARGIN = (0.22, 0.11)


class HogPerson:
    """Upright people from 96 px of height on, in a picture at most `height` px high."""

    batch = 1
    labels = ("person",)

    def __init__(self, height: int) -> None:
        import cv2

        self.height = height
        self._hog = cv2.HOGDescriptor()
        self._hog.setSVMDetector(cv2.HOGDescriptor.getDefaultPeopleDetector())

    def open(self, source: Any = None) -> DetectionSession:
        """Return a session; frames are independent."""
        return lambda images, frames, times: [self._detect(image) for image in images]

    def _detect(self, image: Image) -> Floats:
        import cv2

        scale = min(1.0, self.height / image.shape[0])
        small = image if scale == 1 else cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        if small.shape[0] < 128 or small.shape[1] < 64:  # smaller than the detector's window
            return np.empty((0, 6))
        found, weights = self._hog.detectMultiScale(small, winStride=(8, 8), padding=(8, 8), scale=1.05)
        rectangles = np.asarray(found, np.float64).reshape(-1, 4)
        x, y, width, height = rectangles.T
        boxes = np.column_stack(
            (
                x + _MARGIN[0] * width,
                y + _MARGIN[1] * height,
                x + (1 - _MARGIN[0]) * width,
                y + (1 - _MARGIN[1]) * height,
            )
        )
        scores = 1 - np.exp(-np.asarray(weights, np.float64).ravel())
        good = scores >= LEAST_SCORE
        return select(boxes[good] / scale, scores[good], np.zeros(int(good.sum()), np.int64), 0.5)


def load_hog(spec: DetectorSpec, threads: int) -> HogPerson:
    """Build the detector."""
    return HogPerson(spec.size)
