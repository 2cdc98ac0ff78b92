"""After many runs in one kernel, and after an interrupt in any phase, nothing of them is left."""

from __future__ import annotations

import gc
import importlib
import os
import signal
import time
import weakref
from typing import Any

import pytest
import torch
from torch import nn

import workbench as wb
from tests.training import nets
from tests.training.hygiene import Held, left, until
from workbench.training.run import TrainRun

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
