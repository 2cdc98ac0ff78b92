"""Whether fused and eager answers agree, within what reassociation allows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from workbench.fusion.eager import evaluate
from workbench.fusion.errors import check_failed
from workbench.fusion.expr import Expr
from workbench.fusion.graph import walk

__all__ = ["compare_values", "difference"]

#: itemsize -> (relative, absolute by the largest element) difference allowed
ALLOWED = {8: (1e-9, 1e-12), 4: (1e-4, 1e-6), 2: (2e-2, 1e-2)}


def compare_values(exprs: Sequence[Expr], values: Sequence[Any]) -> float:
    """Return the largest difference between values and what the captured calls give one by one.

    Raises
    ------
    FusionError
        If one is beyond what is allowed; it keeps both.
    """
    known: dict[int, Any] = {}
    eager = evaluate(exprs, known)
    largest = 0.0
    for root, fused, wanted in zip(exprs, values, eager, strict=True):
        slack = _slack(root, known)
        error, allowed, fits = difference(fused, wanted, slack)
        if not fits:
            raise check_failed(error, root.name, allowed, fused, wanted)
        largest = max(largest, error)
    return largest


def difference(fused: Any, eager: Any, slack: float = 0.0) -> tuple[float, float, bool]:
    """Return the error of one value against another, the error allowed, and whether it fits.

    Parameters
    ----------
    fused, eager : array-like
    slack : float
        Added to the absolute difference allowed: the bound of float sums inside.
    """
    a, b = np.asarray(fused), np.asarray(eager)
    if a.shape != b.shape or a.dtype != b.dtype:
        return float("inf"), 0.0, False
    if a.dtype.kind != "f":
        same = np.array_equal(a, b)
        return (0.0 if same else float("inf")), 0.0, bool(same)
    if not a.size:
        return 0.0, 0.0, True
    relative, absolute = ALLOWED.get(a.dtype.itemsize, (1e-9, 1e-12))
    with np.errstate(all="ignore"):
        finite = np.isfinite(a) & np.isfinite(b)
        if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
            return float("inf"), relative, False
        a, b = a[finite].astype(np.float64), b[finite].astype(np.float64)
        if not a.size:
            return 0.0, relative, True
        off = np.abs(a - b)
        floor = absolute * float(np.abs(b).max()) + slack
        fits = bool((off <= floor + relative * np.abs(b)).all())
        error = float((off / np.maximum(np.maximum(np.abs(b), floor / relative), 1e-300)).max())
    return error, relative, fits


def _slack(root: Expr, known: dict[int, Any]) -> float:
    """Return the bound of 1e-12 times the sum of absolute values over the float sums that a value is made of."""
    found = 0.0
    for node in walk([root]):
        if node.kind in ("Reduce", "Scan", "GroupReduce") and node.inputs[-1].dtype.kind == "f":
            x = np.asarray(known[id(node.inputs[-1])])
            if x.size and x.dtype.kind == "f":
                with np.errstate(all="ignore"):
                    total = float(np.abs(x[np.isfinite(x)]).sum(dtype=np.float64))
                found += (1e-12 if node.kind != "GroupReduce" else 1e-9) * total
    return found
