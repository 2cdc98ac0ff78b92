"""Write DAWNBench entries: those that were read, in one form, and runs of one's own."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.engine.errors import WorkbenchError
from workbench.tta.dawnbench_rules import RULES, Rule

if TYPE_CHECKING:
    from workbench.tta.dawnbench_read import Curve, Entry
    from workbench.tta.record import Record

__all__ = ["export_dawnbench", "json_text", "tsv_text", "write_entries"]

#: names of metrics here -> their official ones
OFFICIAL = {
    "top1": "top1Accuracy",
    "acc": "top1Accuracy",
    "accuracy": "top1Accuracy",
    "top5": "top5Accuracy",
    "f1": "f1Score",
    **{name: name for rule in RULES.values() for name in rule.metrics},
}
#: values up to this are fractions, above it percent (as with a tracker's target)
_FRACTION = 1.5


def write_entries(entries: Iterable[Entry], folder: str | Path) -> Path:
    """Write entries as `TASK/KIND/ENTRY.json` and `.tsv` below a folder, and return it."""
    root = Path(folder).expanduser()
    for entry in entries:
        below = root / entry.task / entry.kind
        below.mkdir(parents=True, exist_ok=True)
        _write(below / f"{entry.name}.json", json_text(entry.raw))
        if entry.curve is not None:
            _write(below / f"{entry.name}.tsv", tsv_text(entry.curve))
    return root


def json_text(raw: dict[str, Any]) -> str:
    """Return the text of a JSON file: an indent of 4, keys in their order, floats by `repr`."""
    return json.dumps(raw, indent=4, ensure_ascii=False) + "\n"


def tsv_text(curve: Curve) -> str:
    """Return the text of a TSV file: columns in their order, floats by `repr`."""
    if not curve.header:
        return ""
    names = list(curve.cells)
    columns = [
        [repr(value) for value in cells.tolist()] if isinstance(cells, np.ndarray) else list(cells)
        for cells in curve.cells.values()
    ]
    lines = ["\t".join(names), *("\t".join(row) for row in zip(*columns, strict=True))]
    return "\n".join(lines) + "\n"


def export_dawnbench(
    record: Record,
    folder: str | Path,
    *,
    author: str,
    author_email: str,
    framework: str,
    model: str,
    hardware: str,
    code_url: str | None = None,
    misc: dict[str, Any] | None = None,
    task: str | None = None,
    overwrite: bool = False,
) -> tuple[Path, Path]:
    """Write a run as a DAWNBench training entry.

    Parameters
    ----------
    record : Record
        With a `dawnbench` clock: hours leave evaluation and checkpoints out.
    folder : path
        Made if it does not exist.
    author, author_email, framework, model, hardware : str
        The file's stem is `author_model_hardware_framework`.
    code_url : str, optional
    misc : dict, optional
        Whatever else should be known.
    task : str, optional
        Default: the run's task.
    overwrite : bool
        Whether files of the same name are replaced.

    Returns
    -------
    (Path, Path)
        Of the JSON and the TSV file.

    Raises
    ------
    WorkbenchError
        If the run has no such clock, its task is none of DAWNBench, a metric that the task needs was not logged, or
        the files exist.
    """
    name = record.task if task is None else task
    if name not in RULES:
        raise WorkbenchError(
            f"{name!r} is no task of DAWNBench." if name is not None else "The run has no task.",
            'Pass task="CIFAR10", task="ImageNet" or task="SQuAD".',
        )
    if "dawnbench" not in record.clocks:
        raise WorkbenchError(
            f"This run was imported with {record.clock} times only.",
            "DAWNBench hours leave evaluation out: export a run that was tracked.",
        )
    rule = RULES[name]
    text = _curve_text(record, rule)
    raw: dict[str, Any] = {
        "version": "v1.0",
        "author": author,
        "authorEmail": author_email,
        "framework": framework,
        **({"codeURL": code_url} if code_url is not None else {}),
        "model": model,
        "hardware": hardware,
        "costPerHour": _on_demand(record),
        "timestamp": record.started.strftime("%Y-%m-%d") if record.started is not None else None,
        **({"usedBlacklist": True} if record.environment.get("used_blacklist") is True else {}),
        "misc": {} if misc is None else misc,
    }
    stem = "_".join(_safe(part) for part in (author, model, hardware, framework))
    root = Path(folder).expanduser()
    root.mkdir(parents=True, exist_ok=True)
    paths = root / f"{stem}.json", root / f"{stem}.tsv"
    for path in paths:
        if path.exists() and not overwrite:
            raise WorkbenchError(f"{path.name} exists.", "Pass overwrite=True to replace it.")
    _write(paths[1], text)
    _write(paths[0], json_text(raw))
    return paths


def _curve_text(record: Record, rule: Rule) -> str:
    """Return the TSV of a run: a row for each evaluation that has every metric of the task, as a finite number."""
    evals = record.evals
    names = evals["metric"].map(lambda metric: OFFICIAL.get(metric))
    logged = list(dict.fromkeys(evals["metric"]))
    missing = [metric for metric in rule.metrics if metric not in set(names.dropna())]
    if missing:
        short = [name for name, full in OFFICIAL.items() if full in missing and name != full]
        raise WorkbenchError(
            f"{rule.task} needs {', '.join(missing)}; the run logged {', '.join(logged) or 'nothing'}.",
            f"Log it under this name, or as {' or '.join(short)}.",
        )
    # one row per evaluation; of two names of the same metric the first logged counts
    kept = evals.assign(metric=names)[names.isin(rule.metrics)].drop_duplicates(["eval", "metric"])
    wide = kept.pivot(index="eval", columns="metric", values="value").sort_index()
    whole = np.isfinite(wide.to_numpy()).all(axis=1)
    if not whole.all():
        import warnings

        from workbench.tta.problems import TTAWarning

        left = int((~whole).sum())
        told = f"{left} evaluation{'s' if left != 1 else ''} without a finite {' and '.join(rule.metrics)}"
        warnings.warn(TTAWarning(f"{told}: not written.", "DAWNBench takes finite numbers only."), stacklevel=4)
    wide = wide[whole]
    first = kept.drop_duplicates("eval").set_index("eval").loc[wide.index]
    epochs = first["epoch"] if first["epoch"].notna().all() else first["step"].astype("float64")
    columns = [epochs.tolist(), _hours(record, first["dawnbench_s"].tolist(), first.index.tolist())]
    columns += [_in_unit(wide[metric].tolist(), rule.top) for metric in rule.metrics]
    lines = ["\t".join(rule.columns), *("\t".join(map(repr, row)) for row in zip(*columns, strict=True))]
    return "\n".join(lines) + "\n"


def _hours(record: Record, seconds: list[float], evals: list[int]) -> list[float]:
    # a source that states hours gives the same hours back
    if record.hours_cost is not None:
        return [record.hours_cost(row, 1.0) for row in evals]
    return [value / 3600 for value in seconds]


def _in_unit(values: list[float], top: float) -> list[float]:
    """Return values as percent or fractions, shifted in decimal: 0.29 is 29.0, not 28.999999999999996."""
    most = max(values, default=0.0)
    if top == 1.0:
        return [float(Decimal(repr(v)) / 100) for v in values] if most > _FRACTION else values
    return [float(Decimal(repr(v)) * 100) for v in values] if most <= _FRACTION else values


def _on_demand(record: Record) -> float | None:
    if record.price is None:
        return None
    if record.price.kind == "spot":
        import warnings

        from workbench.tta.problems import TTAWarning

        told = "The spot price is shown, but boards rank by on-demand."
        warnings.warn(TTAWarning(told, 'Pass Price(…, kind="ondemand").'), stacklevel=4)
        return None
    return record.price.usd_per_hour if record.price.ranked else None


def _safe(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]", "-", text)


def _write(path: Path, text: str) -> None:
    # a killed process leaves no half file
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        temporary.write_bytes(text.encode())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
