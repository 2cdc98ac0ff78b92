"""Whole queries: the answer does not depend on workers, chunks or caches, and nothing that was done is lost."""

import os
import signal
import threading
import time
from functools import partial

import numpy as np
import pandas as pd
import pytest

from tests.video import scenes
from tests.video.asking import CARS
from workbench.engine import session
from workbench.engine.errors import WorkbenchError
from workbench.video import api
from workbench.video.execution import cache, chunks, job
from workbench.video.models import registry

pytestmark = pytest.mark.usefixtures("cluster")

STAYS = """
left = Region.rect(0, 0, 70, 95)
class Stays(Query):
    thing: Object
    where = lasts(thing.inside(left), "2s")
"""


def tables(result):
    return {name: result.table(name) for name in ("events", "objects", "frames", "groups", "errors")}


def assert_same(one, other):
    for name, frame in tables(one).items():
        pd.testing.assert_frame_equal(frame, other.table(name), check_exact=True, obj=name)


def test_the_number_of_workers_never_changes_an_answer(clip, bright):
    expected = api.vquery(clip, STAYS, detector="bright")
    assert len(expected) >= 3
    try:
        for workers in (1, 5):
            session.session(workers=workers)
            assert_same(api.vquery(clip, STAYS, detector="bright", fresh=True), expected)
    finally:
        session.session(workers=2)


@pytest.mark.slow
@pytest.mark.parametrize("later", [7, 50, 1000])
def test_the_length_of_chunks_never_changes_an_answer(clip, bright, monkeypatch, later):
    expected = api.vquery(clip, STAYS, detector="bright")
    monkeypatch.setattr(job, "plan_chunks", partial(chunks.plan_chunks, first=(later,), later=later))
    assert_same(api.vquery(clip, STAYS, detector="bright", fresh=True), expected)


def test_an_edited_query_computes_no_frame_again_and_is_quick(clip, bright):
    first = api.vquery(clip, CARS, detector="bright")
    assert scenes.counted(bright) == 300
    began = time.perf_counter()
    edited = api.vquery(clip, CARS.replace("20px", "40px"), detector="bright")
    assert time.perf_counter() - began < 0.5
    assert scenes.counted(bright) == 0
    assert len(first) == len(edited) == 3
    assert (edited.events["start"].to_numpy()[[0, 2]] > first.events["start"].to_numpy()[[0, 2]]).all()
    assert "cached 100 %" in edited.summary


def test_kept_detections_serve_any_every_and_range(clip, bright):
    api.vquery(clip, CARS, detector="bright", every=3)
    assert scenes.counted(bright) == 100
    api.vquery(clip, CARS, detector="bright", every=6, start="5s")
    assert scenes.counted(bright) == 0
    api.vquery(clip, CARS, detector="bright", every=2)
    assert scenes.counted(bright) == 100  # of 150 frames, every third is there already
    api.vquery(clip, CARS, detector="bright", fresh=True)
    assert scenes.counted(bright) == 300


@pytest.mark.slow
def test_a_cancelled_run_keeps_what_is_contiguous_and_a_rerun_computes_the_rest(clip, seen):
    released = seen.parent / "go"

    def slow(images):
        # The first 90 frames come at once, the others when the test says so.
        import uuid

        (seen / uuid.uuid4().hex).write_text(str(len(images)))
        for _ in range(600):
            if released.exists() or images[0][0, 0, 0] < 50:
                break
            time.sleep(0.02)
        return [scenes.bright_boxes(image) for image in images]

    pictures = scenes.frames(300)
    pictures[96:, :4, :4] = 100  # below what the detector calls bright: tells the later frames from the first
    from workbench.video.source import from_array

    source = from_array(pictures, fps=10.0, name="array")
    registry.register_detector("slow", slow, labels=["car", "person"], version=str(seen), batch=4)
    try:
        run = api.start_vquery(source, STAYS, detector="slow")
        while run.progress.done < 48:
            time.sleep(0.02)
        run.cancel()
        stopped = run.result(timeout=20)
        assert stopped.status == "stopped"
        assert stopped.partial
        assert run.state == "cancelled"
        reached = stopped.searched["end"].iloc[-1]
        assert stopped.searched["start"].tolist() == [0.0]
        assert 4.8 <= reached < 20
        assert stopped.summary.endswith("| stopped")
        assert "stopped" in repr(stopped)
        released.touch()
        while scenes.counted(seen):  # what was on its way to a worker ends
            time.sleep(0.5)
        whole = api.vquery(source, STAYS, detector="slow")
        again = scenes.counted(seen)
        assert whole.status == "done"
        assert again <= 300 - reached * 10 + 1e-6
        assert_same(api.vquery(source, STAYS, detector="slow", fresh=True), whole)
    finally:
        registry._REGISTERED.pop("slow")


def test_a_fold_goes_on_from_its_checkpoint(clip, bright, monkeypatch):
    from workbench.video.execution import fold

    monkeypatch.setattr(fold, "_PAUSE", 0.0)
    expected = api.vquery(clip, STAYS, detector="bright")
    record = _one_record()
    assert record["complete"]
    assert record["checkpoints"] == list(range(1, len(record["chain"]) + 1))
    # As after a killed process: the tracks were never finished, the last states never written.
    base = _record_key()
    store = cache.artefacts.store()
    store.put_json(base, record | {"complete": False, "chain": record["chain"][:3], "checkpoints": [1, 3]}, kind="fold")
    steps = []
    step = fold.VideoFold.step
    monkeypatch.setattr(fold.VideoFold, "step", lambda self, *args: (steps.append(1), step(self, *args))[1])
    assert_same(api.vquery(clip, STAYS, detector="bright"), expected)
    assert len(steps) == len(record["chain"]) - 3 or len(steps) == len(record["chain"])


def _record_key():
    entries = cache.artefacts.store().entries()
    keys = entries[entries["kind"] == "fold"]["key"]
    return next(key for key in keys if isinstance(cache.artefacts.store().get_json(key), dict))


def _one_record():
    return cache.artefacts.store().get_json(_record_key())


def test_a_killed_worker_changes_nothing(clip, seen):
    marker = seen.parent / "killed"

    def deadly(images):
        try:
            marker.touch(exist_ok=False)
        except FileExistsError:
            return [scenes.bright_boxes(image) for image in images]
        os.kill(os.getpid(), signal.SIGKILL)

    registry.register_detector("deadly", deadly, labels=["car", "person"], version=str(seen), batch=8)
    registry.register_detector(
        "sound", scenes.counting_detector(seen), labels=["car", "person"], version=str(seen), batch=8
    )
    try:
        answer = api.vquery(clip, STAYS, detector="deadly")
        assert marker.exists()
        assert_same(answer, api.vquery(clip, STAYS, detector="sound"))
    finally:
        registry._REGISTERED.pop("deadly")
        registry._REGISTERED.pop("sound")


def test_frames_on_which_the_detector_fails_are_named_and_not_searched(clip, seen):
    def picky(images):
        for image in images:
            if image[76:88, :, 0].max() > 150:  # the blue car
                raise ValueError("no blue")
        return [scenes.bright_boxes(image) for image in images]

    registry.register_detector("picky", picky, labels=["car", "person"], version=str(seen), batch=4)
    try:
        with pytest.warns(UserWarning, match="picky failed on") as caught:
            answer = api.vquery(clip, CARS, detector="picky")
        assert len(caught) == 1
        (note,) = answer.notes
        assert "scene.mp4: picky failed on" in note
        assert "of 300 frames (ValueError: no blue)." in note
        assert len(answer.searched) == 2
        assert answer.videos[0].skipped[0][0] == pytest.approx(10.0, abs=0.3)
        assert len(answer) == 2
    finally:
        registry._REGISTERED.pop("picky")


@pytest.mark.slow
def test_a_chunk_that_fails_three_times_is_named_and_the_rest_is_searched(clip, monkeypatch, bright):
    from workbench.video.execution import wave

    detect_chunk = wave.detect_chunk

    def failing(task):
        if task.frames[0] <= 150 <= task.frames[-1]:
            raise OSError("disk gone")
        return detect_chunk(task)

    monkeypatch.setattr(wave, "detect_chunk", failing)
    with pytest.warns(UserWarning, match="parts failed"):
        answer = api.vquery(clip, CARS, detector="bright")
    assert answer.notes[0].startswith(f"{clip}: 1 of 6 parts failed (00:1")
    assert "OSError: disk gone" in answer.notes[0]
    assert len(answer.searched) == 2
    monkeypatch.setattr(wave, "detect_chunk", detect_chunk)
    scenes.counted(bright)
    whole = api.vquery(clip, CARS, detector="bright")
    assert len(whole.searched) == 1
    assert scenes.counted(bright) < 200  # only what was missing
    assert_same(whole, api.vquery(clip, CARS, detector="bright", fresh=True))


PROPERTY = """
class Mine(Car):
    @prop(once=True)
    def shade(self, image):
        {body}
class Shades(Query):
    car: Mine
    where = known(car.shade)
    select = car.id, car.shade
"""


def test_a_property_that_raises_leaves_missing_values_and_rows_in_errors(clip):
    body = "if image[:, :, 0].mean() > 120: raise ValueError('empty crop')\n        return 'red'"
    with pytest.warns(UserWarning, match="shade failed on") as caught:
        answer = api.vquery(clip, PROPERTY.format(body=body), detector=scenes.truth())
    assert len(caught) == 1
    assert "(ValueError: empty crop). Those values are missing; see .errors." in answer.notes[0]
    assert answer.events["car_id"].tolist() == [1, 5]
    assert set(answer.errors["id"]) == {3}
    assert set(answer.errors["property"]) == {"shade"}
    assert "ValueError: empty crop" in answer.errors["traceback"].iloc[0]
    with pytest.warns(UserWarning, match="shade failed on"):
        again = api.vquery(clip, PROPERTY.format(body=body), detector=scenes.truth())
    assert_same(answer, again)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("return None", []),
        ("return float('nan')", []),
        ("return 'a' if image[:, :, 0].mean() > 120 else 3", ["3", "a", "3"]),
    ],
)
def test_a_property_may_give_none_or_mix_types(clip, body, expected):
    answer = api.vquery(clip, PROPERTY.format(body=body), detector=scenes.truth())
    assert [str(value) for value in answer.events["car_shade"]] == expected
    assert_same(answer, api.vquery(clip, PROPERTY.format(body=body), detector=scenes.truth()))


def test_property_values_are_kept_until_the_function_changes(clip, seen):
    text = """
class Mine(Car):
    @prop(once=True)
    def shade(self, image):
        import pathlib, uuid
        (pathlib.Path(folder) / uuid.uuid4().hex).write_text("1")
        return float(image[:, :, 2].mean()) {change}
class Shades(Query):
    car: Mine
    where = car.shade > {least}
"""
    ask = partial(api.vquery, clip, detector=scenes.truth(), namespace={"folder": str(seen)})
    first = ask(text.format(change="", least=100))
    calls = scenes.counted(seen)
    assert 3 <= calls <= 15
    assert len(ask(text.format(change="", least=0))) >= len(first)
    assert scenes.counted(seen) == 0
    ask(text.format(change="+ 1", least=100))
    assert scenes.counted(seen) == calls
    ask(text.format(change="", least=100), fresh=True)
    assert scenes.counted(seen) == calls


def test_given_boxes_with_ids_decode_nothing(clip, monkeypatch):
    from workbench.video.source import VideoSource

    def refuse(self, *args, **options):
        raise AssertionError("a frame was decoded")

    monkeypatch.setattr(VideoSource, "frames_at", refuse)
    answer = api.vquery(clip, STAYS, detector=scenes.truth())
    assert set(answer.events["thing_id"]) <= set(scenes.truth()["id"])
    assert len(answer) >= 3
    free = api.vquery(clip, STAYS, detector=scenes.truth().drop(columns="id"))
    assert len(free) == len(answer)


@pytest.mark.slow
def test_limit_gives_the_first_events_of_the_whole_answer(clip, bright):
    whole = api.vquery(clip, CARS, detector="bright", fresh=True)
    for limit, fresh in ((1, True), (2, True), (1, False), (9, False)):
        part = api.vquery(clip, CARS, detector="bright", limit=limit, fresh=fresh)
        pd.testing.assert_frame_equal(part.events, whole.events.head(limit))
        assert part.status == "done"
        ids = part.events["car_id"]
        expected = whole.objects[whole.objects["id"].isin(ids)].reset_index(drop=True)
        pd.testing.assert_frame_equal(part.objects.drop(columns="events"), expected.drop(columns="events"))


def test_limit_stops_when_the_first_events_are_certain(clip, bright, monkeypatch):
    monkeypatch.setattr(job, "plan_chunks", partial(chunks.plan_chunks, first=(20,), later=20))
    answer = api.vquery(clip, CARS, detector="bright", limit=1)
    assert len(answer) == 1
    assert answer.searched["end"].iloc[0] < 25.0


def test_partial_answers_come_while_it_runs(clip, bright):
    partials = []
    run = api.start_vquery(clip, STAYS, detector="bright", fresh=True)
    empty = run.partial()
    assert empty is None or list(empty.events.columns)[:3] == ["event", "video", "thing_id"]
    versions = set()

    def look(run):
        if run.version not in versions:
            versions.add(run.version)
            partials.append(run.partial())

    run.add_observer(look)
    answer = run.result(timeout=60)
    assert partials[-1] is not None
    known = [part for part in partials if part is not None]
    assert all(part.status in ("running", "done") for part in known)
    assert all(len(part) <= len(answer) + 1 for part in known)
    assert known[-1].partial() is not None
    assert run.progress.done == run.progress.total == 300


@pytest.mark.slow
def test_a_full_disk_costs_the_cache_only(clip, bright, monkeypatch):
    import errno

    from workbench.engine.store import Store

    expected = api.vquery(clip, STAYS, detector="bright")

    def full(self, key, *args, **options):
        self._not_kept(OSError(errno.ENOSPC, "No space left on device"))
        return False

    monkeypatch.setattr(Store, "_put", full)
    with pytest.warns(UserWarning, match="disk of the store is full"):
        answer = api.vquery(clip, STAYS, detector="bright", fresh=True)
    assert_same(answer, expected)


@pytest.fixture
def long_from_the_start(monkeypatch):
    from workbench.video.execution import run as work

    monkeypatch.setattr(work, "_LONG", 0.0)
    monkeypatch.setattr(work, "_AFTER", 10)
    return work


def long_notes(answer):
    return [note for note in answer.notes if note.startswith("About")]


def test_a_long_run_says_so_once(clip, long_from_the_start, bright):
    with pytest.warns(UserWarning, match=r"About 1 min on 2 workers\.\nTry --limit 10, --every 5"):
        answer = api.vquery(clip, STAYS, detector="bright", fresh=True)
    assert long_notes(answer) == ["About 1 min on 2 workers. Try --limit 10, --every 5, or workbench.connect(...)."]


@pytest.fixture
def slow_pace(monkeypatch):
    from workbench.video.execution import run as work

    monkeypatch.setattr(work, "_AFTER", 10)
    monkeypatch.setattr(work.Pace, "left", lambda pace, frames: 36.0 * frames)


@pytest.mark.slow
def test_what_is_kept_or_limited_is_not_long(clip, slow_pace, bright):
    def said(**options):
        run = api.start_vquery(clip, STAYS, detector="bright", **options)
        run.result(timeout=60)
        return run.progress.message

    assert said(start="8s", fresh=True).startswith("about ")
    scenes.counted(bright)
    assert said() == ""  # the first frames are computed, and the others lie in the store
    assert scenes.counted(bright) >= 10
    assert said(every=2) == ""
    assert said(limit=1, fresh=True) == ""


@pytest.mark.slow
def test_a_run_that_was_faster_than_it_looked_takes_its_warning_back(clip, slow_pace, bright):
    run = api.start_vquery(clip, STAYS, detector="bright", fresh=True)
    answer = run.result(timeout=60)
    assert run.progress.message.startswith("about ")
    assert not long_notes(answer)


def test_start_beyond_the_video_gives_an_empty_answer(clip):
    answer = api.vquery(clip, STAYS, detector=scenes.truth(), start="5min")
    assert len(answer) == 0
    assert len(answer.searched) == 0
    assert answer.status == "done"
    assert str(answer).startswith("VideoResult: 0 events, 0 objects in 1 video; 00:00 searched, exact")


def test_a_video_without_objects(tmp_path, bright):
    from workbench.video.source import from_array

    source = from_array(np.zeros((40, 48, 64, 3), np.uint8), fps=10.0)
    answer = api.vquery(source, CARS, detector="bright")
    assert len(answer) == 0
    assert "No events." in str(answer)


@pytest.mark.parametrize("count", [0, 1])
def test_no_or_one_frame(count, bright):
    from workbench.video.source import from_array

    source = from_array(np.zeros((count, 48, 64, 3), np.uint8), fps=10.0)
    answer = api.vquery(source, CARS, detector="bright")
    assert len(answer) == 0
    assert answer.view_data()["blocks"][0]["kind"] == "summary"


def test_a_property_of_an_imported_module_runs_on_the_workers(clip, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "shades_of_mine.py").write_text("def shade_of(image):\n    return float(image[:, :, 2].mean())\n")
    import importlib

    module = importlib.import_module("shades_of_mine")
    text = PROPERTY.format(body="return shade_of(image)")
    answer = api.vquery(clip, text, detector=scenes.truth(), namespace={"shade_of": module.shade_of})
    assert len(answer) == 3
    assert (answer.events["car_shade"] > 20).all()


@pytest.mark.slow
def test_two_runs_at_once_do_not_mix(clip, bright):
    answers = {}

    def ask(text):
        answers[text] = api.vquery(clip, text, detector="bright", fresh=True)

    threads = [threading.Thread(target=ask, args=(text,)) for text in (CARS, STAYS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for text, answer in answers.items():
        assert_same(answer, api.vquery(clip, text, detector="bright"))


def test_the_plan_tells_what_was_done(clip, bright):
    first = api.vquery(clip, CARS, detector="bright").plan
    detect = next(node for _, node in first.walk() if node.op == "detect")
    assert (detect.rows, detect.cache_hits) == (300, 0.0)
    assert detect.ms > 0
    decode, track = (next(node for _, node in first.walk() if node.op == op) for op in ("decode", "track"))
    assert (decode.rows, track.cache_hits) == (300, 0.0)
    assert min(decode.ms, track.ms) > 0
    assert "ms of decode, detect and props are summed over the workers" in first.notes
    second = api.vquery(clip, CARS, detector="bright").plan
    assert next(node for _, node in second.walk() if node.op == "detect").cache_hits == 1.0
    filters = [node for _, node in second.walk() if node.op == "filter"]
    assert filters
    assert all(node.rows is not None for node in filters)
    planned = api.explain(clip, CARS, detector="bright")
    assert all(node.rows is None for _, node in planned.walk())


JERKS = """
class Mine(Car):
    @prop(window="0.5s")
    def jerk(self, speed):
        {body}
    @prop
    def twice(self, jerk):
        return 2 * jerk
class Jerks(Query):
    car: Mine
    where = car.twice {test}
    select = car.id, max(car.jerk)
"""


def test_own_properties_without_pixels_are_kept_too(clip, monkeypatch):
    from workbench.video.operators import properties

    made = []
    counted = properties.Properties.failed

    def count(self, name, calls, *rest):  # one by one or as array code
        made.extend([name] * calls)
        counted(self, name, calls, *rest)

    monkeypatch.setattr(properties.Properties, "failed", count)
    text = JERKS.format(body="return float(abs(speed[-1] - speed[0]))", test=">= 0")
    boxes = scenes.truth()
    first = api.vquery(clip, text, detector=boxes)
    assert set(made) == {"jerk", "twice"}
    made.clear()
    assert_same(api.vquery(clip, text, detector=boxes), first)
    edited = api.vquery(clip, text.replace(">= 0", ">= 2"), detector=boxes)
    assert made == []
    assert_same(api.vquery(clip, text.replace(">= 0", ">= 2"), detector=boxes, fresh=True), edited)
    assert set(made) == {"jerk", "twice"}
    made.clear()
    api.vquery(clip, text.replace("abs(speed", "2 * abs(speed"), detector=boxes)
    assert set(made) == {"jerk", "twice"}
    made.clear()
    api.vquery(clip, text, detector=boxes, every=2)
    assert set(made) == {"jerk", "twice"}


def test_own_properties_that_fail_tell_so_at_every_run(clip):
    text = JERKS.format(body="return 1 / int(speed[-1] > 5)", test="> 0")
    for _ in range(2):
        with pytest.warns(UserWarning, match=r"jerk failed on \d+ of \d+ calls \(ZeroDivisionError"):
            answer = api.vquery(clip, text, detector=scenes.truth())
        assert set(answer.errors["property"]) == {"jerk"}


def test_a_scale_that_needs_persons_waits_for_them(clip, bright):
    text = """
scale = Scale(person="1.7m")
class Walkers(Query):
    person: Person
    where = person.speed >= "0m/s" and known(person.color)
"""
    answer = api.vquery(clip, text, detector="bright")  # the first chunk shows nobody
    assert answer.events["person_id"].tolist() == [2, 3]
    with pytest.raises(WorkbenchError):
        api.vquery(clip, text, detector="bright", end="1.5s")
