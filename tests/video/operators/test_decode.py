"""Frames by index: whatever the codec, the container and the damage, the same as one pass from the beginning."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.video.clips import clip, number_of, spoil
from workbench.video.operators.decode import decode_frames
from workbench.video.operators.packets import scan
from workbench.video.source import VideoSource

MIRROR = Path(os.environ.get("WORKBENCH_MIRROR", "../shared/data"))
CLIPS = sorted((MIRROR / "clips").glob("*.mp4"))

#: codec, ending, pixel format, encoder options
FORMATS = {
    "h264 with B frames": ("libx264", ".mp4", "yuv420p", {"g": "250", "bf": "3", "b-pyramid": "normal"}),
    "h264 short groups": ("libx264", ".mp4", "yuv420p", {"g": "7", "bf": "2"}),
    "h264 open groups": (
        "libx264", ".mkv", "yuv420p", {"g": "10", "bf": "3", "x264-params": "open-gop=1:scenecut=0:b-adapt=0"},
    ),
    "h264 in a transport stream": ("libx264", ".ts", "yuv420p", {"g": "12", "bf": "2"}),
    "bare h264": ("libx264", ".h264", "yuv420p", {"g": "12", "bf": "2"}),
    "h264 in avi": ("libx264", ".avi", "yuv420p", {"g": "12", "bf": "2"}),
    "hevc": ("libx265", ".mp4", "yuv420p", {"g": "10", "x265-params": "log-level=none:bframes=3:open-gop=1"}),
    "10 bit": ("libx264", ".mp4", "yuv420p10le", {"g": "10"}),
    "vp8 with hidden frames": ("libvpx", ".webm", "yuv420p", {"g": "15", "auto-alt-ref": "1", "lag-in-frames": "10"}),
    "vp9": ("libvpx-vp9", ".webm", "yuv420p", {"g": "15", "lag-in-frames": "10", "cpu-used": "8"}),
    "mpeg-4 in avi": ("mpeg4", ".avi", "yuv420p", {"g": "12", "bf": "2", "qscale": "2", "b": "4M"}),
    "mpeg-2": ("mpeg2video", ".mpg", "yuv420p", {"g": "12", "bf": "2", "b": "4M"}),
    "motion jpeg": ("mjpeg", ".avi", "yuvj420p", {"qscale": "3"}),
}  # fmt: skip


@pytest.fixture(params=FORMATS)
def video(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    codec, ending, pixels, options = FORMATS[request.param]
    size = (128, 96) if "hevc" in request.param else (64, 48)
    return clip(tmp_path / f"clip{ending}", 40, codec=codec, pixels=pixels, options=options, size=size)


def in_order(path: Path) -> Iterator[np.ndarray]:
    """Decode from the beginning with PyAV alone."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count, stream.thread_type = 1, "SLICE"
        for frame in container.decode(stream):
            yield frame.to_ndarray(format="bgr24")


def test_each_format_gives_every_frame_at_its_index(video: Path) -> None:
    source = VideoSource(video)
    assert source.info().frames == 40
    assert [(index, number_of(image)) for index, _time, image in source.read(0, 40)] == [(n, n) for n in range(40)]
    assert source.damage == []
    assert source.info().fps == pytest.approx(25, rel=0.01)
    assert source.info().variable_rate is False
    np.testing.assert_allclose(source.times(), np.arange(40) / 25, atol=1.1e-3)


def test_each_format_gives_equal_pixels_wherever_reading_starts(video: Path) -> None:
    source = VideoSource(video)
    whole = [image for _index, _time, image in source.read(0, 40)]
    for wanted in ([39], [13], [0, 39], [11, 12, 25], list(range(9, 40, 10)), list(range(20, 40))):
        found = list(source.frames_at(np.array(wanted)))
        assert [index for index, _time, _image in found] == wanted
        assert all(np.array_equal(image, whole[index]) for index, _time, image in found)


@pytest.mark.slow
@pytest.mark.skipif(not CLIPS, reason="the clips are not mirrored here")
@pytest.mark.parametrize("path", CLIPS, ids=lambda path: path.stem)
def test_real_clips_equal_one_pass(path: Path) -> None:
    count = min(260, VideoSource(path).info().frames)
    reference = []
    for index, image in enumerate(in_order(path)):
        if index == count:
            break
        reference.append(hash(image.tobytes()))
    source = VideoSource(path)
    rng = np.random.default_rng(5)
    wanted = np.union1d(rng.choice(count, 12, replace=False), [0, count - 1])
    assert [(index, hash(image.tobytes())) for index, _time, image in source.frames_at(wanted)] == [
        (index, reference[index]) for index in wanted
    ]
    stretch = np.arange(100, 130)  # begins inside a group of pictures
    assert [hash(image.tobytes()) for _index, _time, image in source.frames_at(stretch, threads=2)] == reference[
        100:130
    ]


@given(wanted=st.sets(st.integers(0, 59), min_size=1), threads=st.sampled_from([1, 1, 3]))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_choice_of_frames(long_clip: Any, wanted: set[int], threads: int) -> None:
    path, table, reference = long_clip
    indices = np.array(sorted(wanted))
    found = list(decode_frames(path, "clip", table, indices, threads=threads))
    assert [index for index, _image in found] == list(indices)
    assert all(image is not None and np.array_equal(image, reference[index]) for index, image in found)


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = clip(tmp_path_factory.mktemp("clips") / "a.mp4", 60, options={"g": "20", "bf": "3", "keyint_min": "20"})
    return path, scan(path, "clip"), list(in_order(path))


def test_a_spoilt_packet_costs_its_frame_and_the_rest_is_decoded(tmp_path: Path) -> None:
    path = spoil(clip(tmp_path / "a.mp4", 60, options={"g": "20", "bf": "0"}), [27])
    source = VideoSource(path)
    found = [index for index, _time, _image in source.read(0, 60)]
    assert found == [index for index in range(60) if index != 27]
    (damage,) = source.damage
    assert (damage.first, damage.last) == (27, 27)
    assert (damage.start, damage.end) == pytest.approx((27 / 25, 28 / 25))


def test_a_spoilt_keyframe_costs_its_group(tmp_path: Path) -> None:
    path = spoil(clip(tmp_path / "a.mp4", 60, options={"g": "20", "bf": "0"}), [20])
    source = VideoSource(path)
    assert [index for index, _time, _image in source.read(0, 60)] == [*range(20), *range(40, 60)]
    assert [(part.first, part.last) for part in source.damage] == [(20, 39)]
    assert list(VideoSource(path).frames_at([30])) == []


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("whole", [True, False])
def test_damage_is_the_same_wherever_reading_starts(tmp_path: Path, whole: bool, threads: int) -> None:
    path = spoil(
        clip(tmp_path / "a.mp4", 80, size=(256, 192), options={"g": "20", "bf": "3"}), [5, 20, 47, 48], whole=whole
    )
    whole_pass = {index: image for index, _time, image in VideoSource(path).read(0, 80)}
    assert 50 <= len(whole_pass) < 60  # a group of 20 and up to three frames besides are gone
    for start in range(0, 80, 16):
        part = VideoSource(path, threads=threads).read(start, start + 16)
        found = {index: image for index, _time, image in part}
        assert found.keys() == {index for index in whole_pass if start <= index < start + 16}
        assert all(np.array_equal(image, whole_pass[index]) for index, image in found.items())


@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".ts"])
def test_a_file_cut_off_gives_what_is_there(tmp_path: Path, ending: str) -> None:
    path = clip(tmp_path / f"a{ending}", 80, size=(256, 192), options={"g": "20"}, muxing={"movflags": "+faststart"}
                if ending == ".mp4" else None)  # fmt: skip
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    source = VideoSource(path)
    found = {index: (number_of(image), time) for index, time, image in source.read(0, source.info().frames)}
    assert 20 < len(found) < 80
    assert all(number == round(time * 25) for number, time in found.values())
    assert sorted([*found, *source.damaged_frames]) == list(range(source.info().frames))
    assert len(source.damaged_frames) <= 4
    if ending == ".mp4":  # its index says how much is missing
        assert source.damage[-1].last == 79
        assert source.damage[-1].end == pytest.approx(80 / 25)


def test_reading_is_lazy_and_forgets_what_it_gave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.video.operators import decode

    made = []
    picture = decode._Reader._picture
    monkeypatch.setattr(decode._Reader, "_picture", lambda self, frame: made.append(1) or picture(self, frame))
    frames = VideoSource(clip(tmp_path / "a.mp4", 60)).read(0, 60)
    next(frames)
    next(frames)
    assert len(made) == 2
    frames.close()


@pytest.mark.parametrize(("rotation", "upright"), [(90, 1), (180, 2), (270, 3), (-90, 3)])
def test_rotation_in_the_file_is_applied(tmp_path: Path, rotation: int, upright: int) -> None:
    path = clip(tmp_path / "a.mp4", 5, size=(64, 48), rotation=rotation)
    source = VideoSource(path)
    stored = next(iter(in_order(path)))
    _index, _time, image = next(source.frames_at([0]))
    np.testing.assert_array_equal(image, np.rot90(stored, upright))
    assert (source.info().height, source.info().width) == image.shape[:2]


def test_odd_sizes(tmp_path: Path) -> None:
    source = VideoSource(clip(tmp_path / "a.mp4", 6, size=(75, 53), pixels="yuv444p"))
    assert [(number_of(image), image.shape) for _index, _time, image in source.read(0, 6)] == [
        (number, (53, 75, 3)) for number in range(6)
    ]


def test_readers_of_one_process_do_not_disturb_one_another(tmp_path: Path) -> None:
    file = clip(tmp_path / "a.mp4", 60)
    table = scan(file, "a.mp4")
    first = decode_frames(file, "a.mp4", table, np.arange(60))
    second = decode_frames(file, "a.mp4", table, np.arange(60))
    assert [next(first)[0] for _ in range(10)] == list(range(10))
    seen = [next(second) for _ in range(10)]
    assert isinstance(first, Generator)
    first.close()  # what its decoder still holds goes, and the second's holds the same packets
    seen += second
    assert [index for index, _ in seen] == list(range(60))
    assert all(image is not None for _, image in seen)
