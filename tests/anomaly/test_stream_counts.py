from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.anomaly import stream_search
from workbench.anomaly.explain import Rules, search
from workbench.anomaly.stream_counts import FadingCounts
from workbench.anomaly.stream_found import found_of


def pane(random: np.random.Generator, n: int, cards: list[int], shift: int) -> tuple[list[Any], Any]:
    codes = [np.minimum(random.zipf(1.6, n) - 1 + shift, card - 1).astype(np.uint8) for card in cards]
    flags = random.random(n) < np.where((codes[0] == shift) & (codes[-1] <= shift + 1), 0.5, 0.05)
    return codes, flags


def same(counts: FadingCounts, rules: Rules, decay: float) -> bool:
    """Whether the search that is carried on finds what a new one does; False where it was given up for this pane."""
    assert counts.tracker is not None
    known = counts.tracker.search(counts)
    if known is None:
        return False
    found, since = found_of(known, counts.true(counts.outlier_sum), counts.N)
    columns, weights, panes = counts.outliers()
    anew = search(columns, counts.cards, np.ones(len(panes), bool), rules, weights=weights, counter=counts)
    near = (lambda x: pytest.approx(x, rel=1e-9, abs=1e-9)) if decay else (lambda x: x)
    assert np.array_equal(found.answers.columns, anew.answers.columns)
    assert np.array_equal(found.answers.codes, anew.answers.codes)
    for name in ("o", "t", "value", "support"):
        assert getattr(found.answers, name).tolist() == near(getattr(anew.answers, name).tolist()), name
    assert found.tested_o.tolist() == near(anew.tested_o.tolist())
    assert found.tested_t.tolist() == near(anew.tested_t.tolist())
    assert found.tested_index.tolist() == anew.tested_index.tolist()
    assert near([anew.O, anew.N]) == [found.O, found.N]
    assert found.candidates == anew.candidates[: len(found.candidates)] and not any(
        anew.candidates[len(found.candidates) :]
    )
    if anew.closest is None or not len(known.levels()[0].o):
        assert found.closest is None
    else:
        assert found.closest is not None
        assert found.closest.value.tolist() == near(anew.closest.value.tolist())
    assert len(since) == len(found.answers)
    return True


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**32), st.sampled_from([0.0, 0.03, 0.3, 0.9]), st.sampled_from([0.0201, 0.1003, 0.3007]),
    st.booleans(),
    st.integers(1, 4), st.sampled_from([0.5123, 3.0123]), st.sampled_from(["risk_ratio", "prevalence_difference"]),
)  # fmt: skip
def test_c37_a_search_that_is_carried_on_finds_what_a_new_one_does(
    seed: int, decay: float, support: float, minimal: bool, combo: int, ratio: float, compare: str
) -> None:
    random = np.random.default_rng(seed)
    rules = Rules(compare, support, ratio if compare == "risk_ratio" else 0.1, combo, minimal)
    cards = [6, 4, 9, 300]
    counts, number = FadingCounts(4, decay, 1 << 28, rules), -1
    for step in range(14):
        number += int(random.integers(1, 3))
        n = int(random.integers(0, 120))
        codes, flags = pane(random, n, cards, step // 6)
        if step == 9:
            flags[:] = False
        codes[3] = np.minimum(codes[3], 8)
        if step > 10:  # late values need wider codes
            codes[3] = codes[3].astype(np.uint16) + 290
        counts.add(number, codes, [*cards[:3], 300 if step > 10 else 9], flags)
        same(counts, rules, decay)
        if step == 7:
            counts = FadingCounts.from_state(counts.state(), rules)


def test_c37_outliers_are_looked_at_once_and_a_set_that_comes_up_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = []
    look = stream_search.Tracker._look
    monkeypatch.setattr(stream_search.Tracker, "_look", lambda self, counts: (looks.append(1), look(self, counts))[1])
    rules = Rules("risk_ratio", 0.05, 1.0, 2)
    random, counts = np.random.default_rng(0), FadingCounts(2, 0.0, 1 << 28, rules)
    for number in range(12):
        codes = [random.integers(0, 40, 3000).astype(np.uint8), random.integers(0, 3, 3000).astype(np.uint8)]
        counts.add(number, codes, [60, 3], random.random(3000) < 0.1)
        assert same(counts, rules, 0.0)
    assert len(looks) == 1 and counts.tracker is not None
    known = len(counts.tracker.columns)
    counts.add(12, [np.full(100, 50, np.uint8), np.full(100, 1, np.uint8)], [60, 3], np.ones(100, bool))
    assert same(counts, rules, 0.0) and len(counts.tracker.columns) == known  # 100 of 3,700 are not enough
    counts.add(13, [np.full(200, 50, np.uint8), np.full(200, 1, np.uint8)], [60, 3], np.ones(200, bool))
    assert same(counts, rules, 0.0) and len(looks) == 1
    assert [0, 1] in counts.tracker.columns.tolist() and [50, 1] in counts.tracker.codes.tolist()


def test_too_many_sets_to_be_known_are_searched_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_search, "MOST", 50)
    rules = Rules("risk_ratio", 0.001, 1.0, 2)
    random, counts = np.random.default_rng(0), FadingCounts(2, 0.1, 1 << 28, rules)
    for number in range(3):
        codes = [random.integers(0, 40, 500).astype(np.uint8) for _ in range(2)]
        counts.add(number, codes, [40, 40], random.random(500) < 0.2)
        assert not same(counts, rules, 0.1)
    assert FadingCounts(2, 0.1, 1 << 28, Rules(min_support=0.0)).tracker.able is False  # type: ignore[union-attr]
