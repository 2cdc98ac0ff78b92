"""Checkpoints in their folders: under keys that know of no stages, whole or refused."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from tests.training import nets
from workbench.training import checkpoint
from workbench.training.errors import CheckpointError
from workbench.training.shelf import MANIFEST, complete

TABLES = {"losses": [(0, 0, 1.5, 16, 0.25, 0), (1, 0, 1.25, 16, 0.5, 0)], "metrics": []}
OPTIONS = {"seed": 3, "batch_size": 16}


def trained(make: Any = nets.adam, seed: int = 1) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2), nn.Linear(2, 2))
    model[3].requires_grad_(False)
    optimizer = make([parameter for parameter in model.parameters() if parameter.requires_grad])
    for _ in range(2):
        model(torch.randn(5, 3)).square().mean().backward()
        optimizer.step()
    return model, optimizer


def state_of(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, dict[str, Any]]:
    names = {parameter: name for name, parameter in model.named_parameters()}
    return {names[parameter]: dict(kept) for parameter, kept in optimizer.state.items()}


def facts(model: nn.Module, optimizer: torch.optim.Optimizer, step: int = 2) -> dict[str, Any]:
    names = [name for name, _ in model.named_parameters()]
    return {"step": step, "parameters": names, "optimizer": type(optimizer).__name__, **OPTIONS}


def save(
    folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, parts: Sequence[str] = ("01", "23"), step: int = 2
) -> checkpoint.Checkpoint:
    """Save the modules whose numbers are in each part together."""
    folder.mkdir(parents=True)
    shards = []
    for number, part in enumerate(parts):
        weights, buffers, state = (
            {name: value for name, value in known.items() if name[0] in part}
            for known in (dict(model.named_parameters()), dict(model.named_buffers()), state_of(model, optimizer))
        )
        shards.append(checkpoint.write(folder, number, checkpoint.contents(weights, buffers, state)))
    return checkpoint.finish(folder, shards, facts(model, optimizer, step), TABLES)


def same(first: Any, second: Any) -> bool:
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[name], second[name]) for name in first)
    return torch.equal(first, second) if isinstance(first, torch.Tensor) else bool(first == second)


@pytest.mark.parametrize("make", [nets.adam, nets.momentum])
@pytest.mark.parametrize("parts", [("0123",), ("01", "23"), ("3", "2", "1", "0")])
def test_any_parts_give_the_whole(tmp_path: Path, make: Any, parts: Sequence[str]) -> None:
    model, optimizer = trained(make)
    save(tmp_path / "step-2", model, optimizer, parts)
    found = checkpoint.read(tmp_path / "step-2")
    other, again = trained(make, seed=2)
    found.check(other, again, OPTIONS)
    found.load(other, again)
    assert nets.same(other, model)
    assert same(state_of(other, again), state_of(model, optimizer))
    assert found.step == 2 and found.tables() == TABLES


def test_torch_reads_it_too(tmp_path: Path) -> None:
    from torch.distributed import checkpoint as theirs

    model, optimizer = trained()
    save(tmp_path / "step-2", model, optimizer)
    expected = {f"model/{name}": tensor.detach() for name, tensor in model.state_dict().items()}
    expected["optimizer/0.weight/exp_avg"] = state_of(model, optimizer)["0.weight"]["exp_avg"]
    found = {name: torch.zeros_like(tensor) for name, tensor in expected.items()}
    with pytest.warns(UserWarning, match="single process"):
        theirs.load(found, checkpoint_id=tmp_path / "step-2")
    assert same(found, expected)


def test_what_is_no_tensor_is_kept(tmp_path: Path) -> None:
    model, optimizer = trained(nets.momentum)
    kept = {"steps": 7, "history": [torch.ones(2), None], "name": "a"}
    optimizer.state[model[0].weight] |= kept
    save(tmp_path / "step-2", model, optimizer)
    other, again = trained(nets.momentum, seed=2)
    checkpoint.read(tmp_path / "step-2").load(other, again)
    found = again.state[other[0].weight]
    assert found["steps"] == 7 and found["name"] == "a" and found["history"][1] is None
    assert torch.equal(found["history"][0], torch.ones(2))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoints") / "step-2"
    save(path, *trained())
    return path


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_changed_byte_is_noticed(whole: Path, tmp_path: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(path.name for path in whole.iterdir())))
    copy = tmp_path / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(whole, copy)
    content = bytearray((copy / name).read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= 1 << data.draw(st.integers(0, 7))
    (copy / name).write_bytes(content)
    told = ""
    try:
        found = checkpoint.read(copy)
    except CheckpointError as error:
        told = error.message
    else:  # white space of the manifest says nothing
        assert name == MANIFEST and found.facts == checkpoint.read(whole).facts
    assert told in (
        "", f"{copy} is damaged: {name} is not as it was written.", f"{copy} was written by a newer version.",
    )  # fmt: skip


@pytest.mark.parametrize("harm", ["cut", "gone"])
@pytest.mark.parametrize("name", [".metadata", "__0_0.distcp", "__1_0.distcp", "tables.json"])
def test_a_file_that_is_cut_or_gone_is_noticed(whole: Path, tmp_path: Path, name: str, harm: str) -> None:
    shutil.copytree(whole, tmp_path / "copy")
    path = tmp_path / "copy" / name
    if harm == "gone":
        path.unlink()
    else:
        os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(CheckpointError, match=f"is damaged: {name} is not as it was written"):
        checkpoint.read(path.parent)


def test_a_manifest_that_was_edited_is_noticed(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "copy")
    path = tmp_path / "copy" / MANIFEST
    told = json.loads(path.read_text())
    path.write_text(json.dumps({**told, "step": 3}))
    with pytest.raises(CheckpointError, match=r"manifest\.json is not as it was written"):
        checkpoint.read(path.parent)


def test_without_a_manifest_there_is_no_checkpoint(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "step-9")
    (tmp_path / "step-9" / MANIFEST).unlink()
    with pytest.raises(CheckpointError) as caught:
        checkpoint.read(tmp_path / "step-9")
    assert caught.value.message == f"{tmp_path / 'step-9'} has no manifest.json: it is no complete checkpoint."
    with pytest.raises(CheckpointError, match="is not there: it is no complete checkpoint"):
        checkpoint.read(tmp_path / "step-8")
    shutil.copytree(whole, tmp_path / "step-2")
    shutil.copytree(whole, tmp_path / "step-2-2")
    assert checkpoint.read(tmp_path).path == tmp_path / "step-2-2"  # of a run's folder the newest that is whole


def test_a_full_disk_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        save(tmp_path / "step-2", *trained())
    with pytest.raises(CheckpointError, match=r"has no manifest\.json"):
        checkpoint.read(tmp_path / "step-2")


def test_another_model_is_refused(whole: Path) -> None:
    found = checkpoint.read(whole)
    model, optimizer = trained()
    model.add_module("head", nn.Linear(2, 2))
    with pytest.raises(CheckpointError) as caught:
        found.check(model, optimizer, OPTIONS)
    assert caught.value.message == (
        f"{whole} was saved for a model with 8 parameters; this has 10 (new: head.weight, head.bias)."
    )
    assert caught.value.hint == "Resume with the same model."
    model, optimizer = trained()
    del model[3]
    with pytest.raises(CheckpointError, match=r"8 parameters; this has 6 \(gone: 3.weight, 3.bias\)"):
        found.check(model, optimizer, OPTIONS)
    model, optimizer = trained()
    model[3] = nn.Linear(3, 2)
    with pytest.raises(CheckpointError, match=r"3.weight of shape \(2, 2\); this model's has \(2, 3\)"):
        found.check(model, optimizer, OPTIONS)


def test_another_optimizer_or_option_is_refused(whole: Path) -> None:
    found, (model, _) = checkpoint.read(whole), trained()
    with pytest.raises(CheckpointError) as caught:
        found.check(model, nets.momentum(model.parameters()), OPTIONS)
    assert caught.value.message == f"{whole} was saved with optimizer=Adam; this run has SGD."
    with pytest.raises(CheckpointError) as caught:
        found.check(model, nets.adam(model.parameters()), {**OPTIONS, "seed": 0})
    assert (caught.value.message, caught.value.hint) == (
        f"{whole} was saved with seed=3; this run has 0.", "Resume with seed=3.",
    )  # fmt: skip


@pytest.mark.slow
def test_a_killed_writer_leaves_whole_ones_alone(tmp_path: Path) -> None:
    writer = subprocess.Popen([sys.executable, "-m", "tests.training.writes_checkpoints", str(tmp_path)])
    try:
        end = time.monotonic() + 240
        while len(complete(tmp_path)) < 3:
            assert time.monotonic() < end and writer.poll() is None
            time.sleep(0.01)
        time.sleep(random.Random(os.getpid()).random() * 0.05)  # anywhere in the next one
    finally:
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    made, found = sorted(tmp_path.glob("step-*")), complete(tmp_path)
    assert len(found) >= 3 and len(made) - 1 <= len(found) <= len(made)
    for path in found:
        step = checkpoint.read(path).step
        model, optimizer = trained()
        checkpoint.read(path).load(model, optimizer)
        assert path.name == f"step-{step}" and bool((model[0].weight == step).all())
    for path in made:
        if path not in found:
            with pytest.raises(CheckpointError, match=r"has no manifest\.json"):
                checkpoint.read(path)
