"""Stages that are copied to a newcomer while training goes on: what comes out, what is left, and who dies meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training import nets
from tests.training.resilience import inprocess
from tests.training.resilience.inprocess import Kill
from tests.training.seatings import Machines, Ran, kinds
from workbench.training import changes, handing, shadow, standby, worker
from workbench.training.transport import Interrupted
from workbench.training.units import Interval

STEPS = 120


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep checkpoints here, torch to one thread, and copy models of any size, a parameter at a time."""
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path))
    monkeypatch.setattr(changes, "LOOK", 0.0)
    monkeypatch.setattr(changes, "SMALL", 0)
    monkeypatch.setattr(standby, "LOOK", 0.005)
    monkeypatch.setattr(shadow, "NAP", 0.001)
    monkeypatch.setattr(handing, "PIECE", 64)
    monkeypatch.setattr(handing, "NAP", 0.01)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Asks:
    """What newcomers ask for, and whether training stands for it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, ran: Ran) -> None:
        self.stands = False
        #: function, names, bytes, whether training stands
        self.made: list[tuple[str, tuple[str, ...], int, bool]] = []
        carry_out = ran.changes.carry_out

        def carried(driver: Any) -> int:
            self.stands = True
            return carry_out(driver)

        monkeypatch.setattr(ran.changes, "carry_out", carried)
        monkeypatch.setattr(handing, "ask", self.ask)

    def ask(self, host: Any, address: str, function: Any, arguments: Any, stopped: Any) -> Any:
        stands = self.stands
        self.before(host, address, function)
        answer = inprocess.ask(host, address, function, arguments, stopped)
        self.made.append((function.__name__, tuple(arguments[3]), shadow._size(answer), stands))
        return answer

    def before(self, host: Any, address: str, function: Any) -> None:
        """Do what a test does before it is answered."""

    def names(self, function: str, *, stands: bool) -> set[str]:
        return {
            name for made, names, size, at in self.made if (made, at) == (function, stands) and size for name in names
        }


def joined(monkeypatch: pytest.MonkeyPatch, interval: Interval | None = None) -> tuple[Ran, Asks]:
    """Train on two workers with copies, of which one dies; when the run goes on without it, another one joins."""
    machines = Machines(monkeypatch, 2)
    ran = Ran(
        machines, nets.cut_after(nets.mlp(), 3), steps=STEPS, kills=[Kill(1, at=200)], resilience="redundant",
        interval=interval,
    )  # fmt: skip
    wanted = ran.changes.wanted

    def joins(overloaded: int) -> bool:
        if overloaded and machines.present == ["worker0", "worker1"]:
            machines.present[:] = ["worker0", "worker2"]
        time.sleep(0.002)
        return wanted(overloaded)

    monkeypatch.setattr(ran.driver, "_change", joins)
    return ran, Asks(monkeypatch, ran)


def left(name: str) -> bool:
    return any(thread.name == name for thread in threading.enumerate())


@pytest.mark.parametrize("make", ["adam", "momentum"])
def test_what_is_left_for_when_training_stands_is_the_last_gradients(
    monkeypatch: pytest.MonkeyPatch, make: str
) -> None:
    monkeypatch.setattr(nets, "adam", getattr(nets, make))
    ran, asks = joined(monkeypatch)
    ran.train()
    ran.check()
    assert kinds(ran.run) == ["lost", "failover", "join", "reconfigure"]
    assert ran.run.incidents.replayed_steps.max() <= 1 and ran.run.incidents.lost_steps.max() == 0
    parameters = {name: parameter.nbytes for name, parameter in ran.model.named_parameters()}
    buffers = {name for name, _ in ran.model.named_buffers()}
    # every parameter came while others trained; of the rest, buffers alone
    assert asks.names("piece", stands=False) == set(parameters)
    assert not asks.names("piece", stands=True)
    assert asks.names("give", stands=True) == buffers
    sizes = [size for name, _, size, stands in asks.made if name == "gradients" and stands]
    assert sum(sizes) <= shadow.MANY * sum(parameters.values())
    copied = sum(size for name, _, size, _ in asks.made if name == "piece")
    assert copied >= (3 if make == "adam" else 2) * sum(parameters.values())
    for name in ("workbench-training-shadow", "workbench-training-standby"):
        assert not left(name)


def test_who_gives_dies_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ran both stages: the newcomer goes on alone, from the checkpoint, and nothing of what it copied counts."""
    ran, asks = joined(monkeypatch, Interval(steps=4))
    pieces: list[str] = []

    def before(host: Any, address: str, function: Any) -> None:
        if function is shadow.piece:
            pieces.append(address)
            if len(pieces) == 3:
                other = ran.crew.machines[address]
                other.silent = True
                ran.crew.hub.dead.add(0)
                ran.machines.present[:] = ["worker2"]
                worker.leave(ran.run.run_id, other)
                ran.crew.inbox.put({"kind": "lost", "address": "0"})

    monkeypatch.setattr(asks, "before", before)
    ran.train()
    ran.check()
    found = kinds(ran.run)
    assert found[:4] == ["lost", "failover", "lost", "restore"] and len(pieces) >= 3
    assert ran.run.plan.config == "1"
    assert not left("workbench-training-shadow")


def test_a_newcomer_dies_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    ran, asks = joined(monkeypatch)
    pieces: list[str] = []

    def before(host: Any, address: str, function: Any) -> None:
        if host is ran.crew.machines.get("worker2") and function is shadow.piece:
            pieces.append(address)
            if len(pieces) == 3:
                host.silent = True
                ran.machines.present[:] = ["worker0", "worker3"]  # a second one
                raise Interrupted

    monkeypatch.setattr(asks, "before", before)
    ran.train()
    ran.check()
    assert kinds(ran.run) == ["lost", "failover", "join", "reconfigure"] and len(pieces) == 3
    assert ran.run.incidents.lost_steps.max() == 0
    assert asks.names("piece", stands=False) == {name for name, _ in ran.model.named_parameters()}


def test_who_is_too_late_gets_the_rest_when_training_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where gradients go before they are asked for, parts are copied anew, and in the end left out."""
    monkeypatch.setattr(shadow, "FEW", 1)
    monkeypatch.setattr(shadow, "MANY", 1)
    ran, asks = joined(monkeypatch)

    def before(host: Any, address: str, function: Any) -> None:
        if function is shadow.gradients and not asks.stands:
            time.sleep(0.05)

    monkeypatch.setattr(asks, "before", before)
    ran.train()
    ran.check()
    assert kinds(ran.run) == ["lost", "failover", "join", "reconfigure"]
    assert {name for name, _ in ran.model.named_parameters()} & asks.names("give", stands=True)


def test_gradients_are_kept_for_a_while_and_none_of_them_twice() -> None:
    log, state = shadow.Log("one"), Stage()
    assert log.since(1, 0) is None
    for batch in range(3, 20):
        log.note(batch, state)  # type: ignore[arg-type]
    kept = log.since(1, 15)
    assert kept is not None and list(kept) == [15, 16, 17, 18, 19]
    assert log.since(1, 20) == {} and log.since(1, 19 - shadow.MANY) is None and log.token == "one"
    log.note(19, state)  # type: ignore[arg-type]
    assert log.token == ""  # replayed: nobody shall have some of the first time, and some of the second
    other = shadow.Log("two")
    other.note(0, Stage(copy=True))  # type: ignore[arg-type]
    assert other.since(1, 0) is None


class Stage:
    """A stage whose gradients are noted."""

    def __init__(self, copy: bool = False) -> None:
        self.copy, self.spec = copy, self
        self.index = 1

    def summed(self) -> dict[str, torch.Tensor]:
        return {"weight": torch.ones(3)}
