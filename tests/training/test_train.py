"""Trained over workers, bit by bit as in one process."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import workbench as wb
from tests.training import nets
from workbench.training.run import TABLES

loss = nn.functional.cross_entropy
CLUSTER = wb.training.Cluster([2], [1e12])


def trained(model: nn.Sequential, make: Any, plan: Any, **options: Any) -> Any:
    options = {"batch_size": nets.BATCH, "epochs": 2, "seed": nets.SEED, "wait": True, **options}
    return wb.training.train(model, nets.samples(), loss, make, plan=plan, **options)


@pytest.mark.parametrize("schedule", ["gpipe", "1f1b"])
@pytest.mark.parametrize("make", [nets.momentum, nets.adam])
@pytest.mark.parametrize("places", [(), (3,)])
@pytest.mark.parametrize("microbatches", [1, 4])
def test_schedules_that_flush_train_as_one_process(
    workers: Any, schedule: str, make: Any, places: tuple[int, ...], microbatches: int
) -> None:
    model, reference = nets.mlp(0.25), nets.mlp(0.25)
    run = trained(model, make, nets.cut_after(model, *places), schedule=schedule, microbatches=microbatches)
    expected = nets.plain(reference, make, microbatches)
    assert run is run.result() and run.model is model and run.state == "finished"
    assert run.losses.loss.tolist() == expected
    assert nets.same(model, reference)


def test_tables_have_their_columns(workers: Any) -> None:
    model = nets.mlp()
    run = trained(model, nets.momentum, nets.cut_after(model, 3), schedule="1f1b", microbatches=4)
    for name, types in TABLES.items():
        frame = getattr(run, name)
        assert {column: str(kind) for column, kind in frame.dtypes.items()} == types
    losses = run.losses
    assert losses.step.tolist() == list(range(6)) and losses.epoch.tolist() == [0, 0, 0, 1, 1, 1]
    assert losses.samples.tolist() == [16, 16, 12] * 2 and run.samples == 88 and run.steps == 6
    assert run.to_pandas().equals(losses)
    versions = run.versions
    assert len(versions) == 2 * 6 * 4
    assert (versions.forward_version == versions.microbatch // 4).all()  # one update a step, no staleness
    timeline = run.timeline
    assert set(timeline.worker) == {0, 1} and (timeline.end >= timeline.start).all()
    for worker, rows in timeline.groupby("worker"):
        rows = rows.sort_values("start")
        assert (rows.start.to_numpy()[1:] >= rows.end.to_numpy()[:-1] - 1e-6).all(), worker
    forwards = timeline[timeline.op == "forward"]
    assert sorted(forwards.microbatch) == sorted(list(range(24)) * 2)
    assert run.bytes_sent == timeline[timeline.op.str.startswith("send")].bytes.sum() > 0
    assert 0 < run.bubble < 1 and run.throughput > 0
    assert repr(run).startswith("TrainRun 1f1b 1-1 · step 6/6 · loss ")


@pytest.mark.parametrize("place", [3, 5])
def test_pipedream_trains_as_the_delayed_loop(workers: Any, place: int) -> None:
    model, reference = nets.mlp(norm=False), nets.mlp(norm=False)
    run = trained(model, nets.momentum, nets.cut_after(model, place), schedule="pipedream", flush_every=4)
    losses = nets.delayed(reference, nets.momentum, [place], lambda stage, number: max(0, number - 1 + stage), [4, 2])
    assert run.losses.loss.tolist() == losses
    assert nets.same(model, reference)
    versions = run.versions
    first = versions[versions.stage == 0].sort_values("microbatch")
    assert first.forward_version.tolist() == [0, 0, 1, 2, 4, 4]  # the pipe drains after four
    assert versions[versions.stage == 1].sort_values("microbatch").forward_version.tolist() == list(range(6))
    assert (versions.forward_version == versions.backward_version).all()


def test_2bw_is_one_update_behind(workers: Any) -> None:
    model, reference = nets.mlp(norm=False), nets.mlp(norm=False)
    run = trained(
        model, nets.momentum, nets.cut_after(model, 5), schedule="2bw", microbatches=2, flush_every=12, epochs=2
    )
    optimizer, weights = nets.momentum(reference.parameters()), []
    for number, (x, y) in enumerate(nets.batches_of(*nets.samples(), 2)):
        weights.append({name: part.detach().clone().requires_grad_() for name, part in reference.named_parameters()})
        seen = weights[max(0, number - 1)]
        optimizer.zero_grad()
        for inputs, target in zip(nets.pieces(x, 2), nets.pieces(y, 2), strict=True):
            (loss(torch.func.functional_call(reference, seen, (inputs,)), target) * (len(inputs) / len(x))).backward()
        for name, part in reference.named_parameters():
            part.grad, seen[name].grad = seen[name].grad, None
        optimizer.step()
    assert nets.same(model, reference)
    assert run.versions.groupby("stage").forward_version.max().tolist() == [4, 4]


@pytest.mark.parametrize("schedule", ["ddp", "1f1b"])
def test_replicas_agree_with_one_process(workers: Any, schedule: str) -> None:
    model, reference = nets.mlp(0.25, norm=False), nets.mlp(0.25, norm=False)
    plan = nets.cut_after(model, replicas=[2])
    run = trained(model, nets.momentum, plan, schedule=schedule, microbatches=3)
    expected = nets.plain(reference, nets.momentum, 3)
    assert run.losses.loss.tolist() == pytest.approx(expected, abs=1e-6)
    for mine, theirs in zip(model.parameters(), reference.parameters(), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-6)


def test_recompute_changes_nothing(workers: Any) -> None:
    model, reference = nets.mlp(0.25), nets.mlp(0.25)
    run = trained(model, nets.adam, nets.cut_after(model, 5), schedule="1f1b", microbatches=4, recompute=True)
    assert run.losses.loss.tolist() == nets.plain(reference, nets.adam, 4)
    assert nets.same(model, reference)


def test_planned_from_a_profile(workers: Any) -> None:
    class Residual(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(1)
            self.first, self.second, self.last = nn.Linear(10, 10), nn.Linear(10, 10), nn.Linear(10, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            hidden = torch.relu(self.first(x))
            return self.last((self.second(hidden) + x).view(x.size(0), -1))

    model, reference = Residual(), Residual()
    run = trained(model, nets.adam, None, workers=2, schedule="1f1b", microbatches=2, cluster=CLUSTER)
    assert run.losses.loss.tolist() == nets.plain(reference, nets.adam, 2)
    assert nets.same(model, reference) and run.plan.config == "1-1"
    assert "why: " in run.explain() and set(run.explain("dict")) == {"plan", "run"}


def test_an_emulated_link_takes_its_time(workers: Any) -> None:
    model, reference = nets.mlp(), nets.mlp()
    run = trained(model, nets.adam, nets.cut_after(model, 3), schedule="gpipe", microbatches=4, link="1mbit")
    assert run.losses.loss.tolist() == nets.plain(reference, nets.adam, 4)
    # Each message passes two machines' links, one byte after the other; both workers send, and one waits for the other.
    assert run.losses.seconds.iloc[-1] - run.timeline.start.min() > run.bytes_sent / 125_000
    assert repr(run).endswith("emulated link 1mbit")


def test_half_precision_on_the_wire(workers: Any) -> None:
    full, half = nets.mlp(), nets.mlp()
    plain = trained(full, nets.momentum, nets.cut_after(full, 3), schedule="1f1b", microbatches=1)
    short = trained(
        half, nets.momentum, nets.cut_after(half, 3), schedule="1f1b", microbatches=1, activation_compression=2
    )
    assert short.bytes_sent < 0.9 * plain.bytes_sent
    assert short.losses.loss.tolist() != plain.losses.loss.tolist()
    assert short.losses.loss.tolist() == pytest.approx(plain.losses.loss.tolist(), abs=0.01)


def test_auto_takes_what_is_fastest_in_simulation(workers: Any) -> None:
    model = nets.mlp()
    run = trained(model, nets.momentum, None, workers=2, schedule="auto", microbatches=4, cluster=CLUSTER)
    assert run.schedule in ("gpipe", "1f1b", "pipedream", "2bw", "ddp") and run.steps == 6
    given = trained(model, nets.momentum, nets.cut_after(model, 3), schedule="auto", microbatches=4)
    assert given.schedule in ("gpipe", "1f1b", "pipedream", "2bw", "ddp") and given.steps == 6
