"""DAWNBench entries that were read: as tables, as raw dicts, as runs, and written again."""

from __future__ import annotations

import copy
import datetime as dt
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.engine.errors import WorkbenchError, suggest
from workbench.engine.result import Result
from workbench.tta.dawnbench_rules import KINDS, METRIC_COLUMNS, RULES, rule_of
from workbench.tta.record import Record, evals_table, points_table, table

if TYPE_CHECKING:
    from pandas import DataFrame

    from workbench.tta.dawnbench_read import Entry
    from workbench.tta.dawnbench_rules import Problem
    from workbench.tta.price import Price

__all__ = ["Entries", "board_fields", "date_of"]

_COLUMNS = {
    "task": "str",
    "kind": "str",
    "entry": "str",
    "version": "str",
    "author": "str",
    "author_email": "str",
    "framework": "str",
    "model": "str",
    "hardware": "str",
    "code_url": "str",
    "timestamp": "datetime64[us]",
    "cost_per_hour": "float64",
    "latency_ms": "float64",
    "cost_per_item": "float64",
    "metric": "str",
    "value": "float64",
    "used_blacklist": "boolean",
    "n_points": "int64",
}
_POINTS = {
    "task": "str",
    "entry": "str",
    "row": "int64",
    **dict.fromkeys(("epoch", "hours", "seconds", *METRIC_COLUMNS.values()), "float64"),
}
#: images that are left when those of the ImageNet blacklist are not judged
_WITHOUT_BLACKLIST = 48_238


class Entries(Result):
    """DAWNBench entries, as `read_dawnbench` gives them.

    Attributes
    ----------
    problems : list of Problem
        What could not be read, by path, row and code.
    """

    def __init__(self, entries: Iterable[Entry], problems: Iterable[Problem] = ()) -> None:
        self._entries = sorted(entries, key=lambda e: (e.task, KINDS.index(e.kind), e.name))
        self.problems = list(problems)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        counts = Counter((entry.task, entry.kind) for entry in self._entries)
        tasks = dict.fromkeys(entry.task for entry in self._entries)
        told = [
            f"{task} " + ", ".join(f"{counts[task, kind]} {kind}" for kind in KINDS if counts[task, kind])
            for task in tasks
        ]
        wrong = f"; {counted(len(self.problems), 'problem')}, see .problems" if self.problems else ""
        return f"{counted(len(self), 'DAWNBench entry', 'DAWNBench entries')}: {'; '.join(told) or 'none'}{wrong}"

    def explain(self, format: str = "text") -> str:
        """Return how many entries there are, and every problem with its fix."""
        return "\n".join([repr(self), *map(str, self.problems)])

    def view_data(self) -> dict[str, Any]:
        """Return a line on what there is, the problems, and the table."""
        import pandas as pd

        blocks: list[dict[str, Any]] = [{"kind": "summary", "text": repr(self)}]
        if self.problems:
            frame = pd.DataFrame([vars(problem) for problem in self.problems]).astype({"row": "Int64"})
            blocks.append({"kind": "table", "name": "problems", "frame": frame})
        return {"blocks": [*blocks, {"kind": "table", "name": "entries", "frame": self._table}]}

    def select(self, task: str | None = None, kind: str | None = None) -> Iterator[Entry]:
        """Yield the entries of a task and kind, as they were read."""
        for entry in self._entries:
            if task in (None, entry.task) and kind in (None, entry.kind):
                yield entry

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks of the training entries."""
        return tuple(dict.fromkeys(entry.task for entry in self.select(kind="train")))

    def to_pandas(self) -> DataFrame:
        """Return a row per entry, sorted by task, kind (`train` first) and entry.

        Returns
        -------
        DataFrame
            `task, kind, entry, version, author, author_email, framework, model, hardware, code_url str`, `timestamp
            datetime64[us]`, `cost_per_hour, latency_ms, cost_per_item float64`, `metric str`, `value float64` (of
            training the best in the TSV; of inference as stated, an F1 in percent as its fraction),
            `used_blacklist boolean`, `n_points int64`.
        """
        return self._table.copy()

    @property
    def table(self) -> DataFrame:
        """The same as `to_pandas()`."""
        return self.to_pandas()

    @cached_property
    def _table(self) -> DataFrame:
        each = self._entries
        columns: dict[str, Any] = {
            "task": [e.task for e in each],
            "kind": [e.kind for e in each],
            "entry": [e.name for e in each],
            **{name: [e.text(name) for e in each] for name in ("version", "framework", "model", "hardware", "author")},
            "author_email": [e.text("authorEmail") for e in each],
            "code_url": [e.text("codeURL") for e in each],
            "timestamp": np.array([date_of(e.raw.get("timestamp")) for e in each], dtype="datetime64[us]"),
            "cost_per_hour": [e.number("costPerHour") for e in each],
            "latency_ms": [e.number("latency") for e in each],
            "cost_per_item": [e.number("cost") for e in each],
            "metric": [RULES[e.task].metric for e in each],
            "value": [e.value for e in each],
            "used_blacklist": [_blacklist(e) for e in each],
            "n_points": [e.curve.rows if e.curve is not None else 0 for e in each],
        }
        return table(columns, _COLUMNS)

    @property
    def points(self) -> DataFrame:
        """A row per evaluation of the training entries.

        `task, entry str`, `row int64` (from 0), `epoch, hours, seconds, top1_accuracy, top5_accuracy, f1_score
        float64`; metrics that a task has not are NaN.
        """
        return self._points.copy()

    @cached_property
    def _points(self) -> DataFrame:
        each = [e for e in self.select(kind="train") if e.curve is not None]
        sizes = [e.curve.rows for e in each if e.curve is not None]

        def joined(column: str) -> Any:
            parts = [e.curve.numbers(column) for e in each if e.curve is not None]
            return np.concatenate(parts) if parts else np.empty(0)

        hours = joined("hours")
        columns = {
            "task": np.repeat(np.array([e.task for e in each], dtype=object), sizes),
            "entry": np.repeat(np.array([e.name for e in each], dtype=object), sizes),
            "row": np.concatenate([np.arange(size) for size in sizes] or [np.empty(0, dtype=np.int64)]),
            "epoch": joined("epoch"),
            "hours": hours,
            "seconds": hours * 3600,
            **{column: joined(metric) for metric, column in METRIC_COLUMNS.items()},
        }
        return table(columns, _POINTS)

    def raw(self, task: str, kind: str, entry: str) -> dict[str, Any]:
        """Return the JSON of an entry as it was read, unknown keys and their order included."""
        for found in self._entries:
            if (found.task, found.kind, found.name) == (task, kind, entry):
                return copy.deepcopy(found.raw)
        names = [found.name for found in self.select(task, kind)]
        raise WorkbenchError(f"No {task} {kind} entry {entry}.", suggest(entry, names, _names_hint(names), quote="{}"))

    def record(self, entry: str, task: str | None = None) -> Record:
        """Return a training entry as a record.

        Parameters
        ----------
        entry : str
            The stem of its file.
        task : str, optional
            Needed if two tasks have an entry of this name.
        """
        if task is not None:
            rule_of(task)
        found = [e for e in self.select(task, "train") if e.name == entry]
        if len(found) > 1:
            tasks = [e.task for e in found]
            passed = [f'task="{name}"' for name in tasks]
            raise WorkbenchError(
                f"Entry {entry} is in {' and '.join(tasks)}.",
                f"Pass {' or '.join(passed)}.",
            )
        if not found:
            if any(e.name == entry for e in self.select(task, "inference")):
                raise WorkbenchError(f"{entry} is an inference entry: it has no curve.", "Name a training entry.")
            names = [e.name for e in self.select(task, "train")]
            raise WorkbenchError(f"No entry {entry}.", suggest(entry, names, _names_hint(names), quote="{}"))
        return _record(found[0])

    def records(self, task: str) -> list[Record]:
        """Return the training entries of a task as records, by entry."""
        rule_of(task)
        return [_record(entry) for entry in self.select(task, "train")]

    def run(self, entry: str, task: str | None = None) -> Any:
        """Return a training entry as a `Run`: its step is the row, its only clock `dawnbench`.

        Parameters
        ----------
        entry : str
            The stem of its file.
        task : str, optional
            Needed if two tasks have an entry of this name.
        """
        from workbench.tta.run import Run

        return Run(self.record(entry, task))

    def runs(self, task: str) -> Any:
        """Return the training entries of a task as `Runs`, by entry."""
        from workbench.tta.run import Run
        from workbench.tta.runs import Runs

        return Runs([Run(record) for record in self.records(task)])

    def write(self, folder: str | Path) -> Path:
        """Write the entries as `TASK/KIND/ENTRY.json` and `.tsv`, in one form whatever they were read from.

        UTF-8, LF, an indent of 4, keys and columns in the order read, floats by `repr`: reading them gives equal
        tables, and writing them again equal bytes. Files of the same name are replaced.
        """
        from workbench.tta.dawnbench_write import write_entries

        return write_entries(self._entries, folder)


def counted(number: int, one: str, many: str | None = None) -> str:
    """Return a number of things in words: `1 problem`, `2 problems`."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def date_of(text: Any) -> dt.datetime | None:
    """Return the day of a `%Y-%m-%d` text, None if it is none; zeros may be missing."""
    if not isinstance(text, str):
        return None
    try:
        return dt.datetime.strptime(text, "%Y-%m-%d")
    except ValueError:
        return None


def board_fields(entry: Entry) -> dict[str, Any]:
    """Return what every board shows of an entry."""
    return {
        "entry": entry.name,
        **{name: entry.text(name) for name in ("author", "model", "hardware", "framework")},
        "timestamp": date_of(entry.raw.get("timestamp")),
        "used_blacklist": _blacklist(entry),
    }


def _blacklist(entry: Entry) -> bool | None:
    used = entry.raw.get("usedBlacklist")
    return used if isinstance(used, bool) else None


def _names_hint(names: list[str]) -> str:
    return f"There are {', '.join(names[:5])}{', …' if len(names) > 5 else ''}." if names else "There are none."


def _price(entry: Entry) -> Price | None:
    from workbench.tta.price import Price

    rate = entry.number("costPerHour")
    day = date_of(entry.raw.get("timestamp"))
    if not rate > 0:
        return None
    return Price(rate, "ondemand", "dawnbench", day.date().isoformat() if day is not None else None)


def _record(entry: Entry) -> Record:
    rule = RULES[entry.task]
    curve, hours = entry.curve, entry.hours
    size = curve.rows if curve is not None else 0
    items = rule.items
    if entry.task == "ImageNet" and _blacklist(entry):
        items = _WITHOUT_BLACKLIST
    metrics = [name for name in rule.metrics if curve is not None and name in curve.cells]
    repeats = len(metrics)
    epochs = curve.numbers("epoch") if curve is not None else np.empty(0)
    evals: dict[str, Any] = {
        "eval": np.repeat(np.arange(size), repeats),
        "step": np.repeat(np.arange(size), repeats),
        "epoch": np.repeat(epochs, repeats),
        "metric": np.tile(np.array(metrics, dtype=object), size),
        "dawnbench_s": np.repeat(hours * 3600, repeats),
    }
    values = [curve.numbers(name) for name in metrics] if curve is not None else []
    evals["value"] = np.stack(values, axis=1).ravel() if values else np.empty(0)
    if items is not None:
        with np.errstate(invalid="ignore"):
            share = evals["value"] / rule.top
            evals["n"] = np.full(size * repeats, items)
            evals["se"] = rule.top * np.sqrt(share * (1 - share) / items)
    day = date_of(entry.raw.get("timestamp"))
    facts = {
        **{name: entry.text(name) for name in ("author", "model", "hardware", "framework", "version")},
        "author_email": entry.text("authorEmail"),
        "code_url": entry.text("codeURL"),
        "used_blacklist": _blacklist(entry),
        "misc": copy.deepcopy(entry.raw.get("misc")),
    }

    def hours_cost(row: int, usd_per_hour: float) -> float:
        return float(hours[row]) * usd_per_hour if usd_per_hour > 0 else math.nan

    return Record(
        id=f"{entry.task}/{entry.name}",
        name=entry.name,
        task=entry.task,
        clock="dawnbench",
        clocks=("dawnbench",),
        metric=rule.metric,
        target=rule.threshold,
        price=_price(entry),
        environment={name: value for name, value in facts.items() if value is not None},
        eval_count=items,
        evals=evals_table(evals),
        points=lambda: points_table([]),
        started=day.replace(tzinfo=dt.UTC) if day is not None else None,
        hours_cost=hours_cost,
    )
