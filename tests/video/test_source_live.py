"""Frames as they come: what is kept of them, what is dropped, and what happens when a stream is lost."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.video.clips import clip, number_of, numbered
from workbench.engine.errors import WorkbenchError
from workbench.video import source_live
from workbench.video.source import Source, VideoInfo, VideoSource, from_array, open_sources
from workbench.video.source_feed import FileFeed, IterableFeed, SourceFeed, StreamFeed
from workbench.video.source_live import LiveSource, live


def pictures(count: int) -> np.ndarray:
    return np.stack([numbered(index) for index in range(count)])


def collected(source: LiveSource, stop: threading.Event | None = None) -> list[tuple[int, float, int]]:
    found = []
    for batch in source.batches(stop or threading.Event()):
        indices = np.arange(batch.first, batch.first + len(batch.times))
        for index, seconds, image in source.frames_at(indices):
            found.append((index, seconds, number_of(image)))
    return found


def test_an_array_comes_in_batches_and_every_picture_is_kept_as_it_was() -> None:
    frames = pictures(47)
    source = live(from_array(frames, fps=10.0), batch="1s")
    assert isinstance(source, LiveSource)
    assert (source.info().width, source.info().height, source.info().fps, source.info().frames) == (64, 48, 10.0, 0)
    batches = list(source.batches(threading.Event()))
    assert [len(batch.times) for batch in batches] == [10, 10, 10, 10, 7]
    assert np.array_equal(np.concatenate([batch.times for batch in batches]), np.arange(47) / 10)
    assert source.info().frames == 47
    assert source.info().duration == pytest.approx(4.7)
    copy = pickle.loads(pickle.dumps(source))
    assert copy.video_id() == source.video_id()
    for reader in (source, copy):
        back = list(reader.frames_at([0, 9, 10, 33, 46]))
        assert [index for index, _, _ in back] == [0, 9, 10, 33, 46]
        assert all(np.array_equal(image, frames[index]) for index, _, image in back)
    folder = Path(source._folder)
    assert len(list(folder.iterdir())) == 5
    del source, copy, reader, batches
    assert not folder.exists()


def test_an_iterable_gives_times_or_frames_and_times() -> None:
    def two() -> Iterator[Any]:
        for index in range(5):
            yield 7.0 + index * 0.2, numbered(index)

    def three() -> Iterator[Any]:
        for index in range(5):
            yield index, index * 0.2, numbered(index)

    for made in (two(), three()):
        found = collected(live(made))  # type: ignore[arg-type]
        assert [index for index, _, _ in found] == [0, 1, 2, 3, 4]
        assert [seconds for _, seconds, _ in found] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8])
        assert [number for _, _, number in found] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("format", ["matroska", "mpegts"])
def test_a_growing_file_gives_the_finished_files_frames(tmp_path: Path, format: str) -> None:
    whole = clip(tmp_path / f"whole.{'mkv' if format == 'matroska' else 'ts'}", 60, options={"g": "12"})
    data = whole.read_bytes()
    growing = tmp_path / f"growing{whole.suffix}"
    growing.write_bytes(data[: len(data) // 4])
    source = live(growing, batch="0.4s")
    stop = threading.Event()
    expected = VideoSource(whole)
    wanted = [(index, seconds, number_of(image)) for index, seconds, image in expected.read(0, 60)]
    found: list[tuple[int, float, int]] = []
    assert isinstance(source, LiveSource)

    def grow() -> None:
        with growing.open("ab", buffering=0) as file:
            for place in range(len(data) // 4, len(data), 1000):
                file.write(data[place : place + 1000])
                time.sleep(0.01)

    writer = threading.Thread(target=grow)
    writer.start()
    for batch in source.batches(stop):
        found += [(i, s, number_of(image)) for i, s, image in source.read(batch.first, batch.first + len(batch.times))]
        if len(found) >= 40:  # the demuxer holds the last frames back until it is told that no more will come
            stop.set()
    writer.join()
    assert 40 <= len(found) <= 60
    assert found == wanted[: len(found)]


def test_a_finished_mp4_is_read_to_its_end(tmp_path: Path) -> None:
    path = clip(tmp_path / "whole.mp4", 30)
    assert [number for _, _, number in collected(live(path))] == list(range(30))  # type: ignore[arg-type]


class Flaky(Source):
    """Breaks off twice, and goes on where it was."""

    name = "flaky"

    def __init__(self) -> None:
        self.breaks = [12, 25]

    def info(self) -> VideoInfo:
        return VideoInfo(self.name, 64, 48, 10.0, 0, 0.0)

    def read(self, start: int, stop: int) -> Iterator[tuple[int, float, np.ndarray]]:
        for index in range(start, min(stop, 40)):
            if self.breaks and index == self.breaks[0]:
                self.breaks.pop(0)
                raise ConnectionResetError("cable out")
            yield index, index / 10, numbered(index)


def test_a_lost_source_is_reopened_after_1_2_4_to_30_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(source_live._Either, "wait", lambda self, seconds: pauses.append(seconds))
    source = live(Flaky(), batch="1s")
    assert isinstance(source, LiveSource)
    found = collected(source)
    assert [number for _, _, number in found] == list(range(40))
    assert [seconds for _, seconds, _ in found] == [index / 10 for index in range(40)]
    assert source.losses == 2
    assert pauses == [1.0, 1.0]

    class Dead(Flaky):
        def read(self, start: int, stop: int) -> Iterator[tuple[int, float, np.ndarray]]:
            if start == 0:
                yield 0, 0.0, numbered(0)
            raise ConnectionResetError("cable out")

    assert source.gaps == [(1.1, 1.2), (2.4, 2.5)]
    assert source.lost_at is None
    pauses.clear()
    dead = LiveSource(SourceFeed(Dead()), 2.0, "drop")
    stop = threading.Event()

    def pause(self: object, seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) > 7:
            stop.set()

    monkeypatch.setattr(source_live._Either, "wait", pause)
    list(dead.batches(stop))
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
    assert (dead.losses, dead.gaps, dead.lost_at) == (1, [], 0.0)  # one loss, however often it was tried


def test_times_go_on_after_a_loss_and_nothing_comes_twice() -> None:
    clock = source_live._Clock()
    assert [clock.place(Fraction(5 + i, 10)) for i in range(20)] == [i / 10 for i in range(20)]
    clock.lost()  # the stream's clock goes on: two frames are sent again, then new ones
    assert [clock.place(Fraction(5 + i, 10)) for i in (18, 19, 20, 25)] == [None, None, 2.0, 2.5]
    clock.lost()
    begun = clock.place(Fraction(5, 10))  # it counts from its beginning again
    assert begun is not None
    assert 2.5 < begun < 30
    later = clock.place(Fraction(15, 10))
    assert later == pytest.approx(begun + 1.0)
    clock.lost()
    assert clock.place(Fraction(400)) is not None  # and goes on from there


@pytest.mark.parametrize("reopened", [True, False])
def test_a_stream_that_goes_back_far_counts_anew(reopened: bool) -> None:
    clock = source_live._Clock()
    assert [clock.place(Fraction(1000 + i)) for i in range(200)] == list(range(200))
    if reopened:
        clock.lost()  # an encoder that starts again with any count; without a loss: a count that ran over
    begun = clock.place(Fraction(1100))
    assert begun is not None
    assert 199 < begun < 230
    assert clock.place(Fraction(1101)) == pytest.approx(begun + 1)
    assert clock.place(Fraction(1041)) is None  # sent a second time: no stream repeats itself for longer than a minute
    # what is one's own has the times that one gives it
    own = source_live._Clock(realtime=False)
    assert [own.place(Fraction(stamp)) for stamp in (0, 100, 20, 101)] == [0, 100, None, 101]


def test_a_stream_that_comes_back_far_ahead_counts_anew() -> None:
    clock = source_live._Clock()
    clock.place(Fraction(0))
    assert clock.place(Fraction(500)) == 500  # within a session the timestamps say how long it was
    clock.lost()
    begun = clock.place(Fraction(90_000))
    assert begun is not None
    assert 500 < begun < 530


def test_what_comes_too_fast_is_dropped_or_kept() -> None:
    for late in ("drop", "keep"):
        source = LiveSource(IterableFeed((index / 10, numbered(index)) for index in range(60)), 1.0, late)
        source.feed.realtime = True  # comes whether somebody takes it or not
        found: list[int] = []
        for batch in source.batches(threading.Event()):
            found += [number_of(image) for _, _, image in source.read(batch.first, batch.first + len(batch.times))]
            while batch.first == 0 and len(source.times()) < 60:
                pass  # busy with the first batch while all the others come
        if late == "keep":
            assert found == list(range(60))
            assert source.dropped == 0
        else:
            assert found == sorted(found)
            assert found[-10:] == list(range(50, 60))
            assert source.dropped == 60 - len(found) > 0
        # what was dropped can still be looked at
        assert [number_of(image) for _, _, image in source.read(0, 60)] == list(range(60))


def test_old_pictures_go_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_live, "_MOST_KEPT", 1)
    source = live(from_array(pictures(30), fps=10.0), batch="1s")
    assert isinstance(source, LiveSource)
    collected(source)
    assert (source.forgotten, source.kept_from()) == (2, 2.0)
    assert [index for index, _, _ in source.frames_at([3, 25])] == [25]
    assert source.damaged_frames == [3]


def test_what_can_be_followed(tmp_path: Path) -> None:
    assert isinstance(live("rtsp://door.local/1").feed, StreamFeed)  # type: ignore[attr-defined]
    assert isinstance(live("camera:0").feed, StreamFeed)  # type: ignore[attr-defined]
    path = clip(tmp_path / "a.mkv", 3)
    assert isinstance(live(str(path)).feed, FileFeed)  # type: ignore[attr-defined]
    camera = Flaky()
    assert not live(camera).feed.realtime  # type: ignore[attr-defined]
    camera.realtime = True  # type: ignore[attr-defined]
    assert live(camera).feed.realtime  # type: ignore[attr-defined]
    again = live(live(path), batch="1s", late="keep")
    assert (again.batch, again.late) == (1.0, "keep")  # type: ignore[attr-defined]
    (found,) = open_sources("rtsp://door.local/1")
    assert isinstance(found, LiveSource)


@pytest.mark.parametrize(
    ("source", "options", "lines"),
    [
        ("nowhere.mp4", {}, ["No video matches 'nowhere.mp4'.", None]),
        (3, {}, ["int cannot be followed.", "Pass an address, a path, a Source or an iterable of pictures."]),
        ([], {"batch": "0s"}, ["batch must be longer than 0 s, got 0s.", 'Write batch="2s".']),
        ([], {"batch": 2}, ["batch needs a unit, got 2.", 'Write "2s".']),
        ([], {"late": "skip"}, ["late is 'drop' or 'keep', got 'skip'.", "Use late='keep' to lose no frame."]),
    ],
)
def test_mistakes(source: Any, options: dict[str, Any], lines: list[str | None]) -> None:
    with pytest.raises(WorkbenchError) as caught:
        live(source, **options)
    assert caught.value.message == lines[0]
    assert lines[1] is None or caught.value.hint == lines[1]


def test_a_stream_that_cannot_be_opened_says_so() -> None:
    with pytest.raises(WorkbenchError, match=r"tcp://127.0.0.1:9 cannot be opened \(.*\)\.\nCheck the address"):
        live("tcp://127.0.0.1:9").info()
    with pytest.raises(WorkbenchError, match="A live iterable gave int, not"):
        collected(live([1, 2]))  # type: ignore[arg-type]
