"""Cells of the magics are shown in the colours of their own language; nothing of their text is lost."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest

from workbench.notebook.report.highlight import highlight_cell

DIFF = """%%diff -o late
# all 'late ones
SELECT * FROM DIFF (SPLIT flights WHERE delay > {limit} AND c = 'it''s $b {c}') ON "Ship Mode" -- $why
COMPARE BY risk_ratio(COUNT(*))"""


def painted(source: str) -> str:
    return str(highlight_cell(lambda *_: "plain")(source))


def parts(html: str) -> dict[str, str]:
    """Return the class of each piece of text."""
    found: list[tuple[Any, Any]] = re.findall(r'<span class="(\w+)">([^<]*)</span>', html)
    return {unescape(text): kind for kind, text in found}


def test_a_diff_cell() -> None:
    html = painted(DIFF)
    assert "hl-sql" in html
    assert unescape(re.sub(r"<[^>]+>", "", html)).strip() == DIFF
    kinds = parts(html)
    assert kinds["%%diff"] == "cp" and kinds["-o"] == "na"
    assert kinds["DIFF"] == kinds["SPLIT"] == kinds["SELECT"] == kinds["COMPARE"] == "k"
    assert kinds["{limit}"] == "nv" and kinds["# all 'late ones"] == kinds["-- $why"] == "c1"
    assert kinds["'it''s $b {c}'"] == "s1" and kinds['"Ship Mode"'] == "na"


@pytest.mark.parametrize("source", ["%%outliers flights --metric x", "%%outliers\nSELECT 1", "%%vquery a\nx"])
def test_other_magics(source: str) -> None:
    assert unescape(re.sub(r"<[^>]+>", "", painted(source))).strip() == source


@pytest.mark.parametrize("source", ["x = 1", "%outliers flights", "# %%diff", "%%differ"])
def test_all_else_is_left_to_others(source: str) -> None:
    assert painted(source) == "plain"
