"""Writing over inputs: which results a kernel may put at once into the memory that they are copied to in the end."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from workbench.fusion.expr import Expr
from workbench.fusion.gpu.launch import Program
from workbench.fusion.gpu.memory import Spec
from workbench.fusion.gpu.planning import Planned
from workbench.fusion.gpu.tasks import Task, Work, fitting
from workbench.fusion.plan.inline import base_of

if TYPE_CHECKING:
    import torch

__all__ = ["overlaps", "written_over"]


def written_over(found: Planned, program: Program, writes: Mapping[int, int]) -> dict[int, int]:
    """Return which results may be written over inputs while others still read those.

    Parameters
    ----------
    found : Planned
    program : Program
    writes : dict of int to int
        Result -> the leaf that it is copied to.

    Returns
    -------
    dict of int to int
        Those of `writes` that need no copy.
    """
    works = [
        (number, task, work)
        for number, source in enumerate(program.sources)
        for task in (source.launch.tasks if source.launch is not None else ())
        for work in task.works
        if work.how != "finish"
    ]
    home = {
        id(work.node): (number, task, work) for number, task, work in works if work.how == "store" and work.into is None
    }
    reach = {key: each for source in program.sources if source.launch for key, each in source.launch.reach.items()}
    readers: dict[int, list[tuple[int, Task, Work, bool]]] = {}
    for number, task, work in works:
        for node, refs in reach[id(work.node)].seen(work.root, work.axes):
            same = node.kind == "Leaf" and refs == fitting(node, work.axes)
            readers.setdefault(id(base_of(node)), []).append((number, task, work, same))
    asked = [id(base_of(root)) for root in found.roots]
    kept = {}
    for made, to in writes.items():
        root, leaf = found.roots[made], program.leaves[to]
        if id(root) not in home or asked.count(id(root)) != 1 or found.looks[made] is not None:
            continue
        if _alike(root, leaf, found) and _read_first(home[id(root)], readers.get(id(leaf), [])):
            kept[made] = to
    return kept


def _alike(root: Expr, leaf: Expr, found: Planned) -> bool:
    spec = leaf.data
    if not isinstance(spec, Spec) or leaf.shape != root.shape or found.storage(root) != spec.storage:
        return False
    if not spec.aligned:  # kernels count on what they store beginning at a multiple of 16 bytes
        return False
    return Spec.of(spec.shape).stride == spec.stride or all(d == 1 for d in spec.shape)


def _read_first(home: tuple[int, Task, Work], readers: Sequence[tuple[int, Task, Work, bool]]) -> bool:
    """Whether each element is read before the one of its place is written, and no other then.

    A tile loads what several of its roots read once, for the first of them; so that has to be the one that writes.
    """
    number, task, work = home
    own = []
    for at, reading, by, same in readers:
        if at < number or (at == number and reading.phase < task.phase):
            continue
        if at > number or reading is not task or not same or by.axes != work.axes:
            return False
        own.append(by)
    if not own:
        return True
    return work in own and (task.mode == "flat" or all(len(task.sides) <= 1 and not each.stage for each in task.works))


def overlaps(tensors: Sequence[torch.Tensor], places: Collection[int]) -> set[int]:
    """Return which tensors of some places share memory with another one."""
    spans: list[tuple[int, int, int]] = []
    for place, each in enumerate(tensors):
        last = sum((d - 1) * s for d, s in zip(each.shape, each.stride(), strict=True))
        spans.append((each.data_ptr(), each.data_ptr() + (last + 1) * each.element_size(), place))
    found: set[int] = set()
    furthest: Any = None  # of those that begin earlier, the one that ends last
    for span in sorted(spans):
        if furthest is not None and span[0] < furthest[1]:
            found.update({span[2], furthest[2]})
        if furthest is None or span[1] > furthest[1]:
            furthest = span
    return found & set(places)
