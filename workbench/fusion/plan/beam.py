"""The search for what to keep in memory: values that several kernels, or each row of one, would compute again.

Fusing all that can be fused computes some values more than once. Each such value is a candidate to be stored instead; a
beam over the candidates, best gain first, keeps the three best sets, and the latency model picks among them.
"""

from __future__ import annotations

from collections.abc import Sequence

from workbench.fusion.expr import Expr
from workbench.fusion.passes.cost import costs
from workbench.fusion.plan.cost import gain, latency, spread
from workbench.fusion.plan.kernels import Partition
from workbench.fusion.plan.model import DeviceModel
from workbench.fusion.plan.partition import partition

__all__ = ["WIDTH", "candidates", "search"]

#: plans kept while searching, and candidates looked at
WIDTH, MOST = 3, 12


def search(roots: Sequence[Expr], model: DeviceModel) -> Partition:
    """Return the best partition of a graph that was found.

    Parameters
    ----------
    roots : sequence of Expr
    model : DeviceModel
    """
    fused = partition(roots)
    found = candidates(fused, model)
    if not found:
        return fused
    beam: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    for saved, node in found[:MOST]:
        longer = [(total + saved, (*chosen, id(node))) for total, chosen in beam]
        # ties go to the one that stores less
        beam = sorted([*beam, *longer], key=lambda each: (-each[0], len(each[1])))[:WIDTH]
    plans = [fused, *[partition(roots, chosen) for _, chosen in beam if chosen]]
    return min(plans, key=lambda parts: latency(parts, model))


def candidates(parts: Partition, model: DeviceModel) -> list[tuple[float, Expr]]:
    """Return values that are computed more than once, with what storing each saves an element; best first.

    They are the dominants of the graph beside reductions and outputs: what several kernels compute, and dear values
    that are broadcast.
    """
    users: dict[int, set[int]] = {}
    repeats: dict[int, float] = {}
    nodes: dict[int, Expr] = {}
    for number, group in enumerate(parts.groups):
        for root in group.roots:
            for node in parts.cone(root.node)[0]:
                if node is not root.node and node.shape and id(node) not in parts.virtual:
                    users.setdefault(id(node), set()).add(number)
                    repeats[id(node)] = max(repeats.get(id(node), 1.0), spread(node, group.space))
                    nodes[id(node)] = node
    shared = [
        node for key, node in nodes.items() if (len(users[key]) > 1 or repeats[key] > 1) and key not in parts.outputs
    ]
    if not shared:
        return []
    cost = costs(parts.order, model.op_ns)
    ranked = [
        (gain(model, cost[key], len(users[key]) * repeats[key], node.dtype.itemsize, 1 / repeats[key]), node)
        for key, node in [(id(node), node) for node in shared]
    ]
    # of a chain that is shared as a whole, its end alone is worth storing
    ends = [
        (saved, node)
        for saved, node in ranked
        if saved > 0
        and not any(
            node in other.inputs and users[id(other)] >= users[id(node)] and repeats[id(other)] >= repeats[id(node)]
            for _, other in ranked
        )
    ]
    return sorted(ends, key=lambda each: (-each[0], each[1].number))
