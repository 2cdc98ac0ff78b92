"""Joins over Dask: with tables that are here inside the partitions, with others by Dask; as pandas joins them."""

from __future__ import annotations

from typing import Any

import dask.dataframe as dd
import pandas as pd
import pytest

import workbench as wb
from tests.fusion.dask.conftest import rides
from workbench.fusion.dask import joining

FRAME = rides(1000)
STATES = pd.DataFrame({"state": [3, 1, 4, 15, 9, 2, 6], "people": [10, 20, 30, 40, 50, 60, 70], "tip": 1.5})
TWICE = pd.concat([STATES, STATES.head(2)], ignore_index=True)


@pytest.fixture(params=[1, 3])
def table(request: pytest.FixtureRequest) -> Any:
    return wb.fusion.frame(dd.from_pandas(FRAME, npartitions=request.param))


@pytest.mark.parametrize("how", ["inner", "left"])
@pytest.mark.parametrize("right", [STATES, TWICE], ids=["once", "twice"])
def test_a_table_that_is_here_is_joined_as_pandas_does(table: Any, right: pd.DataFrame, how: str) -> None:
    found = table[table.fare > 5].merge(right, on="state", how=how)
    wanted = FRAME[FRAME.fare > 5].merge(right, on="state", how=how)
    pd.testing.assert_frame_equal(found.compute(), wanted)
    # labels count on over the partitions, also where a filter leaves some of them
    pd.testing.assert_frame_equal(found[found.fare > 20].compute(), wanted[wanted.fare > 20])
    pd.testing.assert_series_equal((found.fare * found.people).compute(), wanted.fare * wanted.people)
    grouped = found.assign(rate=found.fare / found.people).groupby("word").rate.sum().compute()
    pd.testing.assert_series_equal(
        grouped, wanted.assign(rate=wanted.fare / wanted.people).groupby("word").rate.sum(), rtol=1e-10
    )


def test_keys_by_other_names_and_suffixes(table: Any) -> None:
    right = STATES.rename(columns={"state": "number"})
    found = table.merge(right, left_on="state", right_on="number", suffixes=("", "_of_state")).compute()
    pd.testing.assert_frame_equal(
        found, FRAME.merge(right, left_on="state", right_on="number", suffixes=("", "_of_state"))
    )


def test_joins_keep_one_task_for_each_partition() -> None:
    table = wb.fusion.frame(dd.from_pandas(FRAME, npartitions=5))
    joined = table.merge(STATES, on="state")
    mapped = joined[joined.people > 20].to_dask().optimize()
    names = [key[0] for key in mapped.dask if isinstance(key, tuple)]
    # and one that holds the table
    assert sum(not name.startswith("frompandas") for name in names) == 5 + 1


def test_a_large_table_and_another_collection_are_joined_by_dask(monkeypatch: pytest.MonkeyPatch) -> None:
    table = wb.fusion.frame(dd.from_pandas(FRAME, npartitions=3))
    wanted = FRAME.merge(STATES, on="state")
    wanted = wanted.assign(z=wanted.fare * wanted.people).sort_values(["state", "fare"], ignore_index=True)
    others = [dd.from_pandas(STATES, npartitions=2), wb.fusion.frame(dd.from_pandas(STATES, npartitions=2)), STATES]
    monkeypatch.setattr(joining, "LARGEST", 0)
    for other in others:
        joined = table.merge(other, on="state")
        found = joined.assign(z=joined.fare * joined.people).compute().sort_values(["state", "fare"], ignore_index=True)
        pd.testing.assert_frame_equal(found, wanted)


def test_columns_of_before_and_after_a_join_are_not_mixed_up() -> None:
    table = wb.fusion.frame(dd.from_pandas(FRAME, npartitions=3))
    found = table.merge(STATES, on="state").fare + table.fare
    pd.testing.assert_series_equal(found.compute(), FRAME.merge(STATES, on="state").fare + FRAME.fare)


def test_errors_come_at_once(table: Any) -> None:
    with pytest.raises(KeyError):
        table.merge(STATES, on="words")
    with pytest.raises(pd.errors.MergeError):
        table.merge(STATES.rename(columns=str.upper))


def test_in_a_cell_and_with_no_rows() -> None:
    names = {
        "pd": pd,
        "table": dd.from_pandas(FRAME, npartitions=3),
        "states": STATES,
        "none": STATES.head(0),
    }
    result = wb.fusion.run_cell(
        "joined = pd.merge(table, states, on='state')\nby = joined.groupby('people').fare.mean()\n"
        "empty = table.merge(none, on='state')\nn = empty.fare.count()",
        names,
    )
    wanted = FRAME.merge(STATES, on="state")
    pd.testing.assert_frame_equal(result.names["joined"], wanted)
    pd.testing.assert_series_equal(result.names["by"], wanted.groupby("people").fare.mean(), rtol=1e-10)
    assert len(result.names["empty"]) == 0 and result.names["n"] == 0
    assert result.names["empty"].columns.tolist() == wanted.columns.tolist()
