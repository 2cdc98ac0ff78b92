"""Hashes of what columns hold."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING

import pyarrow as pa

from workbench.anomaly.loading import coders

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["digest", "table_key"]

#: bytes copied at a time, where Python's own hash is used
_PIECE = 1 << 20


def digest(array: pa.ChunkedArray | pa.Array) -> Hashable:
    """Return what tells the content of a column from that of others, in this process.

    Memory is read at each call, so a column changed in place has another digest. Equal content in other chunks may have
    another digest too: that costs an encoding, never a wrong answer.
    """
    chunks = array.chunks if isinstance(array, pa.ChunkedArray) else [array]
    return str(array.type), coders(0) is None, tuple(_chunk(chunk) for chunk in chunks)


def table_key(columns: Mapping[str, pa.ChunkedArray]) -> str:
    """Return a hash of names, types and values, the same in every process."""
    from workbench.engine.keys import key

    return key(pa.table(dict(columns)))


def _chunk(chunk: pa.Array) -> Hashable:
    if isinstance(chunk, pa.ExtensionArray):
        chunk = chunk.storage
    if isinstance(chunk, pa.DictionaryArray):
        return _chunk(chunk.dictionary), _chunk(chunk.indices)
    if pa.types.is_nested(chunk.type) or isinstance(chunk, pa.RunEndEncodedArray):
        return tuple(map(str, chunk.to_pylist()))
    return len(chunk), chunk.offset % 8, *((size, _hash(start, size, held)) for start, size, held in _windows(chunk))


def _windows(chunk: pa.Array) -> Iterator[tuple[int, int, pa.Buffer]]:
    """Yield address, size and owner of the memory that a chunk's values are in, and little else."""
    valid, *buffers = chunk.buffers()
    first, last, kind = chunk.offset, chunk.offset + len(chunk), chunk.type
    if valid is not None:
        yield valid.address + first // 8, (last + 7) // 8 - first // 8, valid
    if not buffers or buffers[0] is None:
        return
    held = buffers[0]
    if pa.types.is_boolean(kind):
        yield held.address + first // 8, (last + 7) // 8 - first // 8, held
    elif kind in (pa.string_view(), pa.binary_view()):
        yield held.address + 16 * first, 16 * len(chunk), held
        for text in buffers[1:]:
            yield text.address, text.size, text
    elif len(buffers) == 2:  # offsets, then text
        width = 8 if pa.types.is_large_string(kind) or pa.types.is_large_binary(kind) else 4
        yield held.address + width * first, width * (len(chunk) + 1), held
        if buffers[1] is not None:
            view = memoryview(held).cast("B")
            begin, end = (int.from_bytes(view[width * at : width * (at + 1)], "little") for at in (first, last))
            yield buffers[1].address + begin, end - begin, buffers[1]
    else:
        width = kind.bit_width // 8
        yield held.address + width * first, width * len(chunk), held


def _hash(address: int, size: int, held: pa.Buffer) -> int:
    fast = coders(0)
    if fast is not None:
        return int(fast.memory_hash(address, size, 0))
    start = address - held.address
    view = memoryview(held).cast("B")[start : start + size]
    return hash(tuple(hash(view[at : at + _PIECE].tobytes()) for at in range(0, size, _PIECE)))
