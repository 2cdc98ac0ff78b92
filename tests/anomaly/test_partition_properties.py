"""Any partitioning, and any number of workers, gives the bytes that one process gives."""

from __future__ import annotations

import json
from dataclasses import astuple
from typing import Any

import numpy as np
import pandas as pd
import pytest

import workbench as wb
from tests.anomaly.tables import table

BY = ["carrier", "gate", "day", "delay class"]

QUESTIONS: dict[str, dict[str, Any]] = {
    "mad": {"metric": "late"},
    "mad, low": {"metric": "late", "tail": "low", "top": 0.05},
    "zscore": {"metric": "late", "score": "zscore", "top": 0.03},
    "percentile": {"metric": "late", "score": "percentile", "top": 0.02},
    "mcd": {"metric": ["late", "taxi"], "top": 0.05},
    "rcov": {"metric": ["late", "taxi"], "score": "rcov", "top": 0.05},
    "threshold": {"metric": "late", "threshold": 2.5},
    "where": {"where": "late > 3 AND gate IS NOT NULL"},
    "labels": {"labels": "mark"},
    "prevalence": {"labels": "mark", "compare": "prevalence_difference", "min_ratio": 0.05},
    "mean_shift": {"metric": "late", "labels": "mark", "compare": "mean_shift", "min_ratio": 1.01},
    "mean_deviation": {"metric": "late", "compare": "mean_deviation", "min_ratio": 0.1},
    "cube": {"metric": wb.anomaly.Cube("weight", "taxi"), "top": 0.05},
    "ranges": {"metric": "late", "by": ["carrier", ("taxi", 5), "gate"]},
    "all sets": {"metric": "late", "minimal": False, "max_combo": 4},
}


def frame(n: int = 900) -> pd.DataFrame:
    """Return a table with nulls, ties, and metrics that are NaN or infinite."""
    made = table(11, n, 4, 5, 0.1, 0.05, None, False, "text")
    rng = np.random.default_rng(12)
    out = pd.DataFrame(dict(zip(BY, made.columns.values(), strict=True)), dtype="str")
    marks = np.array(made.outliers) > 0
    out["mark"] = marks
    out["late"] = np.where(marks, rng.normal(9, 3, n), rng.normal(1, 2, n)).round(1)
    out["taxi"] = (out["late"] / 2 + rng.normal(0, 1, n)).round(6)
    out["weight"] = rng.integers(0, 9, n)
    out.loc[::97, "late"], out.loc[5, "late"], out.loc[6, "late"] = np.nan, np.inf, -np.inf
    return out


def content(result: Any) -> tuple[Any, ...]:
    """Return all that an answer says but how long it took."""
    told = result.to_pandas(q_value=True)
    bits = tuple(
        told[name].to_numpy(dtype=np.float64).tobytes()
        for name in ("support", "ratio", "ratio_low", "ratio_high", "outlier_count", "total_count", "q_value")
    )
    cutoff = None if result.cutoff is None else np.array(astuple(result.cutoff), dtype=np.float64).tobytes()
    values = json.dumps(result.sets, default=str)
    return (
        values,
        bits,
        cutoff,
        result.n_rows,
        result.n_outliers,
        result.n_left_out,
        tuple(result.notes),
        (result.dependencies.to_csv()),
    )


def asked(name: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return the table and the question of this name; means over everything need finite numbers."""
    data = frame()
    if name in ("mcd", "rcov", "mean_deviation"):
        data = data[np.isfinite(data["late"])]
    return data, {"by": BY, "min_ratio": 1.5, **QUESTIONS[name]}


@pytest.mark.parametrize("name", QUESTIONS)
def test_c34_c47_partitions_give_identical_bytes(name: str, cluster: None) -> None:
    import dask.dataframe as dd

    data, question = asked(name)
    expected = content(wb.outliers(data, **question))
    assert expected[0] != "[]"
    for partitions in (1, 2, 7):
        parts = dd.from_pandas(data, npartitions=partitions)
        assert content(wb.outliers(parts, **question)) == expected


@pytest.mark.parametrize("name", ["mad", "where", "mean_shift", "mean_deviation", "ranges"])
def test_c25_c47_rows_in_another_order_give_identical_bytes(name: str) -> None:
    data, question = asked(name)
    expected = content(wb.outliers(data, **question))
    for seed in range(3):
        assert content(wb.outliers(data.sample(frac=1, random_state=seed), **question)) == expected
