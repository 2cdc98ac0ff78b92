"""Lazy frames and columns as objects: when they are computed, what they keep, how they are shown and told."""

from __future__ import annotations

import copy
import pickle
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.fusion.capture.pairs import assert_same, table
from workbench import fusion
from workbench.engine.errors import WorkbenchWarning
from workbench.fusion.capture.frame import LazyFrame, frame
from workbench.fusion.capture.series import LazySeries

TABLE = table(30)


def lazies() -> tuple[pd.DataFrame, LazyFrame]:
    mine = TABLE.copy()
    found = frame(mine)
    assert isinstance(found, LazyFrame)
    return mine, found


def test_c03_frame_with_pandas_names_and_fallback() -> None:
    mine, lazy = lazies()
    assert isinstance(lazy.x, LazySeries) and frame(lazy) is lazy and isinstance(frame(mine.x), LazySeries)
    with pytest.warns(WorkbenchWarning) as told:
        found = lazy[lazy.i > 0].x.interpolate()
    assert isinstance(found, LazySeries)
    assert str(told[0].message).startswith("interpolate ran in pandas, unfused (line ")
    assert_same(found.compute(), mine[mine.i > 0].x.interpolate())
    total = (found * 2).sum()
    total.compute()
    plan = total._plan
    assert list(plan.reasons.op) == ["interpolate"]
    assert list(plan.reasons.reason) == ["unsupported operation"]
    assert plan.reasons["where"][0].startswith("test_lazy.py:")
    assert "fallback" in list(plan.to_pandas().kind)


def test_fallback_to_a_value_is_told_too() -> None:
    _, lazy = lazies()
    with pytest.warns(WorkbenchWarning):
        lazy.x.interpolate().median()
    assert list(fusion.plans()[-1].reasons.op) == ["interpolate", "median"]


def test_fallback_warns_once_at_each_place() -> None:
    _, lazy = lazies()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for _ in range(3):
            lazy.x.median()
    assert len(told) == 1


def test_c06_filter_math_and_aggregate_in_one_kernel() -> None:
    mine, lazy = lazies()

    def code(d: Any) -> Any:
        big = d[d.i > 0]
        score = (big.x + 2 * big.y - 2000 * big.i) / 1e5
        score = score.mask(score >= 0.02, 0.032)
        return score.mask(score < 0.01, 0.005).sum()

    total = code(lazy)
    assert_same(total.compute(), code(mine))
    assert total._plan.launches == 1 and [each.kind for each in total._plan.kernels] == ["reduce"]


def test_c12_first_rows_of_each_group() -> None:
    mine, lazy = lazies()

    def code(d: Any) -> Any:
        return d.sort_values("y", ascending=False).groupby(["j", "b"]).head(2)[["j", "b", "y"]]

    assert_same(code(lazy).compute(), code(mine))


def test_c14_several_results_in_one_plan() -> None:
    mine, lazy = lazies()
    total, top, part = fusion.compute(lazy.x.sum(), lazy.y.max(), lazy[lazy.i > 0][["x"]])
    assert_same((total, top), (mine.x.sum(), mine.y.max()))
    assert_same(part, mine[mine.i > 0][["x"]])
    assert len(fusion.plans()[-1].kernels) <= 2


def test_c20_columns_that_nobody_needs_are_not_read() -> None:
    mine, lazy = lazies()
    total = lazy[lazy.i > 0].assign(z=lazy.y * 2, w=lazy.f + 1).z.sum()
    assert_same(total.compute(), mine[mine.i > 0].assign(z=mine.y * 2).z.sum())
    read = sum(kernel.bytes_read for kernel in total._plan.kernels)
    assert read <= 30 * (8 + 8) + 8


def test_c22_strings_by_their_dictionary() -> None:
    words = pd.DataFrame({"s": pd.Series(["lesly", "Anna", None, "lesly"] * 25, dtype="str"), "v": np.arange(100)})
    lazy = frame(words)
    seen: list[int] = []
    method = pd.Series.str.lower

    def counted(self: Any) -> Any:
        seen.append(len(self._orig))
        return method(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pd.Series.str, "lower", counted)
        mask = lazy.s.str.lower() == "lesly"
    assert seen == [2]
    assert_same(lazy[mask].v.sum().compute(), words[words.s.str.lower() == "lesly"].v.sum())


def test_c23_missing_values_as_in_pandas() -> None:
    values = pd.DataFrame({"x": [np.nan, 1.0, np.nan, -0.0], "n": pd.array([None, 1, None, 0], dtype="Int64")})
    lazy = frame(values)
    for code in (
        lambda d: d.x.sum(),
        lambda d: d.x.sum(skipna=False),
        lambda d: d.x.sum(min_count=3),
        lambda d: d.x[d.x > 5].sum(),
        lambda d: d.x[d.x > 5].mean(),
        lambda d: d.x[d.x > 5].max(),
        lambda d: d.x.prod(),
        lambda d: d.x.count(),
        lambda d: d.x == d.x,
        lambda d: d.x != 1,
        lambda d: d.n + 1,
        lambda d: d.n > 0,
        lambda d: d[d.n > 0],
        lambda d: d.n.fillna(7),
        lambda d: d.x.cumsum(),
    ):
        found, wanted = code(lazy), code(values)
        assert_same(found.compute(), wanted)


def test_c62_times_and_masked_columns() -> None:
    mine, lazy = lazies()

    def code(d: Any) -> Any:
        late = d[d.t.dt.year > 1980]
        return late.assign(month=late.t.dt.month, n=late.n * 2 + late.m)[["month", "n", "t"]]

    assert_same(code(lazy).compute(), code(mine))


def test_value_is_kept() -> None:
    _, lazy = lazies()
    found = lazy[lazy.i > 0]
    value = found.compute()
    assert found.compute() is value and found.to_pandas() is value
    column = lazy.x * 2
    assert column.compute() is column.compute()
    assert column.compute(device="eager") is not column.compute()


def test_columns_taken_before_and_after_meet() -> None:
    mine, lazy = lazies()
    part, wanted = lazy[lazy.i > 0], mine[mine.i > 0]
    early = part.x
    part.compute()
    assert_same((early + part.y).compute(), wanted.x + wanted.y)
    assert_same((part.y + early).compute(), wanted.y + wanted.x)
    assert_same(part[early > 0].compute(), wanted[wanted.x > 0])
    part["z"] = early * 2
    assert_same(part.compute(), wanted.assign(z=wanted.x * 2))


def test_python_asks_for_the_value() -> None:
    mine, lazy = lazies()
    assert repr(lazy.x) == repr(mine.x) and str(lazy) == str(mine)
    assert float(lazy.y.sum()) == pytest.approx(mine.y.sum())
    assert int(lazy.i.sum()) == mine.i.sum() and bool(lazy.b.any()) == mine.b.any()
    assert f"{lazy.y.mean():.3f}" == f"{mine.y.mean():.3f}"
    assert list(lazy.i) == list(mine.i) and list(lazy) == list(mine)
    assert len(lazy[lazy.i > 0]) == (mine.i > 0).sum() and lazy.shape == mine.shape
    assert np.asarray(lazy.y).tolist() == mine.y.tolist()
    assert lazy.y.max().item() == mine.y.max().item()
    assert "x" in lazy and lazy.columns.equals(mine.columns) and lazy.x.dtype == mine.x.dtype
    assert lazy.dtypes.astype(str).tolist() == mine.dtypes.astype(str).tolist()
    assert set(lazy._repr_mimebundle_()) == {"text/plain", "text/html"}
    assert [label for label, _ in lazy.items()] == list(mine)
    assert {"x", "merge", "groupby"} <= set(dir(lazy)) and "str" in dir(lazy.s)


def test_pickles_and_copies() -> None:
    mine, lazy = lazies()
    found = pickle.loads(pickle.dumps(lazy[lazy.i > 0]))
    assert isinstance(found, LazyFrame)
    assert_same(found.compute(), mine[mine.i > 0])
    other = copy.copy(lazy)
    other["z"] = 1
    assert "z" not in lazy and "z" not in copy.deepcopy(lazy)


def test_arrays_and_columns_meet() -> None:
    mine, lazy = lazies()
    values = np.arange(30.0)
    wrapped = fusion.array(values)
    assert_same((lazy.x + wrapped).compute(), mine.x + values)
    assert_same((wrapped * lazy.x).compute(), values * mine.x)
    assert_same((values - lazy.x).compute(), values - mine.x)
    assert_same(np.where(lazy.x > 0, lazy.x, 0.0).compute(), np.where(mine.x > 0, mine.x, 0.0))
    assert_same((lazy.x.values * 2).compute(), mine.x.values * 2)
    assert_same((wrapped - lazy.y.mean()).compute(), values - mine.y.mean())
    assert_same((lazy.y.mean() + wrapped).compute(), mine.y.mean() + values)
    assert_same(lazy[wrapped > 3].compute(), mine[values > 3])
    assert_same(lazy.assign(z=wrapped * 2).compute(), mine.assign(z=values * 2))
    assert lazy[["x", "y"]].values.shape == (30, 2)


def test_positions_are_told() -> None:
    _, lazy = lazies()
    plan = fusion.explain((lazy.x * 2).sum())
    assert all(each.startswith("test_lazy.py:") for each in plan.ops["where"])


def test_check_compares_with_eager_work() -> None:
    mine, lazy = lazies()
    assert_same((lazy[lazy.i > 0].x * 2).compute(check=True), mine[mine.i > 0].x * 2)
    assert_same(lazy.groupby("j").y.sum().compute(check=True), mine.groupby("j").y.sum())


def test_threads_and_exact_give_the_same() -> None:
    rows = 200_000
    rng = np.random.default_rng(1)
    mine = pd.DataFrame({"k": rng.integers(0, 50, rows), "x": rng.normal(size=rows), "y": rng.random(rows)})
    lazy = frame(mine)

    def code(d: Any) -> Any:
        return d[d.y > 0.5].x.sum(), d[d.x > 0].groupby("k").y.sum()

    wanted = code(mine)
    one = [each.compute(threads=1) for each in code(lazy)]
    two = [each.compute(threads=2) for each in code(lazy)]
    assert_same(tuple(one), wanted)
    assert one[0] == two[0] and one[1].equals(two[1])
    exact = code(lazy)[0].compute(exact=True)
    import math

    assert exact == math.fsum(mine[mine.y > 0.5].x)
