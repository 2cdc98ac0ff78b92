"""What all workers of a run have in common, and what each of them tells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from workbench.training.data import Batches

__all__ = ["Job", "Report"]


@dataclass(frozen=True)
class Job:
    """What all workers of a run have in common.

    Parameters
    ----------
    loss : callable
        (output, target) -> mean over the samples.
    batches : Batches
    seed : int
    recompute : bool
        Forward again before the backward, instead of keeping what it needs.
    rounds : bool
        Whether each replica's microbatch is a batch of its own, so that a round of them is averaged (pipedream).
    redundant : bool
        Whether copies are kept up, so that losses and buffers must be known to two ranks at every commit.
    """

    loss: Callable[[Any, Any], torch.Tensor]
    batches: Batches
    seed: int
    recompute: bool = False
    rounds: bool = False
    redundant: bool = False


@dataclass
class Report:
    """What a worker has to tell at a commit; rows are those of the tables of a run.

    Parameters
    ----------
    batches : int
        Committed batches.
    losses : list of (batch, microbatch, loss, Unix time)
    timeline : list of (stage, kind, batch, microbatch, start, end, bytes)
    versions : list of (stage, replica, microbatch, forward version, backward version)
    sent : int
        Bytes sent since the start of the generation.
    """

    batches: int
    losses: list[tuple[int, int, float, float]] = field(default_factory=list)
    timeline: list[tuple[int, str, int, int, float, float, int]] = field(default_factory=list)
    versions: list[tuple[int, int, int, int, int]] = field(default_factory=list)
    sent: int = 0
