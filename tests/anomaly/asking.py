"""What tests of `wb.diff` share: a table with an answer, and how to ask."""

from __future__ import annotations

from typing import Any

import duckdb
import numpy as np
import pandas as pd

from workbench.anomaly.diffs import diff
from workbench.anomaly.results import Explanations

#: a DIFF with more than eight lines
BASE = "DIFF (SPLIT t WHERE x > 90) ON app, os, day WITH MIN RATIO 0.5 MIN SUPPORT 0.02"


def sample() -> pd.DataFrame:
    """Rows with an answer, ties, nulls and values that look like SQL."""
    rng = np.random.default_rng(5)
    n = 400
    frame = pd.DataFrame(
        {
            "x": rng.integers(0, 100, n).astype(float),
            "w": rng.integers(0, 5, n),
            "app": rng.choice(["v1", "v2", "'; DROP TABLE t; --"], n),
            "os": rng.choice(["a", "b", "", "NULL"], n),
            "day": rng.integers(1, 4, n),
        }
    )
    frame.loc[rng.choice(n, 40, replace=False), "os"] = None
    frame.loc[frame["app"].eq("v2") & frame["day"].eq(2), "x"] += 40
    return frame


def explained(sql: str, **tables: Any) -> Explanations:
    found = diff(sql, **tables)
    assert isinstance(found, Explanations)
    return found


def frame_of(sql: str, **tables: Any) -> pd.DataFrame:
    found = diff(sql, **tables)
    assert isinstance(found, pd.DataFrame)
    return found


def duckdb_rows(t: pd.DataFrame, condition: str) -> list[tuple]:
    with duckdb.connect() as connection:
        connection.register("t", t)
        return connection.sql(f"SELECT * FROM t WHERE {condition}").fetchall()
