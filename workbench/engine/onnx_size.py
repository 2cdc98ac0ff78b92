"""Makes an ONNX model of fixed input size accept any size, without the onnx package: a few fields of its protobuf.

Only the declared shapes change; nodes and weights stay byte for byte. Field numbers are those of onnx.proto3
(https://github.com/onnx/onnx, Apache-2.0).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

__all__ = ["symbolic_size"]

_MODEL_GRAPH = 7
_GRAPH_INPUT, _GRAPH_OUTPUT, _GRAPH_VALUE_INFO = 11, 12, 13
_VALUE_TYPE, _TYPE_TENSOR, _TENSOR_SHAPE, _SHAPE_DIM = 2, 1, 2, 1
_DIM_PARAM = 2

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def symbolic_size(model: bytes) -> bytes:
    """Make height and width of a model's input, and the number of rows of its output, symbolic.

    Parameters
    ----------
    model : bytes
        A serialised `ModelProto` with one input of shape (1, channels, height, width) and one output of shape
        (1, rows, columns).

    Returns
    -------
    bytes
        The same model with dimensions "h", "w" and "n"; shapes recorded for values in between are dropped.

    Raises
    ------
    ValueError
        If the bytes are not a protobuf message.
    """

    def value_info(names: dict[int, bytes]) -> dict[int, object]:
        position = itertools.count()

        def dimension(content: bytes) -> bytes:
            name = names.get(next(position))
            return content if name is None else _field(_DIM_PARAM, name)

        return {_VALUE_TYPE: {_TYPE_TENSOR: {_TENSOR_SHAPE: {_SHAPE_DIM: dimension}}}}

    graph = {
        _GRAPH_INPUT: value_info({2: b"h", 3: b"w"}),
        _GRAPH_OUTPUT: value_info({1: b"n"}),
        _GRAPH_VALUE_INFO: None,
    }
    return _edit(model, {_MODEL_GRAPH: graph})


def _edit(message: bytes, edits: dict[int, object]) -> bytes:
    """Rewrite fields of a message: by a nested dict, by a function of the content, or None to drop them."""
    parts = []
    for number, content, raw in _fields(message):
        edit = edits.get(number, _KEEP)
        if edit is _KEEP or content is None:
            parts.append(raw)
        elif isinstance(edit, dict):
            parts.append(_field(number, _edit(content, edit)))
        elif callable(edit):
            parts.append(_field(number, edit(content)))
    return b"".join(parts)


_KEEP = object()


def _fields(message: bytes) -> Iterator[tuple[int, bytes | None, bytes]]:
    """Yield (field number, content if it has a length, all its bytes)."""
    position = 0
    while position < len(message):
        begin = position
        tag, position = _read_varint(message, position)
        content = None
        match tag & 7:
            case wire if wire == _VARINT:
                _, position = _read_varint(message, position)
            case wire if wire == _BYTES:
                length, position = _read_varint(message, position)
                content = message[position : position + length]
                position += length
            case wire if wire in (_FIXED32, _FIXED64):
                position += 4 if wire == _FIXED32 else 8
            case _:
                raise ValueError("not a protobuf message")
        if position > len(message):
            raise ValueError("the protobuf message ends early")
        yield tag >> 3, content, message[begin:position]


def _read_varint(message: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(message):
            raise ValueError("the protobuf message ends early")
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, position


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(content)) + content
