"""`Runs`: several runs, their table, and the summary of each recipe."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from workbench.engine.result import Result
from workbench.tta.outcomes import outcomes, summary_frame, summary_row
from workbench.tta.record import table
from workbench.tta.run import Run

if TYPE_CHECKING:
    import pandas as pd

    from workbench.engine.plan import Plan

__all__ = ["Runs"]

_TABLE = {
    "run": "str",
    "recipe": "str",
    "seed": "Int64",
    "attempt": "int64",
    "state": "str",
    "threshold": "float64",
    "reached": "bool",
    "seconds": "float64",
    "confirmed_seconds": "float64",
    "censor_seconds": "float64",
    "steps": "float64",
    "cpu_seconds": "float64",
    "cost_usd": "float64",
    "energy_j": "float64",
    "best": "float64",
    "final": "float64",
    "stable": "boolean",
    "gap": "float64",
    "eval_hash": "str",
    "contended": "bool",
    "first_in_process": "bool",
}


class Runs(Result, Sequence[Run]):
    """A sequence of runs.

    Parameters
    ----------
    runs : iterable of Run
    missing : sequence of str
        What is missing and why, such as seeds whose worker died; said with the table.

    Attributes
    ----------
    plan : Plan or None
        How they were made, if `repeat` made them; `explain()` shows it.
    """

    plan: Plan | None = None

    def __init__(self, runs: Iterable[Run], missing: Sequence[str] = ()) -> None:
        self._runs = tuple(runs)
        self.missing = tuple(missing)

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs)

    @overload
    def __getitem__(self, item: int) -> Run: ...
    @overload
    def __getitem__(self, item: slice) -> Runs: ...
    def __getitem__(self, item: int | slice) -> Run | Runs:
        return Runs(self._runs[item], self.missing) if isinstance(item, slice) else self._runs[item]

    def __add__(self, other: Iterable[Run]) -> Runs:
        return Runs((*self._runs, *other), (*self.missing, *getattr(other, "missing", ())))

    @property
    def table(self) -> pd.DataFrame:
        """A row per run."""
        rows = [_row(run) for run in self._runs]
        return table({name: [row[name] for row in rows] for name in _TABLE}, _TABLE)

    def summary(
        self, threshold: float | None = None, *, confirm: int = 1, clock: str | None = None, unit: str = "seconds"
    ) -> pd.DataFrame:
        """Return a row per recipe: how often it reaches, how long that takes, and how sure that is.

        Parameters
        ----------
        threshold : float, optional
            Each run's own target by default.
        confirm : int
            Evaluations in a row that must meet it.
        clock : str, optional
        unit : {"seconds", "steps", "cpu_seconds"}
            Of `mean` to `cv_high`.
        """
        rows = []
        for name in dict.fromkeys(run.name for run in self._runs):
            mine = [run for run in self._runs if run.name == name]
            found = outcomes(name, mine, threshold, confirm=confirm, clock=clock, unit=unit)
            rows.append(summary_row(found, confirm=confirm, clock=clock))
        return summary_frame(rows)

    def _plan(self) -> Plan | None:
        return self.plan

    def to_pandas(self) -> pd.DataFrame:
        """Return the table."""
        return self.table

    def view_data(self) -> dict[str, Any]:
        """Return a line per recipe, the summary and the table."""
        from workbench.tta.view import runs_view

        return runs_view(self)

    def __repr__(self) -> str:
        from workbench.tta.texts import runs_told

        try:
            return runs_told(self) or "<Runs: none>"
        except Exception as error:  # a repr never raises
            return f"<Runs: {len(self._runs)} runs, {type(error).__name__}>"


def _row(run: Run) -> dict[str, Any]:
    """Return a row of the table."""
    record = run.record
    curve = run.curve()
    values = curve["value"].to_numpy(np.float64)
    known = values[~np.isnan(values)]
    best = (known.max() if record.goal == "max" else known.min()) if len(known) else math.nan
    seconds = run.time_to()
    return {
        "run": record.id, "recipe": record.name, "seed": record.seed, "attempt": record.attempt, "state": record.state,
        "threshold": record.target, "reached": not math.isnan(seconds), "seconds": seconds,
        "confirmed_seconds": run.time_to(confirm=2),
        "censor_seconds": float(curve["seconds"].iloc[-1]) if len(curve) else 0.0,
        "steps": run.time_to(unit="steps"), "cpu_seconds": run.time_to(unit="cpu_seconds"),
        "cost_usd": run.cost_to(), "energy_j": run.energy_to(), "best": float(best),
        "final": float(values[-1]) if len(values) else math.nan, "stable": run.stable, "gap": record.gap,
        "eval_hash": record.eval_hash, "contended": record.contended, "first_in_process": record.first_in_process,
    }  # fmt: skip
