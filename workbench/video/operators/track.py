"""The tracker: detections of a video, frame after frame, become tracks with ids.

An ordered fold: what a frame's boxes become depends on the frames before it alone, so that cutting the video into
chunks never changes an answer, and the state after any frame can be stored and taken up again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from workbench.video.models.base import DetectorSpec, Thresholds
from workbench.video.models.boxes import iou_matrix
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
GROW = 0.3  # of its size, on each side, before boxes are compared in step 1
MATCH_GROWN = 0.2  # least IoU of grown boxes (steps 1 and 3)
MATCH_LOW = 0.4  # least plain IoU with a box of low score (step 2)
KEEP_VELOCITY = 0.7  # share of the old velocity; the first one seen counts half
LEAST_STEP = 1e-3  # seconds; two frames of one time must not give an endless velocity

_NO_INDEX: Ints = np.empty(0, np.int64)


class _Group:
    """The active tracks of one group, as columns; confirmed ones first to be matched, all in order of `serial`."""

    def __init__(self, thresholds: Thresholds) -> None:
        self.low, self.high, self.new = thresholds
        self.box: Floats = np.empty((0, 4))
        self.velocity: Floats = np.empty((0, 2))  # of the centre, px/s
        self.seen: Floats = np.empty(0)  # time of the last box
        self.step: Ints = _NO_INDEX  # processed frame of the last box
        self.hits: Ints = _NO_INDEX
        self.serial: Ints = _NO_INDEX
        self.id: Ints = _NO_INDEX  # 0: not confirmed
        self.first: Floats = np.empty((0, 4))  # frame, x1, y1, label of the first box: they order the ids

    columns = ("box", "velocity", "seen", "step", "hits", "serial", "id", "first")

    def keep(self, which: NDArray) -> None:
        for name in self.columns:
            setattr(self, name, getattr(self, name)[which])

    def advance(self, step: int, time: float, boxes: Floats, scores: Floats) -> tuple[Ints, Ints, Ints]:
        """Match one frame's boxes (sorted by x1, y1) and update what was matched.

        Returns
        -------
        tracks, rows : ndarray of int64
            Pairs: positions of tracks here and of boxes.
        fresh : ndarray of int64
            Boxes that start a track of their own.
        """
        tracks: Ints = _NO_INDEX
        rows: Ints = _NO_INDEX
        rest = np.ones(len(boxes), bool)
        if len(self.serial) and len(boxes):
            tracks, rows = self._match(step, time, boxes, scores)
            rest[rows] = False
            self._update(step, time, tracks, boxes[rows])
        return tracks, rows, np.flatnonzero(rest & (scores >= self.new))

    def _match(self, step: int, time: float, boxes: Floats, scores: Floats) -> tuple[Ints, Ints]:
        shift = self.velocity * (time - self.seen)[:, None]
        predicted = self.box + np.concatenate((shift, shift), axis=1)
        confirmed = self.id > 0
        high = scores >= self.high
        strong, weak = np.flatnonzero(high), np.flatnonzero(~high)
        old, young = np.flatnonzero(confirmed), np.flatnonzero(~confirmed)
        found: list[tuple[Ints, Ints]] = []
        if len(strong):
            # Steps 1 and 3 compare the same boxes: their overlaps are computed once.
            overlap = iou_matrix(_grown(predicted), _grown(boxes[strong]))
            first, second = _assign(overlap[old], MATCH_GROWN)
            found.append((old[first], strong[second]))
            left = np.delete(np.arange(len(strong)), second)
            late = np.delete(old, first)
        else:
            left, late = _NO_INDEX, old
        if len(weak) and len(late):
            late = late[self.step[late] == step - 1]
            first, second = _assign(iou_matrix(predicted[late], boxes[weak]), MATCH_LOW)
            found.append((late[first], weak[second]))
        if len(young) and len(left):
            first, second = _assign(overlap[np.ix_(young, left)], MATCH_GROWN)
            found.append((young[first], strong[left[second]]))
        if not found:
            return _NO_INDEX, _NO_INDEX
        return np.concatenate([pair[0] for pair in found]), np.concatenate([pair[1] for pair in found])

    def _update(self, step: int, time: float, tracks: Ints, boxes: Floats) -> None:
        before = self.box[tracks]
        moved = (boxes[:, :2] + boxes[:, 2:] - before[:, :2] - before[:, 2:]) / 2
        seen = moved / np.maximum(time - self.seen[tracks], LEAST_STEP)[:, None]
        first = (self.hits[tracks] == 1)[:, None]
        self.velocity[tracks] = np.where(
            first, 0.5 * seen, KEEP_VELOCITY * self.velocity[tracks] + (1 - KEEP_VELOCITY) * seen
        )
        self.box[tracks] = boxes
        self.seen[tracks] = time
        self.step[tracks] = step
        self.hits[tracks] += 1

    def start(self, step: int, time: float, boxes: Floats, serials: Ints, first: Floats) -> None:
        count = len(serials)
        self.box = np.concatenate((self.box, boxes))
        self.velocity = np.concatenate((self.velocity, np.zeros((count, 2))))
        self.seen = np.concatenate((self.seen, np.full(count, time)))
        self.step = np.concatenate((self.step, np.full(count, step)))
        self.hits = np.concatenate((self.hits, np.ones(count, np.int64)))
        self.serial = np.concatenate((self.serial, serials))
        self.id = np.concatenate((self.id, np.zeros(count, np.int64)))
        self.first = np.concatenate((self.first, first))

    def end(self, step: int, time: float) -> None:
        """Drop the tracks that have not been seen for too long."""
        missed = self.step < step
        if missed.any():
            gone = np.where(
                self.id > 0, time - self.seen > CONFIRMED_UNSEEN + 1e-6, step - self.step >= UNCONFIRMED_UNSEEN
            )
            if gone.any():
                self.keep(~gone)


def _grown(boxes: Floats) -> Floats:
    margin = (boxes[:, 2:] - boxes[:, :2]) * GROW
    return np.concatenate((boxes[:, :2] - margin, boxes[:, 2:] + margin), axis=1)


def _assign(overlap: Floats, least: float) -> tuple[Ints, Ints]:
    """Return the pairs (rows, columns) of the best assignment among overlaps of at least `least`."""
    possible = overlap >= least
    rows, columns = np.nonzero(possible)
    if len(rows) < 2 or (possible.sum(axis=0).max() == 1 and possible.sum(axis=1).max() == 1):
        return rows, columns
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(np.where(possible, overlap, 0.0), maximize=True)
    good = possible[rows, columns]
    return rows[good], columns[good]


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
        self._groups: dict[int, _Group] = {}
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
            self._low = np.array([self._thresholds(group)[0] for group in range(len(self._members))])
        return np.array([self.labels.index(label) for label in labels], np.int64)

    def _thresholds(self, group: int) -> Thresholds:
        small = self.small is not None and all(self.labels[label] in SMALL for label in self._members[group])
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
        sorted_ = sort_detections(detections, self._group_of, self._low)
        matched: list[tuple[Ints, Ints, Ints]] = []  # serials, ids, rows of sorted_
        promoted: dict[int, int] = {}
        for at, time in enumerate(times):
            spans = {group: (start, stop) for group, start, stop in sorted_.spans[at]}
            for group in sorted({*spans, *self._groups}):
                start, stop = spans.get(group, (0, 0))
                active = self._groups.get(group)
                if active is None:
                    active = self._groups[group] = _Group(self._thresholds(group))
                boxes = sorted_.box[start:stop]
                tracks, rows, fresh = active.advance(self._step, float(time), boxes, sorted_.score[start:stop])
                if len(tracks):
                    matched.append((active.serial[tracks], active.id[tracks], rows + start))
                if len(fresh):
                    serials = np.arange(self._next_serial, self._next_serial + len(fresh))
                    self._next_serial += len(fresh)
                    first = np.column_stack(
                        (np.full(len(fresh), frames[at]), boxes[fresh, :2], sorted_.label[fresh + start])
                    )
                    active.start(self._step, float(time), boxes[fresh], serials, first)
                    matched.append((serials, np.zeros(len(fresh), np.int64), fresh + start))
                active.end(self._step, float(time))
                if not len(active.serial):
                    del self._groups[group]
            promoted |= self._confirm()
            self._step += 1
        self._collect(sorted_, np.asarray(frames, np.int64), np.asarray(times, np.float64), matched, promoted)

    def _confirm(self) -> dict[int, int]:
        """Give ids to the tracks that have their third box now; return id by serial."""
        ready = []
        for active in self._groups.values():
            for index in np.flatnonzero((active.id == 0) & (active.hits >= CONFIRM_AT)).tolist():
                ready.append((tuple(active.first[index].tolist()), int(active.serial[index]), active, index))
        given = {}
        for _, serial, active, index in sorted(ready, key=lambda item: item[:2]):
            active.id[index] = given[serial] = self._next_id
            self._next_id += 1
        return given

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
        alive = [active.serial[active.id == 0] for active in self._groups.values()]
        self._pending = waiting.take((waiting.id == 0) & np.isin(waiting.serial, np.concatenate([_NO_INDEX, *alive])))

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
            "group": np.repeat(
                np.array(list(self._groups), np.int64), [len(active.serial) for active in self._groups.values()]
            ),
        }
        for name in _Group.columns:
            empty = getattr(_Group(self.tracking), name)
            kept[f"active_{name}"] = np.concatenate(
                [empty, *(getattr(active, name) for active in self._groups.values())]
            )
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
        self._groups = {}
        for group in np.unique(last["group"]).tolist():
            active = self._groups[group] = _Group(self._thresholds(group))
            mine = last["group"] == group
            for name in _Group.columns:
                setattr(active, name, last[f"active_{name}"][mine])


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
