"""What a machine takes for each byte of parameters."""

from __future__ import annotations

import pickle
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from workbench.training import Cluster, pace
from workbench.training.pace import Pace


@pytest.fixture(autouse=True)
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.engine import store

    kept = store.Store(tmp_path / "store")
    monkeypatch.setattr(store, "store", lambda: kept)


def test_a_pace_is_that_of_the_run_in_the_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([0.0, 5.0, 5.0, 8.0, 8.0, 12.0, 12.0, 19.0, 19.0, 20.0])
    monkeypatch.setattr(pace, "time", SimpleNamespace(perf_counter=lambda: next(moments)))
    calls: list[int] = []
    assert pace._middle(lambda: calls.append(1)) == 4.0
    assert len(calls) == pace.REPEATS + 1  # the first is not counted


def test_a_machine_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "AMOUNT", 2**20)
    found = pace._measured()
    # Memory takes and gives less than a TB, and more than a few MB, in a second.
    assert all(1e-12 < taken < 1e-6 for taken in (found.update, found.reduce, found.kept, found.add))


def test_a_pace_is_kept_for_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = iter([Pace(1.0, 2.0), Pace(3.0, 4.0)])
    monkeypatch.setattr(pace, "_measured", lambda: next(measured))
    assert pace.pace() == pace.pace() == Pace(1.0, 2.0)
    later = time.time() + pace.KEPT + 1
    monkeypatch.setattr(pace, "time", SimpleNamespace(time=lambda: later, perf_counter=time.perf_counter))
    assert pace.pace() == Pace(3.0, 4.0)


def test_a_cluster_has_a_pace_beside_its_fields() -> None:
    plain = Cluster([2, 3], [1e9, 1e6], 8)
    paced = plain.paced(Pace(1.0, 2.0))
    assert paced == plain and repr(paced) == repr(plain) and hash(paced) == hash(plain)
    assert plain.pace == Pace() and pickle.loads(pickle.dumps(paced)).pace == Pace(1.0, 2.0)
