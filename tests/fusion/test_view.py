"""The blocks of a plan and of a cell, and what they become in text and HTML."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import workbench as wb
from workbench.fusion.view import cell_blocks, plan_blocks
from workbench.notebook import display


def cell(source: str = "s = np.exp(-x * x)\ns.sum()", **options: Any) -> Any:
    x = np.linspace(0, 1, 5000)
    return wb.fusion.run_cell(source, {"x": x, "np": np}, **options)


def kinds(blocks: list[dict[str, Any]]) -> list[str]:
    return [block["kind"] for block in blocks]


def test_a_plan_is_summary_pictures_kernels_operations_and_folded_text() -> None:
    blocks = plan_blocks(cell().plan)["blocks"]
    assert kinds(blocks)[:4] == ["summary", "svg", "svg", "table"]
    assert [block["name"] for block in blocks if block["kind"] == "table"] == ["kernels", "captured operations"]
    code = [block for block in blocks if block["kind"] == "code"]
    assert code[0]["language"] == "ir"
    assert all(block["fold"] for block in code)


def test_c49_a_checked_cell_says_its_error() -> None:
    blocks = cell_blocks(cell(check=True))["blocks"]
    assert blocks[1]["text"].startswith("checked call by call: largest error")


def test_peers_are_a_picture_and_a_table() -> None:
    blocks = cell_blocks(cell(compare=("numpy",)))["blocks"]
    place = next(k for k, block in enumerate(blocks) if block.get("name") == "peers")
    assert blocks[place - 1]["alt"].startswith("Median times: workbench")


def test_c45_reasons_have_their_lines() -> None:
    import pandas as pd

    with pytest.warns(match="rolling ran in pandas"):
        result = wb.fusion.run_cell("df.x\ndf.x.rolling(3).sum()", {"df": pd.DataFrame({"x": np.arange(50.0)})})
    notes = [block["text"] for block in cell_blocks(result)["blocks"] if block["kind"] == "note"]
    assert notes[0].startswith("not fused: rolling: unsupported operation (")
    assert ":2)" in notes[0]


def test_text_holds_no_machine_code_and_html_holds_it_folded() -> None:
    bundle: dict[str, Any] = display.mimebundle(cell())
    assert "builders" not in bundle["text/plain"]
    assert len(bundle["text/plain"].splitlines()) < 12
    assert "<details><summary>loop IR (" in bundle["text/html"]
    assert bundle["text/html"].count("<svg") == 2


def test_c44_before_and_after_are_a_switch_without_a_script() -> None:
    html = display.mimebundle(cell())["text/html"]
    folds = re.findall(r'<details name="(wb-[0-9a-f]{8})"( open)?><summary>(\w+)</summary><div><svg', html)
    assert [(opened, said) for _, opened, said in folds] == [("", "Before"), (" open", "After")]
    assert folds[0][0] == folds[1][0]
    other = display.mimebundle(cell("s = np.sqrt(x)\ns.sum()"))["text/html"]
    assert folds[0][0] not in other
    assert "<script" not in html
