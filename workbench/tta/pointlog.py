"""Dense points between the call that logs them and the sink: the caller appends, another thread does the rest."""

from __future__ import annotations

import threading
from array import array
from collections import deque
from collections.abc import Callable
from typing import Any

__all__ = ["PointLog"]

Row = tuple[str, int, int, float, int]


class PointLog:
    """Points that were logged: `(metric, step, time, value)` as the caller appends them to `queue`.

    A tuple of four for each value is what costs a caller least: a dict of values that is kept costs twice as much.

    Attributes
    ----------
    queue : deque
        Appending is all that the caller does; it is atomic.
    zero : int
        The time, as the caller reads it, at which the attempt began.
    count : int
        Points that were drained.
    over : bool
        Whether the run has ended, and nothing more is drained.
    keep : bool
        Whether they are kept in memory; not where the sink can give them back.
    """

    def __init__(self) -> None:
        self.queue: deque[tuple[str, int, int, float]] = deque()
        self.zero = 0
        self.count = 0
        self.keep = True
        self.over = False
        self._lock = threading.Lock()
        self._names: dict[str, tuple[array, array, array, array]] = {}

    def drain(self, put: Callable[[list[tuple[Any, ...]]], None]) -> None:
        """Hand what has gathered to `put` as rows `(metric, step, t_ns, value, seq)`."""
        if not self.queue:
            return
        with self._lock:  # numbers follow the queue, whoever drains it
            take, zero, first = self.queue.popleft, self.zero, self.count
            # no more than is there now: who logs faster than this drains must not keep it here
            rows: list[Row] = []
            for seq in range(first, first + len(self.queue)):
                name, step, time, value = take()
                rows.append((name, step, time - zero, value, seq))
            self.count = first + len(rows)
            if self.keep:
                self._remember(rows)
            put(rows)

    def rows(self) -> list[Row]:
        """Return the points that are kept, in the order logged."""
        with self._lock:
            found = [
                (name, step, time, value, seq)
                for name, columns in self._names.items()
                for step, time, value, seq in zip(*columns, strict=True)
            ]
        return sorted(found, key=lambda row: row[4])

    def _remember(self, rows: list[Row]) -> None:
        for name, step, time, value, seq in rows:
            columns = self._names.get(name)
            if columns is None:
                columns = self._names[name] = (array("q"), array("q"), array("d"), array("q"))
            columns[0].append(step)
            columns[1].append(time)
            columns[2].append(value)
            columns[3].append(seq)
