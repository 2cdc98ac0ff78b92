"""From tables to records: the attempts of a run on one axis of time, its evaluations on every clock."""

from __future__ import annotations

import datetime as dt
import json
import math
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.tta import liveness
from workbench.tta.clock import Timeline, clock_seconds, join_attempts, span_columns
from workbench.tta.price import Price
from workbench.tta.record import CLOCKS, Record, evals_table, spans_table
from workbench.tta.statistics import accuracy_se

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["Attempt", "Log", "StoredRecord", "attempts", "chains", "logs", "notes_of", "one", "record"]

_COLUMNS = (
    "num", "id", "seed", "attempt", "parent", "joined", "resumed_step", "state", "reason", "started_utc", "ended_utc",
    "end_ns", "cpu_ns", "energy_mj", "host", "pid", "pid_started", "boot_id", "rank", "unit", "confirm", "environment",
    "eval_hash", "eval_count", "gap", "contended", "first_in_process",
)  # fmt: skip
_RECIPE = ("name", "schedule", "steps", "metric", "goal", "target", "clock", "task")
_SELECT = (
    f"SELECT {', '.join('run.' + name for name in _COLUMNS)}, {', '.join('recipe.' + name for name in _RECIPE)}, "
    "price.usd_per_hour, price.kind, price.source, price.date, heartbeat.t_utc, heartbeat.t_ns "
    "FROM run JOIN recipe ON recipe.id = run.recipe LEFT JOIN price ON price.run = run.num "
    "LEFT JOIN heartbeat ON heartbeat.run = run.num"
)


@dataclass(frozen=True, eq=False)
class Attempt:
    """A row of the table of runs with its recipe: `facts` by column."""

    facts: Mapping[str, Any]
    price: Price | None
    beat_utc: int | None
    beat_ns: int | None
    state: str

    @property
    def num(self) -> int:
        """The run's number in other tables."""
        return int(self.facts["num"])

    @property
    def id(self) -> str:
        """The attempt's id."""
        return str(self.facts["id"])

    @property
    def unfinished(self) -> bool:
        """Whether it can be gone on with: it came to no end, or its process is gone, however short a time ago."""
        facts = self.facts
        return self.state in liveness.UNFINISHED or (
            self.state == "running"
            and liveness.is_gone(
                run_host=facts["host"], pid=facts["pid"], pid_started=facts["pid_started"], run_boot_id=facts["boot_id"]
            )
        )


def attempts(
    connection: sqlite3.Connection, where: str = "", values: Sequence[Any] = (), *, now_ns: int | None = None
) -> list[Attempt]:
    """Return attempts with the state they are in now, in the order started; those of other ranks are left out."""
    gone = liveness.lost(connection, now_ns)
    sql = f"{_SELECT} WHERE ifnull(run.rank, 0) = 0{' AND ' + where if where else ''} ORDER BY run.started_utc, run.num"
    named = len(_COLUMNS) + len(_RECIPE)
    found = []
    for row in connection.execute(sql, values):
        facts = dict(zip((*_COLUMNS, *_RECIPE), row[:named], strict=True))
        rate, kind, source, date, beat_utc, beat_ns = row[named:]
        price = None if rate is None else Price(rate, kind, source, date)
        state = "lost" if facts["num"] in gone else facts["state"] or "running"
        found.append(Attempt(facts, price, beat_utc, beat_ns, state))
    return found


def chains(found: Sequence[Attempt]) -> list[tuple[Attempt, ...]]:
    """Put attempts that go on with another one after it; a run is a chain, known by its last attempt."""
    by_id = {attempt.id: attempt for attempt in found}
    before = {
        attempt.id: by_id[attempt.facts["parent"]]
        for attempt in found
        if attempt.facts["joined"] and attempt.facts["parent"] in by_id
    }
    gone_on = {attempt.id for attempt in before.values()}
    made = []
    for attempt in found:
        if attempt.id in gone_on:
            continue
        chain, seen = [attempt], {attempt.id}
        while (parent := before.get(chain[0].id)) is not None and parent.id not in seen:
            chain.insert(0, parent)
            seen.add(parent.id)
        made.append(tuple(chain))
    return made


@dataclass
class Log:
    """What was logged of a run, its attempts on one axis: nanoseconds since the first one's start.

    Attributes
    ----------
    evals : list of tuple
        `seq, step, epoch, metric, value, n, t_ns, cpu_ns, energy_mj`, in the order logged.
    spans : list of (kind, start_ns, end_ns, depth)
        With a `down` span between attempts.
    offsets : list of int
        Of each attempt.
    last_ns : int
        The last sign of life.
    cpu_ns, energy_mj : int or None
        Used until then.
    """

    evals: list[tuple[Any, ...]] = field(default_factory=list)
    spans: list[tuple[str, int, int, int]] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    last_ns: int = 0
    cpu_ns: int | None = None
    energy_mj: int | None = None

    def evals_frame(self, *, metric: str, target: float, goal: str, unit: str | None = None) -> DataFrame:
        """Return the evaluations as `run.evals`.

        Parameters
        ----------
        metric, target, goal, unit
            Of the run: other metrics have a standard error only under a name that is one of an accuracy.
        """
        from workbench.tta.dawnbench_write import OFFICIAL

        columns: Sequence[Sequence[Any]] = list(zip(*self.evals, strict=True)) if self.evals else [()] * 9
        seq, step, epoch, names, value, n, t_ns, cpu, energy = columns
        values = np.array([math.nan if v is None else v for v in value], np.float64)
        percent = target > 1 if unit in (None, "any") else unit == "percent"
        line = Timeline(self.spans)
        times = np.array(t_ns, np.int64)
        made: dict[str, Any] = {
            "eval": np.array(seq, np.int64), "step": np.array(step, np.int64),
            "epoch": np.array([math.nan if v is None else v for v in epoch], np.float64), "metric": list(names),
            "value": values, "n": list(n),
            "se": [
                accuracy_se(v, judged, percent=percent, goal=goal) if name == metric or name in OFFICIAL else math.nan
                for name, v, judged in zip(names, values, n, strict=True)
            ],
            "cpu_s": np.array([math.nan if v is None else v / 1e9 for v in cpu], np.float64),
            "energy_j": np.array([math.nan if v is None else v / 1e3 for v in energy], np.float64),
        }  # fmt: skip
        for clock in CLOCKS:
            made[f"{clock}_s"] = clock_seconds(line, times, clock)
        return evals_table(made)

    def spans_frame(self) -> DataFrame:
        """Return the spans as `run.spans`."""
        return spans_table(span_columns(self.spans))


def one(connection: sqlite3.Connection, run: str) -> tuple[Attempt, ...]:
    """Return the attempts of a run up to this one, first first; none if there is no such run."""
    chain: list[Attempt] = []
    seen: set[str] = set()
    asked: Any = run
    while asked is not None and asked not in seen and (found := attempts(connection, "run.id = ?", (asked,))):
        seen.add(asked)
        chain.insert(0, found[0])
        asked = found[0].facts["parent"] if found[0].facts["joined"] else None
    return tuple(chain)


def logs(connection: sqlite3.Connection, asked: Sequence[Sequence[Attempt]], *, to_the_end: bool = False) -> list[Log]:
    """Return the logs of runs.

    Parameters
    ----------
    connection : sqlite3.Connection
    asked : sequence of sequence of Attempt
        The attempts of each run.
    to_the_end : bool
        Whether `last_ns` has to be exact for one that was cut off, as it is between attempts: its points are looked at.
    """
    nums = sorted({attempt.num for chain in asked for attempt in chain})
    evals = _by_run(
        connection,
        "SELECT run, seq, step, epoch, metric, value, n, t_ns, cpu_ns, energy_mj FROM eval WHERE run {} "
        "ORDER BY run, seq, place", nums,
    )  # fmt: skip
    spans = _by_run(
        connection, "SELECT run, kind, start_ns, end_ns, depth FROM span WHERE run {} ORDER BY run, seq", nums
    )
    return [_joined(connection, chain, evals, spans, to_the_end) for chain in asked]


class StoredRecord(Record):
    """A record whose evaluations and spans are read when they are first asked for.

    Parameters
    ----------
    load : callable, optional
        Gives the tables; without it they are among the fields.
    **fields
        Of the record.
    """

    def __init__(self, load: Callable[[], tuple[DataFrame, DataFrame]] | None = None, **fields: Any) -> None:
        if load is None:
            super().__init__(**fields)
            return
        super().__init__(evals=None, spans=None, **fields)
        for name in ("evals", "spans"):
            object.__delattr__(self, name)
        object.__setattr__(self, "_load", load)

    def __getattr__(self, name: str) -> Any:
        load = self.__dict__.get("_load")
        if load is None or name not in ("evals", "spans"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        evals, spans = load()
        object.__setattr__(self, "evals", evals)
        object.__setattr__(self, "spans", spans)
        return self.__dict__[name]


def record(
    chain: Sequence[Attempt],
    notes: Mapping[int, Sequence[tuple[str, str]]],
    load: Callable[[], Log],
    points: Callable[[], DataFrame],
) -> StoredRecord:
    """Return a run as a record.

    Parameters
    ----------
    chain : sequence of Attempt
        That make up the run.
    notes : mapping
        Of each attempt's number: kind and text.
    load, points : callable
        Give its log and its dense points.
    """
    last = chain[-1]
    facts = last.facts
    target, goal, unit = _number(facts["target"]), str(facts["goal"]), facts["unit"]

    def tables() -> tuple[DataFrame, DataFrame]:
        log = load()
        return log.evals_frame(metric=str(facts["metric"]), target=target, goal=goal, unit=unit), log.spans_frame()

    told = [row for attempt in chain for row in notes.get(attempt.num, ())]
    started = chain[0].facts["started_utc"]
    return StoredRecord(
        tables,
        id=last.id, name=str(facts["name"]), seed=facts["seed"], attempt=int(facts["attempt"] or 1), state=last.state,
        task=facts["task"], clock=str(facts["clock"]), clocks=CLOCKS, goal=goal, metric=str(facts["metric"]),
        target=target, confirm=int(facts["confirm"] or 1), steps=facts["steps"], schedule=facts["schedule"],
        price=last.price, environment=json.loads(facts["environment"] or "{}"),
        notes=_texts(told, "note"), warnings=_texts(told, "warning"),
        eval_hash=str(facts["eval_hash"] or ""), eval_count=facts["eval_count"], gap=_number(facts["gap"]),
        points=points, started=None if started is None else dt.datetime.fromtimestamp(started / 1e9, dt.UTC),
        contended=any(attempt.facts["contended"] for attempt in chain),
        first_in_process=bool(chain[0].facts["first_in_process"]),
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------------------ private


def _joined(
    connection: sqlite3.Connection,
    chain: Sequence[Attempt],
    evals: Mapping[int, list[tuple[Any, ...]]],
    spans: Mapping[int, list[tuple[Any, ...]]],
    to_the_end: bool,
) -> Log:
    parts = []
    for number, attempt in enumerate(chain):
        seen = [row[6] for row in evals.get(attempt.num, ())] + [row[2] for row in spans.get(attempt.num, ())]
        ended = attempt.facts["end_ns"] if attempt.facts["end_ns"] is not None else attempt.beat_ns
        seen += [ended] if ended is not None else []
        if (to_the_end or number < len(chain) - 1) and attempt.facts["end_ns"] is None:
            # a point may be the last that is known of an attempt that was cut off
            latest = connection.execute("SELECT max(t_ns) FROM point WHERE run = ?", (attempt.num,)).fetchone()[0]
            seen += [latest] if latest is not None else []
        parts.append((int(attempt.facts["started_utc"] or 0), max(seen, default=0), spans.get(attempt.num, [])))
    log = Log()
    log.offsets, log.spans = join_attempts(parts)
    log.last_ns = log.offsets[-1] + parts[-1][1]
    for attempt, offset in zip(chain, log.offsets, strict=True):
        count = log.evals[-1][0] + 1 if log.evals else 0
        cpu, energy = log.cpu_ns or 0, log.energy_mj or 0
        for seq, step, epoch, metric, value, n, t_ns, cpu_ns, energy_mj in evals.get(attempt.num, ()):
            used = None if cpu_ns is None else cpu_ns + cpu
            joules = None if energy_mj is None else energy_mj + energy
            log.evals.append((seq + count, step, epoch, metric, value, n, t_ns + offset, used, joules))
            log.cpu_ns, log.energy_mj = used or log.cpu_ns, joules or log.energy_mj
        if attempt.facts["cpu_ns"] is not None:
            log.cpu_ns = max(log.cpu_ns or 0, cpu + attempt.facts["cpu_ns"])
        if attempt.facts["energy_mj"] is not None:
            log.energy_mj = max(log.energy_mj or 0, energy + attempt.facts["energy_mj"])
    return log


def _by_run(connection: sqlite3.Connection, sql: str, nums: Sequence[int]) -> dict[int, list[tuple[Any, ...]]]:
    made: dict[int, list[tuple[Any, ...]]] = {}
    for at in range(0, len(nums), 500):
        some = nums[at : at + 500]
        for row in connection.execute(sql.format(f"IN ({', '.join('?' * len(some))})"), some):
            made.setdefault(row[0], []).append(row[1:])
    return made


def notes_of(connection: sqlite3.Connection, found: Iterable[Attempt]) -> dict[int, list[tuple[str, str]]]:
    """Return kind and text of the notes of attempts, by number."""
    nums = sorted({attempt.num for attempt in found})
    return _by_run(connection, "SELECT run, kind, text FROM note WHERE run {} ORDER BY run, kind, seq", nums)


def _texts(told: Iterable[tuple[str, str]], kind: str) -> tuple[str, ...]:
    return tuple(text for of, text in told if of == kind)


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)
