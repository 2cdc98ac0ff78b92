"""What kernels of a GPU have no form for, written as what they have one for.

Filtered rows that are reduced are rows that do not count. What is added at places is, for each place, the sum of what
goes there: no atomics, so that sums merge in one order. Positions that may be outside are looked at, and told after the
run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from workbench.fusion.expr import Expr, cast, const, gather, leaf, map_, reduce_, select
from workbench.fusion.graph import walk
from workbench.fusion.passes.rewrite import rebuilt, rewrite

__all__ = ["Formed", "formed"]

#: comparisons that adding at places may take: beyond, a library is faster
MOST_COMPARED = 2**34
_NAN = {"nansum": "sum", "nanprod": "prod", "nanmin": "min", "nanmax": "max", "nanmean": "mean", "nanvar": "var",
        "nanstd": "std"}  # fmt: skip


@dataclass(eq=False)
class Formed:
    """A graph in forms that kernels have.

    Attributes
    ----------
    roots : list of Expr
    became : dict
        Id of a node -> what became of it.
    checks : list of (Expr, Exception)
        What must not hold once all is computed, and what is raised then.
    """

    roots: list[Expr] = field(default_factory=list)
    became: dict[int, Expr] = field(default_factory=dict)
    checks: list[tuple[Expr, Exception]] = field(default_factory=list)


def formed(roots: Sequence[Expr]) -> Formed:
    """Return a graph in forms that kernels have, as far as there are any."""
    found = Formed()
    stands: set[int] = set()

    def step(node: Expr) -> Expr:
        made = _step(node, found)
        made.calls = node.calls
        stands.add(id(made))
        return made

    found.became = rewrite(walk(roots, masks=False), step)
    found.roots = [found.became[id(root)] for root in roots]
    for node in walk([*found.roots, *[each for each, _ in found.checks]], masks=False):
        if id(node) not in stands:
            node.calls = 0  # nobody called it
    return found


def _step(node: Expr, found: Formed) -> Expr:
    if node.kind == "Gather":
        return _taken(node, found)
    if node.kind == "Scatter":
        return _added(node, found)
    if node.kind != "Reduce":
        return node
    x = node.inputs[0]
    if any(not isinstance(d, int) for d in x.shape):
        whole = _unfiltered(x)
        return node if whole is None else _masked(node, node.name, *whole, found)
    if node.name == "count":
        return reduce_("sum", _there(x), node.attr("axes"), keepdims=node.attr("keepdims"), dtype=np.int64)
    if node.name in _NAN:
        if x.dtype.kind != "f":
            return _plain(node, _NAN[node.name], x)
        return _masked(node, _NAN[node.name], x, _there(x), found)
    return node


def _there(x: Expr) -> Expr:
    return map_("equal", x, x)


def _plain(node: Expr, name: str, x: Expr) -> Expr:
    dtype = node.dtype if name in ("sum", "prod", "mean") else None
    return reduce_(
        name,
        x,
        node.attr("axes"),
        keepdims=node.attr("keepdims"),
        ddof=node.attr("ddof"),
        dtype=dtype,
        where=node.where,
    )


def _taken(node: Expr, found: Formed) -> Expr:
    """Return what is taken at positions that are known to be there."""
    x, index = node.inputs
    fill, many = node.attr("fill"), x.shape[0]
    if node.attr("inside") or not isinstance(many, int) or not many:
        return node
    at = cast(index, np.int64)
    if fill is not None:
        own = gather(x, _within(at, many), inside=True, where=node.where)
        return select(map_("less", at, const(0, np.int64)), const(fill, x.dtype), own)
    at = _counted(at, many, found)
    return gather(x, _within(at, many), inside=True, where=node.where)


def _counted(at: Expr, many: int, found: Formed) -> Expr:
    """Return positions counted from the begin; those that are outside are told."""
    zero, end = const(0, np.int64), const(many, np.int64)
    at = select(map_("less", at, zero), map_("add", at, end), at)
    outside = map_("logical_or", map_("less", at, zero), map_("greater_equal", at, end))
    error = IndexError(f"an index is out of bounds for axis 0 with size {many}")
    found.checks.append((reduce_("any", outside) if outside.shape else outside, error))
    return at


def _within(at: Expr, many: int) -> Expr:
    return map_("minimum", map_("maximum", at, const(0, np.int64)), const(many - 1, np.int64))


def _added(node: Expr, found: Formed) -> Expr:
    """Return for each place the sum of what is added there."""
    base, index, value = node.inputs
    many = node.shape[0]
    empty = base.kind == "Broadcast" and base.inputs[0].kind == "Const" and not base.inputs[0].data
    lengths = (many, *index.shape)
    if node.attr("op") != "add" or not empty or not all(isinstance(d, int) for d in lengths) or len(lengths) != 2:
        return node
    if not 0 < lengths[0] * lengths[1] <= MOST_COMPARED:  # type: ignore[operator]
        return node
    at = cast(index, np.int64)
    if not node.attr("drop"):
        at = _counted(at, many, found)  # type: ignore[arg-type]
    places = leaf(np.arange(many)[:, None])  # type: ignore[arg-type]
    value = value if value.dtype == node.dtype else cast(value, node.dtype)
    there = select(map_("equal", places, at), value, const(0, node.dtype))
    return reduce_("sum", there, [1], dtype=node.dtype, where=node.where)


def _unfiltered(x: Expr) -> tuple[Expr, Expr] | None:
    """Return what a filtered value is of all rows, and which rows are kept; None if it is no such value."""
    masks: list[Expr] = []
    new: dict[int, Expr] = {}
    for node in walk([x], masks=False):
        inputs = tuple([new.get(id(each), each) for each in node.inputs])
        if node.kind == "Filter":
            values, mask = inputs
            masks.append(mask)
            new[id(node)] = values
        elif any(id(each) in new for each in node.inputs):
            if node.kind not in ("Map", "Select", "Cast") or len(node.shape) != 1:
                return None
            made = rebuilt(node, inputs)
            made.shape = next(each.shape for each in inputs if each.shape)
            new[id(node)] = made
    if id(x) not in new or any(not isinstance(d, int) for d in new[id(x)].shape):
        return None
    keep = masks[0]
    for each in masks[1:]:
        if each is not keep:
            keep = map_("logical_and", keep, each)
    return new[id(x)], keep


def _masked(node: Expr, name: str, x: Expr, keep: Expr, found: Formed) -> Expr:
    """Return a reduction of the elements that are kept."""
    axes, keepdims, dtype = node.attr("axes"), node.attr("keepdims"), node.dtype

    def total(what: Expr, keepdims: bool = keepdims) -> Expr:
        return reduce_("sum", what, axes, keepdims=keepdims, dtype=what.dtype)

    def of(value: Any) -> Expr:
        return select(keep, x, const(value, x.dtype))

    def many(keepdims: bool = keepdims) -> Expr:
        return total(cast(keep, np.int64), keepdims)

    if name in ("sum", "prod"):
        return _plain(node, name, of(0 if name == "sum" else 1))
    if name in ("any", "all", "count_nonzero"):
        return _plain(node, name, of(name == "all"))
    if name in ("min", "max"):
        if x.dtype.kind == "f":
            least: Any = np.inf if name == "min" else -np.inf
        else:
            limits = np.iinfo(x.dtype) if x.dtype.kind != "b" else None
            least = name == "min" if limits is None else limits.max if name == "min" else limits.min
        best = _plain(node, name, of(least))
        none = map_("equal", many(), const(0, np.int64))
        if node.name in _NAN:
            return select(none, const(np.nan, dtype), best)
        error = ValueError(f"zero-size array to reduction operation {name}imum which has no identity")
        found.checks.append((reduce_("any", none) if none.shape else none, error))
        return best
    if name not in ("mean", "var", "std"):
        return node
    wide = x if x.dtype == dtype else cast(x, dtype)
    zero = const(0, dtype)
    if name == "mean":
        return map_("divide", total(select(keep, wide, zero)), cast(many(), dtype))
    mean = map_("divide", total(select(keep, wide, zero), True), cast(many(True), dtype))
    far = select(keep, map_("subtract", wide, mean), zero)
    left = map_("subtract", cast(many(), dtype), const(node.attr("ddof"), dtype))
    squares = map_("divide", total(map_("multiply", far, far)), left)
    squares = select(map_("greater", left, zero), squares, const(np.nan, dtype))
    return map_("sqrt", squares) if name == "std" else squares
