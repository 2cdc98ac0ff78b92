"""What the readers of other formats share: checks of their arguments, and a record from columns."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.engine.errors import WorkbenchError, suggest
from workbench.tta.record import Record, evals_table, points_table

if TYPE_CHECKING:
    from datetime import datetime

    from numpy.typing import NDArray
    from pandas import DataFrame

__all__ = [
    "checked_goal",
    "existing",
    "forward",
    "imported",
    "no_metric",
    "one_target",
    "recipe_of",
    "run_id",
    "runs_of",
]


def one_target(target: Any) -> tuple[str, float]:
    """Return the metric and the value of a target such as `{"top1": 94}`."""
    if isinstance(target, dict) and len(target) == 1:
        (metric, value), *_ = target.items()
        number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
        if isinstance(metric, str) and metric and number and math.isfinite(value):
            return metric, float(value)
    raise WorkbenchError(
        'Target must be one metric with a finite number, such as {"top1": 94}.', f"Found {_shown(target)}."
    )


def _shown(target: Any) -> str:
    # as it is written in a cell: double quotes
    if isinstance(target, dict):
        return "{" + ", ".join(f'"{name}": {value!r}' for name, value in target.items()) + "}"
    return repr(target)


def checked_goal(goal: Any) -> str:
    """Return a goal."""
    if goal not in ("max", "min"):
        raise WorkbenchError(f'goal is "max" or "min", not {goal!r}.', 'Write goal="max" or goal="min".')
    return str(goal)


def existing(path: str | Path, what: str) -> Path:
    """Return a path that is there."""
    if not isinstance(path, (str, os.PathLike)):
        raise WorkbenchError(f"A path is text, not {type(path).__name__}.", f"Give {what}.")
    found = Path(path).expanduser()
    if not found.exists():
        raise WorkbenchError(f"There is no {found}.", f"Give {what}.")
    return found


def recipe_of(path: Path) -> str:
    """Return what imported runs are named: the last part of the path, of a file without its extension."""
    whole = path.absolute()
    return whole.stem if whole.is_file() else whole.name


def run_id(recipe: str, part: str) -> str:
    """Return the id of one of several runs at a path."""
    return recipe if part in ("", ".", recipe) else f"{recipe}/{part}"


def no_metric(metric: str, names: Iterable[str]) -> WorkbenchError:
    """Return the error for a metric that was not logged."""
    known = sorted(set(names))
    listed = f"{', '.join(known[:8])}{', …' if len(known) > 8 else ''}"
    return WorkbenchError(
        f"No metric {metric}.",
        suggest(metric, known, f"Logged: {listed}." if known else "Nothing was logged.", quote="{}"),
    )


def forward(seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return times that never go back: where the clock of the host was set back, they stand still."""
    return np.maximum.accumulate(seconds) if len(seconds) else seconds


def imported(
    *,
    id: str,
    name: str,
    metric: str,
    target: float,
    goal: str,
    steps: Sequence[int] | NDArray[Any],
    values: Sequence[float] | NDArray[np.float64],
    wall: Sequence[float] | NDArray[np.float64],
    columns: dict[str, Any] | None = None,
    points: Callable[[], DataFrame] | None = None,
    started: datetime | None = None,
    **fields: Any,
) -> Record:
    """Return the record of an imported run: finished, without a seed, judged by one metric on its wall clock.

    Parameters
    ----------
    steps, values, wall : sequence, (n,)
        An evaluation each.
    columns : dict, optional
        More columns of the evaluations.
    **fields
        More of the record.
    """
    size = len(values)
    evals = {"eval": np.arange(size), "step": steps, "metric": [metric] * size, "value": values, "wall_s": wall}
    return Record(
        **{
            "id": id,
            "name": name,
            "metric": metric,
            "target": target,
            "goal": goal,
            "evals": evals_table(evals | (columns or {})),
            "points": points if points is not None else (lambda: points_table([])),
            "started": started,
            **fields,
        }
    )


def runs_of(records: Iterable[Record]) -> Any:
    """Return records as `Runs`."""
    from workbench.tta.run import Run
    from workbench.tta.runs import Runs

    return Runs([Run(record) for record in records])
