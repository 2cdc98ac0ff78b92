"""Ranks end at any operation; what is trained is what an undisturbed run trains, bit by bit, each update once."""

from __future__ import annotations

import functools
import random
import re
from typing import Any

import pytest
import torch

from tests.training import nets
from tests.training.resilience.inprocess import Kill, train
from workbench.training import errors, listening

STEPS = 6
PLAN = (2, 4, 6)


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@functools.cache
def expected(microbatches: int, dropout: float, adam: bool = False) -> tuple[list[float], Any]:
    model = nets.mlp(dropout)
    make = nets.adam if adam else nets.momentum
    return nets.plain(model, make, microbatches, epochs=STEPS // 3), model


def check(kills: list[Kill], schedule: str = "1f1b", redundancy: str = "lazy", **options: Any) -> Any:
    model = nets.mlp(0.25)
    found = train(
        model, nets.momentum, nets.cut_after(model, *PLAN), schedule, STEPS, redundancy=redundancy, kills=kills,
        **options,
    )  # fmt: skip
    losses, reference = expected(4, 0.25)
    assert found.losses == losses
    assert nets.same(model, reference)
    assert found.updates == dict.fromkeys(range(4), STEPS)
    assert found.run.losses.step.tolist() == list(range(STEPS))
    return found


@pytest.mark.parametrize("redundancy", ["lazy", "eager"])
@pytest.mark.parametrize("schedule", ["1f1b", "gpipe"])
def test_copies_change_nothing(schedule: str, redundancy: str) -> None:
    assert check([], schedule, redundancy).run.incidents.empty


def test_the_neighbour_takes_over() -> None:
    found = check([Kill(2, 60)])
    incidents = found.run.incidents
    assert incidents.kind.tolist() == ["lost", "failover"] and incidents.worker.tolist() == [2, 2]
    row = incidents.iloc[1]
    assert row.replayed_steps <= 1 and row.lost_steps == row.lost_samples == 0 and row.pause_seconds > 0
    assert row.message.startswith(f"worker 2 (stage 2) lost at step {row.step}; worker 1 has its copy; resumed in ")
    assert row.message.endswith("nothing lost. Steps are 2.0x slower until a worker joins.")
    assert set(found.run.losses.generation) == {0, 1}
    assert "rebuild" in set(found.run.timeline.op)


def kills_of(generator: random.Random) -> list[Kill]:
    """Return one or two ranks that are no neighbours, and where they end."""
    ranks = generator.choice([[0], [1], [2], [3], [0, 2], [1, 3]])
    return [
        Kill(rank, join=generator.choice([0, 1])) if generator.random() < 0.1
        else Kill(rank, generator.randrange(26 * STEPS), generator.random() < 0.5)
        for rank in ranks
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(30))
def test_random_kills(seed: int) -> None:
    generator = random.Random(seed)
    kills = kills_of(generator)
    schedule, redundancy = generator.choice(["1f1b", "gpipe"]), generator.choice(["lazy", "eager"])
    check(kills, schedule, redundancy, noticed=generator.choice([0.0, 0.02]))


KINDS = (
    "load", "recv_act", "forward", "send_act", "recv_grad", "backward", "send_grad", "step", "send_replica",
    "recv_replica", "frc", "commit",
)  # fmt: skip


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_loss_at_any_operation(kind: str, after: bool) -> None:
    """Around each kind of operation; after the step is between update and commit."""
    ranks = [0, 3] if kind in ("load", "step", "commit") else [3] if kind in ("recv_act", "send_grad") else [0]
    if kind == "frc":
        ranks = [1]
    for rank in ranks:
        number = 5 if kind not in ("step", "commit", "send_replica", "recv_replica") else 3
        found = check([Kill(rank, number, after, kind=kind)], redundancy="eager" if kind == "frc" else "lazy")
        assert found.run.incidents.kind.tolist() == ["lost", "failover"]
        assert found.run.incidents.worker.tolist() == [rank, rank]


@pytest.mark.parametrize("_again", range(8))  # it takes a neighbour that was one forward ahead, and not two
def test_a_forward_that_was_ahead_does_not_write_to_what_others_wait_for(_again: int) -> None:
    check([Kill(0, 37, True), Kill(2, 34, True)], redundancy="eager")


@pytest.mark.parametrize("how", ["stall", "cut"])
@pytest.mark.parametrize("rank", [0, 2, 3])
def test_who_is_silent_is_cut_off(monkeypatch: pytest.MonkeyPatch, how: str, rank: int) -> None:
    monkeypatch.setattr(listening, "LOOK", 0.02)
    monkeypatch.setattr(listening, "SILENT", 0.2)
    found = check([Kill(rank, 60, how=how)])
    incidents = found.run.incidents
    assert incidents.kind.tolist() == ["stall", "lost", "failover"] and set(incidents.worker) == {rank}
    assert incidents.message.iloc[0].startswith(f"worker {rank} has been silent for ")


def test_who_never_comes_to_an_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "LOOK", 0.05)
    monkeypatch.setattr(listening, "STALLED", 2.0)
    with pytest.warns(errors.PeerStalled) as caught:
        found = check([Kill(2, 6, kind="backward", how="hang")])
    assert len(caught) == 1
    message = str(caught[0].message)
    assert re.match(
        r"no message from stage 2 for [\d.]+ s; its worker is alive \(heartbeat [\d.]+ m?s ago\)\.\n"
        r"Its stack is in run\.incidents\.$", message,
    ), message  # fmt: skip
    incidents = found.run.incidents
    assert incidents.kind.tolist() == ["stall", "lost", "failover"] and incidents.worker.tolist() == [2, 2, 2]
    assert "It is at the backward of worker 2: " in incidents.message[0] and "(inprocess.py:" in incidents.message[0]


def test_silent_and_killed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "LOOK", 0.02)
    monkeypatch.setattr(listening, "SILENT", 0.2)
    found = check([Kill(0, 70, how="stall"), Kill(2, 90)])
    assert sorted(found.run.incidents.worker[found.run.incidents.kind == "failover"]) == [0, 2]


def undisturbed(schedule: str, plan: Any, norm: bool, **options: Any) -> Any:
    model = nets.mlp(0.25, norm)
    return train(model, nets.momentum, plan, schedule, STEPS, redundancy=None, resilience="none", **options)


@pytest.mark.parametrize("schedule", ["pipedream", "2bw"])
@pytest.mark.parametrize("seed", range(6))
def test_schedules_that_keep_the_pipe_full_replay_from_where_it_drained(schedule: str, seed: int) -> None:
    generator = random.Random(seed)
    micro, flush = (1, 4) if schedule == "pipedream" else (4, 3)
    plan = nets.cut_after(nets.mlp(), *PLAN)
    whole = undisturbed(schedule, plan, True, microbatches=micro, flush=flush)
    model = nets.mlp(0.25)
    kills = [
        Kill(rank, generator.randrange(12 * STEPS * micro // 2))
        for rank in generator.choice([[0], [1], [2], [3], [1, 3]])
    ]
    found = train(
        model, nets.momentum, plan, schedule, STEPS, microbatches=micro, flush=flush, kills=kills,
        noticed=generator.choice([0.0, 0.02]),
    )  # fmt: skip
    assert found.losses == whole.losses and nets.same(model, whole.model)
    assert found.updates == whole.updates == dict.fromkeys(range(4), STEPS)
    assert found.run.incidents.replayed_steps.max() <= flush


@pytest.mark.parametrize("replicas", [(2, 1), (1, 2), (2, 2), (3,)])
@pytest.mark.parametrize("seed", range(3))
def test_grids_lose_a_replica(replicas: tuple[int, ...], seed: int) -> None:
    """Each replica's buffers go on where it was; the model has those of the first in the end."""
    generator = random.Random(seed)
    schedule = "1f1b" if len(replicas) > 1 else "ddp"
    plan = nets.cut_after(nets.mlp(), *((3,) if len(replicas) > 1 else ()), replicas=replicas)
    whole = undisturbed(schedule, plan, True, microbatches=4)
    model = nets.mlp(0.25)
    rank = seed % sum(replicas)  # the first one too
    found = train(
        model, nets.momentum, plan, schedule, STEPS, kills=[Kill(rank, generator.randrange(40))],
        noticed=generator.choice([0.0, 0.02]),
    )  # fmt: skip
    assert found.losses == pytest.approx(whole.losses, abs=1e-6)
    theirs = whole.model.state_dict()
    for name, tensor in model.state_dict().items():
        assert torch.allclose(tensor, theirs[name], atol=1e-6), name
    assert found.updates == dict.fromkeys(range(len(replicas)), STEPS)
    assert found.run.incidents.kind.tolist() == ["lost", "failover"]


def test_a_loss_while_others_recover_is_dealt_with_together() -> None:
    found = check([Kill(1, 70), Kill(3, join=1)])
    incidents = found.run.incidents
    assert sorted(incidents[incidents.kind == "failover"].worker) == [1, 3]


@pytest.mark.parametrize(
    "kills", [[Kill(1, 70), Kill(2, 75)], [Kill(2, 60), Kill(1, 130)], [Kill(3, 50), Kill(0, join=1)]]
)
def test_neighbours_are_lost_for_good_without_a_checkpoint(kills: list[Kill]) -> None:
    with pytest.raises(errors.ReplicaLost, match="lost: no copy of stage") as caught:
        check(kills)
    assert caught.value.hint == "There is no checkpoint to go back to; use --checkpoint 60s."


def test_a_run_without_copies_ends() -> None:
    model = nets.mlp(0.25)
    with pytest.raises(errors.WorkerLost, match=r"worker 2 \(stage 2\) lost at step \d; this run keeps no copies\."):
        train(
            model, nets.momentum, nets.cut_after(model, *PLAN), "1f1b", STEPS, redundancy=None, resilience="none",
            kills=[Kill(2, 60)],
        )  # fmt: skip


@pytest.mark.parametrize("rank", range(4))
def test_a_notice_hands_over_without_replay(rank: int) -> None:
    def notice(driver: Any, crew: Any) -> None:
        crew.inbox.put({"kind": "notice", "rank": rank, "generation": 0})

    found = check([], during=notice)
    assert found.run.incidents.kind.tolist() == ["notice", "notice"]
    assert found.run.incidents.replayed_steps.tolist() == [0, 0]
    told, row = found.run.incidents.message.iloc[0], found.run.incidents.iloc[1]
    assert told == f"worker {rank} (stage {rank}) will go; its work is handed over at the next commit."
    begun = (
        f"worker {rank} (stage {rank}) will go; its work was handed over at step {row.step} to worker {(rank - 1) % 4},"
    )
    assert row.message.startswith(begun) and "nothing replayed, nothing lost." in row.message
    timeline = found.run.timeline
    forwards = timeline[timeline.op == "forward"]
    assert len(forwards) == len(forwards.drop_duplicates(["stage", "microbatch"]))  # none was run twice
