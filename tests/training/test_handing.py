"""Stages that go from worker to worker: what comes out, what passes through the client, and who dies meanwhile."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import workbench as wb
from tests.training import nets
from tests.training.resilience import inprocess
from tests.training.resilience.inprocess import Kill, Killed
from tests.training.seatings import Machines, Ran, kinds
from workbench.training import changes, handing, worker
from workbench.training.changes import Changes, places
from workbench.training.state import Snapshot
from workbench.training.transport import Interrupted, PeerError
from workbench.training.units import Interval
from workbench.training.worker import kept_of


class Host:
    """A worker that others ask."""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep checkpoints here, and torch to one thread."""
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path))
    monkeypatch.setattr(changes, "LOOK", 0.0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def snapshot() -> Snapshot:
    weights = {
        "weight": torch.randn(3, 5).requires_grad_(), "half": torch.randn(7).to(torch.bfloat16),
        "view": torch.arange(12.0)[4:8],
    }  # fmt: skip
    state = {"weight": {"step": torch.tensor(3.0), "mean": torch.randn(3, 5), "kind": "a", "none": None}}
    return Snapshot(weights, {"count": torch.tensor(5)}, state, 3)


def gathered(found: Snapshot, monkeypatch: pytest.MonkeyPatch, answers: Callable[[str], bool]) -> handing.Taken:
    """Return what a worker without anything gets from "a" and "b"."""
    host, own = Host(), Host()
    kept_of(host)["run"] = handing.Kept(4, {1: found})
    called: list[str] = []

    def ask(worker: Any, address: str, function: Any, arguments: Any, stopped: Any) -> Any:
        called.append(address)
        if not answers(address):
            raise ConnectionError("gone")
        with futures.ThreadPoolExecutor(1) as pool:  # a browser that tests share keeps this thread's event loop
            return pool.submit(asyncio.run, function(*arguments, dask_worker=host)).result()

    monkeypatch.setattr(handing, "ask", ask)
    monkeypatch.setattr(handing, "NAP", 0.01)
    wanted = {**found.weights, **found.first}
    origin = handing.Origin(1, frozenset(wanted), ("a", "b"))
    return handing.gather("run", 4, wanted, [origin], own, lambda: False)


@pytest.mark.parametrize("answers", ["a", "b"], ids=["the first one", "the next one"])
def test_what_is_given_is_what_is_kept(monkeypatch: pytest.MonkeyPatch, answers: str) -> None:
    found = snapshot()
    monkeypatch.setattr(handing, "PIECE", 32)  # bytes: in several answers
    taken = gathered(found, monkeypatch, lambda address: address == answers)
    for name, tensor in {**found.weights, **found.first}.items():
        assert taken.tensors[name].dtype is tensor.dtype and torch.equal(taken.tensors[name], tensor)
        assert taken.tensors[name].data_ptr() % 64 == 0  # as torch's own: else products may come out otherwise
    state, expected = taken.state["weight"], found.optimizer["weight"]
    assert list(taken.state) == ["weight"] and state.keys() == expected.keys()
    assert torch.equal(state["mean"], expected["mean"]) and torch.equal(state["step"], expected["step"])
    assert state["kind"] == "a" and state["none"] is None and state["step"].shape == ()


def test_what_nobody_has_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PeerError, match="stage 1 is not to be had: b: gone"):
        gathered(snapshot(), monkeypatch, lambda address: False)
    wanted = {"other": torch.zeros(1)}
    with pytest.raises(PeerError, match="nobody has other"):
        handing.gather("run", 4, wanted, [handing.Origin(0, frozenset(), ())], Host(), lambda: False)


def test_who_stays_keeps_its_rank() -> None:
    before = ["a", "b", "c"]
    assert places(before, ["c", "a", "d"], 3) == ["a", "d", "c"]
    assert places(before, ["c", "a", "d"], 2) == ["a", "c"]
    assert places(before, ["d", "e", "c"], 2) == ["c", "d"]
    assert places(before, ["d", "c", "b", "a"], 4) == ["a", "b", "c", "d"]


def test_a_setup_for_a_newcomer_holds_no_weights() -> None:
    tree = nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512))
    tree.tied = tree[0]
    found = handing.hollow(tree)
    assert all(tensor.device.type == "meta" for tensor in (*found.parameters(), *found.buffers()))
    assert found.tied is found[0] and {name for name, _ in found.named_buffers()} == {
        name for name, _ in tree.named_buffers()
    }
    assert all(parameter.device.type == "cpu" for parameter in tree.parameters())


def test_who_was_told_to_go_waits_until_others_have_its_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    host, ended = Host(), list[Any]()
    monkeypatch.setattr(worker, "_heed_no_more", ended.append)
    kept_of(host)["run"] = handing.Kept(4, {})
    worker.leave("run", host)
    assert not ended
    worker.forget("run", host)
    assert ended == [host] and not kept_of(host)


# runs whose ranks are threads


def joined(
    monkeypatch: pytest.MonkeyPatch, ask: Callable[..., Any], *, later: Any = (), interval: Interval | None = None
) -> Ran:
    """Train on two workers with copies; a third one joins, and the model is cut into three."""
    machines = Machines(monkeypatch, 3)
    monkeypatch.setattr(handing, "ask", ask)
    ran = Ran(machines, nets.cut_after(nets.mlp(), 3), steps=30, resilience="redundant", later=later, interval=interval)
    wanted, due = ran.changes.wanted, [10]

    def asks(overloaded: int) -> bool:
        if due and ran.run.steps >= due[0]:
            due.clear()
            ran.run.replan(stages=3)
        return wanted(overloaded)

    monkeypatch.setattr(ran.driver, "_change", asks)
    return ran


def test_another_worker_gives_what_one_that_dies_meanwhile_would_have(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def ask(host: Any, address: str, *arguments: Any) -> Any:
        asked.append(address)
        other = host.others[address]
        if address == "worker1":  # who runs what is asked for: it is killed while it joins
            while not other.silent:
                time.sleep(0.005)
        return inprocess.ask(host, address, *arguments)

    ran = joined(monkeypatch, ask, later=[Kill(1, join=1)])
    ran.train()
    ran.check()
    assert kinds(ran.run) == ["join", "reconfigure", "lost", "failover"]
    assert ran.run.incidents.lost_steps.max() == 0
    _, begun, _, taken = ran.run.incidents.itertuples()
    # nothing had begun: one pause ends where the other one begins
    assert begun.pause_seconds > 0
    assert begun.time - 1e-6 <= taken.time - taken.pause_seconds < begun.time + 0.1
    assert asked.index("worker0", asked.index("worker1")) > 0
    assert asked.count("worker1") <= handing.ROUNDS  # not asked again once it is known to be lost


def test_a_newcomer_that_dies_while_it_is_given_a_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    pieces: list[str] = []

    def ask(host: Any, address: str, *arguments: Any) -> Any:
        if host is host.others.get("worker2"):
            pieces.append(address)
            if len(pieces) == 2:
                raise Killed
        return inprocess.ask(host, address, *arguments)

    monkeypatch.setattr(handing, "PIECE", 64)
    ran = joined(monkeypatch, ask)
    ran.train()
    ran.check()
    assert kinds(ran.run) == ["join", "reconfigure", "lost", "failover"] and len(pieces) == 2
    assert ran.run.incidents.worker.tolist()[-1] == 2 and ran.run.incidents.lost_steps.max() == 0


def test_what_no_survivor_has_comes_from_the_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who runs two stages is killed while it gives one of them away."""
    machines = Machines(monkeypatch, 2)

    def ask(host: Any, address: str, *arguments: Any) -> Any:
        while not host.others[address].silent:
            time.sleep(0.005)
        machines.present[:] = ["worker2", "worker3"]
        machines.well.add("worker2")
        return inprocess.ask(host, address, *arguments)

    monkeypatch.setattr(handing, "ask", ask)
    monkeypatch.setattr(handing, "NAP", 0.01)
    plan = nets.cut_after(nets.mlp(), 3)
    ran = Ran(
        machines, plan, steps=60, kills=[Kill(1, at=200)], resilience="redundant", later=[Kill(0, join=2)],
        interval=Interval(steps=4),
    )  # fmt: skip
    wanted = ran.changes.wanted

    def joins(overloaded: int) -> bool:
        if overloaded and machines.present == ["worker0", "worker1"] and ran.run.steps > 20:
            machines.present[:] = ["worker0", "worker2"]
        return wanted(overloaded)

    monkeypatch.setattr(ran.driver, "_change", joins)
    ran.train()
    ran.check()
    found = kinds(ran.run)
    assert found[:4] == ["lost", "failover", "join", "reconfigure"] and "restore" in found
    row = ran.run.incidents[ran.run.incidents.kind == "restore"].iloc[0]
    # the first checkpoint is of any step, where the ranks were too far to write an earlier one
    assert row.step in [int(step) for step in ran.run.incidents[ran.run.incidents.kind == "checkpoint"].step]
    assert row.lost_steps == ran.run.incidents[ran.run.incidents.kind == "reconfigure"].step.max() - row.step


# workers


class Counted:
    """Counts what goes through the sockets of this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from distributed.comm import tcp

        self.bytes = 0
        write, read = tcp.TCP.write, tcp.read_bytes_rw

        async def written(comm: Any, *arguments: Any, **options: Any) -> Any:
            size = await write(comm, *arguments, **options)
            self.bytes += size
            return size

        async def been_read(stream: Any, size: int) -> Any:
            self.bytes += size
            return await read(stream, size)

        monkeypatch.setattr(tcp.TCP, "write", written)
        monkeypatch.setattr(tcp, "read_bytes_rw", been_read)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_hardly_anything_passes_through_the_client(workers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)

    def made() -> nn.Sequential:
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(10, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 4))

    model, reference = made(), made()
    size = sum(parameter.nbytes for parameter in model.parameters())
    counted, carry_out = Counted(monkeypatch), Changes.carry_out
    seen: dict[str, int] = {}

    def carried(self: Changes, driver: Any) -> int:
        seen["before"] = counted.bytes
        at = carry_out(self, driver)
        seen["at"] = at
        return at

    monkeypatch.setattr(Changes, "carry_out", carried)
    run = wb.training.train(
        model, nets.samples(), nn.functional.cross_entropy, nets.adam, plan=nets.cut_after(model, 2),
        batch_size=nets.BATCH, epochs=40, seed=nets.SEED, schedule="1f1b", microbatches=4,
    )  # fmt: skip

    def watch() -> None:
        while not run.wait(0):
            if run.steps >= 5 and "asked" not in seen:
                seen["asked"] = 1
                run.replan(stages=1)
            if "at" in seen and run.steps > seen["at"] and "after" not in seen:
                seen["after"] = counted.bytes
            time.sleep(0.001)

    watcher = threading.Thread(target=watch)
    watcher.start()
    run.result(timeout=600)
    watcher.join(60)
    assert run.plan.config == "1"
    row = run.incidents[run.incidents.kind == "reconfigure"].iloc[0]
    again = run.timeline[run.timeline.generation == run.timeline.generation.max()].start.min()
    before = run.timeline[run.timeline.generation < run.timeline.generation.max()].end.max()
    # all that training stood for it: what was asked for, seats, and the way of the weights
    assert 0.9 * (again - before) <= row.pause_seconds
    assert run.losses.loss.tolist() == nets.plain(reference, nets.adam, 4, epochs=40)
    assert nets.same(model, reference)
    assert size > 4e6
    # the stage that moves has all but 45 kB of the weights, and twice as much of Adam's; here go setups and reports
    assert 0 < seen["after"] - seen["before"] < size / 10
    assert not any(workers.run(lambda dask_worker: bool(kept_of(dask_worker))).values())


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_worker_that_is_silent_or_has_gone_is_no_answer(workers: Any) -> None:
    def asks(other: str, patience: float, stopped: bool = False) -> str:
        from distributed import get_worker

        from workbench.training import handing as module

        async def never() -> None:
            import asyncio

            await asyncio.sleep(600)

        before, module.PATIENCE = module.PATIENCE, patience
        try:
            module.ask(get_worker(), other, never, (), lambda: stopped)
        except (OSError, Interrupted) as error:
            return "gone" if isinstance(error, OSError) else "left"
        finally:
            module.PATIENCE = before
        return "answered"

    one, two = sorted(workers.scheduler_info(n_workers=-1)["workers"])
    for arguments, expected in (
        ((two, 0.5), "gone"), ((two, 600.0, True), "left"), (("tcp://127.0.0.1:9", 600.0), "gone"),
    ):  # fmt: skip
        begun = time.monotonic()
        assert workers.submit(asks, *arguments, workers=[one], pure=False).result(timeout=240) == expected
        assert time.monotonic() - begun < 300  # not when the other one has come to an end
