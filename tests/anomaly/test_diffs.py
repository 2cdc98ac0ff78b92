"""`wb.diff`: SPLIT, two sides and two tables, from the text to the answer."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import workbench as wb
from tests.anomaly.asking import BASE, duckdb_rows, explained, sample
from tests.anomaly.brute import brute
from workbench.anomaly.diffs import diff, start_diff
from workbench.anomaly.score import MAD
from workbench.engine.errors import WorkbenchError

MIRROR = Path(os.environ.get("WORKBENCH_MIRROR", "")) / "macrobase"
needs_data = pytest.mark.skipif(not MIRROR.is_dir(), reason="WORKBENCH_MIRROR names no folder with macrobase/")

COUNTS = ["risk_ratio", "global_ratio", "prevalence_ratio", "prevalence_difference"]


@pytest.mark.parametrize("metric", COUNTS)
def test_c27_a_split_answers_as_outliers_with_where(metric: str) -> None:
    t = sample()
    ratio = 0.01 if metric == "prevalence_difference" else 1.1
    rest = f"ON app, os, day WITH MIN RATIO {ratio} MIN SUPPORT 0.05 COMPARE BY {metric}(COUNT(*)) MAX COMBO 2"
    r = explained(f"SELECT * FROM DIFF (SPLIT t WHERE x > 90) {rest}", t=t)
    same = wb.outliers(
        t, by=["app", "os", "day"], where="x > 90", compare=metric, min_ratio=ratio, min_support=0.05, max_combo=2
    )
    assert len(r) > 2
    assert r.sets == same.sets
    mine, theirs = r.to_pandas(), same.to_pandas()
    assert list(mine.columns) == ["app", "os", "day", "support", metric, "outlier_count", "total_count"]
    pd.testing.assert_frame_equal(
        mine.rename(columns={metric: "ratio"}), theirs[[*theirs.columns[:5], *theirs.columns[7:9]]]
    )
    assert (r.n_rows, r.n_outliers, r.compare, r.by) == (400, same.n_outliers, metric, ["app", "os", "day"])
    pd.testing.assert_frame_equal(r.rows(0), same.rows(0))
    pd.testing.assert_frame_equal(r.outliers, same.outliers)
    assert r.filter(0) == r.sql(0) == same.sql(0)
    assert r.code(0) == same.code(0)


def test_c27_macrobases_defaults() -> None:
    t = sample()
    short = explained("SELECT * FROM DIFF (SPLIT t WHERE x > 90) ON app, os, day", t=t)
    full = explained(
        "SELECT * FROM DIFF (SPLIT t WHERE x > 90) ON app, os, day WITH MIN SUPPORT 0.2 MIN RATIO 1.5 "
        "COMPARE BY global_ratio(COUNT(*)) MAX COMBO 3",
        t=t,
    )
    assert short.compare == "global_ratio"
    assert len(short)
    pd.testing.assert_frame_equal(short.to_pandas(), full.to_pandas())
    difference = explained(
        "SELECT * FROM DIFF (SPLIT t WHERE x > 90) ON app COMPARE BY prevalence_difference(COUNT(*))", t=t
    )
    assert difference.notes[0] == "min ratio is 0.1: prevalence_difference is between -1 and 1."


def test_c16_means_in_sql() -> None:
    t = sample()
    t.loc[::37, "x"] = np.nan
    for metric, ratio in (("mean_shift", 1.01), ("mean_deviation", 0.05)):
        rest = f"ON app, os WITH MIN RATIO {ratio} MIN SUPPORT 0.05 COMPARE BY {metric}(AVG(x)) MAX COMBO 2"
        r = explained(f"SELECT * FROM DIFF (SPLIT t WHERE day = 2) {rest}", t=t)
        same = wb.outliers(
            t, "x", ["app", "os"], where="day = 2", compare=metric, min_ratio=ratio, min_support=0.05, max_combo=2
        )
        assert len(r)
        assert r.sets == same.sets
        np.testing.assert_array_equal(r.to_pandas()[metric], same.to_pandas()["ratio"])
        assert (r.n_left_out, r.n_rows) == (same.n_left_out, same.n_rows) == (11, 389)
        assert "11 rows have no x and were left out (2.8 %)." in r.notes
        pd.testing.assert_frame_equal(r.histogram(0), same.histogram(0))
        assert len(r.rows(0)) == r.to_pandas()["total_count"][0]
        two = explained(f"SELECT * FROM DIFF (SELECT * FROM t WHERE day = 2) a, (FROM t WHERE day <> 2) b {rest}", t=t)
        pd.testing.assert_frame_equal(two.to_pandas(), r.to_pandas())
        assert len(two.rows(0)) == len(r.rows(0))
        pd.testing.assert_frame_equal(two.histogram(0), r.histogram(0))


cells = st.none() | st.sampled_from(["a", "b", "", "NULL"])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(cells, cells, st.none() | st.integers(0, 4), st.booleans()), min_size=1, max_size=25),
    st.sampled_from([*COUNTS, "sum"]),
    st.sampled_from([0.0, 0.25]),
    st.sampled_from([0.3, 1.5]),
    st.booleans(),
)
def test_c27_c28_two_sides_by_brute_force(
    rows: list[tuple], metric: str, support: float, ratio: float, split: bool
) -> None:
    weighted = metric == "sum"
    name = "risk_ratio" if weighted else metric
    kept = [row for row in rows if not weighted or row[2] is not None]
    by = [{"p": p, "q": q} for p, q, _, _ in kept]
    flags = [row[3] for row in kept]
    heavy = [float(row[2]) for row in kept] if weighted else None
    want = brute(
        by,
        flags if heavy is None else [w * f for w, f in zip(heavy, flags, strict=True)],
        compare=name,
        min_support=support,
        min_ratio=ratio,
        weights=heavy,
    )
    p, q, w, late = (list(column) for column in zip(*rows, strict=True))
    t = pa.table(
        {"p": pa.array(p, pa.string()), "q": pa.array(q, pa.string()), "w": pa.array(w, pa.int64()), "late": late}
    )
    sides = "(SPLIT t WHERE late)" if split else "(SELECT * FROM t WHERE late), (SELECT * FROM t WHERE NOT late)"
    how = f"{name}({'SUM(w)' if weighted else 'COUNT(*)'})"
    got = explained(
        f"SELECT * FROM DIFF {sides} ON p, q WITH MIN SUPPORT {support} MIN RATIO {ratio} COMPARE BY {how}", t=t
    )
    frame = got.to_pandas()
    assert got.sets == [line.values for line in want]
    np.testing.assert_array_equal(frame[name], [line.ratio for line in want])
    np.testing.assert_array_equal(frame["outlier_count"], [line.o for line in want])
    np.testing.assert_array_equal(frame["total_count"], [line.t for line in want])
    assert frame["total_count"].dtype == ("float64" if weighted else "int64")


def test_c14_weights_of_sum() -> None:
    t = sample().assign(w=lambda f: f["w"].where(f.index % 50 != 0).astype("Int64"))
    r = explained("SELECT * FROM DIFF (SPLIT t WHERE x > 90) ON app, day COMPARE BY global_ratio(SUM(w))", t=t)
    assert r.n_rows == t["w"].sum()
    assert r.n_outliers == t.loc[t["x"] > 90, "w"].sum()
    assert r.n_left_out == 8
    assert r.notes == ["8 rows have no w and were left out (2.0 %)."]
    with pytest.raises(WorkbenchError) as caught:
        diff("SELECT * FROM DIFF (SPLIT t WHERE x > 90) ON app COMPARE BY global_ratio(SUM(v))", t=t.assign(v=-1.5))
    assert caught.value.lines() == [
        '"v" holds -1.5; SUM takes weights of 0 or more.',
        "Leave such rows out: WHERE v >= 0.",
    ]


def test_c27_splits_of_queries_and_scores() -> None:
    t = sample()
    r = explained("SELECT * FROM DIFF (SPLIT t WHERE percentile(x) > 0.9) ON app, day", t=t)
    cut = t["x"].rank(method="min", pct=True)
    assert r.n_outliers == int((cut > 0.9).sum())
    inner = explained(
        "SELECT * FROM DIFF (SPLIT (SELECT *, x * 2 AS y FROM t WHERE day > 1) WHERE y > 180) ON app, day", t=t
    )
    assert inner.n_rows == int((t["day"] > 1).sum())
    assert list(inner.outliers.columns) == [*t.columns, "y", "score"]
    want = t[t["day"] > 1]
    pd.testing.assert_series_equal(inner.outliers["x"], want.loc[want["x"] > 90, "x"].reset_index(drop=True))
    scored = explained("SELECT * FROM DIFF (SPLIT (SELECT *, mad_score(x) AS s FROM t) WHERE s > 1.5) ON app, day", t=t)
    assert scored.n_outliers == int((MAD().fit(t["x"]).score(t["x"]) > 1.5).sum())
    assert len(scored.rows(0)) == scored.to_pandas()["total_count"][0]
    assert scored.outliers["s"].min() > 1.5


def test_c27_null_in_a_condition_is_an_inlier() -> None:
    t = pd.DataFrame({"x": [1.0, None, 3.0, None], "a": list("pqpq")})
    r = explained("SELECT * FROM DIFF (SPLIT t WHERE x > 2) ON a WITH MIN RATIO 0", t=t)
    assert (r.n_rows, r.n_outliers) == (4, 1)


# --------------------------------------------------------------------------------------------------------- two tables


@pytest.mark.parametrize("metric", COUNTS)
def test_c28_two_tables_answer_as_sql(metric: str) -> None:
    t = sample()
    late, rest = t[t["x"] > 90], t[t["x"] <= 90]
    ratio = 0.1 if metric == "prevalence_difference" else 1.2
    r = diff(late, rest, on=["app", "os", "day"], min_ratio=ratio, min_support=0.05, compare=metric)
    sql = explained(
        f"SELECT * FROM DIFF a, b ON app, os, day WITH MIN RATIO {ratio} MIN SUPPORT 0.05 "
        f"COMPARE BY {metric}(COUNT(*))",
        a=late, b=rest,
    )  # fmt: skip
    assert len(r) > 2
    assert r.sets == sql.sets
    np.testing.assert_array_equal(r.to_pandas()["ratio"], sql.to_pandas()[metric])
    assert list(r.to_pandas().columns[-6:]) == [
        "support", "ratio", "ratio_low", "ratio_high", "outlier_count", "total_count", "combo_size",
    ][1:]  # fmt: skip
    both = pd.concat([late, rest], ignore_index=True)
    matching = both[both[list(r.sets[0])].eq(pd.Series(r.sets[0])).all(axis=1)].reset_index(drop=True)
    shown = r.rows(0)
    pd.testing.assert_frame_equal(shown[list(t.columns)], matching, check_dtype=False)
    assert shown["outlier"].sum() == r.to_pandas()["outlier_count"][0]
    assert shown["score"].isna().all()
    assert len(late[r.filter(0)]) == r.to_pandas()["outlier_count"][0]
    assert len(r.outliers) == len(late)
    assert diff(late, rest, **r.spec).sets == r.sets


def test_c28_defaults_of_two_tables_are_those_of_outliers() -> None:
    t = sample()
    late, rest = t[t["x"] > 110], t[t["x"] <= 110]
    r = diff(late, rest, on=["app", "day"])
    same = diff(late, rest, on=["app", "day"], min_support=0.01, min_ratio=3.0, max_combo=3, compare="risk_ratio")
    assert r.compare == "risk_ratio"
    assert r.spec == {
        "on": ["app", "day"],
        "min_support": 0.01,
        "min_ratio": 3.0,
        "max_combo": 3,
        "compare": "risk_ratio",
    }
    pd.testing.assert_frame_equal(r.to_pandas(), same.to_pandas())
    difference = diff(late, rest, on=["app"], compare="prevalence_difference")
    assert difference.notes == ["min ratio is 0.1: prevalence_difference is between -1 and 1."]


def test_c28_c33_tables_of_all_kinds(tmp_path: Path) -> None:
    t = sample()
    late, rest = t[t["x"] > 90].reset_index(drop=True), t[t["x"] <= 90].reset_index(drop=True)
    pq.write_table(pa.Table.from_pandas(rest), tmp_path / "rest.parquet")
    rest.to_csv(tmp_path / "rest.csv", index=False)
    want = diff(late, rest, on=["app", "day"], min_ratio=1.2).to_pandas()
    with duckdb.connect() as connection:
        connection.register("rest", rest)
        others = {
            "polars": pl.from_pandas(rest),
            "lazy": pl.from_pandas(rest).lazy(),
            "arrow": pa.Table.from_pandas(rest),
            "duckdb": connection.table("rest"),
            "parquet": str(tmp_path / "rest.parquet"),
            "csv": tmp_path / "rest.csv",
            "category": rest.astype({"app": "category"}),
        }
        for kind, other in others.items():
            got = diff(late, other, on=["app", "day"], min_ratio=1.2)
            pd.testing.assert_frame_equal(got.to_pandas(), want, obj=kind)
            assert len(got.rows(0)) == want["total_count"][0]
            swapped = diff(other, late, on=["app", "day"], min_ratio=0.5)
            chosen = swapped.filter(0)
            kept = {
                "polars": lambda f: len(others["polars"].filter(f)),
                "lazy": lambda f: len(others["lazy"].filter(f).collect()),
                "arrow": lambda f: len(others["arrow"].filter(f)),
                "category": lambda f: len(rest[f]),
            }.get(kind)
            if kept is not None:
                assert kept(chosen) == swapped.to_pandas()["outlier_count"][0]
            else:
                assert isinstance(chosen, str)


def test_c28_dask_frames() -> None:
    dd = pytest.importorskip("dask.dataframe")
    t = sample()
    late, rest = t[t["x"] > 90], t[t["x"] <= 90]
    got = diff(
        dd.from_pandas(late, npartitions=2), dd.from_pandas(rest, npartitions=3), on=["app", "day"], min_ratio=1.2
    )
    want = diff(late, rest, on=["app", "day"], min_ratio=1.2)
    pd.testing.assert_frame_equal(got.to_pandas(), want.to_pandas())
    split = explained(
        "SELECT * FROM DIFF (SPLIT t WHERE x > 90) ON app, day WITH MIN RATIO 1.2 MIN SUPPORT 0.01 "
        "COMPARE BY risk_ratio(COUNT(*))",
        t=dd.from_pandas(t, npartitions=3),
    )  # fmt: skip
    assert split.sets == want.sets


def test_c28_types_are_unified() -> None:
    a = pd.DataFrame({"k": [1, 2, 2], "s": ["x", "y", "y"]})
    b = pd.DataFrame({"s": ["x", "x"], "k": [1.0, 3.0]})
    got = diff(a, b, on=["k", "s"], min_ratio=0.1, max_combo=1)
    assert got.to_pandas()["k"].dtype == "Int64"
    assert [line for line in got.sets if "k" in line] == [{"k": 2}, {"k": 1}]
    text = diff(a, b.assign(k=["1", "3"]), on=["k"], min_ratio=0.1)
    assert text.sets == [{"k": "2"}, {"k": "1"}]
    with pytest.raises(WorkbenchError) as caught:
        diff(a, pd.DataFrame({"k": pd.to_datetime(["2020-01-01"])}), on=["k"])
    assert caught.value.message == '"k" has no common type: BIGINT on one side, TIMESTAMP on the other.'


def test_c28_star_takes_what_both_sides_have() -> None:
    t = sample()
    late, rest = t[t["x"] > 90].assign(plan="p"), t[t["x"] <= 90]
    got = diff(late, rest, min_ratio=1.2)
    assert got.by == ["app", "os"]
    assert got.notes == [
        'The two sides differ: left has "plan", right does not. Using the 5 common columns.',
        'Left out "x", "w", "day": numbers.',
    ]
    sql = explained(
        "SELECT * FROM DIFF (SELECT * FROM t WHERE lower(os) = 'a' AND x > 50) p, (FROM t WHERE x <= 50) q ON *", t=t
    )
    assert sql.by == ["app"]
    assert sorted(sql.notes[:2]) == ['Left out "w", "day": numbers.', 'Left out "x", "os": named in where.']
    with pytest.raises(WorkbenchError) as caught:
        diff(late[["app"]], rest[["os"]])
    assert caught.value.lines() == ["The two sides have no column in common.", "Columns: app; and os"]


@pytest.mark.parametrize(
    ("first", "second", "count"),
    [
        ("(SELECT * FROM t WHERE x > 50)", "(SELECT * FROM t WHERE x > 90)", 55),
        ("t", "t", 400),
        ("t", "(SELECT app, day FROM t WHERE w = 1)", None),
        ("(t)", "(FROM t)", 400),
        ("(FROM t WHERE x > 50)", "((SELECT x, app, day FROM T WHERE x > 90))", 55),
        ("(FROM t SELECT DISTINCT *)", "t", 0),
        ("(SELECT * FROM t WHERE x > 50)", "(SELECT * FROM t WHERE x <= 50)", 0),
        ("(SELECT * FROM t WHERE x > 50)", "(SELECT * FROM u WHERE x > 90)", 0),
        ("(SELECT DISTINCT * FROM t)", "t", 0),
        ("(SELECT * FROM t LIMIT 3)", "t", 0),
    ],
)
def test_c28_rows_on_both_sides_are_told(first: str, second: str, count: int | None) -> None:
    t = sample()
    if count is None:
        count = int(t["w"].eq(1).sum())
    elif count == 55:
        count = int(t["x"].gt(90).sum())
    got = explained(f"SELECT * FROM DIFF {first} a, {second} b ON app, day", t=t, u=t)
    notes = [note for note in got.notes if "both sides" in note]
    assert notes == ([f"{count} rows occur on both sides; they count on both."] if count else [])


def test_c43_within_and_without() -> None:
    t = sample()
    late, rest = t[t["x"] > 90], t[t["x"] <= 90]
    sql = "SELECT * FROM DIFF (SPLIT {} WHERE x > 90) ON app, os, day WITH MIN RATIO 1.1 MIN SUPPORT 0.05"
    for r in (
        explained(sql.format("t"), t=t),
        explained(sql.format("(SELECT * FROM t WHERE w >= 0)"), t=t),
        diff(late, rest, on=["app", "os", "day"], min_ratio=1.1, min_support=0.05, compare="global_ratio"),
    ):
        mask = duckdb_rows(t, r.sql(0))
        inside, outside = r.within(0), r.without(0)
        assert inside.n_rows == len(mask) == r.to_pandas()["total_count"][0]
        assert outside.n_rows == len(t) - len(mask)
        assert inside.n_outliers + outside.n_outliers == r.n_outliers
        first = next(iter(r.sets[0].items()))
        assert all(dict([first]) != line for line in outside.sets) or len(r.sets[0]) > 1
        if len(outside):
            assert len(outside.rows(0)) == outside.to_pandas()["total_count"][0]
            again = outside.without(0)
            assert again.n_rows == outside.n_rows - outside.to_pandas()["total_count"][0]


def test_c46_a_plan_and_a_page() -> None:
    r = explained(f"SELECT * FROM {BASE}", t=sample())
    assert [node.op for _, node in r._plan().walk()] == ["Rank", "Count", "Encode", "Read"]
    assert "x > 90" in str(r)
    blocks = r.view_data()["blocks"]
    assert blocks[0]["kind"] == "summary"
    assert r.spec == {"sql": f"SELECT * FROM {BASE}"}
    two = explained("SELECT * FROM DIFF (FROM t WHERE x > 90) hot, (FROM t WHERE x <= 90) cold ON app, day", t=sample())
    assert "hot against cold" in str(two)
    assert two.view_data()["blocks"]
    assert two.to_json()


def test_runs_can_be_cancelled() -> None:
    run = start_diff("SELECT sum(a.range * b.range % 7) FROM range(1000000) a, range(1000000) b", {})
    timer = threading.Timer(0.3, run.cancel)
    timer.start()
    began = time.monotonic()
    assert run.wait(60)
    timer.cancel()
    assert run.state == "cancelled"
    assert time.monotonic() - began < 55


@needs_data
def test_c27_macrobase_sample() -> None:
    r = explained(
        f"IMPORT FROM CSV FILE '{MIRROR}/sample.csv' INTO sample(usage double, latency double, location string, "
        "version string);"
        "SELECT * FROM DIFF (SPLIT sample WHERE usage > 1000.0) ON location, version WITH MIN RATIO 10.0 "
        "MIN SUPPORT 0.2 COMPARE BY risk_ratio(COUNT(*)) ORDER BY risk_ratio DESC;"
    )
    frame = pd.read_csv(MIRROR / "sample.csv")
    by = frame[["location", "version"]].to_dict("records")
    want = brute(by, list(frame["usage"] > 1000), compare="risk_ratio", min_ratio=10, min_support=0.2)
    assert r.sets == [line.values for line in want]
    assert r.to_pandas()["risk_ratio"].tolist() == [line.ratio for line in want]


@needs_data
@pytest.mark.parametrize(
    ("name", "on", "late", "others"),
    [
        ("triple.csv", ["A", "B", "C", "D"], "percentile(m) > 0.97", "percentile(m) <= 0.97"),
        ("wide.csv", [f"c{i}" for i in range(11)], "m > 50", "m <= 50"),
    ],
)
def test_c23_c27_macrobase_tables_by_brute_force(name: str, on: list[str], late: str, others: str) -> None:
    frame = pd.read_csv(MIRROR / name)
    cut = frame["m"].rank(method="min", pct=True) > 0.97 if name == "triple.csv" else frame["m"] > 50
    rows = frame[on].to_dict("records")
    want = brute(rows, list(cut), compare="risk_ratio", min_ratio=3, min_support=0.1, max_combo=3)
    rest = f"ON {', '.join(on)} WITH MIN RATIO 3 MIN SUPPORT 0.1 COMPARE BY risk_ratio(COUNT(*)) MAX COMBO 3"
    for sides in (f"(SPLIT t WHERE {late})", f"(SELECT * FROM t WHERE {late}), (SELECT * FROM t WHERE {others})"):
        r = explained(f"SELECT * FROM DIFF {sides} {rest}", t=frame)
        assert len(r)
        assert r.sets == [line.values for line in want]
        np.testing.assert_allclose(r.to_pandas()["risk_ratio"], [line.ratio for line in want], rtol=1e-12)


def test_an_aggregate_splits_nothing() -> None:
    with pytest.raises(WorkbenchError) as error:
        wb.diff("SELECT * FROM DIFF (SPLIT t WHERE sum(m) > 1) ON g", t=pd.DataFrame({"m": [1, 2], "g": ["a", "b"]}))
    assert error.value.lines() == [
        "The condition of SPLIT has no answer for each row, as an aggregate has none.",
        "For a figure over all rows write (SELECT avg(x) FROM t).",
    ]


def test_sides_and_sql_by_their_names() -> None:
    df = pd.DataFrame({"g": list("aab") * 10, "k": [1, 1, 2] * 10})
    first, second = df[df.k == 2], df[df.k == 1]
    wanted = wb.diff(first, second, on=["g"]).sets
    assert wanted == [{"g": "b"}]
    assert wb.diff(outliers_df=first, inliers_df=second, on=["g"]).sets == wanted
    assert wb.diff(first, inliers_df=second, on=["g"]).sets == wanted
    assert len(wb.diff(sql="SELECT * FROM t", t=df)) == 30
    with pytest.raises(WorkbenchError) as error:
        wb.diff()
    assert error.value.message == "diff needs SQL or two tables; got neither."
    with pytest.raises(WorkbenchError) as error:
        wb.diff(first, second, on=3)
    assert error.value.message == "on names no column."


@pytest.mark.parametrize("form", [lambda df: df, pl.from_pandas, pa.Table.from_pandas])
def test_a_filter_fits_the_first_table_where_the_second_has_text(form: Any) -> None:
    first = form(pd.DataFrame({"k": [1, 1, 2, 2, 2]}))
    r = wb.diff(first, pd.DataFrame({"k": ["1"] * 4 + ["x"] * 4}), on=["k"])
    assert r.sets == [{"k": "2"}]
    native = r.filter(0)
    assert len(first[native] if isinstance(first, pd.DataFrame) else first.filter(native)) == 3
