"""What plans cost: by difference while they are searched, by latency when the best are compared.

Both look at an element of a nominal size, never at lengths: a plan is a pure function of graph and device.
"""

from __future__ import annotations

import math
from collections.abc import Collection

from workbench.fusion.expr import Dim, Expr, Shape
from workbench.fusion.passes.cost import own_cost
from workbench.fusion.plan.kernels import Partition
from workbench.fusion.plan.model import DeviceModel
from workbench.fusion.structure import SMALL

__all__ = ["NOMINAL", "gain", "latency", "spread", "work"]

#: elements of an array, for what does not depend on lengths
NOMINAL = 1_000_000
#: beyond so many operations in a loop values no longer fit the registers
REGISTERS, SPILL_NS = 60, 0.05


def gain(model: DeviceModel, cost: float, uses: float, itemsize: int, share: float = 1.0) -> float:
    """Return the nanoseconds an element saved by keeping a value in memory: the delta evaluator.

    Parameters
    ----------
    model : DeviceModel
    cost : float
        Nanoseconds an element, of the value and all below it that only it needs.
    uses : float
        How often an element would be computed: by each kernel that needs it, by each row that it is broadcast to.
    itemsize : int
    share : float
        Elements of the value for each element of the loop that uses it; smaller ones stay in cache.
    """
    bandwidth = model.memory if share == 1.0 else model.bandwidth_gbps["L2"]  # GB/s is bytes a nanosecond
    return share * (cost * (uses - 1) - itemsize * (1 + uses) / bandwidth)


def spread(node: Expr, space: Shape) -> float:
    """Return how often a loop over a space computes each element of a node that is broadcast along leading axes.

    What is the same along the last axis is moved out of the innermost loop, and so counts once.
    """
    if not 0 < len(node.shape) <= len(space) or node.shape[-1] != space[-1] or space[-1] == 1:
        return 1.0
    own = (*(1,) * (len(space) - len(node.shape)), *node.shape)
    return math.prod([_length(d, 1000.0) for a, d in zip(own, space, strict=True) if a == 1 and d != 1])


def latency(parts: Partition, model: DeviceModel) -> float:
    """Return predicted milliseconds of a plan: for each kernel the longer of moving bytes and computing."""
    most = max([sum(_length(d, 0.0) == 0.0 for d in group.space) for group in parts.groups], default=1)
    one = NOMINAL ** (1 / max(most, 1))  # so that the largest arrays have the nominal size
    total = 0.0
    for group in parts.groups:
        inside: dict[int, Expr] = {}
        loads: dict[int, Expr] = {}
        for root in group.roots:
            nodes, read, _ = parts.cone(root.node)
            inside.update({id(node): node for node in (*nodes, root.node)})
            loads.update({id(node): node for node in read})
        stored = [root.node for root in group.roots if id(root.node) in parts.needed]
        moved = sum(node.dtype.itemsize * _volume(node.shape, one) for node in (*loads.values(), *stored) if node.shape)
        ns = work(inside.values(), model) * _volume(group.space, one)
        total += model.launch_us / 1e3 + max(moved / model.memory, ns) / 1e6
    return total + len(parts.calls) * model.launch_us / 1e3


def _volume(shape: Shape, one: float) -> float:
    return math.prod([_length(d, one) for d in shape])


def _length(d: Dim, other: float) -> float:
    """Return a length that plans may depend on, or what stands for the others."""
    return float(d) if isinstance(d, int) and d <= SMALL else other


def work(nodes: Collection[Expr], model: DeviceModel) -> float:
    """Return the nanoseconds an element that computing nodes in one loop takes on one core."""
    ns = sum(model.op_ns.get(node.name, own_cost(node)) if node.kind == "Map" else own_cost(node) for node in nodes)
    return ns + SPILL_NS * max(0, len(nodes) - REGISTERS)
