"""Detectors that are Python callables: pictures in, a table of boxes for each out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from workbench.engine.errors import WorkbenchError
from workbench.video.models.base import LEAST_SCORE, DetectionSession, DetectorSpec, Floats, Image

__all__ = ["CallableDetector", "callable_code", "callable_version", "load_callable"]

_COLUMNS = ("x1", "y1", "x2", "y2")


class CallableDetector:
    """A function `f(images) -> list of DataFrame(x1, y1, x2, y2, label, score)` as a detector.

    Parameters
    ----------
    function : callable
        Gets a list of BGR uint8 pictures (height, width, 3).
    labels : tuple of str
        What it may say, in order; empty: labels are added in the order in which they are met.
    batch : int
        Most pictures in one call.
    """

    def __init__(self, function: Callable[[list[Image]], Any], labels: tuple[str, ...], batch: int) -> None:
        self.function, self.labels, self.batch = function, labels, batch
        self._open_vocabulary = not labels

    def open(self, source: Any = None) -> DetectionSession:
        """Return a session; the source does not matter."""
        return self._detect

    def _detect(self, images: Sequence[Image], frames: Sequence[int], times: Sequence[float]) -> list[Floats]:
        found: list[Floats] = []
        for start in range(0, len(images), self.batch):
            part = list(images[start : start + self.batch])
            answer = self.function(part)
            if not hasattr(answer, "__len__") or len(answer) != len(part):
                raise WorkbenchError(
                    f"The detector returned {_size(answer)} for {len(part)} images.",
                    "Return one DataFrame for each image.",
                )
            found += [self._rows(table) for table in answer]
        return found

    def _rows(self, table: Any) -> Floats:
        missing = [column for column in _COLUMNS if column not in table]
        if missing:
            raise WorkbenchError(
                f"The detector's boxes lack '{missing[0]}'.", "Columns: x1, y1, x2, y2[, label, score]."
            )
        box = np.column_stack([np.asarray(table[column], dtype=np.float64) for column in _COLUMNS])
        turned = (box[:, 2] < box[:, 0]) | (box[:, 3] < box[:, 1])
        if turned.any():
            x1, y1, x2, y2 = (f"{side:g}" for side in box[turned][0])
            raise WorkbenchError(
                f"The detector's box ({x1}, {y1}, {x2}, {y2}) ends before it begins.",
                "Give corners x1, y1, x2, y2, not a corner, a width and a height.",
            )
        score = np.asarray(table["score"], dtype=np.float64) if "score" in table else np.ones(len(box))
        names = [str(name) for name in table["label"]] if "label" in table else ["object"] * len(box)
        if self._open_vocabulary:
            self.labels = (*self.labels, *(name for name in dict.fromkeys(names) if name not in self.labels))
        unknown = sorted(set(names) - set(self.labels))
        if unknown:
            raise WorkbenchError(
                f"The detector found '{unknown[0]}', which is not among its labels.",
                "List it in register_detector(labels=...).",
            )
        label = np.array([self.labels.index(name) for name in names], np.float64)
        rows = np.column_stack((box, score, label)) if len(box) else np.empty((0, 6))
        sound = np.isfinite(rows).all(axis=1) & (rows[:, 2] > rows[:, 0]) & (rows[:, 3] > rows[:, 1])
        rows = rows[sound & (rows[:, 4] >= LEAST_SCORE)]
        return rows[np.lexsort((rows[:, 1], rows[:, 0], -rows[:, 4]))]


def _size(answer: Any) -> str:
    return f"{len(answer)} tables" if hasattr(answer, "__len__") else type(answer).__name__


def load_callable(spec: DetectorSpec, threads: int) -> CallableDetector:
    """Build the detector of a spec whose payload is a callable."""
    return CallableDetector(spec.payload, spec.labels, spec.batch)


def callable_code(function: Callable[..., Any]) -> str:
    """Return what tells one text of a function from the next, "" if nothing does."""
    from workbench.engine.fingerprint import Unfingerprintable, fingerprint

    try:
        return fingerprint(function)
    except Unfingerprintable:
        return ""


def callable_version(function: Callable[..., Any], version: str | None) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Return the version for cache keys ("" if nothing tells it) and what is to be announced."""
    from workbench.engine.fingerprint import Unfingerprintable, fingerprint

    name = getattr(function, "__name__", type(function).__name__)
    if version is not None:
        return f"callable/{name}/{version}", ()
    try:
        return f"callable/{fingerprint(function)}", ()
    except Unfingerprintable as error:
        return "", (
            (
                f"{name} reads '{error.name}', which cannot be fingerprinted; not cached.",
                'Pass version="..." to register_detector().',
            ),
        )
