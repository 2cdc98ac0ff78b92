"""From pictures to network inputs and from network outputs to boxes, one class for each layout.

A layout knows nothing of ONNX: arrays go in, arrays come out. Decoding runs in float64, so that stored boxes do not
depend on the order of float32 sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from workbench.video.models.base import LEAST_SCORE, Floats, Image
from workbench.video.models.boxes import letterbox, select

__all__ = ["FastestDet", "Layout", "NanoDet", "Yolov8", "Yolox"]

Blob = NDArray[np.float32]


class Layout(Protocol):
    """How one family of networks is fed and read."""

    def blob(self, image: Image) -> tuple[Blob, float]:
        """Return the input (3, height, width) and the scale from source px to its px."""

    def boxes(self, outputs: Sequence[NDArray], blob: tuple[int, int], scale: float, image: tuple[int, int]) -> Floats:
        """Return rows (k, 6) in source px from one image's outputs.

        `outputs` have no batch axis; `blob` and `image` are (height, width) of input and source.
        """

    def classes(self, shapes: Sequence[Sequence[int | str | None]]) -> int | None:
        """Return the number of classes that these output shapes mean, None if they are not of this layout."""


def _input_size(image: Image, size: int, fixed: tuple[int, int] | None) -> tuple[int, int]:
    """Return (height, width) of the input: as fixed by the file, else the long side `size`, multiples of 32."""
    if fixed is not None:
        return fixed
    rows, columns = image.shape[:2]
    scale = size / max(rows, columns)
    return (
        max(32, -(-max(1, int(rows * scale)) // 32) * 32),
        max(32, -(-max(1, int(columns * scale)) // 32) * 32),
    )


def _planes(image: NDArray) -> Blob:
    planes = np.empty((3, *image.shape[:2]), np.float32)
    for channel in range(3):  # plane by plane: a third faster than one transposed copy
        planes[channel] = image[:, :, channel]
    return planes


@lru_cache(maxsize=32)
def _grid(height: int, width: int, strides: tuple[int, ...]) -> tuple[Floats, Floats]:
    """Return the cells (n, 2) as x, y and the stride of each (n, 1), strides in order and rows within each."""
    cells, steps = [], []
    for stride in strides:
        rows, columns = height // stride, width // stride
        y, x = np.mgrid[:rows, :columns]
        cells.append(np.column_stack((x.ravel(), y.ravel())))
        steps.append(np.full((rows * columns, 1), stride))
    return np.concatenate(cells).astype(np.float64), np.concatenate(steps).astype(np.float64)


def _best(scores: NDArray) -> tuple[NDArray[np.int64], Floats, NDArray[np.int64]]:
    """Return rows whose best class reaches the least score, that score, and the class."""
    label = scores.argmax(axis=1)
    best = scores[np.arange(len(scores)), label].astype(np.float64)
    rows = np.flatnonzero(best >= LEAST_SCORE)
    return rows, best[rows], label[rows]


class Yolox:
    """YOLOX: BGR 0..255, pad 114, output (n, 5 + classes) before the grid is added."""

    def __init__(self, size: int, fixed: tuple[int, int] | None = None, iou: float = 0.5) -> None:
        self.size, self.fixed, self.iou = size, fixed, iou

    def blob(self, image: Image) -> tuple[Blob, float]:
        height, width = _input_size(image, self.size, self.fixed)
        canvas, scale = letterbox(image, width, height)
        return _planes(canvas), scale

    def boxes(self, outputs: Sequence[NDArray], blob: tuple[int, int], scale: float, image: tuple[int, int]) -> Floats:
        # A score never exceeds the objectness: thousands of cells drop out before their classes are looked at.
        rows = np.flatnonzero(outputs[0][:, 4] >= LEAST_SCORE)
        raw = outputs[0][rows].astype(np.float64)
        good, scores, labels = _best(raw[:, 4:5] * raw[:, 5:])
        rows, raw = rows[good], raw[good]
        cells, strides = _grid(*blob, self._strides(len(outputs[0]), blob))
        center = (raw[:, :2] + cells[rows]) * strides[rows]
        half = np.exp(raw[:, 2:4]) * strides[rows] / 2
        return select(np.hstack((center - half, center + half)) / scale, scores, labels, self.iou)

    def _strides(self, rows: int, blob: tuple[int, int]) -> tuple[int, ...]:
        for strides in ((8, 16, 32), (8, 16, 32, 64)):
            if rows == sum((blob[0] // stride) * (blob[1] // stride) for stride in strides):
                return strides
        raise ValueError(f"{rows} rows do not fit an input of {blob[1]}x{blob[0]} in the YOLOX layout")

    def classes(self, shapes: Sequence[Sequence[int | str | None]]) -> int | None:
        last = shapes[0][-1] if len(shapes) == 1 and len(shapes[0]) == 3 else None
        return last - 5 if isinstance(last, int) and last > 5 else None


class Yolov8:
    """YOLOv8 and its successors: RGB 0..1, pad 114, output (4 + classes, n) with boxes as cx cy w h in input px."""

    def __init__(self, size: int, fixed: tuple[int, int] | None = None, iou: float = 0.5) -> None:
        self.size, self.fixed, self.iou = size, fixed, iou

    def blob(self, image: Image) -> tuple[Blob, float]:
        height, width = _input_size(image, self.size, self.fixed)
        canvas, scale = letterbox(image, width, height)
        return _planes(canvas[:, :, ::-1]) / np.float32(255), scale

    def boxes(self, outputs: Sequence[NDArray], blob: tuple[int, int], scale: float, image: tuple[int, int]) -> Floats:
        raw = outputs[0]
        rows, scores, labels = _best(raw[4:].T)
        center, half = raw[:2, rows].T.astype(np.float64), raw[2:4, rows].T.astype(np.float64) / 2
        return select(np.hstack((center - half, center + half)) / scale, scores, labels, self.iou)

    def classes(self, shapes: Sequence[Sequence[int | str | None]]) -> int | None:
        middle = shapes[0][1] if len(shapes) == 1 and len(shapes[0]) == 3 else None
        return middle - 4 if isinstance(middle, int) and middle > 4 else None


class NanoDet:
    """NanoDet with generalised focal heads: three class maps, then three maps of distances in 8 bins a side."""

    mean = np.array([103.53, 116.28, 123.675], np.float32)
    deviation = np.array([57.375, 57.12, 58.395], np.float32)
    strides = (8, 16, 32)

    def __init__(self, size: int, fixed: tuple[int, int] | None = None, iou: float = 0.6) -> None:
        self.size, self.fixed, self.iou = size, fixed, iou

    def blob(self, image: Image) -> tuple[Blob, float]:
        height, width = _input_size(image, self.size, self.fixed)
        canvas, scale = letterbox(image, width, height)
        return _planes((canvas - self.mean) / self.deviation), scale

    def boxes(self, outputs: Sequence[NDArray], blob: tuple[int, int], scale: float, image: tuple[int, int]) -> Floats:
        rows, scores, labels = _best(np.concatenate(outputs[:3]))
        bins = np.concatenate(outputs[3:])[rows].astype(np.float64).reshape(len(rows), 4, -1)
        weight = np.exp(bins - bins.max(axis=2, keepdims=True))
        side = (weight / weight.sum(axis=2, keepdims=True)) @ np.arange(bins.shape[2], dtype=np.float64)
        cells, strides = _grid(*blob, self.strides)
        center, side = cells[rows] * strides[rows] + (strides[rows] - 1) / 2, side * strides[rows]
        return select(np.hstack((center - side[:, :2], center + side[:, 2:])) / scale, scores, labels, self.iou)

    def classes(self, shapes: Sequence[Sequence[int | str | None]]) -> int | None:
        last = shapes[0][-1] if len(shapes) == 6 else None
        return last if isinstance(last, int) else None


class FastestDet:
    """FastestDet: BGR 0..1 stretched to a square, one map (5 + classes, rows, columns)."""

    def __init__(self, size: int, fixed: tuple[int, int] | None = None, iou: float = 0.5) -> None:
        self.size, self.fixed, self.iou = size, fixed, iou

    def blob(self, image: Image) -> tuple[Blob, float]:
        import cv2

        height, width = self.fixed or (self.size, self.size)
        return _planes(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)) / np.float32(255), 1.0

    def boxes(self, outputs: Sequence[NDArray], blob: tuple[int, int], scale: float, image: tuple[int, int]) -> Floats:
        channels, high, wide = outputs[0].shape
        raw = outputs[0].reshape(channels, -1).T.astype(np.float64)
        rows, scores, labels = _best(raw[:, :1] ** 0.6 * raw[:, 5:] ** 0.4)
        y, x = np.divmod(rows, wide)
        center = (np.column_stack((x, y)) + np.tanh(raw[rows, 1:3])) / (wide, high)
        half = 0.5 / (1 + np.exp(-raw[rows, 3:5]))
        size = np.array([image[1], image[0]] * 2, np.float64)
        return select(np.hstack((center - half, center + half)) * size, scores, labels, self.iou)

    def classes(self, shapes: Sequence[Sequence[int | str | None]]) -> int | None:
        channels = shapes[0][1] if len(shapes) == 1 and len(shapes[0]) == 4 else None
        return channels - 5 if isinstance(channels, int) and channels > 5 else None
