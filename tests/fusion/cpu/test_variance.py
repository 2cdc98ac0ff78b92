"""Exact variances: the nearest double to the variance of the numbers as fractions."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import workbench as wb
from workbench.fusion.cpu.variance import over_axes

NUMBERS = st.one_of(
    st.floats(),
    st.floats(-1, 1, width=32),
    st.sampled_from([0.0, -0.0, 5e-324, -5e-324, 2.3e-308, 1.7e308, -1.7e308, 1e8, 1e8 + 1]),
)
WAYS: list[dict[str, Any]] = [
    {"device": "interpreter"},
    {"device": "cpu", "threads": 1},
    {"device": "cpu", "threads": 2},
]


def nearest(row: Any, ddof: float, skip: bool) -> float:
    numbers = [float(each) for each in row if not (skip and np.isnan(each))]
    if not numbers or not np.isfinite(numbers).all():
        return math.nan
    exact = [Fraction(each) for each in numbers]
    mean = sum(exact) / len(exact)
    spread, free = sum((each - mean) ** 2 for each in exact), Fraction(len(exact)) - Fraction(ddof)
    if free <= 0:
        return math.nan if skip or not spread else math.inf
    try:
        return float(spread / free)
    except OverflowError:
        return math.inf


def rows_of(x: np.ndarray, axis: int | None) -> np.ndarray:
    return x.reshape(1, -1) if axis is None else x if axis == 1 else x.T


@settings(max_examples=80, deadline=None)
@given(
    st.integers(1, 4).flatmap(lambda n: st.lists(st.lists(NUMBERS, min_size=n, max_size=n), min_size=1, max_size=5)),
    st.sampled_from([0, 1, 0.5, 3]),
    st.booleans(),
)
def test_any_numbers(rows: list[list[float]], ddof: float, skip: bool) -> None:
    x = np.array(rows)
    for axis in (None, 0, 1):
        found = over_axes(x, (0, 1) if axis is None else (axis,), False, ddof, skip)
        wanted = [nearest(row, ddof, skip) for row in rows_of(x, axis)]
        np.testing.assert_array_equal(found.reshape(-1), wanted)


@pytest.mark.filterwarnings("ignore:Degrees of freedom")
@pytest.mark.parametrize("axis", [None, 0, 1])
@pytest.mark.parametrize("name", ["var", "std", "nanvar", "nanstd"])
@pytest.mark.parametrize("dtype", ["float64", "float32", "int64"])
def test_reductions(name: str, axis: int | None, dtype: str) -> None:
    x = np.random.default_rng(8).normal(1e6, 10.0, size=(41, 23)).astype(dtype)
    skip = name.startswith("nan")
    if skip and x.dtype.kind == "f":
        x[::7, 3] = x[:, 5] = np.nan
    wanted = np.array([nearest(row, 1, skip) for row in rows_of(x, axis)])
    wanted = (np.sqrt(wanted) if name.endswith("std") else wanted).astype(getattr(np, name)(x).dtype)
    lazy = getattr(np, name)(wb.fusion.array(x), axis=axis, ddof=1)
    for way in WAYS:
        found = lazy.compute(exact=True, **way)
        assert found.dtype == wanted.dtype
        np.testing.assert_array_equal(np.reshape(found, -1), wanted)


def test_dimensions_and_computed_values() -> None:
    x = np.random.default_rng(1).normal(1e9, 1, (5, 6, 7))
    for axis in ((0, 2), 1, (1, 2)):
        for keep in (False, True):
            found = np.var(wb.fusion.array(x) * 3, axis=axis, keepdims=keep).compute(exact=True)
            plain = np.var(x * 3, axis=axis, keepdims=keep)
            moved = np.moveaxis(x * 3, axis, range(-len(np.atleast_1d(axis)), 0)).reshape(plain.size, -1)
            assert found.shape == plain.shape
            np.testing.assert_array_equal(found.reshape(-1), [nearest(row, 0, False) for row in moved])


@pytest.mark.parametrize("sort", [True, False])
def test_groups(sort: bool) -> None:
    rng = np.random.default_rng(6)
    table = pd.DataFrame({"k": rng.integers(-3, 40, 1500), "w": rng.choice(["a", "b", None], 1500)})
    table["x"] = rng.normal(1e8, 1, 1500)
    table["f"] = rng.normal(size=1500).astype(np.float32)
    table.loc[::9, "x"] = np.nan
    table.loc[5, "x"] = np.inf
    for keys in ("k", ["k", "w"], "w", "f"):
        groups = table.groupby(keys, sort=sort)
        asked = [each for each in ("x", "f") if each != keys]
        lazies = wb.fusion.frame(table).groupby(keys, sort=sort)[asked].agg(["var", "sum", "std", "size"])
        found = lazies.compute(exact=True)
        for label in asked:
            wanted = groups[label].apply(list).map(lambda part: nearest(part, 1, True)).astype(float)
            for name, each in (("var", wanted), ("std", np.sqrt(wanted))):
                rounded = each.astype(table[label].dtype)
                pd.testing.assert_series_equal(found[label, name], rounded, check_exact=True, check_names=False)
            np.testing.assert_array_equal(found[label, "size"], groups.size())


def test_columns_of_frames() -> None:
    table = pd.DataFrame({"x": [1e8, 1e8 + 1, np.nan, 1e8 + 5], "y": [1.5, 2.5, 4.25, 1e-300]})
    found = wb.fusion.frame(table).var().compute(exact=True)
    np.testing.assert_array_equal(found, [nearest(table[each], 1, True) for each in table])
    assert wb.fusion.frame(table).y.std(ddof=0).compute(exact=True) == math.sqrt(nearest(table.y, 0, True))
