"""What each change brings, against all orders by hand; the training itself is in test_repeat."""

from __future__ import annotations

import importlib
import itertools
import math
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tta.fakes import reaching
from workbench.engine.errors import WorkbenchError
from workbench.tta.ladder import MOST, ladder, shapley
from workbench.tta.runs import Runs


def by_orders(factors: list[str], seconds: dict[frozenset[str], float]) -> list[float]:
    """The Shapley value by its definition: the mean over all orders of what a factor brings when its turn comes."""
    total = dict.fromkeys(factors, 0.0)
    orders = list(itertools.permutations(factors))
    for order in orders:
        changed: frozenset[str] = frozenset()
        for factor in order:
            after = changed | {factor}
            total[factor] += math.log(seconds[changed] / seconds[after])
            changed = after
    return [total[factor] / len(orders) for factor in factors]


@given(st.data())
def test_c35_shapley_is_the_mean_over_all_orders(data) -> None:
    factors = ["a", "b", "c", "d"][: data.draw(st.integers(1, 4))]
    sets = [frozenset(some) for size in range(len(factors) + 1) for some in itertools.combinations(factors, size)]
    seconds = {some: data.draw(st.floats(0.1, 100)) for some in sets}
    found = shapley(factors, seconds)
    assert found == pytest.approx(by_orders(factors, seconds), abs=1e-12)
    assert sum(found) == pytest.approx(math.log(seconds[frozenset()] / seconds[frozenset(factors)]), abs=1e-12)


class Repeat:
    """Stands for `repeat`: runs take what a function of the configuration says."""

    def __init__(self, seconds: Any) -> None:
        self.seconds, self.called = seconds, []

    def __call__(self, train: Any, seeds: Any, **options: Any) -> Runs:
        self.called.append((train.config, list(seeds), options))
        time = self.seconds(**train.config)
        made = reaching([time] * len(list(seeds)), name=options["name"])
        return Runs(made, () if not math.isnan(time) else ("Seed 0 is missing: cancelled.",))  # type: ignore[arg-type]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Any:
    def use(seconds: Any) -> Repeat:
        made = Repeat(seconds)
        monkeypatch.setattr(importlib.import_module("workbench.tta.repeat"), "repeat", made)
        return made

    return use


def train(tracker: Any, seed: int, **config: Any) -> None: ...


def test_c35_rungs_multiply_and_values_add_up_to_the_whole(fake: Any) -> None:
    # twice as fast by the rate, by the batch 1.5 times, and 1.2 times more where both are changed
    made = fake(lambda rate, batch, depth: 12 / (1 if rate == 0.1 else 2) / (1 if batch == 64 else 1.5)
                / (1.2 if rate != 0.1 and batch != 64 else 1))  # fmt: skip
    base = {"rate": 0.1, "batch": 64, "depth": 3}
    frame = ladder(train, base, {"batch": 128, "rate": 0.4, "depth": 3}, seeds=range(2), target={"top1": 98})
    assert list(frame.columns) == ["factor", "seconds_ratio", "shapley"]
    assert frame["factor"].dtype == "str"
    assert frame["factor"].tolist() == ["batch", "rate"]  # in the order of what is changed
    assert frame["seconds_ratio"].tolist() == pytest.approx([1.5, 2.4])
    assert frame["shapley"].tolist() == pytest.approx(
        [math.log(1.5) + math.log(1.2) / 2, math.log(2.4) - math.log(1.2) / 2]
    )
    assert frame.attrs["ratio"] == pytest.approx(3.6)
    assert frame["seconds_ratio"].prod() == pytest.approx(3.6)
    assert frame["shapley"].sum() == pytest.approx(math.log(3.6))
    assert len(made.called) == 4
    assert [options["name"] for _, _, options in made.called] == [
        "train base", "train batch=128", "train rate=0.4", "train batch=128, rate=0.4",
    ]  # fmt: skip
    assert all(seeds == [0, 1] for _, seeds, _ in made.called)
    assert "4 configurations of train" in frame.attrs["plan"]


def test_c35_over_4_factors_only_the_rungs(fake: Any) -> None:
    made = fake(lambda **config: 64 / 2 ** sum(config.values()))
    names = [f"f{i}" for i in range(6)]
    frame = ladder(train, dict.fromkeys(names, 0), dict.fromkeys(names, 1), target={"top1": 98}, price=3.0, name="x")
    assert len(made.called) == 7
    assert frame["seconds_ratio"].tolist() == [2.0] * 6
    assert frame["shapley"].isna().all()
    assert made.called[0][2]["price"] == 3.0
    assert made.called[0][2]["name"] == "x base"
    assert "no Shapley value" in frame.attrs["plan"]


def test_c35_a_configuration_that_never_reaches_has_no_ratio(fake: Any) -> None:
    fake(lambda a, b: math.nan if b else 10.0 / (1 + a))
    frame = ladder(train, {"a": 0, "b": 0}, {"a": 1, "b": 1}, target={"top1": 98})
    assert frame["seconds_ratio"].tolist()[0] == 2.0
    assert math.isnan(frame["seconds_ratio"].iloc[1])
    assert frame["shapley"].isna().all()
    assert frame.attrs["missing"] == [f"train {name}: Seed 0 is missing: cancelled." for name in ("b=1", "a=1, b=1")]


@pytest.mark.parametrize(
    ("base", "changed", "message"),
    [
        ({"a": 1}, {"a": 1}, "base and changed are the same."),
        ({"a": 1}, {"b": 1}, "base and changed have different keys: a, b."),
        ({"a": 1}, 3, "base and changed are dicts of arguments of train."),
        ({1: 1}, {1: 2}, "base and changed are dicts of arguments of train."),
    ],
)
def test_bad_input(base: Any, changed: Any, message: str) -> None:
    with pytest.raises(WorkbenchError) as error:
        ladder(train, base, changed, target={"top1": 98})
    assert error.value.message == message


def test_arrays_and_functions_may_be_factors(fake: Any) -> None:
    import numpy as np

    fake(lambda data, how: 10.0 if how is np.sum else 5.0)
    one, other = np.arange(3), np.arange(3) + 1
    frame = ladder(train, {"data": one, "how": np.sum}, {"data": other, "how": np.mean}, target={"top1": 98})
    assert frame["seconds_ratio"].tolist() == [1.0, 2.0]
    assert isinstance(frame, pd.DataFrame)
    assert MOST == 4
