from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from workbench.anomaly.reservoir import Reservoir

TRIALS = 10_000


def inclusion(size: int, weights: np.ndarray) -> np.ndarray:
    """Probabilities of a sample of `size`: in proportion to the weights, none above 1, found by fixed point."""
    chance, certain = np.zeros(len(weights)), np.zeros(len(weights), bool)
    while True:
        rest = ~certain
        chance[certain] = 1.0
        chance[rest] = (size - certain.sum()) * weights[rest] / max(weights[rest].sum(), 1e-300)
        over = rest & (chance > 1 + 1e-12)
        if not over.any():
            return np.minimum(chance, 1.0)
        certain |= over


def frequencies(size: int, panes: list[int], decay: float) -> tuple[np.ndarray, np.ndarray]:
    total = sum(panes)
    counts, held = np.zeros(total), []
    for trial in range(TRIALS):
        reservoir = Reservoir(size, seed=trial, decay=decay)
        at = 0
        for pane in panes:
            reservoir.add(np.arange(at, at + pane, dtype=float))
            at += pane
            reservoir.end_pane()
        sample = reservoir.values[:, 0].astype(int)
        held.append(len(sample))
        counts[sample] += 1
    assert set(held) == {min(size, total)}
    ages = np.repeat(np.arange(len(panes))[::-1], panes)
    return counts, inclusion(size, (1.0 - decay) ** ages)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "panes", "decay"),
    [
        (5, [20], 0.0),  # plain reservoir sampling
        (5, [8, 8, 8], 0.2),  # fades, nothing overweight
        (6, [5, 5, 5], 0.6),  # the newest rows are overweight at first
        (10, [4, 4, 4, 4], 0.9),  # two panes are kept for certain
        (10, [4, 30, 2], 0.5),  # overweight rows are freed again
    ],
)
def test_c37_rows_are_sampled_in_proportion_to_their_weights(size: int, panes: list[int], decay: float) -> None:
    counts, chance = frequencies(size, panes, decay)
    certain = chance > 1 - 1e-9
    assert (counts[certain] == TRIALS).all()
    rest = ~certain
    expected = TRIALS * chance[rest]
    # Counts are dependent (their sum is fixed), which only makes the statistic smaller than chi-square.
    statistic = (((counts[rest] - expected) ** 2) / (expected * (1 - chance[rest]))).sum()
    assert statistic < chi2.ppf(0.999, rest.sum())


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=6), st.integers(1, 12), st.sampled_from([0.0, 0.1, 0.5, 0.95]),
)  # fmt: skip
def test_a_state_goes_on_in_the_same_way_and_what_came_after_a_mark_is_undone(
    panes: list[int], size: int, decay: float
) -> None:
    whole, parts = Reservoir(size, 2, 3, decay), Reservoir(size, 2, 3, decay)
    at = 0
    for number, pane in enumerate(panes):
        rows = np.arange(at, at + 2 * pane, dtype=float).reshape(-1, 2)
        at += 2 * pane
        if number % 2:
            parts = Reservoir.from_state(parts.state())
        mark = parts.mark()
        parts.add(rows[::-1] + 1000.0), parts.end_pane(), parts.add(rows)
        parts.back(mark)
        whole.add(rows), parts.add(rows)
        whole.end_pane(), parts.end_pane()
        np.testing.assert_array_equal(np.sort(whole.values, axis=0), np.sort(parts.values, axis=0))
        assert len(whole) == min(size, at // 2) == len(whole.values)


def test_a_long_stream_keeps_its_size_and_follows() -> None:
    reservoir = Reservoir(1000, seed=1, decay=0.1)
    random = np.random.default_rng(0)
    for pane in range(3000):  # weights of 0.9**3000 and their reciprocals are beyond a float
        reservoir.add(random.normal(10.0 if pane > 2900 else 0.0, 1.0, 2000))
        reservoir.end_pane()
    assert len(reservoir) == 1000
    assert reservoir.values.mean() == pytest.approx(10.0, abs=0.3)
