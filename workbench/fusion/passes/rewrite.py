"""Rebuilding a graph from its leaves up: what every pass is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from workbench.fusion.expr import Expr

__all__ = ["rebuilt", "rewrite"]


def rebuilt(node: Expr, inputs: tuple[Expr, ...]) -> Expr:
    """Return the node over other inputs; the node itself where they are the same."""
    if all(a is b for a, b in zip(inputs, node.inputs, strict=True)):
        return node
    found = Expr(node.kind, node.name, inputs, node.attrs, node.dtype, node.shape, node.where, node.data)
    found.calls, found.call, found.valid = node.calls, node.call, node.valid
    return found


def rewrite(order: Sequence[Expr], step: Callable[[Expr], Expr]) -> dict[int, Expr]:
    """Return for each node, by id, what it becomes: `step` of it over new inputs, with equal nodes made one.

    Parameters
    ----------
    order : sequence of Expr
        Inputs before what uses them, as `walk` gives them.
    step : callable
    """
    new: dict[int, Expr] = {}
    known: dict[object, Expr] = {}
    for node in order:
        made = step(rebuilt(node, tuple([new[id(each)] for each in node.inputs])))
        new[id(node)] = known.setdefault(made.key(), made)
    return new
