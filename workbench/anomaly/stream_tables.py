"""What is pushed into a stream, and tables that came one after the other put together, whatever became of their types.

A column may hold integers in one push and fractions in the next, text and then categories, or nothing at all. What
stays numbers, or text, stays one column. A column that holds several kinds of values (numbers and then text, as when a
folder receives CSV files) is text from then on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from workbench.anomaly.data import Data, is_number, is_text, plain, standard

__all__ = ["as_text", "frame_of", "kind_of", "put_together", "text_of"]


def frame_of(data: Any, name: str) -> Data:
    """Return what was pushed as `frames.read` does; rows as dicts, and columns in a dict, are tables too.

    Parameters
    ----------
    data : DataFrame, table, relation, path, dict or list of dicts
        A dict holds columns, or the values of one row.
    name : str
        What messages call it.

    Raises
    ------
    WorkbenchError
        If it is none of these.
    """
    if isinstance(data, pa.Table):
        from workbench.anomaly.memory import ArrowData

        return ArrowData(data, name)
    from workbench.anomaly.frames import read

    if isinstance(data, Mapping) and data:
        columns = all(hasattr(value, "__len__") and not isinstance(value, (str, bytes)) for value in data.values())
        data = [data] if not columns else dict(data)
    if isinstance(data, dict) or (isinstance(data, list) and data and all(isinstance(row, Mapping) for row in data)):
        import pandas as pd

        try:
            data = pd.DataFrame(data)
        except ValueError as error:
            from workbench.engine.errors import WorkbenchError, one_line

            raise WorkbenchError(
                f"The dict is not a table ({one_line(error)}).", "Give a list of values for each column, all as long."
            ) from error
    return read(data, name=name)


def kind_of(kind: pa.DataType) -> str | None:
    """Return which kind of values a column holds, None if it holds no value at all."""
    kind = plain(kind)
    if pa.types.is_null(kind):
        return None
    if is_number(kind):
        return "number"
    if is_text(kind):
        return "text"
    if pa.types.is_timestamp(kind):
        return "timestamp" if kind.tz is None else "timestamp with time zone"
    return str(kind).partition("[")[0].rstrip("0123456789")


def text_of(value: Any) -> str | None:
    """Return a value of a column that has become text, the same whether it came as integer or as whole float."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float) and math.isfinite(value) and value == int(value):
        return str(int(value))
    return None if value != value else str(value)


def as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column as text."""
    if is_text(column.type) and not pa.types.is_dictionary(column.type):
        return column.cast(pa.large_string())
    return pa.chunked_array([pa.array([text_of(value) for value in column.to_pylist()], pa.large_string())])


def put_together(tables: Sequence[pa.Table]) -> pa.Table:
    """Return tables below one another; a column that one of them lacks is null there."""
    if len(tables) == 1:
        return tables[0]
    if all(table.schema.equals(tables[0].schema) for table in tables):
        return pa.concat_tables(tables)
    names = list(dict.fromkeys(name for table in tables for name in table.schema.names))
    return pa.table({name: _column([_part(table, name) for table in tables]) for name in names})


def _part(table: pa.Table, name: str) -> pa.ChunkedArray:
    return table.column(name) if name in table.schema.names else pa.chunked_array([pa.nulls(table.num_rows)])


def _column(parts: list[pa.ChunkedArray]) -> pa.ChunkedArray:
    kinds = {part.type for part in parts if not pa.types.is_null(part.type)}
    if len(kinds) > 1:
        parts = [part if pa.types.is_null(part.type) else part.cast(standard(part.type)) for part in parts]
        held = {kind_of(kind) for kind in kinds}
        kinds = {part.type for part in parts if not pa.types.is_null(part.type)}
        if len(kinds) > 1:
            kinds = {_wider(kinds, held)}
            if kinds == {pa.large_string()}:
                parts = [as_text(part) for part in parts]
    if not kinds:
        return pa.chunked_array([chunk for part in parts for chunk in part.chunks], pa.null())
    (kind,) = kinds
    return pa.chunked_array([chunk for part in parts for chunk in part.cast(kind).chunks], kind)


def _wider(kinds: set[pa.DataType], held: set[str | None]) -> pa.DataType:
    """Return the type that holds what several do: the wider one of a kind, else text."""
    if held == {"number"}:
        return pa.int64() if all(map(pa.types.is_integer, kinds)) and pa.uint64() not in kinds else pa.float64()
    if len(held) == 1 and all(map(pa.types.is_timestamp, kinds)):
        units = ["s", "ms", "us", "ns"]
        zones = {kind.tz for kind in kinds}
        unit = units[max(units.index(kind.unit) for kind in kinds)]
        return pa.timestamp(unit, zones.pop() if len(zones) == 1 else "UTC")
    return pa.large_string()
