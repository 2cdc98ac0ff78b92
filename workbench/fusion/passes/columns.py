"""Variances as two passes of sums: what loops over rows can merge column by column, and what can be exact."""

from __future__ import annotations

import numpy as np

from workbench.fusion.expr import Expr, cast, const, map_, reduce_, select
from workbench.fusion.ops import supported

__all__ = ["exact_variance", "split_variance"]


def split_variance(node: Expr) -> Expr:
    """Return a variance over axes that are not the last ones as the mean of squared distances from the mean."""
    if node.kind != "Reduce" or node.name not in ("var", "std") or node.attr("ddof"):
        return node
    x, axes = node.inputs[0], node.attr("axes")
    if axes == tuple(range(len(x.shape) - len(axes), len(x.shape))) or not supported(x.dtype):
        return node
    wide = x if x.dtype == np.float64 else _inner(cast(x, np.float64))
    distance = _inner(map_("subtract", wide, _inner(reduce_("mean", wide, axes, keepdims=True))))
    found = reduce_("mean", _inner(map_("square", distance)), axes, keepdims=node.attr("keepdims"))
    if node.name == "std":
        found = map_("sqrt", _inner(found))
    if found.dtype != node.dtype:
        found = cast(_inner(found), node.dtype)
    found.where, found.calls = node.where, node.calls
    return found


def exact_variance(node: Expr) -> Expr:
    """Return a variance as a sum of squared distances from the mean, so that both sums are rounded once."""
    if node.kind != "Reduce" or node.name.removeprefix("nan") not in ("var", "std") or not supported(node.dtype):
        return node
    x, axes, nan = node.inputs[0], node.attr("axes"), "nan" if node.name.startswith("nan") else ""
    if not supported(x.dtype):
        return node
    wide = x if x.dtype == np.float64 else _inner(cast(x, np.float64))
    distance = _inner(map_("subtract", wide, _inner(reduce_(f"{nan}mean", wide, axes, keepdims=True))))
    keep = node.attr("keepdims")
    squares = _inner(map_("square", distance))
    if nan:  # only what is missing is skipped, not that infinities have no mean
        squares = _inner(select(_inner(map_("isnan", wide)), const(0.0), squares))
    spread = _inner(reduce_("sum", squares, axes, keepdims=keep))
    count = _inner(cast(_inner(reduce_("count", wide, axes, keepdims=keep)), np.float64))
    free = _inner(map_("subtract", count, const(float(node.attr("ddof")))))
    # NumPy divides by zero where no degree of freedom is left; what skips NaN has no value there
    found = map_("divide", spread, _inner(map_("maximum", free, const(0.0))))
    if nan:
        found = select(_inner(map_("less_equal", free, const(0.0))), const(np.nan), _inner(found))
    if node.name.endswith("std"):
        found = map_("sqrt", _inner(found))
    if found.dtype != node.dtype:
        found = cast(_inner(found), node.dtype)
    found.where, found.calls = node.where, node.calls
    return found


def _inner(node: Expr) -> Expr:
    """Mark a node as part of another call."""
    node.calls = 0
    return node
