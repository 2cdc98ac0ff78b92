"""`torch.compile(model, backend="workbench")`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from workbench.fusion import errors
from workbench.fusion.capture.fx import worth
from workbench.fusion.capture.fx.graphs import Graph, LeftGraph, asker, remember
from workbench.fusion.capture.fx.randoms import numbered
from workbench.fusion.capture.fx.regions import cut

__all__ = ["decompositions", "workbench"]

aten = torch.ops.aten

#: operators that stay whole: library calls, and those whose parts are lookups that no kernel of ours does
_WHOLE = frozenset({
    aten.mm, aten.bmm, aten.addmm, aten.baddbmm, aten.mv, aten.dot, aten.convolution_backward,
    aten.max_pool2d_with_indices, aten.max_pool2d_with_indices_backward, aten.max_pool3d_with_indices,
    aten.max_pool3d_with_indices_backward, aten.avg_pool2d, aten.avg_pool2d_backward, aten.avg_pool3d,
    aten.avg_pool3d_backward, aten._adaptive_avg_pool2d, aten._adaptive_avg_pool2d_backward,
    aten._adaptive_avg_pool3d, aten.adaptive_max_pool2d, aten.embedding_dense_backward, aten.upsample_nearest1d,
    aten.upsample_nearest2d, aten.upsample_bilinear2d, aten.upsample_bicubic2d, aten.grid_sampler_2d,
    aten.reflection_pad1d, aten.reflection_pad2d, aten.replication_pad1d, aten.replication_pad2d,
    aten.index_add, aten.index_put, aten._embedding_bag, aten.multi_margin_loss, aten.binary_cross_entropy,
})  # fmt: skip


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
    from torch._dynamo.backends.common import aot_autograd

    said = checked(options)
    owner = asker()

    choosing = said["inductor"] == "auto" and not said["exact"] and not said["check"]

    def compiled(graph: Any, example: Sequence[Any]) -> Callable[..., Any]:
        found = Graph(numbered(graph), exact=said["exact"], check=said["check"], inductor=said["inductor"])
        remember(found, owner)
        return found.run

    def inference(graph: Any, example: Sequence[Any]) -> Callable[..., Any]:
        if choosing:
            worth.checked([cut(numbered(graph))], training=False)
        return compiled(graph, example)

    def halves(joint: Any, given: Sequence[Any], **more: Any) -> Any:
        forward, backward = _halves(joint, given, **more)
        if choosing:
            worth.checked([cut(forward), cut(backward)], training=True)
        return forward, backward

    try:
        found: Callable[..., Any] = aot_autograd(
            fw_compiler=compiled,
            bw_compiler=compiled,
            inference_compiler=inference,
            decompositions=decompositions(),
            partition_fn=halves,
            keep_inference_input_mutations=True,
        )(gm, inputs)
    except worth.Small as small:
        for part in small.cuts:
            remember(LeftGraph(part, small.reason), owner)
        return gm.forward
    return found


def checked(options: dict[str, Any] | None) -> dict[str, Any]:
    """Return options with their defaults.

    Raises
    ------
    FusionError
        For one that is not known.
    """
    from workbench.engine.errors import suggest

    for name, value in (options or {}).items():
        known = {"inductor": ("auto", "never", "always"), "exact": (False, True), "check": (False, True)}
        if name not in known:
            hint = suggest(name, list(known), f"Options: {', '.join(known)}.")
            raise errors.FusionError(f'Unknown option "{name}".', hint)
        if value not in known[name]:
            raise errors.FusionError(
                f'Option "{name}" cannot be {value!r}.', f"Values: {', '.join(map(repr, known[name]))}."
            )
    return {"inductor": "auto", "exact": False, "check": False, **(options or {})}


def decompositions() -> dict[Any, Callable[..., Any]]:
    """Return how operators are made of smaller ones; what torch has one loop for that is no more than that stays."""
    from torch._inductor.decomposition import select_decomp_table

    return {op: made for op, made in select_decomp_table().items() if getattr(op, "overloadpacket", op) not in _WHOLE}


def _halves(joint: Any, inputs: Sequence[Any], **options: Any) -> Any:
    """Cut a graph into its forward and backward part."""
    from functorch.compile import min_cut_rematerialization_partition

    return min_cut_rematerialization_partition(numbered(joint), inputs, **options)
