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
    columns = [np.minimum(rng.geometric(0.05, 900) - 1, card - 1) for card in cards]
    columns = [codes[::-1].copy() for codes in columns]
    columns[0][:] += 100 * (columns[0] < 100)
    stored = [
        codes.astype("u1" if card < 256 else "u2" if card < 65536 else "u4")
        for codes, card in zip(columns, cards, strict=True)
    ]
    flags = rng.random(900) < 0.03
    flags[(columns[1] == 3) & (columns[11] == 1)] = True
    rules = Rules(min_support=0.05, min_ratio=1.5, max_combo=2)
    found = search(stored, cards, flags, rules)
    assert plain(found) == brute(columns, flags, rules) and len(found.answers) > 5


def late_flights(n: int = 20_000, seed: int = 0) -> tuple[list[np.ndarray], list[int], np.ndarray]:
    """Return codes of three columns, and outliers that are planted in one value and in one pair."""
    rng = np.random.default_rng(seed)
    cards = [5, 12, 30]
    columns = [rng.integers(0, card, n).astype(np.uint8) for card in cards]
    flags = rng.random(n) < 0.01
    flags |= (columns[0] == 2) & (columns[1] == 7) & (rng.random(n) < 0.15)
    flags |= (columns[2] == 11) & (rng.random(n) < 0.3)
    return columns, cards, flags


def test_c17_planted_sets_are_found() -> None:
    found = search(*late_flights(), Rules(min_support=0.05))
    assert set(plain(found)) == {((2, 11),), ((0, 2), (1, 7))}


class Kept:
    """Totals of rows that the search does not see."""

    def __init__(self, columns: list[np.ndarray], cards: list[int]) -> None:
        self.columns, self.N, self.rounds = columns, len(columns[0]), 0
        self.totals = [np.bincount(codes, minlength=card) for codes, card in zip(columns, cards, strict=True)]
        self.dependencies: list[tuple[int, int]] = []

    def count(self, columns: np.ndarray, codes: np.ndarray) -> np.ndarray:
        self.rounds += 1
        return np.array(
            [
                np.logical_and.reduce([self.columns[c] == v for c, v in zip(*each, strict=True) if c >= 0]).sum()
                for each in zip(columns, codes, strict=True)
            ]
        )


@pytest.mark.parametrize("compare_by", compare.COUNT_NAMES)
@pytest.mark.parametrize("minimal", [True, False])
def test_c34_with_totals_from_elsewhere_the_answer_is_the_same(compare_by: str, minimal: bool) -> None:
    columns, cards, flags = late_flights(3000)
    rules = Rules(compare_by, 0.02, 0.1 if compare_by == "prevalence_difference" else 1.5, 3, minimal)
    here = search(columns, cards, flags, rules)
    counter = Kept(columns, cards)
    there = search([codes[flags] for codes in columns], cards, np.ones(flags.sum(), bool), rules, counter=counter)
    assert plain(here) == plain(there) and len(here.answers) > 0
    assert (here.O, here.N, here.candidates) == (there.O, there.N, there.candidates)
    np.testing.assert_array_equal(here.tested_t, there.tested_t)
    assert counter.rounds == sum(count > 0 for count in here.candidates[1:])  # one an order


def test_c35_progress_after_each_order_and_what_check_raises_ends_the_search() -> None:
    columns, cards, flags = late_flights()
    seen: list[tuple[int, Found]] = []
    whole = search(columns, cards, flags, Rules(), progress=lambda k, found: seen.append((k, found)))
    assert [k for k, _ in seen] == [1, 2] and [found.finished for _, found in seen] == [1, 2]
    assert set(plain(seen[0][1])) == {((2, 11),)} and plain(seen[1][1]) == plain(whole)
    assert whole.finished == 3  # no candidates were left for it

    class Stop(Exception):
        pass

    def check() -> None:
        if kept:
            raise Stop

    kept: list[Found] = []
    with pytest.raises(Stop):
        search(columns, cards, flags, Rules(), progress=lambda k, found: kept.append(found), check=check)
    assert [found.finished for found in kept] == [1] and set(plain(kept[0])) == {((2, 11),)}


def test_c45_the_closest_set_that_missed() -> None:
    columns, cards, flags = late_flights()
    found = search(columns, cards, flags, Rules(min_ratio=1e6))
    assert found.closest is not None and len(found.answers) == 0 and len(found.closest) == 1
    every = search(columns, cards, flags, Rules(min_ratio=0.0, minimal=False)).answers
    assert found.closest.value[0] == every.value.max()
    assert search(columns, cards, flags, Rules()).closest is None  # nobody asks where there are answers
    # Nothing is supported: the value that most outliers have.
    found = search(columns, cards, flags, Rules(min_support=0.99))
    assert found.closest is not None and found.closest.o[0] == max(np.bincount(c[flags]).max() for c in columns)


@pytest.mark.parametrize("order", ["one", "two", "three"])
def test_c20_the_bound_on_candidates_holds_for_every_order(order: str) -> None:
    columns, cards, flags = late_flights()
    k = ["one", "two", "three"].index(order) + 1
    whole = search(columns, cards, flags, Rules(min_support=0.001, min_ratio=100))
    most = whole.candidates[k - 1] - 1
    found = search(columns, cards, flags, Rules(min_support=0.001, min_ratio=100, max_candidates=most))
    if most >= max([0, *whole.candidates[: k - 1]]):
        done = f"{k - 1} column{'s' if k != 2 else ''}"
        assert found.stopped == (
            f"{most + 1:,} {order}-column candidates; stopped at {done}. Raise --max-candidates or --min-support."
        )
        assert found.finished == k - 1


def test_c21_a_million_different_values() -> None:
    n = 1_000_000
    ids = np.random.default_rng(0).permutation(n).astype(np.uint32)
    host = (np.arange(n) % 7).astype(np.uint8)
    flags = (host == 3) & (np.arange(n) % 50 < 10)
    found = search([ids, host], [n, 7], flags, Rules())
    assert set(plain(found)) == {((1, 3),)} and found.candidates == [1]


def test_c14_sums_of_weights_in_place_of_counts() -> None:
    columns, cards, flags = late_flights(4000)
    copies = np.random.default_rng(1).integers(0, 4, 4000)
    many = [np.repeat(codes, copies) for codes in columns]
    for name in compare.COUNT_NAMES:
        rules = Rules(name, 0.02, 0.1 if name == "prevalence_difference" else 1.5)
        heavy = search(columns, cards, flags, rules, weights=copies.astype(float))
        plainly = search(many, cards, np.repeat(flags, copies), rules)
        assert plain(heavy) == plain(plainly) and len(heavy.answers) > 0
        assert heavy.answers.o.dtype == np.float64 and (heavy.O, heavy.N) == (plainly.O, plainly.N)
        assert heavy.candidates == plainly.candidates


def test_c32_outlier_weights_are_shares_of_rows() -> None:
    columns = [np.array([0, 0, 1, 1], np.uint8)]
    found = search(
        columns, [2], np.zeros(4, bool), Rules(min_ratio=1.0),
        weights=np.array([10.0, 20.0, 30.0, 40.0]), outlier_weights=np.array([2.5, 2.5, 1.0, 0.0]),
    )  # fmt: skip
    assert found.O == 6.0 and found.N == 100.0
    assert plain(found) == {((0, 0),): (5, 30, pytest.approx((5 / 30) / (1 / 70)))}


def test_c16_moments_of_a_mean_shift() -> None:
    columns, cards, flags = late_flights(5000)
    metric = np.random.default_rng(5).normal(1000, 1, 5000) + 30 * flags * (columns[2] == 11)
    found = search(columns, cards, flags, Rules("mean_shift", 0.01, 1.01), metric=metric)
    assert len(found.answers) > 0 and found.moments_out is not None and found.moments_in is not None
    for i, chosen in enumerate(plain(found)):
        mask = np.logical_and.reduce([columns[c] == v for c, v in chosen])
        for (count, mean, variance), rows in ((found.moments_out, flags), (found.moments_in, ~flags)):
            x = metric[mask & rows]
            assert count[i] == len(x)
            np.testing.assert_allclose([mean[i], variance[i]], [x.mean(), x.var()], rtol=1e-9)
        assert found.answers.value[i] == found.moments_out[1][i] / found.moments_in[1][i]


def test_c32_moments_of_cubes_take_the_spread_within_each_row() -> None:
    count, mean, std = np.array([4.0, 6.0, 5.0]), np.array([10.0, 20.0, 5.0]), np.array([1.0, 2.0, 3.0])
    found = search(
        [np.zeros(3, np.uint8)], [1], np.array([True, True, False]), Rules("mean_shift", 0.01, 1.5),
        weights=count, metric=mean, std=std,
    )  # fmt: skip
    assert found.moments_out is not None and found.moments_in is not None
    held, middle, variance = (each[0] for each in found.moments_out)
    assert (held, middle) == (10.0, 16.0)
    assert variance == pytest.approx((4 * (1 + 6**2) + 6 * (4 + 4**2)) / 10)
    assert [each[0] for each in found.moments_in] == pytest.approx([5.0, 5.0, 9.0])


@pytest.mark.parametrize("metric", [np.full(40, 7.0), np.r_[np.inf, np.ones(39)], np.r_[np.inf, -np.inf, np.ones(38)]])
@pytest.mark.parametrize("compare_by", compare.MEAN_NAMES)
def test_c12_constant_and_infinite_metrics(metric: np.ndarray, compare_by: str) -> None:
    codes = np.r_[np.zeros(20, np.uint8), np.ones(20, np.uint8)]
    flags = np.arange(40) % 2 == 0
    found = search([codes], [2], flags, Rules(compare_by, 0.0, 0.5), metric=metric)
    assert not np.isnan(found.answers.value).any()


def test_a_metric_is_needed_for_means() -> None:
    with pytest.raises(ValueError, match="mean_shift needs a metric"):
        search([np.zeros(1, np.uint8)], [1], np.ones(1, bool), Rules("mean_shift"))
