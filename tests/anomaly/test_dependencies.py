"""Functional dependencies, and that skipping dependent columns loses no answer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.anomaly import explain
from workbench.anomaly.dependencies import dependencies
from workbench.anomaly.explain import Rules, search


def plain(columns: list[np.ndarray]) -> list[tuple[int, int]]:
    """Return the pairs by their definition: as many different pairs as different values of the first."""
    rows = [codes.tolist() for codes in columns]
    return [
        (a, b)
        for a in range(len(rows))
        for b in range(len(rows))
        if a != b and len(set(zip(rows[a], rows[b], strict=True))) == len(set(rows[a]))
    ]


@given(st.integers(0, 2**32 - 1), st.integers(1, 4000), st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_c24_dependencies_are_those_of_all_rows(seed: int, n: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    cards = rng.choice([1, 2, 5, 300], width).tolist()
    columns = [rng.integers(0, card, n).astype(np.uint16) for card in cards]
    for c in range(1, width):
        if rng.random() < 0.5:  # told by another column, in nearly or really all rows
            source = int(rng.integers(0, c))
            columns[c] = rng.integers(0, cards[c], cards[source]).astype(np.uint16)[columns[source]]
            if rng.random() < 0.5:
                columns[c][rng.integers(0, n)] = rng.integers(0, cards[c])
    assert dependencies(columns, cards) == plain(columns)


def test_c24_one_row_in_a_million_refutes() -> None:
    a = np.repeat(np.arange(4, dtype=np.uint8), 250_000)
    b = (a // 2).astype(np.uint8)
    assert dependencies([a, b], [4, 2]) == [(0, 1)]
    b[123_456] = 1
    assert dependencies([a, b], [4, 2]) == []


def test_no_rows_and_no_columns() -> None:
    assert dependencies([], []) == []
    assert dependencies([np.empty(0, np.uint8)] * 2, [0, 0]) == []


@pytest.mark.parametrize("compare", ["risk_ratio", "global_ratio", "prevalence_ratio", "mean_deviation"])
def test_c24_skipping_dependent_columns_loses_no_answer(compare: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    city = rng.integers(0, 12, 5000).astype(np.uint8)
    columns = [city, (city // 3).astype(np.uint8), rng.integers(0, 4, 5000).astype(np.uint8), np.zeros(5000, np.uint8)]
    cards, flags = [12, 4, 4, 1], (rng.random(5000) < 0.05) | ((city == 3) & (columns[2] == 1))
    rules = Rules(compare, 0.02, 0.2 if compare == "mean_deviation" else 1.3, 4)
    metric = rng.normal(size=5000) + flags
    found = search(columns, cards, flags, rules, metric=metric)
    assert found.dependencies == [(0, 1), (0, 3), (1, 3), (2, 3)]
    monkeypatch.setattr(explain, "dependencies", lambda *arguments: [])
    whole = search(columns, cards, flags, rules, metric=metric)
    assert len(found.answers) > 0 and sum(whole.candidates) > sum(found.candidates)
    for name in ("columns", "codes", "o", "t", "value"):
        np.testing.assert_array_equal(getattr(found.answers, name), getattr(whole.answers, name))


def test_c18_the_view_of_all_sets_skips_nothing() -> None:
    a = np.array([0, 0, 1, 1] * 50, np.uint8)
    flags = (a == 1) & (np.arange(200) % 3 > 0)
    found = search([a, a], [2, 2], flags, Rules(min_ratio=1.5, minimal=False))
    assert found.answers.sizes.tolist() == [1, 1, 2]
