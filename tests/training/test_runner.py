"""Programs run by threads of this process over gloo: many stages, values that skip some, changing shapes, failures."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import nn

from tests.training import nets
from tests.training.threads import together, train_here
from workbench.training import cut, programs, stage
from workbench.training import rank as ranks
from workbench.training.data import Batches, source_of
from workbench.training.job import Job
from workbench.training.optimizers import recipe_of
from workbench.training.runner import Runner
from workbench.training.state import StageState
from workbench.training.tracing import trace
from workbench.training.transport import Interrupted, PeerError, Transport

loss = nn.functional.cross_entropy


class Skips(nn.Module):  # type: ignore[misc]
    """Stage 0's values are used in stage 2, a number and a tuple cross, and a function writes in place."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.first, self.second, self.third = nn.Linear(10, 12), nn.Linear(12, 12), nn.Linear(12, 12)
        self.norm, self.last = nn.BatchNorm1d(12), nn.Linear(12, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = x.size(0)
        early = torch.tanh(self.first(x))
        left, right = torch.split(self.second(early), 6, 1)
        middle = torch.relu_(torch.cat([right, left], 1))
        late = self.norm(self.third(middle) + early) + early * middle
        return self.last(late.view(rows, 12))


def same(states: Sequence[StageState], model: nn.Module) -> bool:
    """Whether the stages together have the weights and buffers of a model, bit by bit."""
    theirs = model.state_dict()
    mine = {
        name: value for state in states for name, value in {**state.versions[state.newest], **state.buffers}.items()
    }
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in theirs)


#: where a model of eight modules is cut into so many stages
CUTS = {1: (), 2: (4,), 3: (2, 5), 4: (1, 3, 6)}


@pytest.mark.parametrize("schedule", ["gpipe", "1f1b"])
@pytest.mark.parametrize(
    ("stages", "microbatches", "make"),
    [
        (2, 8, nets.adam), (3, 1, nets.adam), (3, 5, nets.momentum), (3, 8, nets.adam), (4, 2, nets.momentum),
        (4, 8, nets.adam),
    ],
)  # fmt: skip
def test_schedules_that_flush_train_as_one_process(
    schedule: str, stages: int, microbatches: int, make: nets.Make, stores: Any
) -> None:
    model, reference = nets.mlp(0.25), nets.mlp(0.25)
    places = {f"_{index}": sum(index >= edge for edge in CUTS[stages]) for index in range(len(model))}
    source, _ = source_of(nets.samples())
    batches = Batches(nets.SAMPLES, nets.BATCH, microbatches, seed=nets.SEED)
    states, losses = train_here(model, make, source, batches, places, schedule, 6, stores)
    assert len(states) == stages
    assert losses == nets.plain(reference, make, microbatches)
    assert same(states, reference)


STAGES = {
    "first": 0,
    "tanh": 0,
    "second": 0,
    "split": 0,
    "relu_": 1,
    "third": 1,
    "add": 1,
    "mul": 2,
    "norm": 2,
    "last": 2,
}


@pytest.mark.parametrize("schedule", ["gpipe", "1f1b"])
def test_values_skip_stages(schedule: str, stores: Any) -> None:
    model, reference = Skips(), Skips()
    specs = cut.cut(trace(model), model, STAGES)
    assert "tanh" in specs[1].receives and "tanh" in specs[1].sends  # passed on by the stage between
    assert "size" in specs[1].sends
    source, _ = source_of(nets.samples())
    batches = Batches(nets.SAMPLES, nets.BATCH, 4, seed=nets.SEED)
    states, losses = train_here(model, nets.adam, source, batches, STAGES, schedule, 6, stores)
    assert losses == nets.plain(reference, nets.adam, 4)
    assert same(states, reference)


def test_batches_of_another_length_come_through(stores: Any) -> None:
    """A collate function that pads gives microbatches of one size and several lengths."""

    class Texts(torch.utils.data.Dataset):  # type: ignore[type-arg,misc]
        def __len__(self) -> int:
            return 24

        def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
            return torch.arange(1 + (7 * index) % 5) % 9, index % 4

    def collate(rows: Sequence[Any]) -> tuple[torch.Tensor, torch.Tensor]:
        return nn.utils.rnn.pad_sequence([row[0] for row in rows], True), torch.tensor([row[1] for row in rows])

    class Reader(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(1)
            self.embed, self.mix, self.last = nn.Embedding(9, 8), nn.Linear(8, 8), nn.Linear(8, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(torch.relu(self.mix(self.embed(x))).mean(1))

    data = torch.utils.data.DataLoader(Texts(), batch_size=4, collate_fn=collate)
    source, size = source_of(data)
    assert size == 4 and source.whole
    batches = Batches(24, 4, 2, shuffle=False)
    places = {"embed": 0, "mix": 1, "relu": 1, "mean": 1, "last": 1}
    model, reference = Reader(), Reader()
    states, losses = train_here(model, nets.adam, source, batches, places, "1f1b", 6, stores)
    optimizer, expected = nets.adam(reference.parameters()), []
    for x, y in data:
        optimizer.zero_grad()
        total = 0.0
        for inputs, target in zip(nets.pieces(x, 2), nets.pieces(y, 2), strict=True):
            value = loss(reference(inputs), target) * 0.5
            value.backward()
            total += value.item()
        optimizer.step()
        expected.append(total)
    assert losses == expected
    weights = {name: value for state in states for name, value in state.versions[state.newest].items()}
    assert all(torch.equal(weights[name], value) for name, value in reference.named_parameters())


def test_waiting_ends_when_the_flag_is_raised_or_the_peer_is_gone(stores: Any) -> None:
    groups = together(2, lambda rank: ranks.group_of(stores(), rank, 2, "127.0.0.1"))
    stopped = threading.Event()
    transport = Transport(groups[0], stopped.is_set)
    transport.expect(1, 0, [1])
    timer = threading.Timer(0.2, stopped.set)
    timer.start()
    with pytest.raises(Interrupted):
        transport.receive(1, 0)
    timer.join()
    groups[1] = None  # closes its sockets
    with pytest.raises(PeerError):
        Transport(groups[0], lambda: False).all_reduce(groups[0], torch.zeros(2))


def test_a_stage_goes_back_to_a_commit() -> None:
    model = nets.mlp()
    spec = cut.cut(trace(model), model, {})[0]
    source, _ = source_of(nets.samples())
    batches = Batches(nets.SAMPLES, nets.BATCH, 4, seed=nets.SEED)
    recipe = recipe_of(nets.momentum(model.parameters()), model)
    plan: Any = type("Plan", (), {"stages": [type("Stage", (), {"ranks": (0,)})]})
    ops = programs.program(plan, "1f1b", 4)[0]
    state = StageState(spec, 0, 1, recipe)
    losses: list[tuple[int, float]] = []
    runner = Runner(
        Job(loss, batches, nets.SEED), {0: state}, source, None, {},
        lambda report: losses.extend((row[0], row[2]) for row in report.losses),
    )  # fmt: skip
    for batch in range(3):
        runner.span(ops, batch)
    first = {name: value.clone() for name, value in state.versions[state.newest].items()}
    state.restore(2)
    runner.span(ops, 2)
    assert all(torch.equal(first[name], value) for name, value in state.versions[state.newest].items())
    assert losses[8:12] == losses[12:16] and state.updates == 3
    assert sorted(state.snapshots) == [2, 3]


def test_where_the_model_is_cut_does_not_change_what_is_drawn() -> None:
    seeds = {
        stage.seed_of(*place)
        for place in ((0, 0, 0, "a"), (0, 0, 0, "b"), (0, 0, 1, "a"), (0, 1, 0, "a"), (1, 0, 0, "a"))
    }
    assert len(seeds) == 5 and all(0 <= seed < 2**63 for seed in seeds)
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(2, 2), nn.MultiheadAttention(2, 1, dropout=0.1), nn.ReLU())
    drawn = {call.name: call.random for call in cut.cut(trace(model[:2]), model[:2], {})[0].calls}
    assert drawn == {"_0": True, "_1": False}
    assert cut._module_draws(model[2]) and not cut._module_draws(model[3])


def test_what_is_drawn_does_not_hang_on_other_runs_of_the_process() -> None:
    def draw(x: torch.Tensor) -> torch.Tensor:
        time.sleep(0.05)  # time for another one to seed the generator that both have
        return x + torch.rand(3)

    def drawn(seed: int) -> Any:
        call = stage.Call("draw", "call_function", draw, (stage.Ref("x"),), {}, True)
        spec = stage.StageSpec(0, 0, (), (call,), (), (), stage.Ref("draw"), stage.Tree(), False)
        known = stage.run_stage(spec, spec.tree, {}, {"x": torch.zeros(3)}, (seed, 0, 0))
        return stage.output_of(spec, known)

    alone = [drawn(seed) for seed in range(3)]
    assert not torch.equal(alone[0], alone[1])
    assert all(torch.equal(mine, other) for mine, other in zip(together(3, drawn), alone, strict=True))
