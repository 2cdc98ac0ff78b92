"""Frames in memory."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.video.clips import number_of, numbered
from workbench.engine.errors import WorkbenchError
from workbench.video.source_array import from_array

FRAMES = np.stack([numbered(index) for index in range(12)])


def test_frames_and_times() -> None:
    source = from_array(FRAMES, fps=10, name="belt")
    assert source.info().__dict__ == {
        "video": "belt", "width": 64, "height": 48, "fps": 10.0, "frames": 12, "duration": pytest.approx(1.2),
        "codec": "array", "variable_rate": False,
    }  # fmt: skip
    assert [(index, number_of(image)) for index, _time, image in source.frames_at([2, 11])] == [(2, 2), (11, 11)]
    assert [index for index, _time, _image in source.read(10, 99)] == [10, 11]


def test_times_count_from_the_first_frame() -> None:
    source = from_array(FRAMES[:3], times=[7.0, 7.5, 9.0])
    np.testing.assert_allclose(source.times(), [0, 0.5, 2.0])
    assert source.info().variable_rate
    assert source.info().fps == pytest.approx(1.0)


def test_given_frames_cannot_be_written_through() -> None:
    source = from_array(FRAMES, fps=10)
    _index, _time, image = next(source.frames_at([1]))
    image[:] = 0
    assert number_of(next(source.frames_at([1]))[2]) == 1


def test_the_id_is_the_content() -> None:
    frames = FRAMES.copy()
    source = from_array(frames, fps=10)
    before = source.video_id()
    assert from_array(frames.copy(), fps=10, name="other").video_id() == before
    assert from_array(frames, fps=12).video_id() != before
    frames[3, 0, 0, 0] += 1
    assert source.video_id() != before


@pytest.mark.parametrize("limit", [0, 1 << 30])
def test_copies_for_workers(monkeypatch: pytest.MonkeyPatch, limit: int, home: Path) -> None:
    from workbench.video import source_array

    monkeypatch.setattr(source_array, "_INLINE_BYTES", limit)
    source = from_array(FRAMES, fps=10)
    data = pickle.dumps(source)
    assert (len(data) < 4000) is (limit == 0)  # a large array stays in the store, and the copy maps it
    copy = pickle.loads(data)
    assert copy.video_id() == source.video_id()
    assert [number_of(image) for _index, _time, image in copy.frames_at([5])] == [5]
    assert pickle.loads(pickle.dumps(copy)).video_id() == source.video_id()


def test_no_frames_at_all() -> None:
    source = from_array(FRAMES[:0], fps=10)
    assert (source.info().frames, source.info().duration) == (0, 0.0)
    assert list(source.frames_at([])) == []


@pytest.mark.parametrize(
    ("frames", "options", "words"),
    [
        (FRAMES.astype(float), {"fps": 1}, "from_array needs uint8 frames of shape (n, height, width, 3), got float64"),
        (FRAMES[0], {"fps": 1}, "from_array needs uint8 frames of shape (n, height, width, 3), got uint8 (48, 64, 3)"),
        (FRAMES, {}, "from_array needs fps or times, one of them."),
        (FRAMES, {"fps": 1, "times": range(12)}, "from_array needs fps or times, one of them."),
        (FRAMES, {"fps": 0}, "fps must be a number above 0, got 0."),
        (FRAMES, {"fps": "25"}, "fps must be a number above 0, got '25'."),
        (FRAMES, {"times": [0, 1]}, "times must be 12 growing numbers of seconds, one for each frame."),
        (FRAMES, {"times": [0, 0, *range(1, 11)]}, "times must be 12 growing numbers of seconds"),
    ],
)
def test_what_is_refused(frames: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(WorkbenchError) as caught:
        from_array(frames, **options)
    assert caught.value.message.startswith(words)
