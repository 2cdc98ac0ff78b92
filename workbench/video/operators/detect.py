"""Detections of chosen frames of a source as a table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.engine.errors import one_line
from workbench.video.models.base import DetectionSession, Floats, Image, Loaded
from workbench.video.tracks import Ints

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Detected", "detect_frames", "detection_table", "per_frame", "table_labels"]

_COORDINATES = ("x1", "y1", "x2", "y2")


@dataclass(frozen=True)
class Detected:
    """What a detector found.

    Attributes
    ----------
    table : pyarrow.Table
        `frame` int64, `time` float64, `label` int32 (index into `table_labels(table)`), `score`, `x1 y1 x2 y2` float64,
        by frame, then falling score, x1, y1.
    frames, times : ndarray
        The processed frames: boxes or none, but looked at.
    failures : list of (int, str)
        Frames on which the detector raised, and what.
    skipped : int
        Frames that a test before the detector took for empty.
    """

    table: pa.Table
    frames: Ints
    times: Floats
    failures: list[tuple[int, str]]
    skipped: int = 0


def detect_frames(loaded: Loaded, source: Any, indices: Sequence[int] | Ints) -> Detected:
    """Detect on chosen frames of a source.

    Parameters
    ----------
    loaded : Loaded
    source : Source
        With `frames_at(indices)` and `times()`.
    indices : sequence of int
        Frame indices, rising.
    """
    wanted = np.asarray(indices, np.int64)
    session = loaded.open(source)
    done: list[tuple[int, float, Floats]] = []
    failures: list[tuple[int, str]] = []
    if getattr(loaded, "needs_pixels", True):
        waiting: list[tuple[int, float, Image]] = []
        for frame, time, image in source.frames_at(wanted):
            waiting.append((int(frame), float(time), image))
            if len(waiting) >= loaded.batch:
                _run(session, waiting, done, failures)
                waiting = []
        _run(session, waiting, done, failures)
    else:
        times = source.times()
        wanted = wanted[(wanted >= 0) & (wanted < len(times))]
        found = session([], wanted.tolist(), times[wanted].tolist())
        done = list(zip(wanted.tolist(), times[wanted].tolist(), found, strict=True))
    frames = np.array([frame for frame, _, _ in done], np.int64)
    times = np.array([time for _, time, _ in done], np.float64)
    table = detection_table(frames, times, [boxes for _, _, boxes in done], loaded.labels)
    return Detected(table, frames, times, failures, getattr(session, "skipped", 0))


def _run(
    session: DetectionSession,
    waiting: list[tuple[int, float, Image]],
    done: list[tuple[int, float, Floats]],
    failures: list[tuple[int, str]],
) -> None:
    """Detect on a batch; if that raises, frame by frame, so that one bad frame costs only itself."""
    if not waiting:
        return
    frames, times, images = (list(part) for part in zip(*waiting, strict=True))
    try:
        found = session(images, frames, times)
    except (Exception, SystemExit) as error:  # what exits would take the worker with it, again and again
        if len(waiting) == 1:
            failures.append((frames[0], one_line(error)))
            return
        for one in waiting:
            _run(session, [one], done, failures)
        return
    done.extend(zip(frames, times, found, strict=True))


def detection_table(frames: Ints, times: Floats, boxes: Sequence[Floats], labels: Sequence[str]) -> pa.Table:
    """Return boxes (k, 6) of each frame as a table that knows its labels."""
    import pyarrow as pa

    rows = np.concatenate([*boxes, np.empty((0, 6))])
    at = np.repeat(np.arange(len(frames)), [len(part) for part in boxes])
    columns: dict[str, Any] = {
        "frame": frames[at],
        "time": times[at],
        "label": rows[:, 5].astype(np.int32),
        "score": rows[:, 4].copy(),
    }
    columns |= {name: rows[:, column].copy() for column, name in enumerate(_COORDINATES)}
    return pa.table(columns).replace_schema_metadata({"labels": json.dumps(list(labels))})


def table_labels(table: pa.Table) -> tuple[str, ...]:
    """Return the labels that the column `label` of a table of detections counts through."""
    return tuple(json.loads((table.schema.metadata or {})[b"labels"]))


def per_frame(table: pa.Table, frames: Ints) -> list[Floats]:
    """Return the boxes (k, 6) of each of `frames` (rising) from a table of detections sorted by frame."""
    rows = np.column_stack([table[name].to_numpy() for name in (*_COORDINATES, "score", "label")]).astype(np.float64)
    of = table["frame"].to_numpy()
    starts, stops = np.searchsorted(of, frames, side="left"), np.searchsorted(of, frames, side="right")
    return [rows[start:stop] for start, stop in zip(starts, stops, strict=True)]
