"""The properties that `Scene` has of its own, written as one would write them oneself."""

from __future__ import annotations

from typing import Any

from workbench.video.language.tree import UserProperty, Window

__all__ = ["SCENE_PROPERTIES"]

#: gray values (of 255) by which a pixel must change to count as moving, beyond what noise does
_CHANGE = 25
#: frames are compared at no more than this height
_HEIGHT = 270


def _gray(image: Any) -> Any:
    import cv2

    height, width = image.shape[:2]
    if height > _HEIGHT:
        image = cv2.resize(image, (max(1, width * _HEIGHT // height), _HEIGHT), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)


def _brightness(self: Any, image: Any) -> float:
    """Return the mean gray value of the frame, 0 to 1."""
    return float(_gray(image).mean()) / 255


def _motion(self: Any, image: Any) -> float | None:
    """Return the share of the frame that differs from the processed frame before; missing in the first."""
    import cv2

    if any(one is None for one in image):
        return None
    before, now = (cv2.GaussianBlur(_gray(one), (5, 5), 0) for one in image)
    return float((cv2.absdiff(before, now) > _CHANGE).mean())


SCENE_PROPERTIES = (
    UserProperty("brightness", "Scene", _brightness, ("image",), fingerprint="scene/brightness/1"),
    UserProperty("motion", "Scene", _motion, ("image",), Window(rows=2), fingerprint="scene/motion/1"),
)
