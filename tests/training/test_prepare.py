"""What is profiled before a plan is made."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import workbench.training
from tests.training import nets
from workbench.training import Cluster, StageMemoryError, prepare, programs
from workbench.training.data import source_of


@pytest.mark.parametrize(
    ("microbatches", "samples"),
    [(None, {"gpipe": 4, "1f1b": 4, "2bw": 4, "pipedream": 16, "ddp": 8}), (2, dict.fromkeys(programs.SCHEDULES, 8))],
    ids=["own", "given"],
)
def test_auto_compares_schedules_with_the_microbatches_that_they_will_have(
    microbatches: int | None, samples: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    found: dict[str, Any] = {}
    auto = workbench.training.auto

    def told(profile: Any, cluster: Cluster, *, schedules: list[str], **options: Any) -> Any:
        choice = auto(profile, cluster, schedules=schedules, **options)
        found.update((name, (profile.batch_size, choice)) for name in schedules)
        return choice

    monkeypatch.setattr(workbench.training, "auto", told)
    source = source_of((torch.randn(64, 10), torch.randint(0, 4, (64,))), 16)[0]
    plan, schedule = prepare._made(
        nets.mlp(), source, 16, torch.nn.functional.cross_entropy, Cluster([2], [1e9]), 2, "auto", microbatches, 0,
        None, None,
    )  # fmt: skip
    assert {name: size for name, (size, _) in found.items()} == samples
    best = max((choice for _, choice in found.values()), key=lambda choice: choice.simulation.throughput)
    assert (plan, schedule) == (best.plan, best.schedule)


def test_auto_leaves_out_what_does_not_fit() -> None:
    source = source_of((torch.randn(64, 10), torch.randint(0, 4, (64,))), 16)[0]

    def made(memory: float) -> Any:
        return prepare._made(
            nets.mlp(), source, 16, torch.nn.functional.cross_entropy, Cluster([2], [1e9], memory), 2, "auto", None, 0,
            None, None,
        )  # fmt: skip

    with pytest.raises(StageMemoryError):
        made(100)
    # pipedream, with its one large microbatch, needs 9 kB
    plan, schedule = made(6000)
    assert schedule == "1f1b"
    assert max(stage.memory_bytes for stage in plan.stages) <= 6000
