from __future__ import annotations

import itertools
import math
import pickle
import warnings
from typing import Any

import numpy as np
import pytest
import scipy.stats

from workbench.anomaly import fastmcd, moments
from workbench.anomaly.mcd import SAMPLE, fit_mcd, mcd
from workbench.anomaly.passes import ArrayPasses
from workbench.anomaly.score import MCD, RCOV, fit
from workbench.engine.errors import WorkbenchError


def contaminated(n: int, p: int, share: float = 0.3, seed: int = 0, far: float = 8.0) -> tuple[np.ndarray, np.ndarray]:
    """Return rows of correlated metrics with a planted cluster, and which rows it has."""
    rng = np.random.default_rng(seed)
    mixed = rng.normal(0, 1, (p, p)) + 2 * np.eye(p)
    planted = np.zeros(n, bool)
    planted[rng.permutation(n)[: int(share * n)]] = True
    z = rng.normal(0, 1, (n, p))
    z[planted] = rng.normal(far, 0.5, (int(planted.sum()), p))
    return z @ mixed + 5, planted


def reference(x: np.ndarray, seed: int = 0) -> Any:
    from sklearn.covariance import MinCovDet

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return MinCovDet(random_state=seed).fit(x)


@pytest.mark.parametrize(("n", "p"), [(150, 2), (700, 3), (1_601, 2)])
def test_c03_fastmcd_agrees_with_scikit_learn_and_is_as_deep(n: int, p: int) -> None:
    x, planted = contaminated(n, p, seed=n)
    ours, theirs = MCD().fit(x), reference(x)
    assert np.linalg.det(ours.raw_covariance_) <= 1.001 * np.linalg.det(theirs.raw_covariance_)
    assert ours.support_.sum() == (n + p + 1) // 2
    assert not planted[ours.sample_[ours.support_]].any()
    spread = np.sqrt(np.diag(theirs.covariance_))
    near = 0.02 if n > 1_000 else 0.2
    assert np.abs((ours.center_ - theirs.location_) / spread).max() < near
    assert np.abs((ours.covariance_ - theirs.covariance_) / np.outer(spread, spread)).max() < near


def test_c03_clean_data_give_its_moments() -> None:
    rng = np.random.default_rng(1)
    covariance = np.array([[4.0, 1.0], [1.0, 2.0]])
    x = rng.multivariate_normal([10.0, -3.0], covariance, 20_000)
    found = MCD().fit(x)
    assert found.center_ == pytest.approx([10.0, -3.0], abs=0.1)
    assert found.covariance_ == pytest.approx(covariance, abs=0.2)
    assert (found.score(x) ** 2 > scipy.stats.chi2.ppf(0.99, 2)).mean() == pytest.approx(0.01, abs=0.003)


@pytest.mark.parametrize("p", [2, 3, 6])
def test_c03_a_planted_cluster_of_thirty_percent_is_flagged(p: int) -> None:
    x, planted = contaminated(6_000, p, seed=p)
    scored = fit(ArrayPasses(x), score="mcd", threshold=float(np.sqrt(scipy.stats.chi2.ppf(0.9999, p))))
    flags = scored.model.flags(x)
    assert flags[planted].all()
    assert flags[~planted].mean() < 0.002
    assert math.isnan(scored.cutoff.low) and math.isnan(scored.cutoff.high)


@pytest.mark.parametrize("factors", [(1e6, 1e6), (1e-6, 1e6), (1e6, 1.0)])
def test_c03_units_change_no_label(factors: tuple[float, float]) -> None:
    x, _ = contaminated(20_000, 2, seed=3)
    scaled = x * np.array(factors)
    before, after = fit(ArrayPasses(x), score="mcd"), fit(ArrayPasses(scaled), score="mcd")
    assert (before.model.flags(x) == after.model.flags(scaled)).all()
    assert before.model.flags(x).sum() == 200
    assert after.model.score(scaled) == pytest.approx(before.model.score(x), rel=1e-9)


def test_c03_scores_are_mahalanobis_distances() -> None:
    x, _ = contaminated(3_000, 3)
    scored = fit(ArrayPasses(x), score="mcd", top=0.05)
    model: Any = scored.model
    left = x - model.center
    expected = np.sqrt(np.einsum("ij,jk,ik->i", left, np.linalg.inv(model.covariance), left))
    assert np.allclose(model.score(x), expected, rtol=1e-9)
    assert scored.cutoff.score == np.quantile(model.score(x), 0.95, method="weibull")
    assert (model.flags(x) == (model.score(x) > scored.cutoff.score)).all()
    assert pickle.loads(pickle.dumps(model)).score(x).tobytes() == model.score(x).tobytes()


def test_c03_one_metric_is_exact() -> None:
    rng = np.random.default_rng(2)
    x = np.concatenate([rng.normal(10, 1, 400), rng.normal(50, 1, 150)])
    found = MCD().fit(x)
    h = (550 + 2) // 2
    ordered = np.sort(x)
    best = min(ordered[i : i + h].var() for i in range(550 - h + 1))
    assert found.raw_covariance_[0, 0] == pytest.approx(best, rel=1e-12)
    scored = fit(ArrayPasses(x), score="mcd", top=0.3)
    center, reach = found.center_[0], scored.cutoff.score * math.sqrt(found.covariance_[0, 0])
    assert scored.cutoff.low == pytest.approx(center - reach) and scored.cutoff.high == pytest.approx(center + reach)


def test_c03_large_tables_are_sampled_and_say_so() -> None:
    x, planted = contaminated(30_000, 2, seed=5)
    model, notes = fit_mcd(ArrayPasses(x), 7, ["a", "b"])
    assert notes == ("The covariance comes from a sample of 10,000 of 30,000 rows (seed 7).",)
    estimator = MCD(seed=7).fit(x)
    assert len(estimator.sample_) == SAMPLE and (np.diff(estimator.sample_) > 0).all()
    assert (estimator.center_ == model.center).all() and (estimator.covariance_ == model.covariance).all()
    assert (MCD(seed=8).fit(x).sample_ != estimator.sample_).any()
    assert fit_mcd(ArrayPasses(x[:9_000]), 7, ["a", "b"])[1] == ()
    assert model.score(x)[planted].min() > model.score(x)[~planted].mean()


def test_c03_the_same_every_time() -> None:
    x, _ = contaminated(5_000, 3, seed=6)
    once, again = MCD().fit(x), MCD().fit(x)
    assert once.covariance_.tobytes() == again.covariance_.tobytes()
    assert once.center_.tobytes() == again.center_.tobytes()


def test_c03_metrics_that_move_together_are_dropped() -> None:
    rng = np.random.default_rng(7)
    temp, load = rng.normal(20, 5, 2_000), rng.gamma(2, 3, 2_000)
    x = np.column_stack([temp, temp * 1.8 + 32, load, np.full(2_000, 3.0), 2 * load - temp])
    names = ["temp", "temp_f", "load", "version", "mix"]
    scored = fit(ArrayPasses(x), score="mcd", metrics=names)
    assert scored.notes == (
        "temp and temp_f always move together; dropped temp_f for the covariance.",
        "version never changes; dropped version for the covariance.",
        "temp, load and mix always move together; dropped mix for the covariance.",
    )
    assert (scored.model.flags(x) == fit(ArrayPasses(x[:, [0, 2]]), score="mcd").model.flags(x[:, [0, 2]])).all()
    # Winsorised, the sum of two metrics is no longer their sum.
    assert fit(ArrayPasses(x), score="rcov", metrics=names).notes == scored.notes[:2]
    found = MCD().fit(x)
    assert np.isnan(found.center_).tolist() == [False, True, False, True, True]
    assert np.isnan(found.covariance_[1]).all()


def test_c03_a_far_row_does_not_make_metrics_seem_alike() -> None:
    rng = np.random.default_rng(8)
    x = rng.normal(0, 1, (500, 2))
    x[7] = 1e12
    assert moments.independent(x, ["a", "b"]) == ((0, 1), ())
    assert MCD().fit(x).score(x)[7] > 1e10


def test_c03_more_than_half_of_the_rows_on_one_line() -> None:
    rng = np.random.default_rng(9)
    x = rng.normal(0, 1, (1_000, 2))
    x[:600, 1] = x[:600, 0]
    scored = fit(ArrayPasses(x), score="mcd", metrics=["a", "b"])
    assert scored.notes == (
        "More than half of the rows lie on one line of a and b; "
        "used the closest 75 % of the rows for the covariance instead.",
    )
    assert np.isfinite(scored.model.score(x)).all() and scored.model.flags(x).sum() == 10
    x = np.concatenate([np.zeros(800), np.arange(200.0)])[:, None]
    one = fit(ArrayPasses(x), score="mcd", metrics=["a"])
    assert one.notes == (
        "More than half of the rows have the same a; used the closest 90 % of the rows for the covariance instead.",
    )


@pytest.mark.parametrize("x", [np.zeros((5, 2)), np.ones((1, 2)), np.array([[1.0, 2.0], [3.0, 4.0]])])
@pytest.mark.parametrize("score", ["mcd", "rcov"])
def test_c12_tables_too_small_or_too_plain_for_a_covariance(x: np.ndarray, score: str) -> None:
    scored = fit(ArrayPasses(x), score=score, metrics=["a", "b"])
    assert scored.notes
    assert np.isfinite(scored.model.score(x)).all()
    assert not scored.model.flags(x).any()


@pytest.mark.parametrize("score", ["mcd", "rcov"])
def test_c12_infinite_rows_of_several_metrics(score: str) -> None:
    x, _ = contaminated(2_000, 3, share=0.0)
    clean = fit(ArrayPasses(x), score=score)
    x = np.vstack([x, [[math.inf, 0, 0], [0, -math.inf, 1], [math.inf, -math.inf, math.inf]]])
    scored = fit(ArrayPasses(x), score=score)
    assert scored.model.flags(x)[-3:].all() and (scored.model.score(x)[-3:] == math.inf).all()
    model, before = scored.model, clean.model
    assert model.center == pytest.approx(before.center)  # type: ignore[attr-defined]
    assert model.covariance == pytest.approx(before.covariance)  # type: ignore[attr-defined]
    every = np.full((20, 2), math.inf)
    assert fit(ArrayPasses(every), score=score).model.flags(every).all()


def test_c04_winsorised_covariance() -> None:
    x, _ = contaminated(4_001, 3, share=0.02)
    found = RCOV(trim=0.1).fit(x)
    low, high = np.quantile(x, [0.1, 0.9], axis=0, method="weibull")
    clipped = np.clip(x, low, high)
    assert found.center_ == pytest.approx(clipped.mean(axis=0), rel=1e-12)
    assert found.covariance_ == pytest.approx(np.cov(clipped, rowvar=False), rel=1e-10)
    left = x - found.center_
    expected = np.sqrt(np.einsum("ij,jk,ik->i", left, np.linalg.inv(found.covariance_), left))
    assert np.allclose(found.score(x), expected, rtol=1e-9)
    scored = fit(ArrayPasses(x), score="rcov", top=0.02)
    assert scored.cutoff.score == np.quantile(scored.model.score(x), 0.98, method="weibull")
    assert math.isnan(RCOV().fit(x).score(np.array([[1.0, math.nan, 2.0]]))[0])


@pytest.mark.parametrize("scale", [1e-130, 1e130])
def test_c04_metrics_of_any_magnitude(scale: float) -> None:
    x, _ = contaminated(1_000, 2)
    for score in ("mcd", "rcov"):
        plain, scaled = fit(ArrayPasses(x), score=score), fit(ArrayPasses(x * scale), score=score)
        assert (plain.model.flags(x) == scaled.model.flags(x * scale)).all()
        with pytest.raises(WorkbenchError, match=r'"x1" is too (large|small) for a covariance'):
            fit(ArrayPasses(x * np.array([1.0, scale**2 / 1e10])), score=score)


def test_the_search_at_its_edges() -> None:
    z = np.random.default_rng(0).normal(0, 1, (10, 2))
    assert fastmcd.least_determinant(z, 10, 500, 0).all()
    assert fastmcd.half_size(10, 2) == 6
    assert fastmcd.half_size(10, 2, 0.9) == 9
    assert fastmcd.half_size(10, 2, 0.01) == 3
    assert fastmcd.half_size(2, 5) == 2
    best = min((np.linalg.det(np.cov(z[list(rows)].T)), rows) for rows in itertools.combinations(range(10), 6))
    assert np.flatnonzero(fastmcd.least_determinant(z, 6, 500, 0)).tolist() == list(best[1])


def test_consistency_factors() -> None:
    for p in (1, 2, 5):
        for share in (0.5, 0.75, 0.975):
            quantile = scipy.stats.chi2.ppf(share, p)
            assert fastmcd.quantile_chi2(p, share) == pytest.approx(quantile)
            assert fastmcd.consistency(p, share) == pytest.approx(share / scipy.stats.chi2.cdf(quantile, p + 2))
        assert fastmcd.consistency(p, 1.0) == 1.0


def test_estimators_check_their_arguments() -> None:
    with pytest.raises(WorkbenchError, match=r"support_fraction is 1\.5"):
        MCD(support_fraction=1.5)
    with pytest.raises(WorkbenchError, match="starts is 0"):
        MCD(starts=0)
    with pytest.raises(WorkbenchError, match=r"trim is 0\.5"):
        RCOV(trim=0.5)
    with pytest.raises(WorkbenchError, match="not fitted"):
        MCD().score([[1.0, 2.0]])
    with pytest.raises(WorkbenchError, match="no rows"):
        MCD().fit([[math.nan, 1.0]])
    wide = MCD(support_fraction=0.9).fit(contaminated(500, 2, share=0.05)[0])
    assert wide.support_.sum() == 450
    assert len(mcd(np.zeros((0, 2)), ["a", "b"]).center) == 0
