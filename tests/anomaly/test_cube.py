from __future__ import annotations

import math
import os
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.anomaly.cube import Cube, columns_of, expected, usable
from workbench.engine.errors import WorkbenchError

TAILS = ("both", "high", "low")
QUANTILES = {0.0: "min", 0.1: "p10", 0.5: "p50", 0.9: "p90", 1.0: "max"}


def sample(name: str) -> dict[str, np.ndarray]:
    """Return the numeric columns of one of MacroBase's sample tables."""
    mirror = os.environ.get("WORKBENCH_MIRROR")
    if not mirror or not (Path(mirror) / "macrobase" / name).exists():
        pytest.skip("WORKBENCH_MIRROR has no macrobase/ samples")
    table = pd.read_csv(Path(mirror) / "macrobase" / name)
    return {column: table[column].to_numpy(np.float64) for column in table.select_dtypes("number")}


def walk(values: list[float], weights: list[float], top: float, *, from_top: bool) -> float:
    """Return the first value at which the cumulated count reaches floor(top * N)."""
    needed = math.floor(top * sum(weights) * (1 + 1e-9)) * (1 - 1e-9)
    total = 0.0
    for value, weight in sorted(zip(values, weights, strict=True), reverse=from_top):
        total += weight
        if total >= needed:
            return value
    raise AssertionError


def beyond(mean: float, std: float, cut: float) -> float:
    """Return the share of a normal distribution above the cutoff."""
    if not std > 0:
        return float(mean > cut)
    z = (cut - mean) / std
    return 0.0 if z > 3.5 else 1.0 if z < -3.5 else 1 - NormalDist().cdf(z)


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("top", [0.01, 0.1, 0.29])
def test_c32_means_and_deviations_of_the_sample(tail: Any, top: float) -> None:
    columns = sample("sample_cubed.csv")
    count, mean, std = (columns[name].tolist() for name in ("count", "mean", "std"))
    found = expected(Cube("count", "mean", "std"), columns, top=top, tail=tail)
    low, high = walk(mean, count, top, from_top=False), walk(mean, count, top, from_top=True)
    assert found.cutoff.low == (low if tail != "high" else -math.inf)
    assert found.cutoff.high == (high if tail != "low" else math.inf)
    for i in range(len(count)):
        share = 0.0
        if tail != "low":
            share += beyond(mean[i], std[i], high)
        if tail != "high":
            share += beyond(-mean[i], std[i], -low)
        assert found.outliers[i] == pytest.approx(count[i] * min(1.0, share), abs=1e-9)
    assert (found.totals == columns["count"]).all() and found.notes == ()


def test_c32_the_low_tail_of_the_sample_is_the_cold_group() -> None:
    columns = sample("sample_cubed.csv")
    found = expected(Cube("count", "mean", "std"), columns, top=0.02, tail="low")
    assert found.cutoff.low == 8.26286
    assert found.outliers.argmax() == 4 and found.outliers[4] == 10.0


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("top", [0.01, 0.2])
def test_c32_quantiles_of_the_sample(tail: Any, top: float) -> None:
    columns = sample("sample_cubed_quantiles.csv")
    shares, names = list(QUANTILES), list(QUANTILES.values())
    found = expected(Cube("count", quantiles=QUANTILES), columns, top=top, tail=tail)
    points = np.column_stack([columns[name] for name in names])
    values, weights = [], []
    for row, count in zip(points, columns["count"], strict=True):
        for j in range(4):
            values.append((row[j] + row[j + 1]) / 2)
            weights.append((shares[j + 1] - shares[j]) * count)
    low, high = walk(values, weights, top, from_top=False), walk(values, weights, top, from_top=True)
    assert found.cutoff.low == (pytest.approx(low) if tail != "high" else -math.inf)
    assert found.cutoff.high == (pytest.approx(high) if tail != "low" else math.inf)
    for i, row in enumerate(points):
        share = 0.0
        if tail != "low":
            share += 1 - float(np.interp(found.cutoff.high, row, shares))
        if tail != "high":
            share += float(np.interp(found.cutoff.low, row, shares))
        if len(set(row)) == len(row):  # where values repeat, np.interp does not say which side it takes
            assert found.outliers[i] == pytest.approx(columns["count"][i] * min(1.0, share), abs=1e-9)


def test_c32_quantiles_with_repeated_values_count_strictly_beyond() -> None:
    columns = {
        "n": np.array([10.0, 10.0]),
        "lo": np.array([1.0, 5.0]),
        "mid": np.array([5.0, 5.0]),
        "hi": np.array([5.0, 9.0]),
    }
    cube = Cube("n", quantiles={0: "lo", 0.5: "mid", 1: "hi"})
    # Midpoints 3, 5, 5, 7 with 5 rows each: the cutoff from the top at 8 of 20 rows is 5.
    found = expected(cube, columns, top=0.4, tail="high")
    assert found.cutoff.high == 5.0
    assert found.outliers.tolist() == [0.0, 5.0]
    low = expected(cube, columns, top=0.4, tail="low")
    assert low.cutoff.low == 5.0 and low.outliers.tolist() == [5.0, 0.0]


def test_c32_marked_rows_and_mean_metrics() -> None:
    columns = sample("sample_cubed_meanshift.csv")
    marks = np.array([True, False, False, True])
    found = expected(Cube("count", "mean"), columns, marks=marks)
    assert found.outliers.tolist() == [100.0, 0.0, 0.0, 500.0]
    assert found.totals.tolist() == [100.0, 300.0, 400.0, 500.0]
    assert math.isnan(found.cutoff.low) and math.isnan(found.cutoff.score)
    every = expected(Cube("count", "mean", "std"), columns, every=True)
    assert (every.outliers == every.totals).all()
    shift = sample("sample_cubedshift.csv")
    found = expected(Cube("count", "meanLatency"), shift, marks=shift["time"] == 2)
    assert found.outliers.sum() == shift["count"][shift["time"] == 2].sum()


@given(
    st.lists(st.tuples(st.integers(-20, 20), st.integers(1, 1)), min_size=1, max_size=60),
    st.sampled_from([0.01, 0.1, 0.3]),
    st.sampled_from(TAILS),
)
@settings(max_examples=60)
def test_c32_a_cube_of_single_rows_marks_rows_beyond_the_walk(
    rows: list[tuple[int, int]], top: float, tail: Any
) -> None:
    x = np.array([value for value, _ in rows], dtype=np.float64)
    columns = {"n": np.ones(len(x)), "mean": x, "std": np.zeros(len(x))}
    found = expected(Cube("n", "mean", "std"), columns, top=top, tail=tail)
    k = max(1, math.floor(top * len(x) * (1 + 1e-9)))
    ordered = np.sort(x)
    flags = np.zeros(len(x), bool)
    if tail != "low":
        flags |= x > ordered[-k]
    if tail != "high":
        flags |= x < ordered[k - 1]
    assert (found.outliers == flags).all()
    quantiles = expected(Cube("n", quantiles={0.0: "mean", 1.0: "mean"}), columns, top=top, tail=tail)
    assert ((quantiles.outliers == flags).all() and quantiles.cutoff == found.cutoff) or math.isnan(found.cutoff.score)


def test_c32_rows_without_a_deviation_count_whole() -> None:
    columns = {"n": np.array([5.0, 5.0, 90.0]), "m": np.array([9.0, 1.0, 5.0]), "s": np.array([0.0, math.nan, 1.0])}
    for cube in (Cube("n", "m", "s"), Cube("n", "m")):
        found = expected(cube, columns, top=0.07, tail="both")
        # From the top 7 rows reach the 90 at 5.0, and so they do from the bottom.
        assert (found.cutoff.low, found.cutoff.high) == (5.0, 5.0)
        assert found.outliers[:2].tolist() == [5.0, 5.0]
        assert found.outliers[2] == (90.0 if cube.std else 0.0)  # both halves, at most all of it


def test_c32_an_infinite_mean_is_beyond() -> None:
    columns = {"n": np.array([1.0, 50.0, 49.0]), "m": np.array([math.inf, 1.0, 2.0]), "s": np.array([1.0, 0.0, 0.0])}
    found = expected(Cube("n", "m", "s"), columns, top=0.3, tail="high")
    assert found.cutoff.high == 2.0 and found.outliers.tolist() == [1.0, 0.0, 0.0]


def test_c32_rows_that_are_left_out() -> None:
    columns = {
        "n": np.array([1.0, math.nan, 3.0, 4.0]),
        "m": np.array([1.0, 2.0, math.nan, 4.0]),
        "s": np.array([math.nan, 1.0, 1.0, 1.0]),
        "q": np.array([1.0, 1.0, 1.0, math.nan]),
    }
    cube = Cube("n", "m", "s")
    assert usable(cube, columns).tolist() == [True, False, False, True]
    assert usable(cube, columns, marked=True).tolist() == [True, False, True, True]
    assert usable(cube, columns, marked=True, mean=True).tolist() == [True, False, False, True]
    assert usable(Cube("n", quantiles={0: "q", 1: "q"}), columns).tolist() == [True, False, True, False]
    assert columns_of(Cube("n", "m", quantiles={0: "q", 1: "m"})) == ("n", "m", "q")


def test_c32_bad_cubes() -> None:
    columns = {
        "n": np.array([1.0, -2.0]),
        "m": np.array([1.0, 2.0]),
        "lo": np.array([1.0, 3.0]),
        "hi": np.array([2.0, 2.0]),
    }
    with pytest.raises(WorkbenchError, match='"n" is -2 in row 1; a weight is a finite number, 0 or more'):
        usable(Cube("n", "m"), columns)
    columns["n"] = np.ones(2)
    with pytest.raises(WorkbenchError, match='"lo" is above "hi" in row 1'):
        expected(Cube("n", quantiles={0: "lo", 1: "hi"}), columns)
    with pytest.raises(WorkbenchError, match='"s" is -3 in row 1; a standard deviation is 0 or more'):
        expected(Cube("n", "m", "s"), columns | {"s": np.array([1.0, -3.0])})
    with pytest.raises(WorkbenchError, match="quantiles maps shares to columns"):
        Cube("n", quantiles=["lo", "hi"])  # type: ignore[arg-type]
    with pytest.raises(WorkbenchError, match="A cube needs count"):
        Cube(None, "m")  # type: ignore[arg-type]
    with pytest.raises(WorkbenchError, match=r"quantiles needs 0\.0 and 1\.0"):
        Cube("n", quantiles={0.5: "m"})
    with pytest.raises(WorkbenchError, match=r"1\.5 is not a quantile's share"):
        Cube("n", quantiles={0: "m", 1.5: "m"})
    with pytest.raises(WorkbenchError, match="quantiles maps shares to columns"):
        Cube("n", quantiles={"low": "m"})  # type: ignore[dict-item]
    with pytest.raises(WorkbenchError, match="std needs mean"):
        Cube("n", std="s")
    with pytest.raises(WorkbenchError, match="No metric, where or labels given"):
        expected(Cube("n"), columns)
    assert Cube("n", quantiles={}).quantiles is None
    assert list(Cube("n", quantiles={1: "b", 0: "a"}).quantiles or {}) == [0.0, 1.0]


def test_c32_no_rows() -> None:
    empty = {"n": np.empty(0), "m": np.empty(0)}
    found = expected(Cube("n", "m"), empty)
    assert len(found.outliers) == len(found.totals) == 0
    nothing = expected(Cube("n", "m"), {"n": np.zeros(3), "m": np.arange(3.0)})
    assert nothing.outliers.tolist() == [0.0, 0.0, 0.0]
