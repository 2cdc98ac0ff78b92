"""The store of runs: one SQLite database in a folder, written by one thread a process and read by anyone."""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.engine.errors import WorkbenchError, suggest
from workbench.tta import schema
from workbench.tta.liveness import UNFINISHED
from workbench.tta.store_sink import StoreSink
from workbench.tta.tables import Tables
from workbench.tta.writer import existing, writer

if TYPE_CHECKING:
    from pandas import DataFrame

    from workbench.tta.reading import Attempt, Log
    from workbench.tta.record import Record

__all__ = ["UNFINISHED", "Store", "checkpoint_folder", "default_folder", "open_store"]

#: runs whose evaluations are read together when those of one are asked for
_TOGETHER = 200


class Store:
    """Runs in one folder. Nothing is made there before a run is written.

    Parameters
    ----------
    folder : path, optional
        Default `WORKBENCH_HOME/tta`.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        self.folder = default_folder() if folder is None else Path(folder).expanduser()
        self.path = self.folder / schema.FILE

    # writing

    def sink(self, run: str, *, here: bool = True) -> StoreSink:
        """Return what a tracker writes an attempt to.

        Parameters
        ----------
        run : str
            Id of the attempt.
        here : bool
            Whether the training is in this process; else the run lives as long as something comes from it.

        Raises
        ------
        WorkbenchError
            If the database is locked by another program, damaged, or of a newer version.
        """
        return StoreSink(writer(self.path), run, here=here)

    def flush(self) -> bool:
        """Wait until all that was logged in this process is committed; return whether it is on disk."""
        found = existing(self.path)
        return found.wait() if found is not None else True

    def close(self) -> None:
        """Commit what there is, wait for what is being archived, and end this process's writer of the folder."""
        from workbench.tta import archive

        archive.wait()
        found = existing(self.path)
        if found is not None:
            found.close()

    def checkpoint_dir(self, name: str, seed: int | None) -> Path:
        """Return the folder kept between attempts of a recipe and seed, made if it is not there."""
        place = checkpoint_folder(self.folder, name, seed)
        place.mkdir(parents=True, exist_ok=True)
        return place

    # reading

    def records(
        self, recipe: str | None = None, *, task: str | None = None, state: str | Sequence[str] | None = None
    ) -> list[Record]:
        """Return runs in the order started; attempts that were gone on with are one run.

        Parameters
        ----------
        recipe, task : str, optional
        state : str or sequence of str, optional
            As shown: a running one whose process is gone is `lost`.
        """
        wanted = None if state is None else {state} if isinstance(state, str) else set(state)
        where, values = _where(recipe, task)
        with self.reading() as connection:
            if connection is None:
                return []
            from workbench.tta import reading

            found = reading.attempts(connection, where, values)
            runs = [chain for chain in reading.chains(found) if wanted is None or chain[-1].state in wanted]
            notes = reading.notes_of(connection, (attempt for chain in runs for attempt in chain))
        made: list[Record] = []
        for at in range(0, len(runs), _TOGETHER):
            group = _Group(self, runs[at : at + _TOGETHER])
            for place, chain in enumerate(group.runs):
                made.append(reading.record(chain, notes, group.log(place), self._points(chain, group.log(place))))
        return made

    def record(self, run: str) -> Record:
        """Return one run, by the id of its last or any other attempt.

        Raises
        ------
        WorkbenchError
            If there is no such run.
        """
        from workbench.tta import reading

        name = str(self.attempts(run)[-1].facts["name"])
        with self.reading() as connection:
            assert connection is not None
            found = reading.chains(reading.attempts(connection, "recipe.name = ?", (name,)))
        last = next((chain[-1].id for chain in found if any(attempt.id == run for attempt in chain)), run)
        return next(record for record in self.records(name) if record.id == last)

    def points(self, run: str) -> list[tuple[Any, ...]]:
        """Return the dense points of an attempt in the order logged: `k, step, t_ns, v, seq`."""
        from workbench.tta import archive

        with self.reading() as connection:
            found = _num(connection, run)
            if connection is None or found is None:
                return []
            table = archive.points_of(connection, self.path, found)
        names = table["metric"].to_pylist()
        rest = (table[name].to_pylist() for name in ("step", "t_ns", "v", "seq"))
        return [
            (k, step, t, float("nan") if v is None else v, seq) for k, step, t, v, seq in zip(names, *rest, strict=True)
        ]

    def history(
        self, recipe: str, metric: str, target: float, goal: str = "max", schedule: str | None = None,
        steps: int | None = None, *, clock: str | None = None,
    ) -> list[tuple[int | None, int | None, float]]:  # fmt: skip
        """Return crossing step or None, last step, and seconds per step of earlier runs; see `history.earlier`."""
        from workbench.tta.history import earlier

        return earlier(self, recipe, metric, target, goal, schedule, steps, clock=clock)

    def board(self, *, recipe: str | None = None, task: str | None = None, confirm: int = 1) -> DataFrame:
        """Return a row per run that has crossed its target, fastest first; see `curves.board`."""
        from workbench.tta.curves import board

        return board(self, recipe=recipe, task=task, confirm=confirm)

    def first_points(self, metric: str, threshold: float, *, goal: str = "max") -> DataFrame:
        """Return for each run the first dense point that meets a threshold; see `curves.first_points`."""
        from workbench.tta.curves import first_points

        return first_points(self, metric, threshold, goal=goal)

    # going on with a run

    def attempts(self, run: str) -> tuple[Attempt, ...]:
        """Return the attempts of a run up to this one, first first.

        Raises
        ------
        WorkbenchError
            If there is no such run.
        """
        from workbench.tta import reading

        with self.reading() as connection:
            found = () if connection is None else reading.one(connection, run)
            if not found:
                ids = [] if connection is None else connection.execute("SELECT id FROM run").fetchall()
                raise _no_run(run, [row[0] for row in ids])
        return found

    def unfinished(self, run: str) -> tuple[Attempt, ...]:
        """Return the attempts of a run that can be gone on with.

        Raises
        ------
        WorkbenchError
            If there is none, if it has ended, or if it is still running.
        """
        chain = self.attempts(run)
        last = chain[-1]
        if last.unfinished:
            return chain
        if last.state == "running":
            raise WorkbenchError(
                f"Run {run} is still running (process {last.facts['pid']} on {last.facts['host']}).",
                "Stop it first, or start a run of its own without resume=.",
            )
        raise WorkbenchError(
            f"Run {run} has ended ({last.state}): it cannot be gone on with.",
            "Only runs that are lost, interrupted or failed can be resumed.",
        )

    def latest(self, name: str, seed: int | None, *, besides: str | None = None) -> tuple[Attempt, ...] | None:
        """Return the attempts of the last run of a recipe and seed; None if there is none.

        Parameters
        ----------
        name : str
        seed : int, optional
        besides : str, optional
            Id of a run that is not meant.
        """
        from workbench.tta import reading

        with self.reading() as connection:
            if connection is None:
                return None
            found = reading.attempts(connection, "recipe.name = ? AND run.seed IS ?", (name, seed))
        runs = [chain for chain in reading.chains(found) if chain[-1].id != besides]
        return runs[-1] if runs else None

    def log(self, chain: Sequence[Attempt]) -> Log:
        """Return what was logged in attempts, on one axis of time."""
        with self.reading() as connection:
            if connection is None:
                raise _no_run(chain[-1].id, [])
            from workbench.tta import reading

            return reading.logs(connection, [chain], to_the_end=True)[0]

    # connections

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection | None]:
        """Give a connection that sees all that this process has logged; None if there is no database."""
        found = existing(self.path)
        if found is not None:
            found.wait()
            unsaved = found.unsaved()
            if unsaved:
                connection = self._with_memory(unsaved)
                try:
                    yield connection
                finally:
                    connection.close()
                return
        if not self.path.is_file():
            if self.path.exists() or (self.folder.exists() and not self.folder.is_dir()):
                raise schema.unreadable(NotADirectoryError(f"{self.folder} is no folder"), self.path)
            yield None
            return
        connection = schema.reading(self.path)
        try:
            if connection.execute("PRAGMA user_version").fetchone()[0] < schema.VERSION:
                connection.close()
                # readers know one version: that of today
                schema.connect(self.path).close()
                connection = schema.reading(self.path)
            yield connection
        except sqlite3.Error as error:
            told = schema.explained(error, self.path)
            if told is None:
                raise
            raise told from error
        finally:
            connection.close()

    def _with_memory(self, unsaved: list[Any]) -> sqlite3.Connection:
        """Return a database in memory with the tables on disk, dense points aside, and what the disk did not take."""
        memory = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False, uri=True)
        schema.migrate(memory)
        mine = sorted({run for _, run, _ in unsaved})
        try:
            disk = schema.reading(self.path) if self.path.is_file() else None
        except WorkbenchError:
            disk = None
        if disk is not None:
            try:
                for table in _TABLES:
                    rows = disk.execute(f"SELECT * FROM {table}").fetchall()
                    if rows:
                        memory.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows)
                for run in mine:
                    rows = disk.execute(
                        "SELECT point.* FROM point JOIN run ON run.num = point.run WHERE run.id = ?", (run,)
                    ).fetchall()
                    memory.executemany("INSERT INTO point VALUES (?, ?, ?, ?, ?, ?)", rows)
            except sqlite3.Error:
                pass  # what could be read, and all that is in memory
            finally:
                disk.close()
        Tables(memory).apply(unsaved)
        return memory

    def _points(self, chain: Sequence[Attempt], log: Callable[[], Log]) -> Callable[[], DataFrame]:
        def points() -> DataFrame:
            from workbench.tta.curves import points_frame

            return points_frame(self, chain, log().offsets if len(chain) > 1 else [0])

        return points

    def __repr__(self) -> str:
        return f"Store({str(self.folder)!r})"


class _Group:
    """Runs whose logs are read at once, when that of one is asked for."""

    def __init__(self, store: Store, runs: Sequence[tuple[Attempt, ...]]) -> None:
        self.store, self.runs = store, runs
        self._logs: list[Log] | None = None
        self._lock = threading.Lock()

    def log(self, place: int) -> Callable[[], Log]:
        """Return what gives the log of a run."""
        return lambda: self._read()[place]

    def _read(self) -> list[Log]:
        with self._lock:
            if self._logs is None:
                from workbench.tta import reading

                with self.store.reading() as connection:
                    if connection is None:
                        raise _no_run(self.runs[0][-1].id, [])
                    self._logs = reading.logs(connection, self.runs)
            return self._logs


def open_store(folder: str | os.PathLike[str] | Store | None = None) -> Store:
    """Return the store in a folder.

    Parameters
    ----------
    folder : path or Store, optional
        Default `WORKBENCH_HOME/tta`.
    """
    return folder if isinstance(folder, Store) else Store(folder)


def default_folder() -> Path:
    """Return `WORKBENCH_HOME/tta`."""
    from workbench.engine.store import home

    return home() / "tta"


def checkpoint_folder(folder: Path, name: str, seed: int | None) -> Path:
    """Return where checkpoints of a recipe and seed are: a name that can be read, and that no two recipes share."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-")[:48] or "recipe"
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return folder / "checkpoints" / f"{plain}-{digest}" / ("seed-none" if seed is None else f"seed-{seed}")


#: in an order in which rows can be copied; dense points and the archive are read from the disk
_TABLES = ("recipe", "run", "eval", "metric", "span", "note", "price", "crossing", "heartbeat", "archive")


def _where(recipe: str | None, task: str | None) -> tuple[str, tuple[Any, ...]]:
    asked = [(column, value) for column, value in (("recipe.name", recipe), ("recipe.task", task)) if value is not None]
    return " AND ".join(f"{column} = ?" for column, _ in asked), tuple(value for _, value in asked)


def _num(connection: sqlite3.Connection | None, run: str) -> int | None:
    if connection is None:
        return None
    found = connection.execute("SELECT num FROM run WHERE id = ?", (run,)).fetchone()
    return None if found is None else int(found[0])


def _no_run(run: str, known: list[str]) -> WorkbenchError:
    return WorkbenchError(f"No run {run}.", suggest(run, known, "wb.tta.runs() lists the runs there are."))
