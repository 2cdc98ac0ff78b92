"""Where a run stands: counts, rate, time left, and what happened."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["Event", "Progress", "Rate", "State"]

State = Literal["queued", "running", "finished", "cancelled", "failed"]

#: seconds over which the rate is measured
RATE_WINDOW = 10.0


@dataclass(frozen=True, slots=True)
class Progress:
    """A moment of a run.

    Attributes
    ----------
    done : float
        Units done, those found in a cache included.
    total : float or None
        Units in all; None if unknown.
    unit : str
        What is counted ("frames").
    rate : float
        Units per second over the last 10 s, those found in a cache not counted.
    eta_s : float or None
        Seconds left, `(total - done) / rate`; None if the total is unknown or nothing moves.
    stage : str
        What is being done.
    workers : int
        Workers of the session now; 0 if the run does not use it.
    elapsed : float
        Seconds since the start.
    message : str
        A remark for the reader.
    state : str
        "queued", "running", "finished", "cancelled" or "failed".
    """

    done: float = 0.0
    total: float | None = None
    unit: str = ""
    rate: float = 0.0
    eta_s: float | None = None
    stage: str = ""
    workers: int = 0
    elapsed: float = 0.0
    message: str = ""
    state: State = "queued"

    @property
    def percent(self) -> int | None:
        """Whole percent, floored, so 100 means done; None if the total is unknown."""
        if not self.total:
            return None
        return int(min(1.0, max(0.0, self.done / self.total)) * 100)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in a run: Unix time, kind, and data."""

    time: float
    kind: str
    data: dict[str, Any] = field(default_factory=dict)


class Rate:
    """Units per second over the last 10 s of a count that grows.

    Parameters
    ----------
    now : float
        When counting began, on any clock in seconds.
    """

    def __init__(self, now: float) -> None:
        self._samples: deque[tuple[float, float]] = deque([(now, 0.0)])

    def add(self, now: float, count: float) -> None:
        """Note the count; at most about 200 samples are kept."""
        samples = self._samples
        if len(samples) > 1 and now - samples[-2][0] < 0.05:
            samples[-1] = (now, count)
        else:
            samples.append((now, count))

    def per_second(self, now: float, count: float) -> float:
        """Return the rate at this moment: it falls while nothing comes."""
        samples = self._samples
        while len(samples) > 1 and samples[1][0] <= now - RATE_WINDOW:
            samples.popleft()
        when, before = samples[0]
        span = min(now - when, RATE_WINDOW)
        return max(0.0, (count - before) / span) if span > 0 else 0.0
