"""What two objects are to each other, row by row: distance, how fast it falls, likeness."""

from __future__ import annotations

import numpy as np

from workbench.video.operators.columns import TIME_TOLERANCE, Column
from workbench.video.operators.geometry import Scale, length
from workbench.video.operators.motion_props import STEP
from workbench.video.tracks import Floats, Ints, Tracks

__all__ = ["alike", "closing", "feet_distance"]


def feet_distance(tracks: Tracks, first: Ints, second: Ints, scale: Scale | None) -> Floats:
    """Return the distances of the feet of rows, in m with a scale, else in px."""
    a, b = tracks.foot[first], tracks.foot[second]
    return np.asarray(length(b - a) if scale is None else scale.metres(a, b))


def closing(tracks: Tracks, first: Ints, second: Ints, scale: Scale | None) -> Column:
    """Return how fast the distance of rows falls, per second.

    It is compared with that at the latest frame at or before t - 0.5 s at which both objects are there; missing
    before that.
    """
    times, base = tracks.frames.time, len(tracks.frames) + 1
    keys = tracks.owner * base + tracks.position
    behind = np.searchsorted(times, times - STEP + TIME_TOLERANCE, side="right") - 1
    place = behind[tracks.position[first]] if len(first) else np.empty(0, np.int64)
    one, other = np.array(first, np.int64), np.array(second, np.int64)
    known = place >= 0
    left = np.flatnonzero(known)
    while len(left):
        # the latest row of each by then; where these are of two frames, again by the earlier one
        found = [
            np.searchsorted(keys, tracks.owner[rows[left]] * base + place[left], side="right") - 1
            for rows in (first, second)
        ]
        there = np.logical_and.reduce(
            [
                (at >= 0) & (tracks.owner[at] == tracks.owner[rows[left]])
                for at, rows in zip(found, (first, second), strict=True)
            ]
        )
        known[left[~there]] = False
        left, found = left[there], [at[there] for at in found]
        spots = [tracks.position[at] for at in found]
        same = spots[0] == spots[1]
        one[left[same]], other[left[same]] = found[0][same], found[1][same]
        place[left] = np.minimum(*spots)
        left = left[~same]
    elapsed = np.where(known, tracks.time[first] - tracks.time[one], 1.0)
    fall = feet_distance(tracks, one, other, scale) - feet_distance(tracks, first, second, scale)
    return Column(fall / elapsed, known)


def alike(first: Column, second: Column, least: float) -> Column:
    """Return where two columns of vectors have a cosine of at least so much."""
    valid = first.valid & second.valid
    true = np.zeros(len(valid), bool)
    rows = np.flatnonzero(valid)
    known: dict[tuple[int, int], bool] = {}
    for row, a, b in zip(rows.tolist(), first.values[rows], second.values[rows], strict=True):
        # a track has one vector, so pairs of tracks come again in every frame
        key = (id(a), id(b))
        if key not in known:
            known[key] = _cosine(np.asarray(a, float), np.asarray(b, float)) >= least
        true[row] = known[key]
    return Column.condition(true, valid)


def _cosine(a: Floats, b: Floats) -> float:
    size = float(np.sqrt(a @ a) * np.sqrt(b @ b))
    return float(a @ b) / size if size > 0 else float("nan")
