"""Parts of files for tasks: row groups of Parquet, blocks of whole lines of CSV."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from workbench.anomaly.data import Part
from workbench.engine.errors import WorkbenchError

__all__ = ["CsvBlock", "RowGroup", "csv_blocks", "repeated_texts"]

#: bytes a value below which a column of text must be kept as a dictionary
_INDEXED = 5

#: bytes of a block of CSV
BLOCK = 64 << 20


@dataclass(frozen=True)
class RowGroup(Part):
    """One row group of a Parquet file."""

    file: str
    group: int

    def load(self, columns: Iterable[str]) -> pa.Table:
        """Return these columns of the row group; text as dictionaries."""
        import pyarrow.parquet as pq

        names = list(columns)
        footer = pq.read_metadata(self.file)
        schema = footer.schema.to_arrow_schema()
        texts = repeated_texts(footer, pa.schema([schema.field(name) for name in names]), [self.group])
        return pq.ParquetFile(self.file, read_dictionary=texts).read_row_group(self.group, columns=names)


def repeated_texts(footer: Any, schema: pa.Schema, groups: Iterable[int] | None = None) -> list[str]:
    """Return the text columns whose values the file keeps as a dictionary, so that reading them as one costs least.

    Text of many different values falls back to plain pages, of which Arrow would have to make a dictionary first.
    """
    texts = {field.name for field in schema if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)}
    held, rows = dict.fromkeys(texts, 0), 0
    for group in range(footer.num_row_groups) if groups is None else groups:
        facts = footer.row_group(group)
        rows += facts.num_rows
        for place in range(facts.num_columns):
            column = facts.column(place)
            if column.path_in_schema in held:
                held[column.path_in_schema] += column.total_uncompressed_size
    return [field.name for field in schema if field.name in held and held[field.name] <= _INDEXED * rows]


@dataclass(frozen=True)
class CsvBlock(Part):
    """Some bytes of a CSV file: whole lines.

    Attributes
    ----------
    start, end : int
        Bytes of the file; the header is not among them. -1 and -1: all of a gzipped file, with its header.
    kinds : tuple of (name, Polars type)
        Of all columns of the file, in their order; types are the same for all blocks.
    """

    file: str
    start: int
    end: int
    kinds: tuple[tuple[str, Any], ...]
    separator: str

    def load(self, columns: Iterable[str]) -> pa.Table:
        """Return these columns of the block."""
        import polars as pl

        names, schema = list(columns), dict(self.kinds)
        whole = self.start < 0
        if whole:
            source: Any = self.file
        else:
            with open(self.file, "rb") as stream:
                stream.seek(self.start)
                source = io.BytesIO(stream.read(self.end - self.start))
        try:
            scan = pl.scan_csv(source, has_header=whole, schema=schema, separator=self.separator, try_parse_dates=False)
            frame = scan.select(names).collect()
        except pl.exceptions.NoDataError:
            frame = pl.DataFrame(schema={name: schema[name] for name in names})
        except pl.exceptions.PolarsError as error:
            text = str(error).strip().split("\n")[0].rstrip(".")
            raise WorkbenchError(
                f"{os.path.basename(self.file)} cannot be read: {text}.",
                "A column that starts with numbers holds text further on: write the table as Parquet.",
            ) from error
        return frame.select(names).to_arrow()


def csv_blocks(files: dict[str, list[tuple[str, Any]]], separator: str) -> list[Part]:
    """Return the blocks of CSV files: none ends within a quoted field, even where such a field has line breaks.

    Parameters
    ----------
    files : dict
        For each file, its columns in their order, and their Polars types.
    separator : str
    """
    parts: list[Part] = []
    for file, kinds in files.items():
        bounds = [(-1, -1)] if file.lower().endswith(".gz") else _bounds(file)
        for start, end in bounds:
            parts.append(CsvBlock(len(parts), None, file, start, end, tuple(kinds), separator))
    return parts


def _bounds(file: str) -> list[tuple[int, int]]:
    found = []
    size = os.path.getsize(file)
    with open(file, "rb") as stream:
        start = end = _after_header(stream)
        while end < size:
            stream.seek(start)
            window = np.frombuffer(stream.read(BLOCK), np.uint8)
            end = size if start + len(window) >= size else start + _last_line_end(window)
            if end == start:
                raise WorkbenchError(
                    f"{os.path.basename(file)} has a line longer than {BLOCK >> 20} MiB.",
                    "A quote may be open: check its quoted fields.",
                )
            found.append((start, end))
            start = end
    return found


def _after_header(stream: Any) -> int:
    """Return where the first line ends, quoted line breaks passed over."""
    head = np.frombuffer(stream.read(1 << 20), np.uint8)
    ends = np.flatnonzero((head == ord("\n")) & (np.cumsum(head == ord('"')) % 2 == 0))
    return int(ends[0]) + 1 if len(ends) else len(head)


def _last_line_end(window: np.ndarray) -> int:
    """Return where the last whole line of a window ends, given that the window starts with one; 0 for none."""
    ends = np.flatnonzero(window == ord("\n"))
    quotes = np.flatnonzero(window == ord('"'))
    whole = ends[np.searchsorted(quotes, ends) % 2 == 0]
    return int(whole[-1]) + 1 if len(whole) else 0
