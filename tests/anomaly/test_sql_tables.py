"""What SQL sees: the tables that it was given, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

from tests.anomaly.asking import frame_of, sample
from workbench.anomaly import sql_tables
from workbench.anomaly.diffs import diff
from workbench.anomaly.sql_tables import Tables
from workbench.engine.errors import WorkbenchError

MIRROR = Path(os.environ.get("WORKBENCH_MIRROR", "")) / "macrobase"
needs_data = pytest.mark.skipif(not MIRROR.is_dir(), reason="WORKBENCH_MIRROR names no folder with macrobase/")

COUNTS = ["risk_ratio", "global_ratio", "prevalence_ratio", "prevalence_difference"]


@pytest.fixture(autouse=True)
def no_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test imports no other sees."""
    monkeypatch.setattr(sql_tables, "_imported", {})


def test_nothing_but_given_tables_is_seen(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1]})
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    assert len(frame)
    for sql in (
        "SELECT * FROM frame",
        f"SELECT * FROM read_csv('{secret}')",
        f"SELECT * FROM read_text('{secret}')",
        f"COPY (SELECT 1) TO '{tmp_path}/out.csv'",
        f"ATTACH '{tmp_path}/x.db'",
        "INSTALL httpfs",
        "SET enable_external_access = true",
    ):
        with pytest.raises(WorkbenchError):
            diff(sql)
    assert not (tmp_path / "out.csv").exists()
    assert not (tmp_path / "x.db").exists()


def test_registered_tables_of_duckdb_are_seen() -> None:
    duckdb.sql("CREATE OR REPLACE TABLE wb_registered AS SELECT range AS a FROM range(3)")
    try:
        assert frame_of("SELECT sum(a) AS s FROM wb_registered")["s"].tolist() == [3]
    finally:
        duckdb.sql("DROP TABLE wb_registered")


def test_tables_that_sql_does_not_name_are_not_read() -> None:
    class Poison:
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(name)

    t = sample()
    assert len(frame_of("SELECT app, 'other' AS s FROM t LIMIT 2", t=t, other=Poison())) == 2


def test_connections_see_no_python() -> None:
    tables = Tables({"t": sample()})
    hidden = pd.DataFrame({"a": [1]})
    assert len(hidden)
    assert tables.names() == ["t"]
    with pytest.raises(WorkbenchError, match="hidden"):
        tables.table("SELECT * FROM hidden")
    assert tables.table("SELECT count(*) AS n FROM t").to_pydict() == {"n": [400]}
    tables.close()
