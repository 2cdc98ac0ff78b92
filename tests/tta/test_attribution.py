"""Taking a change of time apart, and scaling: hand-made cases, and products that must come out exactly."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tta.fakes import FakeRun, reaching
from workbench.engine.errors import WorkbenchError
from workbench.tta.attribution import Attribution, attribute, scaling


def run(name: str, epochs: float, seconds: float, usd: float = math.nan, **facts: object) -> FakeRun:
    rows = [(0, epochs / 2, seconds / 2, 90.0), (1, epochs, seconds, 98.0), (2, epochs + 1, seconds + 9, 99.0)]
    return FakeRun(rows, name=name, usd=usd, **facts)


def test_c34_epochs_and_their_speed() -> None:
    found = attribute(run("old", 30, 300.0, 3.0), run("new", 15, 60.0, 6.0))
    assert found.table.dtypes.astype(str).to_dict() == {
        "old": "str", "new": "str", "factor": "str", "old_value": "float64", "new_value": "float64",
        "ratio": "float64", "log_share": "float64",
    }  # fmt: skip
    assert found.table["factor"].tolist() == ["epochs", "seconds_per_epoch", "price"]
    assert found.table["old_value"].tolist() == [30.0, 10.0, 3.0]
    assert found.table["new_value"].tolist() == [15.0, 4.0, 6.0]
    assert found.table["ratio"].tolist() == [2.0, 2.5, 0.5]
    shares = [math.log(2) / math.log(5), math.log(2.5) / math.log(5), math.log(0.5) / math.log(2.5)]
    np.testing.assert_allclose(found.table["log_share"], shares, rtol=1e-12)
    assert (found.speedup, found.cost_ratio) == (5.0, 2.5)
    assert repr(found) == (
        "old to new: 5 times as fast = epochs 2 (43 %) x time per epoch 2.5 (57 %); 2.5 times as cheap (price 0.5)"
    )


def test_c34_without_prices_there_is_no_cost_ratio() -> None:
    for a, b in ((math.nan, math.nan), (3.0, math.nan), (3.0, 0.0), (-1.0, 3.0)):
        found = attribute(run("old", 30, 300.0, a), run("new", 15, 60.0, b))
        assert math.isnan(found.cost_ratio)
        assert found.speedup == 5.0
        assert found.table["ratio"].isna().tolist() == [False, False, True]
    assert "cheap" not in repr(found)


def test_c34_a_total_of_one_has_no_shares() -> None:
    found = attribute(run("old", 10, 100.0), run("new", 20, 100.0))
    assert found.table["ratio"].tolist()[:2] == [0.5, 2.0]
    assert found.table["log_share"].isna().all()
    assert repr(found) == "old to new: 1 times as fast = epochs 0.5 x time per epoch 2"


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(*(st.floats(0.1, 1e4) for _ in range(3))), min_size=2, max_size=4))
def test_c34_ratios_multiply_to_the_speedup_and_the_cost_ratio(chain: list[tuple[float, float, float]]) -> None:
    runs = [run(f"r{i}", epochs, seconds, usd) for i, (epochs, seconds, usd) in enumerate(chain)]
    found = attribute(*runs)
    ratios = found.table.set_index("factor")["ratio"]
    times = ratios[["epochs", "seconds_per_epoch"]].prod()
    assert times == pytest.approx(found.speedup, rel=1e-9)
    assert times * ratios["price"].prod() == pytest.approx(found.cost_ratio, rel=1e-9)
    assert found.speedup == pytest.approx(chain[0][1] / chain[-1][1], rel=1e-9)
    for _, own in found.table[found.table["factor"] != "price"].groupby(["old", "new"]):
        if own["log_share"].notna().all() and abs(math.log(own["ratio"].prod())) > 1e-6:
            assert own["log_share"].sum() == pytest.approx(1.0, abs=1e-6)


def test_c34_a_chain_is_told_step_by_step_and_in_all() -> None:
    found = attribute(run("a", 30, 300.0, 2.0), run("b", 30, 150.0, 2.0), run("b", 10, 50.0, 2.0))
    assert found.table[["old", "new"]].drop_duplicates().to_numpy().tolist() == [["a", "b"], ["b", "b (2)"]]
    assert repr(found).splitlines()[-1] == "In all: 6 times as fast, 6 times as cheap"


def test_c34_steps_take_the_place_of_epochs_that_are_missing() -> None:
    old = run("old", 30, 300.0)
    old.rows = [(s * 100, math.nan, t, v) for s, _, t, v in old.rows]
    new = run("new", 15, 60.0)
    new.rows = [(s * 50, e, t, v) for s, e, t, v in new.rows]
    found = attribute(old, new)
    assert found.table["old_value"].tolist()[:2] == [100.0, 3.0]
    assert found.table["ratio"].tolist()[:2] == [2.0, 2.5]
    assert "steps 2 (43 %) x time per step 2.5 (57 %)" in repr(found)


def test_c34_at_another_threshold() -> None:
    assert attribute(run("old", 30, 300.0), run("new", 15, 60.0), at=90).table["old_value"].tolist()[:2] == [15.0, 10.0]


def test_c34_several_runs_of_a_recipe_are_their_mean() -> None:
    found = attribute(reaching([10.0, 12.0], usd=2.0), reaching([5.0, 6.0], name="b", usd=2.0))
    assert found.table["old_value"].tolist() == [2.0, 5.5, 2.0]
    assert found.speedup == 2.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: attribute(run("old", 30, 300.0), run("new", 15, 60.0), at=99.5),
            "old does not reach 99.5.\nPass at=, a threshold that all of them reach.",
        ),
        (
            lambda: attribute(run("old", 0, 300.0), run("new", 15, 60.0)),
            "old crosses at epoch 0, so its time cannot be taken apart.\nCount epochs from 1, or evaluate after the",
        ),
        (lambda: attribute(run("old", 3, 0.0), run("new", 15, 60.0)), "old crosses at 0 seconds"),
        (
            lambda: attribute(run("old", 3, 1.0), run("new", 15, 60.0, threshold=97.0)),
            "Runs old and new have different targets (98, 97).",
        ),
        (
            lambda: attribute(run("old", 3, 1.0), run("new", 15, 60.0, clock="mlperf", clocks=("mlperf",))),
            "Runs old and new are timed on different clocks (dawnbench, mlperf).\nTrack both on one clock.",
        ),
        (lambda: attribute(run("old", 3, 1.0), "new"), "Pass runs to compare, not str."),
        (lambda: scaling([run("a", 3, 1.0)], [1, 2]), "There are 1 items but 2 resources.\nGive one number for each."),
        (lambda: scaling([run("a", 3, 1.0)], [0]), "resources must be above 0; got [0.0]."),
        (lambda: scaling([run("a", 3, 1.0)], ["x"]), "resources must be numbers; got ['x']."),
        (lambda: scaling([run("a", 3, 1.0)], 1), "resources must be numbers; got 1."),
        (lambda: scaling([run("a", 3, 1.0)], [1], at=99.5), "a does not reach 99.5."),
    ],
)
def test_c34_c36_mistakes(call, message: str) -> None:
    with pytest.raises(WorkbenchError) as error:
        call()
    assert str(error.value).startswith(message)


def test_c34_shown() -> None:
    found = attribute(run("<i>", 30, 300.0), run("new", 15, 60.0))
    bundle = found._repr_mimebundle_()
    assert "5 times as fast" in bundle["text/plain"]
    assert "seconds_per_epoch" in bundle["text/html"]
    assert "<i>" not in bundle["text/html"]
    assert found.to_pandas() is found.table
    assert repr(Attribution.__new__(Attribution)) == "<Attribution>"


# ----------------------------------------------------------------------------------------------------------- scaling


def test_c36_scaling_table() -> None:
    found = scaling([run("1", 20, 200.0), run("2", 20, 110.0), run("8", 25, 40.0)], [1, 2, 8])
    assert found.dtypes.astype(str).to_dict() == {
        "name": "str", "resources": "float64", "seconds": "float64", "speedup": "float64", "efficiency": "float64",
        "epochs": "float64", "epoch_ratio": "float64", "throughput_ratio": "float64",
    }  # fmt: skip
    assert found["name"].tolist() == ["1", "2", "8"]
    assert found["speedup"].tolist() == [1.0, 200 / 110, 5.0]
    assert found["efficiency"].tolist() == [1.0, 200 / 110 / 2, 5 / 8]
    assert found["epoch_ratio"].tolist() == [1.0, 1.0, 0.8]
    np.testing.assert_allclose(found["throughput_ratio"], [1.0, 10 / 5.5, 10 / 1.6])
    assert scaling([], []).columns.tolist() == found.columns.tolist()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(*(st.floats(0.1, 1e4) for _ in range(3))), min_size=1, max_size=5))
def test_c36_products(items: list[tuple[float, float, float]]) -> None:
    runs = [run(f"r{i}", epochs, seconds) for i, (epochs, seconds, _) in enumerate(items)]
    found = scaling(runs, [amount for *_, amount in items])
    np.testing.assert_allclose(found["epoch_ratio"] * found["throughput_ratio"], found["speedup"], rtol=1e-9)
    np.testing.assert_allclose(
        found["efficiency"] * found["resources"] / found["resources"].iloc[0], found["speedup"], rtol=1e-9
    )
    assert found["efficiency"].iloc[0] == 1.0
