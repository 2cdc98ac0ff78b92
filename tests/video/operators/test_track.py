"""The tracker against its definition, its order and state, and against people's labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.video.models.mirror import mirrored, needs_mirror
from tests.video.mot import mot_scores
from tests.video.operators.naive_track import NaiveTracker
from workbench.engine.errors import WorkbenchError
from workbench.video.models import registry
from workbench.video.models.registry import register_tracker, resolve
from workbench.video.operators.detect import detect_frames, per_frame
from workbench.video.operators.track import TrackFold, fold_for, read_mot, tracker_version
from workbench.video.operators.track_custom import CustomFold
from workbench.video.tracks import Frames, Tracks

LABELS = ("person", "car", "truck", "suitcase")
Detections = list[np.ndarray]


@st.composite
def scenes(draw: st.DrawFn) -> Detections:
    """Draw boxes that move, vanish, cross and change their label, with some noise in between."""
    seed = draw(st.integers(0, 2**32 - 1))
    random = np.random.default_rng(seed)
    count = draw(st.integers(1, 40))
    things = draw(st.integers(0, 5))
    rows: list[list[list[float]]] = [[] for _ in range(count)]
    for _ in range(things):
        x, y = random.uniform(0, 150, 2)
        w, h = random.uniform(15, 50, 2)
        step = random.normal(0, 4, 2)
        labels = random.choice(4, 2)
        first, last = sorted(random.integers(0, count + 1, 2))
        seen = random.uniform(0.4, 1.0)
        for frame in range(first, last):
            if random.uniform() < seen:
                jitter = random.normal(0, 1, 4)
                left, top = x + step[0] * (frame - first) + jitter[0], y + step[1] * (frame - first) + jitter[1]
                wide, high = w + abs(jitter[2]), h + abs(jitter[3])
                label = float(labels[int(random.uniform() < 0.2)])
                rows[frame].append([left, top, left + wide, top + high, random.uniform(0.2, 1), label])
                if random.uniform() < 0.1:  # two boxes of one thing
                    rows[frame].append([left + 1, top, left + wide, top + high, random.uniform(0.2, 1), label])
    return [np.array(part, float).reshape(-1, 6) for part in rows]


def run(detections: Detections, cuts: list[int] | None = None, fold: Any = None) -> Tracks:
    fold = TrackFold(LABELS) if fold is None else fold
    times = np.arange(len(detections)) / 10
    for start, stop in zip([0, *(cuts or [])], [*(cuts or []), len(detections)], strict=True):
        fold.step(range(start, stop), times[start:stop].tolist(), detections[start:stop])
    return fold.tracks(Frames(np.arange(len(detections)), times), 200, 200)


def assert_same(left: Tracks, right: Tracks) -> None:
    for name in ("id", "frame", "time", "label", "score", "box", "interpolated"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name), err_msg=name)


@given(scenes())
@settings(max_examples=120, deadline=None)
def test_tracks_are_those_of_the_definition(detections: Detections) -> None:
    naive = NaiveTracker(LABELS, 0.3, 0.6, 0.7)
    for frame, rows in enumerate(detections):
        naive.step(frame, frame / 10, [tuple(row) for row in rows.tolist()])
    found = run(detections)
    expected = naive.confirmed()
    assert found.ids.tolist() == sorted(expected)
    for one, rows in expected.items():
        mine = (found.id == one) & ~found.interpolated
        assert found.frame[mine].tolist() == [row[0] for row in rows]
        np.testing.assert_array_equal(found.box[mine], [row[4] for row in rows])
        np.testing.assert_array_equal(found.score[mine], [row[3] for row in rows])
        sums = {label: sum(row[3] for row in rows if row[2] == label) for label in {row[2] for row in rows}}
        top = max(sums.values())
        assert set(found.label[found.id == one]) <= {label for label in sums if sums[label] > top - 1e-9}


@given(scenes(), st.data())
@settings(max_examples=60, deadline=None)
def test_chunks_order_of_boxes_and_stored_states_never_change_tracks(
    detections: Detections, data: st.DataObject
) -> None:
    whole = run(detections)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(detections)), max_size=4)))
    assert_same(run(detections, cuts), whole)
    shuffled = [rows[np.array(data.draw(st.permutations(range(len(rows)))), int)] for rows in detections]
    assert_same(run(shuffled, cuts), whole)

    times = np.arange(len(detections)) / 10
    fold, states, rows = TrackFold(LABELS), [], 0
    for start, stop in zip([0, *cuts], [*cuts, len(detections)], strict=True):
        fold.step(range(start, stop), times[start:stop].tolist(), detections[start:stop])
        states.append(fold.state(rows))
        rows = len(fold)
        again = TrackFold(LABELS)
        again.restore(states)
        fold = again
    assert_same(fold.tracks(Frames(np.arange(len(detections)), times), 200, 200), whole)
    single = TrackFold(LABELS)
    single.restore(fold.state())
    assert_same(single.tracks(Frames(np.arange(len(detections)), times), 200, 200), whole)


def moving(
    frames: list[int], *, label: int = 0, score: float = 0.9, y: float = 0.0, count: int | None = None
) -> Detections:
    """Return one box that moves 5 px a frame, on these frames only."""
    rows = {f: [[5.0 * f, y, 5.0 * f + 20, y + 40, score, float(label)]] for f in frames}
    return [np.array(rows.get(f, []), float).reshape(-1, 6) for f in range(count or max(frames) + 1)]


def both(left: Detections, right: Detections) -> Detections:
    return [np.concatenate(pair) for pair in zip(left, right, strict=True)]


def test_the_third_box_confirms_and_counts_the_first_two_in() -> None:
    assert len(run(moving([0, 1], count=9))) == 0
    found = run(moving([0, 1, 2], count=9))
    assert found.frame.tolist() == [0, 1, 2]
    assert not found.interpolated.any()


def test_an_unconfirmed_track_ends_after_two_frames_unseen() -> None:
    assert run(moving([0, 2, 3])).frame.tolist() == [0, 1, 2, 3]
    assert len(run(moving([0, 3, 4]))) == 0


def test_gaps_up_to_two_seconds_are_filled_linearly() -> None:
    found = run(moving([*range(5), 24, 25]))
    assert found.id.tolist() == [1] * 26
    assert found.interpolated.tolist() == [False] * 5 + [True] * 19 + [False] * 2
    np.testing.assert_allclose(found.box[:, 0], 5.0 * np.arange(26))
    assert np.isnan(found.score[found.interpolated]).all()
    assert set(run(moving([*range(5), 26, 27, 28])).id) == {1, 2}


def test_gaps_stay_open_where_that_is_asked() -> None:
    detections = moving([0, 1, 2, 5])
    fold = TrackFold(LABELS)
    fold.step(range(6), [f / 10 for f in range(6)], detections)
    frames = Frames(np.arange(6), np.arange(6) / 10)
    assert fold.tracks(frames, 9, 9, interpolate=False).frame.tolist() == [0, 1, 2, 5]


def test_gaps_count_processed_frames_and_real_times() -> None:
    fold = TrackFold(LABELS)
    frames = np.array([0, 3, 6, 9, 12])
    times = np.array([0.0, 0.1, 0.2, 0.5, 0.6])
    box = np.array([[0, 0, 20, 40, 0.9, 0]], float)
    none = np.empty((0, 6))
    fold.step(frames, times, [box, box, box, none, box + np.array([4, 0, 4, 0, 0, 0])])
    found = fold.tracks(Frames(frames, times), 9, 9)
    assert found.frame.tolist() == [0, 3, 6, 9, 12]
    np.testing.assert_allclose(found.box[3, 0], 4 * 0.3 / 0.4)


def test_ids_follow_confirming_frame_first_frame_place_and_label() -> None:
    upper, lower = moving(list(range(6)), y=0), moving(list(range(6)), y=100)
    later = moving(list(range(2, 6)), label=1, y=200)
    found = run(both(both(lower, upper), [*later]))
    assert {one: found.box[found.id == one][0, 1] for one in found.ids.tolist()} == {1: 0.0, 2: 100.0, 3: 200.0}
    same_place = run(both(moving(list(range(4)), label=3), moving(list(range(4)), label=1)))
    assert [same_place.labels[same_place.label[same_place.id == one][0]] for one in (1, 2)] == ["car", "suitcase"]


def test_vehicles_are_one_group_and_the_label_is_voted_by_score() -> None:
    detections = moving([0], label=2, score=0.95, count=4)
    for frame, score in ((1, 0.9), (2, 0.9), (3, 0.7)):
        detections[frame] = moving([frame], label=1, score=score)[frame]
    found = run(detections)
    assert (found.ids.tolist(), found.label_names().tolist()) == ([1], ["car"] * 4)
    mixed = run(both(moving([0, 1], label=0, count=4), [*moving([2, 3], label=1)]))
    assert len(mixed) == 0  # a person does not become a car


def test_overlapping_boxes_of_a_group_become_the_better_one() -> None:
    twice = both(moving(list(range(4)), label=1, score=0.8), moving(list(range(4)), label=2, score=0.9))
    found = run(twice)
    assert found.ids.tolist() == [1]
    assert found.label_names().tolist() == ["truck"] * 4


def test_bags_have_thresholds_of_their_own() -> None:
    faint = moving(list(range(4)), label=3, score=0.55)
    assert len(run(faint)) == 0
    assert len(run(faint, fold=TrackFold(LABELS, small=(0.2, 0.4, 0.5)))) == 4


def test_two_frames_of_one_time_do_no_harm() -> None:
    fold = TrackFold(LABELS)
    box = moving([0])[0]
    fold.step([0, 1, 2, 3], [0.0, 0.0, 0.0, 0.1], [box, box + np.array([1, 0, 1, 0, 0, 0]), box, box])
    found = fold.tracks(Frames(np.arange(4), np.array([0.0, 0.0, 0.0, 0.1])), 9, 9)
    assert np.isfinite(found.box).all()


def test_labels_may_come_later() -> None:
    fold = TrackFold(())
    fold.step([0], [0.0], [np.empty((0, 6))])
    assert fold.add_labels(["car", "dog", "car"]).tolist() == [0, 1, 0]
    fold.step([1, 2, 3], [0.1, 0.2, 0.3], moving([1, 2, 3], label=1)[1:])
    assert fold.add_labels(["bus"]).tolist() == [2]
    found = fold.tracks(Frames(np.arange(4), np.arange(4) / 10), 9, 9)
    assert found.label_names().tolist() == ["dog"] * 3


def test_things_at_rest_become_suitcases() -> None:
    labels = ("person", "car", "suitcase", "object")
    people = moving(list(range(40)))
    bag = [np.array([[10.0, 100, 22, 112, 0.9, 3]])] * 40
    big = [np.array([[80.0, 100, 122, 142, 0.9, 3]])] * 40
    rolling = moving(list(range(40)), label=3, y=200)
    for rows in rolling:
        rows[:, 2:4] = rows[:, :2] + [12, 12]
    fold = TrackFold(labels, suitcases=True)
    found = run(both(both(people, bag), both(big, rolling)), fold=fold)
    names = {tuple(found.box[found.id == one][0, :2]): set(found.label_names()[found.id == one]) for one in found.ids}
    assert names == {(0, 0): {"person"}, (10, 100): {"suitcase"}, (80, 100): {"object"}, (0, 200): {"object"}}


def test_states_out_of_order_are_refused() -> None:
    fold = TrackFold(LABELS)
    fold.step(range(4), [0, 0.1, 0.2, 0.3], moving([0, 1, 2, 3]))
    with pytest.raises(ValueError, match="do not follow one another"):
        TrackFold(LABELS).restore([fold.state(), fold.state()])


class ByPlace:
    """A tracker of one's own: the id is the box's tenth of x; odd ones are not confirmed."""

    def __init__(self, fps: float) -> None:
        self.fps, self.calls = fps, 0

    def update(self, frame: int, time: float, boxes: pd.DataFrame) -> list[int]:
        self.calls += 1
        assert list(boxes.columns) == ["x1", "y1", "x2", "y2", "label", "score"]
        return [int(x // 10) if int(x // 10) % 2 == 0 else -1 for x in boxes["x1"]]


def test_a_registered_tracker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_TRACKERS", {})
    register_tracker("places", ByPlace, version="7")
    spec = resolve("motion").__class__(**{**vars(resolve("motion")), "tracking": "places", "labels": LABELS})
    assert tracker_version(spec) == "places/7"
    fold = fold_for(spec, 0.1)
    assert isinstance(fold, CustomFold)
    box = np.array([[41.0, 0, 60, 20, 0.9, 0], [1, 30, 20, 50, 0.9, 0], [11, 70, 30, 90, 0.9, 0]])
    fold.step([0, 1], [0.0, 0.1], [box[:1], box])
    again = fold_for(spec, 0.1)
    again.restore(fold.state())
    again.step([2, 3], [0.2, 0.3], [box[:0], box])
    assert again._tracker.calls == 4  # type: ignore[union-attr]
    found = again.tracks(Frames(np.arange(4), np.arange(4) / 10), 99, 99)
    assert found.id.tolist() == [1, 1, 1, 1, 2, 2, 2]
    assert found.frame.tolist() == [0, 1, 2, 3, 1, 2, 3]
    assert found.interpolated.tolist() == [False, False, True, False, False, True, False]


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([1], "The tracker 'odd' returned 1 ids for 2 boxes in frame 0."),
        (None, "The tracker 'odd' returned 0 ids for 2 boxes in frame 0."),
        ([4, 4], "The tracker 'odd' gave one id to two boxes in frame 0."),
    ],
)
def test_wrong_answers_of_a_registered_tracker(ids: Any, message: str) -> None:
    class Odd:
        def update(self, frame: int, time: float, boxes: pd.DataFrame) -> Any:
            return ids

    fold = CustomFold("odd", lambda fps: Odd(), LABELS, 0.1)
    with pytest.raises(WorkbenchError) as raised:
        fold.step([0], [0.0], [np.array([[0.0, 0, 9, 9, 0.9, 0], [50, 0, 60, 9, 0.9, 0]])])
    assert raised.value.message == message


@pytest.mark.slow
@needs_mirror
def test_people_of_a_real_clip() -> None:
    from workbench.video.source import open_sources

    (source,) = open_sources(str(mirrored("clips/TUD-Stadtmitte_h264.mp4")))
    info = source.info()
    spec = resolve("yolox-nano")
    found = detect_frames(spec.load(2), source, np.arange(info.frames))
    frames = Frames(found.frames, found.times)
    fold = fold_for(spec, frames.dt)
    fold.step(found.frames, found.times, per_frame(found.table, found.frames))
    tracks = fold.tracks(frames, info.width, info.height).to_pandas("clip")
    figures = mot_scores(read_mot(mirrored("truth/TUD-Stadtmitte.gt.txt")), tracks[tracks["label"] == "person"])
    assert figures["idf1"] >= 0.68
    assert figures["mota"] >= 0.78
