from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.plans import plan_of
from workbench.training import ReplicaLost, TrainingError, failover, program
from workbench.training.failover import adopted
from workbench.training.layout import Layout
from workbench.training.op import Op
from workbench.training.programs import SCHEDULES
from workbench.training.verify import verify

WORK = ("forward", "backward")


def work(programs: dict[int, list[Op]]) -> Counter[Op]:
    """What the model sees: every forward and backward with its weights."""
    return Counter(op for ops in programs.values() for op in ops if op.kind in WORK)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(
    replicas=st.lists(st.integers(1, 4), min_size=1, max_size=5),
    microbatches=st.integers(1, 7),
    steps=st.integers(1, 3),
    schedule=st.sampled_from(SCHEDULES),
    redundancy=st.sampled_from(["eager", "lazy"]),
    data=st.data(),
)
def test_survivors_do_the_same_work(
    replicas: list[int], microbatches: int, steps: int, schedule: str, redundancy: str, data: st.DataObject
) -> None:
    plan = plan_of(replicas)
    ranks = sum(replicas)
    layout = Layout.of(plan, schedule)
    before = program(plan, schedule, max(microbatches, len(replicas)), steps=steps, redundancy=redundancy)
    now, gone = before, set[int]()
    for _ in range(data.draw(st.integers(1, 3))):
        lost = data.draw(st.sets(st.sampled_from(sorted(now)), max_size=2))
        holders = {rank: layout.holder(*layout.place(rank)) for rank in gone | lost}
        # Fatal: a rank and its holder gone, or two ranks with one holder.
        fatal = any(holder in holders for holder in holders.values()) or len(set(holders.values())) < len(holders)
        if lost and fatal:
            with pytest.raises(ReplicaLost, match="no copy of stage"):
                failover(now, plan, lost)
            return
        now, gone = failover(now, plan, lost), gone | lost
        verify(now)
        assert set(now) == set(range(ranks)) - gone
        assert adopted(now, plan) == holders
        assert work(now) == work(before)
        for rank, ops in now.items():
            assert not any(op.peer in gone for op in ops)
            own = [op for ops in (before[rank], *(before[v] for v in gone if holders[v] == rank)) for op in ops]
            stages = {op.stage for op in own if op.kind == "commit"}
            updates = Counter(op for op in ops if op.kind == "step")
            assert set(updates.values()) == {1}
            assert {op for op in own if op.kind == "step" and op.stage in stages} <= set(updates)
            commits = [op.step for op in ops if op.kind == "commit"]
            assert commits == sorted(set(commits)) and ops[-1].kind == "commit"
            if schedule in ("gpipe", "1f1b", "ddp"):
                # An update comes after all backwards of its step, and before the first forward of the next.
                for stage in stages:
                    mine = [op for op in ops if op.stage == stage and op.kind in (*WORK, "step")]
                    assert [op.step for op in mine] == sorted(op.step for op in mine)
            done: Counter[int] = Counter()
            for op in ops:
                done[op.stage] += op.kind == "step"
                assert op.kind not in WORK or op.version <= done[op.stage]


def test_the_holder_runs_both_stages() -> None:
    plan = plan_of([1, 1, 1])
    before = program(plan, "1f1b", 2, redundancy="eager")
    after = failover(before, plan, {1})
    assert [f"{op.kind[0]}{op.stage}{op.microbatch}" for op in after[0] if op.kind in ("forward", "backward")] == [
        "f00", "f01", "f10", "f11", "b10", "b00", "b11", "b01",
    ]  # fmt: skip
    kinds = Counter(op.kind for op in after[0])
    assert kinds["forward"] == kinds["backward"] == 4
    assert kinds["recv_act"] == kinds["send_grad"] == kinds["frc"] == kinds["recv_replica"] == 0
    assert kinds["step"] == 2 and kinds["commit"] == 1
    # Stage 2 has no copy any more; stage 0's is still kept by the last stage.
    assert not any(op.kind == "send_replica" for op in after[2])
    assert [(op.stage, op.peer) for op in after[2] if op.kind == "recv_replica"] == [(0, 0)]
    assert {op.peer for op in after[2] if op.kind in ("recv_act", "send_grad")} == {0}


def test_the_last_stage_takes_over_the_first() -> None:
    plan = plan_of([1, 1, 1])
    after = failover(program(plan, "1f1b", 3, steps=2, redundancy="lazy"), plan, {0})
    verify(after)
    assert [op.step for op in after[2] if op.kind == "commit"] == [0, 1]
    assert [op.step for op in after[2] if op.kind == "step" and op.stage == 0] == [0, 1]
    assert adopted(after, plan) == {0: 2}


def test_both_copies_lost() -> None:
    plan = plan_of([1, 1, 1, 1])
    before = program(plan, "1f1b", 4, redundancy="lazy")
    with pytest.raises(ReplicaLost) as caught:
        failover(before, plan, {2, 3})
    assert caught.value.lines()[0] == "workers 2 and 3 (neighbours) lost: no copy of stage 3."
    once = failover(before, plan, {2})
    for second, stage in ((1, 2), (3, 3)):
        with pytest.raises(ReplicaLost, match=f"no copy of stage {stage}"):
            failover(once, plan, {second})
    twice = failover(once, plan, {0})
    assert adopted(twice, plan) == {0: 3, 2: 1}
    with pytest.raises(ReplicaLost):
        failover(program(plan_of([1]), "1f1b", 1), plan_of([1]), {0})


def test_nothing_lost_and_unknown_ranks() -> None:
    plan = plan_of([1, 1])
    before = program(plan, "1f1b", 2)
    assert failover(before, plan, set()) == before
    with pytest.raises(TrainingError, match="rank 7 has no program"):
        failover(before, plan, {7})


def test_data_parallel_ranks_take_over_one_another() -> None:
    plan = plan_of([2, 1])
    after = failover(program(plan, "ddp", 6, steps=2), plan, {1})
    verify(after)
    assert [op.microbatch for op in after[0] if op.kind == "forward"] == [0, 1, 3, 4, 6, 7, 9, 10]
    assert [op.kind for op in after[0] if op.kind in ("reduce", "step", "commit")] == ["reduce", "step", "commit"] * 2
