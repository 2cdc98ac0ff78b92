"""Cubes: tables whose rows stand for many rows each, by a count and what is known of the metric among them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from workbench.anomaly.scorers import Cutoff, Tail
from workbench.engine.errors import WorkbenchError

__all__ = ["Cube", "Expected", "columns_of", "expected", "usable"]

#: beyond so many standard deviations a normal distribution counts as 0 or 1
_REACH = 3.5
#: relative slack for sums of counts that are not whole
_SLACK = 1e-9


@dataclass(frozen=True)
class Cube:
    """Which columns say what a row of a cube stands for.

    Parameters
    ----------
    count : str
        How many rows it stands for.
    mean, std : str, optional
        Mean and standard deviation of the metric among these. Outliers are expected as of a normal distribution.
    quantiles : mapping of float to str, optional
        Columns of the metric's quantiles, by their share: `{0.0: "min", 0.5: "p50", 1.0: "max"}`; 0 and 1 are needed.
        Outliers are expected as of a distribution that is uniform between neighbours. Taken before mean and std.
    """

    count: str
    mean: str | None = None
    std: str | None = None
    quantiles: Mapping[float, str] | None = None

    def __post_init__(self) -> None:
        if self.quantiles is not None and not isinstance(self.quantiles, Mapping):
            raise WorkbenchError("quantiles maps shares to columns.", 'Give {0.0: "min", 0.5: "p50", 1.0: "max"}.')
        if self.count is None:
            raise WorkbenchError(
                "A cube needs count, the column of how many rows each stands for.", 'Cube("count", …).'
            )
        if self.std is not None and self.mean is None:
            raise WorkbenchError("A cube with std needs mean too.", f'Cube("{self.count}", mean=…, std="{self.std}").')
        if not self.quantiles:
            object.__setattr__(self, "quantiles", None)
            return
        try:
            shares = {float(share): name for share, name in self.quantiles.items()}
        except (TypeError, ValueError) as error:
            raise WorkbenchError(
                "quantiles maps shares to columns.", 'Give {0.0: "min", 0.5: "p50", 1.0: "max"}.'
            ) from error
        wrong = [share for share in shares if not 0 <= share <= 1]
        if wrong:
            raise WorkbenchError(f"{wrong[0]:g} is not a quantile's share.", "Give shares from 0.0 to 1.0.")
        if 0.0 not in shares or 1.0 not in shares:
            raise WorkbenchError(
                "quantiles needs 0.0 and 1.0: the smallest and the largest value.",
                'Give {0.0: "min", 0.5: "p50", 1.0: "max"}.',
            )
        object.__setattr__(self, "quantiles", {share: shares[share] for share in sorted(shares)})


class Expected(NamedTuple):
    """How many of a cube's rows are outliers.

    Attributes
    ----------
    outliers, totals : float64 (n,)
        Outliers expected among the rows that each row stands for, and how many these are.
    cutoff : Cutoff
        In metric units; NaN where rows were marked.
    notes : tuple of str
    """

    outliers: np.ndarray
    totals: np.ndarray
    cutoff: Cutoff
    notes: tuple[str, ...]


def columns_of(cube: Cube) -> tuple[str, ...]:
    """Return the names of a cube's columns."""
    named = (cube.count, cube.mean, cube.std, *(cube.quantiles or {}).values())
    return tuple(dict.fromkeys(name for name in named if name is not None))


def usable(cube: Cube, columns: Mapping[str, np.ndarray], *, marked: bool = False, mean: bool = False) -> np.ndarray:
    """Return which rows have what is needed, bool (n,): the others are left out.

    Parameters
    ----------
    cube : Cube
    columns : mapping of name to float64 (n,)
        Null is NaN.
    marked : bool
        Whether rows are marked by `where` or `labels`: the metric is then not needed.
    mean : bool
        Whether the compare metric reads the mean.

    Raises
    ------
    WorkbenchError
        For a negative count.
    """
    count = columns[cube.count]
    check_weights(count, cube.count)
    known = ~np.isnan(count)
    needed: list[str | None] = [] if marked else list((cube.quantiles or {}).values()) or [cube.mean]
    if mean:
        needed.append(cube.mean)
    for name in needed:
        if name is not None:
            known &= ~np.isnan(columns[name])
    return known


def check_weights(weights: np.ndarray, name: str) -> None:
    """Raise the error for a weight that is negative or infinite."""
    wrong = np.flatnonzero((weights < 0) | np.isinf(weights))
    if len(wrong):
        value = float(weights[wrong[0]])
        raise WorkbenchError(
            f'"{name}" is {value:g} in row {int(wrong[0]):,}; a weight is a finite number, 0 or more.',
            "Leave such rows out, or correct them.",
        )


def expected(
    cube: Cube,
    columns: Mapping[str, np.ndarray],
    *,
    top: float = 0.01,
    tail: Tail = "both",
    marks: np.ndarray | None = None,
    every: bool = False,
) -> Expected:
    """Return how many outliers each row of a cube is expected to hold.

    Parameters
    ----------
    cube : Cube
    columns : mapping of name to float64 (n,)
        The rows that `usable` gives; NaN only in `std`.
    top : float
        Share of all rows that the cutoff of each asked tail leaves beyond it, by the walk over the values in order.
    tail : {"both", "high", "low"}
    marks : bool (n,), optional
        Rows that were marked as outliers: all that they stand for.
    every : bool
        Every row counts as an outlier (mean_deviation).
    """
    totals = np.asarray(columns[cube.count], dtype=np.float64)
    check_weights(totals, cube.count)
    unknown = Cutoff(math.nan, math.nan, math.nan)
    if every:
        return Expected(totals.copy(), totals, unknown, ())
    if marks is not None:
        return Expected(np.where(marks, totals, 0.0), totals, unknown, ())
    if cube.quantiles is not None:
        shares = np.array(list(cube.quantiles))
        points = np.column_stack([columns[name] for name in cube.quantiles.values()])
        _check_ascending(points, list(cube.quantiles.values()))
        values = (points[:, 1:] / 2 + points[:, :-1] / 2).ravel()
        weights = (np.diff(shares)[None, :] * totals[:, None]).ravel()
    elif cube.mean is not None:
        shares, points = np.empty(0), np.empty((0, 0))
        if cube.std is not None:
            _check_spread(columns[cube.std], cube.std)
        values, weights = np.asarray(columns[cube.mean], dtype=np.float64), totals
    else:
        raise WorkbenchError("No metric, where or labels given.", "Name a metric, or mark the rows with where.")
    low, high = _cutoffs(values, weights, top, tail)
    beyond = np.zeros(len(totals))
    for cut, side in ((high, 1.0), (low, -1.0)):
        if math.isinf(cut) and cut == side * math.inf:
            continue  # a tail that was not asked for
        if cube.quantiles is not None:
            beyond += _beyond_quantiles(points, shares, cut, side)
        else:
            beyond += _beyond_normal(values, None if cube.std is None else columns[cube.std], cut, side)
    return Expected(totals * np.minimum(beyond, 1.0), totals, Cutoff(low, high, math.nan), ())


def _cutoffs(values: np.ndarray, weights: np.ndarray, top: float, tail: Tail) -> tuple[float, float]:
    """Return the first values, from the bottom and from the top, at which the counts reach the share asked for."""
    low, high = -math.inf, math.inf
    if not len(values):
        return low, high
    # Equal values in the order of their weights, so that sums do not depend on the order of the rows.
    order = np.lexsort((weights, values))
    values, weights = values[order], weights[order]
    asked = math.floor(top * float(np.sum(weights)) * (1 + _SLACK)) * (1 - _SLACK)
    last = len(values) - 1
    if tail != "high":
        low = float(values[min(last, int(np.searchsorted(np.cumsum(weights), asked)))])
    if tail != "low":
        high = float(values[last - min(last, int(np.searchsorted(np.cumsum(weights[::-1]), asked)))])
    return low, high


def _beyond_normal(mean: np.ndarray, std: np.ndarray | None, cut: float, side: float) -> np.ndarray:
    """Return the share of each row's normal distribution that lies beyond a cutoff on one side."""
    from scipy.special import ndtr

    whole = (side * (mean - cut) > 0).astype(np.float64)
    if std is None:
        return whole
    spread = np.asarray(std, dtype=np.float64)
    known = spread > 0
    with np.errstate(invalid="ignore", over="ignore"):
        z = side * (mean - cut) / np.where(known, spread, 1.0)
    share = np.where(z > _REACH, 1.0, np.where(z < -_REACH, 0.0, ndtr(z)))
    return np.where(known, share, whole)


def _beyond_quantiles(points: np.ndarray, shares: np.ndarray, cut: float, side: float) -> np.ndarray:
    """Return the share of each row's piecewise uniform distribution that lies beyond a cutoff on one side."""
    a, b = side * points[:, :-1], side * points[:, 1:]
    low, high = np.minimum(a, b), np.maximum(a, b)
    cut = side * cut
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        part = (high - cut) / (high - low)
    part = np.where(low == high, low > cut, np.clip(part, 0.0, 1.0))
    return part @ np.diff(shares)


def _check_spread(std: np.ndarray, name: str) -> None:
    wrong = np.flatnonzero(std < 0)
    if len(wrong):
        value = float(std[wrong[0]])
        raise WorkbenchError(
            f'"{name}" is {value:g} in row {int(wrong[0]):,}; a standard deviation is 0 or more.',
            "Leave such rows out, or correct them.",
        )


def _check_ascending(points: np.ndarray, names: list[str]) -> None:
    wrong = np.argwhere(points[:, 1:] < points[:, :-1])
    if len(wrong):
        row, column = wrong[0]
        raise WorkbenchError(
            f'"{names[column]}" is above "{names[column + 1]}" in row {row:,}.', "Quantiles ascend with their share."
        )
