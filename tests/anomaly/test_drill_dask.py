"""The rows behind an answer on Dask are those in process, for any partitions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import workbench as wb
from workbench.anomaly.answer import FLAG, SCORE
from workbench.anomaly.results import Explanations

dd = pytest.importorskip("dask.dataframe")


@pytest.fixture(autouse=True)
def in_this_process() -> Any:
    import dask

    with dask.config.set(scheduler="synchronous"):
        yield


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(8)
    frame = pd.DataFrame({"x": rng.normal(0, 1, 900), "k": rng.choice(["a", "b", "c"], 900), "score": range(900)})
    frame.loc[frame["k"].eq("a") & (rng.random(900) < 0.2), "x"] += 30
    frame.loc[::50, "x"] = np.nan
    frame.loc[::45, "k"] = None
    return frame


@pytest.fixture(scope="module")
def here(frame: pd.DataFrame) -> Explanations:
    return wb.outliers(frame, "x", ["k"], top=0.05, min_ratio=0.1)


def there(here: Explanations, frame: pd.DataFrame, partitions: int) -> Explanations:
    answer = here._answer
    assert answer.flags is not None
    assert answer.scores is not None
    full = frame.assign(**{FLAG: answer.flags, SCORE: answer.scores()})
    columns = tuple(replace(column, codes=column.codes[:0]) for column in answer.columns)
    parts = dd.from_pandas(full, npartitions=partitions)
    return Explanations(
        replace(answer, columns=columns, flags=None, scores=None, access=None, marked=lambda: parts, rows=None)
    )


@pytest.mark.parametrize("partitions", [1, 2, 7])
def test_c34_rows_outliers_and_histograms_are_the_same(
    here: Explanations, frame: pd.DataFrame, partitions: int
) -> None:
    r = there(here, frame, partitions)
    assert isinstance(r.outliers, dd.DataFrame)
    pd.testing.assert_frame_equal(r.outliers.compute().reset_index(drop=True), here.outliers, check_dtype=False)
    assert list(r.outliers.columns)[-2:] == ["score", "score_"]
    pd.testing.assert_frame_equal(r.histogram(), here.histogram())
    for i in range(len(r)):
        pd.testing.assert_frame_equal(r.rows(i), here.rows(i), check_dtype=False)
        pd.testing.assert_frame_equal(r.rows(i, limit=4), here.rows(i, limit=4), check_dtype=False)
        pd.testing.assert_frame_equal(r.histogram(i), here.histogram(i))
    assert len(r.rows(0, limit=0)) == 0


def test_a_view_reads_a_small_source_and_leaves_a_large_one(
    here: Explanations, frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workbench.anomaly import details

    class Source:
        kind, size = "dask", 1000
        name = "the table"

        def sql(self, conditions: Any) -> str:
            return "sql"

        def code(self, conditions: Any) -> str:
            return "code"

    def kinds(r: Explanations) -> list[str]:
        blocks = r.view_data()["blocks"]
        (state,) = [block["state"] for block in blocks if block["kind"] == "ranked"]
        return [block["kind"] for block in state["details"]["0"]] + [block["kind"] for block in blocks[-2:]]

    small = there(here, frame, 3)
    small._answer.rows = Source()  # type: ignore[assignment]
    assert kinds(small) == ["svg", "table", "code", "code", "svg", "plan"]
    assert str(small).splitlines()[0] == str(here).splitlines()[0]
    large = there(here, frame, 3)
    large._answer.rows = Source()  # type: ignore[assignment]
    monkeypatch.setattr(details, "LARGE", 10)
    assert kinds(large) == ["code", "code", "ranked", "plan"]
