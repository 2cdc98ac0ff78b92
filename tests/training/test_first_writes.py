"""An optimizer's first write to a tensor goes to new storage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from workbench.training import first_writes
from workbench.training.first_writes import FirstWrites, redirects
from workbench.training.optimizers import recipe_of
from workbench.training.stage import StageSpec, Tree
from workbench.training.state import StageState


def test_the_first_write_leaves_the_old_storage() -> None:
    first, second, third = torch.ones(3), torch.ones(3), torch.ones(3)
    old = [tensor.data for tensor in (first, second, third)]
    with FirstWrites([first, second, third]) as mode:
        first.mul_(2).add_(1)
        place = first.data_ptr()
        first.add_(1)
        torch.add(first, 1, out=second)  # has no form without the argument that it writes to
        assert first.data_ptr() == place
        assert mode.waits_for(third) and not mode.waits_for(first) and not mode.waits_for(second)
    assert first.tolist() == [4.0] * 3 and second.tolist() == [5.0] * 3
    assert all(tensor.tolist() == [1.0] * 3 for tensor in old)
    assert third.data_ptr() == old[2].data_ptr()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"momentum": 0.9},
        {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
        {"momentum": 0.8, "dampening": 0.3, "maximize": True},
    ],
)
def test_updates_are_those_of_an_optimizer_alone(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_writes, "LARGE", 1)
    ours, plain = _state(options), _tree()
    theirs = torch.optim.SGD(plain.parameters(), lr=0.1, **options)
    assert redirects(ours.optimizer)
    kept: list[tuple[Any, Any]] = []
    for step in range(6):
        for name, parameter in plain.named_parameters():
            parameter.grad = torch.full_like(parameter, 0.1 * (step + 1)) if (name, step) != ("one.weight", 3) else None
        ours.gradients = {
            name: parameter.grad.clone() for name, parameter in plain.named_parameters() if parameter.grad is not None
        }
        ours.update()
        theirs.step()
        if step % 2 == 0:  # between commits, what the last one has is not written to either
            ours.snapshot(step)
            snapshot = ours.snapshots[step]
            kept.append((snapshot, _copied(snapshot)))
        for (name, mine), other in zip(ours.parameters.items(), plain.parameters(), strict=True):
            assert torch.equal(mine, other), name
            mine_kept, other_kept = ours.optimizer.state[mine], theirs.state[other]
            buffers = [state.get("momentum_buffer") for state in (mine_kept, other_kept)]
            assert buffers[0] is buffers[1] is None or torch.equal(*buffers)
        assert all(_copied(snapshot) == copy for snapshot, copy in kept)


@pytest.mark.parametrize(
    "make",
    [
        lambda parameters: torch.optim.Adam(parameters),
        lambda parameters: torch.optim.SGD(parameters, lr=0.1, foreach=True),
        lambda parameters: torch.optim.SGD(parameters, lr=0.1, fused=True),
    ],
)
def test_others_get_copies(make: Callable[[Any], torch.optim.Optimizer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_writes, "LARGE", 1)
    assert not redirects(make(_tree().parameters()))


def test_small_tensors_get_copies() -> None:
    assert not redirects(torch.optim.SGD(_tree().parameters(), lr=0.1))


def _tree() -> Tree:
    torch.manual_seed(0)
    tree = Tree()
    tree.add_module("one", torch.nn.Linear(3, 5))
    tree.add_module("two", torch.nn.Linear(5, 2))
    return tree


def _state(options: dict[str, Any]) -> StageState:
    tree = _tree()
    optimizer = torch.optim.SGD(tree.parameters(), lr=0.1, **options)
    return StageState(StageSpec(0, 0, (), (), (), (), None, tree, False), 0, 1, recipe_of(optimizer, tree))


def _copied(snapshot: Any) -> Any:
    def plain(kept: Any) -> Any:
        return kept.tolist() if isinstance(kept, torch.Tensor) else kept

    weights = {name: plain(weight) for name, weight in snapshot.weights.items()}
    return weights, {
        name: {field: plain(value) for field, value in state.items()} for name, state in snapshot.optimizer.items()
    }
