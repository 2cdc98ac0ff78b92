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
from workbench.video.operators.track_active import ID, SERIAL, Active, geometry_of
from workbench.video.operators.track_custom import CustomFold
from workbench.video.operators.track_rows import Rows, SortedDetections, assemble_tracks, sort_detections
from workbench.video.tracks import Floats, Frames, Ints, Tracks

__all__ = ["TRACKER_VERSION", "TrackFold", "fold_for", "read_mot", "tracker_version"]

#: Part of cache keys: changes whenever the same detections would give other tracks.
TRACKER_VERSION = "1"


class TrackFold:
    """Tracks of one video, grown frame by frame.

    Parameters
    ----------
    labels : tuple of str
        The detector's labels; `add_labels` appends more.
    tracking : tuple of float
        Scores (low, high, new): boxes from `high` on continue tracks, those in between `low` and `high` continue tracks
        seen in the frame before, those from `new` on start tracks.
    dt : float
        Median step between processed frames in seconds (kept; matching goes by the frames' own times).
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
        self._active = Active()
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
        geometry, active = geometry_of(found.box), self._active
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
                    matched.append((active.whole[tracks, SERIAL], active.whole[tracks, ID], boxes))
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
        alive = self._active.whole[self._active.confirmed :, SERIAL]
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
        for name in Active.columns:
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
        self._active = Active()
        for name in Active.columns:
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
