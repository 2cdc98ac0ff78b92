"""Functions of torch on lazy tensors: each recorded, or run in torch where it is not known here."""

from __future__ import annotations

import operator
import time
from typing import Any

import numpy as np
import torch

from workbench.fusion import expr as ir
from workbench.fusion.capture import ndindex, storage
from workbench.fusion.capture.array import LazyArray, lazy, now
from workbench.fusion.capture.fallback import warn_once
from workbench.fusion.capture.ndcalls import Unknown
from workbench.fusion.capture.tensor import LazyTensor, lazy_tensor, numpy_dtype, values_of
from workbench.fusion.capture.torchcalls import cast_to, kind_of
from workbench.fusion.capture.torchrecords import recorded
from workbench.fusion.expr import Fallback
from workbench.fusion.positions import here

__all__ = ["call", "getitem", "operate", "setitem"]

_PLAIN = (int, float, bool)
#: operators that have a reflected form and one in place, and the names of some in `operator`
_REFLECTED = (
    "add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor", "lshift", "rshift", "matmul",
)  # fmt: skip
_WORDS = {"and": "and_", "or": "or_"}


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
        return recorded(function, name, args, kwargs)
    except (Unknown, OverflowError):
        return _in_torch(function, name, args, kwargs)


def _in_place(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if name in ("zero", "fill", "copy"):
        setitem(args[0], ..., args[1] if len(args) > 1 else kwargs.get("value", 0))
        return args[0]
    return _written(args[0], _answer(getattr(torch.Tensor, name), name, args, kwargs))


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
        ndindex.assign(x._array, lazy(cast_to(now(value._array), kind_of(x._dtype))))
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


def getitem(x: LazyTensor, key: Any) -> Any:
    """Return `x[key]`."""
    parts = key if type(key) is tuple else (key,)
    if any(isinstance(each, slice) and (each.step or 1) < 0 for each in parts):
        raise ValueError("step must be greater than zero")
    found = ndindex.getitem(ndindex.buffered(x._array), tuple(map(_index, key)) if type(key) is tuple else _index(key))
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
