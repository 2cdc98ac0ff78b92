"""Is the process of a run still there? Told by its heartbeat, its process id and the boot of its host."""

from __future__ import annotations

import functools
import os
import socket
import sqlite3
import time
from contextlib import suppress
from pathlib import Path

__all__ = [
    "ASLEEP_S",
    "BEAT_S",
    "SILENT_S",
    "boot_id",
    "host",
    "is_gone",
    "is_lost",
    "mark_lost",
    "process_started",
    "running",
]

#: how often a writer says that its runs are alive, s
BEAT_S = 1.0
#: a run is lost when it has been silent for so long and its process is gone, s
SILENT_S = 10.0
#: and for so long where that cannot be seen: another host, a process that sleeps, s
ASLEEP_S = 120.0

#: states of attempts that came to no end of their own
UNFINISHED = ("lost", "interrupted", "failed")

_COLUMNS = "run.num, run.host, run.pid, run.pid_started, run.boot_id, run.started_utc, heartbeat.t_utc"


def is_lost(
    *,
    silent_s: float,
    run_host: str | None,
    pid: int | None,
    pid_started: int | None,
    run_boot_id: str | None,
) -> bool:
    """Return whether a run in state `running` is lost.

    Parameters
    ----------
    silent_s : float
        Since its last heartbeat.
    run_host, pid, pid_started, run_boot_id
        Of its process; `pid_started` tells it from a later process with the same id.
    """
    # the clock may have been set back since the heartbeat: on this host a beat from the future is an old one
    silent = abs(silent_s) if run_host == host() and run_boot_id == boot_id() else silent_s
    if silent > SILENT_S and is_gone(run_host=run_host, pid=pid, pid_started=pid_started, run_boot_id=run_boot_id):
        return True
    return silent > ASLEEP_S


def is_gone(*, run_host: str | None, pid: int | None, pid_started: int | None, run_boot_id: str | None) -> bool:
    """Return whether a process of this host is not there any more; False where that cannot be seen."""
    here = run_host == host() and run_boot_id == boot_id()
    return here and pid is not None and not running(pid, pid_started)


def lost(connection: sqlite3.Connection, now_ns: int | None = None) -> dict[int, int]:
    """Return number -> last heartbeat (ns since 1970) of the runs that are in state `running` and lost."""
    now = time.time_ns() if now_ns is None else now_ns
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM run LEFT JOIN heartbeat ON heartbeat.run = run.num WHERE state = 'running'"
    )
    found = {}
    for num, run_host, pid, pid_started, run_boot_id, started, beat in rows:
        last = started if beat is None else beat
        if last is not None and is_lost(
            silent_s=(now - last) / 1e9, run_host=run_host, pid=pid, pid_started=pid_started, run_boot_id=run_boot_id
        ):
            found[int(num)] = int(last)
    return found


def mark_lost(connection: sqlite3.Connection) -> int:
    """Set the state of lost runs so, their end being their last heartbeat; return how many."""
    found = lost(connection)
    if found:
        connection.execute("BEGIN IMMEDIATE")
        try:
            # only what is still so: its process may have gone on meanwhile
            found = lost(connection)
            connection.executemany(
                "UPDATE run SET state = 'lost', ended_utc = ? WHERE num = ? AND state = 'running'",
                [(last, num) for num, last in found.items()],
            )
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    return len(found)


@functools.cache
def host() -> str:
    """Return the name of this host."""
    return socket.gethostname()


@functools.cache
def boot_id() -> str:
    """Return what changes at each start of this host: process ids are of one boot."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    import psutil

    return f"{psutil.boot_time():.0f}"


def running(pid: int, started: int | None = None) -> bool:
    """Return whether a process is there, and is the one that started then.

    Parameters
    ----------
    pid : int
        On this host.
    started : int, optional
        As `process_started` told it; None: any process of this id.
    """
    if pid <= 0:
        return False
    found = process_started(pid)
    if found is not None:
        return started is None or found == started
    if Path("/proc/self").exists():
        return False
    with suppress(ImportError):
        import psutil

        return bool(psutil.pid_exists(pid))
    return True


def process_started(pid: int | None = None) -> int | None:
    """Return when a process was started, in a unit of this host; None if there is no such process.

    A process that has ended and is not yet waited for is no process.
    """
    pid = os.getpid() if pid is None else pid
    if Path("/proc/self").exists():
        try:
            # after the name, which is in parentheses and may hold anything: state is field 3, start time field 22
            fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
            return None if fields[0] in "ZX" else int(fields[19])
        except (OSError, ValueError, IndexError):
            return None
    try:
        import psutil

        return int(psutil.Process(pid).create_time() * 1000)
    except Exception:  # gone, or not ours to look at
        return None
