"""Crops: clipped, at least a pixel, and from one pass."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.video.clips import Image, clip, number_of, spoil
from workbench.video.operators.crops import crop, crop_images
from workbench.video.source import VideoSource, from_array

PICTURE = np.arange(20 * 30 * 3, dtype=np.uint8).reshape(20, 30, 3)
side = st.floats(-100, 100)


@pytest.mark.parametrize(
    ("box", "part"),
    [
        ((2, 3, 10, 8), np.s_[3:8, 2:10]),
        ((2.2, 3.9, 9.1, 8), np.s_[3:8, 2:10]),  # pixels that the box touches belong to it
        ((-5, -5, 4, 4), np.s_[0:4, 0:4]),
        ((25, 15, 99, 99), np.s_[15:20, 25:30]),
        ((40, 5, 50, 9), np.s_[5:9, 29:30]),  # outside: the nearest pixels
        ((7, 7, 7, 7), np.s_[7:8, 7:8]),
    ],
)
def test_crop(box: tuple[float, ...], part: tuple[slice, slice]) -> None:
    found = crop(PICTURE, np.array(box, float))
    np.testing.assert_array_equal(found, PICTURE[part])
    found[:] = 0
    assert PICTURE[part].any()  # a copy


@given(side, side, side, side)
def test_a_crop_is_never_empty_nor_outside(x1: float, y1: float, x2: float, y2: float) -> None:
    height, width = crop(PICTURE, np.array([x1, y1, x2, y2])).shape[:2]
    assert 1 <= height <= 20
    assert 1 <= width <= 30


def test_one_pass_in_any_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = VideoSource(clip(tmp_path / "a.mp4", 40))
    asked: list[list[int]] = []
    frames_at = VideoSource.frames_at

    def counted(self: VideoSource, indices: np.ndarray, **options: int) -> Iterator[tuple[int, float, Image]]:
        asked.append(list(indices))
        return frames_at(self, indices, **options)

    monkeypatch.setattr(VideoSource, "frames_at", counted)
    frames = np.array([31, 2, 31, 17, 2])
    crops = crop_images(source, frames, np.tile([0.0, 0, 64, 48], (5, 1)))
    assert [number_of(image) for image in crops] == list(frames)
    assert asked == [[2, 17, 31]]


def test_no_boxes() -> None:
    source = from_array(np.zeros((3, 8, 8, 3), np.uint8), fps=5)
    assert crop_images(source, np.empty(0, np.int64), np.empty((0, 4))) == []


def test_a_frame_that_cannot_be_decoded_gives_an_empty_picture(tmp_path: Path) -> None:
    source = VideoSource(spoil(clip(tmp_path / "a.mp4", 20, options={"g": "20", "bf": "0"}), [7]))
    crops = crop_images(source, np.array([6, 7, 8]), np.tile([0.0, 0, 64, 48], (3, 1)))
    assert [image.shape for image in crops] == [(48, 64, 3), (0, 0, 3), (48, 64, 3)]
    assert source.damaged_frames == [7]
