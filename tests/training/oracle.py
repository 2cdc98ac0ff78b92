"""One stage of `torch.distributed.pipelining` in a process of its own: what our gradients are compared with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import distributed, nn

from tests.training import nets

BATCHES = 2


class Keeps(torch.optim.SGD):  # type: ignore[misc]
    """SGD with momentum that keeps the gradients of every step it makes."""

    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                state = self.state[parameter]
                number = int(state.get("steps", 0))
                state |= {f"gradient{number}": parameter.grad.clone(), "steps": number + 1}
        super().step(closure)


def keeps(parameters: Any) -> Keeps:
    return Keeps(parameters, lr=0.1, momentum=0.9)


def gradients_of(state: dict[str, Any]) -> list[torch.Tensor]:
    """Return the gradients that an optimizer has kept for a parameter, in the order of the steps."""
    return [state[f"gradient{number}"] for number in range(state["steps"])]


def run(rank: int, stages: int, edges: tuple[int, ...], cases: list[tuple[str, int]], folder: Path) -> None:
    """Train a stage of `nets.mlp()` by each schedule and number of microbatches; write what became of it.

    The file of a rank holds for each case: name of a parameter in the whole model -> its gradients, step by step.
    """
    from torch.distributed import pipelining

    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder / 'rendezvous'}", rank=rank, world_size=stages)
    loss = nn.functional.cross_entropy
    found = []
    for name, microbatches in cases:
        kind = {"gpipe": pipelining.ScheduleGPipe, "1f1b": pipelining.Schedule1F1B}[name]
        part = nets.mlp()[edges[rank] : edges[rank + 1]]
        stage = pipelining.PipelineStage(part, rank, stages, torch.device("cpu"))
        schedule = kind(stage, microbatches, loss_fn=loss)
        optimizer = keeps(part.parameters())
        for x, y in nets.batches_of(*nets.samples(32), 1)[:BATCHES]:
            optimizer.zero_grad()
            schedule.step(*([x] if rank == 0 else []), target=y if rank == stages - 1 else None)
            optimizer.step()
        # A part of a Sequential keeps the names of the whole.
        names = {parameter: name for name, parameter in part.named_parameters()}
        found.append({names[parameter]: gradients_of(state) for parameter, state in optimizer.state.items()})
    torch.save(found, folder / f"{rank}.pt")
    distributed.destroy_process_group()
