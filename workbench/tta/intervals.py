"""95 % intervals: Wilson's for a share, the studentised bootstrap for mean, CV and ratio, percentiles for the median.

At the few runs that training can afford, percentile intervals of the CV are far too short (at n = 5 they cover 67 %);
dividing each resample by its own standard error, on the log scale for the CV, brings the coverage to 93 to 97 %.
Resampling starts from `default_rng(0)` each time, so that the same times give the same interval.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

__all__ = [
    "LEAST",
    "RESAMPLES",
    "Interval",
    "Intervals",
    "cv",
    "cv_interval",
    "intervals",
    "mean_interval",
    "median_interval",
    "percentile_interval",
    "ratio_of_means",
    "resamples",
    "wilson",
]

#: resamples of every bootstrap; odd and one short of 10,000, so that percentiles fall on a resample
RESAMPLES = 9_999
#: runs that an interval needs
LEAST = 3
#: indices handled at once: a block of resamples stays in the processor's cache
_BLOCK = 1 << 15
#: indices kept for the next sample of the same size
_KEPT = 1 << 21
_TAILS = (0.025, 0.975)


class Interval(NamedTuple):
    """Both ends of a 95 % interval; NaN where there is none."""

    low: float
    high: float


_NONE = Interval(math.nan, math.nan)


class Intervals(NamedTuple):
    """The intervals of one sample, made of the same resamples."""

    mean: Interval
    median: Interval
    cv: Interval


def wilson(successes: int, trials: int) -> Interval:
    """Return Wilson's 95 % interval of a share.

    Parameters
    ----------
    successes, trials : int
        `0 <= successes <= trials`.

    Returns
    -------
    Interval
        From 0 to 1; NaN where there are no trials.
    """
    if trials < 1:
        return _NONE
    from scipy.stats import binomtest

    found = binomtest(int(successes), int(trials)).proportion_ci(0.95, method="wilson")
    return Interval(float(found.low), float(found.high))


def cv(values: ArrayLike) -> float:
    """Return the coefficient of variation, sd (ddof 1) over mean.

    Parameters
    ----------
    values : array-like of float, (n,)

    Returns
    -------
    float
        NaN for under 2 values or a mean that is not above 0.
    """
    x = _sample(values)
    mean = float(np.mean(x)) if x.size else math.nan
    return float(np.std(x, ddof=1)) / mean if x.size >= 2 and mean > 0 else math.nan


def resamples(*sizes: int) -> Iterator[tuple[NDArray[np.int64], ...]]:
    """Yield the indices of all resamples, block by block; the same for the same sizes, whatever the blocks are.

    Parameters
    ----------
    *sizes : int
        Size of each sample; all resamples of the first are drawn before those of the second.

    Yields
    ------
    tuple of ndarray of int64, (block, size)
    """
    step = max(1, _BLOCK // max(sizes))
    blocks = [(start, min(start + step, RESAMPLES)) for start in range(0, RESAMPLES, step)]
    if max(sizes) * RESAMPLES <= _KEPT:
        kept = _drawn(sizes)
        yield from (tuple(index[start:stop] for index in kept) for start, stop in blocks)
        return
    # A generator for each sample, moved to where the samples before it end: the stream does not depend on the blocks.
    generators = [np.random.default_rng(0) for _ in sizes]
    for place, rng in enumerate(generators):
        for size in sizes[:place]:
            for start, stop in blocks:
                rng.integers(0, size, (stop - start, size))
    for start, stop in blocks:
        yield tuple(rng.integers(0, size, (stop - start, size)) for rng, size in zip(generators, sizes, strict=True))


def intervals(values: ArrayLike) -> Intervals:
    """Return the 95 % intervals of mean, median and CV.

    Parameters
    ----------
    values : array-like of float, (n,)
        Finite times, in the order of the runs.

    Returns
    -------
    Intervals
        NaN for under 3 values or without spread; of the CV also where the mean is not above 0.

    Notes
    -----
    With x* a resample, the mean's interval is `m - q * se` over the quantiles q of `(m* - m) / se*`, where
    `se = sd / sqrt(n)`. For the CV the same is done with its logarithm; its standard error by the influence function
    is `sqrt(mean(IF^2) / n)`, `IF = d^2 / (2 v) - 1/2 - d / m` with `d = x - m` and `v = mean(d^2)`. The median takes
    the percentiles of the resamples' medians. Resamples without spread are left out.
    """
    x = _sample(values)
    if x.size < LEAST or not _spread(x):
        return Intervals(_NONE, _NONE, _NONE)
    own = _moments(x[:, None])
    parts = []
    for (index,) in resamples(x.size):
        ordered = np.sort(x[index], axis=1)  # short rows: sorting beats partitioning
        if not (spread := ordered[:, 0] < ordered[:, -1]).all():
            ordered = ordered[spread]
        parts.append((*_moments(np.ascontiguousarray(ordered.T)), _medians(ordered)))
    mean, variance, cv_error, medians = (np.concatenate(part) for part in zip(*parts, strict=True))
    root = math.sqrt(x.size)
    error = float(np.sqrt(own[1][0])) / root
    of_mean = _studentised(float(own[0][0]), error, (mean - own[0]) / (np.sqrt(variance) / root))
    of_cv = _NONE
    if own[0][0] > 0:
        with np.errstate(divide="ignore", invalid="ignore"):
            # resamples of times all above 0 have a mean above 0; of others, those that have no CV are left out
            here, there = (np.log(np.sqrt(v) / m) for m, v in ((own[0], own[1]), (mean, variance)))
            ends = _studentised(float(here[0]), float(own[2][0]), (there - here) / cv_error)
        of_cv = Interval(*(_exp(end) for end in ends))
    return Intervals(of_mean, percentile_interval(medians), of_cv)


def mean_interval(values: ArrayLike) -> Interval:
    """Return the 95 % interval of the mean by the studentised bootstrap; see `intervals`."""
    return intervals(values).mean


def median_interval(values: ArrayLike) -> Interval:
    """Return the 95 % interval of the median by the percentile bootstrap; see `intervals`."""
    return intervals(values).median


def cv_interval(values: ArrayLike) -> Interval:
    """Return the 95 % interval of the CV by the studentised bootstrap of its logarithm; see `intervals`."""
    return intervals(values).cv


def ratio_of_means(a: ArrayLike, b: ArrayLike) -> tuple[float, Interval]:
    """Return mean(a) / mean(b) and its 95 % interval.

    Parameters
    ----------
    a, b : array-like of float, (n_a,), (n_b,)
        Finite times.

    Returns
    -------
    ratio : float
        NaN if a side is empty or a mean is not above 0.
    interval : Interval
        Studentised bootstrap on the log ratio, with `SE^2 = CV_a^2 / n_a + CV_b^2 / n_b`. NaN if a side has under 3
        values, or neither has spread.
    """
    x, y = _sample(a), _sample(b)
    if not x.size or not y.size or not np.mean(x) > 0 or not np.mean(y) > 0:
        return math.nan, _NONE
    here, error = _log_ratio(x[:, None], y[:, None])
    ratio = float(np.mean(x) / np.mean(y))
    if min(x.size, y.size) < LEAST or not (_spread(x) or _spread(y)):
        return ratio, _NONE
    roots = []
    with np.errstate(divide="ignore", invalid="ignore"):
        for first, second in resamples(x.size, y.size):
            drawn, other = x[first], y[second]
            alike = (drawn == drawn[:, :1]).all(axis=1) & (other == other[:, :1]).all(axis=1)
            there, spread = _log_ratio(drawn[~alike].T, other[~alike].T)
            roots.append((there - here) / spread)
    low, high = _studentised(float(here[0]), float(error[0]), np.concatenate(roots))
    return ratio, Interval(_exp(low), _exp(high))


def percentile_interval(values: Floats) -> Interval:
    """Return the 2.5 and 97.5 % points by linear interpolation.

    Parameters
    ----------
    values : ndarray of float64, (m,)
        May hold inf; NaN is left out.

    Returns
    -------
    Interval
        A point between a finite value and inf is inf. NaN if there are no values.
    """
    ordered = np.sort(values[~np.isnan(values)])
    if not ordered.size:
        return _NONE
    ends = []
    for share in _TAILS:
        place = share * (ordered.size - 1)
        below = float(ordered[math.floor(place)])
        above = float(ordered[math.ceil(place)])
        # inf - inf has no value, and equal neighbours need no interpolation
        ends.append(below if below == above else below + (place - math.floor(place)) * (above - below))
    return Interval(*ends)


# --------------------------------------------------------------------------------------------------------- private


def _exp(value: float) -> float:
    """Return e to a power; inf where that is beyond floats: of 4 times that differ by 1 %, the CV has no upper end."""
    return math.exp(value) if value < 709.0 else math.inf if value == value else math.nan


def _sample(values: ArrayLike) -> Floats:
    return np.asarray(values, dtype=np.float64).ravel()


def _spread(x: Floats) -> bool:
    return bool((x != x[0]).any())


@lru_cache(maxsize=8)
def _drawn(sizes: tuple[int, ...]) -> tuple[NDArray[np.int64], ...]:
    rng = np.random.default_rng(0)
    drawn = tuple(rng.integers(0, size, (RESAMPLES, size)) for size in sizes)
    for index in drawn:
        index.flags.writeable = False  # kept for the next sample of this size
    return drawn


def _moments(x: Floats) -> tuple[Floats, Floats, Floats]:
    """Return mean, variance (ddof 1) and standard error of the log CV of each column of (n, m)."""
    n = len(x)
    mean = x.mean(axis=0)
    d = x - mean
    squares = d * d
    v = squares.mean(axis=0)
    third, fourth = (np.einsum("ij,ij->j", squares, other) / n for other in (d, squares))
    with np.errstate(divide="ignore", invalid="ignore"):
        # the mean of IF^2, multiplied out, so that it takes no further pass over all resamples
        influence = fourth / (4 * v * v) - 0.25 + v / (mean * mean) - third / (v * mean)
        error = np.sqrt(np.maximum(influence, 0.0) / n)
    return mean, v * (n / (n - 1)), error


def _medians(ordered: Floats) -> Floats:
    """Return the median of each row of (m, n), whose values ascend."""
    n = ordered.shape[1]
    return (ordered[:, (n - 1) // 2] + ordered[:, n // 2]) / 2


def _log_ratio(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Return log(mean(x) / mean(y)) and its standard error for each column."""
    squares: Any = 0.0
    means = []
    for sample in (x, y):
        mean = sample.mean(axis=0)
        means.append(mean)
        if len(sample) > 1:
            squares = squares + sample.var(axis=0, ddof=1) / (mean * mean) / len(sample)
    return np.log(means[0] / means[1]), np.sqrt(squares)


def _studentised(centre: float, error: float, roots: Floats) -> Interval:
    """Return `centre - q * error` over the tails q of the roots that are finite."""
    roots = roots[np.isfinite(roots)]
    if not roots.size or not math.isfinite(error):
        return _NONE
    low, high = np.quantile(roots, _TAILS)
    return Interval(centre - float(high) * error, centre - float(low) * error)
