"""Crossings against a plain loop, on random curves with NaN and ties."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.engine.errors import WorkbenchError
from workbench.tta.crossings import below_after, crossing, meets, quantum

#: few values, so that ties, streaks and NaN are common
CURVES = st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.0, math.nan, math.inf, -math.inf]), max_size=25)


def loop(values: list[float], target: float, goal: str, confirm: int) -> int | None:
    streak = 0
    for row, value in enumerate(values):
        met = value >= target if goal == "max" else value <= target
        streak = streak + 1 if met else 0
        if streak == confirm:
            return row
    return None


@given(CURVES, st.sampled_from([0.5, 1.0, 2.0, 3.0]), st.sampled_from(["max", "min"]), st.integers(1, 5))
def test_c04_crossing_is_that_of_a_loop(values: list[float], target: float, goal: str, confirm: int) -> None:
    assert crossing(values, target, goal, confirm) == loop(values, target, goal, confirm)


@given(CURVES, st.sampled_from(["max", "min"]))
def test_time_grows_with_threshold_and_with_k(values: list[float], goal: str) -> None:
    def rows(targets: list[float], ks: list[int]) -> list[float]:
        found = [crossing(values, target, goal, k) for target in targets for k in ks]
        return [math.inf if row is None else row for row in found]

    targets = [0.5, 1.0, 1.5, 2.0, 3.0]
    harder = rows(targets if goal == "max" else targets[::-1], [1])
    assert harder == sorted(harder)
    longer = rows([1.5], [1, 2, 3, 4])
    assert longer == sorted(longer)


def test_c01_equality_counts_and_nothing_is_rounded() -> None:
    assert crossing([93.0, 94.0], 94) == 1
    assert crossing([93.99, np.nextafter(94.0, 0)], 94) is None
    assert crossing(np.array([0.1 + 0.2]), 0.3) == 0


def test_c02_goal_is_explicit() -> None:
    assert crossing([0.5, 0.2, 0.1], 0.2, "min") == 1
    with pytest.raises(WorkbenchError, match='goal is "max" or "min"'):
        crossing([1.0], 1, "up")


def test_c03_nan_never_meets_and_breaks_a_streak() -> None:
    assert crossing([math.nan, 95.0, math.nan, 95.0, 95.0], 94, "max", 2) == 4
    assert not meets([math.nan], math.inf, "min").any()


def test_crossing_at_infinity_after_a_miss() -> None:
    assert crossing([1.0, math.inf], math.inf) == 1


@pytest.mark.parametrize("confirm", [0, -1, 1.5, True])
def test_confirm_is_a_count(confirm: object) -> None:
    with pytest.raises(WorkbenchError, match="confirm is a whole number"):
        crossing([1.0], 1, "max", confirm)  # type: ignore[arg-type]


def test_below_after_and_quantum() -> None:
    values = [90, 94, 93, 95, 92]
    assert below_after(values, 94, 1) == 2
    assert below_after(values, 94, 3) == 1
    assert below_after([94.0], 94, 0) == 0
    assert below_after([94.0, math.nan], 94, 0) == 1
    assert quantum([10.0, 20.0, 25.0], 2) == pytest.approx(0.2)
    assert quantum([10.0, 20.0], 0) == 1
    assert quantum([0.0, 1.0], 0) == 0
