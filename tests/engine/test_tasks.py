from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from workbench.engine import session
from workbench.engine.errors import WorkbenchError
from workbench.engine.run import Run
from workbench.engine.tasks import Outcome, ordered, stream


def square(item: int) -> int:
    return item * item


def test_ordered_puts_outcomes_back_in_order() -> None:
    outcomes = [Outcome(2, "c"), Outcome(0, "a"), Outcome(3, "d"), Outcome(1, "b")]
    assert [outcome.value for outcome in ordered(outcomes)] == ["a", "b", "c", "d"]


def test_ordered_yields_as_soon_as_it_can() -> None:
    pulled = []

    def outcomes() -> Iterator[Outcome[int]]:
        for index in (1, 0, 2):
            pulled.append(index)
            yield Outcome(index, index)

    first = ordered(outcomes())
    assert next(first).index == 0
    assert pulled == [1, 0]


def test_stream_answers_every_item(cluster: Any) -> None:
    outcomes = list(stream(square, range(50)))
    assert {outcome.index: outcome.value for outcome in outcomes} == {i: i * i for i in range(50)}
    assert all(outcome.error is None and outcome.seconds >= 0 for outcome in outcomes)


def test_stream_of_nothing(cluster: Any) -> None:
    assert list(stream(square, [])) == []


def test_stream_yields_in_order_of_completion(cluster: Any) -> None:
    def wait(seconds: float) -> float:
        time.sleep(seconds)
        return seconds

    assert next(stream(wait, [0.6, 0.01], in_flight=2)).value == 0.01


def test_items_are_pulled_lazily(cluster: Any) -> None:
    pulled = []

    def items() -> Iterator[int]:
        for item in range(1000):
            pulled.append(item)
            yield item

    answers = stream(square, items(), in_flight=3)
    for _ in range(5):
        next(answers)
    answers.close()
    assert len(pulled) <= 5 + 3


def test_default_in_flight_is_twice_the_workers(cluster: Any) -> None:
    pulled = []

    def items() -> Iterator[int]:
        for item in range(1000):
            pulled.append(item)
            yield item

    answers = stream(square, items())
    next(answers)
    answers.close()
    assert len(pulled) == 4


def test_closures_and_arrays_travel(cluster: Any) -> None:
    factor = np.arange(3)

    def scale(item: np.ndarray) -> np.ndarray:
        return item * factor

    (outcome,) = stream(scale, [np.ones(3)])
    assert outcome.value is not None
    np.testing.assert_array_equal(outcome.value, factor)


def test_a_large_function_travels_once(cluster: Any) -> None:
    ballast = os.urandom(12_000_000)  # more than what Dask warns of in one graph

    def size(item: int) -> int:
        return len(ballast) + item

    assert sorted(o.unwrap() for o in stream(size, range(6))) == [12_000_000 + i for i in range(6)]


def test_an_exception_is_tried_again_then_reported(cluster: Any, tmp_path: Path) -> None:
    def fail(item: int) -> int:
        if item == 1:
            with (tmp_path / "tries").open("a") as file:
                file.write("x")
            raise ValueError(f"no {item}")
        return item

    outcomes = sorted(stream(fail, range(3), retries=2), key=lambda outcome: outcome.index)
    assert [outcome.value for outcome in outcomes] == [0, None, 2]
    error = outcomes[1].error
    assert isinstance(error, ValueError)
    assert str(error) == "no 1"
    assert error.__traceback__ is not None
    names = []
    trace = error.__traceback__
    while trace is not None:
        names.append(trace.tb_frame.f_code.co_name)
        trace = trace.tb_next
    assert "fail" in names
    assert (tmp_path / "tries").read_text() == "xxx"
    with pytest.raises(ValueError, match="no 1"):
        outcomes[1].unwrap()


def test_a_workbench_error_keeps_its_hint(cluster: Any) -> None:
    def fail(item: int) -> int:
        raise WorkbenchError("It is broken.", "Mend it.")

    (outcome,) = stream(fail, [1], retries=0)
    assert isinstance(outcome.error, WorkbenchError)
    assert outcome.error.lines() == ["It is broken.", "Mend it."]


def test_a_timeout_of_the_function_is_its_error(cluster: Any) -> None:
    def fail(item: int) -> int:
        raise TimeoutError("mine")

    (outcome,) = stream(fail, [1], retries=0)
    assert isinstance(outcome.error, TimeoutError)


def test_an_error_that_cannot_be_pickled_is_still_an_error(cluster: Any) -> None:
    def fail(item: int) -> int:
        error = ValueError("odd")
        error.lock = threading.Lock()  # type: ignore[attr-defined]
        raise error

    (outcome,) = stream(fail, [1], retries=0)
    assert outcome.error is not None


def test_a_value_that_cannot_be_read_here_is_an_error(cluster: Any) -> None:
    home = os.getpid()

    def rebuild() -> int:
        if os.getpid() == home:
            raise RuntimeError("only elsewhere")
        return 1

    class Elsewhere:
        def __reduce__(self) -> Any:
            return rebuild, ()

    outcomes = {o.index: o for o in stream(lambda item: Elsewhere() if item == 1 else item, range(4), in_flight=4)}
    assert [outcomes[index].value for index in (0, 2, 3)] == [0, 2, 3]
    assert "only elsewhere" in str(outcomes[1].error)


def test_earlier_items_run_first(cluster: Any) -> None:
    order = [o.index for o in stream(lambda item: time.sleep(0.01), range(40), in_flight=40)]
    # Two workers take turns, so a neighbour may overtake, but the last never come before the first.
    assert max(order[:10]) < 20


def test_priority_turns_the_order_round(cluster: Any) -> None:
    seconds = [0.5, 0.5, *[0.01] * 20]  # the first two hold both workers until all have been submitted
    order = [outcome.index for outcome in stream(time.sleep, seconds, in_flight=22, priority=float)]
    late = [index for index in order if index > 1]
    assert sum(late[:10]) > sum(late[10:])


def test_a_killed_worker_costs_only_its_tasks(cluster: Any) -> None:
    def slow_square(item: int) -> tuple[int, int]:
        time.sleep(0.02)
        return item * item, os.getpid()

    def work(run: Run[list[int]]) -> list[int]:
        answers = {}
        for outcome in stream(slow_square, range(60), run=run):
            value, pid = outcome.unwrap()
            if outcome.index == 10:
                os.kill(pid, signal.SIGKILL)
            answers[outcome.index] = value
            run.update(done=len(answers), total=60)
        return [answers[index] for index in sorted(answers)]

    run = Run.start(work, kind="test", title="a worker dies")
    assert run.result(timeout=60) == [i * i for i in range(60)]
    lost = [event for event in run.events() if event.kind == "worker_lost"]
    assert len(lost) == 1
    assert "1 worker lost" in run.progress.message
    assert "redone" in run.progress.message


def test_work_that_kills_each_worker_is_given_up(cluster: Any) -> None:
    def die(item: int) -> int:
        if item == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return item

    outcomes = {outcome.index: outcome for outcome in stream(die, range(2), in_flight=1)}
    assert outcomes[0].value == 0
    assert isinstance(outcomes[1].error, WorkbenchError)
    assert "each worker that took it died" in str(outcomes[1].error)
    deadline = time.monotonic() + 60
    while session.workers() < 2 and time.monotonic() < deadline:
        session.heal()
        time.sleep(0.1)
    assert session.workers() == 2


def test_cancel_ends_the_stream_and_releases_the_futures(cluster: Any) -> None:
    started = threading.Event()
    others = set(cluster.futures)  # of tests in the same session that keep something on its workers

    def work(run: Run[int]) -> int:
        count = 0
        for _ in stream(lambda item: time.sleep(0.3), range(100), run=run, in_flight=20):
            count += 1
            started.set()
        return count

    run = Run.start(work, kind="test", title="cancelled")
    assert started.wait(20)
    begin = time.monotonic()
    run.cancel()
    count = run.result(timeout=5)
    assert time.monotonic() - begin < 1.0
    assert run.state == "cancelled"
    assert count < 20
    deadline = time.monotonic() + 1.0
    while set(cluster.futures) - others and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not set(cluster.futures) - others


def test_closing_the_generator_releases_the_futures(cluster: Any) -> None:
    others = set(cluster.futures)
    answers = stream(lambda item: time.sleep(0.05), range(100), in_flight=10)
    next(answers)
    assert set(cluster.futures) - others
    answers.close()
    deadline = time.monotonic() + 1.0
    while set(cluster.futures) - others and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not set(cluster.futures) - others


def test_two_streams_at_once(cluster: Any) -> None:
    def total(run: Run[int]) -> int:
        return sum(outcome.unwrap() for outcome in stream(square, range(30), run=run))

    runs = [Run.start(total, kind="test", title=str(n)) for n in range(3)]
    assert [run.result(timeout=30) for run in runs] == [sum(i * i for i in range(30))] * 3


def test_a_cluster_that_restarts_loses_nothing(cluster: Any) -> None:
    answers = stream(lambda item: (time.sleep(0.05), item)[1], range(12), in_flight=6)
    found = [next(answers).unwrap()]
    cluster.restart(wait_for_workers=False)
    found += [outcome.unwrap() for outcome in answers]
    assert sorted(found) == list(range(12))


def test_a_session_that_is_closed_says_so() -> None:
    with session.local_workers(1):
        answers = stream(lambda item: time.sleep(0.2), range(50), in_flight=2)
        next(answers)
        session.close()
        with pytest.raises(WorkbenchError, match="does not answer"):
            list(answers)
