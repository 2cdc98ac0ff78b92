"""A reduction that waits between its partitions and their merge; a module of its own, as workers import it."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import workbench as wb
from workbench.fusion import cache
from workbench.fusion.dask.partials import Reduction


@dataclass(frozen=True)
class Held(Reduction):
    """A sum whose partial results are noted, and merged when a file is there."""

    folder: str = ""

    def lazies(self, x: Any) -> list[Any]:
        name = f"{os.getpid()}-{time.monotonic_ns()}"
        (Path(self.folder) / name).write_text("")
        return super().lazies(x)

    def __getattribute__(self, name: str) -> Any:
        if name == "name" and "merged_values" in _callers():
            while not (Path(self.folder) / "go").exists():
                time.sleep(0.02)
        return super().__getattribute__(name)


def _callers() -> str:
    frame, names = sys._getframe(2), []
    for _ in range(3):
        names.append(frame.f_code.co_name)
        if frame.f_back is None:
            break
        frame = frame.f_back
    return " ".join(names)


def forget() -> None:
    """Forget what this worker has planned and compiled."""
    wb.fusion.cache_clear(disk=False)
    cache.history.clear()


def ran() -> list[tuple[str, int]]:
    """Return the plans that ran in this worker: whether they were found, and how many calls they stand for."""
    return [(plan.cache, plan.kernels_before) for plan in wb.fusion.plans()]
