from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.anomaly.sketch import Counter

PANES = st.lists(st.lists(st.integers(0, 30), max_size=60), min_size=1, max_size=12)


@settings(max_examples=100, deadline=None)
@given(PANES, st.integers(1, 40), st.sampled_from([1.0, 0.9, 0.5]))
def test_c38_counts_are_never_too_low_and_too_high_by_at_most_the_bound(
    panes: list[list[int]], size: int, factor: float
) -> None:
    counter, exact = Counter(size), np.zeros(31)
    for pane in panes:
        items, counts = np.unique(np.array(pane, np.int64), return_counts=True)
        counter.add(items, counts.astype(float))
        np.add.at(exact, pane, 1.0)
        found = counter.estimate(np.arange(31))
        assert (found >= exact - 1e-9).all()
        assert (found <= exact + counter.error_bound + 1e-9).all()
        assert len(counter) <= 2 * size
        counter.fade(factor)
        exact *= factor
    counter = Counter.from_state(counter.state())
    assert len(counter) <= 2 * size and (counter.estimate(np.arange(31)) >= exact - 1e-9).all()


def test_counts_are_exact_until_something_is_dropped() -> None:
    counter = Counter(3)
    counter.add(np.array([5, 1, 9]), np.array([2.0, 7.0, 1.0]))
    counter.add(np.array([9, 2]), np.array([4.0, 3.0]))
    assert counter.error_bound == 0.0
    items, counts = counter.items()
    assert items.tolist() == [1, 2, 5, 9] and counts.tolist() == [7.0, 3.0, 2.0, 5.0]
    counter.maintain()
    assert counter.error_bound == 2.0 and counter.items()[0].tolist() == [1, 2, 9]
    counter.add(np.array([5]), np.array([1.0]))
    assert counter.estimate(np.array([5, 77])).tolist() == [3.0, 2.0]


def test_what_is_frequent_is_found_in_a_long_stream() -> None:
    random = np.random.default_rng(0)
    counter, exact = Counter(200), np.zeros(100_000)
    for _ in range(200):
        drawn = np.minimum(random.zipf(1.3, 5000) - 1, 99_999)
        items, counts = np.unique(drawn, return_counts=True)
        counter.add(items, counts.astype(float))
        exact[items] += counts
    top = np.argsort(-exact, kind="stable")[:20]
    found, bound = counter.estimate(top), counter.error_bound
    assert 0 < bound < exact[top].min()
    assert ((found >= exact[top]) & (found <= exact[top] + bound)).all()
