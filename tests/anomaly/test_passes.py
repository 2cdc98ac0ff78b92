from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.anomaly import selection
from workbench.anomaly.passes import Additive, ArrayPasses, Survey, sample_rows, survey
from workbench.anomaly.transforms import Above, Below, Distance, Identity, Squares, Winsorised, WinsorisedProduct


class Parts(Additive):
    """A table in parts, as tasks on other processes see it: whatever goes there and back is pickled."""

    def __init__(self, x: np.ndarray, cuts: list[int], rate: float | None = None) -> None:
        self.parts = np.split(x, sorted(cuts))
        self.rounds = 0
        super().__init__([survey(part, rate) for part in self.parts])

    def each(self, task: Callable[[np.ndarray, int], Any]) -> list[Any]:
        self.rounds += 1
        task = pickle.loads(pickle.dumps(task))
        return [pickle.loads(pickle.dumps(task(part, i))) for i, part in enumerate(self.parts)]


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows on tables of any size, from samples of a few rows."""
    monkeypatch.setattr(selection, "LARGE", 0)
    monkeypatch.setattr(selection, "sample_size", lambda n: min(n, max(1, n // 3)))


def hard_cases() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    n = 3_000
    spiked = rng.normal(0, 1, n)
    spiked[rng.random(n) < 0.6] = 0.0
    alternating = np.where(np.arange(n) % 2 == 0, 1.0, -1.0)
    infinite = rng.normal(0, 1, n)
    infinite[:700], infinite[700:1000] = math.inf, -math.inf
    return {
        "normal": rng.normal(100, 10, n),
        "whole numbers": rng.integers(-20, 20, n).astype(float),
        "constant": np.full(n, 3.25),
        "spike": spiked,
        "sorted": np.sort(rng.exponential(1, n)),
        "two values": alternating,
        "periodic": np.sin(np.arange(n) * 2 * np.pi / 3),
        "infinite": infinite,
        "all infinite": np.full(n, math.inf),
        "heavy tails": rng.standard_cauchy(n) ** 3,
        "one": np.array([2.5]),
    }


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("name", hard_cases())
def test_order_equals_sort(name: str) -> None:
    x = hard_cases()[name]
    n = len(x)
    ranks = sorted({0, n // 100, n // 3, (n - 1) // 2, n // 2, n - 1 - n // 100, n - 1})
    for passes in (ArrayPasses(x), Parts(x, [n // 7, n // 7, n // 2]), Parts(x, [])):
        for transform in (Identity(), Distance(0.5), Above(2.0), Below(2.0)):
            assert passes.order(transform, ranks) == [v + 0.0 for v in np.sort(transform(x))[ranks]]


def test_a_sample_that_misleads_costs_rounds_not_the_answer() -> None:
    x = np.concatenate([np.zeros(50_000), np.arange(250_000.0)])
    misleading = Survey(len(x), np.zeros(1, int), np.zeros(1, int), np.full(1_000, 1e9))
    passes = Parts(x, [100_000])
    passes.surveys = (misleading, Survey(0, np.zeros(1, int), np.zeros(1, int), np.empty(0)))
    assert passes.order(Identity(), [150_000, 160_000]) == [100_000.0, 110_000.0]
    assert passes.rounds == 3
    array = ArrayPasses(x)
    array.surveys = (misleading,)
    assert array.order(Identity(), [150_000]) == [100_000.0]


def test_parts_of_unlike_sizes_and_values_take_one_round() -> None:
    rng = np.random.default_rng(14)
    parts = [rng.normal(level, 1, n) for level, n in ((0, 200_000), (50, 300), (60, 300), (70, 40_000))]
    x = np.concatenate(parts)
    passes = Parts(x, np.cumsum([len(part) for part in parts[:-1]]).tolist())
    ranks = [1_000, 120_000, 200_100, 239_000]
    assert passes.order(Identity(), ranks) == np.sort(x)[ranks].tolist()
    assert passes.rounds == 1


def test_one_round_for_order_statistics_and_sums() -> None:
    x = np.random.default_rng(6).normal(0, 1, 300_000)
    passes = Parts(x, [1_000, 200_000])
    orders, sums = passes.measure([(Identity(), [149_999, 150_000]), (Distance(0.1), [297_000])], [Identity()])
    assert passes.rounds == 1
    assert orders[0] == np.sort(x)[[149_999, 150_000]].tolist()
    assert orders[1] == [np.sort(np.abs(x - 0.1))[297_000]]
    assert sums[0].value() == math.fsum(x)


@pytest.mark.usefixtures("tiny")
@given(
    st.lists(st.sampled_from([-math.inf, -1.0, 0.0, 0.25, 0.5, 7.0, math.inf]), min_size=1, max_size=40),
    st.lists(st.integers(0, 40), max_size=6),
    st.lists(st.floats(0, 1), min_size=1, max_size=4),
)
@settings(max_examples=60)
def test_any_partitioning_gives_the_same(values: list[float], cuts: list[int], shares: list[float]) -> None:
    x = np.array(values)
    whole, parts = ArrayPasses(x), Parts(x, [cut for cut in cuts if cut <= len(x)])
    assert parts.n == whole.n == len(x)
    assert parts.infinite() == whole.infinite() == ((x == -math.inf).sum(), (x == math.inf).sum())
    assert parts.quantiles(Identity(), shares) == whole.quantiles(Identity(), shares)
    a, b = parts.sum(Distance(0.25)), whole.sum(Distance(0.25))
    assert a == b or (math.isnan(a) and math.isnan(b))
    points = np.array([-1.0, 0.3, math.inf])
    assert parts.ranks(points, Identity()).tolist() == whole.ranks(points, Identity()).tolist()


@given(st.integers(1, 300), st.integers(1, 50), st.lists(st.integers(0, 300), max_size=5), st.integers(0, 3))
@settings(max_examples=50)
def test_samples_do_not_depend_on_the_parts(n: int, m: int, cuts: list[int], seed: int) -> None:
    x = np.arange(2.0 * n).reshape(n, 2)
    parts, m = Parts(x, [cut for cut in cuts if cut <= n]), min(m, n)
    sample = parts.sample(m, seed)
    assert sample.shape == (m, 2)
    assert (sample == ArrayPasses(x).sample(m, seed)).all()
    assert (np.diff(sample[:, 0]) > 0).all()
    assert (parts.values() == x).all()


def test_samples_differ_by_seed() -> None:
    assert (sample_rows(1_000, 10, 0) == sample_rows(1_000, 10, 0)).all()
    assert (sample_rows(1_000, 10, 0) != sample_rows(1_000, 10, 1)).any()
    assert sample_rows(5, 10, 0).tolist() == [0, 1, 2, 3, 4]


def test_transforms() -> None:
    x = np.array([[1.0, -4.0], [3.0, math.inf]])
    assert Identity(1)(x).tolist() == [-4.0, math.inf]
    assert Squares(1.0, 0.5)(x).tolist() == [0.0, 1.0]
    clipped = Winsorised(((1.5, 2.0), (-5.0, 0.0)))
    assert clipped(x).tolist() == [1.5, math.inf]
    assert clipped.column(1)(x).tolist() == [-4.0, math.inf]
    product = WinsorisedProduct(clipped, (0, 1), (1.0, -2.0), (2.0, 1.0))
    assert product(x).tolist() == [-2.0, math.inf]
    assert Distance(1.0) == pickle.loads(pickle.dumps(Distance(1.0)))


def test_surveys_of_parts() -> None:
    x = np.array([[1.0, -math.inf], [math.inf, 2.0], [3.0, -math.inf]])
    found = survey(x, 0.5)
    assert (found.rows, found.minus.tolist(), found.plus.tolist()) == (3, [0, 2], [1, 0])
    assert found.sample.shape == (2, 2)
    assert survey(x[:0], 0.5).sample.shape == (0, 2)
    assert survey(np.empty(0)).rows == 0
