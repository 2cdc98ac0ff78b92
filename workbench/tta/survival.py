"""Times with misses kept: a run that did not reach is censored where it ended (Kaplan-Meier), never dropped."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.tta.intervals import LEAST, Interval, percentile_interval, resamples

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

__all__ = ["censored", "expected_time", "km_median", "ratio_of_medians", "reach_curve"]

#: a survival of exactly one half, as a product of rounded factors
_HALF = 0.5 + 1e-12


def censored(times: ArrayLike, reached: ArrayLike) -> Any:
    """Return `scipy.stats.CensoredData`.

    Parameters
    ----------
    times : array-like of float, (n,)
        Time of the crossing, or for a miss of its end.
    reached : array-like of bool, (n,)
    """
    from scipy.stats import CensoredData

    t, e = _sample(times, reached)
    return CensoredData(uncensored=t[e], right=t[~e])


def km_median(times: ArrayLike, reached: ArrayLike) -> float:
    """Return the Kaplan-Meier median: the least time at which at most half are expected not to have reached.

    Parameters
    ----------
    times : array-like of float, (n,)
        Time of the crossing, or for a miss of its end.
    reached : array-like of bool, (n,)

    Returns
    -------
    float
        NaN where the curve stays above one half.
    """
    t, e = _sample(times, reached)
    if not e.any():
        return math.nan
    from scipy.stats import ecdf

    curve = ecdf(censored(t, e)).sf
    below = np.flatnonzero(np.asarray(curve.probabilities) <= _HALF)
    return float(curve.quantiles[below[0]]) if below.size else math.nan


def reach_curve(times: ArrayLike, reached: ArrayLike) -> tuple[Floats, Floats]:
    """Return the share expected to have reached by each time (one less Kaplan-Meier), as the corners of its steps.

    Parameters
    ----------
    times : array-like of float, (n,)
        Time of the crossing, or for a miss of its end.
    reached : array-like of bool, (n,)

    Returns
    -------
    times, shares : ndarray of float64, (m,)
        From 0 to the last time; nothing without runs.
    """
    t, e = _sample(times, reached)
    if not t.size:
        return np.empty(0), np.empty(0)
    steps, shares = np.array([t.max()]), np.array([0.0])
    if e.any():
        from scipy.stats import ecdf

        curve = ecdf(censored(t, e)).cdf
        steps, shares = np.asarray(curve.quantiles, float), np.asarray(curve.probabilities, float)
    before = np.concatenate([[0.0], shares[:-1]])
    corners = np.concatenate([[0.0], np.repeat(steps, 2)]), np.concatenate([[0.0], np.ravel([before, shares], "F")])
    return corners[0], corners[1]


def expected_time(times: ArrayLike, reached: ArrayLike) -> float:
    """Return the time spent by all runs over the number that reached: what one success costs.

    Parameters
    ----------
    times : array-like of float, (n,)
        Time of the crossing, or for a miss of its end.
    reached : array-like of bool, (n,)

    Returns
    -------
    float
        inf if none reached, NaN without runs.
    """
    t, e = _sample(times, reached)
    if not t.size:
        return math.nan
    return float(t.sum()) / int(e.sum()) if e.any() else math.inf


def ratio_of_medians(a: ArrayLike, reached_a: ArrayLike, b: ArrayLike, reached_b: ArrayLike) -> tuple[float, Interval]:
    """Return the ratio of the Kaplan-Meier medians of a and b, and its 95 % interval.

    Parameters
    ----------
    a, b : array-like of float, (n_a,), (n_b,)
        Time of the crossing, or for a miss of its end.
    reached_a, reached_b : array-like of bool

    Returns
    -------
    ratio : float
        NaN if one of the medians is not reached, or both are 0.
    interval : Interval
        Percentile bootstrap over runs, where a median that is not reached counts as infinite. NaN without a ratio, and
        if a side has under 3 runs.
    """
    none = Interval(math.nan, math.nan)
    (t_a, e_a), (t_b, e_b) = _sample(a, reached_a), _sample(b, reached_b)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = float(np.float64(km_median(t_a, e_a)) / np.float64(km_median(t_b, e_b)))
        if math.isnan(ratio) or min(t_a.size, t_b.size) < LEAST:
            return ratio, none
        found = [
            _medians(t_a, e_a, first) / _medians(t_b, e_b, second) for first, second in resamples(t_a.size, t_b.size)
        ]
    return ratio, percentile_interval(np.concatenate(found))


# --------------------------------------------------------------------------------------------------------- private


def _sample(times: ArrayLike, reached: ArrayLike) -> tuple[Floats, Bools]:
    return np.asarray(times, dtype=np.float64).ravel(), np.asarray(reached, dtype=np.bool_).ravel()


def _medians(times: Floats, reached: Bools, index: NDArray[np.int64]) -> Floats:
    """Return the Kaplan-Meier median of each resample, a row of `index`; inf where it is not reached."""
    distinct, place = np.unique(times, return_inverse=True)
    rows, m = len(index), len(distinct)
    cell = place[index] + m * np.arange(rows)[:, None]
    every = np.bincount(cell.ravel(), minlength=rows * m).reshape(rows, m)
    crossed = np.bincount(cell.ravel(), weights=reached[index].ravel(), minlength=rows * m).reshape(rows, m)
    at_risk = every[:, ::-1].cumsum(axis=1)[:, ::-1]
    curve = np.cumprod(1 - crossed / np.maximum(at_risk, 1), axis=1)
    below = curve <= _HALF
    return np.where(below.any(axis=1), distinct[below.argmax(axis=1)], math.inf)
