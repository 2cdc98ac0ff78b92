"""After many runs in one kernel, and after an interrupt in any phase, nothing of them is left."""

from __future__ import annotations

import gc
import importlib
import os
import queue
import signal
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import workbench as wb
from tests.training import nets
from tests.training.hygiene import Held, left, until
from workbench.training.driver import Driver
from workbench.training.run import TrainRun
from workbench.training.work import Work

#: seconds that a run may take where many others run
PATIENCE = 300.0
RUNS = 50
#: MiB that a process may be larger after 50 runs; each leaves well below one of them if it leaves anything
GROWTH = 25
WAYS = ("gpipe", "1f1b", "pipedream", "2bw", "ddp", "cancelled", "raising", "not a number")


class _Broken(torch.utils.data.Dataset):  # type: ignore[misc]
    def __len__(self) -> int:
        return nets.SAMPLES

    def __getitem__(self, index: int) -> Any:
        if index == 40:
            raise OSError("sample 40 is unreadable")
        x, y = nets.samples()
        return x[index], y[index]


def one(way: str) -> weakref.ref[TrainRun]:
    """Train to the end that is asked for; the run itself is gone afterwards."""
    model = nets.mlp(norm=False)
    data: Any = _Broken() if way == "raising" else nets.samples()
    if way == "not a number":
        data[0][40] = torch.nan
    run = wb.training.train(
        model, data, nn.functional.cross_entropy, nets.momentum, plan=nets.cut_after(model, 3), batch_size=nets.BATCH,
        schedule=way if way in WAYS[:5] else "1f1b", microbatches=2, shuffle=False,
        epochs=200 if way == "cancelled" else 1,
    )  # fmt: skip
    if way == "cancelled":
        assert until(lambda: run.steps > 1)
        run.cancel()
    if way in ("raising", "not a number"):
        with pytest.raises((OSError, wb.training.LossNaN)):
            run.result(timeout=PATIENCE)
    else:
        run.result(timeout=PATIENCE)
    return weakref.ref(run)


def clean(before: list[Held], now: list[Held], growth: int) -> bool:
    """Whether processes hold what they held: a library may have opened a file or begun a thread of its own."""
    for was, found in zip(before, now, strict=True):
        if any(found[name] > was[name] + 2 for name in ("descriptors", "sockets", "threads")):
            return False
        if found["children"] > was["children"] or found["seats"] or found.get("futures") or found.get("tasks"):
            return False
        if found["mib"] > was["mib"] + growth:
            return False
    return True


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_c5_fifty_runs_leave_nothing(workers: Any) -> None:
    for way in WAYS:  # libraries load, pools fill
        one(way)
    gc.collect()
    before = left(workers)
    runs = [one(WAYS[number % len(WAYS)]) for number in range(RUNS)]
    assert until(lambda: clean(before, left(workers), GROWTH)), f"{before}\n{left(workers)}"
    assert [run for run in runs if run() is not None] == []


# interrupts, before there is a run


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("phase", ["profile", "partition"])
def test_an_interrupt_of_the_planning_leaves_no_orphan(
    workers: Any, phase: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one("1f1b")
    before = left(workers)

    def interrupted(*_: Any, **__: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(10)  # the signal ends it

    # by module: the package has functions of the same names
    module = importlib.import_module(f"workbench.training.{'profiler' if phase == 'profile' else phase}")
    monkeypatch.setattr(module, phase, interrupted)
    with pytest.raises(KeyboardInterrupt):
        wb.training.train(
            nets.mlp(), nets.samples(), nn.functional.cross_entropy, nets.momentum, workers=2, schedule="1f1b",
            batch_size=nets.BATCH, microbatches=2, cluster=wb.training.Cluster([2], [1e9]), steps=2000,
        )  # fmt: skip
    assert until(lambda: clean(before, left(workers), 50)), f"{before}\n{left(workers)}"


# interrupts of a run

#: what the run's thread comes to, and when it counts
PHASES: dict[str, tuple[Any, str, Callable[..., bool]]] = {
    "seat": (Driver, "start", lambda driver: True),
    "join": (Driver, "_until_idle", lambda driver, *rest, **options: True),
    "run": (TrainRun, "advance", lambda run, batches: batches > 2),
    "collect": (Work, "_keep", lambda *rest: True),
}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("phase", PHASES)
def test_an_interrupt_of_who_waits_for_a_run_leaves_no_orphan(
    workers: Any, phase: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one("1f1b")
    before = left(workers)
    owner, name, counts = PHASES[phase]
    original, waited_for, sent = getattr(owner, name), queue.Queue[TrainRun](), list[int]()

    def watched(*arguments: Any, **options: Any) -> Any:
        if not sent and counts(*arguments, **options):
            sent.append(signal.SIGINT)
            run = waited_for.get(timeout=PATIENCE)
            os.kill(os.getpid(), signal.SIGINT)  # of the main thread, which waits
            assert run.cancelled.wait(PATIENCE)
        return original(*arguments, **options)

    monkeypatch.setattr(owner, name, watched)
    model = nets.mlp(norm=False)
    initial = [each.detach().clone() for each in model.parameters()]
    run = wb.training.train(
        model, nets.samples(), nn.functional.cross_entropy, nets.momentum, plan=nets.cut_after(model, 3),
        schedule="1f1b", batch_size=nets.BATCH, microbatches=2, epochs=1 if phase == "collect" else 2000,
    )  # fmt: skip

    def cell() -> None:
        waited_for.put(run)
        run.wait(PATIENCE)

    with pytest.raises(KeyboardInterrupt):
        cell()
    run.cancel()
    assert run.wait(PATIENCE) and run.state == "cancelled"
    changed = any(bool((a != b).any()) for a, b in zip(initial, model.parameters(), strict=True))
    assert changed == (phase in ("run", "collect")) == (run.steps > 0)
    assert until(lambda: clean(before, left(workers), 50)), f"{before}\n{left(workers)}"


@pytest.mark.timeout(900)
def test_an_interrupt_before_anybody_has_the_run_ends_it(workers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    one("1f1b")
    before, begun, launch = left(workers), list[TrainRun](), TrainRun.launch

    def interrupted(run: TrainRun, work: Any) -> None:
        launch(run, work)
        begun.append(run)
        raise KeyboardInterrupt

    monkeypatch.setattr(TrainRun, "launch", interrupted)
    model = nets.mlp(norm=False)
    with pytest.raises(KeyboardInterrupt):
        wb.training.train(
            model, nets.samples(), nn.functional.cross_entropy, nets.momentum, plan=nets.cut_after(model, 3),
            schedule="1f1b", batch_size=nets.BATCH, microbatches=2, epochs=2000,
        )  # fmt: skip
    assert begun[0].wait(PATIENCE) and begun[0].state == "cancelled"
    assert until(lambda: clean(before, left(workers), 50)), f"{before}\n{left(workers)}"
