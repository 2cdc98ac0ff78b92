"""How many registers a tile takes: whether its rows stay in them, or are walked in steps."""

from __future__ import annotations

from workbench.fusion.expr import Expr
from workbench.fusion.gpu.tasks import Reach, Refs, Task, fitting

__all__ = ["MOST_REGISTERS", "fitted", "live_values", "loops"]

#: registers of a thread that rows may take, beside those for addresses and conditions
MOST_REGISTERS, OTHERS = 150, 16
#: registers that a thread can have at all
ALL_REGISTERS = 255
#: elements of a thread below which it would load less than 16 bytes at once
VECTOR = 4
#: registers of a multiprocessor, all of which one block may have
FILE = 65_536
#: warps of a block, at most
MOST_WARPS = 16


def fitted(warps: int, elements: int, live: int, most: int = MOST_REGISTERS) -> int:
    """Return the warps with which a tile fits the registers; 0 if there are none.

    A thread may take more than `most` where it holds no more than one load of 16 bytes of each value.

    Parameters
    ----------
    warps : int
        With which it is to begin.
    elements : int
        Of the tile.
    live : int
        Values of each of them that are there at the same time.
    most : int
        Registers that they may take of a thread.
    """
    while warps <= MOST_WARPS:
        own = elements / (32 * warps)
        room = min(most if own > VECTOR else ALL_REGISTERS - OTHERS, FILE // (32 * warps) - OTHERS)
        if live * own <= room:
            return warps
        warps *= 2
    return 0


def loops(task: Task) -> bool:
    """Return whether rows of a task can be walked in steps."""
    return (
        task.mode == "rows"
        and not task.across
        and len(task.sides) == 1
        and not any(work.part or work.how == "scan" for work in task.works)
    )


def live_values(task: Task, reach: dict[int, Reach]) -> int:
    """Return how many values of each element are there at the same time; those of 8 bytes count twice."""
    order: dict[tuple[int, Refs], Expr] = {}
    last: dict[tuple[int, Refs], int] = {}
    for work in sorted(task.works, key=lambda each: each.stage):
        if work.how == "finish":
            continue
        own = reach[id(work.node)]
        start = work.root.node if work.root.kind in ("store", "part") else work.root.node.inputs[0]
        stack: list[tuple[Expr, Refs, bool]] = [(start, work.axes, False)]
        while stack:
            node, along, done = stack.pop()
            refs = fitting(node, along)
            key = id(node), refs
            inputs = node.inputs if own.inside(node, work.root) else ()
            if done:
                order.setdefault(key, node)
                last.update({(id(each), fitting(each, refs)): len(order) for each in inputs})
            elif key not in order and node.kind != "Const":
                stack.append((node, along, True))
                stack.extend((each, refs, False) for each in reversed(inputs))
        last[id(start), fitting(start, work.axes)] = len(order) + 1
    ends: dict[int, int] = {}
    now = most = 0
    for place, (key, node) in enumerate(order.items(), 1):
        now -= ends.pop(place, 0)
        if not any(axis is not None and axis.side != "r" for axis in key[1]):
            continue
        size = 2 if node.dtype.itemsize > 4 else 1
        most = max(most, now + size)
        end = last.get(key, place)
        if end > place:
            now += size
            ends[end] = ends.get(end, 0) + size
    return most
