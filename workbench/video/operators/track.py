"""The tracker: detections of a video, frame after frame, become tracks with ids.

An ordered fold: what a frame's boxes become depends on the frames before it alone, so that cutting the video into
chunks never changes an answer, and the state after any frame can be stored and taken up again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from workbench.video.models.base import DetectorSpec, Thresholds
from workbench.video.models.given import read_mot
from workbench.video.models.labels import SMALL, track_groups
from workbench.video.operators.track_custom import CustomFold
from workbench.video.operators.track_rows import Rows, SortedDetections, assemble_tracks, sort_detections
from workbench.video.tracks import Floats, Frames, Ints, Tracks

__all__ = ["TRACKER_VERSION", "TrackFold", "fold_for", "read_mot", "tracker_version"]

#: Part of cache keys: changes whenever the same detections would give other tracks.
TRACKER_VERSION = "1"

CONFIRM_AT = 3  # detections until a track counts
UNCONFIRMED_UNSEEN = 2  # processed frames without a box until an unconfirmed track ends
CONFIRMED_UNSEEN = 2.0  # seconds without a box until a confirmed track ends
GROW = 0.3  # of its size, on each side, before boxes are compared in steps 1 and 3
MATCH_GROWN = 0.2  # least IoU of grown boxes
MATCH_LOW = 0.4  # least plain IoU with a box of low score (step 2)
KEEP_VELOCITY = 0.7  # share of the old velocity; the first one seen counts half
LEAST_STEP = 1e-3  # seconds; two frames of one time must not give an endless velocity

_NO_INDEX: Ints = np.empty(0, np.int64)
_PLAIN, _GROWN, _CENTER = slice(0, 4), slice(4, 8), slice(8, 12)
_PLAIN_AREA, _GROWN_AREA = 12, 13
_STEP, _HITS, _SERIAL, _ID, _GROUP = range(5)


def _geometry(box: Floats) -> Floats:
    """Return for boxes (n, 4) all that matching needs, (n, 14).

    Plain box, grown box and centre with the second half negated (x1, y1, -x2, -y2): one maximum then intersects two
    boxes, and one sum moves one. Last the areas of both.
    """
    size = box[:, 2:] - box[:, :2]
    center = (box[:, 2:] + box[:, :2]) / 2
    margin = size * GROW
    grown = (1 + 2 * GROW) * size
    return np.column_stack(
        (
            box[:, :2], -box[:, 2:], box[:, :2] - margin, -box[:, 2:] - margin, center, -center,
            size[:, 0] * size[:, 1], grown[:, 0] * grown[:, 1],
        )
    )  # fmt: skip


def _overlap(left: Floats, right: Floats, left_area: Floats, right_area: Floats) -> Floats:
    """Return the IoU (n, m) of boxes whose second half is negated."""
    edges = np.maximum(left[:, None, :], right)
    size = edges[..., :2] + edges[..., 2:]
    np.minimum(size, 0.0, out=size)
    shared = size[..., 0] * size[..., 1]
    return shared / (left_area[:, None] + right_area - shared)


def _assign(overlap: Floats, possible: NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """Return the pairs (rows, columns) of the assignment with the largest sum of overlaps, among the possible ones."""
    rows, columns = possible.nonzero()
    count = len(rows)
    if count < 2 or (len(set(rows.tolist())) == count and len(set(columns.tolist())) == count):
        return rows, columns
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(np.where(possible, overlap, 0.0), maximize=True)
    good = possible[rows, columns]
    return rows[good], columns[good]


class _Active:
    """The tracks that may still grow, as columns: confirmed ones first, by id, then the others, by serial."""

    columns = ("data", "velocity", "seen", "whole", "first")

    def __init__(self) -> None:
        self.data: Floats = np.empty((0, 14))  # geometry of the last box
        self.velocity: Floats = np.empty((0, 4))  # of the centre and its negative, px/s
        self.seen: Floats = np.empty(0)  # time of the last box
        self.whole: Ints = np.empty((0, 5), np.int64)  # processed frame of the last box, boxes, serial, id or 0, group
        self.first: Floats = np.empty((0, 4))  # frame, x1, y1, label of the first box: they order the ids
        self.confirmed = 0  # how many are

    def __len__(self) -> int:
        return len(self.seen)

    def take(self, which: NDArray) -> None:
        for name in self.columns:
            setattr(self, name, getattr(self, name)[which])
        self.confirmed = int(np.count_nonzero(self.whole[:, _ID]))

    def match(
        self, step: int, time: float, geometry: Floats, group: Ints, high: NDArray[np.bool_]
    ) -> tuple[Ints, Ints]:
        """Return pairs of positions: of tracks and of one frame's boxes. All groups at once; none meets another."""
        known = self.confirmed
        shift = self.velocity * (time - self.seen)[:, None]
        overlap = _overlap(
            self.data[:, _GROWN] + shift, geometry[:, _GROWN], self.data[:, _GROWN_AREA], geometry[:, _GROWN_AREA]
        )
        possible = overlap >= MATCH_GROWN
        possible &= self.whole[:, _GROUP, None] == group
        possible &= high
        tracks, boxes = _assign(overlap[:known], possible[:known])
        if len(boxes) == len(high):
            return tracks, boxes
        if len(tracks) < known and not high.all():
            late = self.whole[:known, _STEP] == step - 1
            late[tracks] = False
            more = self._match_low(late.nonzero()[0], (~high).nonzero()[0], shift, geometry, group)
            tracks, boxes = np.concatenate((tracks, more[0])), np.concatenate((boxes, more[1]))
        if len(self) > known:
            possible = possible[known:]
            possible[:, boxes] = False
            young, fresh = _assign(overlap[known:], possible)
            tracks, boxes = np.concatenate((tracks, young + known)), np.concatenate((boxes, fresh))
        return tracks, boxes

    def _match_low(self, late: Ints, weak: Ints, shift: Floats, geometry: Floats, group: Ints) -> tuple[Ints, Ints]:
        if not len(late) or not len(weak):
            return _NO_INDEX, _NO_INDEX
        mine, theirs = self.data[late], geometry[weak]
        overlap = _overlap(
            mine[:, _PLAIN] + shift[late], theirs[:, _PLAIN], mine[:, _PLAIN_AREA], theirs[:, _PLAIN_AREA]
        )
        possible = (overlap >= MATCH_LOW) & (self.whole[late, _GROUP, None] == group[weak])
        rows, columns = _assign(overlap, possible)
        return late[rows], weak[columns]

    def update(self, step: int, time: float, tracks: Ints, geometry: Floats) -> None:
        """Give tracks their new boxes."""
        seen = geometry[:, _CENTER] - self.data[tracks, _CENTER]
        seen /= np.maximum(time - self.seen[tracks], LEAST_STEP)[:, None]
        hits = self.whole[tracks, _HITS]
        self.velocity[tracks] = np.where(
            (hits == 1)[:, None], 0.5 * seen, KEEP_VELOCITY * self.velocity[tracks] + (1 - KEEP_VELOCITY) * seen
        )
        self.data[tracks] = geometry
        self.seen[tracks] = time
        self.whole[tracks, _STEP] = step
        self.whole[tracks, _HITS] = hits + 1

    def start(self, step: int, time: float, geometry: Floats, serials: Ints, group: Ints, first: Floats) -> None:
        """Add a track for each of these boxes."""
        count = len(serials)
        whole = np.column_stack(
            (np.full(count, step), np.ones(count, np.int64), serials, np.zeros(count, np.int64), group)
        )
        self.data = np.concatenate((self.data, geometry))
        self.velocity = np.concatenate((self.velocity, np.zeros((count, 4))))
        self.seen = np.concatenate((self.seen, np.full(count, time)))
        self.whole = np.concatenate((self.whole, whole))
        self.first = np.concatenate((self.first, first))

    def end(self, step: int, time: float) -> None:
        """Drop the tracks that have not been seen for too long."""
        if int(self.whole[:, _STEP].min()) == step:
            return
        gone = step - self.whole[:, _STEP] >= UNCONFIRMED_UNSEEN
        gone[: self.confirmed] = time - self.seen[: self.confirmed] > CONFIRMED_UNSEEN + 1e-6
        if gone.any():
            self.take(~gone)

    def confirm(self, next_id: int) -> dict[int, int]:
        """Give ids from `next_id` on to the tracks that have their third box now; return id by serial."""
        young = self.whole[self.confirmed :]
        if not len(young) or int(young[:, _HITS].max()) < CONFIRM_AT:
            return {}
        ready = np.flatnonzero(young[:, _HITS] >= CONFIRM_AT) + self.confirmed
        ready = ready[np.lexsort((self.whole[ready, _SERIAL], *self.first[ready].T[::-1]))]
        self.whole[ready, _ID] = np.arange(next_id, next_id + len(ready))
        given = dict(zip(self.whole[ready, _SERIAL].tolist(), self.whole[ready, _ID].tolist(), strict=True))
        order = np.lexsort((self.whole[:, _SERIAL], self.whole[:, _ID], self.whole[:, _ID] == 0))
        self.take(order)
        return given


class TrackFold:
    """Tracks of one video, grown frame by frame.

    Parameters
    ----------
    labels : tuple of str
        The detector's labels; `add_labels` appends more.
    tracking : tuple of float, or str
        Scores (low, high, new): boxes from `high` on continue tracks, those in between `low` and `high` continue tracks
        seen in the frame before, those from `new` on start tracks. Or the name of a registered tracker.
    dt : float
        Median step between processed frames in seconds; a registered tracker is made for 1 / dt frames a second.
    small : tuple of float, optional
        The same scores for bags and balls.
    together : bool
        Track all labels as one group.
    suitcases : bool
        Objects at rest become suitcases (the detector `motion`).
    """

    def __init__(
        self,
        labels: Sequence[str],
        tracking: Thresholds = (0.3, 0.6, 0.7),
        dt: float = 0.04,
        *,
        small: Thresholds | None = None,
        together: bool = False,
        suitcases: bool = False,
    ) -> None:
        self.labels: tuple[str, ...] = ()
        self.tracking, self.small, self.dt = tracking, small, dt
        self.together, self.suitcases = together, suitcases
        self._active = _Active()
        self._step, self._next_serial, self._next_id = 0, 0, 1
        self._rows: list[Rows] = []
        self._pending = Rows.empty()
        self.add_labels(labels)

    def add_labels(self, labels: Sequence[str]) -> Ints:
        """Append the labels not yet known, and return the index of each of `labels`."""
        fresh = [label for label in dict.fromkeys(labels) if label not in self.labels]
        if fresh or not self.labels:
            self.labels = (*self.labels, *fresh)
            self._members = track_groups(self.labels, together=self.together)
            self._group_of = np.zeros(len(self.labels) + 1, np.int64)
            for group, members in enumerate(self._members):
                self._group_of[list(members)] = group
            self._limits = np.array([self._thresholds(members) for members in self._members] or np.empty((0, 3)))
        return np.array([self.labels.index(label) for label in labels], np.int64)

    def _thresholds(self, members: Sequence[int]) -> Thresholds:
        small = self.small is not None and all(self.labels[label] in SMALL for label in members)
        return self.small if small and self.small is not None else self.tracking

    def __len__(self) -> int:
        return sum(len(rows) for rows in self._rows)

    def step(self, frames: Sequence[int], times: Sequence[float], detections: Sequence[Floats]) -> None:
        """Take in the boxes of the next processed frames.

        Parameters
        ----------
        frames : sequence of int
            Indices in the source, rising.
        times : sequence of float
            Seconds.
        detections : sequence of ndarray (k, 6)
            For each frame its boxes in any order: x1 y1 x2 y2 in px, score, index into `labels`.
        """
        found = sort_detections(detections, self._group_of, self._limits[:, 0])
        geometry, active = _geometry(found.box), self._active
        high = found.score >= self._limits[found.group, 1]
        new = found.score >= self._limits[found.group, 2]
        matched: list[tuple[Ints, Ints, Ints]] = []  # serials, ids, rows of `found`
        promoted: dict[int, int] = {}
        for at, time in enumerate(np.asarray(times, np.float64).tolist()):
            start, stop = found.starts[at], found.starts[at + 1]
            rest = new[start:stop]
            if len(active) and stop > start:
                tracks, boxes = active.match(
                    self._step, time, geometry[start:stop], found.group[start:stop], high[start:stop]
                )
                if len(tracks):
                    rest = rest.copy()
                    rest[boxes] = False
                    boxes = boxes + start
                    active.update(self._step, time, tracks, geometry[boxes])
                    matched.append((active.whole[tracks, _SERIAL], active.whole[tracks, _ID], boxes))
            fresh = rest.nonzero()[0] + start
            if len(fresh):
                matched.append(self._start(int(frames[at]), time, fresh, found, geometry))
            if len(active):
                active.end(self._step, time)
                if given := active.confirm(self._next_id):
                    promoted |= given
                    self._next_id += len(given)
            self._step += 1
        self._collect(found, np.asarray(frames, np.int64), np.asarray(times, np.float64), matched, promoted)

    def _start(
        self, frame: int, time: float, fresh: Ints, found: SortedDetections, geometry: Floats
    ) -> tuple[Ints, Ints, Ints]:
        serials = np.arange(self._next_serial, self._next_serial + len(fresh))
        self._next_serial += len(fresh)
        first = np.column_stack((np.full(len(fresh), frame), found.box[fresh, :2], found.label[fresh]))
        self._active.start(self._step, time, geometry[fresh], serials, found.group[fresh], first)
        return serials, np.zeros(len(fresh), np.int64), fresh

    def _collect(
        self,
        boxes: SortedDetections,
        frames: Ints,
        times: Floats,
        matched: list[tuple[Ints, Ints, Ints]],
        promoted: dict[int, int],
    ) -> None:
        """Turn matched boxes into rows; rows of unconfirmed tracks wait until these are confirmed or end."""
        if matched:
            serials, ids, index = (np.concatenate(part) for part in zip(*matched, strict=True))
            at = boxes.at[index]
            fresh = Rows(serials, ids, frames[at], times[at], boxes.label[index], boxes.score[index], boxes.box[index])
            waiting = Rows.joined([self._pending, fresh])
        else:
            waiting = self._pending
        if promoted:
            names = np.array(sorted(promoted), np.int64)
            place = np.minimum(np.searchsorted(names, waiting.serial), len(names) - 1)
            late = (waiting.id == 0) & (names[place] == waiting.serial)
            numbers = np.array([promoted[serial] for serial in names.tolist()], np.int64)
            waiting.id = np.where(late, numbers[place], waiting.id)
        done = waiting.take(waiting.id > 0)
        if len(done):
            self._rows.append(done)
        alive = self._active.whole[self._active.confirmed :, _SERIAL]
        self._pending = waiting.take((waiting.id == 0) & np.isin(waiting.serial, alive))

    def tracks(self, frames: Frames, width: int, height: int, interpolate: bool = True) -> Tracks:
        """Return the tracks confirmed so far.

        Parameters
        ----------
        frames : Frames
            All frames taken in so far.
        width, height : int
            Of the picture, px.
        interpolate : bool
            Fill gaps inside tracks linearly.
        """
        rows = Rows.joined(self._rows) if self._rows else Rows.empty()
        self._rows = [rows]
        return assemble_tracks(
            rows, self.labels, frames, width, height, interpolate=interpolate, suitcases=self.suitcases
        )

    def state(self, since: int = 0) -> dict[str, NDArray]:
        """Return all that the fold knows as arrays, to be stored and given to `from_state`.

        Parameters
        ----------
        since : int
            Leave out the first `since` confirmed rows (earlier states hold them): pass `len(fold)` as it was then.
        """
        rows = Rows.joined(self._rows) if self._rows else Rows.empty()
        self._rows = [rows]
        kept: dict[str, NDArray] = {
            "counters": np.array([self._step, self._next_serial, self._next_id, since], np.int64),
            "labels": np.array(self.labels, dtype=np.str_),
        }
        for name in _Active.columns:
            kept[f"active_{name}"] = getattr(self._active, name)
        for name in Rows.columns:
            kept[f"pending_{name}"] = getattr(self._pending, name)
            kept[f"rows_{name}"] = getattr(rows, name)[since:]
        return kept

    def restore(self, states: Mapping[str, NDArray] | Sequence[Mapping[str, NDArray]]) -> None:
        """Take up a stored state: one whole, or in order those that together hold all rows.

        Raises
        ------
        ValueError
            If the states do not follow one another.
        """
        parts = [states] if isinstance(states, Mapping) else list(states)
        self._rows, held = [], 0
        for part in parts:
            if int(part["counters"][3]) != held:
                raise ValueError("the states of the tracker do not follow one another")
            self._rows.append(Rows(*(part[f"rows_{name}"] for name in Rows.columns)))
            held += len(self._rows[-1])
        last = parts[-1]
        self._step, self._next_serial, self._next_id = (int(value) for value in last["counters"][:3])
        self._pending = Rows(*(last[f"pending_{name}"] for name in Rows.columns))
        self.labels = ()
        self.add_labels([str(label) for label in last["labels"]])
        self._active = _Active()
        for name in _Active.columns:
            setattr(self._active, name, np.array(last[f"active_{name}"]))
        self._active.take(np.arange(len(self._active)))


def fold_for(spec: DetectorSpec, dt: float) -> TrackFold | CustomFold:
    """Return the tracker that goes with a detector, at its beginning.

    Parameters
    ----------
    spec : DetectorSpec
    dt : float
        Median step between processed frames in seconds.
    """
    if isinstance(spec.tracking, str):
        from workbench.video.models.registry import tracker

        factory, _ = tracker(spec.tracking)
        return CustomFold(spec.tracking, factory, spec.labels, dt, together=spec.together)
    return TrackFold(spec.labels, spec.tracking, dt, small=spec.small, together=spec.together, suitcases=spec.suitcases)


def tracker_version(spec: DetectorSpec) -> str:
    """Return what of the tracker goes into cache keys: its version and parameters."""
    if isinstance(spec.tracking, str):
        from workbench.video.models.registry import tracker

        return f"{spec.tracking}/{tracker(spec.tracking)[1]}"
    return f"workbench/{TRACKER_VERSION}/{spec.tracking}/{spec.small}/{spec.together}/{spec.suitcases}"
