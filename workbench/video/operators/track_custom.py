"""Trackers that a person registered, in the same fold as our own."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.engine.errors import WorkbenchError
from workbench.video.models.base import LEAST_SCORE
from workbench.video.models.labels import track_groups
from workbench.video.operators.track_rows import Rows, assemble_tracks, sort_detections
from workbench.video.tracks import Floats, Frames, Ints, Tracks

__all__ = ["CustomFold"]


class CustomFold:
    """Tracks of one video by a registered tracker; used as `TrackFold` is.

    Its ids are renumbered from 1 in the order in which they come (in one frame: by x1, y1, label). Rows with id -1 are
    left out, then and later.

    Parameters
    ----------
    name : str
        As registered, for messages.
    factory : callable
        `factory(fps)` gives an object with `update(frame, time, boxes) -> ids`.
    labels : tuple of str
    dt : float
        Median step between processed frames in seconds.
    together : bool
        Labels that would be told apart are merged as one group (boxes that overlap too much become one).
    """

    def __init__(
        self, name: str, factory: Callable[[float], Any], labels: Sequence[str], dt: float, *, together: bool = False
    ) -> None:
        self.name, self.dt, self.together = name, dt, together
        self.labels: tuple[str, ...] = ()
        self._tracker = factory(1 / dt)
        self._ids: dict[int, int] = {}
        self._rows: list[Rows] = []
        self.add_labels(labels)

    def add_labels(self, labels: Sequence[str]) -> Ints:
        """Append the labels not yet known, and return the index of each of `labels`."""
        self.labels = (*self.labels, *(label for label in dict.fromkeys(labels) if label not in self.labels))
        groups = track_groups(self.labels, together=self.together)
        self._group_of = np.zeros(len(self.labels) + 1, np.int64)
        for group, members in enumerate(groups):
            self._group_of[list(members)] = group
        self._low = np.full(len(groups) + 1, LEAST_SCORE)
        return np.array([self.labels.index(label) for label in labels], np.int64)

    def __len__(self) -> int:
        return sum(len(rows) for rows in self._rows)

    def step(self, frames: Sequence[int], times: Sequence[float], detections: Sequence[Floats]) -> None:
        """Take in the boxes of the next processed frames, as `TrackFold.step` does."""
        import pandas as pd

        found = sort_detections(detections, self._group_of, self._low)
        names = np.array([*self.labels, ""], dtype=object)
        for at, (frame, time) in enumerate(zip(frames, times, strict=True)):
            mine = np.flatnonzero(found.at == at)
            mine = mine[np.lexsort((found.label[mine], found.box[mine, 1], found.box[mine, 0]))]
            table = pd.DataFrame(found.box[mine], columns=["x1", "y1", "x2", "y2"])
            table["label"] = pd.Series(names[found.label[mine]], dtype="str")
            table["score"] = found.score[mine]
            given = self._checked(self._tracker.update(int(frame), float(time), table), len(mine), int(frame))
            kept = np.flatnonzero(given >= 0)
            ids = [self._ids.setdefault(own, len(self._ids) + 1) for own in given[kept].tolist()]
            rows = mine[kept]
            identity = np.array(ids, np.int64)
            self._rows.append(
                Rows(
                    identity,
                    identity,
                    np.full(len(rows), frame, np.int64),
                    np.full(len(rows), time, np.float64),
                    found.label[rows],
                    found.score[rows],
                    found.box[rows],
                )
            )

    def _checked(self, ids: Any, count: int, frame: int) -> Ints:
        given = np.asarray(ids if ids is not None else [])
        if given.shape != (count,):
            raise WorkbenchError(
                f"The tracker '{self.name}' returned {given.size} ids for {count} boxes in frame {frame}.",
                "update(frame, time, boxes) returns one id for each row of boxes, -1 where there is none yet.",
            )
        numbers = given.astype(np.int64)
        confirmed = numbers[numbers >= 0]
        if len(np.unique(confirmed)) < len(confirmed):
            raise WorkbenchError(
                f"The tracker '{self.name}' gave one id to two boxes in frame {frame}.",
                "An id may stand once in a frame.",
            )
        return numbers

    def tracks(self, frames: Frames, width: int, height: int, interpolate: bool = True) -> Tracks:
        """Return the tracks so far, as `TrackFold.tracks` does."""
        rows = Rows.joined(self._rows) if self._rows else Rows.empty()
        self._rows = [rows]
        return assemble_tracks(rows, self.labels, frames, width, height, interpolate=interpolate)

    def state(self, since: int = 0) -> dict[str, NDArray]:
        """Return all that the fold knows as arrays, the pickled tracker among them."""
        rows = Rows.joined(self._rows) if self._rows else Rows.empty()
        self._rows = [rows]
        kept: dict[str, NDArray] = {
            "tracker": np.frombuffer(pickle.dumps(self._tracker), np.uint8),
            "ids": np.array(list(self._ids), np.int64),
            "labels": np.array(self.labels, dtype=np.str_),
            "since": np.array([since], np.int64),
        }
        return kept | {f"rows_{name}": getattr(rows, name)[since:] for name in Rows.columns}

    def restore(self, states: Mapping[str, NDArray] | Sequence[Mapping[str, NDArray]]) -> None:
        """Take up a stored state: one whole, or in order those that together hold all rows."""
        parts = [states] if isinstance(states, Mapping) else list(states)
        self._rows = []
        for part in parts:
            if int(part["since"][0]) != len(self):
                raise ValueError("the states of the tracker do not follow one another")
            self._rows.append(Rows(*(part[f"rows_{name}"] for name in Rows.columns)))
        self._tracker = pickle.loads(parts[-1]["tracker"].tobytes())
        self._ids = {int(own): index for index, own in enumerate(parts[-1]["ids"].tolist(), start=1)}
        self.labels = ()
        self.add_labels([str(label) for label in parts[-1]["labels"]])
