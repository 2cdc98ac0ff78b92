from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.anomaly import selection
from workbench.anomaly.selection import EVERYTHING, Counts, Window

numbers = st.floats(allow_nan=False)
coarse = st.sampled_from([-math.inf, -2.0, -1.0, -0.0, 0.0, 0.5, 1.0, 3.0, 1e300, math.inf])


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=40), st.floats(0, 1))
def test_quantile_rule_is_numpys_weibull(values: list[float], share: float) -> None:
    index, fraction = selection.position(len(values), share)
    ordered = np.sort(values)
    below, above = float(ordered[index]), float(ordered[min(index + 1, len(values) - 1)])
    found = selection.interpolate(below, above, fraction)
    assert found == np.quantile(values, share, method="weibull")


@pytest.mark.parametrize(
    ("a", "b", "fraction", "value"),
    [
        (math.inf, math.inf, 0.5, math.inf),
        (-math.inf, -math.inf, 0.5, -math.inf),
        (1.0, math.inf, 0.25, math.inf),
        (1.0, math.inf, 0.0, 1.0),
        (-math.inf, 1.0, 0.9, -math.inf),
        (-math.inf, math.inf, 0.3, -math.inf),
        (-math.inf, math.inf, 0.7, math.inf),
        (-1.5e308, 1.5e308, 0.5, 0.0),
        (2.0, 4.0, 0.75, 3.5),
    ],
)
def test_between_infinite_neighbours(a: float, b: float, fraction: float, value: float) -> None:
    assert selection.interpolate(a, b, fraction) == value


def test_midpoint_does_not_overflow() -> None:
    assert selection.midpoint(1.7e308, 1.5e308) == 1.6e308
    assert selection.midpoint(math.inf, math.inf) == math.inf
    assert selection.midpoint(1.0, 2.0) == 1.5


def test_negative_zero_never_shows() -> None:
    assert math.copysign(1, selection.select(np.array([-0.0, 0.0, 0.0]), [0])[0]) == 1.0
    window = Window(-0.0, 1.0)
    (counts,) = selection.window_counts(np.array([-0.0, 0.5]), [window])
    assert math.copysign(1, counts.order(window, [0])[0] or 0.0) == 1.0


@given(st.lists(st.one_of(numbers, coarse), min_size=1, max_size=80), st.data())
def test_a_window_gives_what_sorting_gives(values: list[float], data: st.DataObject) -> None:
    x = np.array(values)
    low, high = sorted([data.draw(st.sampled_from(values)), data.draw(st.one_of(numbers, coarse))])
    window, ranks = Window(low, high), list(range(len(x)))
    (counts,) = selection.window_counts(x, [window])
    ordered = np.sort(x)
    for rank, found in zip(ranks, counts.order(window, ranks), strict=True):
        told = low <= ordered[rank] <= high or (low == -math.inf and ordered[rank] == low)
        assert (found is not None) == told
        assert not told or found == ordered[rank]


@given(st.lists(coarse, min_size=1, max_size=50), st.integers(1, 7))
@settings(max_examples=40)
def test_parts_add_up(values: list[float], parts: int) -> None:
    x = np.array(values)
    windows = [Window(-1.0, 1.0), Window(1.0, 1.0), EVERYTHING]
    whole = selection.window_counts(x, windows)
    merged = [Counts.none() for _ in windows]
    for part in np.array_split(x, parts):
        for counts, more in zip(merged, selection.window_counts(part, windows), strict=True):
            counts.merge(more)
    for window, one, many in zip(windows, whole, merged, strict=True):
        ranks = range(len(x))
        assert one.order(window, ranks) == many.order(window, ranks)


def test_without_ties_bounds_stay_unknown() -> None:
    x = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    window = Window(2.0, 4.0, ties=False)
    (counts,) = selection.window_counts(x, [window])
    assert counts.order(window, range(5)) == [None, None, 3.0, None, None]


def test_windows_from_a_sample() -> None:
    sample = np.arange(10_000.0)
    (window,) = selection.windows_for(sample, 1_000_000, [499_999, 500_000])
    assert 4_700 < window.low < 4_900 < 5_100 < window.high < 5_300
    assert not window.ties
    first, last = selection.windows_for(sample, 1_000_000, [0, 999_999])
    assert first.low == -math.inf and last.high == math.inf
    assert len(selection.windows_for(sample, 1_000_000, [400_000, 420_000, 700_000])) == 2
    repeated = np.repeat([1.0, 2.0], 5_000)
    (window,) = selection.windows_for(repeated, 1_000_000, [200_000])
    assert window == Window(1.0, 1.0, True)
    (window,) = selection.windows_for(np.array([5.0]), 10, [4])
    assert (window.low, window.high) == (-math.inf, math.inf)


def test_sampled_rows_lie_among_the_rows() -> None:
    for n, m in [(10, 10), (10, 3), (1_000_003, 16_000), (5, 9)]:
        rows = selection.survey_rows(n, m)
        assert len(rows) == min(n, m)
        assert rows.min() >= 0 and rows.max() < n
        assert (np.diff(rows) >= 0).all()
    assert selection.sample_size(10) == 10 and selection.sample_size(100) == 63
    assert selection.sample_size(1_000_000) == 29_044
    assert selection.sample_size(10**9) == pytest.approx(2.9e6, rel=0.01)


@given(st.lists(coarse, min_size=1, max_size=50), st.lists(coarse, min_size=1, max_size=8))
@settings(max_examples=50)
def test_count_below(values: list[float], points: list[float]) -> None:
    x, p = np.array(values), np.sort(points)
    assert selection.count_below(x, p).tolist() == [(x < point).sum() for point in p]


def test_all_finite() -> None:
    assert selection.all_finite(np.array([1e308, 1e308]))
    assert not selection.all_finite(np.array([1.0, math.inf]))
    assert selection.all_finite(np.empty(0))
