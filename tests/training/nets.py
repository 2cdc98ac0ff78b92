"""Small models, their plans by hand, and plain torch loops to compare with."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from workbench.training import stage
from workbench.training.cluster import Cluster
from workbench.training.graph import Node, Profile
from workbench.training.plan import PipelinePlan, Stage

SAMPLES, BATCH, SEED = 44, 16, 3  # the last batch of an epoch has 12 samples

Make = Callable[[Any], torch.optim.Optimizer]


def plan_of(*stages: Sequence[str], replicas: Sequence[int] | None = None) -> PipelinePlan:
    """Return a plan with these nodes in its stages."""
    counts = list(replicas or [1] * len(stages))
    made, rank = [], 0
    for index, (names, count) in enumerate(zip(stages, counts, strict=True)):
        ranks = tuple(range(rank, rank + count))
        made.append(Stage(index, tuple(names), count, (count,), ranks, *[1.0] * 7, 1, 1))
        rank += count
    profile = Profile(tuple(Node(name, name, 1.0, 1.0, (1.0,), 1.0) for names in stages for name in names), ())
    config = "-".join(str(count) for count in counts)
    return PipelinePlan(tuple(made), config, *[1.0] * 7, rank, 1, Cluster([rank], [1e9]), profile)


def cut_after(model: nn.Sequential, *places: int, replicas: Sequence[int] | None = None) -> PipelinePlan:
    """Return a plan that cuts a Sequential after these modules."""
    edges = [0, *places, len(model)]
    return plan_of(
        *([f"_{index}" for index in range(low, high)] for low, high in itertools.pairwise(edges)),
        replicas=replicas,
    )


def mlp(dropout: float = 0.0, norm: bool = True) -> nn.Sequential:
    """Return eight modules, of which one writes in place; always with the same weights."""
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Linear(10, 16), nn.ReLU(inplace=True), nn.Dropout(dropout), nn.Linear(16, 12),
        nn.BatchNorm1d(12) if norm else nn.Identity(), nn.ReLU(inplace=True), nn.Dropout(dropout), nn.Linear(12, 4),
    )  # fmt: skip


def samples(count: int = SAMPLES) -> tuple[torch.Tensor, torch.Tensor]:
    """Return inputs and classes."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, 10, generator=generator), torch.randint(0, 4, (count,), generator=generator)


def momentum(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=1e-3)


def adam(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, lr=0.01)


def batches_of(
    x: torch.Tensor, y: torch.Tensor, epochs: int, seed: int = SEED, batch: int = BATCH
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return the batches of a run, in order."""
    found = []
    for epoch in range(epochs):
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed + epoch))
        found += [(x[part], y[part]) for part in order.split(batch)]
    return found


def pieces(batch: torch.Tensor, count: int) -> list[torch.Tensor]:
    """Return the microbatches of a batch, each in its own memory.

    A microbatch is copied together, not a view: products may differ in the last bit where their factors begin at other
    addresses modulo 64, as MKL's do on some processors.
    """
    return [piece.clone() for piece in batch.chunk(count)]


class Seeded:
    """Seeds the random layers of a Sequential as a run does, so that plain torch draws the same masks."""

    def __init__(self, model: nn.Module, seed: int = SEED) -> None:
        self.place, self.seed = (0, 0), seed
        for index, module in enumerate(model.children()):
            if isinstance(module, nn.Dropout):
                module.register_forward_pre_hook(self._hook(f"_{index}"))

    def _hook(self, node: str) -> Any:
        def seed(module: nn.Module, arguments: Any) -> None:
            torch.manual_seed(stage.seed_of(self.seed, *self.place, node))

        return seed


def plain(
    model: nn.Module, make: Make, microbatches: int, epochs: int = 2, loss: Any = nn.functional.cross_entropy
) -> list[float]:
    """Train in this process, and return the loss of each batch."""
    optimizer, seeded, losses = make(model.parameters()), Seeded(model), []
    for number, (x, y) in enumerate(batches_of(*samples(), epochs)):
        optimizer.zero_grad()
        total = 0.0
        for piece, (inputs, target) in enumerate(zip(pieces(x, microbatches), pieces(y, microbatches), strict=True)):
            seeded.place = number, piece
            value = loss(model(inputs), target) * (len(inputs) / len(x))
            value.backward()
            total += value.item()
        optimizer.step()
        losses.append(total)
    return losses


def delayed(
    model: nn.Sequential, make: Make, places: Sequence[int], version: Callable[[int, int], int], rounds: Sequence[int]
) -> list[float]:
    """Train one microbatch after the other with gradients of older weights, stage by stage.

    Parameters
    ----------
    places : sequence of int
        Where the Sequential is cut.
    version : callable
        (stage, microbatch) -> weights that it sees, counted in updates since the last drained pipe.
    rounds : sequence of int
        Microbatches between two drained pipes.

    Returns
    -------
    list of float
        The loss of each batch.
    """
    edges = [0, *places, len(model)]
    parts = [model[low:high] for low, high in itertools.pairwise(edges)]
    optimizers = [make(part.parameters()) for part in parts]
    losses, data = [], batches_of(*samples(), 2)
    for count in rounds:
        kept = [[_weights(part)] for part in parts]
        for number in range(count):
            x, y = data[len(losses)]
            seen = [versions[version(index, number)] for index, versions in enumerate(kept)]
            value = x
            for part, weights in zip(parts, seen, strict=True):
                value = torch.func.functional_call(part, weights, (value,))
            loss = nn.functional.cross_entropy(value, y)
            loss.backward()
            losses.append(loss.item())
            for part, weights, optimizer, versions in zip(parts, seen, optimizers, kept, strict=True):
                for name, parameter in part.named_parameters():
                    parameter.grad, weights[name].grad = weights[name].grad, None
                optimizer.step()
                versions.append(_weights(part))
    return losses


def _weights(part: nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone().requires_grad_() for name, parameter in part.named_parameters()}


def same(model: nn.Module, other: nn.Module) -> bool:
    """Whether two models have the same weights and buffers, bit by bit."""
    mine, theirs = model.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)
