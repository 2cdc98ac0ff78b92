"""MLPerf logs: a run as `:::MLLOG` lines, and back."""

from __future__ import annotations

import datetime as dt
import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from workbench.engine.errors import WorkbenchError
from workbench.tta.crossings import crossing
from workbench.tta.entries import counted
from workbench.tta.importers.common import existing, forward, imported, no_metric, one_target, recipe_of, run_id
from workbench.tta.record import Record

__all__ = ["TOKEN", "export_mllog", "mllog_lines", "mllog_records"]

TOKEN = ":::MLLOG "
#: longest time of initialisation that the mlperf clock leaves out, s
_INIT = 1800.0
_SUFFIXES = (".log", ".txt", ".out", ".mllog")
#: benchmark -> (quality, goal) of MLPerf Training, where a log states no target of its own
_QUALITY = {
    "resnet": (0.759, "max"),
    "ssd": (0.34, "max"),
    "unet3d": (0.908, "max"),
    "bert": (0.72, "max"),
    "rnnt": (0.058, "min"),
    "minigo": (0.5, "max"),
    "dlrm": (0.8025, "max"),
    "dlrm_dcnv2": (0.80275, "max"),
    "gpt3": (2.69, "min"),
    "llama2_70b_lora": (0.925, "min"),
    "llama31_405b": (5.6, "min"),
}


class Event(NamedTuple):
    """One line of a log."""

    time_ms: float
    key: str
    value: Any
    metadata: dict[str, Any]


def export_mllog(
    record: Record, path: str | Path, *, benchmark: str, division: str = "open", overwrite: bool = False
) -> Path:
    """Write a run as an MLPerf log and return its path.

    Parameters
    ----------
    record : Record
        With wall times.
    path : path
    benchmark, division : str
        Of the submission.
    overwrite : bool
        Whether a file there is replaced.
    """
    lines = mllog_lines(record, benchmark=benchmark, division=division)
    file = Path(path).expanduser()
    if file.exists() and not overwrite:
        raise WorkbenchError(f"{file.name} exists.", "Pass overwrite=True to replace it.")
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.part")
    try:
        part.write_text("\n".join(lines) + "\n", encoding="ascii", newline="\n")
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
    return file


def mllog_lines(record: Record, *, benchmark: str, division: str = "open") -> list[str]:
    """Return the lines of a run in time order.

    `time_ms` is whole; the exact seconds of an evaluation are in its metadata. The run starts where the mlperf clock
    does, and its status is `success` if the target was reached.
    """
    if "wall" not in record.clocks:
        raise WorkbenchError(
            f"This run was imported with {record.clock} times only.",
            "MLLOG states wall times: export a run that was tracked.",
        )
    evals = record.evals
    wall = evals["wall_s"].to_numpy(np.float64)
    start = _run_start(record)
    ends = record.spans["end_s"].to_numpy(np.float64)
    end = max([start, *wall[np.isfinite(wall)], *ends[np.isfinite(ends)]])
    values = evals.loc[evals["metric"] == record.metric, "value"].to_numpy(np.float64)
    reached = crossing(values, record.target, record.goal) is not None
    goal = {"metric": record.metric, "goal": record.goal, "clock": record.clock}
    # (seconds, event type, key, value, metadata); the sort is stable, so equal times keep this order
    lines: list[tuple[float, str, str, Any, dict[str, Any]]] = [
        (0.0, "INTERVAL_START", "init_start", None, {}),
        (0.0, "POINT_IN_TIME", "submission_benchmark", benchmark, {}),
        (0.0, "POINT_IN_TIME", "submission_division", division, {}),
        (0.0, "POINT_IN_TIME", "quality_target", record.target, goal),
    ]
    if record.seed is not None:
        lines.append((0.0, "POINT_IN_TIME", "seed", record.seed, {}))
    if record.eval_count is not None:
        lines.append((0.0, "POINT_IN_TIME", "eval_samples", record.eval_count, {}))
    lines += [
        (start, "INTERVAL_END", "init_stop", None, {}),
        (start, "INTERVAL_START", "run_start", None, {"wall_s": start}),
    ]
    for row in evals.to_dict("records"):
        key = "eval_accuracy" if row["metric"] == record.metric else row["metric"]
        lines.append((row["wall_s"], "POINT_IN_TIME", key, row["value"], _metadata(row, record)))
    lines.append((end, "INTERVAL_END", "run_stop", None, {"status": "success" if reached else "aborted"}))
    base = record.started.timestamp() * 1000 if record.started is not None else 0.0
    return [
        TOKEN + json.dumps({"namespace": "", "time_ms": round(base + seconds * 1000), "event_type": kind, "key": key,
                            "value": value, "metadata": metadata})
        for seconds, kind, key, value, metadata in sorted(lines, key=lambda line: line[0])
    ]  # fmt: skip


def mllog_records(path: str | Path, target: dict[str, float] | None = None) -> list[Record]:
    """Return a record per log; the parameters are those of `read_mllog`."""
    wanted = None if target is None else one_target(target)
    root = existing(path, "an MLPerf log or a folder of them")
    files = [root]
    if root.is_dir():
        files = sorted(file for file in root.iterdir() if file.is_file() and file.suffix in _SUFFIXES)
    logs = [(file, *_events(file)) for file in files]
    # in a folder other files are passed over; a file that was named must be a log
    logs = [log for log in logs if log[1]]
    if not logs:
        raise WorkbenchError(f"{root} has no {TOKEN.strip()} line.", "Give a log of an MLPerf run.")
    recipe = recipe_of(root)
    return [
        _record(events, broken, wanted, file.name, id=run_id(recipe, file.stem if root.is_dir() else ""), name=recipe)
        for file, events, broken in logs
    ]


def _run_start(record: Record) -> float:
    """Return the wall seconds that the mlperf clock leaves out."""
    evals = record.evals
    if "mlperf" not in record.clocks or evals.empty:
        return 0.0
    left_out = float(evals["wall_s"].iloc[-1] - evals["mlperf_s"].iloc[-1])
    return max(left_out, 0.0) if math.isfinite(left_out) else 0.0


def _metadata(row: dict[str, Any], record: Record) -> dict[str, Any]:
    known: dict[str, Any] = {"epoch_num": row["epoch"] if not math.isnan(row["epoch"]) else row["step"]}
    known |= {"step": row["step"], "metric": row["metric"], "wall_s": row["wall_s"]}
    if "mlperf" in record.clocks:
        known["mlperf_s"] = row["mlperf_s"]
    if isinstance(row["n"], int):
        known["samples"] = row["n"]
    if math.isnan(row["epoch"]):
        known["epoch_known"] = False
    return known


def _events(file: Path) -> tuple[list[Event], int]:
    """Return the events of a log in time order, and how many of its lines are broken."""
    events: list[Event] = []
    broken = 0
    for line in file.read_bytes().decode("utf-8", errors="replace").splitlines():
        if TOKEN not in line:
            continue
        try:
            # what an MPI launcher put before the token is no part of the line
            found = json.loads(line[line.rindex(TOKEN) + len(TOKEN) :])
            metadata = found.get("metadata")
            events.append(
                Event(float(found["time_ms"]), str(found["key"]), found.get("value"),
                      metadata if isinstance(metadata, dict) else {})
            )  # fmt: skip
        except (ValueError, KeyError, TypeError, AttributeError):
            broken += 1
    return sorted(events, key=lambda event: event.time_ms), broken


def _record(events: list[Event], broken: int, wanted: tuple[str, float] | None, file: str, **fields: Any) -> Record:
    first = {event.key: event for event in reversed(events)}
    metric, target, goal, key = _judged(events, first, wanted, file)
    zero = first["init_start"].time_ms if "init_start" in first else events[0].time_ms
    start = first.get("run_start")
    left_out = min(max(_seconds(start, zero), 0.0), _INIT) if start is not None else 0.0
    rows = [event for event in events if event.key == key and _is_number(event.value) and _of(event, metric)]
    wall = forward(np.array([_seconds(event, zero) for event in rows]))
    mlperf = [_known(event.metadata.get("mlperf_s"), time - left_out) for event, time in zip(rows, wall, strict=True)]
    last = first.get("run_stop")
    samples = first.get("eval_samples")
    count = samples.value if samples is not None and isinstance(samples.value, int) else None
    stated = first["quality_target"].metadata.get("clock") if "quality_target" in first else None
    n = [event.metadata.get("samples", count) for event in rows]
    facts = {
        name: first[name].value
        for name in ("seed", "submission_benchmark", "submission_org", "submission_division", "submission_platform")
        if name in first
    }
    if last is not None:
        facts["status"] = last.metadata.get("status", last.value)
    return imported(
        metric=metric,
        target=target,
        goal=goal,
        steps=[_step(event, row) for row, event in enumerate(rows)],
        values=[float(event.value) for event in rows],
        wall=wall,
        columns={
            "epoch": [_epoch(event) for event in rows],
            "mlperf_s": mlperf,
            "n": n,
            "se": [_se(event.value, size, target, goal) for event, size in zip(rows, n, strict=True)],
        },
        clock=stated if stated in ("wall", "mlperf") else "mlperf",
        clocks=("wall", "mlperf"),
        started=dt.datetime.fromtimestamp(zero / 1000, dt.UTC),
        eval_count=count,
        environment=facts,
        warnings=(f"{file}: {counted(broken, 'broken line')} passed over.",) if broken else (),
        **fields,
    )


def _judged(
    events: list[Event], first: dict[str, Event], wanted: tuple[str, float] | None, file: str
) -> tuple[str, float, str, str]:
    """Return metric, target, goal, and the key of the lines that hold the metric."""
    named = {
        str(event.metadata["metric"]): event.key
        for event in events
        if "metric" in event.metadata and event.key != "quality_target"
    }
    keys = {event.key for event in events if event.key.startswith("eval_") and _is_number(event.value)}
    keys -= {"eval_samples"}
    general = "eval_error" if "eval_error" in keys and "eval_accuracy" not in keys else "eval_accuracy"
    stated = first.get("quality_target")
    benchmark = first["submission_benchmark"].value if "submission_benchmark" in first else None
    goal = "min" if general == "eval_error" else "max"
    if benchmark in _QUALITY:
        goal = _QUALITY[benchmark][1]
    if stated is not None:
        goal = str(stated.metadata.get("goal", goal))
    if wanted is not None:
        metric, target = wanted
        if metric in named:
            return metric, target, goal, named[metric]
        if metric in keys:
            return metric, target, goal, metric
        # MLPerf calls every metric eval_accuracy: another name for it is no mistake
        if general in keys and not named:
            return metric, target, goal, general
        if keys or named:
            raise no_metric(metric, {*keys, *named})
        return metric, target, goal, general
    if stated is not None and _is_number(stated.value):
        metric = str(stated.metadata.get("metric", general))
        return metric, float(stated.value), goal, named.get(metric, general)
    if benchmark in _QUALITY:
        return general, _QUALITY[benchmark][0], goal, general
    raise WorkbenchError(f"{file} states no target.", f'Pass target={{"{general}": 0.759}}.')


def _of(event: Event, metric: str) -> bool:
    return event.metadata.get("metric", metric) in (metric, None) or metric == event.key


def _seconds(event: Event, zero: float) -> float:
    return _known(event.metadata.get("wall_s"), (event.time_ms - zero) / 1000)


def _known(value: Any, otherwise: float) -> float:
    return float(value) if _is_number(value) else float(otherwise)


def _epoch(event: Event) -> float:
    if event.metadata.get("epoch_known") is False:
        return math.nan
    return _known(event.metadata.get("epoch_num"), math.nan)


def _step(event: Event, row: int) -> int:
    for name in ("step", "step_num"):
        value = event.metadata.get(name)
        if isinstance(value, int):
            return value
    return row


def _se(value: float, n: Any, target: float, goal: str) -> float:
    from workbench.tta.statistics import accuracy_se

    return accuracy_se(float(value), n if isinstance(n, int) else None, percent=target > 1.5, goal=goal)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
