"""The static form of a ranked table: every format of a column, both scales, hostile text, the picture."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from PIL import Image

from workbench.engine import ranked as words
from workbench.notebook import ranked, tables
from workbench.notebook.config import settings
from workbench.notebook.page import Page

COLUMNS: list[dict[str, Any]] = [
    {"name": "rank", "label": "#", "format": "rank"},
    {"name": "explanation", "label": "Explanation", "format": "chips"},
    {"name": "ratio", "label": "Risk ratio", "format": "ratio", "word": "ratio"},
    {"name": "support", "label": "Support", "format": "share", "word": "support"},
    {"name": "counts", "label": "Outliers / rows", "format": "count_of"},
    {"name": "panes", "label": "By pane", "format": "spark"},
    {"name": "since", "label": "Since pane", "format": "number"},
    {"name": "remark", "label": "Remark", "format": "text"},
]
TEXT = "1  dest = SFO and hour = 18  ratio 5.1 [4.6, 5.7]  support 3.2 %  104 of 1,960  ▄█  3  new"


def row(rank: int = 1, **given: Any) -> list[Any]:
    cells: dict[str, Any] = {
        "rank": rank,
        "explanation": {"chips": [["dest", "SFO"], ["hour", "18"]], "same": []},
        "ratio": {"value": 5.123, "low": 4.61, "high": 5.69},
        "support": 0.0321,
        "counts": [104, 1960],
        "panes": [1.0, 2.0],
        "since": 3,
        "remark": "new",
    }
    return list({**cells, **given}.values())


def state(*rows: list[Any], **more: Any) -> dict[str, Any]:
    return {"columns": COLUMNS, "rows": list(rows), "details": {}, **more}


def page(given: dict[str, Any]) -> Page:
    return Page([{"kind": "ranked", "state": given}])


class Table(HTMLParser):
    """The cells of the first table, as text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


def test_c44_html_and_text_say_the_same() -> None:
    drawn = page(state(row()))
    assert drawn.text() == TEXT
    head, cells = Table(drawn.html()).rows
    assert head == [
        "#",
        "Explanation",
        "Risk ratio [95 %]",
        "Support",
        "Outliers / rows",
        "By pane",
        "Since pane",
        "Remark",
    ]
    assert cells == ["1", "dest = SFO ∧ hour = 18", "5.1 [4.6, 5.7]", "3.2 %", "104 of 1,960", "", "3", "new"]
    assert 'aria-label="2 panes: ▄█"' in drawn.html()


def test_cells_without_a_value_are_empty() -> None:
    empty = row(ratio=None, support=None, counts=None, panes=None, since=None, remark=None)
    drawn = page(state(empty, row(2)))
    assert Table(drawn.html()).rows[1][2:] == [""] * 6
    assert drawn.text().splitlines()[0] == "1  dest = SFO and hour = 18"
    assert page(state(row(panes=[]), row(panes=[None, None]))).png() is not None


def bars(text: str) -> list[tuple[float, float]]:
    """Return left end and width of each ratio bar."""
    found = []
    for svg in re.findall(r"<svg[^>]*width=\"110\".*?</svg>", text):
        match = re.search(r'<rect x="([\d.]+)" y="[\d.]+" width="([\d.]+)"', svg)
        assert match
        found.append((float(match[1]), float(match[2])))
    return found


def test_ratio_bars_are_on_one_logarithmic_scale_from_1() -> None:
    ratios = [{"value": v, "low": None, "high": None} for v in (100.0, 10.0, 1.0, 0.1)]
    (l100, w100), (l10, w10), (l1, w1), (l01, w01) = bars(page(state(*[row(ratio=r) for r in ratios])).html())
    base = l100
    assert (l10, l1) == (base, base)
    assert w100 == pytest.approx(2 * w10, abs=0.1)
    assert w01 == pytest.approx(w10, abs=0.1)
    assert l01 == pytest.approx(base - w10, abs=0.1)
    assert w1 <= 2


def test_an_infinite_ratio_reaches_the_end_and_others_do_not() -> None:
    ratios = [{"value": "inf", "low": 2.5, "high": "inf"}, {"value": 40.0, "low": 20.0, "high": 80.0}]
    text = page(state(*[row(ratio=r) for r in ratios])).html()
    (left, width), (left2, width2) = bars(text)
    assert left + width == pytest.approx(110)
    assert left2 + width2 < 100
    assert Table(text).rows[1][2] == "∞ [2.5, ∞]"


def test_differences_are_on_a_linear_scale_from_0() -> None:
    columns = [{**column, "linear": True} if column["format"] == "ratio" else column for column in COLUMNS]
    ratios = [{"value": v, "low": v - 0.1, "high": v + 0.1} for v in (0.4, 0.2, -0.2)]
    text = page({"columns": columns, "rows": [row(ratio=r) for r in ratios]}).html()
    (left, width), (left2, width2), (left3, width3) = bars(text)
    assert width == pytest.approx(2 * width2, abs=0.1)
    assert left == left2 == pytest.approx(left3 + width3, abs=0.1)
    assert Table(text).rows[3][2] == "-0.2 [-0.3, -0.1]"


def test_zero_and_nan_ratios_are_drawn() -> None:
    ratios = [{"value": 0.0, "low": None, "high": None}, {"value": None, "low": None, "high": None}]
    text = page(state(*[row(ratio=r) for r in ratios])).html()
    assert [cells[2] for cells in Table(text).rows[1:]] == ["0", ""]
    assert "nan" not in text.lower().replace("nance", "")


def test_folded_rows_and_long_values() -> None:
    same = [[["name", "x" * 200]], [["origin", None]]]
    given = state(row(explanation={"chips": [["dest", "y" * 200]], "same": same}))
    text = page(given).html()
    assert f'title="dest = {"y" * 200}"' in text
    assert f"same rows: name = {'x' * 79}…" in text
    assert "same rows: origin = ∅" in text
    assert page(given).text().count("same rows: ") == 2


SVG = '<svg xmlns="http://www.w3.org/2000/svg"><script>1</script><rect width="3"/></svg>'
ROWS = [[1.5, "<b>"], [None, "a\nb"]]
DETAILS = [
    {"kind": "svg", "svg": SVG, "alt": "h"},
    {"kind": "table", "name": "rows", "columns": ["x", "who"], "rows": ROWS, "total": 1960, "left_out": 3},
    {"kind": "code", "language": "sql", "text": "\"dest\" = '<i>'"},
    {"kind": "code", "language": "pandas", "text": '(df["dest"] == "<i>")'},
]


def test_c41_details_stand_in_details_elements() -> None:
    given = state(row(), row(2), details={"0": DETAILS})
    drawn = page(given)
    text = drawn.html()
    assert text.count("<details>") == 1
    inner = text[text.index("<details>") : text.index("</details>")]
    assert "2 of 1,960 rows, 3 more columns" in inner
    assert "&quot;dest&quot; = &#x27;&lt;i&gt;&#x27;" in inner
    assert "<rect" in inner
    assert not {"script", "b", "i"} & set(Table(text).tags)
    assert "1.5" in inner and "a↵b" in inner
    assert len(drawn.text().splitlines()) == 2  # the text form is the table alone
    assert drawn.views[0]["state"]["details"] == {"0": DETAILS}


def test_ten_rows_are_seen_and_the_others_are_there() -> None:
    given = state(*[row(i + 1) for i in range(23)])
    text = page(given).html()
    assert "<summary>Show all 23</summary>" in text
    before = text[: text.index("Show all 23")]
    assert before.count("104 of 1,960") == 10
    assert text.count("104 of 1,960") == 23
    assert "Show all" not in page(state(*[row(i + 1) for i in range(10)])).html()
    assert "Show all 23" in page({**given, "page": 5}).html()


def test_more_than_200_rows_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    given = state(*[row(i + 1) for i in range(230)], total=1532)
    drawn = page(given)
    assert len(drawn.views[0]["state"]["rows"]) == 200
    assert "200 of 1,532 explanations; to_pandas() has all." in drawn.html()
    assert drawn.text().splitlines()[-1] == "20 of 1,532 explanations"
    monkeypatch.setattr(settings(), "display_limit", 3)
    assert page(given).text().splitlines()[-1] == "3 of 1,532 explanations"
    monkeypatch.setattr(settings(), "display_limit", 0)
    assert page(given).text() == "0 of 1,532 explanations"
    assert "<table" not in page(given).html()
    assert "0 of 1,532 explanations" in page(given).html()


def test_hostile_text_is_escaped() -> None:
    bad = '</style><script>alert("1")</script>'
    columns = [{**column, "label": bad} for column in COLUMNS]
    cell = {"chips": [[bad, bad]], "same": [[[bad, bad]]]}
    drawn = page({"columns": columns, "rows": [row(explanation=cell, remark=bad)]})
    assert "<script" not in drawn.html()
    assert Table(drawn.html()).tags.count("style") == 2
    assert drawn.png() is not None


def test_columns_without_formats_are_a_plain_table() -> None:
    drawn = page({"columns": [{"name": "a", "label": "A"}, {"name": "b"}], "rows": [["x", 1], ["y", 2]]})
    assert drawn.text().splitlines()[0].split() == ["A", "b"]
    assert Table(drawn.html()).rows == [["A", "b"], ["x", "1"], ["y", "2"]]


def test_n34_the_picture_has_the_first_rows() -> None:
    given = state(*[row(i + 1) for i in range(23)])
    picture = ranked.drawing(given)
    assert picture.alt == "Ranked table: 23 explanations"
    texts = [shape.text for shape in picture.shapes if hasattr(shape, "text")]
    assert texts.count("104 of 1,960") == 10
    assert "5.1 [4.6, 5.7]" in texts
    for theme in ("light", "dark"):
        image = Image.open(io.BytesIO(picture.png(theme)))  # type: ignore[arg-type]
        assert image.width == pytest.approx(2 * picture.width, abs=2)
    data = page(given).png()
    assert data is not None
    assert data.startswith(b"\x89PNG")


def test_every_colour_is_one_of_the_page() -> None:
    text = page(state(row(), details={"0": DETAILS})).html()
    body = text[text.index('<div class="wb-rt">') :]
    assert not re.findall(r"#[0-9a-fA-F]{3,8}\b(?![^<]*;)", re.sub(r"&#x?\w+;", "", body.replace("#</th>", "")))
    assert "var(--wb-accent)" in body


def test_plain_tables_align_numbers() -> None:
    block = {"columns": ["n", "flag", "t"], "rows": [[1, "true", "a"], [None, None, "b"], [2.5, "false", None]]}
    text = tables.plain_html(block)
    assert text.count('class="wb-n"') == 1 + 3
    assert Table(text).rows == [["n", "flag", "t"], ["1", "true", "a"], ["", "", "b"], ["2.5", "false", ""]]
    assert "rows" not in text
    assert words.NULL not in text
