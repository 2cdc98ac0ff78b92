"""Variances as two passes of sums, which loops over rows can merge column by column."""

from __future__ import annotations

import numpy as np

from workbench.fusion.expr import Expr, cast, map_, reduce_
from workbench.fusion.ops import supported

__all__ = ["split_variance"]


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


def _inner(node: Expr) -> Expr:
    """Mark a node as part of another call."""
    node.calls = 0
    return node
