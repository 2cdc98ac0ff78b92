"""The order of answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from workbench.anomaly.ranking import rank_sets
from workbench.anomaly.sets import Sets


def sets_of(*lines: tuple[float, float, dict[int, int]]) -> Sets:
    """Return sets from value, support and codes by column."""
    width = max(len(codes) for _, _, codes in lines)
    columns, codes = np.full((len(lines), width), -1, np.int32), np.full((len(lines), width), -1, np.int64)
    for i, (_, _, own) in enumerate(lines):
        columns[i, : len(own)], codes[i, : len(own)] = list(own), list(own.values())
    ones = np.ones(len(lines), np.int64)
    return Sets(columns, codes, ones, ones, np.array([v for v, _, _ in lines]), np.array([s for _, s, _ in lines]))


TEXT = pa.array(["b", "a", None, "Z", "é", "𝔞", "￿"])


def test_c25_value_then_support_then_size_then_columns() -> None:
    sets = sets_of(
        (2.0, 0.5, {0: 0}),
        (np.inf, 0.1, {0: 0}),
        (2.0, 0.6, {0: 0}),
        (2.0, 0.5, {0: 0, 1: 0}),
        (2.0, 0.5, {1: 0}),
        (2.0, 0.5, {0: 0, 2: 0}),
    )
    assert rank_sets(sets, [TEXT, TEXT, TEXT]).tolist() == [1, 2, 0, 4, 3, 5]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (TEXT, [2, 3, 1, 0, 4, 6, 5]),  # null first, then by code point
        (TEXT.cast(pa.large_string()), [2, 3, 1, 0, 4, 6, 5]),
        (TEXT.cast(pa.string_view()), [2, 3, 1, 0, 4, 6, 5]),
        (TEXT.dictionary_encode(), [2, 3, 1, 0, 4, 6, 5]),
        (pa.array([10, 9, -1, None, 2**40]), [3, 2, 1, 0, 4]),
        (pa.array([10.0, 9.5, -np.inf, None]), [3, 2, 1, 0]),
        (pa.array([True, None, False]), [1, 2, 0]),
        (pa.array([3, None, 1], pa.timestamp("us")), [1, 2, 0]),
        (pa.array([3, None, 1], pa.date32()), [1, 2, 0]),
    ],
)
def test_c22_c25_ties_are_broken_by_values(values: pa.Array, expected: list[int]) -> None:
    sets = sets_of(*((1.0, 0.5, {0: code}) for code in range(len(values))))
    assert rank_sets(sets, [values]).tolist() == expected
    later = sets_of(*((1.0, 0.5, {0: 0, 1: code}) for code in range(len(values))))
    assert rank_sets(later, [pa.array(["same"]), values]).tolist() == expected


@dataclass
class Ranges:
    """As encoded ranges come: their text does not tell their order."""

    values: Any
    edges: Any


def test_c21_ranges_are_in_the_order_of_their_edges() -> None:
    ranges = Ranges(pa.array(["[0, 100)", "[100, 20000)", "[20000, 30000]", None]), np.array([0, 100, 20000, 30000]))
    sets = sets_of(*((1.0, 0.5, {0: code}) for code in (2, 1, 3, 0)))
    assert rank_sets(sets, [ranges]).tolist() == [2, 3, 1, 0]


def test_only_the_values_that_occur_are_looked_at() -> None:
    many = pa.array(range(200_000, 0, -1))
    sets = sets_of((1.0, 0.5, {0: 5}), (1.0, 0.5, {0: 199_999}))
    assert rank_sets(sets, [many]).tolist() == [1, 0]


def test_nothing_to_rank() -> None:
    assert rank_sets(Sets.empty(), [TEXT]).tolist() == []
