"""Edits to ONNX files in memory."""

from __future__ import annotations

import numpy as np
import pytest

from tests.video.models.tiny_onnx import reshaping
from workbench.video.models.onnx import open_runtime
from workbench.video.models.onnx_graph import free_batch, free_size


@pytest.mark.parametrize("raw", [True, False], ids=["raw", "varints"])
def test_a_leading_one_of_a_reshape_follows_the_batch(raw: bool) -> None:
    runtime = open_runtime(free_batch(reshaping([1, 3, 16], raw=raw)), 1)
    pictures = np.arange(2 * 3 * 16, dtype=np.float32).reshape(2, 3, 4, 4)
    np.testing.assert_array_equal(runtime.run(None, {"images": pictures})[0], pictures.reshape(2, 3, 16))


def test_other_reshapes_stay() -> None:
    runtime = open_runtime(free_batch(reshaping([6, 8])), 1)
    pictures = np.arange(48, dtype=np.float32).reshape(1, 3, 4, 4)
    np.testing.assert_array_equal(runtime.run(None, {"images": pictures})[0], pictures.reshape(6, 8))


def test_a_freed_size_takes_any_height_and_width() -> None:
    runtime = open_runtime(free_size(reshaping([1, 3, -1])), 1)
    pictures = np.arange(3 * 6 * 2, dtype=np.float32).reshape(1, 3, 6, 2)
    np.testing.assert_array_equal(runtime.run(None, {"images": pictures})[0], pictures.reshape(1, 3, 12))
