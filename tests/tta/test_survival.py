"""Censored times: Kaplan-Meier by its definition, lifelines' figures, the cost of a success."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.tta import survival as sv

#: Freireich et al. (1963): weeks of remission under 6-MP and placebo
SIX_MP = [6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35]
SIX_MP_SEEN = [1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0]
PLACEBO = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]

runs = st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=14)


def median_by_definition(times: list[float], seen: list[bool]) -> float:
    curve = Fraction(1)
    for t in sorted(set(times)):
        at_risk = sum(u >= t for u in times)
        crossed = sum(u == t and e for u, e in zip(times, seen, strict=True))
        curve *= 1 - Fraction(crossed, at_risk)
        if curve <= Fraction(1, 2):
            return t
    return math.nan


@settings(max_examples=100, deadline=None)
@given(runs)
def test_c26_km_median_by_definition(sample: list[tuple[int, bool]]) -> None:
    times, seen = (list(part) for part in zip(*sample, strict=True))
    assert sv.km_median(times, seen) == pytest.approx(median_by_definition(times, seen), nan_ok=True, abs=0)


@pytest.mark.parametrize(
    ("times", "seen", "expected"),
    [  # lifelines 0.30.3, KaplanMeierFitter.median_survival_time_
        (SIX_MP, SIX_MP_SEEN, 23.0),
        (PLACEBO, [1] * 21, 8.0),
        ([10, 11, 11, 12, 12], [1] * 5, 11.0),
        ([9.43, 9.61, 9.7, 10.2, 12.5, 9.9, 9.0], [1, 1, 1, 1, 0, 1, 1], 9.7),
        ([10.1, 11.3, 9.8, 12.5], [1, 1, 1, 0], 10.1),
    ],
)
def test_c26_km_median_equals_lifelines(times: list[float], seen: list[int], expected: float) -> None:
    assert sv.km_median(times, np.array(seen, bool)) == expected


def test_c26_km_median_not_reached() -> None:
    assert math.isnan(sv.km_median([13, 14, 15, 15, 15], [True, True, False, False, False]))
    assert math.isnan(sv.km_median([], []))
    assert math.isnan(sv.km_median([3.0], [False]))


def test_c26_one_half_counts_however_the_products_are_rounded() -> None:
    for n in range(2, 60, 2):
        assert sv.km_median(range(n), [True] * n) == n / 2 - 1


def test_c25_expected_time_is_all_time_over_successes() -> None:
    assert sv.expected_time([10.0, 20.0, 30.0], [True, False, True]) == 30.0
    assert sv.expected_time([10.0, 20.0], [False, False]) == math.inf
    assert math.isnan(sv.expected_time([], []))


def test_c25_with_a_fixed_schedule_it_is_the_mean_over_the_reach_rate() -> None:
    assert sv.expected_time([12.0] * 10, [True] * 8 + [False] * 2) == pytest.approx(12.0 / 0.8)


@settings(max_examples=10, deadline=None)
@given(runs, runs)
def test_c31_ratio_of_medians_bootstrap_equals_a_plain_loop(a: list, b: list) -> None:
    (ta, ea), (tb, eb) = (tuple(np.array(part) for part in zip(*s, strict=True)) for s in (a, b))
    ta, tb = ta + 1.0, tb + 1.0
    ratio, ends = sv.ratio_of_medians(ta, ea, tb, eb)
    expected = sv.km_median(ta, ea) / sv.km_median(tb, eb)
    assert ratio == pytest.approx(expected, nan_ok=True)
    if math.isnan(ratio) or min(len(ta), len(tb)) < 3:
        assert math.isnan(ends.low)
        return
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, len(ta), (9_999, len(ta))), rng.integers(0, len(tb), (9_999, len(tb)))
    some = slice(0, 60)
    for times, seen, index in ((ta, ea, first[some]), (tb, eb, second[some])):
        mine = sv._medians(times, seen, index)
        plain = [median_by_definition(list(times[i]), list(seen[i])) for i in index]
        np.testing.assert_allclose(mine, [math.inf if math.isnan(v) else v for v in plain])
    assert ends.low <= ends.high


def test_c31_ratio_of_medians() -> None:
    a, b = np.arange(10.0, 20), np.arange(20.0, 30)
    every = np.ones(10, bool)
    some = every.copy()
    some[-1] = False
    ratio, ends = sv.ratio_of_medians(a, every, b, some)
    assert ratio == 14 / 24
    assert 0 < ends.low <= ratio <= ends.high < 1
    ratio, ends = sv.ratio_of_medians(a, every, b, ~every)
    assert math.isnan(ratio) and math.isnan(ends.low)


def test_c31_an_interval_of_medians_may_have_no_upper_end() -> None:
    ratio, ends = sv.ratio_of_medians([1.0, 2, 3, 4, 4], [True, True, True, False, False], [1.0, 2, 3], [True] * 3)
    assert ratio == 1.5
    assert ends.high == math.inf


@settings(max_examples=30, deadline=None)
@given(runs)
def test_c26_reach_curve_steps_through_one_less_kaplan_meier(sample: list[tuple[int, bool]]) -> None:
    times, seen = (list(part) for part in zip(*sample, strict=True))
    x, y = sv.reach_curve(times, seen)
    assert (x[0], y[0]) == (0.0, 0.0)
    assert (np.diff(x) >= 0).all() and (np.diff(y) >= 0).all()
    curve = Fraction(1)
    for t in sorted(set(times)):
        at_risk = sum(u >= t for u in times)
        curve *= 1 - Fraction(sum(u == t and e for u, e in zip(times, seen, strict=True)), at_risk)
        assert y[x <= t][-1] == pytest.approx(float(1 - curve), abs=1e-12)
    assert sv.reach_curve([], [])[0].size == 0
