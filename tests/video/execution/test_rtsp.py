"""Real RTSP sessions with a local process: as it comes, and when it dies, is away, falls silent or counts anew."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.video import asking
from tests.video.asking import CARS
from tests.video.execution import rtsp_server
from tests.video.execution.test_live import places, until
from workbench.engine.errors import WorkbenchError
from workbench.video import api, source_feed, source_live
from workbench.video.source import from_array
from workbench.video.source_live import LiveSource, live

pytestmark = pytest.mark.usefixtures("cluster")

Camera = Callable[..., str]


@pytest.fixture
def camera(stream: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Camera]:
    """Return a function that starts a camera with these sessions, and gives its address; lost ones are soon retried."""
    monkeypatch.setattr(source_live, "_FIRST_PAUSE", 0.1)
    monkeypatch.setattr(source_live, "_LONGEST_PAUSE", 0.4)
    started: list[subprocess.Popen[str]] = []

    def start(*sessions: dict[str, Any]) -> str:
        command = [sys.executable, rtsp_server.__file__, str(stream), json.dumps(sessions)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        return f"rtsp://127.0.0.1:{int(process.stdout.readline())}/door"

    yield start
    for process in started:
        process.kill()
        process.communicate()


def keys(stream: Path) -> list[int]:
    """Return the pictures from which one can go on."""
    starts, tables = places(stream)
    return [int(np.searchsorted(starts, at)) for at in tables]


def assert_finished_files(answer: Any, expected: Any) -> None:
    """Assert that the answers are the same, but for the first picture of the first session.

    FFmpeg gives the first picture of a session no timestamp: it is left out, and time begins with the second.
    """
    assert len(answer) == len(expected) > 0
    for name in ("events", "objects", "frames"):
        table = answer.table(name).drop(columns="video", errors="ignore")
        for column in ("frame", "frame_start", "frame_end", "best_frame"):
            if column in table:
                table[column] += 1
        for column in ("time", "start", "end", "first", "last"):
            if column in table:
                table[column] += 0.1
        pd.testing.assert_frame_equal(table, expected.table(name).drop(columns="video", errors="ignore"))


def assert_what_was_seen(answer: Any, source: LiveSource, end: str) -> None:
    """Assert that the answer is that of a finished video with the pictures that came, at the times when they did."""
    times = source.times()
    assert (np.diff(times) > 0).all()
    pictures = np.stack([image for _, _, image in source.read(0, len(times))])
    expected = api.vquery(from_array(pictures, times=times), CARS, detector="bright", end=end)
    for name in ("events", "objects", "frames"):
        ours, theirs = (result.table(name).drop(columns="video", errors="ignore") for result in (answer, expected))
        pd.testing.assert_frame_equal(ours, theirs, check_exact=True)
    assert not answer.frames.duplicated(["event", "frame", "variable"]).any()


def test_an_rtsp_camera_gives_the_finished_files_events(stream: Path, camera: Camera, bright: Path) -> None:
    expected = api.vquery(stream, CARS, detector="bright", end="18.1s")
    address = camera({"first": 0, "stop": 200, "then": "stall"})
    answer = asking.quietly(live(address, late="keep"), CARS, detector="bright", end="18s")
    assert answer.status == "done"
    assert len(answer) == 2
    assert answer.events["video"].unique().tolist() == [address]
    assert_finished_files(answer, expected)


@pytest.mark.parametrize("then", ["close", "half"])
def test_a_camera_that_goes_on_where_it_was_loses_and_repeats_nothing(
    stream: Path, camera: Camera, bright: Path, then: str
) -> None:
    expected = api.vquery(stream, CARS, detector="bright", end="18.1s")
    begin = keys(stream)
    # It breaks off twice, and begins again some pictures earlier, by its own clock: much is sent twice.
    second, third = (max(key for key in begin if key < stop - 12) for stop in (88, 151))
    address = camera(
        {"first": 0, "stop": 88, "then": then},
        {"first": second, "stop": 151, "npt": second / 10, "then": then},
        {"first": third, "stop": 200, "npt": third / 10, "then": "stall"},
    )
    source = live(address, late="keep")
    assert isinstance(source, LiveSource)
    answer = asking.quietly(source, CARS, detector="bright", end="18s")
    assert answer.status == "done"
    assert np.allclose(source.times()[:180], np.arange(180) / 10)
    assert_finished_files(answer, expected)
    assert (len(source.gaps), source.dropped) == (2, 0)
    if source.lost_at is None:  # else the silence at the end was noticed, too
        told = f"{address} was lost 2 times and reopened. What it showed meanwhile came later; nothing is missing."
        assert answer.notes == [told]
    assert len(answer.searched) == 1


@pytest.mark.parametrize(
    "first",
    [
        {"then": "close"},
        {"then": "close", "away": 1.5},  # longer than the longest pause between two attempts
        {"then": "stall"},
    ],
)
def test_a_camera_that_counts_anew_misses_what_the_clock_says(
    stream: Path, camera: Camera, bright: Path, first: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_feed, "_SILENCE", 1.0)
    key = min(key for key in keys(stream) if key > 100)
    address = camera({"first": 0, "stop": 88, **first}, {"first": key, "stop": 200, "then": "stall"})
    source = live(address, late="keep")
    assert isinstance(source, LiveSource)
    answer = asking.quietly(source, CARS, detector="bright", end="17s")
    assert answer.status == "done"
    assert_what_was_seen(answer, source, "17s")
    # One loss however often it was tried, and the time until it was there again is missing: told, and not searched.
    # The last session ends in silence, which is a loss too where there is time to notice it.
    assert source.losses == 1 + (source.lost_at is not None)
    ((before, after),) = source.gaps
    assert before == pytest.approx(8.6)
    assert after - before >= (1.0 if first["then"] == "stall" else first.get("away", 0.1))
    (note,) = answer.notes
    assert note.startswith(f"{address} was lost ")
    assert f" {after - before - 0.1:.1f} s are missing (00:08-" in note
    assert answer.searched[["start", "end"]].to_numpy() == pytest.approx(
        np.array([[0.0, before + 0.1], [after, 17.0]]), abs=0.1
    )
    (facts,) = answer.videos
    assert facts.skipped == [pytest.approx((before + 0.1, after))]
    # The first car was there before the loss, the second one after: nobody is counted twice.
    assert answer.events["car_id"].is_unique
    assert len(answer.objects) == len(answer)


def test_a_connection_that_is_reset_costs_what_was_on_its_way(stream: Path, camera: Camera, bright: Path) -> None:
    key = min(key for key in keys(stream) if key > 100)
    address = camera({"first": 0, "stop": 88, "then": "reset"}, {"first": key, "stop": 200, "then": "stall"})
    source = live(address, late="keep")
    assert isinstance(source, LiveSource)
    answer = asking.quietly(source, CARS, detector="bright", end="13s")
    assert (answer.status, len(source.gaps)) == ("done", 1)
    assert_what_was_seen(answer, source, "13s")


def test_a_camera_that_answers_with_an_error_is_asked_again(stream: Path, camera: Camera, bright: Path) -> None:
    key = min(key for key in keys(stream) if key > 100)
    address = camera(
        {"first": 0, "stop": 88},
        *({"first": 0, "stop": 0, "answer": status} for status in (404, 503)),
        {"first": key, "stop": 200, "then": "stall"},
    )
    source = live(address, late="keep")
    assert isinstance(source, LiveSource)
    answer = asking.quietly(source, CARS, detector="bright", end="14s")
    assert (answer.status, len(source.gaps)) == ("done", 1)
    assert_what_was_seen(answer, source, "14s")
    refused = camera({"first": 0, "stop": 0, "answer": 404})
    with pytest.raises(WorkbenchError, match=re.escape(f"{refused} cannot be opened (")):
        live(refused).info()
    empty = camera({"first": 0, "stop": 0})
    with pytest.raises(WorkbenchError, match=re.escape(f"{empty} ended before its first picture.")):
        live(empty).info()


def test_a_camera_that_does_not_come_back_says_so_while_it_is_waited_for(camera: Camera, bright: Path) -> None:
    address = camera({"first": 0, "stop": 120, "away": 600.0})
    answer = api.vquery(live(address, late="keep"), CARS, detector="bright")
    run = answer._run
    assert run is not None
    until(lambda: run.progress.done == 119 and answer.partial().notes)
    told = f"{address} was lost at 00:11. It has not come back."
    assert answer.partial().notes == [told]
    assert answer.status == "running"
    answer.cancel()
    assert answer.wait(60)
    last = answer.partial()
    assert (last.status, last.notes) == ("stopped", [told])
    assert len(last) == 2
    assert len(last.videos[0].source.times()) == 119
