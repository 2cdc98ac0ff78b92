from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.engine.errors import WorkbenchError
from workbench.tta.price import Price
from workbench.tta.record import Record, evals_table, spans_table
from workbench.tta.run import Run
from workbench.tta.runs import Runs


def run(values: list[float], times: list[float] | None = None, **more: Any) -> Run:
    times = times or [float(i + 1) for i in range(len(values))]
    evals = evals_table(
        {
            "eval": list(range(len(values))), "step": [10 * i for i in range(len(values))],
            "epoch": [i + 1.0 for i in range(len(values))], "metric": ["top1"] * len(values), "value": values,
            "n": [10_000] * len(values), "wall_s": [2 * t for t in times], "dawnbench_s": times,
            "cpu_s": [3 * t for t in times],
        }
    )  # fmt: skip
    facts: dict[str, Any] = {
        "id": "r1", "name": "resnet9", "seed": 0, "metric": "top1", "target": 94.0, "clock": "dawnbench",
        "clocks": ("wall", "dawnbench"), "evals": evals,
    }  # fmt: skip
    return Run(Record(**{**facts, **more}))


def naive(values: list[float], target: float, goal: str, confirm: int) -> int | None:
    in_a_row = 0
    for at, value in enumerate(values):
        in_a_row = in_a_row + 1 if (value >= target if goal == "max" else value <= target) else 0
        if in_a_row == confirm:
            return at
    return None


VALUES = st.lists(st.sampled_from([90.0, 93.99, 94.0, 94.0, 95.0, math.nan]), min_size=1, max_size=12)


@settings(max_examples=150, deadline=None)
@given(VALUES, st.integers(1, 4), st.sampled_from(["max", "min"]))
def test_c01_c02_c04_the_crossing_is_that_of_a_naive_loop(values: list[float], confirm: int, goal: str) -> None:
    one = run(values, goal=goal)
    at = naive(values, 94.0, goal, confirm)
    expected = math.nan if at is None else at + 1.0
    assert one.time_to(94, confirm) == pytest.approx(expected, nan_ok=True)
    assert one.time_to(94, confirm, clock="wall") == pytest.approx(2 * expected, nan_ok=True)
    assert one.time_to(94, confirm, unit="steps") == pytest.approx(math.nan if at is None else 10.0 * at, nan_ok=True)
    assert one.time_to(94, confirm, unit="cpu_seconds") == pytest.approx(3 * expected, nan_ok=True)


@settings(max_examples=80, deadline=None)
@given(VALUES)
def test_c03_times_grow_with_threshold_and_confirmation(values: list[float]) -> None:
    one = run(values)
    levels = [90.0, 93.99, 94.0, 95.0, 96.0]
    for confirm in (1, 2, 3):
        series = one.time_to(levels, confirm)
        assert series.index.tolist() == levels and series.dtype == "float64"
        filled = series.fillna(np.inf)
        assert filled.is_monotonic_increasing
        assert (one.time_to(levels, confirm + 1).fillna(np.inf) >= filled).all()


def test_c05_crossings_say_what_held_and_what_the_interval_hides() -> None:
    one = run([90.0, 94.2, 93.0, 94.5, 94.6, 93.9], [1.0, 4.0, 5.0, 6.0, 8.0, 9.0], confirm=3)
    found = one.crossings
    assert found["confirm"].tolist() == [1, 2, 3] and found["reached"].tolist() == [True, True, False]
    assert found["step"].tolist() == [10, 40, pd.NA] and found["seconds"].tolist()[:2] == [4.0, 8.0]
    assert found["below_after"].tolist() == [2, 1, 0] and found["quantum"].tolist()[:2] == [0.75, 0.25]
    assert found.dtypes.astype(str).tolist() == [
        "str", "float64", "int64", "bool", "Int64", "float64", "float64", "float64", "float64", "float64", "int64",
        "float64",
    ]  # fmt: skip
    assert one.stable is False and run([94.0]).stable is True and run([93.0]).stable is None


def test_c14_cost_is_hours_times_price() -> None:
    one = run([90.0, 95.0], [1800.0, 7200.0], price=Price(3.06))
    assert one.cost_to(94) == pytest.approx(6.12) and one.cost_to(94, price=1.0) == pytest.approx(2.0)
    assert math.isnan(one.cost_to(96)) and math.isnan(run([95.0]).cost_to()) and math.isnan(one.energy_to())
    assert math.isnan(one.cost_to(94, price=Price(0.0)))


def test_a_run_says_what_it_came_to() -> None:
    spans = spans_table(
        [{"kind": "train", "start_s": 0, "end_s": 9.1, "seconds": 9.1, "depth": 0},
         {"kind": "eval", "start_s": 9.1, "end_s": 10.3, "seconds": 1.2, "depth": 0}]
    )  # fmt: skip
    one = run([90.0, 94.2], [4.0, 9.43], spans=spans, price=Price(3.06))
    assert repr(one) == (
        "resnet9 seed 0: top1 >= 94 reached at 9.43 s (epoch 2, 94.20 +- 0.46), confirmed by 2: not reached\n"
        "dawnbench clock; train 9.1 s, eval 1.2 s not counted; $0.01 at $3.06/h on demand; stable"
    )
    missed = run([90.0, 93.87], [4.0, 252.0])
    assert missed.explain().splitlines()[:2] == [
        "resnet9 seed 0: 94.00 not reached: best 93.87 at 4:12 (epoch 2), 0.13 below.",
        "10,000 images give +-0.47 at 95 %; no TTA is reported.",
    ]
    nothing = run([])
    assert "No evaluation was logged, so there is no TTA." in repr(nothing)
    assert "NaN in every evaluation" in repr(run([math.nan]))
    assert [block["kind"] for block in one.view_data()["blocks"]] == ["summary", "curve", "table"]
    state = one.view_data()["blocks"][1]["state"]
    assert state["target"] == 94.0 and state["marks"] == [{"x": 9.43, "label": "9.43 s"}]


@pytest.mark.parametrize(
    ("call", "message", "hint"),
    [
        (lambda r: r.time_to(clock="mlperf"), "This run was imported with wall and dawnbench times only.",
         'Use clock="wall".'),
        (lambda r: r.time_to(clock="sundial"), 'No clock "sundial".', "Known: wall, dawnbench, mlperf, algoperf."),
        (lambda r: r.time_to(metric="top5"), 'No metric "top5".', 'Did you mean "top1"?'),
        (lambda r: r.time_to(unit="miles"), "No unit miles.", "Known: seconds, steps, cpu_seconds."),
    ],
)  # fmt: skip
def test_mistakes_are_told(call: Any, message: str, hint: str) -> None:
    with pytest.raises(WorkbenchError) as raised:
        call(run([94.0]))
    assert raised.value.message == message and str(raised.value.hint).startswith(hint)


def test_c22_c24_runs_have_a_table_and_a_summary() -> None:
    group = Runs(run([90.0, 95.0], [1.0, 2.0 + seed / 10], seed=seed, id=f"r{seed}") for seed in range(4))
    group = group + Runs([run([90.0, 91.0], seed=4, id="r4")], missing=["Seed 5 is missing: its worker died."])
    frame = group.table
    assert list(frame) == [
        "run", "recipe", "seed", "attempt", "state", "threshold", "reached", "seconds", "confirmed_seconds",
        "censor_seconds", "steps", "cpu_seconds", "cost_usd", "energy_j", "best", "final", "stable", "gap",
        "eval_hash", "contended", "first_in_process",
    ]  # fmt: skip
    assert frame["reached"].tolist() == [True] * 4 + [False] and frame["stable"].dtype == "boolean"
    assert frame["censor_seconds"].tolist()[-1] == 2.0 and str(frame["seed"].dtype) == "Int64"
    (row,) = group.summary(94).itertuples()
    assert (row.recipe, row.n, row.reached) == ("resnet9", 5, 4)
    assert row.mean == pytest.approx(2.15) and row.expected_seconds == pytest.approx((8.6 + 2.0) / 4)
    text = repr(group)
    assert text.startswith("resnet9: 4 of 5 reached 94 (38 to 96 %); median 2.15 s (CV 6 %")
    assert text.endswith("expected 2.65 s to a success\nSeed 5 is missing: its worker died.")
    assert len(group[:2]) == 2 and isinstance(group[:2], Runs) and group[0].seed == 0
    assert [block["kind"] for block in group.view_data()["blocks"]][-3:] == ["curve", "table", "table"]
    assert repr(Runs([])) == "<Runs: none>"
