"""torch.compile with Inductor, on tensors that share memory with the arrays."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from workbench.fusion.expr import Expr
from workbench.fusion.peers.graph import NotExpressible
from workbench.fusion.peers.tensors import Traced

__all__ = ["build"]


def build(exprs: Sequence[Expr], threads: int) -> Callable[[], list[Any]]:
    """Return a function that runs compiled code; Inductor needs a C++ compiler on a CPU.

    Raises
    ------
    ImportError
        Without torch or without the compiler.
    """
    import torch

    if not any(map(shutil.which, ("g++", "clang++", "c++", "cl"))):
        raise ImportError("C++ compiler")
    traced = Traced(exprs, torch=True)
    scope: dict[str, Any] = {"torch": torch}
    exec(traced.source, scope)
    try:
        inputs = [torch.from_numpy(_fit(each.data)) for each in traced.leaves]
    except (TypeError, ValueError) as error:
        raise NotExpressible(str(error)) from error
    compiled = torch.compile(scope["traced"])

    def run() -> list[Any]:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            with torch.no_grad():
                found = [each.numpy() if isinstance(each, torch.Tensor) else each for each in compiled(*inputs)]
        finally:
            torch.set_num_threads(before)
        return traced.finish(found)

    return run


def _fit(data: Any) -> np.ndarray:
    """Return an array that a tensor can be made of: strides not negative, writeable."""
    found = np.asarray(data)
    if any(step < 0 for step in found.strides) or not found.flags.writeable:
        found = found.copy()
    return found
