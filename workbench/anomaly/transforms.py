"""What a score orders or adds up: small functions from rows to one number a row, that may travel to other processes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

__all__ = [
    "Above",
    "Below",
    "Capped",
    "Distance",
    "Identity",
    "ScoreOf",
    "Squares",
    "Transform",
    "Usable",
    "Winsorised",
    "WinsorisedProduct",
    "column_of",
    "table_of",
]


class Transform(Protocol):
    """Maps rows, float64 (n,) or (n, p), to one float64 a row. Small, picklable, equal for equal parameters."""

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return the values, float64 (n,)."""
        ...


def column_of(x: np.ndarray, col: int) -> np.ndarray:
    """Return one metric of rows (n,) or (n, p)."""
    return x if x.ndim == 1 else x[:, col]


def table_of(x: np.ndarray) -> np.ndarray:
    """Return rows (n,) or (n, p) as (n, p)."""
    return x[:, None] if x.ndim == 1 else x


@dataclass(frozen=True)
class Identity:
    """The metric itself."""

    col: int = 0

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return a column."""
        return column_of(x, self.col)


@dataclass(frozen=True)
class Distance:
    """abs(x - center)."""

    center: float
    col: int = 0

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return the distances of a column."""
        found = np.subtract(column_of(x, self.col), self.center)
        return np.abs(found, out=found)


@dataclass(frozen=True)
class Above:
    """x - center."""

    center: float
    col: int = 0

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return how far a column lies above."""
        return np.subtract(column_of(x, self.col), self.center)


@dataclass(frozen=True)
class Below:
    """center - x."""

    center: float
    col: int = 0

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return how far a column lies below."""
        return np.subtract(self.center, column_of(x, self.col))


@dataclass(frozen=True)
class Squares:
    """((x - center) * factor) squared; the factor is a power of two that keeps the squares in range."""

    center: float
    factor: float = 1.0
    col: int = 0

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return the squares of a column."""
        found = np.subtract(column_of(x, self.col), self.center)
        if self.factor != 1.0:
            found *= self.factor
        with np.errstate(over="ignore", under="ignore"):
            return np.multiply(found, found, out=found)


@dataclass(frozen=True)
class Capped:
    """abs(x - center), at most a bound; infinite rows stay infinite."""

    center: float
    bound: float
    col: int = 0

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return the bounded distances of a column."""
        found = Distance(self.center, self.col)(x)
        return np.where(np.isinf(found), found, np.minimum(found, self.bound))


@dataclass(frozen=True)
class Usable:
    """One of several metrics; rows with an infinite metric are infinite, whichever metric it is."""

    col: int

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return a column."""
        return np.where(np.isfinite(table_of(x)).all(axis=1), column_of(x, self.col), math.inf)


@dataclass(frozen=True)
class Winsorised:
    """Several metrics, each brought between two bounds; rows with an infinite metric are infinite.

    Attributes
    ----------
    bounds : tuple of (low, high)
        One for each metric.
    """

    bounds: tuple[tuple[float, float], ...]
    col: int = 0

    def column(self, col: int) -> Winsorised:
        """Return the transform of one metric."""
        return Winsorised(self.bounds, col)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return one metric."""
        return np.where(np.isfinite(table_of(x)).all(axis=1), self.clipped(x, self.col), math.inf)

    def clipped(self, x: np.ndarray, col: int) -> np.ndarray:
        """Return one metric between its bounds."""
        return np.clip(column_of(x, col), *self.bounds[col])


@dataclass(frozen=True)
class WinsorisedProduct:
    """The product of two winsorised metrics, each around a centre and times a power of two."""

    winsorised: Winsorised
    cols: tuple[int, int]
    centers: tuple[float, float]
    factors: tuple[float, float]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return the products; infinite for rows with an infinite metric."""
        (i, j), (a, b), (s, t) = self.cols, self.centers, self.factors
        found = (self.winsorised.clipped(x, i) - a) * s * ((self.winsorised.clipped(x, j) - b) * t)
        return np.where(np.isfinite(table_of(x)).all(axis=1), found, math.inf)


@dataclass(frozen=True)
class ScoreOf:
    """The score that a fitted model gives."""

    model: Any

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return the scores."""
        return np.asarray(self.model.score(x), dtype=np.float64)
