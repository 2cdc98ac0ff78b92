"""`wb.tta.report`: one HTML file with everything about runs, the same each time."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

import workbench as wb
from tests.tta.test_live_state import record
from workbench.engine.errors import WorkbenchError
from workbench.tta.run import Run
from workbench.tta.runs import Runs


def recipe(name: str, slower: float, **more: Any) -> Runs:
    found = []
    for seed in range(4):
        one = record([80.0, 92.0 + seed, 94.0 + seed, 96.0], id=f"{name}{seed}", name=name, seed=seed, **more)
        one.evals["dawnbench_s"] *= slower + seed / 50
        found.append(Run(one))
    return Runs(found)


def text_of(path: Path) -> str:
    body = path.read_text("utf-8")
    body = body[body.index("<body") :]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", re.sub(r"(?s)<(script|style).*?</\1>", " ", body)))


def test_c59_one_file_with_comparison_sensitivity_and_environments(tmp_path: Path) -> None:
    a = recipe("one_cycle", 1.0, environment={"host": "a", "threads": 2})
    b = recipe("plain", 1.6, environment={"host": "a", "threads": 1})
    path = wb.tta.report([a, b], tmp_path / "report.html")
    text = text_of(path)
    for words in (
        "Time to accuracy: one_cycle, plain", "one_cycle: 4 of 4 reached 94", "one_cycle is faster than plain",
        "Sensitivity", "94.5", "tau", "What is not the same in all runs:", "threads",
    ):  # fmt: skip
        assert words in text, words
    before = path.read_bytes()
    wb.tta.report([a, b], path)
    assert path.read_bytes() == before
    assert not re.search(rb"<(script|link|img)[^>]+(src|href)=.?https?://", before)


def test_one_run_alone_and_other_results(tmp_path: Path) -> None:
    run = Run(record([90.0, 95.0], name="<b>resnet9</b>"))
    text = text_of(wb.tta.report(run, tmp_path / "a.html", title="A & B"))
    assert "A &amp; B" in text and "TTA, first crossing" in text and "Comparison" not in text
    assert "<b>resnet9</b>" not in (tmp_path / "a.html").read_text("utf-8").split("wb-bundles")[0].split("</head>")[1]
    table = recipe("one_cycle", 1.0).table
    assert "one_cycle" in text_of(wb.tta.report([run, table], tmp_path / "b.html"))


def test_recipes_that_cannot_be_compared_say_why(tmp_path: Path) -> None:
    a, b = recipe("a", 1.0, eval_hash="3f19" * 8), recipe("b", 1.0, eval_hash="9c02" * 8)
    text = text_of(wb.tta.report([a, b], tmp_path / "report.html"))
    assert "were judged on different sets" in text and "allow_different=True" in text


def test_what_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match="There is nothing to report"):
        wb.tta.report([], tmp_path / "a.html")
    with pytest.raises(WorkbenchError, match="There is nothing to report"):
        wb.tta.report(3, tmp_path / "a.html")
    with pytest.raises(WorkbenchError, match="is a folder"):
        wb.tta.report(recipe("a", 1.0), tmp_path)
    with pytest.raises(WorkbenchError, match="No folder at"):
        wb.tta.report(recipe("a", 1.0), tmp_path / "missing" / "a.html")


def test_names_stay_functions_when_their_modules_are_imported() -> None:
    for name in ("report", "runs", "leaderboard"):
        assert f"workbench.tta.{name}" in sys.modules or __import__(f"workbench.tta.{name}")
        assert callable(getattr(wb.tta, name)), name
