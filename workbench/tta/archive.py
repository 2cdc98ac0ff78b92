"""Dense points of ended runs as Parquet files beside the database.

Rows leave the database in the transaction that names their file, after the file is safe on disk: whenever a process
is killed, they are in one place or in both, and readers count a row once. The files are not in the engine's store,
which throws away what can be computed again: these cannot.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import sqlite3
import threading
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.engine.errors import one_line
from workbench.tta.problems import TTAWarning
from workbench.tta.schema import connect

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["LEAST", "archive", "archive_later", "folder", "left_over", "points_of", "wait"]

#: rows below which a run's points stay in the database: a file for a handful is no gain
LEAST = 512

#: after which nobody is expected to go on with a lost run
_LONG_LOST_S = 86_400

_threads: set[threading.Thread] = set()
_lock = threading.Lock()


def folder(database: Path) -> Path:
    """Return where the files are."""
    return database.parent / "points"


def archive_later(database: Path, run: str) -> None:
    """Archive the points of a run, and some that earlier processes left, from a thread; `wait` waits for it."""

    def work() -> None:
        # nothing is lost where it fails, such as in a process that is ending: the rows stay where they are
        try:
            with suppress(Exception):
                archive(database, run)
                for other in left_over(database):
                    archive(database, other)
        finally:
            with _lock:
                _threads.discard(threading.current_thread())

    thread = threading.Thread(target=work, name="workbench-tta-archive", daemon=True)
    with _lock:
        _threads.add(thread)
    try:
        thread.start()
    except RuntimeError:  # the interpreter is ending
        with _lock:
            _threads.discard(thread)


def wait(timeout: float = 30.0) -> None:
    """Wait until what is being archived is."""
    with _lock:
        threads = list(_threads)
    for thread in threads:
        if thread is not threading.current_thread():
            thread.join(timeout)


def archive(database: Path, run: str, least: int = LEAST) -> int:
    """Move the dense points of a run to a Parquet file.

    Parameters
    ----------
    database : Path
    run : str
        Id of the run.
    least : int
        Rows from which it is done.

    Returns
    -------
    int
        Rows moved; 0 if there were fewer than `least`, or new ones came meanwhile.
    """
    if not database.is_file():  # the run is in memory alone
        return 0
    connection = connect(database)
    try:
        found = connection.execute("SELECT num FROM run WHERE id = ?", (run,)).fetchone()
        if found is None:
            return 0
        num = int(found[0])
        if connection.execute("SELECT count(*) FROM point WHERE run = ?", (num,)).fetchone()[0] < max(least, 1):
            return 0
        rows = _rows(connection, num)
        before = connection.execute("SELECT file FROM archive WHERE run = ?", (num,)).fetchone()
        table = _table(connection, rows)
        if before is not None:
            table = _union(_read(folder(database) / before[0]), table)
        name = _write(folder(database), run, table)
        connection.execute("BEGIN IMMEDIATE")
        try:
            still = connection.execute("SELECT count(*) FROM point WHERE run = ?", (num,)).fetchone()[0]
            if still != len(rows):
                connection.execute("ROLLBACK")
                return 0
            connection.execute("INSERT OR REPLACE INTO archive VALUES (?, ?, ?)", (num, name, table.num_rows))
            connection.execute("DELETE FROM point WHERE run = ?", (num,))
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        if before is not None and before[0] != name:
            (folder(database) / before[0]).unlink(missing_ok=True)
        return len(rows)
    finally:
        connection.close()


def left_over(database: Path, most: int = 8) -> list[str]:
    """Return ids of ended runs whose points are still in the database: their process was ending too."""
    if not database.is_file():
        return []
    connection = connect(database)
    try:
        found = connection.execute(
            "SELECT id FROM run WHERE (state NOT IN ('running', 'lost') OR (state = 'lost' AND ended_utc < ?)) "
            "AND EXISTS (SELECT 1 FROM point WHERE point.run = run.num LIMIT 1 OFFSET ?) ORDER BY num DESC LIMIT ?",
            (time.time_ns() - _LONG_LOST_S * 10**9, LEAST - 1, most),
        )
        return [str(row[0]) for row in found]
    finally:
        connection.close()


def points_of(connection: sqlite3.Connection, database: Path, num: int) -> pa.Table:
    """Return the points of a run, wherever they are: `metric, step, t_ns, v, seq`, in the order logged.

    A file that is gone or damaged is told in a warning; what else there is, is returned.
    """
    for last in (False, True):
        own = not connection.in_transaction
        if own:
            connection.execute("BEGIN")  # both questions are asked of one state of the database
        try:
            rows = _rows(connection, num)
            named = connection.execute("SELECT file FROM archive WHERE run = ?", (num,)).fetchone()
        finally:
            if own:
                connection.execute("ROLLBACK")
        if named is None:
            return _table(connection, rows)
        try:
            kept = _read(folder(database) / named[0])
        except FileNotFoundError as error:
            if last:  # else another process may just have written it anew
                _damaged(named[0], error)
        except Exception as error:  # whatever a damaged file makes a reader say
            _damaged(named[0], error)
            break
        else:
            return _union(kept, _table(connection, rows)) if rows else kept
    return _table(connection, rows)


def first_in(file: Path, metric: str, threshold: float, goal: str) -> tuple[int, int, int, float] | None:
    """Return `seq, step, t_ns, v` of the first point of a file that meets a threshold; None if none does."""
    import numpy as np

    try:
        points = _read(file)
    except Exception as error:  # whatever a damaged file makes a reader say
        _damaged(file.name, error)
        return None
    names = points["metric"].combine_chunks()
    values = points["v"].to_numpy()
    with np.errstate(invalid="ignore"):
        met = values >= threshold if goal == "max" else values <= threshold
    known = names.dictionary.to_pylist()
    if metric not in known:
        return None
    met = met & (names.indices.to_numpy() == known.index(metric))
    at = int(met.argmax())
    if not len(met) or not met[at]:
        return None
    return (
        int(points["seq"][at].as_py()),
        int(points["step"][at].as_py()),
        int(points["t_ns"][at].as_py()),
        float(values[at]),
    )


# ------------------------------------------------------------------------------------------------------------ private


def _rows(connection: sqlite3.Connection, num: int) -> list[tuple[Any, ...]]:
    return connection.execute("SELECT k, step, t_ns, v, seq FROM point WHERE run = ?", (num,)).fetchall()


def _damaged(file: str, error: Exception) -> None:
    warnings.warn(
        TTAWarning(
            f"Dense points are missing: {file} cannot be read ({one_line(error)}).",
            "Evaluations, spans and times of the run are whole.",
        ),
        stacklevel=4,
    )


def _table(connection: sqlite3.Connection, rows: list[tuple[Any, ...]]) -> pa.Table:
    """Return rows of the database as a table, in the order logged."""
    import numpy as np
    import pyarrow as pa

    columns = list(zip(*rows, strict=True)) if rows else [()] * 5
    keys = np.array(columns[0], np.int64)
    known = dict(connection.execute("SELECT k, name FROM metric").fetchall()) if rows else {}
    codes, places = np.unique(keys, return_inverse=True)
    names = pa.array([known.get(int(k), "") for k in codes], pa.string())
    # a NaN is no value to SQLite: it keeps a null
    values = np.array(columns[3], np.float64) if rows else np.empty(0)
    numbers = {name: np.array(columns[at], np.int64) for name, at in (("step", 1), ("t_ns", 2), ("seq", 4))}
    order = np.lexsort((keys, numbers["seq"]))
    return pa.table(
        {
            "metric": pa.DictionaryArray.from_arrays(pa.array(places[order].astype(np.int32)), names),
            "step": numbers["step"][order],
            "t_ns": numbers["t_ns"][order],
            "v": values[order],
            "seq": numbers["seq"][order],
        }
    )


def _union(kept: pa.Table, more: pa.Table) -> pa.Table:
    """Return the rows of both, those that are in both once, in the order logged."""
    import pyarrow as pa

    frame = pa.concat_tables([_plain(kept), _plain(more)]).to_pandas()
    frame = frame.drop_duplicates(["metric", "step", "seq"]).sort_values("seq", kind="stable", ignore_index=True)
    table = pa.Table.from_pandas(frame, schema=_plain(kept).schema, preserve_index=False)
    return table.set_column(0, "metric", table["metric"].combine_chunks().dictionary_encode())


def _plain(table: pa.Table) -> pa.Table:
    import pyarrow as pa

    return table.set_column(0, "metric", table["metric"].cast(pa.string())).combine_chunks()


def _read(path: Path) -> pa.Table:
    import pyarrow.parquet as pq

    # the file alone, without looking for others like it; threads cost more than they gain at this size
    with pq.ParquetFile(path, read_dictionary=["metric"], page_checksum_verification=True) as file:
        return file.read(use_threads=False)


def _write(place: Path, run: str, table: pa.Table) -> str:
    """Write a file, safe on disk when this returns; return its name."""
    import pyarrow.parquet as pq

    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    digest = hashlib.sha256()
    for column in table.columns[1:]:
        for chunk in column.chunks:
            digest.update(chunk.buffers()[1])
    name = f"{run}-{digest.hexdigest()[:16]}.parquet"
    part = place / f".{name}.{os.getpid()}.part"
    try:
        pq.write_table(
            table, part, compression="zstd", use_dictionary=["metric"], write_page_checksum=True,
            # steps, times and numbers go up by about as much each time
            column_encoding=dict.fromkeys(("step", "t_ns", "seq"), "DELTA_BINARY_PACKED"),
        )  # fmt: skip
        _sync(part)
        if pq.read_metadata(part).num_rows != table.num_rows:
            raise OSError(f"{name} was not written whole")
        part.replace(place / name)
        _sync(place)
    finally:
        part.unlink(missing_ok=True)
    return name


def _sync(path: Path) -> None:
    if os.name == "nt" and path.is_dir():
        return  # where a folder cannot be opened, the system keeps names safe by itself
    # Windows forces a file onto the disk only for who may write it
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()
    _threads.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
atexit.register(wait)
