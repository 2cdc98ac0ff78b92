"""SQL in cells: values are bound, never parsed; tables of the notebook are found by name."""

from __future__ import annotations

import datetime
import decimal
from types import SimpleNamespace
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.engine.errors import WorkbenchError
from workbench.engine.result import Table
from workbench.notebook.magics.line import Scope
from workbench.notebook.magics.sql import bind, columns, is_table, literal, tables, words

BASE = duckdb.connect()
FRAME = pd.DataFrame({"carrier": ["AA", "UA"], "arr delay": [1.0, 2.0]})
NAMES: dict[str, Any] = {
    "limit": 180, "carrier": "O'Hare", "evil": "'; DROP TABLE flights; --", "many": ["AA", "UA"], "nothing": [],
    "args": SimpleNamespace(limit=5), "flights": FRAME, "Log": FRAME, "log": FRAME, "_hidden": FRAME, "low": -3,
    "cars": SimpleNamespace(objects=Table(FRAME, "objects")), "spot": object(),
}  # fmt: skip


def text(sql: str) -> str:
    return bind(sql, Scope(NAMES, NAMES)).text


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("WHERE x > $limit", "WHERE x > 180"),
        ("WHERE x > {limit}", "WHERE x > 180"),
        ("WHERE x > {args.limit} AND y < $args.limit", "WHERE x > 5 AND y < 5"),
        ("WHERE c = $carrier", "WHERE c = 'O''Hare'"),
        ("WHERE c = {evil}", "WHERE c = '''; DROP TABLE flights; --'"),
        ("WHERE c IN {many}", "WHERE c IN ('AA', 'UA')"),
        ("WHERE c IN $nothing", "WHERE c IN (NULL)"),
        ("x-{low}", "x-(-3)"),
        ("WHERE c = '$limit {limit}'", "WHERE c = '$limit {limit}'"),
        ("WHERE c = 'it''s $limit'", "WHERE c = 'it''s $limit'"),
        (r"WHERE c = E'it\'s $limit'", r"WHERE c = E'it\'s $limit'"),
        ('WHERE "$limit" = 1', 'WHERE "$limit" = 1'),
        ("x -- $limit\n> $limit", "x -- $limit\n> 180"),
        ("x /* $limit\n */ > $limit", "x /* $limit\n */ > 180"),
        ("SELECT $$ {limit} $$", "SELECT $$ {limit} $$"),
        ("SELECT $a$ {limit} $a$", "SELECT $a$ {limit} $a$"),
        ("SELECT {'a': 1}, $1", "SELECT {'a': 1}, $1"),
        ("# $limit\n  # '\nSELECT 1", "\n\nSELECT 1"),
        ("SELECT '\n# no comment'", "SELECT '\n# no comment'"),
        ("FROM {flights}", 'FROM "flights"'),
        ("FROM {cars.objects}", 'FROM "cars.objects"'),
    ],
)
def test_binding(sql: str, expected: str) -> None:
    assert text(sql) == expected


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(WorkbenchError) as caught:
        text("WHERE x > $limti")
    assert caught.value.lines() == ['No variable named "limti" in this notebook.', 'Did you mean "limit"?']
    with pytest.raises(WorkbenchError) as caught:
        text("WHERE x > {spot}")
    assert caught.value.lines() == [
        '"spot" is an object, which SQL cannot hold.', "Use a number, text, bool, None, a date, or a list of these."
    ]  # fmt: skip


VALUES = [
    None, True, False, 0, -7, 10**18, 0.1, -2.5, 1e300, "", "a'b", "\n", "∅", datetime.date(2013, 1, 2),
    datetime.datetime(2013, 1, 2, 3, 4, 5, 6), decimal.Decimal("1.50"), float("inf"), np.float64(2.5), np.int64(3),
    np.bool_(True), pd.Timestamp("2013-01-02 03:04"), pd.NA,
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_duckdb_reads_a_literal_as_the_value(value: Any) -> None:
    [(found,)] = BASE.execute(f"SELECT {literal(value)}").fetchall()
    expected = None if value is pd.NA else value.item() if isinstance(value, np.generic) else value
    assert (float(found) if isinstance(expected, float) else found) == expected


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=20).filter(lambda value: "\0" not in value))
def test_any_text_is_one_value(value: str) -> None:
    sql = bind("SELECT $value, {value}", Scope({}, {"value": value})).text
    assert BASE.execute(sql).fetchall() == [(value, value)]


@pytest.mark.parametrize(
    "many", [(1, 2), [1, 2], {1, 2}, np.array([1, 2]), pd.Series([1, 2])], ids=lambda v: type(v).__name__
)
def test_collections_are_for_in(many: Any) -> None:
    assert literal(many) == "(1, 2)"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (FRAME, True),
        (pl.DataFrame({"a": [1]}), True),
        (pl.LazyFrame({"a": [1]}), True),
        (pa.table({"a": [1]}), True),
        (Table(FRAME), True),
        (type("Own", (pd.DataFrame,), {})({"a": [1]}), True),
        (FRAME["carrier"], False),
        ([FRAME], False),
        ("flights", False),
        (pd.DataFrame, False),
    ],
)
def test_what_is_a_table(value: Any, expected: bool) -> None:
    assert is_table(value) is expected


def test_tables_and_relations_by_name() -> None:
    import dask.dataframe as dd

    assert list(tables(NAMES)) == ["flights", "Log", "log"]
    relation = BASE.sql("SELECT 1 AS a")
    assert is_table(relation) and columns(relation) == ["a"]
    assert is_table(dd.from_pandas(FRAME, npartitions=1))
    assert columns(pl.LazyFrame({"a": [1]})) == []
    assert columns(pa.table({"a": [1]})) == ["a"] and columns(Table(FRAME)) == ["carrier", "arr delay"]


def test_all_tables_may_be_named_and_those_that_are_referred_to() -> None:
    given = bind("SELECT * FROM {cars.objects}", Scope(NAMES, NAMES)).tables
    assert list(given) == ["flights", "Log", "log", "cars.objects"]
    assert given["cars.objects"] is NAMES["cars"].objects and given["flights"] is FRAME


def test_words_leave_out_strings_and_comments() -> None:
    assert list(words("SELECT \"a b\", 'c' -- d\nFROM e")) == [
        ("SELECT", False), ("a b", True), ("FROM", False), ("e", False)
    ]  # fmt: skip
