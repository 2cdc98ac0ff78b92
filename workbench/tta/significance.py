"""Tests of two recipes' times, Holm's correction, and the least difference that such a test can find."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from workbench.tta.intervals import cv
from workbench.tta.survival import censored

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["Outcome", "detectable_effect", "detectable_ratio", "holm", "logrank", "mann_whitney", "pooled_cv", "welch"]

#: runs on a side that a test needs
_LEAST = 2
#: beyond this many runs on both sides the exact distribution is not worth its time: the normal one agrees
_EXACT = 500


class Outcome(NamedTuple):
    """Outcome of a two-sided test; NaN where it cannot be made."""

    statistic: float
    p_value: float


_NONE = Outcome(math.nan, math.nan)


def welch(a: ArrayLike, b: ArrayLike) -> Outcome:
    """Return Welch's t test of equal means.

    Parameters
    ----------
    a, b : array-like of float, (n_a,), (n_b,)
        Finite times.

    Returns
    -------
    Outcome
        t, above 0 where a takes longer. NaN for under 2 runs on a side, or without spread on both.
    """
    x, y = _values(a), _values(b)
    if min(x.size, y.size) < _LEAST or (np.ptp(x) == 0 and np.ptp(y) == 0):
        return _NONE
    from scipy.stats import ttest_ind_from_stats

    # From means and spreads: a side without spread is no loss of precision here, of which `ttest_ind` would warn.
    found = ttest_ind_from_stats(
        x.mean(), _sd(x), x.size, y.mean(), _sd(y), y.size, equal_var=False, alternative="two-sided"
    )
    return Outcome(float(found.statistic), float(found.pvalue))


def mann_whitney(a: ArrayLike, b: ArrayLike) -> Outcome:
    """Return the Mann-Whitney U test: exact, and asymptotic (continuity corrected) where values are tied.

    Parameters
    ----------
    a, b : array-like of float, (n_a,), (n_b,)
        Times; a miss is inf.

    Returns
    -------
    Outcome
        U of a. NaN for under 2 runs on a side, or where all values are equal.
    """
    x, y = _values(a), _values(b)
    together = np.concatenate([x, y])
    if min(x.size, y.size) < _LEAST or (together == together[0]).all():
        return _NONE
    from scipy.stats import mannwhitneyu

    tied = len(np.unique(together)) < len(together) or max(x.size, y.size) > _EXACT
    found = mannwhitneyu(x, y, alternative="two-sided", method="asymptotic" if tied else "exact")
    return Outcome(float(found.statistic), float(found.pvalue))


def logrank(a: ArrayLike, reached_a: ArrayLike, b: ArrayLike, reached_b: ArrayLike) -> Outcome:
    """Return the log-rank test of equal reach over time.

    Parameters
    ----------
    a, b : array-like of float, (n_a,), (n_b,)
        Time of the crossing, or for a miss of its end.
    reached_a, reached_b : array-like of bool

    Returns
    -------
    Outcome
        The standardised sum of a's crossings observed less expected (its square is the chi-squared statistic), above 0
        where a reaches sooner. NaN for under 2 runs on a side, or where nothing tells them apart.
    """
    sides = [(_values(a), np.asarray(reached_a, dtype=bool)), (_values(b), np.asarray(reached_b, dtype=bool))]
    if min(times.size for times, _ in sides) < _LEAST:
        return _NONE
    crossings = np.concatenate([times[reached] for times, reached in sides])
    # A crossing says something only while both sides are still running.
    if not (crossings <= min(times.max() for times, _ in sides)).any():
        return _NONE
    from scipy.stats import logrank as scipy_logrank

    with np.errstate(divide="ignore", invalid="ignore"):
        found = scipy_logrank(*(censored(times, reached) for times, reached in sides))
    statistic, p_value = float(found.statistic), float(found.pvalue)
    return Outcome(statistic, p_value) if math.isfinite(statistic) else _NONE


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Return p-values corrected for their number after Holm (1979).

    Parameters
    ----------
    p_values : array-like of float, (m,)
        NaN is a test that could not be made; it is not counted.

    Returns
    -------
    ndarray of float64, (m,)
        At most 1; NaN stays.
    """
    p = np.asarray(p_values, dtype=np.float64)
    out = np.full(p.shape, np.nan)
    made = np.flatnonzero(~np.isnan(p))
    order = made[np.argsort(p[made], kind="stable")]
    out[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * (len(order) - np.arange(len(order)))))
    return out


def pooled_cv(a: ArrayLike, b: ArrayLike) -> float:
    """Return the CV of both sides together: the root of the mean square CV, weighted by n - 1.

    NaN if neither side has 2 values and a mean above 0.
    """
    squares = weights = 0.0
    for values in (_values(a), _values(b)):
        own = cv(values)
        if not math.isnan(own):
            squares += (values.size - 1) * own * own
            weights += values.size - 1
    return math.sqrt(squares / weights) if weights else math.nan


def detectable_ratio(n_a: int, n_b: int, spread: float, power: float = 0.8, level: float = 0.05) -> float:
    """Return the smallest ratio of means that a two-sided Welch test finds.

    Parameters
    ----------
    n_a, n_b : int
        Runs on each side.
    spread : float
        Their CV.
    power, level : float
        Chance to find it, and p-value at which it is found.

    Returns
    -------
    float
        Such as 1.20: a difference of 20 % of the mean. NaN for under 2 runs on a side or an unknown CV.
    """
    return 1 + detectable_effect(n_a, n_b, power, level) * spread


def detectable_effect(n_a: int, n_b: int, power: float = 0.8, level: float = 0.05) -> float:
    """Return the smallest difference, in standard deviations, that a two-sided Welch test finds.

    Both sides have the same spread, so the degrees of freedom are Welch's at equal variances. NaN for under 2 runs on
    a side.
    """
    if min(n_a, n_b) < _LEAST:
        return math.nan
    from scipy.optimize import brentq
    from scipy.stats import nct, t

    scale = math.sqrt(1 / n_a + 1 / n_b)
    df = (1 / n_a + 1 / n_b) ** 2 / (1 / (n_a**2 * (n_a - 1)) + 1 / (n_b**2 * (n_b - 1)))
    limit = float(t.isf(level / 2, df))

    def missing(effect: float) -> float:
        shift = effect / scale
        # The lower tail is left out where it is nothing: far from its centre scipy's distribution is NaN.
        other = float(nct.cdf(-limit, df, shift)) if shift < 5 else 0.0
        return power - float(nct.sf(limit, df, shift)) - other

    # The bracket grows from small effects, since scipy's distribution is NaN at large ones.
    low, high = 0.0, scale
    while (short := missing(high)) > 0:
        low, high = high, high * 1.5
    return math.nan if math.isnan(short) else float(brentq(missing, low, high, xtol=1e-12, rtol=1e-12))


# --------------------------------------------------------------------------------------------------------- private


def _values(values: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(values, dtype=np.float64).ravel()


def _sd(x: NDArray[np.float64]) -> float:
    return float(np.std(x, ddof=1)) if np.ptp(x) else 0.0
