"""Whether other work disturbs a run: load above the cores, time stolen by the host, CPU used by other processes."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

__all__ = ["SHARE", "Contention", "Sample", "cores"]

#: of the cores, used by others or stolen, from which on a run is contended
SHARE = 0.10
#: seconds under which a difference of counters of 10 ms ticks says nothing
_LEAST_S = 0.2


@dataclass(frozen=True)
class Sample:
    """CPU seconds of the machine, of this process and its children, and stolen ones, at a moment."""

    at: float
    busy: float
    own: float
    stolen: float
    load: float


class Contention:
    """Takes samples and tells shares of the cores over the time between them.

    Attributes
    ----------
    contended : bool
        Whether any time between two samples was.
    """

    def __init__(self) -> None:
        self.cores = cores()
        self.contended = False
        self.samples = 0
        self._other: list[float] = []
        self._steal: list[float] = []
        self._load: list[float] = []
        self._last = sample()

    def look(self, least: float = _LEAST_S) -> None:
        """Take a sample."""
        if self._last is None or time.monotonic() - self._last.at < least:
            return
        now = sample()
        if now is None:
            return
        room = (now.at - self._last.at) * self.cores
        other = max(now.busy - self._last.busy - (now.own - self._last.own), 0.0) / room
        steal = max(now.stolen - self._last.stolen, 0.0) / room
        self._last = now
        self.samples += 1
        self._other.append(other)
        self._steal.append(steal)
        self._load.append(now.load)
        # the load average remembers a minute and counts this run's own threads: what is above the cores is too much
        if other > SHARE or steal > SHARE or now.load > self.cores + SHARE * self.cores:
            self.contended = True

    def told(self) -> dict[str, float]:
        """Return the greatest shares seen, and the load average at the last sample."""
        if not self.samples:
            return {}
        return {
            "other_cpu": round(max(self._other), 4), "steal": round(max(self._steal), 4),
            "load": round(self._load[-1], 2), "samples": self.samples,
        }  # fmt: skip


def sample() -> Sample | None:
    """Return the counters as they are; None where psutil has none."""
    try:
        import psutil

        times = psutil.cpu_times()
        own = os.times()
        idle = times.idle + getattr(times, "iowait", 0.0)
        stolen = getattr(times, "steal", 0.0)
        # guest time is within user time
        total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
        load = psutil.getloadavg()[0]
    except (ImportError, OSError, RuntimeError):
        return None
    used = own.user + own.system + own.children_user + own.children_system
    return Sample(time.monotonic(), total - idle - stolen, used, stolen, load)


def cores() -> int:
    """Return the cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0)) or 1
    except AttributeError:
        return os.cpu_count() or 1
