"""Ufuncs of NumPy and SciPy on lazy arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.fusion.capture import ndindex, ndreduce
from workbench.fusion.capture.array import LazyArray, lazy
from workbench.fusion.capture.ndinputs import run_in_numpy
from workbench.fusion.capture.ndoperators import combine
from workbench.fusion.ops import OPS
from workbench.fusion.positions import here

__all__ = ["name_of", "ufunc"]

_SPECIAL = ("erf", "erfc", "expit", "ndtr")
_ALIASES = {
    "abs": "absolute",
    "bitwise_not": "invert",
    "mod": "remainder",
    "true_divide": "divide",
    "conjugate": "positive",
}
_REDUCE = {
    "add": "sum", "multiply": "prod", "minimum": "min", "maximum": "max", "logical_or": "any", "logical_and": "all",
}  # fmt: skip
_SCAN = {"add": "cumsum", "multiply": "cumprod"}


def name_of(function: Any) -> str | None:
    """Return the name in the op table of a ufunc, None for others."""
    name = _ALIASES.get(function.__name__, function.__name__)
    op = OPS.get(name)
    if op is None or name == "clip":
        return None
    if op.module == "numpy":
        return name if getattr(np, name) is function or name in ("positive",) else None
    return name if name in _SPECIAL and op.function is function else None


def ufunc(function: np.ufunc, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Answer NumPy's protocol: record what the op table has, run the rest."""
    if any(hasattr(type(each), "_fusion_value") for each in inputs):
        return NotImplemented  # a table's column knows better
    out = kwargs.pop("out", None)
    if out is not None and len(out) == 1:
        return _into(function, method, inputs, kwargs, out[0])
    if out is not None:
        kwargs["out"] = out
        return run_in_numpy(function.__name__, getattr(function, method), inputs, kwargs)
    name = name_of(function)
    if method == "__call__" and name is not None and not kwargs:
        return combine(name, inputs, here(3))
    if function is np.matmul and method == "__call__" and not kwargs:
        from workbench.fusion.capture import ndproducts

        return ndproducts.matmul(*inputs)
    if function is np.divmod and method == "__call__" and not kwargs:
        return combine("floor_divide", inputs, here(3)), combine("remainder", inputs, here(3))
    if method == "reduce" and name in _REDUCE and isinstance(inputs[0], LazyArray):
        kwargs.setdefault("axis", 0)
        return ndreduce.reduce(_REDUCE[name], inputs[0], kwargs, getattr(function, method))
    if method == "accumulate" and name in _SCAN and isinstance(inputs[0], LazyArray) and not kwargs:
        return ndreduce.scan(_SCAN[name], inputs[0], 0, None, getattr(function, method))
    return run_in_numpy(
        function.__name__, function if method == "__call__" else getattr(function, method), inputs, kwargs
    )


def _into(function: np.ufunc, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> Any:
    """Do `function(..., out=x)`: a write."""
    name = name_of(function)
    if isinstance(out, LazyArray) and method == "__call__" and name is not None and not kwargs:
        found = combine(name, inputs, here(4))
        if found is NotImplemented:
            return found
        if found.shape != out.shape:
            found = lazy(ndindex._spread(ndindex.known(found), out.shape, here(4)))
        ndindex.assign(out, found, same_kind=name)
        return out
    result = run_in_numpy(
        function.__name__, function if method == "__call__" else getattr(function, method), inputs, kwargs
    )
    if isinstance(out, LazyArray):
        ndindex.assign(out, result)
    else:
        np.copyto(out, np.asarray(result), casting="same_kind")
    return out
