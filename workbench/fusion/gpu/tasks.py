"""The phases of a launch, and the tasks of each: which roots one walk over tiles computes.

A tile has rows and columns. A task walks rows, of which each tile holds all columns (mode "rows"); or a flat array
(mode "flat"); or both in pieces (mode "split"), whose reductions leave partial results that a later phase merges in
order. Between phases all of the launch waits for all of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from workbench.fusion.expr import Expr
from workbench.fusion.plan.inline import base_of
from workbench.fusion.plan.kernels import Group, Partition, Root

__all__ = ["Axis", "Launch", "Reach", "Refs", "Task", "Unsupported", "Work", "fitting", "laid", "scanned"]

#: elements of a row that a tile holds at most
WHOLE = 16_384


class Unsupported(Exception):
    """What the emitter has no form for; the message is the reason that a plan tells."""


@dataclass(frozen=True)
class Axis:
    """Where a dimension lies in a tile: side "r" or "c<length>", how many positions a step is, how many steps."""

    side: str
    step: int
    length: int


Refs = tuple["Axis | None", ...]


@dataclass(eq=False)
class Work:
    """A root in a task.

    Attributes
    ----------
    root : Root
    how : {"store", "reduce", "across", "scan", "finish"}
        "across" reduces the rows of a task that walks rows; "finish" merges partial results.
    axes : tuple of Axis or None
        Of the root's space.
    side : str
        Columns that it runs over; "" for what is done once a row.
    stage : int
        Which walk over the columns computes it.
    part : int
        Columns that are reduced together, where it is not the whole row; else 0.
    into : Expr or None
        Of one of the arrays that are joined: what they are joined to.
    moved : int
        Elements of that before its first one.
    """

    root: Root
    how: str
    axes: Refs
    side: str
    stage: int = 0
    part: int = 0
    into: Expr | None = None
    moved: int = 0

    @property
    def node(self) -> Expr:
        """What it computes, or computes some of."""
        return self.root.node if self.into is None else self.into

    @property
    def result(self) -> Refs:
        """Where the dimensions of its value lie in the tile."""
        node = self.node
        if self.how not in ("reduce", "across"):
            return scanned(self.root, self.axes)
        gone = set(node.attr("axes"))
        found: list[Axis | None] = []
        for k, axis in enumerate(self.axes):
            if k in gone:
                found += [None] if node.attr("keepdims") else []
            elif axis is not None and axis.side != "r" and self.part:
                many = int(axis.side[1:]) // self.part
                found.append(Axis(f"c{many}", axis.step // self.part, axis.length) if many > 1 else None)
            else:
                found.append(axis)
        return tuple(found)


@dataclass(eq=False)
class Task:
    """A walk over tiles."""

    phase: int
    mode: str
    rows: int
    works: list[Work] = field(default_factory=list)

    @property
    def sides(self) -> list[str]:
        """Its columns, longest first."""
        found = {each.side for each in self.works if each.side}
        found |= {axis.side for each in self.works for axis in each.result if axis is not None and axis.side != "r"}
        return sorted(found, key=lambda side: (-int(side[1:]), side))

    @property
    def across(self) -> list[Work]:
        """What reduces its rows."""
        return [each for each in self.works if each.how == "across"]

    @property
    def partial(self) -> list[Work]:
        """What leaves partial results."""
        return self.across + [each for each in self.works if self.mode == "split" and each.how == "reduce"]


@dataclass(eq=False)
class Launch:
    """The tasks of one launch.

    Attributes
    ----------
    tasks : list of Task
    scalars : dict of int to list of Work
        Phase -> reductions to one value that each block merges at its begin.
    """

    tasks: list[Task] = field(default_factory=list)
    scalars: dict[int, list[Work]] = field(default_factory=dict)
    #: id of a root's node -> what tells where its values come from
    reach: dict[int, Reach] = field(default_factory=dict)

    @property
    def phases(self) -> int:
        """How many there are."""
        return 1 + max([each.phase for each in self.tasks] + list(self.scalars))


class Reach:
    """Where the values that a root is computed from lie in its space."""

    def __init__(self, group: Group, parts: Partition) -> None:
        self.group, self.parts = group, parts
        self._inside: dict[int, bool] = {}
        self._seen: dict[tuple[int, Refs], list[tuple[Expr, Refs]]] = {}

    def inside(self, node: Expr, root: Root) -> bool:
        """Return whether a node is computed in registers; not if an earlier launch has stored it."""
        if node is root.node and root.kind == "store":
            return True
        found = self._inside.get(id(node))
        if found is None:
            home = self.parts.where.get(id(node))
            stored = home is not None and home.level < self.group.level and id(node) not in self.parts.virtual
            found = self._inside[id(node)] = self.parts.inline(node) and not stored
        return found

    def bases(self, root: Root) -> list[int]:
        """Return ids of the arrays, and of the other roots, that a root reads."""
        return list(dict.fromkeys(id(base_of(node)) for node, _ in self.seen(root, (None,) * len(root.space))))

    def seen(self, root: Root, refs: Refs) -> list[tuple[Expr, Refs]]:
        """Return what a root reads, arrays and values of other roots, and where the dimensions lie."""
        key = id(root), refs
        found = self._seen.get(key)
        if found is None:
            found = self._seen[key] = list(self._walk(root, refs))
        return found

    def _walk(self, root: Root, refs: Refs) -> Iterator[tuple[Expr, Refs]]:
        order: Refs = refs
        start = [root.node] if root.kind in ("store", "part") else [root.node.inputs[0]]
        known: set[tuple[int, Refs]] = set()
        stack = [(each, scanned(root, order)) for each in start]
        while stack:
            node, along = stack.pop()
            along = fitting(node, along)
            if node.kind == "Const" or (id(node), along) in known:
                continue
            known.add((id(node), along))
            if self.inside(node, root):
                inputs = node.inputs
                if node.kind == "Gather":  # some of it, nobody knows which
                    yield inputs[0], (None,) * len(inputs[0].shape)
                    inputs = inputs[1:]
                stack.extend((each, along) for each in inputs)
            else:
                yield node, along


def scanned(root: Root, refs: Refs) -> Refs:
    """Return the refs of the axes of what is scanned: the space has its axis last."""
    if root.kind != "scan":
        return refs
    order = list(refs[:-1])
    order.insert(root.node.attr("axis"), refs[-1])
    return tuple(order)


def fitting(node: Expr, along: Refs) -> Refs:
    """Return the refs of the axes of a node that is broadcast along others."""
    last = along[len(along) - len(node.shape) :]
    if 1 not in node.shape:
        return last
    return tuple([None if d == 1 else axis for d, axis in zip(node.shape, last, strict=True)])


def laid(space: Sequence[int], rows: Sequence[int], columns: Sequence[int]) -> tuple[Refs, str]:
    """Return where the axes of a space lie, if some are the rows of a tile and others its columns; and its side."""
    refs: list[Axis | None] = [None] * len(space)
    side = f"c{math.prod([space[k] for k in columns])}"
    for name, axes in (("r", rows), (side, columns)):
        step = 1
        for k in reversed(axes):
            if space[k] != 1:
                refs[k] = Axis(name, step, space[k])
                step *= space[k]
    return tuple(refs), side if any(space[k] != 1 for k in columns) else ""
