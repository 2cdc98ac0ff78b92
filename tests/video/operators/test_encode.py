"""Videos and pictures out: they come back as they went in, and browsers can play them."""

from __future__ import annotations

import os
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tests.video.clips import number_of, numbered
from workbench.engine.errors import WorkbenchError
from workbench.video.operators.encode import contact_sheet, draw_boxes, fitted, jpeg, write_video
from workbench.video.source import VideoSource


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "out"
    made.mkdir()
    return made


@pytest.mark.parametrize(("codec", "name"), [("h264", "a.mp4"), ("vp9", "a.webm"), ("av1", "a.mp4")])
def test_what_is_written_comes_back(tmp_path: Path, codec: str, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    images = [numbered(index, 128, 96) for index in range(12)]
    urgency = os.sched_getscheduler(0) if hasattr(os, "sched_getscheduler") else None
    path = write_video(tmp_path / name, images, fps=12.5, width=128, height=96, codec=codec)
    assert urgency is None or os.sched_getscheduler(0) == urgency  # SVT-AV1 would be a real-time thread
    source = VideoSource(path)
    info = source.info()
    assert (info.codec, info.width, info.height, info.frames) == (codec, 128, 96, 12)
    assert info.fps == pytest.approx(12.5, rel=0.01)
    found = [image for _index, _time, image in source.read(0, 12)]
    assert [number_of(image) for image in found] == list(range(12))
    apart = np.abs(found[5].astype(int) - images[5]).mean(axis=(0, 1))
    assert apart.max() < 6  # also the colours: the file says by which standard they were converted
    assert capfd.readouterr().err == ""


def test_h264_is_what_browsers_play(folder: Path) -> None:
    path = write_video(folder / "a.mp4", [numbered(0)] * 3, fps=25, width=64, height=48)
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # playing begins before all is there
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.pix_fmt, stream.codec_context.profile) == ("yuv420p", "High")
    assert [item.name for item in folder.iterdir()] == ["a.mp4"]


def test_odd_sizes_get_a_line_more(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [numbered(5, 75, 53)], fps=25, width=75, height=53)
    (found,) = [image for _index, _time, image in VideoSource(path).read(0, 1)]
    assert found.shape == (54, 76, 3)
    assert number_of(found[:53, :75]) == 5


def test_other_sizes_are_fitted_with_bars(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [np.full((40, 40, 3), 200, np.uint8)], fps=25, width=120, height=60)
    (found,) = [image for _index, _time, image in VideoSource(path).read(0, 1)]
    assert found[30, 5].max() < 30
    assert found[30, 60].min() > 170


def test_times_are_kept(tmp_path: Path) -> None:
    frames = [(time, numbered(index)) for index, time in enumerate([4.0, 4.1, 4.5, 4.52])]
    source = VideoSource(write_video(tmp_path / "a.mp4", frames, fps=10, width=64, height=48))
    np.testing.assert_allclose(source.times(), [0, 0.1, 0.5, 0.52], atol=1e-4)


@pytest.mark.parametrize(
    ("name", "options", "lines"),
    [
        ("a.mp4", {"codec": "h265"}, ["No codec is named 'h265'.", "Did you mean 'h264'?"]),
        ("a.mp4", {"codec": "divx"}, ["No codec is named 'divx'.", "Use 'h264', 'vp9' or 'av1'."]),
        ("a.gif", {}, ["a.gif: a .gif file cannot hold h264 that browsers play.", "Name it a.mp4."]),
        ("a.mp4", {"frames": []}, ["There are no frames to write to a.mp4.", "Choose events that have frames."]),
        ("a.mp4", {"fps": 0}, ["fps must be a number above 0, got 0.", "Write fps=25."]),
    ],
)
def test_what_cannot_be_written(folder: Path, name: str, options: dict, lines: list[str]) -> None:
    given = {"frames": [numbered(0)], "fps": 25, "width": 64, "height": 48, **options}
    with pytest.raises(WorkbenchError) as caught:
        write_video(folder / name, given.pop("frames"), **given)
    assert caught.value.lines() == lines
    assert list(folder.iterdir()) == []


def test_a_failure_leaves_the_old_file(folder: Path) -> None:
    path = folder / "a.mp4"
    path.write_bytes(b"old")

    def broken():
        yield numbered(0)
        raise RuntimeError("the camera fell off")

    with pytest.raises(RuntimeError):
        write_video(path, broken(), fps=25, width=64, height=48)
    assert path.read_bytes() == b"old"
    assert list(folder.iterdir()) == [path]


def test_boxes_and_labels() -> None:
    image = np.full((120, 160, 3), 128, np.uint8)
    drawn = draw_boxes(image, np.array([[20, 40, 80, 100], [-5, -5, 400, 300]]), ["person #3", "café"])
    assert (image == 128).all()
    assert (drawn[40, 20:80] != 128).any(axis=1).all()
    assert (drawn[60:90, 40:60] == 128).all()
    assert (draw_boxes(image, np.empty((0, 4))) == image).all()
    one, two = (draw_boxes(image, np.array([[20, 40, 80, 100]]), [label])[99, 50] for label in ("car #1", "car #2"))
    np.testing.assert_array_equal(one, two)  # one label, one colour
    red = draw_boxes(image, np.array([[20, 40, 80, 100]]), colors=[(0, 0, 255)])
    np.testing.assert_array_equal(red[99, 50], (0, 0, 255))


def test_jpeg() -> None:
    data = jpeg(numbered(9), 90)
    assert data[:2] == b"\xff\xd8"
    assert number_of(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)) == 9
    assert len(jpeg(numbered(9), 20)) < len(data)


def test_contact_sheet() -> None:
    crops = [np.full((30 + index, 20, 3), index * 8, np.uint8) for index in range(30)]
    data = contact_sheet(crops, [f"#{index}" for index in range(30)])
    sheet = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert sheet.shape == (3 * (96 + 16 + 4) + 4, 8 * (112 + 4) + 4, 3)  # 24 of them, eight in a row
    assert len(data) < 60_000
    assert contact_sheet([]) == b""
    gap = [crops[20], np.empty((0, 0, 3), np.uint8), crops[20]]
    row = cv2.imdecode(np.frombuffer(contact_sheet(gap, ["one", "", "three"]), np.uint8), cv2.IMREAD_COLOR)
    assert row[10:90, 130:220].max() < 40  # its cell stays empty, the others keep their captions
    small = cv2.imdecode(np.frombuffer(contact_sheet(crops[:2]), np.uint8), cv2.IMREAD_COLOR)
    assert small.shape == (96 + 4 + 4, 2 * (112 + 4) + 4, 3)


def test_fitted() -> None:
    assert fitted(1920, 1080, 480) == (854, 480)
    assert fitted(320, 241, 480) == (320, 240)
    assert fitted(1, 1, 480) == (2, 2)
