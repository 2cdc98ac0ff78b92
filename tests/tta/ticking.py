"""A clock that goes on only when a test says so, in place of the process's own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from workbench.tta import evaluating, lifetime, tracking


class Ticking:
    """Monotonic, CPU and UTC time."""

    def __init__(self) -> None:
        self.ns = 5_000_000_000
        self.utc = time.time_ns()
        self.cpu_share = 2

    def forward(self, seconds: float) -> None:
        """Let time pass."""
        self.ns += round(seconds * 1e9)
        self.utc += round(seconds * 1e9)

    def set_utc(self, seconds: float) -> None:
        """Set the system's clock forth or back; the monotonic one does not care."""
        self.utc += round(seconds * 1e9)

    def takes(self, seconds: float, value: Any) -> Callable[[], Any]:
        """Return a function that takes so long and gives the value."""

        def work() -> Any:
            self.forward(seconds)
            return value

        return work


@contextmanager
def ticking(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ticking]:
    """Put the clock in place."""
    clock = Ticking()
    for module in (tracking, evaluating, lifetime):
        for name, read in (
            ("perf_counter_ns", lambda: clock.ns),
            ("process_time_ns", lambda: clock.cpu_share * clock.ns),
            ("time_ns", lambda: clock.utc),
        ):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, read)
    yield clock
