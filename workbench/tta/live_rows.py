"""The evaluations of a run that its chart and its facts are made of, and how they are called."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from workbench.tta.crossings import crossing
from workbench.tta.statistics import accuracy_se

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from workbench.tta.record import Record

    Floats = NDArray[np.float64]

__all__ = ["aim_of", "errors_of", "first_crossing", "name_of", "rows_of", "seconds_of", "when", "whens"]


def rows_of(record: Record) -> pd.DataFrame:
    """Return the evaluations of the metric that the run is judged by."""
    return record.evals[record.evals["metric"] == record.metric]


def seconds_of(record: Record, rows: pd.DataFrame) -> Floats:
    """Return when evaluations count, in seconds on the run's clock."""
    return rows[f"{record.clock}_s"].to_numpy(np.float64)


def first_crossing(record: Record, rows: pd.DataFrame) -> int | None:
    """Return the index of the first evaluation that meets the target; None if none does."""
    return crossing(rows["value"].to_numpy(np.float64), record.target, record.goal)


def errors_of(record: Record, rows: pd.DataFrame) -> Floats:
    """Return the standard error of each evaluation: as stored, else from the samples judged."""
    stored = rows["se"].to_numpy(np.float64).copy()
    missing = np.flatnonzero(np.isnan(stored))
    if record.goal == "min" or not len(missing):
        return stored
    judged = rows["n"].astype("float64").to_numpy(np.float64, na_value=math.nan)
    judged = np.where(np.isnan(judged), math.nan if record.eval_count is None else record.eval_count, judged)
    values = rows["value"].to_numpy(np.float64)
    for at in missing[~np.isnan(judged[missing])].tolist():
        stored[at] = accuracy_se(float(values[at]), int(judged[at]), percent=record.target > 1, goal=record.goal)
    return stored


def when(rows: pd.DataFrame, at: int) -> str:
    """Return what an evaluation is called: `epoch 15`, or `step 1,200` where no epoch was given."""
    return whens(rows.iloc[at : at + 1])[0]


def whens(rows: pd.DataFrame) -> list[str]:
    """Return what each evaluation is called."""
    pairs = zip(rows["step"].tolist(), rows["epoch"].tolist(), strict=True)
    return [f"step {step:,}" if math.isnan(epoch) else f"epoch {epoch:g}" for step, epoch in pairs]


def aim_of(record: Record) -> str:
    """Return `top1 >= 94`."""
    return f"{record.metric} {'>=' if record.goal == 'max' else '<='} {record.target:g}"


def name_of(record: Record) -> str:
    """Return the recipe and the seed, as `resnet9/0`."""
    return record.name + (f"/{record.seed}" if record.seed is not None else "")
