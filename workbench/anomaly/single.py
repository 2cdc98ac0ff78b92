"""Scores of one metric: distance from the median or the mean, and percentiles."""

from __future__ import annotations

import math
from typing import Any

from workbench.anomaly.exact import ExactSum
from workbench.anomaly.passes import (
    Above,
    ArrayPasses,
    Distance,
    Identity,
    Passes,
    Squares,
    neighbours,
)
from workbench.anomaly.scorers import Cutoff, DistanceModel, PercentileModel, Scored, Tail
from workbench.anomaly.selection import interpolate, midpoint, position
from workbench.anomaly.transforms import Capped

__all__ = ["fit_mad", "fit_percentile", "fit_zscore"]


def fit_mad(passes: Passes, top: float, tail: Tail, threshold: float | None, name: str) -> Scored:
    center, middle, cut = _median_and_cut(passes, top, tail, threshold)
    notes: tuple[str, ...] = ()
    scale = midpoint(*middle)
    if scale == 0.0:
        finite = passes.n - sum(passes.infinite())
        scale = _middle_mean(passes, center, finite)
        if scale > 0:
            notes = (
                f'More than half of "{name}" is {center!r}, so MAD is 0; '
                f"used the mean distance of the middle 90 % instead ({scale:.3g}).",
            )
        elif finite > 1 and _spread(passes, center):
            notes = (
                f'More than half of "{name}" is {center!r}, so MAD is 0, '
                "and so is the mean distance of the middle 90 %: every other value scores inf.",
            )
    return _distance(center, scale, tail, cut, threshold, notes)


def _median_and_cut(
    passes: Passes, top: float, tail: Tail, threshold: float | None
) -> tuple[float, tuple[float, float], float | None]:
    """Return the median, the two middle distances from it, and the cut on the distance (None with a threshold)."""
    minus, plus = passes.infinite()
    finite = passes.n - minus - plus
    if not finite:
        return 0.0, (0.0, 0.0), None if threshold is not None else math.inf
    halves = [(finite - 1) // 2, finite // 2]
    edges = neighbours(passes.n, [1.0 - top])
    asked = [minus + rank for rank in halves]
    if threshold is None and tail != "both":
        # On one tail distances keep or turn round the order of x, so the cut stands in the same round as the median.
        asked += edges if tail == "high" else [passes.n - 1 - rank for rank in edges]
    found = passes.order(Identity(), asked)
    center = midpoint(found[0], found[1])
    if threshold is not None or tail != "both":
        middle = passes.order(Distance(center), halves)
    else:
        *middle, below, above = passes.order(Distance(center), halves + edges)
    cut = None
    if threshold is None:
        if tail == "high":
            below, above = found[2] - center, found[3] - center
        elif tail == "low":
            below, above = center - found[2], center - found[3]
        cut = interpolate(below, above, position(passes.n, 1.0 - top)[1])
    return center, (middle[0], middle[1]), cut


def _middle_mean(passes: Passes, center: float, finite: int) -> float:
    """Return the mean of the sorted distances over the indices floor(0.05 n) <= i < floor(0.95 n)."""
    first, last = math.floor(0.05 * finite), math.floor(0.95 * finite)
    if last <= first:
        return 0.0
    (bound,) = passes.order(Distance(center), [last - 1])
    total = passes.measure([], [Capped(center, bound)])[1][0]
    # The largest ones count as the bound and are taken off again; the smallest ones are 0, as more than half are.
    rest = ExactSum().merge(total).add([bound], [-float(finite - last)])
    return rest.value(last - first, finite=True)


def _spread(passes: Passes, center: float) -> bool:
    first, last = passes.order(Identity(), [0, passes.n - 1])
    return not first == last == center


def fit_zscore(passes: Passes, top: float, tail: Tail, threshold: float | None) -> Scored:
    minus, plus = passes.infinite()
    finite = passes.n - minus - plus
    edges = neighbours(passes.n, [1.0 - top])
    center = scale = 0.0
    if finite:
        center = passes.measure([], [Identity()])[1][0].value(finite, finite=True)
    transform = {"both": Distance(center), "high": Above(center), "low": None}[tail]
    # The order of center - x is that of x from the other end.
    orders: list[Any] = []
    if threshold is None:
        orders = [(transform, edges)] if transform else [(Identity(), [passes.n - 1 - rank for rank in edges])]
    found, sums = passes.measure(orders, [Squares(center)])
    if finite:
        scale = _deviation(passes, center, sums[0], finite, minus + plus)
    cut = None
    if threshold is None:
        below, above = found[0]
        if tail == "low":
            below, above = center - below, center - above
        cut = interpolate(below, above, position(passes.n, 1.0 - top)[1])
    return _distance(center, scale, tail, cut, threshold, (), far=0.0)


def _deviation(passes: Passes, center: float, squares: ExactSum, finite: int, infinite: int) -> float:
    """Return the population standard deviation, also where squares leave the range of a double."""
    variance = squares.value(finite, finite=True)
    if squares.plus == infinite and (variance == 0.0 or variance > 1e-280):
        if variance > 0.0:
            return math.sqrt(variance)
        if squares.count == infinite:
            return 0.0
    largest = passes.order(Distance(center), [finite - 1])[0]
    if largest == 0.0:
        return 0.0
    exponent = math.frexp(largest)[1]
    scaled = passes.measure([], [Squares(center, math.ldexp(1.0, max(-1022, min(1023, -exponent))))])[1][0]
    return math.ldexp(math.sqrt(scaled.value(finite, finite=True)), max(-1023, min(1022, exponent)))


def _distance(
    center: float,
    scale: float,
    tail: Tail,
    cut: float | None,
    threshold: float | None,
    notes: tuple[str, ...],
    far: float = math.inf,
) -> Scored:
    """Return the fitted model, from the cut on the distance or the threshold on the score."""
    if threshold is not None:
        limit, cut = threshold, _cut_of(threshold, scale, far)
    elif cut is None:
        raise ValueError("a cut or a threshold is needed")
    elif scale > 0:
        limit = cut / scale
    elif far == 0.0:
        limit, cut = 0.0, max(cut, 0.0)
    else:
        limit = math.copysign(math.inf, cut) if cut else 0.0
    model = DistanceModel(center, scale, tail, cut, far)
    return Scored(
        model,
        Cutoff(center - cut if tail != "high" else -math.inf, center + cut if tail != "low" else math.inf, limit),
        notes,
    )


def _cut_of(threshold: float, scale: float, far: float) -> float:
    """Return the largest distance whose score is not above a threshold, so that both mark the same rows."""
    if scale == 0.0:
        if far == 0.0:
            return math.inf if threshold >= 0 else -math.inf
        return 0.0 if threshold >= 0 else -math.ulp(0.0)
    cut = threshold * scale
    if not math.isfinite(cut):
        return cut
    while cut / scale > threshold:
        cut = math.nextafter(cut, -math.inf)
    while (following := math.nextafter(cut, math.inf)) / scale <= threshold and following <= 1.7e308:
        cut = following
    return cut


def fit_percentile(passes: Passes, top: float, tail: Tail, threshold: float | None) -> Scored:
    low, high = -math.inf, math.inf
    if threshold is None:
        shares = {"both": [top, 1.0 - top], "high": [1.0 - top], "low": [top]}[tail]
        found = passes.quantiles(Identity(), shares)
        if tail != "high":
            low = found[0]
        if tail != "low":
            high = found[-1]
        limit = top if tail == "low" else 1.0 - top
    else:
        limit = threshold
        low, high = _percentile_bounds(passes, tail, threshold)
    asked: Tail = tail if threshold is None or tail == "low" else "high"
    return Scored(
        PercentileModel(low, high, asked, passes if isinstance(passes, ArrayPasses) else None), Cutoff(low, high, limit)
    )


def _percentile_bounds(passes: Passes, tail: Tail, threshold: float) -> tuple[float, float]:
    """Return bounds that mark the rows with percentile(c) > threshold; on the low tail with percentile(-c)."""
    n = passes.n
    # The least number of rows on this side of a row whose percentile is above the threshold.
    rank = max(0, math.floor(threshold * n) - 2)
    while (rank + 1) / n <= threshold and rank <= n:
        rank += 1
    if rank > n - 1:
        return -math.inf, math.inf
    if tail == "low":
        return passes.order(Identity(), [n - rank])[0] if rank else math.inf, math.inf
    return -math.inf, passes.order(Identity(), [rank - 1])[0] if rank else -math.inf
