"""One query over several videos: the answers one after another, and what keeps one from being answered is noted."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import workbench as wb
from tests.video import asking, scenes
from tests.video.asking import CARS
from workbench.engine.errors import WorkbenchError
from workbench.video import api
from workbench.video.execution import chunks, job
from workbench.video.models import registry

pytestmark = pytest.mark.usefixtures("cluster")

GROUPS = """
class Counts(Query):
    thing: Object
    where = thing.x1 > "20px"
    group = thing.label
    select = count(), count(thing.id), mean(thing.speed)
"""
TABLES = ("events", "objects", "frames", "groups", "errors")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of three clips of 12, 30 and 20 s; the first shows one car, the others two and three."""
    place = tmp_path_factory.mktemp("several")
    scenes.write_scene(place / "b.mp4", 300)
    scenes.write_scene(place / "a.mp4", 120)
    scenes.write_scene(place / "c.mp4", 200)
    return place


def one_after_another(answers):
    """Put the tables of single answers together, by the plainest means."""
    joined = {}
    for name in TABLES:
        parts, before = [], 0
        for answer in answers:
            part = answer.table(name).copy()
            if "event" in part:
                part["event"] += before
            before += len(answer.events)
            parts.append(part)
        joined[name] = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    return joined


def of_folder(folder):
    """Return the clips' boxes as one table."""
    counts = {"a.mp4": 120, "b.mp4": 300, "c.mp4": 200}
    return pd.concat([scenes.truth(count).assign(video=name) for name, count in counts.items()])


@pytest.mark.parametrize("text", [CARS, GROUPS, CARS + '    group = every("10s")\n'])
def test_a_glob_gives_the_answers_of_its_videos_one_after_another(folder, text):
    whole = api.vquery(str(folder / "*.mp4"), text, detector=of_folder(folder))
    names = [str(folder / name) for name in ("a.mp4", "b.mp4", "c.mp4")]
    single = [api.vquery(name, text, detector=of_folder(folder)) for name in names]
    for name, expected in one_after_another(single).items():
        pd.testing.assert_frame_equal(whole.table(name), expected, obj=name)
        assert whole.table(name).attrs == single[0].table(name).attrs
    assert whole.events["event"].tolist() == list(range(len(whole)))
    assert len(whole) == sum(map(len, single)) > len(single[1]) > 0
    assert whole.searched["video"].tolist() == names
    assert whole.searched["end"].tolist() == [12.0, 30.0, 20.0]
    assert "in 3 videos; 01:02 searched, exact" in repr(whole)


def test_a_list_keeps_its_order_and_names_each_video_once(folder):
    names = [folder / "c.mp4", folder / "a.mp4", folder / "c.mp4"]
    answer = asking.quietly(names, CARS, detector=of_folder(folder))
    assert answer.searched["video"].tolist() == [str(folder / "c.mp4"), str(folder / "a.mp4")]
    assert list(dict.fromkeys(answer.events["video"])) == answer.searched["video"].tolist()
    assert answer.notes == [f"{folder / 'c.mp4'} is named twice. It was searched once."]


def test_two_arrays_of_one_name_are_an_error():
    arrays = [wb.video.from_array(np.zeros((3, 48, 64, 3), np.uint8), fps=10.0) for _ in range(2)]
    assert asking.error(arrays, CARS, detector=scenes.truth()) == [
        "Two sources are named 'array'.", 'Write from_array(..., name="another").',
    ]  # fmt: skip


def test_progress_and_the_plan_are_over_all_videos(folder, bright):
    run = api.start_vquery(str(folder / "*.mp4"), CARS, detector="bright", fresh=True)
    run.result(timeout=60)
    assert run.progress.done == run.progress.total == 620
    assert run.title == "Cars in a.mp4, b.mp4, c.mp4"
    detect = next(node for _, node in run.result().plan.walk() if node.op == "detect")
    assert (detect.rows, detect.est_rows, detect.cache_hits) == (620, 620, 0.0)


def test_a_limit_reaches_over_videos(folder):
    names, boxes = str(folder / "*.mp4"), of_folder(folder)
    first = len(api.vquery(folder / "a.mp4", CARS, detector=boxes))
    whole = api.vquery(names, CARS, detector=boxes)
    assert first >= 1
    for limit in (first, first + 1, len(whole), len(whole) + 5):
        part = api.vquery(names, CARS, detector=boxes, limit=limit)
        pd.testing.assert_frame_equal(part.events, whole.events.head(limit))
        pd.testing.assert_frame_equal(part.frames, whole.frames[whole.frames["event"] < limit].reset_index(drop=True))


def test_a_limit_that_one_video_meets_does_not_begin_the_next(folder, bright):
    part = api.vquery(str(folder / "*.mp4"), CARS, detector="bright", limit=1)
    assert scenes.counted(bright) <= 120
    assert set(part.searched["video"]) == {str(folder / "a.mp4")}


def test_one_damaged_video_of_many_is_noted(folder, tmp_path, bright):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video at all" * 100)
    answer = asking.quietly([broken, folder / "a.mp4"], CARS, detector="bright")
    assert answer.notes == [f"{broken} is not a video that can be read. The other videos were searched."]
    assert len(answer) == len(api.vquery(folder / "a.mp4", CARS, detector="bright"))
    assert asking.error([broken, broken], CARS, detector="bright")[0] == f"{broken} is not a video that can be read."


def test_a_video_on_which_all_fails_is_noted_and_an_error_only_if_all_do(folder, seen):
    def short_only(images):
        if images[0][:, :, 2].max() > 999 or marker.exists():
            raise ValueError("no")
        return [scenes.bright_boxes(image) for image in images]

    marker = seen.parent / "fails"
    dark = wb.video.from_array(np.zeros((20, 48, 64, 3), np.uint8), fps=10.0, name="dark")

    def picky(images):
        if images[0].shape[0] == 48:
            raise ValueError("too small")
        return short_only(images)

    registry.register_detector("picky", picky, labels=["car", "person"], version=str(seen), batch=8)
    try:
        answer = asking.quietly([dark, folder / "a.mp4"], CARS, detector="picky", fresh=True)
        assert len(answer) >= 1
        assert answer.notes[0].startswith("picky failed on each of 20 frames of dark (ValueError: too small).")
        with pytest.raises(WorkbenchError, match="picky failed on each of 20 frames of dark"):
            api.vquery([dark], CARS, detector="picky")
    finally:
        registry._REGISTERED.pop("picky")


def test_boxes_go_to_the_videos_that_their_column_names(folder):
    boxes = scenes.truth()
    names = [str(folder / "a.mp4"), str(folder / "b.mp4")]
    only = boxes.assign(video="b.mp4")
    answer = asking.quietly(names, CARS, detector=only)
    assert set(answer.events["video"]) == {names[1]}
    assert answer.notes == ["The table of boxes has no rows for a.mp4. Its columns frame and video say which frame of "
                            "which video a box is on."]  # fmt: skip
    each = asking.quietly(names, CARS, detector=boxes[boxes["frame"] < 120])
    assert set(each.events["video"]) == set(names)
    assert "stand for each of 2 videos" in each.notes[0]


def test_pictures_clips_and_timelines_are_of_the_right_video(folder):
    both = asking.quietly([folder / "b.mp4", folder / "c.mp4"], CARS, detector=scenes.truth())
    second = asking.quietly(folder / "c.mp4", CARS, detector=scenes.truth())
    name = str(folder / "c.mp4")
    number = int(both.events.loc[both.events["video"] == name, "event"].iloc[0])
    assert both.clip(number).frame_range == second.clip(0).frame_range
    identity = int(second.objects["id"].iloc[0])
    assert np.array_equal(both.thumbnail(identity, video=name), second.thumbnail(identity))
    assert len(both.timeline(name).bars) == len(second)
    assert both.timeline(name).duration == 20.0
    kinds = [block["kind"] for block in both.view_data()["blocks"]]
    assert kinds.count("timeline") == kinds.count("clip") == 2


def test_detect_and_tracks_take_several_videos(folder, bright):
    names = [str(folder / "b.mp4"), str(folder / "a.mp4")]
    for function in (partial(wb.video.detect, detector="bright"), partial(wb.video.tracks, detector="bright")):
        expected = pd.concat([function(name) for name in names], ignore_index=True)
        pd.testing.assert_frame_equal(function(names), expected)


def test_values_missing_in_a_whole_video_leave_the_column_as_in_one(folder):
    text = """
class Mine(Car):
    @prop
    def number(self, frame):
        return {body}
class Numbers(Query):
    car: Mine
    where = car.x1 > "20px"
    select = car.number
"""
    ask = partial(asking.quietly, [folder / "a.mp4", folder / "b.mp4"], detector=scenes.truth())
    some = ask(text.format(body="3 if frame > 150 else None")).events["car_number"]
    assert some.dtype == "float64"
    assert some.isna().any()
    assert (some.dropna() == 3).all()
    words = ask(text.format(body="'late' if frame > 150 else None")).events["car_number"]
    assert words.dtype == "str"
    assert ask(text.format(body="7")).events["car_number"].dtype == "int64"
    flags = ask(text.format(body="True if frame > 150 else None")).events["car_number"]
    assert flags.dtype == "boolean"


@pytest.mark.slow
def test_a_cancelled_run_keeps_the_videos_before(folder, bright, monkeypatch):
    monkeypatch.setattr(job, "plan_chunks", partial(chunks.plan_chunks, first=(20,), later=20))
    run = api.start_vquery(str(folder / "*.mp4"), CARS, detector="bright", fresh=True)
    run.add_observer(lambda run: run.cancel() if run.progress.done >= 200 else None)
    answer = run.result(timeout=60)
    assert answer.status == "stopped"
    expected = api.vquery(folder / "a.mp4", CARS, detector="bright").events
    pd.testing.assert_frame_equal(answer.events.head(len(expected)), expected)
    assert answer.searched["video"].tolist() == [str(folder / "a.mp4"), str(folder / "b.mp4")]
