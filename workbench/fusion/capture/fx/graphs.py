"""Compiled graphs, and the plans that show them: regions between library calls, and why each boundary is there."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from workbench.fusion import errors
from workbench.fusion.capture.fx.calls import value_of
from workbench.fusion.capture.fx.checking import CheckedCall, LeftCall
from workbench.fusion.capture.fx.choosing import BETTER, choose
from workbench.fusion.capture.fx.execution import RegionCall
from workbench.fusion.capture.fx.inductor import InductorCall
from workbench.fusion.capture.fx.joined import MADE
from workbench.fusion.capture.fx.program import program
from workbench.fusion.capture.fx.regions import (
    VIEWS,
    Cut,
    Region,
    bytes_of,
    called_together,
    cut,
    hint,
    traffic_of,
    where_of,
)
from workbench.fusion.result import FusionPlan, Kernel, OpRow, ReasonRow, merged
from workbench.fusion.telling import shape_text, where_text

__all__ = ["Graph", "LeftGraph", "asker", "explained", "graphs_of", "plan_of_cut", "remember"]

#: where what `torch.compile` gave keeps the graphs that were compiled for it
_KEPT = "_workbench_graphs"


class Graph:
    """One graph of a model: forward, backward, or a step of an optimizer.

    Parameters
    ----------
    gm : torch.fx.GraphModule
        Functional, of ATen operators.
    exact, check : bool
        No reassociation; compute each region in torch too, and compare.
    inductor : {"auto", "never", "always"}
        Which regions are Inductor's: those that are predicted faster there, none, all.
    """

    def __init__(self, gm: Any, exact: bool = False, check: bool = False, inductor: str = "never") -> None:
        start = time.perf_counter()
        self.cut = cut(gm)
        self.calls: dict[Region, Any] = {}
        self.exact, self.check, self.inductor = exact, check, inductor
        self.run = program(self.cut, self._call)
        self.plan_ms = 1e3 * (time.perf_counter() - start)

    def _call(self, region: Region) -> Callable[..., Sequence[torch.Tensor]]:
        device = device_of(region)
        found = self.calls[region] = self._chosen(region) if device == "cpu" else _elsewhere(region, device)
        return CheckedCall(region, found) if self.check and not isinstance(found, LeftCall) else found

    def _chosen(self, region: Region) -> Any:
        """Return what computes a region of the CPU."""
        if self.inductor == "always":
            return InductorCall(region)
        ours = RegionCall(region, self.exact)
        if self.inductor == "never" or self.exact:
            return ours
        choice = choose(region, ours)
        if choice.who == "inductor":
            try:
                return InductorCall(region, choice.reason, choice.inductor)
            except Exception:  # no compiler, or what it cannot do
                if choice.eager * BETTER >= choice.ours:
                    return ours
                return LeftCall(region, choice.without_inductor, choice.eager)
        return LeftCall(region, choice.reason, choice.eager) if choice.who == "eager" else ours

    @property
    def plan(self) -> FusionPlan:
        """The plan, with the times of the last run."""
        return plan_of_cut(self.cut, self.calls, self.exact, self.plan_ms)

    def planned_for(self, device: str) -> FusionPlan:
        """Return the plan for a device that it need not run on: "cpu", "cuda", or a GPU by its name."""
        on = {device_of(each) for each in self.cut.regions}
        if device in on or (device == "cpu" and not on):
            return self.plan
        if device == "cpu":
            return plan_of_cut(self.cut)
        from workbench.fusion.gpu.graphs import plan_cut
        from workbench.fusion.gpu.planning import device_of as device_here
        from workbench.fusion.plan.model import gpu_named

        return plan_cut(self.cut, gpu_named(device) or device_here().device)

    def deferred(self) -> FusionPlan:
        """Return the plan as it is kept among those of the process: written down when it is looked at."""
        on = {device_of(each) for each in self.cut.regions}
        device = "cuda" if "cuda" in on else "cpu"
        known = {
            "device": device, "plan_ms": self.plan_ms, "compile_ms": 0.0, "cache": "miss", "max_error": None,
            "segments": 1, "run_ms": 0.0, "triton": "",
        }  # fmt: skip

        def make() -> dict[str, Any]:
            found = self.plan
            names = ("kernels", "kernels_before", "bytes_before", "op_rows", "reason_rows", "graph")
            return {name: getattr(found, name) for name in names}

        return FusionPlan.deferred(make, **known)


class LeftGraph(Graph):
    """A graph that torch runs as it was written, because it is too small for the way into compiled code.

    Parameters
    ----------
    found : Cut
    reason : str
    """

    def __init__(self, found: Cut, reason: str) -> None:
        self.cut, self.exact, self.plan_ms = found, False, 0.0
        self.calls = {each: LeftCall(each, reason, None) for each in found.regions}


def device_of(region: Region) -> str:
    """Return the type of device that a region's outputs are on."""
    kinds = {value_of(node).device.type for node in region.outputs}
    return kinds.pop() if len(kinds) == 1 else "several devices"


def _elsewhere(region: Region, device: str) -> Any:
    """Return what computes a region on another device than the CPU: our kernels on CUDA; torch where they do not."""
    if device == "cuda":
        try:
            from workbench.fusion.gpu.launch import compile_region

            return compile_region(region)
        except Exception as error:  # no Triton, a form that has no kernel, a device that is not known
            reason = str(error).partition("\n")[0] or type(error).__name__
            return LeftCall(region, reason, None)
    return LeftCall(region, f"no kernels for {device}", None)


def remember(graph: Graph, owner: Any) -> None:
    """Keep a graph as one of what a compiled object runs, and among the plans of this process."""
    from workbench.fusion import cache

    if owner is not None:
        owner.__dict__.setdefault(_KEPT, []).append(graph)
    cache.remember(graph.deferred())


def asker() -> Any:
    """Return what has Dynamo call the backend now: one object for all graphs of one `torch.compile`."""
    frame = sys._getframe(1)
    while frame is not None:
        found = frame.f_locals.get("self")
        if isinstance(found, torch._TorchCompileWrapper):
            return found
        frame = frame.f_back  # type: ignore[assignment]
    return None


def graphs_of(compiled: Any) -> list[Graph] | None:
    """Return the graphs that were compiled for an object of `torch.compile`; None for another object."""
    context = getattr(compiled, "dynamo_ctx", None)
    some = [context.callback] if context is not None else [
        cell.cell_contents for cell in getattr(compiled, "__closure__", None) or ()
    ]  # fmt: skip
    for each in some:
        while hasattr(each, "_torchdynamo_orig_backend"):
            each = each._torchdynamo_orig_backend
        if isinstance(each, torch._TorchCompileWrapper):
            kept: list[Graph] = each.__dict__.get(_KEPT, [])
            return kept
    return None


def explained(compiled: Any, device: str = "auto") -> FusionPlan:
    """Return one plan over the graphs that were compiled for a model or function, a segment each.

    Parameters
    ----------
    compiled : object
    device : str
        Where they run, by default; "cuda", or "cuda:sm_90" by name, for what they would be on a GPU.

    Raises
    ------
    FusionError
        If it is none of `torch.compile(backend="workbench")`, or was not called yet.
    """
    found = graphs_of(compiled)
    if found is None:
        raise errors.cannot_fuse(compiled)
    if not found:
        raise errors.FusionError(
            "Nothing was compiled yet.", "Call it once, or use wb.fusion.plan_graph(model, inputs, device)."
        )
    plans = [each.plan if device == "auto" else each.planned_for(device) for each in found]
    return plans[0] if len(plans) == 1 else merged(plans)


def plan_of_cut(
    found: Cut,
    calls: Mapping[Region, Any] | None = None,
    exact: bool = False,
    plan_ms: float = 0.0,
) -> FusionPlan:
    """Return the plan of a graph on the CPU, without running it."""
    start = time.perf_counter()
    parts = []
    for step in found.steps:
        if isinstance(step, Region):
            call = (calls or {}).get(step) or RegionCall(step, exact)  # without calls nobody runs it: ours are counted
            parts.append(call.plan())
        elif _counts(step):
            parts.append(_called(step))
    plan = merged(parts)
    plan.segments, plan.device = 1, "cuda" if "cuda" in {device_of(each) for each in found.regions} else "cpu"
    plan.plan_ms = plan_ms or 1e3 * (time.perf_counter() - start)
    plan.kernels_before, plan.bytes_before = _before(found)
    plan.reason_rows = _reasons(found, plan)
    plan.run_ms = sum(each.measured_ms or 0.0 for each in plan.kernels)
    return plan


def _reasons(found: Cut, plan: FusionPlan) -> list[ReasonRow]:
    """Return why the graph is more than one kernel: calls between, and what is said of neighbours in a region."""
    told = [ReasonRow(op_of(node), reason, where_text(where_of(node))) for node, reason in found.reasons]
    rows = list(dict.fromkeys([*told, *plan.reason_rows]))
    named = {(row.op, row.where) for row in rows}
    before = None
    for kernel in plan.kernels:
        ours = kernel.kind not in ("extern", "fallback", "inductor")
        if ours and before is not None:
            mine = [row for row in plan.op_rows if row.kernel == kernel.name]
            if mine and not any((row.op, row.where) in named for row in mine):
                rows.append(ReasonRow(mine[-1].op, "library call between", mine[-1].where))
        before = kernel if ours else None
    return rows


def op_of(node: Any) -> str:
    """Return how an operator is called in plans."""
    target = node.target
    if isinstance(target, torch._ops.OpOverload):
        return str(target.overloadpacket.__name__)
    return getattr(target, "__name__", str(target))


def _counts(node: Any) -> bool:
    """Whether a call outside of regions moves memory; drawing a seed does not."""
    if node.target is torch.ops.workbench.seed.default:
        return False
    return isinstance(node.target, torch._ops.OpOverload) and node.target not in VIEWS and bytes_of(node) > 0


def _called(node: Any) -> FusionPlan:
    """Return the plan of one library call."""
    from workbench.fusion.plan.model import device_model, predicted_ms

    model, name = device_model(), op_of(node)
    read = sum(bytes_of(each) for each in node.all_input_nodes)
    written = 0 if node.target._schema.is_mutable else bytes_of(node)
    if node.target is torch.ops.aten.copy_.default:
        read, written = bytes_of(node.args[1]), bytes_of(node.args[0])
    ms = predicted_ms(model, read + written, 5.0 * written / 8)
    kernel = Kernel(f"k0_{name}", "extern", "none", (name,), read, written, ms, None, model.memory, 0.0, "hit")
    value = value_of(node)
    shape = tuple(map(hint, value.shape)) if isinstance(value, torch.Tensor) else ()
    dtype = str(value.dtype).removeprefix("torch.") if isinstance(value, torch.Tensor) else ""
    where = where_text(where_of(node))
    plan = FusionPlan(device="cpu", cache="hit", kernels=[kernel])
    plan.op_rows.append(OpRow(name, shape_text(shape), dtype, kernel.name, where))
    plan.graph = {
        "nodes": [{"id": 0, "op": name, "kind": "Extern", "dtype": dtype, "kernel": kernel.name, "where": where}],
        "edges": [],
    }
    return plan


def _before(found: Cut) -> tuple[int, int]:
    """Return how many kernels eager code runs for a graph, and the bytes that they move.

    Operators that were made of one call stand beside each other, and say which it was.
    """
    groups = called_together(
        node
        for node in found.gm.graph.nodes
        if node.op == "call_function" and isinstance(node.target, torch._ops.OpOverload) and MADE not in node.meta
        and node.target not in VIEWS and bytes_of(node) and node.target.overloadpacket.__name__ not in _FREE
    )  # fmt: skip
    return len(groups), sum(map(traffic_of, groups))


#: operators that fill memory with a constant, or give the same again
_FREE = frozenset({
    "full", "zeros", "ones", "scalar_tensor", "full_like", "zeros_like", "ones_like", "lift_fresh_copy", "seed",
    "empty",
})  # fmt: skip
