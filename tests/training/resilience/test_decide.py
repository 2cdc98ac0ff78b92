from __future__ import annotations

import pytest

from tests.training.plans import plan_of
from workbench.training import errors, program
from workbench.training.resilience import Loss, decide


def loss(*lost: int, ranks: int = 4, start: int = 7) -> Loss:
    survivors = [rank for rank in range(ranks) if rank not in lost]
    return Loss(frozenset(lost), frozenset(lost), {rank: start + (rank == survivors[0]) for rank in survivors})


def test_the_holder_takes_over_where_the_slowest_survivor_stands() -> None:
    plan = plan_of([1, 1, 1, 1])
    programs = program(plan, "1f1b", 4, redundancy="lazy")
    found = decide("redundant", programs, plan, loss(2))
    assert (found.kind, found.start, found.hosts) == ("failover", 7, {2: 1})
    found = decide("redundant", programs, plan, loss(0, 2))
    assert (found.kind, found.hosts) == ("failover", {0: 3, 2: 1})


@pytest.mark.parametrize(("lost", "stage"), [((2, 3), 3), ((0, 3), 0), ((0, 1, 2), 1)])
def test_neighbours_have_no_copy_left(lost: tuple[int, ...], stage: int) -> None:
    plan = plan_of([1, 1, 1, 1])
    found = decide("redundant", program(plan, "1f1b", 4, redundancy="lazy"), plan, loss(*lost))
    assert found.kind == "restore" and isinstance(found.error, errors.ReplicaLost)
    assert f"no copy of stage {stage}." in found.error.message


def test_runs_without_copies_restore_or_fail() -> None:
    plan = plan_of([1, 1])
    programs = program(plan, "1f1b", 2)
    assert decide("checkpoint", programs, plan, loss(1, ranks=2)).kind == "restore"
    found = decide("none", programs, plan, loss(1, ranks=2))
    assert found.kind == "fail" and isinstance(found.error, errors.WorkerLost)
    assert found.error.message == "worker 1 (stage 1) lost at step 8; this run keeps no copies."


def test_data_parallel_replicas_stand_in_for_one_another() -> None:
    plan = plan_of([2, 1])
    found = decide("redundant", program(plan, "ddp", 6), plan, loss(1, ranks=3))
    assert (found.kind, found.hosts) == ("failover", {1: 0})
