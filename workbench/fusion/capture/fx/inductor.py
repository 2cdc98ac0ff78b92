"""A region as Inductor compiles it."""

from __future__ import annotations

import time
from typing import Any

import torch

from workbench.fusion.capture.fx.calls import value_of
from workbench.fusion.capture.fx.checking import EagerCall
from workbench.fusion.capture.fx.regions import Region, bytes_of, where_of
from workbench.fusion.result import FusionPlan, Kernel, OpRow
from workbench.fusion.telling import shape_text, where_text

__all__ = ["InductorCall"]


class InductorCall(EagerCall):
    """A region that Inductor computes: `options={"inductor": "always"}`.

    Parameters
    ----------
    region : Region

    Raises
    ------
    torch._inductor.exc.InductorError
        If there is no C++ compiler, among others.
    """

    def __init__(self, region: Region) -> None:
        from torch._guards import TracingContext, detect_fake_mode, tracing
        from torch._inductor.compile_fx import compile_fx_inner

        super().__init__(region)
        start = time.perf_counter()
        values = [value_of(each) for each in region.inputs]
        with tracing(TracingContext(detect_fake_mode(values))):  # what Inductor notes there is said of whole graphs
            self._run: Any = compile_fx_inner(_module(region), values)
        self.compile_ms = 1e3 * (time.perf_counter() - start)
        self.measured_ms: float | None = None

    def compute(self, *values: Any) -> list[torch.Tensor]:
        """Return the outputs, given tensors and numbers."""
        start = time.perf_counter()
        found = list(self._run(list(values)))
        self.measured_ms = 1e3 * (time.perf_counter() - start)
        return found

    def plan(self) -> FusionPlan:
        """Return the plan of one kernel, as which Inductor's are counted."""
        from workbench.fusion.plan.model import device_model, predicted_ms

        region, model = self.region, device_model()
        read, written = sum(map(bytes_of, region.inputs)), sum(map(bytes_of, region.outputs))
        ms = predicted_ms(model, read + written, 0.0)
        nodes = [node for node in region.nodes if isinstance(node.target, torch._ops.OpOverload)]
        names = tuple(node.target.overloadpacket.__name__ for node in nodes)
        kernel = Kernel(
            "k0_inductor", "inductor", "none", names, read, written, ms, self.measured_ms, model.memory,
            self.compile_ms, "miss",
        )  # fmt: skip
        plan = FusionPlan(device="cpu", cache="miss", kernels=[kernel])
        for name, node in zip(names, nodes, strict=True):
            value = value_of(node)
            shape = shape_text(tuple(value.shape)) if isinstance(value, torch.Tensor) else ""
            dtype = str(value.dtype).removeprefix("torch.") if isinstance(value, torch.Tensor) else ""
            plan.op_rows.append(OpRow(name, shape, dtype, kernel.name, where_text(where_of(node))))
        return plan


def _module(region: Region) -> torch.fx.GraphModule:
    """Return a region as a graph of its own."""
    graph = torch.fx.Graph()
    known: dict[Any, Any] = {}
    for k, node in enumerate(region.inputs):
        known[node] = graph.placeholder(f"input{k}")
        known[node].meta = dict(node.meta)
    for node in region.nodes:
        known[node] = graph.node_copy(node, known.__getitem__)
    graph.output(tuple(known[node] for node in region.outputs))
    return torch.fx.GraphModule(torch.nn.Module(), graph)
