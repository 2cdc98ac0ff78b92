"""What is done when workers are lost: decided here by pure functions, carried out by the driver.

The driver collects who is gone and where the survivors stand (`Loss`), asks `decide`, and does what the `Recovery`
says: "failover" (holders take over and the step in flight is replayed), "restore" (`restore(loss)` gives the
`Seating` to go on with, from the last complete checkpoint), or "fail" (the error is raised).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from workbench.training import errors
from workbench.training.errors import TrainingError
from workbench.training.failover import failover
from workbench.training.layout import Layout

if TYPE_CHECKING:
    from workbench.training.op import Op
    from workbench.training.plan import PipelinePlan

__all__ = ["Loss", "Programs", "Recovery", "Restore", "Seating", "decide", "hosts_of", "slower"]

#: batches in a span -> the program of each rank
Programs = Callable[[int], Mapping[int, "list[Op]"]]


@dataclass(frozen=True)
class Loss:
    """Workers that are gone, and where the survivors stand.

    Parameters
    ----------
    lost : frozenset of int
        Ranks without a worker, those of earlier losses too.
    fresh : frozenset of int
        Those of them that are new.
    commits : mapping of int to int
        Survivor -> batches in its newest commit.
    begun : int
        Batches that any survivor has begun.
    notice : bool
        Whether the workers are still there, and stand at a commit: they have said that they will go.
    """

    lost: frozenset[int]
    fresh: frozenset[int]
    commits: Mapping[int, int]
    begun: int = 0
    notice: bool = False

    @property
    def start(self) -> int:
        """Batches that all survivors have committed."""
        return min(self.commits.values(), default=0)


@dataclass(frozen=True)
class Recovery:
    """What is done about a loss.

    Parameters
    ----------
    kind : {"failover", "restore", "fail"}
    start : int
        Batches that survivors go back to, where they fail over.
    hosts : dict of int to int
        Rank that is gone -> rank that does its work.
    error : TrainingError or None
        What is raised, where nothing helps.
    """

    kind: str
    start: int
    hosts: dict[int, int] = field(default_factory=dict)
    error: TrainingError | None = None


@dataclass(frozen=True)
class Seating:
    """The ranks of a run on workers, and the commit that they begin from.

    Parameters
    ----------
    plan : PipelinePlan
    layout : Layout
    programs : callable
        Batches in a span -> the program of each rank.
    addresses : sequence of str
        Of the workers, by rank.
    setups : sequence of bytes
        A pickled `worker.Setup` for each rank, with the weights, buffers and optimizer state of that commit, or with
        where these are to be had.
    flush : int
        Batches in a span.
    batches : int
        The commit.
    """

    plan: PipelinePlan
    layout: Layout
    programs: Programs
    addresses: Sequence[str]
    setups: Sequence[bytes]
    flush: int = 1
    batches: int = 0


#: gives the seating to go on with from the last complete checkpoint; None if there is no such checkpoint. It is called
#: in the thread of the run, and waits for workers if there are too few; the driver notes the incident
Restore = Callable[[Loss], "Seating | None"]


def decide(resilience: str, programs: Mapping[int, Sequence[Op]], plan: PipelinePlan, loss: Loss) -> Recovery:
    """Return what is done about a loss.

    Parameters
    ----------
    resilience : {"none", "checkpoint", "redundant"}
    programs : mapping of int to sequence of Op
        Of all ranks, before any loss.
    plan : PipelinePlan
    loss : Loss
    """
    layout = Layout.of(plan, "" if any(op.stage for ops in programs.values() for op in ops) else "ddp")
    worker = min(loss.fresh, default=min(loss.lost, default=0))
    gone = errors.worker_lost(worker, layout.place(worker)[0], loss.start)
    if resilience == "none":
        return Recovery("fail", loss.start, error=gone)
    if resilience == "checkpoint":
        return Recovery("restore", loss.start, error=gone)
    try:
        failover(programs, plan, loss.lost)
    except errors.ReplicaLost as error:
        return Recovery("restore", loss.start, error=error)
    return Recovery("failover", loss.start, hosts_of(layout, loss.lost))


def hosts_of(layout: Layout, lost: Collection[int]) -> dict[int, int]:
    """Return rank that is gone -> rank that does its work."""
    return {rank: layout.holder(*layout.place(rank)) for rank in sorted(lost)}


def slower(plan: PipelinePlan, stages: Mapping[int, Sequence[int]]) -> float:
    """Return how many times longer a step takes when ranks run these stages.

    Parameters
    ----------
    plan : PipelinePlan
    stages : mapping of int to sequence of int
        Rank -> stages that it runs.
    """
    times = [stage.time for stage in plan.stages]
    most = max((sum(times[stage] for stage in run) for run in stages.values()), default=0.0)
    return most / max(times) if max(times) > 0 else 1.0
