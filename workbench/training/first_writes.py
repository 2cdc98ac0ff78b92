"""An optimizer's first write to each tensor goes to new storage, as others keep the old one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["FirstWrites", "redirects"]

#: bytes of a tensor, on average, from which on it pays: a call of Python for each operation takes some time too
LARGE = 2**18


class FirstWrites(TorchDispatchMode):  # type: ignore[misc]
    """While it is entered, the first operation that writes to one of some tensors gives that new storage.

    `x.mul_(2)` becomes `x.data = x.mul(2)`: the same numbers, and memory is gone through once less than with a copy
    before it. What has no such form is preceded by a copy. A tensor that nothing is written to stays what it was.

    Parameters
    ----------
    tensors : iterable of Tensor
        Written to as they are, and not by views of them.
    """

    def __init__(self, tensors: Iterable[torch.Tensor]) -> None:
        super().__init__()
        self._kept = {id(tensor): tensor for tensor in tensors}

    def waits_for(self, tensor: torch.Tensor) -> bool:
        """Whether nothing was written to a tensor so far."""
        return id(tensor) in self._kept

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation of aten."""
        kwargs = kwargs or {}
        if not func._schema.is_mutable:
            return func(*args, **kwargs)
        first = args[0] if args else None
        if isinstance(first, torch.Tensor) and id(first) in self._kept and (plain := _plain(func)) is not None:
            del self._kept[id(first)]
            first.data = plain(*args, **kwargs)
            return first
        for leaf in pytree.tree_leaves((args, kwargs)):
            if isinstance(leaf, torch.Tensor) and id(leaf) in self._kept:
                # what is only read is copied too, where one operation writes to several
                del self._kept[id(leaf)]
                leaf.data = leaf.clone()
        return func(*args, **kwargs)


def redirects(optimizer: torch.optim.Optimizer) -> bool:
    """Whether an optimizer writes to its tensors as they are, and gains by it: SGD does, and Adam does not."""
    groups = optimizer.param_groups
    if type(optimizer) is not torch.optim.SGD:
        return False
    if any(group.get(name) for group in groups for name in ("foreach", "fused", "differentiable")):
        return False
    parameters = [parameter for group in groups for parameter in group["params"]]
    if any(parameter.device.type != "cpu" or parameter.is_complex() for parameter in parameters):
        return False
    size = sum(parameter.numel() * parameter.element_size() for parameter in parameters)
    return size >= LARGE * max(len(parameters), 1)


def _plain(func: Any) -> Any:
    """Return the form of an operation that writes to its first argument alone (`mul_`) that writes to none."""
    name = func._schema.name.partition("::")[2]
    written = [argument.alias_info is not None and argument.alias_info.is_write for argument in func._schema.arguments]
    if not name.endswith("_") or not written[0] or any(written[1:]):
        return None
    packet = getattr(torch.ops.aten, name[:-1], None)
    return getattr(packet, func._overloadname, None)
