from __future__ import annotations

import warnings

import pytest

from tests.training.plans import plan_of
from workbench.training import (
    Cluster,
    Node,
    Profile,
    RandomTrace,
    StageMemoryError,
    TrainingError,
    auto,
    partition,
    simulate,
)
from workbench.training.pace import Pace

COLUMNS = {
    "schedule": "str", "resilience": "str", "config": "str", "throughput": "float64", "memory_bytes": "float64",
    "communication_bytes": "float64", "bubble": "float64", "cost": "float64", "value": "float64",
    "lost_samples": "float64", "fits": "bool", "chosen": "bool",
}  # fmt: skip


def chain(weights: float = 1e6, outputs: float = 1e3, layers: int = 6) -> Profile:
    nodes = tuple(Node(f"node{i}", f"Linear({i})", 10.0, 20.0, (outputs,), weights) for i in range(layers))
    return Profile(nodes, tuple((f"node{i}", f"node{i + 1}") for i in range(layers - 1)), 8)


def test_slow_links_choose_pipelines_and_fast_ones_copies() -> None:
    slow = auto(chain(), Cluster([2], ["1mbit"]))
    assert slow.schedule != "ddp" and slow.resilience == "none" and slow.margin > 1
    order = slow.table["schedule"].tolist()
    assert sorted(order) == ["1f1b", "2bw", "ddp", "gpipe", "pipedream"] and order[-1] == "ddp"
    fast = auto(chain(outputs=1e6), Cluster([3], ["100gbit"]), schedules=["1f1b", "ddp", "gpipe"])
    assert fast.schedule == "ddp" and fast.plan.config == "3"
    # Three machines do three microbatches at a time, and nothing is lost in bubbles.
    assert fast.simulation.throughput == pytest.approx(3 * 8 / 0.18, rel=0.01)


def test_what_an_update_takes_decides() -> None:
    # Six layers of 30 ms on two machines: 90 ms a microbatch for a pipeline and for copies, but these also reduce.
    net, cluster = chain(outputs=0.0), Cluster([2], ["100gbit"])
    names = ["ddp", "pipedream"]
    plain = auto(net, cluster, schedules=names, microbatches=2)
    assert plain.schedule == "ddp"
    paced = auto(net, cluster.paced(Pace(update=0.0, reduce=100e-9)), schedules=names, microbatches=2)
    assert paced.schedule == "pipedream"
    # 6 MB at 100 ns a byte, once for the two microbatches of a step
    before, after = (found.table.set_index("schedule")["throughput"] for found in (plain, paced))
    assert 16 / after["ddp"] == pytest.approx(16 / before["ddp"] + 0.6, rel=0.01)
    assert after["pipedream"] == before["pipedream"]


def test_a_pipeline_is_simulated_where_its_plan_has_copies() -> None:
    # Two stages of 90 and 60 ms against two copies; a reduce takes long, which the partitioner does not count.
    net, cluster = chain(outputs=0.0, layers=5), Cluster([2], ["100gbit"]).paced(Pace(reduce=300e-9))
    assert partition(net, cluster, schedule="pipedream").config == "2"
    found = auto(net, cluster, schedules=["pipedream", "ddp"])
    assert (found.schedule, found.plan.config) == ("pipedream", "1-1")
    assert dict(zip(found.table["schedule"], found.table["config"], strict=True)) == {"pipedream": "1-1", "ddp": "2"}


@pytest.mark.parametrize(("reduce", "tie"), [(0.0, True), (300e-9, False)])
def test_a_tie_goes_to_what_sends_less(reduce: float, tie: bool) -> None:
    # for two microbatches, ddp's two machines take 180 ms and a reduce, and a pipeline of two stages 180 ms
    net, measured = chain(outputs=0.0), Cluster([2], ["100gbit"]).paced(Pace(reduce=reduce, message=1e-6))
    found = auto(net, measured, schedules=["ddp", "pipedream"], microbatches=2)
    assert found.schedule == "pipedream" and found.table["chosen"].tolist() == [True, False]
    paces = found.table["throughput"]
    assert found.table["schedule"].tolist() == ["pipedream", "ddp"] and (paces[0] < 1.05 * paces[1]) == tie
    assert ("within 5 %" in found.explain()) == ("sends the fewest bytes" in found.why) == tie
    assert found.margin == paces[0] / paces[1]


def test_what_was_not_measured_has_no_error() -> None:
    found = auto(chain(outputs=0.0), Cluster([2], ["100gbit"]), schedules=["ddp", "pipedream"], microbatches=2)
    paces = found.table["throughput"]
    assert paces.iloc[0] > paces.iloc[1] > 0.95 * paces.iloc[0] and found.why.endswith("is the fastest that fits.")
    assert "within" not in found.explain()


def test_choices_are_put_together() -> None:
    net, cluster = chain(), Cluster([2], ["1mbit"])
    apart = [auto(net, cluster, schedules=[name]) for name in ("ddp", "1f1b", "pipedream")]
    whole = auto(net, cluster, schedules=["ddp", "1f1b", "pipedream"])
    assert type(whole).of(apart).table.equals(whole.table)


def test_the_table() -> None:
    found = auto(chain(), Cluster([3], ["100mbit"]), policies=("none", "redundant"), batches=20)
    table = found.table
    assert dict(table.dtypes.astype(str)) == COLUMNS and len(table) == 10 and found.to_pandas() is table
    assert table["throughput"].is_monotonic_decreasing and table["chosen"].tolist() == [True] + [False] * 9
    assert found.margin == pytest.approx(table["throughput"].iloc[0] / table["throughput"].iloc[1])
    assert (found.schedule, found.resilience) == (table["schedule"].iloc[0], table["resilience"].iloc[0])
    assert found.simulation.throughput == table["throughput"].iloc[0] and table["fits"].all()
    assert ((table["bubble"] >= -1e-9) & (table["bubble"] < 1)).all()
    again = auto(chain(), Cluster([3], ["100mbit"]), policies=("none", "redundant"), batches=20)
    assert again.table.equals(table)
    assert repr(found).startswith(f"Choice {found.schedule} {found.plan.config}") and "x the next" in repr(found)
    assert "Simulated" in found.explain()
    assert [block["kind"] for block in found.view_data()["blocks"]] == ["summary", "note", "table"]
    assert "samples/s" in found._repr_mimebundle_()["text/plain"]


def test_a_plan_is_taken_as_it_is() -> None:
    plan = plan_of([1, 1], parameters=5.0)
    found = auto(plan, schedules=["gpipe", "1f1b", "ddp"], microbatches=4)
    assert dict(zip(found.table["schedule"], found.table["config"], strict=True)) == {
        "1f1b": "1-1", "gpipe": "1-1", "ddp": "2",
    }  # fmt: skip
    alone = simulate(plan, schedule=found.schedule, policy="none", microbatches=4)
    assert found.simulation.throughput == pytest.approx(alone.throughput)
    assert auto(plan, schedules=["1f1b"]).margin != auto(plan, schedules=["1f1b"]).margin


def test_losses_count() -> None:
    plan = plan_of([1, 1], forward=10.0, backward=20.0)
    market = RandomTrace(0.3, 0.9, 4)
    found = auto(plan, schedules=["1f1b"], policies=("none", "checkpoint", "redundant"), trace=market, nodes=4)
    assert [block["kind"] for block in found.view_data()["blocks"]] == ["summary", "note", "table", "svg"]
    best = found.table.set_index("resilience")
    assert found.resilience != "none" and best.loc["none", "lost_samples"] > best.loc["redundant", "lost_samples"]


def test_what_does_not_fit_is_last_and_never_chosen() -> None:
    profile, cluster = chain(weights=1e6, outputs=1e6), Cluster([2], [1e9])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        small = max(s.memory_bytes for s in partition(profile, cluster, schedule="1f1b").stages) * 1.01
    found = auto(profile, cluster, memory=small)
    assert not found.table["fits"].all() and found.table["fits"].iloc[0]
    assert found.table["fits"].is_monotonic_decreasing
    assert found.table.loc[found.table["chosen"], "fits"].all()
    with pytest.raises(StageMemoryError):
        auto(profile, cluster, memory=10)


def test_mistakes() -> None:
    plan = plan_of([1, 1])
    with pytest.raises(TrainingError, match="Unknown schedule"):
        auto(plan, schedules=["auto"])
    with pytest.raises(TrainingError, match="Unknown policy"):
        auto(plan, policies=("non",))
    with pytest.raises(TrainingError, match="a profile and a cluster"):
        auto(chain())
    with pytest.raises(TrainingError, match="Nothing to choose from"):
        auto(plan, schedules=[])
