"""The upkeep of copies: what a stage's holder needs so that its copy stays equal, bit by bit."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

import torch

from workbench.training.transport import tag_of

if TYPE_CHECKING:
    from torch import distributed

    from workbench.training.data import Batches
    from workbench.training.op import Op
    from workbench.training.state import StageState
    from workbench.training.transport import Transport

__all__ = ["Record", "Upkeep"]

#: batch, microbatch, loss, Unix time
Record = tuple[int, int, float, float]


class Upkeep:
    """What one rank does for the copies of its stages, and for those that it holds.

    Parameters
    ----------
    batches : Batches
    transport : Transport or None
        None where one rank is all there is.
    groups : mapping of int to ProcessGroup
        Who takes part in the `reduce` of a stage.
    """

    def __init__(
        self, batches: Batches, transport: Transport | None, groups: Mapping[int, distributed.ProcessGroup]
    ) -> None:
        self._batches, self._transport, self._groups = batches, transport, groups
        self._copied: set[int] = set()
        self._summed: dict[int, dict[str, torch.Tensor]] = {}
        #: losses that only this rank has
        self.records: list[Record] = []

    def begin(self, ops: Iterable[Op]) -> None:
        """Begin a span."""
        self._summed.clear()
        self.records.clear()
        self._copied = {op.stage for op in ops if op.kind == "send_replica"}

    def part(self) -> None:
        """Let go of the others."""
        self._transport, self._groups = None, {}
        self._summed.clear()

    def keep(self, stage: int, state: StageState) -> None:
        """Keep what a stage's update is made from, if another rank holds its copy."""
        if stage in self._copied:
            self._summed[stage] = state.summed()

    def share(self, op: Op, state: StageState, batch: int, ran: Collection[int]) -> tuple[int, list[Record]]:
        """Let all who take part in a reduce know the losses, and the buffers of all replicas.

        Parameters
        ----------
        op : Op
        state : StageState
        batch : int
        ran : collection of int
            Replicas whose microbatches of the batch this rank has run.

        Returns
        -------
        size : int
            Bytes sent.
        losses : list of (batch, microbatch, loss, Unix time)
            Those that others had.
        """
        assert self._transport is not None
        group, size, theirs = self._groups[op.stage], 0, list[Record]()
        if state.spec.index == state.spec.last:
            counts = [self._batches.count(batch, piece) for piece in range(self._batches.microbatches)]
            block = torch.zeros(len(counts), 2, dtype=torch.float64)
            for _, piece, value, when in (known := [record for record in self.records if record[0] == batch]):
                block[piece, 0], block[piece, 1] = value, when
            size += self._transport.all_reduce(group, block)
            mine = {piece for _, piece, _, _ in known}
            theirs = [
                (batch, piece, *block[piece].tolist())
                for piece, count in enumerate(counts)
                if count and piece not in mine
            ]
            self.records.clear()
        if state.buffers:
            size += self._share_buffers(group, state, ran)
        return size, theirs

    def _share_buffers(self, group: distributed.ProcessGroup, state: StageState, ran: Collection[int]) -> int:
        assert self._transport is not None
        sizes = [buffer.numel() * buffer.element_size() for buffer in state.buffers.values()]
        # As bytes, of which only one rank's are not zero, so that the sum is what was there; the last says whose they
        # are: a replica without a microbatch has nothing new.
        block = torch.zeros(state.replicas, sum(sizes) + 1, dtype=torch.uint8)
        for replica in ran:
            own = state.buffers_of(replica).values()
            parts = [buffer.detach().cpu().contiguous().reshape(-1).view(torch.uint8) for buffer in own]
            block[replica] = torch.cat([*parts, torch.ones(1, dtype=torch.uint8)])
        size = self._transport.all_reduce(group, block)
        for replica in range(state.replicas):
            if replica in ran or not block[replica, -1]:
                continue
            parts = list(block[replica, :-1].split(sizes))
            for part, buffer in zip(parts, state.buffers_of(replica).values(), strict=True):
                buffer.copy_(part.clone().view(buffer.dtype).view(buffer.shape))
        return size

    def send(self, op: Op, state: StageState) -> int:
        """Send what the update was made from, the buffers, and the losses that only this rank has; return the bytes."""
        assert self._transport is not None
        records: list[Record] = []
        if state.spec.index == state.spec.last:
            records, self.records = self.records, []
        told = torch.tensor(records, dtype=torch.float64).reshape(-1, 4)
        # A structure of its own each time: a parameter without a gradient is left alone by the copy's optimizer too.
        values = (self._summed.pop(op.stage), list(state.buffers.values()), told)
        return self._transport.send(op.peer, tag_of(op), 0, values, exact=True)

    def receive(self, op: Op, state: StageState) -> tuple[int, float, list[Record]]:
        """Take what a copy's next update is made from; return the bytes, when they were sent, and the losses."""
        assert self._transport is not None
        (gradients, buffers, told), size, sent = self._transport.receive(op.peer, tag_of(op))
        state.gradients = gradients
        for own, theirs in zip(state.buffers.values(), buffers, strict=True):
            own.copy_(theirs)
        return size, sent, [(int(batch), int(piece), value, when) for batch, piece, value, when in told.tolist()]
