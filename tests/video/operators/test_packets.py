"""The packet table: which frames there are and when, with timestamps that are missing, doubled or out of order."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.video.clips import clip, number_of
from workbench.video.operators.packets import NO_TIME, PacketTable, _times, scan
from workbench.video.source_file import VideoSource


def table(pts: list[int], dts: list[int] | None = None) -> PacketTable:
    count = len(pts)
    return PacketTable(
        np.array(pts), np.array(dts if dts is not None else range(count)), np.full(count, 9), np.ones(count, bool),
        np.argsort(pts), np.sort(np.array(pts)) / 25, 64, 48, "h264", 25.0,
    )  # fmt: skip


def test_frames_are_in_presentation_order(tmp_path: Path) -> None:
    found = scan(clip(tmp_path / "a.mp4", 12, options={"g": "12", "bf": "3", "b_strategy": "0"}), "a.mp4")
    assert len(found) == 12
    assert list(found.shown) != sorted(found.shown)  # B frames: stored after what they lean on
    np.testing.assert_array_equal(found.pts[found.shown], np.sort(found.pts))
    np.testing.assert_array_equal(found.frame[found.shown], np.arange(12))
    assert list(found.starts) == [0]


def test_a_table_survives_the_store(tmp_path: Path) -> None:
    found = scan(clip(tmp_path / "a.mp4", 8, rotation=90), "a.mp4")
    again = PacketTable.from_arrays(found.arrays())
    for name, column in found.arrays().items():
        np.testing.assert_array_equal(again.arrays()[name], column)
    assert again.turn[0]
    assert again.codec == "h264"


def test_packets_are_told_by_the_timestamps_that_are_unique() -> None:
    assert table([3, 1, 2]).number(1) == 1
    assert table([3, 1, 2]).number(4) is None
    assert table([3, 1, 2]).number(None) is None
    doubled = table([1, 1, 2], [5, 6, 7])
    assert not doubled.stamped_by_pts
    assert doubled.number(6) == 1
    assert len(table([1, 1, 2], [5, 5, 6]).stamps) == 0
    assert len(table([NO_TIME, 1], [NO_TIME, 1]).stamps) == 0


def test_times_that_do_not_grow_are_spread_evenly() -> None:
    base = Fraction(1, 100)
    np.testing.assert_allclose(_times(np.array([50, 60, 80]), base, 10), [0, 0.1, 0.3])
    np.testing.assert_allclose(_times(np.array([0, 10, 10, 30]), base, 10), [0, 0.1, 0.2, 0.3])
    np.testing.assert_allclose(_times(np.array([0, NO_TIME, 40]), base, 10), [0, 0.2, 0.4])
    np.testing.assert_allclose(_times(np.array([NO_TIME, 10, 20, NO_TIME]), base, 10), [0, 0.1, 0.2, 0.3])
    np.testing.assert_allclose(_times(np.array([NO_TIME] * 3), base, 10), [0, 0.1, 0.2])
    assert len(_times(np.empty(0, np.int64), base, 10)) == 0


def test_a_bare_stream_has_no_timestamps(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.h264", 30, options={"g": "10", "bf": "2"})
    source = VideoSource(path)
    assert source.info().fps == pytest.approx(25)
    assert [number_of(image) for _index, _time, image in source.frames_at([4, 17, 29])] == [4, 17, 29]


def test_doubled_timestamps(tmp_path: Path) -> None:
    """A recorder that stamps two frames alike: both are there, one after the other."""
    path = _with_doubled_stamp(tmp_path / "a.mkv", 20, 7)
    source = VideoSource(path)
    assert source.info().frames == 20
    assert np.all(np.diff(source.times()) > 0)
    assert [number_of(image) for _index, _time, image in source.read(0, 20)] == list(range(20))
    assert [number_of(image) for _index, _time, image in source.frames_at([6, 7, 8, 15])] == [6, 7, 8, 15]


def _with_doubled_stamp(path: Path, count: int, at: int) -> Path:
    import av

    plain = clip(path.with_name("plain.mkv"), count, codec="mjpeg", pixels="yuvj420p")
    with av.open(str(plain)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(source.demux(source.streams.video[0])):
            if not packet.size:
                continue
            packet.stream = stream
            if number == at:
                packet.pts = packet.dts = packet.pts - 40
            target.mux(packet)
    return path


def test_the_digest_sees_head_tail_and_packets(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mp4", 10)
    found = scan(path, "a.mp4")
    digest = found.digest(path)
    data = path.read_bytes()
    for changed in (b"x" + data[1:], data[:-1] + b"x", data + b"x"):
        path.write_bytes(changed)
        assert found.digest(path) != digest
    path.write_bytes(data)
    assert found.digest(path) == digest
    found.keyframe[3] = True
    assert found.digest(path) != digest


def test_frames_before_the_start_of_an_edit_list_are_not_shown(tmp_path: Path) -> None:
    """Cut without encoding anew: the file keeps frames from the keyframe on, and says where it begins."""
    import av

    plain = clip(tmp_path / "plain.mp4", 40, options={"g": "20", "bf": "2"})
    path = tmp_path / "cut.mp4"
    with av.open(str(plain)) as source, av.open(str(path), "w") as target:
        old = source.streams.video[0]
        stream = target.add_stream_from_template(old)
        shift = round(7 / 25 / old.time_base)
        for packet in source.demux(old):
            if packet.size:
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                packet.stream = stream
                target.mux(packet)
    source = VideoSource(path)
    assert source.info().frames == 33
    assert source.times()[0] == 0
    assert [number_of(image) for _index, _time, image in source.read(0, 33)] == list(range(7, 40))
    assert [number_of(image) for _index, _time, image in source.frames_at([2, 20, 32])] == [9, 27, 39]
    assert source.damage == []


def test_a_cover_picture_is_not_the_video(tmp_path: Path) -> None:
    import av

    from workbench.engine.errors import WorkbenchError

    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=16000)
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        from tests.video.clips import numbered

        for packet in cover.encode(av.VideoFrame.from_ndarray(numbered(1), format="bgr24").reformat(format="yuvj420p")):
            container.mux(packet)
        for part in range(8):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 16000, part * 1024
            container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    with pytest.raises(WorkbenchError, match=r"song\.mp4 is not a video that can be read"):
        scan(path, "song.mp4")
