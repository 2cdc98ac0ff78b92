"""Select or branch: whether rows that a filter leaves out are computed and not used, or jumped over.

Both forms of a kernel give the same bits. Which one runs is chosen by cost, from the part of the rows that pass, which
is measured on some of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from workbench.fusion.loop import Affine, Buffer, Builder, For, If, Instr, Merge, Program, Statement, Store, verify
from workbench.fusion.plan.model import DeviceModel

__all__ = ["FEWEST", "SAMPLE", "Branch", "branch_of", "pays", "taken"]

#: rows that are looked at, and rows of a kernel below which looking would take longer than it saves
SAMPLE, FEWEST = 4_096, 1_000_000
#: nanoseconds that a vector's branch takes when it is foreseen
_TEST_NS = 1.0


@dataclass(eq=False)
class Branch:
    """The other form of a kernel.

    Attributes
    ----------
    program : Program
        Jumps over vectors of which no row passes.
    test : Program
        Counts the rows that pass, in its output `passed`.
    rows : str
        The symbol of the number of rows.
    sampled : tuple of str
        Buffers that the test reads row by row.
    body : float
        Nanoseconds an element of what is jumped over.
    """

    program: Program
    test: Program
    rows: str
    sampled: tuple[str, ...]
    body: float
    #: of the data that was looked at last: what it was, and whether jumping pays there
    seen: Any = None
    jumps: bool = False
    compiled: Any = field(default=None, repr=False)


def branch_of(program: Program, model: DeviceModel) -> Branch | None:
    """Return the form of a program that jumps, or None if it can never pay.

    Parameters
    ----------
    program : Program
        Of one loop over rows, all of whose stores and merges ask for the same rows.
    model : DeviceModel
    """
    wide = [loop for loop in program.loops if loop.dims]
    if len(wide) != 1 or len(wide[0].dims) != 1 or not isinstance(wide[0].dims[0].size, str):
        return None
    loop, row = wide[0], wide[0].dims[0]
    pred = _common(loop.body)
    if pred is None:
        return None
    before = _needed(loop.body, pred)
    inside = tuple([each for each in loop.body if not (isinstance(each, Instr) and each.id in before)])
    body = sum(_cost(each, program, model) for each in inside)
    if not pays(body, 0.0, model):
        return None
    test = [each for each in loop.body if isinstance(each, Instr) and each.id in before]
    sampled = [each.name for each in test if each.op == "load" and each.index == (Affine(((row.name, 1),)),)]
    if any(each.op == "load" and each.index and each.name not in sampled for each in test):
        return None  # looked up somewhere else
    if any(program.buffer(each.name).role != "in" for each in test if each.op == "load"):
        return None
    jumping = replace(loop, body=(*test, If(pred, inside)))
    loops = tuple([jumping if each is loop else each for each in program.loops])
    return Branch(
        verify(_copy(program, program.buffers, loops)),
        _counting(program, loop, test, pred),
        row.size,  # type: ignore[arg-type]
        tuple(sampled),
        body,
    )


def pays(body: float, passing: float, model: DeviceModel, lanes: int = 8) -> bool:
    """Return whether jumping over what costs `body` pays where so many of the rows pass.

    A vector is jumped over if none of its rows passes.
    """
    some = 1.0 - (1.0 - passing) ** lanes
    miss = model.op_ns.get("mispredict", 5.0) / lanes
    return body > _TEST_NS / lanes + some * body + 2 * min(some, 1 - some) * miss


def taken(branch: Branch, buffers: Mapping[str, np.ndarray], sizes: Mapping[str, int], model: DeviceModel) -> bool:
    """Return whether jumping pays on these arrays; they are looked at once.

    Parameters
    ----------
    branch : Branch
    buffers : mapping of str to ndarray
    sizes : mapping of str to int
    model : DeviceModel
    """
    rows = sizes[branch.rows]
    if rows < FEWEST:
        return False
    seen = tuple([(buffers[name].__array_interface__["data"][0], rows) for name in branch.sampled])
    if seen != branch.seen:
        from workbench.fusion import interpret

        places = np.linspace(0, rows - 1, SAMPLE).astype(np.int64)
        some = {**buffers, **{name: buffers[name][places] for name in branch.sampled}}
        found = interpret.run(branch.test, some, {**sizes, branch.rows: SAMPLE})
        branch.seen, branch.jumps = seen, pays(branch.body, int(found["passed"]) / SAMPLE, model)
    return branch.jumps


def _common(body: tuple[Statement, ...]) -> int | None:
    """Return the last value that all stores and merges of a loop ask to be true; None if there is none."""
    if any(isinstance(each, For | If) or (isinstance(each, Instr) and each.op in ("scan", "result")) for each in body):
        return None
    made = {each.id: each for each in body if isinstance(each, Instr)}
    shared: set[int] | None = None
    for each in body:
        if isinstance(each, Store | Merge):
            if each.pred is None:
                return None
            implied = _implied(each.pred, made)
            shared = implied if shared is None else shared & implied
    if not shared:
        return None
    order = [each.id for each in body if isinstance(each, Instr)]
    return max(shared, key=order.index)


def _implied(pred: int, made: dict[int, Instr]) -> set[int]:
    found, stack = set(), [pred]
    while stack:
        each = stack.pop()
        found.add(each)
        if made[each].op == "logical_and":
            stack += made[each].args
    return found


def _needed(body: tuple[Statement, ...], pred: int) -> set[int]:
    made = {each.id: each for each in body if isinstance(each, Instr)}
    found: set[int] = set()
    stack = [pred]
    while stack:
        each = stack.pop()
        if each not in found and each in made:
            found.add(each)
            stack += made[each].args
            stack += [at for at in made[each].index if isinstance(at, int)]
    return found


def _cost(each: Statement, program: Program, model: DeviceModel) -> float:
    if isinstance(each, Instr):
        if each.op == "load" and each.index:
            size = np.dtype(each.dtype).itemsize
            return 1.5 if isinstance(each.index[0], int) else size / model.memory
        if each.op in ("const", "size", "index", "load"):
            return 0.0
        return model.op_ns.get(each.op, 0.15)
    return 2.0 if isinstance(each, Merge) and each.keys else 0.15


def _counting(program: Program, loop: For, test: list[Instr], pred: int) -> Program:
    one, total, builder = (1 + max(each.id for each in test) + k for k in range(3))
    count = Builder(builder, "merge", ("+",), ("int64",))
    body: tuple[Statement, ...] = (*test, Instr(one, "const", (), "int64", 1), Merge(builder, (one,), (), pred))
    names = {each.name for each in test if each.op == "load"}
    buffers = tuple([each for each in program.buffers if each.name in names])
    end: tuple[Statement, ...] = (Instr(total, "result", (), "int64", builder=builder), Store("passed", (), total))
    dims = (replace(loop.dims[0], kind="reduce"),)
    loops = (For(dims, body, (count,)), For((), end))
    return verify(_copy(program, (*buffers, Buffer("passed", "int64", (), "out")), loops))


def _copy(program: Program, buffers: tuple[Buffer, ...], loops: tuple[For, ...]) -> Program:
    return Program(program.name, program.sizes, buffers, loops, program.exact)
