"""What functions of torch become: the table of those that are operations, and how others are made of them.

What a call gives, its dtype, shape and errors, is asked of torch on tensors without data.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from workbench.fusion import expr as ir
from workbench.fusion.capture import ndindex, ndreduce
from workbench.fusion.capture.array import LazyArray, lazy, now
from workbench.fusion.capture.ndcalls import Unknown
from workbench.fusion.capture.tensor import LazyTensor
from workbench.fusion.capture.torchcalls import asked, cast_to, expr_of, kind_of, made, meta_of, one_call, step
from workbench.fusion.expr import Expr
from workbench.fusion.positions import here

__all__ = ["recorded"]

_HALF = (torch.float16, torch.bfloat16)

_UNARY = {
    **{name: name for name in (
        "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "sinh", "cosh", "tanh", "sqrt",
        "square", "reciprocal", "sign", "floor", "ceil", "trunc", "erf", "erfc", "expit", "ndtr", "rad2deg", "deg2rad",
        "positive", "negative",
    )},
    "abs": "absolute", "absolute": "absolute", "neg": "negative", "round": "rint", "fix": "trunc", "asin": "arcsin",
    "acos": "arccos", "atan": "arctan", "asinh": "arcsinh", "acosh": "arccosh", "atanh": "arctanh", "arcsin": "arcsin",
    "arccos": "arccos", "arctan": "arctan", "arcsinh": "arcsinh", "arccosh": "arccosh", "arctanh": "arctanh",
    "sigmoid": "expit", "pos": "positive",
}  # fmt: skip
_TESTS = {"isnan": "isnan", "isinf": "isinf", "isfinite": "isfinite", "signbit": "signbit"}
_BINARY = {
    **{name: name for name in ("maximum", "minimum", "fmax", "fmin", "hypot", "copysign", "fmod", "remainder")},
    "add": "add", "sub": "subtract", "subtract": "subtract", "mul": "multiply", "multiply": "multiply",
    "div": "divide", "divide": "divide", "true_divide": "divide", "truediv": "divide", "mod": "remainder",
    "floor_divide": "floor_divide", "floordiv": "floor_divide", "atan2": "arctan2", "arctan2": "arctan2",
    "bitwise_and": "bitwise_and", "and": "bitwise_and", "bitwise_or": "bitwise_or", "or": "bitwise_or",
    "bitwise_xor": "bitwise_xor", "xor": "bitwise_xor",
}  # fmt: skip
_COMPARE = {
    "lt": "less", "less": "less", "le": "less_equal", "less_equal": "less_equal", "gt": "greater", "greater": "greater",
    "ge": "greater_equal", "greater_equal": "greater_equal", "eq": "equal", "ne": "not_equal", "not_equal": "not_equal",
}  # fmt: skip
_LOGIC = ("logical_and", "logical_or", "logical_xor", "logical_not")
_REDUCE = {
    **{name: name for name in (
        "sum", "prod", "mean", "var", "std", "any", "all", "argmin", "argmax", "count_nonzero", "nansum", "nanmean",
    )},
    "amax": "max", "amin": "min", "max": "max", "min": "min",
}  # fmt: skip
#: those that divide, or whose sign rules are torch's own for integers
_FLOATS_ONLY = ("floor_divide", "remainder", "fmod", "reciprocal")


def recorded(function: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return a call as it is recorded.

    Raises
    ------
    Unknown
        If it is not known in this form: torch runs it.
    """
    if "out" in kwargs:
        raise Unknown
    if name in _UNARY and len(args) == 1 and not kwargs:
        dtype = asked(function, args, kwargs).dtype
        kind = kind_of(dtype)
        if kind.kind == "b" or (kind.kind != "f" and _UNARY[name] in _FLOATS_ONLY):
            raise Unknown  # most of them raise for bool, which torch does not know without data
        return made(ir.map_(_UNARY[name], cast_to(expr_of(args[0]), kind), where=here(3)), dtype)
    if name in _TESTS and len(args) == 1:
        return made(ir.map_(_TESTS[name], expr_of(args[0]), where=here(3)), torch.bool)
    if name in ("invert", "bitwise_not") and len(args) == 1:
        return made(ir.map_("invert", expr_of(args[0]), where=here(3)), asked(function, args, kwargs).dtype)
    if name in _BINARY and len(args) == 2:
        return _binary(function, name, args, kwargs)
    if name in _COMPARE and len(args) == 2 and not kwargs:
        asked(function, args, kwargs)
        kind = kind_of(torch.result_type(*[meta_of(each) for each in args]))
        return made(
            ir.map_(_COMPARE[name], *[cast_to(expr_of(each), kind) for each in args], where=here(3)), torch.bool
        )
    if name in _LOGIC and not kwargs:
        inputs = [cast_to(expr_of(each), np.dtype(bool)) for each in args]
        return made(ir.map_(name, *inputs, where=here(3)), torch.bool)
    if name in _REDUCE:
        return _reduced(function, name, args, kwargs)
    handler = _OTHERS.get(name)
    if handler is None:
        raise Unknown
    return handler(function, args, kwargs)


def _binary(function: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    alpha = kwargs.get("alpha", 1)
    if set(kwargs) - {"alpha"}:
        raise Unknown
    dtype = asked(function, args, kwargs).dtype
    kind, op = kind_of(dtype), _BINARY[name]
    if kind.kind != "f" and op in _FLOATS_ONLY:
        raise Unknown  # by zero it raises
    left, right = [cast_to(expr_of(each), kind) for each in args]
    if alpha != 1:
        right = step("multiply", right, ir.const(alpha, kind))
    if op == "subtract" and any(
        isinstance(each, LazyArray | torch.Tensor) and each.dtype == torch.bool for each in args
    ):
        raise Unknown  # it raises
    return made(ir.map_(op, left, right, where=here(4)), dtype)


def _power(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if len(args) != 2 or kwargs:
        raise Unknown
    dtype = asked(function, args, kwargs).dtype
    kind, by = kind_of(dtype), args[1]
    if kind.kind != "f" and not (type(by) is int and by >= 0):
        raise Unknown
    x = cast_to(expr_of(args[0]), kind)
    short = {1: "positive", -1: "reciprocal", 0.5: "sqrt", 2: "square"}.get(by) if type(by) in (int, float) else None
    if short is not None and kind.kind == "f":
        return made(ir.map_(short, x, where=here(4)), dtype)
    return made(ir.map_("power", x, cast_to(expr_of(by), kind), where=here(4)), dtype)


def _axes(x: Any, dim: Any) -> tuple[int, ...]:
    if dim is None:
        return tuple(range(x.ndim))
    axes = ndreduce.axes_of(tuple(dim) if isinstance(dim, list | tuple) else dim, x.ndim)
    if not axes:
        raise Unknown
    return axes


def _reduced(function: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    x, rest, op = args[0], list(args[1:]), _REDUCE[name]
    if not isinstance(x, LazyTensor) or (name in ("max", "min") and (rest or kwargs)):
        if len(args) == 2 and not kwargs and isinstance(args[1], LazyArray | torch.Tensor):
            return _binary(torch.maximum if name == "max" else torch.minimum, f"{name}imum", args, kwargs)
        raise Unknown
    options = {{"axis": "dim", "keepdims": "keepdim"}.get(key, key): value for key, value in kwargs.items()}
    if set(options) - {"dim", "keepdim", "dtype", "correction", "unbiased"}:
        raise Unknown
    spread = op in ("var", "std")
    if spread and rest and isinstance(rest[0], bool):
        options["unbiased"] = rest.pop(0)
    if name in ("sum", "any", "all", "amax", "amin") and len(rest) > 1 and all(type(each) is int for each in rest):
        rest = [tuple(rest)]  # x.sum(0, 1)
    names = ["dim", "unbiased", "keepdim"] if spread else ["dim", "keepdim"]
    if len(rest) > len(names):
        raise Unknown
    options.update(zip(names, rest, strict=False))
    told = asked(function, args, kwargs)
    axes = _axes(x, options.get("dim"))
    if op in ("argmin", "argmax") and options.get("dim") is None and options.get("keepdim"):
        raise Unknown
    unbiased = options.get("unbiased")
    correction = options.get("correction", 1 if unbiased is None else int(unbiased))
    if not x.ndim or (
        op not in ("sum", "prod", "any", "all", "mean", "var", "std", "nansum", "nanmean") and 0 in x.shape
    ):
        raise Unknown
    base = now(x._array)
    if op in ("sum", "prod", "mean", "nansum", "nanmean"):
        base = cast_to(base, kind_of(told.dtype))
    elif op in ("any", "all"):
        base = cast_to(base, np.dtype(bool))
    found = ir.reduce_(
        op,
        base,
        axes,
        keepdims=bool(options.get("keepdim", False)),
        ddof=1 if correction is None else correction,
        where=here(4),
    )
    return made(found, told.dtype)


def _scan(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    x, dim = args[0], args[1] if len(args) > 1 else kwargs.get("dim")
    told = asked(function, args, kwargs)
    axes = _axes(x, dim)
    if not x.ndim or dim is None:
        raise Unknown
    kind = kind_of(told.dtype)
    return made(ir.scan(function.__name__, cast_to(expr_of(x), kind), axes[0], kind, here(4)), told.dtype)


def _where(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if len(args) != 3 or kwargs:
        raise Unknown
    if function is not torch.where:  # x.where(condition, other)
        args = (args[1], args[0], args[2])
    told = asked(torch.where, args, kwargs)
    kind = kind_of(told.dtype)
    mask, yes, no = (
        cast_to(expr_of(args[0]), np.dtype(bool)),
        cast_to(expr_of(args[1]), kind),
        cast_to(expr_of(args[2]), kind),
    )
    return made(ir.select(mask, yes, no, here(4)), told.dtype)


def _clamp(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    options = {**dict(zip(("min", "max"), args[1:], strict=False)), **kwargs}
    told = asked(function, args, kwargs)
    found = cast_to(expr_of(args[0]), kind_of(told.dtype))
    for key, op in (("min", "maximum"), ("max", "minimum")):
        if options.get(key) is not None:
            found = step(op, found, cast_to(expr_of(options[key]), kind_of(told.dtype)))
    return made(one_call(found), told.dtype)


def _made_of(formula: Callable[[Expr, np.dtype], Expr], *known: str) -> Callable[..., Any]:
    """Return the handler of a function of one tensor of floats that is made of others."""

    def handler(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if (
            len(args) != 1
            or any(kwargs.get(key) not in (False, None, "none") for key in kwargs)
            or set(kwargs) - set(known)
        ):
            raise Unknown
        told = asked(function, args, kwargs)
        kind = kind_of(told.dtype)
        if kind.kind != "f":
            raise Unknown
        return made(one_call(formula(cast_to(expr_of(args[0]), kind), kind)), told.dtype)

    return handler


def _gelu(x: Expr, kind: np.dtype) -> Expr:
    half = step("multiply", x, ir.const(0.5, kind))
    return step(
        "multiply", half, step("add", step("erf", step("multiply", x, ir.const(2**-0.5, kind))), ir.const(1.0, kind))
    )


def _relu(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if len(args) != 1 or kwargs.get("inplace"):
        raise Unknown
    dtype = asked(function, args, kwargs).dtype
    x = expr_of(args[0])
    return made(ir.map_("maximum", x, ir.const(0, x.dtype), where=here(4)), dtype)


def _softmax(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    options = {**dict(zip(("dim",), args[1:], strict=False)), **kwargs}
    dim = options.get("dim")
    if dim is None or len(args) > 2 or options.get("dtype") is not None:
        raise Unknown
    told = asked(function, args, kwargs)
    x = cast_to(expr_of(args[0]), kind_of(told.dtype))
    if not x.shape or 0 in x.shape:
        raise Unknown
    axes = _axes(args[0], dim)
    distance = step("subtract", x, _inner(ir.reduce_("max", x, axes, keepdims=True)))
    grown = step("exp", distance)
    total = _inner(ir.reduce_("sum", grown, axes, keepdims=True))
    found = (
        step("subtract", distance, step("log", total)) if "log" in function.__name__ else step("divide", grown, total)
    )
    return made(one_call(found), told.dtype)


def _inner(found: Expr) -> Expr:
    found.calls = 0
    return found


def _to(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    x, name = args[0], function.__name__
    if not isinstance(x, LazyTensor):
        raise Unknown
    if name == "to" and ("device" in kwargs or any(isinstance(each, str | torch.device) for each in args[1:])):
        raise Unknown
    told = asked(function, args, kwargs)
    if told.dtype in _HALF and told.dtype != x._dtype:
        raise Unknown  # rounds where it stands
    if told.dtype == x._dtype:
        return x
    return made(ir.cast(now(x._array), kind_of(told.dtype), here(4)), told.dtype)


def _shaped(how: str) -> Callable[..., Any]:
    """Return the handler of a function that looks at a tensor in another shape."""

    def handler(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        x = args[0]
        if not isinstance(x, LazyTensor):
            raise Unknown
        shape = tuple(asked(function, args, kwargs).shape)
        buffer = ndindex.buffered(x._array)  # tensors without dimensions have memory, too
        if how == "broadcast":
            spread: Any = np.broadcast_to(buffer, shape)
            return LazyTensor(spread, x._dtype)
        if how == "reshape":
            return LazyTensor(ndindex.reshape(buffer, shape), x._dtype)
        order = list(range(x.ndim))
        if function.__name__ == "permute":
            order = list(args[1] if len(args) == 2 and not isinstance(args[1], int) else args[1:])
            if kwargs:
                raise Unknown
        elif function.__name__ == "t":
            order = order[::-1]
        else:
            if len(args) != 3 or kwargs:
                raise Unknown
            one, two = (int(each) % x.ndim for each in args[1:])
            order[one], order[two] = two, one
        return LazyTensor(ndindex.transpose(buffer, tuple([each % x.ndim for each in order])), x._dtype)

    return handler


def _joined(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    told = asked(function, args, kwargs)
    parts, kind = args[0], kind_of(told.dtype)
    dim = args[1] if len(args) > 1 else kwargs.get("dim", 0)
    if not all(isinstance(each, LazyArray | torch.Tensor) for each in parts) or not isinstance(dim, int):
        raise Unknown
    join: Any = np.stack if function.__name__ == "stack" else np.concatenate
    found = join([lazy(cast_to(expr_of(each), kind)) for each in parts], axis=dim)
    return LazyTensor(found, told.dtype)


def _same(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if len(args) != 1 or kwargs or not isinstance(args[0], LazyTensor):
        raise Unknown
    return args[0] if function.__name__ != "clone" else args[0].copy()


_OTHERS: dict[str, Callable[..., Any]] = {
    "pow": _power, "where": _where, "clamp": _clamp, "clip": _clamp, "softmax": _softmax, "log_softmax": _softmax,
    "cumsum": _scan, "cumprod": _scan, "gelu": _made_of(_gelu, "approximate"),
    "relu": _relu,
    "rsqrt": _made_of(lambda x, kind: step("reciprocal", step("sqrt", x))),
    "silu": _made_of(lambda x, kind: step("multiply", x, step("expit", x)), "inplace"),
    "clone": _same, "detach": _same, "contiguous": _same, "cpu": _same,
    "cat": _joined, "concat": _joined, "concatenate": _joined, "stack": _joined,
    **dict.fromkeys(("to", "float", "double", "int", "long", "short", "bool", "half", "bfloat16", "type_as"), _to),
    **dict.fromkeys(("reshape", "view", "flatten", "ravel", "unsqueeze", "squeeze"), _shaped("reshape")),
    **dict.fromkeys(("expand", "broadcast_to", "expand_as"), _shaped("broadcast")),
    **dict.fromkeys(("permute", "transpose", "swapaxes", "t"), _shaped("transpose")),
}  # fmt: skip
