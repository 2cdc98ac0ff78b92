"""The statistics of repeated runs: how often they reach, how long it takes, and how much is noise. Arrays only."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from workbench.tta.intervals import (
    Interval,
    Intervals,
    cv,
    cv_interval,
    intervals,
    mean_interval,
    median_interval,
    ratio_of_means,
    wilson,
)
from workbench.tta.rcp import RCP, olympic_mean, rcp_check
from workbench.tta.significance import (
    Outcome,
    detectable_effect,
    detectable_ratio,
    holm,
    logrank,
    mann_whitney,
    pooled_cv,
    welch,
)
from workbench.tta.survival import censored, expected_time, km_median, ratio_of_medians

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = [
    "RCP",
    "Interval",
    "Intervals",
    "Outcome",
    "accuracy_se",
    "censored",
    "cv",
    "cv_interval",
    "describe",
    "detectable_effect",
    "detectable_ratio",
    "expected_time",
    "holm",
    "intervals",
    "km_median",
    "logrank",
    "mann_whitney",
    "mean_interval",
    "median_interval",
    "olympic_mean",
    "pooled_cv",
    "ratio_of_means",
    "ratio_of_medians",
    "rcp_check",
    "warmup_outlier",
    "welch",
    "wilson",
]

#: runs without which a slow first one is no outlier, and how slow it has to be
_WARMUP_LEAST, _WARMUP_FACTOR = 4, 1.15


def describe(times: ArrayLike, reached: ArrayLike, seconds: ArrayLike | None = None) -> dict[str, float]:
    """Return what the counted runs of one recipe say.

    Parameters
    ----------
    times : array-like of float, (n,)
        Time of the crossing, or for a miss of its end, in any unit.
    reached : array-like of bool, (n,)
    seconds : array-like of float, (n,), optional
        The same in seconds, where `times` are in another unit.

    Returns
    -------
    dict
        `n, reached, reach_rate, reach_low, reach_high`; of the runs that reached `mean, mean_low, mean_high, median,
        median_low, median_high, sd, cv, cv_low, cv_high`; of all `km_median`, `expected_seconds`, `olympic`. NaN
        where there is no such figure.
    """
    t, e = np.asarray(times, dtype=np.float64).ravel(), np.asarray(reached, dtype=np.bool_).ravel()
    hits = t[e]
    n, k = len(t), len(hits)
    reach, ends = wilson(k, n), intervals(hits)
    return {
        "n": n,
        "reached": k,
        "reach_rate": k / n if n else math.nan,
        "reach_low": reach.low,
        "reach_high": reach.high,
        "mean": float(hits.mean()) if k else math.nan,
        "mean_low": ends.mean.low,
        "mean_high": ends.mean.high,
        "median": float(np.median(hits)) if k else math.nan,
        "median_low": ends.median.low,
        "median_high": ends.median.high,
        "sd": float(hits.std(ddof=1)) if k >= 2 else math.nan,
        "cv": cv(hits),
        "cv_low": ends.cv.low,
        "cv_high": ends.cv.high,
        "km_median": km_median(t, e),
        "expected_seconds": expected_time(t if seconds is None else seconds, e),
        "olympic": olympic_mean(np.where(e, t, math.inf)) if n >= 3 else math.nan,
    }


def warmup_outlier(times: ArrayLike, first_in_process: ArrayLike) -> bool:
    """Return whether a run that warmed its process up was slow for that reason.

    Parameters
    ----------
    times : array-like of float, (n,)
        NaN is left out.
    first_in_process : array-like of bool, (n,)

    Returns
    -------
    bool
        True if there are 4 times or more and a first one in its process is over 1.15 times the median of those that
        were not first.
    """
    t, first = np.asarray(times, dtype=np.float64).ravel(), np.asarray(first_in_process, dtype=np.bool_).ravel()
    known = np.isfinite(t)
    t, first = t[known], first[known]
    if len(t) < _WARMUP_LEAST or not first.any() or first.all():
        return False
    return bool(t[first].max() > _WARMUP_FACTOR * np.median(t[~first]))


def accuracy_se(value: float, n: float | None, *, percent: bool, goal: str = "max") -> float:
    """Return the binomial standard error of an accuracy, in the unit of the accuracy.

    Parameters
    ----------
    value : float
        The accuracy.
    n : int or None
        Samples judged.
    percent : bool
        Whether `value` is in percent, else a fraction.
    goal : {"max", "min"}
        A metric to be made small is no accuracy.

    Returns
    -------
    float
        `sqrt(p (1 - p) / n)`: 0.237 for 94 % of 10,000. NaN without n, and for what is no accuracy.
    """
    scale = 100.0 if percent else 1.0
    share = float(value) / scale
    if goal != "max" or n is None or not n > 0 or not 0 <= share <= 1:
        return math.nan
    return scale * math.sqrt(share * (1 - share) / n)
