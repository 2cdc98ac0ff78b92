"""Exact variances: calls of their own, as no loop's sums of rounded squares are rounded once."""

from __future__ import annotations

from collections.abc import Callable

from workbench.fusion.cpu.variance import grouped, reduced
from workbench.fusion.expr import Expr, extern, group_dtype, group_reduce
from workbench.fusion.ops import supported

__all__ = ["exact_variances"]

_NAMES = frozenset({"var", "std"})


def exact_variances() -> Callable[[Expr], Expr]:
    """Return a step that makes a variance, of an array or by group, a call; what is one for several is made once."""
    made: dict[int, tuple[Expr, ...]] = {}

    def step(node: Expr) -> Expr:
        if node.kind == "Reduce" and node.name.removeprefix("nan") in _NAMES:
            return _reduced(node)
        if node.kind == "Item" and node.inputs[0].kind == "GroupReduce" and _NAMES & set(node.inputs[0].attr("ops")):
            groups = node.inputs[0]
            if id(groups) not in made:
                made[id(groups)] = groups, *_grouped(groups)
            found = made[id(groups)][1 + node.attr("index")]
            found.where = node.where
            return found
        return node

    return step


def _reduced(node: Expr) -> Expr:
    x = node.inputs[0]
    if not supported(node.dtype) or not supported(x.dtype):
        return node
    call = reduced(node.name, node.attr("axes"), node.attr("keepdims"), node.attr("ddof"), node.dtype)
    found = extern(node.name, call, (x,), node.dtype, node.shape, node.where)
    found.calls = node.calls
    return found


def _grouped(node: Expr) -> list[Expr]:
    """Return the results of a group-by: its variances as calls, the others of a group-by without these."""
    many, ops = node.attr("keys"), node.attr("ops")
    keys, rest = node.inputs[:many], list(node.inputs[many:])
    values = [(op, None if op in ("size", "codes") else rest.pop(0)) for op in ops]
    asked = [(op, x) for op, x in values if op not in _NAMES]
    [size] = node.shape
    assert not isinstance(size, int)
    found = group_reduce(
        keys,
        [*asked, ("codes", None)],
        sort=node.attr("sort"),
        dropna=node.attr("dropna"),
        ddof=node.attr("ddof"),
        size=size,
        where=node.where,
    )
    found[0].inputs[0].calls = node.calls
    results, others = list(found[:many]), iter(found[many:])
    for op, x in values:
        if op not in _NAMES or x is None:
            results.append(next(others))
            continue
        dtype = group_dtype(op, x.dtype)
        made = extern(op, grouped(op, node.attr("ddof"), dtype), (found[-1], found[0], x), dtype, (size,), node.where)
        made.calls = 0
        results.append(made)
    return results
