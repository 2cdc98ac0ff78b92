"""Tracks and frames as columns: what detectors and trackers give to the evaluation.

Struct of arrays: rows sorted by (id, frame), with the offsets of each id. All coordinates are px of the source, all
times seconds from the first frame's timestamp.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workbench.engine.errors import WorkbenchError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Frames:
    """The processed frames of one video, in presentation order."""

    frame: Ints  # index in the source
    time: Floats
    #: the step of all frames that shall be processed, where these are but the first of them
    step: float | None = None

    def __len__(self) -> int:
        return len(self.frame)

    @cached_property
    def dt(self) -> float:
        """Median step between processed frames in seconds (1/25 where there are fewer than two)."""
        if self.step is not None:
            return self.step
        return float(np.median(np.diff(self.time))) if len(self) > 1 else 0.04

    @cached_property
    def span(self) -> Floats:
        """For each processed frame, the seconds that it covers from its time on."""
        if not len(self):
            return np.empty(0)
        return np.minimum(np.append(np.diff(self.time), self.dt), 2 * self.dt)

    def position(self, frame: Ints) -> Ints:
        """Return the positions of these source frame indices (each must be processed)."""
        return np.searchsorted(self.frame, frame).astype(np.int64)


@dataclass(frozen=True)
class Tracks:
    """Tracks of one video: one row for each (id, frame), sorted by id and frame.

    `label` holds indices into `labels`; `score` is NaN on interpolated rows.
    """

    frames: Frames
    width: int
    height: int
    labels: tuple[str, ...]
    id: Ints
    frame: Ints
    time: Floats
    label: Ints
    score: Floats
    box: Floats = field(repr=False)  # (n, 4): x1, y1, x2, y2
    interpolated: Bools = field(repr=False)
    #: whether id 0 is the scene: the whole frame, in every processed frame
    scene: bool = False

    def __len__(self) -> int:
        return len(self.id)

    @cached_property
    def ids(self) -> Ints:
        """The ids, ascending, once each."""
        return np.unique(self.id)

    @cached_property
    def offsets(self) -> Ints:
        """Start of each id's rows, and the number of rows at the end: (number of ids + 1,)."""
        return np.append(np.searchsorted(self.id, self.ids), len(self)).astype(np.int64)

    @cached_property
    def owner(self) -> Ints:
        """For each row, the index of its id in `ids`."""
        return np.repeat(np.arange(len(self.ids)), np.diff(self.offsets))

    @cached_property
    def position(self) -> Ints:
        """For each row, the position of its frame in `frames`."""
        return self.frames.position(self.frame)

    @cached_property
    def foot(self) -> Floats:
        """Middle of the lower edge, (n, 2)."""
        return np.column_stack(((self.box[:, 0] + self.box[:, 2]) / 2, self.box[:, 3]))

    def label_names(self) -> NDArray[np.object_]:
        """Return the label of each row as text."""
        return np.array(self.labels, dtype=object)[self.label] if len(self) else np.empty(0, dtype=object)

    def take(self, ids: Ints) -> Tracks:
        """Return the tracks of these ids only."""
        keep = np.isin(self.id, ids)
        return Tracks(
            self.frames, self.width, self.height, self.labels, self.id[keep], self.frame[keep], self.time[keep],
            self.label[keep], self.score[keep], self.box[keep], self.interpolated[keep], self.scene,
        )  # fmt: skip

    def to_pandas(self, video: str) -> pd.DataFrame:
        """Return the public table of `wb.video.tracks`."""
        return pd.DataFrame(
            {
                "video": pd.Series([video] * len(self), dtype="str"),
                "frame": self.frame,
                "time": self.time,
                "id": self.id,
                "label": pd.Series(self.label_names(), dtype="str"),
                "score": self.score,
                "x1": self.box[:, 0],
                "y1": self.box[:, 1],
                "x2": self.box[:, 2],
                "y2": self.box[:, 3],
                "interpolated": self.interpolated,
            }
        )


def with_scene(tracks: Tracks) -> Tracks:
    """Return the tracks and the scene: id 0, the whole picture in every processed frame.

    Raises
    ------
    WorkbenchError
        If an object has this id already.
    """
    if tracks.scene:
        return tracks
    if (tracks.id == 0).any():
        raise WorkbenchError("The boxes have an id 0, which is the scene's.", "Number the objects from 1.")
    count, frames = len(tracks.frames), tracks.frames
    box = np.tile(np.array([0.0, 0.0, tracks.width, tracks.height]), (count, 1))
    none, labels = np.zeros(count, np.int64), (*tracks.labels, "scene")
    id_, frame = np.concatenate((none, tracks.id)), np.concatenate((frames.frame, tracks.frame))
    # given boxes may have ids below 0, and rows are sorted by id
    order = np.argsort(id_, kind="stable")
    return Tracks(
        frames, tracks.width, tracks.height, labels, id_[order], frame[order],
        np.concatenate((frames.time, tracks.time))[order],
        np.concatenate((np.full(count, len(labels) - 1), tracks.label))[order],
        np.concatenate((np.ones(count), tracks.score))[order], np.concatenate((box, tracks.box))[order],
        np.concatenate((np.zeros(count, bool), tracks.interpolated))[order], True,
    )  # fmt: skip


def empty_tracks(frames: Frames, width: int, height: int, labels: tuple[str, ...] = ()) -> Tracks:
    """Return tracks without any row."""
    return Tracks(
        frames, width, height, labels, np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64),
        np.empty(0), np.empty((0, 4)), np.empty(0, bool),
    )  # fmt: skip
