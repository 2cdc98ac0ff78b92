"""The search for the rows with the least covariance determinant, by C-steps on many candidates at once."""

from __future__ import annotations

import math

import numpy as np

__all__ = ["consistency", "half_size", "least_determinant", "quantile_chi2"]

#: rows of a group, and how many groups at most
_GROUP, _GROUPS = 300, 5
#: candidates that each stage hands on
_BEST = 10
#: the search ends when the determinant falls by less than this share
_SETTLED = 1e-9
#: no candidate is stopped by a subset in a plane: in units of a metric's own spread
_RIDGE = 1e-10
#: standardised rows beyond this are never among the nearest; clipping keeps their squares in range
_FAR = 1e6


def half_size(m: int, p: int, support_fraction: float | None = None) -> int:
    """Return the number of rows whose determinant is made least."""
    h = (m + p + 1) // 2 if support_fraction is None else int(support_fraction * m)
    return min(m, max(h, min(m, p + 1)))


def quantile_chi2(p: int, share: float) -> float:
    """Return the quantile of the chi-squared distribution with p degrees of freedom."""
    from scipy.special import gammaincinv

    return 2.0 * float(gammaincinv(p / 2, share))


def consistency(p: int, share: float) -> float:
    """Return the factor that makes the covariance of the nearest share of normal rows consistent (Croux, 1999)."""
    from scipy.special import gammainc

    if share >= 1.0:
        return 1.0
    return share / float(gammainc(p / 2 + 1, quantile_chi2(p, share) / 2))


def least_determinant(z: np.ndarray, h: int, starts: int, seed: int) -> np.ndarray:
    """Return which h rows have the least covariance determinant, as far as the search finds it, bool (m,).

    Parameters
    ----------
    z : float64 (m, p)
        Standardised.
    h : int
    starts : int
        Random subsets of p + 1 rows to start from.
    seed : int
    """
    z = np.clip(z, -_FAR, _FAR)
    m, p = z.shape
    chosen = np.zeros(m, bool)
    if h >= m:
        return ~chosen
    if p == 1:
        chosen[_closest(z[:, 0], h)] = True
        return chosen
    chosen[_search(z, h, starts, np.random.Generator(np.random.PCG64(seed)))] = True
    return chosen


def _closest(z: np.ndarray, h: int) -> np.ndarray:
    """Return the h neighbours in order whose variance is least: exact for one metric."""
    order = np.argsort(z, kind="stable")
    ordered = z[order]
    sums = np.concatenate(([0.0], np.cumsum(ordered)))
    squares = np.concatenate(([0.0], np.cumsum(ordered * ordered)))
    total, square = sums[h:] - sums[:-h], squares[h:] - squares[:-h]
    begin = int(np.argmin(square - total * total / h))
    return order[begin : begin + h]


def _search(z: np.ndarray, h: int, starts: int, rng: np.random.Generator) -> np.ndarray:
    m, p = z.shape
    count = min(_GROUPS, max(1, m // _GROUP))
    size = _GROUP if m >= _GROUPS * _GROUP else m // count
    groups = rng.permutation(m)[: count * size].reshape(count, size)
    each = -(-starts // count)
    centers, covariances = [], []
    for group in groups:
        rows = z[group]
        picked = np.argpartition(rng.random((each, size)), min(p, size - 1), axis=1)[:, : p + 1]
        center, covariance = _moments(rows, picked)
        center, covariance, determinant = _steps(rows, center, covariance, max(p + 1, h * size // m), 2)
        best = np.argsort(determinant, kind="stable")[:_BEST]
        centers.append(center[best])
        covariances.append(covariance[best])
    center, covariance = np.concatenate(centers), np.concatenate(covariances)
    if count > 1:
        merged = z[groups.reshape(-1)]
        center, covariance, determinant = _steps(merged, center, covariance, max(p + 1, h * len(merged) // m), 2)
        best = np.argsort(determinant, kind="stable")[:_BEST]
        center, covariance = center[best], covariance[best]
    return _settle(z, center, covariance, h)


def _settle(z: np.ndarray, center: np.ndarray, covariance: np.ndarray, h: int) -> np.ndarray:
    """Take C-steps on all rows until no determinant falls any more; return the rows of the least one."""
    best, rows = math.inf, np.arange(h)
    before = np.full(len(center), math.inf)
    while len(center):
        picked = _nearest(z, center, covariance, h)
        center, covariance = _moments(z, picked)
        determinant = _determinants(covariance)
        least = int(np.argmin(determinant))
        if determinant[least] < best:
            best, rows = float(determinant[least]), picked[least]
        going = determinant < before * (1.0 - _SETTLED)
        # Candidates with one determinant have come to one subset: one of them goes on.
        _, first = np.unique(determinant, return_index=True)
        going &= np.isin(np.arange(len(going)), first)
        center, covariance, before = center[going], covariance[going], determinant[going]
    return rows


def _steps(
    z: np.ndarray, center: np.ndarray, covariance: np.ndarray, h: int, times: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    for _ in range(times):
        center, covariance = _moments(z, _nearest(z, center, covariance, h))
    return center, covariance, _determinants(covariance)


def _nearest(z: np.ndarray, center: np.ndarray, covariance: np.ndarray, h: int) -> np.ndarray:
    """Return for each candidate the h rows with the least distance from it, int (candidates, h)."""
    p = z.shape[1]
    root = np.linalg.cholesky(covariance + _RIDGE * np.eye(p))
    total = np.zeros((len(center), len(z)))
    solved: list[np.ndarray] = []
    for j in range(p):
        left = z[None, :, j] - center[:, j, None]
        for k in range(j):
            left -= root[:, j, k, None] * solved[k]
        left /= root[:, j, j, None]
        solved.append(left)
        total += left * left
    if h >= len(z):
        return np.broadcast_to(np.arange(len(z)), total.shape)
    return np.argpartition(total, h - 1, axis=1)[:, :h]


def _moments(z: np.ndarray, picked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and population covariance of the picked rows of each candidate, (candidates, p) and (.., p, p)."""
    rows = z[picked]
    center = rows.mean(axis=1)
    rows -= center[:, None, :]
    return center, np.einsum("bhi,bhj->bij", rows, rows) / picked.shape[1]


def _determinants(covariance: np.ndarray) -> np.ndarray:
    return np.prod(np.maximum(np.linalg.eigvalsh(covariance), 0.0), axis=1)
