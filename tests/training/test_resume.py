"""Runs over workers that go on from a checkpoint as if they had never ended."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from torch import nn

import workbench as wb
from tests.training import nets
from workbench.training import checkpoint, listening, shelf
from workbench.training.errors import CheckpointError

loss = nn.functional.cross_entropy


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep checkpoints here; a machine that is busy with other things is no reason to give a worker up."""
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path))
    monkeypatch.setattr(listening, "SILENT", 600.0)
    monkeypatch.setattr(listening, "PATIENT", 600.0)


def train(model: nn.Sequential, *places: int, make: Any = nets.adam, **options: Any) -> Any:
    options = {
        "batch_size": nets.BATCH, "seed": nets.SEED, "schedule": "1f1b", "microbatches": 4,
        "plan": nets.cut_after(model, *places), **options,
    }  # fmt: skip
    return wb.training.train(model, nets.samples(), loss, make, **options)


def until(condition: Any, seconds: float = 240.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.mark.slow
@pytest.mark.parametrize("places", [(3,), ()])
def test_a_run_that_ended_goes_on(workers: Any, places: tuple[int, ...]) -> None:
    path = train(nets.mlp(0.25), 3, steps=4, wait=True).checkpoint()
    model, reference = nets.mlp(0.25), nets.mlp(0.25)
    run = train(model, *places, epochs=3, resume=path, wait=True)
    assert run.losses.loss.tolist() == nets.plain(reference, nets.adam, 4, 3)
    assert nets.same(model, reference)
    assert run.losses.epoch.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2] and run.steps == 9 and run.samples == 132
    assert run.losses.seconds.is_monotonic_increasing and run.progress.done == 9
    # microbatches and versions count from the start of the first run
    versions = run.versions
    assert versions.microbatch.min() == 16 and (versions.forward_version == versions.microbatch // 4).all()


@pytest.mark.slow
def test_asked_for_while_it_runs_and_gone_on_with_another_cut(workers: Any) -> None:
    model, again = nets.mlp(0.25), nets.mlp(0.25)
    run = train(model, 3, epochs=400)
    until(lambda: run.steps > 3)
    path = run.checkpoint()
    run.cancel()
    run.result(timeout=240)
    step = checkpoint.read(path).step
    assert 3 < step <= run.steps and run.incidents.kind.tolist() == ["checkpoint"]
    second = train(again, 5, steps=run.steps, resume=path, wait=True)
    assert second.losses.loss.tolist() == run.losses.loss.tolist() and nets.same(again, model)


@pytest.mark.parametrize(
    ("schedule", "microbatches", "flush"), [("pipedream", 1, 4), ("2bw", 2, 8)], ids=["pipedream", "2bw"]
)
def test_where_the_pipe_was_drained(workers: Any, schedule: str, microbatches: int, flush: int) -> None:
    model, again = nets.mlp(norm=False), nets.mlp(norm=False)
    options = {"schedule": schedule, "microbatches": microbatches, "make": nets.momentum}
    run = train(model, 3, flush_every=flush, epochs=400, **options)
    until(lambda: run.steps > 4)
    path = run.checkpoint()
    run.cancel()
    run.result(timeout=240)
    step = checkpoint.read(path).step
    assert step % 4 == 0
    second = train(again, 3, steps=run.steps, resume=path, wait=True, **options)  # as often drained as it was
    assert second.losses.loss.tolist() == run.losses.loss.tolist() and nets.same(again, model)
    columns = ["stage", "microbatch"]
    before = run.versions[run.versions.microbatch >= step * microbatches].sort_values(columns)
    assert second.versions.sort_values(columns).to_dict("list") == before.to_dict("list")


def test_two_are_kept_of_those_that_nobody_asked_for(workers: Any) -> None:
    run = train(nets.mlp(), 3, steps=12, checkpoint="3steps", wait=True)
    made = run.incidents
    assert set(made.kind) == {"checkpoint"}
    steps = made.step.tolist()
    assert steps[0] == 0 and steps == sorted(set(steps)) and all(step % 3 == 0 for step in steps)
    assert [path.name for path in shelf.complete(run.saver.root)] == [f"step-{step}" for step in steps[-2:]]
    for path in shelf.complete(run.saver.root):
        assert checkpoint.read(path).facts["samples"] == sum(run.losses.samples[: checkpoint.read(path).step])


def test_what_is_being_read_stays_until_it_is_not(workers: Any) -> None:
    run = train(nets.mlp(), 3, steps=20_000, checkpoint="3steps")
    until(lambda: shelf.complete(run.saver.root))
    read = checkpoint.read(run.saver.root)
    until(lambda: len(run.incidents) > 4)
    assert read.path in shelf.complete(run.saver.root)
    kept, path = len(shelf.complete(run.saver.root)), read.path
    assert 1 <= kept <= 4  # that one, the two, and the one that is just done
    del read
    until(lambda: not path.exists())
    run.cancel()
    run.wait()


def test_another_run_is_refused(workers: Any) -> None:
    model = nets.mlp()
    path = train(model, 3, steps=2, wait=True).checkpoint()
    with pytest.raises(CheckpointError, match=r"was saved with batch_size=16; this run has 8\."):
        train(nets.mlp(), 3, resume=path, batch_size=8)
    with pytest.raises(CheckpointError, match=r"was saved with seed=3; this run has 0\."):
        train(nets.mlp(), 3, resume=path, seed=0)
    with pytest.raises(CheckpointError, match=r"10 parameters|8 parameters"):
        train(nets.mlp(norm=False), 3, resume=path)
    before = nets.mlp()
    with pytest.raises(CheckpointError, match="was saved with optimizer=Adam; this run has SGD"):
        train(before, 3, resume=path, make=nets.momentum)
    assert nets.same(before, nets.mlp())  # what is refused leaves the model alone


def test_a_disk_that_fills_up_does_not_end_a_run(workers: Any) -> None:
    def limit(size: int) -> None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    workers.run(limit, 4096)  # a file grows no larger: its writer gets an OSError halfway
    try:
        with pytest.warns(UserWarning, match=r"The checkpoint of step 0 could not be written: OSError") as caught:
            run = train(nets.mlp(0.25), 3, steps=9, checkpoint="2steps", wait=True)
        assert len([warning for warning in caught if "could not be written" in str(warning.message)]) == 1
        with pytest.raises(CheckpointError):
            checkpoint.read(run.saver.root)
    finally:
        workers.run(limit, -1)
    assert run.losses.loss.tolist() == nets.plain(nets.mlp(0.25), nets.adam, 4, 3)
    assert set(run.incidents.kind) == {"checkpoint"} and not list(run.saver.root.glob("step-*"))


@pytest.mark.slow
def test_a_killed_worker_takes_it_back_to_the_checkpoint(workers: Any) -> None:  # the last: its worker is gone
    model, reference = nets.mlp(0.25), nets.mlp(0.25)
    run = train(model, 3, epochs=20, resilience="checkpoint", checkpoint="5steps")
    until(lambda: run.steps > 12)
    names = sorted((info["name"], address) for address, info in workers.scheduler_info(n_workers=-1)["workers"].items())
    os.kill(workers.run(os.getpid, workers=[names[1][1]])[names[1][1]], signal.SIGKILL)
    run.result(timeout=240)
    assert run.losses.loss.tolist() == nets.plain(reference, nets.adam, 4, 20)
    assert nets.same(model, reference)
    incidents = run.incidents
    lost, restored = (incidents[incidents.kind == kind].iloc[0] for kind in ("lost", "restore"))
    assert restored.step % 5 == 0 and restored.lost_steps == lost.step - restored.step
    assert f"Restored checkpoint step {restored.step}; {restored.lost_steps} step" in restored.message
