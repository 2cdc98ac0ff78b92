"""What training asks of machines: how long a step takes with so many pipelines, and which losses it survives.

The unit of a replay is what is lost when a machine goes: a step of a flushing schedule, or a span between two drained
pipes of the others where copies need one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from math import lcm
from statistics import fmean
from typing import TYPE_CHECKING, Protocol

from workbench.training.errors import ReplicaLost
from workbench.training.failover import failover
from workbench.training.layout import Layout
from workbench.training.op import Op
from workbench.training.programs import FLUSHING, program
from workbench.training.simulate.durations import durations_of
from workbench.training.simulate.interpreter import Durations, Programs, Schedule, interpret
from workbench.training.simulate.models import ModelSpec

if TYPE_CHECKING:
    from workbench.training.plan import PipelinePlan

__all__ = ["FLUSH_EVERY", "PlanWork", "SpecWork", "Unit", "Work"]

#: microbatches for each stage between two drained pipes of a schedule that does not drain by itself
FLUSH_EVERY = 16
#: ranks beyond which a pace is measured over fewer microbatches
_LARGE = 64
#: how often a unit is run at most where work has a spread, and operations that are run for that
_DRAWS, _OPERATIONS = 64, 20_000


@dataclass(frozen=True, slots=True)
class Unit:
    """One step, or span, of all pipelines.

    Attributes
    ----------
    seconds : float
    fill : float
        Seconds that the first one after a start takes longer.
    steps : int
        Updates in it.
    samples : int
        Of all pipelines.
    ends : tuple of float
        Where it has several steps: seconds after its start at which each of them has been trained.
    """

    seconds: float
    fill: float
    steps: int
    samples: int
    ends: tuple[float, ...] = ()


class Work(Protocol):
    """What a replay needs to know about a plan or a model."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def ranks(self) -> int:
        """Machines of one pipeline."""

    @property
    def state_seconds(self) -> float:
        """Seconds to write or read a checkpoint."""

    def unit(self, lost: tuple[frozenset[int], ...]) -> Unit:
        """Return the unit of pipelines that each lost some ranks."""

    def survives(self, before: frozenset[int], lost: frozenset[int]) -> bool:
        """Whether a pipeline that lost some ranks before goes on without some more."""


class PlanWork:
    """A plan under a schedule.

    Parameters
    ----------
    plan : PipelinePlan
    schedule : str
    microbatches : int
        In one step of one pipeline.
    redundancy : None, "eager" or "lazy"
    """

    def __init__(self, plan: PipelinePlan, schedule: str, microbatches: int, redundancy: str | None) -> None:
        self.plan, self.schedule = plan, schedule
        self.microbatches, self.redundancy = microbatches, redundancy
        self.layout = Layout.of(plan, schedule)
        self._programs: dict[frozenset[int], Programs | None] = {}
        self._spans: dict[tuple[int, frozenset[int]], tuple[float, float, tuple[float, ...]]] = {}

    @property
    def name(self) -> str:
        """Return the schedule and the replicas of the stages."""
        return f"{self.schedule} {'-'.join(str(len(ranks)) for ranks in self.layout.stages)}"

    @property
    def ranks(self) -> int:
        """Return the machines of one pipeline."""
        return self.layout.ranks

    @property
    def flowing(self) -> bool:
        """Whether the pipe need not be drained at all."""
        return self.schedule not in FLUSHING and self.redundancy is None

    @cached_property
    def steps(self) -> int:
        """Return the steps of one unit."""
        if self.schedule in FLUSHING or self.flowing:
            return 1
        return -(-FLUSH_EVERY * len(self.layout.stages) // self.microbatches)

    @cached_property
    def state_seconds(self) -> float:
        """Return the seconds in which the largest stage is written: weights, and twice as much for the optimizer."""
        if self.schedule == "ddp":
            largest = sum(stage.parameter_bytes for stage in self.plan.stages)
        else:
            largest = max(stage.parameter_bytes for stage in self.plan.stages)
        return 3 * largest / self.plan.cluster.bandwidth[-1]

    def unit(self, lost: tuple[frozenset[int], ...]) -> Unit:
        """Return the unit of pipelines that each lost some ranks."""
        spans = [self._span(len(lost), one) for one in dict.fromkeys(lost)]
        batch = self.plan.profile.batch_size or 1
        samples = len(lost) * self.steps * self.microbatches * batch
        ends = tuple(map(max, zip(*(span[2] for span in spans), strict=True)))
        return Unit(max(span[0] for span in spans), max(span[1] for span in spans), self.steps, samples, ends)

    def survives(self, before: frozenset[int], lost: frozenset[int]) -> bool:
        """Whether a pipeline that lost some ranks before goes on without some more."""
        if self.redundancy is None:
            return False
        return self._after(before | lost) is not None

    def schedule_of(self, pipelines: int, lost: frozenset[int], units: int = 1, limit: int | None = None) -> Schedule:
        """Return when each operation of a unit runs, or of the first ones of several in a pipe that flows on."""
        if units > 1:
            return self._flow(pipelines, units if limit is None else max(1, min(units, limit // (6 * self.ranks))))
        return interpret(self._ran(pipelines, lost), replace(self.durations(pipelines), spread=0.0))

    def bubble(self) -> float:
        """Return the share of time in which machines do not compute, in a unit or, without end, between updates."""
        if not self.flowing:
            return self.schedule_of(1, frozenset()).bubble()
        seconds = self._span(1, frozenset())[0] * self.ranks
        busy = self.durations(1).busy
        work = sum(busy[kind][stage] for kind in ("forward", "backward") for stage in range(len(self.layout.stages)))
        return 1 - work * self.microbatches / seconds if seconds > 0 else 0.0

    def durations(self, pipelines: int) -> Durations:
        """Return what operations take in one of so many pipelines."""
        return durations_of(
            self.plan, self.layout, pipelines, microbatches=self.microbatches, kept=self.schedule in FLUSHING
        )

    def _after(self, lost: frozenset[int]) -> Programs | None:
        """Return the programs of the survivors, or None where a stage has no copy left."""
        if lost not in self._programs:
            if lost:
                try:
                    self._programs[lost] = failover(self._after(frozenset()) or {}, self.plan, lost)
                except ReplicaLost:
                    self._programs[lost] = None
            else:
                self._programs[lost] = program(
                    self.plan, self.schedule, self.microbatches, steps=self.steps, redundancy=self.redundancy
                )
        return self._programs[lost]

    def _ran(self, pipelines: int, lost: frozenset[int]) -> Programs:
        programs = self._after(lost)
        assert programs is not None
        return _in_grid(programs, self.schedule) if pipelines > 1 else programs

    def _mean(self, pipelines: int, lost: frozenset[int]) -> float:
        """Return the seconds of a unit on the average, where work takes now longer and now shorter."""
        programs, durations = self._ran(pipelines, lost), self.durations(pipelines)
        draws = max(4, min(_DRAWS, _OPERATIONS // sum(map(len, programs.values()))))
        return fmean(interpret(programs, durations, seed).seconds for seed in range(draws))

    def _span(self, pipelines: int, lost: frozenset[int]) -> tuple[float, float, tuple[float, ...]]:
        key = (pipelines, lost)
        if key not in self._spans:
            if self.flowing:
                self._spans[key] = *self._pace(pipelines), ()
            else:
                ran = self.schedule_of(pipelines, lost)
                ends, seconds = self._ends(ran), ran.seconds
                if self.durations(pipelines).spread and seconds > 0:
                    seconds = self._mean(pipelines, lost)
                    ends = tuple(end * seconds / ran.seconds for end in ends)
                self._spans[key] = seconds, 0.0, ends
        return self._spans[key]

    def _ends(self, ran: Schedule) -> tuple[float, ...]:
        """Return when the last backward of each step of a span is done; nothing where a span is one step."""
        if self.steps == 1:
            return ()
        ends = [0.0] * self.steps
        for rank, ops in ran.programs.items():
            for op, end in zip(ops, ran.end[rank], strict=True):
                if op.kind in ("backward", "brc"):
                    step = op.microbatch // self.microbatches
                    ends[step] = max(ends[step], end)
        return tuple(accumulate(ends, max))  # a step is done when those before it are

    def _pace(self, pipelines: int) -> tuple[float, float]:
        """Return the seconds between steps in a full pipe, and what the first one takes longer.

        The pace is that of the last stage, well after the pipe was filled and before it begins to drain.
        """
        every = lcm(self.microbatches, *(len(ranks) for ranks in self.layout.stages))
        window = max(64, min(256, 4096 // self.ranks))
        if every <= 4 * window:
            window = -(-window // every) * every
        filled = 2 * self.ranks + 32 if self.ranks <= _LARGE else self.ranks
        count = filled + window + min(self.ranks, _LARGE)
        ran = self._flow(pipelines, -(-count // self.microbatches))
        last = len(self.layout.stages) - 1
        ends = {}
        for rank in self.layout.stages[last]:
            for op, end in zip(ran.programs[rank], ran.end[rank], strict=True):
                if op.kind == "backward":
                    ends[op.microbatch] = end
        pace = (ends[filled + window] - ends[filled]) / window * self.microbatches
        return pace, max(self._flow(pipelines, 1).seconds - pace, 0.0)

    def _flow(self, pipelines: int, steps: int) -> Schedule:
        made: Programs = program(self.plan, self.schedule, self.microbatches, steps=steps)
        return interpret(_in_grid(made, self.schedule) if pipelines > 1 else made, self.durations(pipelines))


class SpecWork:
    """A model whose step times are known.

    A step of a pipeline in which one machine does the work of two takes half as long again.
    """

    #: bytes per second of a link, for checkpoints
    BANDWIDTH = 1e9

    def __init__(self, spec: ModelSpec, redundant: bool) -> None:
        self.spec, self.redundant = spec, redundant

    @property
    def name(self) -> str:
        """Return the model's name."""
        return self.spec.name

    @property
    def ranks(self) -> int:
        """Return the machines of one pipeline."""
        return self.spec.stages

    @property
    def state_seconds(self) -> float:
        """Return the seconds to write a checkpoint, each stage its own."""
        return self.spec.state_bytes / self.spec.stages / self.BANDWIDTH

    def unit(self, lost: tuple[frozenset[int], ...]) -> Unit:
        """Return the step of pipelines that each lost some stages."""
        slower = 1.5 if any(lost) else 1.0
        return Unit(self.spec.seconds(len(lost)) * slower, 0.0, 1, self.spec.samples_per_step)

    def survives(self, before: frozenset[int], lost: frozenset[int]) -> bool:
        """Whether no two of all lost stages are neighbours in the ring."""
        gone = before | lost
        return self.redundant and all((stage - 1) % self.spec.stages not in gone for stage in gone)


def _in_grid(programs: Programs, schedule: str) -> Programs:
    """Return the programs of one of several pipelines: each update needs the gradients of all of them.

    In flushing schedules the holder of a copy joins that reduce instead of being sent the gradient.
    """
    joins = schedule in FLUSHING
    found: dict[int, list[Op]] = {}
    for rank, ops in programs.items():
        made: list[Op] = []
        gathered: set[tuple[int, int]] = set()
        for op in ops:
            name = (op.stage, op.step)
            if op.kind == "send_replica" and joins:
                continue
            if op.kind == "step" and name not in gathered:
                made.append(Op("reduce", op.stage, -1, op.step))
            if op.kind in ("reduce", "recv_replica"):
                gathered.add(name)
            made.append(Op("reduce", op.stage, -1, op.step) if op.kind == "recv_replica" and joins else op)
        found[rank] = made
    return found
