"""Conditions: SQL, pandas text, Polars and Arrow expressions and masks select the same rows."""

from __future__ import annotations

import datetime as dt
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.anomaly import frames
from workbench.anomaly.conditions import Conditions, mask, to_arrow, to_pandas, to_polars, to_series, to_sql
from workbench.anomaly.encode import encode_array

CONNECTION = duckdb.connect()

#: names with quotes, spaces, unicode and SQL in them
NAMES = ["plain", 'quo"ted', "it's", "two words", "größe", "select", 'x"; DROP TABLE data; --', "a.b", "[0]", "\\n"]

TEXT = st.none() | st.sampled_from(
    ["", "NULL", "a", "it's", 'say "x"', "ünï", "🙂", "a\nb", "\\", "'); --", "1", "None"]
)
COLUMNS = {
    "text": (TEXT, pa.string()),
    "integers": (st.none() | st.sampled_from([0, 1, -5, 2**62, 10**15]), pa.int64()),
    "floats": (
        st.none() | st.sampled_from([0.1, 1 / 3, -0.0, 1e22, 1e-300, 2.5, float("nan"), float("inf")]),
        pa.float64(),
    ),
    "singles": (st.none() | st.sampled_from([0.1, 0.5, 1 / 3, 16777217.0]), pa.float32()),
    "bools": (st.none() | st.booleans(), pa.bool_()),
    "days": (st.none() | st.sampled_from([dt.date(2020, 2, 29), dt.date(1969, 12, 31)]), pa.date32()),
    "times": (
        st.none() | st.sampled_from([dt.datetime(2013, 1, 1, 5), dt.datetime(2013, 1, 1, 5, 0, 0, 123456)]),
        pa.timestamp("us"),
    ),
    "categories": (TEXT, pa.dictionary(pa.int32(), pa.string())),
}  # fmt: skip


@st.composite
def tables(draw: Any) -> pa.Table:
    rows = draw(st.integers(1, 25))
    kinds = draw(st.lists(st.sampled_from(sorted(COLUMNS)), min_size=1, max_size=3))
    names = draw(st.permutations(NAMES))[: len(kinds)]
    columns = {}
    for name, kind in zip(names, kinds, strict=True):
        values, arrow = COLUMNS[kind]
        array = pa.array(
            draw(st.lists(values, min_size=rows, max_size=rows)), pa.string() if kind == "categories" else arrow
        )
        columns[name] = array.dictionary_encode() if kind == "categories" else array
    return pa.table(columns)


def conditions_of(table: pa.Table, row: int) -> Conditions:
    """Return the values of a row as the search would give them."""
    found = []
    for name in table.column_names:
        codes = encode_array(name, table.column(name))
        found.append((name, codes.python(int(codes.codes[row]))))
    return tuple(found)


def expected_rows(table: pa.Table, row: int) -> list[bool]:
    """Return which rows hold what this row holds, by codes."""
    same = np.ones(table.num_rows, bool)
    for name in table.column_names:
        codes = encode_array(name, table.column(name)).codes
        same &= codes == codes[row]
    return same.tolist()


def counted(table: pa.Table, condition: str) -> int:
    CONNECTION.register("data", table)
    return CONNECTION.sql(f"SELECT count(*) FROM data WHERE {condition}").fetchall()[0][0]


@given(tables(), st.data())
@settings(max_examples=50, deadline=None)
def test_c42_every_form_selects_the_rows_of_the_codes(table: pa.Table, data: Any) -> None:
    row = data.draw(st.integers(0, table.num_rows - 1))
    conditions, expected = conditions_of(table, row), expected_rows(table, row)
    source = frames.read(table)
    assert mask(source, conditions).tolist() == expected
    assert counted(table, source.sql(conditions)) == sum(expected)
    assert table.filter(source.native(conditions)).num_rows == sum(expected)
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    assert frame.filter(frames.read(frame).native(conditions)).height == sum(expected)
    assert frame.lazy().filter(frames.read(frame.lazy()).native(conditions)).collect().height == sum(expected)
    df = table.to_pandas(types_mapper=None)
    assert df[frames.read(df).native(conditions)].shape[0] == sum(expected)


@given(tables(), st.data())
@settings(max_examples=40, deadline=None)
def test_c42_pandas_text_and_series_select_the_rows_of_the_codes(table: pa.Table, data: Any) -> None:
    row = data.draw(st.integers(0, table.num_rows - 1))
    df = table.to_pandas()
    source = frames.read(df)
    conditions = tuple((name, encode_array(name, source.column(name))) for name in table.column_names)
    values: Conditions = tuple((name, codes.python(int(codes.codes[row]))) for name, codes in conditions)
    expected = mask(source, values)
    assert expected[row]
    found = eval(source.code(values), {"df": df, "pd": pd, "float": float})
    assert df[found.fillna(False).astype(bool)].shape[0] == expected.sum()
    assert to_series(df, values).tolist() == expected.tolist()


@given(st.lists(st.floats(-1e6, 1e6) | st.none(), min_size=30, max_size=60), st.integers(0, 29))
@settings(max_examples=30, deadline=None)
def test_c42_ranges_select_the_rows_of_the_codes(values: list[float | None], row: int) -> None:
    table = pa.table({"x y": pa.array(values, pa.float64())})
    codes = encode_array("x y", table.column("x y"), bins=7)
    conditions = (("x y", codes.python(int(codes.codes[row]))),)
    expected = (codes.codes == codes.codes[row]).tolist()
    source = frames.read(table)
    assert mask(source, conditions).tolist() == expected
    assert counted(table, to_sql(conditions)) == sum(expected)
    assert table.filter(to_arrow(conditions)).num_rows == sum(expected)
    assert pl.from_arrow(table).filter(to_polars(conditions)).height == sum(expected)  # type: ignore[union-attr]
    df = table.to_pandas()
    assert eval(to_pandas(conditions), {"df": df}).sum() == sum(expected)
    assert to_series(df, conditions).tolist() == expected


def test_c42_sql_has_columns_in_double_and_text_in_single_quotes() -> None:
    conditions = (("dest", "SFO"), ('a"b', "it's"), ("hour", 18), ("gone", None), ("late", True), ("x", 0.5))
    assert to_sql(conditions) == (
        """"dest" = 'SFO' AND "a""b" = 'it''s' AND "hour" = 18 AND "gone" IS NULL AND "late" = TRUE AND "x" = 0.5"""
    )
    inner, last = pd.Interval(100, 200, closed="left"), pd.Interval(0.5, 2.5, closed="both")
    assert to_sql((("d", inner),)) == '"d" >= 100 AND "d" < 200'
    assert to_sql((("d", last),)) == '"d" >= 0.5 AND "d" <= 2.5'
    assert to_sql(()) == "TRUE"


def test_c42_pandas_text_reads_as_one_would_write_it() -> None:
    conditions = (("dest", "SFO"), ("hour", 18), ("gone", None))
    assert to_pandas(conditions) == '(df["dest"] == "SFO") & (df["hour"] == 18) & df["gone"].isna()'
    inner = pd.Interval(100, 200, closed="left")
    assert to_pandas((("d", inner),)) == '(df["d"] >= 100) & (df["d"] < 200)'
    assert to_pandas((("d", dt.datetime(2013, 1, 1)),)) == '(df["d"] == pd.Timestamp("2013-01-01T00:00:00"))'
    assert to_pandas(((1, "x"),), labels={1: 1}) == '(df[1] == "x")'  # type: ignore[arg-type]


def test_columns_of_pandas_that_are_not_text_keep_their_labels() -> None:
    df = pd.DataFrame({1: ["a", "b"], ("x", 2): ["c", None]})
    source = frames.read(df)
    conditions = (("1", "b"), ("('x', 2)", None))
    assert df[source.native(conditions)].shape[0] == 1
    code = source.code(conditions)
    assert code == "(df[1] == \"b\") & df[('x', 2)].isna()"
    assert df[eval(code, {"df": df})].shape[0] == 1


def test_a_nan_is_told_to_sql_only_where_there_is_one() -> None:
    arrow = pa.table({"x": pa.array([1.0, float("nan"), None])})
    assert frames.read(arrow).sql((("x", None),)) == '("x" IS NULL OR isnan("x"))'
    assert counted(arrow, '("x" IS NULL OR isnan("x"))') == 2
    assert frames.read(arrow[:1]).sql((("x", None),)) == '"x" IS NULL'
    assert frames.read(arrow).sql((("x", 1),)) == '"x" = 1'


@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_timestamps_of_any_unit_and_zone(unit: str, zone: str | None) -> None:
    moments = pd.to_datetime(["2013-01-01 05:00:00", None, "2024-06-30 23:59:59"], utc=zone is not None)
    column = pa.chunked_array([pa.array(moments)]).cast(pa.timestamp(unit, zone))
    table = pa.table({"t": column})
    codes = encode_array("t", column)
    for row in range(3):
        conditions = (("t", codes.python(int(codes.codes[row]))),)
        assert mask(frames.read(table), conditions).tolist() == [other == row for other in range(3)]
        assert counted(table, to_sql(conditions)) == 1
        frame = pl.from_arrow(table)
        assert isinstance(frame, pl.DataFrame)
        assert frame.filter(to_polars(conditions)).height == 1
        df = table.to_pandas()
        assert df[frames.read(df).native(conditions)].shape[0] == 1
        assert eval(to_pandas(conditions), {"df": df, "pd": pd}).sum() == 1


def test_nanoseconds_are_not_lost() -> None:
    column = pa.array([1356998400000000001, 1356998400000000002], pa.timestamp("ns"))
    table = pa.table({"t": column})
    codes = encode_array("t", column)
    conditions = (("t", codes.python(0)),)
    assert mask(frames.read(table), conditions).tolist() == [True, False]
    assert table.filter(to_arrow(conditions)).num_rows == 1
    assert pl.from_arrow(table).filter(to_polars(conditions)).height == 1  # type: ignore[union-attr]
    assert counted(table, to_sql(conditions)) == 1
    assert eval(to_pandas(conditions), {"df": table.to_pandas(), "pd": pd}).sum() == 1
