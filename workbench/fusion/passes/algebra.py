"""Constant folding, and the algebra that gives the same bits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from workbench.fusion.eager import evaluate_node
from workbench.fusion.expr import Expr, const
from workbench.fusion.ops import OPS

__all__ = ["simplify"]


def simplify(node: Expr) -> Expr:
    """Return a node that is the same or gives the same bits for less."""
    if node.kind == "Cast" and node.inputs[0].dtype == node.dtype:
        return node.inputs[0]
    if node.kind != "Map" or node.name not in OPS or node.call is not None:
        return node
    if all(each.kind == "Const" for each in node.inputs):
        return _folded(node)
    rule = _RULES.get(node.name)
    found = rule(node) if rule is not None else None
    return node if found is None or found.dtype != node.dtype or found.shape != node.shape else found


def _folded(node: Expr) -> Expr:
    try:
        with np.errstate(all="ignore"):
            value = evaluate_node(node, [each.data for each in node.inputs])
    except (ArithmeticError, ValueError, TypeError):
        return node  # raised where it is run
    found = const(node.dtype.type(value), node.dtype)
    return found if found.shape == node.shape else node


def _number(x: Expr) -> Any:
    return x.data if x.kind == "Const" else None


def _plus(node: Expr) -> Expr | None:
    # x + 0 is not x for -0.0
    for x, other in (node.inputs, node.inputs[::-1]):
        if node.dtype.kind in "iu" and _number(other) == 0:
            return x
    return None


def _minus(node: Expr) -> Expr | None:
    x, other = node.inputs
    number = _number(other)
    return x if number is not None and number == 0 and not math.copysign(1, number) < 0 else None


def _times(node: Expr) -> Expr | None:
    for x, other in (node.inputs, node.inputs[::-1]):
        if _number(other) == 1:
            return x
    return None


def _divide(node: Expr) -> Expr | None:
    x, other = node.inputs
    number = _number(other)
    if number is None or node.dtype.kind != "f" or x.dtype != node.dtype:
        return None
    if number == 1:
        return x
    try:
        mantissa, exponent = math.frexp(float(number))
    except (OverflowError, ValueError):
        return None
    if abs(mantissa) == 0.5 and abs(exponent) < 100:
        inverse = const(1.0 / float(number), None if isinstance(number, int | float) else node.dtype)
        made = Expr("Map", "multiply", (x, inverse), (), node.dtype, node.shape, node.where)
        made.calls = node.calls
        return made
    return None


def _negative(node: Expr) -> Expr | None:
    x = node.inputs[0]
    return x.inputs[0] if x.kind == "Map" and x.name == "negative" else None


_RULES = {"add": _plus, "subtract": _minus, "multiply": _times, "divide": _divide, "negative": _negative}
