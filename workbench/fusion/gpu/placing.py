"""Which task computes each root of a launch: those that walk alike share one, what waits for others comes later."""

from __future__ import annotations

import math
from collections.abc import Sequence

from workbench.fusion.gpu.memory import looked
from workbench.fusion.gpu.tasks import WHOLE, Axis, Launch, Reach, Refs, Task, Unsupported, Work, laid
from workbench.fusion.plan.inline import base_of
from workbench.fusion.plan.kernels import Group, Partition, Root
from workbench.fusion.plan.model import Limits

__all__ = ["launch_of"]

#: elements of a row that a block reduces with nobody's help
BLOCK = 8_192
#: roots of one task
MOST = 64
#: reductions whose partial results merge, and those whose results are positions besides
MERGED = ("sum", "prod", "min", "max", "any", "all", "mean", "var", "std", "count_nonzero")
SPLIT = (*MERGED, "argmax", "argmin")


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
