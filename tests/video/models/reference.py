"""Boxes of the built-in networks decoded anew: plain loops in float64, nothing shared with the package.

`python -m tests.video.models.reference` (with WORKBENCH_MIRROR) writes `expected_boxes.json`, which tests compare with.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.video.models.mirror import mirrored

FILE = Path(__file__).with_name("expected_boxes.json")
#: clip, frame: both under licences that allow it (Apache-2.0, CC BY 4.0)
PICTURES = (("clips/vqpy_pedestrian_10s.mp4", 60), ("clips/intel_car-detection.mp4", 88))
LEAST = 0.1
Box = tuple[float, float, float, float, float, int]


def picture(path: str, frame: int) -> np.ndarray:
    """Return a frame as BGR."""
    import av

    with av.open(str(mirrored(path))) as container:
        for index, decoded in enumerate(container.decode(video=0)):
            if index == frame:
                return np.asarray(decoded.to_ndarray(format="bgr24"))
    raise IndexError(frame)


def fitted(image: np.ndarray, height: int, width: int) -> tuple[np.ndarray, float]:
    """Return the letterboxed picture and its scale."""
    import cv2

    scale = min(width / image.shape[1], height / image.shape[0])
    size = (int(image.shape[1] * scale), int(image.shape[0] * scale))
    out = np.full((height, width, 3), 114, np.uint8)
    out[: size[1], : size[0]] = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    return out, scale


def _run(path: str, blob: np.ndarray) -> list[np.ndarray]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    runtime = onnxruntime.InferenceSession(str(mirrored(path)), options, providers=["CPUExecutionProvider"])
    answer: list[np.ndarray] = runtime.run(None, {runtime.get_inputs()[0].name: blob[None].astype(np.float32)})
    return answer


def _cells(height: int, width: int) -> Iterator[tuple[int, int, int]]:
    for stride in (8, 16, 32):
        for y in range(height // stride):
            for x in range(width // stride):
                yield x, y, stride


def yolox(image: np.ndarray, path: str, height: int, width: int) -> list[Box]:
    """Decode YOLOX."""
    blob, scale = fitted(image, height, width)
    (output,) = _run(path, blob.transpose(2, 0, 1))
    boxes = []
    for row, (x, y, stride) in zip(output[0].astype(np.float64), _cells(height, width), strict=True):
        label = int(np.argmax(row[5:]))
        score = row[4] * row[5 + label]
        if score < LEAST:
            continue
        cx, cy = (row[0] + x) * stride, (row[1] + y) * stride
        w, h = math.exp(row[2]) * stride, math.exp(row[3]) * stride
        corners = [(cx - w / 2) / scale, (cy - h / 2) / scale, (cx + w / 2) / scale, (cy + h / 2) / scale]
        boxes.append((*corners, score, label))
    return suppressed(boxes, 0.5)


def nanodet(image: np.ndarray) -> list[Box]:
    """Decode NanoDet."""
    blob, scale = fitted(image, 416, 416)
    blob = (blob - np.array([103.53, 116.28, 123.675])) / np.array([57.375, 57.12, 58.395])
    outputs = _run("models/nanodet_m_416.onnx", blob.transpose(2, 0, 1))
    classes = np.concatenate([part[0] for part in outputs[:3]]).astype(np.float64)
    sides = np.concatenate([part[0] for part in outputs[3:]]).astype(np.float64)
    boxes = []
    for scores, bins, (x, y, stride) in zip(classes, sides, _cells(416, 416), strict=True):
        label = int(np.argmax(scores))
        if scores[label] < LEAST:
            continue
        reach = []
        for side in range(4):
            weights = [math.exp(value) for value in bins[8 * side : 8 * side + 8]]
            reach.append(sum(k * weight for k, weight in enumerate(weights)) / sum(weights) * stride)
        cx, cy = x * stride + (stride - 1) / 2, y * stride + (stride - 1) / 2
        corners = [(cx - reach[0]) / scale, (cy - reach[1]) / scale, (cx + reach[2]) / scale, (cy + reach[3]) / scale]
        boxes.append((*corners, float(scores[label]), label))
    return suppressed(boxes, 0.6)


def fastestdet(image: np.ndarray) -> list[Box]:
    """Decode FastestDet."""
    import cv2

    (output,) = _run("models/FastestDet.onnx", cv2.resize(image, (352, 352)).transpose(2, 0, 1) / np.float32(255))
    boxes = []
    high, wide = image.shape[:2]
    for y in range(22):
        for x in range(22):
            cell = output[0, :, y, x].astype(np.float64)
            label = int(np.argmax(cell[5:]))
            score = cell[0] ** 0.6 * cell[5 + label] ** 0.4
            if score < LEAST:
                continue
            cx, cy = (x + math.tanh(cell[1])) / 22, (y + math.tanh(cell[2])) / 22
            w, h = 1 / (1 + math.exp(-cell[3])), 1 / (1 + math.exp(-cell[4]))
            corners = [(cx - w / 2) * wide, (cy - h / 2) * high, (cx + w / 2) * wide, (cy + h / 2) * high]
            boxes.append((*corners, score, label))
    return suppressed(boxes, 0.5)


def overlap(a: Box, b: Box) -> float:
    """Return the intersection over union."""
    wide = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    high = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - wide * high
    return wide * high / area


def suppressed(boxes: list[Any], iou: float) -> list[Box]:
    """Suppress greedily within each label."""
    kept: list[Box] = []
    for box in sorted(boxes, key=lambda item: -item[4]):
        if all(other[5] != box[5] or overlap(box, other) <= iou for other in kept):
            kept.append(box)
    return kept


def expected() -> dict[str, list[list[list[float]]]]:
    """Return the boxes of each network on each picture."""
    images = [picture(*chosen) for chosen in PICTURES]
    sizes = [(256, 416) if image.shape[0] * 416 / image.shape[1] > 224 else (224, 416) for image in images]
    found = {
        "yolox-nano": [
            yolox(image, "models/yolox_nano_dynamic.onnx", *size) for image, size in zip(images, sizes, strict=True)
        ],
        "light-person": [yolox(image, "models/light_person_detector.onnx", 192, 192) for image in images],
        "nanodet": [nanodet(image) for image in images],
        "fastestdet": [fastestdet(image) for image in images],
    }
    return {
        name: [[[round(float(part), 4) for part in box] for box in boxes] for boxes in pictures]
        for name, pictures in found.items()
    }


if __name__ == "__main__":
    lines = ",\n".join(f' "{name}": {json.dumps(boxes)}' for name, boxes in expected().items())
    FILE.write_text(f"{{\n{lines}\n}}\n")
