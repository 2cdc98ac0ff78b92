"""Content keys: one hash for nested plain data, the same in every process."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import hashlib
import struct
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

import numpy as np

__all__ = ["key"]


def key(*parts: Any) -> str:
    """Return a hash of plain data: 64 hexadecimal digits, the same in every process and on every machine.

    Parameters
    ----------
    *parts
        str, int, float, bool, None, bytes, date and time, path, enum, tuple, list, dict, set, NumPy array and scalar,
        DataFrame, Arrow table, dataclass; nested as deep as needed. Types count: `1`, `1.0`, `True` and `"1"` differ.

    Raises
    ------
    TypeError
        For anything else: its content cannot be told.
    """
    digest = hashlib.sha256()
    for chunk in _encode(parts):
        digest.update(chunk)
    return digest.hexdigest()


def _encode(value: Any) -> Iterator[bytes]:
    """Yield an encoding in which no two different values are alike: a tag, a length, then the content."""
    if value is None:
        yield b"N;"
    elif isinstance(value, (bool, np.bool_)):
        yield b"T;" if value else b"F;"
    elif isinstance(value, enum.Enum):
        yield from _tagged(b"E", f"{type(value).__module__}.{type(value).__qualname__}.{value.name}".encode())
    elif isinstance(value, (int, np.integer)):
        yield b"i%d;" % int(value)
    elif isinstance(value, (float, np.floating)):
        yield b"f" + struct.pack(">d", float(value))
    elif isinstance(value, str):
        yield from _tagged(b"s", value.encode("utf-8", "surrogatepass"))
    elif isinstance(value, (bytes, bytearray, memoryview)):
        yield from _tagged(b"b", bytes(value))
    elif isinstance(value, (dt.datetime, dt.date, dt.time)):
        yield from _tagged(b"d", value.isoformat().encode())
    elif isinstance(value, dt.timedelta):
        yield from _tagged(b"D", repr((value.days, value.seconds, value.microseconds)).encode())
    elif isinstance(value, PurePath):
        yield from _tagged(b"p", value.as_posix().encode("utf-8", "surrogatepass"))
    elif isinstance(value, (tuple, list)):
        yield b"%b%d:" % (b"t" if isinstance(value, tuple) else b"l", len(value))
        for item in value:
            yield from _encode(item)
    elif isinstance(value, dict):
        yield b"m%d:" % len(value)
        for name, item in sorted((b"".join(_encode(name)), item) for name, item in _items(value)):
            yield name
            yield item
    elif isinstance(value, (set, frozenset)):
        yield b"S%d:" % len(value)
        yield from sorted(b"".join(_encode(item)) for item in value)
    elif isinstance(value, np.ndarray):
        yield from _array(value)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from _tagged(b"c", f"{type(value).__module__}.{type(value).__qualname__}".encode())
        yield from _encode({field.name: getattr(value, field.name) for field in dataclasses.fields(value)})
    else:
        yield from _table(value)


def _items(mapping: dict[Any, Any]) -> Iterator[tuple[Any, bytes]]:
    for name, item in mapping.items():
        yield name, b"".join(_encode(item))


def _tagged(tag: bytes, content: bytes) -> Iterator[bytes]:
    yield b"%b%d:" % (tag, len(content))
    yield content


def _array(array: np.ndarray) -> Iterator[bytes]:
    if array.dtype.hasobject:
        yield b"o"
        yield from _encode(array.shape)
        for item in array.ravel().tolist():
            yield from _encode(item)
        return
    if array.dtype.byteorder == ">" or (array.dtype.byteorder == "=" and not np.little_endian):
        array = array.astype(array.dtype.newbyteorder("<"))
    yield from _tagged(b"a", repr((array.dtype.str, array.shape)).encode())
    yield np.ascontiguousarray(array).tobytes()


def _table(value: Any) -> Iterator[bytes]:
    """Tables by their columns; the libraries are here already if there is such a value."""
    origin = type(value).__module__.partition(".")[0]
    if origin == "pandas" and hasattr(value, "columns"):
        yield b"P"
        yield from _encode([str(name) for name in value.columns])
        for position in range(value.shape[1]):
            yield from _array(value.iloc[:, position].to_numpy())
    elif origin == "pandas" and hasattr(value, "to_numpy"):
        yield b"V"
        yield from _array(value.to_numpy())
    elif origin == "pyarrow" and hasattr(value, "column_names"):
        yield b"A"
        yield from _encode([str(name) for name in value.column_names])
        for column in value.columns:
            yield from _tagged(b"y", str(column.type).encode())
            yield from _array(column.to_numpy())
    else:
        raise TypeError(f"a {type(value).__name__} has no content key")
