"""Long work is a run of the engine: followed, and cancelled at the next chunk."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

import workbench as wb
from workbench.engine.errors import Stopped
from workbench.engine.run import Run, on_start
from workbench.fusion import long
from workbench.fusion.cpu.watch import Watch

#: 48 chunks
N = 48 * 65_536


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Run[Any]]]:
    """Give the runs that start, all work being long."""
    monkeypatch.setattr(long, "LONG", 0.0)
    monkeypatch.setattr(long, "LOOK", 0.005)
    seen: list[Run[Any]] = []
    stop = on_start(seen.append)
    yield seen
    stop()


def at_chunk(monkeypatch: pytest.MonkeyPatch, do: Callable[[Watch], None]) -> None:
    """Do something whenever chunks are done from the fourth on."""
    known, counts = Watch.passed, [0]

    def passed(self: Watch, chunks: int) -> None:
        known(self, chunks)
        counts[0] += chunks
        if counts[0] >= 4:
            do(self)

    monkeypatch.setattr(Watch, "passed", passed)


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not holds() and time.monotonic() < end:
        time.sleep(0.005)
    assert holds()


@pytest.mark.parametrize("threads", [1, 2])
def test_long_work_is_a_run_with_rows_done_and_time_left(
    started: list[Run[Any]], monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    go, told = threading.Event(), []

    def hold(watch: Watch) -> None:
        told.append(watch.rows)
        go.wait(30)

    at_chunk(monkeypatch, hold)
    a = np.linspace(0, 1, N)
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(np.exp(wb.fusion.array(a) * 2).compute(threads=threads)))
    thread.start()
    try:
        until(lambda: bool(told) and started[0].progress.done >= told[0])
        progress = started[0].progress
        assert progress.state == "running" and (progress.unit, progress.total) == ("rows", N)
        assert 4 * 65_536 <= progress.done < N and progress.done % 65_536 == 0
        assert progress.stage == "k0_exp" and progress.eta_s is not None and progress.eta_s > 0
    finally:
        go.set()
        thread.join(30)
    [run] = started
    assert run.state == "finished" and run.progress.done == N and run.title == f"fusion over {N:,} rows"
    np.testing.assert_allclose(found[0], np.exp(a * 2), rtol=1e-13)


def test_c64_who_cancels_finds_originals_as_they_were(started: list[Run[Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    a, df = np.linspace(0, 1, N), pd.DataFrame({"x": np.ones(5)})
    before = a.copy()
    names = {"np": np, "a": a, "df": df}
    with monkeypatch.context() as during:
        at_chunk(during, lambda watch: started[0].cancel())
        with pytest.raises(Stopped) as told:
            wb.fusion.run_cell("a += 1; df['y'] = df.x * 2", names, threads=1)
    rows = told.value.message.removeprefix("Cancelled; ").partition(" of ")[0]
    assert told.value.message == f"Cancelled; {rows} of {N:,} rows were done, and originals are as they were."
    assert 4 * 65_536 <= int(rows.replace(",", "")) < N
    assert started[0].state == "cancelled"
    assert names["a"] is a and list(df) == ["x"]
    np.testing.assert_array_equal(a, before)
    wb.fusion.run_cell("a += 1; df['y'] = df.x * 2", names, threads=1)
    np.testing.assert_array_equal(a, before + 1)
    assert df.y.tolist() == [2.0] * 5


def test_c64_an_interrupt_says_what_was_done(started: list[Run[Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []

    def interrupt(watch: Watch) -> None:
        if not sent:
            sent.append(os.getpid())
            os.kill(os.getpid(), signal.SIGINT)

    at_chunk(monkeypatch, interrupt)
    a = np.linspace(0, 1, N)
    names = {"np": np, "a": a}
    with pytest.raises(Stopped, match=rf"^Interrupted; [\d,]+ of {N:,} rows were done, and originals are as they were"):
        wb.fusion.run_cell("a *= 2", names, threads=1)
    assert started[0].state == "cancelled" and 4 * 65_536 <= started[0].progress.done < N
    assert names["a"] is a and a[-1] == 1.0


def test_a_run_of_what_raises_has_failed(started: list[Run[Any]]) -> None:
    x, at = wb.fusion.array(np.arange(float(N))), wb.fusion.array(np.arange(N)) + 5
    with pytest.raises(IndexError):
        (x[at] * 2).compute()
    assert [run.state for run in started] == ["failed"]
    assert isinstance(started[0].error, IndexError)


def test_the_rows_of_all_steps_are_counted(started: list[Run[Any]]) -> None:
    rng = np.random.default_rng(2)
    table = pd.DataFrame({"k": rng.integers(0, 1000, N // 4), "x": rng.random(N // 4)})
    lazy = wb.fusion.frame(table)
    found = lazy[lazy.x > 0.5].groupby("k").x.sum().sort_values().compute()
    wanted = table[table.x > 0.5].groupby("k").x.sum().sort_values()
    pd.testing.assert_series_equal(found, wanted)
    assert started and all(run.state == "finished" for run in started)
    assert all(run.progress.done == run.progress.total for run in started)


def test_what_is_not_long_is_no_run() -> None:
    seen: list[Run[Any]] = []
    stop = on_start(seen.append)
    try:
        x = wb.fusion.array(np.ones(N))
        assert (x * 2 + 1).sum().compute() == 3 * N
    finally:
        stop()
    assert not seen
