"""Queries over live sources give the finished file's events."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import workbench as wb
from tests.video import asking, scenes
from tests.video.asking import CARS
from workbench.engine.errors import WorkbenchError
from workbench.video import api, source_live
from workbench.video.models import registry
from workbench.video.source import from_array
from workbench.video.source_live import live

pytestmark = pytest.mark.usefixtures("cluster")

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


#: a process that sends parts of a file, one to each who connects, and then keeps silent
SERVER = """
import json, pathlib, socket, sys
data, parts, head = pathlib.Path(sys.argv[1]).read_bytes(), json.loads(sys.argv[2]), sys.argv[3].encode()
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
for number, (start, stop) in enumerate(parts):
    connection, _ = server.accept()
    if head:
        connection.recv(65536)
        connection.sendall(head)
    connection.sendall(data[start:stop])
    if number + 1 < len(parts):
        connection.close()
sys.stdin.read()
"""


@pytest.fixture
def serve(stream: Path) -> Iterator[Callable[[list[tuple[int, int]], str], int]]:
    """Return a function that starts a process which sends parts of the stream, and gives its port."""
    started: list[subprocess.Popen[str]] = []

    def serve(parts: list[tuple[int, int]], head: str) -> int:
        command = [sys.executable, "-c", SERVER, str(stream), json.dumps(parts), head]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        return int(process.stdout.readline())

    yield serve
    for process in started:
        process.kill()
        process.communicate()


def places(stream: Path) -> tuple[list[int], list[int]]:
    """Return where each picture begins in the stream, and where each does from which one can go on."""
    import av

    with av.open(str(stream)) as container:
        packets = [packet for packet in container.demux(container.streams.video[0]) if packet.pos is not None]
    data = stream.read_bytes()
    tables = [at for at in range(0, len(data), 188) if data[at + 1] & 0x1F == data[at + 2] == 0]
    keys = [max(at for at in tables if at <= packet.pos) for packet in packets if packet.is_keyframe]
    return [packet.pos for packet in packets], keys


@pytest.mark.parametrize("head", ["", "HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\n\r\n"])
def test_a_stream_from_another_process_gives_the_finished_files_events(
    stream: Path, bright: Path, serve: Any, head: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_live, "_FIRST_PAUSE", 0.1)
    expected = api.vquery(stream, SHADES, detector="bright", end="19s")
    pictures, keys = places(stream)
    # It breaks off after picture 87, begins again two keyframes earlier, and once more: much is sent twice.
    parts = [(0, pictures[88]), (keys[7], pictures[151]), (keys[14], len(stream.read_bytes()))]
    port = serve(parts, head)
    address = f"http://127.0.0.1:{port}/live.ts" if head else f"tcp://127.0.0.1:{port}"
    source = live(address, late="keep")
    answer = asking.quietly(source, SHADES, detector="bright", end="19s")
    assert answer.status == "done"
    # The server ends in silence, which is a loss too where there is time to notice it.
    assert source.losses >= 2  # type: ignore[attr-defined]
    assert re.match(rf"{re.escape(address)} was lost (2 times and reopened|at 00:19)\.", answer.notes[0])
    assert source.dropped == 0  # type: ignore[attr-defined]
    # Nothing is missing and nothing is there twice, neither of the pictures nor of the answer.
    assert np.array_equal(source.times()[:190], np.arange(190) / 10)
    assert len(expected) == 2
    for name in ("events", "objects", "frames"):
        pd.testing.assert_frame_equal(without_video(answer, name), without_video(expected, name), check_exact=True)


def test_a_break_in_the_middle_of_a_picture_costs_little(
    stream: Path, bright: Path, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_live, "_FIRST_PAUSE", 0.1)
    expected = api.vquery(stream, CARS, detector="bright", end="17s")
    size = len(stream.read_bytes())
    half = size // 2 // 188 * 188
    source = live(f"tcp://127.0.0.1:{serve([(0, half), (half, size)], '')}", late="keep")
    answer = asking.quietly(source, CARS, detector="bright", end="17s")
    # Pictures that lean on the packets which the break cut through are lost with it; the ids go on all the same.
    assert answer.events["car_id"].tolist() == expected.events["car_id"].tolist()
    assert not answer.frames.duplicated(["event", "frame", "variable"]).any()
    times = source.times()
    assert (np.diff(times) > 0).all()
    assert len(times) >= 130
    assert answer.events["start"].tolist() == pytest.approx(expected.events["start"].tolist(), abs=1.3)


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
