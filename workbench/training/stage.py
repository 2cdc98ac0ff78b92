"""Stages: the part of a traced model that one worker runs, and the values that cross from one to the next."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import math
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

from workbench.training import errors

if TYPE_CHECKING:
    from torch import fx

__all__ = ["Call", "Ref", "StageSpec", "cut", "first_bad", "run_stage", "seed_of"]

#: functions that draw numbers; a module or function that is not torch's own may draw some too
_DRAWS = (
    "dropout",
    "rand",
    "bernoulli",
    "multinomial",
    "rrelu",
    "gumbel",
    "normal_",
    "uniform_",
    "poisson",
    "exponential",
)
#: held while a random node runs: the generator is that of the process, where another run may be at work
_DRAWING = threading.RLock()
_MISSING = inspect.Parameter.empty

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


def cut(graph: fx.Graph, model: nn.Module, stage_of: Mapping[str, int]) -> list[StageSpec]:
    """Cut a traced model into stages.

    Parameters
    ----------
    graph : torch.fx.Graph
    model : Module
        What was traced.
    stage_of : mapping of str to int
        Stage of each node, by its name; nodes that a plan leaves out follow what they use, or their first user.

    Returns
    -------
    list of StageSpec
        A value that is used later than in the next stage is passed on by the stages between.

    Raises
    ------
    NotPipelinableError
        If a parameter would be in two stages.
    """
    places = _places(graph, stage_of)
    last = max(places.values(), default=0)
    for node in graph.nodes:
        if node.op == "output":
            places[node.name] = last
    users = {node.name: max((places[user.name] for user in node.users), default=-1) for node in graph.nodes}
    crossing = [
        tuple(node.name for node in graph.nodes if places[node.name] <= edge < users[node.name])
        for edge in range(last)
    ]  # fmt: skip
    _check_shared(graph, model, places)
    specs = []
    for index in range(last + 1):
        nodes = [
            node for node in graph.nodes if places[node.name] == index and node.op not in ("placeholder", "output")
        ]
        receives = crossing[index - 1] if index else ()
        sends = crossing[index] if index < last else ()
        output = next((_refs(node.args[0]) for node in graph.nodes if node.op == "output"), None)
        kept = {*sends, *(_named(output) if index == last else ())}
        specs.append(
            StageSpec(
                index=index,
                last=last,
                inputs=tuple(_argument(node) for node in graph.nodes if node.op == "placeholder") if not index else (),
                calls=_calls(nodes, model, kept),
                receives=receives,
                sends=sends,
                output=output if index == last else None,
                tree=_tree(nodes, model),
                in_place=any(_writes(node, model) for node in nodes),
            )
        )
    return specs


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
    needed = sum(default is _MISSING for _, default in spec.inputs)
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
    """Return the first node of a stage whose value is not finite, found by running it once more; None if all are."""
    found: list[str] = []

    def watch(name: str, value: Any) -> None:
        if not found and not finite(value):
            found.append(name)

    with torch.no_grad():
        copies = {name: tensor.clone() for name, tensor in weights.items()}
        for name, value in values.items():
            watch(name, value)
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


# below: cutting


def _places(graph: fx.Graph, stage_of: Mapping[str, int]) -> dict[str, int]:
    """Return the stage of each node but the output."""
    places: dict[str, int] = {}
    for node in graph.nodes:
        if node.op == "placeholder":
            places[node.name] = 0
        elif node.op not in ("get_attr", "output"):
            before = [places[used.name] for used in node.all_input_nodes if used.op != "get_attr"]
            places[node.name] = max([*before, stage_of.get(node.name, 0)])
    # A parameter or constant is where it is used first.
    for node in graph.nodes:
        if node.op == "get_attr":
            places[node.name] = min((places[user.name] for user in node.users if user.name in places), default=0)
    return places


def _check_shared(graph: fx.Graph, model: nn.Module, places: Mapping[str, int]) -> None:
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    names |= {id(buffer): name for name, buffer in model.named_buffers()}
    seen: dict[int, Any] = {}
    for node in graph.nodes:
        for tensor in _tensors(node, model):
            first = seen.setdefault(id(tensor), node)
            if places[first.name] != places[node.name] and id(tensor) in names:
                raise errors.parameter_shared(names[id(tensor)], first.name, node.name)


def _tensors(node: fx.Node, model: nn.Module) -> Iterator[torch.Tensor]:
    if node.op == "call_module":
        module = model.get_submodule(str(node.target))
        yield from module.parameters()
        yield from module.buffers()
    elif node.op == "get_attr":
        value = _attribute(model, str(node.target))
        if isinstance(value, torch.Tensor):
            yield value


def _calls(nodes: list[fx.Node], model: nn.Module, kept: set[str]) -> tuple[Call, ...]:
    last_user: dict[str, str] = {}
    for node in nodes:
        last_user |= dict.fromkeys((used.name for used in node.all_input_nodes), node.name)
        last_user.setdefault(node.name, node.name)
    frees: dict[str, list[str]] = {}
    for name, user in last_user.items():
        if name not in kept:
            frees.setdefault(user, []).append(name)
    return tuple(
        Call(
            node.name, node.op, node.target, _refs(node.args), _refs(node.kwargs), _draws(node, model),
            tuple(frees.get(node.name, ())),
        )
        for node in nodes
    )  # fmt: skip


def _tree(nodes: list[fx.Node], model: nn.Module) -> Tree:
    tree = Tree()
    for node in nodes:
        if node.op == "call_module":
            _plant(tree, str(node.target), model.get_submodule(str(node.target)))
    for node in nodes:
        if node.op == "get_attr":
            try:
                _attribute(tree, str(node.target))
            except AttributeError:
                _plant(tree, str(node.target), _attribute(model, str(node.target)), model)
    return tree


def _plant(tree: nn.Module, path: str, value: Any, model: nn.Module | None = None) -> None:
    """Put a module or tensor at its path in the tree."""
    *folders, name = path.split(".")
    for folder in folders:
        if not isinstance(getattr(tree, folder, None), nn.Module):
            tree.add_module(folder, Tree())
        tree = getattr(tree, folder)
    if isinstance(value, nn.Module):
        tree.add_module(name, value)
    elif isinstance(value, nn.Parameter):
        tree.register_parameter(name, value)
    elif isinstance(value, torch.Tensor) and model is not None and path in dict(model.named_buffers()):
        tree.register_buffer(name, value)
    else:
        setattr(tree, name, value)


def _attribute(module: Any, path: str) -> Any:
    for name in path.split("."):
        module = getattr(module, name)
    return module


def _argument(node: fx.Node) -> tuple[str, Any]:
    return node.name, node.args[0] if node.args else _MISSING


def _refs(value: Any) -> Any:
    from torch import fx

    return fx.node.map_arg(value, lambda node: Ref(node.name))


def _named(value: Any) -> set[str]:
    found: set[str] = set()
    _walk(value, lambda ref: found.add(ref.name))
    return found


def _draws(node: fx.Node, model: nn.Module) -> bool:
    """Whether a node may draw random numbers."""
    if node.op == "get_attr":
        return False
    if node.op == "call_module":
        return any(_module_draws(module) for module in model.get_submodule(str(node.target)).modules())
    if node.op == "call_method":
        return any(word in str(node.target) for word in _DRAWS)
    target: Any = node.target
    home = str(getattr(target, "__module__", None) or "")
    ours = home.split(".")[0] in ("", "torch", "_operator", "operator", "builtins", "math", "_VariableFunctionsClass")
    return not ours or any(word in str(getattr(target, "__name__", "")) for word in _DRAWS)


def _module_draws(module: nn.Module) -> bool:
    if not type(module).__module__.startswith("torch.nn"):
        return True
    if isinstance(module, (nn.modules.dropout._DropoutNd, nn.RReLU, nn.FractionalMaxPool2d, nn.FractionalMaxPool3d)):
        return True
    rate = getattr(module, "dropout", 0.0)
    return isinstance(rate, float) and rate > 0.0


def _writes(node: fx.Node, model: nn.Module) -> bool:
    """Whether a node may write into its arguments."""
    if node.op == "call_module":
        module = model.get_submodule(str(node.target))
        return any(
            getattr(part, "inplace", False) or not type(part).__module__.startswith("torch.nn")
            for part in module.modules()
        )
    if node.op == "get_attr":
        return False
    name = str(node.target if node.op == "call_method" else getattr(node.target, "__name__", ""))
    known = node.op == "call_method" or str(getattr(node.target, "__module__", "")).startswith(("torch", "_operator"))
    writes = name.endswith("_") and not name.endswith("__")
    return writes or not known or name in ("iadd", "isub", "imul", "itruediv") or bool(node.kwargs.get("inplace"))


# below: running


def _call(call: Call, module: nn.Module, known: Mapping[str, Any]) -> Any:
    args, kwargs = _fill(call.args, known), _fill(call.kwargs, known)
    if call.op == "call_module":
        return module.get_submodule(call.target)(*args, **kwargs)
    if call.op == "call_function":
        return call.target(*args, **kwargs)
    if call.op == "call_method":
        return getattr(args[0], call.target)(*args[1:], **kwargs)
    return _attribute(module, call.target)


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


def _walk(value: Any, visit: Callable[[Ref], object]) -> None:
    parts: Iterable[Any] = ()
    if isinstance(value, Ref):
        visit(value)
    elif isinstance(value, (tuple, list)):
        parts = value
    elif isinstance(value, dict):
        parts = value.values()
    elif isinstance(value, slice):
        parts = (value.start, value.stop, value.step)
    for part in parts:
        _walk(part, visit)


@contextlib.contextmanager
def _seeded(seeds: tuple[int, int, int], node: str) -> Iterator[None]:
    with _DRAWING, torch.random.fork_rng():
        torch.manual_seed(seed_of(*seeds, node))
        yield


def _copied(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, torch.Tensor) else value
