"""Means and covariances of a few rows, and which of several metrics say something of their own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from workbench.anomaly.exact import ExactSum

__all__ = ["covariance_of", "independent", "location_of", "standardised"]

#: a metric whose distance from what the others give is less than this share of its own spread says nothing of its own
_NOTHING = 1e-7


def location_of(rows: np.ndarray) -> np.ndarray:
    """Return the exactly rounded mean of rows (n, p), float64 (p,): it does not depend on their order."""
    return np.array([ExactSum().add(rows[:, j]).value(len(rows)) for j in range(rows.shape[1])])


def covariance_of(rows: np.ndarray, center: np.ndarray) -> np.ndarray:
    """Return the population covariance of rows (n, p) around a centre, float64 (p, p), with exact sums."""
    left = rows - center
    _, exponents = np.frexp(np.abs(left).max(axis=0, initial=0.0))
    left = np.ldexp(left, -exponents)  # no square leaves the range of a double
    p = rows.shape[1]
    found = np.zeros((p, p))
    for i in range(p):
        for j in range(i + 1):
            found[i, j] = found[j, i] = ExactSum().add(left[:, i] * left[:, j]).value(len(rows))
    with np.errstate(over="ignore", under="ignore"):
        return np.ldexp(np.ldexp(found, exponents[:, None]), exponents[None, :])


def standardised(rows: np.ndarray) -> np.ndarray:
    """Return rows (n, p) with each metric around its median in units of its MAD, or of what spread it has."""
    center = np.median(rows, axis=0)
    left = rows - center
    distances = np.abs(left)
    scale = np.median(distances, axis=0)
    for j in np.flatnonzero(scale == 0):
        positive = distances[distances[:, j] > 0, j]
        scale[j] = np.median(positive) if len(positive) else 1.0
    return left / scale


def independent(rows: np.ndarray, names: Sequence[str]) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Return which metrics are not linear combinations of earlier ones, and a note for each of the others.

    Parameters
    ----------
    rows : float64 (m, p), finite
    names : sequence of str

    Returns
    -------
    kept : tuple of int
    notes : tuple of str
    """
    m, p = rows.shape
    if not m:
        return (), ()
    z = standardised(rows)
    # A relation holds in each row, so rows may be weighted: far rows shall not outshout the others.
    weight = 1.0 / np.maximum(1.0, np.abs(z).max(axis=1, initial=0.0))
    basis = [weight / np.linalg.norm(weight)]
    kept: list[int] = []
    notes: list[str] = []
    for j in range(p):
        column = z[:, j] * weight
        size = float(np.linalg.norm(column))
        left = _project_out(column, basis)
        rest = float(np.linalg.norm(left))
        if size and rest > _NOTHING * size and m > len(kept) + 1:
            basis.append(left / rest)
            kept.append(j)
        else:
            notes.append(_dropped(z, weight, j, kept, names))
    return tuple(kept), tuple(notes)


def _project_out(column: np.ndarray, basis: Sequence[np.ndarray]) -> np.ndarray:
    left = column
    for _ in range(2):  # twice is enough to be orthogonal to the last bit
        for direction in basis:
            left = left - direction * float(np.sum(direction * left))
    return left


def _dropped(z: np.ndarray, weight: np.ndarray, j: int, kept: Sequence[int], names: Sequence[str]) -> str:
    """Return the note for a metric that is dropped: which others it moves with."""
    table = np.column_stack([np.ones(len(z)), z[:, list(kept)]]) * weight[:, None]
    factors = np.linalg.lstsq(table, z[:, j] * weight, rcond=None)[0][1:]
    others = [names[k] for k, factor in zip(kept, factors, strict=True) if abs(factor) > 1e-6]
    if not others:
        return f"{names[j]} never changes; dropped {names[j]} for the covariance."
    together = [*others, names[j]]
    return f"{', '.join(together[:-1])} and {together[-1]} always move together; dropped {names[j]} for the covariance."
