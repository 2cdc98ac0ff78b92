"""Runs over threads that go on with other workers: what `Work` does around a driver."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from torch import nn

from tests.training import nets
from tests.training.resilience.inprocess import Hub, Kill, ThreadCrew
from workbench.training import changes, prepare, shadow
from workbench.training import data as data_module
from workbench.training.changes import Changes
from workbench.training.driver import Change, Driver
from workbench.training.job import Job
from workbench.training.plan import PipelinePlan
from workbench.training.prepare import Terms
from workbench.training.run import TrainRun
from workbench.training.units import Interval

__all__ = ["Crew", "Machines", "Ran", "kinds"]

MICROBATCHES = 4


class Machines:
    """The session's workers, of which some are lost."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
        self.present = [f"worker{number}" for number in range(count)]
        #: those that would answer if they were asked, after they were given up
        self.well: set[str] = set()
        self.late = False
        self.crew: Any = None
        monkeypatch.setattr(prepare, "workers", lambda wanted=None: list(self.present))

    def run(self, function: Any, *arguments: Any, workers: Sequence[str], on_error: str) -> dict[str, Any]:
        """Load modules or copy stages beside the training, as a client has its workers do, or say who is well."""
        if self.late:
            raise OSError("no answer")
        if function.__module__ == shadow.__name__:
            hosts = {address: self.crew.host(address) for address in workers}
            return {
                address: function(*arguments, dask_worker=host) for address, host in hosts.items() if not host.silent
            }
        return {address: address in self.well for address in workers}


class Crew(ThreadCrew):
    """Threads that are seated anew, with nobody dead among them; kills are of the first seating."""

    later: Sequence[Kill] = ()  # those of the second one

    def seat(self, addresses: Sequence[str], made: Sequence[bytes]) -> list[int]:
        if self.threads:
            self.kills, self.later, self.hub = self.later, (), Hub()
        self.addresses = list(addresses)
        return super().seat(addresses, made)

    def rank_of(self, address: str) -> int | None:
        return int(address)

    def missing(self, ranks: Any) -> list[int]:
        return []


class Ran:
    """A run over threads, with what `Work` does around its driver."""

    def __init__(
        self, machines: Machines, plan: PipelinePlan, *, steps: int, kills: Sequence[Kill] = (), schedule: str = "1f1b",
        resilience: str = "checkpoint", interval: Interval | None = None, later: Sequence[Kill] = (),
    ) -> None:  # fmt: skip
        self.model, self.machines = nets.mlp(0.25), machines
        optimizer = nets.adam(self.model.parameters())
        batches = data_module.Batches(nets.SAMPLES, nets.BATCH, MICROBATCHES, seed=nets.SEED)
        copied = resilience == "redundant"
        job = Job(nn.functional.cross_entropy, batches, nets.SEED, redundant=copied)
        source = data_module.source_of(nets.samples())[0]
        terms = Terms(
            self.model, optimizer, source, job, schedule, "lazy" if copied else None, None, False, steps, None
        )
        self.run = TrainRun(terms=terms, plan=plan, resilience=resilience, interval=interval)
        seating = terms.seating(plan, machines.present[: changes.ranks_of(plan)])
        self.changes = Changes(self.run, terms, seating, machines, resilience)
        self.crew: Any = Crew(self.run.run_id, kills)
        self.crew.later, machines.crew = later, self.crew
        self.driver = Driver(
            self.run, self.crew, seating, lambda batch: [batches.count(batch, piece) for piece in range(MICROBATCHES)],
            resilience=resilience, restore=self.changes.restore, saver=self.run.saver, change=self.changes.wanted,
        )  # fmt: skip
        self.steps = steps

    def train(self) -> None:
        """Train to the end, and put the weights into the model."""
        at = 0
        try:
            self.driver.start()
            while at < self.steps:
                try:
                    self.driver.go(at, self.steps)
                    at = self.steps
                except Change:
                    at = self.changes.carry_out(self.driver)
            self.driver.finish_saves()
            assert self.changes.load(self.driver, self.steps)
        finally:
            self.driver.halt()
            self.driver.close()

    def check(self) -> None:
        """See that losses and weights are those of one process."""
        reference = nets.mlp(0.25)
        losses = nets.plain(reference, nets.adam, MICROBATCHES, -(-self.steps // 3))
        assert self.steps % 3 == 0
        assert self.run.losses.step.tolist() == list(range(self.steps))
        assert self.run.losses.loss.tolist() == losses
        assert nets.same(self.model, reference)


def kinds(run: TrainRun) -> list[str]:
    """Return what happened, but for checkpoints."""
    return [kind for kind in run.incidents.kind if kind != "checkpoint"]
