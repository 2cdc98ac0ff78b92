"""Histograms of a metric: equal-width bins with open ends, counted in one pass; `drawing.py` draws them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["BINS", "NONE", "between", "bin_counts", "bins_of", "edges_of", "frame_of", "points_of", "tails"]

BINS = 60
#: the bin of a row without a value
NONE = 255
#: between these points the bins are of equal width
_POINTS = (0.001, 0.999)
_LARGEST = float(np.finfo(np.float64).max)
#: rows worked on at a time, so that a long table costs no second copy of itself
_CHUNK = 1 << 20


def edges_of(values: NDArray[np.float64], weights: NDArray[np.float64] | None = None) -> NDArray[np.float64] | None:
    """Return the 61 edges of the bins, or None if there is no finite value.

    Parameters
    ----------
    values : float64 (n,)
        NaN and infinite ones are looked past.
    weights : float64 (n,), optional
        How many rows each value stands for.
    """
    finite = np.isfinite(values)
    if weights is not None:
        finite &= weights > 0
    kept = values if finite.all() else values[finite]
    if not len(kept):
        return None
    low, high = _weighted(kept, weights[finite]) if weights is not None else _points(kept)
    return between(low, high)


def between(low: float, high: float) -> NDArray[np.float64]:
    """Return the 61 edges of bins from `low` to `high`."""
    if not high > low:
        # At least as far apart as the bins need, where the floats themselves are further apart than one.
        pad = max(0.5, BINS * float(np.spacing(np.nextafter(abs(low), 0.0))))
        low, high = max(low - pad, -_LARGEST), min(high + pad, _LARGEST)
    with np.errstate(over="ignore", invalid="ignore"):
        edges = np.linspace(low, high, BINS + 1)
    if not (np.isfinite(edges).all() and (np.diff(edges) > 0).all()):
        # Neighbouring floats, or the two ends of their range, have no 60 equal steps between them.
        part = np.arange(BINS + 1) / BINS
        edges = np.maximum.accumulate(low * (1 - part) + high * part)
    return edges


def tails(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """Return the least and the greatest finite values of a part of the rows, both ascending, and how many there are.

    They are four times as many as lie beyond the two points, so that `points_of` finds those of all parts.
    """
    kept = np.sort(values[np.isfinite(values)])
    few = min(len(kept), int(4 * _POINTS[0] * len(kept)) + 50)
    return kept[:few], kept[len(kept) - few :], len(kept)


def points_of(parts: Sequence[tuple[NDArray[np.float64], NDArray[np.float64], int]]) -> tuple[float, float] | None:
    """Return the two points of all rows, of the `tails` of their parts; None if these do not reach far enough."""
    n = sum(count for _, _, count in parts)
    if not n:
        return None
    lows, highs = (np.sort(np.concatenate([part[side] for part in parts])) for side in (0, 1))
    first, last = (_place(p, n) for p in _POINTS)
    if math.ceil(first) >= len(lows) or n - 1 - math.floor(last) >= len(highs):
        return None
    low = _at(lows, first)
    high = _at(highs, last - (n - len(highs)))
    for least, greatest, count in parts:
        # A part that has told only some of its values may have more of them inside of its own bound.
        if len(least) < count and (least[-1] < lows[math.ceil(first)] or greatest[0] > highs[math.floor(last) - n]):
            return None
    return low, high


def bins_of(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return the bin of each value; the first and the last take all beyond them, NaN is `NONE`."""
    found = np.empty(len(values), np.uint8)
    for start in range(0, len(values), _CHUNK):
        part = values[start : start + _CHUNK]
        found[start : start + _CHUNK] = np.searchsorted(edges[1:-1], part, side="right")
        found[start : start + _CHUNK][np.isnan(part)] = NONE
    return found


def bin_counts(
    bins: NDArray[np.uint8], kinds: Iterable[NDArray[Any] | None], kept: NDArray[np.bool_] | None = None
) -> list[NDArray[Any]]:
    """Count the rows of each bin, once for each of `kinds`.

    Parameters
    ----------
    bins : uint8 (n,)
        As `bins_of` gives them.
    kinds : iterable of arrays (n,) or None
        None counts all rows, a bool array those that are True, a float array adds up weights.
    kept : bool (n,), optional
        Rows that count at all.

    Returns
    -------
    list of arrays (60,)
        int64 for rows, float64 for weights.
    """
    found: list[NDArray[Any]] = []
    for kind in kinds:
        weights = None
        if kind is None:
            chosen = bins if kept is None else bins[kept]
        elif kind.dtype.kind == "f":
            known = ~np.isnan(kind) if kept is None else ~np.isnan(kind) & kept
            chosen, weights = bins[known], kind[known]
        else:
            chosen = bins[kind if kept is None else kind & kept]
        # Counted in parts, as counting makes integers of eight bytes of them.
        parts = [
            np.bincount(
                chosen[start : start + _CHUNK],
                None if weights is None else weights[start : start + _CHUNK],
                minlength=NONE + 1,
            )
            for start in range(0, len(chosen), _CHUNK)
        ] or [np.zeros(NONE + 1, np.int64 if weights is None else np.float64)]
        found.append(np.sum(parts, axis=0)[:BINS])
    return found


def frame_of(edges: NDArray[np.float64] | None, counts: list[NDArray[Any]], dtype: str = "int64") -> pd.DataFrame:
    """Return `left, right, rows, outliers, selected`; the outer ends are infinite, as these bins are open."""
    import pandas as pd

    names = ("rows", "outliers", "selected")
    if edges is None:
        empty = {name: pd.Series(dtype="float64") for name in ("left", "right")}
        return pd.DataFrame({**empty, **{name: pd.Series(dtype=dtype) for name in names}})
    ends = edges.copy()
    ends[0], ends[-1] = -math.inf, math.inf
    columns = {name: part.astype(dtype) for name, part in zip(names, counts, strict=True)}
    return pd.DataFrame({"left": ends[:-1], "right": ends[1:], **columns})


def _points(values: NDArray[np.float64]) -> tuple[float, float]:
    places = [_place(p, len(values)) for p in _POINTS]
    ranks = sorted({rank for place in places for rank in (math.floor(place), math.ceil(place))})
    parted = np.partition(values, ranks)
    return _at(parted, places[0]), _at(parted, places[1])


def _place(p: float, n: int) -> float:
    """Return the position p(n + 1) of a quantile, 0-based: the rule for all quantiles of a score."""
    return min(max(p * (n + 1), 1.0), float(n)) - 1.0


def _at(ordered: NDArray[np.float64], place: float) -> float:
    below, above = float(ordered[math.floor(place)]), float(ordered[math.ceil(place)])
    share = place - math.floor(place)
    return below if below == above else below * (1 - share) + above * share


def _weighted(values: NDArray[np.float64], weights: NDArray[np.float64]) -> tuple[float, float]:
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weights[order])
    low, high = (int(np.searchsorted(total, p * total[-1])) for p in _POINTS)
    last = len(values) - 1
    return float(values[order[min(low, last)]]), float(values[order[min(high, last)]])
