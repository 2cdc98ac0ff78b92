"""A stage: the part of a traced model that one worker runs."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import math
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

from workbench.training import errors

__all__ = [
    "MISSING", "Call", "Ref", "StageSpec", "Tree", "attribute", "bind_inputs", "finite", "first_bad", "output_of",
    "run_stage", "seed_of",
]  # fmt: skip

#: held while a random node runs: the generator is that of the process, where another run may be at work
_DRAWING = threading.RLock()
MISSING = inspect.Parameter.empty

Weights = Mapping[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Ref:
    """The value of another node, in the arguments of a call."""

    name: str


@dataclass(frozen=True, slots=True)
class Call:
    """One node of a traced model.

    Parameters
    ----------
    name : str
        Of the node in the trace: random numbers and messages go by it.
    op : {"call_module", "call_function", "call_method", "get_attr"}
    target : str or callable
    args, kwargs : tuple, dict
        With a `Ref` for each value of another node.
    random : bool
        Whether it may draw random numbers.
    frees : tuple of str
        Values that nobody needs after it.
    """

    name: str
    op: str
    target: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    random: bool
    frees: tuple[str, ...] = ()


class Tree(nn.Module):  # type: ignore[misc]
    """Modules and parameters of a stage under the names that they have in the whole model."""

    def forward(self, run: Callable[[nn.Module], Any]) -> Any:
        """Call `run` with this module: what `functional_call` needs to swap the weights around it."""
        return run(self)


@dataclass(frozen=True)
class StageSpec:
    """A stage as it goes to its worker.

    Parameters
    ----------
    index, last : int
        Its number, and that of the last stage.
    inputs : tuple of (str, object)
        Arguments of the model that the data gives, and their defaults; only in stage 0.
    calls : tuple of Call
    receives, sends : tuple of str
        Values that come from the stage before, and that go to the stage after.
    output : object
        The model's output, with a `Ref` for each value; only in the last stage.
    tree : Tree
    in_place : bool
        Whether a call may write into what was received.
    """

    index: int
    last: int
    inputs: tuple[tuple[str, Any], ...]
    calls: tuple[Call, ...]
    receives: tuple[str, ...]
    sends: tuple[str, ...]
    output: Any
    tree: Tree
    in_place: bool


def run_stage(
    spec: StageSpec,
    tree: nn.Module,
    weights: Weights,
    values: Mapping[str, Any],
    seeds: tuple[int, int, int],
    watch: Callable[[str, Any], None] | None = None,
) -> dict[str, Any]:
    """Run a stage with given weights and return its values that are still needed.

    Parameters
    ----------
    spec : StageSpec
    tree : Module
        Its modules.
    weights : mapping of str to Tensor
        Parameters and buffers; buffers are written to.
    values : mapping of str to object
        What it received, or the model's arguments.
    seeds : (int, int, int)
        Run's seed, batch and microbatch, which random nodes are seeded by.
    watch : callable, optional
        Called with the name and value of each node.
    """

    def run(module: nn.Module) -> dict[str, Any]:
        known = dict(values)
        for call in spec.calls:
            with _seeded(seeds, call.name) if call.random else contextlib.nullcontext():
                value = _call(call, module, known)
            known[call.name] = value
            if watch is not None:
                watch(call.name, value)
            for name in call.frees:
                known.pop(name, None)
        return known

    result: dict[str, Any] = torch.func.functional_call(tree, dict(weights), (run,))
    return result


def output_of(spec: StageSpec, known: Mapping[str, Any]) -> Any:
    """Return the model's output from the values of the last stage."""
    return _fill(spec.output, known)


def bind_inputs(spec: StageSpec, batch: tuple[Any, ...]) -> dict[str, Any]:
    """Return the model's arguments by name: the batch's, then the defaults.

    Raises
    ------
    DataError
        If the batch has too many or too few.
    """
    needed = sum(default is MISSING for _, default in spec.inputs)
    if not needed <= len(batch) <= len(spec.inputs):
        raise errors.DataError(
            f"The model takes {len(spec.inputs)} argument{'s' if len(spec.inputs) != 1 else ''}; a batch has "
            f"{len(batch)} beside the target.",
            "A batch is (argument, ..., target).",
        )
    given = {name: value for (name, _), value in zip(spec.inputs, batch, strict=False)}
    return {name: given.get(name, default) for name, default in spec.inputs}


def first_bad(
    spec: StageSpec, tree: nn.Module, weights: Weights, values: Mapping[str, Any], seeds: tuple[int, int, int]
) -> str | None:
    """Return the first node of a stage whose value is not finite, found by running it once more; None if all are.

    Of the first stage, what comes from the data is told as such.
    """
    found: list[str] = []

    def watch(name: str, value: Any) -> None:
        if not found and not finite(value):
            found.append(name)

    with torch.no_grad():
        copies = {name: tensor.clone() for name, tensor in weights.items()}
        for name, value in values.items():
            watch(name if spec.index else errors.THE_DATA, value)
        run_stage(spec, tree, copies, pytree.tree_map(_copied, dict(values)), seeds, watch)
    return found[0] if found else None


def finite(value: Any) -> bool:
    """Whether no number in a value, of whatever structure, is NaN or infinite."""
    return all(_finite(leaf.detach()) for leaf in pytree.tree_leaves(value) if isinstance(leaf, torch.Tensor))


def _finite(tensor: torch.Tensor) -> bool:
    if not (tensor.is_floating_point() or tensor.is_complex()):
        return True
    # One pass for what is nearly always true; a sum that overflows is looked at closely.
    return math.isfinite(abs(tensor.sum().item())) or bool(torch.isfinite(tensor).all())


def seed_of(seed: int, batch: int, microbatch: int, node: str) -> int:
    """Return what a random node is seeded by: the same wherever the model is cut.

    Parameters
    ----------
    seed, batch, microbatch : int
        Of the run; batch from the start of the run; microbatch in its batch.
    node : str
        Its name in the trace.
    """
    text = f"{seed}/{batch}/{microbatch}/{node}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


def attribute(module: Any, path: str) -> Any:
    """Return what is at a dotted path of a module."""
    for name in path.split("."):
        module = getattr(module, name)
    return module


# below: running


def _call(call: Call, module: nn.Module, known: Mapping[str, Any]) -> Any:
    args, kwargs = _fill(call.args, known), _fill(call.kwargs, known)
    if call.op == "call_module":
        return module.get_submodule(call.target)(*args, **kwargs)
    if call.op == "call_function":
        return call.target(*args, **kwargs)
    if call.op == "call_method":
        return getattr(args[0], call.target)(*args[1:], **kwargs)
    return attribute(module, call.target)


def _fill(value: Any, known: Mapping[str, Any]) -> Any:
    """Put the values in place of the `Ref`s."""
    if isinstance(value, Ref):
        return known[value.name]
    if isinstance(value, tuple):
        parts = [_fill(part, known) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    if isinstance(value, list):
        return [_fill(part, known) for part in value]
    if isinstance(value, dict):
        return {name: _fill(part, known) for name, part in value.items()}
    if isinstance(value, slice):
        return slice(_fill(value.start, known), _fill(value.stop, known), _fill(value.step, known))
    return value


@contextlib.contextmanager
def _seeded(seeds: tuple[int, int, int], node: str) -> Iterator[None]:
    with _DRAWING, torch.random.fork_rng():
        torch.manual_seed(seed_of(*seeds, node))
        yield


def _copied(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, torch.Tensor) else value
