"""ONNX files of a few nodes, written byte by byte: the format's wire encoding, no library."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FLOAT, INT64 = 1, 7


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


def _bytes(number: int, content: bytes | str) -> bytes:
    raw = content.encode() if isinstance(content, str) else content
    return _varint(number << 3 | 2) + _varint(len(raw)) + raw


def _int(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def tensor(name: str, values: NDArray, *, raw: bool = True) -> bytes:
    """Return a TensorProto of float32 or int64; `raw=False` writes int64 as repeated varints."""
    kind = FLOAT if values.dtype == np.float32 else INT64
    head = b"".join(_int(1, side) for side in values.shape) + _int(2, kind) + _bytes(8, name)
    if raw:
        return head + _bytes(9, values.tobytes())
    return head + _bytes(7, b"".join(_varint(int(value)) for value in values))


def value(name: str, shape: tuple[int | str, ...]) -> bytes:
    """Return a ValueInfoProto of a float tensor; a side that is text is symbolic."""
    sides = b"".join(_bytes(1, _int(1, side) if isinstance(side, int) else _bytes(2, side)) for side in shape)
    return _bytes(1, name) + _bytes(2, _bytes(1, _int(1, FLOAT) + _bytes(2, sides)))


def node(kind: str, inputs: list[str], outputs: list[str], attributes: bytes = b"") -> bytes:
    """Return a NodeProto."""
    return (
        b"".join(_bytes(1, name) for name in inputs)
        + b"".join(_bytes(2, name) for name in outputs)
        + _bytes(4, kind)
        + attributes
    )


def float_attribute(name: str, number: float) -> bytes:
    """Return a NodeProto's attribute field."""
    return _bytes(5, _bytes(1, name) + _varint(2 << 3 | 5) + struct.pack("<f", number) + _int(20, 1))


def model(nodes: list[bytes], weights: list[bytes], inputs: list[bytes], outputs: list[bytes]) -> bytes:
    """Return a ModelProto of opset 13."""
    graph = b"".join(
        [
            *(_bytes(1, one) for one in nodes),
            _bytes(2, "tiny"),
            *(_bytes(5, one) for one in weights),
            *(_bytes(11, one) for one in inputs),
            *(_bytes(12, one) for one in outputs),
        ]
    )
    return _int(1, 8) + _bytes(7, graph) + _bytes(8, _int(2, 13))


def constant_detector(path: Path, output: NDArray[np.float32], size: int = 64) -> Path:
    """Write a network that answers `output` (its first axis is the batch) to any picture."""
    # output = weights + 0 * sum(picture)
    nodes = [
        node("ReduceSum", ["images"], ["sum"], _bytes(5, _bytes(1, "keepdims") + _int(3, 0) + _int(20, 2))),
        node("Mul", ["sum", "zero"], ["nothing"]),
        node("Add", ["answer", "nothing"], ["output"]),
    ]
    weights = [tensor("answer", output.astype(np.float32)), tensor("zero", np.zeros((), np.float32))]
    path.write_bytes(model(nodes, weights, [value("images", (1, 3, size, size))], [value("output", output.shape)]))
    return path


def reshaping(target: list[int], *, raw: bool = True) -> bytes:
    """Return a network that reshapes (1, 3, 4, 4) by a constant target."""
    return model(
        [node("Reshape", ["images", "target"], ["output"])],
        [tensor("target", np.array(target, np.int64), raw=raw)],
        [value("images", (1, 3, 4, 4))],
        [value("output", tuple(side if side > 0 else 16 for side in target))],
    )
