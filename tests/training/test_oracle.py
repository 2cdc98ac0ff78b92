"""Gradients are those of `torch.distributed.pipelining`, bit by bit."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training import nets, oracle
from tests.training.threads import train_here
from workbench.training.data import Batches, source_of

pytestmark = pytest.mark.slow  # two processes that import torch

EDGES = (0, 3, 8)
#: halves, quarters and eighths of a batch scale exactly, whether the loss is scaled or the sum of the gradients
CASES = [(schedule, microbatches) for schedule in ("gpipe", "1f1b") for microbatches in (2, 4, 8)]

Gradients = dict[str, list[torch.Tensor]]


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, int], Gradients]:
    """Case -> name of a parameter -> gradients of every step, by two processes over gloo."""
    folder = tmp_path_factory.mktemp("oracle")
    spawn = multiprocessing.get_context("spawn")
    stages = len(EDGES) - 1
    processes = [spawn.Process(target=oracle.run, args=(rank, stages, EDGES, CASES, folder)) for rank in range(stages)]
    for process in processes:
        process.start()
    try:
        for process in processes:
            process.join(240)
    finally:
        for process in processes:  # one that failed leaves another waiting for it
            process.kill()
            process.join()
    assert [process.exitcode for process in processes] == [0] * stages
    parts = [torch.load(folder / f"{rank}.pt") for rank in range(stages)]
    return {
        case: {name: kept for part in parts for name, kept in part[number].items()} for number, case in enumerate(CASES)
    }


@pytest.mark.parametrize(("schedule", "microbatches"), CASES)
def test_gradients(
    schedule: str, microbatches: int, theirs: dict[tuple[str, int], Gradients], stores: Any, tmp_path: Path
) -> None:
    source, _ = source_of(nets.samples(32))
    batches = Batches(32, nets.BATCH, microbatches, seed=nets.SEED)
    model = nets.mlp()
    places = {f"_{index}": int(index >= EDGES[1]) for index in range(len(model))}
    states, _ = train_here(model, oracle.keeps, source, batches, places, schedule, oracle.BATCHES, stores)
    ours = {
        name: oracle.gradients_of(state.optimizer.state[parameter])
        for state in states
        for name, parameter in state.parameters.items()
    }
    expected = theirs[schedule, microbatches]
    assert ours.keys() == expected.keys() == dict(model.named_parameters()).keys()
    for name, gradients in expected.items():
        assert len(gradients) == len(ours[name]) == oracle.BATCHES
        assert all(torch.equal(mine, other) for mine, other in zip(ours[name], gradients, strict=True)), name
