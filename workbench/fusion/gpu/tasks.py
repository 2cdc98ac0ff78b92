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
from workbench.fusion.gpu.memory import looked
from workbench.fusion.plan.inline import base_of
from workbench.fusion.plan.kernels import Group, Partition, Root
from workbench.fusion.plan.model import Limits

__all__ = ["Axis", "Launch", "Reach", "Task", "Unsupported", "Work", "launch_of"]

#: elements of a row that a tile holds at most, and of a row that a block reduces with nobody's help
WHOLE, BLOCK = 16_384, 8_192
#: roots of one task
MOST = 64
#: reductions whose partial results merge, and those whose results are positions besides
MERGED = ("sum", "prod", "min", "max", "any", "all", "mean", "var", "std", "count_nonzero")
SPLIT = (*MERGED, "argmax", "argmin")


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


def launch_of(groups: Sequence[Group], parts: Partition, limits: Limits) -> Launch:
    """Return the phases and tasks of the groups of one launch.

    Raises
    ------
    Unsupported
        If the emitter has no form for one of them.
    """
    found = Launch()
    for group in groups:
        _Placing(group, parts, limits, found).run()
    return found


class _Placing:
    def __init__(self, group: Group, parts: Partition, limits: Limits, found: Launch) -> None:
        self.group, self.parts, self.limits, self.found = group, parts, limits, found
        self.reach = Reach(group, parts)
        self.tasks: list[Task] = []
        self.home: dict[int, tuple[Task, Work]] = {}
        #: ids of what some root needs
        self.used: set[int] = set()
        #: phase, id of what is read -> tasks that read it
        self.readers: dict[tuple[int, int], list[Task]] = {}
        #: id of a node -> the phase from which on all of the launch can read it
        self.ready: dict[int, int] = {}
        self.block = min(BLOCK, limits.shared_bytes // 16)

    def run(self) -> None:
        for root in self.group.roots:
            if any(not isinstance(d, int) for d in root.space):
                raise Unsupported("filtered rows on the GPU")
            if root.kind not in ("store", "reduce", "columns", "scan", "concat"):
                raise Unsupported(f"{root.kind} on the GPU")
            if any(id(node) in self.parts.virtual for node in (root.node, *root.node.inputs)):
                raise Unsupported("filtered rows on the GPU")
            self.found.reach[id(root.node)] = self.reach
            if root.kind == "concat":
                self.join_parts(root)
            else:
                self.place(root)
        self.found.tasks += self.tasks
        for task in list(self.tasks):
            for work in task.partial:
                self.finish(task, work)

    def finish(self, task: Task, work: Work) -> None:
        """Have a later phase merge partial results."""
        kept = math.prod([d for d in work.node.shape if isinstance(d, int)])
        if kept == 1:
            self.found.scalars.setdefault(task.phase + 1, []).append(work)
            return
        final = Task(task.phase + 1, "rows", kept)
        refs, _ = laid(work.node.shape, range(len(work.node.shape)), ())  # type: ignore[arg-type]
        final.works.append(Work(work.root, "finish", refs, ""))
        self.found.tasks.append(final)

    def join_parts(self, root: Root) -> None:
        """Have each of the arrays that are joined computed where it belongs in the result."""
        node, axis = root.node, root.node.attr("axis")
        below = math.prod([d for d in node.shape[axis + 1 :] if isinstance(d, int)])
        moved = 0
        for each in node.inputs:
            length = each.shape[axis]
            assert isinstance(length, int)
            if 0 not in each.shape:
                task = self.begun(Root(each, "part", each.shape), 0)
                task.works[0].into, task.works[0].moved = node, moved
                self.tasks.append(task)
            moved += length * below

    def place(self, root: Root) -> None:
        # what is read through a view, or was made in another task, is read from memory once it is ready
        needs = [each for each in self.reach.bases(root) if each in self.home]
        self.used.update(needs)
        homes = sorted({id(self.home[each][0]): self.home[each][0] for each in needs}.values(), key=lambda t: -t.phase)
        for task in homes:
            others = [each for each in needs if self.home[each][0] is not task]
            if all(self.ready[each] <= task.phase for each in others):
                work = self.fits(root, task)
                if work is not None and self.reads(work, task):
                    return self.join(work, task)
        phase = max([self.ready[each] for each in needs], default=0)
        for task in self.beside(root, phase):
            work = self.fits(root, task) or self.turned(root, task)
            if work is not None and self.reads(work, task):
                return self.join(work, task)
        task = self.begun(root, phase)
        self.tasks.append(task)
        return self.join(task.works.pop(), task)

    def beside(self, root: Root, phase: int) -> list[Task]:
        """Return tasks of a phase that read what a root reads, first made first."""
        found: dict[int, Task] = {}
        for each in self.reach.bases(root):
            found.update({id(task): task for task in self.readers.get((phase, each), ())})
        return [task for task in found.values() if root.kind != "store" or len(task.works) < MOST]

    def join(self, work: Work, task: Task) -> None:
        stage = 0
        for node, _ in self.reach.seen(work.root, work.axes):
            at = self.home.get(id(node))
            if at is not None and at[0] is task:
                stage = max(stage, at[1].stage + (at[1].how == "reduce"))
        work.stage = stage
        task.works.append(work)
        for each in self.reach.bases(work.root):
            known = self.readers.setdefault((task.phase, each), [])
            if task not in known:
                known.append(task)
        key = id(work.node)
        self.home[key] = task, work
        self.ready[key] = self.when(work, task)

    def when(self, work: Work, task: Task) -> int:
        """Return the phase from which on all of the launch can read what a task computes."""
        several = work in task.partial and math.prod([d for d in work.node.shape if isinstance(d, int)]) > 1
        return task.phase + 1 + several

    def reads(self, work: Work, task: Task) -> bool:
        """Return whether all that a root reads of its task is in the registers that it looks at."""
        for node, refs in self.reach.seen(work.root, work.axes):
            at = self.home.get(id(base_of(node)))
            if at is None or at[0] is not task:
                continue
            if base_of(node) is not node or at[1].how == "across" or at[1] in task.partial:
                return False
            if _real(refs) != _real(at[1].result) and _real(refs) != _real(_spread(at[1])):
                return False
            if at[1].how == "store" and not work.side and at[1].side:
                return False
        return True

    def fits(self, root: Root, task: Task) -> Work | None:
        """Return a root as work of a task that walks as it does; None if it walks otherwise."""
        space: tuple[int, ...] = root.space  # type: ignore[assignment]
        every = range(len(space))
        if task.mode == "flat":
            if root.kind != "store" or math.prod(space) != math.prod(task.works[0].root.space):  # type: ignore[arg-type]
                return None
            return Work(root, "store", *laid(space, (), every))
        cut = _prefix(space, task.rows)
        if task.mode == "split":
            first = task.works[0]
            if space != first.root.space or root.kind not in ("store", first.root.kind):
                return None
            if root.kind == "store":
                return Work(root, "store", first.axes, first.side)
            if root.node.attr("axes") != first.node.attr("axes") or root.node.name not in SPLIT:
                return None
            return Work(root, "reduce", first.axes, first.side)
        if cut is None:
            return None
        axes, side = laid(space, every[:cut], every[cut:])
        columns = math.prod(space[cut:])
        whole = max([int(each[1:]) for each in task.sides], default=1) <= WHOLE and columns <= WHOLE
        if root.kind == "store":
            return Work(root, "store", axes, side)
        if root.kind == "scan":
            return Work(root, "scan", axes, side) if cut == len(space) - 1 else None
        if root.kind == "columns":
            if root.node.attr("axes") != tuple(every[:cut]) or not whole or root.node.name not in MERGED[:-1]:
                return None
            if root.node.name in ("var", "std") or columns > self.block:
                return None
            return Work(root, "across", axes, side)
        if _same(root.rows, cut, space):
            return Work(root, "reduce", axes, side)
        part = math.prod(space[root.rows :])
        merges = root.node.name in MERGED and root.node.name not in ("var", "std")
        if root.rows > cut and whole and merges and part & (part - 1) == 0:
            return Work(root, "reduce", axes, side, part=part)
        return None

    def turned(self, root: Root, task: Task) -> Work | None:
        """Have a task walk as a root does, if all that it computes can be computed so; return the root's work."""
        if root.kind not in ("reduce", "scan") or task.mode == "split" or task.across:
            return None
        fresh = self.begun(root, task.phase)
        moved = []
        for each in task.works:
            work = self.fits(each.root, fresh)
            if work is None or each.root.kind == "scan":
                return None
            moved.append(work)
            work.stage = each.stage
        works, mode, rows = task.works, task.mode, task.rows
        task.works, task.mode, task.rows = moved, fresh.mode, fresh.rows
        if not all(self.reads(work, task) for work in moved):
            task.works, task.mode, task.rows = works, mode, rows
            return None
        ready = {id(work.node): self.when(work, task) for work in moved}
        if any(phase > self.ready[key] and key in self.used for key, phase in ready.items()):
            task.works, task.mode, task.rows = works, mode, rows  # someone counts on its being there
            return None
        self.ready.update(ready)
        self.home.update({id(work.node): (task, work) for work in moved})
        return fresh.works[0]

    def begun(self, root: Root, phase: int) -> Task:
        """Return a task of one root."""
        space: tuple[int, ...] = root.space  # type: ignore[assignment]
        every = range(len(space))
        if root.kind in ("store", "part"):
            turned = self.transposed(root)
            if turned is not None:
                axes, side = laid(space, every[:turned], every[turned:])
                return Task(phase, "split", math.prod(space[:turned]), [Work(root, "store", axes, side)])
            return Task(phase, "flat", 1, [Work(root, "store", *laid(space, (), every))])
        if root.kind == "scan":
            axes, side = laid(space, every[:-1], every[-1:])
            return Task(phase, "rows", math.prod(space[:-1]), [Work(root, "scan", axes, side)])
        if root.kind == "columns":
            gone = root.node.attr("axes")
            kept = [k for k in every if k not in gone]
        else:
            kept, gone = list(every[: root.rows]), tuple(every[root.rows :])
        axes, side = laid(space, kept, gone)
        rows, columns = math.prod([space[k] for k in kept]), math.prod([space[k] for k in gone])
        blocks = rows if root.kind == "reduce" else math.ceil(rows / 64)
        alone = self.block if root.kind == "reduce" else self.block // 16
        mode = "split" if columns > alone and blocks < self.limits.units and root.node.name in SPLIT else "rows"
        return Task(phase, mode, rows, [Work(root, "reduce", axes, side)])

    def transposed(self, root: Root) -> int | None:
        """Return after how many axes a tile's columns begin, if some array lies the other way round."""
        refs = tuple([Axis("c", k, 1) if d != 1 else None for k, d in enumerate(root.space)])
        for node, along in self.reach.seen(root, refs):
            steps = [
                (step, axis.step) for axis, step in zip(along, looked(node).strides, strict=True) if axis is not None
            ]
            moving = [each for each in steps if each[0]]
            if len(moving) > 1 and min(moving)[1] != moving[-1][1] and math.prod(root.space) >= 1024:  # type: ignore[arg-type]
                return min(moving)[1] + 1
        return None


def _real(refs: Refs) -> list[Axis]:
    return [each for each in refs if each is not None]


def _spread(work: Work) -> Refs:
    """Return where the dimensions of a reduction of parts of rows lie in the whole row."""
    gone = set(work.node.attr("axes") or ()) if work.part else set()
    return tuple([None if k in gone else axis for k, axis in enumerate(work.axes)]) if work.part else work.result


def _prefix(space: Sequence[int], rows: int) -> int | None:
    """Return how many leading axes of a space have so many positions together."""
    total = 1
    for k, d in enumerate(space):
        if total == rows:
            return k
        total *= d
    return len(space) if total == rows else None


def _same(rows: int, cut: int, space: Sequence[int]) -> bool:
    low, high = sorted((rows, cut))
    return all(space[k] == 1 for k in range(low, high))
