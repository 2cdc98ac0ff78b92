"""How runs are told: places, shapes and bytes in words, and what ran in its own library at the head of a plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from workbench.fusion.expr import Fallback, Size
from workbench.fusion.result import FusionPlan, Kernel, OpRow, ReasonRow

__all__ = ["nbytes", "shape_text", "tell_fallbacks", "where_text"]


def tell_fallbacks(plan: FusionPlan, notes: Sequence[Fallback]) -> None:
    """Put what ran in its own library at the head of a plan."""
    many = len(notes)
    names = {each.name: f"k{many + k}_{each.name.partition('_')[2]}" for k, each in enumerate(plan.kernels)}
    for each in plan.kernels:
        each.name = names[each.name]
    plan.op_rows = [replace(row, kernel=names.get(row.kernel, row.kernel)) for row in plan.op_rows]
    for node in plan.graph["nodes"]:
        node["kernel"] = names.get(node["kernel"], node["kernel"])
    for k, note in enumerate(notes):
        kernel = Kernel(f"k{k}_{note.name}", "fallback", "none", (note.name,), note.bytes_read, note.bytes_written)
        kernel.predicted_ms = kernel.measured_ms = note.ms
        kernel.cache = "hit"
        plan.kernels.insert(k, kernel)
        where = where_text(note.where)
        plan.op_rows.insert(k, OpRow(note.name, "", "", kernel.name, where))
        plan.reason_rows.append(ReasonRow(note.name, note.reason, where))
        plan.kernels_before += 1
        plan.bytes_before += note.bytes_read + note.bytes_written


def nbytes(value: Any) -> int:
    """Return the bytes of a value; of a tuple, of all its parts."""
    if isinstance(value, tuple):
        return sum(nbytes(each) for each in value)
    return int(getattr(value, "nbytes", 0)) or np.asarray(value).nbytes


def shape_text(shape: Any) -> str:
    """Return a shape as it is shown: `(3, n)`."""
    return "(" + ", ".join(str(d.value if isinstance(d, Size) and d.value is not None else d) for d in shape) + ")"


def where_text(where: Any) -> str:
    """Return a source position as it is shown: `<cell>:3` or `file:line`."""
    if where is None:
        return ""
    if isinstance(where, str):
        return where
    from workbench.fusion.positions import place, text

    first, second = where
    return place(first, second) if isinstance(first, str) else text(first, second)
