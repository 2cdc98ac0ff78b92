"""Numbers cut into limbs: their sums are the exact ones, rounded once."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.anomaly.numbers import Grid, Number, grid_of

anything = st.floats(allow_nan=False, allow_infinity=False)
alike = st.floats(-1e6, 1e6).map(lambda x: round(x, 4))


@given(st.one_of(st.lists(anything, max_size=50), st.lists(alike, max_size=50), st.lists(st.integers(-(2**60), 2**60))))
@settings(max_examples=100, deadline=None)
def test_c47_sums_are_those_of_fsum_in_any_order_and_any_parts(values: list[float]) -> None:
    x = np.array(values, np.float64)
    try:
        expected = math.fsum(x)
    except OverflowError:
        return
    assert Number(x).sum() == expected
    assert Number(x[::-1]).sum() == expected
    half = len(x) // 2
    grid = grid_of(x[:half]).merge(grid_of(x[half:]))
    assert grid == grid_of(x)
    limbs = grid.split(x[:half]).sum(axis=1) + grid.split(x[half:]).sum(axis=1)
    assert grid.join(limbs[:, None])[0] == expected
    assert (np.abs(grid.split(x)) <= 1 << 30).all()


@pytest.mark.parametrize(
    "values", [[], [0.0, -0.0], [5e-324, -5e-324, 5e-324], [1e308, -1e308, 1.0], [2.0**60, 1.0, 1e-9]]
)
def test_edges(values: list[float]) -> None:
    assert Number(np.array(values)).sum() == math.fsum(values)


def test_c12_infinite_numbers_add_up_as_in_arithmetic() -> None:
    assert Number(np.array([1.0, np.inf, 2.0])).sum() == np.inf
    assert Number(np.array([1.0, -np.inf, 2.0])).sum() == -np.inf
    assert np.isnan(Number(np.array([np.inf, -np.inf])).sum())
    assert Grid().merge(Grid(endless=True)).merge(Grid(0, 3)) == Grid(0, 3, True)


def test_whole_numbers_need_one_limb() -> None:
    assert grid_of(np.arange(1000.0)).limbs == 1
    assert Number(np.arange(100_000.0)).sum() == 100_000 * 99_999 / 2


def test_a_sum_beyond_all_doubles_is_infinite() -> None:
    assert Number(np.array([1.7e308, 1.7e308])).sum() == np.inf
    assert Number(np.array([-1.7e308, -1.7e308, 1e-300])).sum() == -np.inf
