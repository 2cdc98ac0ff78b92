"""`Explanations`: the table's columns and dtypes, the exact sets, filters, rows, and the ways on from a line."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import workbench as wb
from workbench.anomaly import compare
from workbench.anomaly.results import Explanations
from workbench.engine.errors import WorkbenchError

FIGURES = ["support", "ratio", "ratio_low", "ratio_high", "outlier_count", "total_count", "combo_size"]
FIGURE_TYPES = ["float64"] * 4 + ["int64"] * 3


def delays(n: int = 2000, seed: int = 3, missing: int = 0) -> pd.DataFrame:
    """Return delays that are long for SFO at 18, and for carrier B6 with a null origin."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "dest": rng.choice(["SFO", "LAX", "ATL", "ORD"], n),
            "hour": rng.choice([6, 12, 18], n),
            "carrier": rng.choice(["B6", "AA", "it's"], n),
            "origin": rng.choice(np.array(["JFK", "EWR", None], dtype=object), n),
            "delay": rng.normal(0, 10, n).round(3),
        }
    )
    late = (frame["dest"].eq("SFO") & frame["hour"].eq(18)) | (frame["carrier"].eq("B6") & frame["origin"].isna())
    frame.loc[late & (rng.random(n) < 0.5), "delay"] += 200
    if missing:
        frame.loc[rng.choice(n, missing, replace=False), "delay"] = np.nan
    return frame


BY = ["dest", "hour", "carrier", "origin"]


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return delays(missing=120)


@pytest.fixture(scope="module")
def answer(frame: pd.DataFrame) -> Explanations:
    return wb.outliers(frame, "delay", BY, top=0.1, min_ratio=4.5)


# -------------------------------------------------------------------------------------------------------------- table


def test_columns_stand_in_order_with_their_dtypes(answer: Explanations) -> None:
    table = answer.to_pandas()
    assert list(table.columns) == [*BY, *FIGURES]
    assert [str(dtype) for dtype in table.dtypes] == ["string", "Int64", "string", "string", *FIGURE_TYPES]
    assert isinstance(table.index, pd.RangeIndex)
    assert len(answer) == len(table) > 1
    assert table["dest"].isna().any()
    assert (table[BY].notna().sum(axis=1) == table["combo_size"]).all()


def test_c22_a_null_is_written_as_a_value_and_is_none_in_sets(answer: Explanations) -> None:
    table = answer.to_pandas()
    nulls = [i for i, one in enumerate(answer.sets) if one.get("origin", "") is None]
    assert nulls
    assert (table["origin"].iloc[nulls] == "∅").all()
    assert {"carrier": "B6", "origin": None} in answer.sets


@pytest.mark.parametrize(
    ("values", "dtype", "shown", "exact"),
    [
        (["x", "y"], "string", "x", "x"),
        ([5, -7], "Int64", 5, 5),
        ([5.0, 7.0], "Int64", 5, 5),
        ([0.5, 7.0], "Float64", 0.5, 0.5),
        ([True, False], "boolean", True, True),
        ([5.0, None], "string", "5", 5),
        ([0.25, None], "string", "0.25", 0.25),
        (pd.array([5, None], dtype="Int64"), "string", "5", 5),
        (["x", None], "string", "x", "x"),
        (pd.to_datetime(["2026-11-21", "2026-11-22"]), "datetime64", pd.Timestamp("2026-11-21"), None),
        ([2**62, 1], "Int64", 2**62, 2**62),
        ([1e300, 1.0], "Float64", 1e300, 1e300),
    ],
)
def test_values_come_back_with_the_dtype_of_their_column(values: Any, dtype: str, shown: Any, exact: Any) -> None:
    series = pd.Series(values)
    frame = pd.DataFrame({"v": series.take([0] * 20 + [1] * 380).reset_index(drop=True), "other": ["a", "b"] * 200})
    r = wb.outliers(frame, by=["v", "other"], labels=np.arange(400) < 20)
    table = r.to_pandas()
    assert str(table["v"].dtype).startswith(dtype)
    assert table["v"].iloc[0] == shown
    assert r.sets[0]["v"] == (exact if exact is not None else shown)
    assert type(r.sets[0]["v"]) is type(exact) or exact is None
    assert math.isinf(table["ratio"].iloc[0])
    assert table["ratio_high"].iloc[0] == math.inf
    empty = wb.outliers(frame, by=["v", "other"], labels=np.arange(400) < 20, min_ratio=math.inf, min_support=1.0)
    assert list(empty.to_pandas().columns) == ["v", "other", *FIGURES]


def test_ranges_are_text_in_the_table_and_intervals_in_sets() -> None:
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"distance": rng.uniform(0, 1000, 3000), "where": rng.choice(["a", "b"], 3000)})
    r = wb.outliers(frame, by=[("distance", 10), "where"], labels=(frame["distance"] > 900).to_numpy(), max_combo=1)
    table = r.to_pandas()
    assert str(table["distance"].dtype) == "string"
    assert table["distance"].iloc[0].startswith("[")
    assert table["distance"].iloc[0].endswith("]")
    interval = r.sets[0]["distance"]
    assert isinstance(interval, pd.Interval)
    assert interval.closed == "both"
    assert interval.right == frame["distance"].max()
    assert len(frame[r.filter(0)]) == table["total_count"].iloc[0]


def test_an_empty_answer_has_all_columns_and_dtypes(frame: pd.DataFrame) -> None:
    r = wb.outliers(frame, "delay", BY, min_ratio=1e9)
    table = r.to_pandas()
    assert len(r) == len(table) == 0
    assert list(table.columns) == [*BY, *FIGURES]
    assert [str(dtype) for dtype in table.dtypes] == ["string", "Int64", "string", "string", *FIGURE_TYPES]
    assert r.sets == []
    assert r.to_arrow().num_rows == 0
    assert len(r.to_pandas(q_value=True)) == 0
    assert bool(r)
    with pytest.raises(WorkbenchError, match="No explanation 0: there are 0 explanations"):
        r.rows(0)


def test_a_figure_whose_name_is_taken_gets_an_underscore() -> None:
    rng = np.random.default_rng(0)
    names = ["support", "support_", "ratio", "outlier_count", "q_value", "score", "outlier"]
    frame = pd.DataFrame({name: rng.choice(["a", "b", "c"], 300) for name in names})
    r = wb.outliers(frame, by=names, labels=frame["ratio"].eq("a").to_numpy() & (rng.random(300) < 0.9))
    table = r.to_pandas(q_value=True)
    assert list(table.columns) == [
        *names, "support__", "ratio_", "ratio_low", "ratio_high", "outlier_count_", "total_count", "combo_size",
        "q_value_",
    ]  # fmt: skip
    assert list(r.rows(0, limit=2).columns)[-2:] == ["outlier_", "score_"]
    assert list(r.outliers.columns)[-1] == "score_"
    facts = json.loads(r.to_json())["explanations"][0]
    assert facts["support__"] == table["support__"].iloc[0]


def test_the_table_is_a_copy(answer: Explanations) -> None:
    table = answer.to_pandas()
    table["combo_size"] = 0
    assert (answer.to_pandas()["combo_size"] > 0).all()


def test_polars_and_arrow_hold_the_same_table(answer: Explanations) -> None:
    table = answer.to_pandas()
    assert answer.to_polars()["total_count"].to_list() == table["total_count"].tolist()
    assert answer.to_arrow()["hour"].to_pylist() == [None if pd.isna(v) else v for v in table["hour"]]
    assert [row.total_count for row in answer] == table["total_count"].tolist()
    assert answer[0]["total_count"] == table["total_count"].iloc[0]


def test_the_table_of_sql_has_the_metric_by_its_name(answer: Explanations) -> None:
    r = Explanations(replace(answer._answer, sql_table=True))
    assert list(r.to_pandas().columns) == [*BY, "support", "risk_ratio", "outlier_count", "total_count"]
    assert json.loads(r.to_json())["explanations"][0]["risk_ratio"] == r.to_pandas()["risk_ratio"].iloc[0]


def test_the_table_of_a_stream_ends_with_since(answer: Explanations) -> None:
    m = len(answer._answer.found.answers.o)
    r = Explanations(replace(answer._answer, since=np.arange(m)))
    assert list(r.to_pandas(q_value=True).columns) == [*BY, *FIGURES, "q_value", "since"]
    assert r.to_pandas()["since"].tolist() == np.asarray(answer._answer.order).tolist()
    assert r.to_pandas()["since"].dtype == "int64"


# ------------------------------------------------------------------------------------------------------------ figures


@pytest.mark.parametrize("name", compare.COUNT_NAMES)
def test_c13_c14_c15_figures_follow_from_the_rows(frame: pd.DataFrame, name: str) -> None:
    r = wb.outliers(frame, "delay", BY, top=0.1, compare=name, min_ratio=0.1 if "difference" in name else 1.5)
    table = r.to_pandas()
    assert r.compare == name
    assert len(table)
    for i in range(len(table)):
        rows = r.rows(i)
        o, t = int(rows["outlier"].sum()), len(rows)
        assert (o, t) == (table["outlier_count"][i], table["total_count"][i])
        assert table["support"][i] == o / r.n_outliers
        assert table["ratio"][i] == compare.value(name, o, t, r.n_outliers, r.n_rows)
        low, high = compare.interval(name, o, t, r.n_outliers, r.n_rows)
        assert (table["ratio_low"][i], table["ratio_high"][i]) == (low, high)
        assert low <= table["ratio"][i] <= high


def test_c14_q_values_are_of_all_candidates_counted(answer: Explanations) -> None:
    from scipy.stats import false_discovery_control, hypergeom

    found, table = answer._answer.found, answer.to_pandas(q_value=True)
    p = hypergeom.sf(np.asarray(found.tested_o) - 1, answer.n_rows, answer.n_outliers, np.asarray(found.tested_t))
    q = false_discovery_control(p)
    assert list(table.columns)[-1] == "q_value"
    for i in range(len(table)):
        same = (found.tested_o == table["outlier_count"][i]) & (found.tested_t == table["total_count"][i])
        assert table["q_value"][i] in q[same]
    assert table["q_value"].between(0, 1).all()
    assert "q_value" not in answer.to_pandas().columns


def test_c16_mean_shift_and_deviation_are_of_the_metric_itself(frame: pd.DataFrame) -> None:
    known = frame.dropna(subset=["delay"]).assign(delay=lambda f: f["delay"] + 60)
    r = wb.outliers(known, "delay", BY, where="hour = 18", compare="mean_shift", min_ratio=1.2, min_support=0.02)
    assert len(r)
    for i, row in r.to_pandas().iterrows():
        rows = r.rows(i)
        out, inside = rows.loc[rows["outlier"], "delay"], rows.loc[~rows["outlier"], "delay"]
        assert row["ratio"] == pytest.approx(out.mean() / inside.mean())
        shares = len(out) / r.n_outliers, len(inside) / (r.n_rows - r.n_outliers)
        assert row["support"] == pytest.approx(min(shares))
        assert row["ratio_low"] < row["ratio"] < row["ratio_high"]
    d = wb.outliers(known, "delay", BY, compare="mean_deviation", min_ratio=0.3, min_support=0.02)
    table = d.to_pandas()
    assert len(table)
    assert table[["ratio_low", "ratio_high"]].isna().all().all()
    assert (table["outlier_count"] == table["total_count"]).all()
    assert d.n_outliers == d.n_rows
    deviation = abs(d.rows(0)["delay"].mean() - known["delay"].mean()) / known["delay"].std(ddof=0)
    assert table["ratio"][0] == pytest.approx(deviation)


def test_c17_c18_minimal_answers_have_no_part_that_is_one(frame: pd.DataFrame, answer: Explanations) -> None:
    sets = [set(one.items()) for one in answer.sets]
    assert not [(a, b) for a in sets for b in sets if a < b]
    every = wb.outliers(frame, "delay", BY, top=0.1, min_ratio=4.5, minimal=False)
    larger = [set(one.items()) for one in every.sets]
    assert [(a, b) for a in larger for b in larger if a < b]
    assert all(one in larger for one in sets)


def test_c24_dependencies_are_a_table() -> None:
    rng = np.random.default_rng(5)
    code = rng.integers(0, 4, 500)
    frame = pd.DataFrame({"code": code, "name": np.array(["a", "b", "c", "d"])[code], "x": rng.choice(["u", "v"], 500)})
    r = wb.outliers(frame, by=["code", "name", "x"], labels=(code == 2) & (rng.random(500) < 0.8))
    assert list(r.dependencies.columns) == ["determinant", "dependent"]
    assert sorted(map(tuple, r.dependencies.to_numpy())) == [("code", "name"), ("name", "code")]
    assert len(r) == 2  # the table is not folded
    empty = wb.outliers(frame, by=["x"], labels=code == 2).dependencies
    assert list(empty.columns) == ["determinant", "dependent"]
    assert len(empty) == 0


def test_c25_ranks_go_by_value_support_and_size(frame: pd.DataFrame) -> None:
    r = wb.outliers(frame, "delay", BY, top=0.1, min_ratio=1.0, minimal=False)
    table = r.to_pandas()
    keys = list(zip(-table["ratio"], -table["support"], table["combo_size"], strict=True))
    assert keys == sorted(keys)
    again = wb.outliers(frame.sample(frac=1, random_state=0), "delay", BY, top=0.1, min_ratio=1.0, minimal=False)
    pd.testing.assert_frame_equal(table, again.to_pandas())


# ----------------------------------------------------------------------------------------------- what led to the answer


def test_attributes_say_what_was_asked(answer: Explanations, frame: pd.DataFrame) -> None:
    assert (answer.compare, answer.by, answer.metric) == ("risk_ratio", BY, "delay")
    assert answer.n_left_out == 120
    assert answer.n_rows == len(frame) - 120
    assert type(answer.n_rows) is int
    known = frame["delay"].dropna()
    r = (known - known.median()).abs()
    cut = np.quantile(r, 0.9, method="weibull")
    assert answer.cutoff.low == known.median() - cut
    assert answer.cutoff.high == known.median() + cut
    assert answer.n_outliers == (r > cut).sum()
    assert answer.notes[0].startswith("120 rows have no delay and were left out (6.0 %)")
    assert wb.outliers(frame, **answer.spec).to_pandas().equals(answer.to_pandas())
    assert "Score" in answer.explain()
    assert answer.explain("dict")["root"]["rows"] is not None
    assert answer.partial is False
    given = wb.outliers(frame, by=BY, where="delay > 100")
    assert all(math.isnan(end) for end in (given.cutoff.low, given.cutoff.high, given.cutoff.score))
    assert given.metric is None


def test_repr_is_one_line(answer: Explanations) -> None:
    said = f"<Explanations: {len(answer)} explanations of delay; 1,880 rows, {answer.n_outliers:,} outliers>"
    assert repr(answer) == said
    broken = Explanations(replace(answer._answer, order=None))  # type: ignore[arg-type]
    assert repr(broken) == "<Explanations>"


def test_c41_outliers_are_rows_of_the_source_with_their_score(answer: Explanations, frame: pd.DataFrame) -> None:
    found = answer.outliers
    assert list(found.columns) == [*frame.columns, "score"]
    known = frame["delay"].dropna()
    r = (frame["delay"] - known.median()).abs()
    marked = r > (answer.cutoff.high - answer.cutoff.low) / 2
    pd.testing.assert_frame_equal(found[frame.columns], frame[marked].reset_index(drop=True))
    mad = (known - known.median()).abs().median()
    np.testing.assert_allclose(found["score"], r[marked] / mad, rtol=1e-12)
    assert (found["score"] > answer.cutoff.score).all()


def test_c41_rows_are_those_that_match_in_input_order(answer: Explanations, frame: pd.DataFrame) -> None:
    rows = answer.rows(0)
    assert list(rows.columns) == [*frame.columns, "outlier", "score"]
    assert rows["outlier"].dtype == bool
    assert rows["score"].dtype == "float64"
    pd.testing.assert_frame_equal(rows[frame.columns], frame[answer.filter(0)].reset_index(drop=True))
    pd.testing.assert_frame_equal(answer.rows(0, limit=3), rows.head(3))
    assert len(answer.rows(0, limit=0)) == 0
    for wrong in (-1, 1.5, True, "3"):
        with pytest.raises(WorkbenchError, match="it is a number of rows"):
            answer.rows(0, limit=wrong)  # type: ignore[arg-type]


def test_ranks_that_are_not_there_are_named(answer: Explanations) -> None:
    n = len(answer)
    with pytest.raises(WorkbenchError) as caught:
        answer.sql(n)
    assert caught.value.lines() == [f"No explanation {n}: there are {n} explanations.", f"Ranks go from 0 to {n - 1}."]
    for wrong in (-1, True, "0", 0.0, None):
        with pytest.raises(WorkbenchError):
            answer.filter(wrong)  # type: ignore[arg-type]
    assert answer.sql(np.int64(0)) == answer.sql(0)


def test_c41_json_holds_spec_sets_figures_and_notes(frame: pd.DataFrame) -> None:
    r = wb.outliers(frame, by=["dest", "origin", ("delay", 4)], where="dest = 'SFO' AND hour = 18", min_ratio=2.0)
    facts = json.loads(r.to_json())
    assert facts["spec"] == json.loads(json.dumps(r.spec))
    assert facts["notes"] == r.notes
    assert facts["cutoff"] == {"low": None, "high": None, "score": None}
    table = r.to_pandas()
    for i, one in enumerate(facts["explanations"]):
        assert one["set"].keys() == r.sets[i].keys()
        assert one["outlier_count"] == table["outlier_count"][i]
        assert one["ratio"] == ("inf" if math.isinf(table["ratio"][i]) else table["ratio"][i])
    assert any("delay" in one["set"] and one["set"]["delay"].startswith("[") for one in facts["explanations"])


# ------------------------------------------------------------------------------------------------------------ filters


def kinds(frame: pd.DataFrame) -> dict[str, Any]:
    return {
        "pandas": frame,
        "polars": pl.from_pandas(frame),
        "lazy": pl.from_pandas(frame).lazy(),
        "arrow": pa.Table.from_pandas(frame, preserve_index=False),
        "duckdb": duckdb.from_df(frame),
    }


def matching(data: Any, found: Any) -> int:
    if isinstance(data, pa.Table):
        return data.filter(found).num_rows
    if isinstance(data, (pl.DataFrame, pl.LazyFrame)):
        return len(data.lazy().filter(found).collect())
    return len(data[found]) if isinstance(data, pd.DataFrame) else len(data.filter(found))


def counted(frame: pd.DataFrame, condition: str) -> int:
    return duckdb.execute(f"SELECT count(*) FROM frame WHERE {condition}").fetchall()[0][0]


@pytest.mark.parametrize("kind", ["pandas", "polars", "lazy", "arrow", "duckdb"])
@pytest.mark.parametrize("missing", [0, 120])
def test_c42_filters_of_every_kind_give_total_count_rows(kind: str, missing: int) -> None:
    frame = delays(missing=missing)
    data = kinds(frame)[kind]
    r = wb.outliers(data, "delay", BY, top=0.1, minimal=False, min_ratio=2.0)
    table = r.to_pandas()
    reference = wb.outliers(frame, "delay", BY, top=0.1, minimal=False, min_ratio=2.0).to_pandas()
    pd.testing.assert_frame_equal(table, reference)
    assert len(table) > 5
    for i in range(8):
        assert matching(data, r.filter(i)) == table["total_count"][i]
        assert counted(frame, r.sql(i)) == table["total_count"][i]
        assert len(frame[eval(r.code(i), {"df": frame, "pd": pd})]) == table["total_count"][i]
        assert len(r.rows(i)) == table["total_count"][i]


def test_c42_a_condition_is_only_its_values_where_no_row_was_left_out() -> None:
    r = wb.outliers(delays(), "delay", BY, top=0.1, min_ratio=4.5)
    named = {frozenset(one.items()): i for i, one in enumerate(r.sets)}
    i = named[frozenset({"dest": "SFO", "hour": 18}.items())]
    assert r.sql(i) == '"dest" = \'SFO\' AND "hour" = 18'
    assert r.code(i) == '(df["dest"] == "SFO") & (df["hour"] == 18)'
    j = named[frozenset({"carrier": "B6", "origin": None}.items())]
    assert r.sql(j) == '"carrier" = \'B6\' AND "origin" IS NULL'


def test_c42_paths_and_relations_take_sql_text(tmp_path: Any) -> None:
    frame = delays(missing=50)
    frame.to_parquet(tmp_path / "d.parquet")
    r = wb.outliers(str(tmp_path / "d.parquet"), "delay", BY, top=0.1)
    assert isinstance(r.filter(0), str)
    relation = duckdb.read_parquet(str(tmp_path / "d.parquet"))
    for i in range(len(r)):
        assert len(relation.filter(r.filter(i))) == r.to_pandas()["total_count"][i] == len(r.rows(i))
    assert list(r.rows(0).columns) == [*frame.columns, "outlier", "score"]
    pd.testing.assert_frame_equal(
        r.outliers["delay"].to_frame(), wb.outliers(frame, "delay", BY, top=0.1).outliers[["delay"]]
    )


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 10**6), missing=st.integers(0, 20), minimal=st.booleans())
def test_c42_sql_of_any_answer_counts_what_it_says(seed: int, missing: int, minimal: bool) -> None:
    rng = np.random.default_rng(seed)
    pools: list[list[Any]] = [["a", "", "NULL", None, "it's", 'q"'], [1, 2, 3], [0.5, None, 7.25], [True, False]]
    names = ["select", 'two "words"', "support", "ß"]
    n = int(rng.integers(20, 120))
    columns = {
        name: pd.Series([pool[k] for k in rng.integers(0, len(pool), n)])
        for name, pool in zip(names, pools, strict=True)
    }
    frame = pd.DataFrame({**columns, "x": rng.normal(0, 1, n)})
    frame.loc[rng.choice(n, missing, replace=False), "x"] = np.nan
    r = wb.outliers(frame, "x", names, top=0.2, min_ratio=1.2, max_combo=2, minimal=minimal)
    table = r.to_pandas()
    for i in range(min(len(table), 12)):
        assert counted(frame, r.sql(i)) == table["total_count"][i]
        rows = r.rows(i)
        assert (len(rows), int(rows["outlier"].sum())) == (table["total_count"][i], table["outlier_count"][i])
        assert int(frame[r.filter(i)].shape[0]) == table["total_count"][i]


# ------------------------------------------------------------------------------------------------------- asking again


def test_c43_within_and_without_are_the_question_on_a_part(frame: pd.DataFrame, answer: Explanations) -> None:
    chosen = answer.filter(0)
    within, without = answer.within(0), answer.without(0)
    assert isinstance(within, Explanations)
    inside = wb.outliers(frame[chosen], **{**answer.spec, "min_support": 0.0})
    pd.testing.assert_frame_equal(within.to_pandas(), inside.to_pandas())
    assert within.n_rows == answer.to_pandas()["total_count"][0]
    known = frame["delay"].notna()
    outside = wb.outliers(frame[~chosen & known], **answer.spec)
    pd.testing.assert_frame_equal(without.to_pandas(), outside.to_pandas())
    assert without.n_rows == answer.n_rows - within.n_rows
    assert len(without.without(0)) >= 0 if len(without) else True


def test_c43_without_a_way_back_it_says_so(answer: Explanations) -> None:
    r = Explanations(replace(answer._answer, rerun=None))
    with pytest.raises(WorkbenchError, match="This answer cannot be asked again"):
        r.within(0)
    alone = Explanations(replace(answer._answer, rows=None, access=None))
    with pytest.raises(WorkbenchError, match="The rows behind this answer are not at hand"):
        alone.rows(0)
    assert alone.filter(0) == alone.sql(0)
    assert len(alone.view_data()["blocks"])


# --------------------------------------------------------------------------------------------------- weights and sides


def test_c14_weighted_counts_are_floats() -> None:
    cube = pd.DataFrame(
        {
            "place": ["a", "b", "c"] * 4,
            "v": [1, 1, 1, 2, 2, 2] * 2,
            "count": [10.0, 20.0, 30.0] * 4,
            "bad": [0, 0, 1] * 4,
        }
    )
    r = wb.outliers(cube, wb.anomaly.Cube("count"), ["place", "v"], where="bad = 1", min_ratio=1.5)
    table = r.to_pandas()
    assert table["outlier_count"].dtype == table["total_count"].dtype == "float64"
    assert (table["place"][0], table["outlier_count"][0], table["total_count"][0]) == ("c", 120.0, 120.0)
    assert r.n_rows == 240.0
    rows = r.rows(0)
    assert rows["count"].sum() == 120.0
    assert rows["outlier"].all()
    assert rows["score"].isna().all()
    assert "240 rows, 120 outliers (50.00 %)" in str(r)


def test_two_sides_have_no_score() -> None:
    left, right = pd.DataFrame({"a": ["x"] * 8 + ["y"] * 2}), pd.DataFrame({"a": ["x"] * 2 + ["y"] * 8})
    r = wb.diff(left, right, on=["a"], min_ratio=1.5)
    assert r.sets == [{"a": "x"}]
    rows = r.rows(0)
    assert rows["outlier"].tolist() == [True] * 8 + [False] * 2
    assert rows["score"].isna().all()
    assert len(r.outliers) == 10
    assert r.outliers["score"].isna().all()
    assert len(left[r.filter(0)]) == 8
    assert len(r.histogram()) == 0
