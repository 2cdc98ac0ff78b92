"""Answers about files in the store: the same answer, found again without a search, and never a wrong one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import workbench as wb
from tests.anomaly.parts import Serial, serial
from workbench.anomaly import execution, explain, kept_answers, plan, store_keys
from workbench.engine import store as artefacts
from workbench.engine.errors import WorkbenchWarning

__all__ = ["serial"]

BY = ["a", "b", ("u", 4), "u2"]


def frame(n: int = 3000, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "x": rng.normal(10, 1, n).round(3),
            "a": rng.choice(np.array(["p", "q", "", None], dtype=object), n),
            "b": rng.integers(0, 5, n),
            "u": rng.uniform(0, 9, n).round(2),
            "w": rng.integers(1, 4, n),
        }
    )
    table["u2"] = table["u"]
    table.loc[rng.random(n) < 0.01, "x"] = np.nan
    return table


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a file about which every answer is kept."""
    monkeypatch.setattr(kept_answers, "WORTH", 0.0)
    frame().to_parquet(tmp_path / "t.parquet", row_group_size=900)
    return tmp_path / "t.parquet"


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows with every search."""
    made: list[int] = []
    original = explain.search

    def search(*args: Any, **options: Any) -> Any:
        made.append(1)
        return original(*args, **options)

    monkeypatch.setattr(explain, "search", search)
    return made


QUESTIONS: dict[str, dict[str, Any]] = {
    "score": {"metric": "x", "by": BY, "top": 0.05, "min_ratio": 1.1},
    "nothing passes": {"metric": "x", "by": BY, "min_ratio": 1e6},
    "where": {"by": BY, "where": "x > 11.5", "min_ratio": 1.1},
    "mean shift": {"metric": "x", "by": BY, "where": "b > 2", "compare": "mean_shift", "min_ratio": 0.9},
    "cube": {"metric": wb.anomaly.Cube("w", "x"), "by": BY, "min_ratio": 1.1, "top": 0.1},
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_c46_a_question_on_a_file_is_answered_once(name: str, path: Path, searches: list[int]) -> None:
    first = wb.outliers(path, **QUESTIONS[name])
    second = wb.outliers(str(path), **QUESTIONS[name])
    assert len(searches) == 1
    assert_same(first, second)
    assert "the store's" in second.explain()
    pd.testing.assert_frame_equal(second.outliers, first.outliers)
    pd.testing.assert_frame_equal(second.histogram(), first.histogram())
    if len(first):
        pd.testing.assert_frame_equal(second.rows(0), first.rows(0))
        assert second.filter(0) == first.filter(0)
        assert second.without(0).n_rows == first.without(0).n_rows


def assert_same(one: Any, other: Any) -> None:
    pd.testing.assert_frame_equal(one.to_pandas(q_value=True), other.to_pandas(q_value=True), check_exact=True)
    for name in ("sets", "notes", "n_rows", "n_outliers", "n_left_out", "compare", "by", "metric", "spec"):
        assert getattr(one, name) == getattr(other, name), name
    assert str(one.cutoff) == str(other.cutoff)
    pd.testing.assert_frame_equal(one.dependencies, other.dependencies)
    assert str(one).split("\n")[1:] == str(other).split("\n")[1:]  # but for the seconds in the first line


def test_large_files_are_answered_once_too(
    path: Path, searches: list[int], serial: Serial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "LARGE", 1000)
    options = QUESTIONS["score"]
    first = wb.outliers(path, **options)
    rounds = len(serial.rounds)
    second = wb.outliers(path, **options)
    assert (len(searches), len(serial.rounds)) == (1, rounds)
    assert_same(first, second)


def test_another_question_another_content_and_another_version_are_answered_anew(
    path: Path, searches: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = QUESTIONS["score"]
    wb.outliers(path, **options)
    wb.outliers(path, **{**options, "min_ratio": 1.2})
    assert len(searches) == 2
    frame(seed=1).to_parquet(path)
    wb.outliers(path, **options)
    assert len(searches) == 3
    monkeypatch.setattr(store_keys, "VERSION", 99)
    wb.outliers(path, **options)
    assert len(searches) == 4


@pytest.mark.parametrize("options", [{"labels": np.zeros(3000, bool)}, {"metric": "x", "score": lambda x: x[:, 0]}])
def test_what_no_key_tells_is_not_kept(options: dict[str, Any], path: Path, searches: list[int]) -> None:
    for _ in range(2):
        wb.outliers(path, by=["a"], **options)
    assert len(searches) == 2


def test_tables_in_memory_and_quick_answers_are_not_kept(
    path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wb.outliers(frame(), "x", ["a"])
    monkeypatch.setattr(kept_answers, "WORTH", 60.0)
    wb.outliers(path, "x", ["a"])
    assert not list((home / "store").rglob("*.npz"))


def test_a_stopped_answer_is_not_kept(path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = execution.Work.compute

    def stopped(self: Any, run: Any = None) -> Any:
        result = original(self, run)
        result.partial = True
        return result

    monkeypatch.setattr(execution.Work, "compute", stopped)
    wb.outliers(path, "x", ["a"])
    assert not list((home / "store").rglob("*.npz"))


def test_a_damaged_answer_is_made_anew_with_one_warning(path: Path, home: Path, searches: list[int]) -> None:
    first = wb.outliers(path, **QUESTIONS["score"])
    for file in (home / "store").rglob("*.npz"):
        file.write_bytes(b"nothing of the kind")
    artefacts._stores.clear()
    with pytest.warns(WorkbenchWarning, match="damaged") as caught:
        second = wb.outliers(path, **QUESTIONS["score"])
    assert (len(caught), len(searches)) == (1, 2)
    assert_same(first, second)


def test_a_store_that_cannot_be_written_costs_one_warning(path: Path, home: Path, searches: list[int]) -> None:
    (home / "store").write_text("a file where the folder should be")
    with pytest.warns(WorkbenchWarning, match="cannot be written") as caught:
        first = wb.outliers(path, **QUESTIONS["score"])
    second = wb.outliers(path, **QUESTIONS["score"])
    assert (len(caught), len(searches)) == (1, 2)
    assert_same(first, second)
