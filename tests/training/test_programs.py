from __future__ import annotations

import itertools
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.plans import plan_of
from workbench.training import ScheduleError, TrainingError, program
from workbench.training.layout import Layout
from workbench.training.op import KINDS, Op
from workbench.training.programs import SCHEDULES, default_microbatches
from workbench.training.simulate.interpreter import Durations, interpret
from workbench.training.verify import verify


def kinds(ops: list[Op], *wanted: str) -> list[tuple[str, int]]:
    return [(op.kind[0], op.microbatch) for op in ops if op.kind in wanted]


def unit(stages: int) -> Durations:
    return Durations({"forward": dict.fromkeys(range(stages), 1.0), "backward": dict.fromkeys(range(stages), 2.0)})


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("redundancy", [None, "eager", "lazy"])
def test_no_program_stalls_up_to_six_stages_replicas_and_microbatches(schedule: str, redundancy: str | None) -> None:
    for stages, replicas, microbatches in itertools.product(range(1, 7), repeat=3):
        if schedule == "2bw" and microbatches < stages:
            continue
        plan = plan_of([replicas] * stages)
        made = program(plan, schedule, microbatches, steps=2, redundancy=redundancy)
        verify(made)
        forwards = [op.microbatch for ops in made.values() for op in ops if op.kind == "forward"]
        runs = 1 if schedule == "ddp" else stages
        assert sorted(forwards) == sorted(list(range(2 * microbatches)) * runs)


@settings(max_examples=150, deadline=None)
@given(
    replicas=st.lists(st.integers(1, 6), min_size=1, max_size=6),
    microbatches=st.integers(1, 9),
    steps=st.integers(1, 4),
    schedule=st.sampled_from(SCHEDULES),
    redundancy=st.sampled_from([None, "eager", "lazy"]),
    vertical_sync=st.booleans(),
)
def test_no_program_stalls_with_uneven_replicas(
    replicas: list[int], microbatches: int, steps: int, schedule: str, redundancy: str | None, vertical_sync: bool
) -> None:
    plan = plan_of(replicas)
    if schedule == "2bw":
        microbatches = max(microbatches, len(replicas))
    made = program(
        plan,
        schedule,
        microbatches,
        steps=steps,
        redundancy=redundancy,
        vertical_sync=vertical_sync and schedule == "pipedream",
    )
    verify(made)
    layout = Layout.of(plan, schedule)
    assert sorted(made) == list(range(sum(replicas)))
    for stage, ranks in enumerate(layout.stages):
        updates = {rank: [op.step for op in made[rank] if op.kind == "step" and op.stage == stage] for rank in ranks}
        assert len({tuple(steps) for steps in updates.values()}) == 1
        assert updates[ranks[0]] == list(range(len(updates[ranks[0]])))
        for replica, rank in enumerate(ranks):
            mine = [op.microbatch for op in made[rank] if op.kind == "forward"]
            assert mine == list(range(replica, microbatches * steps, len(ranks)))
            kept: set[int] = set()
            most = 0
            for op in made[rank]:
                if op.kind == "stash":
                    kept.add(op.version)
                elif op.kind == "drop":
                    kept.discard(op.version)
                most = max(most, len(kept))
            if schedule == "pipedream" and not vertical_sync:
                assert most <= layout.warmup(stage) + 1
            elif schedule == "2bw":
                assert most <= 2
    for ops in made.values():
        # A version exists once so many updates are done, and not before.
        done: dict[int, int] = defaultdict(int)
        for op in ops:
            if op.kind == "step":
                done[op.stage] += 1
            elif op.kind == "forward":
                assert op.version <= done[op.stage]
                assert (schedule in ("pipedream", "2bw")) or op.version == done[op.stage]


def test_the_order_of_gpipe_and_1f1b() -> None:
    plan = plan_of([1, 1, 1])
    assert kinds(program(plan, "gpipe", 3)[0], "forward", "backward") == [(k, i) for k in "fb" for i in range(3)]
    made = program(plan, "1f1b", 4)
    order = {rank: "".join(f"{k}{i}" for k, i in kinds(ops, "forward", "backward")) for rank, ops in made.items()}
    assert order == {0: "f0f1f2b0f3b1b2b3", 1: "f0f1b0f2b1f3b2b3", 2: "f0b0f1b1f2b2f3b3"}
    assert [op.kind for op in made[1][-2:]] == ["step", "commit"]
    replicated = program(plan_of([2, 1]), "1f1b", 3)
    assert [op.kind for op in replicated[0][-3:]] == ["reduce", "step", "commit"]
    assert kinds(replicated[1], "forward") == [("f", 1)]


def test_each_operation_has_the_fields_of_its_kind() -> None:
    made = program(plan_of([2, 1, 1]), "pipedream", 1, steps=6, redundancy="lazy")
    for ops in made.values():
        for op in ops:
            assert op.kind in KINDS
            assert (op.version >= 0) == (op.kind in ("forward", "backward", "stash", "drop"))
            assert (op.peer >= 0) == (op.kind.startswith(("send", "recv")))
            assert (op.microbatch >= 0) == (op.kind in KINDS[:7])
    with pytest.raises(AttributeError):
        made[0][0].kind = "x"  # type: ignore[misc]


def test_pipedream_uses_the_weights_of_the_formula() -> None:
    stages = 4
    made = program(plan_of([1] * stages), "pipedream", 1, steps=16)
    for stage, ops in made.items():
        for op in ops:
            if op.kind in ("forward", "backward"):
                assert op.version == max(0, op.microbatch - (stages - 1 - stage))
    assert [
        next(op.version for op in made[s] if op.kind == "backward" and op.microbatch == 10) for s in range(stages)
    ] == [7, 8, 9, 10]


@pytest.mark.parametrize("replicas", [(1, 1, 1, 1), (3, 1), (1, 3), (2, 2, 1), (2, 3, 1)])
def test_vertical_sync_uses_weights_of_one_age(replicas: tuple[int, ...]) -> None:
    layout = Layout.of(plan_of(replicas))
    made = program(plan_of(replicas), "pipedream", 1, steps=20, vertical_sync=True)
    first = {}
    for rank in layout.stages[0]:
        first |= {op.microbatch: op.version * replicas[0] for op in made[rank] if op.kind == "forward"}
    for stage, ranks in enumerate(layout.stages):
        for rank in ranks:
            for op in made[rank]:
                if op.kind == "forward":
                    # The newest weights of the stage that hold nothing newer than those of stage 0.
                    assert op.version * replicas[stage] <= first[op.microbatch] < (op.version + 1) * replicas[stage]
    if set(replicas) == {1}:
        kept = dict.fromkeys(made, 0)
        for rank, ops in made.items():
            now = 0
            for op in ops:
                now += (op.kind == "stash") - (op.kind == "drop")
                kept[rank] = max(kept[rank], now)
        assert all(kept[s] <= layout.warmup(s) + 1 + s for s in kept)


def test_2bw_uses_the_weights_before_the_last() -> None:
    made = program(plan_of([1, 1, 1]), "2bw", 4, steps=5)
    for ops in made.values():
        for op in ops:
            if op.kind in ("forward", "backward"):
                assert op.version == max(0, op.microbatch // 4 - 1)
        assert [op.step for op in ops if op.kind == "step"] == list(range(5))


@pytest.mark.parametrize(("stages", "microbatches"), list(itertools.product(range(1, 7), range(1, 7))))
def test_the_bubble_is_that_of_the_theory(stages: int, microbatches: int) -> None:
    for schedule in ("gpipe", "1f1b"):
        ran = interpret(program(plan_of([1] * stages), schedule, microbatches), unit(stages))
        assert ran.bubble() == pytest.approx((stages - 1) / (microbatches + stages - 1), rel=1e-12, abs=1e-12)


def test_copies_are_kept_up_by_the_stage_before() -> None:
    made = program(plan_of([1, 1, 1]), "1f1b", 2, redundancy="eager")
    for rank, ops in made.items():
        copy = (rank + 1) % 3
        assert [(op.stage, op.peer) for op in ops if op.kind == "recv_replica"] == [(copy, copy)]
        assert [(op.stage, op.peer) for op in ops if op.kind == "send_replica"] == [(rank, (rank - 1) % 3)]
        assert [(op.stage, op.microbatch) for op in ops if op.kind == "frc"] == [(copy, 0), (copy, 1)]
        assert sorted(op.stage for op in ops if op.kind == "step") == sorted([rank, copy])
    lazy = program(plan_of([1, 1, 1]), "1f1b", 2, redundancy="lazy")
    assert not any(op.kind == "frc" for ops in lazy.values() for op in ops)
    grid = program(plan_of([2, 2]), "1f1b", 4, redundancy="eager")
    for rank, ops in grid.items():
        assert sorted({op.stage for op in ops if op.kind == "reduce"}) == [0, 1]
        copies = [op.microbatch for op in ops if op.kind == "frc"]
        assert copies == [rank % 2, rank % 2 + 2]


def test_copied_forwards_stand_before_the_next_received_gradient() -> None:
    ops = program(plan_of([1, 1, 1]), "1f1b", 3, redundancy="eager")[0]
    names = [op.kind for op in ops]
    assert names.index("frc") > max(i for i, op in enumerate(ops) if op.kind == "forward" and op.microbatch < 3)
    assert names.index("frc") < names.index("recv_grad")


def test_what_cannot_be_programmed() -> None:
    plan = plan_of([1, 1, 1, 1])
    with pytest.raises(TrainingError) as caught:
        program(plan, "gpip", 4)
    assert caught.value.lines() == [
        'Unknown schedule "gpip"; did you mean "gpipe"?',
        "Use auto, gpipe, 1f1b, pipedream, 2bw or ddp.",
    ]
    with pytest.raises(ScheduleError) as few:
        program(plan, "2bw", 2)
    assert few.value.lines() == ["2bw needs at least 4 microbatches for 4 stages; got 2.", "Use --micro 4."]
    for wrong in ({"microbatches": 0}, {"microbatches": 2.0}, {"microbatches": True}, {"microbatches": 1, "steps": 0}):
        with pytest.raises(ScheduleError):
            program(plan, "1f1b", **wrong)
    with pytest.raises(TrainingError):
        program(plan, "1f1b", 2, redundancy="egaer")
    with pytest.raises(ScheduleError):
        program(plan, "1f1b", 2, vertical_sync=True)


def test_default_microbatches() -> None:
    assert [default_microbatches(name, 4) for name in SCHEDULES] == [8, 8, 1, 8, 1]
    assert default_microbatches("1f1b", 4, 6) == 6


@pytest.mark.parametrize(
    "broken",
    [
        lambda ops: ops.pop(next(i for i, op in enumerate(ops) if op.kind == "send_act")),
        lambda ops: ops.insert(0, Op("recv_act", 1, 9, 0, 1)),
        lambda ops: ops.reverse(),
        lambda ops: ops.pop(next(i for i, op in enumerate(ops) if op.kind == "forward")),
        lambda ops: ops.pop(next(i for i, op in enumerate(ops) if op.kind == "stash")),
        lambda ops: ops.append(Op("nothing", 0)),
        lambda ops: ops.append(Op("drop", 0, version=99)),
    ],
)
def test_verify_finds_what_does_not_fit(broken: object) -> None:
    made = program(plan_of([1, 1]), "pipedream", 1, steps=4)
    verify(made)
    broken(made[0])  # type: ignore[operator]
    with pytest.raises(ScheduleError):
        verify(made)


def test_verify_finds_a_circle() -> None:
    made = {
        0: [Op("recv_grad", 0, 0, 0, 1), Op("send_act", 0, 0, 0, 1)],
        1: [Op("recv_act", 1, 0, 0, 0), Op("send_grad", 1, 0, 0, 0)],
    }
    with pytest.raises(ScheduleError, match="never end"):
        verify(made)


@pytest.mark.parametrize(("stages", "microbatches"), [(2, 2), (4, 2), (4, 4), (8, 4)])
def test_copied_forwards_mostly_fit_into_the_bubble(stages: int, microbatches: int) -> None:
    costs = unit(stages)
    costs = Durations({**costs.busy, "frc": costs.busy["forward"]})
    plan = plan_of([1] * stages)
    for schedule in ("1f1b", "gpipe"):
        alone = interpret(program(plan, schedule, microbatches), costs).seconds
        eager = interpret(program(plan, schedule, microbatches, redundancy="eager"), costs).seconds
        assert alone <= eager < 1.1 * alone
        assert interpret(program(plan, schedule, microbatches, redundancy="lazy"), costs).seconds == alone
