"""Previews: a sample's answer stands until the exact one is there, and says that it is one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import workbench as wb
from workbench.anomaly import api, preview
from workbench.anomaly.seasonal import Seasonal


def frame(n: int = 20_000) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"x": rng.normal(10, 1, n), "a": rng.choice(list("pqrs"), n), "b": rng.integers(0, 5, n)})
    table.loc[table["a"].eq("q") & (rng.random(n) < 0.1), "x"] += 20
    table["ts"] = pd.date_range("2026-01-01", periods=n, freq="min")
    table["flag"] = table["x"] > 20
    return table


@pytest.fixture
def early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "FROM", 10_000)
    monkeypatch.setattr(preview, "EACH", 10)


@pytest.mark.parametrize(
    "options",
    [
        {"metric": "x"},
        {"where": "x > 20"},
        {"labels": "flag"},
        {"labels": np.arange(20_000) % 3 == 0},
        {"metric": "x", "score": Seasonal("ts", "24h")},
        {"metric": wb.anomaly.Cube("b", "x")},
    ],
)
def test_c49_a_sample_is_shown_first_and_the_exact_answer_last(options: dict[str, Any], early: None) -> None:
    table = frame()
    published: list[Any] = []

    def seen(run: Any) -> None:
        if run.version and (not published or published[-1][0] != run.version):
            published.append((run.version, run.partial()))

    run = api.start_outliers(table, by=["a", "b"], min_ratio=1.01, **options)
    run.add_observer(seen)
    result = run.result(timeout=60)
    exact = wb.outliers(table, by=["a", "b"], min_ratio=1.01, **options)
    pd.testing.assert_frame_equal(result.to_pandas(), exact.to_pandas())
    assert not result.partial
    assert not any(note.startswith("preview") for note in result.notes)


def test_c49_a_preview_says_what_it_is(early: None) -> None:
    from workbench.anomaly import execution, language
    from workbench.anomaly.frames import read
    from workbench.engine.run import Run

    table = frame()
    data = read(table)
    work = execution.Work(data, language.request(data, "x", ["a", "b"]))
    run: Run[Any] = Run(kind="outliers", title="test")
    preview.publish_preview(work, run)
    shown = run.partial()
    assert shown is not None
    assert shown.partial
    assert shown.n_rows == 2000
    assert (
        shown.notes[0]
        == "preview: 2,000 of 20,000 rows (10 %), with the intervals of that sample; the exact answer follows"
    )
    found = shown.to_pandas()
    assert shown.sets[0] == {"a": "q"}
    exact = wb.outliers(table, "x", ["a", "b"]).to_pandas()
    assert found["ratio_low"][0] <= exact["ratio"][0]


def test_tables_that_are_answered_soon_have_no_preview() -> None:
    from workbench.anomaly import execution, language
    from workbench.anomaly.frames import read
    from workbench.engine.run import Run

    data = read(frame(100))
    run: Run[Any] = Run(kind="outliers", title="test")
    preview.publish_preview(execution.Work(data, language.request(data, "x", ["a"])), run)
    assert run.partial() is None
