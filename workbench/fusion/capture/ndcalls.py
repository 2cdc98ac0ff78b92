"""What handlers of NumPy's functions have in common: how they are found, and the steps that they are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from workbench.fusion import expr as ir
from workbench.fusion.capture.array import LazyArray, lazy
from workbench.fusion.capture.ndinputs import as_expr
from workbench.fusion.capture.ndoperators import combine
from workbench.fusion.expr import Expr
from workbench.fusion.positions import here

__all__ = ["HANDLERS", "Unknown", "axis_of", "expr_of", "handles", "lazy_of", "number", "one_call", "step"]

#: NumPy's function -> what records it
HANDLERS: dict[Any, Callable[..., Any]] = {}


class Unknown(Exception):
    """A call that is not known here in this form: NumPy runs it."""


def handles(*functions: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make what is decorated the handler of functions of NumPy."""

    def register(handler: Callable[..., Any]) -> Callable[..., Any]:
        HANDLERS.update(dict.fromkeys(functions, handler))
        return handler

    return register


def expr_of(x: Any) -> Expr:
    """Return the expression of an input.

    Raises
    ------
    Unknown
        If it has no place in one.
    """
    found = as_expr(x)
    if found is None:
        raise Unknown
    return found


def lazy_of(x: Any) -> LazyArray:
    """Return an input as a lazy array."""
    return x if type(x) is LazyArray else lazy(expr_of(x))


def step(name: str, *inputs: Any) -> LazyArray:
    """Return one of the elementwise operations that a function is made of; it is no call of its own."""
    found = combine(name, inputs, here(4))
    if found is NotImplemented:
        raise Unknown
    if found._expr.kind == "Map":
        found._expr.calls = 0
    return found


def one_call(found: Any) -> Any:
    """Count a function as one call: its last operation stands for it."""
    found._expr.calls = 1
    return found


def number(value: int) -> Expr:
    """Return a length as data: a plan then serves other lengths too."""
    return ir.leaf(np.array(value, np.int64))


def axis_of(axis: int, ndim: int) -> int:
    """Return an axis that is not negative."""
    if not -ndim <= axis < ndim:
        raise np.exceptions.AxisError(axis, ndim)
    return axis % ndim
