"""Check DAWNBench entries against the rules of submission."""

from __future__ import annotations

import datetime as dt
import math
from pathlib import Path
from typing import Any

import numpy as np

from workbench.tta.dawnbench_read import Curve, Entry, columns_problem, examine, find
from workbench.tta.dawnbench_rules import RULES, Problem, Rule, sorted_problems
from workbench.tta.entries import date_of

__all__ = ["validate_dawnbench"]

_REQUIRED = ("version", "author", "authorEmail", "framework", "model", "hardware", "timestamp")
#: forms that a date is often written in, tried for the fix
_DATES = (
    "%d-%m-%Y",
    "%Y/%m/%d",
    "%m/%d/%Y",
    "%d.%m.%Y",
    "%Y%m%d",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%d %H:%M:%S",
    "%m-%d-%Y",
)


def validate_dawnbench(path: str | Path) -> list[Problem]:
    """Check DAWNBench entries.

    Parameters
    ----------
    path : path
        As `read_dawnbench` takes it.

    Returns
    -------
    list of Problem
        Sorted by path, row and code; empty if all is well. Entries with errors cannot be submitted.

    Raises
    ------
    WorkbenchError
        If there is no entry at `path`.
    """
    problems: list[Problem] = []
    for found in find(path):
        entry, wrong = examine(found)
        problems += wrong
        if entry is not None:
            problems += _fields(entry, found.relative)
            if entry.curve is not None:
                problems += _curve(entry, entry.curve, found.relative[: -len(".json")] + ".tsv", wrong)
    return sorted_problems(problems)


def _fields(entry: Entry, where: str) -> list[Problem]:
    problems: list[Problem] = []

    def add(code: str, text: str, fix: str, severity: str = "error") -> None:
        problems.append(Problem(severity, code, where, None, f"{where}: {text}", fix))

    raw, rule = entry.raw, RULES[entry.task]
    required = _REQUIRED if entry.kind == "train" else (*_REQUIRED, "latency", rule.metric)
    missing = [name for name in required if raw.get(name) is None or raw.get(name) == ""]
    for name in missing:
        add("missing_field", f"{name} is missing.", f'Write "{name}".')
    if "version" not in missing and raw["version"] != "v1.0":
        add("bad_version", f"version {raw['version']!r} is not v1.0.", "Write v1.0.")
    if "timestamp" not in missing:
        _date(raw["timestamp"], add)
    for name in ("costPerHour", "cost"):
        value = raw.get(name)
        if value is not None and not entry.number(name) > 0:
            add(
                "bad_price",
                f"{name} {value!r} is not a positive number.",
                "Write USD, or null where there is no price.",
            )
    if "misc" in raw and not isinstance(raw["misc"], dict):
        kind = {str: "a string", list: "a list", type(None): "null", bool: "a boolean"}.get(
            type(raw["misc"]), "a number"
        )
        add("type", f"misc is {kind}, not an object.", 'Write {"name": value}.', "warning")
    if entry.kind == "inference":
        _inference(entry, rule, missing, add)
    return problems


def _date(text: Any, add: Any) -> None:
    day = date_of(text)
    if day is not None:
        padded = day.date().isoformat()
        if text != padded:
            add("date_form", f"timestamp {text!r} has no zero padding.", f"Write {padded}.", "warning")
        return
    for form in _DATES:
        try:
            day = dt.datetime.strptime(str(text), form)
        except ValueError:
            continue
        break
    fix = f"Write {day.date().isoformat()}." if day is not None else "Write the day as YYYY-MM-DD."
    add("bad_timestamp", f"timestamp {text!r} is not YYYY-MM-DD.", fix)


def _inference(entry: Entry, rule: Rule, missing: list[str], add: Any) -> None:
    for name in ("latency", rule.metric):
        if name not in missing and math.isnan(entry.number(name)):
            add("not_number", f"{name} {entry.raw[name]!r} is not a number.", "Write a finite number.")
    latency, stated = entry.number("latency"), entry.number(rule.metric)
    if latency <= 0:
        add("range", f"latency {latency!r} is not above 0.", "Write milliseconds per item.")
    if math.isnan(stated):
        return
    if not 0 <= stated <= 100:
        add("range", f"{rule.metric} {stated!r} is outside 0..{'1' if rule.top == 1 else '100'}.", _unit_fix(rule))
        return
    if rule.top == 1 and stated > 1:
        text = f"{rule.metric} {stated!r} is outside 0..1; read as {stated / 100:.4g}."
        add("unit", text, "Write the fraction.", "warning")
    if entry.value < rule.threshold:
        text = f"{rule.metric} {stated!r} does not reach {rule.threshold!r}."
        add("threshold", text, "Only results that reach it can be submitted.")


def _curve(entry: Entry, curve: Curve, where: str, known: list[Problem]) -> list[Problem]:
    problems: list[Problem] = []
    rule = RULES[entry.task]

    def add(code: str, row: int | None, text: str, fix: str, severity: str = "error") -> None:
        place = where if row is None else f"{where} row {row}"
        problems.append(Problem(severity, code, where, row, f"{place}: {text}", fix))

    told = any(problem.code == "columns" and problem.row is None for problem in known)
    if curve.header and not told and sorted(curve.header) != sorted(rule.columns):
        problems.append(columns_problem(where, entry.task, curve))
    for name in rule.metrics:
        for row in np.flatnonzero((curve.numbers(name) < 0) | (curve.numbers(name) > rule.top)):
            value = float(curve.numbers(name)[row])
            add("range", int(row) + 1, f"{name} {value!r} is outside 0..{rule.top:g}.", _unit_fix(rule))
    hours, epochs = curve.numbers("hours"), curve.numbers("epoch")
    if curve.rows and hours[0] < 0:
        add("range", 1, f"hours {float(hours[0])!r} is below 0.", "Time starts at 0.")
    for row in np.flatnonzero(hours[1:] < hours[:-1]):
        text = f"hours {float(hours[row + 1])!r} after {float(hours[row])!r}."
        add("time_order", int(row) + 2, text, "Time must not go back.")
    for row in np.flatnonzero(epochs[1:] <= epochs[:-1]):
        text = f"epoch {float(epochs[row + 1])!r} after {float(epochs[row])!r}."
        add("epoch_order", int(row) + 2, text, "Epochs should increase.", "warning")
    best = entry.value
    if best < rule.threshold:
        text = f"best {rule.metric} {best!r} does not reach {rule.threshold!r}."
        add("threshold", None, text, "Only runs that reach it can be submitted.")
    return problems


def _unit_fix(rule: Rule) -> str:
    return "Write the fraction." if rule.top == 1 else "Write percent."
