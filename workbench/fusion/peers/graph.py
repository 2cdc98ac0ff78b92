"""What emitters of peers share: filters as masks over the rows below them, group-bys over a span of keys."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.fusion.expr import Dim, Expr, Size

__all__ = ["FUNCTIONS", "INFIX", "Groups", "NotExpressible", "groups_of", "literal", "masks_of", "rows_of"]

#: dense tables of a peer's group-by have at most as many places
MOST_GROUPS = 1 << 22


class NotExpressible(Exception):
    """A peer has no words for an operation; its name is the argument."""


#: operations that are operators of Python in every engine
INFIX = {
    "add": "({} + {})", "subtract": "({} - {})", "multiply": "({} * {})", "divide": "({} / {})",
    "less": "({} < {})", "less_equal": "({} <= {})", "greater": "({} > {})", "greater_equal": "({} >= {})",
    "equal": "({} == {})", "not_equal": "({} != {})", "bitwise_and": "({} & {})", "bitwise_or": "({} | {})",
    "bitwise_xor": "({} ^ {})", "logical_and": "({} & {})", "logical_or": "({} | {})", "logical_xor": "({} ^ {})",
    "power": "({} ** {})", "negative": "(-{})", "positive": "{}", "square": "({0} * {0})",
}  # fmt: skip

#: operations that are a function of the same name in NumPy, JAX and Numba
FUNCTIONS = frozenset(
    {
        "sqrt", "cbrt", "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "arcsin",
        "arccos", "arctan", "arctan2", "sinh", "cosh", "tanh", "arcsinh", "arccosh", "arctanh", "hypot", "deg2rad",
        "rad2deg", "floor", "ceil", "trunc", "rint", "minimum", "maximum", "fmin", "fmax", "copysign", "isnan",
        "isinf", "isfinite", "floor_divide", "remainder", "fmod", "sign", "reciprocal",
    }
)  # fmt: skip


def masks_of(d: Dim | None) -> tuple[Expr, ...]:
    """Return the masks that made the rows of a length, the outermost first."""
    found: list[Expr] = []
    while isinstance(d, Size) and d.mask is not None:
        found.append(d.mask)
        d = d.mask.shape[0]
    return tuple(reversed(found))


def rows_of(d: Dim | None) -> Dim | None:
    """Return the length that is left when all masks are taken off."""
    while isinstance(d, Size) and d.mask is not None:
        d = d.mask.shape[0]
    return d


def literal(value: Any) -> str:
    """Return a constant as Python text."""
    plain = value.item() if isinstance(value, np.generic) else value
    if isinstance(plain, float) and not math.isfinite(plain):
        return f'float("{plain}")'
    return repr(plain)


@dataclass(frozen=True)
class Groups:
    """A group-by that dense tables can do: one integer key.

    Attributes
    ----------
    node, key : Expr
    aggregates : tuple of (str, Expr or None)
        Name and values of each.
    masks : tuple of Expr
    low, span : int
        The lowest key, and how many places a dense table has.
    """

    node: Expr
    key: Expr
    aggregates: tuple[tuple[str, Expr | None], ...]
    masks: tuple[Expr, ...]
    low: int
    span: int


def groups_of(node: Expr) -> Groups:
    """Return what a group-by node does.

    Raises
    ------
    NotExpressible
        If its keys or aggregates are not of the kind that a dense table holds.
    """
    names: Sequence[str] = node.attr("ops")
    if node.attr("keys") > 1 or node.inputs[0].dtype.kind not in "iu" or not node.attr("sort"):
        raise NotExpressible("groupby")
    rest = list(node.inputs[1:])
    aggregates = []
    for name in names:
        if name not in ("sum", "mean", "count", "size", "min", "max"):
            raise NotExpressible(name)
        value = None if name == "size" else rest.pop(0)
        if value is not None and value.dtype.kind not in "fiu":
            raise NotExpressible(name)
        aggregates.append((name, value))
    key = node.inputs[0]
    return Groups(node, key, tuple(aggregates), masks_of(key.shape[0]), *_span_of(key))


def _span_of(key: Expr) -> tuple[int, int]:
    """Return the lowest key and how many there may be, as a program that knows its data would have them.

    Raises
    ------
    NotExpressible
        If there may be too many.
    """
    from workbench.fusion.eager import evaluate

    values = evaluate([key])[0]
    if not len(values):
        return 0, 1
    low, high = int(values.min()), int(values.max())
    if high - low >= MOST_GROUPS or low < -(2**62):
        raise NotExpressible("groupby")
    return low, high - low + 1
