# ruff: noqa: E741  (O is the count of outliers, as everywhere in the literature)
"""The compare metrics: how much more often a set of values is found among outliers than elsewhere.

Counts are `o` outliers among the `t` rows of a set, and `O` outliers among all `N` rows; all functions take scalars or
arrays, integers or sums of weights, and give float64. Everywhere the edges are tested in the order in which they are
written, so that each table of counts has one value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.anomaly.intervals import interval, mean_shift_interval
from workbench.engine.errors import WorkbenchError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = [
    "COUNT_NAMES",
    "MEAN_NAMES",
    "NAMES",
    "check",
    "default_min_ratio",
    "global_ratio",
    "interval",
    "mean_deviation",
    "mean_shift",
    "mean_shift_interval",
    "p_values",
    "prevalence_difference",
    "prevalence_ratio",
    "q_values",
    "risk_ratio",
    "value",
]

#: metrics of counts alone
COUNT_NAMES = ("risk_ratio", "global_ratio", "prevalence_ratio", "prevalence_difference")
#: metrics that look at the means of a number
MEAN_NAMES = ("mean_shift", "mean_deviation")
NAMES = COUNT_NAMES + MEAN_NAMES

#: `min_ratio` of all functions but SQL, and what it stands for with a metric whose largest value is 1
_MIN_RATIO, _MIN_DIFFERENCE = 3.0, 0.1


def _float64(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a formula float64 arrays, no warnings at its edges, and a float back where all it got was scalar."""
    from functools import wraps

    @wraps(function)
    def wrapped(*given: Any) -> Any:
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            out = function(*(np.asarray(each, dtype=np.float64) for each in given))
        return out if np.ndim(out) else float(out)

    return wrapped


@_float64
def risk_ratio(o: Any, t: Any, O: Any, N: Any) -> Any:
    """Return the share of outliers in the set over that outside of it.

    Parameters
    ----------
    o, t, O, N : number or array-like
        Outliers in the set, rows in the set, all outliers, all rows.

    Returns
    -------
    float or ndarray of float64
        (o/t) / ((O-o)/(N-t)); 0 where no outlier is inside or no row outside, then inf where no outlier is outside.
    """
    ratio = np.where(o == O, np.inf, (o / t) / ((O - o) / (N - t)))
    return np.where((o == 0) | (t == 0) | (t == N), 0.0, ratio)


@_float64
def global_ratio(o: Any, t: Any, O: Any, N: Any) -> Any:
    """Return the share of outliers in the set over that among all rows.

    Parameters and returns as `risk_ratio`: (o/t) / (O/N), and 0 where the set is empty or nothing is an outlier.
    """
    return np.where((t == 0) | (O == 0), 0.0, (o / t) / (O / N))


@_float64
def prevalence_ratio(o: Any, t: Any, O: Any, N: Any) -> Any:
    """Return the odds of being an outlier in the set over those among all rows.

    Parameters and returns as `risk_ratio`: [o/(t-o)] / [O/(N-O)], where no inliers count as one, so that it is never
    infinite; 0 where no outlier is inside.
    """
    inside, everywhere = np.where(t == o, 1.0, t - o), np.where(N == O, 1.0, N - O)
    return np.where(o == 0, 0.0, (o / inside) / (O / everywhere))


@_float64
def prevalence_difference(o: Any, t: Any, O: Any, N: Any) -> Any:
    """Return the set's share of all outliers less its share of all inliers, from -1 to 1.

    Parameters and returns as `risk_ratio`: o/O - (t-o)/(N-O), and 0 where there are no outliers or no inliers.
    """
    return np.where((O == 0) | (N == O), 0.0, o / O - (t - o) / (N - O))


@_float64
def mean_shift(mean_out: Any, mean_in: Any) -> Any:
    """Return the mean of a number over the outliers of a set, divided by that over its inliers.

    Parameters
    ----------
    mean_out, mean_in : number or array-like
        The two means; NaN where there are no rows.

    Returns
    -------
    float or ndarray of float64
        Their quotient. Where the inliers' mean is 0, inf if the outliers' is above 0, else NaN, which no least value
        lets pass.
    """
    return np.where(mean_in == 0, np.where(mean_out > 0, np.inf, np.nan), mean_out / mean_in)


@_float64
def mean_deviation(mean_set: Any, mean_all: Any, std_all: Any) -> Any:
    """Return how far the mean of a set is from that of all rows, in population standard deviations.

    Parameters
    ----------
    mean_set, mean_all, std_all : number or array-like
        Mean over the set, mean and population standard deviation over all rows.

    Returns
    -------
    float or ndarray of float64
        abs(mean_set - mean_all) / std_all; 0 where the deviation of all rows is 0.
    """
    return np.where(std_all == 0, 0.0, np.abs(mean_set - mean_all) / std_all)


_OF_COUNTS: dict[str, Callable[..., Any]] = {
    "risk_ratio": risk_ratio,
    "global_ratio": global_ratio,
    "prevalence_ratio": prevalence_ratio,
    "prevalence_difference": prevalence_difference,
}


def value(name: str, o: ArrayLike, t: ArrayLike, O: ArrayLike, N: ArrayLike) -> Any:
    """Return a metric of counts by its name.

    Parameters
    ----------
    name : str
        One of `COUNT_NAMES`.
    o, t, O, N : number or array-like
        As in `risk_ratio`.

    Raises
    ------
    WorkbenchError
        If there is no such metric.
    ValueError
        For a metric of means, which counts do not give.
    """
    if check(name) not in _OF_COUNTS:
        raise ValueError(f"{name} is made of means, not of counts")
    return _OF_COUNTS[name](o, t, O, N)


def check(name: str) -> str:
    """Return the name of a metric, or raise the error that lists all of them."""
    if name not in NAMES:
        raise WorkbenchError(f'No compare metric "{name}".', f"Known: {', '.join(NAMES)}")
    return name


def default_min_ratio(name: str, given: float) -> float:
    """Return the least value that is meant: 3.0 left as it is would let no difference of shares pass, so it is 0.1."""
    return _MIN_DIFFERENCE if name == "prevalence_difference" and given == _MIN_RATIO else given


def p_values(o: ArrayLike, t: ArrayLike, O: ArrayLike, N: ArrayLike) -> Any:
    """Return the chance that `t` rows drawn blindly hold `o` or more of the `O` outliers.

    Parameters
    ----------
    o, t, O, N : number or array-like
        As in `risk_ratio`. Sums of weights are rounded to whole counts.

    Returns
    -------
    float or ndarray of float64
        P(X >= o) of the hypergeometric distribution, one-sided.
    """
    from scipy.stats import hypergeom

    o, t, O, N = (np.rint(np.asarray(each, dtype=np.float64)) for each in (o, t, O, N))
    return hypergeom.sf(o - 1, np.maximum(N, 1.0), O, t)  # which knows no empty urn


def q_values(p: ArrayLike) -> Any:
    """Return the false discovery rate at which each finding still stands, after Benjamini and Hochberg (1995).

    Parameters
    ----------
    p : array-like of float, (m,)
        The p-values of all that was tested, also of what is not reported.

    Returns
    -------
    ndarray of float64, (m,)
    """
    from scipy.stats import false_discovery_control

    return false_discovery_control(np.asarray(p, dtype=np.float64))
