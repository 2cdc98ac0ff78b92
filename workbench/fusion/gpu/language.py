"""The operations of the op table in Triton's language."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from workbench.fusion.gpu.memory import TYPES

__all__ = ["HELPERS", "OPERATIONS", "constant", "known", "operation"]

#: functions of `device` that expressions may call
HELPERS = (
    "arctan", "arctan2", "cbrt", "copysign", "expm1", "floor_divide", "fmod", "grid_barrier", "hypot",
    "least", "left_shift", "log1p", "maximum", "minimum", "most", "negated", "power", "product", "ratio",
    "remainder", "right_shift", "rint", "root", "sign", "sinh", "tanh", "whole_quotient", "whole_remainder",
)  # fmt: skip

_BOTH = {
    "add": "{0} + {1}", "subtract": "{0} - {1}", "multiply": "{0} * {1}", "square": "{0} * {0}", "negative": "{0} * -1",
    "positive": "{0}", "absolute": "tl.abs({0})", "fabs": "tl.abs({0})", "less": "{0} < {1}",
    "less_equal": "{0} <= {1}", "greater": "{0} > {1}", "greater_equal": "{0} >= {1}", "equal": "{0} == {1}",
    "not_equal": "{0} != {1}", "logical_and": "({0} != 0) & ({1} != 0)", "logical_or": "({0} != 0) | ({1} != 0)",
    "logical_xor": "({0} != 0) != ({1} != 0)", "logical_not": "{0} == 0",
}  # fmt: skip
_FLOAT = {
    "divide": "{0} / {1}", "sqrt": "root({0})", "reciprocal": "1.0 / {0}", "exp": "tl.exp({0})",
    "exp2": "tl.exp2({0})", "expm1": "expm1({0})", "log": "tl.log({0})", "log2": "tl.log2({0})",
    "log10": "tl.log2({0}) * 0.30102999566398120", "log1p": "log1p({0})", "sin": "tl.sin({0})", "cos": "tl.cos({0})",
    "tan": "tl.sin({0}) / tl.cos({0})", "tanh": "tanh({0})", "floor": "tl.floor({0})", "ceil": "tl.ceil({0})",
    "trunc": "tl.where({0} < 0, tl.ceil({0}), tl.floor({0}))", "maximum": "maximum({0}, {1})",
    "minimum": "minimum({0}, {1})", "fmax": "most({0}, {1})", "fmin": "least({0}, {1})",
    "clip": "minimum(maximum({0}, {1}), {2})", "isnan": "{0} != {0}", "isinf": 'tl.abs({0}) == float("inf")',
    "isfinite": 'tl.abs({0}) < float("inf")', "sign": "sign({0})",
    "erf": "tl.erf({0})", "erfc": "1.0 - tl.erf({0})", "expit": "1.0 / (1.0 + tl.exp(-{0}))",
    "ndtr": "0.5 * (1.0 + tl.erf({0} * 0.7071067811865476))", "power": "power({0}, {1})",
    "floor_divide": "floor_divide({0}, {1})", "remainder": "remainder({0}, {1})",
    "sinh": "sinh({0})", "cosh": "0.5 * (tl.exp({0}) + tl.exp(-{0}))",
    "hypot": "hypot({0}, {1})", "deg2rad": "{0} * 0.017453292519943295",
    "rad2deg": "{0} * 57.29577951308232", "degrees": "{0} * 57.29577951308232",
    "radians": "{0} * 0.017453292519943295", "signbit": "negated({0})", "copysign": "copysign({0}, {1})",
    "rint": "rint({0})", "fmod": "fmod({0}, {1})", "cbrt": "cbrt({0})", "arctan": "arctan({0})",
    "arctan2": "arctan2({0}, {1})", "arcsin": "arctan2({0}, root((1 - {0}) * (1 + {0})))",
    "arccos": "2 * arctan2(root(1 - {0}), root(1 + {0}))",
    "arcsinh": "copysign(tl.where(tl.abs({0}) < 1e8, log1p(tl.abs({0}) + {0} * {0} / (1 + root({0} * {0} + 1))), "
    "tl.log(tl.abs({0})) + 0.6931471805599453), {0})",
    "arccosh": "tl.where({0} < 1e8, log1p(({0} - 1) + root(({0} - 1) * ({0} + 1))), "
    "tl.log({0}) + 0.6931471805599453)",
    "arctanh": "0.5 * (log1p({0}) - log1p(-{0}))",
}  # fmt: skip
_WHOLE = {
    "maximum": "tl.maximum({0}, {1})", "minimum": "tl.minimum({0}, {1})",
    "clip": "tl.minimum(tl.maximum({0}, {1}), {2})", "bitwise_and": "{0} & {1}", "bitwise_or": "{0} | {1}",
    "bitwise_xor": "{0} ^ {1}", "invert": "~{0}", "left_shift": "left_shift({0}, {1})",
    "right_shift": "right_shift({0}, {1})",
    "fmax": "tl.maximum({0}, {1})",
    "fmin": "tl.minimum({0}, {1})",
    "floor_divide": "whole_quotient({0}, {1})", "remainder": "whole_remainder({0}, {1})",
    "fmod": "tl.where({1} == 0, 0, {0} % tl.where({1} == 0, 1, {1}))", "floor": "{0}", "ceil": "{0}", "trunc": "{0}",
    "isnan": "{0} != {0}", "isinf": "{0} != {0}", "isfinite": "{0} == {0}",
    "sign": "tl.where({0} > 0, 1, tl.where({0} < 0, -1, 0))",
}  # fmt: skip
_TRUTH = {
    "logical_and": "{0} & {1}", "logical_or": "{0} | {1}", "logical_xor": "{0} != {1}", "logical_not": "{0} == 0",
    "bitwise_and": "{0} & {1}", "bitwise_or": "{0} | {1}", "bitwise_xor": "{0} != {1}", "invert": "{0} == 0",
    "add": "{0} | {1}", "multiply": "{0} & {1}", "maximum": "{0} | {1}", "minimum": "{0} & {1}", "equal": "{0} == {1}",
    "not_equal": "{0} != {1}", "less": "{0} < {1}", "greater": "{0} > {1}", "less_equal": "{0} <= {1}",
    "greater_equal": "{0} >= {1}", "absolute": "{0}", "fmax": "{0} | {1}", "fmin": "{0} & {1}",
    "clip": "({0} | {1}) & {2}", "floor": "{0}", "ceil": "{0}", "trunc": "{0}", "isnan": "{0} != {0}",
    "isinf": "{0} != {0}", "isfinite": "{0} == {0}",
}  # fmt: skip
_UNSIGNED = {"absolute": "{0}", "negative": "0 - {0}", "invert": "{0} ^ (tl.full([1, 1], 0, {0}.dtype) - 1)"}
#: by the kind of the loop's dtype
OPERATIONS = {
    "f": {**_BOTH, **_FLOAT}, "i": {**_BOTH, **_WHOLE}, "u": {**_BOTH, **_WHOLE, **_UNSIGNED}, "b": _TRUTH
}  # fmt: skip


def known(name: str, kind: str) -> bool:
    """Return whether an operation on a kind of dtype has a form."""
    return name in OPERATIONS.get(kind, {})


def operation(name: str, kind: str, args: tuple[str, ...]) -> str:
    """Return the expression of an operation."""
    return OPERATIONS[kind][name].format(*args)


def constant(value: Any, dtype: Any) -> str:
    """Return a constant with its dtype, as Triton would take a float for a float32."""
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        number = float(value)
        text = repr(number) if math.isfinite(number) else f'float("{number}")'
    else:
        text = str(int(value))
    return f"tl.full([1, 1], {text}, {TYPES[dtype.name][1]})"
