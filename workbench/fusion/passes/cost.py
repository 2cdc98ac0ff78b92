"""What an element of each node costs to compute from memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from workbench.fusion.expr import Expr
from workbench.fusion.ops import OPS

__all__ = ["costs", "own_cost"]

#: nanoseconds of finding the entry of a key, and of changing an aggregate there
FIND_NS, MERGE_NS = 3.0, 1.2
#: nanoseconds of an element of nodes whose operation does not tell
_COSTS = {"Select": 0.2, "Cast": 0.15, "Gather": 1.5, "Reduce": 0.15, "Scan": 1.0, "Filter": 0.6, "Scatter": 2.0}


def own_cost(node: Expr) -> float:
    """Return the nanoseconds that an element of this node alone takes on one core."""
    if node.kind == "Map" and node.name in OPS:
        return OPS[node.name].cost
    if node.kind == "GroupReduce":  # the entry of a key is found, and each aggregate in it changed
        return FIND_NS + MERGE_NS * len(node.attr("ops"))
    return _COSTS.get(node.kind, 0.0)


def costs(order: Sequence[Expr], op_ns: Mapping[str, float] | None = None) -> dict[int, float]:
    """Return for each node, by id, the nanoseconds an element of it and what is below it in one loop.

    What is shared below counts as often as it is used, up to a bound. `op_ns` has the costs of a calibrated machine.
    """
    found: dict[int, float] = {}
    for node in order:
        below = 0.0
        if node.kind in ("Map", "Select", "Cast", "View", "Broadcast", "Filter", "Gather"):
            below = sum(found[id(each)] for each in node.inputs)
        own = own_cost(node)
        if op_ns is not None and node.kind == "Map":
            own = op_ns.get(node.name, own)
        found[id(node)] = min(own + below, 1e6)
    return found
