"""What every kind of input is to the rest of the subpackage: named Arrow columns, rows to take, conditions to mark."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from workbench.engine.errors import WorkbenchError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

    from workbench.anomaly.conditions import Conditions

__all__ = ["Data", "Part", "as_float64", "changed", "columns_hint", "plain", "standard", "titled"]

#: columns that an error names at most
_NAMED = 10


@dataclass(frozen=True)
class Part:
    """One piece of the rows, small enough for one task; picklable.

    Attributes
    ----------
    index : int
        Position among the parts; rows of part 0 come first.
    rows : int or None
        How many rows, where that is known without reading.
    """

    index: int
    rows: int | None

    def load(self, columns: Iterable[str]) -> pa.Table:
        """Return these columns of the part."""
        raise NotImplementedError

    def at_once(self, columns: Iterable[str]) -> Part:
        """Return the part with these columns in memory, where one by one each would make all of it anew."""
        return self


def titled(name: str) -> str:
    """Return what a table is called at the start of a sentence: names of people's own stay as they are."""
    return f"T{name[1:]}" if name.startswith("the ") else name


def changed(name: str, before: int, now: int) -> WorkbenchError:
    """Return the error for a table that is not the one that was asked about."""
    return WorkbenchError(
        f"{titled(name)} has changed: it had {before:,} rows when it was asked, now {now:,}.", "Ask again."
    )


class Data:
    """Rows with named columns, whatever holds them; made by `frames.read`.

    Attributes
    ----------
    name : str
        What messages call it: `flights`, else `the table`.
    kind : str
        Which library holds it.
    """

    kind: ClassVar[Literal["pandas", "polars", "arrow", "duckdb", "path", "dask"]]

    #: whether reading several columns at once is cheaper than one by one
    together: ClassVar[bool] = True

    def __init__(self, source: Any, name: str | None) -> None:
        self.source = source
        self.name = name or "the table"
        self._loaded: dict[str, pa.ChunkedArray] = {}
        self._schema: dict[str, pa.DataType] | None = None
        self._wanted: list[str] = []
        self._troubles: dict[str, WorkbenchError] = {}  # columns that are there, but cannot be read

    # what a subclass gives

    def _read_schema(self) -> list[tuple[str, pa.DataType]]:
        raise NotImplementedError

    def _read(self, names: list[str]) -> pa.Table:
        """Return these columns, all rows, in the source's order."""
        raise NotImplementedError

    def _count(self) -> int:
        raise NotImplementedError

    def take(self, rows: np.ndarray) -> pd.DataFrame:
        """Return these rows, all source columns, with a RangeIndex.

        Parameters
        ----------
        rows : array of int64
            Row numbers from 0, in any order.
        """
        raise NotImplementedError

    def native(self, conditions: Conditions) -> Any:
        """Return what the source's own filter takes: a bool Series, an expression, or SQL text."""
        return self.sql(conditions)

    def partitions(self) -> list[Part]:
        """Return the rows in parts that tasks can load."""
        table = self._read(list(self.schema))
        return [TablePart(0, table.num_rows, table)]

    @property
    def size(self) -> int:
        """Bytes on disk, or in memory."""
        return sum(self.column(name).nbytes for name in self.schema)

    def key(self) -> str:
        """Return a hash of the content, the same in every process."""
        from workbench.anomaly.content import table_key

        return table_key({name: self.column(name) for name in self.schema})

    # what follows from that

    @property
    def schema(self) -> dict[str, pa.DataType]:
        """The Arrow type of each column, in the source's order."""
        if self._schema is None:
            found = self._read_schema()
            if not found:
                raise WorkbenchError(f"{self._titled()} has no columns.", "Give a table with at least one column.")
            self._schema = dict(found)
            if len(self._schema) < len(found):
                names = [name for name, _ in found]
                twice = next(name for position, name in enumerate(names) if name in names[:position])
                raise WorkbenchError(
                    f'{self._titled()} has {names.count(twice)} columns named "{twice}".',
                    "Rename them, so that each column has its own name.",
                )
        return self._schema

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return self._count()

    def want(self, names: Iterable[str]) -> None:
        """Say which columns will be asked for: they are read in one go with the first of them."""
        self._wanted = list(dict.fromkeys([*self._wanted, *map(self.check, names)]))

    def column(self, name: str) -> pa.ChunkedArray:
        """Return one column; dictionary types are kept."""
        if name not in self._loaded:
            self.check(name)
            more = [each for each in self._wanted if each not in self._loaded] if self.together else []
            names = dict.fromkeys([name, *more])
            table = self._read(list(names))
            self._loaded.update({each: table.column(each) for each in names})
        return self._loaded[name]

    def encodable(self, name: str) -> pa.ChunkedArray | pa.Array:
        """Return one column in whatever Arrow type is cheapest to give."""
        return self.column(name)

    def numbers(self, name: str) -> np.ndarray:
        """Return a numeric column as float64, null as NaN."""
        column = self.column(name)
        kind = plain(column.type)
        check_number(name, kind)  # a CSV column may turn out to be text further on
        return as_float64(column)

    def distinct(self, names: Iterable[str]) -> dict[str, int]:
        """Return how many different values columns have; null is one of them."""
        from workbench.anomaly.encode import encode

        return {name: encode(self, name).card for name in names}

    def check(self, name: str) -> str:
        """Return `name` if there is such a column, else raise."""
        if name not in self.schema:
            raise WorkbenchError(f'No column "{name}" in {self.name}.', columns_hint(name, self.schema))
        if name in self._troubles:
            raise self._troubles[name]
        return name

    def where(self, sql: str) -> np.ndarray:
        """Return which rows satisfy a DuckDB condition; NULL is False."""
        from workbench.anomaly.predicate import rows_where

        return rows_where(self, sql)

    def nans(self, conditions: Conditions) -> frozenset[str]:
        """Return the columns whose condition is "no value" and which hold NaN as well as, or in place of, null."""
        import pyarrow.compute as pc

        floats = [
            name for name, value in conditions if value is None and pa.types.is_floating(plain(self.schema[name]))
        ]
        return frozenset(
            name for name in floats if pc.any(pc.is_nan(self.column(name).cast(plain(self.schema[name])))).as_py()
        )

    def sql(self, conditions: Conditions) -> str:
        """Return the condition as SQL text for this table."""
        from workbench.anomaly.conditions import to_sql

        return to_sql(conditions, nans=self.nans(conditions))

    def code(self, conditions: Conditions) -> str:
        """Return the condition as pandas text for a DataFrame `df`."""
        from workbench.anomaly.conditions import to_pandas

        return to_pandas(conditions)

    def _titled(self) -> str:
        return titled(self.name)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


@dataclass(frozen=True)
class TablePart(Part):
    """Rows that are in memory already."""

    table: pa.Table

    def load(self, columns: Iterable[str]) -> pa.Table:
        """Return these columns of the part."""
        return self.table.select(list(columns))


def columns_hint(name: str, names: Iterable[str]) -> str:
    """Return `Did you mean "latency"? Columns: latency, usage, …`."""
    known = list(names)
    near = did_you_mean(name, known)
    listed = ", ".join(known[:_NAMED]) + (", …" if len(known) > _NAMED else "")
    return (f'Did you mean "{near}"? ' if near is not None else "") + f"Columns: {listed}"


def plain(kind: pa.DataType) -> pa.DataType:
    """Return the type of the values: that of a dictionary's values, or an extension's storage."""
    while True:
        if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
            kind = kind.value_type
        elif isinstance(kind, pa.BaseExtensionType):
            kind = kind.storage_type
        else:
            return kind


def check_number(name: str, kind: pa.DataType) -> None:
    """Raise for a metric that is no number; a column without a single value may be one."""
    kind = plain(kind)
    if not is_number(kind) and not pa.types.is_null(kind):
        raise WorkbenchError(f'"{name}" is {kind_name(kind)}; a metric must be a number.', "Use it in --by instead.")


def is_text(kind: pa.DataType) -> bool:
    """Return whether a column holds text."""
    kind = plain(kind)
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or kind == pa.string_view()


def is_worded(kind: pa.DataType) -> bool:
    """Return whether the values of a column may be text: text itself, or categories."""
    return is_text(kind) or pa.types.is_dictionary(kind)


def is_number(kind: pa.DataType) -> bool:
    """Return whether a column holds numbers (true and false are none)."""
    kind = plain(kind)
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


def kind_name(kind: pa.DataType) -> str:
    """Return what a column holds, for people."""
    kind = plain(kind)
    if is_text(kind):
        return "text"
    if pa.types.is_boolean(kind):
        return "true or false"
    if pa.types.is_date(kind):
        return "a date"
    if pa.types.is_timestamp(kind):
        return "a timestamp"
    if pa.types.is_duration(kind):
        return "a duration"
    if pa.types.is_time(kind):
        return "a time of day"
    if pa.types.is_null(kind):
        return "null in every row"
    return "a number" if is_number(kind) else str(kind)


def standard(kind: pa.DataType) -> pa.DataType:
    """Return the plain type that Arrow can compare: large text for views."""
    kind = plain(kind)
    return pa.large_string() if kind == pa.string_view() else pa.large_binary() if kind == pa.binary_view() else kind


def as_float64(column: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """Return numbers as float64, null as NaN; without a copy where the column allows it."""
    kind = plain(column.type)
    if column.type != kind:
        column = column.cast(kind)
    if kind != pa.float64() and not (pa.types.is_integer(kind) and column.null_count == 0):
        column = column.cast(pa.float64(), safe=False)
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    if isinstance(column, pa.ChunkedArray):  # combining none gives none
        column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    return column.to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
