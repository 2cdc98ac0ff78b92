"""What training is given that is of another kind is told in two lines, before anything is started."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import workbench as wb
from tests.training import nets
from workbench.training import Cluster, ClusterError, TrainingError, profile
from workbench.training.given import as_metrics, check_device, check_given


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"model": 3}, "A model is a torch.nn.Module, not 3."),
        ({"loss": "mse"}, "loss is a function of output and target; got 'mse'."),
        ({"evaluate": {"top1": 3}}, "evaluate is a function of the model; got a dict."),
        ({"seed": "a"}, "seed is a whole number; got 'a'."),
        ({"seed": True}, "seed is a whole number; got True."),
    ],
)
def test_parts_of_another_kind(changed: dict[str, Any], message: str) -> None:
    given = {"model": nets.mlp(), "loss": torch.nn.functional.cross_entropy, "evaluate": None, "seed": 0}
    check_given(**given)
    with pytest.raises(TrainingError) as caught:
        check_given(**(given | changed))
    assert caught.value.message == message and caught.value.hint


def test_what_an_evaluation_gives() -> None:
    assert as_metrics({"top1": torch.tensor(2.5), "loss": 1}) == {"top1": 2.5, "loss": 1.0}
    for found in (3, None, [("top1", 2.0)], {"top1": "high"}, {"top1": torch.zeros(2)}):
        with pytest.raises(TrainingError, match="evaluate gave"):
            as_metrics(found)


def test_a_device_that_is_none_or_not_here() -> None:
    model, batch = nets.mlp(), nets.samples()[0][:4]
    with pytest.raises(TrainingError, match="'qpu' is no device"):
        profile(model, batch, device="qpu")
    with pytest.raises(TrainingError, match="'qpu' is no device"):
        check_device("qpu", [])
    check_device("cpu", ["tcp://nobody:1"])  # which all have, so that nobody is asked
    if not torch.cuda.is_available():
        with pytest.raises(TrainingError, match="Nothing can be run on the device 'cuda'"):
            profile(model, batch, device="cuda")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_workers_without_a_device_are_told_before_training() -> None:
    with pytest.raises(TrainingError, match=r"The worker tcp\S+ has no device cuda: ") as caught:
        wb.training.train(
            nets.mlp(), nets.samples(), torch.nn.functional.cross_entropy,
            lambda parameters: torch.optim.SGD(parameters, lr=0.1), device="cuda", schedule="ddp", workers=1, wait=True,
        )  # fmt: skip
    assert caught.value.hint == 'Use device="cpu", or workers that have it.'


def test_a_batch_that_does_not_fit_the_model() -> None:
    x, y = nets.samples()
    with pytest.raises(TrainingError, match=r"The model cannot be run on this batch: mat1 and mat2 shapes"):
        profile(nets.mlp(), x[:4, :-1])
    with pytest.raises(TrainingError, match="The loss cannot be taken of this output and target: "):
        profile(nets.mlp(), (x[:4], y[:3]), loss=torch.nn.functional.cross_entropy)


def test_a_link_that_is_none() -> None:
    with pytest.raises(ClusterError, match=r'bandwidth is a rate; got "fast"\.'):
        Cluster([4], ["fast"])
    with pytest.raises(ClusterError, match=r"bandwidth is a rate; got -1\."):
        Cluster([4], [-1])
    with pytest.raises(ClusterError, match=r'memory is a size; got "much"\.'):
        Cluster([4], [1e9], memory="much")
