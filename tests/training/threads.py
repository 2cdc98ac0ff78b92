"""Stages as threads of this process, over gloo: the runtime without Dask."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from torch import nn

from tests.training import nets
from workbench.training import programs
from workbench.training import rank as ranks
from workbench.training.cut import cut
from workbench.training.data import Batches, Source
from workbench.training.job import Job, Report
from workbench.training.layout import Layout
from workbench.training.optimizers import recipe_of
from workbench.training.runner import Runner
from workbench.training.state import StageState
from workbench.training.tracing import trace
from workbench.training.transport import Transport


def together(count: int, work: Callable[[int], Any]) -> list[Any]:
    """Run `work(rank)` on so many threads; raise what the first of them raised."""
    found: list[Any] = [None] * count
    errors: list[BaseException] = []

    def one(rank: int) -> None:
        try:
            found[rank] = work(rank)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=one, args=(rank,)) for rank in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(240)
    if errors:
        raise errors[0]
    assert not any(thread.is_alive() for thread in threads)
    return found


def train_here(
    model: nn.Module,
    make: nets.Make,
    source: Source,
    batches: Batches,
    places: dict[str, int],
    schedule: str,
    steps: int,
    stores: Callable[[], Any],
) -> tuple[list[StageState], list[float]]:
    """Train with one thread a stage; return the stages as they are at the end, and the loss of each batch."""
    specs = cut(trace(model), model, places)
    recipe = recipe_of(make(model.parameters()), model)
    layout = Layout(tuple((rank,) for rank in range(len(specs))))
    plan: Any = type("Plan", (), {"stages": [type("Stage", (), {"ranks": ranks}) for ranks in layout.stages]})
    made = programs.program(plan, schedule, batches.microbatches)
    losses = [0.0] * steps

    def tell(report: Report) -> None:
        for batch, _, value, _ in report.losses:
            losses[batch] += value

    def work(rank: int) -> StageState:
        state = StageState(specs[rank], 0, 1, recipe)
        transport = None
        if len(specs) > 1:
            group = ranks.group_of(stores(), rank, len(specs), "127.0.0.1")
            transport = Transport(group, lambda: False)
        runner = Runner(
            Job(nn.functional.cross_entropy, batches, nets.SEED), {rank: state}, source, transport, {}, tell
        )
        for batch in range(steps):
            runner.span(made[rank], batch)
        return state

    return together(len(specs), work), losses
