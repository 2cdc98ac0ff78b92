"""How runs end: at a target, by the reader, by an error, by the loss of a worker; nothing stays behind."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from typing import Any

import pytest
import torch
from torch import nn

import workbench as wb
from tests.training import nets
from workbench.engine.errors import WorkbenchError
from workbench.training import errors, listening

loss = nn.functional.cross_entropy


def start(model: nn.Module, **options: Any) -> Any:
    options = {
        "batch_size": nets.BATCH, "seed": nets.SEED, "plan": nets.cut_after(model, 3), "schedule": "1f1b",
        "microbatches": 4, **options,
    }  # fmt: skip
    data = options.pop("data", None) or nets.samples()
    return wb.training.train(model, data, options.pop("loss", loss), options.pop("optimizer", nets.momentum), **options)


def until(condition: Any, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def after(model: nn.Sequential, batches: int, epochs: int = 400) -> nn.Sequential:
    """Return the model as it is after so many batches in one process."""
    optimizer, seeded = nets.momentum(model.parameters()), nets.Seeded(model)
    for number, (x, y) in enumerate(nets.batches_of(*nets.samples(), epochs)[:batches]):
        optimizer.zero_grad()
        for piece, (inputs, target) in enumerate(zip(nets.pieces(x, 4), y.chunk(4), strict=True)):
            seeded.place = number, piece
            (loss(model(inputs), target) * (len(inputs) / len(x))).backward()
        optimizer.step()
    return model


@pytest.mark.slow
def test_cancelled_at_a_commit(workers: Any) -> None:
    model = nets.mlp(0.25)
    run = start(model, epochs=400)
    until(lambda: run.steps > 5)
    assert run.partial() is run and run.progress.unit == "steps" and run.progress.total == 1200
    run.cancel()
    assert run.result(timeout=10) is run and run.state == "cancelled"  # two seconds where nothing else runs
    assert 5 < run.steps < 1200
    assert run.losses.step.tolist() == list(range(run.steps))
    assert nets.same(model, after(nets.mlp(0.25), run.steps))
    state = run.optimizer.state[model[0].weight]["momentum_buffer"]
    assert state.shape == model[0].weight.shape
    assert repr(run).endswith("cancelled")


def test_async_schedules_are_cancelled_where_the_pipe_drained(workers: Any) -> None:
    model = nets.mlp(norm=False)
    run = start(model, schedule="pipedream", microbatches=1, flush_every=4, epochs=400)
    until(lambda: run.steps > 5)
    run.cancel()
    run.result(timeout=30)
    assert run.steps % 4 == 0 and run.steps >= 4


def test_errors_of_the_user_are_raised_as_they_are(workers: Any) -> None:
    class Broken(torch.utils.data.Dataset):  # type: ignore[type-arg,misc]
        def __len__(self) -> int:
            return 44

        def __getitem__(self, index: int) -> Any:
            if index == 40:
                raise OSError("sample 40 is unreadable")
            x, y = nets.samples()
            return x[index], y[index]

    model = nets.mlp()
    run = start(model, data=Broken(), shuffle=False)
    with pytest.raises(OSError, match="sample 40 is unreadable"):
        run.result(timeout=60)
    assert run.state == "failed" and run.steps == 2
    assert repr(run).endswith("failed")


@pytest.mark.parametrize(
    "without",
    [lambda output, target: output.detach().square().mean(), lambda output, target: output.argmax(1).sum().float()],
    ids=["detached", "whole numbers"],
)
def test_a_loss_that_nothing_can_be_learnt_from_is_told(workers: Any, without: Any) -> None:
    model = nets.mlp()
    run = start(model, loss=without)
    with pytest.raises(errors.TrainingError) as caught:
        run.result(timeout=240)
    assert caught.value.message == "The loss depends on no weight that is trained: nothing would be learnt."
    assert run.steps == 0 and nets.same(model, nets.mlp())


def test_a_dataset_that_has_less_than_it_says_ends_the_run(workers: Any) -> None:
    class Short(torch.utils.data.Dataset):  # type: ignore[type-arg,misc]
        def __len__(self) -> int:
            return 64

        def __getitem__(self, index: int) -> Any:
            x, y = nets.samples()
            return x[:40][index], y[:40][index]

    model = nets.mlp()
    run = start(model, data=torch.utils.data.DataLoader(Short(), batch_size=nets.BATCH), shuffle=False)
    with pytest.raises(IndexError, match="out of bounds"):
        run.result(timeout=240)
    assert run.state == "failed" and run.steps == 2 and not nets.same(model, nets.mlp())  # those two are kept


def test_not_a_number_is_told_with_its_place(workers: Any) -> None:
    model = nets.mlp(norm=False)
    x, y = nets.samples()
    x[40] = torch.nan
    run = start(model, data=(x, y), shuffle=False, plan=nets.cut_after(model, 5))
    with pytest.raises(errors.LossNaN) as caught:
        run.result(timeout=60)
    assert caught.value.message == (
        "NaN at step 2, stage 0: values of the data itself are not finite; weight version 2."
    )
    assert caught.value.hint == "Leave such samples out, or replace what they lack."
    assert run.steps == 2 and all(bool(torch.isfinite(part).all()) for part in model.parameters())


def test_an_infinite_loss_is_told_before_weights_are_lost(workers: Any) -> None:
    model = nets.mlp(norm=False)
    run = start(model, optimizer=lambda p: torch.optim.SGD(p, lr=1e30), epochs=20)
    with pytest.raises(errors.LossNaN, match=r"at step \d+, stage [01], first in "):
        run.result(timeout=60)
    assert all(bool(torch.isfinite(part).all()) for part in model.parameters())


def test_evaluated_each_epoch_up_to_the_target(workers: Any) -> None:
    model = nets.mlp()
    run = start(model, epochs=50, validation=nets.samples(), target="top1>=60", wait=True)
    assert run.reached and run.steps < 150 and run.steps % 3 == 0
    metrics = run.metrics
    assert set(metrics.name) == {"loss", "top1"} and metrics.epoch.tolist()[::2] == list(range(run.steps // 3))
    model.eval()
    x, y = nets.samples()
    expected = 100.0 * float((model(x).argmax(1) == y).float().mean())
    found = metrics[metrics.name == "top1"].value.tolist()
    assert found[-1] == pytest.approx(expected) and found[-1] >= 60
    assert all(value < 60 for value in found[:-1])


def test_a_function_evaluates_and_a_tracker_stops(workers: Any) -> None:
    class Tracker:
        def __init__(self) -> None:
            self.spans: list[str] = []
            self.evals: list[dict[str, Any]] = []

        def span(self, name: str) -> Any:
            self.spans.append(name)
            return contextlib.nullcontext()

        def eval(self, **told: Any) -> Any:
            self.evals.append(told)
            return type("Status", (), {"stop": len(self.evals) == 2})

    tracker = Tracker()
    model = nets.mlp()
    run = start(model, epochs=50, evaluate=lambda net: {"size": 7.0}, tracker=tracker, wait=True)
    assert run.steps == 6 and not run.reached
    assert tracker.evals == [{"step": 3, "n": 44, "size": 7.0}, {"step": 6, "n": 44, "size": 7.0}]
    assert tracker.spans == ["data", "train", "eval", "train", "eval"]


def test_what_a_tracker_raises_ends_the_run(workers: Any) -> None:
    class Tracker:
        def eval(self, **told: Any) -> None:
            raise RuntimeError("enough")

    model = nets.mlp()
    run = start(model, epochs=50, tracker=Tracker())
    with pytest.raises(RuntimeError, match="enough"):
        run.result(timeout=60)
    assert run.steps == 3 and nets.same(model, after(nets.mlp(), 3))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"schedule": "gpip"}, errors.TrainingError, 'Unknown schedule "gpip"; did you mean "gpipe"?'),
        ({"microbatches": 17}, errors.ScheduleError, "A batch of 16 samples cannot make 17 microbatches."),
        (
            {"schedule": "2bw", "microbatches": 1},
            errors.ScheduleError,
            "2bw needs at least 2 microbatches for 2 stages; got 1.",
        ),
        ({"data": iter([])}, errors.DataError, "Training needs data with a length and an index."),
        ({"data": (torch.zeros(0, 3), torch.zeros(0))}, errors.DataError, "The data has no samples."),
        (
            {"data": (torch.zeros(4, 10), torch.zeros(3))},
            errors.DataError,
            "The columns of the data have different lengths: 4, 3.",
        ),
        ({"price": "0.91 per hour"}, WorkbenchError, 'price is an amount of money; got "0.91 per hour".'),
        ({"target": "top1 about 9"}, errors.TrainingError, '"top1 about 9" is no target.'),
        ({"epochs": 0}, errors.TrainingError, "epochs is a whole number from 1; got 0."),
        ({"workers": 1}, errors.NoProgress, "1 worker left; 2 stages need 2.0 B."),
        ({"batch_size": 64, "drop_last": True, "microbatches": 2}, errors.DataError, "drop_last leaves no batch"),
    ],
)
def test_mistakes_are_said_before_anything_runs(
    workers: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        start(nets.mlp(), **options)
    assert str(caught.value).startswith(message)


class Waits(nn.Module):
    """Is at its tenth forward for as long as a file is there."""

    pipeline_leaf = True

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path, self.count = path, 0

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        self.count += 1
        while self.count == 10 and os.path.exists(self.path):
            time.sleep(0.01)
        return value * 1.0


def test_a_worker_that_stalls_is_told_and_without_copies_waited_for(
    workers: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "LOOK", 0.1)
    monkeypatch.setattr(listening, "STALLED", 2.0)
    monkeypatch.setattr(listening, "PATIENT", 600.0)
    path, model = tmp_path / "there", nets.mlp()
    path.touch()
    with_it = nn.Sequential(*model[:5], Waits(str(path)), *model[5:])

    def stalled() -> Any:
        return run.incidents[run.incidents.worker == 1]

    run = start(with_it, plan=nets.cut_after(with_it, 3), epochs=2)
    try:
        with pytest.warns(errors.PeerStalled, match=r"stage 1 for .+; its worker is alive \(heartbeat "):
            until(lambda: len(stalled()), 240.0)
    finally:
        path.unlink()  # else the worker is held up for all tests that follow
    run.result(timeout=240)
    row = stalled().iloc[0]
    assert (row.kind, row.stage) == ("stall", 1)
    assert "It is at the forward of worker 1: " in row.message and "forward (test_train_ends.py:" in row.message
    assert run.losses.loss.tolist() == nets.plain(nets.mlp(), nets.momentum, 4)


def test_runs_leave_nothing_behind(workers: Any) -> None:
    def left(client: Any) -> list[tuple[int, int, int]]:
        def count(dask_worker: Any) -> tuple[int, int, int]:
            import gc
            import os
            import threading

            gc.collect()
            return len(os.listdir("/proc/self/fd")), threading.active_count(), len(dask_worker._workbench_training)

        found = sorted(client.run(count).values())
        return [*found, (len(os.listdir("/proc/self/fd")), threading.active_count(), 0)]

    def once(cancel: bool) -> None:
        run = start(nets.mlp(), epochs=1 if not cancel else 100)
        if cancel:
            until(lambda: run.steps > 1)
            run.cancel()
        run.result(timeout=60)

    for cancel in (False, True):
        once(cancel)
    before = left(workers)
    for number in range(6):
        once(cancel=number % 2 == 1)
    # A worker may open a file or a thread of its own meanwhile; six runs would leave more than that.
    until(
        lambda: all(
            now[0] <= was[0] + 2 and now[1] <= was[1] + 2 for now, was in zip(left(workers), before, strict=True)
        )
    )
    assert [now[2] for now in left(workers)] == [0, 0, 0]
    assert not [future for future in workers.futures if str(future).startswith("train-")]


def test_a_lost_worker_ends_a_run_without_copies(workers: Any) -> None:  # the last: its worker is gone
    model = nets.mlp(0.25)
    run = start(model, epochs=400)
    until(lambda: run.steps > 5)
    addresses = sorted(
        (info["name"], address) for address, info in workers.scheduler_info(n_workers=-1)["workers"].items()
    )
    victim = workers.run(os.getpid, workers=[addresses[1][1]])[addresses[1][1]]
    os.kill(victim, signal.SIGKILL)
    with pytest.raises(errors.WorkerLost) as caught:
        run.result(timeout=60)
    step = int(run.incidents.step.iloc[0])
    assert caught.value.message == f"worker 1 (stage 1) lost at step {step}; this run keeps no copies."
    assert run.incidents.kind.tolist() == ["lost"] and run.incidents.worker.tolist() == [1]
    assert run.losses.step.tolist() == list(range(run.steps)) and run.steps >= 5
    kept = after(nets.mlp(0.25), step)  # the survivor's stage is at the last commit
    assert torch.equal(model[0].weight, kept[0].weight)
    assert run.state == "failed" and run.partial_result is not False
