from __future__ import annotations

import dataclasses
import math
import random
import warnings
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.plans import plan_of
from workbench.engine.errors import WorkbenchError
from workbench.training import (
    Cluster,
    ModelSpec,
    PipelinePlan,
    RandomTrace,
    SimCosts,
    SimulationError,
    Trace,
    TrainingError,
    partition,
    read_profile,
    simulate,
)
from workbench.training.pace import Pace
from workbench.training.simulate.workload import PlanWork

DATA = Path(__file__).parents[4] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.exists(), reason="needs ../shared/data")
NONE = frozenset[int]()


def trace_of(*rows: tuple[float, str, str], duration: float | None = None) -> Trace:
    frame = pd.DataFrame(rows, columns=["time", "action", "node"])
    frame = frame.astype({"time": "float64", "action": "str", "node": "str"})
    return Trace(frame, "by hand", duration if duration is not None else float(frame["time"].max()))


def machines(count: int) -> list[tuple[float, str, str]]:
    return [(0.0, "add", f"node{i}") for i in range(count)]


def period(plan: PipelinePlan) -> float:
    return PlanWork(plan, "pipedream", 1, None).unit((NONE,)).seconds


# -- steady state and the planner ------------------------------------------------------------------------------------


@needs_data
@pytest.mark.parametrize("model", ["alexnet", "vgg16", "resnet18", "resnet50", "squeezenet1_0", "gnmt"])
@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("straight", [False, True])
def test_a_plan_takes_the_time_it_says_where_links_are_fast(model: str, count: int, straight: bool) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        profile = read_profile(DATA / "pipedream" / f"{model}.graph.txt")
        plan = partition(profile, Cluster([count], [1e12]), straight=straight)
    assert period(plan) == pytest.approx(plan.time, rel=0.01)
    ran = simulate(plan, schedule="pipedream", policy="none")
    assert ran.throughput * plan.time == pytest.approx(profile.batch_size or 1, rel=0.01)


@needs_data
def test_a_plan_takes_the_time_it_says_where_its_link_is_the_limit() -> None:
    profile = read_profile(DATA / "pipedream" / "alexnet.graph.txt")
    for count in (3, 4, 8):
        plan = partition(profile, Cluster([count], [1e9]))
        assert plan.stages[-1].compute_seconds < plan.time  # the link is
        assert period(plan) == pytest.approx(plan.time, rel=0.01)


@settings(max_examples=20, deadline=None)
@given(
    stages=st.integers(1, 5),
    seed=st.integers(0, 10**6),
    slow=st.floats(0.01, 3.0),
    replicate=st.booleans(),
)
def test_no_pipeline_is_faster_than_its_plan(stages: int, seed: int, slow: float, replicate: bool) -> None:
    draw = random.Random(seed)
    plan = plan_of(
        [draw.randrange(1, 4) if replicate else 1 for _ in range(stages)],
        forward=[draw.uniform(0.1, 1) for _ in range(stages)],
        backward=[draw.uniform(0.1, 2) for _ in range(stages)],
        output=[draw.uniform(0, slow) for _ in range(stages)],
        parameters=[draw.uniform(0, 1) for _ in range(stages)],
    )
    assert period(plan) >= plan.time * 0.99


def test_even_stages_and_free_links() -> None:
    ran = simulate(plan_of([1, 1, 1, 1], batch_size=5), schedule="1f1b", microbatches=8, policy="none", price=1)
    step = (8 + 3) * 3.0
    assert ran.steps == 1000 and ran.samples == 1000 * 40 and ran.seconds == pytest.approx(1000 * step)
    assert ran.throughput == pytest.approx(40 / step)
    assert (ran.cost, ran.instances) == (4.0, 4.0) and ran.value == pytest.approx(10 / step)
    work = PlanWork(plan_of([1, 1, 1, 1]), "1f1b", 8, None)
    assert work.bubble() == pytest.approx(3 / 11)
    assert PlanWork(plan_of([1, 1, 1, 1]), "pipedream", 1, None).bubble() == pytest.approx(0.0, abs=1e-9)


def test_an_update_lengthens_a_step_by_the_pace_of_its_machine() -> None:
    def seconds(plan: PipelinePlan, schedule: str, microbatches: int, pace: Pace) -> float:
        paced = dataclasses.replace(plan, cluster=plan.cluster.paced(pace))
        assert paced == plan and paced.time == plan.time  # it was planned without
        return PlanWork(paced, schedule, microbatches, None).unit((NONE,)).seconds

    pace = Pace(update=0.125, reduce=0.25, kept=0.125)
    # One microbatch: forward 1 and 1, backward 2 and 2; then stage 0 updates 4 bytes. Stage 1 has done so before.
    plan = plan_of([1, 1], parameters=[4.0, 8.0])
    assert seconds(plan, "1f1b", 1, Pace()) == pytest.approx(6.0)
    assert seconds(plan, "1f1b", 1, pace) == pytest.approx(6.0 + 4 * 0.125)
    # Each microbatch is an update: the stage with more to update sets the pace.
    assert seconds(plan, "pipedream", 1, pace) == pytest.approx(3.0 + 8 * 0.125)
    # Both hold all 12 bytes: 6 to compute, 4 * 12 / 2 / 100 on the link, then copies and the update.
    fast = plan_of([1, 1], parameters=[4.0, 8.0], bandwidth=100.0)
    assert seconds(fast, "ddp", 2, Pace()) == pytest.approx(6.0 + 0.24)
    assert seconds(fast, "ddp", 2, pace) == pytest.approx(6.0 + 0.24 + 12 * 0.25 + 12 * 0.125)
    # A stage of two replicas reduces its own alone.
    replicas = plan_of([2], parameters=4.0, bandwidth=100.0)
    assert seconds(replicas, "1f1b", 2, pace) == pytest.approx(3.0 + 0.08 + 4 * 0.25 + 4 * 0.125)


def test_messages_take_the_link_one_after_the_other() -> None:
    # One microbatch through two stages: forward 1, transfer 0.5, 1 and 2, transfer 0.5, backward 2.
    plan = plan_of([1, 1], output=0.5)
    assert PlanWork(plan, "1f1b", 1, None).unit((NONE,)).seconds == pytest.approx(1 + 0.5 + 3 + 0.5 + 2)
    # Two machines that both send to a third share its channel.
    both = plan_of([2, 1], output=1.0, forward=[1.0, 0.0], backward=[0.0, 0.0])
    assert PlanWork(both, "gpipe", 2, None).unit((NONE,)).seconds == pytest.approx(1 + 2 + 2)


def test_pipelines_reduce_their_gradients_together() -> None:
    plan = plan_of([1, 1], parameters=[3.0, 1.0])
    alone = simulate(plan, microbatches=2, policy="none").throughput
    four = simulate(plan, microbatches=2, policy="none", nodes=9)
    step = (2 + 1) * 3.0 + 4 * 3 * 3.0 / 4
    assert four.throughput == pytest.approx(4 * 8 / step) and alone == pytest.approx(8 / 9)
    assert four.instances == 9 and four.cost == pytest.approx(9 * 0.91)
    assert four.on_demand["instances"] == 8 and four.on_demand["throughput"] == pytest.approx(four.throughput)
    wide = plan_of([2, 2], parameters=1.0)
    for redundancy in ("eager", "lazy"):
        simulate(wide, microbatches=4, nodes=13, redundancy=redundancy)


def test_two_levels_of_links() -> None:
    # Within a server links are free; between the two servers a message takes its time.
    plan = plan_of([2, 2], output=1.0)
    object.__setattr__(plan, "cluster", Cluster([2, 2], [1e12, 1.0]))
    for stage in plan.stages:
        object.__setattr__(stage, "machines", (2, 1))
    work = PlanWork(plan, "gpipe", 2, None)
    # Both replicas of a server send at once over the server's one link.
    assert work.unit((NONE,)).seconds == pytest.approx(1 + 2 + 3 + 1 + 2, abs=1.0 + 1e-9)
    assert simulate(plan, schedule="pipedream").throughput > 0


# -- losses ----------------------------------------------------------------------------------------------------------


def spec(seconds: float = 10.0, steps: int | None = None) -> ModelSpec:
    return ModelSpec("toy", 4, 8, dict.fromkeys(range(1, 9), seconds), 8, 10.0, 4, 1.0, steps, state_bytes=4e9)


def test_a_loss_costs_the_step_in_flight_and_no_samples() -> None:
    costs = SimCosts(create=0, global_rendezvous=0)
    trace = trace_of(*machines(4), (105.0, "remove", "node1"), duration=1000.0)
    ran = simulate(spec(), trace=trace, costs=costs)
    # Ten steps, five seconds that are lost, 0.15 s, then steps of 15 s.
    assert ran.steps == 10 + math.floor((1000 - 105.15) / 15) and ran.lost_samples == 0
    assert (ran.preemptions, ran.fatal_failures) == (1, 0)
    assert ran.samples == 8 * ran.steps and ran.throughput == pytest.approx(ran.samples / 1000)
    assert ran.instances == pytest.approx((105 * 4 + 895 * 3) / 1000)


def test_neighbours_lost_go_back_to_the_checkpoint() -> None:
    costs = SimCosts(create=0, global_rendezvous=0, save=20.0, load=7.0)
    rows = [*machines(6), (475.0, "remove", "node1"), (476.0, "remove", "node2")]
    ran = simulate(spec(), trace=trace_of(*rows, duration=1000.0), costs=costs, checkpoint="100s")
    # Saves start at 100, 200, 300, 400 and are complete 20 s later; the two spares take over.
    assert ran.lost_samples == 8 * (47 - 40) and ran.fatal_failures == 1
    begins = 476 + 0.1 + 30 + 7
    assert ran.steps == 40 + math.floor((1000 - begins) / 10)
    by_steps = simulate(spec(), trace=trace_of(*rows, duration=1000.0), costs=costs, checkpoint="7steps")
    assert by_steps.lost_samples == 8 * (47 - 42)
    # A save that is not complete is none.
    late = [*machines(6), (415.0, "remove", "node1"), (416.0, "remove", "node2")]
    again = simulate(spec(), trace=trace_of(*late, duration=1000.0), costs=costs, checkpoint="100s")
    assert again.lost_samples == 8 * (41 - 30)


def test_without_copies_all_is_lost() -> None:
    costs = SimCosts(create=0, global_rendezvous=0)
    rows = [*machines(5), (475.0, "remove", "node1")]
    ran = simulate(spec(), trace=trace_of(*rows, duration=1000.0), costs=costs, policy="none")
    assert ran.lost_samples == 8 * 47 and ran.steps == math.floor((1000 - 475 - 30.1) / 10)
    saved = simulate(spec(), trace=trace_of(*rows, duration=1000.0), costs=costs, policy="checkpoint")
    # 4 GB of state in four parts at 1 GB/s.
    assert saved.lost_samples == 8 * (47 - 30) and saved.steps == 30 + math.floor((1000 - 475 - 30.1 - 1) / 10)
    spare = [*machines(5), (475.0, "remove", "node4")]
    kept = simulate(spec(), trace=trace_of(*spare, duration=1000.0), costs=costs, policy="none")
    assert kept.lost_samples == 0 and kept.steps == 100


def test_machines_that_come_are_used_after_a_step() -> None:
    costs = SimCosts(create=45, global_rendezvous=30, local_rendezvous=10)
    rows = [*machines(4), *[(197.0, "add", f"late{i}") for i in range(4)]]
    ran = simulate(spec(), trace=trace_of(*rows, duration=1000.0), costs=costs)
    # Trained from 75; the others are ready at 242; after the step that ends at 245 there are two pipelines, at 255.
    assert ran.steps == 17 + math.floor((1000 - 255) / 10)
    assert ran.curve["pipelines"].tolist()[-1] == 2 and ran.curve["time"].is_unique
    few = simulate(spec(), trace=trace_of(*machines(3), duration=1000.0))
    assert few.steps == 0 and few.throughput == 0 and few.value == 0


def test_the_copy_takes_over_until_a_machine_comes() -> None:
    costs = SimCosts(create=0, global_rendezvous=0, local_rendezvous=10)
    rows = [*machines(4), (100.0, "remove", "node0"), (200.0, "add", "new")]
    ran = simulate(spec(), trace=trace_of(*rows, duration=1000.0), costs=costs)
    # Three machines go on with steps of 15 s from 100.15 until the one that ends at 205.15, and four from 215.15.
    assert ran.lost_samples == 0 and ran.fatal_failures == 0
    assert ran.steps == 10 + 7 + math.floor((1000 - 215.15) / 10)


def test_a_plans_losses_run_the_merged_programs() -> None:
    plan = plan_of([1] * 8)
    trace = trace_of(*machines(24), (400.0, "remove", "node1"), duration=4000.0)
    costs = SimCosts(create=0, global_rendezvous=0)
    ran = simulate(plan, trace=trace, costs=costs, microbatches=16)
    work = PlanWork(plan, "1f1b", 16, "lazy")
    whole, merged = work.unit((NONE,) * 3), work.unit((frozenset({1}), NONE, NONE))
    assert merged.seconds > 1.3 * whole.seconds and merged.samples == whole.samples
    lines = ran.timeline
    assert set(lines["generation"]) >= {0, 1}
    after = lines[(lines["generation"] == 1) & lines["op"].isin(["forward", "backward"])]
    assert set(after.loc[after["worker"] == 0, "stage"]) == {0, 1} and 1 not in set(after["worker"])
    assert ran.lost_samples == 0


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), policy=st.sampled_from(["none", "checkpoint", "redundant"]))
def test_any_market(seed: int, policy: str) -> None:
    trace = RandomTrace(0.4, 0.6, 10)
    ran = simulate(spec(7.0), trace=trace, policy=policy, seed=seed, duration="6h", checkpoint="10min")
    again = simulate(spec(7.0), trace=trace, policy=policy, seed=seed, duration="6h", checkpoint="10min")
    assert repr(ran) == repr(again) and ran.curve.equals(again.curve)
    assert ran.seconds == 21600 and ran.samples == 8 * ran.steps
    assert 0 <= ran.throughput <= 8 / 7 and ran.lost_samples >= 0
    assert ran.samples + ran.lost_samples <= 8 * 21600 / 7
    assert 0 <= ran.instances <= 10 and ran.fatal_failures <= max(ran.preemptions, 0)
    assert ran.curve["time"].is_monotonic_increasing
    if policy == "redundant":
        assert ran.lost_samples <= 8 * 21600 / 7 * ran.fatal_failures


# -- tables, texts, errors -------------------------------------------------------------------------------------------


def test_tables_and_texts() -> None:
    ran = simulate(plan_of([1, 1], output=0.25), microbatches=2, duration="60s")
    assert dict(ran.timeline.dtypes.astype(str)) == {
        "worker": "int64", "stage": "int64", "op": "str", "step": "int64", "microbatch": "int64", "start": "float64",
        "end": "float64", "generation": "int64", "bytes": "int64",
    }  # fmt: skip
    assert dict(ran.curve.dtypes.astype(str)) == {
        "time": "float64", "nodes": "int64", "pipelines": "int64", "throughput": "float64", "cost": "float64",
        "value": "float64",
    }  # fmt: skip
    lines = ran.timeline
    assert ran.to_pandas() is ran.curve and (lines["end"] >= lines["start"]).all()
    done = lines[lines["op"] == "commit"]
    assert done["step"].max() == ran.steps - 1 and len(done) == 2 * ran.steps
    forwards = lines[lines["op"] == "forward"]
    assert sorted(forwards.loc[forwards["worker"] == 0, "microbatch"]) == list(range(2 * ran.steps))
    for _, mine in lines[lines["op"].isin(["forward", "backward", "reduce", "frc"])].groupby("worker"):
        assert (mine["start"].to_numpy()[1:] >= mine["end"].to_numpy()[:-1] - 1e-9).all()
    assert repr(ran).startswith("Simulation 1f1b 1-1 · redundant · no losses · 60 s · ")
    text = ran.explain()
    assert "Simulated: no worker ran." in text and "on_demand" in text
    kinds = [block["kind"] for block in ran.view_data()["blocks"]]
    assert kinds == ["summary", "note", "svg", "table", "table"]
    bundle = ran._repr_mimebundle_()
    assert "Simulated" in bundle["text/plain"] and "samples/s" in bundle["text/html"]


def test_no_time_and_no_cost_are_no_error() -> None:
    still = simulate(spec(), trace=trace_of(*machines(4), duration=0.0))
    assert math.isnan(still.throughput) and math.isnan(still.value) and "svg" not in str(still.view_data()["blocks"][2])
    free = simulate(plan_of([1, 1]), price="$0")
    assert free.cost == 0 and math.isnan(free.value) and free.throughput > 0
    assert repr(free) and free.explain() and free._repr_mimebundle_()


@pytest.mark.parametrize("schedule", ["pipedream", "2bw"])
def test_the_end_of_time_finds_a_span_on_its_way(schedule: str) -> None:
    """A span between two drained pipes is many steps: those of them that were trained count."""
    plan = plan_of([1, 1, 1], output=0.1, parameters=0.2)
    micro = 1 if schedule == "pipedream" else 6
    unit = PlanWork(plan, schedule, micro, "lazy").unit((NONE,))
    assert unit.steps == len(unit.ends) > 1 and unit.ends[-1] <= unit.seconds
    short = simulate(plan, schedule=schedule, duration=plan.time * 30)
    assert short.steps == sum(end <= plan.time * 30 for end in unit.ends) > 0
    assert short.samples == short.steps * micro * 4 and short.throughput == pytest.approx(short.samples / short.seconds)
    found = [simulate(plan, schedule=schedule, duration=unit.seconds * share).steps for share in (0.3, 1.0, 1.3, 2.0)]
    assert found == [found[0], unit.steps, unit.steps + found[0], 2 * unit.steps]
    assert repr(short) and short.explain() and short.view_data()


@needs_data
@pytest.mark.parametrize(("model", "count", "straight"), [("gnmt", 2, False), ("vgg16", 4, True)])
def test_few_minibatches_of_a_published_model(model: str, count: int, straight: bool) -> None:
    plan = partition(
        read_profile(DATA / "pipedream" / f"{model}.graph.txt"), Cluster([count], [125e6]), straight=straight
    )
    ran = {
        policy: simulate(plan, schedule="pipedream", policy=policy, duration=plan.time * 400).throughput
        for policy in ("none", "checkpoint", "redundant")
    }
    assert 0 < ran["redundant"] < ran["none"] == ran["checkpoint"] <= 1.01 * (plan.profile.batch_size or 1) / plan.time


def test_nodes_scale_a_trace() -> None:
    trace = trace_of(*machines(4), (50.0, "remove", "node1"), (60.0, "remove", "node2"), duration=100.0)
    ran = simulate(spec(), trace=trace, nodes=10)
    assert ran.curve["nodes"].max() == 10 and ran.curve["nodes"].iloc[-1] == 5
    assert ran.instances == pytest.approx((50 * 10 + 10 * 7 + 40 * 5) / 100)


def test_mistakes() -> None:
    plan = plan_of([1, 1])
    for wrong, told in (
        ({"policy": "redundnt"}, 'Unknown policy "redundnt"; did you mean "redundant"?'),
        ({"schedule": "1f2b"}, 'Unknown schedule "1f2b"; did you mean "1f1b"?'),
        ({"redundancy": "easy"}, "Unknown redundancy"),
        ({"nodes": 0}, "nodes is a number of machines"),
        ({"nodes": 1}, "1 machines are too few"),
        ({"compat": True}, "compat=True needs a model with known step times"),
        ({"trace": RandomTrace()}, "A random trace has no end."),
    ):
        with pytest.raises(TrainingError) as caught:
            simulate(plan, **wrong)
        assert caught.value.message.startswith(told)
    with pytest.raises(SimulationError, match="has no step time for 9 pipelines"):
        simulate(spec(), nodes=36)
    with pytest.raises(SimulationError):
        SimCosts(create=-1)
    for wrong_interval in ("0s", 0, "0steps"):
        with pytest.raises(WorkbenchError, match=r"^checkpoint "):
            simulate(plan, checkpoint=wrong_interval)


def test_hundreds_of_machines() -> None:
    plan = plan_of([8] * 16, output=0.01, parameters=0.01)
    ran = simulate(plan, schedule="pipedream", policy="none", nodes=512)
    assert (ran.steps, ran.instances, ran.samples) == (1000, 512, 1000 * 4 * 4)
    assert 0.5 < ran.throughput * plan.time / 16 <= 1


@settings(max_examples=60, deadline=None)
@given(
    replicas=st.lists(st.integers(1, 3), min_size=1, max_size=4),
    schedule=st.sampled_from(["gpipe", "1f1b", "pipedream", "2bw", "ddp"]),
    redundancy=st.sampled_from(["eager", "lazy"]),
    pipelines=st.integers(1, 3),
    data=st.data(),
)
def test_pipelines_with_losses_run_to_their_end(
    replicas: list[int], schedule: str, redundancy: str, pipelines: int, data: st.DataObject
) -> None:
    work = PlanWork(plan_of(replicas, output=0.1, parameters=0.2), schedule, 4, redundancy)
    lost = frozenset(data.draw(st.sets(st.integers(0, sum(replicas) - 1), max_size=2)))
    if lost and not work.survives(NONE, lost):
        return
    whole, less = work.unit((NONE,) * pipelines), work.unit((lost,) * pipelines)
    # Messages between two ranks that became one take no time, so that losing one may be a gain.
    assert less.seconds > 0.5 * whole.seconds and less.samples == whole.samples


@needs_data
@pytest.mark.parametrize("policy", ["none", "checkpoint", "redundant"])
def test_every_trace_can_be_trained_on(policy: str) -> None:
    plan = plan_of([1, 1, 2], output=0.05, parameters=0.2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of rows that go back in time
        found = [
            simulate(plan, trace=path, policy=policy, nodes=64, duration="12h")
            for path in sorted((DATA / "traces").rglob("*"))
            if path.suffix in (".csv", ".txt")
        ]
    assert len(found) == 15
    for ran in found:
        assert ran.seconds == 43200 and 0 < ran.instances <= 64 and ran.throughput * 43200 == pytest.approx(ran.samples)
        assert (policy == "none") or ran.throughput > 0
