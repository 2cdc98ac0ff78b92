"""Sources and detectors of one's own, with the mistakes that are made at first: two lines that say the fix."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import pytest

import workbench as wb
from tests.video import scenes
from tests.video.asking import error
from workbench.engine.errors import WorkbenchError
from workbench.video import Source, VideoInfo

pytestmark = pytest.mark.usefixtures("cluster")

CARS = """
class Cars(Query):
    car: Car
    where = car.x1 > "20px"
"""
COLOURS = CARS.replace('car.x1 > "20px"', 'car.color == "red"')
TOLD = "Return VideoInfo(name, width, height, fps, frames, duration)."
SENT = "Open files and connections inside read(), or leave them out in __getstate__()."


def bright(images: list[Any]) -> list[pd.DataFrame]:
    return [scenes.bright_boxes(image) for image in images]


def own(**members: Any) -> Source:
    """Return a source of one's own, whose class no other process can import."""

    class Mine(Source):
        name = "mine"

        @cached_property
        def pictures(self) -> np.ndarray:
            return scenes.frames(30)

        def info(self) -> VideoInfo:
            count, height, width = self.pictures.shape[:3]
            return VideoInfo(self.name, width, height, 10.0, count, count / 10)

        def read(self, start: int, stop: int) -> Iterator[tuple[int, float, np.ndarray]]:
            for index in range(start, stop):
                yield index, index / 10, self.pictures[index]

    for name, member in members.items():
        setattr(Mine, name, member)
    return Mine()


def test_what_a_class_of_a_notebook_works_out_once_travels() -> None:
    # before Python 3.12 a cached_property holds a lock
    expected = wb.vquery(wb.video.from_array(scenes.frames(30), fps=10.0, name="mine"), COLOURS, detector=bright)
    answer = wb.vquery(own(), COLOURS, detector=bright)
    assert len(answer) == 1
    pd.testing.assert_frame_equal(answer.events, expected.events)


@pytest.mark.parametrize("given", ["detector", "boxes"])
def test_a_source_that_holds_a_lock_or_a_file_says_so(given: str) -> None:
    source = own()
    source.__dict__["lock"] = threading.Lock()
    why = "Mine cannot be sent to the workers (TypeError: cannot pickle '_thread.lock' object)."
    # with boxes at hand only what asks for pixels goes to the workers
    assert error(source, COLOURS, detector=bright if given == "detector" else scenes.truth(30)) == [why, SENT]
    if given == "boxes":
        assert len(wb.vquery(source, CARS, detector=scenes.truth(30))) == 1
    else:
        for ask in (wb.video.detect, wb.video.tracks):
            with pytest.raises(WorkbenchError) as caught:
                ask(source, detector=bright)
            assert caught.value.lines() == [why, SENT]


def _fails(self: Any) -> VideoInfo:
    raise OSError("no stream")


@pytest.mark.parametrize(
    ("info", "message"),
    [
        (lambda self: {"fps": 10}, "Mine.info() gave dict, not VideoInfo."),
        (_fails, "Mine.info() failed (OSError: no stream)."),
        (lambda self: VideoInfo("mine", 64.5, 48, 10.0, 20, 2.0),  # type: ignore[arg-type]
         "Mine.info() gave width 64.5, not a whole number of at least 1."),
        (lambda self: VideoInfo("mine", 64, 48, 10.0, -1, 2.0),
         "Mine.info() gave frames -1, not a whole number of at least 0."),
        (lambda self: VideoInfo("mine", 64, 48, 0.0, 20, 2.0), "Mine.info() gave fps 0.0, not a number above 0."),
    ],
)  # fmt: skip
def test_a_source_whose_info_is_none(info: Any, message: str) -> None:
    assert error(own(info=info), CARS, detector=bright) == [message, TOLD]


def test_a_source_that_lacks_a_method_names_it() -> None:
    hints = {
        "info": "A source of one's own has info() -> VideoInfo.",
        "read": "A source of one's own has read(start, stop) -> (frame, time, image) ...",
    }
    for name, hint in hints.items():
        source = own(**{name: getattr(Source, name)})
        assert error(source, CARS, detector=bright) == [f"Mine lacks {name}().", hint]


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        (lambda i: (i, np.zeros((96, 128, 3), np.uint8)), "mine.read() gave a tuple of 2, not (frame, time, image)"),
        (lambda i: np.zeros((96, 128, 3), np.uint8), "mine.read() gave ndarray, not (frame, time, image)"),
        (lambda i: (i, i / 10, None), "mine.read() gave NoneType, not uint8 (96, 128, 3)"),
        (lambda i: (i, i / 10, np.zeros((9, 9, 3), np.uint8)),
         "mine.read() gave uint8 (9, 9, 3), not uint8 (96, 128, 3)"),
    ],
)  # fmt: skip
def test_a_source_that_gives_no_frames(frame: Any, why: str) -> None:
    def read(self: Any, start: int, stop: int) -> Iterator[Any]:
        return (frame(index) for index in range(start, stop))

    assert error(own(read=read), CARS, detector=bright) == [
        f"No part of mine could be searched: {why}.",
        "read() of Mine runs on the workers; try wb.video.read_frame(source, 0).",
    ]


def test_a_source_without_a_name_has_that_of_its_class() -> None:
    source = own(name="")
    assert wb.vquery(source, CARS, detector=scenes.truth(30)).searched["video"].tolist() == ["Mine"]


def _lines(call: Any, *args: Any, **options: Any) -> list[str]:
    with pytest.raises(WorkbenchError) as caught:
        call(*args, **options)
    return caught.value.lines()


def test_calls_that_cannot_be_meant() -> None:
    source = own()
    picture = np.zeros((4, 6, 3), np.uint8)
    assert _lines(wb.video.from_array, [picture, picture[:2]], fps=25) == [
        "from_array needs pictures of one size.",
        "Resize them, or cut them to the smallest: frame[:height, :width].",
    ]
    assert _lines(wb.video.detect, source, detector=bright, labels=5) == [
        "labels must be a label or a list of labels, got 5.",
        'Write labels="car" or labels=["car", "bus"].',
    ]
    assert _lines(wb.video.register_detector, None, bright, labels=["car"]) == [
        "A detector's name is text, got None.",
        'Write register_detector("forklifts", ...).',
    ]
    assert _lines(wb.video.register_detector, "five", 5, labels=["car"]) == [
        "A detector is the path of an ONNX file or a callable, got int.",
        "Write a function f(images) that returns a DataFrame of boxes for each.",
    ]
