"""A region as Inductor compiles it."""

from __future__ import annotations

import time
from typing import Any

import torch

from workbench.fusion.capture.fx.calls import value_of
from workbench.fusion.capture.fx.checking import EagerCall
from workbench.fusion.capture.fx.regions import Region
from workbench.fusion.capture.fx.telling import whole_plan
from workbench.fusion.result import FusionPlan

__all__ = ["InductorCall"]


class InductorCall(EagerCall):
    """A region that Inductor computes: where `options` ask for it, or where it is predicted faster.

    Parameters
    ----------
    region : Region
    reason : str
        Why it is Inductor's, where nobody asked for it.
    predicted : float, optional
        Milliseconds.

    Raises
    ------
    torch._inductor.exc.InductorError
        If there is no C++ compiler, among others.
    """

    def __init__(self, region: Region, reason: str = "", predicted: float | None = None) -> None:
        from torch._guards import TracingContext, detect_fake_mode, tracing
        from torch._inductor.compile_fx import compile_fx_inner

        super().__init__(region)
        self.reason, self.predicted = reason, predicted
        start = time.perf_counter()
        values = [value_of(each) for each in region.inputs]
        with tracing(TracingContext(detect_fake_mode(values))):  # what Inductor notes there is said of whole graphs
            self._code: Any = compile_fx_inner(_module(region), values)
        self.compile_ms = 1e3 * (time.perf_counter() - start)

    def compute(self, *values: Any) -> list[torch.Tensor]:
        """Return the outputs, given tensors and numbers."""
        return list(self._code(list(values)))

    def plan(self) -> FusionPlan:
        """Return the plan of one kernel, as which Inductor's are counted."""
        found = whole_plan(self.region, "inductor", self.measured_ms, self.reason, self.predicted)
        found.kernels[0].compile_ms, found.kernels[0].cache = self.compile_ms, "miss"
        return found


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
