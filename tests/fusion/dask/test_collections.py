"""Dask collections: the same answers as pandas and NumPy, one task for each partition, and workers that are killed."""

from __future__ import annotations

import math
from typing import Any

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest

import workbench as wb
from tests.fusion.dask.conftest import rides
from workbench.fusion.dask.partials import Reduction, merged_parts

RNG = np.random.default_rng(10)
FRAME = rides()


@pytest.fixture(params=[1, 2, 7])
def ddf(request: pytest.FixtureRequest) -> Any:
    return dd.from_pandas(FRAME, npartitions=request.param)


@pytest.mark.parametrize("name", ["sum", "mean", "min", "max", "count", "var", "std"])
def test_c46_reductions_of_columns(ddf: Any, name: str) -> None:
    few, plain = wb.fusion.frame(ddf), FRAME
    found = getattr(few[few.fare > 5].tip * 2, name)().compute()
    assert found == pytest.approx(getattr(plain[plain.fare > 5].tip * 2, name)(), rel=1e-11)


@pytest.mark.parametrize("name", ["sum", "mean", "min", "max", "count", "size", "var", "std", "first", "last"])
def test_c46_reductions_by_group(ddf: Any, name: str) -> None:
    found = getattr(wb.fusion.frame(ddf).groupby("state").tip, name)().compute()
    pd.testing.assert_series_equal(found, getattr(FRAME.groupby("state").tip, name)(), rtol=1e-10)


def test_several_columns_and_several_keys(ddf: Any) -> None:
    found = wb.fusion.frame(ddf).groupby(["state", "word"])[["fare", "tip"]].mean().compute()
    pd.testing.assert_frame_equal(found, FRAME.groupby(["state", "word"])[["fare", "tip"]].mean(), rtol=1e-10)


def test_groups_in_the_order_of_their_rows(ddf: Any) -> None:
    found = wb.fusion.frame(ddf).groupby("word", sort=False).fare.sum().compute()
    pd.testing.assert_series_equal(found, FRAME.groupby("word", sort=False).fare.sum(), rtol=1e-10)


def test_rows_keep_index_and_dtype(ddf: Any) -> None:
    lazy = wb.fusion.frame(ddf)
    found = lazy[lazy.tip > 0].assign(share=lazy.tip / lazy.fare)[["state", "share"]].compute()
    wanted = FRAME[FRAME.tip > 0].assign(share=FRAME.tip / FRAME.fare)[["state", "share"]]
    pd.testing.assert_frame_equal(found, wanted, rtol=1e-12)


def test_one_task_for_each_partition(ddf: Any) -> None:
    lazy = wb.fusion.frame(ddf)
    mapped = ((lazy.fare * 2 + lazy.tip)[lazy.tip > 0]).to_dask().optimize()
    tasks = [key for key in mapped.dask if isinstance(key, tuple) and not key[0].startswith("frompandas")]
    assert len(tasks) == ddf.npartitions


def test_what_does_not_fuse_runs_in_dask(ddf: Any) -> None:
    lazy = wb.fusion.frame(ddf)
    assert (lazy.fare * 2).nunique().compute() == (FRAME.fare * 2).nunique()
    pd.testing.assert_series_equal((lazy.fare * 2).cumsum().compute(), (FRAME.fare * 2).cumsum(), rtol=1e-10)
    pd.testing.assert_frame_equal(lazy.head(5), FRAME.head(5))


def test_errors_are_those_of_pandas_and_come_at_once(ddf: Any) -> None:
    lazy = wb.fusion.frame(ddf)
    with pytest.raises(KeyError):
        lazy["fares"]
    with pytest.raises(AttributeError):
        _ = lazy.fares
    with pytest.raises(KeyError):
        lazy.groupby("states")


@pytest.mark.parametrize("name", ["sum", "mean", "min", "max", "var", "std"])
def test_arrays(name: str) -> None:
    x = RNG.normal(size=(400, 6))
    lazy = wb.fusion.array(da.from_array(x, chunks=(130, 3)))
    found = getattr(np.exp(-lazy * lazy) + 1, name)().compute()
    assert found == pytest.approx(getattr(np.exp(-x * x) + 1, name)(), rel=1e-12)
    np.testing.assert_allclose((lazy * 2 - 1).compute(), x * 2 - 1)
    np.testing.assert_allclose(lazy.sum(axis=0).compute(), x.sum(axis=0))


SAME_BITS = {
    "count": lambda f: f.tip.count(),
    "sum_of_integers": lambda f: f.state.sum(),
    "min": lambda f: f.tip.min(),
    "max": lambda f: (f.fare * 2).max(),
    "any": lambda f: (f.tip > 3).any(),
    "group_sum_of_integers": lambda f: f.groupby("word").state.sum(),
    "group_min": lambda f: f.groupby("state").tip.min(),
    "group_first": lambda f: f.groupby(["word", "state"]).fare.first(),
    "group_last": lambda f: f.groupby("state").tip.last(),
    "group_order": lambda f: f.groupby("word", sort=False).state.count(),
    "rows": lambda f: f[f.tip > 0].assign(share=f.tip / f.fare),
}


@pytest.mark.parametrize("name", SAME_BITS)
def test_what_is_no_float_sum_has_the_same_bits_for_any_partitions(name: str) -> None:
    found = [SAME_BITS[name](wb.fusion.frame(dd.from_pandas(FRAME, npartitions=k))).compute() for k in (1, 2, 7)]
    for other in found[1:]:
        same(found[0], other)


EXACT = {
    "sum": lambda f: (f.fare * f.tip).sum(),
    "mean": lambda f: f.tip.mean(),
    "std": lambda f: f.fare.std(),
    "group_sum": lambda f: f.groupby("state").fare.sum(),
    "group_means": lambda f: f.groupby(["state"])[["fare", "tip"]].mean(),
    "group_var": lambda f: f.groupby("state").tip.var(),
}


@pytest.mark.parametrize("name", EXACT)
def test_c51_exact_sums_have_the_same_bits_for_any_partitions(name: str) -> None:
    here = EXACT[name](wb.fusion.frame(FRAME)).compute(exact=True)
    for k in (1, 2, 7):
        same(EXACT[name](wb.fusion.frame(dd.from_pandas(FRAME, npartitions=k))).compute(exact=True), here)


def test_c51_exact_sums_of_arrays() -> None:
    x = RNG.normal(size=900) * 10.0 ** RNG.integers(-9, 9, 900)
    for chunk in (900, 450, 130):
        assert wb.fusion.array(da.from_array(x, chunks=chunk)).sum().compute(exact=True) == math.fsum(x)


def same(found: Any, wanted: Any) -> None:
    if isinstance(wanted, pd.DataFrame):
        pd.testing.assert_frame_equal(found, wanted, check_exact=True)
    elif isinstance(wanted, pd.Series):
        pd.testing.assert_series_equal(found, wanted, check_exact=True)
    else:
        assert found == wanted and type(found) is type(wanted)


def test_lengths_count_missing_values_too() -> None:
    lazy = wb.fusion.frame(dd.from_pandas(FRAME, npartitions=4))
    assert len(lazy) == len(FRAME) and len(lazy.tip) == len(FRAME)
    assert len(lazy[lazy.tip > 0]) == (FRAME.tip > 0).sum()


def test_values_of_dask_are_computed_as_others_are() -> None:
    source = "n = table.state.nunique(); n2 = n + 1; m = (table.fare * 2).mean()"
    result = wb.fusion.run_cell(source, {"table": dd.from_pandas(FRAME, npartitions=3)})
    assert (result.names["n"], result.names["n2"]) == (12, 13)
    assert result.names["m"] == pytest.approx(2 * FRAME.fare.mean(), rel=1e-12)


def test_partitions_without_rows() -> None:
    lazy = wb.fusion.frame(dd.from_pandas(FRAME, npartitions=5))
    few = lazy[lazy.fare > FRAME.fare.max() - 1e-9]
    assert few.fare.max().compute() == FRAME.fare.max()
    assert few.fare.count().compute() == 1
    assert few.groupby("state").fare.mean().compute().tolist() == [FRAME.fare.max()]


def test_inside_a_cell_and_in_one_plan() -> None:
    ddf = dd.from_pandas(FRAME, npartitions=3)
    result = wb.fusion.run_cell("out = rides.groupby('state').fare.mean()", {"rides": ddf})
    pd.testing.assert_series_equal(result.names["out"], FRAME.groupby("state").fare.mean(), rtol=1e-10)
    total, most = wb.fusion.compute(wb.fusion.frame(ddf).fare.sum(), wb.fusion.array(np.arange(4.0)).max())
    assert (total, most) == (pytest.approx(FRAME.fare.sum()), 3.0)


def test_partials_merge_in_any_grouping() -> None:
    end = Reduction("var", 1)
    x = RNG.normal(size=90)
    parts = [[30, x[k : k + 30].mean(), x[k : k + 30].var()] for k in (0, 30, 60)]
    flat = merged_parts(end, parts)
    nested = merged_parts(end, [merged_parts(end, parts[:2]), parts[2]])
    np.testing.assert_allclose(flat, [90, x.mean(), x.var()], rtol=1e-12)
    np.testing.assert_allclose(nested, flat, rtol=1e-12)
