"""One worker's part of a program, operation by operation; nothing here knows of Dask."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.utils import _pytree as pytree

from workbench.training import errors, stage
from workbench.training.flight import Flight, fresh, has_nan, needing, without_graph
from workbench.training.job import Report
from workbench.training.transport import Interrupted, Transport, tag_of
from workbench.training.upkeep import Upkeep

if TYPE_CHECKING:
    from torch import distributed

    from workbench.training.data import Source
    from workbench.training.job import Job
    from workbench.training.op import Op
    from workbench.training.state import StageState

__all__ = ["Runner"]

#: operations by which a rank is at work again
WAKES = ("load", "forward")
TOLD = 0.1  # seconds between reports of what has no hurry


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
    wire : dtype, optional
        What float32 travels as: two stages on one rank see the same values as on two.
    woken : callable
        Called with the Unix time of the first operation that works on a microbatch.
    ahead : dict, optional
        Forwards that were run ahead for a copy, kept over a failover.
    updates : callable
        Called with batch and stage before each update.
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
        wire: torch.dtype | None = None,
        woken: Callable[[float], object] = lambda when: None,
        ahead: dict[tuple[int, int, int], Flight] | None = None,
        updates: Callable[[int, StageState], object] = lambda batch, state: None,
    ) -> None:
        self.job, self.stages, self._source = job, stages, source
        self._transport, self._groups, self._tell, self._stopped = transport, groups, tell, stopped
        self._device, self._committed, self._wire = device, committed, wire
        self._woken, self._updates = woken, updates
        self._first = 0
        #: what was begun last, in batches; and when the first operation was
        self.begun, self.woke = 0, 0.0
        #: the operation that it is at, and since when by the monotonic clock
        self.doing: tuple[Op, float] | None = None
        #: (stage, batch, microbatch) -> forward of a copy
        self.ahead = {} if ahead is None else ahead
        self._own: set[tuple[int, int]] = set()
        self._flows = False
        self._upkeep = Upkeep(job.batches, transport, groups)
        self._loaded: dict[tuple[int, int], tuple[Any, ...]] = {}
        self._values: dict[tuple[int, int], tuple[Any, ...]] = {}
        self._gradients: dict[tuple[int, int], Sequence[Any]] = {}
        self._flights: dict[tuple[int, int], Flight] = {}
        self._report = Report(0)
        self._reported = 0.0
        self._do = {
            "load": self._load, "recv_act": self._receive, "recv_grad": self._receive, "forward": self._forward,
            "send_act": self._send_values, "backward": self._backward, "send_grad": self._send_gradients,
            "reduce": self._reduce, "step": self._step, "stash": self._stash, "drop": self._drop,
            "send_replica": self._send_upkeep, "recv_replica": self._receive_upkeep, "frc": self._forward_ahead,
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
        self._upkeep.begin(ops)
        self._own = {(op.stage, op.microbatch) for op in ops if op.kind == "forward"}
        self._flows = any(op.kind == "stash" for op in ops)
        for state in self.stages.values():
            state.begin()
        self._expect(ops)
        try:
            self._each(ops)
        finally:
            self.doing = None
        self.tell()

    def _each(self, ops: Sequence[Op]) -> None:
        for op in ops:
            if self._stopped():
                raise Interrupted
            if op.microbatch >= 0 and not self._samples(op):
                continue
            started = time.time()
            self.doing = op, time.monotonic()
            if op.microbatch >= 0:
                self.begun = max(self.begun, self._batch(op) + 1)
            if not self.woke and op.kind in WAKES:
                self.woke = started
                self._woken(started)
            found = self._do[op.kind](op)
            if found is not None:
                size, begun = found
                row = (op.stage, op.kind, self._batch(op), self._number(op), max(started, begun), time.time(), size)
                self._report.timeline.append(row)

    def tell(self) -> None:
        """Report what has not been told yet."""
        if self._transport is not None:
            self._report.sent = self._transport.sent
        report, self._report = self._report, Report(self._report.batches)
        self._reported = time.monotonic()
        self._tell(report)

    def part(self) -> None:
        """Let go of the others; what was run ahead for a copy stays."""
        self._transport, self._groups = None, {}
        self._upkeep.part()
        for known in (self._loaded, self._values, self._gradients, self._flights):
            known.clear()

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

    def _buffers(self, op: Op) -> dict[str, torch.Tensor]:
        """Return the buffers of the replica that a microbatch belongs to, which may have been another rank's."""
        state = self.stages[op.stage]
        return state.buffers if self._flows else state.buffers_of(op.microbatch % state.replicas)

    # below: the operations; each gives its bytes and when it really began, or None if it took no time

    def _load(self, op: Op) -> tuple[int, float]:
        made = self._source.load(self.job.batches, *self._place(op))
        self._loaded[op.stage, op.microbatch] = pytree.tree_map(self._moved, made)
        return 0, 0.0

    def _receive(self, op: Op) -> tuple[int, float]:
        assert self._transport is not None
        values, size, sent = self._transport.receive(op.peer, tag_of(op))
        kept = self._values if op.kind == "recv_act" else self._gradients
        kept[op.stage, op.microbatch] = values
        return size, min(sent, time.time())  # before that there was nothing to receive: the worker was idle

    def _forward(self, op: Op) -> tuple[int, float]:
        state, key = self.stages[op.stage], (op.stage, op.microbatch)
        flight = self.ahead.pop((op.stage, *self._place(op)), None)
        if flight is None or self._flows:
            flight = self._begin(op, state, state.versions[op.version], op.version)
            self._run(op, state, flight, self._buffers(op))
        else:
            # The copy was a forward ahead when its stage was lost: what it came to stands.
            self._loaded.pop(key, None), self._values.pop(key, None)
            flight.version = op.version
            # In the place of the old ones, not written into them: forwards before this one wait for their backward.
            self._buffers(op).update(flight.buffers or {})
        if flight.loss is not None:
            record = (*self._place(op), flight.value, time.time())
            self._report.losses.append(record)
            self._upkeep.records.append(record)
        self._flights[key] = flight
        return 0, 0.0

    def _forward_ahead(self, op: Op) -> tuple[int, float]:
        """Run a copy's forward, as its stage does elsewhere; buffers follow on from the microbatch before."""
        state, place = self.stages[op.stage], self._place(op)
        if (op.stage, *place) in self.ahead:
            return 0, 0.0
        replica = op.microbatch % state.replicas
        before = [
            flight.buffers
            for (index, batch, _), flight in self.ahead.items()
            if (index, batch, flight.replica) == (op.stage, place[0], replica)
        ]
        known = before[-1] if before else None
        buffers = {name: buffer.clone() for name, buffer in (known or self._buffers(op)).items()}
        flight = self._begin(op, state, state.versions[state.newest], state.newest)
        flight.replica = replica
        # What is not finite is its stage's to say; should that be lost before, the forward is run again, and says it.
        with contextlib.suppress(errors.LossNaN):
            self._run(op, state, flight, buffers)
            flight.buffers = buffers
            self.ahead[op.stage, *place] = flight
        return 0, 0.0

    def _begin(self, op: Op, state: StageState, weights: Mapping[str, torch.Tensor], version: int) -> Flight:
        """Return a microbatch before its forward: what came from the data, another rank, or the stage before."""
        spec, key, before = state.spec, (op.stage, op.microbatch), (op.stage - 1, op.microbatch)
        loaded = self._loaded.pop(key, ())
        if spec.index == 0:
            values = stage.bind_inputs(spec, loaded[:-1])
        elif before in self._flights and key not in self._values:
            handed = pytree.tree_map(self._handed, self._flights[before].outputs)
            values = dict(zip(spec.receives, handed, strict=True))
        else:
            values = dict(zip(spec.receives, self._values.pop(key), strict=True))
        flight = Flight(weights, version, values)
        if spec.index == spec.last:
            flight.target = loaded[-1]
        begin, end = self.job.batches.piece(*self._place(op))
        flight.scale = (end - begin) / self.job.batches.size(self._batch(op))
        return flight

    def _run(self, op: Op, state: StageState, flight: Flight, buffers: Mapping[str, torch.Tensor]) -> None:
        """Run a forward, and see that what it gives is finite."""
        self._compute(op, state, flight, buffers, flight.target)
        if flight.loss is not None and not math.isfinite(value := flight.loss.item()):
            raise self._not_finite(op, state, flight, value)
        if not stage.finite(flight.outputs) and has_nan(flight.outputs):
            raise self._not_finite(op, state, flight, math.nan)
        if flight.loss is not None:
            flight.value, flight.target = value, None
        if self.job.recompute and state.spec.index != state.spec.last:
            flight.outputs = pytree.tree_map(without_graph, flight.outputs)

    def _compute(
        self, op: Op, state: StageState, flight: Flight, buffers: Mapping[str, torch.Tensor], target: Any
    ) -> None:
        """Run a stage's forward, and leave its outputs or its loss in `flight`."""
        spec = state.spec
        values = pytree.tree_map(fresh, flight.values) if spec.in_place else flight.values
        known = stage.run_stage(spec, state.tree, {**flight.weights, **buffers}, values, self._seeds(op))
        flight.outputs = tuple(known[name] for name in spec.sends)
        if spec.index == spec.last:
            loss = self.job.loss(stage.output_of(spec, known), target)
            if not isinstance(loss, torch.Tensor) or loss.numel() != 1:
                raise errors.TrainingError(
                    f"loss(output, target) must give one number; it gave {_shape(loss)}.",
                    'Use the mean over the samples (reduction="mean").',
                )
            if not loss.requires_grad:
                raise errors.TrainingError(
                    "The loss depends on no weight that is trained: nothing would be learnt.",
                    "Return float tensors, without argmax, detach() or no_grad() between the weights and the loss.",
                )
            flight.loss = loss * flight.scale

    def _backward(self, op: Op) -> tuple[int, float]:
        state, key = self.stages[op.stage], (op.stage, op.microbatch)
        flight = self._flights[key]
        if self.job.recompute and state.spec.index != state.spec.last:
            # Buffers have seen this microbatch: the second time they are written to copies.
            copies = {name: buffer.clone() for name, buffer in self._buffers(op).items()}
            self._compute(op, state, flight, copies, None)
        if flight.loss is not None:
            roots, gradients = [flight.loss], [None]
        else:
            pairs = zip(needing(flight.outputs), self._gradients.pop(key, ()), strict=True)
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
        before = (op.stage - 1, op.microbatch)
        if before in self._own:
            del self._flights[key]
            self._gradients[before] = [self._sent(leaf.grad) for leaf in needing(flight.values)]
        elif state.spec.index == 0:
            del self._flights[key]
        return 0, 0.0

    def _send_values(self, op: Op) -> tuple[int, float]:
        assert self._transport is not None
        outputs = self._flights[op.stage, op.microbatch].outputs
        return self._transport.send(op.peer, tag_of(op), self._samples(op), outputs), 0.0

    def _send_gradients(self, op: Op) -> tuple[int, float]:
        assert self._transport is not None
        flight = self._flights.pop((op.stage, op.microbatch))
        gradients = [leaf.grad for leaf in needing(flight.values)]
        return self._transport.send(op.peer, tag_of(op), self._samples(op), gradients), 0.0

    def _reduce(self, op: Op) -> tuple[int, float]:
        assert self._transport is not None
        state = self.stages[op.stage]
        trained = {name: parameter for name, parameter in state.parameters.items() if parameter.requires_grad}
        # Whether anybody has a gradient is summed too: a parameter without any is left alone, as with one worker.
        parts = []
        for name, parameter in trained.items():
            gradient = state.gradients.get(name)
            part = (torch.zeros_like(parameter) if gradient is None else gradient).reshape(-1)
            parts.append(part.to(torch.float32) if part.dtype in (torch.float16, torch.bfloat16) else part)
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
        if self.job.redundant and not self._flows:
            batch = self._batch(op)
            ran = {
                number % state.replicas
                for index, number in self._own
                if (index, self._first + number // self.job.batches.microbatches) == (op.stage, batch)
            }
            shared, losses = self._upkeep.share(op, state, batch, ran)
            self._report.losses += losses
            size += shared
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
        self._upkeep.keep(op.stage, state)
        self._updates(self._batch(op), state)
        state.update()
        return 0, 0.0

    def _send_upkeep(self, op: Op) -> tuple[int, float]:
        return self._upkeep.send(op, self.stages[op.stage]), 0.0

    def _receive_upkeep(self, op: Op) -> tuple[int, float]:
        size, sent, losses = self._upkeep.receive(op, self.stages[op.stage])
        self._report.losses += losses
        return size, min(sent, time.time())

    def _stash(self, op: Op) -> None:
        self.stages[op.stage].stashed.add(op.version)

    def _drop(self, op: Op) -> None:
        self.stages[op.stage].drop(op.version)

    def _commit(self, op: Op) -> None:
        batches = self._report.batches = self._first + op.step + 1
        for state in self.stages.values():
            state.snapshot(batches)
        self.ahead.clear()
        if self._report.losses or time.monotonic() - self._reported > TOLD:
            self.tell()
        self._committed(batches)

    # below: what they need

    def _expect(self, ops: Iterable[Op]) -> None:
        """Say what will be received on each channel, so that receives are posted before they are waited for."""
        channels: dict[tuple[int, int], list[int]] = {}
        for op in ops:
            if op.kind == "recv_replica":
                channels.setdefault((op.peer, tag_of(op)), []).append(0)
            elif op.kind in ("recv_act", "recv_grad") and (samples := self._samples(op)):
                channels.setdefault((op.peer, tag_of(op)), []).append(samples)
        for (peer, tag), sizes in channels.items():
            assert self._transport is not None
            self._transport.expect(peer, tag, sizes)

    def _handed(self, value: Any) -> Any:
        """Return a value as the next stage would receive it."""
        if not isinstance(value, torch.Tensor):
            return value
        return self._sent(value.detach()).requires_grad_(value.requires_grad)

    def _sent(self, value: Any) -> Any:
        if self._wire is None or not isinstance(value, torch.Tensor) or value.dtype is not torch.float32:
            return value
        return value.to(self._wire).to(torch.float32)

    def _moved(self, value: Any) -> Any:
        return value.to(self._device) if self._device is not None and isinstance(value, torch.Tensor) else value

    def _not_finite(self, op: Op, state: StageState, flight: Flight, value: float) -> errors.LossNaN:
        values = pytree.tree_map(fresh, flight.values)
        weights = {**flight.weights, **state.buffers}
        node = stage.first_bad(state.spec, state.tree, weights, values, self._seeds(op))
        name = "NaN" if math.isnan(value) else "Inf"
        base = state.updates - state.newest
        behind = state.newest - op.version
        return errors.loss_nan(name, self._batch(op), op.stage, node or "the loss", base + op.version, behind)


def _shape(value: Any) -> str:
    return f"a tensor of shape {tuple(value.shape)}" if isinstance(value, torch.Tensor) else f"a {type(value).__name__}"
