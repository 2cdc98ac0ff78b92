from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

import workbench as wb
from workbench.fusion import cache

LOOP = """
found = 0
for k in range(40):
    if (a * k).sum() > 100.0:
        found += 1
"""


@pytest.mark.parametrize(
    "code", ["s = float(a.sum())", "s = a.sum().compute()", "s = sum(t.a.sum() for _ in range(1))"]
)
def test_what_a_cell_forces_takes_the_cells_options(code: str) -> None:
    a = np.array([1e16, 1.0, -1e16] * 50)
    names = {"a": a, "t": pd.DataFrame({"a": a})}
    assert math.fsum(a) != float(a.sum())
    with cache.recorded() as plans:
        wb.fusion.run_cell(f"{code}\nb = a + s", names, exact=True, device="interpreter")
    assert float(names["s"]) == math.fsum(a)
    assert plans and {each.device for each in plans} == {"interpreter"}


def test_a_checked_cell_checks_what_is_forced_on_the_way() -> None:
    a = np.arange(100.0)
    with cache.recorded() as plans:
        wb.fusion.run_cell("s = float((a * 2).sum())\nb = a + s", {"a": a}, check=True)
    assert len(plans) == 2 and all(each.max_error is not None for each in plans)


def test_options_that_are_named_in_a_cell_are_taken() -> None:
    with cache.recorded() as plans:
        wb.fusion.run_cell("s = (a * 2).sum().compute(device='eager')", {"a": np.arange(9.0)}, device="interpreter")
    assert plans[0].device == "eager"


def test_fused_calls_give_their_options_to_what_they_force() -> None:
    @wb.fusion.fuse(device="interpreter")  # type: ignore[untyped-decorator]
    def twice(a: np.ndarray) -> np.ndarray:
        return a * float(a.sum())

    with cache.recorded() as plans:
        assert np.array_equal(twice(np.arange(5.0)), np.arange(5.0) * 10.0)
    assert [each.device for each in plans] == ["interpreter"] * 2


def test_a_line_that_forces_small_work_for_the_33rd_time_replays_the_calls() -> None:
    a = np.arange(50.0)
    names = {"a": a}
    with cache.recorded() as plans:
        result = wb.fusion.run_cell(LOOP, names)
    assert names["found"] == sum((a * k).sum() > 100.0 for k in range(40))
    assert [each.device for each in plans] == ["cpu"] * 32 + ["eager"] * 8
    told = result.plan.reasons
    assert told[["reason", "where"]].values.tolist() == [
        ["value needed by Python", "<cell>:4"],
        ["forced in a loop", "<cell>:4"],
    ]


@pytest.mark.parametrize("why", ["large", "exact", "no cell"])
def test_other_loops_stay_compiled(why: str) -> None:
    a = np.arange(20_000.0 if why == "large" else 50.0)
    with cache.recorded() as plans:
        if why == "no cell":
            for k in range(40):
                bool((wb.fusion.array(a) * k).sum() > 100.0)
        else:
            wb.fusion.run_cell(LOOP, {"a": a}, exact=why == "exact")
    assert [each.device for each in plans] == ["cpu"] * 40
    assert "forced in a loop" not in [row.reason for each in plans for row in each.reason_rows]


def test_replayed_results_share_no_memory_with_inputs() -> None:
    a = np.arange(50.0)
    got: list[np.ndarray] = []
    names = {"a": a, "got": got}
    wb.fusion.run_cell("for k in range(40):\n    got.append((a * 1).compute())", names)
    assert not any(np.may_share_memory(each, a) for each in got)


def test_a_value_that_python_asks_for_is_told_once_a_line() -> None:
    plan = wb.fusion.run_cell("if (a * 2).sum() > 3:\n    b = a + 1\nc = [float(a.mean())]", {"a": np.arange(9.0)}).plan
    assert plan.reasons.values.tolist() == [
        ["greater", "value needed by Python", "<cell>:1"],
        ["mean", "value needed by Python", "<cell>:3"],
    ]
