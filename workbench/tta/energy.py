"""Energy counters: NVML's total of each GPU, and the packages of the CPU where they can be read."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from pathlib import Path

__all__ = ["Counter", "EnergyMeter", "find_counters"]

_POWERCAP = Path("/sys/class/powercap")


class Counter:
    """A counter of energy that starts again at zero when it has reached its range.

    Parameters
    ----------
    read : callable
        Gives millijoules.
    range_mj : float
        After which it starts again; inf is never.
    """

    def __init__(self, read: Callable[[], float], range_mj: float = float("inf")) -> None:
        self._read, self._range = read, range_mj
        self._last = read()
        self._total = 0.0

    def total(self) -> float:
        """Return the millijoules since this was made; it has to be asked at least once in each range."""
        now = self._read()
        passed = now - self._last
        if passed < 0:  # without a known range the driver was loaded anew: what it shows is all that is known
            passed = passed + self._range if self._range != float("inf") else now
        self._total += passed
        self._last = now
        return self._total


class EnergyMeter:
    """The energy of this machine since `start`.

    Attributes
    ----------
    reason : str
        Why it cannot be measured, `""` if it can.
    """

    def __init__(self, find: Callable[[], tuple[list[Counter], str]] | None = None) -> None:
        self._find = find or find_counters
        self._counters: list[Counter] = []
        self._lock = threading.Lock()
        self.reason = "not looked for yet"

    def start(self) -> None:
        """Look for counters; this may take a while, so it is done beside."""
        found, reason = self._find()
        with self._lock:
            self._counters, self.reason = found, reason

    def read(self) -> int | None:
        """Return the millijoules so far, None if they cannot be measured."""
        if not self._counters:
            return None
        with self._lock:
            try:
                return round(sum(counter.total() for counter in self._counters))
            except Exception as error:  # the driver is gone
                self._counters = []
                self.reason = f"{type(error).__name__} while reading the counter"
                return None


def find_counters() -> tuple[list[Counter], str]:
    """Return the counters that this machine has, or none and why."""
    gpus, why_no_gpu = _nvml()
    packages, why_no_package = _rapl()
    found = gpus + packages
    return found, "" if found else f"{why_no_gpu}; {why_no_package}"


# --------------------------------------------------------------------------------------------------------- private


def _nvml() -> tuple[list[Counter], str]:
    try:
        import pynvml  # type: ignore[import-not-found]
    except ImportError:
        return [], "nvidia-ml-py is not installed"
    try:
        pynvml.nvmlInit()
        found = []
        for index in range(pynvml.nvmlDeviceGetCount()):
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            found.append(Counter(functools.partial(pynvml.nvmlDeviceGetTotalEnergyConsumption, handle)))
        return found, "" if found else "no NVIDIA GPU"
    except Exception as error:  # of NVML, whose classes come with the driver
        return [], f"NVML: {error}"


def _rapl() -> tuple[list[Counter], str]:
    found, why = [], "no CPU package counter"
    # intel-rapl:0 is a package; intel-rapl:0:1 a part of it, and psys holds all of them
    for folder in sorted(_POWERCAP.glob("intel-rapl:[0-9]*")):
        if folder.name.count(":") != 1:
            continue
        try:
            if not (folder / "name").read_text().startswith("package"):
                continue
            path, most = folder / "energy_uj", float((folder / "max_energy_range_uj").read_text()) / 1000
            found.append(Counter(functools.partial(_millijoules, path), most))
        except (OSError, ValueError) as error:
            denied = isinstance(error, PermissionError)
            why = "CPU package counters need root" if denied else f"CPU package counter: {type(error).__name__}"
    return found, "" if found else why


def _millijoules(path: Path) -> float:
    return float(path.read_text()) / 1000
