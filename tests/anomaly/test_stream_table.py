from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.anomaly import kernels, loading, stream_kernels
from workbench.anomaly.stream_sets import hashes
from workbench.anomaly.stream_table import Bounds, sets_of_a_row


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 5), st.integers(1, 3), st.booleans())
def test_c37_no_set_has_more_than_its_bound(seed: int, width: int, largest: int, compiled: bool) -> None:
    random = np.random.default_rng(seed)
    bounds, counts = Bounds(width, min(largest, width), 0.1), Counter[tuple[tuple[int, int], ...]]()
    assert len(bounds.tuples) == sets_of_a_row(width, min(largest, width))
    before = loading.kernels.loaded
    try:
        if compiled:
            stream_kernels.add_sets.load()
            loading.kernels.loaded = kernels
        for weight in (1.0, 2.5):
            codes = random.integers(0, 4, (width, int(random.integers(0, 30)))).astype(np.uint32)
            fullest = bounds.add(codes, weight)
            for row in codes.T.tolist():
                for size in range(1, min(largest, width) + 1):
                    for each in combinations(range(width), size):
                        counts[tuple((c, row[c]) for c in each)] += weight
            last = {
                tuple((c, row[c]) for c in each) for row in codes.T.tolist() for each in combinations(range(width), 1)
            }
            assert fullest >= max((counts[one] for one in last), default=0.0)
    finally:
        loading.kernels.loaded = before
    assert bounds.table.sum() == sum(counts.values())
    for one, count in counts.items():
        columns = np.array([[c for c, _ in one]], np.int32)
        values = np.array([[code for _, code in one]], np.int64)
        assert bounds.table[bounds.places(hashes(columns, values))][0] >= count
    if codes.shape[1]:
        rows, tuples = bounds.above(codes, 3.0)
        found = set(zip(rows.tolist(), tuples.tolist(), strict=True))
        for row in range(codes.shape[1]):
            for number, each in enumerate(bounds.tuples.tolist()):
                one = tuple((c, int(codes[c, row])) for c in each if c < width)
                assert (row, number) in found or counts[one] < 3.0
