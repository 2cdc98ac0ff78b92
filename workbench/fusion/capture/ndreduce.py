"""Reductions and running values of lazy arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from workbench.fusion import expr as ir
from workbench.fusion.capture.array import LazyArray, lazy, now, settle_sizes
from workbench.fusion.capture.ndinputs import as_expr, run_in_numpy
from workbench.fusion.expr import Expr, Size
from workbench.fusion.ops import REDUCERS, supported
from workbench.fusion.positions import here

__all__ = ["axes_of", "reduce", "scan"]

_NONE: Any = getattr(np, "_NoValue", None)


def axes_of(axis: Any, ndim: int) -> tuple[int, ...] | None:
    """Return axes as a tuple of numbers that are not negative; None where NumPy has to say what is wrong."""
    if axis is None:
        return tuple(range(ndim))
    axes = axis if isinstance(axis, tuple) else (axis,)
    try:
        found = tuple([int(each) + ndim if int(each) < 0 else int(each) for each in axes])
    except TypeError:
        return None
    if any(not 0 <= each < ndim for each in found) or len(set(found)) < len(found):
        return None
    return found


def reduce(name: str, x: Any, options: dict[str, Any], function: Callable[..., Any]) -> Any:
    """Return a reduction: axis, keepdims, ddof (or correction) and dtype are known here, the rest runs in NumPy.

    Parameters
    ----------
    name : str
    x : LazyArray
    options : dict
        As they were given to the function.
    function : callable
        What runs instead: `function(x, **options)`.
    """
    given = {key: value for key, value in options.items() if value is not None and value is not _NONE}
    base = now(x) if isinstance(x, LazyArray) else as_expr(x)
    if given.get("initial") is not None or given.get("where", True) is not True or "out" in given or base is None:
        return run_in_numpy(name, function, (x,), _clean(options))
    axis, keepdims = given.get("axis"), bool(given.get("keepdims", False))
    ddof = given.get("ddof", given.get("correction", 0))
    axes = axes_of(axis, len(base.shape))
    known = {"axis", "keepdims", "ddof", "correction", "dtype", "where", "mean"}
    single = (
        name in ("argmin", "argmax")
        and axis is not None
        and (isinstance(axis, tuple) or (len(base.shape) == 1 and False))
    )
    odd = axes is None or not axes or set(given) - known or "mean" in given or single or not supported(base.dtype)
    if odd or not isinstance(ddof, int | float):
        return run_in_numpy(name, function, (x,), _clean(options))
    assert axes is not None
    if not REDUCERS[name].empty and _empty(base, axes):
        function(np.empty(settle_sizes(base.shape), base.dtype), **_clean(options))  # raises, or there is nothing to do
        return run_in_numpy(name, function, (x,), _clean(options))
    dtype = given.get("dtype")
    if name in ("nanmin", "nanmax") and base.dtype.kind != "f":
        name = name.removeprefix("nan")
    found = ir.reduce_(
        name, base, axes, keepdims=keepdims, ddof=ddof, dtype=None if dtype is None else np.dtype(dtype), where=here(3)
    )
    return lazy(found)


def _clean(options: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if value is not _NONE}


def _empty(x: Expr, axes: tuple[int, ...]) -> bool:
    """Whether a reduction is over nothing, as far as that is known without a run."""
    return any(x.shape[axis] == 0 for axis in axes if not isinstance(x.shape[axis], Size))


def scan(name: str, x: Any, axis: Any, dtype: Any, function: Callable[..., Any]) -> Any:
    """Return running values along an axis, of the flat array where it is None."""
    base = now(x) if isinstance(x, LazyArray) else as_expr(x)
    options = {"axis": axis, "dtype": dtype}
    if base is None or not supported(base.dtype):
        return run_in_numpy(name, function, (x,), options)
    if axis is None and len(base.shape) != 1:
        from workbench.fusion.capture import ndindex

        total = int(np.prod(settle_sizes(base.shape), dtype=np.int64))
        base, axis = now(ndindex.reshape(x, (total,))), 0
    axes = axes_of(0 if axis is None else axis, len(base.shape))
    if axes is None:
        return run_in_numpy(name, function, (x,), options)
    return lazy(ir.scan(name, base, axes[0], dtype, here(3)))
