from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from workbench.engine import render
from workbench.engine.plan import Node, Plan
from workbench.engine.result import Table


class Everything:
    def view_data(self) -> dict[str, Any]:
        return {
            "blocks": [
                {"kind": "summary", "text": "3 <events>"},
                {"kind": "note", "level": "warning", "text": "a & b"},
                {"kind": "table", "name": "t", "frame": pd.DataFrame({"<i>": ["<script>alert(1)</script>"]})},
                {"kind": "plan", "plan": Plan(Node("scan", "<t>"))},
                {"kind": "code", "language": "python", "text": "a < b"},
                {"kind": "svg", "svg": "<svg/>", "alt": "a line"},
                {"kind": "timeline", "state": {}},
            ]
        }


@pytest.fixture
def no_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render, "_hook", None)


@pytest.mark.usefixtures("no_hook")
def test_without_a_front_there_is_text_and_plain_html() -> None:
    bundle = render.mimebundle(Everything())
    assert list(bundle) == ["text/plain", "text/html"]
    lines = bundle["text/plain"].splitlines()
    assert lines[:2] == ["3 <events>", "warning: a & b"]
    assert "scan <t>" in lines
    assert lines[-2:] == ["a < b", "a line"]
    assert "<script>" not in bundle["text/html"]
    assert "&lt;script&gt;" in bundle["text/html"]
    assert "<th>&lt;i&gt;</th>" in bundle["text/html"]
    assert "3 &lt;events&gt;" in bundle["text/html"]


@pytest.mark.usefixtures("no_hook")
def test_the_hook_draws_everything() -> None:
    table = Table(pd.DataFrame({"a": [1]}), "T")
    render.register(lambda result: {"text/plain": f"drawn {result.title}", "text/html": "<b/>"})
    assert table._repr_mimebundle_() == {"text/plain": "drawn T", "text/html": "<b/>"}
    assert render.mimebundle(table, include={"text/html"}) == {"text/html": "<b/>"}
    assert render.mimebundle(table, exclude={"text/html"}) == {"text/plain": "drawn T"}
    render.unregister()
    assert render.mimebundle(table)["text/plain"].startswith("T\n")


def test_long_tables_are_cut() -> None:
    frame = pd.DataFrame({"a": range(1532)})
    assert render.table_text(frame).splitlines()[-1] == "20 of 1,532 rows"
    text = render.table_html(frame)
    assert text.count("<tr>") == 21
    assert text.endswith("<p>20 of 1,532 rows</p>")


def test_missing_values_are_empty_and_numbers_short() -> None:
    frame = pd.DataFrame({"a": [1234.5678, float("nan")], "b": [pd.NA, None], "c": [pd.NaT, pd.NaT]})
    text = render.table_html(frame)
    assert "<td>1,235</td><td></td><td></td>" in text
    assert "<td></td><td></td><td></td>" in text


def test_an_empty_table() -> None:
    frame = pd.DataFrame({"a": pd.Series([], dtype="int64")})
    assert render.table_html(frame) == "<table><thead><tr><th>a</th></tr></thead><tbody></tbody></table>"
    assert isinstance(render.table_text(frame), str)
