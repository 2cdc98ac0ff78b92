"""Projections against Kaplan-Meier curves of scipy, and by what must hold of any history."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import CensoredData, ecdf

from workbench.tta.projection import Earlier, arrived, pace, unknown

STEPS = 20
#: (crossing or None, last step, seconds per step)
RUN = st.tuples(st.one_of(st.none(), st.integers(0, STEPS)), st.integers(0, STEPS), st.just(1.0)).map(
    lambda run: (run[0], max(run[1], run[0] or 0), run[2])
)
HISTORIES = st.lists(RUN, min_size=3, max_size=30)


def crossings(*steps: int | None) -> list[tuple[int | None, int, float]]:
    return [(step, STEPS, 1.0) for step in steps]


def by_scipy(history: list[tuple[int | None, int, float]], present: int) -> tuple[float, float, float] | None:
    """The steps of the band by scipy's Kaplan-Meier curve of the runs that had not crossed."""
    crossed = [s for s, _, _ in history if s is not None and s > present]
    missed = [last for s, last, _ in history if s is None and last > present]
    if not crossed:
        return None
    curve = ecdf(CensoredData(uncensored=crossed, right=missed)).cdf
    few = len(crossed) + len(missed) < 8

    def at(q: float) -> float:
        reached = np.flatnonzero((curve.probabilities >= q - 1e-9) & (curve.probabilities > 0))
        return float(curve.quantiles[reached[0]]) if reached.size else math.inf

    return (at(0.0), at(0.5), at(1.0)) if few else (at(0.1), at(0.5), at(0.9))


@given(HISTORIES, st.integers(0, STEPS))
def test_c12_the_band_is_that_of_a_kaplan_meier_curve(history, present) -> None:
    found = Earlier(history, STEPS).project(present, 100.0, 2.0)
    expected = by_scipy(history, present)
    if expected is None:
        assert not found.known
        assert found.reason == "past every earlier crossing"
        assert math.isnan(found.low)
    else:
        assert found.known
        steps = [(value - 100) / 2 + present for value in (found.low, found.median, found.high)]
        assert steps == pytest.approx(expected)


@given(HISTORIES, st.integers(0, STEPS), st.floats(0.01, 100))
def test_the_band_is_in_order_and_ahead(history, present, each) -> None:
    found = Earlier(history, STEPS).project(present, 7.0, each)
    assert found.history == len(history)
    assert found.reached == sum(run[0] is not None for run in history)
    if found.known:
        assert 7.0 < found.low <= found.median <= found.high


@given(HISTORIES, st.integers(0, STEPS), st.randoms())
def test_the_order_of_earlier_runs_says_nothing(history, present, random) -> None:
    mixed = list(history)
    random.shuffle(mixed)
    assert repr(Earlier(mixed, STEPS).project(present, 1.0, 1.0)) == repr(
        Earlier(history, STEPS).project(present, 1.0, 1.0)
    )


@given(HISTORIES, st.integers(0, STEPS), st.integers(2, 50))
def test_a_longer_plan_has_the_same_shares(history, present, factor) -> None:
    longer = [(None if s is None else s * factor, last * factor, each / factor) for s, last, each in history]
    short = Earlier(history, STEPS).project(present, 5.0, 1.0)
    long = Earlier(longer, STEPS * factor).project(present * factor, 5.0, 1.0 / factor)
    assert long.known == short.known
    assert [long.low, long.median, long.high] == pytest.approx([short.low, short.median, short.high], nan_ok=True)


@pytest.mark.parametrize(
    ("history", "steps", "step", "reason"),
    [
        (crossings(5, 6, 7), None, 3, "no planned length"),
        (crossings(5, 6, 7), 0, 3, "no planned length"),
        (crossings(5, 6, 7), STEPS, None, "no evaluation yet"),
        (crossings(5, 6), STEPS, 3, "fewer than 3 earlier runs with this schedule"),
        ([], STEPS, 3, "fewer than 3 earlier runs with this schedule"),
        (crossings(5, 6, 7), STEPS, 7, "past every earlier crossing"),
        (crossings(5, 6, 7, None), STEPS, 9, "past every earlier crossing"),
        (crossings(None, None, None), STEPS, 1, "past every earlier crossing"),
    ],
)
def test_c12_cannot_tell_with_its_reason(history, steps, step, reason) -> None:
    found = Earlier(history, steps).project(step, 10.0, 1.0)
    assert not found.known
    assert (found.reason, found.text) == (reason, f"cannot tell: {reason}")
    assert math.isnan(found.low) and math.isnan(found.median) and math.isnan(found.high)
    assert found.history == len(history)


def test_c12_text_of_section_5() -> None:
    # 40 steps of 2.5 s are done; the second and the last crossing of 11 bound the band
    history = [
        (99, 149, 1.0),
        *((s, 149, 1.0) for s in (100, 104, 108, 110, 112, 116, 120, 124, 128, 132)),
        (None, 149, 1.0),
    ]
    found = Earlier(history, 150).project(40, 100.0, 2.5)
    assert found.text == "4:10 to 5:30, from 12 earlier runs; 11 reached"
    assert (found.low, found.high) == (250.0, 330.0)
    assert (found.history, found.reached, found.reason) == (12, 11, "")


def test_under_8_runs_the_band_is_of_all() -> None:
    few = Earlier(crossings(5, 6, 7, 8, 9, 10, 11), STEPS).project(0, 0.0, 1.0)
    assert (few.low, few.median, few.high) == (5, 8, 11)
    many = Earlier(crossings(*range(1, 21)), STEPS).project(0, 0.0, 1.0)
    assert (many.low, many.median, many.high) == (2, 10, 18)


def test_a_quantile_that_is_not_reached_is_never() -> None:
    some = Earlier(crossings(5, 6, 7, 8, 9, None, None, None, None), STEPS).project(2, 4.0, 2.0)
    assert (some.low, some.median, some.high) == (10.0, 18.0, math.inf)
    assert some.text == "10 s or later, or never, from 9 earlier runs; 5 reached"
    few = Earlier(crossings(5, 6, None), STEPS).project(2, 4.0, 2.0)
    assert few.high == math.inf
    hardly = Earlier(crossings(5, *[None] * 19), STEPS).project(2, 4.0, 2.0)
    assert hardly.low == math.inf
    assert hardly.text == "probably never, from 20 earlier runs; 1 reached"


def test_runs_that_had_crossed_by_now_do_not_count() -> None:
    history = crossings(3, 4, 5, 12, 14, 16)
    assert Earlier(history, STEPS).project(8, 80.0, 10.0).low == 120.0
    assert Earlier(history, STEPS).project(5, 50.0, 10.0).low == 120.0
    assert Earlier(history, STEPS).project(4, 40.0, 10.0).low == 50.0


def test_a_run_without_pace_has_that_of_earlier_runs() -> None:
    history = [(10, 19, 2.0), (12, 19, 3.0), (14, 19, math.nan), (16, 19, 4.0)]
    assert Earlier(history, STEPS).project(0, 1.0).low == 1.0 + 10 * 3.0
    assert Earlier([(10, 19, math.nan)] * 3, STEPS).project(2, 8.0).low == 8.0 + 8 * 4.0


def test_c11_hopeless_past_the_latest_crossing_and_a_quarter() -> None:
    earlier = Earlier(crossings(4, 4, 5, 6, 6, 7, 8, None), STEPS)
    assert [step for step in range(STEPS) if earlier.hopeless(step)] == list(range(11, STEPS))  # 10 is 1.25 times 8
    assert not earlier.hopeless(None)
    assert not Earlier(crossings(4, 4, 5, 6, 6, 7, 8), STEPS).hopeless(19)  # 7 are too few
    assert not Earlier(crossings(*[None] * 9), STEPS).hopeless(19)  # nobody knows when it should have been
    assert not Earlier(crossings(*[4] * 8), None).hopeless(19)


@given(HISTORIES, st.integers(0, STEPS))
def test_c11_what_is_hopeless_cannot_be_told(history, present) -> None:
    earlier = Earlier(history, STEPS)
    if earlier.hopeless(present):
        assert earlier.project(present, 1.0, 1.0).reason == "past every earlier crossing"


def test_pace_is_the_median_of_the_last_fifth() -> None:
    assert math.isnan(pace([], [])) and math.isnan(pace([3], [9.0]))
    assert pace([0, 1], [5.0, 8.0]) == 3.0
    steps = list(range(11))
    seconds = [10.0 * step for step in range(9)] + [81.0, 84.0]  # the last two take 1 and 3
    assert pace(steps, seconds) == 2.0
    assert pace([10, 20, 30], [1.0, 2.0, 12.0]) == 1.0
    assert math.isnan(pace([4, 4], [1.0, 2.0]))


@given(st.integers(2, 3000), st.floats(0.1, 10))
def test_pace_of_an_even_run(count, each) -> None:
    assert pace(range(count), [each * step for step in range(count)]) == pytest.approx(each)


def test_others() -> None:
    assert unknown("no planned length").text == "cannot tell: no planned length"
    here = arrived(9.43, 4, 3)
    assert (here.known, here.low, here.median, here.high, here.history) == (True, 9.43, 9.43, 9.43, 4)
    assert here.text == "reached at 9.43 s"
