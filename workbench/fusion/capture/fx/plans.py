"""`plan_graph`: the plan of a graph, a function or a module, made without running it and without its device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from workbench.fusion.capture.fx.backend import decompositions
from workbench.fusion.capture.fx.graphs import plan_of_cut
from workbench.fusion.capture.fx.randoms import numbered
from workbench.fusion.capture.fx.regions import cut
from workbench.fusion.plan.model import gpu_named
from workbench.fusion.result import FusionPlan

__all__ = ["plan_graph", "traced"]


def plan_graph(fx_graph_module: Any, example_inputs: Sequence[Any], device: str = "cuda:sm_90") -> FusionPlan:
    """Plan a graph without running it: `wb.fusion.plan_graph`, which tells of its arguments."""
    name = device if device == "cpu" else gpu_named(device)
    found = cut(numbered(traced(fx_graph_module, example_inputs)))
    if device == "cpu":
        return plan_of_cut(found)
    from workbench.fusion.gpu.graphs import plan_cut
    from workbench.fusion.gpu.planning import device_of

    return plan_cut(found, name or device_of().device)


def traced(function: Any, inputs: Sequence[Any]) -> Any:
    """Return a function as a functional graph of ATen operators, whose parameters and buffers are inputs."""
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.fx.experimental.proxy_tensor import make_fx
    from torch.fx.experimental.symbolic_shapes import ShapeEnv
    from torch.utils._pytree import tree_map

    mode = FakeTensorMode(allow_non_fake_inputs=True, shape_env=ShapeEnv())

    def fake(x: Any) -> Any:
        if not isinstance(x, torch.Tensor):
            return x
        with mode:
            sizes, strides = [int(d) for d in x.shape], [int(s) for s in x.stride()]
            return torch.empty_strided(sizes, strides, dtype=x.dtype, device="cpu", requires_grad=x.requires_grad)

    given = tree_map(fake, list(inputs))  # tensors may stand in lists, as those of an optimizer do

    def call(*values: Any) -> Any:  # whatever else it could be given
        return function(*values)

    if isinstance(function, torch.nn.Module):
        state = {**dict(function.named_parameters()), **dict(function.named_buffers())}
        names = list(state)

        def call(*values: Any) -> Any:
            held = dict(zip(names, values, strict=False))
            return torch.func.functional_call(function, held, tuple(values[len(names) :]))

        given = [*[fake(each) for each in state.values()], *given]
    whole = torch.func.functionalize(call, remove="mutations")
    with mode:
        return make_fx(whole, decomposition_table=decompositions(), tracing_mode="real")(*given)
