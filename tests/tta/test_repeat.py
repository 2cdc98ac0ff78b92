"""`repeat` on a real cluster of two workers: seeds, failures, killed and lost workers, cancelling."""

from __future__ import annotations

import functools
import itertools
import os
import pickle
import random
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import workbench as wb
from workbench.engine.errors import WorkbenchError
from workbench.tta.problems import TTAWarning
from workbench.tta.repeat import repeat
from workbench.tta.repeat_driver import Driver
from workbench.tta.runs import Runs
from workbench.tta.store import open_store
from workbench.tta.worker import Recipe

TARGET = {"top1": 97}


pytestmark = pytest.mark.usefixtures("workers")


def curve(tracker: Any, seed: int, epochs: int = 6, wait: float = 0.0) -> None:
    """A recipe that crosses 97 at epoch 3 or 4."""
    tracker.plan(steps=epochs, schedule=f"s{epochs}")
    for epoch in range(epochs):
        with tracker.span("train"):
            time.sleep(wait)
        tracker.log(epoch, loss=1.0 / (epoch + 1), drawn=float(np.random.rand()))
        tracker.eval(step=epoch, n=300, top1=lambda: min(93.0 + epoch + seed % 2, 99.0))  # noqa: B023


def until(what: Any, seconds: float = 60.0) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := what():
            return found
        time.sleep(0.02)
    raise AssertionError("it did not come")


def test_c21_a_run_for_each_seed_in_order() -> None:
    runs = wb.tta.repeat(curve, [3, 0, 2], target=TARGET, eval_count=300, price=3.6)
    assert isinstance(runs, Runs)
    assert [run.seed for run in runs] == [3, 0, 2]
    assert runs.missing == ()
    assert [run.name for run in runs] == ["curve"] * 3
    assert [run.time_to(unit="steps") for run in runs] == [3.0, 4.0, 4.0]
    table = runs.table
    assert table["state"].tolist() == ["finished"] * 3
    assert table["attempt"].tolist() == [1, 1, 1]
    assert table["reached"].all()
    assert (table["cost_usd"] > 0).all()
    assert runs[0].points["metric"].tolist() == ["loss", "drawn"] * 6
    assert runs[0].evals["n"].tolist() == [300] * 6
    summary = runs.summary(97)
    assert summary[["recipe", "n", "reached"]].to_numpy().tolist() == [["curve", 3, 3]]


def test_history_has_them() -> None:
    runs = repeat(curve, range(2), target=TARGET, name="kept", eval_count=300)
    found = wb.tta.runs("kept")
    assert sorted(run.id for run in found) == sorted(run.id for run in runs)
    assert found.table.sort_values("seed")["seconds"].tolist() == runs.table["seconds"].tolist()
    again = repeat(curve, range(2), target=TARGET, name="kept", eval_count=300)
    assert len(wb.tta.runs("kept")) == 4
    assert "the median of 2 earlier runs" in again.explain()
    assert again.explain("dict")["root"]["rows"] == 2


@pytest.mark.slow
def test_c21_random_numpy_and_torch_are_seeded() -> None:
    def draws(tracker: Any, seed: int) -> None:
        drawn = {"python": random.random(), "numpy": float(np.random.rand())}
        try:
            import torch
        except ImportError:
            pass
        else:
            drawn["torch"] = float(torch.rand(()))
        tracker.log(0, **drawn)
        tracker.eval(top1=lambda: 1.0)

    first = repeat(draws, [0, 1, 2], target={"top1": 97})
    second = repeat(draws, [2, 1], target={"top1": 97}, concurrent=1)
    of = {run.seed: dict(zip(run.points["metric"], run.points["value"], strict=True)) for run in first}
    for run in second:
        assert dict(zip(run.points["metric"], run.points["value"], strict=True)) == of[run.seed]
    for name in of[0]:
        assert len({of[seed][name] for seed in of}) == 3, name


def test_c21_threads_are_set_for_each_run() -> None:
    def threads(tracker: Any, seed: int) -> None:
        tracker.note(os.environ["OMP_NUM_THREADS"])
        tracker.eval(top1=lambda: 99.0)

    (run,) = repeat(threads, [0], target=TARGET, threads=3)
    assert run.notes == ["3"]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    runs = repeat(threads, [0, 1], target=TARGET)
    assert [run.notes for run in runs] == [[str(max(1, cores // 2))]] * 2


def test_c21_concurrent_limits_how_many_run_at_once() -> None:
    def timed(tracker: Any, seed: int) -> None:
        begin = time.time()
        time.sleep(0.15)
        tracker.note(f"{begin} {time.time()}")
        tracker.eval(top1=lambda: 99.0)

    runs = repeat(timed, range(4), target=TARGET, concurrent=1)
    spans = sorted(tuple(map(float, run.notes[0].split())) for run in runs)
    assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(spans))


def test_c21_functions_of_a_notebook() -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    code = "level = 99.0\ndef train(tracker, seed):\n    tracker.eval(top1=lambda: level + seed / 100)\n"
    exec(code, namespace)
    runs = repeat(namespace["train"], range(2), target=TARGET)
    assert [run.curve()["value"].iloc[-1] for run in runs] == [99.0, 99.01]
    assert runs[0].name == "train"


def test_c21_a_seed_that_fails_keeps_the_others() -> None:
    def fails(tracker: Any, seed: int) -> None:
        tracker.eval(step=0, top1=lambda: 98.0)
        if seed == 1:
            raise ValueError("the loss\nis too high")
        if seed == 2:
            raise SystemExit(3)

    with pytest.warns(TTAWarning) as told:
        runs = repeat(fails, range(4), target=TARGET)
    assert (
        "2 of 4 seeds failed; seed 1 failed: ValueError: the loss is too high.\n"
        "They count as not reached; the notes of each run say why."
    ) in [str(warning.message) for warning in told]
    assert [run.state for run in runs] == ["finished", "failed", "failed", "finished"]
    assert runs[1].notes == ["failed: ValueError: the loss is too high"]
    assert runs[2].notes == ["failed: SystemExit: 3"]
    assert "failed: ValueError" in repr(runs[1])
    assert runs.missing == ()
    assert runs.summary()["n"].tolist() == [4]
    assert all(run.attempt == 1 for run in runs)


def test_stops_and_budgets_are_no_failures() -> None:
    runs = repeat(curve, range(2), target=TARGET, stop=True)
    assert [run.state for run in runs] == ["reached", "reached"]


def test_c45_contention_is_recorded() -> None:
    runs = repeat(functools.partial(curve, wait=0.05), range(2), target=TARGET, name="curve")
    assert runs.table["contended"].dtype == "bool"
    for run in runs:
        assert {"other_cpu", "steal", "cores"} <= set(run.environment)
        assert (run.evals["cpu_s"] >= 0).all()
    assert runs.summary()["contended"].iloc[0] == any(run.record.contended for run in runs)


def test_c12_seeds_of_a_known_schedule_are_projected() -> None:
    def told(tracker: Any, seed: int) -> None:
        tracker.plan(steps=10, schedule="known")
        for step in range(10):
            with tracker.span("train"):
                time.sleep(0.005)
            status = tracker.eval(step=step, top1=lambda: 99.0 if step >= 5 + seed % 3 else 91.0)  # noqa: B023
            tracker.note(status.projection.text)

    first = repeat(told, range(4), target=TARGET, concurrent=1)
    assert first[0].notes[0] == "cannot tell: fewer than 3 earlier runs with this schedule"
    assert first[3].notes[0].endswith("from 3 earlier runs; 3 reached")  # those just before it
    (later,) = repeat(told, [7], target=TARGET)
    assert later.notes[2].endswith("from 4 earlier runs; 4 reached")
    (other,) = repeat(told, [7], target={"top1": 98})
    assert other.notes[2] == "cannot tell: fewer than 3 earlier runs with this schedule"


def test_c11_a_seed_past_all_hope_is_left() -> None:
    def late(tracker: Any, seed: int) -> None:
        tracker.plan(steps=20, schedule="known")
        for step in range(20):
            tracker.eval(step=step, top1=lambda: 99.0 if step >= 4 and seed < 8 else 91.0)  # noqa: B023

    repeat(late, range(7), target=TARGET)
    (seventh,) = repeat(late, [90], target=TARGET, hopeless=True)
    assert (seventh.state, len(seventh.evals)) == ("finished", 20)  # 7 earlier runs are too few
    repeat(late, [7], target=TARGET)
    (run,) = repeat(late, [91], target=TARGET, hopeless=True)
    assert run.state == "hopeless"
    assert run.evals["step"].iloc[-1] == 6  # the first past 1.25 times 4


def test_warnings_of_workers_are_told_here_once() -> None:
    def outside(tracker: Any, seed: int) -> None:
        tracker.eval(top1=98.0)

    with pytest.warns(TTAWarning, match="eval got a value outside an eval span") as told:
        runs = repeat(outside, range(3), target=TARGET)
    assert len(told) == 1
    assert all(len(run.warnings) == 1 for run in runs)


# --------------------------------------------------------------------------------------------------- not waiting


def test_c21_without_waiting_there_is_a_run_with_partial_results(tmp_path: Path) -> None:
    gate = tmp_path / "go"

    def slow(tracker: Any, seed: int) -> None:
        tracker.eval(step=0, top1=lambda: 90.0)
        deadline = time.monotonic() + 60
        while seed == 1 and not gate.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        tracker.eval(step=1, top1=lambda: 98.0)

    work = repeat(slow, range(2), target=TARGET, wait=False)
    assert (work.kind, work.progress.total, work.progress.unit) == ("repeat", 2.0, "seeds")

    def half() -> Any:
        runs = work.partial()
        known = runs is not None and len(runs) == 2 and len(runs[1].evals) == 1
        return runs if known and runs[0].state == "finished" else None

    runs = until(half)
    assert runs[1].state == "running"
    assert work.state == "running"
    assert until(lambda: work.progress.done == 1.0)
    gate.write_text("")
    result = work.result(timeout=60)
    assert [run.state for run in result] == ["finished", "finished"]
    assert work.progress.done == 2.0
    assert not work.partial_result


def test_c56_cancel_keeps_finished_seeds(tmp_path: Path) -> None:
    begun = tmp_path / "begun"

    def endless(tracker: Any, seed: int) -> None:
        tracker.eval(step=0, top1=lambda: 98.0 if seed < 2 else 90.0)
        if seed >= 2:
            begun.write_text("")
            for step in range(100_000):
                tracker.log(step, loss=1.0)
                time.sleep(0.01)

    work = repeat(endless, range(5), target=TARGET, name="endless", wait=False)
    until(lambda: begun.exists() and work.progress.done == 2.0)
    until(lambda: len(work.partial() or ()) >= 3)
    work.cancel()
    runs = work.result(timeout=60)
    assert work.state == "cancelled"
    assert [run.seed for run in runs] == [0, 1]
    assert [run.state for run in runs] == ["finished", "finished"]
    told = " ".join(runs.missing)
    assert all(str(seed) in told for seed in (2, 3, 4))
    assert "cancelled" in told
    assert runs.missing[0] in repr(runs)
    # What they logged is in the history, and their loops have been left.
    left = wb.tta.runs("endless", state="interrupted")
    assert {2} <= {run.seed for run in left} <= {2, 3}
    assert all(len(run.evals) == 1 for run in left)
    until(lambda: len(repeat(curve, range(2), target=TARGET)) == 2)


def test_c56_an_interrupt_gives_what_was_finished(tmp_path: Path) -> None:
    from workbench.engine.errors import Stopped

    begun = tmp_path / "begun"

    def endless(tracker: Any, seed: int) -> None:
        tracker.eval(step=0, top1=lambda: 98.0 - 8 * seed)
        if seed:
            begun.write_text("")
            while True:
                tracker.log(0, loss=1.0)
                time.sleep(0.01)

    def interrupt() -> None:
        until(begun.exists)
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(Stopped, match="Stopped: 1 of 2 seeds finished") as stopped:
        repeat(endless, range(2), target=TARGET)
    thread.join()
    assert [run.seed for run in stopped.value.result] == [0]
    assert "Seed 1 is missing: cancelled." in stopped.value.result.missing


# ------------------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("call", "message", "hint"),
    [
        ({"seeds": [0, 3, 3]}, "Seed 3 appears twice.", "Each run needs its own seed."),
        ({"seeds": []}, "There is no seed.", "Write seeds=range(5)."),
        ({"seeds": [0.5]}, "A seed is a whole number, not 0.5.", "Write seeds=range(5)."),
        ({"seeds": 3}, "seeds are whole numbers, not 3.", "Write seeds=range(5)."),
        ({"concurrent": 0}, "concurrent is a whole number from 1, not 0.", "Write concurrent=2."),
        ({"threads": 0}, "threads is a whole number from 1, not 0.", "Write threads=1."),
        ({"retries": -1}, "retries is a whole number from 0, not -1.", "Write retries=2."),
        ({"prize": 3.06}, "No argument prize.", "Did you mean price=?"),
        ({"seed": 3}, "repeat sets seed itself.", "Drop seed=; pass seeds=."),
        ({"target": {"top1": float("nan")}}, "Target must be one metric with a finite number, such as", "Found"),
        ({"clock": "sun"}, 'No clock "sun".', "Known: wall, dawnbench"),
    ],
)
def test_bad_arguments_are_told_before_anything_runs(call: dict[str, Any], message: str, hint: str) -> None:
    with pytest.raises(WorkbenchError) as error:
        repeat(curve, **({"target": TARGET} | call))
    assert error.value.message.startswith(message)
    assert error.value.hint.startswith(hint)


def test_bad_functions() -> None:
    lock = threading.Lock()

    def locked(tracker: Any, seed: int) -> None:
        with lock:
            pass

    with pytest.raises(WorkbenchError, match="train takes nothing, not a tracker and a seed"):
        repeat(lambda: None, target=TARGET)
    with pytest.raises(WorkbenchError, match="train is a function of a tracker and a seed, not 3"):
        repeat(3, target=TARGET)  # type: ignore[arg-type]
    with pytest.raises(WorkbenchError, match="locked cannot be sent to a worker: TypeError"):
        repeat(locked, target=TARGET)


def test_a_cached_function_of_a_notebook_is_told_before_anything_runs() -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    code = (
        "import functools\n@functools.cache\ndef data():\n    return 1\n"
        "def train(tracker, seed):\n    tracker.eval(top1=lambda: data())\n"
    )
    exec(code, namespace)
    main = sys.modules["__main__"]
    main.data = namespace["data"]  # type: ignore[attr-defined]
    try:
        with pytest.raises(WorkbenchError, match="data cannot be sent to a worker: it is known there by no name"):
            repeat(namespace["train"], target=TARGET)
    finally:
        del main.data  # type: ignore[attr-defined]


# -------------------------------------------------------------------------------------------- what workers tell


def operations(run: str, seed: int, state: str = "finished") -> list[Any]:
    row = {
        "id": run, "name": "told", "seed": seed, "attempt": 1, "parent": None, "joined": False, "state": "running",
        "task": None, "clock": "dawnbench", "goal": "max", "metric": "top1", "target": 97.0, "unit": None,
        "confirm": 1, "steps": None, "schedule": None, "price": None, "eval_hash": "", "eval_count": None,
        "started_ns": time.time_ns(), "host": "elsewhere", "pid": 1, "boot_id": "b", "rank": 0,
        "first_in_process": True, "environment": {},
    }  # fmt: skip
    evals = [("eval", [(i, i, None, "top1", 95.0 + i, 300, i * 10**9, i, None)]) for i in range(5)]
    return [("start", row), *evals, ("points", [("loss", 0, 5, 0.5, 0)]), ("end", state, {"notes": []})]


def driver(name: str = "told") -> Driver:
    recipe = Recipe(curve, name, TARGET, {}, None, "group", None, 2)
    return Driver(recipe, [1, 2], None, open_store(None))


def test_c52_a_worker_that_comes_back_doubles_no_rows() -> None:
    one = driver()
    first, second = operations("A", 1), operations("B", 1)
    one.take(1, ("A", 0, first[:4]))
    one.take(1, ("B", 0, second[:3]))  # the seed was begun again elsewhere
    one.take(1, ("A", 2, first[2:]))  # and the first worker was only cut off
    one.take(1, ("A", 0, first))
    one.take(1, ("B", 0, second))
    one.take(1, ("B", 3, second[3:]))
    records = {record.id: record for record in one.store.records("told")}
    assert {run: record.state for run, record in records.items()} == {"A": "lost", "B": "finished"}
    assert [len(record.evals) for record in records.values()] == [3, 5]
    assert len(records["B"].points()) == 1


def test_c52_batches_in_any_order_give_the_same_run() -> None:
    one, other = driver(), driver("same")
    log = operations("C", 2)
    one.take(2, ("C", 0, log))
    mixed = [("D", place, [operation]) for place, operation in enumerate(operations("D", 2))] * 2
    random.Random(0).shuffle(mixed)
    for batch in mixed:
        other.take(2, pickle.loads(pickle.dumps(batch)))
    records = {record.id: record for record in one.store.records("told")}
    assert records["C"].evals.drop(columns="cpu_s").equals(records["D"].evals.drop(columns="cpu_s"))
    assert records["C"].state == records["D"].state == "finished"


# ----------------------------------------------------------------------------------------------------------- ladder


def test_c35_a_ladder_of_two_factors() -> None:
    def configured(tracker: Any, seed: int, *, late: int, slow: float) -> None:
        for step in range(6):
            with tracker.span("train"):
                time.sleep(slow)
            tracker.eval(step=step, top1=lambda: 98.0 if step >= late else 91.0)  # noqa: B023

    base, changed = {"late": 4, "slow": 0.03}, {"late": 1, "slow": 0.01}
    frame = wb.tta.ladder(configured, base, changed, seeds=range(2), target=TARGET)
    assert frame["factor"].tolist() == ["late", "slow"]
    assert (frame["seconds_ratio"] > 1).all()
    assert float(np.log(frame["seconds_ratio"]).sum()) == pytest.approx(frame["shapley"].sum())
    assert len(wb.tta.runs("configured late=1, slow=0.01")) == 2
