"""Shares of trials: Wilson's interval, against SciPy and by its definition."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from workbench.video.shares import Measured, wilson


@given(st.integers(1, 5000).flatmap(lambda count: st.tuples(st.integers(0, count), st.just(count))))
def test_the_interval_is_scipys(case: tuple[int, int]) -> None:
    right, count = case
    expected = binomtest(right, count).proportion_ci(0.95, method="wilson")
    assert wilson(right, count) == pytest.approx((expected.low, expected.high), abs=1e-12)


@given(st.floats(0.0, 1.0), st.integers(1, 500))
def test_its_ends_are_where_the_normal_approximation_just_covers_the_share(share: float, count: int) -> None:
    low, high = wilson(share * count, count)
    z = 1.959963984540054
    assert low <= share + 1e-12
    assert high >= share - 1e-12
    for end in (low, high):
        if 1e-9 < end < 1 - 1e-9:
            assert abs(share - end) == pytest.approx(z * math.sqrt(end * (1 - end) / count), rel=1e-6, abs=1e-9)


def test_objects_of_one_frame_are_one_trial() -> None:
    # 9 of 10 objects on 5 frames say as much as 4.5 of 5 trials, not as 9 of 10.
    measured = Measured(frames=5, found=9, objects=10)
    assert measured.share == 0.9
    assert measured.low == wilson(4.5, 5)[0]
    assert measured.low < wilson(9, 10)[0]


def test_nothing_measured_proves_nothing() -> None:
    nothing = Measured(0, 0, 0)
    assert nothing.share == 1.0
    assert nothing.low == 0.0
