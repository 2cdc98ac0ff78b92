"""Text and dictionary columns as codes: numbered part by part, then put under one dictionary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workbench.anomaly.loading import coders

__all__ = ["Numbered", "assembled", "code_type", "compacted", "hashed", "merged", "parts_of"]

#: codes ascend with the values up to so many; above, sorting would cost more than all else
SORTED = 1 << 16

#: chunks smaller than this on average are put together first
_CHUNK = 10_000


class Part(Protocol):
    """Some rows of a column, numbered by a dictionary of their own."""

    values: pa.Array

    def write(self, new: np.ndarray, codes: np.ndarray) -> None:
        """Fill `codes` with `new[number]` of each row."""


@dataclass(eq=False)
class Numbered:
    """Rows as numbers of their values.

    Attributes
    ----------
    numbers : integer array
    values : pyarrow.Array
        Each occurs; one may be null.
    """

    numbers: np.ndarray
    values: pa.Array

    def write(self, new: np.ndarray, codes: np.ndarray) -> None:
        """Fill `codes` with `new[number]` of each row."""
        fast = coders(0)
        if fast is None:
            np.take(new, self.numbers, out=codes, mode="clip")
            return
        width, address = self.numbers.itemsize, self.numbers.ctypes.data
        more = np.append(new, new[:1]).astype(np.uint32)
        fast.recode(width, address, len(codes), 0, 0, more, codes.itemsize, codes.ctypes.data)


@dataclass(eq=False)
class Indexed:
    """Rows of an Arrow dictionary array, of which only the values that occur are kept.

    Attributes
    ----------
    indices : pyarrow.Array
    used : int64 array
        Which entries of the dictionary occur.
    size : int
        How many entries it has.
    values : pyarrow.Array
        Those that occur, then null if there are rows without a value.
    """

    indices: pa.Array
    used: np.ndarray
    size: int
    values: pa.Array

    def write(self, new: np.ndarray, codes: np.ndarray) -> None:
        """Fill `codes` with `new[number]` of each row."""
        full = np.zeros(self.size + 1, np.uint32)
        full[self.used] = new[: len(self.used)]
        full[-1] = new[-1]
        fast = coders(0)
        if fast is not None:
            fast.recode(*_located(self.indices), full, codes.itemsize, codes.ctypes.data)
        else:
            np.take(full.astype(codes.dtype), _filled(self.indices, self.size), out=codes, mode="clip")


def parts_of(array: pa.ChunkedArray | pa.Array) -> list[Part]:
    """Return the chunks of a column of text, bytes or dictionary values, numbered."""
    coders(len(array))  # chunks may be too small to have kernels loaded
    return [
        _indexed(chunk) if pa.types.is_dictionary(chunk.type) else Numbered(*_numbered(chunk))
        for chunk in _chunks(array)
    ]


def assembled(parts: Sequence[Part], n: int) -> tuple[np.ndarray, pa.Array]:
    """Return the codes of all rows and their values, null first."""
    if not parts:
        return np.empty(0, np.uint8), pa.array([], pa.string())
    distinct = len(parts) == 1 and isinstance(parts[0], Numbered)
    values, recode = merged([part.values for part in parts], distinct=distinct)
    codes = np.empty(n, code_type(len(values)))
    recode = recode.astype(codes.dtype)
    row = code = 0
    for part in parts:
        rows = len(part.indices) if isinstance(part, Indexed) else len(part.numbers)  # type: ignore[attr-defined]
        part.write(recode[code : code + len(part.values)], codes[row : row + rows])
        row, code = row + rows, code + len(part.values)
    return codes, values


def compacted(numbers: np.ndarray, size: int, missing: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return dense codes of unsigned numbers below `size`, null first, and which numbers occur."""
    fast = coders(len(numbers))
    found = np.zeros(size + 1, np.uint8)
    if fast is not None and missing is None:
        fast.present(numbers.itemsize, numbers.ctypes.data, len(numbers), 0, 0, found)
    else:
        held = numbers if missing is None else numbers[~missing]
        found[np.flatnonzero(np.bincount(held, minlength=size))] = 1
    used = np.flatnonzero(found[:-1])
    first = int(missing is not None)
    card = len(used) + first
    if card == size and missing is None:
        return numbers, used
    new = np.zeros(size + 1, code_type(card))
    new[used] = np.arange(first, card)
    codes = np.empty(len(numbers), new.dtype)
    Numbered(numbers, pa.nulls(size)).write(new, codes)
    if missing is not None:
        codes[missing] = 0
    return codes, used


def merged(parts: Sequence[pa.Array], *, distinct: bool = False) -> tuple[pa.Array, np.ndarray]:
    """Return the distinct values of all parts, and the code of each value of each part, one after another.

    Parameters
    ----------
    parts : sequence of pyarrow.Array
    distinct : bool
        Whether no value is there twice.
    """
    together = pa.concat_arrays(parts) if len(parts) > 1 else parts[0]
    if distinct:
        values, place = together, np.arange(len(together))
    else:
        found = together.dictionary_encode(null_encoding="encode")
        values, place = found.dictionary, found.indices.to_numpy(zero_copy_only=False)
    order = np.arange(len(values))
    if len(values) <= SORTED:
        order = pc.sort_indices(values).to_numpy().astype(np.int64)  # null last
    if values.null_count:
        null = np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False))
        order = np.concatenate([null, order[order != null[0]]])
    rank = np.empty(len(values), np.int64)
    rank[order] = np.arange(len(values))
    return values.take(pa.array(order)), rank[place]


def hashed(values: np.ndarray, missing: np.ndarray | None) -> tuple[np.ndarray, pa.Array]:
    """Return numbers of integers and the integers they stand for."""
    fast = coders(len(values))
    if fast is None or missing is not None or values.itemsize != 8:
        found = pa.array(values, mask=missing).dictionary_encode(null_encoding="encode")
        return found.indices.to_numpy(zero_copy_only=False), found.dictionary
    values = np.ascontiguousarray(values)
    codes = np.empty(len(values), np.uint32)
    nothing = np.zeros(1, np.uint64), np.zeros(1, np.int64)
    first, _ = fast.dictionary_codes(fast.WORDS, values.ctypes.data, len(values), *nothing, 0, 0, codes)
    return codes, pa.array(values[first])


def code_type(card: int) -> Any:
    """Return the smallest unsigned type that holds codes below `card`."""
    return np.uint8 if card <= 1 << 8 else np.uint16 if card <= 1 << 16 else np.uint32


# ---------------------------------------------------------------------------------------------------------- private


def _numbered(chunk: pa.Array) -> tuple[np.ndarray, pa.Array]:
    """Return numbers of text and the text they stand for."""
    fast, kind = coders(len(chunk)), chunk.type
    view = kind == pa.string_view()
    small = pa.types.is_string(kind) or pa.types.is_binary(kind)
    if fast is None or not (view or small or pa.types.is_large_string(kind) or pa.types.is_large_binary(kind)):
        chunk = chunk.cast(pa.large_string()) if view else chunk
        found = chunk.dictionary_encode(null_encoding="encode")
        return found.indices.to_numpy(zero_copy_only=False), found.dictionary
    valid, items, *texts = chunk.buffers()
    form, width = (fast.VIEWS, 16) if view else (fast.OFFSETS_32, 4) if small else (fast.OFFSETS_64, 8)
    texts = [text for text in texts if text is not None]
    addresses = np.array([text.address for text in texts] or [0], np.uint64)
    sizes = np.array([text.size for text in texts] or [0], np.int64)
    codes = np.empty(len(chunk), np.uint32)
    first, null = fast.dictionary_codes(
        form,
        items.address + chunk.offset * width,
        len(chunk),
        addresses,
        sizes,
        0 if valid is None else valid.address,
        chunk.offset,
        codes,
    )
    return codes, _views_at(chunk, first, null) if view else chunk.take(pa.array(first))


def _views_at(chunk: pa.Array, rows: np.ndarray, null: int) -> pa.Array:
    """Return the text of some rows of a view array; Arrow cannot take from views, but views are plain to copy."""
    _, items, *texts = chunk.buffers()
    views = np.frombuffer(items, np.uint64).reshape(-1, 2)[chunk.offset + rows]
    valid = None
    if null >= 0:
        views[null] = 0
        valid = pa.py_buffer(np.packbits(np.arange(len(rows)) != null, bitorder="little"))
    found = pa.Array.from_buffers(pa.string_view(), len(rows), [valid, pa.py_buffer(views), *texts])
    return found.cast(pa.large_string())


def _indexed(chunk: pa.DictionaryArray) -> Indexed:
    from workbench.anomaly.encode import plain_values

    values, indices = plain_values(chunk.dictionary), chunk.indices
    found = np.zeros(len(values) + 1, np.uint8)
    fast = coders(len(chunk))
    if fast is not None:
        fast.present(*_located(indices), found)
    else:
        found[np.bincount(_filled(indices, len(values)), minlength=len(values) + 1) > 0] = 1
    used = np.flatnonzero(found[:-1])
    size = len(values)
    if len(used) < size:
        values = values.take(pa.array(used))
    if found[-1]:
        values = pa.concat_arrays([values, pa.nulls(1, values.type)])
    return Indexed(indices, used, size, values)


def _filled(indices: pa.Array, null: int) -> np.ndarray:
    """Return indices with `null` where there is none."""
    if indices.null_count:
        indices = indices.cast(pa.int64()).fill_null(null)
    return indices.to_numpy(zero_copy_only=False)


def _located(indices: pa.Array) -> tuple[int, int, int, int, int]:
    """Return width in bytes, address, number, address of the validity bitmap and the first bit of indices."""
    valid, held = indices.buffers()
    width = indices.type.bit_width // 8
    address = 0 if held is None else held.address + indices.offset * width
    return width, address, len(indices), 0 if valid is None else valid.address, indices.offset


def _chunks(array: pa.ChunkedArray | pa.Array) -> list[pa.Array]:
    if isinstance(array, pa.Array):
        return [_hashable(array)]
    if array.num_chunks > 1 and len(array) < _CHUNK * array.num_chunks and not pa.types.is_dictionary(array.type):
        return [_hashable(pa.concat_arrays(array.chunks))]
    return [_hashable(chunk) for chunk in array.chunks if len(chunk)]


def _hashable(chunk: pa.Array) -> pa.Array:
    """Return a chunk in a type that a dictionary can be made of."""
    return chunk.cast(pa.string()) if pa.types.is_null(chunk.type) else chunk
