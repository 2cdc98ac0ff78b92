"""What survivors run after a loss: the holder of a copy runs both stages, all others talk to it instead.

A pure function of programs, so that the runtime and the simulator do the same.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from workbench.training.errors import TrainingError, replica_lost
from workbench.training.layout import Layout
from workbench.training.op import Op

if TYPE_CHECKING:
    from workbench.training.plan import PipelinePlan

__all__ = ["adopted", "failover", "should_reconfigure"]


def failover(programs: Mapping[int, Sequence[Op]], plan: PipelinePlan, lost: Collection[int]) -> dict[int, list[Op]]:
    """Return the programs of the survivors, in which each lost rank's holder does its work too.

    The merged program has the operations of both in an order in which they could run; sends and receives between the
    two are gone, and so is the upkeep of copies that no longer exist. Every stage still has one `step` for each
    update, and every rank one `commit`.

    Parameters
    ----------
    programs : mapping of int to sequence of Op
        Of all ranks, or of the survivors of earlier losses.
    plan : PipelinePlan
        The plan that the programs were made from.
    lost : collection of int

    Raises
    ------
    ReplicaLost
        If a lost rank's holder is lost too or runs two stages already, or if the lost rank ran two stages.
    TrainingError
        For a rank without a program.
    """
    for rank in sorted(lost):
        if rank not in programs:
            raise TrainingError(f"rank {rank} has no program.", f"Ranks are {sorted(programs)}.")
    if not lost:
        return {rank: list(ops) for rank, ops in programs.items()}
    layout = _layout(programs, plan)
    hosts = _hosts(programs, layout, lost)
    order = _order(programs)
    guests = {host: rank for rank, host in hosts.items()}
    return {
        rank: _merge(rank, guests.get(rank), programs, layout, hosts, order) for rank in programs if rank not in hosts
    }


def adopted(programs: Mapping[int, Sequence[Op]], plan: PipelinePlan) -> dict[int, int]:
    """Return rank that is gone -> rank that does its work."""
    return _gone(programs, _layout(programs, plan))


def should_reconfigure(overloaded: int, waiting: int, pipelines: int, stages: int) -> bool:
    """Whether pipelines should be formed anew after a step.

    Parameters
    ----------
    overloaded : int
        Ranks that run two stages.
    waiting : int
        Machines that are ready and have no work.
    pipelines, stages : int
        As they were formed.
    """
    active = pipelines * stages - overloaded
    if overloaded > 0 and (waiting >= overloaded or 2 * overloaded / active > 0.05):
        return True
    return (active + waiting) // stages > pipelines


def _layout(programs: Mapping[int, Sequence[Op]], plan: PipelinePlan) -> Layout:
    # Under ddp all ranks are replicas of one stage, whatever the plan cuts.
    whole = not any(op.stage for ops in programs.values() for op in ops)
    return Layout.of(plan, "ddp" if whole else "")


def _hosts(programs: Mapping[int, Sequence[Op]], layout: Layout, lost: Collection[int]) -> dict[int, int]:
    """Return lost rank -> its holder, which can take its work over."""
    hosts: dict[int, int] = {}
    taken = {host: gone for gone, host in _gone(programs, layout).items()}
    for rank in sorted(lost):
        stage, replica = layout.place(rank)
        holder = layout.holder(stage, replica)
        if rank in taken:
            gone = taken[rank]
            raise replica_lost(sorted((gone, rank)), layout.place(gone)[0])
        if holder in lost or holder not in programs:
            raise replica_lost(sorted({rank, holder}), stage)
        if holder in taken:
            raise replica_lost(sorted((taken[holder], rank)), stage)
        hosts[rank] = holder
        taken[holder] = rank
    return hosts


def _gone(programs: Mapping[int, Sequence[Op]], layout: Layout) -> dict[int, int]:
    return {
        rank: layout.holder(stage, replica)
        for stage, ranks in enumerate(layout.stages)
        for replica, rank in enumerate(ranks)
        if rank not in programs
    }


def _order(programs: Mapping[int, Sequence[Op]]) -> dict[int, list[int]]:
    """Return the place of each operation in one order in which all could run, at the pace of an even pipeline."""
    from workbench.training.simulate.interpreter import Durations, interpret

    stages = {op.stage for ops in programs.values() for op in ops}
    even = Durations({"forward": dict.fromkeys(stages, 1.0), "backward": dict.fromkeys(stages, 2.0)})
    return interpret(programs, even).order


def _merge(
    rank: int,
    guest: int | None,
    programs: Mapping[int, Sequence[Op]],
    layout: Layout,
    hosts: Mapping[int, int],
    order: Mapping[int, Sequence[int]],
) -> list[Op]:
    adopts = {host: layout.place(gone)[0] for gone, host in hosts.items()}
    placed = list(zip(order[rank], programs[rank], strict=True))
    if guest is not None:
        stage, own = adopts[rank], layout.place(rank)[0]
        # What kept the copy up is replaced by the work itself; of the lost rank's, the upkeep of its copy is gone.
        placed = [(at, op) for at, op in placed if op.stage != stage or stage == own]
        # Both commits are the host's, which comes after the later one.
        placed += [
            (at, Op("commit", own, op.microbatch, op.step) if op.kind == "commit" else op)
            for at, op in zip(order[guest], programs[guest], strict=True)
            if op.stage == stage
        ]
        placed.sort(key=lambda item: item[0])
    merged: list[Op] = []
    for _, op in placed:
        peer = hosts.get(op.peer, op.peer)
        upkeep = op.kind == "send_replica" and (op.peer in hosts or adopts.get(op.peer) == op.stage)
        if peer != rank and not upkeep:
            merged.append(op if peer == op.peer else Op(op.kind, op.stage, op.microbatch, op.step, peer, op.version))
    return merged if guest is None else _once(merged)


def _once(ops: list[Op]) -> list[Op]:
    """Keep one of each update: two replicas of a stage that became one have them twice.

    A reduce stands where all its members are there, so the first step after it is not too early; weights are kept
    from the first use to the last.
    """
    return _first(_first(ops, ("reduce", "step", "stash"))[::-1], ("drop", "commit"))[::-1]


def _first(ops: list[Op], kinds: tuple[str, ...]) -> list[Op]:
    seen: set[Op] = set()
    kept: list[Op] = []
    for op in ops:
        if op.kind not in kinds or op not in seen:
            kept.append(op)
        if op.kind in kinds:
            seen.add(op)
    return kept
