"""Intervals: against plain loops, scipy's bootstrap and frozen figures of statsmodels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.tta import intervals as iv

TIMES = [9.43, 9.61, 9.7, 10.2, 12.5, 9.9, 10.6, 9.2, 11.1, 10.05]
#: ends of mean, median and CV, and the CV
FROZEN = [
    9.712793415195629, 11.503919168560909, 9.565, 10.649999999999999,
    0.047140939298735564, 0.4403761266919031, 0.09531425507800763,
]  # fmt: skip
positive = st.floats(0.01, 1e4, allow_nan=False)


def resampled(size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, size, (9_999, size))


def plain_intervals(values: list[float]) -> list[float]:
    """Mean, median and CV by the formulas of the design, one resample at a time."""
    x = np.array(values)

    def figures(y: np.ndarray) -> tuple[float, float, float, float]:
        m = y.mean()
        d = y - m
        v = (d**2).mean()
        influence = d**2 / (2 * v) - 0.5 - d / m
        return (
            m, y.std(ddof=1) / math.sqrt(len(y)), math.log(y.std(ddof=1) / m),
            math.sqrt((influence**2).mean() / len(y)),
        )  # fmt: skip

    own = figures(x)
    means, cvs, medians = [], [], []
    for index in resampled(len(x)):
        y = x[index]
        if y.max() == y.min():
            continue
        m, se, c, ce = figures(y)
        means.append((m - own[0]) / se)
        cvs.append((c - own[2]) / ce)
        medians.append(np.median(y))
    t_low, t_high = np.percentile(means, [2.5, 97.5])
    c_low, c_high = np.percentile(cvs, [2.5, 97.5])
    return [
        own[0] - t_high * own[1], own[0] - t_low * own[1],
        *np.percentile(medians, [2.5, 97.5]),
        math.exp(own[2] - c_high * own[3]), math.exp(own[2] - c_low * own[3]),
    ]  # fmt: skip


@pytest.mark.parametrize("values", [TIMES, TIMES[:5], [3.0, 4.0, 4.0], [1.0, 2.0, 2.0, 9.0]])
def test_c24_intervals_equal_the_formulas_in_a_plain_loop(values: list[float]) -> None:
    found = iv.intervals(values)
    np.testing.assert_allclose([*found.mean, *found.median, *found.cv], plain_intervals(values), rtol=1e-9)


def test_c24_median_interval_is_scipys_percentile_bootstrap() -> None:
    from scipy.stats import bootstrap

    expected = bootstrap(
        (TIMES,), np.median, n_resamples=9_999, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    np.testing.assert_allclose(iv.median_interval(TIMES), expected, rtol=1e-12)


def test_c23_frozen_figures() -> None:
    found = iv.intervals(TIMES)
    np.testing.assert_allclose([*found.mean, *found.median, *found.cv, iv.cv(TIMES)], FROZEN, rtol=1e-9)


def test_c23_cv_is_sd_over_mean() -> None:
    assert iv.cv([1.0, 3.0]) == pytest.approx(math.sqrt(2) / 2)
    assert math.isnan(iv.cv([4.0]))
    assert math.isnan(iv.cv([]))
    assert math.isnan(iv.cv([-1.0, 1.0]))


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 2.0], [5.0] * 6, [0.0] * 4])
def test_c24_too_few_or_equal_times_have_no_interval(values: list[float]) -> None:
    assert all(math.isnan(end) for pair in iv.intervals(values) for end in pair)


def test_c23_a_mean_of_zero_has_no_cv_but_an_interval_of_the_mean() -> None:
    found = iv.intervals([-2.0, -1.0, 1.0, 2.0])
    assert found.mean.low < 0 < found.mean.high
    assert math.isnan(found.cv.low)


@settings(max_examples=15, deadline=None)
@given(st.lists(positive, min_size=3, max_size=12), st.floats(0.01, 100))
def test_c23_scaling_all_times_scales_the_intervals_and_keeps_the_cv(values: list[float], factor: float) -> None:
    here, there = iv.intervals(values), iv.intervals([v * factor for v in values])
    np.testing.assert_allclose(there.mean, np.array(here.mean) * factor, rtol=1e-6)
    np.testing.assert_allclose(there.median, np.array(here.median) * factor, rtol=1e-6)
    np.testing.assert_allclose(there.cv, here.cv, rtol=1e-6)


@settings(max_examples=15, deadline=None)
@given(st.lists(positive, min_size=3, max_size=12))
def test_c24_intervals_are_in_order_and_the_median_is_within_its_own(values: list[float]) -> None:
    found = iv.intervals(values)
    if math.isnan(found.mean.low):
        return
    assert found.mean.low <= found.mean.high
    assert found.median.low <= float(np.median(values)) <= found.median.high
    assert min(values) <= found.median.low and found.median.high <= max(values)
    assert 0 <= found.cv.low <= found.cv.high or math.isnan(found.cv.low)


@pytest.mark.parametrize("sizes", [(7,), (7, 4), (300, 3)])
def test_blocks_hold_the_same_indices_whatever_their_size(sizes: tuple[int, ...], monkeypatch) -> None:
    rng = np.random.default_rng(0)
    expected = [rng.integers(0, size, (9_999, size)) for size in sizes]
    for block, kept in ((1 << 15, 1 << 21), (1 << 12, 0), (1 << 15, 0)):
        monkeypatch.setattr(iv, "_BLOCK", block)
        monkeypatch.setattr(iv, "_KEPT", kept)
        parts = list(iv.resamples(*sizes))
        for place, index in enumerate(expected):
            np.testing.assert_array_equal(np.concatenate([part[place] for part in parts]), index)


# ------------------------------------------------------------------------------------------------------------- ratio


def test_c31_ratio_of_means_equals_the_formula_in_a_plain_loop() -> None:
    a, b = np.array(TIMES), np.array([8.1, 9.0, 7.7, 8.8])
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 10, (9_999, 10)), rng.integers(0, 4, (9_999, 4))

    def error(x: np.ndarray, y: np.ndarray) -> float:
        return math.sqrt(sum((s.std(ddof=1) / s.mean()) ** 2 / len(s) for s in (x, y)))

    own = math.log(a.mean() / b.mean())
    roots = []
    for i, j in zip(first, second, strict=True):
        x, y = a[i], b[j]
        if np.ptp(x) or np.ptp(y):
            roots.append((math.log(x.mean() / y.mean()) - own) / error(x, y))
    low, high = np.percentile(roots, [2.5, 97.5])
    ratio, ends = iv.ratio_of_means(a, b)
    assert ratio == pytest.approx(a.mean() / b.mean(), rel=1e-12)
    np.testing.assert_allclose(ends, [math.exp(own - high * error(a, b)), math.exp(own - low * error(a, b))], rtol=1e-9)


def test_c31_ratio_without_spread_on_one_side_still_has_an_interval() -> None:
    ratio, ends = iv.ratio_of_means([10.0, 11.0, 12.5], [5.0, 5.0, 5.0])
    assert ends.low < ratio < ends.high


@pytest.mark.parametrize(
    ("a", "b", "ratio"),
    [([], [1.0], math.nan), ([2.0], [1.0], 2.0), ([2.0, 3.0], [1.0, 1.0, 2.0], 1.875), ([2.0] * 3, [1.0] * 3, 2.0)],
)
def test_c31_ratio_without_interval(a: list[float], b: list[float], ratio: float) -> None:
    found, ends = iv.ratio_of_means(a, b)
    assert found == pytest.approx(ratio, nan_ok=True)
    assert math.isnan(ends.low) and math.isnan(ends.high)


@settings(max_examples=10, deadline=None)
@given(st.lists(positive, min_size=3, max_size=8), st.lists(positive, min_size=3, max_size=8), st.floats(0.1, 10))
def test_c31_ratio_scales(a: list[float], b: list[float], factor: float) -> None:
    (one, ends), (other, scaled) = iv.ratio_of_means(a, b), iv.ratio_of_means([factor * v for v in a], b)
    assert other == pytest.approx(one * factor)
    np.testing.assert_allclose(scaled, np.array(ends) * factor, rtol=1e-6)


def test_percentiles_with_infinite_values() -> None:
    assert iv.percentile_interval(np.array([1.0, 2.0, math.inf, math.nan])).high == math.inf
    assert iv.percentile_interval(np.array([math.inf, math.inf])) == (math.inf, math.inf)
    assert math.isnan(iv.percentile_interval(np.array([math.nan])).low)
    values = np.random.default_rng(3).normal(size=1001)
    np.testing.assert_allclose(iv.percentile_interval(values), np.percentile(values, [2.5, 97.5]), rtol=1e-12)


# ------------------------------------------------------------------------------------------------------------ Wilson


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [  # statsmodels 0.14, proportion_confint(method="wilson")
        (9, 10, 0.5958499732047614, 0.982123786904927),
        (0, 5, 0.0, 0.43448246478317487),
        (5, 5, 0.5655175352168252, 1.0),
    ],
)
def test_c22_wilson_equals_statsmodels(k: int, n: int, low: float, high: float) -> None:
    np.testing.assert_allclose(iv.wilson(k, n), [low, high], atol=1e-9)


def test_c22_no_trials_have_no_interval() -> None:
    assert all(math.isnan(end) for end in iv.wilson(0, 0))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_c22_wilson_equals_its_formula(kn: tuple[int, int]) -> None:
    k, n = kn
    z, p = 1.959963984540054, k / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    np.testing.assert_allclose(iv.wilson(k, n), [middle - half, middle + half], atol=1e-9)


def test_ends_beyond_floats_are_infinite() -> None:
    found = iv.intervals([0.411854, 0.414787, 0.407274, 0.41139])
    assert found.cv.high == math.inf
    assert 0 <= found.cv.low < 0.01
