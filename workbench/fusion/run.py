"""Forcing: expressions in, values and a plan out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from workbench.fusion.eager import evaluate
from workbench.fusion.expr import Expr, Size, walk
from workbench.fusion.result import FusionPlan, Kernel, OpRow

__all__ = ["force"]


def force(
    exprs: Sequence[Expr],
    *,
    device: str = "auto",
    threads: int | None = None,
    exact: bool = False,
    check: bool = False,
) -> tuple[list[Any], FusionPlan]:
    """Return the values of expressions, computed in one plan, and that plan.

    Parameters
    ----------
    exprs : sequence of Expr
    device : {"auto", "cpu", "interpreter", "eager"}
    threads : int, optional
    exact : bool
    check : bool
    """
    start = time.perf_counter()
    known: dict[int, Any] = {}
    values = evaluate(exprs, known)
    plan = FusionPlan(device="eager", run_ms=1e3 * (time.perf_counter() - start))
    for node in walk(exprs):
        if node.kind in ("Leaf", "Const", "Item", "View", "Broadcast"):
            continue
        name = f"k{len(plan.kernels)}_{node.name}"
        read = sum(nbytes(known[id(each)]) for each in node.inputs if each.kind != "Const")
        kernel = Kernel(name, "map", "local", (node.name,), read, nbytes(known[id(node)]))
        plan.kernels.append(kernel)
        plan.kernels_before += node.calls
        plan.bytes_before += kernel.bytes_read + kernel.bytes_written
        plan.op_rows.append(OpRow(node.name, shape_text(node.shape), str(node.dtype), name, ""))
    return values, plan


def nbytes(value: Any) -> int:
    """Return the bytes of a value; of a tuple, of all its parts."""
    if isinstance(value, tuple):
        return sum(nbytes(each) for each in value)
    return int(getattr(value, "nbytes", 0)) or np.asarray(value).nbytes


def shape_text(shape: Any) -> str:
    """Return a shape as it is shown: `(3, n)`."""
    return "(" + ", ".join(str(d.value if isinstance(d, Size) and d.value is not None else d) for d in shape) + ")"
