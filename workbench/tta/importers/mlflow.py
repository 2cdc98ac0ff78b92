"""Runs in MLflow's file store: `EXPERIMENT/RUN/metrics/KEY` with lines of `milliseconds value step`."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from workbench.engine.errors import WorkbenchError
from workbench.tta.importers.common import (
    checked_goal,
    existing,
    forward,
    imported,
    no_metric,
    one_target,
    recipe_of,
    run_id,
)
from workbench.tta.record import Record, points_table

__all__ = ["mlflow_records"]

#: `key: value` lines of meta.yaml, which MLflow writes flat
_META = re.compile(r"^(\w+):\s*(.*?)\s*$", re.MULTILINE)
_WHAT = "the mlruns folder, an experiment in it, or one run"

Line = tuple[int, float, int]


def mlflow_records(folder: str | Path, target: dict[str, float], *, goal: str = "max") -> list[Record]:
    """Return a record per run, by start; runs without the metric are left out. Parameters as `read_mlflow`."""
    metric, least = one_target(target)
    checked_goal(goal)
    root = existing(folder, _WHAT)
    recipe = recipe_of(root)
    runs = [run for run in _runs(root) if _meta(run).get("lifecycle_stage", "active") != "deleted"]
    if not runs:
        raise WorkbenchError(f"No MLflow run in {root}.", f"Give {_WHAT}.")
    made: list[tuple[float, str, Record]] = []
    known: set[str] = set()
    for run in runs:
        files = {file.relative_to(run / "metrics").as_posix(): file for file in _metric_files(run)}
        known |= set(files)
        if metric not in files:
            continue
        meta = _meta(run)
        lines = _lines(files[metric])
        others = {key: file for key, file in files.items() if key != metric}
        start = _start(meta, lines)
        wall = forward(np.array([(line[0] - start) / 1000 for line in lines]))
        record = imported(
            id=run_id(recipe, run.name), name=recipe, metric=metric, target=least, goal=goal,
            steps=[line[2] for line in lines], values=[line[1] for line in lines], wall=wall,
            points=_points_of(others, start), started=dt.datetime.fromtimestamp(start / 1000, dt.UTC),
            environment=_environment(run, meta),
        )  # fmt: skip
        made.append((start, run.name, record))
    if not made:
        raise no_metric(metric, known)
    return [record for _, _, record in sorted(made, key=lambda item: item[:2])]


def _runs(root: Path) -> Iterator[Path]:
    for depth in (".", "*", "*/*"):
        found = [path.parent for path in sorted(root.glob(f"{depth}/metrics")) if path.is_dir()]
        yield from (run for run in found if ".trash" not in run.relative_to(root).parts)


def _metric_files(run: Path) -> Iterator[Path]:
    return (file for file in sorted((run / "metrics").rglob("*")) if file.is_file() and not file.name.startswith("."))


def _meta(run: Path) -> dict[str, str]:
    file = run / "meta.yaml"
    text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    return {key: value.strip("'\"") for key, value in _META.findall(text)}


def _start(meta: dict[str, str], lines: list[Line]) -> float:
    # without its start a run begins at its first value; a value before the start can only be of another clock
    first = float(lines[0][0]) if lines else 0.0
    try:
        return min(float(meta["start_time"]), first) if lines else float(meta["start_time"])
    except (KeyError, ValueError):
        return first


def _lines(file: Path) -> list[Line]:
    """Return (milliseconds, value, step) of each line, which has 2, 3 or 5 fields; the third is the step."""
    lines: list[Line] = []
    for number, text in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        fields = text.split()
        if not fields:
            continue
        try:
            if len(fields) not in (2, 3, 5):
                raise ValueError
            step = int(fields[2]) if len(fields) > 2 else len(lines)
            lines.append((int(fields[0]), float(fields[1]), step))
        except ValueError:
            raise WorkbenchError(
                f"{file.name} line {number}: {text.strip()[:60]!r} is not `milliseconds value step`.", f"Check {file}."
            ) from None
    return lines


def _points_of(files: dict[str, Path], start: float) -> Any:
    def points() -> Any:
        rows: list[dict[str, Any]] = []
        for key, file in files.items():
            lines = _lines(file)
            wall = forward(np.array([(line[0] - start) / 1000 for line in lines]))
            rows += [
                {"step": step, "metric": key, "wall_s": time, "value": value}
                for (_, value, step), time in zip(lines, wall.tolist(), strict=True)
            ]
        return points_table(rows)

    return points


def _environment(run: Path, meta: dict[str, str]) -> dict[str, Any]:
    def texts(part: str) -> dict[str, str]:
        below = run / part
        return {
            file.relative_to(below).as_posix(): file.read_text(encoding="utf-8", errors="replace").strip()
            for file in sorted(below.rglob("*"))
            if file.is_file()
        }

    tags = texts("tags") if (run / "tags").is_dir() else {}
    facts: dict[str, Any] = {
        "run_name": meta.get("run_name") or tags.get("mlflow.runName"),
        "params": texts("params") if (run / "params").is_dir() else {},
        "tags": tags,
    }
    end = meta.get("end_time", "")
    if end.isdigit() and meta.get("start_time", "").isdigit():
        facts["duration_s"] = (int(end) - int(meta["start_time"])) / 1000
    return {name: fact for name, fact in facts.items() if fact}
