"""Read DAWNBench entries, tolerantly: what cannot be read becomes a problem, the rest is kept as it is."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from workbench.engine.errors import WorkbenchError
from workbench.tta.dawnbench_rules import KINDS, METRIC_COLUMNS, RULES, Problem, sorted_problems, task_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.tta.entries import Entries

__all__ = ["Curve", "Entry", "Found", "examine", "find", "parse_json", "parse_tsv", "read_dawnbench"]

#: columns of a TSV that hold numbers; other columns are kept as text
NUMBERS = ("epoch", "hours", *METRIC_COLUMNS)
_LINES = re.compile(r"\r\n|\n|\r")


class Fault(NamedTuple):
    """A cell that is not what it should be."""

    row: int
    column: str
    text: str


@dataclass(frozen=True, eq=False)
class Curve:
    """A training TSV: float64 arrays of the columns that hold numbers, text of the others, in the order read."""

    cells: dict[str, Any]
    rows: int
    faults: tuple[Fault, ...] = ()
    #: rows (from 1) and their number of cells, where there are more than columns
    long: tuple[tuple[int, int], ...] = ()
    header: tuple[str, ...] = ()

    def numbers(self, column: str) -> NDArray[np.float64]:
        """Return a column, NaN where it is missing."""
        found = self.cells.get(column)
        return found if isinstance(found, np.ndarray) else np.full(self.rows, math.nan)


@dataclass(frozen=True, eq=False)
class Entry:
    """One entry: its JSON as a dict and, for training, its curve."""

    task: str
    kind: str
    name: str
    raw: dict[str, Any]
    curve: Curve | None = None

    @cached_property
    def hours(self) -> NDArray[np.float64]:
        """Hours of each evaluation."""
        return self.curve.numbers("hours") if self.curve is not None else np.empty(0)

    @cached_property
    def values(self) -> NDArray[np.float64]:
        """The judged metric at each evaluation."""
        return self.curve.numbers(RULES[self.task].metric) if self.curve is not None else np.empty(0)

    def number(self, field: str) -> float:
        """Return a number of the JSON, NaN if it is no finite one."""
        value = self.raw.get(field)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return math.nan
        try:
            return float(value) if math.isfinite(value) else math.nan
        except OverflowError:  # a whole number of hundreds of digits
            return math.nan

    def text(self, field: str) -> str | None:
        """Return a text of the JSON, None if it is missing."""
        value = self.raw.get(field)
        return value if value is None or isinstance(value, str) else str(value)

    @property
    def value(self) -> float:
        """The metric: the best of a training curve; of inference as stated, a percent F1 as its fraction."""
        rule = RULES[self.task]
        if self.kind == "train":
            known = self.values[~np.isnan(self.values)]
            return float(known.max()) if known.size else math.nan
        stated = self.number(rule.metric)
        return stated / 100 if rule.top == 1 and stated > 1 else stated


class Found(NamedTuple):
    """A JSON file and what its folders say."""

    path: Path
    relative: str
    task: str | None
    kind: str | None


def read_dawnbench(path: str | Path) -> Entries:
    """Read DAWNBench entries.

    Parameters
    ----------
    path : path
        The root (`CIFAR10/ ImageNet/ SQuAD/`, each with `train/` and `inference/`), a task's folder, one entry's
        folder or one JSON file. The task is the folder's name, else told by the metrics.

    Returns
    -------
    Entries
        What could not be read is in `.problems`, with one warning.

    Raises
    ------
    WorkbenchError
        If there is no entry at `path`.
    """
    from workbench.tta.entries import Entries

    entries: list[Entry] = []
    problems: list[Problem] = []
    for found in find(path):
        entry, wrong = examine(found)
        problems += wrong
        if entry is not None:
            entries.append(entry)
    problems = sorted_problems(problems)
    if problems:
        import warnings

        from workbench.tta.problems import TTAWarning

        first = problems[0]
        message = first.message if len(problems) == 1 else f"{len(problems)} problems in {path}: {first.message}"
        hint = first.fix if len(problems) == 1 else "All are in entries.problems."
        warnings.warn(TTAWarning(message, hint), stacklevel=2)
    return Entries(entries, problems)


def find(path: str | Path) -> list[Found]:
    """Return the JSON files at a path, by relative path.

    A TSV without its JSON stands for the JSON that is missing.
    """
    what = "a folder of DAWNBench entries, or one JSON file"
    if not isinstance(path, (str, os.PathLike)):
        raise WorkbenchError(f"A path is text, not {type(path).__name__}.", f"Give {what}.")
    root = Path(path).expanduser()
    if root.is_file():
        return [_found(root.with_suffix(".json") if root.suffix == ".tsv" else root, root.parent)]
    if not root.is_dir():
        raise WorkbenchError(f"There is no {root}.", f"Give {what}.")
    files = {file if file.suffix == ".json" else file.with_suffix(".json") for file in _files(root)}
    if not files:
        raise WorkbenchError(
            f"No DAWNBench entry in {root}.", "Expected TASK/train/*.json, TASK/inference/*.json, or *.json with *.tsv."
        )
    return sorted((_found(file, root) for file in files), key=lambda found: found.relative)


def examine(found: Found) -> tuple[Entry | None, list[Problem]]:
    """Read one entry; None if it cannot be read at all."""
    where = found.relative
    problems: list[Problem] = []
    if not found.path.exists():
        tsv = where[: -len(".json")] + ".tsv"
        text = f"{tsv}: the JSON file {found.path.name} does not exist."
        return None, [Problem("error", "bad_json", tsv, None, text, "Put it beside the TSV file.")]
    raw = parse_json(found.path.read_bytes())
    if isinstance(raw, str):
        text, fix = f"{where}: not readable as JSON: {raw}.", "Correct the file."
        return None, [Problem("error", "bad_json", where, None, text, fix)]
    table = found.path.with_suffix(".tsv")
    kind = found.kind or ("inference" if not table.exists() and "latency" in raw else "train")
    curve = None
    if kind == "train" and table.exists():
        curve = parse_tsv(table.read_bytes())
    elif kind == "train":
        text = f"{where}: the TSV file {table.name} does not exist."
        problems.append(Problem("error", "missing_tsv", where, None, text, "Put it beside the JSON file."))
    task = found.task or task_of(curve.header if curve is not None else raw)
    if task is None:
        problems.append(_untold(where, kind, curve))
        return None, problems
    if curve is not None:
        problems += _curve_problems(where[: -len(".json")] + ".tsv", task, curve)
    return Entry(task, kind, found.path.stem, raw, curve), problems


def parse_json(data: bytes) -> dict[str, Any] | str:
    """Return the object that a JSON file holds, or in words why it holds none."""
    try:
        raw = json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        return f"byte {error.start} is not UTF-8"
    except json.JSONDecodeError as error:
        return f"{error.msg} at line {error.lineno}, column {error.colno}"
    except RecursionError:
        return "nested too deeply"
    except ValueError:  # a whole number of thousands of digits
        return "a number is too long"
    return raw if isinstance(raw, dict) else "it is not an object"


def parse_tsv(data: bytes) -> Curve:
    """Return the curve in a TSV file; numbers are exact, and NaN where there is none."""
    lines = [line for line in _LINES.split(data.decode("utf-8-sig", errors="replace")) if line.strip()]
    if not lines:
        return Curve({}, 0)
    header = tuple(name.strip() for name in lines[0].split("\t"))
    rows = [line.split("\t") for line in lines[1:]]
    faults: list[Fault] = []
    cells: dict[str, Any] = {}
    for position, name in enumerate(header):
        texts = [row[position] if position < len(row) else "" for row in rows]
        if name not in NUMBERS:
            cells.setdefault(name, texts)
            continue
        column = np.empty(len(texts))
        for row, text in enumerate(texts):
            value = _number(text)
            column[row] = value
            if value != value:
                faults.append(Fault(row + 1, name, text.strip()))
        cells.setdefault(name, column)
    long = tuple(
        (number, len(row)) for number, row in enumerate(rows, 1) if any(cell.strip() for cell in row[len(header) :])
    )
    return Curve(cells, len(rows), tuple(faults), long, header)


def _number(text: str) -> float:
    # Python's float is exact, but takes 1_000, nan and inf as well
    try:
        value = float(text)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) and "_" not in text else math.nan


def _files(root: Path) -> Iterator[Path]:
    for pattern in ("", *KINDS, *(f"{task}{tail}" for task in RULES for tail in ("", *(f"/{kind}" for kind in KINDS)))):
        folder = root / pattern
        if folder.is_dir():
            yield from (file for file in folder.iterdir() if file.suffix in (".json", ".tsv") and file.is_file())


def _found(file: Path, root: Path) -> Found:
    # an entry's own folder may stand in its kind's folder, that in its task's
    above = [folder.name for folder in Path(os.path.abspath(file)).parents][:3]
    kind = next((name for name in above if name in KINDS), None)
    task = next((name for name in above if name in RULES), None)
    return Found(file, file.relative_to(root).as_posix(), task, kind)


def _untold(where: str, kind: str, curve: Curve | None) -> Problem:
    if kind == "train" and curve is not None:
        tsv = where[: -len(".json")] + ".tsv"
        found = ", ".join(curve.header) or "nothing"
        text = f"{tsv}: needs columns epoch, hours and those of a task ({', '.join(METRIC_COLUMNS)}); found {found}."
        return Problem("error", "columns", tsv, None, text, "Rename.")
    text = f"{where}: nothing tells the task: no {', '.join(METRIC_COLUMNS)}."
    return Problem("error", "missing_field", where, None, text, "Put it into TASK/train or TASK/inference.")


def _curve_problems(where: str, task: str, curve: Curve) -> list[Problem]:
    problems: list[Problem] = []
    needed = RULES[task].columns
    if not curve.header:
        return [Problem("error", "empty", where, None, f"{where}: the file is empty.", "Write a row per evaluation.")]
    if set(needed) - set(curve.header):
        problems.append(columns_problem(where, task, curve))
    if not curve.rows:
        text = f"{where}: there are no rows."
        problems.append(Problem("error", "empty", where, None, text, "Write a row per evaluation."))
    for row, column, text in curve.faults:
        shown = f"{column} {text!r} is not a number" if text else f"{column} is missing"
        problems.append(
            Problem("error", "not_number", where, row, f"{where} row {row}: {shown}.", "Write a finite number.")
        )
    for row, count in curve.long:
        text = f"{where} row {row}: {count} cells for {len(curve.header)} columns."
        problems.append(Problem("error", "columns", where, row, text, "Separate cells by one tab."))
    return problems


def columns_problem(where: str, task: str, curve: Curve) -> Problem:
    """Return the problem of a TSV that has not exactly its task's columns."""
    text = f"{where}: needs columns {', '.join(RULES[task].columns)}; found {', '.join(curve.header)}."
    return Problem("error", "columns", where, None, text, "Rename.")
