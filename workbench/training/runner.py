"""One worker's part of a program, operation by operation; nothing here knows of Dask."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.utils import _pytree as pytree

from workbench.training import errors, stage
from workbench.training.job import Report
from workbench.training.transport import Interrupted, Transport

if TYPE_CHECKING:
    from torch import distributed

    from workbench.training.data import Source
    from workbench.training.job import Job
    from workbench.training.op import Op
    from workbench.training.state import StageState

__all__ = ["Runner"]

TAGS = {"send_act": 0, "recv_act": 0, "send_grad": 2, "recv_grad": 2}
TOLD = 0.1  # seconds between reports of what has no hurry


@dataclass
class _Flight:
    """A microbatch between its forward and its backward."""

    weights: Mapping[str, torch.Tensor]
    version: int
    values: dict[str, Any]
    outputs: tuple[Any, ...] = ()
    loss: torch.Tensor | None = None
    scale: float = 1.0


class Runner:
    """Runs the programs of one rank in one generation.

    Parameters
    ----------
    job : Job
    stages : dict of int to StageState
    source : Source
    transport : Transport or None
        None where one rank is all there is.
    groups : dict of int to ProcessGroup
        Who takes part in the `reduce` of a stage.
    tell : callable
        Called with a `Report`.
    stopped : callable
        Whether to leave at the next operation.
    committed : callable
        Called with the number of batches at each commit.
    """

    def __init__(
        self,
        job: Job,
        stages: dict[int, StageState],
        source: Source,
        transport: Transport | None,
        groups: Mapping[int, distributed.ProcessGroup],
        tell: Callable[[Report], object],
        stopped: Callable[[], bool] = lambda: False,
        device: torch.device | None = None,
        committed: Callable[[int], object] = lambda batches: None,
    ) -> None:
        self.job, self.stages, self._source = job, stages, source
        self._transport, self._groups, self._tell, self._stopped = transport, groups, tell, stopped
        self._device, self._committed = device, committed
        self._first = 0
        self._loaded: dict[tuple[int, int], tuple[Any, ...]] = {}
        self._values: dict[tuple[int, int], tuple[Any, ...]] = {}
        self._gradients: dict[tuple[int, int], Sequence[Any]] = {}
        self._flights: dict[tuple[int, int], _Flight] = {}
        self._report = Report(0)
        self._reported = 0.0
        self._do = {
            "load": self._load, "recv_act": self._receive, "recv_grad": self._receive, "forward": self._forward,
            "send_act": self._send_values, "backward": self._backward, "send_grad": self._send_gradients,
            "reduce": self._reduce, "step": self._step, "stash": self._stash, "drop": self._drop,
            "commit": self._commit,
        }  # fmt: skip

    def span(self, ops: Sequence[Op], first: int) -> None:
        """Run a span whose first batch is `first`.

        Raises
        ------
        Interrupted, PeerError
        LossNaN
            At the first value that is not finite; nothing of that step is committed.
        """
        self._first = first
        for known in (self._loaded, self._values, self._gradients, self._flights):
            known.clear()
        for state in self.stages.values():
            state.begin()
        self._expect(ops)
        for op in ops:
            if self._stopped():
                raise Interrupted
            if op.microbatch >= 0 and not self._samples(op):
                continue
            started = time.time()
            found = self._do[op.kind](op)
            if found is not None:
                size, begun = found
                row = (op.stage, op.kind, self._batch(op), self._number(op), max(started, begun), time.time(), size)
                self._report.timeline.append(row)
        self.tell()

    def tell(self) -> None:
        """Report what has not been told yet."""
        if self._transport is not None:
            self._report.sent = self._transport.sent
        report, self._report = self._report, Report(self._report.batches)
        self._reported = time.monotonic()
        self._tell(report)

    # below: where an operation is in the run

    def _batch(self, op: Op) -> int:
        if op.microbatch < 0:
            return self._first + max(op.step, 0)
        return self._first + op.microbatch // self.job.batches.microbatches

    def _place(self, op: Op) -> tuple[int, int]:
        return self._batch(op), op.microbatch % self.job.batches.microbatches

    def _number(self, op: Op) -> int:
        """Return a microbatch counted from the start of the run."""
        return -1 if op.microbatch < 0 else self._first * self.job.batches.microbatches + op.microbatch

    def _samples(self, op: Op) -> int:
        return self.job.batches.count(*self._place(op))

    def _seeds(self, op: Op) -> tuple[int, int, int]:
        return (self.job.seed, *self._place(op))

    # below: the operations; each gives its bytes and when it really began, or None if it took no time

    def _load(self, op: Op) -> tuple[int, float]:
        made = self._source.load(self.job.batches, *self._place(op))
        self._loaded[op.stage, op.microbatch] = pytree.tree_map(self._moved, made)
        return 0, 0.0

    def _receive(self, op: Op) -> tuple[int, float]:
        assert self._transport is not None
        values, size, sent = self._transport.receive(op.peer, TAGS[op.kind])
        kept = self._values if op.kind == "recv_act" else self._gradients
        kept[op.stage, op.microbatch] = values
        return size, min(sent, time.time())  # before that there was nothing to receive: the worker was idle

    def _forward(self, op: Op) -> tuple[int, float]:
        state = self.stages[op.stage]
        spec, key = state.spec, (op.stage, op.microbatch)
        loaded = self._loaded.pop(key, ())
        if spec.index == 0:
            values = stage.bind_inputs(spec, loaded[:-1])
        else:
            values = dict(zip(spec.receives, self._values.pop(key), strict=True))
        weights = state.versions[op.version]
        flight = _Flight(weights, op.version, values)
        begin, end = self.job.batches.piece(*self._place(op))
        flight.scale = (end - begin) / self.job.batches.size(self._batch(op))
        target = loaded[-1] if spec.index == spec.last else None
        self._compute(op, state, flight, state.buffers, target)
        if flight.loss is not None and not math.isfinite(value := flight.loss.item()):
            raise self._not_finite(op, state, flight, value)
        if not stage.finite(flight.outputs) and _has_nan(flight.outputs):
            raise self._not_finite(op, state, flight, math.nan)
        if flight.loss is not None:
            self._report.losses.append((*self._place(op), value, time.time()))
        if self.job.recompute and spec.index != spec.last:
            flight.outputs = pytree.tree_map(_without_graph, flight.outputs)
        self._flights[key] = flight
        return 0, 0.0

    def _compute(
        self, op: Op, state: StageState, flight: _Flight, buffers: Mapping[str, torch.Tensor], target: Any
    ) -> None:
        """Run a stage's forward, and leave its outputs or its loss in `flight`."""
        spec = state.spec
        values = pytree.tree_map(_fresh, flight.values) if spec.in_place else flight.values
        known = stage.run_stage(spec, state.tree, {**flight.weights, **buffers}, values, self._seeds(op))
        flight.outputs = tuple(known[name] for name in spec.sends)
        if spec.index == spec.last:
            loss = self.job.loss(stage.output_of(spec, known), target)
            if not isinstance(loss, torch.Tensor) or loss.numel() != 1:
                raise errors.TrainingError(
                    f"loss(output, target) must give one number; it gave {_shape(loss)}.",
                    'Use the mean over the samples (reduction="mean").',
                )
            flight.loss = loss * flight.scale

    def _backward(self, op: Op) -> tuple[int, float]:
        state, key = self.stages[op.stage], (op.stage, op.microbatch)
        flight = self._flights[key]
        if self.job.recompute and state.spec.index != state.spec.last:
            # Buffers have seen this microbatch: the second time they are written to copies.
            copies = {name: buffer.clone() for name, buffer in state.buffers.items()}
            self._compute(op, state, flight, copies, None)
        if flight.loss is not None:
            roots, gradients = [flight.loss], [None]
        else:
            pairs = zip(_needing(flight.outputs), self._gradients.pop(key, ()), strict=True)
            found = [(root, gradient) for root, gradient in pairs if gradient is not None]
            roots, gradients = [root for root, _ in found], [gradient for _, gradient in found]
        roots_needing = [root for root in roots if root.requires_grad]
        if roots_needing:
            torch.autograd.backward(roots_needing, gradients if flight.loss is None else None)
        state.add(flight.weights)
        state.averaged += 1
        if op.kind == "backward":
            base = state.updates - state.newest
            self._report.versions.append(
                (op.stage, state.replica, self._number(op), base + flight.version, base + op.version)
            )
        flight.outputs, flight.loss = (), None
        if state.spec.index == 0:
            del self._flights[key]
        return 0, 0.0

    def _send_values(self, op: Op) -> tuple[int, float]:
        assert self._transport is not None
        outputs = self._flights[op.stage, op.microbatch].outputs
        return self._transport.send(op.peer, TAGS[op.kind], self._samples(op), outputs), 0.0

    def _send_gradients(self, op: Op) -> tuple[int, float]:
        assert self._transport is not None
        flight = self._flights.pop((op.stage, op.microbatch))
        gradients = [leaf.grad for leaf in _needing(flight.values)]
        return self._transport.send(op.peer, TAGS[op.kind], self._samples(op), gradients), 0.0

    def _reduce(self, op: Op) -> tuple[int, float]:
        assert self._transport is not None
        state = self.stages[op.stage]
        trained = {name: parameter for name, parameter in state.parameters.items() if parameter.requires_grad}
        # Whether anybody has a gradient is summed too: a parameter without any is left alone, as with one worker.
        parts = [
            state.gradients.get(name, torch.zeros_like(parameter)).reshape(-1).to(torch.float32)
            if parameter.dtype in (torch.float16, torch.bfloat16)
            else state.gradients.get(name, torch.zeros_like(parameter)).reshape(-1)
            for name, parameter in trained.items()
        ]
        flags = torch.tensor([float(name in state.gradients) for name in trained] + [float(state.averaged)])
        block = torch.cat([*parts, flags.to(parts[0])]) if parts else flags
        size = self._transport.all_reduce(self._groups[op.stage], block)
        flags = block[len(block) - len(flags) :]
        place, state.gradients = 0, {}
        for flag, (name, parameter) in zip(flags.tolist(), trained.items(), strict=False):
            if flag:
                found = block[place : place + parameter.numel()].view(parameter.shape)
                state.gradients[name] = found.to(parameter.dtype)
            place += parameter.numel()
        state.averaged = round(float(flags[-1]))
        return size, 0.0

    def _step(self, op: Op) -> tuple[int, float]:
        state = self.stages[op.stage]
        if self.job.rounds and state.averaged > 1:
            for gradient in state.gradients.values():
                gradient.div_(state.averaged)
        for name, gradient in state.gradients.items():
            if not stage.finite(gradient):
                value = "NaN" if bool(torch.isnan(gradient).any()) else "Inf"
                place = name.rpartition(".")[0] or name
                raise errors.loss_nan(value, self._batch(op), op.stage, place, state.updates, 0, "backward")
        state.update()
        return 0, 0.0

    def _stash(self, op: Op) -> None:
        self.stages[op.stage].stashed.add(op.version)

    def _drop(self, op: Op) -> None:
        self.stages[op.stage].drop(op.version)

    def _commit(self, op: Op) -> None:
        batches = self._report.batches = self._first + op.step + 1
        for state in self.stages.values():
            state.snapshot(batches)
        if self._report.losses or time.monotonic() - self._reported > TOLD:
            self.tell()
        self._committed(batches)

    # below: what they need

    def _expect(self, ops: Iterable[Op]) -> None:
        """Say what will be received on each channel, so that receives are posted before they are waited for."""
        channels: dict[tuple[int, int], list[int]] = {}
        for op in ops:
            if op.kind in ("recv_act", "recv_grad") and (samples := self._samples(op)):
                channels.setdefault((op.peer, TAGS[op.kind]), []).append(samples)
        for (peer, tag), sizes in channels.items():
            assert self._transport is not None
            self._transport.expect(peer, tag, sizes)

    def _moved(self, value: Any) -> Any:
        return value.to(self._device) if self._device is not None and isinstance(value, torch.Tensor) else value

    def _not_finite(self, op: Op, state: StageState, flight: _Flight, value: float) -> errors.LossNaN:
        values = pytree.tree_map(_fresh, flight.values)
        weights = {**flight.weights, **state.buffers}
        node = stage.first_bad(state.spec, state.tree, weights, values, self._seeds(op))
        name = "NaN" if math.isnan(value) else "Inf"
        base = state.updates - state.newest
        behind = state.newest - op.version
        return errors.loss_nan(name, self._batch(op), op.stage, node or "the loss", base + op.version, behind)


def _needing(values: Any) -> list[torch.Tensor]:
    """Return the tensors of a structure that want a gradient."""
    return [leaf for leaf in pytree.tree_leaves(values) if isinstance(leaf, torch.Tensor) and leaf.requires_grad]


def _has_nan(values: Any) -> bool:
    # An infinite value may be meant (a mask); NaN never is.
    return any(
        isinstance(leaf, torch.Tensor) and leaf.is_floating_point() and bool(torch.isnan(leaf).any())
        for leaf in pytree.tree_leaves(values)
    )


def _without_graph(value: Any) -> Any:
    return value.detach().requires_grad_(value.requires_grad) if isinstance(value, torch.Tensor) else value


def _fresh(value: Any) -> Any:
    """Return a copy that may be written to, and that gives its gradient to the original."""
    return value.clone() if isinstance(value, torch.Tensor) else value


def _shape(value: Any) -> str:
    return f"a tensor of shape {tuple(value.shape)}" if isinstance(value, torch.Tensor) else f"a {type(value).__name__}"
