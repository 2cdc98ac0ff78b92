"""Leaderboards: training by time or cost, inference by latency or cost, at the official threshold or another."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.engine.errors import WorkbenchError, suggest
from workbench.tta.crossings import below_after, crossing
from workbench.tta.dawnbench_rules import KINDS, RULES, rule_of
from workbench.tta.dawnbench_write import OFFICIAL
from workbench.tta.entries import Entries, board_fields
from workbench.tta.outcomes import listed
from workbench.tta.record import Record, record_of, table

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["cost_text", "labels", "leaderboard", "time_text"]

_WHO = {
    "rank": "int64",
    **dict.fromkeys(("entry", "author", "model", "hardware", "framework"), "str"),
    "timestamp": "datetime64[us]",
}
TRAIN = {
    **_WHO,
    **dict.fromkeys(("threshold", "metric_value", "epoch"), "float64"),
    "row": "int64",
    **dict.fromkeys(("hours", "seconds", "cost_per_hour", "cost_usd"), "float64"),
    "time_text": "str",
    "cost_text": "str",
    "stable": "bool",
    "confirmed_seconds": "float64",
    "used_blacklist": "boolean",
}
INFERENCE = {
    **_WHO,
    **dict.fromkeys(("threshold", "metric_value", "latency_ms", "cost_per_item", "cost_per_10k"), "float64"),
    "latency_text": "str",
    "cost_text": "str",
    "used_blacklist": "boolean",
}
#: kind -> what a board may be ordered by, the default first
_KEYS = {"train": ("time", "cost"), "inference": ("latency", "cost")}

Row = dict[str, Any]


def leaderboard(
    entries: Any, task: str = "CIFAR10", kind: str = "train", by: str | None = None, threshold: float | None = None
) -> DataFrame:
    """Return the board of a task.

    Parameters
    ----------
    entries : Entries or Runs
        With runs the unit is the run. Those of the task are ranked; if none has it, all by their own target.
    task : {"CIFAR10", "ImageNet", "SQuAD"}
    kind : {"train", "inference"}
    by : str, optional
        `time` (default) or `cost` of training, `latency` (default) or `cost` of inference.
    threshold : float, optional
        Default: the official one (CIFAR10 94, ImageNet 93, SQuAD 0.75).

    Returns
    -------
    DataFrame
        Those that meet the threshold, on a cost board those with a cost, least first, then by name; equal ones share
        the smaller rank. Training: `rank int64, entry, author, model, hardware, framework str, timestamp
        datetime64[us], threshold, metric_value, epoch float64, row int64` (from 0), `hours, seconds, cost_per_hour,
        cost_usd float64, time_text, cost_text str, stable bool, confirmed_seconds float64` (by 2 in a row),
        `used_blacklist boolean`. Inference has `latency_ms, cost_per_item, cost_per_10k` and `latency_text` instead.
        `.attrs`: `task, kind, by, threshold, official, not_reached, unpriced, rule`.
    """
    if kind not in KINDS:
        raise WorkbenchError(f"No kind {kind!r}.", suggest(str(kind), KINDS, 'Write "train" or "inference".'))
    by = _checked_by(kind, by)
    if isinstance(entries, Entries):
        rule = rule_of(task)
        least = rule.threshold if threshold is None else _number(threshold)
        official = least == rule.threshold
        told = f"{rule.metric} >= {least!r}"
        if kind == "train":
            rows, missed = _train_rows(entries, task, least)
        else:
            rows, missed = _inference_rows(entries, task, least)
        unranked: list[str] = []
    elif kind == "inference":
        raise WorkbenchError("Runs have no inference board.", "Pass the Entries of read_dawnbench.")
    else:
        judged = _judged([record_of(run) for run in listed(entries)], task, threshold)
        rows, missed, unranked = _run_rows(judged, by)
        task, least, official, told = judged.task, judged.threshold, judged.official, judged.told
    key = _key(kind, by)
    priced = [row for row in rows if not math.isnan(row[key]) and row["entry"] not in unranked]
    unpriced = sorted(row["entry"] for row in rows if math.isnan(row[key]) or row["entry"] in unranked)
    priced.sort(key=lambda row: (row[key], row["entry"]))
    for place, row in enumerate(priced):
        same = place and row[key] == priced[place - 1][key]
        row["rank"] = priced[place - 1]["rank"] if same else place + 1
        row["threshold"] = least
    dtypes = TRAIN if kind == "train" else INFERENCE
    columns = {name: [row[name] for row in priced] for name in dtypes}
    columns["timestamp"] = np.array(columns["timestamp"], dtype="datetime64[us]")  # type: ignore[assignment]
    board = table(columns, dtypes)
    board.attrs = {
        "task": task,
        "kind": kind,
        "by": by,
        "threshold": least,
        "official": official,
        "not_reached": sorted(missed),
        "unpriced": unpriced if by == "cost" else [],
        "rule": f"{told}; {_RULES[kind, by]}; equal ones share the smaller rank",
    }
    return board


_RULES = {
    ("train", "time"): "hours to the first evaluation that meets it, without validation and checkpoints",
    ("train", "cost"): "those hours times the on-demand price of an hour; entries without a price are left out",
    ("inference", "latency"): "milliseconds per item at batch 1",
    ("inference", "cost"): "USD per 10,000 items; entries without a cost are left out",
}


def time_text(seconds: float) -> str:
    """Write a time as the site does: whole seconds, rounded up, as `H:MM:SS`."""
    whole = math.ceil(round(seconds, 6))
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def cost_text(usd: float, places: int = 2) -> str:
    """Write a cost as the site does: cents for training, four places for 10,000 inferences; `""` if missing."""
    return "" if math.isnan(usd) else f"${usd:.{places}f}"


def labels(records: Iterable[Record]) -> list[str]:
    """Return what runs are called beside one another: `name/seed`, or the id if a seed is missing or repeats."""
    listed = list(records)
    named = [f"{record.name}/{record.seed}" for record in listed]
    often = Counter(named)
    return [
        record.id if record.seed is None or often[name] > 1 else name
        for record, name in zip(listed, named, strict=True)
    ]


def _checked_by(kind: str, by: str | None) -> str:
    keys = _KEYS[kind]
    if by is None:
        return keys[0]
    if by not in keys:
        other = next((name for name in KINDS if by in _KEYS[name]), None)
        hint = f'Use by="{keys[0]}" or by="{keys[1]}".'
        if other is not None:
            article = "An inference" if kind == "inference" else "A training"
            raise WorkbenchError(f"{article} board has no {by}.", hint)
        raise WorkbenchError(f"No board by {by}.", suggest(str(by), keys, hint, quote='by="{}"'))
    return by


def _key(kind: str, by: str) -> str:
    if kind == "train":
        return "cost_usd" if by == "cost" else "hours"
    return "cost_per_10k" if by == "cost" else "latency_ms"


def _number(threshold: Any) -> float:
    if isinstance(threshold, bool) or not isinstance(threshold, (int, float, np.number)) or math.isnan(threshold):
        raise WorkbenchError(f"The threshold is a number, not {threshold!r}.", "Write threshold=94.")
    return float(threshold)


def _train_rows(entries: Entries, task: str, threshold: float) -> tuple[list[Row], list[str]]:
    rows: list[Row] = []
    missed: list[str] = []
    for entry in entries.select(task, "train"):
        hours = entry.hours
        epochs = entry.curve.numbers("epoch") if entry.curve is not None else hours
        row = _crossed(entry.values, hours, epochs, threshold, "max")
        if row is None:
            missed.append(entry.name)
            continue
        rate = entry.number("costPerHour")
        row |= board_fields(entry) | {"cost_per_hour": rate}
        row["cost_usd"] = row["hours"] * rate if rate > 0 else math.nan
        rows.append(_told(row))
    return rows, missed


def _inference_rows(entries: Entries, task: str, threshold: float) -> tuple[list[Row], list[str]]:
    rows: list[Row] = []
    missed: list[str] = []
    for entry in entries.select(task, "inference"):
        value = entry.value
        if not value >= threshold:
            missed.append(entry.name)
            continue
        latency, cost = entry.number("latency"), entry.number("cost")
        cost = cost if cost > 0 else math.nan
        rows.append(
            board_fields(entry)
            | {
                "metric_value": value,
                "latency_ms": latency,
                "cost_per_item": cost,
                "cost_per_10k": cost * 10000,
                "latency_text": "" if math.isnan(latency) else f"{latency:.4f} ms",
                "cost_text": cost_text(cost * 10000, 4),
            }
        )
    return rows, missed


def _crossed(values: Any, hours: Any, epochs: Any, threshold: float, goal: str) -> Row | None:
    """Return what a training board tells of a crossing; None without one, or without its time."""
    at = crossing(values, threshold, goal)
    if at is None or math.isnan(hours[at]):
        return None
    sure = crossing(values, threshold, goal, 2)
    return {
        "metric_value": float(values[at]),
        "epoch": float(epochs[at]),
        "row": at,
        "hours": float(hours[at]),
        "seconds": float(hours[at]) * 3600,
        "stable": below_after(values, threshold, at, goal) == 0,
        "confirmed_seconds": math.nan if sure is None else float(hours[sure]) * 3600,
    }


def _told(row: Row) -> Row:
    return row | {"time_text": time_text(row["seconds"]), "cost_text": cost_text(row["cost_usd"])}


class _Judged:
    """Runs on one board: which of them, and by what."""

    def __init__(self, records: list[Record], task: str, threshold: float, official: bool, told: str) -> None:
        self.records, self.task, self.threshold = records, task, threshold
        self.official, self.told = official, told
        #: takes a run, gives the metric it is judged by
        self.metric: Callable[[Record], str] = lambda record: record.metric


def _judged(records: list[Record], task: str, threshold: float | None) -> _Judged:
    of_task = [record for record in records if record.task == task and task in RULES]
    if of_task:
        rule = RULES[task]
        least = rule.threshold if threshold is None else _number(threshold)
        judged = _Judged(of_task, task, least, least == rule.threshold, f"{rule.metric} >= {least!r}")
        judged.metric = lambda record: next(
            (name for name in dict.fromkeys(record.evals["metric"]) if OFFICIAL.get(name) == rule.metric),
            record.metric,
        )
        return judged
    rules = {(record.metric, record.goal) for record in records}
    targets = {record.target for record in records}
    if len(rules) > 1 or (threshold is None and len(targets) > 1):
        raise WorkbenchError(
            "The runs have different targets: "
            + ", ".join(sorted({f"{r.metric} {_sign(r.goal)} {r.target:g}" for r in records}))
            + ".",
            "Pass threshold=, or rank runs of one target.",
        )
    if not records:
        rule = rule_of(task)
        least = rule.threshold if threshold is None else _number(threshold)
        return _Judged([], task, least, least == rule.threshold, f"{rule.metric} >= {least!r}")
    (metric, goal), least = rules.pop(), targets.pop() if threshold is None else _number(threshold)
    tasks = {record.task for record in records}
    name = tasks.pop() if len(tasks) == 1 else None
    return _Judged(records, name or "", least, False, f"{metric} {_sign(goal)} {least!r}")


def _sign(goal: str) -> str:
    return ">=" if goal == "max" else "<="


def _run_rows(judged: _Judged, by: str) -> tuple[list[Row], list[str], list[str]]:
    rows: list[Row] = []
    missed: list[str] = []
    spot: list[str] = []
    for record, label in zip(judged.records, labels(judged.records), strict=True):
        clock = "dawnbench" if judged.task in RULES and "dawnbench" in record.clocks else record.clock
        evals = record.evals[record.evals["metric"] == judged.metric(record)]
        seconds = evals[f"{clock}_s"].to_numpy(np.float64)
        row = _crossed(
            evals["value"].to_numpy(np.float64), seconds / 3600, evals["epoch"].to_numpy(np.float64),
            judged.threshold, record.goal,
        )  # fmt: skip
        if row is None:
            missed.append(label)
            continue
        at = row["row"]
        sure = crossing(evals["value"].to_numpy(np.float64), judged.threshold, record.goal, 2)
        row["seconds"] = float(seconds[at])
        row["confirmed_seconds"] = math.nan if sure is None else float(seconds[sure])
        rate = record.price.rate if record.price is not None else math.nan
        if record.hours_cost is not None:
            index = int(evals["eval"].iloc[at])
            row["hours"], row["cost_usd"] = record.hours_cost(index, 1.0), record.hours_cost(index, rate)
        else:
            row["cost_usd"] = row["seconds"] / 3600 * rate
        if record.price is not None and record.price.kind == "spot":
            spot.append(label)
        facts = record.environment
        used = facts.get("used_blacklist")
        row |= {name: _text(facts.get(name)) for name in ("author", "model", "hardware", "framework")}
        row |= {
            "entry": label,
            "timestamp": record.started.replace(tzinfo=None) if record.started is not None else None,
            "cost_per_hour": rate,
            "used_blacklist": used if isinstance(used, bool) else None,
        }
        rows.append(_told(row))
    if spot and by == "cost":
        import warnings

        from workbench.tta.problems import TTAWarning

        told = "The spot price is shown, but boards rank by on-demand."
        warnings.warn(TTAWarning(told, 'Pass Price(…, kind="ondemand").'), stacklevel=3)
    return rows, missed, spot if by == "cost" else []


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
