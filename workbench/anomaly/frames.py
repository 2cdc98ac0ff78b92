"""Inputs: anything that holds a table, read as one kind of `Data`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from typing import Any

from workbench.anomaly.data import Data, Part
from workbench.anomaly.encode import Codes, encode, encode_array, merge_values
from workbench.engine.errors import WorkbenchError, suggest

__all__ = ["Codes", "Data", "Part", "encode", "encode_array", "merge_values", "read", "read_text"]

_ACCEPTED = "Give a pandas, Polars, Arrow or Dask frame, a DuckDB relation, or a path to Parquet or CSV."


def read(data: Any, *, name: str | None = None) -> Data:
    """Return `data` as the one form that the rest works on.

    Parameters
    ----------
    data : DataFrame, table, relation, path or Data
        pandas, Polars (frame or lazy), Arrow table, Dask DataFrame, DuckDB relation, a path or glob to Parquet, CSV or
        gzipped CSV, or anything with `to_pandas()`.
    name : str, optional
        What messages call it.

    Raises
    ------
    WorkbenchError
        If it is none of these, has no columns, or two of one name.
    """
    found = _recognised(data, name)
    _ = found.schema  # mistakes in the names show now
    return found


def read_text(text: str, scope: Mapping[str, Any]) -> Data:
    """Return the table that a cell names: a variable, a registered table or a path.

    Parameters
    ----------
    text : str
        `flights`, `cars.objects`, `data/*.parquet`.
    scope : mapping
        The notebook's variables.
    """
    found = _variable(text, scope)
    if found is not None:
        return read(found, name=text)
    from workbench.anomaly.files import looks_like_path

    if looks_like_path(text):
        return read(text)
    relation = _registered(text)
    if relation is not None:
        return read(relation, name=text)
    tables = [known for known, value in scope.items() if not known.startswith("_") and _is_table(value)]
    raise WorkbenchError(
        f'No table or DataFrame named "{text}".',
        suggest(text, tables, "Name a DataFrame of the notebook, or a path to Parquet or CSV.", quote='"{}"'),
    )


def _recognised(data: Any, name: str | None) -> Data:
    import narwhals

    from workbench.anomaly import memory

    if isinstance(data, Data):
        return data
    if isinstance(data, (str, os.PathLike)) or (
        isinstance(data, (list, tuple)) and data and all(isinstance(item, (str, os.PathLike)) for item in data)
    ):
        from workbench.anomaly.files import open_path

        return open_path(data, None)  # a file's own name says more than that of the variable with its path
    data = narwhals.to_native(data, pass_through=True)
    match _library(data):
        case "pandas":
            return memory.PandasData(data, name)
        case "polars":
            return memory.PolarsData(data, name)
        case "arrow":
            return memory.ArrowData(data, name)
        case "duckdb":
            return memory.DuckData(data, name)
        case "dask":
            from workbench.anomaly.dask_frames import DaskData

            return DaskData(data, name)
        case "convertible":
            return memory.PandasData(data.to_pandas(), name)
        case "stream":
            import pyarrow as pa

            with contextlib.suppress(pa.ArrowInvalid):  # a column alone, or something else again
                return memory.ArrowData(pa.table(data), name)
    raise WorkbenchError(f"A {type(data).__name__} is not a table.", _ACCEPTED)


def _library(data: Any) -> str | None:
    """Return which library's table this is; none is imported for that."""
    from narwhals import dependencies as known

    if known.is_pandas_dataframe(data):
        return "pandas"
    if known.is_polars_dataframe(data) or known.is_polars_lazyframe(data):
        return "polars"
    if known.is_pyarrow_table(data):
        return "arrow"
    if known.is_dask_dataframe(data):
        return "dask"
    if type(data).__module__.partition(".")[0] in ("duckdb", "_duckdb") and hasattr(data, "columns"):
        return "duckdb"
    if isinstance(data, type):
        return None
    if callable(getattr(data, "to_pandas", None)) and type(data).__module__.partition(".")[0] != "pyarrow":
        return "convertible"
    return "stream" if hasattr(data, "__arrow_c_stream__") else None


def _is_table(value: Any) -> bool:
    try:
        return _library(value) is not None
    except Exception:  # a stranger's attribute access may do anything
        return False


def _variable(text: str, scope: Mapping[str, Any]) -> Any:
    """Return the variable, or the attribute of one (`cars.objects`); None if there is no such table."""
    head, *rest = text.split(".")
    if head not in scope:
        return None
    value = scope[head]
    for part in rest:
        value = getattr(value, part, None)
    return value


def _registered(text: str) -> Any:
    """Return a table of DuckDB's default connection, if DuckDB is in use and has it."""
    import sys

    duckdb = sys.modules.get("duckdb")
    if duckdb is None:
        return None
    try:
        return duckdb.default_connection().table(text)
    except duckdb.Error:
        return None
