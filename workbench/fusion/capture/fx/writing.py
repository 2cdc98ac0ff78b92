"""Writing into inputs: where a kernel may put a result at once into the memory that a graph then copies it to."""

from __future__ import annotations

from typing import Any

import torch

from workbench.fusion.capture.fx.calls import value_of
from workbench.fusion.loop import For, Instr, Program, Store, statements
from workbench.fusion.steps import KernelStep, Prepared

__all__ = ["absorb", "places"]

_COPY = torch.ops.aten.copy_.default


def absorb(steps: list[Any], is_region: Any) -> list[Any]:
    """Have regions do the copies into inputs that end a graph, where nobody else reads either; return what is left.

    A region that does notes in `writes` which of its outputs goes to which of its inputs.
    """
    at = {id(each): k for k, each in enumerate(steps)}
    maker = {node: step for step in steps if is_region(step) for node in step.outputs}
    reads: dict[Any, list[int]] = {}
    for k, step in enumerate(steps):
        for node in step.inputs if is_region(step) else step.all_input_nodes:
            reads.setdefault(node, []).append(k)
    left = []
    for k, step in enumerate(steps):
        if is_region(step) or step.target is not _COPY or len(step.args) != 2 or step.users:
            left.append(step)
            continue
        to, source = step.args
        region = maker.get(source)
        if region is None or to.op != "placeholder" or not _alike(to, source) or _is_output(source):
            left.append(step)
            continue
        here = at[id(region)]
        views = [each for each in to.users if each is not step and each not in region.nodes]
        if reads[source] != [k] or any(place > here and place != k for place in reads[to]) or any(
            at.get(id(each), here + 1) > here for each in views
        ):  # fmt: skip
            left.append(step)
            continue
        if to not in region.inputs:
            region.inputs.append(to)
        region.writes.append((region.outputs.index(source), region.inputs.index(to)))
    return left


def _is_output(node: Any) -> bool:
    return any(user.op == "output" for user in node.users)


def _alike(to: Any, source: Any) -> bool:
    one, two = value_of(to), value_of(source)
    if not isinstance(one, torch.Tensor) or not isinstance(two, torch.Tensor):
        return False
    return one.dtype == two.dtype and one.shape == two.shape and one.device == two.device


def places(plan: Prepared, reference: tuple[Any, ...], leaf: int | None) -> tuple[int, str] | None:
    """Return the step and the buffer that make a result, if they may write over a leaf; None if they may not.

    Parameters
    ----------
    plan : Prepared
    reference : tuple
        Of the result.
    leaf : int or None
        The slot of what is written over; None if the plan does not read it.
    """
    if reference[0] != "slot" or reference[2]:
        return None
    if [each[:2] for each in plan.results].count(reference[:2]) != 1:
        return None
    for k, step in enumerate(plan.steps):
        if not isinstance(step, KernelStep):
            continue
        for output, slot, _ in step.outputs:
            if slot != reference[1] or output.appended:
                continue
            if leaf is None or (_unread(plan, k, leaf) and _in_step(step, output.buffer, leaf)):
                return k, output.buffer
    return None


def _unread(plan: Prepared, k: int, leaf: int) -> bool:
    """Whether no step after k reads a leaf, and it is no result."""
    for step in plan.steps[k + 1 :]:
        slots = [slot for _, slot in step.inputs] if isinstance(step, KernelStep) else [
            each[1] for each in getattr(step, "inputs", ()) if each[0] == "slot"
        ]  # fmt: skip
        if leaf in slots or not hasattr(step, "inputs"):
            return False
    return all(each[0] != "slot" or each[1] != leaf for each in plan.results)


def _in_step(step: KernelStep, made: str, leaf: int) -> bool:
    """Whether each element of the leaf is read before the element of the same place is written, and no other then."""
    if step.branch is not None:
        return False
    program, given = step.lowered.program, [each for each, slot in step.inputs if slot == leaf]
    for each in given:  # neighbouring dimensions may be one: memory is dense
        if each.views or any(each.drop) or program.buffer(each.buffer).shape != program.buffer(made).shape:
            return False
    return all(_read_first(program, each.buffer, made) for each in given)


def _read_first(program: Program, read: str, made: str) -> bool:
    written = False
    for loop in program.loops:
        body = list(statements(loop.body))
        loads = [
            k for k, each in enumerate(body) if isinstance(each, Instr) and each.op == "load" and each.name == read
        ]
        stores = [k for k, each in enumerate(body) if isinstance(each, Store) and each.buffer == made]
        if written and loads:
            return False
        if not stores:
            continue
        written = True
        if loads:
            nested = any(isinstance(each, For) for each in body)
            index = {each.index for each in body if isinstance(each, Store) and each.buffer == made}
            same = all(body[k].index in index for k in loads)  # type: ignore[union-attr]
            if nested or len(stores) > 1 or not same or max(loads) > stores[0]:
                return False
    return written
