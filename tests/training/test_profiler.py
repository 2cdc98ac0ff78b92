"""The profiler on modules of every kind: what is measured, what is left as it was, and what cannot be traced."""

from __future__ import annotations

import copy
import inspect
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from workbench.training import Cluster, NotPipelinableError, Profile, TrainingError, partition, profile, read_profile
from workbench.training.tracing import trace


@pytest.fixture(autouse=True)
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.engine import store

    kept = store.Store(tmp_path / "store")
    monkeypatch.setattr(store, "store", lambda: kept)


class Branching(nn.Module):
    """In place, in functions, in methods, with a skip, a parameter of its own, a shared one, tuples and sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.relu = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True)
        self.drop = nn.Dropout(0.2)
        self.wide = nn.Linear(4 * 64, 16)
        self.first, self.second = nn.Linear(16, 16), nn.Linear(16, 16)
        self.second.weight = self.first.weight
        self.scale = nn.Parameter(torch.ones(16))
        self.lstm = nn.LSTM(16, 8, batch_first=True)

    def forward(self, x: torch.Tensor, twice: bool = False) -> torch.Tensor:
        if twice:
            x = x * 2
        y = self.drop(self.relu(self.norm(self.conv(x))) + 1)
        z = self.wide(y.view(x.size(0), -1))
        z = self.second(torch.relu(self.first(z))) + z * self.scale
        out, _ = self.lstm(z[:, None, :])
        return out[:, 0]


def quick(model: nn.Module, batch: Any, **options: Any) -> Profile:
    return profile(model, batch, repeats=2, warmup=0, **options)


def test_nodes_bytes_and_edges() -> None:
    x, y = torch.randn(5, 3, 8, 8), torch.randint(0, 8, (5,))
    found = quick(Branching(), (x, y), loss=F.cross_entropy)
    nodes = {node.id: node for node in found.nodes}
    assert found.batch_size == 5 and found.nodes[0].description == "Input0"
    assert nodes["x"].activation_bytes == (5 * 3 * 64 * 4.0,) and nodes["x"].forward_ms == 0
    assert nodes["conv"].activation_bytes == (5 * 4 * 64 * 4.0,)
    assert nodes["conv"].description.startswith("Conv2d(3, 4, kernel_size=(3, 3)")
    assert nodes["conv"].parameter_bytes == 4 * (4 * 3 * 9 + 4) and nodes["norm"].parameter_bytes == 4 * 8
    # what is shared counts where it is used first, and holds both in one stage
    assert nodes["first"].parameter_bytes == 4 * (256 + 16) and nodes["second"].parameter_bytes == 4 * 16
    assert nodes["second"].description.endswith(" [shares parameters with first]")
    assert nodes["mul"].parameter_bytes == 4 * 16
    assert nodes["view"].description == "view [stays with size]" and nodes["size"].activation_bytes == ()
    assert nodes["lstm"].activation_bytes == (5 * 8 * 4.0,) * 3
    assert nodes["getitem_1"].description == "__getitem__(0)"
    assert {("x", "conv"), ("x", "size"), ("size", "view"), ("wide", "mul"), ("mul", "add_1")} <= set(found.edges)
    assert sum(node.parameter_bytes for node in found.nodes) == sum(
        4 * parameter.numel() for parameter in Branching().parameters()
    )
    assert all(node.forward_ms > 0 for node in found.nodes if node.id != "x")
    made = [name for name in ("conv", "norm", "relu", "wide", "first", "mul", "lstm") if nodes[name].backward_ms <= 0]
    assert not made
    for parts in range(2, 5):
        plan = partition(found, Cluster([parts], ["1gbit"]), straight=True)
        assert {plan.stages[k].index for k in range(parts) if {"first", "second"} & set(plan.stages[k].nodes)} == {
            next(stage.index for stage in plan.stages if "first" in stage.nodes)
        }


def test_the_model_is_left_as_it_was() -> None:
    model = Branching()
    model.conv.weight.grad = torch.full_like(model.conv.weight, 3.0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    generator = torch.random.get_rng_state()
    x = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    quick(model, x)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(model.conv.weight.grad, torch.full_like(model.conv.weight, 3.0))
    assert all(parameter.grad is None for name, parameter in model.named_parameters() if name != "conv.weight")
    assert torch.equal(torch.random.get_rng_state(), generator)
    assert [module.training for module in model.modules()] == modes
    assert not any(module._forward_hooks or module._backward_hooks for module in model.modules())


class Slow(torch.autograd.Function):
    """Sleeps for 20 ms forward and 40 ms backward."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        time.sleep(0.02)
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        time.sleep(0.04)
        return gradient


class Sleeper(nn.Module):
    pipeline_leaf = True

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return Slow.apply(x)


def test_time_is_told_where_it_is_taken() -> None:
    model = nn.Sequential(nn.Linear(4, 4), Sleeper(), nn.ReLU(inplace=True), nn.Linear(4, 4))
    found = profile(model, torch.randn(2, 4), repeats=3, warmup=1)
    times = {node.description.split("(")[0]: (node.forward_ms, node.backward_ms) for node in found.nodes}
    forward, backward = times.pop("Sleeper")
    assert forward >= 20 and backward >= 40
    # the others do next to nothing; the bound leaves room for a machine with other work
    assert sum(sum(pair) for pair in times.values()) < forward + backward


def test_inputs_of_every_kind() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.head = nn.Embedding(10, 4), nn.Linear(4, 2)

        def forward(self, tokens: torch.Tensor, weights: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"logits": self.head((self.embed(tokens) * weights[..., None]).sum(1))}

    tokens, weights = torch.randint(0, 10, (3, 5)), torch.rand(3, 5)
    found = quick(Two(), ((tokens, weights), torch.zeros(3, 2)), loss=lambda out, y: F.mse_loss(out["logits"], y))
    assert [node.description for node in found.nodes[:2]] == ["Input0", "Input1"] and found.batch_size == 3
    assert quick(Two(), ((tokens, weights),)).edges == found.edges
    assert quick(nn.Sequential(nn.Linear(3, 2)), torch.ones(4, 3).numpy()).batch_size == 4


def test_a_profile_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from workbench.training import profiler

    counted = []
    measured = profiler._measured
    monkeypatch.setattr(profiler, "_measured", lambda *values: counted.append(1) or measured(*values))
    model, x = nn.Sequential(nn.Linear(4, 4), nn.ReLU()), torch.randn(2, 4)
    first = quick(model, x)
    assert quick(copy.deepcopy(model), torch.randn(2, 4)) == first and len(counted) == 1
    for other, batch in ((model, torch.randn(3, 4)), (nn.Sequential(nn.Linear(4, 4), nn.Tanh()), x)):
        quick(other, batch)
    assert len(counted) == 3
    first.write(tmp_path / "net.graph.txt")
    again = read_profile(tmp_path / "net.graph.txt")
    assert [node.id for node in again.nodes] == [node.id for node in first.nodes] and again.edges == first.edges


class OnData(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.sum() > 0:
            return self.layer(x)
        return x


class OverRows(OnData):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([self.layer(row) for row in x])


def test_what_cannot_be_traced_is_named_by_its_line() -> None:
    line = inspect.getsourcelines(OnData.forward)[1] + 1
    with pytest.raises(NotPipelinableError) as caught:
        profile(OnData(), torch.ones(2, 3))
    assert caught.value.lines() == [
        f'{__file__}:{line}: "if x.sum() > 0:" depends on data.',
        "Move the branch into one submodule, or mark it a leaf.",
    ]
    with pytest.raises(NotPipelinableError, match="for row in x"):
        profile(OverRows(), torch.ones(2, 3))
    leaf = OnData()
    leaf.pipeline_leaf = True  # type: ignore[assignment]
    found = quick(nn.Sequential(nn.Linear(3, 3), leaf), torch.ones(2, 3))
    assert [node.id for node in found.nodes][1:] == ["_0", "_1"]


def test_arguments_with_values_are_fixed() -> None:
    graph = trace(Branching())
    assert [node.name for node in graph.nodes if node.op == "placeholder"] == ["x"]
    assert not any("assert" in node.name for node in graph.nodes)
    graph.lint()


def test_arguments_that_are_none() -> None:
    model, x = nn.Sequential(nn.Linear(3, 1)), torch.ones(2, 3)
    with pytest.raises(TrainingError, match="as the loss needs a target"):
        profile(model, x, loss=F.mse_loss)
    with pytest.raises(TrainingError, match="repeats is a whole number from 1 on"):
        profile(model, x, repeats=0)
    with pytest.raises(TrainingError, match=r"torch\.nn\.Module, not function"):
        profile(lambda x: x, x)  # type: ignore[arg-type, return-value]
    with pytest.raises(TrainingError, match="no single number"):
        quick(nn.Sequential(nn.ReLU()), x)
    with pytest.raises(TrainingError, match="no single number"):
        quick(model, (x, x), loss=lambda out, y: out)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu() -> None:
    found = quick(nn.Sequential(nn.Linear(4, 4), nn.ReLU()), torch.randn(2, 4), device="cuda")
    assert all(node.forward_ms > 0 and node.backward_ms > 0 for node in found.nodes[1:])
