"""How work over Dask runs: compiled once by each worker, shown as it goes on, cancelled, done again where lost."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import dask.dataframe as dd
import pandas as pd
import pytest

import workbench as wb
from tests.fusion.dask.conftest import rides
from tests.fusion.dask.held import Held, forget, ran
from workbench.engine.errors import Stopped
from workbench.engine.run import on_start
from workbench.fusion.dask import DaskFrame
from workbench.fusion.dask import cluster as on_cluster

FRAME = rides(1200)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "held"
    found.mkdir()
    return found


def held(folder: Path, partitions: int = 6) -> DaskFrame:
    """Return the sum of tips, which waits between its partitions and their merge."""
    tip = wb.fusion.frame(dd.from_pandas(FRAME, npartitions=partitions)).tip
    return DaskFrame(tip._source, tip._step, 1.0, Held("sum", folder=str(folder)))


def until(holds: Callable[[], bool]) -> None:
    begun = time.monotonic()
    while not holds():
        assert time.monotonic() - begun < 120  # a busy machine takes its time to see a worker gone
        time.sleep(0.02)


def merging(cluster: Any) -> list[str]:
    """Return the address of the worker that merges."""
    return [address for address, keys in cluster.processing().items() if any("merged" in str(key) for key in keys)]


def done(folder: Path) -> list[str]:
    return [each for each in os.listdir(folder) if each != "go"]


def test_c47_a_worker_compiles_once_for_all_its_partitions(cluster: Any) -> None:
    table = wb.fusion.frame(dd.from_pandas(FRAME, npartitions=9))

    cluster.run(forget)
    (table.fare * 2.5 + table.tip).sum().compute()
    plans = [plan for plan in cluster.run(ran).values() if plan]
    assert sum(map(len, plans)) == 9  # one plan for each partition, of which a worker makes the first only
    for each in plans:
        assert [cache for cache, _ in each[1:]] == ["hit"] * (len(each) - 1)
        assert {ops for _, ops in each} == {3}


def test_recorded_calls_travel_as_text_and_numbers() -> None:
    table = wb.fusion.frame(dd.from_pandas(FRAME, npartitions=2))
    step = ((table.fare * 2 + table.tip)[table.tip > 0])._step
    assert len(cloudpickle.dumps(step)) < 2000
    assert len(cloudpickle.dumps(table.merge(FRAME.drop_duplicates("state"), on="state")._step)) < 2000


def test_c64_a_worker_killed_between_partition_and_combine_costs_its_partitions_only(
    cluster: Any, folder: Path
) -> None:
    total = held(folder)
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(total.compute()))
    thread.start()
    until(lambda: len(done(folder)) == 6)
    until(lambda: bool(merging(cluster)))  # has all partial results: another one's loss would cost nothing
    pid = cluster.run(os.getpid, nanny=False)[merging(cluster)[0]]
    lost = sum(name.startswith(f"{pid}-") for name in done(folder))
    os.kill(pid, signal.SIGKILL)
    until(lambda: len(done(folder)) >= 6 + min(lost, 1))
    (folder / "go").write_text("")
    thread.join(20)
    assert found == [pytest.approx(FRAME.tip.sum(), rel=1e-12)]
    assert 6 < len(done(folder)) <= 6 + lost


def test_long_work_is_a_run_with_progress(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_cluster, "SHOWN", 0.0)
    seen: list[Any] = []
    stop = on_start(seen.append)
    try:
        found: list[Any] = []
        thread = threading.Thread(target=lambda: found.append(held(folder, 5).compute()))
        thread.start()
        until(lambda: bool(seen) and seen[0].progress.done == 5)
        assert seen[0].state == "running"
        assert (seen[0].progress.total, seen[0].progress.unit) == (5, "partitions")
        (folder / "go").write_text("")
        thread.join(20)
    finally:
        stop()
    assert seen[0].state == "finished" and seen[0].title == "fusion over 5 partitions"
    assert found == [pytest.approx(FRAME.tip.sum(), rel=1e-12)]


def test_c64_a_cancelled_run_says_what_was_done(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_cluster, "SHOWN", 0.0)
    seen: list[Any] = []
    stop = on_start(seen.append)
    raised: list[BaseException] = []

    def work() -> None:
        try:
            held(folder, 4).compute()
        except BaseException as error:
            raised.append(error)

    try:
        thread = threading.Thread(target=work)
        thread.start()
        until(lambda: bool(seen) and seen[0].progress.done == 4)
        seen[0].cancel()
        thread.join(20)
    finally:
        stop()
        (folder / "go").write_text("")
    assert isinstance(raised[0], Stopped)
    assert raised[0].message == "Cancelled; 4 of 4 partitions were done, and originals are as they were."
    assert seen[0].state == "cancelled"


def test_c64_an_interrupt_cancels_the_tasks_and_leaves_originals(cluster: Any, folder: Path) -> None:
    table = FRAME.copy()
    names = {"table": dd.from_pandas(table, npartitions=3), "total": held(folder, 3), "frame": table}

    def interrupt() -> None:
        until(lambda: len(done(folder)) == 3)
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Thread(target=interrupt)
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            wb.fusion.run_cell("frame['z'] = frame.tip * 2\nx = float(total)", names)
    finally:
        timer.join()
        (folder / "go").write_text("")
    pd.testing.assert_frame_equal(table, FRAME)
    # the cluster is free again
    assert wb.fusion.frame(names["table"]).fare.count().compute() == len(FRAME)
