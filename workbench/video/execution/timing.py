"""Clocks of a run: what decoding takes inside detection, what calls on crops take, and how long all will take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from workbench.video.operators.columns import CallResults, PixelCalls

__all__ = ["Pace", "TimedCalls", "TimedSource"]


class TimedSource:
    """A source, and how long its frames take.

    Attributes
    ----------
    seconds : float
        Spent in `frames_at`, by whoever reads: s of wall clock.
    """

    def __init__(self, source: Any) -> None:
        self._source = source
        self.seconds = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def frames_at(self, *arguments: Any, **options: Any) -> Iterator[Any]:
        """Yield what the source's `frames_at` yields."""
        began = time.perf_counter()
        for item in self._source.frames_at(*arguments, **options):
            self.seconds += time.perf_counter() - began
            yield item
            began = time.perf_counter()
        self.seconds += time.perf_counter() - began


@dataclass
class TimedCalls:
    """Calls on crops, and how long the evaluation waits for them.

    Attributes
    ----------
    seconds : dict
        Name of a property -> s of wall clock.
    """

    calls: PixelCalls
    seconds: dict[str, float] = field(default_factory=dict)

    def __call__(self, prop: Any, calls: Any, arguments: Any) -> CallResults:
        """Make the calls."""
        began = time.perf_counter()
        try:
            return self.calls(prop, calls, arguments)
        finally:
            self.seconds[prop.name] = self.seconds.get(prop.name, 0.0) + time.perf_counter() - began


@dataclass
class Pace:
    """How fast the workers are once they have their weights: the first chunk of each is left out.

    Parameters
    ----------
    workers : int
    """

    workers: int
    frames: int = 0
    _seconds: float = 0.0
    _warming: int = 0

    def add(self, frames: int, seconds: float) -> None:
        """Count a chunk that a worker computed: its frames, and how long it took."""
        if self._warming < self.workers:
            self._warming += 1
            return
        self.frames += frames
        self._seconds += seconds

    def left(self, frames: int) -> float:
        """Return the seconds until this many frames are computed, all workers at work."""
        return frames * self._seconds / self.frames / self.workers if self.frames else 0.0
