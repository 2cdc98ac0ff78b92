"""What handlers of torch's functions have in common: inputs as expressions, and what torch says a call gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from workbench.fusion import expr as ir
from workbench.fusion.capture import storage
from workbench.fusion.capture.array import LazyArray, lazy, now
from workbench.fusion.capture.ndcalls import Unknown
from workbench.fusion.capture.tensor import LazyTensor, numpy_dtype, values_of
from workbench.fusion.expr import Expr
from workbench.fusion.positions import here

__all__ = ["asked", "cast_to", "expr_of", "kind_of", "made", "meta_of", "one_call", "step"]

_PLAIN = (int, float, bool)


def expr_of(value: Any) -> Expr:
    """Return the expression of an input of a call."""
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


def meta_of(value: Any) -> Any:
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
        return type(value)([meta_of(each) for each in value])
    return value


def asked(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return what torch would give, without data; raises what torch raises."""
    found = function(*[meta_of(each) for each in args], **{key: meta_of(each) for key, each in kwargs.items()})
    if not isinstance(found, torch.Tensor) or numpy_dtype(found.dtype) is None:
        raise Unknown
    return found


def kind_of(dtype: torch.dtype) -> np.dtype:
    """Return the dtype that kernels compute a tensor in."""
    kind = numpy_dtype(dtype)
    if kind is None:
        raise Unknown
    return kind


def cast_to(x: Expr, kind: np.dtype) -> Expr:
    """Return an expression in a dtype; a number takes part in it as a constant."""
    if x.kind == "Const" and type(x.data) in _PLAIN:
        return ir.const(x.data, kind)
    if x.dtype == kind:
        return x
    found = ir.cast(x, kind)
    found.calls = 0
    return found


def made(x: Expr, dtype: torch.dtype) -> LazyTensor:
    """Return what is computed as a tensor of a dtype."""
    return LazyTensor(lazy(cast_to(x, kind_of(dtype))), dtype)


def step(name: str, *inputs: Any) -> Expr:
    """Return one of the operations that a function is made of; it is no call of its own."""
    found = ir.map_(name, *inputs)
    found.calls = 0
    return found


def one_call(found: Expr) -> Expr:
    """Count a function as one call: its last operation stands for it."""
    found.calls, found.where = 1, here(4)
    return found
