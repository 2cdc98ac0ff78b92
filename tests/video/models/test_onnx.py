"""Networks against stored boxes, and what files of one's own must be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.video.models import reference
from tests.video.models.mirror import mirrored, needs_mirror
from tests.video.models.tiny_onnx import constant_detector
from workbench.engine.errors import WorkbenchError
from workbench.video.models.labels import COCO
from workbench.video.models.onnx import OnnxDetector
from workbench.video.models.registry import resolve

EXPECTED = json.loads(reference.FILE.read_text())


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    return [reference.picture(*chosen) for chosen in reference.PICTURES]


@needs_mirror
@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_boxes_are_those_of_an_independent_decoding(name: str, pictures: list[np.ndarray]) -> None:
    loaded = resolve(name).load(1)
    for found, expected in zip(loaded.open(None)(pictures, [0, 1], [0.0, 1.0]), EXPECTED[name], strict=True):
        wanted = np.array(expected).reshape(-1, 6)
        # A score next to the threshold may fall on either side on another processor.
        clear = wanted[wanted[:, 4] > 0.101]
        assert len(wanted) >= len(clear) and abs(len(found) - len(wanted)) <= len(wanted) - len(clear)
        np.testing.assert_allclose(found[: len(clear), :4], clear[:, :4], atol=0.02)
        np.testing.assert_allclose(found[: len(clear), 4], clear[:, 4], atol=1e-3)
        assert found[: len(clear), 5].tolist() == clear[:, 5].tolist()


@needs_mirror
def test_threads_do_not_change_boxes(pictures: list[np.ndarray]) -> None:
    one, two = (resolve("yolox-nano").load(threads).open(None)(pictures, [0, 1], [0, 1]) for threads in (1, 2))
    for left, right in zip(one, two, strict=True):
        np.testing.assert_array_equal(left, right)


@needs_mirror
def test_the_fixed_file_with_a_free_size_is_the_dynamic_file(pictures: list[np.ndarray]) -> None:
    fixed = OnnxDetector(mirrored("models/yolox_nano_416.onnx"), COCO, "yolox", 416, any_size=True)
    dynamic = OnnxDetector(mirrored("models/yolox_nano_dynamic.onnx"), COCO, "yolox", 416)
    for left, right in zip(fixed.open()(pictures, [0], [0]), dynamic.open()(pictures, [0], [0]), strict=True):
        np.testing.assert_array_equal(left, right)


@needs_mirror
@pytest.mark.parametrize(
    ("file", "layout", "size", "labels", "batch"),
    [
        ("yolox_nano_dynamic", "yolox", 416, COCO, 4),
        ("light_person_detector", "yolox", 192, ("person",), 4),
        ("FastestDet", "fastestdet", 352, COCO, 1),  # its inner layers want one picture
    ],
)
def test_batches_answer_as_singles_or_are_not_used(
    file: str, layout: str, size: int, labels: tuple[str, ...], batch: int, pictures: list[np.ndarray]
) -> None:
    path = mirrored(f"models/{file}.onnx")
    batched = OnnxDetector(path, labels, layout, size, batch=4)
    assert batched.batch == batch
    single = OnnxDetector(path, labels, layout, size)
    three = [*pictures, pictures[0][:, ::-1]]
    for left, right in zip(
        batched.open()(three, [0] * 3, [0] * 3), single.open()(three, [0] * 3, [0] * 3), strict=True
    ):
        np.testing.assert_allclose(left, right, atol=1e-3)


def _yolov8(rows: list[list[float]]) -> np.ndarray:
    """Return a YOLOv8 output (1, 4 + 2 classes, n)."""
    return np.array(rows, np.float32).T[None]


def test_a_file_in_yolov8_layout(tmp_path: Path) -> None:
    rows = [
        [32, 20, 16, 8, 0.9, 0.2],
        [33, 20, 16, 8, 0.8, 0.1],  # the same thing again
        [33, 20, 16, 8, 0.1, 0.7],  # another class is not suppressed
        [50, 50, 4, 4, 0.05, 0.04],
    ]
    path = constant_detector(tmp_path / "mine.onnx", _yolov8(rows))
    (found,) = OnnxDetector(path, ("cat", "dog"), "yolov8", 64).open()([np.zeros((64, 128, 3), np.uint8)], [0], [0])
    # 128 px wide pictures are halved to fit 64.
    np.testing.assert_allclose(found, [[48, 32, 80, 48, 0.9, 0], [50, 32, 82, 48, 0.7, 1]], rtol=1e-6)


def test_some_classes_only_and_several_under_one_label(tmp_path: Path) -> None:
    rows = [[32, 20, 16, 8, 0.9, 0, 0, 0], [10, 10, 4, 4, 0, 0.8, 0, 0], [50, 50, 4, 4, 0, 0, 0.7, 0]]
    path = constant_detector(tmp_path / "mine.onnx", _yolov8(rows))
    detector = OnnxDetector(path, ("car", "", "car"), "yolov8", 64, some=True)
    (found,) = detector.open()([np.zeros((64, 64, 3), np.uint8)], [0], [0])
    np.testing.assert_allclose(found[:, 4:], [[0.9, 0], [0.7, 0]], rtol=1e-6)


def test_a_file_with_other_labels_layout_or_content_is_refused(tmp_path: Path) -> None:
    path = constant_detector(tmp_path / "mine.onnx", _yolov8([[32, 20, 16, 8, 0.9, 0.2]] * 9))
    with pytest.raises(WorkbenchError, match=r"mine.onnx has 2 classes and 3 labels were given\."):
        OnnxDetector(path, ("a", "b", "c"), "yolov8", 64)
    with pytest.raises(WorkbenchError) as raised:
        OnnxDetector(
            constant_detector(tmp_path / "map.onnx", np.zeros((1, 7, 4, 4), np.float32)), ("a", "b"), "yolox", 64
        )
    assert str(raised.value) == 'map.onnx is not a model in the yolox layout.\nUse format="fastestdet".'
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(WorkbenchError, match=r"text.onnx is not an ONNX model that can be run\."):
        OnnxDetector(tmp_path / "text.onnx", ("a",), "yolox", 64)


def test_pictures_of_any_size_give_finite_boxes(tmp_path: Path) -> None:
    path = constant_detector(tmp_path / "mine.onnx", _yolov8([[32, 20, 16, 8, 0.9, 0.2], [9, 9, -4, 4, 0.9, 0.2]]))
    session = OnnxDetector(path, ("cat", "dog"), "yolov8", 64).open()
    images = [np.zeros(shape, np.uint8) for shape in ((1, 1, 3), (2, 700, 3), (333, 2, 3))]
    for rows in session(images, [0, 1, 2], [0, 1, 2]):
        assert rows.shape == (1, 6)  # the box of negative width is dropped
        assert np.isfinite(rows).all()
