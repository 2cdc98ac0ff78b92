"""Statements around a DIFF, scripts, odd names and data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tests.anomaly.asking import BASE, duckdb_rows, explained, frame_of, sample
from workbench.anomaly.diffs import diff
from workbench.anomaly.results import Explanations

MIRROR = Path(os.environ.get("WORKBENCH_MIRROR", "")) / "macrobase"
needs_data = pytest.mark.skipif(not MIRROR.is_dir(), reason="WORKBENCH_MIRROR names no folder with macrobase/")

COUNTS = ["risk_ratio", "global_ratio", "prevalence_ratio", "prevalence_difference"]


#: `{0}` is the DIFF, `{1}` a last sort key that only the reference needs
PLAIN = [
    "SELECT * FROM {0}",
    "SELECT * FROM {0} LIMIT ALL",
    "SELECT * FROM {0} AS d WHERE d.app IS NOT NULL LIMIT 3 OFFSET 1",
    "SELECT * FROM {0} WHERE outlier_count > 3 AND day IS NULL",
    "SELECT * FROM {0} ORDER BY outlier_count{1}",
    "SELECT * FROM {0} ORDER BY app NULLS FIRST, support > 0.1 DESC{1} LIMIT 5",
    "SELECT * FROM {0} ORDER BY 6, 1{1} LIMIT 7",
    "SELECT * FROM {0} ORDER BY ALL",
    "SELECT * FROM {0} WHERE app IN (SELECT app FROM t WHERE w = 4 GROUP BY app) ORDER BY lower(app){1}",
    "WITH u AS (SELECT 3 AS least) SELECT * FROM {0} WHERE outlier_count >= (SELECT least FROM u)",
    "FROM {0} WHERE app = '''; DROP TABLE t; --'",
]
OTHERS = [
    "SELECT app, count(*) AS n, max(global_ratio) AS worst FROM {0} GROUP BY app HAVING count(*) > 1 "
    "ORDER BY worst, app",
    "SELECT app, day FROM {0}",
    "SELECT day, support FROM {0} ORDER BY day NULLS LAST{1}",
    "SELECT support, app AS a FROM {0} ORDER BY a NULLS LAST{1} LIMIT 5",
    "SELECT DISTINCT app FROM {0} ORDER BY app",
    "SELECT sum(outlier_count) AS o, avg(support) AS s FROM {0}",
    "SELECT * FROM (SELECT * FROM {0} LIMIT 4) WHERE day IS NOT NULL",
    "WITH d AS (SELECT * FROM {0}) SELECT a.app, b.day FROM d a, d b WHERE a.app IS NULL AND b.day IS NULL "
    "ORDER BY ALL",
    "SELECT d.*, m.mean FROM {0} AS d JOIN (SELECT app, avg(x) AS mean FROM t GROUP BY app) m USING (app) "
    "ORDER BY d.support > 0.1{1}",
    "SELECT d.day, m.app FROM {0} AS d JOIN (SELECT DISTINCT app FROM t) m USING (app)",
    "SELECT app, support FROM {0} UNION ALL SELECT 'all', 1.0 ORDER BY 2, 1 NULLS FIRST",
    "SELECT row_number() OVER (ORDER BY support DESC, total_count, app, os, day) AS n, * FROM {0} QUALIFY n < 5 "
    "ORDER BY n",
    "SELECT (SELECT count(*) FROM {0}) AS n, 'DIFF (a), b' AS text",
    "SELECT diff.app FROM {0} WHERE diff.day = 2",
]


def around(form: str, t: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """The statement by plain DuckDB on the table of explanations, in rank order."""
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.register("t", t)
        connection.register("given", table.rename_axis("rank_").reset_index())
        connection.execute("CREATE TABLE ranked AS SELECT * EXCLUDE (rank_) FROM given ORDER BY rank_")
        rank = ", d.rowid" if " AS d " in form else ", rowid"
        sql = form.format("ranked", rank).replace("ranked WHERE diff.", "ranked AS diff WHERE diff.")
        return connection.sql(sql + (" ORDER BY d.rowid" if "JOIN" in sql and "ORDER" not in sql else "")).df()


def plain(value: Any) -> str:
    """A cell as text: null is null and 2.0 is 2, whatever holds them."""
    if pd.isna(value):
        return "<NA>"
    return f"{value:.9g}" if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value)


@pytest.mark.parametrize("form", [*PLAIN, *OTHERS])
def test_c30_statements_around_a_diff(form: str) -> None:
    t = sample()
    table = explained(f"SELECT * FROM {BASE}", t=t).to_pandas()
    assert len(table) > 8
    got = diff(form.format(BASE, ""), t=t)
    assert isinstance(got, Explanations) is (form in PLAIN)
    frame = got.to_pandas() if isinstance(got, Explanations) else got
    want = around(form, t, table)
    assert list(frame.columns) == list(want.columns)
    found, wanted = ([tuple(map(plain, row)) for row in f.to_numpy(dtype=object)] for f in (frame, want))
    assert found == wanted


def test_c25_c30_ties_keep_the_rank_order() -> None:
    t = sample()
    full = explained(f"SELECT * FROM {BASE}", t=t)
    table = full.to_pandas().assign(rank_=range(len(full)))
    for keys, sql in ((["outlier_count"], "outlier_count"), (["app", "outlier_count"], "app, outlier_count")):
        want = table.sort_values([*keys, "rank_"], na_position="last")["rank_"]
        r = explained(f"SELECT * FROM {BASE} ORDER BY {sql} LIMIT 12", t=t)
        assert r.sets == [full.sets[i] for i in want[:12]]
        frame = frame_of(f"SELECT app, os, day, outlier_count FROM {BASE} ORDER BY {sql}", t=t)
        columns = ["app", "os", "day"]
        pd.testing.assert_frame_equal(
            frame[columns], table.loc[want, columns].reset_index(drop=True), check_dtype=False
        )
    assert len(r.rows(3)) == r.to_pandas()["total_count"][3]
    assert len(duckdb_rows(t, r.sql(3))) == r.to_pandas()["total_count"][3]


def test_c30_several_diffs_in_one_statement() -> None:
    t = sample()
    one = explained("SELECT * FROM DIFF (SPLIT t WHERE x > 90) ON app WITH MIN RATIO 0.5", t=t).to_pandas()
    two = explained("SELECT * FROM DIFF (SPLIT t WHERE x < 10) ON app WITH MIN RATIO 0.5", t=t).to_pandas()
    got = frame_of(
        "SELECT a.app, a.global_ratio AS high, b.global_ratio AS low FROM DIFF (SPLIT t WHERE x > 90) ON app "
        "WITH MIN RATIO 0.5 AS a JOIN DIFF (SPLIT t WHERE x < 10) ON app WITH MIN RATIO 0.5 AS b ON a.app = b.app",
        t=t,
    )  # fmt: skip
    want = one.merge(two, on="app")
    assert sorted(got["app"]) == sorted(want["app"])
    np.testing.assert_allclose(sorted(got["low"]), sorted(want["global_ratio_y"]))


def test_c30_a_diff_of_diffs_and_ctes() -> None:
    t = sample()
    got = explained(
        "WITH late AS (SELECT * FROM t WHERE x > 90), others AS (SELECT * FROM t WHERE x <= 90) "
        "SELECT * FROM DIFF late, (SELECT * FROM others) ON app, day WITH MIN RATIO 1.2 MIN SUPPORT 0.01",
        t=t,
    )  # fmt: skip
    want = diff(t[t["x"] > 90], t[t["x"] <= 90], on=["app", "day"], min_ratio=1.2, compare="global_ratio")
    assert got.sets == want.sets
    assert len(got.rows(0)) == len(want.rows(0))
    nested = explained(
        "SELECT * FROM DIFF "
        "(SELECT * FROM DIFF (SPLIT t WHERE x > 90) ON app, day WITH MIN RATIO 0.1 MIN SUPPORT 0) hot, "
        "(SELECT * FROM DIFF (SPLIT t WHERE x < 10) ON app, day WITH MIN RATIO 0.1 MIN SUPPORT 0) cold ON day "
        "WITH MIN RATIO 0",
        t=t,
    )  # fmt: skip
    assert nested.n_rows > nested.n_outliers > 0
    assert nested.by == ["day"]


def test_c30_tables_made_by_a_script() -> None:
    t = sample()
    got = frame_of(
        "CREATE TABLE late AS SELECT * FROM t WHERE x > 90;\n"
        "CREATE VIEW rest AS SELECT * FROM t WHERE percentile(x) <= 0.5;\n"
        "CREATE TABLE answer AS SELECT * FROM DIFF late, rest ON app, day WITH MIN RATIO 0.5;\n"
        "SELECT count(*) AS n, any_value(answer.global_ratio) > 0 AS found FROM answer;",
        t=t,
    )  # fmt: skip
    assert got["n"][0] > 0
    assert got["found"][0]


def test_names_and_values_with_sql_in_them() -> None:
    t = pd.DataFrame(
        {
            "select": ["a", "a'; --", "a'; --", "NULL", "", None] * 5,
            'q"x': ["1", "1", "1", "2", "2", "2"] * 5,
            "support": [1, 2, 2, 3, 3, 3] * 5,
            "Größe 日": [True, False, False, True, True, None] * 5,
            "x": [0, 9, 9, 0, 0, 0] * 5,
        }
    )
    names = ["select", 'q"x', "support", "Größe 日"]
    on = ", ".join('"' + name.replace('"', '""') + '"' for name in names)
    r = explained(
        f'SELECT * FROM DIFF (SPLIT "my t" WHERE x > 5) ON {on} WITH MIN RATIO 0 MIN SUPPORT 0 MAX COMBO 4',
        **{"my t": t},
    )
    frame = r.to_pandas()
    assert list(frame.columns) == [*names, "support_", "global_ratio", "outlier_count", "total_count"]
    assert {"select": "a'; --"} in r.sets
    for i in range(len(r)):
        assert len(r.rows(i)) == len(duckdb_rows(t, r.sql(i))) == frame["total_count"][i]
    two = explained(
        f'SELECT * FROM DIFF (SELECT * FROM "my t" WHERE x > 5), (SELECT * FROM "my t" WHERE x <= 5) ON {on} '
        "WITH MIN RATIO 0 MIN SUPPORT 0 MAX COMBO 4",
        **{"my t": t},
    )
    pd.testing.assert_frame_equal(two.to_pandas(), frame)
    for i in range(0, len(r), 3):
        assert len(two.rows(i)) == frame["total_count"][i]


def test_upper_and_lower_case_are_the_same() -> None:
    t = sample()
    r = explained("select * from diff (split T where X > 90) on APP, Day", t=t)
    assert list(r.to_pandas().columns[:2]) == ["app", "day"]
    two = explained("select * from diff T, (FROM t WHERE x < 5) on APP", t=t)
    assert two.by == ["app"]


@pytest.mark.parametrize("rows", [0, 1])
def test_few_rows(rows: int) -> None:
    t = sample().head(rows)
    r = explained("SELECT * FROM DIFF (SPLIT t WHERE x > 1000) ON app, day", t=t)
    assert (len(r), r.n_rows, r.n_outliers) == (0, rows, 0)
    assert list(r.to_pandas().columns) == ["app", "day", "support", "global_ratio", "outlier_count", "total_count"]
    assert len(r.notes) == 1
    two = explained("SELECT * FROM DIFF t, (FROM t WHERE false) b ON app", t=t)
    name = "t" if not rows else "b"
    what = "explain" if not rows else "compare with"
    assert f"{name} has no rows, so there is nothing to {what}." in two.notes
    assert len(two.outliers) == rows


def test_c45_nothing_marked() -> None:
    r = explained("SELECT * FROM DIFF (SPLIT t WHERE x > 500) ON app", t=sample())
    largest = sample()["x"].max()
    assert r.notes == [f"No row satisfies x > 500 (largest x is {largest:g}), so there is nothing to explain."]


def test_c30_ties_within_subqueries_keep_the_rank_order() -> None:
    t = sample()
    table = explained(f"SELECT * FROM {BASE}", t=t).to_pandas()
    want = table.assign(n=table["total_count"] > 50).sort_values("n", kind="stable").head(4)
    got = frame_of(f"SELECT a.* FROM (SELECT * FROM {BASE} AS a ORDER BY total_count > 50 LIMIT 4) a", t=t)
    columns = ["app", "os", "day"]
    pd.testing.assert_frame_equal(got[columns], want[columns].reset_index(drop=True), check_dtype=False)


def test_c30_other_tables_are_found_beside_a_diff() -> None:
    t, other = sample(), pd.DataFrame({"app": ["v1", "v2"], "team": ["p", "q"]})
    got = frame_of(f"SELECT d.app, o.team FROM {BASE} AS d JOIN other o USING (app)", t=t, other=other)
    table = explained(f"SELECT * FROM {BASE}", t=t).to_pandas().merge(other, on="app")
    assert got["app"].tolist() == table["app"].tolist()
    named = frame_of(f"SELECT diff.k, d.app FROM {BASE} AS d, diff ORDER BY ALL", t=t, diff=pd.DataFrame({"k": [1]}))
    assert named["k"].tolist() == [1] * len(explained(f"SELECT * FROM {BASE}", t=t))
    bare = frame_of("SELECT count(*) AS n FROM diff, DIFF (SPLIT t WHERE x > 90) ON app", t=t, diff=t.head(2))
    assert bare["n"][0] % 2 == 0


def test_c30_a_statement_that_writes_is_run_once() -> None:
    found = explained("SELECT * FROM DIFF (SPLIT t WHERE x > 90) ON app WITH MIN RATIO 0", t=sample())
    got = frame_of(
        "CREATE TABLE kept AS SELECT 'none' AS app LIMIT 0;"
        "INSERT INTO kept SELECT app FROM DIFF (SPLIT t WHERE x > 90) ON app WITH MIN RATIO 0;"
        "WITH d AS (SELECT 1) INSERT INTO kept SELECT 'one';"
        "SELECT count(*) AS n FROM kept",
        t=sample(),
    )  # fmt: skip
    assert got["n"].tolist() == [len(found) + 1]


def test_a_column_called_rowid_is_a_column() -> None:
    t = sample().rename(columns={"app": "rowid"})
    r = explained(
        "SELECT * FROM DIFF (SPLIT t WHERE x > 90) ON rowid, day WITH MIN RATIO 0.5 ORDER BY total_count", t=t
    )
    assert r.to_pandas()["total_count"].is_monotonic_increasing
    frame = frame_of("SELECT rowid, day FROM DIFF (SPLIT t WHERE x > 90) ON rowid, day WITH MIN RATIO 0.5", t=t)
    full = explained("SELECT * FROM DIFF (SPLIT t WHERE x > 90) ON rowid, day WITH MIN RATIO 0.5", t=t).to_pandas()
    assert [None if pd.isna(v) else v for v in frame["rowid"]] == [None if pd.isna(v) else v for v in full["rowid"]]


def test_nan_is_null_in_conditions() -> None:
    t = pa.table({"x": [1.0, float("nan"), 3.0], "a": ["p", "q", "p"]})
    assert explained("SELECT * FROM DIFF (SPLIT t WHERE x > 2) ON a", t=t).n_outliers == 1
    assert frame_of("SELECT count(*) AS n FROM t WHERE x IS NULL", t=t)["n"].tolist() == [1]
