"""SQL conditions over the rows of an input, checked and answered by DuckDB."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workbench.anomaly.data import columns_hint, plain
from workbench.anomaly.memory import duck_table
from workbench.engine.errors import WorkbenchError

if TYPE_CHECKING:
    from workbench.anomaly.data import Data

__all__ = ["checked_columns", "rows_of", "rows_where"]

#: what a condition calls the table it is about, beside the table's own name
TABLE = "data"

_UNKNOWN = re.compile(
    r'(?:Referenced column|Table "\w+" does not have a column named|column) "(.+?)" (?:not found|does not)'
)


def rows_where(data: Data, sql: str) -> np.ndarray:
    """Return which rows satisfy a condition, (n,) bool; NULL is False."""
    names = checked_columns(data, sql) or [next(iter(data.schema))]
    data.want(names)
    return rows_of(pa.table({name: data.column(name) for name in names}), sql, data.name)


def rows_of(table: pa.Table, sql: str, name: str = "the table") -> np.ndarray:
    """Return which rows of an Arrow table satisfy a condition, (n,) bool; NULL is False.

    Parameters
    ----------
    table : pyarrow.Table
        The columns that the condition names.
    sql : str
        A DuckDB condition; it sees this table alone, also as `data`.
    name : str
        What messages call the table, and what the condition may call it.
    """
    found = _asked(table, sql, name).column("m")
    return np.concatenate([np.empty(0, bool), *(chunk.to_numpy(zero_copy_only=False) for chunk in found.chunks)])


def checked_columns(data: Data, sql: str) -> list[str]:
    """Return the columns that a condition names, in the table's order.

    Raises
    ------
    WorkbenchError
        If it is no condition over this table.
    """
    named = _named(sql, data.name)
    if named is None:  # a DuckDB that cannot tell: whatever stands in the text
        folded = sql.casefold()
        found = [name for name in data.schema if name.casefold() in folded]
    else:
        found = [name for name in data.schema if name.casefold() in named]
    alike = {name.casefold() for name in found}
    if len(alike) < len(found):
        twice = next(name for name in found if sum(name.casefold() == other.casefold() for other in found) > 1)
        raise WorkbenchError(
            f'SQL cannot tell "{twice}" from a column that differs in capitals only.', "Rename one of them."
        )
    shape = pa.schema(
        [(name, plain(kind)) for name, kind in data.schema.items() if not pa.types.is_nested(plain(kind))]
    )
    try:
        _asked(shape.empty_table(), sql, data.name)
    except WorkbenchError as error:
        if isinstance(error.__cause__, Exception) and (unknown := _UNKNOWN.search(str(error.__cause__))):
            raise _no_column(data, sql, unknown[1]) from error.__cause__
        raise
    return found


def _asked(table: pa.Table, sql: str, name: str) -> pa.Table:
    import duckdb

    with duckdb.connect(config={"enable_external_access": "false"}) as connection:
        connection.execute("SET python_enable_replacements = false")
        connection.register(TABLE, _comparable(table))
        known = name if name.isidentifier() and name.casefold() != TABLE else TABLE
        if known != TABLE:
            connection.execute(f'CREATE TEMP VIEW "{known}" AS FROM {TABLE}')
        try:
            found = duck_table(connection.sql(f'SELECT coalesce((\n{sql}\n)::BOOLEAN, false) AS m FROM "{known}"'))
        except duckdb.Error as error:
            raise _not_a_condition(name, error) from error
    if found.num_rows != table.num_rows:  # an aggregate has one answer for all rows, also where there is none
        raise _not_a_condition(name, Exception("it has no answer for each row, as an aggregate has none"))
    return found


def _comparable(table: pa.Table) -> pa.Table:
    """Return the table with plain types, and null for NaN, which DuckDB would take for the largest number."""
    columns = []
    for column in table.columns:
        kind = plain(column.type)
        if column.type != kind:
            column = column.cast(kind)
        if pa.types.is_floating(kind) and len(column) and pc.any(pc.is_nan(column)).as_py():
            column = pc.if_else(pc.is_nan(column), pa.scalar(None, kind), column)
        columns.append(column)
    return pa.table(columns, names=table.column_names)


def _named(sql: str, name: str) -> set[str] | None:
    """Return the names in a condition that may be columns, folded; None if DuckDB cannot say."""
    import duckdb

    with duckdb.connect(config={"enable_external_access": "false"}) as connection:
        try:
            text = f"SELECT * FROM {TABLE} WHERE\n{sql}\n"
            (found,) = connection.execute("SELECT json_serialize_sql($1)", [text]).fetchone()
        except duckdb.Error:
            return None
    tree = json.loads(found)
    if tree.get("error"):
        text = tree.get("error_message", "it cannot be read")
        raise _not_a_condition(
            name, Exception("it is more than one statement" if "SELECT statements" in text else text)
        )
    return {part.casefold() for parts in _references(tree) for part in parts}


def _references(node: Any) -> Iterator[list[str]]:
    if isinstance(node, dict):
        if node.get("class") == "COLUMN_REF":
            yield node["column_names"]
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def _no_column(data: Data, sql: str, name: str) -> WorkbenchError:
    hint = columns_hint(name, data.schema)
    value = f"If it is a value: text goes in single quotes, '{name}'."
    hint = f"{value} {hint}" if f'"{name}"' in sql or not hint.startswith("Did") else f"{hint}. {value}"
    return WorkbenchError(f'No column "{name}" in {data.name}.', hint)


def _not_a_condition(name: str, error: Exception) -> WorkbenchError:
    text = str(error).strip().split("\n")[0]
    text = re.sub(r"^\w[\w ]* Error: ", "", text).rstrip(".!")
    hint = "Columns go bare or in double quotes, text goes in single quotes: status = 'late'."
    if "GROUP BY" in text or "aggregate" in text:
        hint = f"For a figure over all rows write (SELECT avg(x) FROM {TABLE})."
    return WorkbenchError(f"where is no condition over {name}: {text}.", hint)
