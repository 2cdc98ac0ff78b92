# ruff: noqa: E741  (O is the count of outliers, as everywhere in the literature)
"""95 % intervals of the compare metrics: on the log scale for ratios, after Newcombe for the difference of shares.

Counts are named as in `compare`. A ratio of 0 has no logarithm, so no interval: both ends are NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["Z", "interval", "mean_shift_interval"]

#: the 97.5 % point of the normal distribution
Z = 1.959964

Moments = tuple[Any, Any, Any]
Ends = tuple[Any, Any]


def interval(name: str, o: ArrayLike, t: ArrayLike, O: ArrayLike, N: ArrayLike) -> Ends:
    """Return the 95 % interval of a metric of counts.

    Parameters
    ----------
    name : str
        A compare metric.
    o, t, O, N : number or array-like
        Outliers in the set, rows in the set, all outliers, all rows.

    Returns
    -------
    low, high : float or ndarray of float64
        With an empty cell that the formula divides by, `high` is inf, and `low` is that of the table with 0.5 more in
        each cell, at most the ratio itself. NaN for a ratio of 0, and for the metrics of means.

    Raises
    ------
    WorkbenchError
        If there is no such metric.
    """
    from workbench.anomaly.compare import check, value  # which offers `interval` as one of its own

    check(name)
    arrays = [np.asarray(each, dtype=np.float64) for each in (o, t, O, N)]
    o, t, O, N = np.broadcast_arrays(*arrays)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if name == "prevalence_difference":
            low, high = _newcombe(o, t, O, N)
        elif name in _VARIANCES:
            low, high = _log_scale(lambda *counts: value(name, *counts), _VARIANCES[name], o, t, O, N)
        else:
            low = high = np.full(o.shape, np.nan)
    return _plain(low), _plain(high)


def mean_shift_interval(outliers: Moments, inliers: Moments) -> Ends:
    """Return the 95 % interval of a quotient of two means, by the delta method on the log scale.

    Parameters
    ----------
    outliers, inliers : (count, mean, variance), each a number or array-like
        Moments of the metric over the outliers and over the inliers of each set; population variances, as a search
        finds them. The formula uses those of samples.

    Returns
    -------
    low, high : float or ndarray of float64
        NaN where the quotient is not above 0 or not finite, and where a variance is unknown, as that of one row.
    """
    (n1, m1, v1), (n2, m2, v2) = (
        tuple(np.asarray(each, dtype=np.float64) for each in moments) for moments in (outliers, inliers)
    )
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = m1 / m2
        ratio = np.where((ratio > 0) & np.isfinite(ratio), ratio, np.nan)
        factor = np.exp(Z * np.sqrt(v1 / ((n1 - 1) * m1 * m1) + v2 / ((n2 - 1) * m2 * m2)))
        low, high = ratio / factor, ratio * factor
    return _plain(low), _plain(high)


def _log_scale(ratio_of: Callable[..., Any], variance: Callable[..., Any], *table: Any) -> Ends:
    ratio, v = np.asarray(ratio_of(*table)), variance(*table)
    factor = np.exp(Z * np.sqrt(np.maximum(v, 0.0)))  # below 0 by rounding only
    low, high = ratio / factor, ratio * factor
    empty = np.isinf(v)  # the formula has divided by an empty cell
    if empty.any():
        o, t, O, N = table
        filled = o + 0.5, t + 1.0, O + 1.0, N + 2.0
        least = ratio_of(*filled) / np.exp(Z * np.sqrt(variance(*filled)))
        low, high = np.where(empty, np.minimum(least, ratio), low), np.where(empty, np.inf, high)
    return np.where(ratio > 0, low, np.nan), np.where(ratio > 0, high, np.nan)


def _risk_variance(o: Any, t: Any, O: Any, N: Any) -> Any:
    return 1 / o - 1 / t + 1 / (O - o) - 1 / (N - t)


def _global_variance(o: Any, t: Any, O: Any, N: Any) -> Any:
    # The set is a part of all rows: the last term is what the two shares have in common.
    return 1 / o - 1 / t - 1 / O - 1 / N + 2 * o / (t * O)


def _prevalence_variance(o: Any, t: Any, O: Any, N: Any) -> Any:
    # Where no inliers are left at all, 1/0 - 1/0: it is the empty cell that counts.
    return np.where(t == o, np.inf, 1 / o - 1 / O + 1 / (t - o) - 1 / (N - O))


_VARIANCES = {"risk_ratio": _risk_variance, "global_ratio": _global_variance, "prevalence_ratio": _prevalence_variance}


def _newcombe(o: Any, t: Any, O: Any, N: Any) -> Ends:
    """Return Newcombe's interval (1998, method 10) of o/O - (t-o)/(N-O)."""
    first, second = o / O, (t - o) / (N - O)
    (low1, high1), (low2, high2) = _wilson(first, O), _wilson(second, N - O)
    difference = first - second
    # np.square, since ** rounds otherwise for a scalar than for an array
    low = difference - np.sqrt(np.square(first - low1) + np.square(high2 - second))
    high = difference + np.sqrt(np.square(high1 - first) + np.square(second - low2))
    return low, high


def _wilson(share: Any, n: Any) -> Ends:
    """Return Wilson's interval of a share of n."""
    centre, half = share + Z * Z / (2 * n), Z * np.sqrt(share * (1 - share) / n + Z * Z / (4 * n * n))
    return (centre - half) / (1 + Z * Z / n), (centre + half) / (1 + Z * Z / n)


def _plain(x: NDArray[np.float64]) -> Any:
    return x if np.ndim(x) else float(x)
