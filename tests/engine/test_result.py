from __future__ import annotations

import sys
import time
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from workbench.engine.errors import WorkbenchError
from workbench.engine.plan import Node, Plan
from workbench.engine.result import Result, Table


@pytest.fixture
def table() -> Table:
    return Table(pd.DataFrame({"name": ["a", "b", "c"], "start": [0.5, 1.5, None]}), "Runs", {"start": "s"})


def test_n15_tables_out(table: Table) -> None:
    assert table.to_pandas().equals(pd.DataFrame({"name": ["a", "b", "c"], "start": [0.5, 1.5, None]}))
    arrow = table.to_arrow()
    assert isinstance(arrow, pa.Table)
    assert arrow.column_names == ["name", "start"]
    assert arrow["name"].to_pylist() == ["a", "b", "c"]
    polars = table.to_polars()
    assert isinstance(polars, pl.DataFrame)
    assert polars.columns == ["name", "start"]
    assert table.to_pandas().attrs["units"] == {"start": "s"}


def test_polars_missing(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(WorkbenchError) as caught:
        table.to_polars()
    assert caught.value.lines() == ["to_polars() needs polars, which is not installed.", 'pip install "workbench[all]"']


def test_n15_length_iteration_slicing(table: Table) -> None:
    assert len(table) == 3
    assert [row.name for row in table] == ["a", "b", "c"]
    assert table[1:]["name"].tolist() == ["b", "c"]
    assert table[-1]["name"] == "c"
    assert table["name"].tolist() == ["a", "b", "c"]


def test_an_empty_result_is_true() -> None:
    assert Table(pd.DataFrame({"a": []}))
    assert len(Table(pd.DataFrame({"a": []}))) == 0


def test_the_frame_given_is_not_changed() -> None:
    frame = pd.DataFrame({"a": [1]})
    Table(frame, units={"a": "s"})
    assert frame.attrs == {}


def test_explain_needs_a_plan(table: Table) -> None:
    with pytest.raises(WorkbenchError, match="A Table has no plan"):
        table.explain()

    class Planned(Table):
        def _plan(self) -> Plan:
            return Plan(Node("scan"))

    assert Planned(pd.DataFrame()).explain() == "operator\nscan"
    assert Planned(pd.DataFrame()).explain("dict")["root"]["op"] == "scan"


def test_shown_once_then_again(table: Table) -> None:
    with pytest.raises(NotImplementedError):
        table._ipython_display_()
    table._shown_once = True
    table._ipython_display_()  # prints nothing
    with pytest.raises(NotImplementedError):
        table._ipython_display_()


def test_in_ipython_a_result_marked_as_shown_prints_nothing(table: Table) -> None:
    from IPython.core.formatters import DisplayFormatter

    formatter = DisplayFormatter()
    bundle, _ = formatter.format(table)
    assert "text/html" in bundle
    table._shown_once = True
    assert formatter.format(table) == ({}, {})
    bundle, _ = formatter.format(table)
    assert bundle["text/plain"].startswith("Runs")


def test_n14_repr_is_one_cheap_line(table: Table) -> None:
    assert repr(table) == "<Table 'Runs': 3 rows>"
    assert repr(Table(pd.DataFrame({"a": [1]}))) == "<Table: 1 row>"
    begin = time.perf_counter()
    repr(table)
    assert time.perf_counter() - begin < 0.001


def test_a_result_is_not_partial_by_itself(table: Table) -> None:
    assert table.partial is False
    table.partial = True
    assert Result.partial is False


def test_view_data_of_a_bare_result() -> None:
    class Bare(Result):
        def to_pandas(self) -> Any:
            return pd.DataFrame({"a": [1, 2]})

    (block,) = Bare().view_data()["blocks"]
    assert block["kind"] == "table"
    assert len(Bare()) == 2
