"""Values of `by` columns for people and for tables: text, and pandas arrays with the dtypes of an answer's table."""

from __future__ import annotations

import datetime as dt
import decimal
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from workbench.engine.ranked import NULL

if TYPE_CHECKING:
    from workbench.anomaly.frames import Codes

__all__ = ["dtype_of", "pandas_column", "shown", "text_of"]

Dtype = Literal["string", "Int64", "Float64", "boolean", "datetime"]

_LARGEST = 2.0**63


def dtype_of(codes: Codes) -> Dtype:
    """Return the dtype of a column in the table: with a null among its values, and for ranges, it is text."""
    import pyarrow as pa

    values = codes.values
    kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
    if codes.edges is not None or values.null_count:
        return "string"
    if pa.types.is_boolean(kind):
        return "boolean"
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return "datetime"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "Int64" if _whole(values, kind) else "Float64"
    return "string"


def pandas_column(codes: Codes, at: np.ndarray) -> Any:
    """Return the values with these codes as a pandas array; -1 is `<NA>` (NaT).

    Parameters
    ----------
    codes : Codes
    at : int64 (m,)
    """
    import pandas as pd
    import pyarrow as pa

    kind, absent = dtype_of(codes), at < 0
    if kind == "string":
        kept, place = np.unique(at, return_inverse=True)
        words = np.array([None if code < 0 else text_of(codes, int(code)) for code in kept], dtype=object)
        return pd.array(words[place] if len(words) else words, dtype="string")
    taken = codes.values.take(pa.array(np.where(absent, 0, at), mask=absent))
    if pa.types.is_dictionary(taken.type):
        taken = taken.dictionary_decode()
    if kind == "datetime":
        series = taken.to_pandas(date_as_object=False)
        return series if str(series.dtype).startswith("datetime") else pd.to_datetime(series)
    if kind == "boolean":
        found = np.array([bool(value) for value in taken.to_pylist()], dtype=bool)
        return pd.arrays.BooleanArray(found, absent)
    if kind == "Int64":
        whole = [0 if value is None else int(value) for value in taken.to_pylist()]
        return pd.arrays.IntegerArray(np.array(whole, dtype=np.int64), absent)
    real = [0.0 if value is None else float(value) for value in taken.to_pylist()]
    return pd.arrays.FloatingArray(np.array(real, dtype=np.float64), absent)


def text_of(codes: Codes, code: int) -> str:
    """Return a value as text; null is `∅`, a range `[100, 200)`."""
    value = codes.values[code].as_py()
    return NULL if value is None else _text(value)


def shown(codes: Codes, code: int) -> str | None:
    """Return a value as text for a view: null is None, ends of ranges are rounded as far as they stay apart."""
    value = codes.values[code].as_py()
    if value is None or codes.edges is None:
        return None if value is None else _text(value)
    low, high = _rounded(np.asarray(codes.edges, dtype=np.float64))[code : code + 2]
    return f"[{low}, {high}{str(value)[-1]}"


def _rounded(edges: np.ndarray) -> list[str]:
    texts = [_text(float(edge)) for edge in edges]
    if all(float(edge).is_integer() for edge in edges):
        return texts
    apart = len(set(edges.tolist()))
    for digits in range(4, 16):
        rounded = [float(f"{edge:.{digits}g}") for edge in edges]
        if len(set(rounded)) == apart:
            return [_text(edge) for edge in rounded]
    return texts


def _whole(values: Any, kind: Any) -> bool:
    """Return whether all values are whole numbers that an int64 holds."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not len(values):
        return bool(pa.types.is_integer(kind))
    if pa.types.is_integer(kind):
        return int(pc.max(values).as_py()) < _LARGEST
    plain = pc.cast(values, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return bool(np.isfinite(plain).all() and (plain == np.floor(plain)).all() and (np.abs(plain) < _LARGEST).all())


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        whole = np.isfinite(value) and value == int(value) and abs(value) < 1e15
        return str(int(value)) if whole else repr(value)
    if isinstance(value, dt.datetime):
        # A column of days is read as days.
        return value.isoformat(sep=" ").removesuffix(" 00:00:00")
    if isinstance(value, decimal.Decimal):
        return f"{value.normalize():f}"
    return str(value)
