"""Numbers and tables as people read them."""

from __future__ import annotations

import math
import re

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.notebook.tables import HTML_ROWS, cell, number, row_note, table_html, table_text, visible_rows


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (7, "7"), (1532, "1,532"), (12345678, "12,345,678"), (-1532, "-1,532"), (np.int64(1532), "1,532"),
        (0.0, "0"), (-0.0, "0"), (2.0, "2"), (0.5, "0.5"), (1234.567, "1,235"), (12.34567, "12.35"),
        (12345.678, "12,350"), (1234567.0, "1,235,000"), (-1234.567, "-1,235"), (0.00012345, "0.0001234"),
        (9.9996, "10"), (999.96, "1,000"), (1e-9, "1e-09"), (1.5e20, "1.5e+20"), (np.float32(0.1), "0.1"),
        (float("nan"), ""), (float("inf"), "∞"), (float("-inf"), "-∞"),
    ],
)  # fmt: skip
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_right_to_four_digits(value: float) -> None:
    shown = float(number(value).replace(",", ""))
    assert shown == float(f"{value:.4g}")


@given(st.integers())
def test_whole_numbers_are_exact(value: int) -> None:
    assert int(number(value).replace(",", "")) == value


class Bad:
    def __str__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""), (pd.NA, ""), (pd.NaT, ""), (np.nan, ""), (True, "True"), (np.bool_(False), "False"), ("a", "a"),
        (pd.Timestamp("2024-01-02"), "2024-01-02 00:00:00"), ([1, 2], "[1, 2]"), (Bad(), "<Bad: RuntimeError>"),
    ],
)  # fmt: skip
def test_cells(value: object, text: str) -> None:
    assert cell(value) == text


@pytest.mark.parametrize(
    ("total", "limit", "shown"), [(1532, 20, 20), (5, 20, 5), (5, 0, 0), (5, -1, 5), (10**6, -1, 10**6), (0, 20, 0)]
)
def test_visible_rows(total: int, limit: int, shown: int) -> None:
    assert visible_rows(total, limit) == shown
    assert visible_rows(total, limit, HTML_ROWS) == min(shown, HTML_ROWS)


def test_the_note_on_rows() -> None:
    assert row_note(20, 1532) == "20 of 1,532 rows"
    assert row_note(5, 5) == ""


FRAME = pd.DataFrame({"name": ["a", "bb", None], "n": [1, 20, 1532], "x": [0.5, np.nan, 12.34567]})


def test_text_is_aligned() -> None:
    assert table_text(FRAME, 2) == "name   n    x\na      1  0.5\nbb    20\n2 of 3 rows"


@pytest.mark.parametrize(
    "convert", [lambda f: f, pl.from_pandas, pa.Table.from_pandas], ids=["pandas", "polars", "arrow"]
)
def test_any_kind_of_table(convert: object) -> None:
    drawn = table_html(convert(FRAME), 20)  # type: ignore[operator]
    assert re.findall(r"<td[^>]*>([^<]*)</td>", drawn) == ["a", "1", "0.5", "bb", "20", "", "", "1,532", "12.35"]
    assert drawn.count('class="wb-n"') == 2 + 2 * 3


@pytest.mark.parametrize("limit", [0, 1, 20, -1])
@pytest.mark.parametrize(
    "frame",
    [pd.DataFrame(), pd.DataFrame({"a": []}), FRAME, FRAME.head(1), pd.DataFrame({"a": [np.nan] * 3})],
    ids=["none", "empty", "three", "one", "nan"],
)
def test_edge_tables(frame: pd.DataFrame, limit: int) -> None:
    shown = visible_rows(len(frame), limit)
    drawn = table_html(frame, limit)
    assert drawn.count("<tr>") == (shown + 1 if shown or not len(frame) else 0)
    assert (f"{shown} of {len(frame)} rows" in drawn) == (shown < len(frame))
    assert (f"{shown} of {len(frame)} rows" in table_text(frame, limit)) == (shown < len(frame))


EVIL = ["<script>alert(1)</script>", "\"'>&", "\u2028\u2029", "x" * 10**6, "line\nbreak"]


def test_every_string_is_escaped_and_long_text_is_cut() -> None:
    frame = pd.DataFrame({"<b>": EVIL})
    drawn = table_html(frame, 20, title="<i>")
    assert not re.search(r"<(script|b|i)>", drawn)
    assert "&lt;script&gt;" in drawn and "&quot;&#x27;&gt;&amp;" in drawn
    (title,) = re.findall(r'<td title="(x+)">', drawn)
    assert len(title) == 10**6
    assert "x" * 79 + "…</td>" in drawn
    text = table_text(frame, 20)
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "line↵break" in text


def test_units_stand_in_the_header() -> None:
    frame = FRAME.copy()
    frame.attrs["units"] = {"x": "px/s"}
    assert ">x <span>px/s</span></th>" in table_html(frame, 3)


def test_duplicate_and_wide_columns() -> None:
    frame = pd.DataFrame([[1, "日本", 2.5]], columns=["a", "a", "b"])
    assert table_text(frame, 3) == "a  a       b\n1  日本  2.5"
    assert math.isclose(float(re.findall(r">([\d.]+)</td></tr>", table_html(frame, 3))[0]), 2.5)


def test_columns_of_paths_are_short_and_whole_in_the_tooltip() -> None:
    frame = pd.DataFrame({"video": ["/x/a/cam1.mp4", "/x/a/cam2.mp4", None], "other": ["/x/b", "", ""]})
    text = table_text(frame, -1, files=("video",)).split("\n")
    assert [line.split()[0] for line in text[1:3]] == ["cam1.mp4", "cam2.mp4"]
    assert "/x/b" in text[1]
    html = table_html(frame, -1, files=("video",))
    assert '<td title="/x/a/cam1.mp4">cam1.mp4</td>' in html and "<td>/x/b</td>" in html
    assert frame["video"].tolist()[0] == "/x/a/cam1.mp4"
    assert "/x/a/cam1.mp4" in table_text(frame, -1)
