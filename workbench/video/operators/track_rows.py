"""Rows before and after the tracker: a chunk's boxes in order, and matched boxes as tracks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.video.tracks import Floats, Frames, Ints, Tracks

__all__ = ["Rows", "SortedDetections", "assemble_tracks", "sort_detections"]

MERGE = 0.7  # boxes of one group that overlap by more are one object
REST_BELOW = 0.15  # speed in box sizes per second (as the property `still` has it)


@dataclass
class Rows:
    """Boxes that belong to tracks, as columns; `id` is 0 while a track is not confirmed."""

    serial: Ints
    id: Ints
    frame: Ints
    time: Floats
    label: Ints
    score: Floats
    box: Floats

    columns = ("serial", "id", "frame", "time", "label", "score", "box")

    @classmethod
    def empty(cls) -> Rows:
        """Return no rows."""
        none = np.empty(0, np.int64)
        return cls(none, none, none, np.empty(0), none, np.empty(0), np.empty((0, 4)))

    @classmethod
    def joined(cls, parts: Sequence[Rows]) -> Rows:
        """Return all rows of `parts`, in their order."""
        if len(parts) == 1:
            return parts[0]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.columns))

    def __len__(self) -> int:
        return len(self.id)

    def take(self, which: NDArray) -> Rows:
        """Return the rows of a mask or of indices."""
        return Rows(*(getattr(self, name)[which] for name in self.columns))


@dataclass
class SortedDetections:
    """A chunk's boxes by (frame, group, x1, y1): merged, and without those no tracker looks at."""

    box: Floats
    score: Floats
    label: Ints
    group: Ints
    at: Ints  # position of the frame in the chunk
    starts: list[int]  # first row of each frame, and the number of rows


def sort_detections(detections: Sequence[Floats], group_of: Ints, low: Floats) -> SortedDetections:
    """Bring a chunk's boxes in the one order that the tracker sees, whatever order they came in.

    Parameters
    ----------
    detections : sequence of ndarray (k, 6)
        One array for each frame: x1 y1 x2 y2 score label.
    group_of : ndarray of int64
        Group of each label.
    low : ndarray of float64
        Least score of each group.
    """
    rows = np.concatenate([*detections, np.empty((0, 6))])
    at = np.repeat(np.arange(len(detections)), [len(part) for part in detections])
    label = rows[:, 5].astype(np.int64)
    group = group_of[label]
    keep = rows[:, 4] >= low[group]
    rows, at, label, group = rows[keep], at[keep], label[keep], group[keep]
    order = np.lexsort((label, -rows[:, 4], rows[:, 3], rows[:, 2], rows[:, 1], rows[:, 0], group, at))
    rows, at, label, group = rows[order], at[order], label[order], group[order]
    key = at * (len(low) + 1) + group
    alive = _merged(rows, key, label)
    rows, at, label, group = rows[alive], at[alive], label[alive], group[alive]
    starts = np.searchsorted(at, np.arange(len(detections) + 1)).tolist()
    return SortedDetections(np.ascontiguousarray(rows[:, :4]), rows[:, 4].copy(), label, group, at, starts)


def _merged(rows: Floats, key: Ints, label: Ints) -> NDArray[np.bool_]:
    """Return which rows stay when boxes of one key that overlap too much become the one of higher score."""
    area = (rows[:, 2] - rows[:, 0]) * (rows[:, 3] - rows[:, 1])
    rank = np.empty(len(rows), np.int64)
    rank[np.lexsort((label, rows[:, 1], rows[:, 0], -rows[:, 4]))] = np.arange(len(rows))
    better, worse = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for lag in range(1, len(rows)):
        same = np.flatnonzero(key[lag:] == key[:-lag])
        if not len(same):
            break
        one, two = rows[same], rows[same + lag]
        wide = np.minimum(one[:, 2], two[:, 2]) - np.maximum(one[:, 0], two[:, 0])
        high = np.minimum(one[:, 3], two[:, 3]) - np.maximum(one[:, 1], two[:, 1])
        shared = np.maximum(wide, 0) * np.maximum(high, 0)
        clash = same[shared > MERGE * (area[same] + area[same + lag] - shared)]
        first = rank[clash] < rank[clash + lag]
        better.append(np.where(first, clash, clash + lag))
        worse.append(np.where(first, clash + lag, clash))
    return _survivors(len(rows), np.concatenate(better), np.concatenate(worse))


def _survivors(count: int, better: Ints, worse: Ints) -> NDArray[np.bool_]:
    """Return what greedy suppression by falling rank keeps, from all pairs that clash."""
    alive = np.ones(count, bool)
    while True:
        open_ = alive[better] & alive[worse]
        blocked = np.zeros(count, bool)
        blocked[worse[open_]] = True
        # What nothing better clashes with is sure to stay, and takes away what it clashes with.
        beaten = worse[open_ & ~blocked[better]]
        if not len(beaten):
            return alive
        alive[beaten] = False


def assemble_tracks(
    rows: Rows,
    labels: tuple[str, ...],
    frames: Frames,
    width: int,
    height: int,
    *,
    interpolate: bool = True,
    suitcases: bool = False,
) -> Tracks:
    """Return the tracks of confirmed rows: one label for each, gaps filled linearly.

    Parameters
    ----------
    rows : Rows
        Confirmed rows in any order.
    labels : tuple of str
        Names of the label indices.
    frames : Frames
        All processed frames.
    width, height : int
        Of the picture, px.
    interpolate : bool
        Fill gaps.
    suitcases : bool
        Objects at rest for half their life and smaller than half the median person become suitcases.
    """
    rows = rows.take(np.lexsort((rows.frame, rows.id)))
    _, owner = np.unique(rows.id, return_inverse=True)
    label = _voted(rows, owner, len(labels))
    box, time, frame, identity, score = rows.box, rows.time, rows.frame, rows.id, rows.score
    filled = np.zeros(len(rows), bool)
    if interpolate and len(rows) > 1:
        position = frames.position(frame)
        gap = np.where(np.diff(owner) == 0, np.diff(position) - 1, 0)
        before = np.repeat(np.arange(len(gap)), gap)
        inner = np.arange(len(before)) - np.repeat(np.cumsum(gap) - gap, gap) + 1
        at = position[before] + inner
        moment = frames.time[at]
        share = ((moment - time[before]) / (time[before + 1] - time[before]))[:, None]
        order = np.lexsort((np.concatenate((frame, frames.frame[at])), np.concatenate((identity, identity[before]))))
        box = np.concatenate((box, box[before] + (box[before + 1] - box[before]) * share))[order]
        time = np.concatenate((time, moment))[order]
        frame = np.concatenate((frame, frames.frame[at]))[order]
        score = np.concatenate((score, np.full(len(before), np.nan)))[order]
        label = np.concatenate((label, label[before]))[order]
        identity = np.concatenate((identity, identity[before]))[order]
        filled = np.concatenate((filled, np.ones(len(before), bool)))[order]
    if suitcases:
        label = _with_suitcases(labels, identity, time, label, box)
    return Tracks(frames, width, height, labels, identity, frame, time, label, score, box, filled)


def _voted(rows: Rows, owner: Ints, count: int) -> Ints:
    """Return for each row the label of its track with the largest sum of scores (ties: first in order)."""
    if not len(rows):
        return rows.label
    key = owner * count + rows.label
    size = (int(owner[-1]) + 1) * count
    sums = np.bincount(key, weights=rows.score, minlength=size)
    sums[np.bincount(key, minlength=size) == 0] = -np.inf
    return sums.reshape(-1, count).argmax(axis=1)[owner]


def _with_suitcases(labels: tuple[str, ...], identity: Ints, time: Floats, label: Ints, box: Floats) -> Ints:
    if not len(identity) or not {"object", "suitcase", "person"} <= set(labels):
        return label
    thing, case, person = (labels.index(name) for name in ("object", "suitcase", "person"))
    size = (box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])
    if not (label == person).any():
        return label
    limit = float(np.median(size[label == person])) / 2
    changed = label.copy()
    foot = np.column_stack(((box[:, 0] + box[:, 2]) / 2, box[:, 3]))
    for one in np.unique(identity[label == thing]):
        mine = np.flatnonzero(identity == one)
        # The latest row at least one second earlier, as for the property `still`.
        back = np.searchsorted(time[mine], time[mine] - 1.0 + 1e-6, side="right") - 1
        late = mine[back >= 0]
        early = mine[back[back >= 0]]
        step = np.hypot(*(foot[late] - foot[early]).T) / (time[late] - time[early]) / np.sqrt(size[late])
        if 2 * np.count_nonzero(step < REST_BELOW) >= len(mine) and np.median(size[mine]) < limit:
            changed[mine] = case
    return changed
