"""Whether other work disturbs a run: load above the cores, time stolen by the host, CPU used by other processes."""

from __future__ import annotations

import glob
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

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
        # the load average is of the whole machine, and this run's own threads are in it
        if other > SHARE or steal > SHARE or now.load > (1 + SHARE) * (os.cpu_count() or self.cores):
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
    """Return the counters as they are; None where there are none."""
    try:
        import psutil

        mine = _affinity()
        each = psutil.cpu_times(percpu=True)
        # other cores than those this process may use are none of its concern
        used = [times for number, times in enumerate(each) if mine is None or number in mine] or each
        stolen = sum(getattr(times, "steal", 0.0) for times in used)
        busy = sum(_busy(times) for times in used)
        load = os.getloadavg()[0]
    except (ImportError, OSError, AttributeError, RuntimeError):
        return None
    return Sample(time.monotonic(), busy, _own(), stolen, load)


def _busy(times: Any) -> float:
    # guest time is within user time
    idle = times.idle + getattr(times, "iowait", 0.0) + getattr(times, "steal", 0.0)
    return sum(times) - idle - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)


def _own() -> float:
    """Return the CPU seconds of this process and of its children: those that load data are no other work."""
    spent = os.times()
    total = spent.user + spent.system + spent.children_user + spent.children_system
    ticks = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
    todo = [os.getpid()]
    while todo:
        pid = todo.pop()
        for path in glob.glob(f"/proc/{pid}/task/*/children"):
            with suppress(OSError, ValueError, IndexError), open(path, encoding="ascii") as file:
                for child in file.read().split():
                    todo.append(int(child))
                    with open(f"/proc/{child}/stat", encoding="utf-8", errors="replace") as stat:
                        # after the name, which may hold anything, user, system and waited-for children are 11 to 14
                        fields = stat.read().rpartition(")")[2].split()
                    total += sum(int(field) for field in fields[11:15]) / ticks
    return total


def cores() -> int:
    """Return the cores that this process may use."""
    mine = _affinity()
    return len(mine) if mine else os.cpu_count() or 1


def _affinity() -> set[int] | None:
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
