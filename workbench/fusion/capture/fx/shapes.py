"""Views, joins and fills of torch as expressions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from workbench.fusion import expr as ir
from workbench.fusion.capture.fx.calls import Call, Unknown, axes_of, operand, register
from workbench.fusion.expr import Expr

__all__ = ["broadcast", "reshape", "slice_of", "transpose"]

aten = torch.ops.aten
prims = torch.ops.prims


def reshape(x: Expr, shape: Sequence[Any], where: Any = None) -> Expr:
    """Return x in another shape, in which -1 is what is left."""
    wanted: tuple[Any, ...] = tuple(shape)
    if -1 in wanted:
        known = -math.prod(wanted)
        total = math.prod([_length(x, k) for k in range(x.ndim)])
        if not known:
            raise Unknown
        wanted = tuple([total // known if d == -1 else d for d in wanted])
    return x if wanted == x.shape else ir.view(x, "reshape", wanted, wanted, where)


def broadcast(x: Expr, shape: Sequence[Any], where: Any = None) -> Expr:
    """Return x repeated along new dimensions and those of length 1."""
    wanted = tuple(shape)
    return x if wanted == x.shape else ir.view(x, "broadcast", wanted, wanted, where)


def transpose(x: Expr, order: Sequence[int], where: Any = None) -> Expr:
    """Return x with its dimensions in another order."""
    axes = tuple(order)
    if axes == tuple(range(x.ndim)):
        return x
    return ir.view(x, "transpose", axes, tuple([x.shape[k] for k in axes]), where)


def slice_of(x: Expr, dim: int, start: int, stop: int, step: int = 1, where: Any = None) -> Expr:
    """Return x[start:stop:step] along a dimension; the bounds are within it."""
    if (start, stop, step) == (0, x.shape[dim], 1):
        return x
    spec: list[Any] = [("slice", None, None, None)] * x.ndim
    spec[dim] = ("slice", start, stop, step)
    length = max(0, -(-(stop - start) // step))
    return ir.view(x, "index", tuple(spec), (*x.shape[:dim], length, *x.shape[dim + 1 :]), where)


def _length(x: Expr, dim: int) -> int:
    found = x.shape[dim]
    assert isinstance(found, int)  # lengths are known when expressions are made
    return found


@register(aten.view.default, aten.reshape.default, aten._unsafe_view.default)
def _view(call: Call) -> Expr:
    sizes = call["shape"] if "shape" in call.args else call["size"]
    return reshape(call.tensor("self"), sizes, call.where)


@register(aten.expand.default)
def _expand(call: Call) -> Expr:
    x, sizes = call.tensor("self"), call["size"]
    ahead = len(sizes) - x.ndim
    shape = [x.shape[k - ahead] if d == -1 else d for k, d in enumerate(sizes)]
    return broadcast(x, shape, call.where)


@register(prims.broadcast_in_dim.default)
def _broadcast_in_dim(call: Call) -> Expr:
    x, shape, places = call["a"], call["shape"], call["broadcast_dimensions"]
    inner = [1] * len(shape)
    for k, place in enumerate(places):
        inner[place] = x.shape[k]
    return broadcast(reshape(x, inner, call.where), shape, call.where)


@register(aten.permute.default)
def _permute(call: Call) -> Expr:
    x = call.tensor("self")
    return transpose(x, axes_of(call["dims"], x.ndim) if x.ndim else (), call.where)


@register(aten.t.default)
def _t(call: Call) -> Expr:
    x = call.tensor("self")
    return transpose(x, tuple(reversed(range(x.ndim))), call.where)


@register(aten.transpose.int)
def _transpose(call: Call) -> Expr:
    x = call.tensor("self")
    if not x.ndim:
        return x
    order = list(range(x.ndim))
    one, two = call["dim0"] % x.ndim, call["dim1"] % x.ndim
    order[one], order[two] = two, one
    return transpose(x, order, call.where)


@register(aten.squeeze.default, aten.squeeze.dim, aten.squeeze.dims)
def _squeeze(call: Call) -> Expr:
    x = call.tensor("self")
    axes = axes_of(call.get("dim"), x.ndim)
    return reshape(x, [d for k, d in enumerate(x.shape) if d != 1 or k not in axes], call.where)


@register(aten.unsqueeze.default)
def _unsqueeze(call: Call) -> Expr:
    x = call.tensor("self")
    dim = call["dim"] % (x.ndim + 1)
    return reshape(x, [*x.shape[:dim], 1, *x.shape[dim:]], call.where)


@register(aten.select.int)
def _select(call: Call) -> Expr:
    x = call.tensor("self")
    dim = call["dim"] % x.ndim
    index = call["index"] + (x.shape[dim] if call["index"] < 0 else 0)
    part = slice_of(x, dim, index, index + 1, 1, call.where)
    return reshape(part, [*x.shape[:dim], *x.shape[dim + 1 :]], call.where)


@register(aten.slice.Tensor)
def _slice(call: Call) -> Expr:
    x = call.tensor("self")
    dim = call["dim"] % x.ndim
    start, stop = _bounds(call, x.shape[dim])
    return slice_of(x, dim, start, stop, call["step"], call.where)


def _bounds(call: Call, length: Any) -> tuple[int, int]:
    start, stop = call["start"], call["end"]
    start = 0 if start is None else min(max(start + (length if start < 0 else 0), 0), length)
    stop = length if stop is None else min(max(stop + (length if stop < 0 else 0), start), length)
    return start, max(start, stop)


@register(aten.slice_scatter.default)
def _slice_scatter(call: Call) -> Expr:
    x, source = call.tensor("self"), call.tensor("src")
    dim = call["dim"] % x.ndim
    if call["step"] != 1:
        raise Unknown
    start, stop = _bounds(call, x.shape[dim])
    return _put(x, source, dim, start, stop, call.where)


@register(aten.select_scatter.default)
def _select_scatter(call: Call) -> Expr:
    x, source = call.tensor("self"), call.tensor("src")
    dim = call["dim"] % x.ndim
    index = call["index"] + (x.shape[dim] if call["index"] < 0 else 0)
    inner = reshape(source, [*x.shape[:dim], 1, *x.shape[dim + 1 :]], call.where)
    return _put(x, inner, dim, index, index + 1, call.where)


def _put(x: Expr, source: Expr, dim: int, start: int, stop: int, where: Any) -> Expr:
    """Return x with a part of it replaced."""
    parts = [slice_of(x, dim, 0, start), source, slice_of(x, dim, stop, _length(x, dim))]
    return _join([each for each in parts if each.shape[dim]] or [x], dim, where)


def _join(parts: Sequence[Expr], dim: int, where: Any) -> Expr:
    return parts[0] if len(parts) == 1 else ir.concat(parts, dim, where)


@register(aten.split.Tensor, aten.split_with_sizes.default, aten.unbind.int)
def _split(call: Call) -> list[Expr]:
    x = call["self"]
    dim = call["dim"] % x.ndim
    length = _length(x, dim)
    if call.node.target is aten.unbind.int:
        rest = [*x.shape[:dim], *x.shape[dim + 1 :]]
        return [reshape(slice_of(x, dim, k, k + 1), rest, call.where) for k in range(length)]
    sizes = call["split_sizes"] if "split_sizes" in call.args else call["split_size"]
    if isinstance(sizes, int):
        step = sizes
        sizes = [min(step, length - k) for k in range(0, length, step)] or [0]
    starts = np.cumsum([0, *sizes])
    return [slice_of(x, dim, int(a), int(a) + size, 1, call.where) for a, size in zip(starts[:-1], sizes, strict=True)]


@register(aten.flip.default)
def _flip(call: Call) -> Expr:
    x = call.tensor("self")
    spec: list[Any] = [("slice", None, None, None)] * x.ndim
    for dim in axes_of(call["dims"], x.ndim) if call["dims"] else ():
        spec[dim] = ("slice", None, None, -1)
    return ir.view(x, "index", tuple(spec), x.shape, call.where)


@register(aten.cat.default)
def _cat(call: Call) -> Expr:
    raw, kind, ndim = call.raw["tensors"], call.kind, call.out.ndim
    parts = [operand(each, one, kind) for each, one in zip(call["tensors"], raw, strict=True)]
    dim = call["dim"] % ndim
    parts = [each for each in parts if each.ndim == ndim and each.shape[dim]] or parts[:1]
    return _join(parts, dim, call.where)


@register(aten.stack.default)
def _stack(call: Call) -> Expr:
    raw, kind = call.raw["tensors"], call.kind
    parts = [operand(each, one, kind) for each, one in zip(call["tensors"], raw, strict=True)]
    dim = call["dim"] % call.out.ndim
    return _join([reshape(x, [*x.shape[:dim], 1, *x.shape[dim:]]) for x in parts], dim, call.where)


@register(aten.constant_pad_nd.default)
def _pad(call: Call) -> Expr:
    x, pads = call.tensor("self"), call["pad"]
    if any(each < 0 for each in pads):
        raise Unknown
    for k in range(0, len(pads), 2):
        dim = x.ndim - 1 - k // 2
        parts = [x]
        for place, many in ((0, pads[k]), (len(parts), pads[k + 1])):
            if many:
                shape = (*x.shape[:dim], many, *x.shape[dim + 1 :])
                fill = broadcast(call.tensor("value"), shape)
                parts.insert(0, fill) if not place else parts.append(fill)
        x = _join([each for each in parts if each.shape[dim]] or [x], dim, call.where)
    return x


@register(
    aten.full.default, aten.zeros.default, aten.ones.default, aten.full_like.default, aten.zeros_like.default,
    aten.ones_like.default, aten.new_zeros.default, aten.new_ones.default, aten.new_full.default,
    aten.scalar_tensor.default,
)  # fmt: skip
def _fill(call: Call) -> Expr:
    name = call.node.target.overloadpacket.__name__
    if "fill_value" in call.args:
        value = call.tensor("fill_value")
    elif "s" in call.args:
        return call.tensor("s")
    else:
        value = ir.const(1 if "ones" in name else 0, call.kind)
    shape = call["self"].shape if name.endswith("_like") else call["size"]
    return broadcast(value, shape, call.where)


@register(prims.iota.default)
def _iota(call: Call) -> Expr:
    many, start, step = call["length"], call["start"], call["step"]
    found: Expr = ir.rows(broadcast(ir.const(0, np.int64), (many,)))
    found = found if found.dtype == call.kind else ir.cast(found, call.kind)
    if step != 1:
        found = call.map("multiply", found, call.tensor("step"))
    return call.map("add", found, call.tensor("start")) if start else found


@register(aten.arange.start_step, aten.arange.default, aten.arange.start)
def _arange(call: Call) -> Expr:
    start, stop, step = call.get("start", 0), call["end"], call.get("step", 1)
    if not all(isinstance(each, int) for each in (start, stop, step)) or not step:
        raise Unknown
    many = max(0, -(-(stop - start) // step))
    found: Expr = ir.rows(broadcast(ir.const(0, np.int64), (many,)))
    if step != 1:
        found = call.map("multiply", found, operand(step, call.raw.get("step"), found.dtype))
    if start:
        found = call.map("add", found, operand(start, call.raw.get("start"), found.dtype))
    return found if found.dtype == call.kind else ir.cast(found, call.kind)
