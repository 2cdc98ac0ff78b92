"""What plans cost: by difference while they are searched, by latency when the best are compared.

Both look at an element of a nominal size, never at lengths: a plan is a pure function of graph and device.
"""

from __future__ import annotations

from collections.abc import Collection

from workbench.fusion.expr import Expr
from workbench.fusion.passes.cost import own_cost
from workbench.fusion.plan.model import DeviceModel
from workbench.fusion.plan.partition import Partition

__all__ = ["NOMINAL", "gain", "latency", "work"]

#: elements of an array, for what does not depend on lengths
NOMINAL = 1_000_000
#: beyond so many operations in a loop values no longer fit the registers
REGISTERS, SPILL_NS = 60, 0.05


def gain(model: DeviceModel, cost: float, uses: int, itemsize: int) -> float:
    """Return the nanoseconds an element saved by keeping a value in memory: the delta evaluator.

    Parameters
    ----------
    model : DeviceModel
    cost : float
        Nanoseconds an element, of the value and all below it that only it needs.
    uses : int
        Kernels that would each compute it.
    itemsize : int
    """
    bandwidth = model.memory  # GB/s is bytes a nanosecond
    return cost * (uses - 1) - itemsize * (1 + uses) / bandwidth


def latency(parts: Partition, model: DeviceModel) -> float:
    """Return predicted milliseconds of a plan: for each kernel the longer of moving bytes and computing."""
    total = 0.0
    for group in parts.groups:
        inside: dict[int, Expr] = {}
        loads: dict[int, Expr] = {}
        for root in group.roots:
            nodes, read, _ = parts.cone(root.node)
            inside.update({id(node): node for node in (*nodes, root.node)})
            loads.update({id(node): node for node in read})
        moved = sum(node.dtype.itemsize for node in loads.values() if node.shape)
        moved += sum(
            root.node.dtype.itemsize for root in group.roots if root.node.shape and id(root.node) in parts.needed
        )
        size = NOMINAL if group.space else 1
        total += model.launch_us / 1e3 + max(moved / model.memory, work(inside.values(), model)) * size / 1e6
    return total + len(parts.calls) * model.launch_us / 1e3


def work(nodes: Collection[Expr], model: DeviceModel) -> float:
    """Return the nanoseconds an element that computing nodes in one loop takes on one core."""
    ns = sum(model.op_ns.get(node.name, own_cost(node)) if node.kind == "Map" else own_cost(node) for node in nodes)
    return ns + SPILL_NS * max(0, len(nodes) - REGISTERS)
