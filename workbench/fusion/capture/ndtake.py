"""Elements and rows by position: every form of it a gather from flat memory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from workbench.fusion import expr as ir
from workbench.fusion.capture.array import LazyArray, lazy, now, settle_sizes
from workbench.fusion.capture.ndcalls import number
from workbench.fusion.capture.ndinputs import run_in_numpy
from workbench.fusion.expr import Expr, Size

__all__ = ["taken"]


def taken(x: LazyArray, picks: Expr, axis: int = 0, where: Any = None, inside: bool = False) -> Any:
    """Return an array's elements at positions along an axis.

    Parameters
    ----------
    x : LazyArray
    picks : Expr
        Integers of any shape, which takes the place of the axis; negative ones count from the end.
    axis : int
        Not negative.
    where : tuple, optional
        Source position.
    inside : bool
        Whether the positions are known to be there, and not negative.

    Raises
    ------
    IndexError
        At once if positions that are in memory are outside, else when it is computed.
    """
    base = _known(x)
    size = base.shape[axis]
    assert isinstance(size, int)
    if not inside and picks.kind == "Leaf":
        _check(picks.data, size, axis)
    if not picks.shape or size == 0:
        take: Any = np.take
        return run_in_numpy("take", take, (x, lazy(picks), axis), {}, "library call (take)")
    if len(base.shape) == 1:
        return lazy(ir.gather(base, picks, where, inside=inside))
    total = math.prod(settle_sizes(base.shape))
    if not total:
        return run_in_numpy("take", np.take, (x, lazy(picks), axis), {}, "library call (take)")
    flat = ir.view(base, "reshape", (total,), (total,), where)
    outer, inner = base.shape[:axis], base.shape[axis + 1 :]
    length, end = number(size), number(total)
    rows = ir.map_("multiply", _counting(outer, len(picks.shape) + len(inner)), length)
    at = ir.cast(picks, np.int64) if picks.dtype != np.int64 else picks
    if not inside:
        at = ir.select(ir.map_("less", at, ir.const(0)), ir.map_("add", at, length), at)
    spread = _before(at, len(inner))
    places = ir.map_("multiply", ir.map_("add", rows, spread), number(math.prod(settle_sizes(inner))))
    places = ir.map_("add", places, _counting(inner, 0))
    if not inside:
        # a place that is not there must not be taken for one of another row
        low, high = ir.map_("less", spread, ir.const(0)), ir.map_("greater_equal", spread, length)
        places = ir.select(ir.map_("logical_or", low, high), end, places)
    for node in _made(places, {id(picks)}):
        node.calls, node.where = 0, where
    return lazy(ir.gather(flat, places, where, inside=inside))


def _known(x: LazyArray) -> Expr:
    found = now(x)
    if any(isinstance(d, Size) for d in found.shape):
        x.compute()
        found = now(x)
    return found


def _check(picks: Any, size: int, axis: int) -> None:
    """Raise what NumPy raises."""
    if len(picks := np.asarray(picks).reshape(-1)) and (picks.min() < -size or picks.max() >= size):
        wrong = picks[(picks < -size) | (picks >= size)][0]
        raise IndexError(f"index {wrong} is out of bounds for axis {axis} with size {size}")


def _counting(shape: Any, after: int) -> Expr:
    """Return the row-major position in `shape`, with `after` more axes; memory is taken for each axis alone."""
    lengths = settle_sizes(shape)
    found: Expr = ir.const(0, np.int64)
    for k, length in enumerate(lengths):
        step = math.prod(lengths[k + 1 :])
        count = ir.leaf(np.arange(length, dtype=np.int64) * step)
        found = ir.map_("add", found, _before(count, len(lengths) - 1 - k + after))
    return found


def _before(x: Expr, axes: int) -> Expr:
    """Return an expression with more axes of length 1 behind."""
    if not axes:
        return x
    shape = (*x.shape, *(1,) * axes)
    spec = (*(("slice", None, None, None),) * len(x.shape), *(None,) * axes)
    return ir.view(x, "index", spec, shape)


def _made(root: Expr, known: set[int]) -> list[Expr]:
    """Return the nodes that were made on the way to a root."""
    found, stack = [], [root]
    while stack:
        node = stack.pop()
        if id(node) not in known and node.kind not in ("Leaf", "Const"):
            known.add(id(node))
            found.append(node)
            stack += node.inputs
    return found
