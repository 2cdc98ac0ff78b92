"""One value for a whole track: its best crops, and the vote over what these show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from workbench.video.operators.columns import TIME_TOLERANCE
from workbench.video.operators.motion_props import box_area
from workbench.video.tracks import Floats, Ints, Tracks

__all__ = ["MOST_CROPS", "best_crops", "crop_quality", "mean_vector", "vote", "votes_needed"]

#: So many crops of a track are looked at, this far apart where the track is long enough (seconds).
MOST_CROPS, CROP_SPACING = 5, 0.5


def crop_quality(tracks: Tracks) -> Floats:
    """Return score * sqrt(area), halved where the box touches the picture's edge; NaN on interpolated rows."""
    box = tracks.box
    touches = (box[:, 0] <= 0) | (box[:, 1] <= 0) | (box[:, 2] >= tracks.width) | (box[:, 3] >= tracks.height)
    return np.where(tracks.interpolated, np.nan, tracks.score * np.sqrt(box_area(box)) * np.where(touches, 0.5, 1.0))


def best_crops(tracks: Tracks, track: int, quality: Floats, most: int = MOST_CROPS) -> Ints:
    """Return the rows of a track's best crops, best first.

    Detected rows by quality, taken greedily at least 0.5 s apart, then the rest by quality; ties by frame.

    Parameters
    ----------
    tracks : Tracks
    track : int
        Index of the track in `tracks.ids`.
    quality : ndarray of float64, shape (rows,)
        As `crop_quality` gives it.
    """
    start, stop = tracks.offsets[track : track + 2].tolist()
    rows = start + np.flatnonzero(~np.isnan(quality[start:stop]))
    rows = rows[np.argsort(-quality[rows], kind="stable")]
    time = tracks.time[rows]
    taken: list[int] = []
    free = np.ones(len(rows), bool)
    while len(taken) < most and free.any():
        best = int(np.argmax(free))
        taken.append(best)
        free &= np.abs(time - time[best]) >= CROP_SPACING - TIME_TOLERANCE
        free[best] = False
    if len(taken) < most:
        taken += [row for row in range(min(len(rows), most + len(taken))) if row not in taken][: most - len(taken)]
    return rows[np.array(taken, np.int64)]


def vote(values: Sequence[Any]) -> Any:
    """Return the median of floats, else the most frequent value (ties: the one seen first); None of nothing.

    Parameters
    ----------
    values : sequence
        What the crops gave, best crop first; None (missing) does not vote.
    """
    cast = [value for value in values if value is not None]
    if not cast:
        return None
    numbers = [value for value in cast if isinstance(value, (int, float)) and not isinstance(value, bool)]
    if len(numbers) == len(cast) and any(isinstance(value, float) for value in cast):
        return float(np.median(numbers))
    return _ranked(cast)[0][0]


def mean_vector(values: Sequence[Any]) -> Any:
    """Return the direction of the sum of unit vectors, which is nearest to all of them; None of nothing."""
    cast = [np.asarray(value, float) for value in values if value is not None]
    sizes = [float(np.sqrt(vector @ vector)) for vector in cast]
    units = [vector / size for vector, size in zip(cast, sizes, strict=True) if size > 0]
    if not units:
        return None
    total = np.sum(units, axis=0)
    size = float(np.sqrt(total @ total))
    return (total / size if size > 0 else units[0]).astype(np.float32)


def _ranked(cast: Sequence[Any]) -> list[tuple[Any, int]]:
    """Return (value, votes), most votes first, ties in the order of their first vote."""
    try:
        return Counter(cast).most_common()
    except TypeError:  # lists and arrays cannot be counted by hash
        first: dict[str, Any] = {}
        for value in cast:
            first.setdefault(repr(value), value)
        return [(first[key], count) for key, count in Counter(map(repr, cast)).most_common()]


def votes_needed(values: Sequence[Any], total: int) -> int:
    """Return how many more crops must vote before the outcome can be certain; 0 when it is.

    A lower bound that always leads on: looking at so many crops more wastes no call.

    Parameters
    ----------
    values : sequence
        The votes so far, None for missing ones.
    total : int
        How many crops there are.
    """
    left = total - len(values)
    if left <= 0:
        return 0
    cast = [value for value in values if value is not None]
    if not cast:
        return min(left, max(1, (left + 1) // 2))
    ranked = _ranked(cast)
    leader = ranked[0][1]
    if any(isinstance(value, (int, float)) and not isinstance(value, bool) for value in cast):
        # of numbers the median may be wanted: certain only once one value has more than half of all votes
        return min(left, max(0, total // 2 + 1 - leader))
    # any other value may still get all that is left, and wins a tie if it was seen before the leader
    first = [next(i for i, vote in enumerate(cast) if _same(vote, value)) for value, _ in ranked]
    rivals = [count + (seen < first[0]) for (_, count), seen in zip(ranked[1:], first[1:], strict=True)]
    strongest = max([0, *rivals])
    return next(more for more in range(left + 1) if more == left or leader + more >= strongest + left - more)


def _same(one: Any, other: Any) -> bool:
    return one is other or repr(one) == repr(other)
