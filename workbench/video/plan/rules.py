"""Rewrites of a condition that leave its answer as it is: splitting, pushing down, ordering, sharing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from workbench.video.language.tree import And, Constant, Node, Or, OwnRelation, Property
from workbench.video.plan.cost import Costs

#: order of the stages: tests on one variable's columns, tests on several, and those that need calls
CHEAP, JOINT, CALLS = range(3)


def split(where: Node) -> tuple[Node, ...]:
    """Return the conjuncts of a condition or an interval: all must hold."""
    if isinstance(where, And):
        return tuple(part for operand in where.operands for part in split(operand))
    return (where,)


def stage(node: Node, costs: Costs) -> int:
    """Return when a conjunct can be taken: `CHEAP`, `JOINT` or `CALLS`."""
    if costs.costly(node) or any(isinstance(part, OwnRelation) for part in node.walk()):
        return CALLS
    return JOINT if len(node.variables()) > 1 else CHEAP


def order(conjuncts: Sequence[Node], costs: Costs) -> tuple[Node, ...]:
    """Return conjuncts in the order to take them.

    Columns come before calls and one variable before several; within a stage the next one is that of the least
    cost / (1 - selectivity), where a property that an earlier one has asked for costs nothing more. Ties keep the
    order written.
    """
    left = list(enumerate(conjuncts))
    taken: list[Node] = []
    known: set[tuple[str, str]] = set()
    while left:
        best = min(
            left,
            key=lambda item: (stage(item[1], costs), rank(item[1], costs, known), item[0]),
        )
        left.remove(best)
        taken.append(best[1])
        known.update(costs.costly(best[1]))
    return tuple(taken)


def rank(node: Node, costs: Costs, known: set[tuple[str, str]] | frozenset[tuple[str, str]] = frozenset()) -> float:
    """Return cost / (1 - selectivity): what it takes to drop a row. Tests that drop nothing come last."""
    dropped = 1 - costs.selectivity(node)
    return costs.row_ms(node, known) / dropped if dropped > 0 else float("inf")


def reorder(node: Node, costs: Costs) -> Node:
    """Return the node with the operands of each `and` and `or` in the order to take them.

    An `or` is done with a row as soon as an operand is true, so there it is the share kept that counts.
    """
    match node:
        case And(operands=operands):
            return replace(node, operands=order([reorder(operand, costs) for operand in operands], costs))
        case Or(operands=operands):
            inner = [reorder(operand, costs) for operand in operands]
            return replace(
                node, operands=tuple(sorted(inner, key=lambda one: (stage(one, costs), _or_rank(one, costs))))
            )
    return _inside(node, costs)


def _inside(node: Node, costs: Costs) -> Node:
    """Return the node with all below it in order."""

    def change(value: Any) -> Any:
        if isinstance(value, Node):
            return reorder(value, costs)
        return tuple(map(change, value)) if isinstance(value, tuple) else value

    before = {item.name: getattr(node, item.name) for item in fields(node)}
    after = {name: change(value) for name, value in before.items()}
    return node if after == before else replace(node, **after)


def _or_rank(node: Node, costs: Costs) -> float:
    kept = costs.selectivity(node)
    return costs.row_ms(node) / kept if kept > 0 else float("inf")


def pushed(conjuncts: Sequence[Node]) -> dict[str, tuple[Node, ...]]:
    """Return, for each variable, the conjuncts on it alone: they hold before objects are bound together.

    Intervals are left out: they are about whole bindings.
    """
    found: dict[str, list[Node]] = {}
    for node in conjuncts:
        names = node.variables()
        if len(names) == 1 and node.kind == "condition":
            found.setdefault(next(iter(names)), []).append(node)
    return {name: tuple(nodes) for name, nodes in found.items()}


def shared(roots: Sequence[Node]) -> tuple[Node, ...]:
    """Return the subtrees that occur more than once, largest first.

    Plain properties are columns already and constants cost nothing, so neither is listed; nor is what only occurs
    inside a larger one.
    """
    times = Counter(node for root in roots for node in root.walk() if not isinstance(node, (Property, Constant)))
    twice = [node for node, count in times.items() if count > 1]
    inside = Counter((part, times[node]) for node in twice for child in node.children() for part in set(child.walk()))
    largest = [node for node in twice if (node, times[node]) not in inside]
    return tuple(sorted(largest, key=lambda node: -sum(1 for _ in node.walk())))
