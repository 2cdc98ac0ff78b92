"""The checked question: choices, notes, and the text of every mistake."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from workbench.anomaly import Cube, Seasonal, checks, frames, ranges
from workbench.anomaly.data import Data
from workbench.anomaly.language import Request, request
from workbench.engine.errors import WorkbenchError

N = 100
FLIGHTS = pd.DataFrame(
    {
        "carrier": ["AA", "UA"] * 50,
        "dest": pd.Categorical(["SFO", "BOS", "JFK", None] * 25),
        "late": [True, False, False, None] * 25,
        "distance": np.arange(N) % 25 / 4,
        "hour": np.arange(N) % 24,
        "latency": np.arange(N) / 7,
        "usage": np.linspace(0, 240.5, N),
        "tailnum": [f"N{number}" for number in range(N)],
        "when": pd.date_range("2013", periods=N),
        "origin": ["EWR"] * N,
    }
)


def flights() -> Data:
    return frames.read(FLIGHTS, name="flights")


def asked(*args: Any, data: Data | None = None, **options: Any) -> Request:
    return request(data if data is not None else flights(), *args, **options)


def said(*args: Any, data: Data | None = None, **options: Any) -> list[str]:
    with pytest.raises(WorkbenchError) as error:
        asked(*args, data=data, **options)
    return error.value.lines()


# what rows are marked by


def test_a_question_as_it_is_asked() -> None:
    question = asked("latency", ["carrier", ("distance", 5)], tail="high", min_support=0.05)
    assert question.metrics == ("latency",) and question.cube is None
    assert question.by == (("carrier", None), ("distance", 5))
    assert (question.score, question.top, question.tail) == ("mad", 0.01, "high")
    assert (question.min_support, question.min_ratio, question.max_combo) == (0.05, 3.0, 2)
    assert (question.compare, question.threshold, question.minimal) == ("risk_ratio", None, True)
    assert (question.max_candidates, question.seed, question.notes) == (2_000_000, 0, ())


def test_c07_where_marks_rows_in_place_of_a_metric() -> None:
    question = asked(by=["carrier"], where="usage > 200")
    assert question.where == "usage > 200" and question.metrics == ()
    assert flights().where("usage > 200").sum() == (FLIGHTS["usage"] > 200).sum()
    assert flights().where("dest = 'SFO' AND late").sum() == 25
    assert flights().where("late").tolist() == [value is True for value in FLIGHTS["late"]]


def test_nothing_or_two_things_mark_rows() -> None:
    assert said(by=["carrier"]) == [
        "No metric, where or labels given.",
        "Name a metric, or mark the rows with where.",
    ]
    assert said(Cube("hour"), ["carrier"])[0] == "No metric, where or labels given."
    assert said(by=["carrier"], where="late", labels="late") == ["Both where and labels mark outliers.", "Give one."]


def test_no_such_column() -> None:
    assert said("lattency", ["carrier"]) == [
        'No column "lattency" in flights.',
        'Did you mean "latency"? Columns: carrier, dest, late, distance, hour, latency, usage, tailnum, when, origin',
    ]
    assert said("latency", ["carier"])[0] == 'No column "carier" in flights.'
    assert said("latency", [("distanc", 3)])[1].startswith('Did you mean "distance"?')
    assert said(Cube("hour", "laten"), ["carrier"])[0] == 'No column "laten" in flights.'
    assert said(by=["carrier"], labels="lates")[0] == 'No column "lates" in flights.'
    assert said("latency", ["carrier"], score=Seasonal("wen", "7d"))[0] == 'No column "wen" in flights.'


def test_a_metric_is_named_and_not_given() -> None:
    assert said(FLIGHTS["latency"], ["carrier"]) == [
        "metric is a Series; it names a column of the table.",
        'Give its name, such as "latency".',
    ]


def test_metric_is_text() -> None:
    hint = "Use it in --by instead."
    assert said("carrier", ["dest"]) == ['"carrier" is text; a metric must be a number.', hint]
    assert said("dest", ["carrier"]) == ['"dest" is text; a metric must be a number.', hint]
    assert said("late", ["carrier"]) == ['"late" is true or false; a metric must be a number.', hint]
    assert said("when", ["carrier"]) == ['"when" is a timestamp; a metric must be a number.', hint]
    assert said(["latency", "carrier"], ["dest"]) == ['"carrier" is text; a metric must be a number.', hint]
    assert said(Cube("hour", "carrier"), ["dest"]) == ['"carrier" is text; a metric must be a number.', hint]


def test_a_metric_without_any_number_is_one_that_leaves_out_all_rows() -> None:
    data = frames.read(pd.DataFrame({"m": [None, None], "a": ["x", "y"]}))
    assert asked("m", ["a"], data=data).metrics == ("m",)
    assert np.isnan(data.numbers("m")).all()


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        ({"top": 1.5}, "top is 1.5; it is a share of rows.", "Give 0 < top < 1, such as 0.01."),
        ({"top": 0}, "top is 0; it is a share of rows.", "Give 0 < top < 1, such as 0.01."),
        ({"top": 1}, "top is 1; it is a share of rows.", "Give 0 < top < 1, such as 0.01."),
        ({"top": float("nan")}, "top is nan; it is a share of rows.", "Give 0 < top < 1, such as 0.01."),
        ({"top": "1%"}, 'top is "1%"; it is a share of rows.', "Give 0 < top < 1, such as 0.01."),
        ({"top": True}, "top is True; it is a share of rows.", "Give 0 < top < 1, such as 0.01."),
        (
            {"top": 0.5, "score": "percentile"},
            "top is 0.5; with percentile it is the share of each tail.",
            "Give 0 < top < 0.5, such as 0.01.",
        ),
        (
            {"min_support": 1.01},
            "min_support is 1.01; it is a share of the outliers.",
            "Give 0 <= min_support <= 1, such as 0.01.",
        ),
        (
            {"min_support": -0.1},
            "min_support is -0.1; it is a share of the outliers.",
            "Give 0 <= min_support <= 1, such as 0.01.",
        ),
        ({"min_ratio": "3"}, 'min_ratio is "3"; it is the least value of risk_ratio.', "Give a number, such as 3.0."),
        ({"max_combo": 0}, "max_combo is 0; it is a number of columns.", "Give 1 or more, such as 3."),
        ({"max_combo": 2.5}, "max_combo is 2.5; it is a number of columns.", "Give 1 or more, such as 3."),
        (
            {"max_candidates": 0},
            "max_candidates is 0; it is a number of candidates.",
            "Give 1 or more, such as 2000000.",
        ),
        ({"seed": -1}, "seed is -1; it is a whole number.", "Give 0 or more, such as 0."),
        ({"threshold": "x"}, 'threshold is "x"; it is a cutoff on the score.', "Give a number, such as 3.5."),
        (
            {"compare": "nosuch_ratio"},
            'No compare metric "nosuch_ratio".',
            "Known: risk_ratio, global_ratio, prevalence_ratio, prevalence_difference, mean_shift, mean_deviation",
        ),
        (
            {"score": "madd"},
            'No score "madd".',
            "Known: mad, mcd, zscore, rcov, percentile, a Seasonal or a function",
        ),
        ({"score": None}, "No score None.", "Known: mad, mcd, zscore, rcov, percentile, a Seasonal or a function"),
        ({"score": ["mad"]}, "No score a list.", "Known: mad, mcd, zscore, rcov, percentile, a Seasonal or a function"),
        ({"tail": "up"}, 'No tail "up".', "Known: both, high, low"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], message: str, hint: str) -> None:
    assert said("latency", ["carrier", "dest"], **options) == [message, hint]


def test_decay_out_of_range() -> None:
    assert checks.check_decay(0) == 0.0
    with pytest.raises(WorkbenchError) as error:
        checks.check_decay(1)
    assert error.value.lines() == [
        "decay is 1; it is the share forgotten at each pane end.",
        "Give 0 <= decay < 1, such as 0.01.",
    ]


def test_values_at_the_edge_of_their_range() -> None:
    question = asked("latency", ["carrier"], top=1e-9, min_support=1, min_ratio=float("inf"), max_combo=np.int64(7))
    assert (question.top, question.min_support, question.max_combo) == (1e-9, 1.0, 1)
    assert asked("latency", ["carrier"], top=0.49, score="percentile").top == 0.49
    assert asked("latency", ["carrier"], min_support=0).min_support == 0.0


def test_scores_and_their_metrics() -> None:
    both = ["latency", "usage"]
    question = asked(both, ["carrier"])
    assert question.score == "mcd" and question.metrics == tuple(both)
    assert question.notes == ("2 metrics: scored by mcd, since mad takes one.",)
    assert asked(["latency"], ["carrier"]).score == "mad"
    assert asked(both, ["carrier"], score="rcov").notes == ()
    for score in ("zscore", "percentile"):
        assert said(both, ["carrier"], score=score) == [
            f"{score} takes one metric; got 2.",
            "Use mcd or rcov for several.",
        ]
    assert said(both, ["carrier"], score=Seasonal("when", "7d"))[0] == "Seasonal takes one metric; got 2."
    assert said(["usage", "usage"], ["carrier"])[0] == "A metric is named twice."
    assert asked("latency", ["carrier"], score="mcd", tail="low").notes == (
        "tail is not used with mcd: its scores have one end.",
    )
    assert asked("latency", ["carrier"], score=np.abs, tail="high").notes == (
        "tail is not used with a function: its scores have one end.",
    )
    assert asked("latency", ["carrier"], score=Seasonal("when", "7d"), tail="high").notes == ()


def test_the_time_of_a_season_is_a_timestamp() -> None:
    assert said("latency", ["dest"], score=Seasonal("carrier", "7d"))[0] == (
        '"carrier" is text; the time of a season must be a timestamp.'
    )


def test_means_need_one_metric() -> None:
    for compare in ("mean_shift", "mean_deviation"):
        assert said(by=["carrier"], where="late", compare=compare) == [
            f"{compare} compares means of a metric, and none is given.",
            "Name a metric.",
        ]
        assert said(["latency", "usage"], ["carrier"], compare=compare)[1] == "Name one metric."
    assert asked("latency", ["carrier"], where="late", compare="mean_shift").notes == ()
    assert asked("latency", ["carrier"], where="late", compare="mean_deviation").notes == (
        "mean_deviation counts every row; where is not used.",
    )


def test_a_difference_has_its_own_least_value() -> None:
    question = asked("latency", ["carrier"], compare="prevalence_difference")
    assert question.min_ratio == 0.1
    assert question.notes == ("min ratio is 0.1: prevalence_difference is between -1 and 1.",)
    assert asked("latency", ["carrier"], compare="prevalence_difference", min_ratio=0.3).notes == ()


# by


def test_by_is_a_list_a_name_or_a_pair() -> None:
    assert asked("latency", "carrier").by == (("carrier", None),)
    assert asked("latency", ("distance", 5)).by == (("distance", 5),)
    assert asked("latency", ["carrier", "dest"]).by == (("carrier", None), ("dest", None))
    assert asked("latency", [["hour", 4]]).by == (("hour", 4),)
    data = frames.read(pd.DataFrame({1: ["a", "b"], 2: ["c", "d"], "m": [1, 2]}))
    assert asked("m", [1, 2], data=data).by == (("1", None), ("2", None))


def test_by_that_cannot_be() -> None:
    assert said("latency", [])[0] == "by names no column."
    assert said("latency", 5)[0] == "by names no column."
    assert said("latency", ["carrier", "carrier"]) == ['"carrier" stands twice in by.', "Name each column once."]
    assert said("latency", [("carrier", 5)]) == [
        '"carrier" is text; only numbers are put in ranges.',
        'Give "carrier" alone.',
    ]
    assert said("latency", [("late", 5)])[0] == '"late" is true or false; only numbers are put in ranges.'
    assert said("latency", [("hour", 0)]) == [
        '"hour" is to be put in 0 ranges; it is a number of ranges.',
        'Give ("hour", 10).',
    ]
    assert said("latency", [("hour", "3")])[0] == '"hour" is to be put in "3" ranges; it is a number of ranges.'
    assert said("latency", "carrier, dest") == [
        'No column "carrier, dest" in flights.',
        'Give a list: by=["carrier", "dest"].',
    ]
    nested = frames.read(pa.table({"m": [1.0], "tags": [["a", "b"]], "place": [{"x": 1}]}))
    assert said("m", ["tags"], data=nested) == [
        '"tags" holds lists; a column of by must hold plain values.',
        "Take it apart into columns of text or numbers first, or leave it out of by.",
    ]
    assert said("m", ["place"], data=nested)[0] == '"place" holds structs; a column of by must hold plain values.'


def test_more_ranges_than_numbers_are_one_for_each() -> None:
    assert ranges.range_ranks(5, 10**12) == [0, 1, 2, 3, 4]
    assert ranges.range_ranks(5, 5) == [0, 1, 2, 3, 4]
    assert ranges.range_ranks(5, 4) == [0, 1, 2, 3, 4]
    assert ranges.range_ranks(5, 2) == [0, 2, 4]
    assert ranges.range_ranks(0, 2) == []


def test_c21_ranges_are_said_with_the_count_of_numbers() -> None:
    assert asked("latency", ["distance"]).notes == (
        '"distance" has 25 different numbers; put in 10 equal-count ranges (write distance:20 for more).',
    )
    assert asked("latency", [("distance", 5)]).notes == ()
    assert asked("latency", ["hour"]).notes == ()
    many = frames.read(pd.DataFrame({"x": np.random.default_rng(0).random(4321), "m": 1.0}))
    assert asked("m", ["x"], data=many).notes == (
        '"x" has 4,321 different numbers; put in 10 equal-count ranges (write x:20 for more).',
    )


# by="*"


def test_c26_the_choice_of_columns_is_repeatable_and_said() -> None:
    question = asked("latency")
    assert question.by == (("carrier", None), ("dest", None), ("late", None))
    assert question.notes == (
        'Left out "tailnum": 100 different values in 100 rows.',
        'Left out "origin": 1 different value in 100 rows.',
        'Left out "distance", "hour", "usage": numbers.',
        'Left out "when": times.',
    )
    assert asked("latency").by == question.by


def test_c26_the_exact_words_for_a_nearly_unique_column() -> None:
    rows = 4100
    tails = [f"N{number}" for number in range(3900)] + ["N0"] * 200
    data = frames.read(pd.DataFrame({"tailnum": tails, "carrier": ["AA", "UA"] * (rows // 2), "m": 1.0}))
    question = asked("m", data=data)
    assert question.by == (("carrier", None),)
    assert question.notes == ('Left out "tailnum": 3,900 different values in 4,100 rows.',)


def test_c26_columns_that_the_question_uses_are_left_out() -> None:
    question = asked(where="carrier = 'AA' AND usage > 3")
    assert question.by == (("dest", None), ("late", None))
    assert 'Left out "carrier", "usage": named in where.' in question.notes
    assert asked(labels="late").by == (("carrier", None), ("dest", None))
    assert '"late"' not in " ".join(asked(labels="late").notes)


@pytest.mark.parametrize(("rows", "values", "kept"), [(80, 20, True), (80, 21, False), (84, 21, True), (30, 20, True)])
def test_c26_the_bound_on_distinct_values(rows: int, values: int, kept: bool) -> None:
    text = [f"v{number % values}" for number in range(rows)]
    data = frames.read(pd.DataFrame({"t": text, "two": ["a", "b"] * (rows // 2), "m": 1.0}))
    assert (("t", None) in asked("m", data=data).by) == kept


def test_c26_null_is_one_of_the_values() -> None:
    data = frames.read(pd.DataFrame({"t": ["a", None] * 5, "n": [None] * 10, "m": 1.0}))
    question = asked("m", data=data)
    assert question.by == (("t", None),)


def test_c26_nested_columns_are_left_out() -> None:
    data = frames.read(pa.table({"m": [1.0, 2.0], "t": ["a", "b"], "tags": [["a"], ["b"]]}))
    question = asked("m", data=data)
    assert question.by == (("t", None),) and question.notes == ('Left out "tags": not plain values.',)


def test_c26_nothing_left() -> None:
    data = frames.read(pd.DataFrame({"m": [1.0, 2.0], "n": [1, 2]}), name="flights")
    assert said("m", data=data) == ["No column of flights is fit for * in by.", 'Left out "n": numbers.']
    empty = frames.read(pd.DataFrame({"m": pd.Series([], dtype=float), "t": pd.Series([], dtype=str)}))
    assert asked("m", data=empty).by == (("t", None),)


def test_a_column_named_star_wins() -> None:
    data = frames.read(pd.DataFrame({"m": [1.0, 2.0], "*": ["a", "b"], "t": ["a", "b"]}))
    assert asked("m", "*", data=data).by == (("*", None),)


# where


def test_c07_text_goes_in_single_quotes() -> None:
    assert said(by=["carrier"], where='dest = "AUS"') == [
        'No column "AUS" in flights.',
        "If it is a value: text goes in single quotes, 'AUS'. "
        "Columns: carrier, dest, late, distance, hour, latency, usage, tailnum, when, origin",
    ]
    assert said(by=["carrier"], where="usag > 3")[1].startswith('Did you mean "usage"? Columns: ')


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("usage >", "where is no condition over flights: syntax error"),
        ("usage > 3) OR (1 = 1", "where is no condition over flights: syntax error"),
        ("usage > 3; DROP TABLE data", "where is no condition over flights: it is more than one statement."),
        ("nosuch(usage)", "where is no condition over flights: Scalar Function with name nosuch does not exist."),
        ("usage > avg(usage)", 'where is no condition over flights: column "usage" must appear in the GROUP BY'),
        ("", 'where is ""; it is a SQL condition.'),
        (
            "sum(usage) > 3",
            "where is no condition over flights: it has no answer for each row",
        ),
    ],
)
def test_c07_what_is_no_condition(where: str, message: str) -> None:
    assert said(by=["carrier"], where=where)[0].startswith(message)
    assert len(said(by=["carrier"], where=where)) == 2


def test_c07_where_is_not_text() -> None:
    assert said(by=["carrier"], where=FLIGHTS["usage"] > 3)[0] == "where is a Series; it is a SQL condition."


def test_c07_conditions_of_all_sorts() -> None:
    data = flights()
    average = FLIGHTS["usage"].mean()
    assert data.where("usage > (SELECT avg(usage) FROM flights)").sum() == (FLIGHTS["usage"] > average).sum()
    assert data.where("usage > (SELECT avg(usage) FROM data)").sum() == (FLIGHTS["usage"] > average).sum()
    assert data.where("dest IS NULL -- a comment").sum() == 25
    assert data.where("flights.hour BETWEEN 3 AND 4").sum() == FLIGHTS["hour"].between(3, 4).sum()
    assert data.where("\"carrier\" = 'AA' AND \"when\" < TIMESTAMP '2013-01-11'").sum() == 5
    assert data.where("HOUR = 3").sum() == (FLIGHTS["hour"] == 3).sum()


def test_c07_sql_does_not_tell_capitals_apart() -> None:
    data = frames.read(pd.DataFrame({"a": [1, 2], "A": [3, 4], "b": [5, 6]}))
    assert data.where("b = 5").tolist() == [True, False]
    with pytest.raises(WorkbenchError) as error:
        data.where("a = 1")
    assert error.value.message == 'SQL cannot tell "a" from a column that differs in capitals only.'


def test_c07_a_condition_reads_no_files(tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("x\n1\n")
    assert said(by=["carrier"], where=f"usage > (SELECT max(x) FROM '{tmp_path}/secret.csv')")


def test_c07_nan_satisfies_no_condition_in_any_library() -> None:
    import polars as pl

    for frame in (
        pd.DataFrame({"x": [1.0, np.nan]}),
        pl.DataFrame({"x": [1.0, np.nan]}),
        pa.table({"x": [1.0, np.nan]}),
    ):
        assert frames.read(frame).where("x > 0.5").tolist() == [True, False]
        assert frames.read(frame).where("x IS NULL").tolist() == [False, True]


# the spec


def score_of_a_test(x: np.ndarray) -> np.ndarray:
    return np.abs(x[:, 0])


@pytest.mark.parametrize(
    ("args", "options"),
    [
        (("latency",), {}),
        (("latency", ["carrier", ("distance", 5)]), {"tail": "high", "top": 0.02, "minimal": False}),
        ((["latency", "usage"], ["dest"]), {"score": "rcov", "seed": 7}),
        ((None, ["carrier"]), {"where": "usage > 3", "compare": "prevalence_difference"}),
        ((None, ["carrier"]), {"labels": "late"}),
        ((None, ["carrier"]), {"labels": FLIGHTS["hour"] > 20}),
        (("latency", ["dest"]), {"score": Seasonal("when", "7d", 7), "threshold": 3}),
        (("latency", ["dest"]), {"score": score_of_a_test}),
        ((Cube("hour", "latency", "usage"), ["dest"]), {}),
        ((Cube("hour", quantiles={0.0: "latency", 0.5: "usage", 1: "distance"}), ["dest"]), {}),
    ],
)
def test_a_spec_asks_the_same_again(args: tuple[Any, ...], options: dict[str, Any]) -> None:
    question = asked(*args, **options)
    spec = json.loads(json.dumps(question.spec()))
    again = request(flights(), **spec)
    assert again.spec() == question.spec()
    assert (again.metrics, again.by, again.score, again.cube) == (
        question.metrics, question.by, question.score, question.cube,
    )  # fmt: skip
    assert set(spec) == {
        "metric", "by", "score", "top", "tail", "where", "labels", "min_support", "min_ratio", "max_combo", "compare",
        "threshold", "minimal", "max_candidates", "seed",
    }  # fmt: skip


def test_a_spec_of_a_lambda_cannot_be_asked_again() -> None:
    spec = asked("latency", ["dest"], score=lambda x: x[:, 0]).spec()
    json.dumps(spec)
    with pytest.raises(WorkbenchError) as error:
        request(flights(), **spec)
    assert error.value.hint == "Pass the function itself as score."
    assert "os" in sys.modules
    assert said("latency", ["dest"], score="os:nosuch")[0] == 'No score "os:nosuch".'
