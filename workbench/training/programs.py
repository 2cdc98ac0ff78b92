"""The programs of the five schedules: what each rank does in one span, operation by operation.

A span runs from an empty pipe to a drained one. Within a replica forwards and backwards keep their order; what a
schedule decides is how far forwards run ahead, when an update follows, and which weights a microbatch sees.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from workbench.training.errors import ScheduleError, too_few_microbatches, unknown, unknown_schedule
from workbench.training.layout import Layout
from workbench.training.op import Op

if TYPE_CHECKING:
    from workbench.training.plan import PipelinePlan

__all__ = ["FLUSHING", "SCHEDULES", "default_microbatches", "program"]

SCHEDULES = ("gpipe", "1f1b", "pipedream", "2bw", "ddp")
#: schedules that drain the pipe at every update
FLUSHING = ("gpipe", "1f1b", "ddp")
REDUNDANCY = ("eager", "lazy")


def default_microbatches(schedule: str, stages: int, batch_size: int | None = None) -> int:
    """Return how many microbatches make a step where the user does not say."""
    if schedule in ("pipedream", "ddp"):
        return 1
    return 2 * stages if batch_size is None else max(1, min(2 * stages, batch_size))


def program(
    plan: PipelinePlan,
    schedule: str,
    microbatches: int,
    *,
    steps: int = 1,
    redundancy: str | None = None,
    vertical_sync: bool = False,
) -> dict[int, list[Op]]:
    """Return the program of every rank for one span.

    Microbatch g runs at a stage on replica g mod R. Every rank takes part in each `reduce` of its stage, also one that
    had no microbatch. Collectives name who takes part by standing in the programs: the members of `reduce` of a stage
    and step are the ranks that have it.

    With copies (`redundancy`), each stage's summed gradient reaches its holder at every step: by `send_replica` and
    `recv_replica`, or, for a replicated stage of a flushing schedule, because the holder joins the stage's `reduce`.
    The holder then has a `step` of that stage, which updates the copy. "eager" adds `frc`, the copy's forward, to
    flushing schedules; the others replay a loss from their last drained pipe, where an early forward is of no use.

    Parameters
    ----------
    plan : PipelinePlan
        Its stages' ranks count.
    schedule : str
        gpipe, 1f1b, pipedream, 2bw or ddp.
    microbatches : int
        In one step.
    steps : int
        Steps in the span.
    redundancy : None, "eager" or "lazy"
    vertical_sync : bool
        pipedream only: a microbatch sees at every stage the weights of the same age.

    Raises
    ------
    TrainingError
        For an unknown schedule or redundancy.
    ScheduleError
        For fewer than one microbatch or step, 2bw with fewer microbatches than stages, or `vertical_sync` elsewhere.
    """
    if schedule not in SCHEDULES:
        raise unknown_schedule(schedule)
    if redundancy is not None and redundancy not in REDUNDANCY:
        raise unknown("redundancy", redundancy, REDUNDANCY)
    for name, count in (("microbatches", microbatches), ("steps", steps)):
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise ScheduleError(f"{name} is a whole number from 1; got {count!r}.", f"Write {name}=4.")
    if vertical_sync and schedule != "pipedream":
        raise ScheduleError(
            f"vertical_sync belongs to pipedream; {schedule} has no versions to line up.",
            'Use schedule="pipedream" or leave vertical_sync out.',
        )
    layout = Layout.of(plan, schedule)
    if schedule == "2bw" and microbatches < len(layout.stages):
        raise too_few_microbatches(len(layout.stages), microbatches)
    span = _Span(layout, schedule, microbatches, steps, redundancy, vertical_sync)
    write = _flushing if schedule in FLUSHING else _flowing
    return {
        rank: write(span, stage, replica)
        for stage, ranks in enumerate(layout.stages)
        for replica, rank in enumerate(ranks)
    }


@dataclass(frozen=True, slots=True)
class _Span:
    layout: Layout
    schedule: str
    microbatches: int
    steps: int
    redundancy: str | None
    vertical_sync: bool

    @property
    def total(self) -> int:
        return self.microbatches * self.steps


@dataclass(slots=True)
class _Writer:
    """Writes the program of one rank."""

    span: _Span
    stage: int
    replica: int
    ops: list[Op] = field(default_factory=list)
    #: forwards of the copy that wait for a bubble: (stage, microbatch)
    ahead: list[tuple[int, int]] = field(default_factory=list)

    @property
    def rank(self) -> int:
        return self.span.layout.stages[self.stage][self.replica]

    @property
    def last(self) -> bool:
        return self.stage == len(self.span.layout.stages) - 1

    def add(self, kind: str, microbatch: int = -1, step: int = -1, peer: int = -1, version: int = -1) -> None:
        self.ops.append(Op(kind, self.stage, microbatch, step, peer, version))

    def forward(self, microbatch: int, step: int, version: int) -> None:
        layout = self.span.layout
        if self.stage > 0:
            self.add("recv_act", microbatch, step, layout.rank(self.stage - 1, microbatch))
        if self.stage == 0 or self.last:
            self.add("load", microbatch, step)
        self.add("forward", microbatch, step, -1, version)
        if not self.last:
            self.add("send_act", microbatch, step, layout.rank(self.stage + 1, microbatch))

    def backward(self, microbatch: int, step: int, version: int) -> None:
        layout = self.span.layout
        if not self.last:
            self.add("recv_grad", microbatch, step, layout.rank(self.stage + 1, microbatch))
        self.add("backward", microbatch, step, -1, version)
        if self.stage > 0:
            self.add("send_grad", microbatch, step, layout.rank(self.stage - 1, microbatch))

    def copied_forwards(self, step: int, most: int | None = None, until: int | None = None) -> None:
        """Run the forwards of the copy that wait: all, so many, or those up to a microbatch."""
        while self.ahead and (until is None or self.ahead[0][1] <= until) and (most is None or most > 0):
            stage, microbatch = self.ahead.pop(0)
            if stage in (0, len(self.span.layout.stages) - 1):
                self.ops.append(Op("load", stage, microbatch, step))
            self.ops.append(Op("frc", stage, microbatch, step))
            most = None if most is None else most - 1


def _order(count: int, warmup: int) -> Iterator[tuple[bool, int]]:
    """Yield (is a forward, local index): so many forwards ahead, then one and one, then what is left."""
    for index in range(count + warmup):
        if index < count:
            yield True, index
        if index >= warmup:
            yield False, index - warmup


# -- schedules that drain at every update ----------------------------------------------------------------------------


def _flushing(span: _Span, stage: int, replica: int) -> list[Op]:
    writer = _Writer(span, stage, replica)
    layout = span.layout
    replicas = len(layout.stages[stage])
    size = span.microbatches
    for step in range(span.steps):
        mine = range(step * size + (replica - step * size) % replicas, (step + 1) * size, replicas)
        warmup = len(mine) if span.schedule == "gpipe" else min(layout.warmup(stage), len(mine))
        if span.redundancy == "eager" and writer.last:
            writer.ahead += [(0, g) for g in range(step * size, (step + 1) * size) if _held(layout, 0, g, writer.rank)]
        for forward, index in _order(len(mine), warmup):
            microbatch = mine[index]
            if forward:
                if writer.last:
                    # The last stage has a bubble until the first microbatch is here, and one twice as long at the end.
                    # What these do not hold goes in between, where backwards make the others wait too.
                    held = len(writer.ahead) > 2 * stage and span.schedule != "gpipe"
                    writer.copied_forwards(step, stage if index == 0 else int(held))
                writer.forward(microbatch, step, step)
                if span.redundancy == "eager" and not writer.last and _held(layout, stage + 1, microbatch, writer.rank):
                    writer.ahead.append((stage + 1, microbatch))
            else:
                if not writer.last:
                    # The bubble of the others is before their first gradient; later ones wait as long as they may, as
                    # there are bubbles again once no forward is left.
                    writer.copied_forwards(step, 2 * layout.warmup(stage) + 1 if index == 0 else 0)
                    writer.copied_forwards(step, until=microbatch)
                writer.backward(microbatch, step, step)
        _flush(writer, step)
    return writer.ops


def _held(layout: Layout, stage: int, microbatch: int, rank: int) -> bool:
    """Whether a rank keeps the copy that would run a microbatch at a stage."""
    if len(layout.stages) == 1:
        return False
    return layout.holder(stage, microbatch % len(layout.stages[stage])) == rank


def _flush(writer: _Writer, step: int) -> None:
    # The copy of the stage behind comes first, as that stage finished first and waits in its reduce; only the last
    # stage, which holds stage 0's copy, is done before the stage it holds. Any other order is a deadlock.
    if writer.last:
        _own_update(writer, step)
        writer.copied_forwards(step)
        _copy_update(writer, step)
    else:
        _copy_update(writer, step)
        _own_update(writer, step)
    writer.add("commit", -1, step)


def _joined(span: _Span, stage: int) -> bool:
    """Whether holders get a stage's gradient by joining its reduce."""
    return len(span.layout.stages[stage]) > 1


def _own_update(writer: _Writer, step: int) -> None:
    span, stage = writer.span, writer.stage
    if len(span.layout.stages[stage]) > 1:
        writer.add("reduce", -1, step)
    writer.add("step", -1, step)
    if span.redundancy and not _joined(span, stage):
        _send_copy(writer, step)


def _copy_update(writer: _Writer, step: int) -> None:
    span = writer.span
    if not span.redundancy:
        return
    stage = (writer.stage + 1) % len(span.layout.stages)
    owner = span.layout.copies(stage).get(writer.rank)
    if owner is None:
        return
    joined = _joined(span, stage)
    writer.ops.append(Op("reduce", stage, -1, step) if joined else Op("recv_replica", stage, -1, step, owner))
    writer.ops.append(Op("step", stage, -1, step))


def _send_copy(writer: _Writer, step: int) -> None:
    for holder, owner in writer.span.layout.copies(writer.stage).items():
        if owner == writer.rank:
            writer.add("send_replica", -1, step, holder)


# -- schedules that keep the pipe full -------------------------------------------------------------------------------


def _flowing(span: _Span, stage: int, replica: int) -> list[Op]:
    writer = _Writer(span, stage, replica)
    layout = span.layout
    mine = range(replica, span.total, len(layout.stages[stage]))
    warmup = min(layout.warmup(stage), len(mine))
    versions = _versions(span, stage, mine)
    uses = Counter(versions)
    updates = _updates(span, stage)
    waiting = _awaited(span, writer)
    done = 0

    def keep(version: int) -> None:
        if uses[version]:
            writer.add("stash", version=version)

    def update() -> None:
        nonlocal done
        if len(layout.stages[stage]) > 1:
            writer.add("reduce", -1, done)
        writer.add("step", -1, done)
        done += 1
        keep(done)
        if span.redundancy:
            _send_copy(writer, done - 1)

    keep(0)
    forwards = backwards = 0
    while backwards < len(mine) or done < len(updates):
        due = done < len(updates) and (backwards == len(mine) or mine[backwards] > updates[done])
        first = updates[done - 1] + 1 if done else 0
        if due and backwards and mine[backwards - 1] >= first:
            update()
        elif forwards < len(mine) and forwards <= backwards + warmup and versions[forwards] <= done:
            # With many replicas a forward may be ahead of the update whose weights it needs; then it comes later.
            writer.forward(mine[forwards], mine[forwards] // span.microbatches, versions[forwards])
            forwards += 1
        elif due:
            # An update in which this replica has no microbatch waits for all others: what they wait for goes first.
            update()
        else:
            microbatch, version = mine[backwards], versions[backwards]
            writer.backward(microbatch, microbatch // span.microbatches, version)
            backwards += 1
            uses[version] -= 1
            if not uses[version]:
                writer.add("drop", version=version)
            while waiting and waiting[0][0] <= microbatch:
                writer.ops += waiting.popleft()[1]
    for _, received in waiting:
        writer.ops += received
    writer.add("commit", -1, span.steps - 1)
    return writer.ops


def _versions(span: _Span, stage: int, microbatches: Sequence[int]) -> list[int]:
    """Return the weights that microbatches see at a stage."""
    if span.schedule == "2bw":
        return [max(0, microbatch // span.microbatches - 1) for microbatch in microbatches]
    layout = span.layout
    seen = 0 if span.vertical_sync else stage
    replicas, own = len(layout.stages[seen]), len(layout.stages[stage])
    warmup = layout.warmup(seen)
    # A replica with fewer microbatches than its warm-up has no update in between, so the first ones are all it sees.
    ahead = [min(warmup, len(range(replica, span.total, replicas))) for replica in range(replicas)]
    # Versions of stages with other replica counts are updated at another pace: the microbatches they contain count.
    return [max(0, g // replicas - ahead[g % replicas]) * replicas // own for g in microbatches]


def _updates(span: _Span, stage: int) -> Sequence[int]:
    """Return for each update of a stage the last microbatch in it."""
    if span.schedule == "2bw":
        return range(span.microbatches - 1, span.total, span.microbatches)
    replicas = len(span.layout.stages[stage])
    return [min(first + replicas, span.total) - 1 for first in range(0, span.total, replicas)]


def _awaited(span: _Span, writer: _Writer) -> deque[tuple[int, tuple[Op, Op]]]:
    """Return how a holder keeps up its copy: the own microbatch after whose backward it is due, receive and update.

    The last stage is a whole pipe ahead of stage 0, whose copy it keeps.
    """
    if not span.redundancy:
        return deque()
    stage = (writer.stage + 1) % len(span.layout.stages)
    owner = span.layout.copies(stage).get(writer.rank)
    if owner is None:
        return deque()
    lag = span.layout.ranks if stage == 0 else 0
    return deque(
        (until + lag, (Op("recv_replica", stage, -1, step, owner), Op("step", stage, -1, step)))
        for step, until in enumerate(_updates(span, stage))
    )
