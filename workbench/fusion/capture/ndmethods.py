"""Methods of ndarray on lazy arrays."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from workbench.fusion.capture import ndfunctions
from workbench.fusion.capture.array import LazyArray
from workbench.fusion.capture.ndinputs import run_in_numpy

__all__ = ["attribute"]

#: methods that are the function of the same name
_AS_FUNCTION = {
    "sum", "prod", "min", "max", "mean", "var", "std", "argmin", "argmax", "any", "all", "cumsum", "cumprod", "dot",
    "clip", "round", "take", "compress", "ravel", "squeeze", "swapaxes", "repeat", "nonzero", "searchsorted",
    "diagonal", "trace", "argsort", "argpartition",
}  # fmt: skip
_PLAIN = ("flags", "strides", "data", "base", "ctypes", "__array_interface__", "__array_struct__", "flat")


def attribute(x: LazyArray, name: str) -> Any:
    """Return an attribute that the class itself does not have."""
    if name.startswith("__") and name.endswith("__"):
        raise AttributeError(name)
    if name in _AS_FUNCTION:
        return functools.partial(_through, getattr(np, name), x)
    if name in _METHODS:
        return functools.partial(_METHODS[name], x)
    if name in ("real", "imag"):
        return x if name == "real" and x.dtype.kind != "c" else getattr(np, name)(x)
    if name in _PLAIN:
        return getattr(np.asarray(x.compute()), name)
    if not hasattr(np.ndarray, name):
        raise AttributeError(f"'LazyArray' object has no attribute {name!r}")
    if not callable(getattr(np.ndarray, name)):
        return getattr(np.asarray(x.compute()), name)
    return functools.partial(_fallback, name, x)


def _through(function: Callable[..., Any], x: LazyArray, *args: Any, **kwargs: Any) -> Any:
    return ndfunctions.call(function, (x, *args), kwargs)


def _fallback(name: str, x: LazyArray, *args: Any, **kwargs: Any) -> Any:
    return run_in_numpy(name, getattr(np.ndarray, name), (x, *args), kwargs)


def _flatten(x: LazyArray, order: str = "C") -> Any:
    return x.reshape(-1).copy() if order == "C" else _fallback("flatten", x, order)


def _in_place(name: str) -> Callable[..., Any]:
    def write(x: LazyArray, *args: Any, **kwargs: Any) -> None:
        value = np.array(x.compute())
        getattr(value, name)(*args, **kwargs)
        x[...] = value

    return write


def _conj(x: LazyArray) -> Any:
    return np.positive(x) if x.dtype.kind != "c" else _fallback("conj", x)


def _fill(x: LazyArray, value: Any) -> None:
    x[...] = value


_METHODS: dict[str, Callable[..., Any]] = {
    "flatten": _flatten,
    "sort": _in_place("sort"),
    "partition": _in_place("partition"),
    "put": _in_place("put"),
    "fill": _fill,
    "conj": _conj,
    "conjugate": _conj,
}
