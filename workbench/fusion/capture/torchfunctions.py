"""Functions of torch on lazy tensors: each recorded, or run in torch where it is not known here.

What a call gives, its dtype, shape and errors, is asked of torch on tensors without data.
"""

from __future__ import annotations

import operator
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from workbench.fusion import expr as ir
from workbench.fusion.capture import ndindex, ndreduce, storage
from workbench.fusion.capture.array import LazyArray, lazy, now
from workbench.fusion.capture.fallback import warn_once
from workbench.fusion.capture.ndcalls import Unknown
from workbench.fusion.capture.tensor import LazyTensor, lazy_tensor, numpy_dtype, values_of
from workbench.fusion.expr import Expr, Fallback
from workbench.fusion.positions import here

__all__ = ["call", "getitem", "operate", "setitem"]

_PLAIN = (int, float, bool)
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
#: operators that have a reflected form and one in place, and the names of some in `operator`
_REFLECTED = (
    "add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor", "lshift", "rshift", "matmul",
)  # fmt: skip
_WORDS = {"and": "and_", "or": "or_"}
_LOGIC = ("logical_and", "logical_or", "logical_xor", "logical_not")
_REDUCE = {
    **{name: name for name in (
        "sum", "prod", "mean", "var", "std", "any", "all", "argmin", "argmax", "count_nonzero", "nansum", "nanmean",
    )},
    "amax": "max", "amin": "min", "max": "max", "min": "min",
}  # fmt: skip
#: those that divide, or whose sign rules are torch's own for integers
_FLOATS_ONLY = ("floor_divide", "remainder", "fmod", "reciprocal")


def call(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return the result of a function or method of torch, lazy where it is known."""
    name = getattr(function, "__name__", "").removeprefix("special_").removeprefix("linalg_")
    return _answer(function, name, args, kwargs)


def operate(name: str, args: tuple[Any, ...]) -> Any:
    """Return the result of an operator: "add", "radd" of its reflected form, "iadd" of that in place."""
    if any(not isinstance(each, (LazyArray, torch.Tensor, np.ndarray, *_PLAIN)) for each in args):
        return NotImplemented
    if name[0] == "r" and name[1:] in _REFLECTED:
        return operate(name[1:], args[::-1])
    if name[0] == "i" and name[1:] in _REFLECTED:
        return _written(args[0], operate(name[1:], args))
    return _answer(getattr(operator, _WORDS.get(name, name)), name, args, {})


def _answer(function: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if name.startswith("__"):
        name = name.strip("_")
        return operate(name, args) if hasattr(LazyTensor, f"__{name}__") else _in_torch(function, name, args, kwargs)
    if name.endswith("_"):
        return _in_place(name[:-1], args, kwargs)
    try:
        return _recorded(function, name, args, kwargs)
    except (Unknown, OverflowError):
        return _in_torch(function, name, args, kwargs)


def _in_place(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if name in ("zero", "fill", "copy"):
        setitem(args[0], ..., args[1] if len(args) > 1 else kwargs.get("value", 0))
        return args[0]
    return _written(args[0], _answer(getattr(torch.Tensor, name), name, args, kwargs))


def _recorded(function: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if "out" in kwargs:
        raise Unknown
    if name in _UNARY and len(args) == 1 and not kwargs:
        dtype = _told(function, args, kwargs).dtype
        kind = _kind(dtype)
        if kind.kind != "f" and _UNARY[name] in (*_FLOATS_ONLY, *(("negative",) if kind.kind == "b" else ())):
            raise Unknown
        return _tensor(ir.map_(_UNARY[name], _cast(_expr(args[0]), kind), where=here(3)), dtype)
    if name in _TESTS and len(args) == 1:
        return _tensor(ir.map_(_TESTS[name], _expr(args[0]), where=here(3)), torch.bool)
    if name in ("invert", "bitwise_not") and len(args) == 1:
        return _tensor(ir.map_("invert", _expr(args[0]), where=here(3)), _told(function, args, kwargs).dtype)
    if name in _BINARY and len(args) == 2:
        return _binary(function, name, args, kwargs)
    if name in _COMPARE and len(args) == 2 and not kwargs:
        _told(function, args, kwargs)
        kind = _kind(torch.result_type(*[_meta(each) for each in args]))
        return _tensor(ir.map_(_COMPARE[name], *[_cast(_expr(each), kind) for each in args], where=here(3)), torch.bool)
    if name in _LOGIC and not kwargs:
        inputs = [_cast(_expr(each), np.dtype(bool)) for each in args]
        return _tensor(ir.map_(name, *inputs, where=here(3)), torch.bool)
    if name in _REDUCE:
        return _reduced(function, name, args, kwargs)
    handler = _OTHERS.get(name)
    if handler is None:
        raise Unknown
    return handler(function, args, kwargs)


# inputs and results


def _expr(value: Any) -> Expr:
    if isinstance(value, LazyTensor):
        return now(value._array)
    if isinstance(value, LazyArray):
        return now(value)
    if isinstance(value, torch.Tensor):
        if numpy_dtype(value.dtype) is None or value.requires_grad:
            raise Unknown
        return storage.leaf_of(values_of(value)[0])
    if isinstance(value, np.ndarray):
        return storage.leaf_of(value)
    if type(value) in _PLAIN:
        return ir.const(value)
    raise Unknown


def _meta(value: Any) -> Any:
    """Return a value as torch sees it, without data."""
    if isinstance(value, LazyTensor):
        return torch.empty(value.shape, dtype=value._dtype, device="meta")
    if isinstance(value, LazyArray):
        return torch.empty(value.shape, dtype=getattr(torch, value.dtype.name), device="meta")
    if isinstance(value, torch.Tensor):
        return value.detach().to("meta")
    if isinstance(value, np.ndarray):
        return torch.empty(value.shape, dtype=getattr(torch, value.dtype.name), device="meta")
    if type(value) in (list, tuple):
        return type(value)([_meta(each) for each in value])
    return value


def _told(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return what torch would give, without data; raises what torch raises."""
    found = function(*[_meta(each) for each in args], **{key: _meta(each) for key, each in kwargs.items()})
    if not isinstance(found, torch.Tensor) or numpy_dtype(found.dtype) is None:
        raise Unknown
    return found


def _kind(dtype: torch.dtype) -> np.dtype:
    kind = numpy_dtype(dtype)
    if kind is None:
        raise Unknown
    return kind


def _cast(x: Expr, kind: np.dtype) -> Expr:
    if x.kind == "Const" and type(x.data) in _PLAIN:
        return ir.const(x.data, kind)
    if x.dtype == kind:
        return x
    found = ir.cast(x, kind)
    found.calls = 0
    return found


def _tensor(x: Expr, dtype: torch.dtype) -> LazyTensor:
    return LazyTensor(lazy(_cast(x, _kind(dtype))), dtype)


def _step(name: str, *inputs: Any) -> Expr:
    """Return one of the operations that a function is made of; it is no call of its own."""
    found = ir.map_(name, *inputs)
    found.calls = 0
    return found


def _one_call(found: Expr) -> Expr:
    found.calls, found.where = 1, here(4)
    return found


def _written(x: LazyTensor, value: Any) -> LazyTensor:
    """Write a value over a tensor, in place."""
    if not isinstance(value, LazyTensor):
        raise TypeError("an operation in place needs a tensor")
    if not torch.can_cast(value._dtype, x._dtype):
        raise RuntimeError(
            f"result type {_word(value._dtype)} can't be cast to the desired output type {_word(x._dtype)}"
        )
    if tuple(value.shape) != tuple(x.shape):
        raise RuntimeError(f"output with shape {list(x.shape)} doesn't match the broadcast shape {list(value.shape)}")
    if x._original is not None:
        x._original.copy_(value.compute())
        x._array = LazyArray(storage.leaf_of(values_of(x._original)[0]))
    else:
        ndindex.assign(x._array, lazy(_cast(now(value._array), _kind(x._dtype))))
    return x


def _word(dtype: torch.dtype) -> str:
    return {"float32": "Float", "float64": "Double", "int64": "Long", "int32": "Int", "bool": "Bool"}.get(
        str(dtype).removeprefix("torch."), str(dtype)
    )


def _in_torch(function: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run a call in torch on computed inputs; tensors that come out are lazy again, told in the plan."""
    where = here(3)
    inputs, named = _forced(args), _forced(kwargs)
    start = time.perf_counter()
    found = function(*inputs, **named)
    note = Fallback(name.strip("_"), "unsupported operation", where, 1e3 * (time.perf_counter() - start))
    warn_once(note.name, where, "torch")
    return _wrapped(found, note)


def _forced(value: Any) -> Any:
    if isinstance(value, LazyArray):
        found = value.compute()
        return found if isinstance(found, torch.Tensor) else torch.as_tensor(found)
    if type(value) in (list, tuple):
        return type(value)([_forced(each) for each in value])
    if type(value) is dict:
        return {key: _forced(each) for key, each in value.items()}
    return value


def _wrapped(found: Any, note: Fallback) -> Any:
    if isinstance(found, torch.Tensor) and numpy_dtype(found.dtype) is not None and not found.requires_grad:
        made = lazy_tensor(found)
        made._expr.call, made._expr.where = note, note.where
        made._expr.name = note.name
        return made
    if isinstance(found, tuple | list):
        return type(found)([_wrapped(each, note) for each in found])
    return found


# functions


def _binary(function: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    alpha = kwargs.get("alpha", 1)
    if set(kwargs) - {"alpha"}:
        raise Unknown
    dtype = _told(function, args, kwargs).dtype
    kind, op = _kind(dtype), _BINARY[name]
    if kind.kind != "f" and op in _FLOATS_ONLY:
        raise Unknown  # by zero it raises
    left, right = [_cast(_expr(each), kind) for each in args]
    if alpha != 1:
        right = _step("multiply", right, ir.const(alpha, kind))
    if op == "subtract" and any(
        isinstance(each, LazyArray | torch.Tensor) and each.dtype == torch.bool for each in args
    ):
        raise Unknown  # it raises
    return _tensor(ir.map_(op, left, right, where=here(4)), dtype)


def _power(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if len(args) != 2 or kwargs:
        raise Unknown
    dtype = _told(function, args, kwargs).dtype
    kind, by = _kind(dtype), args[1]
    if kind.kind != "f" and not (type(by) is int and by >= 0):
        raise Unknown
    x = _cast(_expr(args[0]), kind)
    short = {1: "positive", -1: "reciprocal", 0.5: "sqrt", 2: "square"}.get(by) if type(by) in (int, float) else None
    if short is not None and kind.kind == "f":
        return _tensor(ir.map_(short, x, where=here(4)), dtype)
    return _tensor(ir.map_("power", x, _cast(_expr(by), kind), where=here(4)), dtype)


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
    told = _told(function, args, kwargs)
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
        base = _cast(base, _kind(told.dtype))
    elif op in ("any", "all"):
        base = _cast(base, np.dtype(bool))
    found = ir.reduce_(
        op,
        base,
        axes,
        keepdims=bool(options.get("keepdim", False)),
        ddof=1 if correction is None else correction,
        where=here(4),
    )
    return _tensor(found, told.dtype)


def _scan(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    x, dim = args[0], args[1] if len(args) > 1 else kwargs.get("dim")
    told = _told(function, args, kwargs)
    axes = _axes(x, dim)
    if not x.ndim or dim is None:
        raise Unknown
    kind = _kind(told.dtype)
    return _tensor(ir.scan(function.__name__, _cast(_expr(x), kind), axes[0], kind, here(4)), told.dtype)


def _where(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if len(args) != 3 or kwargs:
        raise Unknown
    if function is not torch.where:  # x.where(condition, other)
        args = (args[1], args[0], args[2])
    told = _told(torch.where, args, kwargs)
    kind = _kind(told.dtype)
    mask, yes, no = _cast(_expr(args[0]), np.dtype(bool)), _cast(_expr(args[1]), kind), _cast(_expr(args[2]), kind)
    return _tensor(ir.select(mask, yes, no, here(4)), told.dtype)


def _clamp(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    options = {**dict(zip(("min", "max"), args[1:], strict=False)), **kwargs}
    told = _told(function, args, kwargs)
    found = _cast(_expr(args[0]), _kind(told.dtype))
    for key, op in (("min", "maximum"), ("max", "minimum")):
        if options.get(key) is not None:
            found = _step(op, found, _cast(_expr(options[key]), _kind(told.dtype)))
    return _tensor(_one_call(found), told.dtype)


def _made_of(formula: Callable[[Expr, np.dtype], Expr], *known: str) -> Callable[..., Any]:
    """Return the handler of a function of one tensor of floats that is made of others."""

    def handler(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if (
            len(args) != 1
            or any(kwargs.get(key) not in (False, None, "none") for key in kwargs)
            or set(kwargs) - set(known)
        ):
            raise Unknown
        told = _told(function, args, kwargs)
        kind = _kind(told.dtype)
        if kind.kind != "f":
            raise Unknown
        return _tensor(_one_call(formula(_cast(_expr(args[0]), kind), kind)), told.dtype)

    return handler


def _gelu(x: Expr, kind: np.dtype) -> Expr:
    half = _step("multiply", x, ir.const(0.5, kind))
    return _step(
        "multiply", half, _step("add", _step("erf", _step("multiply", x, ir.const(2**-0.5, kind))), ir.const(1.0, kind))
    )


def _relu(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if len(args) != 1 or kwargs.get("inplace"):
        raise Unknown
    dtype = _told(function, args, kwargs).dtype
    x = _expr(args[0])
    return _tensor(ir.map_("maximum", x, ir.const(0, x.dtype), where=here(4)), dtype)


def _softmax(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    options = {**dict(zip(("dim",), args[1:], strict=False)), **kwargs}
    dim = options.get("dim")
    if dim is None or len(args) > 2 or options.get("dtype") is not None:
        raise Unknown
    told = _told(function, args, kwargs)
    x = _cast(_expr(args[0]), _kind(told.dtype))
    if not x.shape or 0 in x.shape:
        raise Unknown
    axes = _axes(args[0], dim)
    distance = _step("subtract", x, _inner(ir.reduce_("max", x, axes, keepdims=True)))
    grown = _step("exp", distance)
    total = _inner(ir.reduce_("sum", grown, axes, keepdims=True))
    found = (
        _step("subtract", distance, _step("log", total))
        if "log" in function.__name__
        else _step("divide", grown, total)
    )
    return _tensor(_one_call(found), told.dtype)


def _inner(found: Expr) -> Expr:
    found.calls = 0
    return found


def _to(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    x, name = args[0], function.__name__
    if not isinstance(x, LazyTensor):
        raise Unknown
    if name == "to" and ("device" in kwargs or any(isinstance(each, str | torch.device) for each in args[1:])):
        raise Unknown
    told = _told(function, args, kwargs)
    if told.dtype in _HALF and told.dtype != x._dtype:
        raise Unknown  # rounds where it stands
    if told.dtype == x._dtype:
        return x
    return _tensor(ir.cast(now(x._array), _kind(told.dtype), here(4)), told.dtype)


def _shaped(how: str) -> Callable[..., Any]:
    """Return the handler of a function that looks at a tensor in another shape."""

    def handler(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        x = args[0]
        if not isinstance(x, LazyTensor):
            raise Unknown
        shape = tuple(_told(function, args, kwargs).shape)
        if how == "broadcast":
            spread: Any = np.broadcast_to(x._array, shape)
            return LazyTensor(spread, x._dtype)
        if how == "reshape":
            return LazyTensor(ndindex.reshape(x._array, shape), x._dtype)
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
        return LazyTensor(ndindex.transpose(x._array, tuple([each % x.ndim for each in order])), x._dtype)

    return handler


def _joined(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    told = _told(function, args, kwargs)
    parts, kind = args[0], _kind(told.dtype)
    dim = args[1] if len(args) > 1 else kwargs.get("dim", 0)
    if not all(isinstance(each, LazyArray | torch.Tensor) for each in parts) or not isinstance(dim, int):
        raise Unknown
    join: Any = np.stack if function.__name__ == "stack" else np.concatenate
    found = join([lazy(_cast(_expr(each), kind)) for each in parts], axis=dim)
    return LazyTensor(found, told.dtype)


def _same(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if len(args) != 1 or kwargs or not isinstance(args[0], LazyTensor):
        raise Unknown
    return args[0] if function.__name__ != "clone" else args[0].copy()


def getitem(x: LazyTensor, key: Any) -> Any:
    """Return `x[key]`."""
    parts = key if type(key) is tuple else (key,)
    if any(isinstance(each, slice) and (each.step or 1) < 0 for each in parts):
        raise ValueError("step must be greater than zero")
    found = ndindex.getitem(x._array, tuple(map(_index, key)) if type(key) is tuple else _index(key))
    return LazyTensor(found if isinstance(found, LazyArray) else lazy(ir.leaf(np.asarray(found))), x._dtype)


def setitem(x: LazyTensor, key: Any, value: Any) -> None:
    """Do `x[key] = value`."""
    if x._original is not None:
        x._original[_forced(key)] = _forced(value)
        x._array = LazyArray(storage.leaf_of(values_of(x._original)[0]))
        return
    ndindex.setitem(x._array, tuple(map(_index, key)) if type(key) is tuple else _index(key), _index(value))


def _index(value: Any) -> Any:
    if isinstance(value, LazyTensor):
        return value._array
    return values_of(value)[0] if isinstance(value, torch.Tensor) else value


_OTHERS: dict[str, Callable[..., Any]] = {
    "pow": _power, "where": _where, "clamp": _clamp, "clip": _clamp, "softmax": _softmax, "log_softmax": _softmax,
    "cumsum": _scan, "cumprod": _scan, "gelu": _made_of(_gelu, "approximate"),
    "relu": _relu,
    "rsqrt": _made_of(lambda x, kind: _step("reciprocal", _step("sqrt", x))),
    "silu": _made_of(lambda x, kind: _step("multiply", x, _step("expit", x)), "inplace"),
    "clone": _same, "detach": _same, "contiguous": _same, "cpu": _same,
    "cat": _joined, "concat": _joined, "concatenate": _joined, "stack": _joined,
    **dict.fromkeys(("to", "float", "double", "int", "long", "short", "bool", "half", "bfloat16", "type_as"), _to),
    **dict.fromkeys(("reshape", "view", "flatten", "ravel", "unsqueeze", "squeeze"), _shaped("reshape")),
    **dict.fromkeys(("expand", "broadcast_to", "expand_as"), _shaped("broadcast")),
    **dict.fromkeys(("permute", "transpose", "swapaxes", "t"), _shaped("transpose")),
}  # fmt: skip
