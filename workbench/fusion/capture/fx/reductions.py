"""Reductions and running values of torch as expressions."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from workbench.fusion import expr as ir
from workbench.fusion.capture.fx.calls import Call, Unknown, axes_of, operand, register
from workbench.fusion.expr import Expr

__all__: list[str] = []

aten = torch.ops.aten

_NAMES = {"amax": "max", "amin": "min"}


def _name(call: Call) -> str:
    name = call.node.target.overloadpacket.__name__
    return _NAMES.get(name, name)


@register(
    aten.sum.default, aten.sum.dim_IntList, aten.mean.default, aten.mean.dim, aten.prod.default, aten.prod.dim_int,
    aten.amax.default, aten.amin.default, aten.max.default, aten.min.default, aten.any.default, aten.any.dim,
    aten.any.dims, aten.all.default, aten.all.dim, aten.all.dims,
)  # fmt: skip
def _reduce(call: Call) -> Expr:
    x, name = call["self"], _name(call)
    if name in ("sum", "mean", "prod"):
        x = operand(x, None, call.kind)
    elif name in ("any", "all"):
        x = operand(x, None, np.dtype(bool))
    return reduced(call, name, x)


def reduced(call: Call, name: str, x: Expr, **options: Any) -> Expr:
    """Return a reduction over the dimensions that a call names."""
    axes = axes_of(call.get("dim"), x.ndim)
    if not x.ndim:
        return _of_one(call, name, x)
    if name in ("max", "min") and 0 in x.shape:
        raise Unknown  # it raises
    found = ir.reduce_(name, x, axes, keepdims=bool(call.get("keepdim", False)), where=call.where, **options)
    return found if found.dtype == call.kind else ir.cast(found, call.kind)


def _of_one(call: Call, name: str, x: Expr) -> Expr:
    """A tensor without dimensions has itself as sum."""
    if name not in ("sum", "mean", "prod", "max", "min", "any", "all"):
        raise Unknown
    return operand(x, None, call.kind)


@register(aten.argmax.default, aten.argmin.default)
def _position(call: Call) -> Expr:
    x = call["self"]
    if not x.ndim or 0 in x.shape or (call.get("dim") is None and call.get("keepdim")):
        raise Unknown
    return reduced(call, _name(call), x)


@register(aten.var.correction, aten.std.correction)
def _var(call: Call) -> Expr:
    x, given = call["self"], call.get("correction")
    if not x.ndim or x.dtype.kind != "f":
        raise Unknown
    return reduced(call, _name(call), x, ddof=1 if given is None else given)


@register(aten.var_mean.correction)
def _var_mean(call: Call) -> list[Expr]:
    x, given = call["self"], call.get("correction")
    if not x.ndim or x.dtype.kind != "f":
        raise Unknown
    axes, keep = axes_of(call.get("dim"), x.ndim), bool(call.get("keepdim", False))
    ddof = 1 if given is None else given
    var = ir.reduce_("var", x, axes, keepdims=keep, ddof=ddof, where=call.where)
    return [var, ir.reduce_("mean", x, axes, keepdims=keep, where=call.where)]


@register(aten.cumsum.default, aten.cumprod.default)
def _scan(call: Call) -> Expr:
    x = operand(call["self"], None, call.kind)
    if not x.ndim or 0 in x.shape:
        raise Unknown
    return ir.scan(_name(call), x, call["dim"] % x.ndim, call.kind, call.where)
