"""What an event's clip shows: where it opens, and the picture that stands for it."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from tests.video import scenes
from workbench.video.result.stretches import best_picture, first_hit, held, stretch_of
from workbench.video.source import from_array

EVENT = SimpleNamespace(event=0, start=2.0, end=3.0, frame_start=20, frame_end=29)


@pytest.fixture(scope="module")
def source():
    return from_array(scenes.frames(60), fps=10.0, name="array")


def rows(**columns):
    table = pd.DataFrame({
        "event": 0, "frame": np.arange(18, 30), "time": np.arange(18, 30) / 10, "id": 7, "label": "car",
        "score": 0.9, "x1": 10.0, "y1": 10.0, "x2": 20.0 + np.arange(12), "y2": 20.0, "matched": True,
    })  # fmt: skip
    table["matched"] = table["frame"] >= 20
    return table.assign(**columns)


def objects(best_frame):
    return pd.DataFrame({"id": [7], "best_frame": [best_frame]})


def test_it_opens_at_the_first_matched_frame():
    assert first_hit(EVENT, rows()) == 2.0
    assert first_hit(EVENT, rows(matched=False)) == 2.0
    assert first_hit(EVENT, rows(matched=np.arange(12) >= 5)) == pytest.approx(2.3)


def test_the_picture_is_the_objects_best_frame_if_the_event_matches_there(source):
    best = best_picture(source, EVENT, rows(), objects(24))
    assert best.frames.tolist() == [24]
    boxes, labels = best.boxes[24]
    assert boxes.tolist() == [[10.0, 10.0, 26.0, 20.0]]
    assert labels == ["car 7"]
    assert best_picture(source, EVENT, rows(), objects(24), boxes=False).boxes == {}


@pytest.mark.parametrize("elsewhere", [3, 18, 55])
def test_else_it_is_the_matched_frame_with_the_best_box(source, elsewhere):
    assert best_picture(source, EVENT, rows(), objects(elsewhere)).frames.tolist() == [29]
    unsure = rows(score=[0.9] * 11 + [np.nan])
    assert best_picture(source, EVENT, unsure, objects(elsewhere)).frames.tolist() == [28]
    # What reaches the picture's edge may be half of the object.
    cut = rows(x2=[110.0] * 11 + [128.0])
    assert best_picture(source, EVENT, cut, objects(elsewhere)).frames.tolist() == [20]


def test_an_event_without_rows_still_has_a_picture(source):
    assert best_picture(source, EVENT, rows().iloc[:0], objects(24)).frames.tolist() == [20]


def test_a_stretch_has_its_pad_and_boxes(source):
    stretch = stretch_of(source, EVENT, rows(), 0.5, True)
    assert stretch.frames[[0, -1]].tolist() == [15, 34]
    assert sorted(stretch.boxes) == list(range(18, 30))
    assert stretch_of(source, EVENT, rows(), 0.5, False).boxes == {}


def test_between_processed_frames_boxes_stay():
    drawn = {10: "a", 15: "b", 30: "c"}
    shown = held(drawn, np.arange(8, 40))
    assert [shown.get(frame) for frame in (9, 10, 14, 15, 19, 20, 29, 30, 34)] == [
        None, "a", "a", "b", "b", "b", None, "c", "c",
    ]  # fmt: skip
    assert held({3: "a"}, np.arange(9)) == {3: "a"}
