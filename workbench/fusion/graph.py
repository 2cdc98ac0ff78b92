"""Walks over the graph of some expressions, and equal nodes made one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from workbench.fusion.expr import Expr, Size

__all__ = ["intern", "walk"]


def walk(roots: Iterable[Expr], masks: bool = True) -> list[Expr]:
    """Return all nodes that the roots need, inputs before what uses them.

    Parameters
    ----------
    roots : iterable of Expr
    masks : bool
        Also the masks that lengths are counts of. A graph that was rewritten has its own in their place.
    """
    roots = list(roots)
    try:
        return _walk(roots, masks)
    except RecursionError:
        return _walk_deep(roots, masks)


def _walk(roots: Sequence[Expr], masks: bool) -> list[Expr]:
    """The short way, which every capture goes: calls of Python are cheaper than a stack of its own."""
    seen: set[int] = set()
    plain: set[int] = set()  # shapes whose lengths need no mask
    found: list[Expr] = []

    def visit(node: Expr) -> None:
        seen.add(id(node))
        if masks and id(node.shape) not in plain:
            asked = [d.mask for d in node.shape if type(d) is Size and d.mask is not None]
            if not asked:
                plain.add(id(node.shape))
            for mask in reversed(asked):
                if id(mask) not in seen:
                    visit(mask)
        for each in node.inputs:
            if id(each) not in seen:
                visit(each)
        found.append(node)

    for root in roots:
        if id(root) not in seen:
            visit(root)
    return found


def _walk_deep(roots: Sequence[Expr], masks: bool) -> list[Expr]:
    """The same without recursion, for deep graphs."""
    seen: set[int] = set()
    found: list[Expr] = []
    for root in roots:
        stack: list[tuple[Expr, bool]] = [(root, False)]
        while stack:
            node, done = stack.pop()
            if done:
                found.append(node)
                continue
            if id(node) in seen:
                continue
            seen.add(id(node))
            stack.append((node, True))
            sizes = [d.mask for d in node.shape if type(d) is Size and d.mask is not None] if masks else ()
            for each in (*reversed(node.inputs), *sizes) if sizes else reversed(node.inputs):
                if id(each) not in seen:
                    stack.append((each, False))
    return found


def intern(roots: Sequence[Expr]) -> list[Expr]:
    """Return the roots with equal nodes made one."""
    from workbench.fusion.passes.rewrite import rewrite

    new = rewrite(walk(roots), lambda node: node)
    return [new[id(root)] for root in roots]
