"""A run that loses a worker, and the simulator's replay of it: the same events and operations in the same order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from benchmarks import training_replay as replay
from workbench.engine import session
from workbench.training.chaos import Unrest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def four() -> Iterator[Any]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with session.local_workers(replay.STAGES) as client:
        yield client
        client.wait_for_workers(replay.STAGES, timeout=600)
    torch.set_num_threads(threads)


@pytest.mark.parametrize("chaos", ["kill=2@step6", "notice=3@step6"])
def test_the_simulator_has_the_events_and_operations_of_the_run(four: Any, chaos: str) -> None:
    """At the recorded steps, as a loaded machine is at none of them when it would be if it had nothing else to do."""
    four.wait_for_workers(replay.STAGES, timeout=600)
    run = replay.record(chaos, epochs=6)
    simulation = replay.replayed(run, by="step")
    found = replay.compare(run, simulation)
    assert found.events and found.steps_apart <= 1
    assert found.operations
    assert found.across > 0.9  # of what lies clearly apart: a starved process may be late for some
    incidents = run.incidents
    victim = int(chaos[chaos.index("=") + 1])
    taken = incidents[incidents["kind"].isin(["failover", "notice"]) & (incidents["pause_seconds"] > 0)]
    assert taken["worker"].tolist() == [victim]
    assert taken["replayed_steps"].max() <= (0 if "notice" in chaos else 1)
    assert simulation.preemptions == 1 and simulation.lost_samples == 0


def test_a_worker_lost_before_newcomers_have_begun_is_lost_among_them(
    four: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As soon as the newcomer is seated: in the simulator too it is lost among those, and not while they are formed."""
    four.wait_for_workers(replay.STAGES, timeout=600)
    begin, tick, seatings = Unrest.begin, Unrest.tick, list[int]()

    def begun(self: Unrest, crew: Any, ranks: int) -> None:
        seatings.append(ranks)
        begin(self, crew, ranks)

    monkeypatch.setattr(Unrest, "begin", begun)
    monkeypatch.setattr(Unrest, "tick", lambda self, committed: tick(self, 900 if len(seatings) > 1 else committed))
    run = replay.record("kill=1@step6,kill=3@step900", epochs=20)
    kinds = [kind for kind in run.incidents["kind"] if kind != "checkpoint"]
    assert kinds[:6] == ["lost", "failover", "join", "reconfigure", "lost", "failover"]
    incidents = run.incidents
    joined = incidents[incidents["kind"] == "reconfigure"].iloc[0]  # the next one makes up for the second loss
    taken = incidents[incidents["kind"] == "failover"].iloc[1]
    assert joined["time"] - 1e-6 <= taken["time"] - taken["pause_seconds"]  # neither pause has a part of the other
    found = replay.compare(run, replay.replayed(run))
    assert found.events and found.operations
