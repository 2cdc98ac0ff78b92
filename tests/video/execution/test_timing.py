"""Clocks of a run."""

import time
from types import SimpleNamespace

import pytest

from tests.video import scenes
from workbench.video.execution.timing import Pace, TimedCalls, TimedSource
from workbench.video.source import from_array


def test_only_the_time_of_frames_counts():
    class Slow:
        name = "slow"

        def frames_at(self, indices, *, threads=1):
            for index in indices:
                time.sleep(0.01)
                yield index, 0.0, None

    source = TimedSource(Slow())
    for _ in source.frames_at([1, 2, 3], threads=2):
        time.sleep(0.05)
    assert 0.03 <= source.seconds < 0.1
    assert source.name == "slow"


def test_a_timed_source_is_the_source():
    source = from_array(scenes.frames(20), fps=10.0, name="array")
    timed = TimedSource(source)
    assert [item[0] for item in timed.frames_at([3, 7])] == [3, 7]
    assert timed.video_id() == source.video_id()
    with pytest.raises(AttributeError):
        timed.nothing  # noqa: B018


def test_waiting_for_calls_is_counted_by_property_even_if_they_fail():
    def slow(prop, calls, arguments):
        time.sleep(0.01)
        if not calls:
            raise ValueError
        return calls

    timed = TimedCalls(slow)
    for name, calls in (("a", [1]), ("a", [2]), ("b", [3])):
        assert timed(SimpleNamespace(name=name), calls, {}) == calls
    with pytest.raises(ValueError):
        timed(SimpleNamespace(name="b"), [], {})
    assert 0.02 <= timed.seconds["a"] < 0.2
    assert 0.02 <= timed.seconds["b"] < 0.2


def test_the_pace_is_that_of_warm_workers():
    pace = Pace(2)
    assert pace.left(1000) == 0.0
    pace.add(16, 30.0)  # weights and imports
    pace.add(32, 31.0)
    assert (pace.frames, pace.left(1000)) == (0, 0.0)
    pace.add(64, 6.4)
    pace.add(64, 6.4)
    assert pace.frames == 128
    assert pace.left(1000) == pytest.approx(50.0)
