"""Scoring functions in SQL: their values, the rows they see, and that nothing else of a statement changes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.anomaly.sql_scores import rewrite
from workbench.engine.errors import WorkbenchError

ROWS = 8

#: of the property test: making one takes longer than asking it
CONNECTION = duckdb.connect(config={"threads": 1})


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        x = [3.0, 1.0, math.nan, None, 3.0, math.inf, 2.0, -4.0]
        connection.register("t", pa.table({"x": x, "g": list("abcdabcd"), "k": range(ROWS)}))
        connection.register("u", pa.table({"k": [0, 1, 2, 3, 6, 7], "w": [1.0, 2, 3, 4, 5, 6]}))
        yield connection


def ask(con: duckdb.DuckDBPyConnection, sql: str) -> pd.DataFrame:
    return con.sql(rewrite(sql)).df()


def expected(function: str, x: np.ndarray) -> np.ndarray:
    """The definitions, written out; `x` is float64 with NaN for null."""
    known = ~np.isnan(x)
    finite = np.sort(x[np.isfinite(x)])
    found = np.full(len(x), math.nan)
    if not known.any():
        return found
    if function == "percentile":
        return pd.Series(x).rank(method="min", pct=True).to_numpy()
    if not len(finite):
        return np.where(known, np.inf if function != "normalize" else x, math.nan)
    if function == "normalize":
        off = 0.0 if finite[0] > 0 else -finite[0]
        scaled = np.zeros(len(x)) if finite[-1] + off == 0 else (x + off) / (finite[-1] + off)
        return np.where(np.isinf(x), x, np.where(known, scaled, math.nan))
    if function == "zscore":
        center, scale, far = math.fsum(finite) / len(finite), 0.0, 0.0
        scale = math.sqrt(math.fsum((finite - center) ** 2) / len(finite))
    else:
        center, far = float(np.median(finite)), math.inf
        r = np.sort(np.abs(finite - center))
        scale = float(np.median(r))
        if scale == 0:
            middle = r[math.floor(0.05 * len(r)) : math.floor(0.95 * len(r))]
            scale = math.fsum(middle) / len(middle) if len(middle) else 0.0
    for i in np.flatnonzero(known):
        r_i = float(abs(x[i] - center))
        far_off = math.isinf(x[i]) or (scale > 0 and r_i > scale * 1e300)
        found[i] = math.inf if far_off else r_i / scale if scale > 0 else 0.0 if r_i == 0 else far
    return found


values = st.one_of(
    st.none(),
    st.just(math.nan),
    st.sampled_from([0.0, 1.0, 1.0, 2.5, -3.0, math.inf, -math.inf]),
    st.floats(-1e6, 1e6).filter(lambda v: v == 0 or abs(v) > 1e-200),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(values, min_size=1, max_size=25), st.sampled_from(["percentile", "normalize", "mad_score", "zscore"]))
def test_c29_scores_are_as_defined(x: list[Any], function: str) -> None:
    column = pa.array(x, pa.float64())
    want = expected(function, np.array([math.nan if v is None else v for v in x], np.float64))
    CONNECTION.register("rows", pa.table({"c d": column, "i": range(len(x))}))
    got = ask(CONNECTION, f'SELECT i, {function}("c d") AS s FROM rows')
    assert got["i"].tolist() == list(range(len(x)))
    exact = function in ("percentile",)
    np.testing.assert_allclose(
        got["s"].to_numpy(np.float64), want, rtol=0 if exact else 1e-9, atol=0 if exact else 1e-9
    )


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint64(), pa.decimal128(6, 2), pa.float32()])
def test_c29_all_numbers_are_scored(kind: pa.DataType) -> None:
    with duckdb.connect() as connection:
        connection.register("rows", pa.table({"c": pa.array([4, 2, None, 2], pa.int8()).cast(kind)}))
        assert ask(connection, "SELECT percentile(c) AS p FROM rows")["p"].fillna(9).tolist() == [1, 1 / 3, 9, 1 / 3]


def test_c29_they_see_all_rows_before_where(con: duckdb.DuckDBPyConnection) -> None:
    got = ask(con, "SELECT k, percentile(k) AS p FROM t WHERE k > 5 AND percentile(k) < 1")
    assert got.to_dict("list") == {"k": [6], "p": [7 / 8]}
    grouped = ask(con, "SELECT g, count(*) AS n FROM t q WHERE percentile(q.k) > 0.5 GROUP BY g ORDER BY g")
    assert grouped.to_dict("list") == {"g": list("abcd"), "n": [1, 1, 1, 1]}


def test_c29_rows_keep_their_order() -> None:
    n = 300_000
    rng = np.random.default_rng(3)
    with duckdb.connect() as connection:
        connection.register("rows", pa.table({"c": rng.normal(size=n), "i": np.arange(n)}))
        got = ask(connection, "SELECT i, percentile(c) AS p, mad_score(c) AS m FROM rows WHERE percentile(c) > 0.25")
    assert len(got) == n * 3 // 4
    assert got["i"].is_monotonic_increasing


@pytest.mark.parametrize(
    ("sql", "columns"),
    [
        ("SELECT * FROM t WHERE percentile(x) > 0", "x g k"),
        ("FROM t WHERE percentile(x) > 0", "x g k"),
        ("SELECT t.* FROM t WHERE percentile(t.x) > 0", "x g k"),
        ("SELECT *, zscore(k) AS z FROM t", "x g k z"),
        ("SELECT * EXCLUDE (x), zscore(k) z FROM t", "g k z"),
        ("SELECT * EXCLUDE x, zscore(k) z FROM t", "g k z"),
        ("SELECT * REPLACE (k * 2 AS k) FROM t WHERE zscore(k) < 9", "x g k"),
        ("SELECT COLUMNS(*) FROM t WHERE zscore(k) < 9", "x g k"),
        ("SELECT DISTINCT * FROM t WHERE zscore(k) < 9", "x g k"),
        ("SELECT k * 2 AS two, (k) * zscore(k) AS z FROM t", "two z"),
        ("SELECT percentile(x) FROM t", "percentile(x)"),
        ("SELECT 2*percentile(x), round(zscore(k), 1) r, p: zscore(k) FROM t", "2*percentile(x) r p"),
        ("SELECT percentile(x) IS NULL FROM t", "percentile(x) IS NULL"),
        ("SELECT CASE WHEN percentile(x) > 1 THEN 1 END FROM t", "CASE WHEN percentile(x) > 1 THEN 1 END"),
        ("SELECT * FROM (SELECT *, zscore(k) AS z FROM t) WHERE mad_score(z) >= 0", "x g k z"),
        ("SELECT * FROM t NATURAL JOIN u WHERE percentile(w) > 0.5", "x g k w"),
        ("SELECT t.*, u.w FROM t JOIN u ON t.k = u.k WHERE percentile(u.w) > 0.5", "x g k w"),
        ("SELECT * FROM t JOIN u USING (k) WHERE percentile(w) > 0.5", "x g k w"),
        ("SELECT * FROM t, u WHERE t.k = u.k AND percentile(u.w) > 0.5", "x g k k_1 w"),
        ("SELECT u.* FROM (t JOIN u USING (k)) WHERE percentile(w) > 0.5", "k w"),
    ],
)
def test_c29_other_columns_and_names_stay(con: duckdb.DuckDBPyConnection, sql: str, columns: str) -> None:
    got = ask(con, sql)
    names = [columns] if "(" in columns and " r " not in columns else columns.split(" ")
    assert list(got.columns) == names
    assert len(got)


def test_c29_they_work_in_all_places(con: duckdb.DuckDBPyConnection) -> None:
    nested = ask(con, "SELECT percentile(normalize(k)) AS p FROM t")
    assert nested["p"].tolist() == [(i + 1) / ROWS for i in range(ROWS)]
    union = ask(
        con, "SELECT count(*) AS n FROM t UNION ALL BY NAME SELECT count(*) AS n FROM t WHERE percentile(k) > 0.5"
    )
    assert union["n"].tolist() == [8, 4]
    inside = ask(
        con,
        "WITH a AS (SELECT * FROM t WHERE k IN (SELECT k FROM u WHERE percentile(w) > 0.5)) "
        "SELECT k, 'percentile(k)' AS s FROM a WHERE mad_score(k) > 0 ORDER BY percentile(k) DESC LIMIT 2",
    )
    assert inside.to_dict("list") == {"k": [7, 3], "s": ["percentile(k)"] * 2}
    assert ask(con, "SELECT max(PERCENTILE(k)) AS m FROM t HAVING min(percentile(k)) < 1")["m"].tolist() == [1.0]
    joined = ask(con, "SELECT k FROM t NATURAL JOIN u WHERE percentile(w) > 0.8 OR u.w = 1")
    assert sorted(joined["k"]) == [0, 6, 7]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM t",
        "SELECT 'percentile(x)' FROM t",
        "SELECT percentile FROM (SELECT 1 AS percentile)",
        "SELECT my.percentile(x) FROM t -- zscore(x)",
    ],
)
def test_c29_what_calls_none_stays_as_it_is(sql: str) -> None:
    assert rewrite(sql) == sql


@pytest.mark.parametrize(
    ("sql", "message", "hint"),
    [
        (
            "SELECT\n percentile(1)",
            "percentile needs the rows of a FROM (line 2, column 2).",
            "SELECT percentile(c) FROM t",
        ),
        ("SELECT zscore() FROM t", "zscore takes one column (line 1, column 15).", "Write zscore(c)."),
        ("SELECT zscore(a, b) FROM t", "zscore takes one column (line 1, column 16).", "Write zscore(c)."),
        ("SELECT Zscore(a FROM t", "The parenthesis ( is not closed (line 1, column 14).", "Write zscore(c)."),
        (
            "SELECT 1 FROM t JOIN u ON percentile(x) > 1",
            "percentile cannot stand within FROM (line 1, column 27).",
            "Score in a subquery: FROM (SELECT *, percentile(c) AS score FROM t).",
        ),
    ],
)
def test_c45_mistakes_in_calls(sql: str, message: str, hint: str) -> None:
    with pytest.raises(WorkbenchError) as caught:
        rewrite(sql)
    assert (caught.value.message, caught.value.hint) == (message, hint)
