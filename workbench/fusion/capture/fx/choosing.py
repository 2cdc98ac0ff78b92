"""Who computes a region: our kernels, Inductor's, or torch operator after operator, by what the cost model says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from workbench.fusion.capture.fx.calls import value_of
from workbench.fusion.capture.fx.regions import (
    VIEWS,
    Region,
    bytes_of,
    called_together,
    expressions,
    hint,
    stand_in,
    traffic_of,
)
from workbench.fusion.graph import walk
from workbench.fusion.passes.cost import own_cost
from workbench.fusion.plan.model import DeviceModel, device_model, predicted_ms

if TYPE_CHECKING:
    from workbench.fusion.capture.fx.execution import RegionCall

__all__ = ["FASTER_IN_INDUCTOR", "SLOWER_FUSED", "Choice", "choose", "eager_ms"]

aten = torch.ops.aten
SLOWER_FUSED, FASTER_IN_INDUCTOR = "predicted slower fused", "predicted faster in Inductor"

#: milliseconds of calling a region's code, and of starting each of its kernels, besides the work
CALL_MS, START_MS = 0.015, 0.004
#: milliseconds of dispatching an operator of torch
DISPATCH_MS = 0.004
#: nanoseconds an element of what is copied into another order of memory before a kernel or after it
COPY_NS = 0.75
#: and of operators of torch that take longer than their work
SLOW_NS = {aten.var_mean.correction: 6.0, aten.var.correction: 6.0, aten.std.correction: 6.0}
#: and of those that are quicker than loops of ours: sums of single precision, which ours accumulate in double precision
QUICK_NS = dict.fromkeys((aten.sum.default, aten.sum.dim_IntList, aten.mean.default, aten.mean.dim), 0.08)
#: as of ours, of Inductor's code
INDUCTOR_CALL_MS, INDUCTOR_START_MS = 0.012, 0.0015
#: who else is to compute a region has to be so much better; and Inductor by so many milliseconds a call, as its
#: compiler takes seconds
BETTER, WORTH_COMPILING = 1.05, 0.05


@dataclass(frozen=True)
class Choice:
    """Who is to compute a region, with the predicted milliseconds of each.

    Attributes
    ----------
    who : {"ours", "inductor", "eager"}
    ours, inductor, eager : float
    """

    who: str
    ours: float
    inductor: float
    eager: float

    @property
    def ms(self) -> float:
        """Of who is to compute it."""
        return {"ours": self.ours, "inductor": self.inductor, "eager": self.eager}[self.who]

    @property
    def reason(self) -> str:
        """Why it is not ours; with the two times."""
        if self.who != "inductor":
            return self.without_inductor
        return f"{FASTER_IN_INDUCTOR} ({1e3 * self.ours:.0f} against {1e3 * self.inductor:.0f} us)"

    @property
    def without_inductor(self) -> str:
        """Why it is torch's, also where Inductor cannot compile it."""
        return f"{SLOWER_FUSED} ({1e3 * self.ours:.0f} against {1e3 * self.eager:.0f} us)"


def choose(region: Region, call: RegionCall) -> Choice:
    """Return who is to compute a region.

    Parameters
    ----------
    region : Region
    call : RegionCall
        Our kernels.
    """
    model, plan = device_model(), call.plan()
    start = model.launch_us / 1e3
    work = [max(0.0, kernel.predicted_ms - start) for kernel in plan.kernels]
    ours = CALL_MS + sum(START_MS + each for each in work) + COPY_NS * call.copied() / 1e6
    # Inductor's loops are those of ours, and move at the least what is read and written by all
    moved = sum(map(bytes_of, region.inputs)) + sum(map(bytes_of, region.outputs))
    least = predicted_ms(model, moved, 0.0) - start
    inductor = INDUCTOR_CALL_MS + INDUCTOR_START_MS * len(work) + max(least, sum(work))
    eager = eager_ms(region, model)
    if ours > eager and _only_quick(region):
        return Choice("eager", ours, inductor, eager)
    if ours > BETTER * eager and eager <= inductor:
        return Choice("eager", ours, inductor, eager)
    if ours > BETTER * inductor and ours - inductor > WORTH_COMPILING:
        return Choice("inductor", ours, inductor, eager)
    return Choice("eager" if ours > BETTER * eager else "ours", ours, inductor, eager)


def _only_quick(region: Region) -> bool:
    """Whether there is nothing but sums in single precision, which torch is quicker at."""
    works = [each for each in region.nodes if each.target not in VIEWS]
    return all(each.target in QUICK_NS and value_of(each.all_input_nodes[0]).dtype == torch.float32 for each in works)


def eager_ms(region: Region, model: DeviceModel, as_written: bool = False) -> float:
    """Return the predicted milliseconds of the operators of a region one after another.

    Parameters
    ----------
    region : Region
    model : DeviceModel
    as_written : bool
        Of the calls that the operators were made of, which torch has one loop for each.
    """
    values: dict[Any, Any] = {}
    for node in region.inputs:
        value = value_of(node)
        values[node] = _leaf(value) if isinstance(value, torch.Tensor) else hint(value)
    expressions(region.nodes, values, region.outputs)
    known = {id(each) for value in values.values() for each in _some(value)}
    total, start = 0.0, model.launch_us / 1e3
    works = [each for each in region.nodes if isinstance(each.target, torch._ops.OpOverload)]
    works = [each for each in works if each.target not in VIEWS]
    total += (len(region.nodes) - len(works)) * DISPATCH_MS / 2
    for call in called_together(works) if as_written else [[each] for each in works]:
        ns = 0.0
        for node in call:
            own = {id(each) for each in _some(values[node])}
            for each in walk(list(_some(values[node]))):
                if id(each) in own or id(each) not in known:
                    space = each.inputs[0].shape if each.kind == "Reduce" else each.shape
                    cost = model.op_ns.get(each.name, own_cost(each)) if each.kind == "Map" else own_cost(each)
                    if each.kind == "Reduce" and each.inputs[0].dtype == np.float32:
                        cost = QUICK_NS.get(node.target, cost)
                    ns += cost * _volume(space)
            if node.target in SLOW_NS:
                ns += SLOW_NS[node.target] * _volume(value_of(node.all_input_nodes[0]).shape)
        total += DISPATCH_MS + predicted_ms(model, traffic_of(call), ns) - start
    return total


def _leaf(value: torch.Tensor) -> Any:
    from workbench.fusion import expr as ir

    return ir.leaf(stand_in(value))


def _some(value: Any) -> list[Any]:
    return [each for each in (value if isinstance(value, list | tuple) else [value]) if hasattr(each, "kind")]


def _volume(shape: Any) -> int:
    total = 1
    for d in shape:
        total *= hint(d)
    return total
