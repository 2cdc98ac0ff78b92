from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.engine.errors import WorkbenchError
from workbench.tta.budget import Budgets
from workbench.tta.crossings import crossing
from workbench.tta.evalset import eval_set_of, overlap
from workbench.tta.judge import Judge
from workbench.tta.pointlog import PointLog
from workbench.tta.target import Target

VALUES = st.lists(st.sampled_from([90.0, 93.99, 94.0, 95.0, math.nan]), max_size=14)


@settings(max_examples=200, deadline=None)
@given(VALUES, st.integers(1, 4), st.sampled_from(["max", "min"]))
def test_c10_judged_one_by_one_is_judged_as_a_curve(values: list[float], confirm: int, goal: str) -> None:
    judge = Judge(Target("top1", 94.0, goal), confirm)
    found: dict[int, int] = {}
    for row, value in enumerate(values):
        for crossed in judge.judge(value):
            assert crossed.confirm not in found
            found[crossed.confirm] = row
        so_far = values[: row + 1]
        assert judge.reached == (crossing(so_far, 94.0, goal) is not None)
        assert judge.confirmed == (crossing(so_far, 94.0, goal, confirm) is not None)
    expected = {k: crossing(values, 94.0, goal, k) for k in {1, 2, confirm}}
    assert found == {k: row for k, row in expected.items() if row is not None}
    known = [value for value in values if not math.isnan(value)]
    best = (max if goal == "max" else min)(known) if known else math.nan
    assert judge.best == pytest.approx(best, nan_ok=True)


def test_equality_counts_and_nothing_is_rounded() -> None:
    for value, meets in ((94.0, True), (np.nextafter(94.0, 0), False), (93.995, False), (math.nan, False)):
        assert bool(Judge(Target("top1", 94.0), 1).judge(value)) is meets


def test_values_are_told_without_the_dust_of_binary_fractions() -> None:
    with pytest.raises(WorkbenchError, match=r"values up to 70\.3\."):
        Judge(Target("top1", 0.94), 1).check(70.1 + 0.2)


@given(st.floats(1, 1e6), st.floats(1e-3, 1e6), st.integers(0, 10**15), st.integers(0, 10**15))
def test_c11_no_budget_is_spent_before_what_is_left_is_over(limit: float, usd: float, clock: int, more: int) -> None:
    budgets = Budgets(limit, usd, None, rate=2.0)
    wall = clock + more
    left = budgets.left_ns(clock, wall)
    if left > 1:
        just = int(min(left - 1, 10**18) * (1 - 1e-12))
        assert not budgets.spent(clock, wall, None)
        assert not budgets.spent(clock + just, wall + just, None)
    else:
        assert budgets.spent(clock + 1, wall + 1, None) in ("time", "cost")


def test_c42_hashes_are_of_content_and_order() -> None:
    def digest(given: object) -> str:
        return eval_set_of(given, None, None, None).hash

    assert digest(["a", "b"]) == digest(np.array(["a", "b"])) == digest(("a", "b")) != digest(["b", "a"])
    assert digest([1, 2]) == digest(np.array([1, 2], np.uint16)) != digest([1.0, 2.0])
    assert digest([[1, 2], [3, 4]]) != digest([1, 2, 3, 4])
    pd = pytest.importorskip("pandas")
    assert digest(pd.Series([1, 2], index=[7, 8])) == digest([1, 2])
    assert digest([("a", 1), ("b", 2)]) != digest([("a", 1), ("b", 3)])


@given(st.lists(st.integers(0, 30), min_size=1, max_size=30), st.lists(st.integers(0, 30), min_size=1, max_size=30))
def test_c43_overlap_is_counted_by_item(ids: list[int], train: list[int]) -> None:
    expected = sum(one in set(train) for one in ids)
    assert overlap(np.array(ids), np.array(train)) == expected
    assert overlap(np.array(list(map(str, ids))), np.array(list(map(str, train)))) == expected
    assert overlap(np.array(list(map(str, ids)), object), np.array(list(map(str, train)), object)) == expected
    two = np.stack([np.array(ids), np.array(ids)], axis=1), np.stack([np.array(train), np.array(train)], axis=1)
    assert overlap(*two) == expected
    assert overlap(np.array(ids), np.array(list(map(str, train)))) == 0


def test_c08_points_are_drained_in_order_from_any_thread() -> None:
    log = PointLog()
    log.zero = 100
    got: list[tuple] = []
    for step in range(5):
        log.queue.append(("loss", step, 100 + step, float(step)))
    log.drain(got.extend)
    log.drain(lambda rows: pytest.fail("there is nothing to hand on"))
    log.queue.append(("lr", 9, 200, 0.5))
    log.drain(got.extend)
    assert got == [("loss", i, i, float(i), i) for i in range(5)] + [("lr", 9, 100, 0.5, 5)]
    assert log.rows() == got and log.count == 6
