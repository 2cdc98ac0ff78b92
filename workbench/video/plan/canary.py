"""Choices under `accuracy`: the frames that a canary looks at, and what it must show before a cheaper plan is used.

The canary is single frames, one from each of equal time strata. They are run at full quality until enough of them are
positive: show something that the query asks about. A cheaper plan is legal when, on these frames, the lower ends of
Wilson's 95 % intervals of its recall and its precision reach the accuracy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workbench.video.shares import Measured
from workbench.video.tracks import Floats, Ints

__all__ = [
    "EVERY", "MOST", "SCALES", "WORTH", "Cascade", "Skip", "Trial", "cheapest", "hopeless", "next_round",
    "positives_needed", "strata",
]  # fmt: skip

#: the canary's frames, as a share of all, at most
MOST = 0.1
#: sides of smaller pictures for the detector, as shares of the full ones
SCALES = (0.75, 0.5)
#: coarser steps between processed frames, as multiples of the one asked for
EVERY = (2, 3, 5)
#: a plan that costs more than this share of the exact one is not worth its errors
WORTH = 0.95
#: a test of a frame costs this share of a full detection
_TEST = 0.02
_LEAST_POSITIVES, _SQUARE = 32, 3.8416


@dataclass(frozen=True)
class Skip:
    """A test that a frame must pass: its score is `threshold` or more.

    Attributes
    ----------
    name : str
        ``"background"`` (how far the picture is from the empty scene), or a registered proxy's.
    """

    name: str
    threshold: float

    def __str__(self) -> str:
        if self.name == "background":
            return f"skip frames within {self.threshold:.3g} of the background"
        return f"skip frames of {self.name} below {self.threshold:.3g}"


@dataclass(frozen=True)
class Cascade:
    """A plan that does less: frames that fail a test are taken for empty, the others are looked at more cheaply.

    Attributes
    ----------
    skips : tuple of Skip
        All must be passed.
    scale : float
        Side of the detector's picture, as a share of the full one.
    every : int
        Only each so manieth of the frames asked for.
    """

    skips: tuple[Skip, ...] = ()
    scale: float = 1.0
    every: int = 1

    @property
    def exact(self) -> bool:
        """Whether nothing is left out."""
        return self == Cascade()

    def cost(self, passed: float) -> float:
        """Return its work as a share of the exact plan's, when this share of the frames passes the tests."""
        return (passed * self.scale**2 + _TEST * len(self.skips)) / self.every

    def __str__(self) -> str:
        parts = [str(skip) for skip in self.skips]
        if self.scale != 1.0:
            parts.append(f"detector on pictures of {100 * self.scale:.0f} % size")
        if self.every > 1:
            parts.append(f"every={self.every}")
        return "; ".join(parts) or "exact"


@dataclass(frozen=True)
class Trial:
    """A cheaper plan as measured on the canary.

    Attributes
    ----------
    plan : Cascade
    recall, precision : Measured
        Of the exact plan's objects, and of its own.
    passed : float
        Share of the canary's frames that pass the tests.
    complete : bool
        Whether it was run on the whole canary; if not, it had failed before.
    """

    plan: Cascade
    recall: Measured
    precision: Measured
    passed: float = 1.0
    complete: bool = True

    @property
    def cost(self) -> float:
        """Work of the detector and the tests, as a share of the exact plan's."""
        return self.plan.cost(self.passed)

    def legal(self, accuracy: float) -> bool:
        """Whether it may be used: both lower bounds reach the accuracy."""
        return self.complete and self.recall.low >= accuracy and self.precision.low >= accuracy


def positives_needed(accuracy: float) -> int:
    """Return how many positive frames a canary must have.

    With so many, a plan that makes no mistake on them reaches the accuracy with its lower bound, and hardly any other.
    """
    return max(_LEAST_POSITIVES, math.ceil(_SQUARE * accuracy / (1.0 - accuracy)))


def strata(frames: Ints, times: Floats, seed: str, most: int) -> Ints:
    """Return the frames that a canary may look at, one from each of equal time strata, in the order to look at them.

    Parameters
    ----------
    frames, times : int64 (n,), float64 (n,)
        The frames to process, ascending, and their seconds.
    seed : str
        Hex digits: the hash of the video's content.
    most : int
        Number of strata. One without any frame (of an uneven rate) gives none.

    Returns
    -------
    int64 (m,)
        Any first part of it is spread evenly over time.
    """
    if most < 1 or not len(frames):
        return np.empty(0, np.int64)
    step = float(np.median(np.diff(times))) if len(times) > 1 else 1.0
    edges = np.linspace(times[0], times[-1] + step, most + 1)
    # a frame on an edge belongs to the stratum that it starts, however the edge was rounded
    borders = np.searchsorted(times, edges - 1e-9)
    borders[0], borders[-1] = 0, len(frames)
    drawn = np.random.default_rng(int(seed[:16], 16)).random(most)
    count = np.diff(borders)
    chosen = frames[np.minimum(borders[:-1] + np.floor(drawn * count).astype(np.int64), len(frames) - 1)]
    order = _spread(most)
    found: Ints = chosen[order][count[order] > 0]
    return found


def next_round(positives: int, seen: int, needed: int, left: int) -> int:
    """Return how many more frames to look at, so that few rounds are made and few frames too many are seen.

    Parameters
    ----------
    positives, seen : int
        Positive frames so far, of so many.
    needed, left : int
        Positive frames wanted, and frames that may still be looked at.
    """
    if not seen:
        return min(needed, left)
    rate = max(positives, 1) / seen
    return min(left, max(8, min(math.ceil(1.1 * (needed - positives) / rate), 3 * seen)))


def hopeless(so_far: Measured, whole: Measured, accuracy: float) -> bool:
    """Return whether a share cannot reach the accuracy any more, were all that follows right.

    Parameters
    ----------
    so_far : Measured
        On a part of the canary.
    whole : Measured
        The frames and objects of all of it.
    """
    best = Measured(whole.frames, whole.objects - (so_far.objects - so_far.found), whole.objects)
    return best.low < accuracy


def cheapest(trials: Sequence[Trial], accuracy: float) -> Trial | None:
    """Return the legal plan of least cost that is worth it; of two that cost the same, the one tried first."""
    legal = [trial for trial in trials if trial.legal(accuracy) and trial.cost <= WORTH]
    return min(legal, key=lambda trial: trial.cost, default=None)


def _spread(count: int) -> Ints:
    """Return 0 ... count - 1 in bit-reversed order: any first part of it is spread evenly."""
    bits = max(1, (count - 1).bit_length())
    numbers = np.arange(1 << bits)
    turned = np.zeros_like(numbers)
    for bit in range(bits):
        turned |= ((numbers >> bit) & 1) << (bits - 1 - bit)
    return turned[turned < count].astype(np.int64)
