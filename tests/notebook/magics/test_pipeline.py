"""`%%pipeline`: the cell runs, what it made is trained over workers, and the run is the value."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.notebook.conftest import Front
from tests.training import nets
from workbench.engine import session
from workbench.notebook import completion
from workbench.notebook.magics import pipeline as magic
from workbench.training import TrainRun, errors, programs, train

CELL = """
net = nets.mlp()
plan = nets.cut_after(net, 3)
loss = torch.nn.functional.cross_entropy
optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)
"""


@pytest.fixture(scope="module")
def workers() -> Iterator[Any]:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with session.local_workers(2) as client:
        yield client
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def names(front: Front) -> None:
    import torch

    front.shell.user_ns.update(nets=nets, torch=torch, train_set=nets.samples())


def test_the_cell_is_run_and_its_model_trained(front: Front, workers: Any) -> None:
    line = "%%pipeline net train_set --schedule 1f1b --micro 4 --batch 16 --epochs 2 --seed 3 -o run"
    run = front.value(line + CELL)
    assert isinstance(run, TrainRun) and run is front.names["run"] and run.state == "finished"
    reference = nets.mlp()
    assert run.losses.loss.tolist() == nets.plain(reference, nets.momentum, 4)
    assert nets.same(front.names["net"], reference) and run.model is front.names["net"]
    bundle = front.shown[-1][0]
    assert "TrainRun 1f1b 1-1 · step 6/6" in bundle["text/plain"]
    html = bundle["text/html"]
    assert "<script" not in html and html.count("<svg") >= 2  # the Gantt chart and the losses
    for word in ("forward", "backward", "worker 1 (stage 1)", "bytes sent"):
        assert word in html


def test_a_cell_goes_on_from_a_checkpoint(
    front: Front, workers: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path))
    line = "%%pipeline net train_set --schedule 1f1b --micro 4 --batch 16 --seed 3 -o run"
    path = front.value(f"{line} --steps 4{CELL}").checkpoint()
    front.shell.user_ns["saved"] = path
    run = front.value(f"{line} --epochs 2 --resume saved{CELL}")
    reference = nets.mlp()
    assert run.losses.loss.tolist() == nets.plain(reference, nets.momentum, 4)
    assert nets.same(front.names["net"], reference)
    assert run.timeline.step.min() == 4  # what came before is the checkpoint's
    assert magic._folder(path, {}) == path and magic._folder(None, {}) is None
    assert magic._folder("elsewhere", {"elsewhere": 3}) == "elsewhere"


def test_in_the_background_under_its_usual_name(front: Front, workers: Any) -> None:
    run = front.value("%%pipeline net train_set -b --schedule pipedream --batch 16 --target top1>=1000" + CELL
                      + "evaluate = lambda net: {'top1': 1.0}")  # fmt: skip
    assert front.names["_pipeline"] is run and run.result(timeout=60) is run
    assert run.metrics.value.tolist() == [1.0] and not run.reached


def test_as_a_line_with_a_function_that_gives_a_model(front: Front, workers: Any) -> None:
    front.value("def make():\n    return nets.mlp()\nplan = nets.cut_after(nets.mlp(), 3)")
    run = front.value("run = %pipeline make train_set --schedule gpipe --steps 2\nrun")
    assert run.steps == 2
    group = run.optimizer.param_groups[0]
    assert (group["lr"], group["momentum"]) == (0.01, 0.9)


def test_mistakes(front: Front, workers: Any) -> None:
    assert front.error("%%pipeline nett train_set" + CELL) == [
        'No variable named "nett" in this notebook.', 'Did you mean "net"?',
    ]  # fmt: skip
    assert front.error("%%pipeline train_set net" + CELL)[0].startswith("train_set is a tuple, not a torch.nn.Module")
    assert front.error("%%pipeline net train_set --schedule gpip" + CELL)[0] == (
        'Unknown schedule "gpip"; did you mean "gpipe"?'
    )
    assert front.error("%%pipeline net train_set --schedule 2bw --micro 1" + CELL) == [
        "2bw needs at least 2 microbatches for 2 stages; got 1.", "Use --micro 2.",
    ]  # fmt: skip
    assert "SyntaxError in line 2 of the cell" in front.error("%%pipeline net train_set\nnet = = 3")[0]


def test_a_target_may_have_blanks() -> None:
    assert magic._joined("a b --target top1 >= 94 --seed 1") == "a b --target top1>=94 --seed 1"
    assert magic._joined('a b --target "loss <= 0.1"') == 'a b --target "loss<=0.1"'


def test_help_and_completion(front: Front, capsys: pytest.CaptureFixture[str]) -> None:
    assert front.value("%%pipeline -h") is None
    said = capsys.readouterr().out
    for option in magic.OPTIONS:
        assert f"--{option.name}" in said

    def offered(line: str) -> list[str]:
        found, _, _ = completion.complete_line(magic.SPEC, line, front.names)
        return [text for text, _ in found]

    assert offered("net train_set --schedule ")[:6] == list(magic.SCHEDULES)
    assert offered("net train_set --re") == ["--resilience", "--redundancy", "--resume"]
    assert "train_set" in offered("net tr")


def test_names_are_those_of_the_package() -> None:
    assert magic.SCHEDULES == errors.SCHEDULES == ("auto", *programs.SCHEDULES)
    assert magic.RESILIENCE == sys.modules[train.__module__].RESILIENCE and magic.REDUNDANCY == programs.REDUNDANCY


def test_arguments_stand_for_names_and_objects() -> None:
    scope = SimpleNamespace(lookup=lambda name: f"<{name}>")
    call: Any = SimpleNamespace(scope=scope)
    assert magic._named(call, magic.Argument("a.b")) == "<a.b>"
    assert magic._named(call, magic.Argument(7, referred=True)) == 7
