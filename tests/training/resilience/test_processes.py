"""Real workers that are killed, stopped, cut off and told to go."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

import workbench as wb
from tests.training import nets
from workbench.engine import session

loss = nn.functional.cross_entropy
EPOCHS = 10
pytestmark = pytest.mark.timeout(900)  # with workers that are replaced on a loaded machine


@pytest.fixture
def four() -> Iterator[Any]:
    """Four local workers, of which the test may leave fewer."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with session.local_workers(4) as client:
        yield client
        client.wait_for_workers(4, timeout=240)  # a session is not closed while a worker is being replaced
    torch.set_num_threads(threads)


def trained(chaos: str, **options: Any) -> tuple[Any, Any]:
    """Train with chaos, compare with one process, and return the run and its incidents but checkpoints."""
    model, reference = nets.mlp(0.25), nets.mlp(0.25)
    options = {"schedule": "1f1b", "microbatches": 4, "resilience": "redundant", **options}
    run = wb.training.train(
        model, nets.samples(), loss, nets.momentum, plan=nets.cut_after(model, 2, 4, 6), batch_size=nets.BATCH,
        epochs=EPOCHS, seed=nets.SEED, chaos=chaos, **options,
    )  # fmt: skip
    run.result(timeout=300)
    assert run.losses.loss.tolist() == nets.plain(reference, nets.momentum, 4, epochs=EPOCHS)
    assert nets.same(model, reference)
    assert run.losses.step.tolist() == list(range(3 * EPOCHS))
    return run, run.incidents[run.incidents.kind != "checkpoint"]


@pytest.mark.slow
def test_a_killed_worker_is_made_up_for_by_its_neighbour(four: Any) -> None:
    pids = dict(four.run(os.getpid))
    run, incidents = trained("kill=2@step3")
    assert incidents.kind.tolist() == ["lost", "failover"] and incidents.worker.tolist() == [2, 2]
    row = incidents.iloc[1]
    assert row.message.startswith(f"worker 2 (stage 2) lost at step {row.step}; worker 1 has its copy; resumed in ")
    assert "1 step replayed, nothing lost." in row.message and row.replayed_steps == 1
    assert 0 < row.pause_seconds < run.seconds
    kept = [pid for pid in pids.values() if os.path.exists(f"/proc/{pid}")]
    assert len(kept) == 3  # the others went on


@pytest.mark.slow
@pytest.mark.parametrize(
    ("chaos", "redundancy"),
    [("kill=0@step2,kill=2@step2", "lazy"), ("kill=3@step4", "eager"), ("kill=1@step1,kill=3@step7", "eager")],
)
def test_killed_workers(four: Any, chaos: str, redundancy: str) -> None:
    _, incidents = trained(chaos, redundancy=redundancy)
    assert (incidents.kind == "failover").sum() == chaos.count("kill")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["stall", "cut"])
def test_silent_workers_are_cut_off(four: Any, kind: str) -> None:
    _, incidents = trained(f"{kind}=2@step3")
    assert incidents.kind.tolist() == ["stall", "lost", "failover"]
    stopped = [pid for pid in four.run(os.getpid).values() if _state(pid) == "T"]
    assert not stopped  # what was stalled goes on when the run is over


@pytest.mark.slow
def test_a_notice_hands_over_without_replay(four: Any) -> None:
    pid = dict(four.run(os.getpid))
    run, incidents = trained("notice=1@step3")
    assert incidents.kind.tolist() == ["notice", "notice"] and incidents.replayed_steps.sum() == 0
    forwards = run.timeline[run.timeline.op == "forward"]
    assert len(forwards) == len(forwards.drop_duplicates(["stage", "microbatch"]))
    until = time.monotonic() + 240
    while sum(os.path.exists(f"/proc/{one}") for one in pid.values()) > 3:  # now it went
        assert time.monotonic() < until
        time.sleep(0.05)


def _state(pid: int) -> str:
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]
