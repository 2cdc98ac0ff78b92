"""What a count of trials tells of a share."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Measured", "wilson"]

#: the 97.5 % point of the normal distribution
_Z = 1.959963984540054


def wilson(right: float, count: float) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share.

    Parameters
    ----------
    right, count : float
        Successes (a part of a trial may count), and trials (at least one).
    """
    share, square = right / count, _Z * _Z
    middle = share + square / (2 * count)
    half = _Z * math.sqrt(share * (1 - share) / count + square / (4 * count * count))
    whole = 1 + square / count
    return max(0.0, (middle - half) / whole), min(1.0, (middle + half) / whole)


@dataclass(frozen=True)
class Measured:
    """Objects of some frames, found or not: the frames are the trials, as objects of one frame are not independent.

    Attributes
    ----------
    frames : int
        Frames with at least one object.
    found, objects : int
        Objects that the other side has too, of all.
    """

    frames: int
    found: int
    objects: int

    @property
    def share(self) -> float:
        """Share of the objects that were found; 1 where there are none."""
        return self.found / self.objects if self.objects else 1.0

    @property
    def low(self) -> float:
        """Lower end of Wilson's 95 % interval; 0 where nothing was measured."""
        return wilson(self.share * self.frames, self.frames)[0] if self.frames else 0.0
