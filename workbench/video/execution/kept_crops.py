"""Crops that one property was shown, kept for the next: decoding a few frames again costs more than most calls."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["LARGEST", "KeptCrops"]

Image = NDArray[np.uint8]

#: bytes of a crop that travels with a task: 64 of them stay small beside the work
LARGEST = 128 << 10
#: bytes of all that are kept
_MOST = 64 << 20


@dataclass
class KeptCrops:
    """Crops of one video by frame and box; beyond 64 MiB the oldest are dropped."""

    _images: dict[tuple[int, bytes], Image] = field(default_factory=dict)
    _bytes: int = 0

    def known(self, frames: NDArray[np.int64], boxes: NDArray[np.float64]) -> dict[int, Image]:
        """Return those of these boxes that are here, by position.

        Parameters
        ----------
        frames, boxes : int64 (n,), float64 (n, 4)
        """
        found = {}
        for at in range(len(frames)):
            image = self._images.get(_key(frames, boxes, at))
            if image is not None:
                found[at] = image
        return found

    def keep(self, frames: NDArray[np.int64], boxes: NDArray[np.float64], images: dict[int, Image]) -> None:
        """Keep crops of boxes, by position."""
        for at, image in images.items():
            key = _key(frames, boxes, at)
            if key not in self._images:
                self._images[key] = image
                self._bytes += image.nbytes
        while self._bytes > _MOST:
            self._bytes -= self._images.pop(next(iter(self._images))).nbytes


def _key(frames: NDArray[np.int64], boxes: NDArray[np.float64], at: int) -> tuple[int, bytes]:
    return int(frames[at]), boxes[at].tobytes()
