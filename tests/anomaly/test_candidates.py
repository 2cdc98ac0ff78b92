"""Candidates are the same whichever way they are found."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from workbench.anomaly import candidates, kernels
from workbench.anomaly.candidates import Candidates
from workbench.anomaly.counting import rows_of
from workbench.anomaly.lattice import Lattice
from workbench.anomaly.numbers import Number

WAYS = {
    "as they are": {},
    "tables of codes": {"MANY": 0},
    "looked up": {"JOINS": 0},
    "looked up by sorting": {"JOINS": -1, "CELLS": -(1 << 40)},
    "few at a time": {"CHUNK": 1},
    "kernel for each pair": {"ROWS": 0},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("n", [1, 90, 3000])
def test_c17_c20_all_ways_find_the_supported_sets(
    way: str, weighted: bool, compiled: bool, n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in WAYS[way].items():
        monkeypatch.setattr(candidates, name, value)
    rng = np.random.default_rng(n)
    cards = [4, 1, 7, 300, 5]
    columns = [np.minimum(rng.geometric(0.4, n) - 1, card - 1).astype("u2") for card in cards]
    weights = rng.integers(1, 9, n) / 8 if weighted else None
    heavy = np.ones(n) if weights is None else weights
    need = 0.02 * heavy.sum()
    outliers = rows_of(columns, cards, kernels if compiled else None, [] if weights is None else [Number(weights)])
    skip = np.zeros((5, 5), bool)
    skip[0, 2] = True

    def weigh(chosen: tuple[tuple[int, int], ...]) -> float:
        return float(heavy[np.logical_and.reduce([columns[c] == v for c, v in chosen])].sum())

    values = [(c, v) for c, codes in enumerate(columns) for v in np.unique(codes).tolist() if weigh(((c, v),)) >= need]
    values = [pair for pair in values if rng.random() < 0.9 or n == 1]  # others passed, and are not open
    lattice = Lattice(np.array([c for c, _ in values], np.int32), np.array([v for _, v in values], np.int64), 5)
    supported = Candidates(lattice, outliers, need, skip, weights)
    open_sets = {(pair,) for pair in values}
    for k in (2, 3, 4):
        expected = {
            chosen: weigh(chosen)
            for chosen in combinations(values, k)
            if len({c for c, _ in chosen}) == k
            and all(part in open_sets for part in combinations(chosen, k - 1))
            and not {(0, 2)} & {(a[0], b[0]) for a, b in combinations(chosen, 2)}
            and weigh(chosen) >= need
        }
        parents, items, o, total = supported.extend()
        sets = lattice.sets(parents, items)
        found = [tuple((int(lattice.columns[i]), int(lattice.codes[i])) for i in each) for each in sets]
        assert found == sorted(expected) and total == len(expected)
        np.testing.assert_allclose(o, [expected[each] for each in found], rtol=1e-12)
        # one in three passes and is not open; what is beyond the limit is counted only
        assert Candidates(lattice, outliers, need, skip, weights, max(0, total - 1)).extend()[3] == total
        kept = rng.random(len(found)) < 0.67
        lattice.add(parents[kept], items[kept])
        open_sets = {each for each, stays in zip(found, kept, strict=True) if stays}
        if not open_sets:
            break
    assert n < 3000 or k == 4
