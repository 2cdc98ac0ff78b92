"""Which ranks run a stage, which keep its copy, and how far a stage runs ahead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench.training.plan import PipelinePlan

__all__ = ["Layout"]


@dataclass(frozen=True, slots=True)
class Layout:
    """The ranks of every stage, in the order of its replicas.

    Parameters
    ----------
    stages : tuple of tuple of int
        `stages[s][r]` is the rank of replica r of stage s.
    """

    stages: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, plan: PipelinePlan, schedule: str = "") -> Layout:
        """Return a plan's layout; under ddp every rank holds the whole model, as a replica of one stage."""
        stages = tuple(tuple(stage.ranks) for stage in plan.stages)
        return cls((tuple(rank for ranks in stages for rank in ranks),) if schedule == "ddp" else stages)

    @property
    def ranks(self) -> int:
        """How many ranks there are."""
        return sum(len(ranks) for ranks in self.stages)

    def warmup(self, stage: int) -> int:
        """Return how many forwards a replica of a stage runs ahead of its backwards."""
        before = sum(len(ranks) for ranks in self.stages[:stage])
        return (self.ranks - 1 - before) // len(self.stages[stage])

    def rank(self, stage: int, microbatch: int) -> int:
        """Return the rank that runs a microbatch at a stage."""
        ranks = self.stages[stage]
        return ranks[microbatch % len(ranks)]

    def place(self, rank: int) -> tuple[int, int]:
        """Return the stage and the replica of a rank."""
        for stage, ranks in enumerate(self.stages):
            if rank in ranks:
                return stage, ranks.index(rank)
        raise KeyError(rank)

    def holder(self, stage: int, replica: int) -> int:
        """Return the rank that keeps the copy of a replica's stage: the matching replica of the stage before.

        The last stage stands before stage 0. Replicas of a single stage hold the same weights, so the replica before
        is as good as a copy.
        """
        if len(self.stages) == 1:
            return self.stages[0][replica - 1]
        before = self.stages[stage - 1]
        return before[replica % len(before)]

    def copies(self, stage: int) -> dict[int, int]:
        """Return holder -> the replica's rank whose copy it keeps; empty where replicas of one stage are all there is.

        Several replicas may have one holder; as they hold the same weights, the first one keeps it up to date.
        """
        if len(self.stages) == 1:
            return {}
        kept: dict[int, int] = {}
        for replica, rank in enumerate(self.stages[stage]):
            kept.setdefault(self.holder(stage, replica), rank)
        return kept
