"""Every listed operation of LazyArray against NumPy, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import special

import workbench as wb
from tests.fusion.arrays import B, F, I, M, P, T, check

UNARY = [
    "square",
    "sqrt",
    "cbrt",
    "reciprocal",
    "negative",
    "absolute",
    "sign",
    "exp",
    "exp2",
    "expm1",
    "log",
    "log2",
    "log10",
    "log1p",
    "sin",
    "cos",
    "tan",
    "arcsin",
    "arccos",
    "arctan",
    "sinh",
    "cosh",
    "tanh",
    "arcsinh",
    "arccosh",
    "arctanh",
    "deg2rad",
    "rad2deg",
    "floor",
    "ceil",
    "trunc",
    "rint",
    "logical_not",
    "isnan",
    "isinf",
    "isfinite",
]
BINARY = [
    "add",
    "subtract",
    "multiply",
    "divide",
    "floor_divide",
    "remainder",
    "fmod",
    "power",
    "arctan2",
    "hypot",
    "minimum",
    "maximum",
    "fmin",
    "fmax",
    "copysign",
    "less",
    "less_equal",
    "greater",
    "greater_equal",
    "equal",
    "not_equal",
    "logical_and",
    "logical_or",
    "logical_xor",
]

OTHERS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "erf": (special.erf, (F,)), "erfc": (special.erfc, (F,)), "expit": (special.expit, (F,)),
    "ndtr": (special.ndtr, (F,)), "clip": (lambda x: np.clip(x, -1, 1), (F,)),
    "clip_low": (lambda x: x.clip(min=0), (F,)), "where": (lambda x: np.where(x > 1, x, -x), (F,)),
    "bitwise_and": (lambda x: x & 3, (I,)), "bitwise_or": (lambda x: x | 3, (I,)),
    "bitwise_xor": (lambda x: x ^ 3, (I,)),
    "invert": (lambda x: ~x, (I,)), "left_shift": (lambda x: x << 2, (I,)), "right_shift": (lambda x: x >> 1, (I,)),
    "shift_wide": (lambda x: (x << 70, x >> 70)[0], (I,)), "astype": (lambda x: x.astype("float32"), (I,)),
    "average": (lambda x: np.average(x, weights=x), (P,)), "average_axis": (lambda x: np.average(x, axis=0), (M,)),
    "norm": (np.linalg.norm, (P,)), "norm_axis": (lambda x: np.linalg.norm(x, axis=1), (M,)),
    "cumsum": (np.cumsum, (P,)), "cumprod": (np.cumprod, (P,)), "cumsum_axis": (lambda x: x.cumsum(axis=1), (M,)),
    "dot": (lambda x: x.dot(x), (P,)), "dot_small": (lambda x: x @ np.arange(6.0), (M,)),
    "matmul": (lambda x: x @ x.T, (M,)), "bincount": (lambda x: np.bincount(np.abs(x)), (I,)),
    "histogram": (lambda x: np.histogram(x, 4)[0], (P,)), "take": (lambda x: np.take(x, [2, 0, -1]), (P,)),
    "compress": (lambda x, b: np.compress(b, x), (I, B)), "diff": (np.diff, (P,)),
    "diff_axis": (lambda x: np.diff(x, axis=0), (M,)), "isin": (lambda x: np.isin(x, [3, 5]), (I,)),
    "isin_many": (lambda x: np.isin(x, np.arange(40)), (I,)),
    "searchsorted": (lambda x: np.searchsorted([0.2, 0.6], x), (P,)),
    "digitize": (lambda x: np.digitize(x, [0.0, 1.0, 2.0]), (F,)),
    "concatenate": (lambda x: np.concatenate([x, x * 2]), (P,)), "stack": (lambda x: np.stack([x, -x], 1), (P,)),
    "reshape": (lambda x: x.reshape(6, -1), (M,)), "transpose": (lambda x: x.transpose(2, 0, 1) + 1, (T,)),
    "ravel": (lambda x: (x * 2).ravel(), (M,)), "broadcast_to": (lambda x: np.broadcast_to(x, (3, 8)) + 1, (P,)),
    "squeeze": (lambda x: np.squeeze(x[:, None]), (P,)), "expand_dims": (lambda x: np.expand_dims(x, 0) * 2, (P,)),
    "moveaxis": (lambda x: np.moveaxis(x, 0, -1) + 0, (T,)), "swapaxes": (lambda x: x.swapaxes(0, 1) * 1, (T,)),
    "flip": (np.flip, (M,)), "flip_axis": (lambda x: np.flip(x, 1) * 2, (M,)), "zeros_like": (np.zeros_like, (M,)),
    "ones_like": (lambda x: np.ones_like(x) + x, (M,)), "full_like": (lambda x: np.full_like(x, 7), (I,)),
    "empty_like": (lambda x: np.empty_like(x) * 0, (I,)), "sort": (np.sort, (P,)), "argsort": (np.argsort, (P,)),
    "unique": (np.unique, (I,)), "round": (lambda x: np.round(x, 1), (P,)), "ptp": (np.ptp, (P,)),
    "nan_to_num": (np.nan_to_num, (F,)), "divmod": (lambda x: divmod(x, 3)[1], (I,)),
    "reduce_at_ufunc": (lambda x: np.add.reduce(x), (M,)), "accumulate": (lambda x: np.add.accumulate(x), (P,)),
    "softmax": (lambda x: (lambda e: e / e.sum(1, keepdims=True))(np.exp(x - x.max(1, keepdims=True))), (M,)),
    "standardise": (lambda x: (x - x.mean(1)[:, None]) / x.std(1)[:, None], (M,)),
    "standardise_columns": (lambda x: (x - x.mean(0)) / x.std(0), (M,)),
    "median": (np.median, (P,)), "tile": (lambda x: np.tile(x, 2) + 1, (P,)),
}  # fmt: skip


@pytest.mark.parametrize("name", UNARY)
@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "int8", "uint16", "bool"])
def test_c01_unary(name: str, dtype: str) -> None:
    x = F.astype(dtype) if dtype.startswith("f") else B if dtype == "bool" else np.abs(I).astype(dtype)
    function = getattr(np, name)
    try:
        with np.errstate(all="ignore"):
            function(x)
    except TypeError:
        with pytest.raises(TypeError):
            function(wb.fusion.array(x))
        return
    check(function, x)


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize(
    "dtypes", [("float64", "float64"), ("int64", "float32"), ("int64", "int64"), ("uint8", "int8")]
)
def test_c01_binary(name: str, dtypes: tuple[str, str]) -> None:
    first = (F[:8] if dtypes[0].startswith("f") else np.abs(I)).astype(dtypes[0])
    second = (P if dtypes[1].startswith("f") else np.abs(I)[::-1]).astype(dtypes[1])
    check(getattr(np, name), first, second)


@pytest.mark.parametrize("name", OTHERS)
def test_c02(name: str) -> None:
    function, inputs = OTHERS[name]
    check(function, *inputs)


@pytest.mark.parametrize(
    "name",
    [
        "sum",
        "prod",
        "mean",
        "var",
        "std",
        "min",
        "max",
        "argmin",
        "argmax",
        "any",
        "all",
        "count_nonzero",
        "nansum",
        "nanmean",
        "nanmin",
        "nanmax",
    ],
)
@pytest.mark.parametrize("axis", [None, 0, 1, -1, (0, 1), (0, 2)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_c25_reductions(name: str, axis: Any, keepdims: bool) -> None:
    if name.startswith("arg") and isinstance(axis, tuple):
        return
    check(lambda x: getattr(np, name)(x, axis=axis, keepdims=keepdims), T)
    check(lambda x: getattr(np, name)(np.where(x > 3, np.nan, x), axis=axis, keepdims=keepdims), T)
