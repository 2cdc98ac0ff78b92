"""Functions of NumPy on lazy arrays: each recorded, or run in NumPy where it is not known here."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from workbench.fusion import expr as ir
from workbench.fusion.capture import ndindex, ndreduce
from workbench.fusion.capture.array import (
    LazyArray,
    as_expr,
    combine,
    elementwise,
    force_in,
    lazy,
    now,
    run_in_numpy,
    settle_sizes,
)
from workbench.fusion.expr import Expr
from workbench.fusion.ops import supported
from workbench.fusion.positions import here

__all__ = ["call"]

_REDUCTIONS = [
    "sum",
    "prod",
    "min",
    "max",
    "amin",
    "amax",
    "mean",
    "var",
    "std",
    "argmin",
    "argmax",
    "any",
    "all",
    "count_nonzero",
    "nansum",
    "nanprod",
    "nanmin",
    "nanmax",
    "nanmean",
    "nanvar",
    "nanstd",
]
_SAME = {"amin": "min", "amax": "max"}


class Unknown(Exception):
    """A call that is not known here in this form: NumPy runs it."""


def call(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return the result of a NumPy function, lazy where it is known."""
    if any(hasattr(type(each), "_fusion_value") for each in args):
        return NotImplemented  # a table's column knows better
    handler = _handlers().get(function)
    if handler is not None:
        try:
            return handler(*args, **kwargs)
        except Unknown:
            pass
        except TypeError as error:
            # options that the handler does not take
            if "argument" not in str(error):
                raise
    return run_in_numpy(getattr(function, "__name__", str(function)), function, args, kwargs)


@cache
def _handlers() -> dict[Any, Callable[..., Any]]:
    found: dict[Any, Callable[..., Any]] = {}
    for name in _REDUCTIONS:
        found[getattr(np, name)] = _reduction(name)
    for name, handler in inspect.getmembers(_Functions, inspect.isfunction):
        if not name.startswith("_"):
            found[getattr(np, name.removesuffix("_"))] = handler
    found[np.around] = found[np.round]
    found[np.linalg.norm] = _norm
    for name in ("sort", "argsort", "unique"):
        found[getattr(np, name)] = _extern(name)
    for name in ("bincount", "histogram", "searchsorted", "digitize", "isin", "median", "quantile", "percentile"):
        found.setdefault(getattr(np, name), _extern(name))
    return found


def _reduction(name: str) -> Callable[..., Any]:
    function = getattr(np, name)
    order = list(inspect.signature(function).parameters)[1:]

    def handler(x: Any, *args: Any, **kwargs: Any) -> Any:
        return ndreduce.reduce(_SAME.get(name, name), x, {**dict(zip(order, args, strict=False)), **kwargs}, function)

    return handler


def _extern(name: str) -> Callable[..., Any]:
    """A library call whose result's dtype and shape only it knows: it runs when it is asked for."""
    function = getattr(np, name)

    def handler(*args: Any, **kwargs: Any) -> Any:
        if name in ("sort", "argsort") and isinstance(args[0], LazyArray) and len(args) == 1 and not kwargs:
            base = now(args[0])
            dtype = np.dtype(np.intp) if name == "argsort" else base.dtype
            return lazy(ir.extern(name, function, (base,), dtype, base.shape, here(4)))
        return run_in_numpy(name, function, args, kwargs, f"library call ({name})")

    return handler


def _expr(x: Any) -> Expr:
    found = as_expr(x)
    if found is None:
        raise Unknown
    return found


def _lazy(x: Any) -> LazyArray:
    return x if type(x) is LazyArray else lazy(_expr(x))


def _map(name: str, *inputs: Any) -> LazyArray:
    """One of the operations that a function is made of."""
    found = combine(name, inputs, here(4))
    if found is NotImplemented:
        raise Unknown
    if found._expr.kind == "Map":
        found._expr.calls = 0
    return found


def _one_call(found: Any) -> Any:
    """Count the function as one call: its last operation stands for it."""
    found._expr.calls = 1
    return found


def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    x = _lazy(x)
    if ord not in (None, 2) or (ord == 2 and (x.ndim != 1 and not isinstance(axis, int))):
        raise Unknown
    if x.dtype.kind != "f":
        x = x.astype(np.float64)
        x._expr.calls = 0
    if axis is None and x.ndim > 1:
        axis = tuple(range(x.ndim))
    axes = ndreduce.axes_of(axis, x.ndim)
    if axes is None or not axes:
        raise Unknown
    total = lazy(ir.reduce_("sum", now(_map("square", x)), axes, keepdims=keepdims, where=here(4)))
    total._expr.calls = 0
    return _one_call(_map("sqrt", total))


def _axis(axis: int, ndim: int) -> int:
    if not -ndim <= axis < ndim:
        raise np.exceptions.AxisError(axis, ndim)
    return axis % ndim


class _Functions:
    """Handlers by the name of NumPy's function; a trailing underscore is no part of it."""

    def where(condition: Any, x: Any = None, y: Any = None) -> Any:
        if x is None and y is None:
            raise Unknown
        chosen, yes, no = _expr(condition), _expr(x), _expr(y)
        if chosen.dtype != np.bool_:
            chosen = now(_map("not_equal", lazy(chosen), 0))
        shape = ()
        for each in (chosen, yes, no):
            try:
                shape = ir.broadcast_shapes(shape, each.shape)  # type: ignore[assignment]
            except ValueError:
                raise Unknown from None
        return lazy(ir.select(chosen, yes, no, here(3)))

    def clip(a: Any, a_min: Any = None, a_max: Any = None, out: Any = None, *, min: Any = None, max: Any = None) -> Any:
        low = a_min if min is None else min
        high = a_max if max is None else max
        if out is not None:
            raise Unknown
        if low is None and high is None:
            raise Unknown
        if low is None:
            return combine("minimum", (a, high), here(3))
        if high is None:
            return combine("maximum", (a, low), here(3))
        x, a_low, a_high = _expr(a), _expr(low), _expr(high)
        if x.dtype.kind in "iu" and any(e.kind == "Const" and type(e.data) is int for e in (a_low, a_high)):
            facts = np.iinfo(x.dtype)
            if any(
                e.kind == "Const" and type(e.data) is int and not facts.min <= e.data <= facts.max
                for e in (a_low, a_high)
            ):
                raise Unknown
        return elementwise("clip", (x, a_low, a_high), here(3))

    def round_(a: Any, decimals: int = 0, out: Any = None) -> Any:
        x = _expr(a)
        if out is not None or not isinstance(decimals, int):
            raise Unknown
        if x.dtype.kind in "iu" and decimals >= 0:
            return combine("positive", (a,), here(3))
        if x.dtype.kind != "f" or decimals < 0:
            raise Unknown
        if decimals == 0:
            return combine("rint", (a,), here(3))
        scale = float(10**decimals)
        return _one_call(_map("divide", _map("rint", _map("multiply", a, scale)), scale))

    def average(a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: Any = False) -> Any:
        x = _lazy(a)
        if returned or not isinstance(keepdims, bool):
            raise Unknown
        if weights is None:
            return ndreduce.reduce("mean", x, {"axis": axis, "keepdims": keepdims}, np.mean)
        w = _lazy(weights)
        if w.shape != x.shape or x.dtype.kind != "f" or w.dtype.kind not in "fiu":
            raise Unknown
        total = ndreduce.reduce("sum", w, {"axis": axis, "keepdims": keepdims}, np.sum)
        if np.any(np.asarray(total) == 0):
            raise ZeroDivisionError("Weights sum to zero, can't be normalized")
        top = ndreduce.reduce("sum", _map("multiply", x, w), {"axis": axis, "keepdims": keepdims}, np.sum)
        top._expr.calls = total._expr.calls = 0
        return _one_call(_map("divide", top, total))

    def cumsum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
        if out is not None:
            raise Unknown
        return ndreduce.scan("cumsum", _lazy(a), axis, dtype, np.cumsum)

    def cumprod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
        if out is not None:
            raise Unknown
        return ndreduce.scan("cumprod", _lazy(a), axis, dtype, np.cumprod)

    def dot(a: Any, b: Any, out: Any = None) -> Any:
        if out is not None:
            raise Unknown
        x, y = _expr(a), _expr(b)
        if not x.shape or not y.shape:
            return combine("multiply", (a, b), here(3))
        return _product(_lazy(a), _lazy(b), "dot")

    def take(a: Any, indices: Any, axis: Any = None, out: Any = None, mode: str = "raise") -> Any:
        x = _lazy(a)
        if out is not None or mode != "raise" or (axis is not None and not (isinstance(axis, int) and x.ndim == 1)):
            raise Unknown
        picks = _expr(indices)
        if not picks.shape or picks.dtype.kind not in "iu":
            raise Unknown
        if x.ndim != 1:
            x = ndindex.reshape(x, (-1,))
        return ndindex.take_rows(x, picks, here(3))

    def compress(condition: Any, a: Any, axis: Any = None, out: Any = None) -> Any:
        x, mask = _lazy(a), _lazy(condition)
        if out is not None or x.ndim != 1 or mask.ndim != 1 or mask.dtype != np.bool_ or mask.shape != x.shape:
            raise Unknown
        return ndindex.getitem(x, mask)

    def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
        x = _lazy(a)
        if n != 1 or prepend is not None or append is not None or not x.ndim:
            raise Unknown
        at = _axis(axis, x.ndim)
        ahead = (slice(None),) * at
        name = "not_equal" if x.dtype == np.bool_ else "subtract"
        return _one_call(_map(name, x[(*ahead, slice(1, None))], x[(*ahead, slice(None, -1))]))

    def ptp(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False) -> Any:
        if out is not None or not isinstance(keepdims, bool):
            raise Unknown
        options = {"axis": axis, "keepdims": keepdims}
        high, low = (ndreduce.reduce(name, _lazy(a), options, getattr(np, name)) for name in ("max", "min"))
        high._expr.calls = low._expr.calls = 0
        return _one_call(_map("subtract", high, low))

    def isin(
        element: Any, test_elements: Any, assume_unique: bool = False, invert: bool = False, *, kind: Any = None
    ) -> Any:
        values = np.asarray(force_in(test_elements)).ravel()
        x = _lazy(element)
        if (
            len(values) > 16
            or values.dtype.kind not in "biuf"
            or not supported(x.dtype)
            or x.dtype.kind != values.dtype.kind
        ):
            return run_in_numpy("isin", np.isin, (element, test_elements), {"invert": invert}, "library call (isin)")
        if not len(values):
            raise Unknown
        found = _map("equal", x, values[0])
        for value in values[1:]:
            found = _map("logical_or", found, _map("equal", x, value))
        return _one_call(_map("logical_not", found) if invert else found)

    def digitize(x: Any, bins: Any, right: bool = False) -> Any:
        edges = np.asarray(force_in(bins))
        up = edges.ndim == 1 and bool(np.all(edges[1:] >= edges[:-1]))
        if not up or len(edges) > 16 or not len(edges) or edges.dtype.kind not in "iuf":
            return run_in_numpy("digitize", np.digitize, (x, bins), {"right": right}, "library call (digitize)")
        return _places(_lazy(x), edges, "greater" if right else "greater_equal")

    def searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> Any:
        edges = np.asarray(force_in(a))
        small = sorter is None and edges.ndim == 1 and 0 < len(edges) <= 16 and edges.dtype.kind in "iuf"
        if not small or not isinstance(v, LazyArray | np.ndarray):
            return run_in_numpy(
                "searchsorted", np.searchsorted, (a, v), {"side": side, "sorter": sorter}, "library call (searchsorted)"
            )
        return _places(_lazy(v), edges, "greater" if side == "left" else "greater_equal")

    def concatenate(arrays: Any, axis: Any = 0, out: Any = None, *, dtype: Any = None, casting: Any = None) -> Any:
        if out is not None or dtype is not None or axis is None or not isinstance(arrays, list | tuple):
            raise Unknown
        parts = [ndindex.known(_lazy(each)) for each in arrays]
        return _joined(parts, axis, "concatenate")

    def stack(arrays: Any, axis: int = 0, out: Any = None, *, dtype: Any = None, casting: Any = None) -> Any:
        if out is not None or dtype is not None or not isinstance(arrays, list | tuple) or not len(arrays):
            raise Unknown
        parts = [ndindex.known(_lazy(each)) for each in arrays]
        if len({each.shape for each in parts}) != 1:
            raise Unknown
        at = _axis(axis, len(parts[0].shape) + 1)
        key = (*(slice(None),) * at, None)
        return _joined(
            [ir.view(each, "index", *ndindex.basic(each.shape, key), here(3)) for each in parts], at, "stack"
        )

    def reshape(a: Any, /, shape: Any = None, order: str = "C", *, newshape: Any = None, copy: Any = None) -> Any:
        if order != "C" or copy is not None or shape is None:
            raise Unknown
        return ndindex.reshape(_lazy(a), shape)

    def transpose(a: Any, axes: Any = None) -> Any:
        return ndindex.transpose(_lazy(a), axes)

    def ravel(a: Any, order: str = "C") -> Any:
        if order != "C":
            raise Unknown
        return ndindex.reshape(_lazy(a), (-1,)) if 0 not in _lazy(a).shape else _lazy(a).reshape(0)

    def broadcast_to(array: Any, shape: Any, subok: bool = False) -> Any:
        base = ndindex.known(_lazy(array))
        wanted = tuple(shape) if isinstance(shape, tuple | list) else (int(shape),)
        try:
            fits = ir.broadcast_shapes(base.shape, wanted) == wanted
        except ValueError:
            fits = False
        if not fits:
            raise Unknown
        return lazy(ir.view(base, "broadcast", wanted, wanted, here(3)))

    def squeeze(a: Any, axis: Any = None) -> Any:
        x = _lazy(a)
        shape = settle_sizes(now(x).shape)
        axes = (
            ndreduce.axes_of(axis, len(shape)) if axis is not None else tuple(k for k, d in enumerate(shape) if d == 1)
        )
        if axes is None or any(shape[k] != 1 for k in axes):
            raise Unknown
        return x[tuple([0 if k in axes else slice(None) for k in range(len(shape))])]

    def expand_dims(a: Any, axis: Any) -> Any:
        x = _lazy(a)
        many = x.ndim + (len(axis) if isinstance(axis, tuple) else 1)
        axes = ndreduce.axes_of(axis, many)
        if axes is None:
            raise Unknown
        return x[tuple([None if k in axes else slice(None) for k in range(many)])]

    def moveaxis(a: Any, source: Any, destination: Any) -> Any:
        x = _lazy(a)
        one, two = ndreduce.axes_of(source, x.ndim), ndreduce.axes_of(destination, x.ndim)
        if one is None or two is None or len(one) != len(two):
            raise Unknown
        order = [k for k in range(x.ndim) if k not in one]
        for to, axis in sorted(zip(two, one, strict=True)):
            order.insert(to, axis)
        return ndindex.transpose(x, tuple(order))

    def swapaxes(a: Any, axis1: int, axis2: int) -> Any:
        x = _lazy(a)
        order = list(range(x.ndim))
        one, two = _axis(axis1, x.ndim), _axis(axis2, x.ndim)
        order[one], order[two] = order[two], order[one]
        return ndindex.transpose(x, tuple(order))

    def flip(m: Any, axis: Any = None) -> Any:
        x = _lazy(m)
        axes = ndreduce.axes_of(axis, x.ndim)
        if axes is None:
            raise Unknown
        return x[tuple([slice(None, None, -1) if k in axes else slice(None) for k in range(x.ndim)])]

    def zeros_like(
        a: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, **rest: Any
    ) -> Any:
        return _filled(a, 0, dtype, shape)

    def ones_like(
        a: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, **rest: Any
    ) -> Any:
        return _filled(a, 1, dtype, shape)

    def empty_like(
        prototype: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, **rest: Any
    ) -> Any:
        return _filled(prototype, 0, dtype, shape)

    def full_like(
        a: Any, fill_value: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, **rest: Any
    ) -> Any:
        value = force_in(fill_value)
        if np.ndim(value):
            raise Unknown
        return _filled(a, value, dtype, shape)

    def copy(a: Any, order: str = "K", subok: bool = False) -> Any:
        return _lazy(a).copy()

    def real(val: Any) -> Any:
        return _lazy(val)

    def shape(a: Any) -> Any:
        return _lazy(a).shape

    def ndim(a: Any) -> Any:
        return _lazy(a).ndim

    def size(a: Any, axis: Any = None) -> Any:
        return _lazy(a).size if axis is None else _lazy(a).shape[axis]

    def nan_to_num(x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
        base = _expr(x)
        if not copy or base.dtype.kind != "f" or np.ndim(nan):
            raise Unknown
        facts = np.finfo(base.dtype)
        kind = base.dtype.type
        found = base
        for name, limit, value in (("isnan", None, nan), ("equal", np.inf, posinf), ("equal", -np.inf, neginf)):
            if value is None:
                value = facts.max if limit and limit > 0 else facts.min
            test = _map(name, lazy(base)) if limit is None else _map(name, lazy(base), kind(limit))
            found = ir.select(now(test), ir.const(kind(value), base.dtype), found, here(3))
            found.calls = 0
        return _one_call(lazy(found))


def _filled(a: Any, value: Any, dtype: Any, shape: Any) -> Any:
    x = _lazy(a)
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
    at = _axis(axis, len(parts[0].shape)) if parts[0].shape else None
    if at is None:
        raise Unknown
    rest = {(*each.shape[:at], *each.shape[at + 1 :]) for each in parts}
    if len(rest) != 1 or len({len(each.shape) for each in parts}) != 1:
        raise Unknown
    return lazy(ir.concat(parts, at, here(4), name))


def _places(x: LazyArray, edges: np.ndarray, compare: str) -> Any:
    """Return how many edges are below each element; NaN is above all."""
    found: Any = None
    for edge in edges:
        above = _map(compare, x, edge)
        if x.dtype.kind == "f":
            above = _map("logical_or", above, _map("isnan", x))
        one = above.astype(np.int64)
        one._expr.calls = 0
        found = one if found is None else _map("add", found, one)
    return _one_call(found)


def _product(x: LazyArray, y: LazyArray, name: str) -> Any:
    """Return a product of matrices: unrolled where the shared dimension is small, else by the library."""
    a, b = ndindex.known(x), ndindex.known(y)
    shared: Any = a.shape[-1]
    other = b.shape[0] if len(b.shape) == 1 else b.shape[-2]
    if shared != other:
        raise Unknown  # NumPy says so
    small = shared <= 16 and shared > 0 and a.dtype.kind == "f" and a.dtype == b.dtype
    if small and len(a.shape) == 2 and len(b.shape) == 1:
        found: Any = None
        for k in range(shared):
            part = _map("multiply", x[:, k], y[k])
            found = part if found is None else _map("add", found, part)
        return _one_call(found)
    if len(a.shape) == 1 and len(b.shape) == 1 and supported(a.dtype) and supported(b.dtype) and a.dtype.kind == "f":
        total = ndreduce.reduce("sum", _map("multiply", x, y), {}, np.sum)
        if total.dtype == np.result_type(a.dtype, b.dtype):
            return total
    function = getattr(np, name)
    sample = function(*[np.empty([1] * len(e.shape), e.dtype) for e in (a, b)])
    shape = _product_shape(a.shape, b.shape, name)
    if shape is None:
        raise Unknown
    return lazy(ir.extern(name, function, (a, b), sample.dtype, shape, here(4)))


def _product_shape(a: Any, b: Any, name: str) -> Any:
    if len(a) == 1 and len(b) == 1:
        return ()
    if len(b) == 1:
        return a[:-1]
    if len(a) == 1:
        return (*b[:-2], b[-1])
    if len(a) == 2 and len(b) == 2:
        return (a[0], b[1])
    return None


def matmul(x: Any, y: Any) -> Any:
    """Return `x @ y`."""
    if not np.ndim(x) or not np.ndim(y):
        raise ValueError("matmul: Input operand 1 does not have enough dimensions")
    try:
        return _product(_lazy(x), _lazy(y), "matmul")
    except Unknown:
        return run_in_numpy("matmul", np.matmul, (x, y), {}, "library call (matmul)")
