"""One writer thread for each process and database: callers queue, the thread commits, and storage never raises.

What the disk does not take is kept in memory in its order, warned of once, and tried again; readers in this process
see it all the same (`Writer.unsaved`).
"""

from __future__ import annotations

import atexit
import math
import os
import sqlite3
import threading
import time
import warnings
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

from workbench.engine.errors import WorkbenchError, one_line
from workbench.tta import liveness
from workbench.tta.problems import TTAWarning
from workbench.tta.schema import connect, explained, unwritable
from workbench.tta.tables import Operation, Tables, size

if TYPE_CHECKING:
    from workbench.tta.store_sink import StoreSink

__all__ = ["COMMIT_ROWS", "COMMIT_S", "Writer", "close_all", "existing", "writer"]

#: rows are committed so often, s, or when there are so many
COMMIT_S = 0.2
COMMIT_ROWS = 4096
#: an evaluation is committed at once, but not more often than this, s
SOON_S = 0.02
#: how often a disk that took nothing is tried again, s
RETRY_S = 5.0


class _Ack:
    """Set when all that was queued before it, and its own operations, are on disk, or known not to be."""

    __slots__ = ("done", "durable", "force", "operations", "saved")

    def __init__(self, operations: tuple[Operation, ...], durable: bool, force: bool) -> None:
        self.done = threading.Event()
        # they come with it, for a commit of nothing would not be forced onto the disk
        self.operations, self.durable, self.force = operations, durable, force
        self.saved = False


class Writer:
    """Takes rows from any thread of this process and commits them to one database.

    Parameters
    ----------
    path : Path
        Of the database.

    Raises
    ------
    WorkbenchError
        If the database is locked by another program, damaged, or of a newer version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sinks: dict[int, StoreSink] = {}
        self._queue: SimpleQueue[Operation | _Ack] = SimpleQueue()
        self._wake, self._hurry = threading.Event(), threading.Event()
        self._lock = threading.Lock()  # of `unsaved` and of what is told
        self._unsaved: list[Operation] = []
        self._refused = -math.inf  # when the disk last took nothing
        self._late: list[_Ack] = []
        self._told: set[str] = set()
        self._to_tell: list[tuple[str, str]] = []
        self._connection: sqlite3.Connection | None = None
        self._tables: Tables | None = None
        self._beat = self._committed = 0.0
        self._closed = False
        try:
            self._open()
        except (sqlite3.Error, OSError) as error:
            self._trouble(error)
        self._thread = threading.Thread(target=self._work, name="workbench-tta-writer", daemon=True)
        self._thread.start()

    # for callers

    def put(self, operation: Operation) -> None:
        """Queue an operation; it is committed within `COMMIT_S`."""
        self._queue.put(operation)
        if not self.sinks:  # nobody else wakes the thread
            self._wake.set()

    def soon(self) -> None:
        """Have what is queued committed as soon as can be; return at once."""
        self._wake.set()

    def wait(self, *operations: Operation, durable: bool = False, force: bool = False) -> bool:
        """Wait until all that is queued, and then these operations, are committed.

        Parameters
        ----------
        *operations : Operation
        durable : bool
            Also through a loss of power, not only of the process.
        force : bool
            Try a disk that took nothing again, even if it was tried just before.

        Returns
        -------
        bool
            Whether it is on disk; False if it is in memory alone.
        """
        if threading.current_thread() is self._thread or self._closed:
            return False
        ack = _Ack(operations, durable, force)
        self._queue.put(ack)
        self._hurry.set()
        self._wake.set()
        while not ack.done.wait(1.0):
            if not self._thread.is_alive():  # the interpreter is ending
                return False
        return ack.saved

    def unsaved(self) -> list[Operation]:
        """Return what is in memory alone, in order."""
        with self._lock:
            return list(self._unsaved)

    def tell(self, stacklevel: int = 3) -> None:
        """Warn, in the thread of a caller, of what the writer has met; once of each."""
        if not self._to_tell:
            return
        with self._lock:
            told, self._to_tell = self._to_tell, []
        for message, hint in told:
            warnings.warn(TTAWarning(message, hint), stacklevel=stacklevel)

    @property
    def closed(self) -> bool:
        """Whether it takes nothing any more."""
        return self._closed

    def close(self) -> None:
        """Commit what there is and end the thread."""
        if self._closed:
            return
        self.wait(force=True)
        self._closed = True
        self._hurry.set()
        self._wake.set()
        self._thread.join(timeout=35.0)
        with suppress(sqlite3.Error):
            if self._connection is not None:
                self._connection.close()
        self._connection = self._tables = None

    # the thread

    def _work(self) -> None:
        while not self._closed:
            self._pause()
            try:
                self._turn()
            except Exception as error:  # a fault of ours: the thread must go on, for callers wait for it
                self._trouble(error)

    def _pause(self) -> None:
        idle = not self.sinks and not self._unsaved
        rest = None if idle else max(0.0, COMMIT_S - (time.monotonic() - self._committed))
        if self._wake.wait(rest):
            soon = SOON_S - (time.monotonic() - self._committed)
            if soon > 0:
                self._hurry.wait(soon)
        self._wake.clear()
        self._hurry.clear()

    def _turn(self) -> None:
        asked, self._late = self._late, []
        batch: list[Operation] = [operation for ack in asked for operation in ack.operations]
        self._drain(batch, asked)
        for sink in list(self.sinks.values()):
            try:
                sink.gather()
            except Exception as error:  # of the tracker: the rows of others are committed all the same
                self._tell_later(f"Points of run {sink.id} were not taken: {one_line(error)}.", "The run goes on.")
        # who asks only now may have logged after its points were gathered, and waits for the next turn
        self._drain(batch, self._late, late=True)
        if self._late:
            self._hurry.set()
            self._wake.set()
        self._committed = time.monotonic()
        if self._committed - self._beat >= liveness.BEAT_S:
            batch += self._beats()
        if any(ack.force for ack in asked):
            self._refused = -math.inf
        saved = False
        try:
            saved = self._save(batch, durable=any(ack.durable for ack in asked))
        finally:
            for ack in asked:
                ack.saved = saved
                ack.done.set()

    def _drain(self, batch: list[Operation], asked: list[_Ack], *, late: bool = False) -> None:
        for _ in range(self._queue.qsize()):
            item = self._queue.get()
            if isinstance(item, _Ack):
                asked.append(item)
                batch += () if late else item.operations
            else:
                batch.append(item)

    def _beats(self) -> list[Operation]:
        self._beat = self._committed
        return [operation for sink in list(self.sinks.values()) for operation in sink.beats(self._committed)]

    def _save(self, batch: list[Operation], *, durable: bool = False) -> bool:
        """Commit a batch after what is unsaved; return whether all is on disk."""
        if not batch and not self._unsaved and not durable:
            return True
        with self._lock:
            waiting = bool(self._unsaved)
            if waiting:
                self._unsaved += batch
        if waiting:
            if time.monotonic() - self._refused < RETRY_S:
                return False
            batch = self.unsaved()
        try:
            for part in _parts(batch):
                self._commit_all(part, durable)
                if waiting:
                    with self._lock:
                        del self._unsaved[: len(part)]
        except Exception as error:
            with self._lock:
                if not waiting:
                    self._unsaved += batch
            self._trouble(error)
            return False
        return True

    def _commit_all(self, batch: list[Operation], durable: bool) -> None:
        """Commit a batch; an operation that no table can take must not keep the others from theirs."""
        try:
            self._commit(batch, durable)
        except (sqlite3.OperationalError, OSError, WorkbenchError):
            raise
        except sqlite3.DatabaseError as error:
            if type(error) is sqlite3.DatabaseError:  # damaged: the others would fare no better
                raise
            self._each(batch, durable)
        except Exception:
            self._each(batch, durable)

    def _each(self, batch: list[Operation], durable: bool) -> None:
        for operation in batch:
            try:
                self._commit([operation], durable)
            except (sqlite3.OperationalError, OSError, WorkbenchError):
                raise
            except Exception as error:
                self._tell_later(
                    f"A row of run {operation[1]} is left out ({operation[0]}): {one_line(error)}.", "The run goes on."
                )

    def _commit(self, batch: list[Operation], durable: bool) -> None:
        if self._tables is None:
            self._open()
        assert self._connection is not None
        assert self._tables is not None
        connection = self._connection
        if durable:
            connection.execute("PRAGMA synchronous = FULL")
        try:
            connection.execute("BEGIN IMMEDIATE")
            self._tables.apply(batch)
            connection.execute("COMMIT")
        except BaseException:
            self._tables.forget()
            with suppress(sqlite3.Error):
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            raise
        finally:
            if durable:
                with suppress(sqlite3.Error):
                    connection.execute("PRAGMA synchronous = NORMAL")

    def _open(self) -> None:
        connection = connect(self.path)
        try:
            liveness.mark_lost(connection)
        except sqlite3.Error as error:
            connection.close()
            if (told := explained(error, self.path)) is None:
                raise
            raise told from error
        self._connection, self._tables = connection, Tables(connection)

    def _trouble(self, error: BaseException) -> None:
        """Note what the disk did not take, and that it is to be told."""
        self._refused = time.monotonic()
        if isinstance(error, WorkbenchError):
            message, hint = error.message, error.hint
        else:
            message, hint = unwritable(error)
        if self._connection is not None and isinstance(error, sqlite3.DatabaseError) and "full" not in str(error):
            # the file may have been moved or mended: open it anew the next time
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = self._tables = None
        self._tell_later(message, hint)

    def _tell_later(self, message: str, hint: str) -> None:
        with self._lock:
            if message not in self._told:
                self._told.add(message)
                self._to_tell.append((message, hint))


_writers: dict[str, Writer] = {}
_forgotten: list[Writer] = []  # of a parent process: their connections must not even be closed
_lock = threading.Lock()


def writer(path: Path) -> Writer:
    """Return the writer of this process for a database."""
    place = os.path.realpath(path)
    with _lock:
        found = _writers.get(place)
        if found is None or found.closed:
            found = _writers[place] = Writer(path)
    found.tell()
    return found


def existing(path: Path) -> Writer | None:
    """Return the writer of this process for a database, if there is one."""
    found = _writers.get(os.path.realpath(path))
    return found if found is not None and not found.closed else None


def close_all() -> None:
    """Commit and close all writers of this process."""
    for found in list(_writers.values()):
        with suppress(Exception):
            found.close()
    _writers.clear()


def _parts(batch: list[Operation]) -> list[list[Operation]]:
    """Split what has gathered in memory into transactions that do not keep other processes waiting."""
    parts: list[list[Operation]] = [[]]
    rows = 0
    for operation in batch:
        if rows >= COMMIT_ROWS:
            parts.append([])
            rows = 0
        parts[-1].append(operation)
        rows += size(operation)
    return parts


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()
    _forgotten.extend(_writers.values())
    _writers.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
atexit.register(close_all)
