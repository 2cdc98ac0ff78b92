"""Why neighbouring kernels of one region are not one kernel."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from workbench.fusion.steps import KernelStep, Prepared
from workbench.fusion.telling import shape_text

__all__ = ["boundaries"]


def boundaries(plan: Prepared, lengths: Sequence[Any]) -> list[tuple[str, str, int]]:
    """Return for each kernel that follows another one which of its operations is why, the reason, and its place.

    Parameters
    ----------
    plan : Prepared
    lengths : sequence of int
        By number.
    """
    told = {k for _, _, k in plan.reasons}
    found = []
    for before, after in itertools.pairwise(plan.steps):
        rows = [row for row in plan.rows if row[3] == after.name]
        if not isinstance(before, KernelStep) or not isinstance(after, KernelStep) or not rows:
            continue  # calls of libraries say it themselves
        if any(row[4] in told for row in rows):
            continue
        op, place = rows[-1][0], rows[-1][4]
        found.append((op, _why(before, after, plan, lengths), place))
    return found


def _why(before: KernelStep, after: KernelStep, plan: Prepared, lengths: Sequence[Any]) -> str:
    made = {slot for _, slot, _ in before.outputs}
    read = [each for each, slot in after.inputs if slot in made]
    one, other = _space(before, plan, lengths), _space(after, plan, lengths)
    if read and before.kind in ("reduce", "group"):
        return f"reduction ({before.ops[-1]}) consumed by {after.ops[0]}" if before.ops and after.ops else "barrier"
    if any(each.views for each in read):
        told = f": {after.ops[0]} reads other places than {before.ops[-1]} writes" if before.ops and after.ops else ""
        return f"barrier{told}"
    if one != other:
        return f"different iteration spaces: {shape_text(one)} and {shape_text(other)}"
    return "predicted slower fused"


def _space(step: KernelStep, plan: Prepared, lengths: Sequence[Any]) -> tuple[int, ...]:
    """Return the dimensions of the largest loop."""
    spaces = [tuple([int(plan.length(d, lengths)) for d in space]) for space, _ in step.work]
    return max(spaces, key=_points, default=())


def _points(space: tuple[int, ...]) -> int:
    total = 1
    for d in space:
        total *= d
    return total
