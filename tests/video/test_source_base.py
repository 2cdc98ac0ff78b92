"""Sources of one's own: `info` and `read` are enough."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import numpy as np
import pytest

from tests.video.clips import Image, number_of, numbered
from workbench.engine.errors import WorkbenchError
from workbench.video.source_base import Source, VideoInfo, damage_ranges, uneven


class Drawn(Source):
    """Twenty numbered frames, some of which may be missing."""

    name = "drawn"

    def __init__(self, missing: tuple[int, ...] = (), times: tuple[float, ...] = ()) -> None:
        self.missing, self.clock = missing, times

    def info(self) -> VideoInfo:
        return VideoInfo("drawn", 64, 48, 10.0, 20, 2.0, "", bool(self.clock))

    def read(self, start: int, stop: int) -> Iterator[tuple[int, float, Image]]:
        for index in range(start, stop):
            if index not in self.missing:
                yield index, self.clock[index] if self.clock else index / 10, numbered(index)


class Wrong(Drawn):
    def read(self, start: int, stop: int) -> Iterator[tuple[int, float, Image]]:
        for index, time, image in super().read(start, stop):
            yield index, time, image[:10]


def test_everything_follows_from_info_and_read() -> None:
    source = Drawn()
    np.testing.assert_allclose(source.times(), np.arange(20) / 10)
    found = [(index, time, number_of(image)) for index, time, image in source.frames_at([0, 3, 19])]
    assert found == [(0, 0.0, 0), (3, pytest.approx(0.3), 3), (19, pytest.approx(1.9), 19)]
    assert list(source.keyframes()) == list(range(20))
    assert repr(source) == "Drawn('drawn')"


def test_times_of_an_uneven_source_are_read_once() -> None:
    clock = tuple(5 + 0.1 * index + 0.02 * index**2 for index in range(20))
    np.testing.assert_allclose(Drawn(times=clock).times(), np.array(clock) - 5)


def test_frames_that_do_not_come_are_damage() -> None:
    source = Drawn(missing=(4, 5, 9))
    assert [index for index, _time, _image in source.frames_at(np.arange(3, 10))] == [3, 6, 7, 8]
    assert [(part.first, part.last) for part in source.damage] == [(4, 5), (9, 9)]
    assert source.damage[0].start == pytest.approx(0.4)
    assert source.damage[0].end == pytest.approx(0.6)


def test_the_id_travels_with_copies_and_differs_between_objects() -> None:
    source = Drawn()
    assert len(source.video_id()) == 64
    assert pickle.loads(pickle.dumps(source)).video_id() == source.video_id()
    assert Drawn().video_id() != source.video_id()


def test_pictures_of_another_shape_are_refused() -> None:
    with pytest.raises(WorkbenchError) as caught:
        next(Wrong().frames_at([0]))
    assert caught.value.message == "drawn.read() gave uint8 (10, 64, 3), not uint8 (48, 64, 3)."


@pytest.mark.parametrize("wanted", [[20], [-1], [3, 3], [5, 4]])
def test_frames_must_be_there_and_ascend(wanted: list[int]) -> None:
    with pytest.raises(WorkbenchError, match="drawn has frames 0 to 19"):
        next(Drawn().frames_at(wanted))


def test_uneven() -> None:
    assert not uneven(np.arange(10) / 30)
    assert not uneven(np.round(np.arange(100) / 29.97, 3))  # rounded to milliseconds, as in WebM
    assert uneven(np.array([0, 0.04, 0.08, 0.16]))
    assert not uneven(np.array([0.0, 5.0]))


def test_damage_ranges_of_the_last_frame() -> None:
    (part,) = damage_ranges([9], np.arange(10) / 5)
    assert (part.start, part.end) == (pytest.approx(1.8), pytest.approx(2.0))
    assert damage_ranges([], np.arange(10) / 5) == []
