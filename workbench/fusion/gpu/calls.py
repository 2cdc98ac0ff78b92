"""A region of a torch graph on tensors of the GPU: planned once for each form of its inputs, run on their memory."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import torch

from workbench.fusion.capture.fx.calls import value_of
from workbench.fusion.capture.fx.checking import EagerCall
from workbench.fusion.capture.fx.regions import Region, where_of
from workbench.fusion.gpu.driver import capturing
from workbench.fusion.gpu.graphs import planned_region, region_plan
from workbench.fusion.gpu.planning import Planned, device_of, program_of_plan
from workbench.fusion.gpu.recording import Recorded
from workbench.fusion.gpu.tasks import Unsupported
from workbench.fusion.gpu.writing import overlaps, written_over
from workbench.fusion.result import FusionPlan, ReasonRow
from workbench.fusion.telling import where_text

__all__ = ["StitchedCall"]

#: forms of inputs that a region remembers
MOST_FORMS = 64
#: which run of a form is measured
MEASURED = 2
#: multiprocessors for which sums are cut on all devices, if they are to be cut alike
NOMINAL_UNITS = 128


class StitchedCall:
    """What computes the outputs of a region with stitched kernels; what they cannot do, torch does.

    Parameters
    ----------
    region : Region
    example : sequence of Tensor or int
        Of the form that it is compiled for first; empty for that of the capture.
    deterministic : bool
        Whether sums are cut alike on all devices.
    graphs : bool
        Whether the launches of a call are one CUDA graph.

    Attributes
    ----------
    reasons : list of ReasonRow
        What torch computed, and why.

    Raises
    ------
    Unsupported
        If no kernel has a form for some of the region.
    """

    def __init__(
        self, region: Region, example: Sequence[Any] = (), deterministic: bool = False, graphs: bool = False
    ) -> None:
        self.region, self.eager, self.graphs = region, EagerCall(region), graphs
        self.model = device_of()
        if deterministic:
            limits = dataclasses.replace(self.model.limits, units=NOMINAL_UNITS)
            self.model = dataclasses.replace(self.model, limits=limits)
        self.reasons: list[ReasonRow] = []
        self.forms: dict[Any, _Formed | EagerCall] = {}
        self.last = _Formed(self, list(example) or [value_of(node) for node in region.inputs])

    def __call__(self, *values: Any) -> list[torch.Tensor]:
        """Return the outputs, given tensors and numbers, and write those that are to be into inputs."""
        key = tuple([_form(each) if isinstance(each, torch.Tensor) else each for each in values])
        found = self.forms.get(key)
        if found is None:
            while len(self.forms) >= MOST_FORMS:
                del self.forms[next(iter(self.forms))]
            found = self.forms[key] = self.formed(values)
        if isinstance(found, EagerCall) or not found.records(values):
            return self.eager(*values)
        self.last = found
        try:
            return found.run(values)
        except torch.OutOfMemoryError:  # torch needs less at a time
            self.tell("out of memory")
        except Unsupported as reason:  # no kernel has been started
            self.tell(str(reason))
            self.forms[key] = self.eager
        return self.eager(*values)

    def formed(self, values: Sequence[Any]) -> _Formed | EagerCall:
        """Return what computes inputs of a form."""
        tensors = [each for each in values if isinstance(each, torch.Tensor)]
        if any(not each.numel() or each.is_neg() for each in tensors):  # nothing to gain there
            self.tell("unsupported operation")
            return self.eager
        if len({each.device for each in tensors}) > 1:  # as numbers that are kept on the CPU: kernels cannot read them
            self.tell("tensors on several devices")
            return self.eager
        try:
            return _Formed(self, values)
        except Unsupported as reason:
            self.tell(str(reason))
            return self.eager

    def tell(self, reason: str) -> None:
        """Note why torch computed the region."""
        node = self.region.outputs[-1]
        name = getattr(node.target, "overloadpacket", node.target)
        row = ReasonRow(getattr(name, "__name__", node.name), reason, where_text(where_of(node)))
        if row not in self.reasons:
            self.reasons.append(row)

    def plan(self) -> FusionPlan:
        """Return the plan of the form that ran last, or of the example's."""
        found = region_plan(self.region, self.last.found, self.model)
        found.plan_ms = self.last.plan_ms
        for kernel, ms in zip(found.kernels, self.last.measured, strict=False):
            kernel.measured_ms = ms
        found.reason_rows += self.reasons
        return found


class _Formed:
    """A region for inputs of one form."""

    def __init__(self, call: StitchedCall, values: Sequence[Any]) -> None:
        begin = time.perf_counter()
        region = call.region
        self.found: Planned = planned_region(region, call.model, values)
        if any(0 in root.shape for root in self.found.roots):
            raise Unsupported("unsupported operation")
        self.program = program_of_plan(self.found, self.found.leaves)
        tensors = [k for k, each in enumerate(values) if isinstance(each, torch.Tensor)]
        place = {k: slot for slot, k in enumerate(tensors)}
        #: output -> the place among the tensors that it is copied to
        self.writes = {made: place[to] for made, to in region.writes}
        #: those that a kernel may write at once
        self.direct = written_over(self.found, self.program, self.writes)
        self.seen: tuple[Any, dict[int, int]] | None = None
        self.recorded = Recorded(self.program) if call.graphs and not self.writes else None
        self.plan_ms = 1e3 * (time.perf_counter() - begin)
        #: milliseconds of each launch in the second run: the first compiles, and later ones wait for nothing
        self.measured: list[float] = []
        self.runs = 0

    def records(self, values: Sequence[Any]) -> bool:
        """Whether nothing forbids its launches now: a graph that somebody records takes no waiting, and no sending."""
        device = next((each.device for each in values if isinstance(each, torch.Tensor)), torch.device("cpu"))
        return not capturing(device) or self.program.records(device)

    def run(self, values: Sequence[Any]) -> list[torch.Tensor]:
        """Return the outputs."""
        tensors = [each for each in values if isinstance(each, torch.Tensor)]
        direct = self.apart(tensors)
        into = {place: tensors[slot] for place, slot in direct.items()}
        waits = not capturing(tensors[0].device) if tensors else True
        self.runs += waits
        if waits and self.runs == MEASURED:
            self.measured = []
            made = self.program(*tensors, into=into, measured=self.measured)
        else:
            made = (self.program if self.recorded is None else self.recorded)(*tensors, into=into)
        found = [
            each if look is None else each.permute(look) for each, look in zip(made, self.found.looks, strict=True)
        ]
        for place, slot in self.writes.items():
            if place not in direct:
                tensors[slot].detach().copy_(found[place])
        return found

    def apart(self, tensors: Sequence[torch.Tensor]) -> dict[int, int]:
        """Return what kernels write over at once: none of it shares memory with another input."""
        if not self.direct:
            return self.direct
        addresses = [each.data_ptr() for each in tensors]
        if self.seen is None or self.seen[0] != addresses:
            shared = overlaps(tensors, set(self.direct.values()))
            self.seen = addresses, {place: slot for place, slot in self.direct.items() if slot not in shared}
        return self.seen[1]


def _form(tensor: torch.Tensor) -> Any:
    return tensor.shape, tensor.stride(), tensor.data_ptr() & 15 == 0, tensor.is_neg(), tensor.device
