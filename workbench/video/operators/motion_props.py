"""The built-in properties of objects, from tracks alone: boxes, motion, age.

Positions are foot points. Times at equal distance within 1e-6 s are equal.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.video.language.tree import Window
from workbench.video.operators.columns import TIME_TOLERANCE, Column
from workbench.video.operators.geometry import Scale, length
from workbench.video.tracks import Bools, Floats, Ints, Tracks

__all__ = ["BUILT_IN", "MODEL", "History", "box_area", "built_in", "turn_spans"]

#: Speed and heading look back this far, stillness twice as far (seconds).
STEP, STILL_STEP = 0.5, 1.0
#: A step below this share of the box's size has no heading; slower than this share per second is still.
LEAST_STEP, STILL_SPEED = 0.01, 0.15
#: Unwrapped headings are sums of differences: equal within this (degrees).
_ANGLE_TOLERANCE = 1e-6


class History:
    """Looks back along tracks: all in whole positions, so that no rounding of times can move a row.

    Parameters
    ----------
    tracks : Tracks
    """

    def __init__(self, tracks: Tracks) -> None:
        self.tracks = tracks

    @cached_property
    def _base(self) -> Ints:
        return self.tracks.owner * (len(self.tracks.frames) + 1)

    @cached_property
    def _key(self) -> Ints:
        return self._base + self.tracks.position

    @cached_property
    def start(self) -> Ints:
        """For each row, the first row of its track."""
        return self.tracks.offsets[:-1][self.tracks.owner]

    def _first_row_at(self, frame_position: Ints) -> Ints:
        """Return the first row of each row's track whose frame is at or after a position."""
        return np.searchsorted(self._key, self._base + frame_position[self.tracks.position])

    def before(self, seconds: float) -> tuple[Ints, Bools]:
        """Return for each row the latest row of the track that lies at least so many seconds back, and if any does."""
        times = self.tracks.frames.time
        behind = np.searchsorted(times, times - seconds + TIME_TOLERANCE, side="right")
        row = self._first_row_at(behind) - 1
        known = row >= self.start
        return np.where(known, row, self.start), known

    def window(self, window: Window) -> tuple[Ints, Bools]:
        """Return for each row the first row of its window, and whether the track fills the window."""
        rows = np.arange(len(self.tracks))
        if window.rows is not None:
            return np.maximum(rows - window.rows + 1, self.start), rows - self.start + 1 >= window.rows
        assert window.seconds is not None
        times = self.tracks.frames.time
        first = self._first_row_at(np.searchsorted(times, times - window.seconds + TIME_TOLERANCE, side="right"))
        age = self.tracks.time - self.tracks.time[self.start]
        # a window shorter than the tolerance still holds its own row
        return np.minimum(first, rows), age + self.tracks.frames.dt >= window.seconds - TIME_TOLERANCE

    def step(self, seconds: float) -> tuple[Ints, Floats, Floats, Bools]:
        """Return (row back, vector from its foot to this one, seconds between, whether there is one) of each row."""
        back, known = self.before(seconds)
        elapsed = np.where(known, self.tracks.time - self.tracks.time[back], 1.0)
        return back, self.tracks.foot - self.tracks.foot[back], elapsed, known


def box_area(boxes: Floats) -> Floats:
    """Return width times height of (n, 4) boxes; 0 for boxes turned inside out."""
    return np.maximum(boxes[:, 2] - boxes[:, 0], 0.0) * np.maximum(boxes[:, 3] - boxes[:, 1], 0.0)


def _known(values: NDArray[Any]) -> Column:
    return Column(values, np.ones(len(values), bool))


def _box(*order: int) -> Callable[[History, Scale | None], Column]:
    """Return a property that is one coordinate, or the difference of two."""
    if len(order) == 1:
        return lambda history, _: _known(history.tracks.box[:, order[0]])
    return lambda history, _: _known(history.tracks.box[:, order[0]] - history.tracks.box[:, order[1]])


def _label(history: History, _: Scale | None) -> Column:
    labels = history.tracks.labels
    return _known(np.array(labels or ("",))[history.tracks.label])


def _score(history: History, _: Scale | None) -> Column:
    return Column(history.tracks.score, ~history.tracks.interpolated & ~np.isnan(history.tracks.score))


def _centre(history: History, _: Scale | None) -> Column:
    box = history.tracks.box
    return _known(np.column_stack(((box[:, 0] + box[:, 2]) / 2, (box[:, 1] + box[:, 3]) / 2)))


def _speed(history: History, scale: Scale | None) -> Column:
    back, vector, elapsed, known = history.step(STEP)
    foot = history.tracks.foot
    distance = length(vector) if scale is None else scale.metres(foot[back], foot)
    return Column(distance / elapsed, known)


def _heading(history: History, scale: Scale | None) -> Column:
    _back, vector, _elapsed, known = history.step(STEP)
    distance = length(vector)
    # y grows downwards in the picture, headings grow anticlockwise
    degrees = np.degrees(np.arctan2(-vector[:, 1], vector[:, 0])) % 360.0
    degrees[degrees >= 360.0] = 0.0
    moved = (distance > 0) & (distance >= LEAST_STEP * np.sqrt(box_area(history.tracks.box)))
    return Column(degrees, known & moved)


def _still(history: History, scale: Scale | None) -> Column:
    _back, vector, elapsed, known = history.step(STILL_STEP)
    size = np.sqrt(box_area(history.tracks.box))
    known = known & (size > 0)
    return Column.condition(length(vector) / elapsed / np.where(size > 0, size, 1.0) < STILL_SPEED, known)


def _first(history: History, _: Scale | None) -> Column:
    return _known(history.tracks.time[history.start])


def _last(history: History, _: Scale | None) -> Column:
    tracks = history.tracks
    return _known(tracks.time[tracks.offsets[1:][tracks.owner] - 1])


#: name -> function of (history, scale) that gives the column over all rows of the tracks
BUILT_IN: dict[str, Callable[[History, Scale | None], Column]] = {
    "id": lambda history, _: _known(history.tracks.id),
    "label": _label,
    "score": _score,
    "frame": lambda history, _: _known(history.tracks.frame),
    "time": lambda history, _: _known(history.tracks.time),
    "box": lambda history, _: _known(history.tracks.box),
    "x1": _box(0),
    "y1": _box(1),
    "x2": _box(2),
    "y2": _box(3),
    "center": _centre,
    "foot": lambda history, _: _known(history.tracks.foot),
    "width": _box(2, 0),
    "height": _box(3, 1),
    "area": lambda history, _: _known(box_area(history.tracks.box)),
    "speed": _speed,
    "heading": _heading,
    "still": _still,
    "age": lambda history, scale: _known(history.tracks.time - _first(history, scale).values),
    "first": _first,
    "last": _last,
}

#: built-in properties that a model computes from crops, one value for each track
MODEL = ("color", "kind", "embedding")


def built_in(name: str, history: History, scale: Scale | None) -> Column:
    """Return a built-in property over all rows of the tracks.

    Parameters
    ----------
    name : str
        A key of `BUILT_IN`.
    history : History
    scale : Scale or None
        With a scale, `speed` is in m/s.
    """
    if not len(history.tracks):
        kinds = {"id": np.int64, "frame": np.int64, "label": str, "still": bool}
        shape = {"box": (0, 4), "center": (0, 2), "foot": (0, 2)}.get(name, (0,))
        return Column(np.empty(shape, kinds.get(name, np.float64)), np.empty(0, bool))
    return BUILT_IN[name](history, scale)


def turn_spans(history: History, side: str, by: float, over: float) -> tuple[Ints, Ints]:
    """Return (first row, last row) of each turn, in order of rows.

    With headings unwrapped, a turn completes at the first row t with a row r in (t - over, t] from which the heading
    has changed by at least `by` degrees to the side; it spans the latest such r to t; measuring restarts after t.
    Rows without heading are passed over. A reversal by exactly 180 degrees counts as a turn to the left.
    """
    heading = built_in("heading", history, None)
    sign = 1.0 if side == "left" else -1.0
    firsts: list[int] = []
    lasts: list[int] = []
    tracks = history.tracks
    for start, stop in zip(tracks.offsets[:-1].tolist(), tracks.offsets[1:].tolist(), strict=True):
        rows = start + np.flatnonzero(heading.valid[start:stop])
        if len(rows) < 2:
            continue
        change = 180.0 - (180.0 - np.diff(heading.values[rows])) % 360.0
        angle = sign * np.concatenate(([0.0], np.cumsum(change)))
        if angle.max() - angle.min() < by - _ANGLE_TOLERANCE:
            continue
        found = _turns_of_track(angle.tolist(), tracks.time[rows].tolist(), by - _ANGLE_TOLERANCE, over)
        firsts += rows[[first for first, _ in found]].tolist()
        lasts += rows[[last for _, last in found]].tolist()
    return np.array(firsts, np.int64), np.array(lasts, np.int64)


def _turns_of_track(angle: list[float], time: list[float], by: float, over: float) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    # rows that may still be the latest start of a turn: angles ascend, since a later row with a lower angle hides
    # every earlier row of a higher one
    waiting: list[int] = []
    for row, now in enumerate(angle):
        while waiting and time[waiting[0]] <= time[row] - over + TIME_TOLERANCE:
            waiting.pop(0)
        latest = next((r for r in reversed(waiting) if now - angle[r] >= by), None)
        if latest is not None:
            found.append((latest, row))
            waiting = []
            continue
        while waiting and angle[waiting[-1]] >= now:
            waiting.pop()
        waiting.append(row)
    return found
