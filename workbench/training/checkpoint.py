"""Checkpoints: what a run was at a commit, in a folder from which any plan can go on.

The tensors are those of `torch.distributed.checkpoint`, under keys that know of no stages: `model/<name>` and
`optimizer/<name>/<field>`. Each stage's worker writes a file of its own; who drives the run adds the index and, last of
all, the manifest. Without a manifest a folder is no checkpoint. As with `torch.load`: resume only what you trust.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.training import errors
from workbench.training.shelf import MANIFEST, Hold, complete, hold

if TYPE_CHECKING:
    import torch
    from torch import nn

    from workbench.training.optimizers import State

__all__ = ["Checkpoint", "Shard", "contents", "finish", "read", "write"]

TABLES = "tables.json"
FORMAT = 1


@dataclass(frozen=True)
class Shard:
    """What one worker has written of a checkpoint.

    Parameters
    ----------
    plan, written : object
        What the index is made of: its SavePlan, and where each tensor stands.
    files : dict of str to (str, int)
        Name -> sha256 and bytes.
    """

    plan: Any
    written: Any
    files: dict[str, tuple[str, int]]


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint, its files as they were written.

    Parameters
    ----------
    path : Path
    facts : dict
        What the manifest says: step, samples, plan, seed, the place in the data, ...
    held : Hold, optional
        What keeps it from being deleted, for as long as this object is there.
    """

    path: Path
    facts: dict[str, Any]
    held: Hold | None = field(default=None, compare=False, repr=False)

    @property
    def step(self) -> int:
        """Batches that were committed."""
        return int(self.facts["step"])

    def tables(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return the rows of losses and metrics up to its step."""
        found = json.loads((self.path / TABLES).read_bytes())
        return {name: [tuple(row) for row in rows] for name, rows in found.items()}

    def check(self, model: nn.Module, optimizer: torch.optim.Optimizer, options: Mapping[str, Any]) -> None:
        """See that training can go on from it.

        Parameters
        ----------
        model : Module
        optimizer : Optimizer
        options : mapping of str to object
            What has to be as it was, by the names that `train` has for it.

        Raises
        ------
        CheckpointError
            For another model, another optimizer, or another option.
        """
        tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        now = [name for name, _ in model.named_parameters()]
        if sorted(now) != sorted(self.facts["parameters"]):
            raise errors.resume_differs(self.path, self.facts["parameters"], now)
        for key, saved in _reader(self.path)[1].state_dict_metadata.items():
            name = key.removeprefix("model/")
            if name == key:
                continue
            if name not in tensors:
                raise errors.resume_differs(self.path, [*self.facts["parameters"], name], now)
            if tuple(saved.size) != tuple(tensors[name].shape):
                raise errors.resume_shape(self.path, name, tuple(saved.size), tuple(tensors[name].shape))
        kind = type(optimizer).__name__
        if kind != self.facts["optimizer"]:
            raise errors.resume_option(self.path, "optimizer", self.facts["optimizer"], kind)
        for name, value in options.items():
            if self.facts[name] != value:
                raise errors.resume_option(self.path, name, self.facts[name], value)

    def load(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Put its weights, buffers and optimizer state into a model and an optimizer that `check` has seen."""
        import torch

        found = _tensors(self.path)
        own = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        parameters = dict(model.named_parameters())
        state: State = {}
        with torch.no_grad():
            for key, value in found.items():
                what, _, name = key.partition("/")
                if what == "model":
                    own[name].copy_(value)
                else:
                    name, _, field = name.rpartition("/")
                    state.setdefault(name, {})[field] = value
        optimizer.state.clear()
        for name, kept in state.items():
            optimizer.state[parameters[name]] = kept


def contents(weights: Mapping[str, Any], buffers: Mapping[str, Any], optimizer: State) -> dict[str, Any]:
    """Return the tensors of a stage, or of a whole model, under the keys of a checkpoint."""
    found = {f"model/{name}": tensor.detach() for name, tensor in (*weights.items(), *buffers.items())}
    return found | {
        f"optimizer/{name}/{field}": value for name, kept in optimizer.items() for field, value in kept.items()
    }


def write(folder: str | os.PathLike[str], number: int, state: Mapping[str, Any]) -> Shard:
    """Write one worker's part into a folder that is there.

    Parameters
    ----------
    folder : path
    number : int
        Of the part, as no two have the same: that of the stage.
    state : mapping of str to object
        From `contents`; nobody may change the tensors meanwhile.

    Raises
    ------
    OSError
        For a full disk, or a folder that this machine does not see.
    """
    from torch.distributed.checkpoint import DefaultSavePlanner, FileSystemWriter, SavePlan

    root = Path(folder)
    if not root.is_dir():
        raise FileNotFoundError(f"{root} is not there; checkpoints need a folder that all workers share")
    # What torch's `save` does in a process group, with the driver in place of the group: a group of ours that fails
    # is left at once, and must not wait for disks.
    planner = DefaultSavePlanner(flatten_state_dict=False)
    writer = FileSystemWriter(root)
    planner.set_up_planner(dict(state), writer.storage_meta(), True)
    writer.set_up_storage_writer(True)
    plan = planner.create_local_plan()  # not prepared by the writer: a folder that was given up would be made anew
    placed = writer.prepare_global_plan([SavePlan([])] * number + [plan])[number]
    written = writer.write_data(planner.finish_plan(placed), planner)
    written.wait()
    found = written.value()
    names = sorted({result.storage_data.relative_path for result in found})
    return Shard(plan, found, {name: _digest(root / name) for name in names})


def finish(
    folder: str | os.PathLike[str],
    shards: Sequence[Shard],
    facts: Mapping[str, Any],
    tables: Mapping[str, Sequence[Sequence[Any]]],
) -> Checkpoint:
    """Make a folder with all its parts a checkpoint.

    Raises
    ------
    OSError
    """
    from torch.distributed.checkpoint import DefaultSavePlanner, FileSystemWriter

    root = Path(folder)
    planner = DefaultSavePlanner(flatten_state_dict=False)
    planner.set_up_planner({}, None, True)
    metadata = planner.create_global_plan([shard.plan for shard in shards])[1]
    writer = FileSystemWriter(root)
    writer.set_up_storage_writer(True)
    writer.finish(metadata, [shard.written for shard in shards])
    (root / TABLES).write_text(json.dumps({name: list(rows) for name, rows in tables.items()}))
    files = {name: known for shard in shards for name, known in shard.files.items()}
    files |= {name: _digest(root / name) for name in (".metadata", TABLES)}
    told: dict[str, Any] = {"format": FORMAT, **facts}
    told["files"] = {name: {"sha256": digest, "bytes": size} for name, (digest, size) in sorted(files.items())}
    told = json.loads(json.dumps(told))
    temporary = root / f"{MANIFEST}.tmp"
    with temporary.open("w") as file:
        json.dump({**told, "sha256": _seal(told)}, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, root / MANIFEST)
    return Checkpoint(root, told)


def read(path: str | os.PathLike[str]) -> Checkpoint:
    """Open a checkpoint, or the newest one of a run's folder, and see that each file is as it was written.

    Raises
    ------
    CheckpointError
        For a folder that is no checkpoint, and for one that is damaged.
    """
    root = Path(path).expanduser()
    root, held = _held(root)
    try:
        told = json.loads((root / MANIFEST).read_bytes())
        seal = told.pop("sha256")
        files = {name: (known["sha256"], known["bytes"]) for name, known in told["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise errors.checkpoint_damaged(root, MANIFEST) from None
    if told.get("format") != FORMAT:
        raise errors.checkpoint_newer(root)
    if _seal(told) != seal:
        raise errors.checkpoint_damaged(root, MANIFEST)
    for name, known in files.items():
        try:
            whole = _digest(root / name) == known
        except OSError:
            whole = False
        if not whole:
            raise errors.checkpoint_damaged(root, name)
    return Checkpoint(root, told, held)


def _held(root: Path) -> tuple[Path, Hold]:
    """Return a checkpoint, or the newest one of a run's folder, which nobody deletes from here on."""
    for path in [root] if (root / MANIFEST).exists() else complete(root)[::-1]:
        with suppress(OSError):  # it was deleted meanwhile
            return path, hold(path)
    raise errors.checkpoint_missing(root, root.exists())


def _reader(path: Path) -> tuple[Any, Any]:
    from torch.distributed.checkpoint import FileSystemReader

    reader = FileSystemReader(path)
    return reader, reader.read_metadata()


def _tensors(path: Path) -> dict[str, Any]:
    """Return everything that a checkpoint holds by its key."""
    import torch
    from torch.distributed.checkpoint import DefaultLoadPlanner
    from torch.distributed.checkpoint.metadata import TensorStorageMetadata

    reader, metadata = _reader(path)
    state = {
        key: torch.empty(saved.size, dtype=saved.properties.dtype) if isinstance(saved, TensorStorageMetadata) else None
        for key, saved in metadata.state_dict_metadata.items()
    }
    planner = DefaultLoadPlanner(flatten_state_dict=False)
    planner.set_up_planner(state, metadata, True)
    reader.set_up_storage_reader(metadata, True)
    plans = planner.create_global_plan([reader.prepare_local_plan(planner.create_local_plan())])
    reader.read_data(planner.finish_plan(reader.prepare_global_plan(plans)[0]), planner).wait()
    return dict(planner.state_dict)


def _digest(path: Path) -> tuple[str, int]:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest(), os.fstat(file.fileno()).st_size


def _seal(told: Mapping[str, Any]) -> str:
    """Return the hash of what a manifest says."""
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
