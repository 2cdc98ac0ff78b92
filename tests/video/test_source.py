"""What may be written for a source, and the errors for what may not."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

import av
import numpy as np
import pytest

from tests.video.clips import clip, number_of
from workbench.engine.errors import WorkbenchError
from workbench.video.source import Source, VideoInfo, VideoSource, from_array, open_sources, probe, read_frame


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    clip(tmp_path / "b.mp4", 3)
    for name in ("a.mp4", "cam1.mov"):
        os.link(tmp_path / "b.mp4", tmp_path / name)
    return tmp_path


def message(source: object) -> list[str]:
    with pytest.raises(WorkbenchError) as caught:
        [item.info() for item in open_sources(source)]
    return str(caught.value).split("\n")


def test_names_stay_as_written_and_globs_are_sorted(folder: Path) -> None:
    assert [source.name for source in open_sources("b.mp4")] == ["b.mp4"]
    assert [source.name for source in open_sources("*.mp4")] == ["a.mp4", "b.mp4"]
    assert [source.name for source in open_sources(["cam1.mov", "*.mp4"])] == ["cam1.mov", "a.mp4", "b.mp4"]
    assert [source.name for source in open_sources(folder / "b.mp4")] == [str(folder / "b.mp4")]
    assert [source.name for source in open_sources(f"{folder}/**/*.mov")] == [f"{folder}/cam1.mov"]


def test_a_file_of_that_very_name_comes_before_a_glob(folder: Path) -> None:
    os.link("b.mp4", "cam[1].mp4")
    assert [source.name for source in open_sources("cam[1].mp4")] == ["cam[1].mp4"]
    os.link("b.mp4", "rtsp:odd.mp4")
    assert probe("rtsp:odd.mp4").frames == 3


def test_sources_pass_through(folder: Path) -> None:
    source = from_array(np.zeros((1, 2, 2, 3), np.uint8), fps=1)
    assert open_sources([source, "b.mp4"])[0] is source


def test_nothing_matches(folder: Path) -> None:
    assert message("cam*.mp4") == ["No video matches 'cam*.mp4'.", f"Looked in {folder}; closest: cam1.mov."]
    assert message("zzzzz") == ["No video matches 'zzzzz'.", f"Looked in {folder}."]
    (folder / "yard").mkdir()
    assert message("yart/x.mp4") == ["No video matches 'yart/x.mp4'.", f"Looked in {folder}; closest: yard."]
    assert message("yard/x.mp4") == ["No video matches 'yard/x.mp4'.", "Looked in yard."]


def test_what_is_not_a_source(folder: Path) -> None:
    (folder / "yard").mkdir()
    assert message("yard") == ["'yard' is a folder.", "Write 'yard/*.mp4'."]
    assert message([])[0] == "The list of sources is empty."
    assert message(3)[0] == "A source is a path, a glob, a list of these or a Source, not int."
    assert message(np.zeros((2, 2, 2, 3), np.uint8)) == [
        "An array has no times.", "Write wb.video.from_array(frames, fps=25).",
    ]  # fmt: skip
    assert message("sample:stret") == ["No sample is named 'sample:stret'.", "Did you mean 'sample:street'?"]
    assert message("https://example.org/a.mp4")[1] == "Download the video first, or follow it: wb.video.live(address)."


@pytest.mark.parametrize("kind", ["text", "empty", "noise", "audio", "folder in disguise", "no index"])
def test_files_that_are_no_videos(folder: Path, kind: str) -> None:
    path = folder / "lobby.txt"
    if kind == "text":
        path.write_text("Hello, this is a list of cameras.\n" * 100)
    elif kind == "noise":
        path.write_bytes(np.random.default_rng(0).bytes(20_000))
    elif kind == "audio":
        write_sound(folder / "lobby.wav")
        (folder / "lobby.wav").rename(path)
    elif kind == "folder in disguise":
        path.write_bytes(b"PK\x03\x04" + bytes(200))
    elif kind == "no index":
        data = clip(folder / "whole.mp4", 20).read_bytes()
        path.write_bytes(data[: len(data) * 2 // 3])  # MP4 without its index, which lies at the end
    else:
        path.touch()
    assert message("lobby.txt") == [
        "lobby.txt is not a video that can be read.", "Convert it to MP4 (H.264) or check the path.",
    ]  # fmt: skip


def write_sound(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))


def test_probe(folder: Path) -> None:
    path = clip(folder / "c.mp4", 25, size=(96, 64), fps=10)
    assert probe("c.mp4") == VideoInfo("c.mp4", 96, 64, 10.0, 25, 2.5, "h264", False)
    with pytest.raises(WorkbenchError, match=r"probe\(\) takes one video, got 2."):
        probe(["b.mp4", path])


def test_read_frame_by_index_and_by_time(folder: Path) -> None:
    clip(folder / "c.mp4", 50, fps=10)
    assert [number_of(read_frame("c.mp4", at)) for at in (0, 49, np.int64(7))] == [0, 49, 7]
    times = ("0s", "1.25s", "00:02", "4.999s", dt.timedelta(seconds=3), "0.3s")
    assert [number_of(read_frame("c.mp4", at)) for at in times] == [0, 12, 20, 49, 30, 3]
    frame = read_frame("c.mp4", 3)
    assert (frame.dtype, frame.shape) == (np.uint8, (48, 64, 3))


def test_read_frame_beyond_the_video(folder: Path) -> None:
    for at, words in ((3, "b.mp4 has frames 0 to 2, got 3."), (-1, "b.mp4 has frames 0 to 2, got -1."),
                      ("1s", "b.mp4 lasts 00:00 (0.12 s), got 1s."), (0.5, "at needs a unit, got 0.5."),
                      (True, "at is a time; got bool.")):  # fmt: skip
        with pytest.raises(WorkbenchError) as caught:
            read_frame("b.mp4", at)
        assert caught.value.message == words


def test_the_public_classes() -> None:
    assert issubclass(VideoSource, Source)
    with pytest.raises(NotImplementedError, match=r"Source lacks info\(\)"):
        Source().info()
