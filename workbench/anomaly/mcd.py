"""Robust covariance of several metrics: FastMCD (Rousseeuw and Van Driessen, 1999) and winsorised covariance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workbench.anomaly.fastmcd import consistency, half_size, least_determinant, quantile_chi2
from workbench.anomaly.moments import covariance_of, independent, location_of, standardised
from workbench.anomaly.passes import Passes, Usable, Winsorised, WinsorisedProduct, between, neighbours
from workbench.anomaly.scorers import EllipseModel
from workbench.engine.errors import WorkbenchError

__all__ = ["SAMPLE", "MCDResult", "fit_mcd", "fit_rcov", "mcd"]

#: rows that FastMCD is fitted to
SAMPLE = 10_000
#: share of the rows that the reweighting keeps under a normal distribution
_KEPT = 0.975
#: numbers of rows, as shares, that are tried where the half lies in a plane
_WIDER = (0.75, 0.9, 0.975, 1.0)


@dataclass(frozen=True, eq=False)
class MCDResult:
    """What FastMCD found in a sample.

    Attributes
    ----------
    center : float64 (p,)
        Mean of the rows kept by the reweighting.
    covariance : float64 (p, p)
        Their covariance, consistent for normal data.
    raw_center, raw_covariance : float64 (p,), (p, p)
        Mean and population covariance of the rows with the least determinant.
    support : bool (m,)
        These rows.
    kept : tuple of int
        The metrics used; the others are linear combinations of them. All arrays have entries for these only.
    notes : tuple of str
    """

    center: np.ndarray
    covariance: np.ndarray
    raw_center: np.ndarray
    raw_covariance: np.ndarray
    support: np.ndarray
    kept: tuple[int, ...]
    notes: tuple[str, ...]


def fit_mcd(passes: Passes, seed: int, names: Sequence[str]) -> tuple[EllipseModel, tuple[str, ...]]:
    """Fit FastMCD to a sample of the rows, and return the model (without a cut) and notes."""
    rows = passes.sample(min(passes.n, SAMPLE), seed)
    rows = rows[np.isfinite(rows).all(axis=1)]
    notes: tuple[str, ...] = ()
    if passes.n > SAMPLE:
        notes = (f"The covariance comes from a sample of {len(rows):,} of {passes.n:,} rows (seed {seed}).",)
    found = mcd(rows, names, seed=seed)
    return EllipseModel(found.center, found.covariance, found.kept), found.notes + notes


def mcd(
    rows: np.ndarray,
    names: Sequence[str],
    *,
    support_fraction: float | None = None,
    starts: int = 500,
    seed: int = 0,
) -> MCDResult:
    """Return the minimum covariance determinant of some rows.

    Parameters
    ----------
    rows : float64 (m, p), finite
    names : sequence of str
        Of the metrics, for notes.
    support_fraction : float, optional
        Share of the rows whose determinant is made least; by default about half, (m + p + 1) // 2 rows.
    starts : int
        Random subsets to start from.
    seed : int

    Returns
    -------
    MCDResult
    """
    kept, notes = independent(rows, names)
    rows = np.ascontiguousarray(rows[:, kept])
    m, p = rows.shape
    if not p or not m:
        nothing = np.zeros(p), np.zeros((p, p))
        return MCDResult(*nothing, *nothing, np.ones(m, bool), kept, notes)
    z = standardised(rows)
    h = half_size(m, p, support_fraction)
    support = least_determinant(z, h, starts, seed)
    for share in _WIDER:
        if not _flat(z[support]):
            break
        if int(share * m) > h:
            support = least_determinant(z, int(share * m), starts, seed)
            if not _flat(z[support]):
                used = "all rows" if share == 1.0 else f"the closest {100 * share:g} % of the rows"
                notes += (
                    f"More than half of the rows {_plane([names[col] for col in kept])}; "
                    f"used {used} for the covariance instead.",
                )
    h = int(np.count_nonzero(support))
    raw_center = location_of(rows[support])
    raw_covariance = covariance_of(rows[support], raw_center)
    _check_range(raw_covariance, [names[col] for col in kept])
    model = EllipseModel(raw_center, raw_covariance * consistency(p, h / m), tuple(range(p)))
    near = model.score(rows) ** 2 <= quantile_chi2(p, _KEPT)
    center, covariance = raw_center, raw_covariance * consistency(p, h / m)
    if not _flat(z[near]):
        center = location_of(rows[near])
        covariance = covariance_of(rows[near], center) * consistency(p, _KEPT)
    return MCDResult(center, covariance, raw_center, raw_covariance, support, kept, notes)


def fit_rcov(passes: Passes, names: Sequence[str], trim: float = 0.05) -> tuple[EllipseModel, tuple[str, ...]]:
    """Fit mean and covariance of the metrics, each winsorised at its `trim` and 1 - `trim` quantiles.

    Returns the model (without a cut) and notes.
    """
    finite, ends = passes.n - passes.unusable(), (trim, 1.0 - trim)
    ranks = neighbours(finite, ends) if finite else []
    found, _ = passes.measure([(Usable(col), ranks) for col in range(passes.p)])
    bounds = [tuple(between(values, finite, ends)) if finite else (0.0, 0.0) for values in found]
    winsorised = Winsorised(tuple((low, high) for low, high in bounds))
    rows = passes.sample(min(passes.n, SAMPLE), 0)
    kept, notes = independent(np.clip(rows[np.isfinite(rows).all(axis=1)], *np.array(bounds).T), names)
    if not kept:
        return EllipseModel(np.zeros(0), np.zeros((0, 0)), ()), notes
    _, sums = passes.measure([], [winsorised.column(col) for col in kept])
    center = np.array([total.value(finite, finite=True) for total in sums])
    # Deviations are brought to like size by powers of two, which is exact.
    scales = [math.ldexp(1.0, -math.frexp(max(bounds[col][1] - bounds[col][0], 1e-300))[1]) for col in kept]
    pairs = [(i, j) for i in range(len(kept)) for j in range(i + 1)]
    products = [
        WinsorisedProduct(winsorised, (kept[i], kept[j]), (center[i], center[j]), (scales[i], scales[j]))
        for i, j in pairs
    ]
    _, sums = passes.measure([], products)
    covariance = np.zeros((len(kept), len(kept)))
    for (i, j), total in zip(pairs, sums, strict=True):
        covariance[i, j] = covariance[j, i] = total.value(max(1, finite - 1), finite=True) / scales[i] / scales[j]
    _check_range(covariance, [names[col] for col in kept])
    return EllipseModel(center, covariance, kept), notes


def _check_range(covariance: np.ndarray, names: Sequence[str]) -> None:
    """Raise the error for a metric whose squares leave the range of a double."""
    for name, variance in zip(names, np.diagonal(covariance).tolist(), strict=True):
        if not 1e-290 < variance < 1e290:
            size = "large" if variance > 1 else "small"
            raise WorkbenchError(
                f'"{name}" is too {size} for a covariance: its square is no number any more.',
                "Give it in another unit.",
            )


def _flat(z: np.ndarray) -> bool:
    """Return whether standardised rows lie in a plane (or a point), as far as numbers can tell."""
    if len(z) <= z.shape[1]:
        return True
    eigenvalues = np.linalg.eigvalsh(np.cov(z, rowvar=False, bias=True).reshape(z.shape[1], -1))
    return bool(eigenvalues[0] <= 1e-12 * max(1.0, eigenvalues[-1]))


def _plane(names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"have the same {names[0]}"
    where = "on one line" if len(names) == 2 else "in one plane"
    return f"lie {where} of {', '.join(names[:-1])} and {names[-1]}"
