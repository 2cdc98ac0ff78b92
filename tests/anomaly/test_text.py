"""The words of an answer: the header line, the table in text, word for word as the design writes them."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import workbench as wb
from workbench.anomaly import text
from workbench.anomaly.score import Cutoff

NAN = float("nan")


def said(**given: Any) -> str:
    fields: dict[str, Any] = {
        "n_rows": 1_000_000, "n_outliers": 10_000, "compare": "risk_ratio", "metric": "latency", "measured_name": "",
        "marked_by": "", "cutoff": Cutoff(49.8, 150.2, 5.0), "seconds": 0.05, "n_left_out": 0,
    }  # fmt: skip
    return text.header(SimpleNamespace(**{**fields, **given}))  # type: ignore[arg-type]


def test_the_header_is_the_one_of_the_design() -> None:
    assert said() == "1,000,000 rows, 10,000 outliers (1.00 %), latency > 150.2 or < 49.8, 0.05 s"


@pytest.mark.parametrize(
    ("given", "middle"),
    [
        ({"cutoff": Cutoff(-np.inf, 150.23456, 5.0)}, "latency > 150.2"),
        ({"cutoff": Cutoff(1e-7, np.inf, 5.0)}, "latency < 1e-07"),
        ({"cutoff": Cutoff(NAN, NAN, 3.25)}, "score > 3.25"),
        ({"cutoff": Cutoff(NAN, NAN, 3.25), "metric": ("a", "b"), "measured_name": "score"}, "score > 3.25"),
        (
            {"cutoff": Cutoff(-1.5, 2.0, 3.0), "measured_name": "residual of latency"},
            "residual of latency > 2 or < -1.5",
        ),
        ({"cutoff": Cutoff(NAN, NAN, NAN), "marked_by": "usage  >\n 500", "metric": None}, "usage > 500"),
        ({"cutoff": None, "marked_by": "labels"}, "labels"),
        ({"cutoff": Cutoff(-12345.678, 1234567.0, 1.0)}, "latency > 1,234,567 or < -12,346"),
    ],
)
def test_the_header_says_what_marked_the_outliers(given: dict[str, Any], middle: str) -> None:
    assert said(**given) == f"1,000,000 rows, 10,000 outliers (1.00 %), {middle}, 0.05 s"


def test_the_header_of_odd_answers() -> None:
    assert said(cutoff=None, n_rows=0, n_outliers=0) == "0 rows, 0 outliers, 0.05 s"
    assert said(cutoff=None, n_rows=1, n_outliers=1) == "1 row, 1 outlier (100.00 %), 0.05 s"
    assert said(cutoff=None, n_rows=10.5, n_outliers=2.25) == "10.5 rows, 2.25 outliers (21.43 %), 0.05 s"
    assert said(cutoff=None, compare="mean_deviation", marked_by="every row") == "1,000,000 rows, every row, 0.05 s"
    assert said(seconds=61.4).endswith(", 61 s")
    assert said(seconds=0.0).endswith(", 0.01 s")
    assert len(said(cutoff=None, marked_by="x" * 500)) < 150


def test_c44_text_is_header_notes_and_an_aligned_table() -> None:
    rng = np.random.default_rng(1)
    n = 4000
    frame = pd.DataFrame({"dest": rng.choice(["SFO", "LAX", "ATL"], n), "hour": rng.integers(10, 20, n), "x": 0.0})
    frame["x"] = rng.normal(0, 1, n)
    frame.loc[:3, "x"] = np.nan
    late = frame["dest"].eq("SFO") & frame["hour"].eq(18)
    frame.loc[late, "x"] += np.where(rng.random(late.sum()) < 0.4, 50, 0)
    r = wb.outliers(frame, "x", ["dest", "hour"], min_ratio=8.0, min_support=0.2)
    table = r.to_pandas()
    lines = str(r).splitlines()
    assert lines[0].startswith(f"3,996 rows, {r.n_outliers} outliers ({100 * r.n_outliers / 3996:.2f} %), x > ")
    assert lines[1] == "note: 4 rows have no x and were left out (0.1 %)."
    first = table.iloc[0]
    named = " and ".join(f"{column} = {value}" for column, value in r.sets[0].items())
    low, high = first["ratio_low"], first["ratio_high"]
    between = f" [{low:.1f}, {high:.1f}]"
    figures = f"ratio {first['ratio']:.1f}{between}  support {100 * first['support']:.1f} %"
    width = max(len(" and ".join(f"{c} = {v}" for c, v in one.items())) for one in r.sets)
    start = f"1  {named:{width}}  "
    assert lines[2].startswith(start)
    if len(r) == 1:
        assert lines[2] == f"{start}{figures}  {first['outlier_count']} of {first['total_count']:,}"
    assert len(lines) == 2 + len(r)


def test_the_line_of_the_design_word_for_word() -> None:
    from workbench.engine import ranked

    columns = [
        {"name": "rank", "format": "rank"}, {"name": "explanation", "format": "chips"},
        {"name": "ratio", "format": "ratio", "word": "ratio"},
        {"name": "support", "format": "share", "word": "support"}, {"name": "counts", "format": "count_of"},
    ]  # fmt: skip
    row = [
        1, {"chips": [["dest", "SFO"], ["hour", "18"]], "same": []}, {"value": 5.123, "low": 4.61, "high": 5.69},
        0.0321, [104, 1960],
    ]  # fmt: skip
    lines = ranked.lines({"columns": columns, "rows": [row]}, 20)
    assert lines == ["1  dest = SFO and hour = 18  ratio 5.1 [4.6, 5.7]  support 3.2 %  104 of 1,960"]


@pytest.mark.parametrize("name", list(text.RATIOS))
def test_each_compare_metric_has_its_words(name: str) -> None:
    label, word = text.ratio_label(name)
    assert label[0].isupper()
    assert word in label.lower()


def test_text_of_a_long_answer_says_how_many_are_left_out() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"k": rng.integers(0, 40, 4000)})
    r = wb.outliers(frame, by=["k"], labels=frame["k"].to_numpy() > 15, min_ratio=1.0, min_support=0.0)
    assert len(r) == 24
    assert len(str(r).splitlines()) == 1 + len(r.notes) + 20 + 1
    assert str(r).splitlines()[-1] == "20 of 24 explanations"
    nothing = type(r)(replace(r._answer, order=np.array([], dtype=np.int64)))
    assert len(str(nothing).splitlines()) == 1 + len(r.notes)
