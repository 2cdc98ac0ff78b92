"""Launches recorded as one CUDA graph, which starts them all at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from workbench.fusion.gpu.driver import capturing, on_device, stream_of
from workbench.fusion.gpu.launch import Program, Ready

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
        #: the stream that it was recorded for: what two streams start may run at the same time, and memory is one
        self.stream = 0
        self.inputs: list[torch.Tensor] = []
        self.results: list[torch.Tensor] = []
        #: what the graph works on, which has to stay as long as it does
        self.kept: Ready | None = None

    def __call__(self, *tensors: torch.Tensor, into: Mapping[int, torch.Tensor] | None = None) -> list[torch.Tensor]:
        """Return the results; by launches where there are no graphs, or where somebody else records one."""
        import torch

        if into or not tensors or tensors[0].device.type != "cuda":
            return self.program(*tensors, into=into)
        with on_device(tensors[0].device):
            stream = stream_of(tensors[0].device)
            if capturing(tensors[0].device) or (self.graph is not None and stream != self.stream):
                return self.program(*tensors)
            if self.graph is None:
                self.record(tensors)
                self.stream = stream
            else:
                _fill(self.inputs, tensors)
                self.graph.replay()
            if self.kept is not None and self.program.checks:
                self.program.found(self.kept)  # raises
            found = [torch.empty_like(each) for each in self.results]
            torch._foreach_copy_(found, self.results)
            return found

    def record(self, tensors: tuple[torch.Tensor, ...]) -> None:
        """Run once as it is, with all memory taken and all tables sent before; then record launches, nothing else."""
        import torch

        self.inputs = [torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device=x.device) for x in tensors]
        _fill(self.inputs, tensors)
        self.kept = self.program.ready(*self.inputs, room=self)
        self.program.start(self.kept)
        self.results = self.program.found(self.kept)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.program.start(self.kept)
        self.graph = graph


def _fill(inputs: Sequence[torch.Tensor], tensors: Sequence[torch.Tensor]) -> None:
    """Copy tensors into others of the same strides; elements that lie at one place are copied once."""
    import torch

    torch._foreach_copy_([_once(each) for each in inputs], [_once(each) for each in tensors])


def _once(tensor: torch.Tensor) -> torch.Tensor:
    for k, stride in enumerate(tensor.stride()):
        if not stride and tensor.shape[k] > 1:
            tensor = tensor.narrow(k, 0, 1)
    return tensor
