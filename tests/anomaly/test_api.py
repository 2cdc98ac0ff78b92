"""`wb.outliers` as a person calls it: the arguments, the errors and warnings, the bad inputs, interrupts."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import threading
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import workbench as wb
from tests.anomaly import tables
from workbench.anomaly import api, execution, remarks
from workbench.engine.errors import Stopped, WorkbenchError


def readings(n: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Return latencies, of which those of version 2 in AUS are far too high."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "latency": rng.normal(100, 10, n).round(4),
            "usage": rng.uniform(0, 240, n).round(1),
            "location": rng.choice(["AUS", "CAN", "RUS"], n),
            "version": rng.integers(1, 6, n),
        }
    )
    frame.loc[0, "usage"] = 240.5
    frame.loc[frame["location"].eq("AUS") & frame["version"].eq(2), "latency"] += 100
    return frame


def error(*args: Any, **options: Any) -> tuple[str, str]:
    table, *others = args
    with pytest.raises(WorkbenchError) as caught:
        wb.outliers(table, *others, **options)
    return caught.value.message, caught.value.hint


BY = ["location", "version"]


# ------------------------------------------------------------------------------------------------------------ answers


def test_the_whole_of_a_small_question() -> None:
    frame = readings()
    answer = wb.outliers(frame, "latency", BY, top=0.08, tail="high", min_ratio=5)
    assert answer.sets == [{"version": 2}, {"location": "AUS"}]
    assert answer.n_rows == 1000
    assert answer.n_outliers == int((frame["latency"] > answer.cutoff.high).sum())
    cut = np.quantile(frame["latency"] - frame["latency"].median(), 0.92, method="weibull")
    assert answer.cutoff.high == pytest.approx(frame["latency"].median() + cut, abs=1e-12)
    assert answer.cutoff.low == -math.inf


def test_every_kind_of_input_gives_the_same_answer(tmp_path: Any) -> None:
    frame = readings()
    frame.to_parquet(tmp_path / "readings.parquet", row_group_size=300)
    frame.to_csv(tmp_path / "readings.csv", index=False)
    frame.to_csv(tmp_path / "readings.csv.gz", index=False)
    expected = wb.outliers(frame, "latency", BY, top=0.05)
    assert len(expected) == 2
    for data in (
        pl.from_pandas(frame),
        pl.from_pandas(frame).lazy(),
        pa.Table.from_pandas(frame),
        duckdb.sql("SELECT * FROM frame"),
        str(tmp_path / "readings.parquet"),
        tmp_path / "readings.csv",
        str(tmp_path / "*.csv.gz"),
        frame.astype({"location": "category"}),
    ):
        answer = wb.outliers(data, "latency", BY, top=0.05)
        pd.testing.assert_frame_equal(
            answer.to_pandas(q_value=True), expected.to_pandas(q_value=True), check_exact=True
        )
        assert answer.cutoff == expected.cutoff
        assert answer.notes == expected.notes


@pytest.mark.parametrize("score", ["mad", "zscore", "percentile", "mcd", "rcov", np.abs, "seasonal"])
def test_every_score(score: Any) -> None:
    frame = readings().assign(ts=pd.date_range("2026-01-01", periods=1000, freq="h"))
    chosen = {"seasonal": wb.anomaly.Seasonal("ts", "24h"), np.abs: lambda x: np.abs(x[:, 0] - 100)}.get(score, score)
    answer = wb.outliers(frame, "latency", BY, score=chosen, top=0.04)
    assert answer.sets[0] in ({"location": "AUS"}, {"version": 2})
    marked = answer.outliers
    assert len(marked) == answer.n_outliers > 0
    assert marked["score"].notna().all()
    if score != "percentile":
        scores = answer.rows(0)
        assert scores.loc[scores["outlier"], "score"].min() > scores.loc[~scores["outlier"], "score"].max()


def test_several_metrics_go_to_mcd_with_a_note() -> None:
    answer = wb.outliers(readings(), ["latency", "usage"], BY, top=0.04)
    assert any("mcd" in note for note in answer.notes)
    assert math.isnan(answer.cutoff.high) and answer.cutoff.score > 0
    assert answer.sets[0] in ({"location": "AUS"}, {"version": 2})
    assert answer.metric == ["latency", "usage"]


def test_where_marks_and_does_not_filter() -> None:
    frame = readings()
    answer = wb.outliers(frame, by=BY, where="latency > 150 AND usage >= 0")
    assert answer.n_rows == 1000
    assert answer.n_outliers == int((frame["latency"] > 150).sum())
    assert {tuple(each.items()) for each in answer.sets} == {(("location", "AUS"),), (("version", 2),)}
    assert math.isnan(answer.cutoff.high)


@pytest.mark.parametrize("form", ["bool", "sklearn", "pyod", "column", "fitted", "nulls"])
def test_labels_of_any_detector(form: str) -> None:
    frame = readings()
    bad = (frame["latency"] > 150).to_numpy()
    expected = wb.outliers(frame, by=BY, where="latency > 150").to_pandas()

    class Fitted:
        labels_ = np.where(bad, -1, 1)

    labels: Any = {
        "bool": bad,
        "sklearn": np.where(bad, -1, 1),
        "pyod": bad.astype(int),
        "column": "flag",
        "fitted": Fitted(),
        "nulls": pd.array(np.where(bad, True, None), dtype="boolean"),
    }[form]
    frame = frame.assign(flag=bad)
    pd.testing.assert_frame_equal(wb.outliers(frame, by=BY, labels=labels).to_pandas(), expected)


def test_a_fixed_threshold_stands_in_place_of_top() -> None:
    frame = readings()
    answer = wb.outliers(frame, "latency", BY, threshold=10.0)
    median = frame["latency"].median()
    distance = (frame["latency"] - median).abs()
    assert answer.n_outliers == int((distance / distance.median() > 10).sum())
    assert answer.cutoff.score == 10.0


def test_mean_metrics_leave_out_rows_without_the_metric() -> None:
    frame = readings()
    frame.loc[:9, "latency"] = np.nan
    answer = wb.outliers(frame, "latency", BY, where="usage > 120", compare="mean_shift", min_ratio=0.5)
    assert answer.n_rows == 990
    assert answer.n_left_out == 10
    assert answer.notes[0] == "10 rows have no latency and were left out (1.0 %)."
    spread = wb.outliers(frame, "latency", BY, compare="mean_deviation", min_ratio=0.2)
    assert spread.n_outliers == spread.n_rows == 990
    assert {tuple(each) for each in spread.sets} >= {("location",), ("version",)}


def test_within_and_without_ask_the_same_of_the_matching_rows_and_of_the_others() -> None:
    frame = readings(3000)
    answer = wb.outliers(frame, "latency", BY, top=0.05)
    chosen = answer.filter(0)
    within = answer.within(0)
    assert within.n_rows == int(chosen.sum())
    expected = wb.outliers(frame[chosen], "latency", BY, top=0.05, min_support=0)
    pd.testing.assert_frame_equal(within.to_pandas(), expected.to_pandas())
    without = answer.without(0)
    pd.testing.assert_frame_equal(without.to_pandas(), wb.outliers(frame[~chosen], "latency", BY, top=0.05).to_pandas())
    assert without.n_rows + within.n_rows == 3000
    assert without.filter(0).index.isin(frame.index).all() if len(without) else True


@pytest.mark.parametrize("kind", ["polars", "arrow", "duckdb"])
def test_within_of_any_input(kind: str) -> None:
    frame = readings()
    data = {
        "polars": pl.from_pandas(frame), "arrow": pa.Table.from_pandas(frame), "duckdb": duckdb.sql("FROM frame"),
    }[kind]  # fmt: skip
    answer = wb.outliers(data, by=BY, labels=(frame["latency"] > 150).to_numpy())
    again = answer.without(0)
    kept = frame[~wb.outliers(frame, by=BY, where="latency > 150").filter(0)]
    assert again.n_rows == len(kept)
    assert again.n_outliers == int((kept["latency"] > 150).sum())


def test_a_spec_asks_the_same_again() -> None:
    frame = readings()
    answer = wb.outliers(
        frame, "latency", ["location", ("usage", 5), "version"], top=0.05, tail="high", min_support=0.02
    )
    spec = json.loads(json.dumps(answer.spec))
    again = wb.outliers(frame, **spec)
    pd.testing.assert_frame_equal(again.to_pandas(), answer.to_pandas())
    assert again.spec == answer.spec


def test_a_plan_before_and_after() -> None:
    frame = readings()
    before = api.explain(frame, "latency", BY)
    assert [node.op for _, node in before.walk()] == ["Rank", "Count", "Collect", "Label", "Score", "Encode", "Read"]
    assert all(node.rows is None for _, node in before.walk())
    after = wb.outliers(frame, "latency", BY)
    assert "operator" in after.explain()


# ------------------------------------------------------------------------------------------- errors of section 6 (c45)


def test_c45_errors_of_the_call() -> None:
    latency = readings()
    assert error(latency, "lattency") == (
        'No column "lattency" in table.',
        'Did you mean "latency"? Columns: latency, usage, location, version',
    )
    assert error(latency, "location") == (
        '"location" is text; a metric must be a number.', "Use it in --by instead.",
    )  # fmt: skip
    assert error(latency) == ("No metric, where or labels given.", "Name a metric, or mark the rows with where.")
    assert error(latency, where="usage > 1", labels="version") == ("Both where and labels mark outliers.", "Give one.")
    assert error(latency, by=BY, labels=np.zeros(900, int)) == (
        "labels has 900 entries for 1,000 rows.", "Give one label a row, in order.",
    )  # fmt: skip
    assert error(latency, by=BY, labels=np.ones(1000, int)) == (
        "Every label is 1: normal in scikit-learn, outlier in PyOD.",
        "Pass a bool array: labels == 1 or labels == -1.",
    )
    assert error(latency, "latency", top=1.5) == (
        "top is 1.5; it is a share of rows.",
        "Give 0 < top < 1, such as 0.01.",
    )
    assert error(latency, "latency", min_support=2)[0].startswith("min_support is 2;")
    assert error(latency, "latency", max_combo=0)[0].startswith("max_combo is 0;")
    message, hint = error(latency, "latency", compare="nosuch_ratio")
    assert message == 'No compare metric "nosuch_ratio".'
    assert hint.startswith(
        "Known: risk_ratio, global_ratio, prevalence_ratio, prevalence_difference, mean_shift, mean_dev"
    )
    assert error(latency, "latency", score="nosuch")[0] == 'No score "nosuch".'
    message, hint = error(latency, by=BY, where='location = "AUS"')
    assert "single quotes" in hint


def test_the_table_is_called_by_the_name_of_the_callers_variable() -> None:
    flights = readings()
    with pytest.raises(WorkbenchError, match='No column "x" in flights'):
        wb.outliers(flights, "x")
    with pytest.raises(WorkbenchError, match='No column "x" in the table'):
        wb.outliers(readings(), "x")


# ----------------------------------------------------------------------------------------- warnings of section 6 (c45)


def test_c45_rows_without_a_metric_are_counted() -> None:
    frame = readings()
    frame.loc[:12, "latency"] = np.nan
    answer = wb.outliers(frame, "latency", BY)
    assert answer.notes == ["13 rows have no latency and were left out (1.3 %)."]
    assert (answer.n_rows, answer.n_left_out) == (987, 13)
    one = wb.outliers(frame[12:], "latency", BY)
    assert one.notes[0] == "1 row has no latency and was left out (0.1 %)."


@pytest.mark.parametrize(
    ("where", "extreme"),
    [
        ("usage > 500", " (largest usage is 240.5)"),
        ("usage >= 500.5", " (largest usage is 240.5)"),
        ("500 < usage", " (largest usage is 240.5)"),
        ("version < 0", " (smallest version is 1)"),
        ("usage > 500 AND version = 1", ""),
        ("location = 'USA'", ""),
    ],
)
def test_c45_nothing_marked(where: str, extreme: str) -> None:
    answer = wb.outliers(readings(), by=BY, where=where)
    assert answer.notes == [f"No row satisfies {where}{extreme}, so there is nothing to explain."]
    assert (len(answer), answer.n_outliers) == (0, 0)
    assert answer.to_pandas().columns.tolist()[:2] == BY


def test_c45_ties() -> None:
    frame = readings()
    high = frame.assign(latency=frame["latency"].clip(upper=99.5))
    count = int((high["latency"] == 99.5).sum())
    answer = wb.outliers(high, "latency", BY, tail="high")
    assert answer.notes[-1] == (
        f"No row is above the cutoff ({count} rows share the largest value 99.5). Mark rows with where instead."
    )
    low = wb.outliers(frame.assign(latency=-high["latency"]), "latency", BY, tail="low")
    assert low.notes[-1] == (
        f"No row is below the cutoff ({count} rows share the smallest value -99.5). Mark rows with where instead."
    )
    constant = wb.outliers(frame.assign(latency=5.0), "latency", BY)
    assert constant.notes[-1].startswith("No row is above the cutoff (1,000 rows share the largest value 5).")


def test_c45_nearly_all_marked() -> None:
    frame = readings()
    count = int((frame["usage"] > 0.5).sum())
    answer = wb.outliers(frame, by=BY, where="usage > 0.5", compare="global_ratio")
    assert answer.notes[0] == (
        f"{count} of 1,000 rows are marked as outliers; ratios cannot exceed {1000 / count:.4g}. Tighten the condition."
    )
    risk = wb.outliers(frame, by=BY, where="usage > 0.5")
    assert risk.notes[0] == f"{count} of 1,000 rows are marked as outliers. Tighten the condition."


def test_counts_of_a_cube_are_told_to_a_tenth() -> None:
    assert remarks.marked_share(14_365.97, 23_368.0, "risk_ratio") == (
        "14,366 of 23,368 rows are marked as outliers. Tighten the condition."
    )
    assert remarks.marked_share(2.5, 4.0, "risk_ratio") == (
        "2.5 of 4 rows are marked as outliers. Tighten the condition."
    )


def test_c45_nothing_passes_names_the_closest() -> None:
    frame = readings()
    answer = wb.outliers(frame, by=BY, where="usage > 120", min_ratio=10, min_support=0.05)
    assert len(answer) == 0
    (note,) = answer.notes
    assert note.startswith("No combination reaches min ratio 10 with min support 5 %. Closest: ")
    best = (
        wb.outliers(frame, by=BY, where="usage > 120", min_ratio=0, min_support=0.05, minimal=False).to_pandas().iloc[0]
    )
    assert f"ratio {best['ratio']:.3g}, support {100 * best['support']:.3g} %." in note


def test_c45_too_many_candidates() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({f"c{i}": rng.integers(0, 4, 2000).astype(str) for i in range(5)})
    answer = wb.outliers(
        frame, by=list(frame.columns), labels=rng.random(2000) < 0.1, max_candidates=100, min_ratio=50, max_combo=3
    )
    (note,) = [note for note in answer.notes if "candidates" in note]
    assert note.endswith("-column candidates; stopped at 1 column. Raise --max-candidates or --min-support.")


def test_c45_mad_zero() -> None:
    frame = readings().assign(x=lambda table: np.where(table.index < 700, 0.0, table["latency"]))
    (note,) = wb.outliers(frame, "x", BY).notes
    assert note.startswith(
        'More than half of "x" is 0.0, so MAD is 0; used the mean distance of the middle 90 % instead ('
    )


def test_c45_metrics_that_move_together() -> None:
    frame = readings().assign(latency_ms=lambda table: table["latency"] * 1000)
    answer = wb.outliers(frame, ["latency", "latency_ms"], BY)
    assert "latency and latency_ms always move together; dropped latency_ms for the covariance." in answer.notes


def test_c45_ranges_and_what_the_star_leaves_out() -> None:
    frame = readings().assign(id=lambda table: [f"r{i}" for i in table.index])
    distinct = frame["usage"].nunique()
    answer = wb.outliers(frame, "latency", ["location", "usage"])
    assert answer.notes[0] == (
        f'"usage" has {distinct:,} different numbers; put in 10 equal-count ranges (write usage:20 for more).'
    )
    star = wb.outliers(frame, "latency")
    assert 'Left out "id": 1,000 different values in 1,000 rows.' in star.notes
    assert star.by == ["location"]
    within = answer.within(0) if len(answer) else wb.outliers(frame[frame["location"] == "AUS"], "latency", ["usage"])
    assert any("equal-count ranges" in note for note in within.notes)


# ------------------------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize("options", [{"metric": "latency"}, {"where": "usage > 1"}, {"labels": np.zeros(0, bool)}])
def test_no_rows(options: dict[str, Any]) -> None:
    answer = wb.outliers(readings()[:0], by=BY, **options)
    assert answer.notes == ["The table has no rows, so there is nothing to explain."]
    assert (answer.n_rows, answer.n_outliers, len(answer)) == (0, 0, 0)
    assert repr(answer) and answer._repr_mimebundle_()
    assert len(answer.outliers) == 0


def test_one_row() -> None:
    answer = wb.outliers(readings()[:1], "latency", BY)
    assert (answer.n_rows, len(answer)) == (1, 0)
    marked = wb.outliers(readings()[:1], by=BY, labels=[True])
    assert marked.n_outliers == 1
    assert len(marked) == 0  # no row is left to compare with
    assert str(marked)


@pytest.mark.parametrize("score", ["mad", "zscore", "percentile", "mcd", "rcov"])
@pytest.mark.parametrize("values", [[np.nan] * 4, [5.0] * 4, [np.inf] * 4, [1.0, 2.0, np.inf, -np.inf], [7.0]])
def test_strange_metrics_never_fail(score: str, values: list[float]) -> None:
    frame = pd.DataFrame({"x": values, "a": list("uvwz")[: len(values)]})
    answer = wb.outliers(frame, "x", ["a"], score=score, top=0.3)
    assert answer.n_rows + answer.n_left_out == len(values)
    assert answer.notes or answer.n_outliers
    assert str(answer) and answer._repr_mimebundle_()


def test_all_metrics_missing() -> None:
    answer = wb.outliers(readings().assign(latency=np.nan), "latency", BY)
    assert answer.notes == [
        "1,000 rows have no latency and were left out (100.0 %).",
        "No row has a number in latency, so there is nothing to explain.",
    ]


def test_infinite_metrics_are_outliers() -> None:
    frame = readings()
    frame.loc[:2, "latency"] = [np.inf, -np.inf, np.inf]
    answer = wb.outliers(frame, "latency", BY)
    assert set(answer.outliers.index[:3]) == {0, 1, 2}
    assert np.isinf(answer.outliers["score"][:3]).all()
    assert wb.outliers(frame, "latency", BY, tail="low").outliers["latency"].tolist().count(-np.inf) == 1


def test_c22_values_that_look_alike_stay_apart() -> None:
    values = ["", None, "NULL", "null", "∅", "1", "0x", "Zürich", "it's", 'quo"te', "東京"]
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"a": rng.choice(np.array(values, dtype=object), 4000), "n": rng.integers(0, 3, 4000)})
    for value in values:
        bad = frame["a"].isna() if value is None else frame["a"] == value
        answer = wb.outliers(frame, by=["a", "n"], labels=bad.to_numpy())
        assert answer.sets == [{"a": value}]
        assert answer.to_pandas()["total_count"].tolist() == [int(bad.sum())]
        assert int(answer.filter(0).sum()) == int(bad.sum())


def test_c23_twelve_columns_whose_position_and_value_collide_as_text() -> None:
    # "1" + "0x" and "10" + "x" are the same text, and so are "1" + "1y" and "11" + "y".
    rng = np.random.default_rng(2)
    frame = pd.DataFrame({f"c{i}": rng.choice(["p", "q"], 5000) for i in range(12)})
    frame["c1"] = rng.choice(["0x", "1y", "p"], 5000)
    frame["c10"] = rng.choice(["x", "p", "q"], 5000)
    frame["c11"] = rng.choice(["y", "p", "q"], 5000)
    bad = (frame["c10"].eq("x") & (rng.random(5000) < 0.5)) | (frame["c1"].eq("1y") & frame["c11"].eq("y"))
    answer = wb.outliers(frame, by=list(frame.columns), labels=bad.to_numpy(), min_ratio=2)
    assert {"c10": "x"} in answer.sets
    for i, each in enumerate(answer.sets):
        match = np.logical_and.reduce([frame[name] == value for name, value in each.items()])
        assert answer.to_pandas()["total_count"][i] == match.sum()
        assert answer.to_pandas()["outlier_count"][i] == (match & bad).sum()


def test_c25_the_same_table_whatever_the_order_of_rows_and_columns() -> None:
    frame = readings(2000)
    answer = wb.outliers(frame, "latency", ["location", "version", ("usage", 4)], top=0.05, min_ratio=1.1)
    mixed = frame.sample(frac=1, random_state=3)[["version", "usage", "latency", "location"]]
    again = wb.outliers(mixed, "latency", ["location", "version", ("usage", 4)], top=0.05, min_ratio=1.1)
    pd.testing.assert_frame_equal(answer.to_pandas(q_value=True), again.to_pandas(q_value=True), check_exact=True)
    other = wb.outliers(frame, "latency", [("usage", 4), "version", "location"], top=0.05, min_ratio=1.1)
    assert {frozenset(each.items()) for each in other.sets} == {frozenset(each.items()) for each in answer.sets}


def test_c21_a_million_distinct_values() -> None:
    n = 1_000_000
    frame = pd.DataFrame({"id": np.arange(n), "g": np.arange(n) % 7, "x": np.arange(n) % 1000 + 0.0})
    frame.loc[frame["g"] == 3, "x"] += 500
    answer = wb.outliers(frame, "x", ["id", "g"], tail="high")
    assert answer.sets == [{"g": 3}]


@pytest.mark.parametrize(
    "name", ["support", "select", "ratio", "a b", 'x"y', "it's", "ß", "; DROP TABLE data; --", "data"]
)
def test_strange_column_names(name: str) -> None:
    frame = readings().rename(columns={"location": name})
    answer = wb.outliers(frame, by=[name, "version"], where="latency > 150")
    assert {name: "AUS"} in answer.sets
    i = answer.sets.index({name: "AUS"})
    (count,) = duckdb.sql(f"SELECT count(*) FROM frame WHERE {answer.sql(i)}").fetchall()
    assert count == (answer.to_pandas()["total_count"][i],)
    assert int(answer.filter(i).sum()) == answer.to_pandas()["total_count"][i]


def test_every_row_marked_and_none() -> None:
    frame = readings()
    assert len(wb.outliers(frame, by=BY, labels=np.ones(1000, bool))) == 0
    assert len(wb.outliers(frame, by=BY, labels=np.zeros(1000, bool))) == 0
    ratios = wb.outliers(frame, by=BY, labels=np.ones(1000, bool), min_ratio=1.0, compare="global_ratio").to_pandas()
    assert (ratios["ratio"] == 1.0).all() and len(ratios) == 8


def test_two_columns_of_one_name() -> None:
    frame = readings()
    twice = pd.concat([frame, frame[["usage"]]], axis=1)
    assert (
        error(twice, "latency", BY)[0] == 'Twice has 2 columns named "usage".' or "usage" in error(twice, "latency")[0]
    )


# ----------------------------------------------------------------------------------------------------------- interrupts


#: some rows are marked at random, so that single columns pass and others stay open
SPREAD: dict[str, Any] = {"by": [*BY, ("usage", 6)], "where": "latency > 110", "min_ratio": 1.5, "min_support": 0.0}


class Gate:
    """Stands still once single columns are done, until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from workbench.anomaly import explain

        self.reached, self.open = threading.Event(), threading.Event()
        original = explain.search

        def search(*args: Any, progress: Any = None, **options: Any) -> Any:
            def stop(order: int, found: Any) -> None:
                progress(order, found)
                self.reached.set()
                assert self.open.wait(20)

            return original(*args, progress=stop, **options)

        monkeypatch.setattr(explain, "search", search)


def test_c35_a_cancelled_run_keeps_the_finished_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = readings(2000)
    whole = wb.outliers(frame, max_combo=1, **SPREAD).to_pandas()
    assert len(whole) > 0
    gate = Gate(monkeypatch)
    run = api.start_outliers(frame, **SPREAD)
    assert gate.reached.wait(20)
    partial = run.partial()
    assert partial is not None and partial.partial
    pd.testing.assert_frame_equal(partial.to_pandas(), whole)
    run.cancel()
    gate.open.set()
    result = run.result(timeout=20)
    assert run.state == "cancelled"
    assert result.notes[-1] == "stopped after 1-column explanations"
    assert result.partial
    pd.testing.assert_frame_equal(result.to_pandas(), whole)
    assert run.progress.unit == "orders"


def test_c35_an_interrupt_raises_stopped_with_what_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch)
    result, cancel = api.Run.result, api.Run.cancel

    def interrupted(self: Any, timeout: float | None = None) -> Any:
        if timeout is None:
            assert gate.reached.wait(20)
            raise KeyboardInterrupt
        return result(self, timeout)

    def cancelled(self: Any) -> None:
        cancel(self)
        gate.open.set()

    monkeypatch.setattr(api.Run, "result", interrupted)
    monkeypatch.setattr(api.Run, "cancel", cancelled)
    with pytest.raises(Stopped) as caught:
        wb.outliers(readings(2000), **SPREAD)
    assert caught.value.message == "Stopped after 1-column explanations."
    assert len(caught.value.result) > 0
    assert caught.value.result.notes[-1] == "stopped after 1-column explanations"


def test_an_interrupt_as_the_answer_comes_keeps_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    result = api.Run.result

    def interrupted(self: Any, timeout: float | None = None) -> Any:
        if timeout is None:
            self.wait()
            raise KeyboardInterrupt
        return result(self, timeout)

    monkeypatch.setattr(api.Run, "result", interrupted)
    with pytest.raises(Stopped) as caught:
        wb.outliers(readings(2000), **SPREAD)
    assert caught.value.message == "Stopped as the answer came; nothing is missing from it."
    assert len(caught.value.result) > 0


def test_an_interrupt_before_anything_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def mark(*args: Any) -> Any:
        held[0].cancel()
        return original(*args)

    held: list[Any] = []
    original = execution.mark
    monkeypatch.setattr(execution, "mark", mark)
    start = execution.Work.__call__

    def call(self: Any, run: Any = None) -> Any:
        held.append(run)
        return start(self, run)

    monkeypatch.setattr(execution.Work, "__call__", call)
    with pytest.raises(Stopped) as caught:
        wb.outliers(readings(), "latency", BY)
    assert caught.value.message.startswith("Stopped before 1-column explanations")


# ------------------------------------------------------------------------------------------------------- lean (c48)


def test_c48_a_small_question_loads_no_heavy_library() -> None:
    code = """
import sys
import numpy as np, pandas as pd
frame = pd.DataFrame({"x": np.arange(2000.0) % 97, "a": np.arange(2000) % 5, "b": np.arange(2000) % 7})
import workbench as wb
answer = wb.outliers(frame, "x", ["a", "b"])
answer.to_pandas()
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"numba", "scipy", "duckdb", "polars", "distributed", "dask", "sqlglot", "plotly", "torch", "IPython"}
    assert not heavy & set(done.stdout.split())


def test_the_files_of_macrobase_are_answered() -> None:
    path = tables.macrobase("sample.csv")
    answer = wb.outliers(path, "usage", ["location", "version"], tail="high")
    assert answer.n_rows == 1057
    assert len(answer) == 2
