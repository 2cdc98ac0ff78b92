"""`Run`: one training run, and the time, cost and energy it took to a target."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from workbench.engine.errors import WorkbenchError, suggest
from workbench.engine.result import Result
from workbench.tta.crossings import below_after, crossing, quantum
from workbench.tta.price import Price, as_price
from workbench.tta.record import CLOCKS, Record, table

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["Run"]

_CROSSINGS = {
    "metric": "str",
    "threshold": "float64",
    "confirm": "int64",
    "reached": "bool",
    "step": "Int64",
    "epoch": "float64",
    "value": "float64",
    "seconds": "float64",
    "cost_usd": "float64",
    "energy_j": "float64",
    "below_after": "int64",
    "quantum": "float64",
}
_UNITS = ("seconds", "steps", "cpu_seconds")


class Run(Result):
    """One training run: live, finished or imported.

    Parameters
    ----------
    record : Record
        What a source knows of it.
    """

    #: runs of the same recipe that were there before it: drawn grey beside its curve
    earlier: Sequence[Record] = ()

    def __init__(self, record: Record) -> None:
        self.record = record

    # what it is

    id = property(lambda self: self.record.id, doc="str: its id.")
    name = property(lambda self: self.record.name, doc="str: its recipe.")
    seed = property(lambda self: self.record.seed, doc="int or None.")
    attempt = property(lambda self: self.record.attempt, doc="int: from 1.")
    state = property(lambda self: self.record.state, doc="str: running, reached, finished, interrupted, budget, ...")
    task = property(lambda self: self.record.task, doc="str or None: CIFAR10, ImageNet, SQuAD or a free name.")
    clock = property(lambda self: self.record.clock, doc="str: the clock it is judged by.")
    goal = property(lambda self: self.record.goal, doc='str: "max" or "min".')
    metric = property(lambda self: self.record.metric, doc="str: the metric of the target.")
    threshold = property(lambda self: self.record.target, doc="float: the value of the target.")
    steps = property(lambda self: self.record.steps, doc="int or None: planned length.")
    schedule = property(lambda self: self.record.schedule, doc="str or None.")
    price = property(lambda self: self.record.price, doc="Price or None.")
    environment = property(lambda self: dict(self.record.environment), doc="dict: packages, host, load.")
    notes = property(lambda self: list(self.record.notes), doc="list of str.")
    warnings = property(lambda self: list(self.record.warnings), doc="list of str.")
    gap = property(lambda self: self.record.gap, doc="float: fresh value less the judged one; NaN if not measured.")

    @property
    def target(self) -> dict[str, float]:
        """The metric and its value."""
        return {self.record.metric: self.record.target}

    @property
    def evals(self) -> pd.DataFrame:
        """A row per evaluation and metric."""
        return self.record.evals

    @property
    def spans(self) -> pd.DataFrame:
        """Spans on the wall clock."""
        return self.record.spans

    @cached_property
    def points(self) -> pd.DataFrame:
        """Dense points."""
        return self.record.points()

    @property
    def stable(self) -> bool | None:
        """Whether no later evaluation misses the target; None (NA in tables) when it was not reached."""
        at = self._crossing(None, 1, None)
        return None if at is None else below_after(self._values(self.metric), self.threshold, at, self.goal) == 0

    # what it took

    @overload
    def time_to(
        self, threshold: float | None = ..., confirm: int = ..., *, metric: str | None = ..., clock: str | None = ...,
        unit: str = ...,
    ) -> float: ...  # fmt: skip
    @overload
    def time_to(
        self, threshold: Sequence[float], confirm: int = ..., *, metric: str | None = ..., clock: str | None = ...,
        unit: str = ...,
    ) -> pd.Series: ...  # fmt: skip
    def time_to(
        self,
        threshold: float | Sequence[float] | None = None,
        confirm: int = 1,
        *,
        metric: str | None = None,
        clock: str | None = None,
        unit: str = "seconds",
    ) -> float | pd.Series:
        """Return the time of the crossing.

        Parameters
        ----------
        threshold : float or sequence of float, optional
            The run's target by default.
        confirm : int
            Evaluations in a row that must meet it; the crossing is the last of them.
        metric, clock : str, optional
            The run's own by default.
        unit : {"seconds", "steps", "cpu_seconds"}

        Returns
        -------
        float or Series
            NaN where it is not reached; a Series indexed by threshold for a sequence.

        Raises
        ------
        WorkbenchError
            For a metric that was not logged, a clock that was not recorded, another unit.
        """
        if unit not in _UNITS:
            raise WorkbenchError(f"No unit {unit}.", f"Known: {', '.join(_UNITS)}.")
        if unit == "seconds":
            times = self._seconds(metric or self.metric, clock)
        else:
            rows = self._rows(metric or self.metric)
            times = rows["step" if unit == "steps" else "cpu_s"].to_numpy(np.float64)
        return self._at(times, threshold, confirm, metric)

    def cost_to(
        self,
        threshold: float | Sequence[float] | None = None,
        confirm: int = 1,
        *,
        metric: str | None = None,
        clock: str | None = None,
        price: float | Price | None = None,
    ) -> Any:
        """Return the cost of the crossing in USD; NaN where it is not reached, or there is no price."""
        rate = math.nan if (asked := as_price(price) or self.price) is None else asked.rate
        seconds = self._seconds(metric or self.metric, clock)
        exact = self.record.hours_cost
        if exact is not None and not math.isnan(rate):
            costs = np.array([exact(int(row), rate) for row in self._rows(metric or self.metric)["eval"]], np.float64)
        else:
            costs = seconds / 3600.0 * rate
        return self._at(costs, threshold, confirm, metric)

    def energy_to(
        self, threshold: float | Sequence[float] | None = None, confirm: int = 1, *, metric: str | None = None
    ) -> Any:
        """Return the energy until the crossing in joules; NaN where it is not reached or was not measured."""
        energy = self._rows(metric or self.metric)["energy_j"].to_numpy(np.float64)
        return self._at(energy, threshold, confirm, metric)

    def curve(self, metric: str | None = None, clock: str | None = None) -> pd.DataFrame:
        """Return `step, epoch, seconds, value` of the evaluations of a metric, in the order logged."""
        import pandas as pd

        rows = self._rows(metric or self.metric)
        return pd.DataFrame(
            {
                "step": rows["step"].to_numpy(np.int64),
                "epoch": rows["epoch"].to_numpy(np.float64),
                "seconds": self._seconds(metric or self.metric, clock),
                "value": rows["value"].to_numpy(np.float64),
            }
        )

    @property
    def crossings(self) -> pd.DataFrame:
        """Of the target, confirmed by 1, by 2 and by the run's own number of evaluations."""
        rows = []
        metric, threshold = self.metric, self.threshold
        values, seconds = self._values(metric), self._seconds(metric, None)
        evals = self._rows(metric)
        for confirm in sorted({1, 2, self.record.confirm}):
            at = crossing(values, threshold, self.goal, confirm)
            row: dict[str, Any] = {
                "metric": metric, "threshold": threshold, "confirm": confirm, "reached": at is not None,
                "step": None, "epoch": math.nan, "value": math.nan, "seconds": math.nan,
                "cost_usd": self.cost_to(threshold, confirm), "energy_j": self.energy_to(threshold, confirm),
                "below_after": 0, "quantum": math.nan,
            }  # fmt: skip
            if at is not None:
                row |= {
                    "step": int(evals["step"].iloc[at]), "epoch": float(evals["epoch"].iloc[at]),
                    "value": float(values[at]), "seconds": float(seconds[at]),
                    "below_after": below_after(values, threshold, at, self.goal), "quantum": quantum(seconds, at),
                }  # fmt: skip
            rows.append(row)
        return table({name: [row[name] for row in rows] for name in _CROSSINGS}, _CROSSINGS)

    # how it is told

    def to_pandas(self) -> pd.DataFrame:
        """Return the evaluations."""
        return self.evals

    def explain(self, format: str = "text") -> Any:
        """Return in words what the run came to."""
        from workbench.tta.texts import told

        return told(self)

    def __repr__(self) -> str:
        from workbench.tta.texts import told

        try:
            return told(self)
        except Exception as error:  # a repr never raises
            return f"<Run {self.record.name}: {type(error).__name__}>"

    def view_data(self) -> dict[str, Any]:
        """Return the curve, the crossings and what has to be said."""
        from workbench.tta.view import run_view

        return run_view(self)

    # how it leaves

    def export_dawnbench(
        self, folder: str | os.PathLike[str], *, author: str, author_email: str, framework: str, model: str,
        hardware: str, code_url: str | None = None, misc: Any = None, task: str | None = None, overwrite: bool = False,
    ) -> tuple[Path, Path]:  # fmt: skip
        """Write the run as a DAWNBench entry; return the paths of its JSON and TSV files."""
        from workbench.tta.dawnbench_write import export_dawnbench

        return export_dawnbench(
            self.record, os.fspath(folder), author=author, author_email=author_email, framework=framework, model=model,
            hardware=hardware, code_url=code_url, misc=misc, task=task, overwrite=overwrite,
        )  # fmt: skip

    def export_mllog(
        self, path: str | os.PathLike[str], *, benchmark: str, division: str = "open", overwrite: bool = False
    ) -> Path:
        """Write the run as MLPerf log lines; return the path."""
        from workbench.tta.mllog import export_mllog

        return export_mllog(self.record, os.fspath(path), benchmark=benchmark, division=division, overwrite=overwrite)

    # below: rows of a metric, and times on a clock

    def _rows(self, metric: str) -> pd.DataFrame:
        evals = self.record.evals
        rows = evals[evals["metric"] == metric]
        if not len(rows) and metric != self.record.metric:
            known = list(dict.fromkeys(evals["metric"]))
            raise WorkbenchError(
                f'No metric "{metric}".', suggest(metric, known, f"Logged: {', '.join(known)}.", quote='"{}"')
            )
        return rows

    def _values(self, metric: str) -> Floats:
        return self._rows(metric)["value"].to_numpy(np.float64)

    def _seconds(self, metric: str, clock: str | None) -> Floats:
        chosen = clock or self.record.clock
        if chosen not in CLOCKS:
            raise WorkbenchError(f'No clock "{chosen}".', f"Known: {', '.join(CLOCKS)}.")
        if chosen not in self.record.clocks:
            only = " and ".join(self.record.clocks)
            raise WorkbenchError(
                f"This run was imported with {only} times only.", f'Use clock="{self.record.clocks[0]}".'
            )
        return self._rows(metric)[f"{chosen}_s"].to_numpy(np.float64)

    def _crossing(self, threshold: float | None, confirm: int, metric: str | None) -> int | None:
        level = self.threshold if threshold is None else float(threshold)
        return crossing(self._values(metric or self.metric), level, self.goal, confirm)

    def _at(
        self, figures: Floats, threshold: float | Sequence[float] | None, confirm: int, metric: str | None
    ) -> float | pd.Series:
        """Return the figure at the crossing, or a Series of them."""
        if threshold is None or np.ndim(threshold) == 0:
            at = self._crossing(threshold, confirm, metric)  # type: ignore[arg-type]
            return math.nan if at is None else float(figures[at])
        import pandas as pd

        found = []
        for level in threshold:  # type: ignore[union-attr]
            at = self._crossing(level, confirm, metric)
            found.append(math.nan if at is None else float(figures[at]))
        index = pd.Index([float(level) for level in threshold], name="threshold")  # type: ignore[union-attr]
        return pd.Series(found, index=index, dtype="float64")
