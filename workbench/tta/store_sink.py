"""What a tracker writes to when its run is kept in the store."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from workbench.engine.errors import WorkbenchError
from workbench.tta import liveness
from workbench.tta.writer import COMMIT_ROWS, Writer, writer

__all__ = ["StoreSink"]


class StoreSink:
    """What a tracker writes to: a `Sink` over the writer of this process.

    Parameters
    ----------
    to : Writer
    run : str
        Id of the attempt.
    here : bool
        Whether the training runs in this process: then the writer's own life is the run's. Otherwise the run is alive
        when something comes from it.
    """

    def __init__(self, to: Writer, run: str, *, here: bool = True) -> None:
        self.id = run
        self._writer, self._here = to, here
        self._pid = os.getpid()
        self._pull: Callable[[], None] | None = None
        self._facts = self._notes = 0
        self._zero = time.perf_counter_ns()
        self._latest = 0  # of the times seen, ns
        self._heard, self._told = time.time_ns(), 0
        self._beaten = time.monotonic()
        self._process: tuple[int, int] | None = None  # of this host, and when it started
        self._open = False
        self._ended = False

    def start(self, row: dict[str, Any]) -> None:
        """Take the facts of the attempt; return when they are durable.

        Raises
        ------
        WorkbenchError
            In a forked child.
        """
        own = dict(row)
        self._began(own.setdefault("started_ns", time.time_ns()))
        if self._here:
            for name, value in (("host", liveness.host()), ("pid", os.getpid()), ("boot_id", liveness.boot_id())):
                if own.get(name) is None:
                    own[name] = value
        if own.get("pid") and (own.get("host"), own.get("boot_id")) == (liveness.host(), liveness.boot_id()):
            own.setdefault("pid_started", liveness.process_started(own["pid"]))
            if own["pid_started"] is not None:
                self._process = int(own["pid"]), int(own["pid_started"])
        own.setdefault("state", "running")
        self._open = True
        self._writer.sinks[id(self)] = self
        self._wait(("facts", self._numbered(own)), ("beat", self._now()), force=True)

    def attach(self, pull: Callable[[], None]) -> bool:
        """Call `pull` from the writer's thread before each commit."""
        self._pull = pull
        return True

    def update(self, row: dict[str, Any]) -> None:
        """Take facts that have changed or become known; none at all say that the run is alive."""
        if not row:
            self.alive()
            return
        self._began(row.get("started_ns"))
        self._put("facts", self._numbered(dict(row)))

    def eval(self, rows: list[tuple[Any, ...]]) -> None:
        """Take the rows of one evaluation; they are committed as soon as can be."""
        self._put("eval", rows)
        self._seen(rows, 6)
        self._writer.soon()
        self._writer.tell()

    def points(self, rows: list[tuple[Any, ...]]) -> None:
        """Take dense points; they are committed within a fifth of a second."""
        for at in range(0, len(rows), COMMIT_ROWS):
            self._put("point", rows[at : at + COMMIT_ROWS])
        self._seen(rows, 2)

    def span(self, row: tuple[Any, ...]) -> None:
        """Take a closed span."""
        self._put("span", [row])
        self._seen([row], 3)

    def note(self, text: str, seq: int | None = None) -> None:
        """Take a note; `seq` is its number, so that one that comes twice is one."""
        number = self._notes if seq is None else seq
        self._notes = max(self._notes, number + 1)
        self._put("note", ("note", number, text))

    def crossing(self, row: dict[str, Any]) -> None:
        """Take a crossing; return when it, and all before it, is durable."""
        self._wait(("crossing", dict(row)))

    def end(self, state: str, row: dict[str, Any]) -> None:
        """Take the end of the attempt; return when it is durable."""
        own = {**row, "state": state}
        own.setdefault("ended_ns", time.time_ns())
        self._ended = True
        self._wait(("beat", self._now()), ("facts", self._numbered(own)), force=True)

    def read_points(self) -> list[tuple[Any, ...]]:
        """Return the dense points that were taken, in the order logged."""
        from workbench.tta.store import open_store

        return open_store(self._writer.path.parent).points(self.id)

    def close(self) -> None:
        """Let go of the run; a run that has ended leaves its dense points to the archive."""
        if not self._open:
            return
        self._writer.wait()  # what the tracker still holds is gathered for it
        self._open = False
        self._writer.sinks.pop(id(self), None)
        self._pull = None
        if self._ended:
            from workbench.tta.archive import archive_later

            archive_later(self._writer.path, self.id)
        self._writer.tell()

    # for the writer

    def gather(self) -> None:
        """Take what the tracker holds."""
        pull = self._pull
        if pull is not None:
            pull()

    def alive(self) -> None:
        """Say that the run is alive, though nothing came from it; for one that is trained elsewhere."""
        self._heard = time.time_ns()

    def beats(self, now: float) -> list[tuple[str, str, Any]]:
        """Return the operations that say that the run is alive.

        Parameters
        ----------
        now : float
            On the monotonic clock, s.
        """
        if not self._here:
            if self._process is not None and liveness.running(*self._process):
                self.alive()
            if self._heard == self._told:
                return []
        late = now - self._beaten > liveness.SILENT_S
        self._told, self._beaten = self._heard, now
        made: list[tuple[str, str, Any]] = [("beat", self.id, self._now())]
        return [*made, ("alive", self.id, None)] if late else made

    # below

    def _now(self) -> tuple[int, int]:
        """Return the time of the last sign of life, UTC and of the run, ns."""
        if self._here:
            return time.time_ns(), max(self._latest, time.perf_counter_ns() - self._zero)
        return self._heard, self._latest

    def _put(self, kind: str, payload: Any) -> None:
        self._check()
        self._writer.put((kind, self.id, payload))

    def _wait(self, *operations: tuple[str, Any], force: bool = False) -> None:
        self._check()
        self._writer.wait(*((kind, self.id, payload) for kind, payload in operations), durable=True, force=force)
        self._writer.tell(stacklevel=4)

    def _check(self) -> None:
        if self._pid != os.getpid():
            raise WorkbenchError(
                "This run was started before the process was forked.", "Log in the process that opened the tracker."
            )
        if self._writer.closed:  # the store was, and the run goes on
            self._writer = writer(self._writer.path)
            if self._open:
                self._writer.sinks[id(self)] = self
        if not self._here:
            self._heard = time.time_ns()

    def _began(self, started_ns: Any) -> None:
        """Take the anchor of the attempt, for what heartbeats tell of its own time."""
        if started_ns is not None:
            utc, now = _together()
            self._zero = now - max(0, utc - int(started_ns))

    def _numbered(self, row: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self._facts += 1
        return self._facts - 1, row

    def _seen(self, rows: list[tuple[Any, ...]], at: int) -> None:
        last = rows[-1][at] if rows else None
        if last is not None and last > self._latest:
            self._latest = int(last)


def _together() -> tuple[int, int]:
    """Return both clocks, UTC and monotonic, ns, read at one moment: between two readings a thread may have to wait."""
    best: tuple[int, int, int] | None = None
    for _ in range(5):
        before, utc, after = time.perf_counter_ns(), time.time_ns(), time.perf_counter_ns()
        if best is None or after - before < best[0]:
            best = after - before, utc, (before + after) // 2
        if best[0] < 100_000:
            break
    assert best is not None
    return best[1], best[2]
