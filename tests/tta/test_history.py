from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import workbench.tta as tta
from tests.tta.stored import SECOND, begun, dense, evaluation, finished
from workbench.engine.errors import WorkbenchError
from workbench.tta import archive
from workbench.tta.price import Price
from workbench.tta.projection import Earlier
from workbench.tta.store import Store, open_store


@pytest.fixture
def store(tmp_path: Path) -> Any:
    made = open_store(tmp_path / "tta")
    yield made
    archive.wait()
    made.close()


def curve(store: Store, values: list[float], *, step: int = 10, each_s: float = 2.0, **more: Any) -> str:
    """A run with an evaluation every `step` steps that takes `each_s` seconds of training and one of evaluation."""
    state = more.pop("state", "finished")
    sink = begun(store, **more)
    now = 0.0
    for seq, value in enumerate(values):
        sink.span((2 * seq, "train", round(now * SECOND), round((now + each_s) * SECOND), 0))
        now += each_s + 1
        sink.span((2 * seq + 1, "eval", round((now - 1) * SECOND), round(now * SECOND), 0))
        sink.eval([evaluation(seq, value, now, step=(seq + 1) * step), evaluation(seq, 0.5, now, metric="loss")])
    sink.end(state, {"end_ns": round(now * SECOND)})
    sink.close()
    return sink.id


# ---------------------------------------------------------------------------------------------------------------- runs


def test_c60_history_is_read_as_runs(home: Path) -> None:
    assert len(tta.runs()) == 0 and repr(tta.runs()) == "<Runs: none>"
    store = open_store()
    a = curve(store, [90.0, 95.0], name="a", task="CIFAR10", seed=1)
    b = curve(store, [90.0, 91.0], name="b", state="budget", price=Price(3.6))
    assert [run.id for run in tta.runs()] == [a, b]
    assert [run.id for run in tta.runs("b")] == [b]
    assert [run.id for run in tta.runs(task="CIFAR10")] == [a]
    assert [run.id for run in tta.runs(state="budget")] == [b]
    assert [run.id for run in tta.runs("a", state=["budget", "finished"], store=home / "tta")] == [a]
    assert len(tta.runs("c")) == 0 and len(tta.runs(store=home / "elsewhere")) == 0
    assert not (home / "elsewhere").exists()
    run = tta.runs("a")[0]
    assert run.time_to() == 4.0 and run.time_to(clock="wall") == 6.0 and run.seed == 1
    table = tta.runs().table
    assert table["recipe"].tolist() == ["a", "b"] and table["reached"].tolist() == [True, False]
    assert table["seconds"].tolist()[0] == 4.0 and table["censor_seconds"].tolist() == [4.0, 4.0]
    assert tta.runs().summary()["n"].tolist() == [1, 1]
    assert tta.runs("b")[0].cost_to(91) == pytest.approx(4 / 1000)
    store.close()


def test_a_state_that_is_none(store: Store) -> None:
    with pytest.raises(WorkbenchError) as error:
        tta.runs(state="finshed", store=store)
    assert error.value.lines() == ["No state finshed.", "Did you mean 'finished'?"]


def test_records_of_many_runs_are_read_when_they_are_asked_for(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(5):
        finished(store, seed=seed)
    records = store.records()
    assert all("evals" not in vars(record) for record in records)
    assert records[3].evals["value"].tolist() == [90.0, 94.0] and "evals" in vars(records[3])
    monkeypatch.setattr(Store, "reading", None)  # the others have come with it
    assert records[0].spans.empty and records[4].evals["value"].tolist() == [90.0, 94.0]
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        records[0].nothing  # noqa: B018


# ---------------------------------------------------------------------------------------------------- for projections


def test_c12_history_for_projections_is_of_counted_runs_with_the_same_schedule(store: Store) -> None:
    same = {"steps": 40, "schedule": "onecycle"}
    curve(store, [90.0, 93.0, 95.0, 96.0], **same)
    curve(store, [90.0, 93.0, 93.5, 93.9], state="budget", **same)
    curve(store, [], state="failed", **same)
    curve(store, [95.0], **same)
    for state in ("interrupted", "lost"):
        curve(store, [95.0, 96.0], state=state, **same)
    begun(store, **same).eval([evaluation(0, 95.0)])
    curve(store, [95.0, 96.0], steps=40, schedule="other")
    curve(store, [95.0, 96.0], steps=50, schedule="onecycle")
    curve(store, [95.0, 96.0], target=93.0, **same)
    curve(store, [95.0, 96.0], metric="top5", **same)
    curve(store, [95.0, 96.0], name="another", **same)
    found = store.history("resnet9", "top1", 94.0, "max", "onecycle", 40)
    assert [row[:2] for row in found] == [(30, 40), (None, 40), (None, None), (10, 10)]
    assert [row[2] for row in found] == pytest.approx([0.2, 0.2, math.nan, math.nan], nan_ok=True)
    wall = store.history("resnet9", "top1", 94.0, "max", "onecycle", 40, clock="wall")
    assert wall[0][2] == pytest.approx(0.3)
    assert store.history("resnet9", "top1", 94.0) == []  # no schedule is a schedule of its own
    assert open_store(store.folder / "none").history("resnet9", "top1", 94.0) == []
    told = Earlier(found, 40).project(20, 4.0)
    assert told.history == 4 and told.reached == 2


def test_history_of_a_metric_to_be_made_small(store: Store) -> None:
    for values in ([2.0, 1.0, 0.5], [2.0, 0.9, 0.8]):
        curve(store, values, goal="min", target=1.0, metric="top1")
    assert [row[0] for row in store.history("resnet9", "top1", 1.0, "min")] == [20, 20]


# --------------------------------------------------------------------------------------------- of many runs at once


def test_the_board_is_made_of_kept_crossings(store: Store) -> None:
    expected = []
    for seed, seconds in enumerate((9.5, 3.25, 7.0, 3.25)):
        sink = begun(store, seed=seed, name=f"r{seed % 2}", task="CIFAR10")
        for confirm in (1, 2):
            sink.crossing(
                {"metric": "top1", "threshold": 94.0, "confirm": confirm, "seq": 3, "step": 30, "epoch": 3.0,
                 "value": 94.5, "t_ns": 1, "seconds": seconds + confirm, "cost_usd": None, "energy_j": None}
            )  # fmt: skip
        sink.crossing({"metric": "top1", "threshold": 90.0, "confirm": 1, "seconds": 0.1})  # no target of the run
        sink.end("reached", {"end_ns": 20 * SECOND})
        expected.append((seconds + 1, sink.id))
    finished(store)
    found = store.board()
    assert list(zip(found["seconds"], found["run"], strict=True)) == sorted(expected)
    assert found.dtypes.astype(str).to_dict() == {
        "run": "str", "recipe": "str", "seed": "Int64", "attempt": "int64", "state": "str", "metric": "str",
        "threshold": "float64", "confirm": "int64", "step": "Int64", "epoch": "float64", "value": "float64",
        "seconds": "float64", "cost_usd": "float64", "energy_j": "float64",
    }  # fmt: skip
    assert found["state"].tolist() == ["reached"] * 4 and found["threshold"].tolist() == [94.0] * 4
    assert len(store.board(recipe="r1")) == 2 and len(store.board(task="ImageNet")) == 0
    assert store.board(confirm=2)["seconds"].tolist() == [5.25, 5.25, 9.0, 11.5]
    assert open_store(store.folder / "none").board().dtypes.astype(str).to_dict() == found.dtypes.astype(str).to_dict()


def test_the_board_tells_crossings_that_nobody_lived_to_tell(store: Store) -> None:
    """A process was killed between its evaluation and the crossing, or in the attempt before."""
    cut = begun(store, name="cut", started_ns=1000 * SECOND, price=Price(3600.0))
    cut.eval([evaluation(0, 90.0, 1)])
    cut.eval([evaluation(1, 95.0, 2, energy_mj=5000)])
    first = begun(store, name="first", started_ns=1000 * SECOND)
    first.eval([evaluation(0, 95.0, 4)])
    first.crossing({"metric": "top1", "threshold": 94.0, "confirm": 1, "seconds": 4.0})
    first.end("failed", {"end_ns": 10 * SECOND})
    second = begun(store, name="first", started_ns=1100 * SECOND, attempt=2, parent=first.id, joined=True)
    second.eval([evaluation(0, 96.0, 1)])
    second.end("finished", {"end_ns": 2 * SECOND})
    found = store.board()
    assert found[["run", "attempt", "seconds"]].values.tolist() == [[cut.id, 1, 2.0], [second.id, 2, 4.0]]
    assert found["cost_usd"].tolist()[0] == 2.0 and found["energy_j"].tolist()[0] == 5.0
    assert found["state"].tolist() == ["running", "finished"]
    # on the clock of both attempts, less the time between them
    assert store.board(confirm=2)[["run", "seconds"]].values.tolist() == [[second.id, 11.0]]


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.lists(
        st.lists(st.sampled_from([1.0, 2.0, 3.0, math.nan]), max_size=8), min_size=1, max_size=4,
    ),
    goal=st.sampled_from(["max", "min"]),
    archived=st.integers(0, 3),
)  # fmt: skip
def test_first_points_of_all_runs_are_those_of_a_loop(
    store: Store, values: list[list[float]], goal: str, archived: int
) -> None:
    expected = {}
    for number, row in enumerate(values):
        sink = begun(store)
        sink.points([("acc", 7 * (len(row) - at), at * SECOND, value, at) for at, value in enumerate(row)])
        sink.points([("other", 0, 0, 2.0, 0)])
        sink.end("finished", {})
        if number < archived:
            archive.archive(store.path, sink.id, least=1)
        at = next((at for at, v in enumerate(row) if (v >= 2 if goal == "max" else v <= 2)), None)
        if at is not None:
            expected[sink.id] = (7 * (len(row) - at), float(at), row[at])
        sink.close()
    found = store.first_points("acc", 2.0, goal=goal)
    mine = found[found["run"].isin({record.id for record in store.records()[-len(values) :]})]
    assert {row.run: (row.step, row.wall_s, row.value) for row in mine.itertuples()} == expected
    assert len(store.first_points("nothing", 2.0)) == 0


def test_first_points_of_a_goal_that_is_none(store: Store) -> None:
    with pytest.raises(WorkbenchError, match="goal is"):
        store.first_points("loss", 1.0, goal="up")


def test_points_of_a_run_that_was_gone_on_with_are_on_one_axis(store: Store) -> None:
    first = begun(store, started_ns=1000 * SECOND)
    first.points(dense(3))
    first.end("failed", {"end_ns": 10 * SECOND})
    second = begun(store, started_ns=1100 * SECOND, attempt=2, parent=first.id, joined=True, resumed_step=3)
    second.points(dense(3, 3))
    second.end("finished", {})
    points = store.records()[0].points()
    assert points["step"].tolist() == list(range(6))
    np.testing.assert_allclose(points["wall_s"], [0, 0.001, 0.002, 100.003, 100.004, 100.005])
    assert points["metric"].dtype == pd.Series(["x"], dtype="str").dtype
