"""Pictures of boxes: one pass over the frames that hold them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from workbench.video.source_base import Source

__all__ = ["crop", "crop_images"]

Image = NDArray[np.uint8]


def crop(image: Image, box: NDArray[np.float64]) -> Image:
    """Return a copy of the part of a picture that a box covers, clipped to the picture, at least 1x1.

    Parameters
    ----------
    image : uint8 (height, width, channels)
    box : float64 (4,)
        x1, y1, x2, y2 in px; pixels that the box touches belong to it.
    """
    height, width = image.shape[:2]
    x1, y1 = int(np.clip(np.floor(box[0]), 0, width - 1)), int(np.clip(np.floor(box[1]), 0, height - 1))
    x2, y2 = int(np.clip(np.ceil(box[2]), x1 + 1, width)), int(np.clip(np.ceil(box[3]), y1 + 1, height))
    return image[y1:y2, x1:x2].copy()


def crop_images(
    source: Source, frames: NDArray[np.int64], boxes: NDArray[np.float64], *, threads: int | None = None
) -> list[Image]:
    """Cut boxes out of a video, decoding each frame once.

    Parameters
    ----------
    source : Source
    frames : int64 (n,)
        The frame of each box, in any order.
    boxes : float64 (n, 4)
        x1, y1, x2, y2 in px of the source.
    threads : int, optional
        Decoder threads; by default the source's own choice.

    Returns
    -------
    list of uint8 (height, width, 3)
        BGR copies in the order of `boxes`. A box on a frame that cannot be decoded gives an empty (0, 0, 3) picture,
        which no model and no function takes for a real one.
    """
    wanted = np.asarray(frames, np.int64)
    corners = np.asarray(boxes, np.float64).reshape(-1, 4)
    crops: list[Image] = [np.empty((0, 0, 3), np.uint8)] * len(wanted)
    order = np.argsort(wanted, kind="stable")
    ordered = wanted[order]
    options = {} if threads is None else {"threads": threads}
    for index, _time, image in source.frames_at(np.unique(ordered), **options):
        first, last = np.searchsorted(ordered, [index, index + 1])
        for row in order[first:last]:
            crops[row] = crop(image, corners[row])
    return crops
