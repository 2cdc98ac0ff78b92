"""What a stage costs: time and memory, by this planner's model and by PipeDream's formulas.

Starts and ends count states: start i comes after state i - 1, so that start 0 is the beginning; end j is state j.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from workbench.training.states import States

__all__ = ["OPTIMIZER_COPIES", "Costs", "Place"]

#: copies of the weights that an optimizer keeps beside them, as Adam does
OPTIMIZER_COPIES = 2

_Floats = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Place:
    """Where a span stands in the levels around it.

    Attributes
    ----------
    after : int
        Machines of later stages, in all.
    copies : int
        How often the span itself is there.
    """

    after: int = 0
    copies: int = 1

    def inside(self, machines: int, replicas: int, below: int) -> Place:
        """Return the place of what is inside a segment.

        Parameters
        ----------
        machines : int
            Units of this level that come after the segment.
        replicas : int
            Units of this level that the segment has.
        below : int
            Machines in one unit.
        """
        return Place(self.after + machines * below * self.copies, self.copies * replicas)


@dataclass(frozen=True)
class Costs:
    """The cost model over the states of one profile.

    Attributes
    ----------
    states : States
    compat : bool
    compression : float or None
        By how much activations shrink on the wire.
    memory : float or None
        Bytes of a machine.
    schedule : str
    redundant : bool
        Whether each stage also sends its gradient to its holder, and holds its successor's weights.
    microbatches : int
        How many gpipe holds at once.
    recompute : bool
        Whether a stage keeps its input alone, and computes the rest again.
    reserve : float
        Bytes that every machine keeps free for a copy, and that no copy may exceed; zero for neither.
    update : float
        Seconds of an update for each byte of parameters, as a microbatch's share; zero where no machine was measured.
    """

    states: States
    compat: bool
    compression: float | None
    memory: float | None
    schedule: str
    redundant: bool
    microbatches: int = 1
    recompute: bool = False
    reserve: float = 0.0
    update: float = 0.0

    @cached_property
    def compute(self) -> _Floats:
        """Seconds before each start, with the updates."""
        return _before(self.states.compute + self.update * self.states.parameters)

    @cached_property
    def activation(self) -> _Floats:
        """Bytes of activations before each start."""
        return _before(self.states.activation)

    @cached_property
    def parameters(self) -> _Floats:
        """Bytes of parameters before each start."""
        return _before(self.states.parameters)

    @cached_property
    def output(self) -> _Floats:
        """Bytes that cross at each start; none at the beginning, and none at the end."""
        found = _before(self.states.output)
        if not self.compat:
            found[-1] = 0.0
        return found

    def reduce(self, starts: Any, end: int, replicas: int, bandwidth: float) -> Any:
        """Return seconds of the all-reduce, for the segment's own number of microbatches."""
        size = self.parameters[end + 1] - self.parameters[starts]
        return 4 * (replicas - 1) * size / (bandwidth * replicas)

    def transfer(self, starts: Any, end: int, replicas: int, bandwidth: float) -> tuple[Any, float]:
        """Return seconds of a segment's input and output."""
        if self.compat and self.compression is None:
            return self.output[starts] * 0.0, 0.0
        rate = bandwidth * replicas
        shrunk = 1.0 if self.compression is None else self.compression
        last = end == len(self.states) - 1
        return 2.0 * self.output[starts] / rate / shrunk, 0.0 if last else 2.0 * self.output[end + 1] / rate / shrunk

    def upkeep(self, starts: Any, end: int, replicas: int, bandwidth: float) -> Any:
        """Return seconds for sending a segment's gradient to its holder; zero for plans without copies."""
        if self.compat or not self.redundant:
            return 0.0
        return (self.parameters[end + 1] - self.parameters[starts]) / (bandwidth * replicas)

    def time(
        self, compute: Any, starts: Any, end: int, replicas: int, bandwidth: float, below: int, *, begins: bool
    ) -> Any:
        """Return seconds per microbatch of segments on some replicas.

        Parameters
        ----------
        compute : array or float
            Seconds of the segments on one unit.
        starts : array of int or int
        end, replicas : int
        bandwidth : float
        below : int
            Units in a unit of this level: what PipeDream divides the all-reduce of a first segment by.
        begins : bool
            Whether the segment begins its span; PipeDream then counts no transfers.
        """
        reduce = self.reduce(starts, end, replicas, bandwidth)
        if self.compat and begins:
            return (compute + reduce / below) / replicas
        busy = (compute + reduce) / replicas
        first, second = self.transfer(starts, end, replicas, bandwidth)
        if self.compat:
            return busy if self.compression is None else np.maximum(np.maximum(busy, first), second)
        return np.maximum(busy, first + second + self.upkeep(starts, end, replicas, bandwidth))

    def in_flight(self, place: Place, after: Any, replicas: Any) -> Any:
        """Return how many microbatches a replica holds at once: an int, or an array if the arguments are.

        Parameters
        ----------
        place : Place
        after, replicas : int or array of int
            Machines of the innermost level after the segment, and its own.
        """
        copies = replicas * place.copies
        if self.compat:
            return -(-after // replicas)
        if self.schedule == "ddp":
            return 1
        if self.schedule == "gpipe":
            return -(-self.microbatches // copies)
        return -(-(place.after + after * place.copies) // copies) + 1

    def versions(self, in_flight: Any) -> Any:
        """Return how many copies of the weights are kept."""
        if self.compat or self.schedule == "pipedream":
            return in_flight
        return 2 if self.schedule == "2bw" else 1

    def held(self, starts: Any, end: int, place: Place, after: Any, replicas: Any) -> Any:
        """Return bytes on each machine of segments of the innermost level, copies for others left out."""
        weights = self.parameters[end + 1] - self.parameters[starts]
        count = self.in_flight(place, after, replicas)
        if self.compat:
            return count * (self.activation[end + 1] - self.activation[starts] + weights)
        kept = self.output[starts] if self.recompute else self.activation[end + 1] - self.activation[starts]
        return (self.versions(count) + 1 + OPTIMIZER_COPIES) * weights + count * kept

    def too_large(self, starts: Any, end: int, place: Place, after: Any, replicas: Any) -> Any:
        """Return which segments do not fit into a machine's memory."""
        assert self.memory is not None
        found = self.held(starts, end, place, after, replicas) + self.reserve > self.memory
        return found | (self.copied(starts, end) > self.reserve) if self.reserve else found

    def copied(self, starts: Any, end: int) -> Any:
        """Return bytes of the copy of a segment that its holder keeps."""
        if self.compat or not self.redundant:
            return 0.0
        return (1 + OPTIMIZER_COPIES) * (self.parameters[end + 1] - self.parameters[starts])


def _before(sums: _Floats) -> _Floats:
    return np.concatenate(([0.0], sums))
