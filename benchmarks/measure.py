"""What every benchmark shares: CPU time and memory over all processes, the machine's description, the result file."""

from __future__ import annotations

import json
import os
import platform
import statistics
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

RESULTS = Path(__file__).parent / "results"


@dataclass
class Figure:
    """One measured figure beside its target or peer."""

    name: str
    value: float
    unit: str
    target: str = ""
    met: bool | None = None
    peer: str = ""
    peer_value: float | None = None
    ratio: float | None = None
    note: str = ""
    details: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        verdict = {True: "met", False: "MISSED", None: ""}[self.met]
        peer = f"  [{self.peer}: {self.peer_value:.4g}, ratio {self.ratio:.3g}]" if self.ratio is not None else ""
        return f"{self.name:48} {self.value:10.4g} {self.unit:14} {self.target:16} {verdict}{peer}"


def processes() -> list[psutil.Process]:
    """Return this process and all below it: the driver and the workers."""
    own = psutil.Process()
    return [own, *own.children(recursive=True)]


def cpu_seconds() -> float:
    """Return user and system time of all processes that are alive, in seconds."""
    total = 0.0
    for process in processes():
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


@dataclass
class Cost:
    """What a block took: CPU seconds over all processes, and wall seconds."""

    cpu: float = 0.0
    wall: float = 0.0


@contextmanager
def cost() -> Iterator[Cost]:
    """Measure a block; the processes in it have to live on after it."""
    taken = Cost()
    cpu, wall = cpu_seconds(), time.perf_counter()
    yield taken
    taken.cpu, taken.wall = cpu_seconds() - cpu, time.perf_counter() - wall


class PeakMemory:
    """Samples the proportional set size of all processes; `.peak` is in bytes.

    PSS counts a page shared by n processes as 1/n in each, so that the sum is what the machine really holds.
    """

    def __init__(self, interval: float = 0.5) -> None:
        self.interval, self.peak, self.samples = interval, 0, []  # type: float, int, list[tuple[float, int]]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        start = time.perf_counter()
        while not self._stop.wait(self.interval):
            total = 0
            for process in processes():
                try:
                    total += process.memory_full_info().pss
                except (psutil.NoSuchProcess, psutil.AccessDenied):
                    continue
            self.samples.append((time.perf_counter() - start, total))
            self.peak = max(self.peak, total)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def median(measure: Callable[[], float], repeats: int = 3) -> float:
    """Return the median of repeated measurements."""
    return statistics.median(measure() for _ in range(repeats))


#: what the video engine stands on
PACKAGES = ("numpy", "pandas", "pyarrow", "dask", "onnxruntime", "av", "opencv-python-headless")


def machine(packages: Iterable[str] = PACKAGES) -> dict[str, Any]:
    """Describe the machine and the versions that matter, without naming it."""
    model = ""
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo") as lines:
            model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    return {
        "cpu": model or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {name: version(name) for name in packages},
    }


def write(name: str, figures: list[Figure], packages: Iterable[str] = PACKAGES) -> Path:
    """Write the figures to `results/NAME.json`, and print them.

    Figures that were measured before and are not in this run are kept, so that one can be measured anew by itself.
    """
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    kept: dict[str, Any] = {}
    if path.exists():
        kept = {entry["name"]: entry for entry in json.loads(path.read_text())["figures"]}
    for figure in figures:
        kept[figure.name] = asdict(figure)
        print(figure)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps({"machine": machine(packages), "figures": list(kept.values())}, indent=1) + "\n")
    temporary.replace(path)
    return path
