"""Random pipelines over frames: filters, writes, groups, merges, sorts, strings, in any order, computed in between."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fusion.capture.pairs import both

#: more of them, and compiled ones, are asked for by environment variables
EXAMPLES = int(os.environ.get("WB_PIPELINES", "60"))
DEVICES = tuple(os.environ.get("WB_PIPELINES_DEVICES", "eager").split(","))
WORDS = ["lesly", "Leslie", "bob", "", "00000"]
FLOATS = [0.0, -0.0, 1.5, -2.25, 1e9, np.nan, np.inf, 0.1]


@st.composite
def tables(draw: Any) -> pd.DataFrame:
    rows = draw(st.integers(0, 12))

    def column(values: Any) -> list[Any]:
        return draw(st.lists(values, min_size=rows, max_size=rows))

    frame = pd.DataFrame(
        {
            "i": np.array(column(st.integers(-3, 3)), np.int64),
            "j": np.array(column(st.integers(-100, 100)), np.int64),
            "x": np.array(column(st.sampled_from(FLOATS)), np.float64),
            "y": np.array(column(st.floats(-5, 5, width=16)), np.float64),
            "b": np.array(column(st.booleans()), bool),
            "s": pd.Series(column(st.sampled_from(WORDS)), dtype="str"),
            "h": pd.Series(column(st.sampled_from([*WORDS, None])), dtype="str"),
            "t": pd.to_datetime(column(st.integers(0, 3)), unit="D"),
        }
    )
    kind = draw(st.sampled_from(["range", "words", "twice"]))
    if kind == "words":
        frame.index = pd.Index([f"r{k}" for k in range(rows)], dtype="str")
    elif kind == "twice":
        frame.index = pd.Index([k // 2 for k in range(rows)])
    return frame


NUMBERS, TEXT, KEYS = ["i", "j", "x", "y"], ["s", "h"], ["i", "b", "s", "h", "t", "x"]
RIGHT = pd.DataFrame(
    {
        "i": [2, 0, -1, 2],
        "s": pd.Series(["bob", "lesly", "", "bob"], dtype="str"),
        "v": [1.0, np.nan, 3.0, 4.0],
        "w": [1, 2, 3, 4],
    }
)
UNIQUE = RIGHT.drop_duplicates("i")

number, text = st.sampled_from(NUMBERS), st.sampled_from(TEXT)
operators = st.sampled_from(["__add__", "__sub__", "__mul__", "__truediv__", "__floordiv__", "__mod__"])
compares = st.sampled_from(["__lt__", "__le__", "__gt__", "__ge__", "__eq__", "__ne__"])
constants = st.sampled_from([0, 1, 2, -3, 0.5, 1.5])


@st.composite
def conditions(draw: Any) -> Any:
    """Return code for a mask."""
    kind = draw(st.integers(0, 6))
    a, b, op, c = draw(number), draw(number), draw(compares), draw(constants)
    s, word = draw(text), draw(st.sampled_from(WORDS))
    if kind == 0:
        return lambda d: getattr(d[a], op)(c)
    if kind == 1:
        return lambda d: getattr(d[a], op)(d[b])
    if kind == 2:
        return lambda d: d[s] == word
    if kind == 3:
        return lambda d: d[s].str.contains("les", regex=False)
    if kind == 4:
        return lambda d: d[a].notna() & (d[b] > c)
    if kind == 5:
        return lambda d: d[a].between(-1, 2) | ~d["b"]
    return lambda d: d[a].isin([0, 1, 2])


@st.composite
def values(draw: Any) -> Any:
    """Return code for a column of numbers."""
    kind = draw(st.integers(0, 9))
    a, b, op, c, when = draw(number), draw(number), draw(operators), draw(constants), draw(conditions())
    if kind == 0:
        return lambda d: getattr(d[a], op)(c)
    if kind == 1:
        return lambda d: getattr(d[a], op)(d[b])
    if kind == 2:
        return lambda d: d[a].mask(when(d), 2)
    if kind == 3:
        return lambda d: d[a].fillna(1).clip(-1, 2)
    if kind == 4:
        return lambda d: d[a] - d[b].mean()
    if kind == 5:
        return lambda d: np.abs(d[a]) + d[b].cumsum()
    if kind == 6:
        return lambda d: d[a].where(when(d), d[b])
    if kind == 7:
        return lambda d: d.groupby("i")[a].transform("sum")
    if kind == 8:
        return lambda d: d[a].shift(1).fillna(0)
    return lambda d: (d[a] > c) * 1 + d[b]


def _setting(label: str, value: Any) -> Any:
    def step(d: Any) -> Any:
        d[label] = value(d)
        return d

    return step


def _writing(label: str, when: Any, value: Any) -> Any:
    def step(d: Any) -> Any:
        d.loc[when(d), label] = value
        return d

    return step


def _computing(d: Any) -> Any:
    if hasattr(d, "_fusion_value"):
        d._fusion_value()
    return d


@st.composite
def steps(draw: Any) -> Any:
    """Return code from a frame to a frame with the same columns."""
    kind = draw(st.integers(0, 14))
    a, s, when, value = draw(number), draw(text), draw(conditions()), draw(values())
    up, keys = draw(st.booleans()), draw(st.lists(st.sampled_from(KEYS), min_size=1, max_size=2, unique=True))
    float_label = draw(st.sampled_from(["x", "y"]))
    if kind <= 2:
        return lambda d: d[when(d)]
    if kind == 3:
        return lambda d: d.assign(**{a: value})
    if kind == 4:
        return _setting(a, value)
    if kind == 5:
        return _writing(float_label, when, 0.5)
    if kind == 6:
        return lambda d: d.sort_values(keys, ascending=up, kind="stable")
    if kind == 7:
        return lambda d: d.drop_duplicates(keys, keep="first" if up else "last")
    if kind == 8:
        return lambda d: d.head(5) if up else d.tail(4)
    if kind == 9:
        return lambda d: d.dropna(subset=[a, s])
    if kind == 10:
        return lambda d: d.reset_index(drop=True)
    if kind == 11:
        return lambda d: d.groupby(keys).head(1)
    if kind == 12:
        return lambda d: d.assign(**{s: d[s].str.upper().str.slice(0, 3)})
    if kind == 13:
        return _computing
    return lambda d: d.merge(UNIQUE if up else RIGHT, on="i", suffixes=("", "_r")).drop(columns=["s_r", "v", "w"])


@st.composite
def endings(draw: Any) -> Any:
    """Return code from a frame to any result."""
    kind = draw(st.integers(0, 9))
    a, b, when, value = draw(number), draw(number), draw(conditions()), draw(values())
    keys = draw(st.lists(st.sampled_from(KEYS), min_size=1, max_size=2, unique=True))
    name = draw(st.sampled_from(["sum", "mean", "min", "max", "count", "std", "first", "last", "nunique"]))
    sort = draw(st.booleans())
    if kind == 0:
        return lambda d: d
    if kind == 1:
        return lambda d: value(d)
    if kind == 2:
        return lambda d: getattr(d.groupby(keys, sort=sort)[a], name)()
    if kind == 3:
        return lambda d: d.groupby(keys, as_index=False).agg(p=(a, name), q=(b, "size"))
    if kind == 4:
        return lambda d: getattr(d[when(d)][[a, b]], "sum" if a != b else "count")()
    if kind == 5:
        return lambda d: d.h.value_counts()
    if kind == 6:
        return lambda d: d[keys[0]].unique()
    if kind == 7:
        return lambda d: (d[a].sum(), d[b].count(), d[a].mean())
    if kind == 8:
        return lambda d: d.merge(RIGHT, on="i", how="left" if sort else "inner")
    return lambda d: d[["x", "y"]].describe()


@settings(max_examples=EXAMPLES, deadline=None)
@given(tables(), st.lists(steps(), max_size=6), endings())
def test_pipeline(table: pd.DataFrame, chain: list[Any], ending: Any) -> None:
    def code(d: Any) -> Any:
        for step in chain:
            d = step(d)
        return ending(d)

    with np.errstate(all="ignore"):
        both(code, table, devices=DEVICES)
