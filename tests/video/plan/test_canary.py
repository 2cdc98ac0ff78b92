"""Choices under `accuracy`: how many positive frames, which frames, and which plan."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.video.plan.canary import (
    Cascade,
    Skip,
    Trial,
    cheapest,
    hopeless,
    next_round,
    positives_needed,
    strata,
)
from workbench.video.shares import Measured, wilson

SEED = "0123456789abcdef" * 4


@pytest.mark.parametrize(("accuracy", "needed"), [(0.5, 32), (0.8, 32), (0.9, 35), (0.95, 73), (0.99, 381)])
def test_positives_needed_follow_the_formula(accuracy: float, needed: int) -> None:
    assert positives_needed(accuracy) == needed


@given(st.floats(0.5, 0.995))
def test_so_many_prove_the_accuracy_without_a_mistake_and_hardly_more_than_needed(accuracy: float) -> None:
    needed = positives_needed(accuracy)
    assert wilson(needed, needed)[0] >= accuracy - 1e-4
    if needed > 32:
        assert wilson(needed - 2, needed - 2)[0] < accuracy
        assert wilson(needed - 1, needed)[0] < accuracy


@given(st.integers(1, 3000), st.integers(1, 400), st.integers(1, 7), st.randoms(use_true_random=False))
def test_strata_give_one_frame_each(count: int, most: int, every: int, random) -> None:
    frames = np.arange(0, count * every, every)
    steps = np.array([random.choice([0.02, 0.04, 0.1]) for _ in range(count)])
    times = np.cumsum(steps) - steps[0]
    chosen = strata(frames, times, SEED, most)
    assert len(np.unique(chosen)) == len(chosen) <= most
    assert np.isin(chosen, frames).all()
    # one of each stratum of time that has a frame
    step = float(np.median(np.diff(times))) if count > 1 else 1.0
    width = (times[-1] + step - times[0]) / most
    number = np.minimum(((times - times[0] + 1e-9) / width).astype(int), most - 1)
    assert sorted(number[chosen // every].tolist()) == sorted(set(number.tolist()))


def test_strata_are_seeded_by_the_video() -> None:
    frames, times = np.arange(1000), np.arange(1000) / 25
    first = strata(frames, times, SEED, 100)
    assert first.tolist() == strata(frames, times, SEED, 100).tolist()
    assert first.tolist() != strata(frames, times, SEED[::-1], 100).tolist()


@given(st.integers(64, 400), st.integers(8, 64))
def test_any_first_part_is_spread_over_time(most: int, part: int) -> None:
    frames, times = np.arange(4000), np.arange(4000) / 25
    chosen = np.sort(strata(frames, times, SEED, most)[:part])
    gaps = np.diff([0, *chosen.tolist(), 4000])
    # bit-reversed order: no gap much larger than twice the even one
    assert gaps.max() <= 4 * 4000 / (1 << int(math.log2(part))) + 4000 / most


def test_a_video_of_one_frame_or_none_has_strata_too() -> None:
    assert strata(np.array([7]), np.array([0.0]), SEED, 3).tolist() == [7]
    assert strata(np.empty(0, np.int64), np.empty(0), SEED, 3).tolist() == []
    assert strata(np.arange(10), np.arange(10) / 10, SEED, 0).tolist() == []


@given(st.integers(1, 400), st.floats(0.01, 1.0), st.integers(1, 5000))
def test_rounds_end_with_enough_or_with_nothing_left(needed: int, rate: float, left: int) -> None:
    positives = seen = rounds = 0
    while positives < needed and seen < left:
        count = next_round(positives, seen, needed, left - seen)
        assert 1 <= count <= left - seen
        seen, rounds = seen + count, rounds + 1
        positives = int(seen * rate)
    assert positives >= needed or seen == left
    assert rounds <= 12
    # never far beyond what it takes
    assert seen <= max(needed, 1.25 * needed / rate + 10 + 1 / rate)


def test_a_plan_costs_what_it_leaves_to_the_detector() -> None:
    assert Cascade().cost(1.0) == 1.0
    assert Cascade(scale=0.5).cost(1.0) == 0.25
    assert Cascade(every=5).cost(1.0) == 0.2
    assert Cascade((Skip("background", 4.0),), 0.5, 2).cost(0.4) == pytest.approx((0.4 * 0.25 + 0.02) / 2)


def test_a_plan_says_what_it_does() -> None:
    assert str(Cascade()) == "exact"
    assert str(Cascade((Skip("background", 4.88281), Skip("red_road", 0.25)), 0.75, 3)) == (
        "skip frames within 4.88 of the background; skip frames of red_road below 0.25; "
        "detector on pictures of 75 % size; every=3"
    )


def trial(plan: Cascade, missed: int = 0, wrong: int = 0, passed: float = 1.0, complete: bool = True) -> Trial:
    return Trial(plan, Measured(80, 80 - missed, 80), Measured(80, 80 - wrong, 80), passed, complete)


def test_the_cheapest_legal_plan_is_chosen() -> None:
    half, small = Cascade(scale=0.75), Cascade(scale=0.5)
    assert cheapest([trial(half), trial(small)], 0.95) == trial(small)
    assert cheapest([trial(half), trial(small, missed=1)], 0.95) == trial(half)
    assert cheapest([trial(half, wrong=1), trial(small, missed=1)], 0.95) is None
    assert cheapest([trial(half), trial(small, complete=False)], 0.95) == trial(half)
    assert cheapest([trial(half, wrong=1), trial(small, missed=3)], 0.85) == trial(small, missed=3)
    # not worth it
    assert cheapest([trial(Cascade((Skip("background", 2.0),)), passed=0.98)], 0.95) is None
    assert cheapest([], 0.95) is None


def test_a_share_is_hopeless_once_all_that_follows_could_not_mend_it() -> None:
    whole = Measured(73, 0, 73)
    assert not hopeless(Measured(30, 30, 30), whole, 0.95)
    assert hopeless(Measured(30, 29, 30), whole, 0.95)
    assert not hopeless(Measured(30, 29, 30), Measured(200, 0, 200), 0.95)


@given(st.integers(1, 60), st.integers(0, 60), st.integers(0, 200), st.sampled_from([0.5, 0.8, 0.9, 0.95]))
def test_what_is_hopeless_never_becomes_legal(seen: int, missed: int, rest: int, accuracy: float) -> None:
    so_far = Measured(seen, max(seen - missed, 0), seen)
    whole = Measured(seen + rest, 0, seen + rest)
    final = Measured(whole.frames, so_far.found + rest, whole.objects)
    assert hopeless(so_far, whole, accuracy) == (final.low < accuracy)
