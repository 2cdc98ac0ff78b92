"""Queries over live sources give the finished file's events."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import workbench as wb
from tests.video import asking, scenes
from workbench.engine.errors import WorkbenchError
from workbench.video import api, source_live
from workbench.video.models import registry
from workbench.video.source import from_array
from workbench.video.source_live import live

pytestmark = pytest.mark.usefixtures("cluster")

CARS = """
class Cars(Query):
    car: Car
    where = car.x1 > "20px" and car.score > 0.5
    select = car.id, start, end, max(car.speed)
"""
SHADES = """
class Mine(Car):
    @prop(once=True)
    def shade(self, image):
        return round(float(image[:, :, 2].mean()))
class Shades(Query):
    car: Mine
    where = lasts(car.x1 > "20px", "1s")
    select = car.id, car.shade
"""
FRAMES = 200


@pytest.fixture
def bright(seen: Path) -> Iterator[Path]:
    registry.register_detector(
        "bright", scenes.counting_detector(seen), labels=["car", "person"], version=str(seen), batch=8
    )
    yield seen
    registry._REGISTERED.pop("bright")


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the scene as an MPEG transport stream, which can be read while it grows."""
    import av

    path = tmp_path_factory.mktemp("live") / "scene.ts"
    with av.open(str(path), "w", format="mpegts") as container:
        made: Any = container.add_stream("libx264", rate=10, options={"g": "10", "bf": "0", "crf": "18"})
        made.width, made.height, made.pix_fmt = 128, 96, "yuv420p"
        for picture in scenes.frames(FRAMES):
            container.mux(made.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(made.encode(None))
    return path


def without_video(result: Any, name: str = "events") -> pd.DataFrame:
    return result.table(name).drop(columns="video")


def until(condition: Any, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_frames_of_ones_own_give_the_finished_videos_tables(bright: Path) -> None:
    pictures = scenes.frames(FRAMES)
    finished = from_array(pictures, fps=10.0)
    expected = api.vquery(finished, SHADES, detector="bright")
    answer = api.vquery(live(finished), SHADES, detector="bright", end="1min")
    assert answer.status == "done"
    assert answer.notes == []
    assert len(answer) == 2
    for name in ("events", "objects", "frames", "errors"):
        pd.testing.assert_frame_equal(answer.table(name), expected.table(name), check_exact=True)
    assert answer.searched["end"].tolist() == [20.0]
    assert answer.clip(0).frame_range == expected.clip(0).frame_range
    assert np.array_equal(answer.thumbnail(1), expected.thumbnail(1))
    items = ((index / 10, picture) for index, picture in enumerate(pictures))
    again = api.vquery(live(items, batch="3s"), CARS, detector="bright", end="1min")
    assert again.events["video"].unique().tolist() == ["live"]
    expected = api.vquery(finished, CARS, detector="bright")
    pd.testing.assert_frame_equal(without_video(again), without_video(expected), check_exact=True)


def test_start_end_every_and_limit(bright: Path) -> None:
    finished = from_array(scenes.frames(FRAMES), fps=10.0)
    options: dict[str, Any]
    for options in ({"start": "3s", "end": "14s"}, {"every": 3, "end": "40s"}, {"limit": 1, "end": "40s"}):
        expected = api.vquery(finished, CARS, detector="bright", **options)
        answer = api.vquery(live(finished), CARS, detector="bright", **options)
        pd.testing.assert_frame_equal(without_video(answer), without_video(expected), check_exact=True)
        assert answer.status == "done"


def test_given_boxes_stand_for_the_frames_that_come() -> None:
    pictures = scenes.frames(FRAMES)
    for boxes in (scenes.truth(), scenes.truth().drop(columns="id")):
        expected = asking.quietly(from_array(pictures, fps=10.0), CARS, detector=boxes)
        answer = asking.quietly(live(from_array(pictures, fps=10.0)), CARS, detector=boxes, end="1min")
        pd.testing.assert_frame_equal(without_video(answer), without_video(expected), check_exact=True)


def test_a_growing_file_is_followed_and_the_call_returns_at_once(stream: Path, tmp_path: Path, bright: Path) -> None:
    expected = api.vquery(stream, CARS, detector="bright")
    assert len(expected) == 2
    data, growing = stream.read_bytes(), tmp_path / "growing.ts"
    growing.write_bytes(data[:5000])

    def grow() -> None:
        with growing.open("ab", buffering=0) as file:
            for place in range(5000, len(data), 4000):
                file.write(data[place : place + 4000])
                time.sleep(0.01)

    writer = threading.Thread(target=grow)
    writer.start()
    answer = api.vquery(live(growing), CARS, detector="bright")
    assert answer.status == "running"
    assert list(answer.events.columns) == list(expected.events.columns)
    run = answer._run
    assert run is not None
    until(lambda: run.progress.done >= 180)
    writer.join()
    assert run.progress.total is None
    answer.cancel()
    assert answer.wait(120)
    last = answer.partial()
    assert last.status == "stopped"
    pd.testing.assert_frame_equal(without_video(last).head(1), without_video(expected).head(1), check_exact=True)
    assert 180 <= len(last.videos[0].source.times()) <= FRAMES
    assert last.events["car_id"].tolist() == expected.events["car_id"].tolist()


class Server:
    """A camera that sends its stream over TCP, and breaks off in the middle once."""

    def __init__(self, data: bytes) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self.socket.getsockname()[1]}"
        half = len(data) // 2 // 188 * 188
        self.parts = [data[:half], data[half:]]
        self.connections = 0
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        for part in self.parts:
            connection, _ = self.socket.accept()
            self.connections += 1
            with connection:
                connection.sendall(part)
        self.socket.close()


def test_a_stream_is_reopened_and_its_ids_go_on(stream: Path, bright: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_live, "_FIRST_PAUSE", 0.1)
    expected = api.vquery(stream, CARS, detector="bright")
    server = Server(stream.read_bytes())
    source = live(server.address, late="keep")
    # The last frames stay in the demuxer of a stream that never says that it ends.
    answer = asking.quietly(source, CARS, detector="bright", end="17s")
    assert server.connections == 2
    assert answer.status == "done"
    # The server hangs up after the second part, too: whether that is seen in time is chance.
    assert re.match(rf"{server.address} was lost (once|\d times) and reopened\.", answer.notes[0])
    # Pictures that lean on the packets which the break cut through are lost with it; the ids go on all the same.
    assert answer.events["car_id"].tolist() == expected.events["car_id"].tolist()
    frames = answer.frames
    assert not frames.duplicated(["event", "frame", "variable"]).any()
    times = source.times()
    assert (np.diff(times) > 0).all()
    assert len(times) >= 130
    starts = expected.events["start"].tolist()
    assert answer.events["start"].tolist() == pytest.approx(starts, abs=1.3)


def test_drops_are_counted_in_the_notes(seen: Path) -> None:
    from workbench.video.source_feed import IterableFeed
    from workbench.video.source_live import LiveSource

    source = LiveSource(
        IterableFeed((index / 10, picture) for index, picture in enumerate(scenes.frames(200))), 1.0, "drop"
    )
    source.feed.realtime = True

    def slow(images: list[Any]) -> list[pd.DataFrame]:
        until(lambda: source.info().frames >= 200)  # everything has come while it looks at the first batch
        return [scenes.bright_boxes(image) for image in images]

    registry.register_detector("slow", slow, labels=["car", "person"], version=str(seen), batch=8)
    try:
        answer = asking.quietly(source, CARS, detector="slow", end="1min")
    finally:
        registry._REGISTERED.pop("slow")
    assert source.dropped > 0
    (note,) = [line for line in answer.notes if "dropped" in line]
    assert f"live: {source.dropped} of 200 frames came too fast and were dropped." in note
    (facts,) = answer.videos
    assert facts.frames == 200 - source.dropped
    assert sum(end - start for start, end in facts.skipped) == pytest.approx(source.dropped / 10)
    assert facts.seconds == pytest.approx(20.0 - source.dropped / 10)


def test_an_iterable_that_breaks_leaves_what_came_before(bright: Path) -> None:
    def breaks() -> Iterator[Any]:
        for index, picture in enumerate(scenes.frames(150)):
            if index == 120:
                raise RuntimeError("lens cap")
            yield index / 10, picture

    answer = asking.quietly(live(breaks()), CARS, detector="bright", end="1min")
    assert answer.status == "done"
    assert answer.notes[0].startswith("live ended with an error (RuntimeError: lens cap).")
    expected = api.vquery(from_array(scenes.frames(120), fps=10.0), CARS, detector="bright")
    assert answer.events["car_id"].tolist() == expected.events["car_id"].tolist()


def test_what_cannot_be_asked_of_a_live_source(clip: Path) -> None:
    array = from_array(scenes.frames(3), fps=10.0)
    assert asking.error([live(array), clip], CARS, detector=scenes.truth()) == [
        "A live source is asked by itself.", "Start a query for each.",
    ]  # fmt: skip
    with pytest.raises(WorkbenchError) as caught:
        wb.video.tracks(live(array), detector=scenes.truth())
    assert str(caught.value).split("\n")[0] == "Boxes and tracks are of videos that are finished."
