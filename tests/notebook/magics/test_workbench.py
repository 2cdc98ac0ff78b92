"""`%workbench` and its sub-commands."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pandas as pd
import pytest

from workbench.engine import session
from workbench.engine.result import Table
from workbench.notebook.display import mimebundle
from workbench.notebook.runs import COLUMNS


@pytest.mark.parametrize("cell", ["%workbench", "%workbench status"])
def test_status(front: Any, cell: str, home: Any) -> None:
    session.close()
    value = front.value(cell)
    assert isinstance(value, Table)
    frame = value.to_pandas()
    assert list(frame.columns) == ["name", "value"]
    assert [str(dtype) for dtype in frame.dtypes] == ["str", "str"]
    rows = dict(zip(frame["name"], frame["value"], strict=True))
    assert {"version", "scheduler", "workers", "memory", "gpu", "store"} <= set(rows)
    assert rows["scheduler"] == "not started" and rows["store"] == str(home)


def test_runs_are_newest_first_with_the_columns_of_the_design(front: Any) -> None:
    front.value("%%slow 1")
    front.value("%%slow 2")
    frame = front.value("%workbench runs").to_pandas()
    assert list(frame.columns) == list(COLUMNS)
    expected = {str: "str", float: "float64", int: "int64", bool: "bool"}
    assert [str(dtype) for dtype in frame.dtypes] == [expected[kind] for kind in COLUMNS.values()]
    assert frame["started"].is_monotonic_decreasing
    first = frame.iloc[0]
    assert (first["kind"], first["title"], first["state"]) == ("slow", "slow count", "finished")
    assert (first["done"], first["total"], first["unit"]) == (2.0, 2.0, "steps")
    assert not first["partial"] and first["ended"] >= first["started"]


def test_runs_are_shown_with_moments_and_plain_ids(front: Any) -> None:
    front.run("%%slow 2")
    table = front.value("%workbench runs")
    first = table.to_pandas().iloc[0]
    row = text_rows(table)[0]
    assert f"{datetime.fromtimestamp(first['started']):%Y-%m-%d %H:%M:%S}" in row
    assert f" {first['pid']} " in f"{row} ", "an id has no thousands"


def text_rows(table: Any) -> list[str]:
    """Return the rows of a table as a console shows them."""
    return str(mimebundle(table)["text/plain"]).splitlines()[2:]


def test_connect_takes_an_address_or_an_object(front: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr("workbench.engine.session.connect", seen.append)
    cluster = object()
    front.shell.user_ns["cluster"] = cluster
    assert list(front.value("%workbench connect tcp://host:8786").to_pandas().columns) == ["name", "value"]
    front.value("%workbench connect {cluster}")
    assert seen == ["tcp://host:8786", cluster]


def test_cancel(front: Any) -> None:
    run = front.value("%%slow 60 -b -o r")
    assert front.value(f"%workbench cancel {run.run_id}") == "cancelled"
    assert run.wait(1.0) and run.state == "cancelled"
    assert front.value("%workbench cancel {r.run_id}") == "already finished"
    assert front.value("%workbench cancel {r}") == "already finished"


def test_cache(front: Any) -> None:
    from workbench.engine.store import key, store

    store().put_json(key("x"), {"a": 1}, kind="test", cost_s=0.5)
    frame = front.value("%workbench cache").to_pandas()
    assert list(frame.columns) == ["key", "kind", "bytes", "created", "used", "cost_s"]
    assert [str(dtype) for dtype in frame.dtypes] == ["str", "str", "int64", "float64", "float64", "float64"]
    assert list(frame["kind"]) == ["test"]
    (row,) = text_rows(front.value("%workbench cache"))
    written = datetime.fromtimestamp(frame["created"][0])
    assert f"{written:%Y-%m-%d %H:%M:%S}" in row and " B " in row, "moments and sizes as a person reads them"
    pd.testing.assert_frame_equal(front.value("%workbench cache clear").to_pandas(), frame)
    assert len(front.value("%workbench cache")) == 0


@pytest.mark.parametrize(
    ("cell", "lines"),
    [
        ("%workbench statsu", ['%workbench has no sub-command "statsu".', "Did you mean status?"]),
        (
            "%workbench zzz",
            ['%workbench has no sub-command "zzz".', "Sub-commands: status, connect, runs, cancel, cache."],
        ),
        ("%workbench connect", ["%workbench connect needs an ADDRESS.", "Example: %workbench connect tls://host:8786"]),
        ("%workbench cancel", ["%workbench cancel needs a RUN_ID.", "Example: %workbench cancel RUN_ID"]),
        ("%workbench cancel abc", ['No run "abc".', "%workbench runs lists them."]),
        ("%workbench cache empty", ['%workbench cache does not take "empty".', "Example: %workbench cache clear"]),
        ("%workbench runs 3", ['%workbench runs does not take "3".', "Example: %workbench runs"]),
        ("%workbench runs --al", ["No option --al.", "%workbench --help lists all options."]),
    ],
)
def test_errors(front: Any, cell: str, lines: list[str]) -> None:
    assert front.error(cell) == lines


def test_help(front: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert front.value("%workbench --help") is None
    assert "status, connect ADDRESS, runs, cancel RUN_ID, or cache [clear]" in capsys.readouterr().out


def test_a_table_can_be_bound_and_quiet(front: Any) -> None:
    value = front.value("%workbench runs -o mine -q")
    assert front.names["mine"] is value
    assert [list(bundle) for bundle, _, _ in front.shown] == [["text/plain"]]
