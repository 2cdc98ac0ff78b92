"""A region's nodes one by one in torch: to fall back on, and to check against."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from workbench.fusion.capture.fx.program import straight
from workbench.fusion.capture.fx.regions import Region
from workbench.fusion.capture.fx.telling import whole_plan
from workbench.fusion.check import difference
from workbench.fusion.errors import check_failed
from workbench.fusion.result import FusionPlan

__all__ = ["CheckedCall", "EagerCall", "LeftCall"]

#: itemsize -> part of the largest value by which sums of another order may differ
_SLACK = {8: 1e-12, 4: 1e-5, 2: 1e-2}


class EagerCall:
    """A region as torch computes it, operator after operator.

    Parameters
    ----------
    region : Region
    """

    def __init__(self, region: Region) -> None:
        self.region = region
        self.measured_ms: float | None = None
        self._run = straight(region)

    def __call__(self, *values: Any) -> list[torch.Tensor]:
        """Return the outputs, given tensors and numbers, and write those that are to be into inputs."""
        start = time.perf_counter()
        found = self.compute(*values)
        for made, to in self.region.writes:
            values[to].detach().copy_(found[made])
        self.measured_ms = 1e3 * (time.perf_counter() - start)
        return found

    def compute(self, *values: Any) -> list[torch.Tensor]:
        """Return the outputs, given tensors and numbers."""
        return self._run(*values)


class LeftCall(EagerCall):
    """A region that is left to torch: its operators are predicted to be no slower, or there are no kernels for them.

    Parameters
    ----------
    region : Region
    reason : str
    predicted : float or None
        Milliseconds.
    """

    def __init__(self, region: Region, reason: str, predicted: float | None) -> None:
        super().__init__(region)
        self.reason, self.predicted = reason, predicted

    def plan(self) -> FusionPlan:
        """Return the plan of one kernel, which torch's are counted as."""
        return whole_plan(self.region, "fallback", self.measured_ms, self.reason, self.predicted)


class CheckedCall:
    """A region that is computed twice, by kernels and by torch, and compared.

    Parameters
    ----------
    region : Region
    call : callable
        What is checked.
    """

    def __init__(self, region: Region, call: Callable[..., Sequence[torch.Tensor]]) -> None:
        self.region, self.call, self.eager = region, call, EagerCall(region)
        self.max_error = 0.0

    def __call__(self, *values: Any) -> Sequence[torch.Tensor]:
        """Return the outputs.

        Raises
        ------
        FusionError
            If they differ by more than is allowed; it keeps both.
        """
        wanted = self.eager.compute(*values)  # first, as the other may write over its inputs
        found = self.call(*values)
        for node, one, two in zip(self.region.outputs, found, wanted, strict=True):
            a, b = one.detach().cpu(), two.detach().cpu()
            slack = 0.0
            if a.is_floating_point() and b.numel():
                slack = _SLACK[a.element_size()] * float(torch.nan_to_num(b, 0.0, 0.0, 0.0).abs().max())
                if a.element_size() == 2:
                    a, b = a.float(), b.float()
            error, allowed, fits = difference(a.numpy(), b.numpy(), slack)
            if not fits:
                raise check_failed(error, node.name, allowed, one, two)
            self.max_error = max(self.max_error, error)
        return found
