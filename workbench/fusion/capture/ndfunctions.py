"""Functions of NumPy on lazy arrays: each recorded, or run in NumPy where it is not known here."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from workbench.fusion import expr as ir
from workbench.fusion.capture import ndcounts, ndlookup, ndproducts, ndreduce, ndshapes, ndvalues
from workbench.fusion.capture.array import LazyArray, lazy, now
from workbench.fusion.capture.ndcalls import HANDLERS, Unknown
from workbench.fusion.capture.ndinputs import run_in_numpy
from workbench.fusion.positions import here

__all__ = ["call"]

#: whose import registers handlers
_MODULES = (ndcounts, ndlookup, ndproducts, ndshapes, ndvalues)

_REDUCTIONS = [
    "sum", "prod", "min", "max", "amin", "amax", "mean", "var", "std", "argmin", "argmax", "any", "all",
    "count_nonzero", "nansum", "nanprod", "nanmin", "nanmax", "nanmean", "nanvar", "nanstd",
]  # fmt: skip
_SAME = {"amin": "min", "amax": "max"}
#: library calls by design, and those that have no handler
_EXTERN = ("sort", "argsort", "unique", "median", "quantile", "percentile")


def call(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return the result of a NumPy function, lazy where it is known."""
    if any(hasattr(type(each), "_fusion_value") for each in args):
        return NotImplemented  # a table's column knows better
    handler = HANDLERS.get(function)
    if handler is not None:
        try:
            return handler(*args, **kwargs)
        except Unknown:
            pass
        except TypeError as error:
            # options that the handler does not take
            if "argument" not in str(error):
                raise
    return run_in_numpy(getattr(function, "__name__", str(function)), function, args, kwargs)


def _reduction(name: str) -> Callable[..., Any]:
    function = getattr(np, name)
    order = list(inspect.signature(function).parameters)[1:]

    def handler(x: Any, *args: Any, **kwargs: Any) -> Any:
        return ndreduce.reduce(_SAME.get(name, name), x, {**dict(zip(order, args, strict=False)), **kwargs}, function)

    return handler


def _extern(name: str) -> Callable[..., Any]:
    """A library call whose result's dtype and shape only it knows: it runs when it is asked for."""
    function = getattr(np, name)

    def handler(*args: Any, **kwargs: Any) -> Any:
        if name in ("sort", "argsort") and isinstance(args[0], LazyArray) and len(args) == 1 and not kwargs:
            base = now(args[0])
            dtype = np.dtype(np.intp) if name == "argsort" else base.dtype
            return lazy(ir.extern(name, function, (base,), dtype, base.shape, here(4)))
        return run_in_numpy(name, function, args, kwargs, f"library call ({name})")

    return handler


HANDLERS.update({getattr(np, name): _reduction(name) for name in _REDUCTIONS})
HANDLERS.update({getattr(np, name): _extern(name) for name in _EXTERN})
