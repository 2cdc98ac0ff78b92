import numpy as np
import pytest

from workbench.engine import store as artefacts
from workbench.video.execution.cache import BLOCK, DetectionCache, Detections, FoldRecord, TrackCache, no_detections
from workbench.video.execution.values import Entry, ValueCache, call_keys
from workbench.video.tracks import Frames, Tracks


def _found(frames, value=0.5):
    frames = np.asarray(frames, np.int64)
    rows = frames[frames % 2 == 0]  # even frames have a box, odd ones none
    return Detections(
        frames,
        rows,
        np.array(["car"] * len(rows), np.str_),
        np.full(len(rows), value),
        np.tile([1.0, 2, 3, 4], (len(rows), 1)),
    )


def _same(one, other):
    return one.digest() == other.digest()


def test_what_was_written_is_read_for_any_choice_of_frames():
    frames = np.arange(0, 3 * BLOCK, 3)
    DetectionCache("base").write(_found(frames), 1.0)
    cache = DetectionCache("base")
    assert _same(cache.read(frames), _found(frames))
    wanted = np.arange(0, 3 * BLOCK, 6)
    assert _same(cache.read(wanted), _found(wanted))
    assert cache.read(np.array([1, 2])).done.tolist() == []
    assert cache.read(np.array([2, 3, 4])).done.tolist() == [3]


def test_parts_grow_together_and_new_ones_replace_old_ones():
    cache = DetectionCache("base")
    cache.write(_found(np.arange(0, 100)), 1.0)
    cache.write(_found(np.arange(50, 150), value=0.9), 1.0)
    both = DetectionCache("base").read(np.arange(150))
    assert both.done.tolist() == list(range(150))
    assert both.score[both.frame < 50].tolist() == [0.5] * 25
    assert both.score[both.frame >= 50].tolist() == [0.9] * 50


def test_a_cache_without_a_base_keeps_nothing(home):
    cache = DetectionCache(None)
    cache.write(_found(np.arange(10)), 1.0)
    assert _same(cache.read(np.arange(10)), no_detections())
    assert len(artefacts.store().entries()) == 0


def test_a_damaged_block_is_dropped_with_one_warning():
    DetectionCache("base").write(_found(np.arange(10)), 1.0)
    for file in artefacts.store().root.rglob("*.npz"):
        file.write_bytes(b"rubbish")
    with pytest.warns(UserWarning, match="damaged"):
        assert DetectionCache("base").read(np.arange(10)).done.tolist() == []


def test_the_digest_tells_detections_apart():
    base = _found(np.arange(10))
    moved = Detections(base.done, base.frame, base.label, base.score, base.box + 1)
    fewer = Detections(base.done[:-1], base.frame, base.label, base.score, base.box)
    renamed = Detections(base.done, base.frame, np.array(["bus"] * len(base), np.str_), base.score, base.box)
    assert len({part.digest() for part in (base, moved, fewer, renamed)}) == 4


def test_tracks_come_back_as_they_were():
    frames = Frames(np.arange(4), np.arange(4) / 10)
    ones = np.ones(2, np.int64)
    tracks = Tracks(
        frames, 64, 48, ("car", "bus"), ones, np.array([1, 2]), np.array([0.1, 0.2]), ones, np.array([0.5, np.nan]),
        np.zeros((2, 4)), np.array([False, True]),
    )  # fmt: skip
    cache = TrackCache("base")
    cache.write_tracks("link", tracks, 1.0)
    again = TrackCache("base").tracks("link")
    assert again is not None
    assert (again.labels, again.width, again.height) == (("car", "bus"), 64, 48)
    for name in ("id", "frame", "time", "label", "score", "box", "interpolated"):
        np.testing.assert_array_equal(getattr(again, name), getattr(tracks, name))
        assert getattr(again, name).dtype == getattr(tracks, name).dtype
    np.testing.assert_array_equal(again.frames.time, frames.time)


def test_a_record_whose_states_are_gone_counts_only_up_to_the_gap():
    cache = TrackCache("base")
    cache.write_state("a", {"x": np.zeros(1)}, 1.0)
    record = FoldRecord(["a", "b", "c"], [1, 3])
    assert len(cache.states(record)) == 1
    assert record.checkpoints == [1]


def test_property_values_of_every_kind_come_back():
    values = [None, True, 3, 2.5, "käse", (1, "a"), np.arange(3), float("inf")]
    cache = ValueCache("a" * 64)
    for index, value in enumerate(values):
        cache.put(b"%d" % index, Entry(value))
    cache.put(b"failed", Entry(None, "ValueError: no", "trace"))
    cache.flush()
    again = ValueCache("a" * 64)
    for index, value in enumerate(values):
        entry = again.get(b"%d" % index)
        assert entry is not None
        assert type(entry.value) is type(value)
        np.testing.assert_array_equal(entry.value, value)
    assert again.get(b"failed") == Entry(None, "ValueError: no", "trace")
    assert again.get(b"never asked") is None
    assert len(ValueCache("a" * 64, fresh=True)) == 0


def test_calls_are_known_by_what_they_see():
    frames, boxes = np.array([1, 2, 2]), np.array([[0, 0, 5, 5], [0, 0, 5, 5], [1, 0, 5, 5]], float)
    alone = call_keys(frames, boxes, [np.array([0]), np.array([1]), np.array([2])], {})
    assert len(set(alone)) == 3
    assert alone == call_keys(frames[::-1], boxes[::-1], [np.array([2]), np.array([1]), np.array([0])], {})
    pair = [np.array([0, 1]), np.array([1, 0]), np.array([0, -1])]
    assert len(set(call_keys(frames, boxes, pair, {}))) == 3
    one = [np.array([0])] * 3
    speeds = {"speed": [np.array([1.0, 2.0]), np.array([1.0, 2.5]), None]}
    assert len(set(call_keys(frames, boxes, one, speeds))) == 3
