from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from workbench.engine.fetch import asset
from workbench.engine.onnx_size import symbolic_size


def field(number: int, content: bytes) -> bytes:
    assert len(content) < 128
    return bytes([number << 3 | 2, len(content)]) + content


def shaped(name: bytes, *dimensions: bytes) -> bytes:
    """A ValueInfoProto of float tensors."""
    shape = b"".join(field(1, dimension) for dimension in dimensions)
    return field(1, name) + field(2, field(1, b"\x08\x01" + field(2, shape)))


def number(value: int) -> bytes:
    return bytes([0x08, value])


def model(source: bytes, answer: bytes, *rest: bytes) -> bytes:
    graph = field(1, b"node") + field(5, b"weight") + field(11, source) + field(12, answer) + b"".join(rest)
    return b"\x08\x07" + field(7, graph) + field(8, b"\x10\x0b")


def test_only_shapes_change() -> None:
    fixed = model(
        shaped(b"images", number(1), number(3), number(32), number(64)),
        shaped(b"output", number(1), number(42), number(85)),
        field(13, shaped(b"middle", number(1))),
    )
    assert symbolic_size(fixed) == model(
        shaped(b"images", number(1), number(3), field(2, b"h"), field(2, b"w")),
        shaped(b"output", number(1), field(2, b"n"), number(85)),
    )


def test_twice_is_once() -> None:
    fixed = model(shaped(b"i", *[number(1)] * 4), shaped(b"o", *[number(1)] * 3))
    assert symbolic_size(symbolic_size(fixed)) == symbolic_size(fixed)


@pytest.mark.parametrize("text", [b"\x0f", b"\x3a\x7fshort", b"\x3a", b"\xff\xff"])
def test_what_is_no_protobuf_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="protobuf"):
        symbolic_size(text)


def test_the_detector_comes_out_as_the_manifest_says() -> None:
    mirror = os.environ.get("WORKBENCH_MIRROR", "")
    source = Path(mirror) / asset("yolox-nano").path
    if not mirror or not source.is_file():
        pytest.skip("WORKBENCH_MIRROR does not name a folder with the detector's weights")
    made = symbolic_size(source.read_bytes())
    assert hashlib.sha256(made).hexdigest() == asset("yolox-nano-dynamic").sha256
