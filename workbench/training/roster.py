"""The ranks of a run as its driver knows them: what each is doing, what it has committed, and what it is to run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workbench.training.failover import failover
from workbench.training.resilience import hosts_of

if TYPE_CHECKING:
    from workbench.training.op import Op
    from workbench.training.resilience import Seating

__all__ = ["Known", "Roster"]


@dataclass
class Known:
    """What the driver knows of a rank."""

    state: str = "idle"  # or busy, lost
    #: what the last generation came to: joined, paused, stopped, peer, error
    ended: str = ""
    batches: int = 0
    begun: int = 0
    #: whether it was told to train, after joining
    trains: bool = False
    late: float = 0.0
    beats: int = -1
    #: looks in a row without a sign of life
    missed: int = 0
    #: when the last one was seen, by the monotonic clock
    beaten: float = 0.0


class Roster:
    """The ranks of a run.

    Parameters
    ----------
    seating : Seating
        Where the run begins; nobody is seated yet.
    """

    def __init__(self, seating: Seating) -> None:
        self.seating, self.generation = seating, -1
        self.ranks: list[Known] = []
        #: ranks whose loss has been dealt with, and those that have said that they will go
        self.replaced: frozenset[int] = frozenset()
        self.leaving: set[int] = set()
        self._made: dict[tuple[int, frozenset[int]], Mapping[int, list[Op]]] = {}

    def seat(self, seating: Seating) -> None:
        """Begin anew with the ranks of a seating."""
        self.seating, self.replaced, self.leaving = seating, frozenset(), set()
        self._made = {}
        self.ranks = [Known(batches=seating.batches) for _ in seating.addresses]

    def living(self) -> list[int]:
        """Return the ranks that are not lost."""
        return [rank for rank, known in enumerate(self.ranks) if known.state != "lost"]

    def lost(self) -> list[int]:
        """Return the ranks that are lost."""
        return [rank for rank, known in enumerate(self.ranks) if known.state == "lost"]

    def busy(self) -> bool:
        """Whether any rank is at work."""
        return any(known.state == "busy" for known in self.ranks)

    @property
    def committed(self) -> int:
        """Batches that all living ranks have committed."""
        return min((self.ranks[rank].batches for rank in self.living()), default=0)

    def programs(self, count: int) -> Mapping[int, list[Op]]:
        """Return the programs of the living ranks for a span of so many batches."""
        key = count, self.replaced
        if key not in self._made:
            programs = self.seating.programs(count)
            self._made[key] = failover(programs, self.seating.plan, self.replaced) if self.replaced else programs
        return self._made[key]

    def stages(self) -> dict[int, tuple[int, ...]]:
        """Return living rank -> the stages that it runs."""
        layout = self.seating.layout
        stages: dict[int, tuple[int, ...]] = {rank: (layout.place(rank)[0],) for rank in self.living()}
        for gone, host in hosts_of(layout, self.replaced).items():
            if host in stages:
                stages[host] = (*stages[host], layout.place(gone)[0])
        return stages

    def at_work(self, stage: int) -> int | None:
        """Return a living rank that runs a stage."""
        return next((rank for rank, stages in self.stages().items() if stage in stages), None)

    def groups(self) -> dict[int, list[int]]:
        """Return who takes part in the reduce of each stage."""
        members: dict[int, set[int]] = {}
        for rank, ops in self.programs(1).items():
            for op in ops:
                if op.kind == "reduce":
                    members.setdefault(op.stage, set()).add(rank)
        return {stage: sorted(found) for stage, found in members.items()}
