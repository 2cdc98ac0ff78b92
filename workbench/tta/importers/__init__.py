"""Runs that others logged: MLLOG, TensorBoard, MLflow's files and CSV.

Imported runs are finished and have no seed; their recipe is the last part of the path. They have only the `wall` clock
(MLLOG also `mlperf`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.tta.runs import Runs

__all__ = ["read_csv", "read_mlflow", "read_mllog", "read_tensorboard"]


def read_mllog(path: str | Path, target: dict[str, float] | None = None) -> Runs:
    """Read MLPerf logs (`:::MLLOG` lines).

    Parameters
    ----------
    path : path
        One log, or a folder: a run per log in it, by name.
    target : dict, optional
        Such as `{"eval_accuracy": 0.759}`. Default: what the log states, else the quality of its benchmark.
    """
    from workbench.tta.importers.common import runs_of
    from workbench.tta.mllog import mllog_records

    return runs_of(mllog_records(path, target))


def read_tensorboard(
    folder: str | Path, target: dict[str, float], *, goal: str = "max", metric: str | None = None
) -> Runs:
    """Read TensorBoard event files: a run per folder that has some.

    Parameters
    ----------
    folder : path
        Of event files, or of folders of them.
    target : dict
        Such as `{"top1": 94}`.
    goal : {"max", "min"}
    metric : str, optional
        The tag that holds the metric; default its name.
    """
    from workbench.tta.importers.common import runs_of
    from workbench.tta.importers.tensorboard import tensorboard_records

    return runs_of(tensorboard_records(folder, target, goal=goal, metric=metric))


def read_mlflow(folder: str | Path, target: dict[str, float], *, goal: str = "max") -> Runs:
    """Read the runs in MLflow's file store.

    Parameters
    ----------
    folder : path
        `mlruns`, an experiment in it, or one run.
    target : dict
        Such as `{"val/top1": 94}`.
    goal : {"max", "min"}
    """
    from workbench.tta.importers.common import runs_of
    from workbench.tta.importers.mlflow import mlflow_records

    return runs_of(mlflow_records(folder, target, goal=goal))


def read_csv(
    path: str | Path,
    target: dict[str, float],
    *,
    goal: str = "max",
    step: str = "step",
    seconds: str = "seconds",
    value: str | None = None,
) -> Any:
    """Read runs from CSV: a row is an evaluation.

    Parameters
    ----------
    path : path
        One file is one run, a folder a run per `*.csv`, by name.
    target : dict
        Such as `{"top1": 94}`.
    goal : {"max", "min"}
    step, seconds : str
        Columns of the step (without one, the row's index) and of the wall time.
    value : str, optional
        The column of the metric; default its name.

    Returns
    -------
    Runs
    """
    from workbench.tta.importers.common import runs_of
    from workbench.tta.importers.csv_files import csv_records

    return runs_of(csv_records(path, target, goal=goal, step=step, seconds=seconds, value=value))
