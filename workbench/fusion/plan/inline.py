"""Which nodes a kernel can compute, and which are computed in registers inside the loops of whoever uses them."""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.fusion.expr import Expr, Size
from workbench.fusion.ops import OPS, REDUCERS, SCANS, loop_dtypes, supported

__all__ = ["base_of", "compiles", "is_inline", "promotes", "single_mean"]

#: aggregates by group that merge
GROUPED = ("sum", "prod", "mean", "var", "std", "min", "max", "count", "first", "last", "any", "all", "size")
#: arrays that one kernel joins at most
MOST_PARTS = 16


def base_of(node: Expr) -> Expr:
    """Return what a chain of views looks at."""
    while node.kind == "View":
        node = node.inputs[0]
    return node


def promotes(x: Expr) -> Any:
    """Return how an input takes part in promotion: its dtype, or the type of a Python number."""
    return type(x.data) if x.kind == "Const" and type(x.data) in (int, float, bool) else x.dtype


def compiles(node: Expr) -> bool:
    """Return whether a kernel can compute the node."""
    kind = node.kind
    if kind == "Map":
        if node.name not in OPS or node.call is not None or not supported(node.dtype):
            return False
        if node.name == "power" and not _safe_power(node):
            return False
        loop = loop_dtypes(node.name, tuple([promotes(x) for x in node.inputs]))
        return all(supported(x.dtype) for x in node.inputs) and all(supported(each) for each in loop)
    if kind in ("Select", "Cast", "Broadcast"):
        return supported(node.dtype) and all(supported(x.dtype) for x in node.inputs)
    if kind == "Rows":
        return len(node.shape) == 1
    if kind == "Filter":
        x, mask = node.inputs
        return len(x.shape) == 1 and len(mask.shape) == 1 and supported(x.dtype) and mask.dtype == np.bool_
    if kind == "Gather":
        x, index = node.inputs
        if len(x.shape) != 1 or x.shape[0] == 0:  # there is nothing to load where nothing is
            return False
        return supported(x.dtype) and index.dtype.kind in "iu" and supported(index.dtype)
    if kind == "GroupReduce":
        return _groups(node)
    if kind == "Reduce":
        return _reduces(node)
    if kind == "Scan":
        plain = len(node.shape) == 1 or not any(isinstance(d, Size) for d in node.shape)
        return node.name in SCANS and plain and supported(node.dtype) and supported(node.inputs[0].dtype)
    if kind == "Scatter":
        return _counts(node)
    if kind == "Concat":
        known = not any(isinstance(d, Size) for x in node.inputs for d in x.shape)
        return known and len(node.inputs) <= MOST_PARTS and all(supported(x.dtype) for x in (*node.inputs, node))
    return False


def is_inline(node: Expr) -> bool:
    """Return whether the node is of a kind that loops compute in registers."""
    return node.kind in ("Map", "Select", "Cast", "Broadcast", "Filter", "Gather", "Rows") and compiles(node)


def _safe_power(node: Expr) -> bool:
    """An integer to a negative power raises: only a constant that is not negative is known not to."""
    if node.dtype.kind not in "iu":
        return True
    by = node.inputs[1]
    return node.dtype.kind == "u" or (by.kind == "Const" and int(by.data) >= 0)


def _groups(node: Expr) -> bool:
    """Whole-number keys, and aggregates that merge."""
    many, ops = node.attr("keys"), node.attr("ops")
    whole = all(each.dtype.kind in "biu" and each.dtype != np.uint64 for each in node.inputs[:many])
    known = all(op in GROUPED for op in ops) and not single_mean(node)
    return whole and known and all(len(each.shape) == 1 and supported(each.dtype) for each in node.inputs)


def single_mean(node: Expr) -> bool:
    """Whether a group-by has a mean of float32, whose dtype depends on the values in pandas."""
    values = list(node.inputs[node.attr("keys") :])
    pairs = [(op, values.pop(0).dtype) for op in node.attr("ops") if op not in ("size", "codes")]
    return any(op == "mean" and dtype == np.float32 for op, dtype in pairs)


def _reduces(node: Expr) -> bool:
    x = node.inputs[0]
    if node.name not in REDUCERS or not supported(x.dtype) or not supported(node.dtype):
        return False
    if not x.shape:
        return False
    axes = node.attr("axes")
    if axes != tuple(range(len(x.shape) - len(axes), len(x.shape))):
        return REDUCERS[node.name].builder not in ("first", "last")
    return len(x.shape) == 1 or not any(isinstance(d, Size) for d in x.shape)


def _counts(node: Expr) -> bool:
    """Sums at places, of an array that is 0 before."""
    base, index, value = node.inputs
    empty = base.kind == "Broadcast" and base.inputs[0].kind == "Const" and not base.inputs[0].data
    whole = supported(index.dtype) and index.dtype.kind in "iu" and len(index.shape) == len(node.shape) == 1
    return empty and whole and node.attr("op") == "add" and value.dtype == node.dtype and supported(node.dtype)
