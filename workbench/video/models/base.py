"""What a detector is: a picklable description, and what it becomes once loaded in a process."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["DetectionSession", "DetectorSpec", "Floats", "Image", "Loaded", "Thresholds", "model_threads"]

Image = NDArray[np.uint8]  # (height, width, 3), BGR
Floats = NDArray[np.float64]
Thresholds = tuple[float, float, float]  # low, high, new

#: Least score that is kept and cached; `threshold=` and the tracker choose from these.
LEAST_SCORE = 0.1


#: A loaded detector at work on one source: (images, frame indices, times) -> for each image its boxes (k, 6),
#: x1 y1 x2 y2 in px of the source, score, index of the label.
DetectionSession = Callable[[Sequence[Image], Sequence[int], Sequence[float]], list[Floats]]


class Loaded(Protocol):
    """A detector whose weights are in memory."""

    @property
    def labels(self) -> tuple[str, ...]:
        """In class order; a detector with an open vocabulary adds labels as it meets them."""

    @property
    def batch(self) -> int:
        """Most images in one call."""

    def open(self, source: Any) -> DetectionSession:
        """Return a session for the frames of one source."""


@dataclass(frozen=True)
class DetectorSpec:
    """A detector by description: picklable, and all that cache keys need.

    Attributes
    ----------
    name : str
    labels : tuple of str
        In class order; empty for a callable whose labels are known only when it has run.
    version : str
        Changes whenever an answer might: part of cache keys.
    size : int
        Long side (or, for `motion` and `hog-person`, height) of the picture that it works on, px.
    threshold : float
        Score from which `detect` returns boxes unless told otherwise.
    tracking : tuple of float, or str
        Scores (low, high, new) of the tracker, or the name of a registered tracker.
    small : tuple of float or None
        The same for bags and balls; None: as the others.
    batch : int
        Most images in one call.
    provider : str
        What computes, part of cache keys: results may differ in last bits between providers.
    kind : "model" or "given"
        `given`: a table of boxes, no model runs.
    together : bool
        All labels form one tracking group.
    suitcases : bool
        At the end of the fold, objects at rest become suitcases (`motion`).
    cacheable : bool
        False where nothing tells one version from the next.
    window : float
        Seconds of the source that one frame's answer depends on (0: that frame alone).
    code : str
        Tells one text of a callable from the next where its version does not: a warm worker never runs the old one.
    notes : tuple of (str, str)
        What is to be announced: message and hint (maybe empty).
    """

    name: str
    labels: tuple[str, ...]
    version: str
    build: Callable[[DetectorSpec, int], Loaded] = field(repr=False)
    size: int = 416
    threshold: float = 0.3
    tracking: Thresholds | str = (0.3, 0.6, 0.7)
    small: Thresholds | None = None
    batch: int = 1
    provider: str = "cpu"
    kind: Literal["model", "given"] = "model"
    together: bool = False
    suitcases: bool = False
    cacheable: bool = True
    window: float = 0.0
    code: str = ""
    payload: Any = field(default=None, repr=False, compare=False)
    notes: tuple[tuple[str, str], ...] = field(default=(), compare=False)

    @property
    def functions(self) -> tuple[Callable[..., Any], ...]:
        """The person's own functions that it runs."""
        return (self.payload,) if callable(self.payload) else tuple(getattr(self.payload, "functions", ()))

    def load(self, threads: int | None = None) -> Loaded:
        """Return the loaded detector, one for each version, provider and number of threads in this process.

        Parameters
        ----------
        threads : int, optional
            Threads of one inference; by default the cores divided by the workers.
        """
        count = threads if threads is not None else model_threads()
        if not self.cacheable:
            return self.build(self, count)
        key = (self.name, self.version, self.provider, self.code, count)
        with _LOCK:
            loaded = _LOADED.get(key)
            if loaded is None:
                loaded = _LOADED[key] = self.build(self, count)
            return loaded


_LOADED: dict[tuple[str, str, str, str, int], Loaded] = {}
_LOCK = threading.RLock()


def model_threads() -> int:
    """Return the threads that one model may use: WORKBENCH_THREADS, else cores divided by workers."""
    told = os.environ.get("WORKBENCH_THREADS", "")
    if told.isdigit() and int(told) > 0:
        return int(told)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = os.environ.get("WORKBENCH_WORKERS", "")
    return max(1, cores // (int(workers) if workers.isdigit() and int(workers) > 0 else min(cores, 8)))
