"""Runs that go on with other workers or another plan; ranks are threads of this process."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.training import nets
from tests.training.resilience.inprocess import Kill, ask
from tests.training.seatings import Machines, Ran, kinds
from workbench.engine import session
from workbench.training import changes, checkpoint, driver, errors, handing, listening, prepare
from workbench.training.changes import Changes
from workbench.training.resilience import Loss
from workbench.training.run import TrainRun
from workbench.training.units import Interval


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Keep checkpoints here, and torch to one thread."""
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path))
    monkeypatch.setattr(changes, "LOOK", 0.0)
    monkeypatch.setattr(handing, "ask", ask)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield tmp_path
    torch.set_num_threads(threads)


def saved(run: TrainRun) -> set[int]:
    """Return the steps of checkpoints; the first may be of any, where ranks were too far to write an earlier one."""
    return set(run.incidents[run.incidents.kind == "checkpoint"].step)


def test_a_loss_goes_back_to_the_checkpoint_with_fewer_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    machines = Machines(monkeypatch, 2)
    plan = nets.cut_after(nets.mlp(), 3)
    ran = Ran(machines, plan, steps=30, kills=[Kill(1, at=500)], interval=Interval(steps=4))
    ran.train()
    ran.check()
    assert kinds(ran.run) == ["lost", "restore"]
    row = ran.run.incidents[ran.run.incidents.kind == "restore"].iloc[0]
    lost = ran.run.incidents[ran.run.incidents.kind == "lost"].iloc[0]
    assert ran.run.plan.config == "1" and row.step in saved(ran.run)
    assert row.lost_steps == lost.step - row.step
    assert row.lost_samples == sum(ran.run.losses.samples[row.step : lost.step])
    assert row.message.startswith(f"worker 1 (stage 1) lost at step {lost.step}")
    again = ran.run.timeline[ran.run.timeline.generation == ran.run.timeline.generation.max()]
    assert set(again[again.op == "rebuild"].step) == {row.step}
    again = again[again.op != "rebuild"]
    assert lost.time <= again.start.min() <= lost.time + row.pause_seconds + 1e-3  # up to the first operation
    assert re.search(rf"Restored checkpoint step {row.step}; {row.lost_steps} steps? \(.+\) lost\.", row.message)


def test_without_a_checkpoint_yet_it_begins_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*arguments: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "write", never)
    machines = Machines(monkeypatch, 3)
    plan = nets.cut_after(nets.mlp(), 3)
    ran = Ran(machines, plan, steps=6, kills=[Kill(0, at=60)], interval=Interval(steps=2))
    with pytest.warns(UserWarning, match="The checkpoint of step 0 could not be written: .*No space left on device"):
        ran.train()
    ran.check()
    assert kinds(ran.run) == ["lost", "restore"]
    row = ran.run.incidents[ran.run.incidents.kind == "restore"].iloc[0]
    assert row.step == 0 and ran.run.plan is plan  # a third worker was there for it


def test_neighbours_that_are_lost_go_back_to_the_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    machines = Machines(monkeypatch, 3)
    plan = nets.cut_after(nets.mlp(), 3, 5)
    kills = [Kill(1, at=400), Kill(2, at=400)]
    ran = Ran(machines, plan, steps=30, kills=kills, resilience="redundant", interval=Interval(steps=4))
    ran.train()
    ran.check()
    assert kinds(ran.run)[-1] == "restore" and ran.run.plan.config == "1"
    row = ran.run.incidents[ran.run.incidents.kind == "restore"].iloc[0]
    # What is said to be lost is what the survivors had committed beyond the checkpoint, with its samples.
    before = max(row.step, *(ran.run.incidents[ran.run.incidents.kind == "lost"].step))
    assert row.step in saved(ran.run) and row.lost_steps == before - row.step
    assert row.lost_samples == sum(ran.run.losses.samples[row.step : before])
    steps = f"{row.lost_steps} step{'s' if row.lost_steps != 1 else ''}"
    assert re.search(rf"no copy of stage \d\. Restored checkpoint step {row.step}; {steps} \(.+\) lost\.", row.message)


@pytest.mark.slow
@pytest.mark.parametrize("resilience", ["none", "redundant"])
def test_replanned_as_often_as_asked(monkeypatch: pytest.MonkeyPatch, resilience: str) -> None:
    machines = Machines(monkeypatch, 3)
    ran = Ran(machines, nets.cut_after(nets.mlp(), 3), steps=60, resilience=resilience)
    wishes = iter([(10, 3), (25, 1), (40, 2)])
    due = list(itertools.islice(wishes, 1))
    wanted = ran.changes.wanted

    def ask(overloaded: int) -> bool:
        if due and ran.run.steps >= due[0][0]:
            ran.run.replan(stages=due.pop()[1])
            due.extend(itertools.islice(wishes, 1))
        return wanted(overloaded)

    monkeypatch.setattr(ran.driver, "_change", ask)
    ran.train()
    ran.check()
    found = ran.run.incidents[ran.run.incidents.kind == "reconfigure"].message.tolist()
    assert [message.partition(" at ")[0] for message in found] == [
        "1-1 became 1-1-1", "1-1-1 became 1", "1 became 1-1",
    ]  # fmt: skip
    with pytest.raises(errors.PartitionError, match="9 stages wanted, the profile can be cut into 8"):
        ran.run.replan(stages=9)
    with pytest.raises(errors.NoProgress, match="3 workers left; 4 stages need"):
        ran.run.replan(stages=4)


@pytest.mark.slow
def test_a_newcomer_takes_over_who_runs_two_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    machines = Machines(monkeypatch, 2)
    plan = nets.cut_after(nets.mlp(), 3)
    ran = Ran(machines, plan, steps=60, kills=[Kill(1, at=200)], resilience="redundant")
    wanted = ran.changes.wanted

    def joins(overloaded: int) -> bool:
        if overloaded and "worker2" not in machines.present and ran.run.steps > 20:
            machines.present[:] = ["worker0", "worker2"]
        return wanted(overloaded)

    monkeypatch.setattr(ran.driver, "_change", joins)
    ran.train()
    ran.check()
    assert kinds(ran.run) == ["lost", "failover", "join", "reconfigure"]
    assert ran.run.incidents.replayed_steps.tolist()[-2:] == [0, 0]
    assert ran.driver._roster.seating.addresses == ["worker0", "worker2"]


@pytest.mark.parametrize("kill", [Kill(1, at=90), Kill(1, join=2)], ids=["at work", "while it joins"])
def test_a_newcomer_is_lost_too(monkeypatch: pytest.MonkeyPatch, kill: Kill) -> None:
    machines = Machines(monkeypatch, 2)
    plan = nets.cut_after(nets.mlp(), 3)
    ran = Ran(machines, plan, steps=60, kills=[Kill(1, at=200)], resilience="redundant", later=[kill])
    wanted = ran.changes.wanted

    def joins(overloaded: int) -> bool:
        if overloaded and len(machines.present) == 2 and "worker2" not in machines.present and ran.run.steps > 15:
            machines.present[:] = ["worker0", "worker2"]
        return wanted(overloaded)

    monkeypatch.setattr(ran.driver, "_change", joins)
    ran.train()
    ran.check()
    assert kinds(ran.run) == ["lost", "failover", "join", "reconfigure", "lost", "failover"]
    assert ran.run.incidents.replayed_steps.max() <= 1 and ran.run.incidents.lost_steps.max() == 0


@pytest.mark.slow
@pytest.mark.parametrize("leaver", [0, 2], ids=["who runs two stages", "whose holder is gone"])
def test_a_notice_moves_everything_where_no_neighbour_can_take_over(
    monkeypatch: pytest.MonkeyPatch, leaver: int
) -> None:
    machines = Machines(monkeypatch, 3)
    plan = nets.cut_after(nets.mlp(), 3, 5)
    ran = Ran(machines, plan, steps=60, kills=[Kill(1, at=200)], resilience="redundant")
    wanted, told = ran.changes.wanted, list[int]()

    def notice(overloaded: int) -> bool:
        if overloaded and not told and ran.run.steps > 15:
            told.append(leaver)
            ran.crew.inbox.put({"kind": "notice", "rank": leaver, "generation": 1})
        return wanted(overloaded)

    monkeypatch.setattr(ran.driver, "_change", notice)
    ran.train()
    ran.check()
    assert kinds(ran.run) == ["lost", "failover", "notice", "reconfigure"]
    row = ran.run.incidents.iloc[-1]
    assert row.replayed_steps == row.lost_steps == 0 and ran.run.plan.config == "1"
    assert row.message == f"1-1-1 became 1 at step {row.step}; nothing is replayed"
    assert ran.driver._roster.seating.addresses == [f"worker{2 - leaver}"]


def test_too_few_workers_wait_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    machines = Machines(monkeypatch, 2)
    ran = Ran(machines, nets.cut_after(nets.mlp(), 3), steps=6)

    def refuse(*arguments: Any) -> Any:
        raise errors.StageMemoryError("Too large.", "")

    monkeypatch.setattr(prepare, "fewer", refuse)
    monkeypatch.setattr(session, "heal", lambda: machines.present.append("worker2"))
    seating = ran.changes.restore(Loss(frozenset({1}), frozenset({1}), {0: 2}))
    assert seating is not None and seating.addresses == ["worker0", "worker2"]
    row = ran.run.incidents.iloc[0]
    assert row.kind == "stall"
    assert row.message.startswith("1 worker left; 2 stages need ")
    assert row.message.endswith("Waiting for 1 more; no smaller plan fits into memory.")
    machines.present[:] = ["worker0"]
    monkeypatch.setattr(session, "heal", lambda: ran.run.cancel())
    with pytest.raises(driver.Cancelled):
        ran.changes.restore(Loss(frozenset({1}), frozenset({1}), {0: 2}))


def test_workers_that_were_only_late_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """All were silent: without them there would be nobody to wait for."""
    monkeypatch.setattr(listening, "LOOK", 0.02)
    monkeypatch.setattr(listening, "SILENT", 0.2)
    machines = Machines(monkeypatch, 2)
    kills = [Kill(rank, at=200, how="stall") for rank in range(2)]
    ran = Ran(machines, nets.cut_after(nets.mlp(), 3), steps=30, kills=kills, resilience="redundant")
    machines.late = True

    def heal() -> None:
        machines.late = False
        machines.well.update(machines.present)

    monkeypatch.setattr(session, "heal", heal)
    ran.train()
    ran.check()
    assert set(kinds(ran.run)) == {"stall", "lost", "restore"} and ran.run.plan.config == "1-1"
    assert sorted(ran.driver._roster.seating.addresses) == ["worker0", "worker1"]


def test_who_comes_back_too_often_stays_away(monkeypatch: pytest.MonkeyPatch) -> None:
    machines = Machines(monkeypatch, 2)
    ran = Ran(machines, nets.cut_after(nets.mlp(), 3), steps=3)
    machines.well.add("worker1")
    for _ in range(changes.COMEBACKS):
        ran.changes._gone.add("worker1")
        until = time.monotonic() + 60
        while ran.changes._present() != machines.present:
            assert time.monotonic() < until
            time.sleep(0.01)
    ran.changes._gone.add("worker1")
    assert ran.changes._present() == ["worker0"] and not ran.changes._probed


def test_a_worker_that_goes_while_seats_are_given_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is found to be lost when it is seated, as one that goes a moment later."""
    machines = Machines(monkeypatch, 3)
    ran = Ran(machines, nets.cut_after(nets.mlp(), 3), steps=6)
    looks = iter([["worker0", "worker2"]])
    monkeypatch.setattr(prepare, "workers", lambda wanted=None: next(looks, ["worker0"]))
    seating = ran.changes.restore(Loss(frozenset({1}), frozenset({1}), {0: 2}))
    assert seating is not None and seating.addresses == ["worker0", "worker2"]


def test_newcomers_that_could_not_load_are_asked_anew() -> None:
    asked: list[list[str]] = []

    class Client:
        def run(self, function: Any, workers: list[str], on_error: str) -> None:
            asked.append(workers)
            if len(asked) == 1:
                raise OSError("gone")

    seating: Any = SimpleNamespace(plan=None, batches=0, addresses=["worker0"])
    client: Any = Client()
    nothing: Any = None
    found = Changes(nothing, nothing, seating, client, "redundant")
    until = time.monotonic() + 60
    while not found._warm(["worker0", "worker1"]):
        assert time.monotonic() < until
        time.sleep(0.01)
    assert asked == [["worker1"], ["worker1"]]
