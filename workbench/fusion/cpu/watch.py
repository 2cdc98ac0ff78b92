"""How far long work is: loops tell whoever watches how many of their chunks are done, and stop where they shall."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import ContextVar

__all__ = ["Watch", "watching"]


class Watch:
    """Counts the rows of steps that are done.

    Parameters
    ----------
    check : callable
        Raises where the work shall stop.

    Attributes
    ----------
    stage : str
        The name of the step that runs.
    """

    def __init__(self, check: Callable[[], None]) -> None:
        self.stage = ""
        self._check = check
        self._lock = threading.Lock()
        self._before = 0.0  # rows of earlier steps
        self._rows, self._loops, self._loop = 0.0, 1, 0
        self._chunks, self._passed = 1, 0

    @property
    def rows(self) -> float:
        """How many rows are done: of the step that runs, the part of its chunks."""
        with self._lock:
            part = (min(self._loop, self._loops) - 1 + self._passed / self._chunks) / self._loops if self._loop else 0.0
            return self._before + self._rows * min(part, 1.0)

    def step(self, name: str, rows: float, loops: int = 1) -> None:
        """Begin a step of so many rows and loops; what was before it is done."""
        self._check()
        with self._lock:
            self._before += self._rows
            self.stage, self._rows, self._loops = name, rows, max(1, loops)
            self._loop, self._chunks, self._passed = 0, 1, 0

    def finish(self, rows: float) -> None:
        """All is done: so many rows, which may have been estimated."""
        with self._lock:
            self._before, self._rows = rows, 0.0

    def loop(self, chunks: int) -> None:
        """Begin a loop of so many chunks."""
        with self._lock:
            self._loop, self._chunks, self._passed = self._loop + 1, max(1, chunks), 0

    def passed(self, chunks: int) -> None:
        """Count chunks that are done, on whichever thread."""
        self._check()
        with self._lock:
            self._passed += chunks


#: who watches the work of this thread, if it is long
watching: ContextVar[Watch | None] = ContextVar("watching", default=None)
