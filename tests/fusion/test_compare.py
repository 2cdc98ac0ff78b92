"""Peers on the same expression: what the table says, and what each of them answers."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtr

import workbench as wb
from workbench.fusion.compare import COLUMNS, PEERS, checked_peers, compare
from workbench.fusion.errors import FusionError

RNG = np.random.default_rng(5)
FRAME = pd.DataFrame(
    {
        "people": RNG.uniform(0, 1e6, 3000),
        "adults": RNG.uniform(0, 1e5, 3000),
        "robberies": RNG.uniform(0, 100, 3000),
        "state": RNG.integers(-5, 40, 3000),
    }
)


def crime() -> object:
    """Return the crime index of the design."""
    table = wb.fusion.frame(FRAME)
    big = table[table.people > 500_000]
    index = (big.people + 2 * big.adults - 2000 * big.robberies) / 1e5
    index = index.mask(index >= 0.02, 0.032)
    return index.mask(index < 0.01, 0.005).sum()


def test_columns_dtypes_and_the_first_row() -> None:
    found = compare(crime(), peers=("numpy", "pandas"), rounds=2)
    assert list(found) == list(COLUMNS)
    assert [str(found[name].dtype) for name in COLUMNS] == list(COLUMNS.values())
    assert found.peer.tolist() == ["workbench", "numpy", "pandas"]
    assert found.status.tolist() == ["ok"] * 3
    assert found.ratio[0] == 1.0
    assert (found.min_ms <= found.ms).all()
    assert (found.max_error < 1e-9).all()


def test_c50_compare_with_six_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jax", None)
    monkeypatch.setattr("shutil.which", lambda name: None)  # compiling C++ takes minutes where cores are busy
    found = wb.fusion.compare(crime(), peers=PEERS, rounds=1).set_index("peer")
    assert found.status["numpy"] == found.status["pandas"] == found.status["numba"] == found.status["polars"] == "ok"
    assert found.status["jax"] == "not installed"
    assert found.status["inductor"] == "not installed: C++ compiler"
    assert np.isnan(found.ms["jax"])


def test_what_an_engine_has_no_words_for_is_told() -> None:
    x = wb.fusion.array(RNG.normal(size=500))
    assert compare(ndtr(x), peers=("polars",), rounds=1).status[1] == "not expressible: ndtr"
    square = wb.fusion.array(RNG.normal(size=(20, 20)))
    found = compare(square.sum(axis=0), peers=("numba", "pandas"), rounds=1).status
    assert found[1:].tolist() == ["not expressible: sum along an axis", "not expressible: 2 dimensions"]


def test_polars_needs_as_many_threads_as_its_pool_has() -> None:
    import polars

    many = polars.thread_pool_size() + 1
    found = compare(crime(), peers=("polars",), rounds=1, threads=many).status[1]
    assert found == f"not expressible: {many} of {many - 1} threads of its pool"


def test_an_answer_that_differs_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import workbench.fusion.peers.numpy as peer

    monkeypatch.setattr(peer, "build", lambda exprs, threads: lambda: [np.float64(1.0)])
    found = compare(crime(), rounds=1)
    assert found.status[1] == "differs"
    assert found.max_error[1] > 0.1


def test_an_unknown_peer() -> None:
    with pytest.raises(FusionError, match=r'^Unknown peer "numby"\.') as error:
        checked_peers(("numpy", "numby"))
    assert error.value.hint == "Peers: numpy, pandas, numba, polars, jax, inductor."
    assert checked_peers(("numpy", "numba", "numpy")) == ("numpy", "numba")


def test_a_race_leaves_no_plans_behind() -> None:
    before = len(wb.fusion.plans())
    lazy = crime()
    compare(lazy, rounds=3)
    assert len(wb.fusion.plans()) == before
    assert wb.fusion.explain(lazy).launches == 1


def test_values_that_are_not_lazy() -> None:
    with pytest.raises(FusionError, match=r"^Cannot compare a value of type ndarray\."):
        compare(np.ones(3))
