"""The plain form of a run: what every source (store, tracker, DAWNBench, other formats) makes, and a `Run` shows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    from pandas import DataFrame

    from workbench.tta.price import Price

__all__ = [
    "CLOCKS",
    "EVAL_COLUMNS",
    "POINT_COLUMNS",
    "SPAN_COLUMNS",
    "STATES",
    "Record",
    "evals_table",
    "points_table",
    "record_of",
    "spans_table",
    "table",
]

CLOCKS = ("wall", "dawnbench", "mlperf", "algoperf")
STATES = ("running", "reached", "finished", "interrupted", "budget", "hopeless", "failed", "lost")

#: column -> dtype, in the order of the tables
EVAL_COLUMNS = {
    "eval": "int64",
    "step": "int64",
    "epoch": "float64",
    "metric": "str",
    "value": "float64",
    "n": "Int64",
    "se": "float64",
    "wall_s": "float64",
    "dawnbench_s": "float64",
    "mlperf_s": "float64",
    "algoperf_s": "float64",
    "cpu_s": "float64",
    "energy_j": "float64",
}
SPAN_COLUMNS = {"kind": "str", "start_s": "float64", "end_s": "float64", "seconds": "float64", "depth": "int64"}
POINT_COLUMNS = {"step": "int64", "metric": "str", "wall_s": "float64", "value": "float64"}

Rows = Iterable[Mapping[str, Any]] | Mapping[str, Sequence[Any]]


@dataclass(frozen=True, eq=False, kw_only=True)
class Record:
    """One training run as plain data.

    Parameters
    ----------
    id, name : str
        Of the run, and of its recipe.
    seed : int, optional
    attempt : int
        From 1.
    state : str
        One of `STATES`.
    task : str, optional
        `CIFAR10`, `ImageNet`, `SQuAD` or a free name.
    clock : str
        The clock it is judged by.
    clocks : tuple of str
        Clocks that were recorded; the columns of the others are NaN.
    goal, metric, target, confirm
        The target: `"max"` or `"min"`, its metric, its value and how many evaluations in a row confirm it.
    steps : int, optional
        Planned length, in the unit of `step`.
    schedule : str, optional
    price : Price, optional
    environment : dict
    notes, warnings : tuple of str
    eval_hash : str
        Of the evaluation set, `""` if it is not known.
    eval_count : int, optional
        Items of the evaluation set.
    gap : float
        Value on fresh data less the judged value; NaN if it was not measured.
    evals, spans : DataFrame
        As `evals_table` and `spans_table` make them.
    points : callable
        Gives the table of dense points, as `points_table` makes it, when it is asked for.
    started : datetime, optional
        In UTC, with its zone.
    contended, first_in_process : bool
    hours_cost : callable, optional
        `(eval, usd_per_hour) -> USD` of the evaluation with this index, where the source states hours: then the cost
        is hours times price, with no detour through seconds.
    """

    id: str
    name: str
    seed: int | None = None
    attempt: int = 1
    state: str = "finished"
    task: str | None = None
    clock: str = "wall"
    clocks: tuple[str, ...] = ("wall",)
    goal: str = "max"
    metric: str
    target: float
    confirm: int = 1
    steps: int | None = None
    schedule: str | None = None
    price: Price | None = None
    environment: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    eval_hash: str = ""
    eval_count: int | None = None
    gap: float = math.nan
    evals: DataFrame
    spans: DataFrame = field(default_factory=lambda: spans_table([]))
    points: Callable[[], DataFrame] = field(default=lambda: points_table([]))
    started: datetime | None = None
    contended: bool = False
    first_in_process: bool = False
    hours_cost: Callable[[int, float], float] | None = None


def record_of(run: Any) -> Record:
    """Return the record of a run; a record is its own."""
    record = run if isinstance(run, Record) else run.record
    assert isinstance(record, Record)
    return record


def evals_table(rows: Rows) -> DataFrame:
    """Return the table of evaluations, a row per evaluation and metric.

    Parameters
    ----------
    rows : iterable of mapping, or mapping of columns
        With the keys of `EVAL_COLUMNS`; of those left out `step` is the evaluation's index, the others are missing.
    """
    columns = _columns(rows, EVAL_COLUMNS)
    if "step" not in columns and "eval" in columns:
        columns["step"] = columns["eval"]
    return table(columns, EVAL_COLUMNS)


def spans_table(rows: Rows) -> DataFrame:
    """Return the table of spans; `seconds` is own time, without inner spans."""
    return table(_columns(rows, SPAN_COLUMNS), SPAN_COLUMNS)


def points_table(rows: Rows) -> DataFrame:
    """Return the table of dense points."""
    return table(_columns(rows, POINT_COLUMNS), POINT_COLUMNS)


def table(columns: Mapping[str, Any], dtypes: Mapping[str, str]) -> DataFrame:
    """Return a table with exactly these columns and dtypes, missing ones filled with missing values.

    Parameters
    ----------
    columns : mapping of str to sequence
        All of one length.
    dtypes : mapping of str to str
        Column to dtype, in the order wanted.
    """
    import pandas as pd

    size = max((len(values) for values in columns.values()), default=0)
    made = {
        name: _series(columns[name] if name in columns else [None] * size, dtype, pd) for name, dtype in dtypes.items()
    }
    return pd.DataFrame(made, columns=list(dtypes))


def _series(values: Any, dtype: str, pd: Any) -> Any:
    if dtype == "str" and not len(values):
        return pd.Series([], dtype="str")
    if dtype == "float64" and isinstance(values, list):
        values = [math.nan if v is None else v for v in values]
    return pd.Series(values, dtype=dtype)


def _columns(rows: Rows, names: Mapping[str, str]) -> dict[str, Any]:
    if isinstance(rows, Mapping):
        return {name: rows[name] for name in names if name in rows}
    listed = list(rows)
    given = {name for row in listed for name in row}
    return {name: [row.get(name) for row in listed] for name in names if name in given}
