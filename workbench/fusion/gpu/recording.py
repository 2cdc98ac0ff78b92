"""Launches recorded as one CUDA graph, which starts them all at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from workbench.fusion.gpu.launch import Program

if TYPE_CHECKING:
    import torch

__all__ = ["Recorded"]


class Recorded:
    """A program whose launches are recorded on memory of their own, and replayed.

    Inputs are copied there and results from there, each by one launch for all of them: worth it where a program has
    several launches of little work.

    Parameters
    ----------
    program : Program
        For tensors of one form.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.graph: Any = None
        self.inputs: list[torch.Tensor] = []
        self.results: list[torch.Tensor] = []

    def __call__(self, *tensors: torch.Tensor, into: Mapping[int, torch.Tensor] | None = None) -> list[torch.Tensor]:
        """Return the results; on a device without graphs by launches."""
        import torch

        if into or not tensors or tensors[0].device.type != "cuda" or torch.cuda.is_current_stream_capturing():
            return self.program(*tensors, into=into)
        if self.graph is None:
            return self.record(tensors)
        torch._foreach_copy_(self.inputs, list(tensors))
        self.graph.replay()
        found = [torch.empty_like(each) for each in self.results]
        torch._foreach_copy_(found, self.results)
        return found

    def record(self, tensors: tuple[torch.Tensor, ...]) -> list[torch.Tensor]:
        """Run once as it is, so that all is compiled and tables are sent; then record."""
        import torch

        self.inputs = [torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device=x.device) for x in tensors]
        torch._foreach_copy_(self.inputs, list(tensors))
        found = self.program(*self.inputs, room=self)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(tensors[0].device), torch.cuda.graph(graph):
            self.results = self.program(*self.inputs, room=self)
        self.graph = graph
        return found
