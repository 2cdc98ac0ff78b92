"""Plans and kernels that are kept: in memory by form, and machine code in the store."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

__all__ = ["Interpreted", "clear", "history", "kernel", "kernels", "plans", "recorded", "remember"]

V = TypeVar("V")


class Recent(Generic[V]):
    """A dict that forgets what was not asked for longest.

    Parameters
    ----------
    most : int
        How many entries it holds.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        #: each with the time it was asked for last: an entry is asked for much more often than one is forgotten
        self._entries: dict[Any, list[Any]] = {}
        self._times = itertools.count()
        self._lock = threading.Lock()

    def get(self, key: Any) -> V | None:
        """Return an entry, or None."""
        found = self._entries.get(key)
        if found is None:
            return None
        found[1] = next(self._times)
        value: V = found[0]
        return value

    def put(self, key: Any, value: V) -> None:
        """Keep an entry."""
        with self._lock:
            self._entries[key] = [value, next(self._times)]
            while len(self._entries) > self.most:
                del self._entries[min(self._entries, key=lambda each: self._entries[each][1])]

    def values(self) -> list[V]:
        """Return all that is kept."""
        return [value for value, _ in list(self._entries.values())]

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._entries.clear()

    def __len__(self) -> int:
        return len(self._entries)


#: plans by the form of the graph and the options
plans: Recent[Any] = Recent(1024)
#: compiled programs by their text
kernels: Recent[Any] = Recent(1024)
#: plans of this process that ran, oldest first
history: deque[Any] = deque(maxlen=64)


#: lists that plans are added to while someone records them
_recorders: list[list[Any]] = []


def remember(plan: Any) -> None:
    """Add a plan to those of this process."""
    history.append(plan)
    for each in _recorders:
        each.append(plan)


@contextmanager
def recorded() -> Iterator[list[Any]]:
    """Give a list to which each plan that runs meanwhile is added."""
    found: list[Any] = []
    _recorders.append(found)
    try:
        yield found
    finally:
        _recorders[:] = [each for each in _recorders if each is not found]


def kernel(program: Any) -> tuple[Any, float, str]:
    """Return a compiled program, how many milliseconds that took, and where it came from: hit, disk or miss."""
    import time

    from workbench.fusion.loop import text

    key = text(program)
    found = kernels.get(key)
    if found is not None:
        return found, 0.0, "hit"
    start = time.perf_counter()
    found, where = _compile(program)
    kernels.put(key, found)
    return found, 1e3 * (time.perf_counter() - start), where


def _compile(program: Any) -> tuple[Any, str]:
    from workbench.fusion import cpu

    try:
        compiled = cpu.compile(program)
    except NotImplementedError:  # a builder that the back end has no code for
        return Interpreted(program), "miss"
    return compiled, compiled.cache


class Interpreted:
    """A program that NumPy runs."""

    asm = ""

    def __init__(self, program: Any) -> None:
        self.program = program

    def run(self, buffers: Any, sizes: Any, threads: int = 1) -> Any:
        """Return the outputs."""
        from workbench.fusion import interpret

        return interpret.run(self.program, buffers, sizes)


def clear(*, disk: bool = True) -> None:
    """Forget plans and kernels; with `disk` also those in the store."""
    plans.clear()
    kernels.clear()
    from workbench.fusion import cpu

    cpu.clear(disk=disk)
