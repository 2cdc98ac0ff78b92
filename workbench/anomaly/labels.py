"""Labels of any detector as one bool a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workbench.anomaly.data import kind_name, plain
from workbench.engine.errors import WorkbenchError

if TYPE_CHECKING:
    from workbench.anomaly.data import Data

__all__ = ["label_rule", "marks_of", "marks_of_array"]

_HINT = "Pass a bool array: labels == 1 or labels == -1."


def marks_of(data: Data, labels: Any) -> np.ndarray:
    """Return which rows the labels mark as outliers, (n,) bool.

    Parameters
    ----------
    data : Data
    labels : str, array-like, dict or fitted object
        A column; one entry a row, by position; `{"rows": n, "outliers": [row numbers]}`; something with `labels_`.
    """
    if isinstance(labels, str):
        return marks_of_array(data.column(data.check(labels)))
    if isinstance(labels, dict):
        if not {"rows", "outliers"} <= labels.keys():
            raise WorkbenchError("labels is a dict; it is one label a row.", "Give one label a row, in order.")
        marks = np.zeros(int(labels["rows"]), bool)
        marks[np.asarray(labels["outliers"], dtype=np.int64)] = True
        _check_length(len(marks), data.n_rows)
        return marks
    values = _array(labels)
    _check_length(len(values), data.n_rows)
    return marks_of_array(values)


def marks_of_array(values: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """Return which labels mark an outlier; null marks none."""
    kind = plain(values.type)
    values = values.cast(kind)
    if pa.types.is_null(kind):
        return np.zeros(len(values), bool)
    if pa.types.is_boolean(kind):
        return _bools(values.fill_null(False))
    found = _whole(values)
    return _bools(pc.equal(found, label_rule(pc.unique(found).drop_null().to_pylist())).fill_null(False))


def label_rule(present: list[int]) -> int:
    """Return which integer marks an outlier, given all that occur."""
    held = set(present)
    if -1 in held:
        return -1
    if held == {1}:
        raise WorkbenchError("Every label is 1: normal in scikit-learn, outlier in PyOD.", _HINT)
    if held <= {0, 1}:
        return 1
    strange = ", ".join(str(value) for value in sorted(held - {0, 1})[:5])
    raise WorkbenchError(f"labels holds {strange}; a label is true or false, -1 or 1, or 0 or 1.", _HINT)


def _array(labels: Any) -> pa.ChunkedArray | pa.Array:
    fitted = getattr(labels, "labels_", None)
    if fitted is not None:
        labels = fitted
    elif hasattr(labels, "fit") or hasattr(labels, "labels_"):
        raise WorkbenchError(
            f"{type(labels).__name__} has no labels_.", "Fit it first, or pass what it says: labels=model.predict(X)."
        )
    if hasattr(labels, "compute"):  # a Dask Series or array
        labels = labels.compute()
    if isinstance(labels, (pa.Array, pa.ChunkedArray)):
        return labels
    if type(labels).__module__.startswith("polars"):
        return labels.to_arrow()
    if type(labels).__module__.startswith("pandas") and hasattr(labels, "iloc"):
        from workbench.anomaly.memory import series_to_arrow

        return series_to_arrow(labels, "labels")
    try:
        # NumPy would make text of a list that holds some.
        values = np.asarray(labels, dtype=object if isinstance(labels, (list, tuple)) else None)
        if values.ndim == 0 and values.dtype == object:
            raise WorkbenchError(
                f"labels is a {type(labels).__name__}; it is one label a row.", "Give one label a row, in order."
            )
        if values.ndim == 2 and values.shape[1] == 1:
            values = values[:, 0]
        if values.ndim != 1:
            raise WorkbenchError(
                f"labels has {values.ndim} dimensions; it is one label a row.", "Give one label a row, in order."
            )
        return pa.array(values.tolist() if values.dtype == object else values, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, ValueError) as error:
        raise WorkbenchError("labels holds values of several types.", _HINT) from error


def _check_length(count: int, rows: int) -> None:
    if count != rows:
        raise WorkbenchError(f"labels has {count:,} entries for {rows:,} rows.", "Give one label a row, in order.")


def _whole(values: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
    """Return labels as int64; floats are whole numbers, NaN is null."""
    try:
        if pa.types.is_floating(values.type):
            values = pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)
        if pa.types.is_floating(values.type) or pa.types.is_integer(values.type) or pa.types.is_decimal(values.type):
            return values.cast(pa.int64())
    except pa.ArrowInvalid as error:
        raise WorkbenchError("labels holds fractions; a label is true or false, -1 or 1, or 0 or 1.", _HINT) from error
    raise WorkbenchError(f"A label is {kind_name(values.type)}; it must be true or false, -1 or 1, or 0 or 1.", _HINT)


def _bools(values: pa.ChunkedArray | pa.Array) -> np.ndarray:
    return values.to_numpy(zero_copy_only=False) if isinstance(values, pa.Array) else values.to_numpy()
