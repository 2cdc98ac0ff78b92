from __future__ import annotations

import math
import pickle
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.anomaly.exact import ExactSum, exact_sum

finite = st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=True)
any_size = st.lists(finite, max_size=60)


def rounded(values: list[float], divisor: int = 1) -> float:
    """The same sum in fractions, which Python rounds once."""
    total = sum((Fraction(value) for value in values), Fraction(0))
    try:
        return float(total / divisor)
    except OverflowError:
        return math.inf if total > 0 else -math.inf


@given(any_size)
def test_sum_is_exactly_rounded(values: list[float]) -> None:
    assert exact_sum(values) == rounded(values)


@given(st.lists(st.floats(-1e12, 1e12), max_size=60))
def test_sum_equals_fsum(values: list[float]) -> None:
    assert exact_sum(values) == math.fsum(values)


@given(any_size, st.integers(1, 10**9))
def test_mean_is_rounded_once(values: list[float], divisor: int) -> None:
    assert ExactSum().add(values).value(divisor) == rounded(values, divisor)


@given(any_size, st.integers(0, 60), st.randoms())
def test_grouping_and_order_change_nothing(values: list[float], cut: int, random: object) -> None:
    whole = ExactSum().add(values)
    parts = ExactSum().add(values[cut:]).merge(ExactSum().add(values[:cut]))
    shuffled = list(values)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert parts.value() == whole.value() == exact_sum(shuffled)
    assert parts.count == whole.count == len(values)


@pytest.mark.parametrize("scale", [1e-320, 1e-300, 1e-160, 1.0, 1e150, 1e290, 1e298])
def test_large_arrays_of_any_magnitude(scale: float) -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(0, 1, 70_001) * rng.choice([1.0, 1e-9, 1e3], 70_001) * scale
    assert exact_sum(x) == math.fsum(x)


def test_magnitudes_far_apart() -> None:
    rng = np.random.default_rng(4)
    x = np.ldexp(rng.normal(0, 1, 50_000), rng.integers(-1000, 1000, 50_000))
    assert exact_sum(x) == math.fsum(x)
    assert exact_sum(np.concatenate([x, -x[::-1]])) == 0.0
    assert exact_sum([1e308, 1e308, -1e308]) == 1e308
    assert exact_sum([1e308, 1e308]) == math.inf
    assert exact_sum([5e-324] * 3) == 1.5e-323


def test_infinite_numbers_and_nan_as_in_arithmetic() -> None:
    assert exact_sum([1.0, math.inf]) == math.inf
    assert exact_sum([1.0, -math.inf, -math.inf]) == -math.inf
    assert math.isnan(exact_sum([math.inf, -math.inf]))
    assert math.isnan(exact_sum([1.0, math.nan]))
    total = ExactSum().add([1.0, math.inf, 2.0, -math.inf])
    assert total.value(2, finite=True) == 1.5
    assert (total.plus, total.minus, total.count) == (1, 1, 4)
    assert exact_sum([]) == 0.0


@given(st.lists(st.tuples(st.floats(-1e60, 1e60), st.floats(-1e60, 1e60)), max_size=40))
def test_products_are_not_rounded(pairs: list[tuple[float, float]]) -> None:
    pairs = [(x, w) for x, w in pairs if abs(x * w) > 1e-250 or (x * w == 0 and min(abs(x), abs(w)) == 0)]
    total = ExactSum().add([x for x, _ in pairs], [w for _, w in pairs])
    exact = sum((Fraction(x) * Fraction(w) for x, w in pairs), Fraction(0))
    assert total.value() == float(exact)


def test_one_weight_for_all() -> None:
    assert ExactSum().add([0.1, 0.2], 10.0).value() == float((Fraction(0.1) + Fraction(0.2)) * 10)


@given(any_size)
@settings(max_examples=30)
def test_a_pickled_sum_goes_on(values: list[float]) -> None:
    total = pickle.loads(pickle.dumps(ExactSum().add(values)))
    assert total.add([1.5]).value() == exact_sum([*values, 1.5])
    assert len(pickle.dumps(total)) < 1000


def test_strided_arrays_and_other_types() -> None:
    x = np.arange(20.0).reshape(10, 2)
    assert exact_sum(x[:, 1]) == 100.0
    assert exact_sum(np.arange(5)) == 10.0
    assert ExactSum().add_by(lambda rows: rows[:, 0] * 2, x).value() == 180.0
    assert "20 numbers: 190.0" in repr(ExactSum().add(x))
