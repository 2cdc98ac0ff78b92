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
    """Points that were logged: `(step, time, metrics)` as the caller appends them to `queue`.

    Parameters
    ----------
    keep : bool
        Whether they are kept in memory; not where the sink can give them back.

    Attributes
    ----------
    queue : deque
        Appending is all that the caller does; it is atomic.
    zero : int
        The time, as the caller reads it, at which the attempt began.
    """

    def __init__(self, keep: bool = True) -> None:
        self.queue: deque[tuple[int, int, dict[str, float]]] = deque()
        self.zero = 0
        self.count = 0
        self.keep = keep
        self._lock = threading.Lock()
        self._names: dict[str, tuple[array, array, array, array]] = {}

    def drain(self, put: Callable[[list[tuple[Any, ...]]], None]) -> None:
        """Hand what has gathered to `put` as rows `(metric, step, t_ns, value, seq)`."""
        if not self.queue:
            return
        with self._lock:  # numbers follow the queue, whoever drains it
            zero, seq, take = self.zero, self.count, self.queue.popleft
            rows: list[Row] = []
            try:
                while True:
                    step, time, metrics = take()
                    for name, value in metrics.items():
                        rows.append((name, step, time - zero, value, seq))
                    seq += 1
            except IndexError:
                pass
            self.count = seq
            if self.keep:
                self._remember(rows)
            if rows:
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
            for column, item in zip(columns, (step, time, value, seq), strict=True):
                column.append(item)
