"""Fitted scores: small, pure and picklable. Each gives the score of rows and marks the outliers among them."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from workbench.anomaly.transforms import table_of

if TYPE_CHECKING:
    from workbench.anomaly.passes import Passes

__all__ = [
    "Cutoff",
    "DistanceModel",
    "EllipseModel",
    "Model",
    "PercentileModel",
    "ResidualModel",
    "RowScores",
    "Scored",
    "Tail",
]

Tail = Literal["both", "high", "low"]

#: no finite distance is beyond this, and every infinite one is
LARGEST = sys.float_info.max
#: rows at a time, so that they stay in the cache
_PIECE = 1 << 15


class Model(Protocol):
    """A fitted score."""

    def score(self, x: np.ndarray) -> np.ndarray:
        """Return the score of each row, float64 (n,)."""
        ...

    def flags(self, x: np.ndarray) -> np.ndarray:
        """Return which rows are outliers, bool (n,)."""
        ...

    def part(self, start: int, stop: int) -> Model:
        """Return the model for rows start to stop of all rows: itself, unless it knows each row."""
        ...


@dataclass(frozen=True)
class Cutoff:
    """From where on a row is an outlier.

    Attributes
    ----------
    low, high : float
        In units of the metric: outliers are strictly below `low` or above `high`. -inf and +inf for a tail that was not
        asked, NaN where there are no such units (several metrics, `where`, `labels`).
    score : float
        In units of the score.
    """

    low: float
    high: float
    score: float


@dataclass(frozen=True, eq=False)
class Scored:
    """A fitted score.

    Attributes
    ----------
    model : Model
        `.score(x)` and `.flags(x)`; `.part(start, stop)` for rows of a part.
    cutoff : Cutoff
    notes : tuple of str
    """

    model: Model
    cutoff: Cutoff
    notes: tuple[str, ...] = ()


class _Pure:
    """A model that needs to know nothing but the row."""

    def part(self, start: int, stop: int) -> Any:
        """Return itself."""
        return self


@dataclass(frozen=True)
class DistanceModel(_Pure):
    """How far a metric lies from a centre, in units of a scale.

    Attributes
    ----------
    center, scale : float
    tail : {"both", "high", "low"}
    cut : float
        Rows whose distance is greater are outliers; infinite rows are, whatever the cut, on an asked tail.
    far : float
        The score of a row off the centre where the scale is 0: inf, or 0 if there shall be no outliers.
    """

    center: float
    scale: float
    tail: Tail
    cut: float
    far: float = math.inf

    def distance(self, x: np.ndarray) -> np.ndarray:
        """Return the distances on the asked tail, float64 (n,)."""
        if self.tail == "low":
            return np.subtract(self.center, x)
        found = np.subtract(x, self.center)
        return np.abs(found, out=found) if self.tail == "both" else found

    def score(self, x: np.ndarray) -> np.ndarray:
        """Return distance / scale."""
        found = self.distance(_flat(x))
        if self.scale > 0:
            with np.errstate(over="ignore"):
                return np.divide(found, self.scale, out=found)
        # `far` times the sign; 0 at the centre, and infinite rows are infinite in any case
        sign = np.sign(found)
        with np.errstate(invalid="ignore"):
            return np.where(np.isinf(found), found, np.where(sign == 0, 0.0, sign * self.far))

    def flags(self, x: np.ndarray) -> np.ndarray:
        """Return distance > cut."""
        x = _flat(x)
        cut = min(self.cut, LARGEST)
        found = np.empty(len(x), bool)
        for begin in range(0, len(x), _PIECE):
            end = begin + _PIECE
            np.greater(self.distance(x[begin:end]), cut, out=found[begin:end])
        return found


@dataclass(frozen=True)
class PercentileModel(_Pure):
    """Rows strictly beyond quantiles of the metric itself.

    The score of a row is `percentile(c)`. It needs all rows: `passes` are those of the fit, and do not travel; a model
    that was sent elsewhere marks rows, and `bind` gives it back its scores.
    """

    low: float
    high: float
    tail: Tail
    passes: Passes | None = field(default=None, compare=False, repr=False)

    def bind(self, passes: Passes) -> PercentileModel:
        """Return the model with the rows that its scores count."""
        return PercentileModel(self.low, self.high, self.tail, passes)

    def score(self, x: np.ndarray) -> np.ndarray:
        """Return the lowest rank of each row among ties, from 1, divided by the number of rows."""
        from workbench.anomaly.passes import Identity

        if self.passes is None:
            raise RuntimeError("A percentile needs the rows that it counts; bind(passes) first.")
        points, where = np.unique(_flat(x), return_inverse=True)
        return ((self.passes.ranks(points, Identity()) + 1) / self.passes.n)[where]

    def flags(self, x: np.ndarray) -> np.ndarray:
        """Return x > high or x < low."""
        x = _flat(x)
        found = np.zeros(len(x), bool)
        if self.tail != "low":
            found |= x > min(self.high, LARGEST)
        if self.tail != "high":
            found |= x < max(self.low, -LARGEST)
        return found

    def __getstate__(self) -> dict[str, Any]:
        return {"low": self.low, "high": self.high, "tail": self.tail, "passes": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


@dataclass(frozen=True, eq=False)
class EllipseModel(_Pure):
    """Mahalanobis distance from a centre, on the metrics that are not linear combinations of others.

    Attributes
    ----------
    center : float64 (p,)
    covariance : float64 (p, p)
    kept : tuple of int
        The metrics used.
    cut : float
        Rows with a greater score are outliers.
    """

    center: np.ndarray
    covariance: np.ndarray
    kept: tuple[int, ...]
    cut: float = math.inf
    root: np.ndarray = field(init=False, repr=False)
    factor: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # Powers of two bring the metrics to like size without rounding: no square leaves the range.
        spread = np.sqrt(np.diagonal(self.covariance))
        _, exponent = np.frexp(np.where(spread > 0, spread, 1.0))
        factor = np.ldexp(1.0, -exponent)
        scaled = self.covariance * factor[:, None] * factor[None, :]
        object.__setattr__(self, "factor", factor)
        object.__setattr__(self, "root", _root(scaled))

    def cut_at(self, cut: float) -> EllipseModel:
        """Return the model with another cut."""
        return EllipseModel(self.center, self.covariance, self.kept, cut)

    def score(self, x: np.ndarray) -> np.ndarray:
        """Return the distances; infinite for rows with an infinite metric."""
        x = table_of(x)
        found = np.empty(len(x))
        for begin in range(0, len(x), _PIECE):
            found[begin : begin + _PIECE] = self._distances(x[begin : begin + _PIECE])
        return found

    def flags(self, x: np.ndarray) -> np.ndarray:
        """Return score > cut."""
        return self.score(x) > min(self.cut, LARGEST)

    def _distances(self, x: np.ndarray) -> np.ndarray:
        # Forward substitution, one column after the other: the same operations in the same order for each row.
        total = np.zeros(len(x))
        solved: list[np.ndarray] = []
        with np.errstate(invalid="ignore", over="ignore"):
            for j, col in enumerate(self.kept):
                z = (x[:, col] - self.center[j]) * self.factor[j]
                for k in range(j):
                    z -= self.root[j, k] * solved[k]
                z /= self.root[j, j]
                solved.append(z)
                total += z * z
        total[~np.isfinite(x).all(axis=1)] = math.inf
        return np.sqrt(total)


@dataclass(frozen=True, eq=False)
class RowScores:
    """Scores known row by row, for scores that see all rows at once.

    Attributes
    ----------
    scores : float64 (n,)
        One for each row of the fit; `score` and `flags` take those rows again, in the same order.
    cut : float
    """

    scores: np.ndarray
    cut: float

    def score(self, x: np.ndarray) -> np.ndarray:
        """Return the scores of the rows of the fit."""
        _check_rows(x, self.scores)
        return self.scores

    def flags(self, x: np.ndarray) -> np.ndarray:
        """Return score > cut."""
        return self.score(x) > min(self.cut, LARGEST)

    def part(self, start: int, stop: int) -> RowScores:
        """Return the model of some rows."""
        return RowScores(self.scores[start:stop], self.cut)


@dataclass(frozen=True, eq=False)
class ResidualModel:
    """What is left of each row without trend and season, scored by another model.

    Attributes
    ----------
    residuals : float64 (n,)
        One for each row of the fit; `score` and `flags` take those rows again, in the same order.
    inner : DistanceModel
    """

    residuals: np.ndarray
    inner: DistanceModel

    def score(self, x: np.ndarray) -> np.ndarray:
        """Return the scores of the residuals."""
        _check_rows(x, self.residuals)
        return self.inner.score(self.residuals)

    def flags(self, x: np.ndarray) -> np.ndarray:
        """Return which residuals are outliers."""
        _check_rows(x, self.residuals)
        return self.inner.flags(self.residuals)

    def part(self, start: int, stop: int) -> ResidualModel:
        """Return the model of some rows."""
        return ResidualModel(self.residuals[start:stop], self.inner)


def _root(covariance: np.ndarray) -> np.ndarray:
    """Return the Cholesky factor; where rounding has made a covariance indefinite, with as little more as it takes."""
    if not len(covariance):
        return covariance
    for ridge in (0.0, 1e-15, 1e-13, 1e-11, 1e-9):
        try:
            return np.linalg.cholesky(covariance + ridge * np.diag(np.diagonal(covariance)))
        except np.linalg.LinAlgError:
            continue
    return np.diag(np.sqrt(np.diagonal(covariance)))


def _check_rows(x: np.ndarray, known: np.ndarray) -> None:
    if len(x) != len(known):
        raise ValueError(f"this score was fitted to {len(known)} rows and knows no others; got {len(x)}")


def _flat(x: np.ndarray) -> np.ndarray:
    return x if x.ndim == 1 else x.reshape(-1)
