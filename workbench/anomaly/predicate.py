"""SQL conditions over the rows of an input, answered by DuckDB."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from workbench.anomaly.memory import duck_table
from workbench.engine.errors import WorkbenchError, one_line

if TYPE_CHECKING:
    from workbench.anomaly.data import Data

__all__ = ["named_columns", "rows_where"]


def rows_where(data: Data, sql: str) -> np.ndarray:
    """Return which rows satisfy a condition, (n,) bool; NULL is False."""
    import duckdb

    names = [name for name in data.schema if name.casefold() in sql.casefold()] or [next(iter(data.schema))]
    data.want(names)
    table = pa.table({name: data.column(name) for name in names})
    with duckdb.connect(config={"enable_external_access": "false"}) as connection:
        connection.execute("SET python_enable_replacements = false")
        connection.register("data", table)
        try:
            found = duck_table(connection.sql(f"SELECT coalesce((\n{sql}\n)::BOOLEAN, false) AS m FROM data"))
        except duckdb.Error as error:
            raise WorkbenchError(f"where is not a condition over {data.name}: {one_line(error)}", "") from error
    return found.column("m").to_numpy()


def named_columns(data: Data, sql: str) -> list[str]:
    """Return the columns that a condition names."""
    return [name for name in data.schema if name.casefold() in sql.casefold()]
