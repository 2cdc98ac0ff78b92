"""Memory: how much a plan needs beside its inputs, and how much is free."""

from __future__ import annotations

import math
from typing import Any

import psutil

from workbench.fusion import errors
from workbench.fusion.expr import Size
from workbench.fusion.result import bytes_text
from workbench.fusion.steps import GroupStep, KernelStep, Prepared
from workbench.fusion.structure import Structure

__all__ = ["needed", "shortage"]


def shortage(plan: Prepared, form: Structure) -> errors.FusionMemoryError:
    """Return the error for a plan that found no memory."""
    return errors.out_of_memory(bytes_text(needed(plan, form)), bytes_text(psutil.virtual_memory().available))


def needed(plan: Prepared, form: Structure) -> int:
    """Return the bytes of all that a plan computes, lengths that were not known yet being estimated."""
    lengths = [plan.rows_of.of(d, k) if isinstance(d, Size) else d for k, d in enumerate(form.lengths)]
    total = 0
    for step in plan.steps:
        if isinstance(step, KernelStep):
            made = [(shape, output.node.dtype.itemsize) for output, _, shape in step.outputs]
        elif isinstance(step, GroupStep):
            made = list(step.outputs)
        else:
            made = [(step.shape, step.node.dtype.itemsize)]
        total += sum(math.prod([_length(plan, d, lengths) for d in shape]) * item for shape, item in made)
    return total


def _length(plan: Prepared, d: Any, lengths: list[int]) -> int:
    found = plan.length(d, lengths)
    return plan.rows_of.of(found) if isinstance(found, Size) else int(found)
