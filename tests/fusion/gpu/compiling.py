"""Functions of torch whose regions are stitched kernels, on whatever runs those: a GPU, or Triton's interpreter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from workbench.fusion.capture.fx.backend import decompositions
from workbench.fusion.capture.fx.checking import EagerCall
from workbench.fusion.capture.fx.program import program
from workbench.fusion.capture.fx.randoms import numbered
from workbench.fusion.capture.fx.regions import cut
from workbench.fusion.gpu.launch import compile_region
from workbench.fusion.gpu.tasks import Unsupported

__all__ = ["compiled"]


def compiled(
    function: Callable[..., Any],
    made: list[Any],
    graphs: bool = False,
    refused: list[str] | None = None,
    **options: Any,
) -> Callable[..., Any]:
    """Return a function whose regions are kernels.

    Parameters
    ----------
    function : callable
    made : list
        To which the calls of its regions are added.
    graphs : bool
        Whether the launches of a region are one CUDA graph.
    refused : list, optional
        To which is added why torch computes a region.
    **options
        Of `torch.compile`.
    """
    from torch._dynamo.backends.common import aot_autograd

    def graph(gm: Any, _: Sequence[Any]) -> Callable[..., Any]:
        def call(region: Any) -> Any:
            try:
                made.append(compile_region(region, graphs=graphs))
            except Unsupported as reason:
                if refused is not None:
                    refused.append(str(reason))
                return EagerCall(region)
            return made[-1]

        return program(cut(numbered(gm)), call)

    backend = aot_autograd(
        fw_compiler=graph,
        bw_compiler=graph,
        inference_compiler=graph,
        decompositions=decompositions(),
        keep_inference_input_mutations=True,
    )
    return torch.compile(function, backend=backend, **options)
