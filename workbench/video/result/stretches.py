"""What of a video an event's clip shows: its frames and boxes, where it opens, and its best picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workbench.video.result.clip import Stretch
from workbench.video.source import Source

__all__ = ["best_picture", "first_hit", "held", "stretch_of"]

_SIDES = ["x1", "y1", "x2", "y2"]

Drawn = dict[int, tuple[NDArray[np.float64], list[str]]]


def stretch_of(source: Source, event: Any, rows: pd.DataFrame, pad: float, boxes: bool) -> Stretch:
    """Return the stretch of an event.

    Parameters
    ----------
    source : Source
    event : named tuple
        A row of `.events`.
    rows : DataFrame
        The event's rows of `.frames`.
    pad : float
        Seconds before and after it.
    boxes : bool
        Whether the boxes are drawn.
    """
    times = source.times()
    inside = (times >= event.start - pad - 1e-6) & (times < event.end + pad - 1e-6)
    frames = np.flatnonzero(inside).astype(np.int64)
    if not len(frames):
        frames = np.array([event.frame_start], np.int64)
    return Stretch(source, frames, held(_drawn(rows), frames) if boxes else {})


def first_hit(event: Any, rows: pd.DataFrame) -> float:
    """Return the time of an event's first matched frame, s."""
    matched = rows.loc[rows["matched"], "time"]
    return float(matched.min()) if len(matched) else float(event.start)


def best_picture(source: Source, event: Any, rows: pd.DataFrame, objects: pd.DataFrame, boxes: bool = True) -> Stretch:
    """Return the one frame that shows an event best.

    That is the first object's best frame if the event matches there, else the matched frame with its best box.

    Parameters
    ----------
    source, event, rows, boxes
        As for `stretch_of`.
    objects : DataFrame
        Rows of `.objects` of this video.
    """
    shown = rows[rows["matched"]] if rows["matched"].any() else rows
    if not len(shown):
        return Stretch(source, np.array([event.frame_start], np.int64), {})
    first = shown[shown["id"] == shown["id"].iloc[0]]
    known = objects.loc[objects["id"] == first["id"].iloc[0], "best_frame"]
    if len(known) and (first["frame"] == known.iloc[0]).any():
        frame = int(known.iloc[0])
    else:
        frame = int(first["frame"].iloc[int(np.argmax(_quality(source, first)))])
    chosen = rows[rows["frame"] == frame]
    return Stretch(source, np.array([frame], np.int64), _drawn(chosen) if boxes else {})


def held(drawn: Mapping[int, Any], frames: NDArray[np.int64]) -> Drawn:
    """Between two processed frames of an event, show the boxes of the earlier one."""
    known = np.array(sorted(drawn), np.int64)
    if len(known) < 2:
        return dict(drawn)
    step = int(np.median(np.diff(known)))
    last = np.searchsorted(known, frames, side="right") - 1
    return {
        int(frame): drawn[int(known[at])]
        for frame, at in zip(frames, last, strict=True)
        if at >= 0 and frame - known[at] < step
    }


def _quality(source: Source, rows: pd.DataFrame) -> NDArray[np.float64]:
    """Return what a track's best crops are chosen by: score * sqrt(area), halved at the picture's edge."""
    info = source.info()
    x1, y1, x2, y2 = rows[_SIDES].to_numpy(np.float64).T
    touches = (x1 <= 0) | (y1 <= 0) | (x2 >= info.width) | (y2 >= info.height)
    # Interpolated boxes have no score: any box that was detected is better.
    score = rows["score"].fillna(0.0).to_numpy(np.float64)
    quality: NDArray[np.float64] = score * np.sqrt((x2 - x1) * (y2 - y1)) * np.where(touches, 0.5, 1.0)
    return quality


def _drawn(rows: pd.DataFrame) -> Drawn:
    found: Drawn = {}
    for frame, group in rows.groupby("frame", sort=True):
        labels = [f"{label} {number}" for label, number in zip(group["label"], group["id"], strict=True)]
        found[int(frame)] = (group[_SIDES].to_numpy(np.float64), labels)
    return found
