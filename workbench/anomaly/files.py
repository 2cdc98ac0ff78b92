"""Tables in files: Parquet by Arrow, CSV by Polars without date parsing."""

from __future__ import annotations

import glob
import hashlib
import os
import zlib
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from workbench.anomaly.data import Data, Part, changed
from workbench.anomaly.file_parts import repeated_texts
from workbench.anomaly.text_files import check_text, has_blank_line, separator, unreadable
from workbench.engine.errors import WorkbenchError, one_line

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CsvData", "ParquetData", "looks_like_path", "open_path"]

PARQUET = (".parquet", ".pq", ".parq")
CSV = (".csv", ".csv.gz", ".tsv", ".tsv.gz")

#: rows that the types of CSV columns are told by; where they prove wrong, all rows are
_INFERRED = 10_000

#: bytes above which files are not read at once, and their content is told by their ends, size and time
LARGE = 1 << 30


def looks_like_path(text: str) -> bool:
    """Return whether text is meant as a path: it ends like a table's file, has a separator, or is there."""
    return text.lower().endswith(PARQUET + CSV) or "/" in text or os.sep in text or os.path.exists(text)


def open_path(source: Any, name: str | None) -> PathData:
    """Return the files that a path, glob, folder or list of these names."""
    files = _files(source)
    forms = {"parquet" if file.lower().endswith(PARQUET) else "csv" for file in files}
    if len(forms) > 1:
        raise WorkbenchError(
            f'"{source}" names both Parquet and CSV files.', "Give the files of one form, such as *.parquet."
        )
    if name is None:
        name = os.path.basename(files[0] if len(files) == 1 else os.path.normpath(os.fspath(_first(source))))
    return (ParquetData if forms == {"parquet"} else CsvData)(files, name)


class PathData(Data):
    """Files of one form, in the order of their names; a condition on them is SQL text."""

    kind = "path"

    def __init__(self, files: list[str], name: str) -> None:
        super().__init__(files, name)
        self.files = files

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(os.path.getsize(file) for file in self.files)

    def _scan(self) -> Any:
        raise NotImplementedError

    def distinct(self, names: Iterable[str]) -> dict[str, int]:
        """Return how many different values columns have; null is one of them."""
        if self.size <= LARGE:
            return super().distinct(names)
        import polars as pl

        names = list(names)
        counts = [pl.col(name).n_unique().alias(str(place)) for place, name in enumerate(names)]
        found = self._scan().select(counts).collect(engine="streaming") if names else None
        return {name: int(found[str(place)][0]) for place, name in enumerate(names)} if found is not None else {}

    def key(self) -> str:
        """Return a hash of the files' content."""
        from workbench.engine.keys import key

        return key([_file_key(file) for file in self.files])


class ParquetData(PathData):
    """Parquet files: only the columns asked for are read, text as dictionaries where the file has them."""

    def _scan(self) -> Any:
        import polars as pl

        return pl.scan_parquet(self.files)

    def _read_schema(self) -> list[tuple[str, pa.DataType]]:
        schemas = [_footer(file).schema.to_arrow_schema() for file in self.files]
        first = schemas[0]
        for file, schema in zip(self.files, schemas, strict=True):
            check_same(self.files[0], first.names, file, schema.names)
        if len(set(first.names)) < len(first.names):
            return [(field.name, field.type) for field in first]
        try:
            unified = pa.unify_schemas(schemas, promote_options="permissive")
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise WorkbenchError(
                f"The files of {self.name} differ in the type of a column ({one_line(error)}).",
                "Give files of one table.",
            ) from error
        return [(field.name, field.type) for field in unified]

    def _read(self, names: list[str]) -> pa.Table:
        import pyarrow.parquet as pq

        wanted = pa.schema([(name, self.schema[name]) for name in names])
        tables = []
        for file in self.files:
            texts = repeated_texts(_footer(file), wanted)
            tables.append(pq.ParquetFile(file, read_dictionary=texts).read(columns=names))
        return _unified(tables, wanted)

    def _count(self) -> int:
        return sum(_footer(file).num_rows for file in self.files)

    def take(self, rows: np.ndarray) -> pd.DataFrame:
        """Return these rows with a RangeIndex; only row groups that hold some are read."""
        rows = np.asarray(rows, dtype=np.int64)
        parts = self.partitions()
        starts = np.cumsum([0, *(part.rows or 0 for part in parts)])
        group = np.searchsorted(starts, rows, side="right") - 1
        tables = []
        for index in np.unique(group):
            inside = rows[group == index] - starts[index]
            tables.append(parts[index].load(list(self.schema)).take(pa.array(inside)))
        if not tables:
            return pa.schema(list(self.schema.items())).empty_table().to_pandas()
        back = np.argsort(np.argsort(group, kind="stable"), kind="stable")
        schema = pa.schema(list(self.schema.items()))
        return _unified(tables, schema).take(pa.array(back)).to_pandas()

    def partitions(self) -> list[Part]:
        """Return the row groups."""
        from workbench.anomaly.file_parts import RowGroup

        parts: list[Part] = []
        for file in self.files:
            footer = _footer(file)
            for group in range(footer.num_row_groups):
                parts.append(RowGroup(len(parts), footer.row_group(group).num_rows, file, group))
        return parts


class CsvData(PathData):
    """CSV files, plain or gzipped, read by Polars; dates stay text."""

    together = False  # the frame is read at once; it is turned into Arrow column by column
    _inferred: int | None = _INFERRED

    def __init__(self, files: list[str], name: str) -> None:
        super().__init__(files, name)
        self._series: dict[str, Any] = {}
        for file in files:
            check_text(file)
        self._sign = separator(files[0])
        self._kinds: dict[str, Any] | None = None  # once rows have been looked at
        self._orders: dict[str, list[str]] = {}  # of the columns in each file

    def _scan(self) -> Any:
        import polars as pl

        scan = pl.scan_csv(self.files, separator=self._sign, try_parse_dates=False, schema=self._types())
        # Polars reads a blank line as a row of nulls; it is no row, unless its one column is null there.
        blank = len(self._types()) > 1 and self._has_blank_lines
        return scan.filter(~pl.all_horizontal(pl.all().is_null())) if blank else scan

    @cached_property
    def _has_blank_lines(self) -> bool:
        return self.size <= LARGE and any(has_blank_line(file) for file in self.files)

    def _types(self) -> dict[str, Any]:
        """Return the types of the columns: as the first rows of the first file tell them, or all rows of all files."""
        if self._kinds is None:
            found = self._told(self.files[0], self._inferred)
            for file in self.files[1:]:
                names = self._told(file, 0 if self._inferred is not None else None)
                check_same(self.files[0], [*found], file, [*names])
                self._orders[file] = [*names]
                if self._inferred is None:
                    found = {name: _common(kind, names[name]) for name, kind in found.items()}
            self._orders[self.files[0]] = [*found]
            self._kinds = found
        return self._kinds

    def _told(self, file: str, rows: int | None) -> dict[str, Any]:
        """Return names and types of the columns of one file, as so many of its rows tell them."""
        import polars as pl

        scan = pl.scan_csv(file, separator=self._sign, try_parse_dates=False, infer_schema_length=rows)
        return dict(_unpanicked(scan.collect_schema))

    def _collect(self, frame: Any) -> Any:
        """Run a query over the scan; `frame` makes it, so that it can be made anew with other types."""
        import polars as pl

        try:
            return _unpanicked(lambda: frame(self._scan()).collect())
        except pl.exceptions.PolarsError as error:
            if self._inferred is not None and isinstance(error, pl.exceptions.ComputeError):
                self._inferred, self._kinds, self._schema, self._series = None, None, None, {}
                return self._collect(frame)
            raise unreadable(self.name, error) from error

    def _read_schema(self) -> list[tuple[str, pa.DataType]]:
        import polars as pl

        try:
            found = self._types()
            fields = _unpanicked(lambda: pl.DataFrame(schema=found).to_arrow().schema)
        except pl.exceptions.PolarsError as error:
            raise unreadable(self.name, error) from error
        for name in found:
            if "_duplicated_" in name and (first := name.rpartition("_duplicated_")[0]) in found:
                return [(first, pa.null()), (first, pa.null())]  # two of one name: told as for any table
        kinds = [(field.name, field.type) for field in fields]
        if all(pa.types.is_large_string(kind) for _, kind in kinds) and not self._rows_there():
            return [(name, pa.null()) for name, _ in kinds]  # a header alone tells no types
        return kinds

    def _rows_there(self) -> bool:
        return bool(self._collect(lambda scan: scan.head(1)).height)

    def _held(self, name: str) -> Any:
        """Return a column as a Polars Series, read together with all that are known to be wanted."""
        if name not in self._series:
            self.check(name)
            names = list(dict.fromkeys([*(each for each in self._wanted if each not in self._series), name]))
            frame = self._collect(lambda scan: scan.select(names))
            self._series.update({each: frame.get_column(each) for each in names})
        return self._series[name]

    def _read(self, names: list[str]) -> pa.Table:
        kinds = self.schema
        columns = {}
        for name in names:
            array = self._held(name).to_arrow()
            columns[name] = array if len(array) or not pa.types.is_null(kinds[name]) else pa.nulls(0)
        return pa.table(columns)

    def encodable(self, name: str) -> pa.ChunkedArray | pa.Array:
        """Return one column as Polars holds it."""
        from workbench.anomaly.memory import polars_encodable

        return polars_encodable(self._held(name))

    def _count(self) -> int:
        import polars as pl

        if not self._series and self._wanted and self.size < LARGE:
            self._held(self._wanted[0])
        if self._series:
            return len(next(iter(self._series.values())))
        return int(self._collect(lambda scan: scan.select(pl.len())).item())

    def take(self, rows: np.ndarray) -> pd.DataFrame:
        """Return these rows with a RangeIndex; the file is read once, and little of it kept."""
        import polars as pl

        rows = np.asarray(rows, dtype=np.int64)
        number = "__workbench_row__"
        wanted = pl.Series(np.unique(rows)).cast(pl.get_index_type())
        found = self._collect(lambda scan: scan.with_row_index(number).filter(pl.col(number).is_in(wanted.implode())))
        if found.height < len(wanted):
            raise changed(self.name, 1 + int(rows.max()), self.n_rows)
        places = np.searchsorted(wanted.to_numpy(), rows)
        return found.drop(number)[places].to_arrow().to_pandas()

    def partitions(self) -> list[Part]:
        """Return blocks of whole lines; a gzipped file is one block."""
        from workbench.anomaly.file_parts import csv_blocks

        kinds = self._types()
        orders = {file: [(name, kinds[name]) for name in self._orders[file]] for file in self.files}
        return csv_blocks(orders, self._sign)


def check_same(first: str, columns: list[str], other: str, others: list[str]) -> None:
    """Raise unless two files have the same columns, in whatever order."""
    for name in sorted({*columns} ^ {*others}):
        lacking, having = (other, first) if name in columns else (first, other)
        raise WorkbenchError(
            f'{os.path.basename(lacking)} has no column "{name}", which {os.path.basename(having)} has.',
            "Give files of one table.",
        )


def _common(one: Any, other: Any) -> Any:
    """Return the type that holds the values of both: text, if nothing less does."""
    import polars as pl

    if one == other:
        return one
    return pl.Float64 if {one, other} == {pl.Int64, pl.Float64} else pl.String


def _unpanicked(read: Callable[[], Any]) -> Any:
    """Call a reader of Polars; some damaged files, and those in UTF-16, make it panic, which is no Exception."""
    import polars as pl

    try:
        return read()
    except (OSError, EOFError, zlib.error) as error:  # a gzipped file that is damaged or ends too early
        raise pl.exceptions.NoDataError(str(error)) from error
    except BaseException as error:
        if type(error).__name__ == "PanicException":
            raise pl.exceptions.NoDataError(str(error)) from error
        raise


def _unified(tables: list[pa.Table], schema: pa.Schema) -> pa.Table:
    """Put tables together whose text may be dictionaries in some and plain in others."""
    columns = {}
    for field in schema:
        chunks = [chunk for table in tables for chunk in table.column(field.name).chunks]
        dictionaries = [chunk for chunk in chunks if pa.types.is_dictionary(chunk.type)]
        if dictionaries and len(dictionaries) < len(chunks):
            chunks = [chunk.cast(field.type) for chunk in chunks]
        elif not dictionaries:
            chunks = [chunk if chunk.type == field.type else chunk.cast(field.type) for chunk in chunks]
        columns[field.name] = pa.chunked_array(chunks, None if chunks else field.type)
    return pa.table(columns)


def _footer(file: str) -> Any:
    import pyarrow.parquet as pq

    try:
        return pq.read_metadata(file)
    except (pa.ArrowInvalid, OSError) as error:
        raise unreadable(os.path.basename(file), error) from error


def _first(source: Any) -> Any:
    return source[0] if isinstance(source, (list, tuple)) else source


def _files(source: Any) -> list[str]:
    if isinstance(source, (list, tuple)):
        return [file for item in source for file in _files(item)]
    text = os.path.expanduser(os.fspath(source))
    if os.path.isfile(text):
        return [text]
    pattern = os.path.join(glob.escape(text), "*") if os.path.isdir(text) else text
    found = sorted(file for file in glob.glob(pattern, recursive=True) if os.path.isfile(file))
    fitting = [file for file in found if file.lower().endswith(PARQUET + CSV)]
    if not fitting:
        raise WorkbenchError(f'No file "{source}".', _near(text, bool(found)))
    return fitting


def _near(text: str, others: bool) -> str:
    from workbench.engine.errors import suggest

    otherwise = "Give a path or glob to Parquet, CSV or gzipped CSV."
    folder, name = os.path.split(text)
    if others or glob.has_magic(text) or not os.path.isdir(folder or "."):
        return otherwise
    return suggest(name, [file for file in os.listdir(folder or ".") if file.lower().endswith(PARQUET + CSV)],
                   otherwise, quote='"{}"')  # fmt: skip


def _file_key(file: str) -> tuple[str, int]:
    """Return what tells a file's content: its hash, or for large ones that of its ends, with size and time."""
    import xxhash  # nobody is to be kept from making two files of one hash, and sha256 takes as long as reading CSV

    facts = os.stat(file)
    with open(file, "rb") as stream:
        if facts.st_size <= LARGE:
            return hashlib.file_digest(stream, xxhash.xxh3_128).hexdigest(), facts.st_size
        ends = stream.read(1 << 20)
        stream.seek(-(1 << 20), os.SEEK_END)
        ends += stream.read()
    return xxhash.xxh3_128_hexdigest(ends + str(facts.st_mtime_ns).encode()), facts.st_size
