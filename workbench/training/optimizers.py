"""A user's optimizer, cut by the names of parameters and put together again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from workbench.training import errors

__all__ = ["Recipe", "as_optimizer", "give_back", "recipe_of"]

State = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Recipe:
    """An optimizer without its parameters.

    Parameters
    ----------
    kind : type
        A class of `torch.optim`, or one like these.
    defaults : dict
    groups : tuple of (dict, tuple of str)
        Options of each parameter group, and the names of its parameters.
    state : dict
        Name of a parameter -> what is kept for it.
    """

    kind: type[torch.optim.Optimizer]
    defaults: dict[str, Any]
    groups: tuple[tuple[dict[str, Any], tuple[str, ...]], ...]
    state: State

    def only(self, names: Iterable[str]) -> Recipe:
        """Return the part for some of the parameters; a group that has none of them stays, empty."""
        wanted = set(names)
        groups = tuple((options, tuple(name for name in kept if name in wanted)) for options, kept in self.groups)
        return Recipe(
            self.kind, self.defaults, groups, {name: kept for name, kept in self.state.items() if name in wanted}
        )

    def make(self, parameters: Mapping[str, nn.Parameter], scale: float = 1.0) -> torch.optim.Optimizer:
        """Return an optimizer over `parameters`, its learning rates times `scale`."""
        # As an optimizer is unpickled: a class may want other arguments than it keeps.
        made: Any = object.__new__(self.kind)
        groups = []
        for options, names in self.groups:
            group = {**options, "params": [parameters[name] for name in names]}
            if scale != 1.0 and "lr" in group:
                group["lr"] = group["lr"] * scale
            groups.append(group)
        state: Any = defaultdict(dict)
        for name, kept in self.state.items():
            state[parameters[name]] = dict(kept)
        made.__setstate__({"defaults": dict(self.defaults), "state": state, "param_groups": groups})
        return made


def as_optimizer(optimizer: Any, model: nn.Module) -> torch.optim.Optimizer:
    """Return the optimizer that the user means: an instance, or what a callable makes of the parameters.

    Raises
    ------
    TrainingError
        If it is neither.
    """
    if isinstance(optimizer, torch.optim.Optimizer):
        return optimizer
    made = optimizer(list(model.parameters())) if callable(optimizer) else None
    if not isinstance(made, torch.optim.Optimizer):
        raise errors.TrainingError(
            f"optimizer is a torch.optim.Optimizer, or a function from parameters to one; got "
            f"{type(optimizer).__name__}.",
            "Write optimizer=lambda p: torch.optim.SGD(p, lr=0.01).",
        )
    return made


def recipe_of(optimizer: torch.optim.Optimizer, model: nn.Module) -> Recipe:
    """Return an optimizer without its parameters.

    Raises
    ------
    TrainingError
        If it updates something that is not a parameter of the model.
    """
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = []
    for group in optimizer.param_groups:
        if any(id(parameter) not in names for parameter in group["params"]):
            raise errors.TrainingError(
                "The optimizer updates a tensor that is no parameter of the model.",
                "Make it over model.parameters(), after the model.",
            )
        options = {name: value for name, value in group.items() if name not in ("params", "param_names")}
        groups.append((options, tuple(names[id(parameter)] for parameter in group["params"])))
    state = {names[id(parameter)]: dict(kept) for parameter, kept in optimizer.state.items() if id(parameter) in names}
    return Recipe(type(optimizer), dict(optimizer.defaults), tuple(groups), state)


def give_back(optimizer: torch.optim.Optimizer, model: nn.Module, state: State) -> None:
    """Put what the workers kept for each parameter into the user's optimizer."""
    parameters = dict(model.named_parameters())
    for name, kept in state.items():
        if name in parameters:
            optimizer.state[parameters[name]] = dict(kept)
