# ruff: noqa: E741  (O is the count of outliers, as everywhere in the literature)
"""The explanation search against a plain enumeration of all sets."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.anomaly import compare
from workbench.anomaly.explain import Found, Rules, search


def tables(max_columns: int = 5, max_rows: int = 60):
    @st.composite
    def make(draw):
        n = draw(st.integers(1, max_rows))
        seed = draw(st.integers(0, 2**32 - 1))
        cards = draw(st.lists(st.integers(1, 5), min_size=1, max_size=max_columns))
        rng = np.random.default_rng(seed)
        columns = [rng.integers(0, card, n).astype(draw(st.sampled_from(["u1", "u2", "u4"]))) for card in cards]
        flags = rng.random(n) < draw(st.sampled_from([0.0, 0.1, 0.4, 1.0]))
        return columns, cards, flags

    return make()


def brute(columns, flags, rules: Rules) -> dict[tuple[tuple[int, int], ...], tuple[int, int, float]]:
    """Return the answers by their sets: section by section as it is written, over all subsets of all rows."""
    O, N = int(flags.sum()), len(flags)
    counts: dict[tuple[tuple[int, int], ...], list[int]] = {}
    for row in range(N):
        pairs = [(c, int(codes[row])) for c, codes in enumerate(columns)]
        for k in range(1, rules.max_combo + 1):
            for chosen in combinations(pairs, k):
                figure = counts.setdefault(chosen, [0, 0])
                figure[0] += int(flags[row])
                figure[1] += 1
    passing = {}
    for chosen, (o, t) in counts.items():
        value = compare.value(rules.compare, o, t, O, N)
        if o >= 1 and o / O >= rules.min_support and value >= rules.min_ratio:
            passing[chosen] = (o, t, value)
    if not rules.minimal:
        return passing
    return {
        chosen: figures
        for chosen, figures in passing.items()
        if not any(part in passing for k in range(1, len(chosen)) for part in combinations(chosen, k))
    }


def plain(found: Found) -> dict[tuple[tuple[int, int], ...], tuple[int, int, float]]:
    answers = found.answers
    return {
        tuple((int(c), int(v)) for c, v in zip(answers.columns[i], answers.codes[i], strict=True) if c >= 0): (
            int(answers.o[i]),
            int(answers.t[i]),
            float(answers.value[i]),
        )
        for i in range(len(answers))
    }


@given(
    tables(),
    st.sampled_from(compare.COUNT_NAMES),
    st.sampled_from([0.0, 0.07, 0.25]),
    st.sampled_from([0.1, 1.0, 1.5]),
    st.integers(1, 5),
    st.booleans(),
)
@settings(max_examples=100, deadline=None)
def test_c17_c18_c19_search_equals_plain_enumeration(table, metric, support, ratio, combo, minimal) -> None:
    columns, cards, flags = table
    rules = Rules(metric, support, ratio, combo, minimal)
    found = search(columns, cards, flags, rules)
    assert plain(found) == brute(columns, flags, rules)
    assert found.stopped is None
    np.testing.assert_array_equal(found.tested_o[found.tested_index], found.answers.o)
    np.testing.assert_array_equal(found.tested_t[found.tested_index], found.answers.t)


def test_c17_support_is_inclusive_by_division() -> None:
    flags = np.repeat([True, False], [100, 900])
    codes = np.zeros(1000, np.uint8)
    codes[:7] = 1  # 7 of 100 outliers; 0.07 * 100 is 7.000000000000001
    found = search([codes], [2], flags, Rules(min_support=0.07))
    assert (1,) in {tuple(row) for row in found.answers.codes.tolist()}


def test_c20_too_many_candidates_stop_before_the_order() -> None:
    rng = np.random.default_rng(1)
    columns = [rng.integers(0, 3, 400).astype(np.uint8) for _ in range(5)]
    flags = rng.random(400) < 0.3
    whole = search(columns, [3] * 5, flags, Rules(min_support=0.0, min_ratio=50, max_combo=4))
    assert whole.candidates[2] > whole.candidates[1] > 15
    found = search(
        columns, [3] * 5, flags, Rules(min_support=0.0, min_ratio=50, max_combo=4, max_candidates=whole.candidates[1])
    )
    assert found.finished == 2 and found.candidates == whole.candidates[:3]
    assert found.stopped == (
        f"{whole.candidates[2]:,} three-column candidates; stopped at 2 columns. "
        "Raise --max-candidates or --min-support."
    )


@pytest.mark.parametrize("flags", [np.zeros(5, bool), np.ones(5, bool)])
def test_none_or_all_are_outliers(flags) -> None:
    found = search([np.array([0, 0, 1, 1, 1], np.uint8)], [2], flags, Rules(min_ratio=1.0, compare="global_ratio"))
    assert len(found.answers) == (2 if flags.all() else 0)


def test_no_rows() -> None:
    found = search([np.empty(0, np.uint8)], [0], np.empty(0, bool), Rules())
    assert len(found.answers) == 0 and found.O == 0 and found.N == 0 and found.closest is None


def test_c23_codes_of_many_columns_do_not_run_into_one_another() -> None:
    rng = np.random.default_rng(2)
    cards = [200, 100, 250, 2, 70_000, 300, 5, 200, 100, 250, 2, 9]
    columns = [np.minimum(rng.geometric(0.05, 4000) - 1, card - 1) for card in cards]
    columns = [codes[::-1].copy() for codes in columns]
    columns[0][:] += 100 * (columns[0] < 100)
    stored = [
        codes.astype("u1" if card < 256 else "u2" if card < 65536 else "u4")
        for codes, card in zip(columns, cards, strict=True)
    ]
    flags = rng.random(4000) < 0.03
    flags[(columns[1] == 3) & (columns[11] == 1)] = True
    rules = Rules(min_support=0.02, min_ratio=1.5, max_combo=2)
    found = search(stored, cards, flags, rules)
    assert plain(found) == brute(columns, flags, rules) and len(found.answers) > 20
