import datetime as dt

import numpy as np
import pytest

from workbench.engine.errors import WorkbenchError
from workbench.video.execution.options import check_options, processed_frames


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        ({"every": 0}, "every must be a whole number of at least 1, got 0.", "Use every=1 for each frame."),
        ({"every": 1.5}, "every must be a whole number of at least 1, got 1.5.", "Use every=1 for each frame."),
        ({"every": True}, "every must be a whole number of at least 1, got True.", "Use every=1 for each frame."),
        ({"limit": 0}, "limit must be a whole number of at least 1, got 0.", "Use limit=None for all events."),
        ({"limit": "3"}, "limit must be a whole number of at least 1, got '3'.", "Use limit=None for all events."),
        (
            {"accuracy": 1},
            "accuracy must be a number from 0.5 to below 1, got 1.",
            "Use accuracy=None for the exact answer.",
        ),
        (
            {"accuracy": 0.49},
            "accuracy must be a number from 0.5 to below 1, got 0.49.",
            "Use accuracy=None for the exact answer.",
        ),
        (
            {"accuracy": "0.9"},
            "accuracy must be a number from 0.5 to below 1, got '0.9'.",
            "Use accuracy=None for the exact answer.",
        ),
        (
            {"accuracy": True},
            "accuracy must be a number from 0.5 to below 1, got True.",
            "Use accuracy=None for the exact answer.",
        ),
        ({"start": 90}, "start needs a unit, got 90.", 'Write "90s".'),
        ({"end": 1.5}, "end needs a unit, got 1.5.", 'Write "1.5s".'),
        ({"start": "5px"}, 'start is a time and "5px" is not.', 'Write "90s", "2min" or "01:30".'),
        ({"start": "10s", "end": "10s"}, "end must be after start, got 10s and 10s.", "Use a later end."),
        ({"end": "0s"}, "end must be after start, got 0s and 0s.", "Use a later end."),
    ],
)
def test_a_bad_option_says_what_is_wrong_and_how_to_fix_it(options, message, hint):
    with pytest.raises(WorkbenchError) as caught:
        check_options(**options)
    assert (caught.value.message, caught.value.hint) == (message, hint)


def test_times_are_read_in_every_form():
    options = check_options(start="00:01", end=dt.timedelta(seconds=2.5), every=np.int64(2), limit=3)
    assert (options.start, options.end, options.every, options.limit) == (1.0, 2.5, 2, 3)


def test_an_accuracy_is_a_share():
    assert check_options().accuracy is None
    assert check_options(accuracy=np.float32(0.5)).accuracy == 0.5
    assert check_options(accuracy=0.95).accuracy == 0.95


def test_frames_are_multiples_of_every_from_start_on_before_end():
    times = np.arange(100) / 10
    assert processed_frames(times, check_options(start="1s", end="2s")).tolist() == list(range(10, 20))
    assert processed_frames(times, check_options(start="1.05s", end="2s", every=4)).tolist() == [12, 16]
    assert processed_frames(times, check_options(start="20s")).tolist() == []
    assert processed_frames(np.empty(0), check_options()).tolist() == []
