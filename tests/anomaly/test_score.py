from __future__ import annotations

import math
import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.anomaly.test_passes import Parts
from workbench.anomaly import selection
from workbench.anomaly.passes import ArrayPasses
from workbench.anomaly.score import MAD, Cutoff, Scored, ZScore, fit, mad_score, normalize, percentile, zscore
from workbench.engine.errors import WorkbenchError

TAILS = ("both", "high", "low")


def distances(x: np.ndarray, center: float, tail: str) -> np.ndarray:
    return {"both": np.abs(x - center), "high": x - center, "low": center - x}[tail]


def fitted(x: Any, **options: Any) -> Scored:
    return fit(ArrayPasses(np.asarray(x, dtype=np.float64)), **options)


# ------------------------------------------------------------------------------------------------------------ mad


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("n", [1, 2, 3, 100, 1_001, 250_000])
def test_c01_mad_is_scipys_median_absolute_deviation(n: int, tail: Any) -> None:
    x = np.random.default_rng(n).gamma(2, 10, n)
    scored = fitted(x, score="mad", top=0.01, tail=tail)
    center, scale = np.median(x), scipy.stats.median_abs_deviation(x)
    r = distances(x, float(center), tail)
    cut = np.quantile(r, 1 - 0.01, method="weibull")
    assert scored.model.flags(x).tolist() == (r > cut).tolist()
    if scale > 0:
        assert (scored.model.score(x) == r / scale).all()
        assert scored.cutoff.score == cut / scale
    assert scored.cutoff.low == (center - cut if tail != "high" else -math.inf)
    assert scored.cutoff.high == (center + cut if tail != "low" else math.inf)
    assert scored.notes == ()


def test_c01_mad_of_zero_falls_back_and_says_so() -> None:
    x = np.concatenate([np.zeros(60), np.arange(1.0, 41.0)])
    scored = fitted(x, score="mad", metrics=["x"])
    scale = np.sort(np.abs(x))[5:95].mean()
    assert scored.notes == (
        'More than half of "x" is 0.0, so MAD is 0; used the mean distance of the middle 90 % instead (7).',
    )
    assert scale == 7.0
    assert (scored.model.score(x) == x / 7.0).all()
    x = np.where(x == 0, 2.5, x)
    note = 'More than half of "delay" is 2.5, so MAD is 0; used the mean distance of the middle 90 % instead (6.07).'
    assert fitted(x, metrics=["delay"]).notes == (note,)


@pytest.mark.parametrize("n", [3, 20, 39, 101, 240_000])
@pytest.mark.parametrize("tail", TAILS)
def test_c01_the_fallback_is_an_exact_mean(n: int, tail: Any) -> None:
    rng = np.random.default_rng(n)
    x = np.where(rng.random(n) < 0.7, 1.1, rng.normal(5, 3, n))
    scored = fitted(x, tail=tail)
    r = np.sort(np.abs(x - np.median(x)))
    middle = r[math.floor(0.05 * n) : math.floor(0.95 * n)]
    scale = math.fsum(middle) / len(middle)
    assert scored.model.scale == pytest.approx(scale, rel=1e-15)  # type: ignore[attr-defined]


def test_c01_no_spread_at_all() -> None:
    x = np.array([4.0] * 99 + [5.0])
    scored = fitted(x, top=0.05, metrics=["x"])
    assert scored.model.score(x).tolist() == [0.0] * 99 + [math.inf]
    assert "every other value scores inf" in scored.notes[0]
    assert scored.model.flags(x).tolist() == [False] * 99 + [True]
    low = fitted(x, top=0.05, tail="low")
    assert low.model.score(x)[-1] == -math.inf and not low.model.flags(x).any()
    constant = fitted(np.full(50, 7.0))
    assert constant.notes == () and not constant.model.flags(np.full(50, 7.0)).any()
    assert constant.cutoff == Cutoff(7.0, 7.0, 0.0)


@pytest.mark.parametrize("score", ["mad", "zscore", "percentile"])
@pytest.mark.parametrize("tail", TAILS)
def test_c12_infinite_metrics_are_outliers_and_do_not_move_the_center(score: str, tail: Any) -> None:
    rng = np.random.default_rng(9)
    x = rng.normal(50, 5, 4_000)
    x[[3, 70]], x[900] = math.inf, -math.inf
    scored = fitted(x, score=score, tail=tail, top=0.01)
    flags, finite = scored.model.flags(x), x[np.isfinite(x)]
    assert flags[[3, 70]].all() == (tail != "low")
    assert flags[900] == (tail != "high")
    if score == "mad":
        assert scored.model.center == np.median(finite)  # type: ignore[attr-defined]
        assert scored.model.scale == scipy.stats.median_abs_deviation(finite)  # type: ignore[attr-defined]
    if score == "zscore":
        assert scored.model.center == math.fsum(finite) / len(finite)  # type: ignore[attr-defined]
        assert scored.model.scale == pytest.approx(finite.std(), rel=1e-14)  # type: ignore[attr-defined]
    if score != "percentile":
        assert scored.model.score(x)[900] == {"both": math.inf, "high": -math.inf, "low": math.inf}[tail]


@pytest.mark.parametrize("score", ["mad", "zscore", "percentile"])
def test_c12_more_infinite_rows_than_the_cutoff_has_room_for(score: str) -> None:
    x = np.concatenate([np.arange(80.0), np.full(20, math.inf)])
    scored = fitted(x, score=score, tail="high", top=0.05)
    assert scored.cutoff.high == math.inf
    assert scored.model.flags(x).tolist() == [False] * 80 + [True] * 20
    every = np.array([math.inf, -math.inf, math.inf])
    assert fitted(every, score=score).model.flags(every).all()
    low = fitted(every, score=score, tail="low")
    assert low.model.flags(every).tolist() == [False, True, False]


def test_c10_low_is_bad_without_reciprocals() -> None:
    x = np.concatenate([np.random.default_rng(1).normal(10, 1, 990), np.linspace(-5, 2, 10)])
    scored = fitted(x, tail="low", top=0.01)
    assert np.flatnonzero(scored.model.flags(x)).tolist() == list(range(990, 1000))
    assert scored.cutoff.high == math.inf and 2 < scored.cutoff.low < 8
    high = fitted(-x, tail="high", top=0.01)
    assert (high.model.score(-x) == scored.model.score(x)).all()
    assert high.cutoff.high == -scored.cutoff.low


@pytest.mark.parametrize("score", ["mad", "zscore"])
@pytest.mark.parametrize("tail", TAILS)
def test_c02_cutoffs_in_metric_units_part_the_rows(score: str, tail: Any) -> None:
    x = np.random.default_rng(2).normal(120, 30, 5_000).round(1)
    scored = fitted(x, score=score, tail=tail, top=0.02)
    marked, cutoff = scored.model.flags(x), scored.cutoff
    inside = x[~marked]
    assert cutoff.low <= inside.min() + 1e-9 and inside.max() <= cutoff.high + 1e-9
    outside = x[marked]
    assert ((outside < cutoff.low + 1e-9) | (outside > cutoff.high - 1e-9)).all()
    assert 0 < len(outside) <= 100
    unused = {"both": (False, False), "high": (True, False), "low": (False, True)}[tail]
    assert (cutoff.low == -math.inf, cutoff.high == math.inf) == unused


def test_c02_ties_at_the_cutoff_are_not_outliers() -> None:
    x = np.array([0.0] * 90 + [1.0] * 10)
    assert not fitted(x, score="percentile", top=0.05).model.flags(x).any()
    assert fitted(x, score="percentile", top=0.2, tail="high").model.flags(x).sum() == 10


# --------------------------------------------------------------------------------------------------------- zscore


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("n", [1, 2, 1_001, 230_000])
def test_c04_zscore(n: int, tail: Any) -> None:
    x = np.random.default_rng(n).exponential(3, n)
    scored = fitted(x, score="zscore", tail=tail, top=0.01)
    mean = math.fsum(x) / n
    r = distances(x, mean, tail)
    assert scored.model.center == mean  # type: ignore[attr-defined]
    assert scored.model.scale == pytest.approx(x.std(), rel=1e-12)  # type: ignore[attr-defined]
    if n > 1:
        assert (scored.model.flags(x) == (r > np.quantile(r, 1 - 0.01, method="weibull"))).all()
        assert np.allclose(scored.model.score(x), r / x.std(), rtol=1e-12, atol=0)


@pytest.mark.parametrize("value", [0.1, 0.0, -7e300])
def test_c04_no_deviation_no_outliers(value: float) -> None:
    x = np.full(1_000, value)
    for options in ({"top": 0.01}, {"threshold": 3.0}, {"threshold": 0.0}):
        scored = fitted(x, score="zscore", **options)
        assert scored.model.scale == 0.0  # type: ignore[attr-defined]
        assert not scored.model.flags(x).any()
        assert (scored.model.score(x) == 0.0).all()


@pytest.mark.parametrize("scale", [1e-200, 1e-310, 1e200, 1e307])
def test_c04_deviations_whose_squares_leave_the_range(scale: float) -> None:
    x = np.array([1.0, 2.0, 3.0, 6.0]) * scale
    scored = fitted(x, score="zscore")
    assert scored.model.scale == pytest.approx(math.sqrt(3.5) * scale, rel=1e-9)  # type: ignore[attr-defined]
    with_infinity = fitted(np.append(x, math.inf), score="zscore")
    assert with_infinity.model.scale == scored.model.scale  # type: ignore[attr-defined]


# ----------------------------------------------------------------------------------------------------- percentile


@pytest.mark.parametrize("n", [10, 999, 220_000])
def test_c05_percentile_cutoffs(n: int) -> None:
    x = np.random.default_rng(n).normal(0, 1, n).round(2)
    low, high = np.quantile(x, [0.02, 1 - 0.02], method="weibull")
    scored = fitted(x, score="percentile", top=0.02)
    assert scored.cutoff == Cutoff(low, high, 0.98)
    assert (scored.model.flags(x) == ((x < low) | (x > high))).all()
    assert fitted(x, score="percentile", top=0.02, tail="high").cutoff == Cutoff(-math.inf, high, 0.98)
    assert fitted(x, score="percentile", top=0.02, tail="low").cutoff == Cutoff(low, math.inf, 0.02)
    assert (scored.model.score(x) == scipy.stats.rankdata(x, "min") / n).all()


def test_c05_a_percentile_that_was_sent_away_marks_rows() -> None:
    x = np.arange(100.0)
    scored = fitted(x, score="percentile", top=0.1)
    model = pickle.loads(pickle.dumps(scored.model))
    assert (model.flags(x) == scored.model.flags(x)).all()
    with pytest.raises(RuntimeError, match="bind"):
        model.score(x)
    assert model.bind(ArrayPasses(x)).score(np.array([3.0, 3.5])).tolist() == [0.04, 0.05]


# ------------------------------------------------------------------------------------------------------ threshold


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("score", ["mad", "zscore"])
@given(st.lists(st.one_of(st.floats(-100, 100), st.integers(-3, 3)), min_size=1, max_size=40), st.floats(-3, 6))
@settings(max_examples=40)
def test_c06_a_threshold_marks_rows_by_score(score: str, tail: Any, values: list[float], threshold: float) -> None:
    x = np.array(values, dtype=np.float64)
    scored = fitted(x, score=score, threshold=threshold, tail=tail)
    marked = scored.model.score(x) > threshold
    if scored.model.scale == 0 and score == "zscore":  # type: ignore[attr-defined]
        marked[:] = threshold < 0
    assert (scored.model.flags(x) == marked).all()
    assert scored.cutoff.score == threshold


@given(
    st.lists(st.one_of(st.integers(0, 6), st.just(math.inf)), min_size=1, max_size=30),
    st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.5, 0.9, 1.0])),
)
@settings(max_examples=80)
def test_c06_a_threshold_on_percentiles(values: list[float], threshold: float) -> None:
    x = np.array(values, dtype=np.float64)
    for tail in ("both", "high"):
        scored = fitted(x, score="percentile", threshold=threshold, tail=tail)
        marked = (percentile(x) > threshold) | np.isposinf(x)
        assert (scored.model.flags(x) == marked).all()
    low = fitted(-x, score="percentile", threshold=threshold, tail="low")
    assert (low.model.flags(-x) == (percentile(x) > threshold) | np.isposinf(x)).all()


# ------------------------------------------------------------------------------------------------------- callable


def test_c09_a_function_scores_rows() -> None:
    x = np.random.default_rng(3).normal(0, 1, (500, 2))
    scored = fit(ArrayPasses(x), score=lambda rows: np.hypot(rows[:, 0], rows[:, 1]), top=0.02)
    expected = np.hypot(x[:, 0], x[:, 1])
    cut = np.quantile(expected, 0.98, method="weibull")
    assert (scored.model.flags(x) == (expected > cut)).all()
    assert scored.cutoff.score == cut and math.isnan(scored.cutoff.low) and math.isnan(scored.cutoff.high)
    assert (scored.model.part(100, 200).flags(x[100:200]) == scored.model.flags(x)[100:200]).all()
    one = fitted(np.arange(10.0), score=lambda rows: rows[:, 0] % 7, threshold=5.5)
    assert np.flatnonzero(one.model.flags(np.arange(10.0))).tolist() == [6]


def test_c09_what_a_function_may_not_return() -> None:
    x = np.arange(10.0)

    def short(rows: np.ndarray) -> np.ndarray:
        return rows[:5, 0]

    with pytest.raises(WorkbenchError, match=r"^short gave 5 scores for 10 rows.\nReturn one float a row"):
        fitted(x, score=short)
    with pytest.raises(WorkbenchError, match=r"an array of shape \(10, 1\) for 10 rows"):
        fitted(x, score=lambda rows: rows)
    with pytest.raises(WorkbenchError, match="for scores"):
        fitted(x, score=lambda rows: np.array(["a"] * 10))
    with pytest.raises(WorkbenchError, match="complex128 for scores"):
        fitted(x, score=lambda rows: rows[:, 0] + 1j)


def test_c09_a_function_that_fails_is_named() -> None:
    def far(rows: np.ndarray) -> np.ndarray:
        raise ValueError("no model was fitted.")

    with pytest.raises(WorkbenchError) as error:
        fitted(np.arange(10.0), score=lambda: 1)
    assert error.value.message.startswith("<lambda> failed: TypeError: ")
    with pytest.raises(WorkbenchError) as error:
        fitted(np.arange(10.0), score=far)
    assert error.value.lines() == [
        "far failed: ValueError: no model was fitted.",
        "It is given a float64 array of shape (10, 1), to be read only; %tb shows where it failed.",
    ]
    assert isinstance(error.value.__cause__, ValueError)


def test_c09_rows_without_a_score_are_not_outliers() -> None:
    x = np.arange(100.0)
    scored = fitted(x, score=lambda rows: np.where(rows[:, 0] < 3, np.nan, rows[:, 0]), top=0.05)
    assert scored.notes == ("<lambda> gave no score for 3 rows; not marked as outliers.",)
    assert scored.model.flags(x).sum() == 5 and not scored.model.flags(x)[:3].any()


def test_c50_a_kernel_density_as_a_function() -> None:
    rng = np.random.default_rng(4)
    x = np.concatenate([rng.normal(0, 1, 195), np.linspace(5, 9, 5)])
    scored = fitted(x, score=lambda rows: -scipy.stats.gaussian_kde(rows[:, 0])(rows[:, 0]), top=0.03)
    assert set(range(195, 200)) <= set(np.flatnonzero(scored.model.flags(x)).tolist())
    assert scored.model.flags(x).sum() == 6


def test_unknown_scores_and_several_metrics() -> None:
    with pytest.raises(WorkbenchError, match='No score "iqr"'):
        fitted(np.arange(5.0), score="iqr")
    with pytest.raises(WorkbenchError, match="zscore takes one metric; got 2"):
        fit(ArrayPasses(np.zeros((5, 2))), score="zscore")
    x = np.random.default_rng(0).normal(0, 1, (200, 2))
    scored = fit(ArrayPasses(x), score="mad")
    assert scored.notes == ("2 metrics: scored by mcd, since mad takes one.",)
    assert (scored.model.score(x) == fit(ArrayPasses(x), score="mcd").model.score(x)).all()


# --------------------------------------------------------------------------------------------------- partitioning


@pytest.mark.parametrize("score", ["mad", "zscore", "percentile", "mcd", "rcov"])
@pytest.mark.parametrize("tail", TAILS)
def test_any_partitioning_gives_the_same_bits(score: str, tail: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "sample_size", lambda n: min(n, 500))
    rng = np.random.default_rng(8)
    x = rng.normal(10, 3, (12_000, 2)).round(3)
    x[5, 0], x[11_000, 1] = math.inf, -math.inf
    if score in ("mad", "zscore", "percentile"):
        x = x[:, 0].copy()
    whole = fit(ArrayPasses(x), score=score, tail=tail)
    for cuts in ([], [17], [1, 1, 5_000, 5_001, 11_999, 12_000]):
        parts = Parts(x, cuts, 0.05)
        scored = fit(parts, score=score, tail=tail)
        assert scored.cutoff == whole.cutoff or math.isnan(scored.cutoff.low)
        assert scored.cutoff.score == whole.cutoff.score and scored.notes == whole.notes
        flags = np.concatenate([scored.model.flags(part) for part in parts.parts])
        assert (flags == whole.model.flags(x)).all()
        if score == "percentile":
            continue
        found = np.concatenate([scored.model.score(part) for part in parts.parts])
        assert found.tobytes() == whole.model.score(x).tobytes()
        assert parts.rounds <= {"mad": 2, "zscore": 2, "mcd": 2, "rcov": 5}[score]


@pytest.mark.parametrize("tail", TAILS)
def test_large_and_small_tables_take_different_ways_to_the_same_answer(
    tail: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = np.random.default_rng(10).normal(10, 3, 50_000).round(2)
    small = fitted(x, tail=tail)
    monkeypatch.setattr(selection, "LARGE", 0)
    large = fitted(x, tail=tail)
    assert small.cutoff == large.cutoff and small.model == large.model


def test_permuted_rows_change_nothing() -> None:
    x = np.random.default_rng(11).normal(10, 3, 5_000)
    shuffled = np.random.default_rng(12).permutation(x)
    for score in ("mad", "zscore", "percentile", "rcov"):
        assert fitted(x, score=score).cutoff == fitted(shuffled, score=score).cutoff


# ------------------------------------------------------------------------------------------------------ functions


def test_percentile_is_the_lowest_rank_among_ties() -> None:
    x = [3.0, 1.0, math.nan, 3.0, 2.0, 3.0]
    found = percentile(x)
    assert found[[0, 1, 3, 4, 5]].tolist() == [0.6, 0.2, 0.6, 0.4, 0.6]
    assert found[[0, 1, 3, 4, 5]].tolist() == pd.Series(x).dropna().rank(method="min", pct=True).tolist()
    assert math.isnan(found[2])
    assert percentile([]).tolist() == []
    assert np.isnan(percentile([math.nan])).all()


def test_normalize() -> None:
    assert normalize([1.0, 2.0, 4.0]).tolist() == [0.25, 0.5, 1.0]
    assert normalize([-1.0, 0.0, 3.0]).tolist() == [0.0, 0.25, 1.0]
    assert normalize([0.0, 5.0]).tolist() == [0.0, 1.0]
    assert normalize([0.0, 0.0]).tolist() == [0.0, 0.0]
    assert normalize([-3.0, -3.0]).tolist() == [0.0, 0.0]
    found = normalize([math.nan, 1.0, 2.0, math.inf])
    assert math.isnan(found[0]) and found[1:].tolist() == [0.5, 1.0, math.inf]
    assert normalize([-1.5e308, 1.5e308]).tolist() == [0.0, 1.0]
    assert np.isnan(normalize([math.nan])).all()


def test_scores_for_sql_are_of_both_tails() -> None:
    x = np.array([1.0, 2.0, 3.0, math.nan, 10.0])
    known = x[[0, 1, 2, 4]]
    assert mad_score(x)[[0, 1, 2, 4]].tolist() == (np.abs(known - 2.5) / 1.0).tolist()
    assert zscore(x)[[0, 1, 2, 4]] == pytest.approx(np.abs(scipy.stats.zscore(known)))
    assert math.isnan(mad_score(x)[3]) and math.isnan(zscore(x)[3])
    assert (mad_score(x)[[0, 1, 2, 4]] >= 0).all()
    assert np.isnan(mad_score([math.nan, math.nan])).all()
    assert zscore([2.0, 2.0]).tolist() == [0.0, 0.0]


def test_estimators() -> None:
    x = np.random.default_rng(13).normal(4, 2, 1_000)
    mad = MAD().fit(x)
    assert (mad.center_, mad.scale_) == (np.median(x), scipy.stats.median_abs_deviation(x))
    assert (mad.score(x) == np.abs(x - mad.center_) / mad.scale_).all()
    z = ZScore().fit(np.append(x, math.nan)[:, None])
    assert z.center_ == math.fsum(x) / 1_000 and z.scale_ == pytest.approx(x.std())
    assert math.isnan(z.score([math.nan])[0])
    assert repr(MAD()) == "MAD()" and "center_" in repr(mad)
    with pytest.raises(WorkbenchError, match="not fitted"):
        MAD().score(x)
    with pytest.raises(WorkbenchError, match=r"shape \(10, 2\)"):
        ZScore().fit(np.zeros((10, 2)))
    with pytest.raises(WorkbenchError, match="no rows"):
        MAD().fit([math.nan])
