"""A traced model cut into stages, and the values that cross from one to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from workbench.training import errors
from workbench.training.stage import MISSING, Call, Ref, StageSpec, Tree, attribute

if TYPE_CHECKING:
    from torch import fx

__all__ = ["cut"]

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


# below: what it needs


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
        value = attribute(model, str(node.target))
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
                attribute(tree, str(node.target))
            except AttributeError:
                _plant(tree, str(node.target), attribute(model, str(node.target)), model)
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


def _argument(node: fx.Node) -> tuple[str, Any]:
    return node.name, node.args[0] if node.args else MISSING


def _refs(value: Any) -> Any:
    from torch import fx

    return fx.node.map_arg(value, lambda node: Ref(node.name))


def _named(value: Any) -> set[str]:
    found: set[str] = set()
    _walk(value, lambda ref: found.add(ref.name))
    return found


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
