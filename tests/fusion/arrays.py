"""Arrays of all kinds, and functions held to NumPy on them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

import workbench as wb

F = np.array([0.5, -1.5, 2.25, np.nan, np.inf, -np.inf, 0.0, -0.0, 3.0, 1e-3, 0.9, -0.2])
P = np.array([0.5, 1.5, 2.25, 0.1, 3.0, 0.25, 0.75, 0.125])
I = np.array([3, -2, 7, 0, 5, 1, -8, 2])  # noqa: E741
B = np.array([True, False, True, True, False, False, True, False])
M = np.arange(24.0).reshape(4, 6) % 7 - 2
T = np.arange(24.0).reshape(2, 3, 4) % 5


def same(lazy: Any, plain: Any, exact: bool = False, slack: float = 0.0, single: bool = False) -> str | None:
    """Return what differs between two values, None if nothing does that is not allowed."""
    a, b = np.asarray(lazy), np.asarray(plain)
    if a.dtype != b.dtype:
        return f"dtype {a.dtype} instead of {b.dtype}"
    if a.shape != b.shape:
        return f"shape {a.shape} instead of {b.shape}"
    if a.dtype.kind != "f" or exact:
        return None if np.array_equal(a, b, equal_nan=a.dtype.kind == "f") else f"{a} instead of {b}"
    relative = 1e-9 if a.dtype == np.float64 and not single else 1e-4
    with np.errstate(all="ignore"):
        close = np.isclose(a, b, rtol=relative, atol=relative * 1e-2 + slack, equal_nan=True)
    return None if close.all() else f"{a[~close].ravel()[:5]} instead of {b[~close].ravel()[:5]}"


def check(function: Callable[..., Any], *inputs: Any) -> Any:
    """Hold a function on lazy arrays to the same on arrays; return what it gave."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        wanted = function(*[x.copy() for x in inputs])
        found = function(*[wb.fusion.array(x.copy()) for x in inputs])
        for device in ("auto", "interpreter"):
            value = found.compute(device=device) if isinstance(found, wb.fusion.LazyArray) else found
            assert type(value) is type(wanted) or np.ndim(wanted) == 0
            assert same(value, wanted, single=getattr(wanted, "dtype", None) == np.float32) is None
    return found
