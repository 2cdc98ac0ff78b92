"""The blocks of an answer: the same facts in text and HTML, folding, drill-downs, hostile names and values."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pandas as pd
import pytest

import workbench as wb
from workbench.anomaly import details, view
from workbench.anomaly.results import Explanations
from workbench.engine import ranked, render
from workbench.notebook import display
from workbench.notebook.page import Page


class Words(HTMLParser):
    """The visible text of a page, and its tags."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._quiet = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._quiet += tag in ("style", "script")

    def handle_endtag(self, tag: str) -> None:
        self._quiet -= tag in ("style", "script")

    def handle_data(self, data: str) -> None:
        if not self._quiet:
            self.parts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.parts))


def blocks_of(r: Explanations, kind: str) -> list[dict[str, Any]]:
    return [block for block in r.view_data()["blocks"] if block["kind"] == kind]


def state_of(r: Explanations) -> dict[str, Any]:
    (block,) = blocks_of(r, "ranked")
    return block["state"]


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(11)
    n = 6000
    code = rng.integers(0, 6, n)
    table = pd.DataFrame(
        {
            "code": code,
            "name": np.array([f"place {i}" for i in range(6)])[code],
            "hour": rng.integers(0, 24, n),
            "kind": rng.choice(np.array(["a", "b", None], dtype=object), n),
            "x": rng.normal(50, 5, n),
        }
    )
    bad = (code == 3) & (rng.random(n) < 0.2) | (table["hour"].eq(7) & table["kind"].isna() & (rng.random(n) < 0.6))
    table.loc[bad, "x"] += 60
    return table


@pytest.fixture(scope="module")
def answer(frame: pd.DataFrame) -> Explanations:
    return wb.outliers(frame, "x", ["code", "name", "hour", "kind"], top=0.04)


def test_blocks_stand_in_the_order_of_reading(answer: Explanations) -> None:
    kinds = [block["kind"] for block in answer.view_data()["blocks"]]
    assert kinds == ["summary", *["note"] * len(answer.notes), "ranked", "svg", "plan"]
    assert answer.view_data()["blocks"] is answer.view_data()["blocks"]  # made once
    assert kinds[0] == "summary"
    assert blocks_of(answer, "svg")[0]["alt"].startswith("Histogram of x: 6,000 rows, 240 outliers, from ")


def test_the_state_is_plain_data_of_the_contract(answer: Explanations) -> None:
    state = state_of(answer)
    assert json.loads(json.dumps(state, allow_nan=False)) == state
    assert [column["format"] for column in state["columns"]] == ["rank", "chips", "ratio", "share", "count_of"]
    assert state["sort"] == {"column": None, "descending": False}
    assert state["selected"] is None
    assert state["page"] == 10
    table = answer.to_pandas()
    for row in state["rows"]:
        rank = row[0] - 1
        assert dict(row[1]["chips"]).keys() == answer.sets[rank].keys()
        assert row[2] == {
            "value": table["ratio"][rank],
            "low": table["ratio_low"][rank],
            "high": table["ratio_high"][rank],
        }
        assert row[3] == table["support"][rank]
        assert row[4] == [table["outlier_count"][rank], table["total_count"][rank]]


def test_c24_explanations_of_the_same_rows_are_folded_in_the_view_only(answer: Explanations) -> None:
    sets = answer.sets
    assert {"code": 3} in sets and {"name": "place 3"} in sets
    rows = state_of(answer)["rows"]
    (first,) = [row for row in rows if ["code", "3"] in row[1]["chips"] or ["name", "place 3"] in row[1]["chips"]]
    assert first[1] == {"chips": [["code", "3"]], "same": [[["name", "place 3"]]]}
    assert len(rows) == len(sets) - 1
    assert "same rows: name = place 3" in str(answer)
    assert "same rows: name = place 3" in display.mimebundle(answer)["text/html"]
    numbers = [row[0] for row in rows]
    assert numbers == sorted(numbers)
    assert sets.index({"name": "place 3"}) + 1 not in numbers


def test_rows_with_equal_counts_but_other_rows_are_not_folded() -> None:
    frame = pd.DataFrame({"a": ["u", "v", "w", "w"] * 50, "b": ["w", "w", "u", "v"] * 50})
    r = wb.outliers(frame, by=["a", "b"], labels=frame["a"].ne("w").to_numpy(), min_ratio=1.0, max_combo=1)
    assert len(r) == 3 == len(state_of(r)["rows"]) + sum(len(row[1]["same"]) for row in state_of(r)["rows"])
    folded = {row[0]: row[1]["same"] for row in state_of(r)["rows"]}
    assert sum(map(len, folded.values())) == 0


def test_without_codes_nothing_is_folded(answer: Explanations) -> None:
    columns = tuple(replace(column, codes=column.codes[:0]) for column in answer._answer.columns)
    r = Explanations(replace(answer._answer, columns=columns, access=None))
    assert len(state_of(r)["rows"]) == len(r)
    pd.testing.assert_frame_equal(r.rows(0), answer.rows(0))


# ------------------------------------------------------------------------------------------------------------ details


def test_c41_the_first_explanations_have_their_drill_down(answer: Explanations) -> None:
    state = state_of(answer)
    assert list(state["details"]) == [str(i) for i in range(min(10, len(state["rows"])))]
    for index, blocks in state["details"].items():
        rank = state["rows"][int(index)][0] - 1
        svg, table, sql, pandas = blocks
        assert [svg["kind"], table["kind"], sql["kind"], pandas["kind"]] == ["svg", "table", "code", "code"]
        assert (sql["language"], sql["text"]) == ("sql", answer.sql(rank))
        assert (pandas["language"], pandas["text"]) == ("pandas", answer.code(rank))
        rows = answer.rows(rank, limit=10)
        assert table["total"] == answer.to_pandas()["total_count"][rank]
        assert len(table["rows"]) == len(rows)
        x = table["columns"].index("x")
        assert [row[x] for row in table["rows"]] == rows["x"].tolist()
        assert table["columns"][:2] == ["outlier", "score"]
        assert f"inside ({table['total']:,} rows)" in svg["svg"]


def test_details_stay_small(monkeypatch: pytest.MonkeyPatch, answer: Explanations) -> None:
    whole = details.details(answer._answer, state_of(answer))
    assert len(json.dumps(whole)) < 200_000
    small = len(json.dumps(whole["0"], ensure_ascii=False)) + 2000
    monkeypatch.setattr(details, "MOST", small)
    cut = details.details(answer._answer, state_of(answer))
    assert len(json.dumps(cut, ensure_ascii=False)) < small + 100
    assert cut["0"] == whole["0"]
    assert [block["kind"] for block in cut["1"]] == ["code", "code"]
    monkeypatch.setattr(details, "MOST", 10)
    assert details.details(answer._answer, state_of(answer)) == {}
    monkeypatch.undo()
    wide = pd.DataFrame({f"c{i}": ["é" * 300, "b"] * 100 for i in range(200)})
    r = wb.outliers(wide, by=["c0", "c1"], labels=wide["c0"].ne("b").to_numpy(), min_ratio=1.0)
    assert len(json.dumps(state_of(r), ensure_ascii=False)) < 200_000
    (block,) = [block for block in state_of(r)["details"]["0"] if block["kind"] == "table"]
    assert len(block["columns"]) + block["left_out"] == 202 - 1  # no scores: that column is not shown
    assert all(len(str(value)) <= 80 for row in block["rows"] for value in row)


def test_preview_reads_no_rows(answer: Explanations) -> None:
    bare = Explanations(replace(answer._answer, rows=None, access=None, scores=None, flags=None))
    kinds = [block["kind"] for block in bare.preview_data()["blocks"]]
    assert kinds == ["summary", *["note"] * len(answer.notes), "ranked"]
    state = bare.preview_data()["blocks"][-1]["state"]
    assert state["details"] == {}


# -------------------------------------------------------------------------------------------------------- three forms


def figures(text: str) -> list[str]:
    return re.findall(r"[-\d][\d,.]*|∞|∅", text)


@pytest.mark.parametrize("theme", ["light", "dark", "auto"])
def test_c44_html_has_every_word_and_figure_of_the_text(answer: Explanations, theme: str, monkeypatch: Any) -> None:
    from workbench.notebook.config import settings

    monkeypatch.setattr(settings(), "theme", theme)
    bundle = display.mimebundle(answer)
    page, lines = Words(str(bundle["text/html"])), str(bundle["text/plain"]).splitlines()
    seen = page.text
    assert lines[0] == blocks_of(answer, "summary")[0]["text"]
    assert lines[0] in seen
    for line in lines[1:]:
        for part in re.split(r"\s{2,}| and | \[|\]", line.strip()):
            plain = re.sub(r"^(note: |ratio |support )", "", part)
            squeezed = re.sub(r"\s+", "", plain)
            assert squeezed in re.sub(r"\s+", "", seen), part
    assert str(bundle["text/plain"]) == str(answer)
    assert not [tag for tag, _ in page.tags if tag == "script"]
    assert any(tag == "svg" for tag, _ in page.tags)
    assert any(tag == "details" for tag, _ in page.tags)
    assert not [value for _, attrs in page.tags for name, value in attrs.items() if name.startswith("on")]
    assert "image/png" in bundle


def test_c44_text_without_the_front_is_the_same(answer: Explanations) -> None:
    bundle = render.plain_bundle(answer)
    assert bundle["text/plain"] == str(answer)
    assert html.escape(str(answer).splitlines()[-1]) in bundle["text/html"]


def test_c44_ten_rows_then_the_rest_in_details() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"k": rng.integers(0, 60, 9000)})
    r = wb.outliers(frame, by=["k"], labels=frame["k"].to_numpy() > 20, min_ratio=1.0, min_support=0.0)
    assert len(r) == 39
    page = str(display.mimebundle(r)["text/html"])
    first, rest = page.split("Show all 39")
    tables = [block for blocks in state_of(r)["details"].values() for block in blocks if block["kind"] == "table"]
    assert first.count("<tr>") == 1 + 10 + sum(len(block["rows"]) + 1 for block in tables)
    assert rest.count("k =") >= 29
    text = str(display.mimebundle(r)["text/plain"])
    assert text.splitlines()[-1] == "20 of 39 explanations"


def test_at_most_200_explanations_are_drawn() -> None:
    frame = pd.DataFrame({"k": np.repeat(np.arange(500), 10)})
    r = wb.outliers(frame, by=["k"], labels=(frame["k"] < 250).to_numpy(), min_ratio=1.0, min_support=0.0)
    state = state_of(r)
    assert len(r) == 250
    assert (len(state["rows"]), state["total"]) == (200, 250)
    page = str(display.mimebundle(r)["text/html"])
    assert "200 of 250 explanations; to_pandas() has all." in page
    assert str(r).splitlines()[-1] == "20 of 250 explanations"


HOSTILE = [
    '<script>alert("1")</script>', "</style><img src=x onerror=alert(1)>", "a & b", "'\" onload=\"x", "\u2028", "{{x}}",
    "x" * 5000, "a\nb", "\x00\x1b",
]  # fmt: skip


def test_names_and_values_are_escaped_everywhere() -> None:
    rng = np.random.default_rng(4)
    name = '<b onmouseover="alert(1)">&name</b>'
    frame = pd.DataFrame({name: np.array(HOSTILE, dtype=object)[rng.integers(0, len(HOSTILE), 3000)]})
    frame["<i>metric"] = rng.normal(0, 1, 3000)
    frame.loc[frame[name].str.startswith("<script>"), "<i>metric"] += 9
    for r in (
        wb.outliers(frame, "<i>metric", [name], top=0.2, min_ratio=0.1),
        wb.outliers(frame, by=[name], where="\"<i>metric\" > 5 OR 'x' = '<script>'", min_ratio=0.1),
    ):
        assert len(r)
        page = Words(str(display.mimebundle(r)["text/html"]))
        tags = {tag for tag, _ in page.tags}
        assert not tags & {"script", "img", "b", "i"}
        assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
        assert '<script>alert("1")</script>' in page.text
        assert "<script" not in display.mimebundle(r)["text/html"]
        assert len(str(r)) < 5000
        assert "\n" not in repr(r)
        plain = Words(render.plain_bundle(r)["text/html"])
        assert not {tag for tag, _ in plain.tags} & {"script", "img"}


def test_answers_with_nothing_in_them_can_be_shown() -> None:
    frame = pd.DataFrame({"x": np.arange(100.0), "a": ["u", "v"] * 50})
    for r in (
        wb.outliers(frame, "x", ["a"], min_ratio=99),
        wb.outliers(frame.iloc[:0], "x", ["a"]),
        wb.outliers(frame.iloc[:1], "x", ["a"]),
        wb.outliers(frame, by=["a"], where="x > 1000"),
        wb.outliers(frame.assign(x=5.0), "x", ["a"]),
        wb.outliers(frame.assign(x=np.nan), "x", ["a"]),
    ):
        bundle = display.mimebundle(r)
        assert not blocks_of(r, "ranked") or len(r)
        assert str(bundle["text/plain"]) == str(r)
        for note in r.notes:
            assert f"note: {note}" in str(r)
            assert html.escape(note) in str(bundle["text/html"])


# ----------------------------------------------------------------------------------------------------------- variants


def test_a_stream_shows_sparks_and_since(answer: Explanations) -> None:
    m = len(answer._answer.found.answers.o)
    r = Explanations(replace(answer._answer, since=np.full(m, 3), sparks=[[1.0, None, 2.0, np.inf]] * m))
    state = state_of(r)
    assert [column["format"] for column in state["columns"]][-2:] == ["spark", "number"]
    assert state["rows"][0][5:] == [[1.0, None, 2.0, "inf"], 3]
    assert "since pane 3" in str(r)
    assert "▄ ██" in str(r) or "▅ ██" in str(r)
    page = Words(str(display.mimebundle(r)["text/html"]))
    assert any(tag == "polyline" for tag, _ in page.tags)
    assert any("panes" in (attrs.get("aria-label") or "") for _, attrs in page.tags)


def test_infinite_ratios_and_missing_intervals_are_drawn() -> None:
    frame = pd.DataFrame({"a": ["u"] * 10 + ["v"] * 90, "x": 1.0})
    r = wb.outliers(frame, by=["a"], labels=np.arange(100) < 10)
    assert "ratio ∞ [" in str(r)
    assert state_of(r)["rows"][0][2]["value"] == "inf"
    assert "∞" in Words(str(display.mimebundle(r)["text/html"])).text


@pytest.mark.parametrize("name", ["prevalence_difference", "global_ratio", "prevalence_ratio"])
def test_every_compare_metric_has_its_own_header(answer: Explanations, name: str, frame: pd.DataFrame) -> None:
    r = wb.outliers(frame, "x", ["code", "hour"], top=0.04, compare=name)
    column = state_of(r)["columns"][2]
    assert column["label"] == name.replace("_", " ").capitalize()
    assert column["linear"] == (name == "prevalence_difference")
    assert f"  {column['word']} " in str(r)


def test_mean_deviation_has_rows_and_no_outliers(frame: pd.DataFrame) -> None:
    r = wb.outliers(frame, "x", ["code"], compare="mean_deviation", min_ratio=0.1)
    assert len(r)
    assert "outliers" not in str(r)
    assert state_of(r)["columns"][-1]["label"] == "Rows"
    total = r.to_pandas()["total_count"][0]
    assert f"rows {total:,}" in str(r)


def test_a_page_of_the_parts_alone_is_the_same(answer: Explanations) -> None:
    block = blocks_of(answer, "ranked")[0]
    page = Page([block])
    assert page.text() == "\n".join(ranked.lines(block["state"], 20))
    assert page.views[0]["module"] == "ranked"
    assert view.ranked_state(answer._answer)["rows"] == block["state"]["rows"]


def test_rows_that_differ_late_are_not_folded() -> None:
    n = 70_000
    a, b = np.zeros(n, int), np.zeros(n, int)
    a[:10] = b[:10] = 1
    a[-1] = b[-2] = 1
    frame = pd.DataFrame({"a": a, "b": b, "c": a})
    r = wb.outliers(frame, by=["a", "b", "c"], labels=np.arange(n) < 10, max_combo=1)
    folded = {tuple(row[1]["chips"][0]): row[1]["same"] for row in state_of(r)["rows"]}
    assert folded == {("a", "1"): [[["c", "1"]]], ("b", "1"): []}
