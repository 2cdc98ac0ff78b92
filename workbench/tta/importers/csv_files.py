"""Runs in CSV files."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from typing import Any

from workbench.engine.errors import WorkbenchError, suggest
from workbench.tta.importers.common import checked_goal, existing, imported, one_target, recipe_of, run_id
from workbench.tta.record import Record, points_table

__all__ = ["csv_records"]


def csv_records(
    path: str | Path,
    target: dict[str, float],
    *,
    goal: str = "max",
    step: str = "step",
    seconds: str = "seconds",
    value: str | None = None,
) -> list[Record]:
    """Return a record per CSV file; the parameters are those of `read_csv`."""
    metric, least = one_target(target)
    checked_goal(goal)
    root = existing(path, "a CSV file or a folder of them")
    files = sorted(root.glob("*.csv"), key=lambda file: file.name) if root.is_dir() else [root]
    if not files:
        raise WorkbenchError(f"No *.csv in {root}.", "Give a CSV file or a folder of them.")
    recipe = recipe_of(root)
    made = []
    for file in files:
        rows = _rows(file, step, seconds, value or metric)
        identity = run_id(recipe, file.stem if root.is_dir() else "")
        made.append(_record(rows, id=identity, name=recipe, metric=metric, target=least, goal=goal))
    return made


def _rows(file: Path, step: str, seconds: str, value: str) -> dict[str, list[Any]]:
    """Return the columns of a file, one item per evaluation; lines without a value are no evaluations."""
    text = file.read_bytes().decode("utf-8-sig", errors="replace")
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text))
    header = [name.strip() for name in next(lines, [])]
    for column in (seconds, value):
        if column not in header:
            raise _no_column(file, column, header)
    if step not in header and step != "step":
        raise _no_column(file, step, header)
    columns: dict[str, list[Any]] = {"step": [], "seconds": [], "value": [], "epoch": [], "more": []}
    at = {name: position for position, name in reversed(list(enumerate(header)))}
    last = -math.inf
    for number, cells in enumerate((line for line in lines if any(cell.strip() for cell in line)), 1):

        def cell(name: str, line: list[str] = cells) -> str:
            return line[at[name]].strip() if at[name] < len(line) else ""

        if not cell(value):
            continue
        time = _number(file, number, seconds, cell(seconds))
        if not math.isfinite(time):
            raise _no_number(file, number, seconds, cell(seconds))
        if time < last:
            raise WorkbenchError(
                f"{file.name} row {number}: {seconds} {time!r} after {last!r}.", "Time must not go back."
            )
        last = time
        columns["seconds"].append(time)
        columns["value"].append(_number(file, number, value, cell(value)))
        columns["step"].append(_step(file, number, step, cell(step)) if step in at else len(columns["step"]))
        columns["epoch"].append(_soft(cell("epoch")) if "epoch" in at and "epoch" not in (step, value) else math.nan)
        columns["more"].append(
            {
                name: other
                for name in at
                if name and name not in (step, seconds, value) and not math.isnan(other := _soft(cell(name)))
            }
        )
    return columns


def _record(rows: dict[str, list[Any]], **fields: Any) -> Record:
    def points() -> Any:
        return points_table(
            [
                {"step": step, "metric": name, "wall_s": wall, "value": other}
                for step, wall, more in zip(rows["step"], rows["seconds"], rows["more"], strict=True)
                for name, other in more.items()
            ]
        )

    return imported(
        steps=rows["step"], values=rows["value"], wall=rows["seconds"], columns={"epoch": rows["epoch"]},
        points=points, **fields,
    )  # fmt: skip


def _delimiter(text: str) -> str:
    first = text.lstrip("\r\n").split("\n", 1)[0]
    return max(",;\t", key=lambda mark: (first.count(mark), mark == ","))


def _number(file: Path, row: int, column: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise _no_number(file, row, column, text) from None


def _soft(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _step(file: Path, row: int, column: str, text: str) -> int:
    value = _number(file, row, column, text)
    if not value.is_integer():
        raise WorkbenchError(f"{file.name} row {row}: {column} {text} is not a whole number.", "Correct the file.")
    return int(value)


def _no_number(file: Path, row: int, column: str, text: str) -> WorkbenchError:
    shown = f"{text!r} is not a number" if text else "is missing"
    return WorkbenchError(f"{file.name} row {row}: {column} {shown}.", "Correct the file, or name another column.")


def _no_column(file: Path, column: str, header: list[str]) -> WorkbenchError:
    if not header:
        return WorkbenchError(f"{file.name} is empty.", "Its first line names the columns, such as step,seconds,top1.")
    listed = f"The columns are {', '.join(header)}."
    return WorkbenchError(f"{file.name} has no column {column}.", suggest(column, header, listed, quote="{}"))
