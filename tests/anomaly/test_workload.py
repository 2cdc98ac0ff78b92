"""Workload W of the benchmarks: four other engines, each with work of its own, give the same answers."""

from __future__ import annotations

import numpy as np
import pytest

import workbench as wb
from benchmarks import outliers_peers as peers
from benchmarks.outliers import found_answers, from_codes, told_answers
from benchmarks.outliers_workload import CARDS, COLUMNS, METRIC, workload, workload_w


@pytest.mark.slow
@pytest.mark.parametrize(("n", "support"), [(70_001, 0.01), (140_000, 0.002)])
def test_c01_c19_c48_other_engines_agree_on_workload_w(n: int, support: float) -> None:
    import duckdb

    work = workload(n)
    ours = found_answers(from_codes(work, support)[0])
    assert len(ours) >= 5
    text = work.strings()
    connection = duckdb.connect()
    connection.register("w", text)
    others = {
        "NumPy": peers.by_numpy(work.codes, CARDS, work.x, support),
        "DuckDB": peers.coded(peers.by_duckdb(connection, support)),
        "pandas": peers.coded(peers.by_pandas(work.pandas(), support)),
        "Polars": peers.coded(peers.by_polars(work.polars(), support)),
        "wb.outliers": told_answers(wb.outliers(text, METRIC, list(COLUMNS), min_support=support)),
    }
    for name, theirs in others.items():
        assert theirs.keys() == ours.keys(), name
        for key, (o, t, ratio) in ours.items():
            assert theirs[key][:2] == (o, t)
            assert theirs[key][2] == pytest.approx(ratio, rel=1e-12)


def test_chunks_of_a_large_workload_are_workloads() -> None:
    whole = workload(1_200_000)
    codes, _, x = workload_w(1_000_000)
    assert np.array_equal(whole.x[:1_000_000], x)
    assert all(np.array_equal(a[:1_000_000], b) for a, b in zip(whole.codes, codes, strict=True))
    codes, _, x = workload_w(200_000, seed=8)
    assert np.array_equal(whole.x[1_000_000:], x)
    assert all(np.array_equal(a[1_000_000:], b) for a, b in zip(whole.codes, codes, strict=True))
