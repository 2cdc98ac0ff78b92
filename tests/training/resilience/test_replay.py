"""A run that loses a worker, and the simulator's replay of it: the same events and operations in the same order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from benchmarks import training_replay as replay
from workbench.engine import session

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
