"""Rebuilding a graph from its leaves up: what every pass is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from workbench.fusion.expr import Expr, walk

__all__ = ["rebuilt", "rewrite"]


def rebuilt(node: Expr, inputs: tuple[Expr, ...]) -> Expr:
    """Return the node over other inputs; the node itself where they are the same."""
    if all(a is b for a, b in zip(inputs, node.inputs, strict=True)):
        return node
    found = Expr(node.kind, node.name, inputs, node.attrs, node.dtype, node.shape, node.where, node.data)
    found.calls, found.call, found.valid = node.calls, node.call, node.valid
    return found


def rewrite(roots: Sequence[Expr], step: Callable[[Expr], Expr]) -> list[Expr]:
    """Return the roots with `step` applied to every node, inputs first, and equal nodes made one."""
    new: dict[int, Expr] = {}
    known: dict[object, Expr] = {}
    for node in walk(roots):
        made = step(rebuilt(node, tuple([new[id(each)] for each in node.inputs])))
        new[id(node)] = known.setdefault(made.key(), made)
    return [new[id(root)] for root in roots]
