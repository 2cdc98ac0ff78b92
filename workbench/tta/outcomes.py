"""What the counted runs of a recipe came to: reached at a time, or censored at their end; and its summary row."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.engine.errors import WorkbenchError
from workbench.tta.intervals import cv
from workbench.tta.statistics import describe, warmup_outlier

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["COUNTED", "UNITS", "Outcomes", "counted", "fact", "listed", "outcomes", "summary_frame", "summary_row"]

#: states of runs that came to an end; the others are listed and not counted
COUNTED = frozenset({"finished", "reached", "budget", "hopeless", "failed"})
#: units of `time_to`, with the words for them
UNITS = {"seconds": "s", "steps": "steps", "cpu_seconds": "CPU s"}


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Counted runs of one recipe at one threshold.

    Attributes
    ----------
    name : str
    runs : tuple of Run
    threshold : float
        NaN if the runs have several targets and none was asked for.
    times : ndarray of float64, (n,)
        In `unit`: of the crossing, or for a miss of its last evaluation.
    seconds : ndarray of float64, (n,)
        The same in seconds on the clock.
    reached : ndarray of bool, (n,)
    unit : str
    """

    name: str
    runs: tuple[Any, ...]
    threshold: float
    times: Floats
    seconds: Floats
    reached: NDArray[np.bool_]
    unit: str

    @property
    def n(self) -> int:
        """Counted runs."""
        return len(self.runs)

    @property
    def censored(self) -> bool:
        """Whether a run did not reach."""
        return not bool(self.reached.all())

    @property
    def hits(self) -> Floats:
        """Times of the runs that reached."""
        return self.times[self.reached]

    @property
    def ranks(self) -> Floats:
        """Times with misses as infinity."""
        return np.where(self.reached, self.times, np.inf)


def listed(runs: Any) -> list[Any]:
    """Return runs as a list, a single one as a list of one; an error for what is no runs."""
    if hasattr(runs, "time_to"):
        return [runs]
    found = list(runs) if isinstance(runs, Iterable) else [runs]
    wrong = [run for run in found if not hasattr(run, "state")]
    if wrong or hasattr(runs, "columns"):
        what = type(runs if hasattr(runs, "columns") else wrong[0]).__name__
        raise WorkbenchError(f"Pass runs or entries, not {what}.", "wb.tta.runs() lists the runs there are.")
    return found


def counted(runs: Any) -> list[Any]:
    """Return the runs that came to an end; a single run is a list of one."""
    return [run for run in listed(runs) if run.state in COUNTED]


def fact(run: Any, name: str, otherwise: Any = None) -> Any:
    """Return a fact of a run's record that the run itself may not show."""
    value = getattr(run, name, None)
    if value is None:
        value = getattr(getattr(run, "record", None), name, None)
    return otherwise if value is None else value


def outcomes(
    name: str,
    runs: Any,
    threshold: float | None = None,
    *,
    metric: str | None = None,
    confirm: int = 1,
    clock: str | None = None,
    unit: str = "seconds",
) -> Outcomes:
    """Ask each counted run for its time to a threshold.

    Parameters
    ----------
    name : str
        What the group is called.
    runs : Run or iterable of Run
    threshold, metric, confirm, clock, unit
        As in `Run.time_to`; None is each run's own.
    """
    if unit not in UNITS:
        raise WorkbenchError(f"No unit {unit}.", f"Known: {', '.join(UNITS)}.")
    kept = counted(runs)
    asked: dict[str, Any] = {"metric": metric, "clock": clock}
    times, seconds, reached = [], [], []
    for run in kept:
        hit = float(run.time_to(threshold, confirm, unit=unit, **asked))
        reached.append(not math.isnan(hit))
        if unit == "cpu_seconds" and not reached[-1]:
            # no CPU time is not the same as no crossing
            reached[-1] = not math.isnan(float(run.time_to(threshold, confirm, unit="steps", **asked)))
        times.append(hit if reached[-1] else _end(run, unit, metric, clock))
        if math.isnan(times[-1]):
            raise WorkbenchError(f"{run.name} has no CPU times.", 'Use unit="seconds" or unit="steps".')
        if unit == "seconds":
            seconds.append(times[-1])
        elif reached[-1]:
            seconds.append(float(run.time_to(threshold, confirm, unit="seconds", **asked)))
        else:
            seconds.append(_end(run, "seconds", metric, clock))
    targets = {float(run.threshold) for run in kept} if threshold is None else {float(threshold)}
    return Outcomes(
        name=name,
        runs=tuple(kept),
        threshold=targets.pop() if len(targets) == 1 else math.nan,
        times=np.array(times, dtype=np.float64),
        seconds=np.array(seconds, dtype=np.float64),
        reached=np.array(reached, dtype=np.bool_),
        unit=unit,
    )


def summary_row(
    found: Outcomes, *, metric: str | None = None, confirm: int = 1, clock: str | None = None
) -> dict[str, Any]:
    """Return a row of `Runs.summary`."""
    hits = [run for run, reached in zip(found.runs, found.reached, strict=True) if reached]
    level = None if math.isnan(found.threshold) else found.threshold

    def ask(what: str, **more: Any) -> Floats:
        return np.array([float(getattr(run, what)(level, confirm, metric=metric, **more)) for run in hits], float)

    steps, cpu = (ask("time_to", clock=clock, unit=unit) for unit in ("steps", "cpu_seconds"))
    first = [bool(fact(run, "first_in_process", False)) for run in found.runs]
    return {
        "recipe": found.name,
        "threshold": found.threshold,
        **describe(found.times, found.reached, found.seconds),
        "steps_mean": _mean(steps),
        "steps_cv": _cv(steps),
        "cpu_mean": _mean(cpu),
        "cpu_cv": _cv(cpu),
        "cost_mean": _mean(ask("cost_to", clock=clock)),
        "energy_mean": _mean(ask("energy_to")),
        "warmup_outlier": warmup_outlier(np.where(found.reached, found.seconds, np.nan), first),
        "contended": any(bool(fact(run, "contended", False)) for run in found.runs),
    }


def summary_frame(rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Return rows of `summary_row` as the table of `Runs.summary`."""
    import pandas as pd

    return pd.DataFrame(list(rows), columns=list(_COLUMNS)).astype(_COLUMNS)


# --------------------------------------------------------------------------------------------------------- private

_FIGURES: Sequence[str] = (
    "reach_rate", "reach_low", "reach_high", "mean", "mean_low", "mean_high", "median", "median_low", "median_high",
    "sd", "cv", "cv_low", "cv_high", "km_median", "expected_seconds", "olympic", "steps_mean", "steps_cv", "cpu_mean",
    "cpu_cv", "cost_mean", "energy_mean",
)  # fmt: skip
_COLUMNS = {
    "recipe": "str",
    "threshold": "float64",
    "n": "int64",
    "reached": "int64",
    **dict.fromkeys(_FIGURES, "float64"),
    "warmup_outlier": "bool",
    "contended": "bool",
}


def _end(run: Any, unit: str, metric: str | None, clock: str | None) -> float:
    """Return when the last evaluation was: where a run that missed is censored."""
    if unit == "cpu_seconds":
        evals = run.evals
        last = evals.loc[evals["metric"] == (metric or run.metric), "cpu_s"]
    else:
        last = run.curve(metric, clock)["step" if unit == "steps" else "seconds"]
    return float(last.iloc[-1]) if len(last) else 0.0


def _mean(values: Floats) -> float:
    """Return the mean of the runs of which the figure is known."""
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else math.nan


def _cv(values: Floats) -> float:
    return cv(values[~np.isnan(values)])
