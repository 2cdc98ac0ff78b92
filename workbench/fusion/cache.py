"""Plans and kernels that are kept: in memory by form, and machine code in the store."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

__all__ = ["clear", "history", "kernel", "kernels", "plans", "recorded", "remember"]

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
        self._entries: OrderedDict[Any, V] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Any) -> V | None:
        """Return an entry, or None."""
        with self._lock:
            found = self._entries.get(key)
            if found is not None:
                self._entries.move_to_end(key)
            return found

    def put(self, key: Any, value: V) -> None:
        """Keep an entry."""
        with self._lock:
            self._entries[key] = value
            self._entries.move_to_end(key)
            while len(self._entries) > self.most:
                self._entries.popitem(last=False)

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
    from workbench.fusion.run import _Interpreted

    try:
        compiled = cpu.compile(program)
    except NotImplementedError:  # a builder that the back end has no code for
        return _Interpreted(program), "miss"
    return compiled, compiled.cache


def clear(*, disk: bool = True) -> None:
    """Forget plans and kernels; with `disk` also those in the store."""
    plans.clear()
    kernels.clear()
    from workbench.fusion import cpu

    cpu.clear(disk=disk)
