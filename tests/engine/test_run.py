from __future__ import annotations

import gc
import threading
import time
import weakref
from typing import Any

import pandas as pd
import pytest

from workbench.engine import run as run_module
from workbench.engine.errors import WorkbenchWarning
from workbench.engine.result import Table
from workbench.engine.run import Run, RunCancelled, on_start, runs


def start(work: Any, **options: Any) -> Run[Any]:
    return Run.start(work, kind="test", title="a test", **options)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(run_module, "time", clock)
    return clock


def test_a_run_gives_its_value() -> None:
    run = start(lambda run: 42, unit="frames", total=3)
    assert run.result(timeout=5) == 42
    assert run.state == "finished"
    assert run.progress.state == "finished"
    assert run.partial() == 42
    assert not run.partial_result
    assert len(run.run_id) == 32
    assert int(run.run_id, 16) >= 0
    assert run.started is not None
    assert run.ended is not None
    assert run.ended >= run.started


def test_it_runs_on_a_daemon_thread() -> None:
    run = start(lambda run: (threading.current_thread().daemon, threading.current_thread().name))
    assert run.result(timeout=5) == (True, "workbench-test")


def test_the_error_of_the_work_is_raised_again() -> None:
    def work(run: Run[int]) -> int:
        run.publish(lambda: 7)
        raise ValueError("broken")

    run = start(work)
    with pytest.raises(ValueError, match="broken"):
        run.result(timeout=5)
    assert run.state == "failed"
    assert run.partial() == 7
    assert run.partial_result
    assert isinstance(run.error, ValueError)


def test_result_has_a_timeout_and_the_run_goes_on() -> None:
    release = threading.Event()
    run = start(lambda run: release.wait(5))
    with pytest.raises(TimeoutError, match=r"still running after 0\.01 s"):
        run.result(timeout=0.01)
    assert not run.wait(0.0)
    assert run.state == "running"
    release.set()
    assert run.result(timeout=5) is True


def test_cancel_keeps_what_the_work_returns() -> None:
    def work(run: Run[str]) -> str:
        run.cancelled.wait(5)
        return "half"

    run = start(work)
    run.cancel()
    assert run.result(timeout=5) == "half"
    assert run.state == "cancelled"
    assert run.partial_result
    assert [event.kind for event in run.events()][-1] == "cancelled"
    run.cancel()  # of no effect
    assert run.state == "cancelled"


def test_check_ends_the_work_with_the_published_part() -> None:
    def work(run: Run[int]) -> int:
        run.publish(lambda: 5)
        while True:
            run.check()
            time.sleep(0.005)

    run = start(work)
    run.cancel()
    assert run.result(timeout=5) == 5
    assert run.state == "cancelled"


def test_check_passes_while_not_cancelled() -> None:
    run: Run[int] = Run(kind="k", title="t")
    run.check()
    run.cancel()
    with pytest.raises(RunCancelled):
        run.check()


def test_a_partial_result_is_marked() -> None:
    release = threading.Event()

    def work(run: Run[Table]) -> Table:
        run.publish(lambda: Table(pd.DataFrame({"a": [1]})))
        release.wait(5)
        return Table(pd.DataFrame({"a": [1, 2]}))

    run = start(work)
    while run.version == 0:
        time.sleep(0.005)
    part = run.partial()
    assert part is not None
    assert part.partial
    assert len(part) == 1
    release.set()
    assert not run.result(timeout=5).partial


def test_partial_is_made_only_when_asked_and_once_for_each_version() -> None:
    made = []
    run: Run[int] = Run(kind="k", title="t")
    assert run.partial() is None
    run.publish(lambda: made.append(1) or len(made))
    run.publish(lambda: made.append(1) or len(made))
    assert made == []
    assert run.version == 2
    assert run.partial() == 1
    assert run.partial() == 1
    run.publish(lambda: made.append(1) or len(made))
    assert run.partial() == 2


def test_progress_is_what_was_said() -> None:
    run: Run[int] = Run(kind="k", title="t", unit="frames", total=10)
    assert (run.progress.state, run.progress.done, run.progress.rate, run.progress.eta_s) == ("queued", 0, 0, None)
    run.update(done=4, stage="decode", message="hm")
    progress = run.progress
    assert (progress.done, progress.total, progress.unit) == (4, 10, "frames")
    assert (progress.stage, progress.message) == ("decode", "hm")
    assert progress.percent == 40
    run.update(total=None, unit="rows")
    assert run.progress.total == 10
    assert run.progress.unit == "rows"


def test_rate_is_over_the_last_ten_seconds(clock: Clock) -> None:
    run: Run[int] = Run(kind="k", title="t", total=1000)
    for second in range(1, 21):  # 10 units a second for 20 s
        clock.now = 1000.0 + second
        run.update(done=10.0 * second)
    assert run.progress.rate == pytest.approx(10.0)
    assert run.progress.eta_s == pytest.approx((1000 - 200) / 10)
    for second in range(21, 31):  # then 2 a second for 10 s
        clock.now = 1000.0 + second
        run.update(done=200 + 2.0 * (second - 20))
    assert run.progress.rate == pytest.approx(2.0)


def test_rate_falls_while_nothing_comes(clock: Clock) -> None:
    run: Run[int] = Run(kind="k", title="t", total=100)
    clock.now += 1
    run.update(done=50)
    assert run.progress.rate == pytest.approx(50)
    clock.now += 4
    assert run.progress.rate == pytest.approx(10)
    clock.now += 60
    assert run.progress.rate == 0
    assert run.progress.eta_s is None


def test_what_was_in_the_cache_does_not_count_for_the_rate(clock: Clock) -> None:
    run: Run[int] = Run(kind="k", title="t", total=1000)
    run.update(done=600, skipped=600)
    clock.now += 2
    run.update(done=620, skipped=600)
    assert run.progress.rate == pytest.approx(10)
    assert run.progress.eta_s == pytest.approx(38)


def test_no_eta_without_total_or_after_the_end(clock: Clock) -> None:
    run: Run[int] = Run(kind="k", title="t")
    clock.now += 1
    run.update(done=5)
    assert run.progress.eta_s is None
    done = Run.start(lambda run: run.update(done=1, total=2), kind="k", title="t")
    assert done._ended.wait(5)
    assert done.progress.eta_s is None


def test_observers_see_updates_publications_events_and_the_end() -> None:
    seen: list[tuple[str, float, int]] = []
    release = threading.Event()

    def work(run: Run[int]) -> int:
        release.wait(5)
        run.update(done=1)
        run.publish(lambda: 1)
        run.event("note", text="hi")
        return 1

    run = start(work)
    remove = run.add_observer(lambda run: seen.append((run.state, run.progress.done, run.version)))
    release.set()
    run.result(timeout=5)
    assert seen == [("running", 1, 0), ("running", 1, 1), ("running", 1, 1), ("finished", 1, 1)]
    remove()
    run.event("late")
    assert len(seen) == 4
    assert run.events()[-2].kind == "finished"
    assert next(event for event in run.events() if event.kind == "note").data == {"text": "hi"}


def test_an_observer_may_ask_for_the_result() -> None:
    found = []
    release = threading.Event()
    run = start(lambda run: release.wait(5) and 9)
    run.add_observer(lambda run: found.append(run.result(timeout=1)) if run.state == "finished" else None)
    release.set()
    run.result(timeout=5)
    assert found == [9]


def test_an_observer_that_fails_is_dropped_and_the_work_goes_on() -> None:
    run: Run[int] = Run(kind="k", title="t")

    def fail(run: Run[int]) -> None:
        raise RuntimeError("no screen")

    run.add_observer(fail)
    with pytest.warns(WorkbenchWarning, match="no screen"):
        run.update(done=1)
    run.update(done=2)  # no warning any more
    assert run.progress.done == 2


def test_on_start_sees_each_run_before_it_works() -> None:
    order: list[str] = []
    remove = on_start(lambda run: order.append(f"start {run.state}"))
    start(lambda run: order.append("work")).result(timeout=5)
    remove()
    start(lambda run: None).result(timeout=5)
    assert order == ["start queued", "work"]


def test_runs_are_listed_newest_first_and_not_kept_alive() -> None:
    first = start(lambda run: 1)
    second = start(lambda run: 2)
    assert runs()[:2] == [second, first]
    second.result(timeout=5)
    gone = weakref.ref(second)
    del second
    deadline = time.monotonic() + 10  # its thread lets go of it last
    while gone() is not None and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.01)
    assert gone() is None
    assert runs()[0] is first


def test_stop_all_cancels_what_runs() -> None:
    run = start(lambda run: run.cancelled.wait(10))
    begin = time.monotonic()
    run_module.stop_all(timeout=2.0)
    assert time.monotonic() - begin < 1.5
    assert run.state == "cancelled"


def test_repr_is_one_line() -> None:
    run: Run[int] = Run(kind="vquery", title="t", unit="frames", total=900)
    run.update(done=412)
    assert repr(run) == "<Run vquery queued: 412 of 900 frames>"


def test_lost_workers_are_told_in_the_message() -> None:
    run: Run[int] = Run(kind="k", title="t")
    run.lost("tcp://1", 2)
    assert run.progress.message == "1 worker lost, 2 tasks redone"
    run.update(message="slow disk")
    run.lost("tcp://2", 0)
    assert run.progress.message == "slow disk, 2 workers lost, 2 tasks redone"
