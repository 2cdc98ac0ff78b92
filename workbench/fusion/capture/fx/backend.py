"""`torch.compile(model, backend="workbench")`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from workbench.fusion.capture.fx.execution import RegionCall
from workbench.fusion.capture.fx.program import program
from workbench.fusion.capture.fx.regions import cut

__all__ = ["decompositions", "workbench"]

aten = torch.ops.aten


def workbench(gm: Any, inputs: Sequence[Any], *, options: dict[str, Any] | None = None) -> Callable[..., Any]:
    """Compile a graph that Dynamo has captured; what `torch.compile(backend="workbench")` calls.

    Parameters
    ----------
    gm : torch.fx.GraphModule
    inputs : sequence of torch.Tensor
        Fake, of the forms that it is called with.
    options : dict, optional
        "inductor": "auto", "never" or "always"; "exact", "check": bool.

    Returns
    -------
    callable
        Of the graph's inputs.
    """
    from functorch.compile import min_cut_rematerialization_partition
    from torch._dynamo.backends.common import aot_autograd

    def compiled(graph: Any, example: Sequence[Any]) -> Callable[..., Any]:
        return program(cut(graph), RegionCall)

    found: Callable[..., Any] = aot_autograd(
        fw_compiler=compiled,
        bw_compiler=compiled,
        inference_compiler=compiled,
        decompositions=decompositions(),
        partition_fn=min_cut_rematerialization_partition,
        keep_inference_input_mutations=True,
    )(gm, inputs)
    return found


def decompositions() -> dict[Any, Callable[..., Any]]:
    """Return how operators are made of smaller ones; library calls and joins stay whole."""
    from torch._inductor.decomposition import select_decomp_table

    whole = (aten.mm, aten.bmm, aten.addmm, aten.baddbmm, aten.mv, aten.dot, aten.cat, aten.convolution_backward)
    return {op: made for op, made in select_decomp_table().items() if getattr(op, "overloadpacket", op) not in whole}
