"""Functions of NumPy that are made of elementwise operations and reductions."""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.fusion import expr as ir
from workbench.fusion.capture import ndreduce
from workbench.fusion.capture.array import lazy, now
from workbench.fusion.capture.ndcalls import Unknown, axis_of, expr_of, handles, lazy_of, one_call, step
from workbench.fusion.capture.ndoperators import combine, elementwise
from workbench.fusion.positions import here

__all__: list[str] = []

_NONE: Any = getattr(np, "_NoValue", None)


@handles(np.where)
def _where(condition: Any, x: Any = None, y: Any = None) -> Any:
    if x is None and y is None:
        raise Unknown
    chosen, yes, no = expr_of(condition), expr_of(x), expr_of(y)
    if chosen.dtype != np.bool_:
        chosen = now(step("not_equal", lazy(chosen), 0))
    shape = ()
    for each in (chosen, yes, no):
        try:
            shape = ir.broadcast_shapes(shape, each.shape)  # type: ignore[assignment]
        except ValueError:
            raise Unknown from None
    return lazy(ir.select(chosen, yes, no, here(3)))


@handles(np.clip)
def _clip(a: Any, a_min: Any = None, a_max: Any = None, out: Any = None, *, min: Any = None, max: Any = None) -> Any:
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
    x, a_low, a_high = expr_of(a), expr_of(low), expr_of(high)
    if x.dtype.kind in "iu" and any(e.kind == "Const" and type(e.data) is int for e in (a_low, a_high)):
        facts = np.iinfo(x.dtype)
        if any(
            e.kind == "Const" and type(e.data) is int and not facts.min <= e.data <= facts.max for e in (a_low, a_high)
        ):
            raise Unknown
    return elementwise("clip", (x, a_low, a_high), here(3))


@handles(np.round, np.around)
def _round(a: Any, decimals: int = 0, out: Any = None) -> Any:
    x = expr_of(a)
    if out is not None or not isinstance(decimals, int):
        raise Unknown
    if x.dtype.kind in "iu" and decimals >= 0:
        return combine("positive", (a,), here(3))
    if x.dtype.kind != "f" or decimals < 0:
        raise Unknown
    if decimals == 0:
        return combine("rint", (a,), here(3))
    scale = float(10**decimals)
    return one_call(step("divide", step("rint", step("multiply", a, scale)), scale))


@handles(np.average)
def _average(a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: Any = False) -> Any:
    x = lazy_of(a)
    if returned or not isinstance(keepdims, bool):
        raise Unknown
    if weights is None:
        return ndreduce.reduce("mean", x, {"axis": axis, "keepdims": keepdims}, np.mean)
    w = lazy_of(weights)
    if w.shape != x.shape or x.dtype.kind != "f" or w.dtype.kind not in "fiu":
        raise Unknown
    total = ndreduce.reduce("sum", w, {"axis": axis, "keepdims": keepdims}, np.sum)
    if np.any(np.asarray(total) == 0):
        raise ZeroDivisionError("Weights sum to zero, can't be normalized")
    top = ndreduce.reduce("sum", step("multiply", x, w), {"axis": axis, "keepdims": keepdims}, np.sum)
    top._expr.calls = total._expr.calls = 0
    return one_call(step("divide", top, total))


@handles(np.cumsum)
def _cumsum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    if out is not None:
        raise Unknown
    return ndreduce.scan("cumsum", lazy_of(a), axis, dtype, np.cumsum)


@handles(np.cumprod)
def _cumprod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    if out is not None:
        raise Unknown
    return ndreduce.scan("cumprod", lazy_of(a), axis, dtype, np.cumprod)


@handles(np.diff)
def _diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    x = lazy_of(a)
    if not isinstance(n, int) or n < 0 or not x.ndim or x.dtype.kind not in "biuf":
        raise Unknown
    if not n:
        return x
    at = axis_of(axis, x.ndim)
    ends = [None if each is _NONE else each for each in (prepend, append)]
    if any(each is not None for each in ends):
        one = tuple([1 if k == at else d for k, d in enumerate(x.shape)])
        parts = [each if each is None or np.ndim(each) else np.broadcast_to(np.asarray(each), one) for each in ends]
        joined: Any = np.concatenate([each for each in (parts[0], x, parts[1]) if each is not None], axis=at)
        x = joined
    ahead = (slice(None),) * at
    name = "not_equal" if x.dtype == np.bool_ else "subtract"
    for _ in range(n):
        x = step(name, x[(*ahead, slice(1, None))], x[(*ahead, slice(None, -1))])
    return one_call(x)


@handles(np.ptp)
def _ptp(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False) -> Any:
    if out is not None or not isinstance(keepdims, bool):
        raise Unknown
    options = {"axis": axis, "keepdims": keepdims}
    high, low = (ndreduce.reduce(name, lazy_of(a), options, getattr(np, name)) for name in ("max", "min"))
    high._expr.calls = low._expr.calls = 0
    return one_call(step("subtract", high, low))


@handles(np.nan_to_num)
def _nan_to_num(x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    base = expr_of(x)
    if not copy or base.dtype.kind != "f" or np.ndim(nan):
        raise Unknown
    facts = np.finfo(base.dtype)
    kind = base.dtype.type
    found = base
    for name, limit, value in (("isnan", None, nan), ("equal", np.inf, posinf), ("equal", -np.inf, neginf)):
        if value is None:
            value = facts.max if limit and limit > 0 else facts.min
        test = step(name, lazy(base)) if limit is None else step(name, lazy(base), kind(limit))
        found = ir.select(now(test), ir.const(kind(value), base.dtype), found, here(3))
        found.calls = 0
    return one_call(lazy(found))
