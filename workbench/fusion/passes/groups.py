"""What is asked of the same groups is one node, and so one pass over the rows."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.fusion.expr import Expr, item
from workbench.fusion.graph import walk
from workbench.fusion.passes.rewrite import rebuilt
from workbench.fusion.plan.inline import compiles

__all__ = ["merge_groups"]


def merge_groups(order: Sequence[Expr]) -> dict[int, Expr] | None:
    """Return what nodes become once some group-bys of one kind are one; None if there are none to merge."""
    kinds: dict[object, list[Expr]] = {}
    for node in order:
        if node.kind == "GroupReduce" and compiles(node):
            kinds.setdefault(_kind(node), []).append(node)
    for members in kinds.values():
        chosen = _independent(members)
        if len(chosen) > 1:
            return _merged(order, chosen)
    return None


def _kind(node: Expr) -> object:
    """Return what makes the groups of two the same."""
    keys = tuple([id(each) for each in node.inputs[: node.attr("keys")]])
    return keys, node.attr("sort"), node.attr("dropna"), node.shape


def _spread(node: Expr) -> int | None:
    """Return what is subtracted from the divisor of a variance; None if there is no variance."""
    return node.attr("ddof") if {"var", "std"} & set(node.attr("ops")) else None


def _independent(members: Sequence[Expr]) -> list[Expr]:
    """Return those of which none is computed from another, and whose variances are of one kind."""
    chosen: list[Expr] = []
    for node in members if len(members) > 1 else ():
        above = {id(each) for each in walk(node.inputs, masks=False)}
        kinds = {_spread(each) for each in (*chosen, node)} - {None}
        if len(kinds) < 2 and not any(id(each) in above for each in chosen):
            chosen.append(node)
    return chosen


def _merged(order: Sequence[Expr], members: Sequence[Expr]) -> dict[int, Expr]:
    first = next((node for node in members if _spread(node) is not None), members[0])
    many = first.attr("keys")
    asked: dict[tuple[str, int], int] = {}  # aggregate and what it is of -> its place among the results
    values: list[Expr] = []
    places: dict[int, list[int]] = {}
    for node in members:
        rest = list(node.inputs[many:])
        places[id(node)] = list(range(many))
        for op in node.attr("ops"):
            x = None if op == "size" else rest.pop(0)
            if (op, id(x)) not in asked:
                asked[op, id(x)] = many + len(asked)
                values += [] if x is None else [x]
            places[id(node)].append(asked[op, id(x)])
    ops = tuple([op for op, _ in asked])
    attrs = tuple([(key, ops if key == "ops" else value) for key, value in first.attrs])
    inputs = (*first.inputs[:many], *values)
    whole = Expr(first.kind, first.name, inputs, attrs, first.dtype, first.shape, first.where)
    whole.calls = sum(node.calls for node in members)
    new: dict[int, Expr] = {}
    known: dict[object, Expr] = {}
    for node in order:
        if id(node) in places:
            new[id(node)] = whole  # none of its inputs is computed from a member, so they are as they were
            continue
        if node.kind == "Item" and id(node.inputs[0]) in places:
            made = item(whole, places[id(node.inputs[0])][node.attr("index")], node.dtype, node.shape)
            made.where = node.where
        else:
            made = rebuilt(node, tuple([new[id(each)] for each in node.inputs]))
        new[id(node)] = known.setdefault(made.key(), made)
    return new
