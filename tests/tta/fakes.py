"""Runs for tests of what is built on runs: a plain list of evaluations, asked by a plain loop."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd


@dataclass
class FakeRun:
    """A finished run: `rows` of (step, epoch, seconds, value)."""

    rows: Sequence[tuple[int, float, float, float]]
    name: str = "a"
    seed: int | None = 0
    state: str = "finished"
    threshold: float = 98.0
    metric: str = "top1"
    goal: str = "max"
    clock: str = "dawnbench"
    task: str | None = None
    eval_hash: str = ""
    eval_count: int | None = None
    contended: bool = False
    first_in_process: bool = False
    usd: float = math.nan
    cpu_factor: float = 2.0
    clocks: tuple[str, ...] = ("wall", "dawnbench")
    asked: list[dict[str, Any]] = field(default_factory=list)

    @property
    def id(self) -> str:
        return f"id-{id(self):x}"

    @property
    def record(self) -> FakeRun:
        return self

    @property
    def price(self) -> Any:
        return None if math.isnan(self.usd) else type("Price", (), {"usd_per_hour": self.usd})()

    def _row(self, threshold: float, confirm: int) -> int | None:
        streak = 0
        for place, row in enumerate(self.rows):
            meets = row[3] >= threshold if self.goal == "max" else row[3] <= threshold
            streak = streak + 1 if meets else 0
            if streak == confirm:
                return place
        return None

    def time_to(self, threshold=None, confirm=1, *, metric=None, clock=None, unit="seconds") -> Any:
        self.asked.append({"metric": metric, "clock": clock, "unit": unit})
        if isinstance(threshold, Iterable):
            return pd.Series({t: self.time_to(t, confirm, unit=unit) for t in threshold})
        place = self._row(self.threshold if threshold is None else threshold, confirm)
        if place is None:
            return math.nan
        seconds = self.rows[place][2]
        return {"seconds": seconds, "steps": float(self.rows[place][0]), "cpu_seconds": self.cpu_factor * seconds}[unit]

    def cost_to(self, threshold=None, confirm=1, *, metric=None, clock=None, price=None) -> float:
        return self.time_to(threshold, confirm) / 3600 * self.usd

    def energy_to(self, threshold=None, confirm=1, *, metric=None) -> float:
        return math.nan

    def curve(self, metric=None, clock=None) -> pd.DataFrame:
        return pd.DataFrame(list(self.rows), columns=["step", "epoch", "seconds", "value"]).astype(
            {"step": "int64", "epoch": "float64", "seconds": "float64", "value": "float64"}
        )

    @property
    def evals(self) -> pd.DataFrame:
        curve = self.curve()
        return curve.assign(metric=self.metric, cpu_s=self.cpu_factor * curve["seconds"], n=pd.NA)


def reaching(times: Iterable[float], *, threshold: float = 98.0, end: float = 15.0, **facts: Any) -> list[FakeRun]:
    """Runs that reach at these times, evaluated half-way, there and once after; NaN misses and ends at `end`."""
    made = []
    for seed, time in enumerate(times):
        if math.isnan(time):
            rows = [(0, 1.0, end / 2, threshold - 5), (1, 2.0, end, threshold - 1)]
        else:
            rows = [(0, 1.0, time / 2, threshold - 5), (1, 2.0, time, threshold), (2, 3.0, time + 1, threshold + 0.5)]
        made.append(FakeRun(rows, seed=seed, threshold=threshold, **facts))
    return made


class FakeEntries:
    """Entries of one or several tasks."""

    def __init__(self, **tasks: list[FakeRun]) -> None:
        self._tasks = tasks

    def to_pandas(self) -> pd.DataFrame:
        rows = [(task, "train", run.name) for task, runs in self._tasks.items() for run in runs]
        rows.append(("Other", "inference", "x"))
        return pd.DataFrame(rows, columns=["task", "kind", "entry"])

    def runs(self, task: str) -> list[FakeRun]:
        return self._tasks[task]


def curves(seed: int, units: int = 12, points: int = 8) -> list[FakeRun]:
    """Random runs with ties, gaps and NaN in their values."""
    rng = np.random.default_rng(seed)
    made = []
    for unit in range(units):
        values = np.round(rng.uniform(88, 96, points) + np.linspace(0, 2, points), 1)
        values[rng.random(points) < 0.1] = np.nan
        seconds = np.cumsum(rng.integers(1, 4, points)).astype(float)
        rows = [(i, float(i + 1), float(s), float(v)) for i, (s, v) in enumerate(zip(seconds, values, strict=True))]
        made.append(FakeRun(rows, name=f"u{unit:02}", seed=None, threshold=94.0))
    return made
