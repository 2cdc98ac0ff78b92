"""What counted runs came to: times, censoring, and the row of figures, against the runs' own evaluations."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from tests.tta.fakes import FakeRun, reaching
from workbench.engine.errors import WorkbenchError
from workbench.tta.leaderboard import leaderboard
from workbench.tta.outcomes import COUNTED, counted, outcomes, summary_frame, summary_row
from workbench.tta.ranking import sensitivity

MISS = math.nan


def test_c26_a_run_that_missed_is_censored_at_its_last_evaluation() -> None:
    found = outcomes("a", reaching([10.0, MISS, 12.0], end=15.0))
    assert found.times.tolist() == [10.0, 15.0, 12.0]
    assert found.reached.tolist() == [True, False, True]
    assert found.censored
    assert found.hits.tolist() == [10.0, 12.0]
    assert found.ranks.tolist() == [10.0, math.inf, 12.0]
    assert (found.n, found.threshold) == (3, 98.0)


@pytest.mark.parametrize(("unit", "times"), [("steps", [1.0, 1.0]), ("cpu_seconds", [20.0, 30.0])])
def test_c26_other_units_keep_the_seconds_beside(unit: str, times: list[float]) -> None:
    found = outcomes("a", reaching([10.0, MISS]), unit=unit)
    assert found.times.tolist() == times
    assert found.seconds.tolist() == [10.0, 15.0]


def test_c26_a_run_without_evaluations_is_censored_at_zero() -> None:
    for unit in ("seconds", "steps", "cpu_seconds"):
        assert outcomes("a", [FakeRun([])], unit=unit).times.tolist() == [0.0]


def test_c26_only_runs_that_came_to_an_end_count() -> None:
    states = ["running", "reached", "finished", "interrupted", "budget", "hopeless", "failed", "lost"]
    runs = [FakeRun([], state=state) for state in states]
    assert {run.state for run in counted(runs)} == COUNTED == set(states) - {"running", "interrupted", "lost"}
    assert counted(runs[1]) == [runs[1]]


def test_confirm_metric_and_clock_reach_the_runs() -> None:
    runs = reaching([10.0])
    found = outcomes("a", runs, 98.0, confirm=2, metric="top1", clock="wall")
    assert found.times.tolist() == [11.0]
    assert runs[0].asked[-1] == {"metric": "top1", "clock": "wall", "unit": "seconds"}


def test_several_targets_have_no_one_threshold() -> None:
    runs = [*reaching([10.0]), *reaching([11.0], threshold=97.0)]
    assert math.isnan(outcomes("a", runs).threshold)
    assert outcomes("a", runs, 97).threshold == 97.0


def test_unknown_unit() -> None:
    with pytest.raises(WorkbenchError, match="No unit minutes"):
        outcomes("a", [], unit="minutes")


def test_c22_summary_has_the_columns_of_runs_summary() -> None:
    runs = reaching([10.0, 11.0, 12.5, 9.0, MISS], usd=3.6)
    runs[0].contended = True
    frame = summary_frame([summary_row(outcomes("a", runs)), summary_row(outcomes("b", []))])
    integers, booleans = ["n", "reached"], ["warmup_outlier", "contended"]
    assert " ".join(frame.columns) == (
        "recipe threshold n reached reach_rate reach_low reach_high mean mean_low mean_high median median_low "
        "median_high sd cv cv_low cv_high km_median expected_seconds olympic steps_mean steps_cv cpu_mean cpu_cv "
        "cost_mean energy_mean warmup_outlier contended"
    )
    for column, dtype in frame.dtypes.astype(str).items():
        wanted = "int64" if column in integers else "bool" if column in booleans else "float64"
        assert dtype == ("str" if column == "recipe" else wanted)
    row = frame.iloc[0]
    hits = np.array([10.0, 11.0, 12.5, 9.0])
    assert (row["n"], row["reached"], row["mean"]) == (5, 4, hits.mean())
    assert row["expected_seconds"] == (hits.sum() + 15) / 4
    assert (row["steps_mean"], row["steps_cv"]) == (1.0, 0.0)
    assert row["cpu_mean"] == 2 * hits.mean()
    assert row["cpu_cv"] == pytest.approx(pd.Series(hits).std() / hits.mean())
    assert row["cost_mean"] == pytest.approx(hits.mean() / 1000)
    assert math.isnan(row["energy_mean"])
    assert row["contended"] and not row["warmup_outlier"]
    assert frame.iloc[1]["n"] == 0 and math.isnan(frame.iloc[1]["reach_rate"])
    assert summary_frame([]).dtypes.equals(frame.dtypes)


def test_c30_a_slow_first_run_is_disclosed() -> None:
    runs = reaching([10.3, 7.8, 7.8, 7.9])
    runs[0].first_in_process = True
    assert summary_row(outcomes("a", runs))["warmup_outlier"]


@pytest.mark.parametrize(
    ("given", "what"), [(None, "NoneType"), (3, "int"), (["a"], "str"), (pd.DataFrame(), "DataFrame")]
)
def test_what_is_no_runs(given: object, what: str) -> None:
    for ask in (counted, leaderboard, lambda runs: sensitivity(runs, [94])):
        with pytest.raises(WorkbenchError) as error:
            ask(given)
        assert error.value.lines() == [
            f"Pass runs or entries, not {what}.",
            "wb.tta.runs() lists the runs there are.",
        ]
