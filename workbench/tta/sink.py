"""Where a tracker puts what it sees: a protocol, and a sink in memory. Rows are plain tuples, times are nanoseconds.

All `_ns` of evaluations, points and spans are monotonic nanoseconds since the start of the attempt; `started_ns` is its
one UTC anchor. A sink never raises for storage: it turns to memory, warns once and tries again.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

__all__ = ["CROSSING", "EVAL", "POINT", "SPAN", "START", "MemorySink", "Sink", "new_id"]

#: keys of the row of `Sink.start`; those of `Sink.update` and `Sink.end` are some of these, and those below
START = (
    "id", "name", "seed", "attempt", "parent", "joined", "state", "task", "clock", "goal", "metric", "target", "unit",
    "confirm", "steps", "schedule", "price", "eval_hash", "eval_count", "started_ns", "host", "pid", "boot_id", "rank",
    "first_in_process", "environment", "resumed_step",
)  # fmt: skip
#: further keys of the row of `Sink.end`
END = ("ended_ns", "end_ns", "cpu_ns", "energy_mj", "gap", "contended", "reason", "notes", "warnings")
#: `metric` as `k`; `seq` counts the points of the attempt from 0, in the order logged
POINT = ("k", "step", "t_ns", "v", "seq")
#: `seq` counts evaluations of the attempt from 0; `epoch`, `n`, `energy_mj` may be None, `value` may be NaN
EVAL = ("seq", "step", "epoch", "metric", "value", "n", "t_ns", "cpu_ns", "energy_mj")
#: closed spans, in the order closed; `depth` is -1 for a span of a thread beside the one whose spans are the clocks'
SPAN = ("seq", "kind", "start_ns", "end_ns", "depth")
CROSSING = (
    "metric", "threshold", "confirm", "seq", "step", "epoch", "value", "t_ns", "seconds", "cost_usd", "energy_j",
)  # fmt: skip


@runtime_checkable
class Sink(Protocol):
    """What takes the rows of one attempt.

    `start`, `crossing` and `end` return when what they were given, and all before it, is durable. The other calls
    return at once, from any thread.
    """

    def start(self, row: dict[str, Any]) -> None:
        """Take the facts of the attempt, with the keys of `START`."""

    def attach(self, pull: Callable[[], None]) -> bool:
        """Have `pull` called from the sink's own thread before it commits; it calls `points` with what has gathered.

        False: the sink has no thread, and the tracker's own calls `pull`.
        """

    def update(self, row: dict[str, Any]) -> None:
        """Take facts that have changed or become known: some keys of `START`."""

    def eval(self, rows: list[tuple[Any, ...]]) -> None:
        """Take the rows of one evaluation, with the fields of `EVAL`."""

    def points(self, rows: list[tuple[Any, ...]]) -> None:
        """Take dense points, with the fields of `POINT`."""

    def span(self, row: tuple[Any, ...]) -> None:
        """Take a closed span, with the fields of `SPAN`."""

    def note(self, text: str) -> None:
        """Take a note."""

    def crossing(self, row: dict[str, Any]) -> None:
        """Take a crossing, with the keys of `CROSSING`."""

    def end(self, state: str, row: dict[str, Any]) -> None:
        """Take the end of the attempt, with keys of `START` and `END`."""

    def close(self) -> None:
        """Let go of what is held."""


class MemorySink:
    """Keeps rows in memory.

    Attributes
    ----------
    row : dict
        The facts, as last known.
    evals, dense, spans, notes, crossings : list
    state : str
    """

    def __init__(self) -> None:
        self.row: dict[str, Any] = {}
        self.evals: list[tuple[Any, ...]] = []
        self.dense: list[tuple[Any, ...]] = []
        self.spans: list[tuple[Any, ...]] = []
        self.notes: list[str] = []
        self.crossings: list[dict[str, Any]] = []
        self.state = "running"
        self.closed = False

    def start(self, row: dict[str, Any]) -> None:
        self.row = dict(row)

    def attach(self, pull: Callable[[], None]) -> bool:
        return False

    def update(self, row: dict[str, Any]) -> None:
        self.row.update(row)

    def eval(self, rows: list[tuple[Any, ...]]) -> None:
        self.evals.extend(rows)

    def points(self, rows: list[tuple[Any, ...]]) -> None:
        self.dense.extend(rows)

    def span(self, row: tuple[Any, ...]) -> None:
        self.spans.append(row)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def crossing(self, row: dict[str, Any]) -> None:
        self.crossings.append(dict(row))

    def end(self, state: str, row: dict[str, Any]) -> None:
        self.state = state
        self.row.update(row)

    def read_points(self) -> Sequence[tuple[Any, ...]]:
        """Return the dense points; a sink that has this spares the tracker a copy of its own."""
        return self.dense

    def close(self) -> None:
        self.closed = True


_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_last = (0, 0)
_lock = threading.Lock()


def new_id() -> str:
    """Return a run's id: 26 characters in the order of time (a ULID), no two alike on any machine."""
    global _last
    with _lock:
        milliseconds = time.time_ns() // 1_000_000
        # two of one millisecond, or after the clock was set back, still follow one another
        if milliseconds > _last[0]:
            _last = milliseconds, int.from_bytes(os.urandom(10), "big") >> 1
        else:
            _last = _last[0], _last[1] + 1 + int.from_bytes(os.urandom(2), "big")
        number = _last[0] << 80 | _last[1]
    return "".join(_ALPHABET[number >> 5 * place & 31] for place in reversed(range(26)))


def _after_fork() -> None:
    global _last, _lock
    _lock, _last = threading.Lock(), (0, 0)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
