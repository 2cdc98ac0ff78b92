"""A run under way as a `Run`: its record is made when it is asked for, and stays when the run has ended."""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import threading
import time
from typing import TYPE_CHECKING, Any

from workbench.tta.joining import all_evals
from workbench.tta.record import CLOCKS, Record, points_table
from workbench.tta.run import Run

if TYPE_CHECKING:
    from pathlib import Path

    from pandas import DataFrame

    from workbench.tta.pointlog import PointLog
    from workbench.tta.reading import Log
    from workbench.tta.target import Target
    from workbench.tta.tracking import Tracking

__all__ = ["LiveRun", "record"]

#: seconds for which a record is good, though nothing new was logged: spans that are open grow
FRESH_S = 0.2


class LiveRun(Run):
    """A run that may still go on.

    Parameters
    ----------
    tracking : Tracking
    """

    def __init__(self, tracking: Tracking) -> None:
        self._tracking: Tracking | None = tracking
        self._made: tuple[int, float, Record] | None = None
        self._lock = threading.Lock()

    @property
    def record(self) -> Record:  # type: ignore[override]
        """What is known of it now."""
        with self._lock:
            made, tracking = self._made, self._tracking
            if made is not None and (tracking is None or (made[0] == tracking.version and _fresh(made[1]))):
                return made[2]
            assert tracking is not None
            version = tracking.version
            found = record(tracking)
            self._made = (version, time.monotonic(), found)
            return found

    @property
    def points(self) -> DataFrame:
        """Dense points, as far as they have been logged."""
        tracking = self._tracking
        made: DataFrame = (self.record.points if tracking is None else points_of(tracking))()
        return made

    def settle(self, found: Record) -> None:
        """Keep this record for good, and let go of the tracker."""
        with self._lock:
            self._made = (-1, 0.0, found)
            self._tracking = None

    def __reduce__(self) -> tuple[Any, ...]:
        found = self.record
        plain = {field.name: getattr(found, field.name) for field in dataclasses.fields(Record)}
        return Run, (Record(**plain),)


def _fresh(made: float) -> bool:
    return time.monotonic() - made < FRESH_S


def record(tracking: Tracking) -> Record:
    """Return a run under way, or one that has just ended, as plain data.

    Its tables are made when they are asked for, so leaving a block does not wait for pandas.
    """
    from workbench.tta.reading import Log, StoredRecord

    t, settings, target = tracking, tracking.settings, tracking.target
    with t.lock:
        log = Log(evals=all_evals(t), spans=t.spans.spans(t.now() + t.offset))
        beside = t.beside
        environment = {} if beside is None else dict(beside.environment)
        before = t.previous if t.joined else None
        anchor = t.started_ns if before is None else before.started_ns
        first_in_process, contended = t.first_in_process, beside is not None and beside.contention.contended
        notes, said = tuple(t.notes), tuple(t.warnings)
        if before is not None:
            first_in_process, contended = before.first_in_process, contended or before.contended
            notes, said = before.notes + notes, before.warnings + said
        return StoredRecord(
            functools.partial(_tables, log, target),
            id=t.id, name=settings.name, seed=settings.seed, attempt=t.attempt, state=t.state, task=settings.task,
            clock=settings.clock, clocks=CLOCKS, goal=target.goal, metric=target.metric, target=target.value,
            confirm=settings.confirm, steps=t.steps, schedule=t.schedule, price=settings.price, environment=environment,
            notes=notes, warnings=said, eval_hash=settings.eval_set.hash,
            eval_count=settings.eval_set.count, gap=t.gap, points=points_of(t),
            started=dt.datetime.fromtimestamp(anchor / 1e9, dt.UTC) if anchor else None,
            contended=contended, first_in_process=first_in_process,
        )  # fmt: skip


def _tables(log: Log, target: Target) -> tuple[DataFrame, DataFrame]:
    evals = log.evals_frame(metric=target.metric, target=target.value, goal=target.goal, unit=target.unit)
    return evals, log.spans_frame()


def points_of(tracking: Tracking) -> Any:
    """Return what gives the table of dense points, without holding on to the tracker."""
    from workbench.tta.store import Store

    if type(tracking.store) is Store:  # one that stands in for it on a worker has no database
        return functools.partial(_stored, tracking.store.folder, tracking.id)
    return _InMemory(tracking.points, tracking.sink)


class _InMemory:
    """The dense points of a run whose sink has no database."""

    def __init__(self, log: PointLog, sink: Any) -> None:
        self._log, self._sink = log, sink

    def __call__(self) -> DataFrame:
        return _table(self._rows())

    def __reduce__(self) -> tuple[Any, ...]:
        return functools.partial, (_table, self._rows())

    def _rows(self) -> list[tuple[Any, ...]]:
        if not self._log.over:
            self._log.drain(self._sink.points)
        return self._log.rows() if self._log.keep else list(self._sink.read_points())


def _stored(folder: Path, run: str) -> DataFrame:
    from workbench.tta.curves import points_frame
    from workbench.tta.store import open_store

    store = open_store(folder)
    chain = store.attempts(run)
    return points_frame(store, chain, store.log(chain).offsets if len(chain) > 1 else [0])


def _table(rows: list[tuple[Any, ...]]) -> DataFrame:
    names, steps, times, values = ([row[place] for row in rows] for place in (0, 1, 2, 3))
    return points_table({"step": steps, "metric": names, "wall_s": [t / 1e9 for t in times], "value": values})
