"""The op table: every elementwise operation and reduction that compiles, and the dtypes NumPy gives it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

__all__ = [
    "COMPARISONS",
    "DTYPES",
    "OPS",
    "REDUCERS",
    "SCANS",
    "Op",
    "Reducer",
    "call_dtype",
    "loop_dtypes",
    "reduce_dtype",
    "supported",
]

#: Python's names of comparisons -> those of the table
COMPARISONS = {
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
    "eq": "equal",
    "ne": "not_equal",
}
#: dtypes that kernels load, compute and store
DTYPES = frozenset(
    np.dtype(d)
    for d in ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64")
)


@dataclass(frozen=True)
class Op:
    """An elementwise operation.

    Attributes
    ----------
    name : str
        NumPy's name, which is the key of back ends too.
    arity : int
    cost : float
        Nanoseconds an element of float64 on one core, before calibration.
    total : bool
        False for what can raise in NumPy (an integer to a negative power).
    module : str
        Where the function is: "numpy" or "scipy.special".
    """

    name: str
    arity: int
    cost: float
    total: bool = True
    module: str = "numpy"

    @property
    def function(self) -> Callable[..., Any]:
        """The function of NumPy or SciPy that defines the operation."""
        return _function(self.module, self.name)


@cache
def _function(module: str, name: str) -> Callable[..., Any]:
    if module == "numpy":
        return getattr(np, name)
    import scipy.special

    return getattr(scipy.special, name)


def _table() -> dict[str, Op]:
    rows = [
        # name, arity, ns an element
        ("add", 2, 0.15), ("subtract", 2, 0.15), ("multiply", 2, 0.15), ("divide", 2, 0.6), ("floor_divide", 2, 2.0),
        ("remainder", 2, 2.5), ("fmod", 2, 4.0), ("power", 2, 4.0), ("square", 1, 0.15), ("sqrt", 1, 0.8),
        ("cbrt", 1, 4.0), ("reciprocal", 1, 0.6), ("negative", 1, 0.1), ("positive", 1, 0.0), ("absolute", 1, 0.1),
        ("fabs", 1, 0.1), ("sign", 1, 0.3), ("exp", 1, 0.9), ("exp2", 1, 0.9), ("expm1", 1, 1.5), ("log", 1, 1.1),
        ("log2", 1, 1.1), ("log10", 1, 1.1), ("log1p", 1, 1.5), ("sin", 1, 1.3), ("cos", 1, 1.3), ("tan", 1, 2.0),
        ("arcsin", 1, 1.6), ("arccos", 1, 1.6), ("arctan", 1, 1.6), ("arctan2", 2, 2.2), ("sinh", 1, 1.8),
        ("cosh", 1, 1.6), ("tanh", 1, 1.6), ("arcsinh", 1, 2.2), ("arccosh", 1, 2.2), ("arctanh", 1, 2.2),
        ("hypot", 2, 1.6), ("deg2rad", 1, 0.15), ("rad2deg", 1, 0.15), ("degrees", 1, 0.15), ("radians", 1, 0.15),
        ("floor", 1, 0.15), ("ceil", 1, 0.15), ("trunc", 1, 0.15), ("rint", 1, 0.15), ("minimum", 2, 0.2),
        ("maximum", 2, 0.2), ("fmin", 2, 0.2), ("fmax", 2, 0.2), ("copysign", 2, 0.2), ("clip", 3, 0.4),
        ("less", 2, 0.1), ("less_equal", 2, 0.1), ("greater", 2, 0.1), ("greater_equal", 2, 0.1), ("equal", 2, 0.1),
        ("not_equal", 2, 0.1), ("logical_and", 2, 0.1), ("logical_or", 2, 0.1), ("logical_xor", 2, 0.1),
        ("logical_not", 1, 0.1), ("bitwise_and", 2, 0.1), ("bitwise_or", 2, 0.1), ("bitwise_xor", 2, 0.1),
        ("invert", 1, 0.1), ("left_shift", 2, 0.15), ("right_shift", 2, 0.15), ("isnan", 1, 0.1), ("isinf", 1, 0.1),
        ("isfinite", 1, 0.1), ("signbit", 1, 0.1),
    ]  # fmt: skip
    found = {name: Op(name, arity, cost, total=name != "power") for name, arity, cost in rows}
    for name, cost in (("erf", 1.5), ("erfc", 2.0), ("expit", 1.4), ("ndtr", 2.0)):
        found[name] = Op(name, 1, cost, module="scipy.special")
    return found


#: name -> elementwise operation
OPS: dict[str, Op] = _table()


@dataclass(frozen=True)
class Reducer:
    """A reduction.

    Attributes
    ----------
    name : str
        NumPy's name; those that begin with nan, and count, first, last, skip NaN.
    builder : str
        What the loop merges with: + * min max and or first last argmin argmax moments.
    empty : bool
        Whether no elements have a result in NumPy.
    """

    name: str
    builder: str
    empty: bool = True

    @property
    def skips(self) -> bool:
        """Whether NaN takes no part."""
        return self.name.startswith("nan") or self.name in ("count", "first", "last")


#: name -> reduction
REDUCERS: dict[str, Reducer] = {
    name: Reducer(name, builder, name.removeprefix("nan") not in ("min", "max", "argmin", "argmax"))
    for name, builder in [
        ("sum", "+"), ("prod", "*"), ("min", "min"), ("max", "max"), ("any", "or"), ("all", "and"),
        ("argmin", "argmin"), ("argmax", "argmax"), ("count_nonzero", "+"), ("mean", "+"), ("var", "moments"),
        ("std", "moments"), ("nansum", "+"), ("nanprod", "*"), ("nanmin", "min"), ("nanmax", "max"), ("nanmean", "+"),
        ("nanvar", "moments"), ("nanstd", "moments"), ("count", "+"), ("first", "first"), ("last", "last"),
    ]
}  # fmt: skip

#: name -> builder of a running value
SCANS: dict[str, str] = {
    "cumsum": "+", "cumprod": "*", "cummin": "min", "cummax": "max",
    "nancumsum": "+", "nancumprod": "*", "nancummin": "min", "nancummax": "max",
}  # fmt: skip


def supported(dtype: np.dtype) -> bool:
    """Return whether kernels work on this dtype (in this machine's byte order)."""
    return dtype in DTYPES and dtype.isnative


_found: dict[tuple[Any, ...], np.dtype] = {}
_loops: dict[tuple[Any, ...], tuple[np.dtype, ...]] = {}


def call_dtype(name: str, inputs: tuple[Any, ...]) -> np.dtype:
    """Return the dtype of an elementwise call, as NumPy gives it.

    Parameters
    ----------
    name : str
        Of the op table, or "where".
    inputs : tuple
        For each input its dtype, or int, float or bool for a Python number.

    Raises
    ------
    TypeError
        If NumPy has no such operation on these.
    """
    key = (name, inputs)
    found = _found.get(key)
    if found is None:
        found = _found[key] = loop_dtypes(name, inputs)[-1]
    return found


def loop_dtypes(name: str, inputs: tuple[Any, ...]) -> tuple[np.dtype, ...]:
    """Return the dtypes to which NumPy converts the inputs of a call, and that of its result."""
    key = (name, inputs)
    found = _loops.get(key)
    if found is None:
        found = _loops[key] = _resolve(name, inputs)
    return found


def _resolve(name: str, inputs: tuple[Any, ...]) -> tuple[np.dtype, ...]:
    if name == "where":
        dtype = np.result_type(*[_sample(each) for each in inputs[1:]])
        return np.dtype(bool), dtype, dtype, dtype
    if name == "clip":
        dtype = np.clip(*[_sample(each) for each in inputs]).dtype
        return dtype, dtype, dtype, dtype
    function = OPS[name].function
    assert isinstance(function, np.ufunc)
    if bool in inputs:  # NumPy takes Python's booleans with their dtype
        inputs = tuple([np.dtype(bool) if each is bool else each for each in inputs])
    if all(each in (int, float, complex) for each in inputs):
        inputs = tuple([np.dtype(each) for each in inputs])
    return tuple(function.resolve_dtypes((*inputs, *(None,) * function.nout)))


def _sample(each: Any) -> Any:
    return each(1) if isinstance(each, type) else np.ones(1, each)


@cache
def reduce_dtype(name: str, dtype: np.dtype, given: np.dtype | None) -> np.dtype:
    """Return the dtype of a reduction of an array of `dtype`, as NumPy gives it."""
    if name in ("argmin", "argmax", "count_nonzero", "count"):
        return np.dtype(np.int64)
    if name in ("first", "last"):
        return dtype
    one = np.ones(2, dtype)
    if given is not None:
        return getattr(np, name)(one, dtype=given).dtype
    return np.asarray(getattr(np, name)(one)).dtype
