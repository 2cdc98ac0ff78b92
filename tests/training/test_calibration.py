"""What workers take together, and what the simulator makes of it."""

from __future__ import annotations

import statistics
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch

import workbench as wb
from tests.training.plans import plan_of
from workbench.training import Cluster, Node, Profile, calibration, partition
from workbench.training.calibration import Together, calibrated
from workbench.training.op import Op
from workbench.training.pace import Pace
from workbench.training.programs import program
from workbench.training.simulate.interpreter import Durations, interpret
from workbench.training.simulate.workload import PlanWork

TOGETHER = Together(
    ((1, 1.0), (2, 1.25)), ((1, 1.0), (2, 1.5)), 3e-9, 1e-3, 4e-4, 1e-10, 2e-8, 1e-8, drag=0.05, spread=1e-3
)  # fmt: skip


@pytest.fixture(autouse=True)
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.engine import store

    kept = store.Store(tmp_path / "store")
    monkeypatch.setattr(store, "store", lambda: kept)


def test_what_was_measured_is_kept_for_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def measured(client: Any, addresses: list[str], bandwidth: float) -> Together:
        asked.append(len(addresses))
        return TOGETHER

    monkeypatch.setattr(calibration, "_measured", measured)
    two = ["tcp://h1:1", "tcp://h2:1"]
    first, second = (calibrated(Pace(1.0), None, two, 1e9) for _ in range(2))
    # two machines exchange what a reduce has at 1e9 bytes/s, which took 2e-9 s of the 3e-9 s for a byte
    assert first == second and (first.update, first.message, first.post) == (1.0, 1e-3, 4e-4)
    assert first.collective == pytest.approx(1e-9) and first.compute == TOGETHER.compute
    assert (first.fill, first.outgoing, first.incoming, first.drag, first.spread) == (1e-10, 2e-8, 1e-8, 0.05, 1e-3)
    calibrated(Pace(), None, two, 2e9)
    calibrated(Pace(), None, [f"tcp://h:{port}" for port in range(20)], 1e9)
    assert calibrated(Pace(2.0), None, two[:1], 1e9) == Pace(2.0)
    assert asked == [2, 2, 7]  # another link, and no more than some of many


def test_what_cannot_be_measured_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "_measured", lambda *_: None)
    assert calibrated(Pace(1.0), None, ["tcp://h1:1", "tcp://h2:1"], 1e9) == Pace(1.0)


def test_a_session_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "PATIENCE", 600.0)
    client = wb.session(workers=2)
    client.wait_for_workers(2, timeout=300)
    addresses = sorted(client.scheduler_info(n_workers=-1)["workers"])[:2]
    for _ in range(5):  # workers that load torch for the first time may not find each other in time
        found = calibrated(Pace(), client, addresses, 1e9)
        if found.compute:
            break
    assert [number for number, _ in found.compute] == [number for number, _ in found.memory] == [1, 2]
    assert found.compute[0][1] == 1.0 and all(times >= 1.0 for _, times in (*found.compute, *found.memory))
    assert found.message >= found.post > 0 and found.collective >= 0
    assert 0 <= found.drag <= calibration.MOST_DRAG and found.spread > 0
    assert min(found.fill, found.outgoing, found.incoming) >= 0


def _work(*counts: int) -> dict[int, list[Op]]:
    return {rank: [Op("forward", 0)] * count for rank, count in enumerate(counts)}


def test_ranks_at_work_slow_each_other_down() -> None:
    durations = Durations({"forward": {0: 1.0}}, crowd={"forward": (1.0, 1.0, 1.5, 3.0)})
    # both until 1.5, then one of them alone
    found = interpret(_work(1, 2), durations)
    assert found.end[0] == pytest.approx([1.5]) and found.end[1] == pytest.approx([1.5, 2.5])
    # three take three times as long, and a fourth one no longer
    assert interpret(_work(1, 1, 1, 1), durations).seconds == pytest.approx(3.0)
    # as long as alone, where nobody was measured
    assert interpret(_work(1, 2), Durations({"forward": {0: 1.0}})).seconds == pytest.approx(2.0)


@pytest.mark.parametrize("schedule", ["gpipe", "1f1b", "pipedream", "2bw", "ddp"])
@pytest.mark.parametrize("replicas", [(1, 1, 1), (2, 1), (1, 3), (2, 2)])
def test_ranks_in_nobodys_way_take_as_long_as_alone(schedule: str, replicas: tuple[int, ...]) -> None:
    plan = plan_of(replicas, forward=[1.0, 1.37, 0.71][: len(replicas)], output=0.1, parameters=0.25)
    plan = replace(plan, cluster=plan.cluster.paced(Pace(update=0.5, kept=0.75)))
    work = PlanWork(plan, schedule, 4, None)
    programs, durations = program(plan, schedule, 4, steps=3), work.durations(1)
    alone = interpret(programs, durations)
    kinds = ("forward", "backward", "step")
    together = interpret(programs, replace(durations, crowd=dict.fromkeys(kinds, (1.0, 1.0))))
    slower = interpret(programs, replace(durations, crowd=dict.fromkeys(kinds, (1.0, 1.0, 1.5, 2.0))))
    for rank in programs:
        assert together.start[rank] == pytest.approx(alone.start[rank])
        assert together.end[rank] == pytest.approx(alone.end[rank])
    assert alone.seconds <= slower.seconds <= 2.0 * alone.seconds + 1e-9


def test_work_of_another_kind_is_slowed_down_by_its_own_measure() -> None:
    programs = {0: [Op("forward", 0)], 1: [Op("step", 0)]}
    durations = Durations({"forward": {0: 1.0}, "step": {0: 1.0}}, crowd={"step": (1.0, 1.0, 2.0)})
    found = interpret(programs, durations)
    # half of the update is done when the forward ends
    assert found.end[0] == pytest.approx([1.0]) and found.end[1] == pytest.approx([1.5])


def test_a_message_is_there_later_than_its_channel_is_free() -> None:
    programs = {
        0: [Op("send_act", 0, microbatch, peer=1) for microbatch in (0, 1)],
        1: [Op("recv_act", 1, microbatch, peer=0) for microbatch in (0, 1)],
    }
    found = interpret(programs, Durations(transfer={"send_act": {0: 1.0}}, lag={"send_act": {0: 0.5}}))
    assert found.end[1] == pytest.approx([1.5, 2.5])
    free = interpret(programs, Durations(lag={"send_act": {0: 0.5}}))
    assert free.end[1] == pytest.approx([0.5, 0.5])


def _stream(count: int) -> dict[int, list[Op]]:
    return {
        0: [Op("send_act", 0, microbatch, peer=1) for microbatch in range(count)],
        1: [Op("recv_act", 1, microbatch, peer=0) for microbatch in range(count)],
    }


def test_messages_of_one_direction_wait_for_one_another() -> None:
    # a channel that carries both directions in a second each has but half of that for one of them
    half = Durations(transfer={"send_act": {0: 1.0}, "send_grad": {1: 1.0}}, one_way=0.5)
    assert interpret(_stream(3), half).end[1] == pytest.approx([2.0, 4.0, 6.0])
    there = {
        0: [*_stream(2)[0], *(Op("recv_grad", 0, number, peer=1) for number in (7, 8))],
        1: [*(Op("send_grad", 1, number, peer=0) for number in (7, 8)), *_stream(2)[1]],
    }
    # each direction has its own half: both are through as soon as one alone would be
    assert interpret(there, half).seconds == pytest.approx(4.0)


def test_who_computes_while_a_message_is_under_way_loses_some_of_it() -> None:
    programs = {
        0: [Op("send_act", 0, 0, peer=1), Op("forward", 0), Op("forward", 0)],
        1: [Op("forward", 1), Op("recv_act", 1, 0, peer=0)],
    }
    durations = Durations(
        {"forward": {0: 3.0, 1: 8.0}}, {"send_act": {0: 2.0}}, {"send_act": {0: 10.0}}, one_way=0.5, toll=(0.1, 0.2)
    )
    # under way for 4 s, at a second of the sender's computing and two of the receiver's
    found = interpret(programs, durations)
    assert found.end[0][1:] == pytest.approx([4.0, 7.0]) and found.end[1][0] == pytest.approx(10.0)
    # what is shorter leaves the rest to the next: 2 s of work in 8/3 s, and the other second in 4/3 s
    short = interpret(programs, replace(durations, busy={"forward": {0: 2.0, 1: 8.0}}))
    assert short.end[0][1:] == pytest.approx([8 / 3, 5.0])
    # who waits meanwhile loses nothing
    waits = {0: [Op("send_act", 0, 0, peer=1)], 1: [Op("recv_act", 1, 0, peer=0), Op("forward", 1)]}
    assert interpret(waits, durations).seconds == pytest.approx(4.0 + 8.0)


def _reducing(ranks: int) -> dict[int, list[Op]]:
    return {rank: [*[Op("forward", 0)] * 4, Op("reduce", 0, -1, 0), Op("step", 0, -1, 0)] for rank in range(ranks)}


@pytest.mark.parametrize(("ranks", "expected"), [(1, 0.0), (2, 0.5642), (4, 1.0294), (8, 1.4236)])
def test_who_reduces_waits_for_the_slowest(ranks: int, expected: float) -> None:
    durations = Durations({"forward": {0: 1.0}, "step": {0: 0.0}}, spread=1e-3)
    drawn = [interpret(_reducing(ranks), durations, seed).seconds for seed in range(2000)]
    # the mean of the largest of so many normal numbers, times what four seconds of work deviate by
    deviation = (4 * 1e-3) ** 0.5
    assert statistics.fmean(drawn) == pytest.approx(4.0 + expected * deviation, abs=4 * deviation / 2000**0.5)
    assert drawn == [interpret(_reducing(ranks), durations, seed).seconds for seed in range(2000)]
    assert interpret(_reducing(ranks), replace(durations, spread=0.0)).seconds == 4.0


def test_predictions_count_the_wait_for_the_slowest(profile: Profile) -> None:
    """Against a Monte Carlo run of the two programs by hand: a reduce, and a pipe of two stages that wait for both."""
    spread = 2e-3
    made = Cluster([2], [1e12]).paced(Pace(spread=spread))
    plan, copies = partition(profile, made, straight=True), partition(profile, made, schedule="ddp")
    found = PlanWork(copies, "ddp", 2, None).unit((frozenset(),)).seconds
    flowing = PlanWork(plan, "pipedream", 1, None).unit((frozenset(),)).seconds
    numbers = Random(0)

    def takes(seconds: float) -> float:
        return seconds + numbers.gauss(0, (spread * seconds) ** 0.5)

    reduced = statistics.fmean(max(takes(0.04) + takes(0.08) for _ in range(2)) for _ in range(20_000))
    assert found == pytest.approx(reduced, rel=0.01) and reduced > 1.05 * 0.12
    # two stages of 60 ms, one microbatch ahead of the other: what the first one's forward and backward wait for
    free, ends, gradient, forward = [0.0, 0.0], list[float](), list[float](), list[float]()
    free[0] += takes(0.02)
    forward.append(free[0])
    for number in range(4000):
        free[0] += takes(0.02)
        forward.append(free[0])
        free[1] = max(free[1], forward[number]) + takes(0.02)
        free[1] += takes(0.04)
        gradient.append(free[1])
        free[0] = max(free[0], gradient[number]) + takes(0.04)
        ends.append(free[1])
    pace = (ends[-1] - ends[1000]) / (len(ends) - 1001)
    assert flowing == pytest.approx(pace, rel=0.04) and pace > 1.02 * 0.06


def test_how_much_runs_differ() -> None:
    # 100 ms that deviate by 10 ms: the variance of a second of these
    drag, spread = calibration._noise([[0.09, 0.1, 0.11] * 20, [0.2] * 3])
    assert drag == pytest.approx(0.0, abs=1e-9) and spread == pytest.approx(0.01**2 * 2 / 3 / 0.1 / 2)
    assert calibration._noise([[0.1] * 4] * 2) == (0.0, 0.0)
    drag, spread = calibration._noise([[0.1, 0.1, 0.1, 0.1, 0.12]] * 2)
    assert drag == pytest.approx(0.04) and spread == pytest.approx(0.008**2 / 0.1)
    # another's work that comes and goes is not taken for the machine's
    drag, spread = calibration._noise([[1.0] * 39 + [30.0]])
    assert drag == pytest.approx(0.5 / 40) and spread == pytest.approx(0.25 * 39 / 1600)
    assert calibration._noise([[1.0, 1.0, 9.0]])[0] == calibration.MOST_DRAG


@pytest.fixture
def profile() -> Profile:
    """Return four equal layers, of which the last holds nearly all parameters."""
    sizes = (1e3, 1e3, 1e3, 1e6)
    nodes = tuple(Node(f"n{i}", "Linear", 10.0, 20.0, (1.0,), size) for i, size in enumerate(sizes))
    return Profile(nodes, tuple((f"n{i}", f"n{i + 1}") for i in range(3)), 8)


def test_a_cut_counts_updates(profile: Profile) -> None:
    plain, paced = Cluster([2], [1e12]), Cluster([2], [1e12]).paced(Pace(update=1e-7, kept=1e-7))
    cut = [len(stage.nodes) for stage in partition(profile, plain, straight=True).stages]
    counted = partition(profile, paced, straight=True)
    assert cut == [2, 2] and [len(stage.nodes) for stage in counted.stages] == [3, 1]
    # seconds of computing alone, which the simulator adds its own updates to
    assert [stage.compute_seconds for stage in counted.stages] == pytest.approx([0.09, 0.03])
    assert counted.time == pytest.approx(0.13, rel=1e-3)
    # four microbatches share an update
    flushing = partition(profile, paced, straight=True, schedule="1f1b")
    assert [len(stage.nodes) for stage in flushing.stages] == [2, 2] and flushing.time == pytest.approx(0.085, rel=1e-3)
    # the reference's formulas know of none
    compat = partition(profile, paced, straight=True, compat=True)
    assert compat.time == partition(profile, plain, straight=True, compat=True).time


def test_what_a_step_takes_beside_computing(profile: Profile) -> None:
    together = Pace(1e-8, 2e-8, 4e-8, 8e-8, 16e-8, 0.5, 0.5, ((1, 1.0), (2, 1.0)), ((1, 1.0), (2, 1.0)))
    plan = partition(profile, Cluster([2], [1e12]).paced(together), straight=True)
    held = [stage.parameter_bytes for stage in plan.stages]
    flushing, flowing = (PlanWork(plan, name, count, None).durations(1) for name, count in (("1f1b", 4), ("2bw", 4)))
    assert flushing.busy["step"] == pytest.approx({0: 4e-8 * held[0], 1: 4e-8 * held[1]})  # all of it is kept
    assert flowing.busy["step"] == pytest.approx({0: 1e-8 * held[0], 1: 1e-8 * held[1]})
    alone = PlanWork(plan, "pipedream", 1, None).durations(1)
    more = flushing.busy["backward"][1] - alone.busy["backward"][1]
    assert more == pytest.approx(8e-8 * held[1] * 3 / 4)  # three of four gradients are added to the first
    parallel = PlanWork(plan, "ddp", 2, None).durations(1)
    assert parallel.reduce(0, 2) == pytest.approx(sum(held) * (2e-8 + 16e-8), rel=1e-3)
    assert flushing.lag["send_act"][0] == 0.5 and flushing.one_way == 0.5


@pytest.mark.parametrize(("schedule", "count"), [("1f1b", 4), ("pipedream", 1)])
def test_who_sends_does_nothing_else_meanwhile(profile: Profile, schedule: str, count: int) -> None:
    def made(pace: Pace) -> PlanWork:
        return PlanWork(partition(profile, Cluster([2], [1e12]).paced(pace), straight=True), schedule, count, None)

    took = 5e-3  # of the 60 ms that a stage computes
    plain, later, busy = made(Pace()), made(Pace(message=took)), made(Pace(message=took, post=took))
    found, before = busy.durations(1), plain.durations(1)
    assert found.busy["forward"][0] == pytest.approx(before.busy["forward"][0] + took)
    assert found.busy["backward"][1] == pytest.approx(before.busy["backward"][1] + took)
    assert found.busy["forward"][1] == pytest.approx(before.busy["forward"][1])  # nobody is after it
    assert later.durations(1).lag["send_act"][0] == pytest.approx(took) and not found.lag
    seconds = [work.unit((frozenset(),)).seconds for work in (plain, later, busy)]
    # each microbatch takes so much more of either stage, where a pipe that is full would hide a message on its way
    assert seconds[2] >= seconds[0] + 0.9 * count * took and seconds[2] >= seconds[1]


def test_a_net_leaves_nothing_behind() -> None:
    work = calibration._net()
    state = torch.random.get_rng_state()
    work()
    work()
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize(("ranks", "times"), [(1, 1.0), (2, 1.2), (3, 1.6), (4, 2.0), (6, 2.8)])
def test_numbers_between_those_measured_are_on_a_line(profile: Profile, ranks: int, times: float) -> None:
    pace = Pace(compute=((1, 1.0), (2, 1.2), (4, 2.0)))
    plan = partition(profile, Cluster([ranks], [1e12]).paced(pace), schedule="ddp")
    seconds = PlanWork(plan, "ddp", ranks, None).unit((frozenset(),)).seconds
    assert seconds == pytest.approx(0.12 * times, rel=1e-4)


def test_turns_double() -> None:
    assert [calibration._turns(count) for count in (1, 2, 3, 8)] == [[1], [1, 2], [1, 2, 3], [1, 2, 4, 8]]
