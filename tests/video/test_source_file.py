"""Video files: what is remembered of them, and what follows edits."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from tests.video.clips import clip, number_of
from workbench.engine.errors import WorkbenchError
from workbench.video import source_file
from workbench.video.operators import packets
from workbench.video.source_file import VideoSource


@pytest.fixture(autouse=True)
def nothing_in_memory() -> None:
    source_file._tables.clear()


def test_the_packet_table_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = clip(tmp_path / "a.mp4", 10)
    known = VideoSource(path)
    info, name = known.info(), known.video_id()
    source_file._tables.clear()
    monkeypatch.setattr(packets, "scan", lambda *_given: pytest.fail("read again"))
    again = VideoSource(path)  # from the store, as another process would
    assert (again.info(), again.video_id()) == (info, name)
    np.testing.assert_array_equal(again.keyframes(), known.keyframes())
    assert [number_of(image) for _index, _time, image in again.frames_at([9])] == [9]


def test_the_id_follows_content_and_not_the_name(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mp4", 10)
    name = VideoSource(path).video_id()
    copy = tmp_path / "b.mp4"
    copy.write_bytes(path.read_bytes())
    os.utime(copy, (1, 1))
    assert VideoSource(copy).video_id() == name
    data = bytearray(path.read_bytes())
    data[-30] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(5, 5))
    assert VideoSource(path).video_id() != name
    assert len(name) == 64


def test_a_file_that_was_written_anew_is_read_anew(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mp4", 10)
    source = VideoSource(path)
    assert source.info().frames == 10
    clip(path, 14)
    assert source.info().frames == 14


def test_a_file_that_went_away(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mp4", 3)
    source = VideoSource(path, "a.mp4")
    path.unlink()
    with pytest.raises(WorkbenchError) as caught:
        source.info()
    assert caught.value.lines() == ["No video matches 'a.mp4'.", f"Looked in {tmp_path}."]


def test_sources_travel_light(tmp_path: Path) -> None:
    source = VideoSource(clip(tmp_path / "a.mp4", 30), "a.mp4", hint="motion", threads=2)
    assert source.info().frames == 30
    data = pickle.dumps(source)
    assert len(data) < 400
    copy = pickle.loads(data)
    assert (copy.name, copy.hint, copy.threads, copy.video_id()) == ("a.mp4", "motion", 2, source.video_id())


def test_times_are_the_files_own(tmp_path: Path) -> None:
    times = [3.0, 3.04, 3.08, 3.5, 3.54, 5.0]
    source = VideoSource(clip(tmp_path / "a.mp4", 6, times=times, options={"bf": "2"}))
    np.testing.assert_allclose(source.times(), np.array(times) - 3, atol=1e-3)
    info = source.info()
    assert info.variable_rate
    assert info.fps == pytest.approx(5 / 2)
    assert info.duration == pytest.approx(2.04, abs=2e-3)  # the last frame stands for the median step
    assert [(number_of(image), round(time, 2)) for _index, time, image in source.frames_at([3, 5])] == [
        (3, 0.5), (5, 2.0),
    ]  # fmt: skip


@pytest.mark.parametrize("count", [0, 1])
def test_hardly_any_frames(tmp_path: Path, count: int) -> None:
    source = VideoSource(clip(tmp_path / "a.avi", count, codec="mpeg4"))
    info = source.info()
    assert (info.frames, info.width, info.height) == (count, 64, 48)
    assert info.duration == pytest.approx(count / 25)
    assert [number_of(image) for _index, _time, image in source.read(0, 5)] == list(range(count))
    assert source.damage == []
