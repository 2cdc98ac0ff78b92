"""Detections of chosen frames as tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from workbench.video.models.callables import CallableDetector
from workbench.video.operators.detect import detect_frames, detection_table, per_frame, table_labels


class Counting:
    """Ten frames, each filled with its number; frame 4 cannot be decoded."""

    name = "counting"

    def times(self) -> np.ndarray:
        return np.arange(10) / 5

    def frames_at(self, indices: Sequence[int]) -> Iterator[tuple[int, float, Any]]:
        for index in indices:
            if index != 4:
                yield int(index), index / 5, np.full((8, 8, 3), index, np.uint8)


def as_wide_as_the_number(images: list) -> list[pd.DataFrame]:
    if any(image[0, 0, 0] == 6 for image in images):
        raise ValueError("six")
    return [
        pd.DataFrame({"x1": [0.0] * 2, "y1": 0.0, "x2": float(image[0, 0, 0]), "y2": [3.0, 4.0], "score": [0.5, 0.8]})
        for image in images
    ]


def test_frames_that_fail_cost_only_themselves() -> None:
    found = detect_frames(CallableDetector(as_wide_as_the_number, ("object",), 3), Counting(), range(10))
    assert found.frames.tolist() == [0, 1, 2, 3, 5, 7, 8, 9]
    np.testing.assert_allclose(found.times, found.frames / 5)
    assert found.failures == [(6, "ValueError: six")]
    assert sorted(set(found.table["frame"].to_pylist())) == [1, 2, 3, 5, 7, 8, 9]  # frame 0: no width, no box


def test_batches_do_not_change_the_table() -> None:
    one, many = (
        detect_frames(CallableDetector(as_wide_as_the_number, ("object",), batch), Counting(), range(10))
        for batch in (1, 7)
    )
    assert one.table.equals(many.table, check_metadata=True)


def test_the_table_has_the_columns_of_the_design_and_knows_its_labels() -> None:
    boxes = [np.array([[1, 2, 3, 4, 0.5, 1]], float), np.empty((0, 6)), np.array([[5, 6, 7, 8, 0.9, 0]], float)]
    frames, times = np.array([3, 4, 7]), np.array([0.3, 0.4, 0.7])
    table = detection_table(frames, times, boxes, ("cat", "dog"))
    assert {field.name: field.type for field in table.schema} == {
        "frame": pa.int64(), "time": pa.float64(), "label": pa.int32(), "score": pa.float64(),
        "x1": pa.float64(), "y1": pa.float64(), "x2": pa.float64(), "y2": pa.float64(),
    }  # fmt: skip
    assert table_labels(table) == ("cat", "dog")
    for left, right in zip(per_frame(table, frames), boxes, strict=True):
        np.testing.assert_array_equal(left, right)
    assert len(detection_table(frames[:0], times[:0], [], ()).to_pandas()) == 0
