"""The database of runs: its tables, its versions, how a connection is made, and what its errors mean.

In every table but `run` and `recipe` the column `run` is `run.num`: a small number in place of a 26-letter id keeps
100 million points under 3.5 GB. Times that end in `_ns` are nanoseconds since the attempt began, on the monotonic
clock; `_utc` are nanoseconds since 1970.
"""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

from workbench.engine.errors import WorkbenchError

__all__ = ["BUSY_S", "FILE", "VERSION", "connect", "explained", "is_full", "migrate", "reading", "unwritable"]

#: the database's name in its folder
FILE = "runs.sqlite"
#: how long a lock is waited for, s
BUSY_S = 30.0

#: one entry for each version: the statements that lead to it from the one before. Never edited, only added to.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE recipe(
            id INTEGER PRIMARY KEY, name TEXT NOT NULL, schedule TEXT, steps INTEGER, metric TEXT NOT NULL,
            goal TEXT NOT NULL, target REAL, clock TEXT NOT NULL, task TEXT)""",
        # nulls are distinct in a unique index, so they are given values
        """CREATE UNIQUE INDEX recipe_facts ON recipe(
            name, ifnull(schedule, ''), ifnull(steps, -1), metric, goal, ifnull(target, ''), clock,
            ifnull(task, ''))""",
        """CREATE TABLE run(
            num INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, recipe INTEGER, seed INTEGER, attempt INTEGER,
            parent TEXT, joined INTEGER, resumed_step INTEGER, state TEXT, reason TEXT, started_utc INTEGER,
            ended_utc INTEGER, end_ns INTEGER, cpu_ns INTEGER, energy_mj INTEGER, host TEXT, pid INTEGER,
            pid_started INTEGER, boot_id TEXT, rank INTEGER, unit TEXT, confirm INTEGER, environment TEXT,
            eval_hash TEXT, eval_count INTEGER, gap REAL, contended INTEGER, first_in_process INTEGER,
            said TEXT)""",
        "CREATE INDEX run_recipe ON run(recipe)",
        "CREATE INDEX run_parent ON run(parent) WHERE parent IS NOT NULL",
        "CREATE INDEX run_running ON run(num) WHERE state = 'running'",
        """CREATE TABLE eval(
            run INTEGER, seq INTEGER, step INTEGER, epoch REAL, metric TEXT, value REAL, n INTEGER, t_ns INTEGER,
            cpu_ns INTEGER, energy_mj INTEGER, place INTEGER, PRIMARY KEY(run, seq, metric)) WITHOUT ROWID""",
        "CREATE TABLE metric(k INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
        """CREATE TABLE point(
            run INTEGER, k INTEGER, step INTEGER, t_ns INTEGER, v REAL, seq INTEGER,
            PRIMARY KEY(run, k, step, seq)) WITHOUT ROWID""",
        """CREATE TABLE span(
            run INTEGER, seq INTEGER, kind TEXT, start_ns INTEGER, end_ns INTEGER, depth INTEGER,
            PRIMARY KEY(run, seq)) WITHOUT ROWID""",
        """CREATE TABLE note(
            run INTEGER, kind TEXT, seq INTEGER, text TEXT, PRIMARY KEY(run, kind, seq)) WITHOUT ROWID""",
        """CREATE TABLE price(
            run INTEGER PRIMARY KEY, usd_per_hour REAL, kind TEXT, source TEXT, date TEXT)""",
        """CREATE TABLE crossing(
            run INTEGER, metric TEXT, threshold REAL, confirm INTEGER, seq INTEGER, step INTEGER, epoch REAL,
            value REAL, t_ns INTEGER, seconds REAL, cost_usd REAL, energy_j REAL,
            PRIMARY KEY(run, metric, threshold, confirm)) WITHOUT ROWID""",
        "CREATE TABLE heartbeat(run INTEGER PRIMARY KEY, t_utc INTEGER, t_ns INTEGER)",
        "CREATE TABLE archive(run INTEGER PRIMARY KEY, file TEXT NOT NULL, points INTEGER NOT NULL)",
    ),
)
VERSION = len(MIGRATIONS)


def connect(path: Path) -> sqlite3.Connection:
    """Open the database for writing, made and brought up to date as needed.

    Raises
    ------
    WorkbenchError
        If it is locked for `BUSY_S`, damaged, or of a newer version.
    sqlite3.Error, OSError
        If the folder cannot be written or the disk is full.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        _wal(connection)
        connection.execute("PRAGMA synchronous = NORMAL")
        migrate(connection, path)
    except BaseException as error:
        connection.close()
        if isinstance(error, sqlite3.Error) and (told := explained(error, path)) is not None:
            raise told from error
        raise
    return connection


def reading(path: Path) -> sqlite3.Connection:
    """Open the database for reading; the folder need not be writable.

    Raises
    ------
    WorkbenchError
        As `connect`, and if the file cannot be read.
    """
    tries = ["?mode=ro"]
    if not os.access(path.parent, os.W_OK) or not os.access(path, os.W_OK):
        # without a -shm file that it could make, SQLite reads only what it is told nobody changes
        tries.append("?immutable=1")
    for way in tries:
        connection = sqlite3.connect(
            path.absolute().as_uri() + way, uri=True, timeout=BUSY_S, isolation_level=None, check_same_thread=False
        )
        try:
            found = _version(connection)
            if found == 0:
                connection.execute("SELECT 1 FROM sqlite_master").fetchone()
            _not_newer(found, path)
            return connection
        except sqlite3.Error as error:
            connection.close()
            if way is tries[-1]:
                raise (explained(error, path) or unreadable(error, path)) from error
        except WorkbenchError:
            connection.close()
            raise
    raise AssertionError("no way to open")  # the loop returns or raises


def migrate(connection: sqlite3.Connection, path: Path | None = None) -> None:
    """Bring a database to `VERSION`; all of it or nothing."""
    found = _version(connection)
    _not_newer(found, path)
    if found == VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        found = _version(connection)  # another process may have been quicker
        _not_newer(found, path)
        for statements in MIGRATIONS[found:]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def explained(error: sqlite3.Error, path: Path) -> WorkbenchError | None:
    """Return what a person can do about a lock or a damaged file; None for other errors."""
    text = str(error).lower()
    if "locked" in text or "busy" in text:
        return WorkbenchError(f"{path.name} is locked by another program.", "Keep WORKBENCH_HOME on a local disk.")
    if "malformed" in text or "not a database" in text or "encrypted" in text:
        return WorkbenchError(
            f"{path.name} is damaged: {text}.",
            f"Move {path} away: a new one is begun. What can be read is saved by sqlite3's .recover.",
        )
    return None


def unreadable(error: BaseException, path: Path) -> WorkbenchError:
    """Return the error for a file that cannot be opened."""
    return WorkbenchError(f"{path.name} cannot be read: {error}.", f"Look at {path.parent}, or pass store=.")


def is_full(error: BaseException) -> bool:
    """Return whether an error says that the disk is full."""
    return "full" in str(error) or getattr(error, "errno", None) in (28, 122)  # ENOSPC, EDQUOT


def unwritable(error: BaseException) -> tuple[str, str]:
    """Return the warning for a database that does not take rows: what is wrong, and what to do."""
    again = "what is missing is written then; the run goes on."
    if is_full(error):
        return "The disk is full: the run is kept in memory.", f"Make room: {again}"
    text = str(error).strip(".") or type(error).__name__
    if "locked" in text:
        return "runs.sqlite is locked by another program: the run is kept in memory.", f"End that program: {again}"
    return (
        f"The folder of runs cannot be written ({text}): the run is kept in memory.",
        "Set WORKBENCH_HOME, or store=, to a folder that can be written; the run goes on.",
    )


def _wal(connection: sqlite3.Connection) -> None:
    """Turn the write-ahead log on. The first to do so needs the file alone, and SQLite does not wait for that."""
    until = time.monotonic() + BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchone()
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.02)


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _not_newer(found: int, path: Path | None) -> None:
    if found > VERSION:
        name = path.name if path is not None else FILE
        raise WorkbenchError(
            f"{name} was written by a newer Workbench: schema {found}, this one knows up to {VERSION}.",
            "Update workbench, or set WORKBENCH_HOME to another folder.",
        )
