"""A microbatch between its forward and its backward, and the tensors in what goes from stage to stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils import _pytree as pytree

__all__ = ["Flight", "fresh", "has_nan", "needing", "without_graph"]


@dataclass
class Flight:
    """A microbatch between its forward and its backward."""

    weights: Mapping[str, torch.Tensor]
    version: int
    values: dict[str, Any]
    outputs: tuple[Any, ...] = ()
    loss: torch.Tensor | None = None
    scale: float = 1.0
    #: the loss as a number, what the output is compared with, and the buffers after a forward that was run ahead
    value: float = 0.0
    target: Any = None
    buffers: dict[str, torch.Tensor] | None = None
    replica: int = 0


def needing(values: Any) -> list[torch.Tensor]:
    """Return the tensors of a structure that want a gradient."""
    return [leaf for leaf in pytree.tree_leaves(values) if isinstance(leaf, torch.Tensor) and leaf.requires_grad]


def has_nan(values: Any) -> bool:
    """Whether NaN is among the values; an infinite value may be meant (a mask), NaN never is."""
    return any(
        isinstance(leaf, torch.Tensor) and leaf.is_floating_point() and bool(torch.isnan(leaf).any())
        for leaf in pytree.tree_leaves(values)
    )


def without_graph(value: Any) -> Any:
    """Return a tensor without what it was computed from; it still wants a gradient."""
    return value.detach().requires_grad_(value.requires_grad) if isinstance(value, torch.Tensor) else value


def fresh(value: Any) -> Any:
    """Return a copy that may be written to, and that gives its gradient to the original."""
    return value.clone() if isinstance(value, torch.Tensor) else value
