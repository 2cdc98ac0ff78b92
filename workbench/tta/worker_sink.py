"""How rows of a run on a worker come to the driver: in batches as they are made, from a spool, and with the result.

A log is a list of operations (calls of a `Sink`) with their places in it. Whatever way an operation comes, and however
often, it is applied once and in its place, so a batch that is repeated, late or lost does no harm: the result of the
task is the whole log.
"""

from __future__ import annotations

import os
import pickle
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

__all__ = ["EVERY", "Batch", "Operation", "Replay", "WorkerSink", "clean", "spooled"]

#: seconds between two batches
EVERY = 0.5
#: seconds after which a spool that nobody came for is thrown away
STALE = 7 * 86400.0
#: seconds of silence after which a worker says that its run is alive
QUIET = 30.0
#: points in one operation: what a long-running loop logs between two batches may be a lot
POINTS = 4096

#: name of a method of `Sink`, and its arguments
Operation = tuple[Any, ...]
#: id of the run, place of the first operation in its log, operations
Batch = tuple[str, int, list[Operation]]

#: what has to be told at once
_URGENT = frozenset({"start", "crossing", "end"})


class WorkerSink:
    """Takes the rows of one attempt on a worker; a `Sink`.

    Parameters
    ----------
    send : callable
        Takes a `Batch`; called from a thread of the sink's own, and at the start, a crossing and the end.
    spool : Path, optional
        A file that batches are written to before they are sent, for whoever comes after this process was killed.
    every : float
        Seconds between batches.
    """

    def __init__(self, send: Callable[[Batch], None], spool: Path | None = None, every: float = EVERY) -> None:
        self.run = ""
        self.log: list[Operation] = []
        self._send, self._every = send, every
        self._spool = spool
        self._file: Any = None
        self._sent = 0
        self._pull: Callable[[], None] | None = None
        self._flushing = threading.RLock()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, row: dict[str, Any]) -> None:
        """Take the facts of the attempt."""
        self.run = str(row["id"])
        self._put("start", dict(row))
        self._thread = threading.Thread(target=self._now_and_then, name="workbench-tta-sink", daemon=True)
        self._thread.start()

    def attach(self, pull: Callable[[], None]) -> bool:
        """Call `pull` before each batch."""
        self._pull = pull
        return True

    def update(self, row: dict[str, Any]) -> None:
        """Take facts that have changed or become known."""
        self._put("update", dict(row))

    def eval(self, rows: list[tuple[Any, ...]]) -> None:
        """Take the rows of one evaluation."""
        self._put("eval", list(rows))

    def points(self, rows: list[tuple[Any, ...]]) -> None:
        """Take dense points."""
        for at in range(0, len(rows), POINTS):
            self._put("points", list(rows[at : at + POINTS]))

    def span(self, row: tuple[Any, ...]) -> None:
        """Take a closed span."""
        self._put("span", row)

    def note(self, text: str) -> None:
        """Take a note."""
        self._put("note", text)

    def crossing(self, row: dict[str, Any]) -> None:
        """Take a crossing; return when it is in the spool and sent."""
        self._put("crossing", dict(row))

    def end(self, state: str, row: dict[str, Any]) -> None:
        """Take the end of the attempt; return when it is in the spool and sent."""
        self._gather()
        self._put("end", state, dict(row))

    def read_points(self) -> list[tuple[Any, ...]]:
        """Return the dense points."""
        return [row for name, *rest in list(self.log) if name == "points" for row in rest[0]]

    def close(self) -> None:
        """Send what is left."""
        self._over.set()
        self.flush()
        self._pull = None
        with self._flushing:
            if self._file is not None:
                self._file.close()
                self._file = None

    @property
    def state(self) -> str:
        """The state the attempt ended in, `running` before."""
        return next((str(op[1]) for op in reversed(self.log) if op[0] == "end"), "running")

    def flush(self) -> None:
        """Spool and send what is new."""
        with self._flushing:
            first, new = self._sent, self.log[self._sent :]
            if not new or not self.run:
                return
            batch: Batch = (self.run, first, new)
            with suppress(OSError):  # a worker without a disk streams all the same
                self._spooled(batch)
            with suppress(Exception):  # a scheduler that is gone: the spool and the result have it
                self._send(batch)
            self._sent = first + len(new)

    def _put(self, *operation: Any) -> None:
        self.log.append(operation)
        if operation[0] in _URGENT:
            self.flush()

    def _gather(self) -> None:
        pull = self._pull
        if pull is not None:
            with self._flushing:
                pull()

    def _now_and_then(self) -> None:
        quiet_since = time.monotonic()
        while not self._over.wait(self._every):
            self._gather()
            if len(self.log) > self._sent:
                quiet_since = time.monotonic()
            elif time.monotonic() - quiet_since > QUIET:  # a long step: the run is not lost
                quiet_since = time.monotonic()
                self.update({})
            self.flush()

    def _spooled(self, batch: Batch) -> None:
        if self._spool is None:
            return
        if self._file is None:
            self._spool.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = open(self._spool, "ab")  # noqa: SIM115 - open as long as the attempt lasts
        self._file.write(pickle.dumps(batch))
        self._file.flush()


def spooled(path: Path) -> Iterator[Batch]:
    """Yield the batches of a spool; one that was being written when its process died is left out."""
    try:
        with open(path, "rb") as file:
            while True:
                yield pickle.load(file)
    except (OSError, EOFError, pickle.UnpicklingError, ValueError, IndexError, AttributeError):
        return


def clean(folder: Path, group: str) -> None:
    """Throw away the spools of a group, and those that nobody came for."""
    shutil.rmtree(folder / group, ignore_errors=True)
    with suppress(OSError):
        for other in folder.iterdir():
            if time.time() - other.stat().st_mtime > STALE:
                shutil.rmtree(other, ignore_errors=True)


class Replay:
    """Applies the operations of one log to a sink: each once, in its place.

    Parameters
    ----------
    sink : Sink
    """

    def __init__(self, sink: Any) -> None:
        self.sink = sink
        self.start: dict[str, Any] = {}
        self.ended = ""
        self._next = 0
        self._early: dict[int, Operation] = {}

    def take(self, first: int, operations: list[Operation]) -> None:
        """Take operations whose places begin with `first`; those that come too early wait."""
        for place, operation in enumerate(operations, first):
            if place >= self._next:
                self._early.setdefault(place, operation)
        while self._next in self._early:
            self._next += 1  # first: a warning that is an error here comes after the rows were taken
            self._apply(self._early.pop(self._next - 1))

    def end(self, state: str) -> None:
        """End a log that will not go on: what waits for operations that were lost is applied without them."""
        for place in sorted(self._early):
            self._next = place + 1
            self._apply(self._early.pop(place))
        if not self.ended:
            self._apply(("end", state, {}))

    def _apply(self, operation: Operation) -> None:
        name, *rest = operation
        if self.ended:
            return  # what a process says of itself after it was given up
        if name == "start":
            self.start = rest[0]
        elif name == "end":
            self.ended = rest[0]
        getattr(self.sink, name)(*rest)
        if name == "end":
            self.sink.close()


def owner(path: Path) -> int:
    """Return the id of the process that writes a spool."""
    return int(path.stem.rpartition("-")[2])


def spool_path(folder: Path, group: str, seed: int) -> Path:
    """Return where this process spools a seed."""
    return folder / group / f"{seed}-{time.time_ns()}-{os.getpid()}.log"
