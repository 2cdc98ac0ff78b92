"""Tables in memory: pandas, Polars, Arrow, and what DuckDB relations yield."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workbench.anomaly.data import Data, is_worded, standard
from workbench.engine.errors import WorkbenchError

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

    from workbench.anomaly.conditions import Conditions

__all__ = [
    "ArrowData",
    "DuckData",
    "PandasData",
    "PolarsData",
    "duck_table",
    "is_spelled",
    "pandas_type",
    "polars_encodable",
    "series_to_arrow",
]

#: chunks of fewer rows on average are put together
_CHUNK = 10_000


class PandasData(Data):
    """A pandas DataFrame; text that is Arrow-backed is taken as it is."""

    kind = "pandas"

    def _read_schema(self) -> list[tuple[str, pa.DataType]]:
        self._labels = {str(label): label for label in self.source.columns}
        found: list[tuple[str, pa.DataType]] = []
        for position, label in enumerate(self.source.columns):
            name = str(label)
            try:
                found.append((name, pandas_type(self.source.iloc[:, position], name)))
            except WorkbenchError as error:  # nobody may ever ask for this column
                self._troubles[name] = error
                found.append((name, pa.struct([])))
        return found

    def _read(self, names: list[str]) -> pa.Table:
        return pa.table({name: series_to_arrow(self.source[self._labels[name]], name) for name in names})

    def _count(self) -> int:
        return len(self.source)

    def numbers(self, name: str) -> np.ndarray:
        """Return a numeric column as float64, null as NaN."""
        self.check(name)
        values = self.source[self._labels[name]]
        if isinstance(values.dtype, np.dtype) and values.dtype.kind in "fiu":
            return values.to_numpy(dtype=np.float64)
        return super().numbers(name)

    def take(self, rows: np.ndarray) -> pd.DataFrame:
        """Return these rows with a RangeIndex."""
        return self.source.iloc[rows].reset_index(drop=True)

    def native(self, conditions: Conditions) -> Any:
        """Return a bool Series with the frame's own index."""
        import pandas as pd

        from workbench.anomaly.conditions import mask

        return pd.Series(mask(self, conditions), index=self.source.index)

    def code(self, conditions: Conditions) -> str:
        """Return the condition as pandas text for a DataFrame `df`."""
        from workbench.anomaly.conditions import to_pandas

        spelled = {name for name, label in self._labels.items() if is_spelled(self.source[label].dtype)}
        return to_pandas(conditions, labels=self._labels, spelled=spelled)


class PolarsData(Data):
    """A Polars frame, eager or lazy; a lazy one is collected once, on first use."""

    kind = "polars"
    together = False

    @cached_property
    def _frame(self) -> Any:
        return self.source.collect() if hasattr(self.source, "collect") else self.source

    def _read_schema(self) -> list[tuple[str, pa.DataType]]:
        empty = self.source.clear() if not hasattr(self.source, "collect") else None
        if empty is None:
            empty = self.source.collect_schema().to_frame()
        return [(field.name, field.type) for field in empty.to_arrow().schema]

    def _read(self, names: list[str]) -> pa.Table:
        return self._frame.select(names).to_arrow()

    def _count(self) -> int:
        return self._frame.height

    def encodable(self, name: str) -> pa.ChunkedArray | pa.Array:
        """Return one column as Polars holds it: text as views, which nothing need be copied for."""
        return polars_encodable(self._frame.get_column(self.check(name)))

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return int(self._frame.estimated_size())

    def take(self, rows: np.ndarray) -> pd.DataFrame:
        """Return these rows with a RangeIndex."""
        return arrow_to_pandas(self._frame[rows].to_arrow())

    def native(self, conditions: Conditions) -> Any:
        """Return a Polars expression."""
        from workbench.anomaly.conditions import to_polars

        kinds = self.schema
        spelled = {name for name, value in conditions if isinstance(value, str) and not is_worded(kinds[name])}
        return to_polars(conditions, nans=self.nans(conditions), spelled=spelled)


class ArrowData(Data):
    """An Arrow table, or whatever gives one."""

    kind = "arrow"

    def _read_schema(self) -> list[tuple[str, pa.DataType]]:
        return [(field.name, field.type) for field in self.source.schema]

    def _read(self, names: list[str]) -> pa.Table:
        return pa.table({name: _comparable(self.source.column(name)) for name in names})

    def encodable(self, name: str) -> pa.ChunkedArray:
        """Return one column as it is."""
        return self.source.column(self.check(name))

    def _count(self) -> int:
        return self.source.num_rows

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return self.source.nbytes

    def take(self, rows: np.ndarray) -> pd.DataFrame:
        """Return these rows with a RangeIndex."""
        return arrow_to_pandas(self._read(list(self.schema)).take(pa.array(rows)))

    def native(self, conditions: Conditions) -> Any:
        """Return an Arrow expression."""
        from workbench.anomaly.conditions import to_arrow

        return to_arrow(conditions, nans=self.nans(conditions), schema=self.schema)


class DuckData(Data):
    """A DuckDB relation; run once, on first use, since running it again may give another order of rows."""

    kind = "duckdb"

    @cached_property
    def _table(self) -> pa.Table:
        return duck_table(self.source)

    def _read_schema(self) -> list[tuple[str, pa.DataType]]:
        return [(field.name, field.type) for field in duck_table(self.source.limit(0)).schema]

    def _read(self, names: list[str]) -> pa.Table:
        return self._table.select(names)

    def _count(self) -> int:
        return self._table.num_rows

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return self._table.nbytes

    def take(self, rows: np.ndarray) -> pd.DataFrame:
        """Return these rows with a RangeIndex."""
        return arrow_to_pandas(self._table.take(pa.array(rows)))


def _comparable(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column in a type that Arrow can compare, or a dictionary of one."""
    kind = column.type
    if pa.types.is_dictionary(kind) or pa.types.is_nested(kind) or standard(kind) == kind:
        return column
    if isinstance(kind, pa.BaseExtensionType):
        column = pa.chunked_array([chunk.storage for chunk in column.chunks], kind.storage_type)
    if pa.types.is_run_end_encoded(column.type):
        return _comparable(pc.run_end_decode(column))
    return column if column.type == standard(kind) else column.cast(standard(kind))


def polars_encodable(values: pl.Series) -> pa.ChunkedArray | pa.Array:
    """Return a Polars column in the Arrow type that nothing need be copied for: text as views."""
    import polars as pl

    newest = pl.CompatLevel.newest()
    if values.dtype not in (pl.Categorical, pl.Enum):
        if values.n_chunks() > 1 and len(values) >= _CHUNK * values.n_chunks():
            return pa.chunked_array([chunk.to_arrow(compat_level=newest) for chunk in values.get_chunks()])
        return values.to_arrow(compat_level=newest)
    # Categorical numbers belong to a pool that all columns share. Making them dense for Arrow takes long; the values
    # that occur are all that is needed here.
    known = values.unique().drop_nulls()
    numbers = known.to_physical().to_numpy()
    words = np.full(int(numbers.max()) + 1 if len(numbers) else 0, None, dtype=object)
    words[numbers] = known.cast(pl.String).to_list()
    return pa.DictionaryArray.from_arrays(
        values.to_physical().to_arrow(), pa.array(words, pa.large_string()), safe=False
    )


def arrow_to_pandas(table: pa.Table) -> pd.DataFrame:
    """Return a pandas frame of an Arrow table."""
    return table.to_pandas()


def series_to_arrow(values: pd.Series, name: str) -> pa.ChunkedArray:
    """Return a pandas column as Arrow; without a copy where it is Arrow-backed or plain numbers.

    Periods and intervals, which other libraries do not have, become their text.
    """
    import pandas as pd

    held = getattr(values.array, "_pa_array", None)
    if isinstance(held, pa.ChunkedArray):
        return held
    if is_spelled(values.dtype):
        values = values.astype(object).map(str, na_action="ignore")
    elif isinstance(values.dtype, pd.SparseDtype):
        values = pd.Series(values.array.to_dense())
    try:
        array = pa.array(values, from_pandas=True)
    except OverflowError as error:
        raise WorkbenchError(
            f'"{name}" holds whole numbers of more than 64 bits.',
            f'Convert it first, such as df["{name}"].astype(float), or .astype(str) for names.',
        ) from error
    except UnicodeEncodeError as error:
        raise WorkbenchError(
            f'"{name}" holds text that is not valid Unicode: {error.object[error.start : error.end]!r}.',
            f'Replace it first, such as df["{name}"].str.encode("utf-8", "replace").str.decode("utf-8").',
        ) from error
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise _not_plain(values, name) from error
    return array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])


def is_spelled(kind: Any) -> bool:
    """Return whether a pandas type is one whose values are told by their text: periods, intervals."""
    import pandas as pd

    if isinstance(kind, pd.CategoricalDtype):
        kind = kind.categories.dtype
    return isinstance(kind, (pd.PeriodDtype, pd.IntervalDtype))


def _not_plain(values: pd.Series, name: str) -> WorkbenchError:
    if values.dtype == object:
        kinds = sorted({type(value).__name__ for value in values if value is not None and value == value})
        if len(kinds) > 1:
            return WorkbenchError(
                f'"{name}" holds values of several types ({", ".join(kinds[:4])}).',
                f'Make them one type, such as df["{name}"].astype(str).',
            )
    what = values.dtype if values.dtype != object else f"{type(values.dropna().iloc[0]).__name__} objects"
    return WorkbenchError(
        f'"{name}" holds {what}, which are no plain values.', f'Convert it first, such as df["{name}"].astype(str).'
    )


def pandas_type(values: pd.Series, name: str) -> pa.DataType:
    """Return the Arrow type of a pandas column; of objects, that of what they are."""
    if is_spelled(values.dtype):
        return pa.string()
    if values.dtype != object:
        return series_to_arrow(values.iloc[:0], name).type
    import pandas as pd

    match pd.api.types.infer_dtype(values, skipna=True):
        case "string":
            return pa.string()
        case "empty":
            return pa.null()
    return series_to_arrow(values, name).type


def duck_table(relation: Any) -> pa.Table:
    """Return what a DuckDB relation yields."""
    found = relation.to_arrow_table() if hasattr(relation, "to_arrow_table") else relation.arrow()
    return found if isinstance(found, pa.Table) else found.read_all()
