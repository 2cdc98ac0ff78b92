"""Tests of two recipes: scipy's, hand sums, lifelines' frozen figures; Holm; the difference that can be found."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tta.test_survival import PLACEBO, SIX_MP, SIX_MP_SEEN
from workbench.tta import significance as sg

A, B = [9.43, 9.61, 9.7, 10.2, 9.9], [10.6, 9.2, 11.1, 10.05]
#: five of five reach against two of five; a miss is censored at 15
SURE, RARE = [10.0, 11, 11, 12, 12], [13.0, 14, 15, 15, 15]
RARE_SEEN = [True, True, False, False, False]

values = st.lists(st.floats(0.5, 100, allow_nan=False), min_size=2, max_size=8)
cases = st.lists(st.tuples(st.integers(1, 9), st.booleans()), min_size=2, max_size=10)


@settings(max_examples=50, deadline=None)
@given(values, values)
def test_c31_welch_equals_its_formula(a: list[float], b: list[float]) -> None:
    from scipy.stats import t

    x, y = np.array(a), np.array(b)
    found = sg.welch(x, y)
    errors = [s.var(ddof=1) / len(s) if np.ptp(s) else 0.0 for s in (x, y)]
    if not sum(errors):
        assert math.isnan(found.p_value)
        return
    statistic = (x.mean() - y.mean()) / math.sqrt(sum(errors))
    df = sum(errors) ** 2 / sum(e * e / (len(s) - 1) for e, s in zip(errors, (x, y), strict=True))
    np.testing.assert_allclose(found, [statistic, 2 * t.sf(abs(statistic), df)], rtol=1e-9)


def test_c31_welch_equals_scipy() -> None:
    from scipy.stats import ttest_ind

    np.testing.assert_allclose(sg.welch(A, B), ttest_ind(A, B, equal_var=False), rtol=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(1, 9), min_size=4, max_size=8, unique=True), st.integers(2, 6))
def test_c31_mann_whitney_counts_all_splits(together: list[float], n: int) -> None:
    n = min(n, len(together) - 2)
    a, b = together[:n], together[n:]

    def u(first: tuple[float, ...]) -> float:
        rest = [v for v in together if v not in first]
        return sum(v > w for v in first for w in rest)

    found = sg.mann_whitney(a, b)
    centre = n * len(b) / 2
    splits = list(itertools.combinations(together, n))
    extreme = sum(abs(u(split) - centre) >= abs(found.statistic - centre) for split in splits)
    assert found.statistic == u(tuple(a))
    assert found.p_value == pytest.approx(extreme / len(splits), abs=1e-9)


def test_c31_mann_whitney_of_ties_is_asymptotic_and_misses_are_infinite() -> None:
    from scipy.stats import mannwhitneyu

    a, b = [1.0, 2, 2, 3], [2.0, 4, math.inf, math.inf]
    expected = mannwhitneyu(a, b, method="asymptotic")
    np.testing.assert_allclose(sg.mann_whitney(a, b), expected, rtol=1e-9)
    one_miss = mannwhitneyu([1.0, 2, 3], [4.0, 5, math.inf], method="exact")
    np.testing.assert_allclose(sg.mann_whitney([1.0, 2, 3], [4.0, 5, math.inf]), one_miss, rtol=1e-9)


def logrank_by_hand(a: list, seen_a: list, b: list, seen_b: list) -> tuple[float, float]:
    """Observed less expected crossings of a, and their variance, summed over the times of crossings."""
    difference = variance = 0.0
    crossings = {t for s, e in ((a, seen_a), (b, seen_b)) for t, x in zip(s, e, strict=True) if x}
    for t in crossings:
        n_a, n_b = sum(u >= t for u in a), sum(u >= t for u in b)
        d_a = sum(u == t and x for u, x in zip(a, seen_a, strict=True))
        d = d_a + sum(u == t and x for u, x in zip(b, seen_b, strict=True))
        n = n_a + n_b
        difference += d_a - d * n_a / n
        if n > 1:
            variance += d * (n_a / n) * (n_b / n) * (n - d) / (n - 1)
    return difference, variance


@settings(max_examples=100, deadline=None)
@given(cases, cases)
def test_c31_logrank_equals_the_hand_sum(a: list, b: list) -> None:
    from scipy.stats import chi2

    (ta, ea), (tb, eb) = (tuple(list(part) for part in zip(*s, strict=True)) for s in (a, b))
    found = sg.logrank(ta, ea, tb, eb)
    difference, variance = logrank_by_hand(ta, ea, tb, eb)
    if variance == 0:
        assert math.isnan(found.p_value)
        return
    assert found.statistic == pytest.approx(difference / math.sqrt(variance), abs=1e-9)
    assert found.p_value == pytest.approx(chi2.sf(difference**2 / variance, 1), abs=1e-9)


@pytest.mark.parametrize(
    ("a", "seen_a", "b", "seen_b", "chi_squared", "p_value"),
    [  # lifelines 0.30.3, logrank_test
        (SURE, [1] * 5, RARE, RARE_SEEN, 9.038696161192924, 0.0026432408882736346),
        (SIX_MP, SIX_MP_SEEN, PLACEBO, [1] * 21, 16.792940989216547, 4.168809109334511e-05),
        (
            [9.43, 9.61, 9.7, 10.2, 12.5, 9.9], [1, 1, 1, 1, 0, 1], [10.1, 11.3, 9.8, 12.5], [1, 1, 1, 0],
            0.7193291229634504, 0.3963640571698661,
        ),
    ],
)  # fmt: skip
def test_c31_logrank_equals_lifelines(a, seen_a, b, seen_b, chi_squared: float, p_value: float) -> None:
    found = sg.logrank(a, seen_a, b, seen_b)
    assert found.statistic**2 == pytest.approx(chi_squared, abs=1e-9)
    assert found.p_value == pytest.approx(p_value, abs=1e-9)


def test_c31_fixed_case_survivors_alone_mislead() -> None:
    survivors = [time for time, seen in zip(RARE, RARE_SEEN, strict=True) if seen]
    assert round(sg.welch(SURE, survivors).p_value, 3) == 0.055
    assert round(sg.logrank(SURE, [True] * 5, RARE, RARE_SEEN).p_value, 3) == 0.003


@pytest.mark.parametrize("test", [sg.welch, sg.mann_whitney])
def test_c31_under_two_runs_or_without_difference_there_is_no_p(test) -> None:
    for a, b in (([1.0], [2.0, 3.0]), ([], []), ([2.0, 2.0], [2.0, 2.0])):
        assert all(math.isnan(v) for v in test(a, b))


def test_c31_logrank_without_an_answer() -> None:
    assert math.isnan(sg.logrank([1.0], [True], [1.0, 2], [True, True]).p_value)
    assert math.isnan(sg.logrank([1.0, 2], [False, False], [1.0, 2], [False, False]).p_value)
    # all of a ended before anything happened in b
    assert math.isnan(sg.logrank([1.0, 2], [False, False], [3.0, 4], [True, True]).p_value)


@settings(max_examples=30, deadline=None)
@given(values, values)
def test_c31_tests_are_symmetric(a: list[float], b: list[float]) -> None:
    for test in (sg.welch, sg.mann_whitney):
        np.testing.assert_allclose(test(a, b).p_value, test(b, a).p_value, rtol=1e-9)


# -------------------------------------------------------------------------------------------------------------- Holm


def test_c31_holm_equals_statsmodels() -> None:
    np.testing.assert_allclose(sg.holm([0.01, 0.04, 0.03, 0.005, 0.2]), [0.04, 0.09, 0.09, 0.025, 0.2], rtol=1e-12)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.one_of(st.floats(0, 1), st.just(math.nan)), max_size=8))
def test_c31_holm_steps_down(p: list[float]) -> None:
    found = sg.holm(p)
    order = sorted((i for i in range(len(p)) if not math.isnan(p[i])), key=lambda i: p[i])
    least = 0.0
    for rank, i in enumerate(order):
        least = max(least, min(1.0, p[i] * (len(order) - rank)))
        assert found[i] == pytest.approx(least, abs=1e-12)
    assert np.isnan(found).sum() == len(p) - len(order)


# -------------------------------------------------------------------------------------------------------- detectable


@pytest.mark.parametrize(
    ("n", "effect"),  # statsmodels 0.14, TTestIndPower.solve_power(power=0.8)
    [(2, 5.653489341914222), (3, 3.070892269599019), (5, 2.024440145655355), (10, 1.3249473683308), (30, 0.73561983)],
)
def test_c32_detectable_effect_equals_statsmodels(n: int, effect: float) -> None:
    assert sg.detectable_effect(n, n) == pytest.approx(effect, rel=1e-5)  # it leaves the far tail out


def test_c32_five_runs_at_ten_percent_find_about_twenty_percent() -> None:
    assert round(100 * (sg.detectable_ratio(5, 5, 0.1) - 1)) == 20


@pytest.mark.parametrize(("n_a", "n_b"), [(2, 3), (5, 5), (4, 12), (3, 400)])
def test_c32_the_power_there_is_four_fifths(n_a: int, n_b: int) -> None:
    """The power by integrating the normal distribution over that of the standard deviation."""
    from scipy.integrate import quad
    from scipy.stats import chi2, norm, t

    effect = sg.detectable_effect(n_a, n_b)
    variances = (1 / n_a, 1 / n_b)
    df = sum(variances) ** 2 / (variances[0] ** 2 / (n_a - 1) + variances[1] ** 2 / (n_b - 1))
    limit, shift = t.ppf(0.975, df), effect / math.sqrt(sum(variances))

    def found(q: float) -> float:
        s = math.sqrt(q / df)
        return (norm.sf(limit * s - shift) + norm.cdf(-limit * s - shift)) * chi2.pdf(q, df)

    power = quad(found, 0, chi2.ppf(1 - 1e-12, df), limit=500)[0]
    assert power == pytest.approx(0.8, abs=1e-6)


def test_c32_many_and_few_runs() -> None:
    assert math.isnan(sg.detectable_ratio(1, 5, 0.1))
    assert math.isnan(sg.detectable_ratio(5, 5, math.nan))
    sizes = [2, 3, 5, 10, 100, 10_000, 1_000_000]
    effects = [sg.detectable_effect(n, n) for n in sizes]
    assert all(math.isfinite(e) for e in effects)
    assert effects == sorted(effects, reverse=True)


def test_c32_pooled_cv() -> None:
    a, b = np.array(A), np.array(B)
    squares = [(len(s) - 1) * (s.std(ddof=1) / s.mean()) ** 2 for s in (a, b)]
    assert sg.pooled_cv(a, b) == pytest.approx(math.sqrt(sum(squares) / 7))
    assert sg.pooled_cv(a, [3.0]) == pytest.approx(a.std(ddof=1) / a.mean())
    assert math.isnan(sg.pooled_cv([1.0], [2.0]))
