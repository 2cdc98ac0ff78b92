"""The table that a SELECT yields: its types, what it may name, and its mistakes."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pytest

from workbench.anomaly.query import selected
from workbench.engine.errors import WorkbenchError

LOG = pd.DataFrame({"host": ["a", "b", None], "n": pd.array([1, None, 3], "Int64"), "x": [1.0, 2.0, 30.0]})


def test_types_stay_what_they_are() -> None:
    found = selected("SELECT *, DATE '2026-11-21' AS day FROM log", {"log": LOG}, name="today")
    assert found.name == "today" and found.n_rows == 3
    assert found.schema["n"] == pa.int64() and found.schema["day"] == pa.date32()


def test_scoring_functions_and_diff() -> None:
    found = selected("SELECT host, mad_score(x) AS s FROM log WHERE s > 1", {"log": LOG})
    assert found.n_rows == 1
    found = selected("SELECT * FROM DIFF (SPLIT log WHERE x > 10) ON host WITH MIN SUPPORT 0", {"log": LOG})
    assert "risk_ratio" in found.schema or "global_ratio" in found.schema
    found = selected("CREATE TABLE t AS SELECT 1 AS a; SELECT a FROM t", {})
    assert list(found.schema) == ["a"]


def test_a_mistake_is_two_lines() -> None:
    with pytest.raises(WorkbenchError) as caught:
        selected("SELECT * FROM lgo", {"log": LOG})
    assert caught.value.lines() == ['No table or DataFrame named "lgo".', 'Did you mean "log"?']
