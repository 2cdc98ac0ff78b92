import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.video.execution.chunks import plan_chunks


def _lengths(frames, keyframes, **options):
    return [len(chunk) for chunk in plan_chunks(np.asarray(frames), np.asarray(keyframes), **options)]


def test_the_first_chunks_are_short_and_the_others_have_128_frames():
    assert _lengths(np.arange(16 + 32 + 64 + 64 + 128 + 300), [0])[:5] == [16, 32, 64, 64, 128]


def test_the_last_chunks_become_shorter_so_that_workers_end_together():
    assert _lengths(np.arange(795), [0])[4:] == [128, 128, 128, 117, 64, 54]
    # Two workers, each taking the next chunk when it is done: neither has more than a twentieth above the half.
    loads = [0, 0]
    for length in _lengths(np.arange(795), [0]):
        loads[loads.index(min(loads))] += length
    assert max(loads) <= 1.05 * 795 / 2


def test_a_border_moves_to_a_keyframe_within_a_quarter():
    assert _lengths(np.arange(300), [0, 13, 40, 99]) == [13, 27, 59, 64, 68, 69]
    assert _lengths(np.arange(60), [0, 11]) == [16, 32, 12]  # 5 frames away: too far for a chunk of 16


def test_later_borders_move_as_far_as_it_takes_to_decode_nothing_in_vain():
    keyframes = np.arange(0, 2000, 250)
    chunks = plan_chunks(np.arange(2000), keyframes)
    assert [chunk.start for chunk in chunks[4:]] == [176, *range(250, 2000, 250), 1875, 1939]
    assert _lengths(np.arange(800), [0, 200])[3:5] == [64, 128]  # to 200 would be a chunk of 24
    assert _lengths(np.arange(1200), [0, 500])[4:6] == [128, 196]


def test_of_two_keyframes_that_are_equally_near_the_earlier_is_taken():
    assert _lengths(np.arange(100), [14, 18])[0] == 14


def test_keyframes_count_in_processed_frames():
    # Every 10th frame: the keyframe at 145 makes the processed frame 150 (position 15) the first that needs it.
    assert _lengths(np.arange(0, 1000, 10), [0, 145])[0] == 15


def test_a_rest_of_a_few_frames_joins_the_chunk_before_it():
    assert _lengths(np.arange(19), [0]) == [19]
    assert _lengths(np.arange(20), [0]) == [16, 4]


def test_no_frames_no_chunks():
    assert plan_chunks(np.empty(0, np.int64), np.empty(0, np.int64)) == []


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2000), st.lists(st.integers(0, 2000)), st.integers(1, 40), st.integers(1, 200))
def test_chunks_cover_every_frame_once_in_order(total, keyframes, step, later):
    frames = np.arange(0, total * step, step)
    chunks = plan_chunks(frames, np.unique(np.array(keyframes, np.int64)), later=later)
    assert [chunk.index for chunk in chunks] == list(range(len(chunks)))
    assert [chunk.start for chunk in chunks] == [0, *(chunk.stop for chunk in chunks[:-1])][: len(chunks)]
    assert (chunks[-1].stop if chunks else 0) == total
    assert all(len(chunk) > 0 for chunk in chunks)
    assert all(len(chunk) <= 2.25 * max(later, 64) for chunk in chunks)
    assert all(len(chunk) >= later // 8 for chunk in chunks[4:-1])
