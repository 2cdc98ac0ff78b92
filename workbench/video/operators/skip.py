"""Whether a frame shows anything: how far its picture is from the empty scene.

The empty scene is the median of some frames near in time, in pictures so small that noise vanishes in them. Each frame
is judged by itself, so that no chunking changes an answer, and what stands still for a while does not vanish: it is
compared with the scene, not with the frame before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from workbench.video.models.base import Image
from workbench.video.tracks import Bools, Floats

__all__ = ["WINDOW", "Background", "background_of", "small_picture"]

#: long side of the small pictures, px
SIDE = 96
#: light changes: each so many seconds have an empty scene of their own
WINDOW = 300.0
#: small pictures that it is the median of
_PICTURES = 48
#: the score is that of the third most different place: one or two are noise
_PLACES = 3


@dataclass(frozen=True)
class Background:
    """The empty scene of a video.

    Attributes
    ----------
    pictures : Mapping of int to uint8 (h, w, 3)
        Number of the window -> its empty scene.
    mask : bool (h, w)
        Where anything matters.
    """

    pictures: Mapping[int, Image] = field(repr=False)
    mask: Bools = field(repr=False)

    def score(self, picture: Image, time: float) -> float:
        """Return how far a small picture is from the empty scene: 0 (the same) to 255.

        Parameters
        ----------
        picture : uint8 (h, w, 3)
            As `small_picture` gives it.
        time : float
            Seconds.
        """
        empty = self.pictures[min(max(int(time // WINDOW), min(self.pictures)), max(self.pictures))]
        # larger less smaller: the difference without leaving uint8
        apart = (np.maximum(picture, empty) - np.minimum(picture, empty)).max(axis=2)[self.mask]
        if not len(apart):
            return 255.0
        place = max(len(apart) - _PLACES, 0)
        return float(np.partition(apart, place)[place])


def small_picture(image: Image) -> Image:
    """Return a picture of at most `SIDE` px, each of them the mean of what it stands for."""
    import cv2

    height, width = image.shape[:2]
    scale = min(1.0, SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def background_of(
    pictures: Sequence[Image],
    times: Floats,
    until: float,
    regions: Sequence[Sequence[tuple[float, float]]] | None,
    size: tuple[int, int],
) -> Background:
    """Return the empty scene of a video.

    Parameters
    ----------
    pictures : sequence of uint8 (h, w, 3)
        Small pictures of some frames.
    times : float64 (n,)
        Their seconds.
    until : float
        Seconds that the scenes must reach to.
    regions : sequence of corners in px of the source, or None
        Outside of these nothing matters.
    size : (int, int)
        Width and height of the source.
    """
    stack = np.stack(list(pictures))
    first, last = int(times.min() // WINDOW), int(max(until, times.max()) // WINDOW)
    scenes = {}
    for window in range(first, last + 1):
        near = np.argsort(np.abs(times - (window + 0.5) * WINDOW), kind="stable")
        inside = near[(times[near] // WINDOW).astype(np.int64) == window]
        if len(inside) > _PICTURES:  # spread over the window, not its middle
            ordered = np.sort(inside)
            chosen = ordered[np.linspace(0, len(ordered) - 1, _PICTURES).round().astype(np.int64)]
        else:
            chosen = inside if len(inside) >= _PICTURES // 2 else near[: _PICTURES // 2]
        scenes[window] = np.median(stack[chosen], axis=0).round().astype(np.uint8)
    return Background(scenes, _mask(regions, stack.shape[1:3], size))


def _mask(
    regions: Sequence[Sequence[tuple[float, float]]] | None, shape: tuple[int, int], size: tuple[int, int]
) -> NDArray[np.bool_]:
    import cv2

    if regions is None:
        return np.ones(shape, bool)
    height, width = shape
    canvas = np.zeros(shape, np.uint8)
    for corners in regions:
        points = np.array([(x * width / size[0], y * height / size[1]) for x, y in corners])
        cv2.fillPoly(canvas, [np.floor(points).astype(np.int32)], 1)
    # A foot on the border belongs to an object that stands beside or above it, a place or two away.
    return np.asarray(cv2.dilate(canvas, np.ones((5, 5), np.uint8)), bool)
