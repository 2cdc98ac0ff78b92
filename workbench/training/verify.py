"""Checks that programs of several ranks fit together."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from workbench.training.errors import ScheduleError
from workbench.training.op import KINDS, RECEIVES, SENDS, Op
from workbench.training.simulate.interpreter import Durations, Programs, interpret

__all__ = ["verify"]


def verify(programs: Programs) -> None:
    """Check that every send has its receive, channels keep their order, weights are there when used, and all end.

    A channel is a pair of ranks, a kind and a sending stage.

    Raises
    ------
    ScheduleError
        Names the first operation that does not fit.
    """
    _check_fields(programs)
    _check_channels(programs)
    _check_members(programs)
    for rank, ops in programs.items():
        _check_rank(rank, ops)
    interpret(programs, Durations())


def _check_fields(programs: Programs) -> None:
    for rank, ops in programs.items():
        for op in ops:
            known = op.kind in KINDS and op.stage >= 0
            if not known or (op.kind in SENDS or op.kind in RECEIVES) != (op.peer >= 0) or op.peer == rank:
                raise ScheduleError(f"rank {rank} has no such operation: {op}.")


def _check_channels(programs: Programs) -> None:
    sent: dict[tuple, list[tuple[int, int]]] = defaultdict(list)
    taken: dict[tuple, list[tuple[int, int]]] = defaultdict(list)
    for rank, ops in programs.items():
        for op in ops:
            if op.kind in SENDS:
                sent[rank, op.peer, *op.boundary()].append((op.microbatch, op.step))
            elif op.kind in RECEIVES:
                taken[op.peer, rank, *op.boundary()].append((op.microbatch, op.step))
    for channel in sent.keys() | taken.keys():
        source, target, kind, stage = channel
        if sent[channel] != taken[channel] or len(set(sent[channel])) != len(sent[channel]):
            raise ScheduleError(
                f"{kind} of stage {stage} from rank {source} to rank {target}: sent {sent[channel][:6]}, received "
                f"{taken[channel][:6]} (microbatch, step)."
            )


def _check_members(programs: Programs) -> None:
    joined = Counter((rank, op.stage, op.step) for rank, ops in programs.items() for op in ops if op.kind == "reduce")
    for (rank, stage, step), times in joined.items():
        if times > 1:
            raise ScheduleError(f"rank {rank} joins the reduce of stage {stage}, step {step}, {times} times.")


def _check_rank(rank: int, ops: Sequence[Op]) -> None:
    """Check that a backward follows its forward, and that kept weights are there while they are used."""
    ahead: dict[tuple[int, int], int] = {}
    kept: set[tuple[int, int]] = set()
    keeps = {op.stage for op in ops if op.kind == "stash"}
    for op in ops:
        name = (op.stage, op.microbatch)
        weights = (op.stage, op.version)
        if op.kind == "forward":
            ahead[name] = op.version
        elif op.kind == "backward" and ahead.pop(name, None) != op.version:
            raise ScheduleError(f"rank {rank} runs backward of microbatch {op.microbatch} without its forward.")
        elif op.kind == "stash":
            kept.add(weights)
        elif op.kind == "drop":
            if weights not in kept:
                raise ScheduleError(
                    f"rank {rank} drops version {op.version} of stage {op.stage}, which it does not keep."
                )
            kept.remove(weights)
        if op.kind in ("forward", "backward") and op.stage in keeps and weights not in kept:
            raise ScheduleError(f"rank {rank} uses version {op.version} of stage {op.stage}, which it does not keep.")
    if ahead or kept:
        raise ScheduleError(f"rank {rank} ends with forwards {sorted(ahead)} and weights {sorted(kept)} left over.")
