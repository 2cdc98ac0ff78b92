"""The public estimators and functions of `workbench.anomaly.score`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from workbench.anomaly.passes import ArrayPasses
from workbench.anomaly.scorers import DistanceModel, EllipseModel
from workbench.anomaly.single import fit_mad, fit_zscore
from workbench.anomaly.transforms import table_of
from workbench.engine.errors import WorkbenchError

__all__ = ["MAD", "MCD", "RCOV", "ZScore", "mad_score", "normalize", "percentile", "zscore"]


class _Distance:
    """A centre and a scale of one metric."""

    center_: float
    scale_: float
    _model: DistanceModel

    def fit(self, x: Any) -> Any:
        """Fit to the values x, float64 (n,); NaN are left out. Returns the estimator."""
        values = _numbers(x, 1)
        self._model = self._fitted(ArrayPasses(values))
        self.center_, self.scale_ = self._model.center, self._model.scale
        return self

    def score(self, x: Any) -> np.ndarray:
        """Return abs(x - center_) / scale_, float64 (n,); NaN where x is."""
        if not hasattr(self, "_model"):
            raise WorkbenchError(f"This {type(self).__name__} is not fitted.", "Call fit(x) first.")
        return self._model.score(np.asarray(x, dtype=np.float64).reshape(-1))

    def _fitted(self, passes: ArrayPasses) -> DistanceModel:
        raise NotImplementedError

    def __repr__(self) -> str:
        fitted = f"center_={self.center_!r}, scale_={self.scale_!r}" if hasattr(self, "_model") else ""
        return f"{type(self).__name__}({fitted})"


class MAD(_Distance):
    """Distance from the median in units of the median absolute deviation (without the factor 1.4826).

    Where that is 0, the scale is the mean of the sorted distances over the indices floor(0.05 n) <= i < floor(0.95 n);
    where that is 0 too, the score is 0 at the median and inf elsewhere. Centre and scale come from the finite values.

    Attributes
    ----------
    center_, scale_ : float
    """

    def _fitted(self, passes: ArrayPasses) -> DistanceModel:
        model = fit_mad(passes, 0.01, "both", math.inf, "x").model
        assert isinstance(model, DistanceModel)
        return model


class ZScore(_Distance):
    """Distance from the mean in units of the population standard deviation, both exactly rounded.

    With a standard deviation of 0 every finite score is 0. Centre and scale come from the finite values.

    Attributes
    ----------
    center_, scale_ : float
    """

    def _fitted(self, passes: ArrayPasses) -> DistanceModel:
        model = fit_zscore(passes, 0.01, "both", math.inf).model
        assert isinstance(model, DistanceModel)
        return model


class _Ellipse:
    """A centre and a covariance of several metrics."""

    center_: np.ndarray
    covariance_: np.ndarray
    _model: EllipseModel

    def score(self, x: Any) -> np.ndarray:
        """Return the Mahalanobis distance of each row of x (n, p), float64 (n,); NaN where a metric is."""
        if not hasattr(self, "_model"):
            raise WorkbenchError(f"This {type(self).__name__} is not fitted.", "Call fit(x) first.")
        values = np.asarray(x, dtype=np.float64)
        values = table_of(values)
        return np.where(np.isnan(values).any(axis=1), math.nan, self._model.score(values))

    def _keep(self, model: EllipseModel, p: int) -> None:
        """Take a model over; a metric that was dropped has a NaN centre and covariance."""
        self._model = model
        self.center_ = np.full(p, math.nan)
        self.covariance_ = np.full((p, p), math.nan)
        kept = list(model.kept)
        self.center_[kept] = model.center
        self.covariance_[np.ix_(kept, kept)] = model.covariance


class RCOV(_Ellipse):
    """Mahalanobis distance from mean and covariance of the metrics, each winsorised at two quantiles.

    Parameters
    ----------
    trim : float
        Each metric is brought between its `trim` and 1 - `trim` quantiles.

    Attributes
    ----------
    center_ : float64 (p,)
    covariance_ : float64 (p, p)
        Like `np.cov`. NaN for a metric that is a linear combination of earlier ones.
    notes_ : tuple of str
        What was dropped.
    """

    def __init__(self, trim: float = 0.05) -> None:
        if not 0 <= trim < 0.5:
            raise WorkbenchError(f"trim is {trim:g}; it is a share of each end.", "Give 0 <= trim < 0.5, such as 0.05.")
        self.trim = trim

    def fit(self, x: Any) -> RCOV:
        """Fit to rows x, float64 (n, p); rows with a NaN are left out. Returns the estimator."""
        from workbench.anomaly.mcd import fit_rcov

        values = _numbers(x, 2)
        p = values.shape[1]
        model, self.notes_ = fit_rcov(ArrayPasses(values), [f"x{i}" for i in range(p)], self.trim)
        self._keep(model, p)
        return self


class MCD(_Ellipse):
    """Mahalanobis distance from the minimum covariance determinant estimate (FastMCD, reweighted once).

    Parameters
    ----------
    support_fraction : float, optional
        Share of the rows whose covariance determinant is made least; by default (m + p + 1) // 2 of m rows.
    starts : int
        Random subsets to start from.
    seed : int
        Of these subsets, and of the sample.

    Attributes
    ----------
    center_ : float64 (p,)
    covariance_ : float64 (p, p)
        After reweighting, consistent for normal data. NaN for a metric that is a linear combination of earlier ones.
    raw_center_, raw_covariance_ : float64
        Mean and population covariance of the rows with the least determinant.
    sample_ : int64 (m,)
        The rows fitted to: all, up to 10,000.
    support_ : bool (m,)
        The rows of the sample with the least determinant.
    notes_ : tuple of str
        What was dropped.
    """

    def __init__(self, support_fraction: float | None = None, starts: int = 500, seed: int = 0) -> None:
        if support_fraction is not None and not 0 < support_fraction <= 1:
            raise WorkbenchError(
                f"support_fraction is {support_fraction:g}; it is a share of rows.", "Give more than 0 and at most 1."
            )
        if starts < 1:
            raise WorkbenchError(f"starts is {starts}; it is a number of subsets.", "Give 1 or more, such as 500.")
        self.support_fraction, self.starts, self.seed = support_fraction, starts, seed

    def fit(self, x: Any) -> MCD:
        """Fit to rows x, float64 (n, p); rows with a NaN are left out. Returns the estimator."""
        from workbench.anomaly.mcd import SAMPLE, mcd
        from workbench.anomaly.passes import sample_rows

        table = table_of(np.asarray(x, dtype=np.float64))
        rows = np.flatnonzero(~np.isnan(table).any(axis=1))
        if not len(rows):
            raise WorkbenchError("x has no rows with a number.", "Give at least one.")
        rows = rows[sample_rows(len(rows), min(len(rows), SAMPLE), self.seed)]
        rows = rows[np.isfinite(table[rows]).all(axis=1)]
        p = table.shape[1]
        found = mcd(
            table[rows],
            [f"x{i}" for i in range(p)],
            support_fraction=self.support_fraction,
            starts=self.starts,
            seed=self.seed,
        )
        self._keep(EllipseModel(found.center, found.covariance, found.kept), p)
        self.raw_center_, self.raw_covariance_ = found.raw_center, found.raw_covariance
        self.sample_, self.support_, self.notes_ = rows, found.support, found.notes
        return self


def _numbers(x: Any, dimensions: int) -> np.ndarray:
    """Return float64 (n,) or (n, p) without the rows that have a NaN."""
    values = np.asarray(x, dtype=np.float64)
    if dimensions == 1 and values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if dimensions == 2 and values.ndim == 1:
        values = values[:, None]
    if values.ndim != dimensions:
        raise WorkbenchError(
            f"x has shape {values.shape}.", f"Give an array of {dimensions} dimension{'s'[: dimensions - 1]}."
        )
    missing = np.isnan(values)
    if missing.any():
        values = values[~(missing if dimensions == 1 else missing.any(axis=1))]
    if not len(values):
        raise WorkbenchError("x has no rows with a number.", "Give at least one.")
    return values


# functions on one array


def percentile(x: Any) -> np.ndarray:
    """Return the percentile of each value: its lowest rank among ties divided by the number of values.

    Parameters
    ----------
    x : array_like of float64 (n,)
        NaN is null.

    Returns
    -------
    float64 (n,)
        1 / n for the smallest value, 1 for a largest one without ties, below 1 for largest ones with; NaN where x is.
    """
    values, known = _known(x)
    found = np.full(len(values), math.nan)
    ordered = np.sort(values[known])
    found[known] = (np.searchsorted(ordered, values[known], side="left") + 1) / max(1, len(ordered))
    return found


def normalize(x: Any) -> np.ndarray:
    """Return (x + off) / (max + off), where off is 0 if the minimum is positive, else minus the minimum.

    Parameters
    ----------
    x : array_like of float64 (n,)
        NaN is null.

    Returns
    -------
    float64 (n,)
        NaN where x is; 0 where all values are the same and not positive. Infinite values stay infinite and do not count
        for minimum and maximum.
    """
    values, known = _known(x)
    finite = values[np.isfinite(values)]
    if not len(finite):
        return np.where(known, values, math.nan)
    low, high = float(finite.min()), float(finite.max())
    off = 0.0 if low > 0 else -low
    if high + off == 0.0:
        return np.where(np.isfinite(values), 0.0, values)
    if math.isinf(high + off):
        return (values / 2 + off / 2) / (high / 2 + off / 2)
    return (values + off) / (high + off)


def mad_score(x: Any) -> np.ndarray:
    """Return abs(x - median) / MAD of each value, with the fallback of `MAD` where MAD is 0; NaN where x is."""
    return _scored(x, MAD())


def zscore(x: Any) -> np.ndarray:
    """Return abs(x - mean) / standard deviation (population) of each value; NaN where x is."""
    return _scored(x, ZScore())


def _scored(x: Any, estimator: Any) -> np.ndarray:
    values, known = _known(x)
    found = np.full(len(values), math.nan)
    if known.any():
        found[known] = estimator.fit(values[known]).score(values[known])
    return found


def _known(x: Any) -> tuple[np.ndarray, np.ndarray]:
    values = np.asarray(x, dtype=np.float64).reshape(-1)
    return values, ~np.isnan(values)
