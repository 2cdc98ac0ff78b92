"""Filters that leave out what the answer left out: rows without a metric match no explanation.

Only added where there are such rows, so that the number of rows a filter gives is always the `total_count`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.anomaly.conditions import Conditions
    from workbench.anomaly.data import Data

__all__ = ["code", "native", "sql"]


def sql(data: Data | None, conditions: Conditions, metrics: Sequence[str]) -> str:
    """Return the condition as SQL text for DuckDB."""
    from workbench.anomaly.conditions import to_sql

    parts = [to_sql(conditions) if data is None else data.sql(conditions)]
    for name in metrics:
        column = '"' + name.replace('"', '""') + '"'
        parts.append(f"{column} IS NOT NULL")
        # DuckDB reads a NaN of pandas as NULL, that of Arrow, Polars and Parquet as a number.
        if data is not None and data.kind not in ("pandas", "dask") and _is_float(data, name):
            parts.append(f"NOT isnan({column})")
    return " AND ".join(parts)


def code(data: Data | None, conditions: Conditions, metrics: Sequence[str]) -> str:
    """Return the condition as pandas text for a frame `df`."""
    from workbench.anomaly.conditions import to_pandas

    parts = [to_pandas(conditions) if data is None else data.code(conditions)]
    return " & ".join([*parts, *(f"df[{json.dumps(name, ensure_ascii=False)}].notna()" for name in metrics)])


def native(data: Data, conditions: Conditions, metrics: Sequence[str]) -> Any:
    """Return what the source's own filter takes."""
    if data.kind in ("duckdb", "path"):
        return sql(data, conditions, metrics)
    found = data.native(conditions)
    for name in metrics:
        if data.kind == "polars":
            import polars as pl

            found = found & pl.col(name).is_not_null()
            if _is_float(data, name):
                found = found & pl.col(name).is_not_nan()
        elif data.kind == "arrow":
            import pyarrow.compute as pc

            found = found & ~pc.field(name).is_null(nan_is_null=_is_float(data, name))
        elif data.kind == "dask":
            found = found & ~data.source[name].isna()
        else:
            import numpy as np

            found = found & ~np.isnan(data.numbers(name))
    return found


def _is_float(data: Data, name: str) -> bool:
    import pyarrow as pa

    from workbench.anomaly.data import plain

    return bool(pa.types.is_floating(plain(data.schema[name])))
