"""Tasks on threads: all are done once, errors and interrupts stop the rest."""

from __future__ import annotations

import os
import threading
import time

import pytest

from workbench.fusion.cpu.threads import each


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_c41_every_task_is_done_once(threads: int) -> None:
    done: list[int] = []
    each(lambda task, worker: done.append(task), 100, threads)
    assert sorted(done) == list(range(100))


def test_workers_have_numbers_of_their_own() -> None:
    seen: dict[int, set[int]] = {}

    def work(task: int, worker: int) -> None:
        seen.setdefault(worker, set()).add(threading.get_ident())
        time.sleep(0.002)

    each(work, 40, 3)
    assert set(seen) <= {0, 1, 2}
    assert all(len(idents) == 1 for idents in seen.values())


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("threads", [1, 3])
def test_c64_an_error_stops_the_others(error: type[BaseException], threads: int) -> None:
    done: list[int] = []

    def work(task: int, worker: int) -> None:
        if task == 3:
            raise error("stop")
        done.append(task)
        time.sleep(0.001)

    with pytest.raises(error):
        each(work, 10_000, threads)
    count = len(done)
    assert count < 1000
    time.sleep(0.02)
    assert len(done) == count, "nobody works on after the call"


def test_an_error_of_another_thread_is_raised() -> None:
    def work(task: int, worker: int) -> None:
        if worker:
            raise ZeroDivisionError
        time.sleep(0.001)

    with pytest.raises(ZeroDivisionError):
        each(work, 10_000, 2)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_forked_child_has_threads_of_its_own() -> None:
    each(lambda task, worker: None, 10, 3)
    child = os.fork()
    if not child:
        done: list[int] = []
        each(lambda task, worker: done.append(task), 50, 3)
        os._exit(0 if len(done) == 50 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
