"""What is kept in the store of the parts of files: their codes, under the content that they were made from."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from workbench.anomaly.encode import Codes, encode_array

if TYPE_CHECKING:
    import numpy as np

    from workbench.anomaly.data import Part

__all__ = ["VERSION", "Stored", "part_key", "stored_codes"]

#: of how columns become codes; codes kept by another version are not read
VERSION = 1
#: what making codes must take at least, in seconds, to be worth a file
WORTH = 0.02
#: bytes hashed at a time
_PIECE = 1 << 20


@dataclass(frozen=True, eq=False)
class Stored:
    """Codes of a part's rows.

    Attributes
    ----------
    codes : Codes
    hit : bool
        Whether the store had them.
    """

    codes: Codes
    hit: bool = False


def stored_codes(part: Part, name: str, edges: np.ndarray | None) -> Stored:
    """Return the codes of a part's rows, kept ones if the store has them.

    Ranges are not kept: their edges belong to one question.
    """
    from workbench.engine.store import store

    key = part_key(part, name) if edges is None else None
    if key is not None:
        table = store().get_table(key)
        if table is not None:
            return Stored(_read(name, table), hit=True)
    begin = time.perf_counter()
    codes = encode_array(name, part.load([name]).column(name), edges=edges)
    seconds = time.perf_counter() - begin
    if key is not None and seconds >= WORTH:
        store().put_table(key, _table(codes), kind="outlier codes", cost_s=seconds)
    return Stored(codes)


def part_key(part: Part, name: str) -> str | None:
    """Return the key of a column of a part by the bytes that it is read from; None if it is not part of a file."""
    from workbench.anomaly.file_parts import CsvBlock, RowGroup
    from workbench.engine.keys import key

    if isinstance(part, RowGroup):
        found = _chunk(part, name)
        return None if found is None else key("outlier codes", VERSION, *found)
    if isinstance(part, CsvBlock):
        kinds = [(known, str(kind)) for known, kind in part.kinds]
        return key("outlier codes", VERSION, _block(part), kinds, part.separator, name)
    return None


# ----------------------------------------------------------------------------------------------------------- private


def _chunk(part: Any, name: str) -> tuple[Any, ...] | None:
    """Return hash, type and codec of the bytes that hold a column in a row group; None for a nested column."""
    facts = os.stat(part.file)
    footer = _footer(part.file, facts.st_size, facts.st_mtime_ns)
    names = [footer.schema.column(place).path for place in range(footer.num_columns)]
    if names.count(name) != 1:
        return None
    chunk = footer.row_group(part.group).column(names.index(name))
    starts = [chunk.data_page_offset]
    if chunk.has_dictionary_page and chunk.dictionary_page_offset is not None:
        starts.append(chunk.dictionary_page_offset)
    start = min(starts)
    kind = str(footer.schema.to_arrow_schema().field(name).type)
    return _digest(part.file, start, start + chunk.total_compressed_size), kind, chunk.compression, chunk.num_values


@lru_cache(maxsize=8)
def _footer(file: str, size: int, changed: int) -> Any:
    """Return the metadata of a Parquet file, read once for all of its parts while the file stays as it is."""
    import pyarrow.parquet as pq

    return pq.read_metadata(file)


_blocks: dict[tuple[Any, ...], str] = {}


def _block(part: Any) -> str:
    """Return the hash of the lines of a block; once for all of its columns, while the file stays as it is."""
    facts = os.stat(part.file)
    known = (part.file, part.start, part.end, facts.st_size, facts.st_mtime_ns)
    if known not in _blocks:
        if len(_blocks) > 10_000:
            _blocks.clear()
        _blocks[known] = _digest(part.file, max(0, part.start), facts.st_size if part.end < 0 else part.end)
    return _blocks[known]


def _digest(file: str, start: int, end: int) -> str:
    import xxhash

    digest = xxhash.xxh3_128()
    with open(file, "rb") as stream:
        stream.seek(start)
        while start < end:
            piece = stream.read(min(_PIECE, end - start))
            if not piece:
                break
            digest.update(piece)
            start += len(piece)
    return digest.hexdigest()


def _table(codes: Codes) -> pa.Table:
    """Return codes as a table of one dictionary column."""
    return pa.table({"codes": pa.DictionaryArray.from_arrays(pa.array(codes.codes), codes.values)})


def _read(name: str, table: pa.Table) -> Codes:
    column = table.column("codes")
    if not column.num_chunks:
        kind = column.type
        return Codes(name, pa.array([], kind.index_type).to_numpy(), pa.array([], kind.value_type))
    chunk = column.chunk(0)
    return Codes(name, chunk.indices.to_numpy(zero_copy_only=False), chunk.dictionary)
