"""Bad input: other rows, mixed columns, nothing, labels that stand twice, missing keys, overflow, division by zero."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.fusion.capture.pairs import both
from workbench.fusion.capture.frame import frame
from workbench.fusion.errors import FusionKeyError, FusionTypeError

OTHER_ROWS = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [1, 2, 3]}, index=[2, 1, 7])
ROWS = pd.DataFrame({"a": [10.0, 20.0, 30.0], "b": [4, 5, 6]}, index=[0, 1, 2])
TWICE = pd.DataFrame({"a": [1.0, 2.0, np.nan, 4.0], "b": [1, 2, 3, 4]}, index=["p", "q", "p", "r"])
COLUMNS = pd.DataFrame([[1, 2.0, "x"], [3, 4.0, "y"]], columns=["a", "b", "a"])
MIXED = pd.DataFrame({"a": [1, "two", 3.0, None], "b": [1, 2, 3, 4], "c": [[1], {}, None, "x"]}, dtype=object)
KEYS = pd.DataFrame(
    {
        "k": [1.0, np.nan, 1.0, -0.0, 0.0, np.nan],
        "s": pd.Series(["a", None, "a", "b", None, "b"], dtype="str"),
        "n": pd.array([1, None, 1, 2, None, 2], dtype="Int64"),
        "t": pd.to_datetime(["2020", None, "2020", "2021", None, "2021"], format="%Y"),
        "v": [1.0, 2.0, np.nan, np.nan, 5.0, 6.0],
        "w": [1, 2, 3, 4, 5, 6],
    }
)
BIG = pd.DataFrame(
    {
        "i": np.array([2**63 - 1, -(2**63), 5, 0]),
        "s": np.array([127, -128, 5, 0], np.int8),
        "u": np.array([2**64 - 1, 0, 5, 1], np.uint64),
        "x": [np.inf, -np.inf, np.nan, 0.0],
        "z": [0, 1, 0, -1],
    }
)

ROWS_THAT_DIFFER: dict[str, Any] = {
    "add": lambda f, g: f.a + g.a,
    "compare": lambda f, g: f.a > g.a,
    "compare_method": lambda f, g: f.a.gt(g.a),
    "mask": lambda f, g: f[g.a > 1],
    "set": lambda f, g: f.assign(z=g.a),
    "where": lambda f, g: f.a.where(g.a > 1),
    "fillna": lambda f, g: f.a.fillna(g.a),
    "ufunc": lambda f, g: np.maximum(f.a, g.a),
    "frames": lambda f, g: f * g,
    "dot": lambda f, g: f.a.dot(g.a),
    "corr": lambda f, g: f.a.corr(g.a),
    "group": lambda f, g: f.a.groupby(g.b).sum(),
}


@pytest.mark.parametrize("name", ROWS_THAT_DIFFER)
def test_rows_that_differ(name: str) -> None:
    both(ROWS_THAT_DIFFER[name], ROWS, OTHER_ROWS)
    both(ROWS_THAT_DIFFER[name], OTHER_ROWS, ROWS)
    both(ROWS_THAT_DIFFER[name], TWICE, ROWS)
    both(ROWS_THAT_DIFFER[name], ROWS, ROWS.copy())
    both(ROWS_THAT_DIFFER[name], TWICE, TWICE.copy())
    both(ROWS_THAT_DIFFER[name], ROWS, ROWS.iloc[:2])


DOUBLED: dict[str, Any] = {
    "add": lambda f: f.a + f.b,
    "filter": lambda f: f[f.b > 1],
    "filter_of_parent": lambda f: f[f.b > 1].a[f.a > 1],
    "set_of_parent": lambda f: f[f.b > 1].assign(z=f.a),
    "where_of_parent": lambda f: f[f.b > 1].a.where(f.a > 1),
    "arithmetic_of_parent": lambda f: f[f.b > 1].a + f.a,
    "sort": lambda f: f.sort_values("b", ascending=False),
    "loc_label": lambda f: f.loc["p"],
    "dropna": lambda f: f.dropna(),
    "reset": lambda f: f.reset_index(),
    "group": lambda f: f.groupby("b").a.sum(),
    "shift": lambda f: f.a.shift(),
    "iloc": lambda f: f.iloc[1:3],
}


@pytest.mark.parametrize("name", DOUBLED)
def test_labels_that_stand_twice(name: str) -> None:
    both(DOUBLED[name], TWICE)


@pytest.mark.parametrize(
    "code",
    [
        lambda f: f["a"],
        lambda f: f["b"] * 2,
        lambda f: f[f["b"] > 2],
        lambda f: f[["a"]],
        lambda f: f.sum(),
        lambda f: f.rename(columns={"a": "c"}),
        lambda f: f.drop(columns="a"),
        lambda f: f.assign(b=1),
        lambda f: f.assign(a=1),
        lambda f: f.sort_values("b"),
        lambda f: f.sort_values("a"),
        lambda f: f.groupby("b").sum(),
        lambda f: f.fillna(0),
        lambda f: f.isna(),
        lambda f: f.merge(f, on="b"),
        lambda f: f.drop_duplicates(),
        lambda f: f.head(1),
    ],
)
def test_columns_that_stand_twice(code: Any) -> None:
    both(code, COLUMNS)


@pytest.mark.parametrize(
    "code",
    [
        lambda f: f.a,
        lambda f: f[f.b > 2],
        lambda f: f.b + 1,
        lambda f: f.a + 1,
        lambda f: f.isna(),
        lambda f: f.a.isna(),
        lambda f: f.fillna(0),
        lambda f: f.b.sum(),
        lambda f: f.a.sum(),
        lambda f: f.sort_values("b"),
        lambda f: f.sort_values("a"),
        lambda f: f.groupby("b").size(),
        lambda f: f.a.unique(),
        lambda f: f.a.value_counts(),
        lambda f: f.head(2),
        lambda f: f.c.str.len(),
        lambda f: f.a == 1,
        lambda f: f.astype({"b": "int64"}).b.sum(),
    ],
)
def test_object_columns(code: Any) -> None:
    both(code, MIXED)


@pytest.mark.parametrize("key", ["k", "s", "n", "t", ["k", "s"], ["s", "t"]])
@pytest.mark.parametrize("dropna", [True, False])
@pytest.mark.parametrize("sort", [True, False])
def test_missing_keys(key: Any, dropna: bool, sort: bool) -> None:
    def grouped(f: Any) -> Any:
        return f.groupby(key, dropna=dropna, sort=sort)

    both(lambda f: grouped(f).v.sum(), KEYS)
    both(lambda f: grouped(f)[["v", "w"]].agg(["min", "mean", "count"]), KEYS)
    both(lambda f: grouped(f).size(), KEYS)
    both(lambda f: grouped(f).v.transform("sum"), KEYS)
    both(lambda f: grouped(f).w.transform("max"), KEYS)
    both(lambda f: grouped(f).head(1), KEYS)
    both(lambda f: grouped(f).v.first(), KEYS)


@pytest.mark.parametrize("name", list(KEYS))
def test_missing_values(name: str) -> None:
    for code in (
        lambda f: f[name].unique(),
        lambda f: f[name].nunique(),
        lambda f: f[name].value_counts(),
        lambda f: f[name].drop_duplicates(),
        lambda f: f[name].isna(),
        lambda f: f[name].count(),
        lambda f: f[name].dropna(),
        lambda f: f[name].sort_values(kind="stable"),
        lambda f: f[name].sort_values(kind="stable", ascending=False),
        lambda f: f.merge(f[[name, "w"]].drop_duplicates(name), on=name),
        lambda f: f[name].shift(1),
        lambda f: f[name].max(),
    ):
        both(code, KEYS)


@pytest.mark.parametrize(
    "code",
    [
        lambda f: f.i + f.i,
        lambda f: f.i * 3,
        lambda f: f.i - 1,
        lambda f: -f.i,
        lambda f: f.i.abs(),
        lambda f: f.s + f.s,
        lambda f: f.s * np.int8(2),
        lambda f: f.s + 200,
        lambda f: f.u + 1,
        lambda f: f.u > f.i,
        lambda f: f.u == -1,
        lambda f: f.s < 1000,
        lambda f: f.s == 128,
        lambda f: f.i.sum(),
        lambda f: f.u.sum(),
        lambda f: f.s.sum(),
        lambda f: f.i.cumsum(),
        lambda f: f.i.prod(),
        lambda f: f.i / 0,
        lambda f: f.i // 0,
        lambda f: f.i % 0,
        lambda f: f.z / f.z,
        lambda f: f.i // f.z,
        lambda f: f.i % f.z,
        lambda f: f.i // -1,
        lambda f: f.x / 0,
        lambda f: f.x // 0,
        lambda f: f.x % 0,
        lambda f: f.x // f.x,
        lambda f: f.x % 3,
        lambda f: 1 / f.z,
        lambda f: 1 // f.z,
        lambda f: 5.0 % f.x,
        lambda f: f.i**2,
        lambda f: f.i**-1,
        lambda f: 2**f.z,
        lambda f: f.x**0,
        lambda f: 1**f.x,
        lambda f: f.x.astype("int64"),
        lambda f: f.i.astype("int8"),
        lambda f: f.i.astype("float32"),
        lambda f: f.x.sum(),
        lambda f: f.x.mean(),
        lambda f: f.x.min(),
        lambda f: f.x.var(),
        lambda f: f.x.clip(-1, 1),
        lambda f: f.x.round(1),
        lambda f: f.i.diff(),
        lambda f: f.i.shift(),
        lambda f: f.z.mean(),
        lambda f: f.groupby("z").i.sum(),
        lambda f: f.groupby("z").s.sum(),
        lambda f: f.groupby("z").u.sum(),
        lambda f: f.groupby("z").x.mean(),
        lambda f: f[["i", "x"]].sum(axis=1),
    ],
)
def test_overflow_and_division(code: Any) -> None:
    with np.errstate(all="ignore"):
        both(code, BIG)


@pytest.mark.parametrize(
    "code",
    [
        lambda f: f["nope"],
        lambda f: f.nope,
        lambda f: f[["a", "nope"]],
        lambda f: f.loc[f.b > 1, "nope"],
        lambda f: f.a.nope,
        lambda f: f.a.str,
        lambda f: f.a.dt,
        lambda f: f.groupby("nope"),
        lambda f: f.groupby("b")["nope"],
        lambda f: f.groupby("b").agg({"nope": "sum"}),
        lambda f: f.groupby("b").agg("nope"),
        lambda f: f.sort_values("nope"),
        lambda f: f.drop(columns="nope"),
        lambda f: f.set_index("nope"),
        lambda f: f.query("nope > 1"),
        lambda f: f.a & f.b,
        lambda f: ~f.a,
        lambda f: f.a + "x",
        lambda f: f.a < "x",
        lambda f: f.a[[True, False]],
        lambda f: f[f.a],
        lambda f: f.a.fillna(),
        lambda f: f.a.clip("x"),
        lambda f: f.a.astype("nope"),
        lambda f: f.a.round("x"),
        lambda f: f.a.agg("nope"),
        lambda f: f.nlargest(2, "nope"),
        lambda f: f.iloc[10],
        lambda f: f.loc["nope"],
        lambda f: f.a.loc["nope"],
        lambda f: f.a + np.arange(7.0),
        lambda f: bool(f.a),
        lambda f: bool(f),
        lambda f: float(f.a),
        lambda f: hash(f),
        lambda f: f.a.dot(np.arange(7.0)),
        lambda f: f.pivot_table("nope", index="b"),
        lambda f: f.where(f.a > 1, "x").b.sum(axis=3),
    ],
)
def test_exceptions_where_they_stand(code: Any) -> None:
    both(code, ROWS)


def test_missing_column_says_which_are_there() -> None:
    lazy = frame(ROWS.rename(columns={"a": "people"}))
    with pytest.raises(FusionKeyError) as caught:
        lazy["peple"]
    assert caught.value.message == 'No column "peple".'
    assert caught.value.hint == 'Did you mean "people"? Columns: people, b.'


def test_what_is_no_table() -> None:
    with pytest.raises(FusionTypeError) as caught:
        frame(np.arange(3))
    assert caught.value.message == "Cannot fuse a value of type ndarray."


def test_empty_frames() -> None:
    for empty in (pd.DataFrame(), pd.DataFrame(index=[1, 2]), pd.DataFrame({"a": [], "b": []}), ROWS.head(0)):
        both(lambda f: f, empty)
        both(lambda f: f.sum(), empty)
        both(lambda f: f.head(), empty)
        both(lambda f: f.assign(z=1), empty)
        both(lambda f: f.isna(), empty)
        both(lambda f: f.drop_duplicates(), empty)
        both(lambda f: f * 2, empty)
        both(lambda f: f.reset_index(drop=True), empty)
