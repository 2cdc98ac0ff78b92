"""A recipe's figures, the warm-up outlier, the standard error of an accuracy; coverage by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from workbench.tta import statistics as stt

TIMES = [9.43, 9.61, 9.7, 10.2, 12.5, 9.9]
REACHED = [True, True, True, True, False, True]


def test_c22_c24_c25_c26_figures_of_one_recipe() -> None:
    found = stt.describe(TIMES, REACHED)
    hits = np.array([9.43, 9.61, 9.7, 10.2, 9.9])
    assert " ".join(found) == (
        "n reached reach_rate reach_low reach_high mean mean_low mean_high median median_low median_high sd cv cv_low "
        "cv_high km_median expected_seconds olympic"
    )
    assert (found["n"], found["reached"], found["reach_rate"]) == (6, 5, 5 / 6)
    assert found["mean"] == pytest.approx(hits.mean(), rel=1e-12)
    assert found["median"] == 9.7
    assert found["sd"] == pytest.approx(hits.std(ddof=1), rel=1e-12)
    assert found["cv"] == pytest.approx(hits.std(ddof=1) / hits.mean(), rel=1e-12)
    assert found["km_median"] == 9.7
    assert found["expected_seconds"] == pytest.approx((hits.sum() + 12.5) / 5, rel=1e-12)
    assert found["olympic"] == pytest.approx(np.mean([9.61, 9.7, 9.9, 10.2]), rel=1e-12)
    assert found["mean_low"] < found["mean"] < found["mean_high"]
    assert found["cv_low"] < found["cv"] < found["cv_high"]


def test_c25_expected_time_is_in_seconds_whatever_the_unit() -> None:
    found = stt.describe([5.0, 6.0], [True, True], seconds=[1.0, 2.0])
    assert (found["mean"], found["expected_seconds"]) == (5.5, 1.5)


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_c26_few_runs_have_few_figures(n: int) -> None:
    found = stt.describe(TIMES[:n], REACHED[:n])
    missing = {name for name, value in found.items() if math.isnan(value)}
    assert ("reach_rate" in missing) == (n == 0)
    assert ("mean" in missing) == (n == 0)
    assert ("sd" in missing) == (n < 2)
    assert ("mean_low" in missing) == (n < 3)
    assert ("olympic" in missing) == (n < 3)


def test_c26_no_run_reached() -> None:
    found = stt.describe([5.0, 5.0, 5.0], [False] * 3)
    assert (found["n"], found["reached"], found["reach_rate"], found["reach_low"]) == (3, 0, 0.0, 0.0)
    assert found["expected_seconds"] == math.inf
    assert all(math.isnan(found[name]) for name in ("mean", "median", "sd", "cv", "km_median", "olympic"))


def test_c30_a_slow_first_run_is_told() -> None:
    assert stt.warmup_outlier([10.3, *[7.8] * 49], [True] + [False] * 49)
    assert not stt.warmup_outlier([8.9, 7.8, 7.8, 7.8], [True, False, False, False])  # 14 %
    assert not stt.warmup_outlier([10.3, 7.8, 7.8], [True, False, False])  # too few
    assert not stt.warmup_outlier([7.8, 10.3, 7.8, 7.8], [True, False, False, False])
    assert not stt.warmup_outlier([10.3, 7.8, 7.8, math.nan], [True, False, False, False])
    assert stt.warmup_outlier([10.3, 10.1, 7.8, 7.8], [True, True, False, False])
    assert not stt.warmup_outlier([10.3, 7.8, 7.8, 7.8], [True] * 4)
    assert not stt.warmup_outlier([10.3, 7.8, 7.8, 7.8], [False] * 4)


def test_c06_standard_error_of_an_accuracy() -> None:
    assert round(stt.accuracy_se(94, 10_000, percent=True), 3) == 0.237
    assert stt.accuracy_se(0.94, 10_000, percent=False) == pytest.approx(0.00237486842)
    for value, n, percent, goal in (
        (94, None, True, "max"), (94, 0, True, "max"), (94, 100, True, "min"), (101, 100, True, "max"),
        (-1, 100, True, "max"), (1.2, 100, False, "max"), (math.nan, 100, True, "max"),
    ):  # fmt: skip
        assert math.isnan(stt.accuracy_se(value, n, percent=percent, goal=goal))


# ---------------------------------------------------------------------------------------------------------- coverage


@pytest.mark.slow
@pytest.mark.parametrize("law", ["normal", "lognormal", "gamma"])
def test_c23_c24_coverage_by_simulation(law: str) -> None:
    """2,000 samples of 20 times with a CV of 25 %: how often do the intervals hold the true figure?"""
    draws, n, spread = 2_000, 20, 0.25
    rng = np.random.default_rng({"normal": 1, "lognormal": 2, "gamma": 3}[law])
    if law == "normal":
        samples, median = rng.normal(1.0, spread, (draws, n)), 1.0
    elif law == "lognormal":
        sigma = math.sqrt(math.log1p(spread**2))
        samples, median = rng.lognormal(-(sigma**2) / 2, sigma, (draws, n)), math.exp(-(sigma**2) / 2)
    else:
        from scipy.stats import gamma

        shape = 1 / spread**2
        samples, median = rng.gamma(shape, 1 / shape, (draws, n)), float(gamma.median(shape, scale=1 / shape))
    ends = np.array([stt.intervals(sample) for sample in samples])  # draw, figure, end
    truth = np.array([1.0, median, spread])
    mean, middle, of_cv = ((ends[:, :, 0] <= truth) & (truth <= ends[:, :, 1])).mean(axis=0)
    assert 0.93 <= mean <= 0.97
    assert 0.93 <= middle <= 0.97
    assert 0.91 <= of_cv <= 0.97
