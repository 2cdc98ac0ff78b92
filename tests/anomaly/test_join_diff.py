"""DIFF over joins: the same answer as over the written join, without writing it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.anomaly.diff_source import Sides
from workbench.anomaly.diffs import diff
from workbench.anomaly.frames import read
from workbench.anomaly.join_diff import counted_sql
from workbench.anomaly.join_shape import joins, read_join
from workbench.anomaly.results import Explanations
from workbench.anomaly.sql_tables import Tables
from workbench.anomaly.table import intervals

MIRROR = Path(os.environ.get("WORKBENCH_MIRROR", "")) / "macrobase"
needs_data = pytest.mark.skipif(not MIRROR.is_dir(), reason="WORKBENCH_MIRROR names no folder with macrobase/")

METRICS = [
    "risk_ratio(COUNT(*))", "global_ratio(COUNT(*))", "prevalence_ratio(COUNT(*))", "prevalence_difference(COUNT(*))",
    "risk_ratio(SUM(w))", "global_ratio(SUM(w))", "mean_shift(AVG(x))", "mean_deviation(AVG(x))",
]  # fmt: skip


def written(item: str, tables: dict[str, pa.Table]) -> pa.Table:
    """The rows of a side, by DuckDB."""
    with duckdb.connect(config={"threads": 1}) as connection:
        for name, table in tables.items():
            connection.register(name, table)
        return connection.sql(f"SELECT * FROM {item}").to_arrow_table()


def same(joined: Explanations, plain: Explanations) -> None:
    pd.testing.assert_frame_equal(joined.to_pandas(), plain.to_pandas())
    assert joined.sets == plain.sets
    assert (joined.n_rows, joined.n_outliers, joined.n_left_out) == (plain.n_rows, plain.n_outliers, plain.n_left_out)
    assert type(joined.n_rows) is type(plain.n_rows)
    assert joined.notes == plain.notes
    for i in range(min(len(joined), 2)):
        assert len(joined.rows(i)) == len(plain.rows(i))
        assert joined.rows(i)["outlier"].sum() == plain.rows(i)["outlier"].sum()
        pd.testing.assert_frame_equal(joined.histogram(i), plain.histogram(i), check_dtype=False)
    assert len(joined.outliers) == len(plain.outliers)


keys = st.none() | st.integers(0, 3)
words = st.none() | st.sampled_from(["a", "b", ""])
numbers = st.none() | st.integers(0, 5)


@st.composite
def tables(draw: st.DrawFn) -> dict[str, pa.Table]:
    """R and S with a key, a column, a weight and a metric; T with that key and its columns; U with a key of T."""

    def rows(*columns: Any, most: int = 7) -> list[tuple]:
        return draw(st.lists(st.tuples(*columns), min_size=1, max_size=most))

    def table(names: str, kinds: list[pa.DataType], found: list[tuple]) -> pa.Table:
        columns = list(zip(*found, strict=True))
        return pa.table([pa.array(c, k) for c, k in zip(columns, kinds, strict=True)], names=names.split())

    text, whole = pa.string(), pa.int64()
    key = draw(st.sampled_from([whole, pa.int8(), pa.float64()]))
    return {
        "R": table("k a w x", [whole, text, whole, pa.float64()], rows(keys, words, numbers, numbers)),
        "S": table("k a w x", [key, text, whole, pa.float64()], rows(keys, words, numbers, numbers)),
        "T": table("k b m", [key, text, whole], rows(keys, words, keys)),
        "U": table("m c", [whole, text], rows(keys, words, most=4)),
    }


SHAPES = [
    ("{0} NATURAL JOIN T", "a, b", True),
    ("(T NATURAL JOIN {0})", "b", True),
    ("({0} JOIN T USING (k))", "a, b, k", True),
    ("({0} NATURAL JOIN T NATURAL JOIN U)", "a, b, c", True),
    ("(SELECT * FROM {0} q NATURAL JOIN T WHERE q.w > 0 AND b <> 'zz' AND m BETWEEN 0 AND 3)", "a, b", True),
    ("(SELECT * FROM {0} NATURAL JOIN T WHERE a = b OR w > 1)", "a, b", False),
    ("(SELECT * FROM {0} NATURAL JOIN T WHERE k < 3)", "a, b", False),
    ("({0} LEFT JOIN T USING (k))", "a, b", False),
    ("(SELECT {0}.*, b FROM {0} JOIN T ON {0}.k = T.k)", "a, b", False),
    ("(SELECT * EXCLUDE (m) FROM {0}, T WHERE {0}.k = T.k)", "a, b", False),
]


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    tables(),
    st.sampled_from(SHAPES),
    st.sampled_from(METRICS),
    st.sampled_from([0.0, 0.3]),
    st.sampled_from([0.2, 1.2]),
)
def test_c31_the_same_as_over_the_written_join(
    given_: dict[str, pa.Table], shape: tuple[str, str, bool], metric: str, support: float, ratio: float
) -> None:
    form, on, _ = shape
    first, second = form.format("R"), form.format("S")
    rest = f"ON {on} WITH MIN SUPPORT {support} MIN RATIO {ratio} COMPARE BY {metric}"
    plain = {"one": written(first, given_), "two": written(second, given_)}
    joined = diff(f"SELECT * FROM DIFF {first} one, {second} two {rest}", **given_)
    same(joined, diff(f"SELECT * FROM DIFF one, two {rest}", **plain))


@pytest.mark.slow
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tables(), st.sampled_from(METRICS))
def test_c31_a_split_of_a_join(given_: dict[str, pa.Table], metric: str) -> None:
    rest = f"WHERE w > 2 AND b IS NOT NULL) ON a, b, c WITH MIN SUPPORT 0.1 COMPARE BY {metric}"
    source = "(SELECT * FROM R NATURAL JOIN T NATURAL JOIN U)"
    joined = diff(f"SELECT * FROM DIFF (SPLIT {source} {rest}", **given_)
    same(joined, diff(f"SELECT * FROM DIFF (SPLIT (FROM every) {rest}", every=written(source, given_)))


@pytest.mark.parametrize(("form", "on", "counted"), SHAPES)
def test_c31_plain_joins_join_counts(form: str, on: str, counted: bool) -> None:
    known = Tables({})
    for name, columns in {"R": "k a w x", "T": "k b m", "U": "m c"}.items():
        known.add(name, read(pa.table({column: pa.array([1]) for column in columns.split()}), name=name))
    item = form.format("R")
    assert joins(item)
    sides = Sides(known, (item, item), ("one", "two"))
    sql = counted_sql(sides, tuple(on.split(", ")), "w", "x")
    assert ("HUGEINT" in sql) is counted
    if counted:
        # No query below the last one has a row for each joined row.
        assert sql.count("GROUP BY") == sql.count("count(*) AS") + 2


def test_c31_many_to_many_and_null_keys_by_hand() -> None:
    r = pd.DataFrame({"k": [1, 1, 2, None], "a": ["x", "y", "x", "x"]})
    s = pd.DataFrame({"k": [1, 2, 2, None], "a": ["y", "y", "y", "x"]})
    t = pd.DataFrame({"k": [1, 1, 2, None, None], "b": ["p", "q", "q", "q", "q"]})
    got = diff(
        "SELECT * FROM DIFF r NATURAL JOIN t, s NATURAL JOIN t ON a, b WITH MIN RATIO 0 "
        "COMPARE BY risk_ratio(COUNT(*)) MAX COMBO 1",
        r=r, s=s, t=t,
    )  # fmt: skip
    # r joined: (x,p) (x,q) (y,p) (y,q) (x,q); s joined: (y,p) (y,q) (y,q) (y,q): null keys meet nothing
    assert (got.n_rows, got.n_outliers) == (9, 5)
    columns = ["a", "b", "outlier_count", "total_count"]
    rows = [tuple(None if pd.isna(value) else value for value in row) for row in got.to_pandas()[columns].to_numpy()]
    assert sorted(rows, key=str) == sorted(
        [("x", None, 3, 3), ("y", None, 2, 6), (None, "p", 2, 3), (None, "q", 3, 6)], key=str
    )


def test_c31_joined_rows_are_never_written() -> None:
    n = 20_000  # of each: 4 * 10^8 joined rows
    r = pa.table({"k": [1] * n, "a": ["x", "y"] * (n // 2)})
    t = pa.table({"k": [1] * n, "b": ["p"] * (n // 4) + ["q"] * (n - n // 4)})
    got = diff("SELECT * FROM DIFF r NATURAL JOIN t, (SELECT * FROM r NATURAL JOIN t WHERE b = 'q') ON a, b", r=r, t=t)
    assert got.n_rows == n * n + n * n * 3 // 4
    assert got.to_pandas()["outlier_count"].tolist() == [n * n // 4]


def test_c15_c31_intervals_of_means_over_joins() -> None:
    r = pa.table({"k": [1, 1, 2, 2, 3, 3] * 4, "x": [float(i % 11 + 1) for i in range(24)]})
    t = pa.table({"k": [1, 1, 2, 3, 3, 3], "b": ["p", "q", "p", "q", "p", "q"]})
    first, second = "(SELECT * FROM r NATURAL JOIN t WHERE x > 6)", "(SELECT * FROM r NATURAL JOIN t WHERE x <= 6)"
    rest = "ON b WITH MIN RATIO 0 MIN SUPPORT 0 COMPARE BY mean_shift(AVG(x))"
    joined = diff(f"SELECT * FROM DIFF {first} one, {second} two {rest}", r=r, t=t)
    plain = {"one": written(first, {"r": r, "t": t}), "two": written(second, {"r": r, "t": t})}
    same(joined, diff(f"SELECT * FROM DIFF one, two {rest}", **plain))
    low, high = intervals(joined._answer)
    want = intervals(diff(f"SELECT * FROM DIFF one, two {rest}", **plain)._answer)
    assert np.isfinite(low).all() and len(low) == 2
    np.testing.assert_allclose([low, high], want, rtol=1e-12)


def test_ranges_of_joined_rows_have_equal_counts_of_rows() -> None:
    r = pa.table({"k": list(range(40)), "z": [i + 0.5 for i in range(40)]})
    t = pa.table({"k": [i for i in range(40) for _ in range(1 + i % 7)]})
    first, second = "(SELECT * FROM r NATURAL JOIN t WHERE z > 20)", "(SELECT * FROM r NATURAL JOIN t WHERE z < 20)"
    rest = "ON z WITH MIN RATIO 0 MIN SUPPORT 0"
    tables = {"r": r, "t": t}
    same(
        diff(f"SELECT * FROM DIFF {first} one, {second} two {rest}", **tables),
        diff(f"SELECT * FROM DIFF one, two {rest}", one=written(first, tables), two=written(second, tables)),
    )


@pytest.mark.parametrize(
    ("item", "plain"),
    [
        ("a NATURAL JOIN b", True),
        ("((a x NATURAL INNER JOIN 'b.csv' AS y))", True),
        ('(a JOIN b USING (k, "l") INNER JOIN c USING (m))', True),
        ("(SELECT * FROM a NATURAL JOIN b WHERE a.x > 1 AND b.y = 'AND')", True),
        ("(SELECT * FROM a NATURAL JOIN b LIMIT 3)", False),
        ("(SELECT x FROM a NATURAL JOIN b)", False),
        ("(SELECT * FROM a NATURAL JOIN b WHERE x IN (SELECT y FROM c))", False),
        ("(SELECT * FROM a NATURAL JOIN b WHERE percentile(x) > 0.9)", False),
        ("(SELECT * FROM a NATURAL JOIN b GROUP BY ALL)", False),
        ("(a LEFT JOIN b USING (k))", False),
        ("(a NATURAL LEFT JOIN b)", False),
        ("(a JOIN b ON a.k = b.k)", False),
        ("(a, b)", False),
        ("(a NATURAL JOIN (SELECT 1 AS k))", False),
        ("a", False),
        ("(SELECT * FROM a WHERE x > 1)", False),
    ],
)
def test_which_items_are_plain_joins(item: str, plain: bool) -> None:
    assert (read_join(item) is not None) is plain


@needs_data
@pytest.mark.parametrize(
    ("number", "key", "on"), [(1, "A1", "state"), (8, "A1", "state, app"), (9, "A0", "A1, A2, A3, A4")]
)
@pytest.mark.parametrize("metric", METRICS[:4])
def test_c31_macrobase_joins(number: int, key: str, on: str, metric: str) -> None:
    r, s, t = (pd.read_csv(MIRROR / f"dj_{name}{number}.csv") for name in "RST")
    rest = f"ON {on} WITH MIN SUPPORT 0.1 MIN RATIO 0.1 COMPARE BY {metric}"
    joined = diff(f"SELECT * FROM DIFF R NATURAL JOIN T one, S NATURAL JOIN T two {rest}", R=r, S=s, T=t)
    same(joined, diff(f"SELECT * FROM DIFF one, two {rest}", one=r.merge(t, on=key), two=s.merge(t, on=key)))
