"""Which detector a query gets, what is announced, and the errors word for word."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.video.models.mirror import needs_mirror
from tests.video.models.tiny_onnx import constant_detector
from workbench.engine.errors import WorkbenchError
from workbench.video.models import registry
from workbench.video.models.labels import COCO, closest_labels, track_groups
from workbench.video.models.registry import detectors, register_detector, register_tracker, resolve


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_REGISTERED", {})
    monkeypatch.setattr(registry, "_TRACKERS", {})


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No mirror, and an upstream that does not answer."""
    from workbench.engine import fetch

    def unreachable(place: str) -> bytes:
        raise OSError("no network")

    monkeypatch.delenv("WORKBENCH_MIRROR", raising=False)
    monkeypatch.setattr(fetch, "_read", unreachable)


def nothing(images: list) -> list[pd.DataFrame]:
    return [pd.DataFrame({"x1": [], "y1": [], "x2": [], "y2": []}) for _ in images]


def text(error: pytest.ExceptionInfo) -> str:
    return str(error.value)


def test_missing_weights_are_announced(offline: None) -> None:
    for asked in (None, "yolox-nano"):
        spec = resolve(asked)
        assert spec.name == "motion"
        assert spec.notes == (
            (
                "yolox-nano's weights cannot be had; using 'motion', which is cruder.",
                "Run workbench fetch yolox-nano, or set WORKBENCH_MIRROR.",
            ),
        )
    assert not resolve(None, hint="motion").notes


def test_a_wrong_hash_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    for name in ("yolox_nano_416.onnx", "yolox_nano_dynamic.onnx"):
        (tmp_path / "models" / name).write_bytes(b"changed")
    monkeypatch.setenv("WORKBENCH_MIRROR", str(tmp_path))
    with pytest.raises(WorkbenchError, match="wrong hash"):
        resolve(None)


def test_unknown_detector() -> None:
    with pytest.raises(WorkbenchError) as raised:
        resolve("yolo")
    assert text(raised) == "No detector is named 'yolo'.\nDid you mean 'yolox-nano'? wb.video.detectors() lists them."
    with pytest.raises(WorkbenchError) as raised:
        resolve("zzz")
    assert text(raised) == "No detector is named 'zzz'.\nwb.video.detectors() lists them."
    with pytest.raises(WorkbenchError) as raised:
        resolve(3)
    assert text(raised) == "detector cannot be int.\nPass a name, a callable or a table of boxes."


@needs_mirror
def test_no_detector_has_the_label() -> None:
    with pytest.raises(WorkbenchError) as raised:
        resolve(None, labels_needed=[("person",), ("forklift",)])
    assert (
        text(raised)
        == "No available detector finds 'forklift'.\n"
        + "Closest labels: truck, car. Use register_detector() or detector=."
    )


@needs_mirror
def test_another_detector_that_has_the_label_is_announced() -> None:
    spec = resolve("motion", labels_needed=[("dog",), None])
    assert spec.name == "yolox-nano"
    assert spec.notes == (("motion does not find 'dog'; using 'yolox-nano'.", ""),)
    assert resolve("motion", labels_needed=[("car", "truck"), None, "person"]).name == "motion"
    register_detector("lifts", nothing, labels=["forklift", "person"], version="1")
    assert resolve(None, labels_needed=[("forklift",), ("person",)]).name == "lifts"


def test_a_label_that_only_missing_weights_have(offline: None) -> None:
    with pytest.raises(WorkbenchError, match="No available detector finds 'dog'"):
        resolve(None, labels_needed=[("dog",)])


def test_a_table_without_the_label_is_still_what_was_given() -> None:
    boxes = pd.DataFrame({"frame": [0], "x1": 0, "y1": 0, "x2": 1, "y2": 1})
    spec = resolve(boxes, labels_needed=[("car",)])
    assert spec.kind == "given"
    assert spec.notes == (("The table of boxes has no 'car'.", "Its labels: object."),)


@needs_mirror
def test_detectors_lists_all() -> None:
    register_detector("mine", nothing, labels={0: "cat", 2: "dog"}, version="1")
    table = detectors().set_index("name")
    assert table.columns.tolist() == ["labels", "needs", "available", "default"]
    assert table.index.tolist() == [
        "yolox-nano", "nanodet", "fastestdet", "light-person", "hog-person", "motion", "mine",
    ]  # fmt: skip
    assert table["available"].all()
    assert table.index[table["default"]].tolist() == ["yolox-nano"]
    assert table["labels"]["mine"] == ["cat", "dog"]
    assert table["needs"]["motion"] == ""


def test_detectors_without_weights(offline: None) -> None:
    table = detectors().set_index("name")
    assert table.index[table["available"]].tolist() == ["hog-person", "motion"]
    assert table.index[table["default"]].tolist() == ["motion"]


def test_a_registered_file(tmp_path: Path) -> None:
    row = np.array([[32, 20, 16, 8, 0.9, 0.2]], np.float32).T[None]
    path = constant_detector(tmp_path / "mine.onnx", row)
    register_detector("mine", path, labels=["cat", "dog"], format="yolov8", tracking=(0.1, 0.3, 0.3))
    spec = pickle.loads(pickle.dumps(resolve("mine")))
    assert (spec.labels, spec.tracking) == (("cat", "dog"), (0.1, 0.3, 0.3))
    (found,) = spec.load().open(None)([np.zeros((64, 64, 3), np.uint8)], [0], [0.0])
    assert found.shape == (1, 6)
    constant_detector(tmp_path / "other.onnx", row * 0.5)
    register_detector("other", tmp_path / "other.onnx", labels=["cat", "dog"], format="yolov8")
    assert resolve("other").version != spec.version


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "motion"}, "'motion' is a built-in detector."),
        ({"labels": []}, "A detector needs at least one label."),
        ({"size": 0}, "size must be a whole number of at least 32, got 0."),
        ({"batch": 1.5}, "batch must be a whole number of at least 1, got 1.5."),
        ({"threshold": 2}, "threshold must be between 0 and 1, got 2."),
        ({"tracking": (1, 2)}, "tracking is three scores, got (1, 2)."),
        ({"tracking": (0.5, 0.3, 0.3)}, "tracking has low 0.5 above high 0.3."),
        ({"tracking": "bytes"}, "No tracker is named 'bytes'."),
        ({"model": "none.onnx"}, "There is no model file none.onnx."),
        ({"model": "none.onnx", "format": "yolov5"}, "A model file has no format 'yolov5'."),
    ],
)
def test_options_are_checked(options: dict, message: str) -> None:
    given = {"name": "mine", "model": nothing, "labels": ["cat"]} | options
    with pytest.raises(WorkbenchError) as raised:
        register_detector(given.pop("name"), given.pop("model"), **given)
    assert raised.value.message == message
    assert raised.value.hint


def test_a_registered_tracker_can_be_named() -> None:
    register_tracker("mine", lambda fps: fps, version="3")
    register_detector("d", nothing, labels=["cat"], tracking="mine", version="1")
    assert resolve("d").tracking == "mine"
    assert registry.tracker("mine")[1] == "3"


def test_callables_are_versioned_by_what_they_do() -> None:
    assert resolve(nothing).version == resolve(nothing).version
    assert resolve(nothing).version != resolve(lambda images: nothing(images)[::-1]).version
    assert resolve(nothing).labels == ()

    lock = __import__("threading").Lock()

    def reader(images: list) -> list[pd.DataFrame]:
        with lock:
            return nothing(images)

    spec = resolve(reader)
    assert not spec.cacheable
    assert spec.notes[0] == (
        "reader reads 'lock', which cannot be fingerprinted; not cached.",
        'Pass version="..." to register_detector().',
    )


def test_groups_are_tracked_together() -> None:
    labels = ("person", "car", "backpack", "bus", "suitcase", "dog")
    assert track_groups(labels) == [(0,), (1, 3), (2, 4), (5,)]
    assert track_groups(labels, together=True) == [(0, 1, 2, 3, 4, 5)]
    assert track_groups(()) == []


def test_closest_labels_by_meaning_then_by_spelling() -> None:
    assert closest_labels("forklift", COCO) == ["truck", "car"]
    assert closest_labels("persn", COCO)[0] == "person"
    assert closest_labels("forklift", ("person",)) == ["person"]
