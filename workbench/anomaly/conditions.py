"""Conditions `column = value and …`: as SQL, pandas, Polars and Arrow, and as a mask of rows."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Collection, Mapping
from functools import reduce
from operator import and_
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workbench.anomaly.data import changed, is_worded, plain, standard

if TYPE_CHECKING:
    import polars as pl

    from workbench.anomaly.data import Data

__all__ = ["Conditions", "mask", "to_arrow", "to_pandas", "to_polars", "to_series", "to_sql"]

#: columns and their values, as in `.sets`: None is null, a `pandas.Interval` a range
Conditions = tuple[tuple[str, Any], ...]


def to_sql(conditions: Conditions, *, nans: Collection[str] = ()) -> str:
    """Return a DuckDB condition: columns in double quotes, text in single quotes.

    Parameters
    ----------
    conditions : tuple of (column, value)
    nans : collection of str
        Columns in which NaN, too, means that there is no value.
    """
    return " AND ".join(_sql(name, value, name in nans) for name, value in conditions) or "TRUE"


def _sql(name: str, value: Any, nan: bool) -> str:
    column = '"' + name.replace('"', '""') + '"'
    if value is None:
        return f"({column} IS NULL OR isnan({column}))" if nan else f"{column} IS NULL"
    if _is_range(value):
        upper = "<=" if value.closed == "both" else "<"
        return f"{column} >= {_literal(value.left)} AND {column} {upper} {_literal(value.right)}"
    return f"{column} = {_literal(value)}"


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _float_literal(value)
    if isinstance(value, dt.datetime):
        kind = "TIMESTAMPTZ" if value.tzinfo is not None else "TIMESTAMP_NS" if _nanoseconds(value) else "TIMESTAMP"
        return f"{kind} '{value.isoformat(sep=' ')}'"
    if isinstance(value, dt.date):
        return f"DATE '{value.isoformat()}'"
    if isinstance(value, dt.time):
        return f"TIME '{value.isoformat()}'"
    if isinstance(value, dt.timedelta):
        return f"to_microseconds({value // dt.timedelta(microseconds=1)})"
    if isinstance(value, bytes):
        return f"from_hex('{value.hex()}')"
    return "'" + str(value).replace("'", "''") + "'"


def _float_literal(value: float) -> str:
    if math.isinf(value):
        return f"'{'-' if value < 0 else ''}inf'::DOUBLE"
    text = repr(value)
    digits = sum(sign.isdigit() for sign in text)
    # Up to 15 digits a DECIMAL is the same number; above, and with an exponent, it must be read as a DOUBLE.
    return text if digits <= 15 or "e" in text else f"{text}e0"


def to_pandas(conditions: Conditions, *, labels: Mapping[str, Any] | None = None, spelled: Collection[str] = ()) -> str:
    """Return the condition as pandas text for a frame `df`.

    Parameters
    ----------
    conditions : tuple of (column, value)
    labels : mapping, optional
        The columns' own names, where these are not text.
    spelled : collection of str
        Columns whose values are compared by their text.
    """
    parts = []
    for name, value in conditions:
        label = labels.get(name, name) if labels else name
        column = f"df[{_python(label)}]"
        if value is None:
            parts.append(f"{column}.isna()")
        elif _is_range(value):
            upper = "<=" if value.closed == "both" else "<"
            parts.append(f"({column} >= {_python(value.left)}) & ({column} {upper} {_python(value.right)})")
        else:
            text = ".astype(str)" if name in spelled else ""
            parts.append(f"({column}{text} == {_python(value)})")
    return " & ".join(parts) or "df.index == df.index"


def _python(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, float) and math.isinf(value):
        return f'float("{value}")'
    if isinstance(value, dt.datetime):
        return f'pd.Timestamp("{value.isoformat()}")'
    if isinstance(value, dt.date):
        return f'pd.Timestamp("{value.isoformat()}").date()'
    if isinstance(value, dt.timedelta):
        return f'pd.Timedelta("{value}")'
    return repr(value)


def to_polars(conditions: Conditions, *, nans: Collection[str] = (), spelled: Collection[str] = ()) -> pl.Expr:
    """Return a Polars expression; null is False. The values of `spelled` columns are compared by their text."""
    import polars as pl

    parts = []
    for name, value in conditions:
        column = pl.col(name)
        if value is None:
            parts.append(column.is_null() | column.is_nan() if name in nans else column.is_null())
        elif _is_range(value):
            upper = column <= value.right if value.closed == "both" else column < value.right
            parts.append((column >= value.left) & upper)
        elif _nanoseconds(value):
            moment = pl.lit(value.as_unit("ns").value).cast(pl.Datetime("ns"))
            parts.append(column == (moment if value.tzinfo is None else moment.dt.replace_time_zone("UTC")))
        else:
            column = column.cast(pl.String) if name in spelled else column
            parts.append(column == (value.to_pydatetime() if hasattr(value, "to_pydatetime") else value))
    return reduce(and_, parts, pl.lit(True))


def to_arrow(
    conditions: Conditions, *, nans: Collection[str] = (), schema: Mapping[str, pa.DataType] | None = None
) -> pc.Expression:
    """Return an Arrow expression; `schema` gives the types of dictionary columns."""
    parts = []
    for name, value in conditions:
        column = pc.field(name)
        kind = None if schema is None else schema.get(name)
        if kind is not None and _compared(kind, value) != kind:
            column = column.cast(_compared(kind, value), safe=False)
        parts.append(_arrow(column, _fitting(value, None if kind is None else _compared(kind, value)), name in nans))
    return reduce(and_, parts, pc.scalar(True))


def _compared(kind: pa.DataType, value: Any) -> pa.DataType:
    """Return the type that a column is compared in: decimals as the numbers that codes are made of."""
    kind = standard(kind)
    if pa.types.is_float16(kind):  # Arrow compares none of them
        return pa.float32()
    if isinstance(value, str) and not is_worded(kind):
        return pa.string()  # one side of a DIFF, whose other side has text
    if pa.types.is_decimal(kind):
        return pa.int64() if isinstance(value, int) and kind.scale <= 0 else pa.float64()
    return kind


def _fitting(value: Any, kind: pa.DataType | None) -> Any:
    """Return whole numbers of a float column as floats: Arrow refuses integers that it cannot cast exactly."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    return float(value) if whole and kind is not None and pa.types.is_floating(plain(kind)) else value


def _arrow(column: pc.Expression, value: Any, nan: bool) -> pc.Expression:
    if value is None:
        return column.is_null(nan_is_null=nan)
    if _is_range(value):
        upper = column <= value.right if value.closed == "both" else column < value.right
        return (column >= value.left) & upper
    if _nanoseconds(value):
        return column == pa.scalar(
            value.as_unit("ns").value, pa.timestamp("ns", None if value.tzinfo is None else "UTC")
        )
    unsigned = isinstance(value, int) and value >= 1 << 63  # Arrow takes Python's integers for signed ones
    return column == (pa.scalar(value, pa.uint64()) if unsigned else pa.scalar(value))


def to_series(df: Any, conditions: Conditions) -> Any:
    """Return a bool Series of a pandas or Dask frame; null is False."""
    found = None
    for name, value in conditions:
        column = df[name]
        if value is None:
            part = column.isna()
        elif _is_range(value):
            part = (column >= value.left) & (column <= value.right if value.closed == "both" else column < value.right)
        else:
            part = column == value
        part = part.fillna(False).astype(bool)
        found = part if found is None else found & part
    return found


def mask(data: Data, conditions: Conditions) -> np.ndarray:
    """Return which rows of `data` satisfy the conditions, (n,) bool."""
    found = np.ones(data.n_rows, bool)
    for name, value in conditions:
        column = data.column(name)
        if len(column) != len(found):
            raise changed(data.name, len(column), len(found))
        kind = _compared(column.type, value)
        if column.type != kind:
            column = column.cast(kind, safe=False)
        found &= _evaluated(column, _arrow(pc.field("x"), _fitting(value, kind), pa.types.is_floating(kind)))
    return found


def _evaluated(column: pa.ChunkedArray, expression: pc.Expression) -> np.ndarray:
    """Return which values of a column, called x, satisfy an expression."""
    from pyarrow import acero

    source = acero.Declaration("table_source", acero.TableSourceNodeOptions(pa.table({"x": column})))
    answer = acero.Declaration("project", acero.ProjectNodeOptions([expression], ["m"]), [source])
    return answer.to_table(use_threads=False).column("m").fill_null(False).to_numpy()


def _nanoseconds(value: Any) -> bool:
    """Return whether a moment is finer than the microseconds that Python's own have."""
    return bool(getattr(value, "nanosecond", 0))


def _is_range(value: Any) -> bool:
    return hasattr(value, "closed") and hasattr(value, "left")
