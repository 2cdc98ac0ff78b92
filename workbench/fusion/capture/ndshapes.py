"""Functions of NumPy that look at arrays in another shape, join them, or fill new ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.fusion import expr as ir
from workbench.fusion.capture import ndindex, ndreduce
from workbench.fusion.capture.array import lazy, now, settle_sizes
from workbench.fusion.capture.ndcalls import Unknown, axis_of, handles, lazy_of
from workbench.fusion.capture.ndinputs import force_in
from workbench.fusion.expr import Expr
from workbench.fusion.positions import here

__all__: list[str] = []


@handles(np.concatenate)
def _concatenate(arrays: Any, axis: Any = 0, out: Any = None, *, dtype: Any = None, casting: Any = None) -> Any:
    if out is not None or dtype is not None or axis is None or not isinstance(arrays, list | tuple):
        raise Unknown
    parts = [ndindex.known(lazy_of(each)) for each in arrays]
    return _joined(parts, axis, "concatenate")


@handles(np.stack)
def _stack(arrays: Any, axis: int = 0, out: Any = None, *, dtype: Any = None, casting: Any = None) -> Any:
    if out is not None or dtype is not None or not isinstance(arrays, list | tuple) or not len(arrays):
        raise Unknown
    parts = [ndindex.known(lazy_of(each)) for each in arrays]
    if len({each.shape for each in parts}) != 1:
        raise Unknown
    at = axis_of(axis, len(parts[0].shape) + 1)
    key = (*(slice(None),) * at, None)
    return _joined([ir.view(each, "index", *ndindex.basic(each.shape, key), here(3)) for each in parts], at, "stack")


@handles(np.reshape)
def _reshape(a: Any, /, shape: Any = None, order: str = "C", *, newshape: Any = None, copy: Any = None) -> Any:
    if order != "C" or copy is not None or shape is None:
        raise Unknown
    return ndindex.reshape(lazy_of(a), shape)


@handles(np.transpose)
def _transpose(a: Any, axes: Any = None) -> Any:
    return ndindex.transpose(lazy_of(a), axes)


@handles(np.ravel)
def _ravel(a: Any, order: str = "C") -> Any:
    if order != "C":
        raise Unknown
    return ndindex.reshape(lazy_of(a), (-1,)) if 0 not in lazy_of(a).shape else lazy_of(a).reshape(0)


@handles(np.broadcast_to)
def _broadcast_to(array: Any, shape: Any, subok: bool = False) -> Any:
    base = ndindex.known(lazy_of(array))
    wanted = tuple(shape) if isinstance(shape, tuple | list) else (int(shape),)
    try:
        fits = ir.broadcast_shapes(base.shape, wanted) == wanted
    except ValueError:
        fits = False
    if not fits:
        raise Unknown
    return ndindex.viewed(lazy_of(array), "broadcast", wanted, wanted, here(3))


@handles(np.squeeze)
def _squeeze(a: Any, axis: Any = None) -> Any:
    x = lazy_of(a)
    shape = settle_sizes(now(x).shape)
    axes = ndreduce.axes_of(axis, len(shape)) if axis is not None else tuple(k for k, d in enumerate(shape) if d == 1)
    if axes is None or any(shape[k] != 1 for k in axes):
        raise Unknown
    return x[tuple([0 if k in axes else slice(None) for k in range(len(shape))])]


@handles(np.expand_dims)
def _expand_dims(a: Any, axis: Any) -> Any:
    x = lazy_of(a)
    many = x.ndim + (len(axis) if isinstance(axis, tuple) else 1)
    axes = ndreduce.axes_of(axis, many)
    if axes is None:
        raise Unknown
    return x[tuple([None if k in axes else slice(None) for k in range(many)])]


@handles(np.moveaxis)
def _moveaxis(a: Any, source: Any, destination: Any) -> Any:
    x = lazy_of(a)
    one, two = ndreduce.axes_of(source, x.ndim), ndreduce.axes_of(destination, x.ndim)
    if one is None or two is None or len(one) != len(two):
        raise Unknown
    order = [k for k in range(x.ndim) if k not in one]
    for to, axis in sorted(zip(two, one, strict=True)):
        order.insert(to, axis)
    return ndindex.transpose(x, tuple(order))


@handles(np.swapaxes)
def _swapaxes(a: Any, axis1: int, axis2: int) -> Any:
    x = lazy_of(a)
    order = list(range(x.ndim))
    one, two = axis_of(axis1, x.ndim), axis_of(axis2, x.ndim)
    order[one], order[two] = order[two], order[one]
    return ndindex.transpose(x, tuple(order))


@handles(np.flip)
def _flip(m: Any, axis: Any = None) -> Any:
    x = lazy_of(m)
    axes = ndreduce.axes_of(axis, x.ndim)
    if axes is None:
        raise Unknown
    return x[tuple([slice(None, None, -1) if k in axes else slice(None) for k in range(x.ndim)])]


@handles(np.zeros_like)
def _zeros_like(a: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, **rest: Any) -> Any:
    return _filled(a, 0, dtype, shape)


@handles(np.ones_like)
def _ones_like(a: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, **rest: Any) -> Any:
    return _filled(a, 1, dtype, shape)


@handles(np.empty_like)
def _empty_like(
    prototype: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, **rest: Any
) -> Any:
    return _filled(prototype, 0, dtype, shape)


@handles(np.full_like)
def _full_like(
    a: Any, fill_value: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, **rest: Any
) -> Any:
    value = force_in(fill_value)
    if np.ndim(value):
        raise Unknown
    return _filled(a, value, dtype, shape)


@handles(np.copy)
def _copy(a: Any, order: str = "K", subok: bool = False) -> Any:
    return lazy_of(a).copy()


@handles(np.real)
def _real(val: Any) -> Any:
    if lazy_of(val).dtype.kind == "c":
        raise Unknown
    return lazy_of(val)


@handles(np.shape)
def _shape(a: Any) -> Any:
    return lazy_of(a).shape


@handles(np.ndim)
def _ndim(a: Any) -> Any:
    return lazy_of(a).ndim


@handles(np.size)
def _size(a: Any, axis: Any = None) -> Any:
    return lazy_of(a).size if axis is None else lazy_of(a).shape[axis]


def _filled(a: Any, value: Any, dtype: Any, shape: Any) -> Any:
    x = lazy_of(a)
    kind = np.dtype(dtype) if dtype is not None else x.dtype
    wanted = x.shape if shape is None else (tuple(shape) if isinstance(shape, tuple | list) else (int(shape),))
    if kind.kind not in "biuf":
        raise Unknown
    one = np.empty(1, kind)
    one[0] = value
    return lazy(ir.view(ir.const(one[0], kind), "broadcast", wanted, wanted, here(4)))


def _joined(parts: list[Expr], axis: int, name: str) -> Any:
    if not parts:
        raise Unknown
    at = axis_of(axis, len(parts[0].shape)) if parts[0].shape else None
    if at is None:
        raise Unknown
    rest = {(*each.shape[:at], *each.shape[at + 1 :]) for each in parts}
    if len(rest) != 1 or len({len(each.shape) for each in parts}) != 1:
        raise Unknown
    return lazy(ir.concat(parts, at, here(4), name))
