"""Which nodes become memory, and which loop computes each: the cut of a graph into kernels.

A node is *inline* if it is computed in registers inside the loops of whoever uses it. What is not inline is a *cut*: it
has a slot in memory, and a kernel or a library that computes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workbench.fusion.expr import Expr, Size
from workbench.fusion.graph import walk
from workbench.fusion.plan.grouping import joined, root_of
from workbench.fusion.plan.inline import base_of, compiles, is_inline
from workbench.fusion.plan.kernels import MOST_OPS, Group, Partition, Root, Vertex
from workbench.fusion.plan.schemes import Loops, Schemes

__all__ = ["cut", "partition", "settle"]


def partition(roots: Sequence[Expr], cuts: Sequence[int] = ()) -> Partition:
    """Return the kernels that compute the roots, each as large as it gets.

    Parameters
    ----------
    roots : sequence of Expr
    cuts : sequence of int
        Ids of nodes that are to be stored and loaded, though they could be computed where they are used.
    """
    parts = cut(roots, cuts)
    settle(parts, joined(parts))
    return parts


def cut(roots: Sequence[Expr], cuts: Sequence[int] = ()) -> Partition:
    """Return a graph with its vertices, which belong to no kernel yet."""
    order = walk(roots, masks=False)
    parts = Partition(order, {id(base_of(root)) for root in roots}, set(cuts))
    _cut_long(parts)
    _cut_needed(parts)
    while _cut_mixed(parts):
        pass
    _find_vertices(parts)
    return parts


def settle(
    parts: Partition,
    kernels: Sequence[Sequence[int]],
    packs: Sequence[int] | None = None,
    schemes: Schemes | None = None,
) -> None:
    """Give each vertex to its kernel, and each kernel the level at which all that it reads is there.

    Parameters
    ----------
    parts : Partition
    kernels : sequence of sequence of int
        Numbers of vertices, ascending; each vertex is in one.
    packs : sequence of int, optional
        For each kernel which launch it is part of.
    schemes : Schemes, optional
        The rules of the device: by default those of a CPU.
    """
    vertices = parts.vertices
    units = list(range(len(kernels))) if packs is None else list(packs)
    levels = _levels(parts, kernels, units)
    parts.groups, parts.calls, parts.where, parts.roots = [], [], {}, {}
    for number, kernel in enumerate(kernels):
        level = levels[units[number]]
        first = vertices[kernel[0]]
        parts.levels.update({id(vertices[each].node): level for each in kernel})
        if first.root is None:
            parts.calls.append((level, first.node))
            continue
        built = (schemes or Loops()).built([vertices[each] for each in kernel], parts)
        if built is None:
            raise AssertionError("a kernel of loops that do not fit together")
        group = Group(level, first.root.space, built.rows or None, pack=units[number])
        for each in kernel:
            root = vertices[each].root
            assert root is not None
            inner, stage = built.inner[each], built.stages[each]
            group.add(Root(root.node, root.kind, root.space, root.rows, inner, stage, built.schemes.get(each, "local")))
        parts.groups.append(group)
        for root in group.roots:
            parts.where[id(root.node)], parts.roots[id(root.node)] = group, root
    _find_needed(parts)


def _levels(parts: Partition, kernels: Sequence[Sequence[int]], units: Sequence[int]) -> dict[int, int]:
    """Return for each launch how many others have to be through before it."""
    unit = {each: units[number] for number, kernel in enumerate(kernels) for each in kernel}
    before: dict[int, set[int]] = {each: set() for each in units}
    for vertex in parts.vertices:
        own = unit[vertex.number]
        before[own].update(unit[each] for each in vertex.needs if unit[each] != own)
    found: dict[int, int] = {}
    waiting = list(before)
    while waiting:
        later = []
        for each in waiting:
            if all(other in found for other in before[each]):
                found[each] = max([found[other] + 1 for other in before[each]], default=0)
            else:
                later.append(each)
        if len(later) == len(waiting):
            raise AssertionError("kernels that wait for one another")
        waiting = later
    return found


def _find_vertices(parts: Partition) -> None:
    """Find what has a slot or is asked for, and what each of it reads."""
    number: dict[int, int] = {}
    for node in parts.order:
        if node.kind in ("Leaf", "Const", "View") or (id(node) not in parts.cuts and id(node) not in parts.outputs):
            continue
        own = len(parts.vertices)
        if compiles(node):
            inside, loads, through = parts.cones[id(node)] = parts.cone(node)
            vertex = Vertex(own, node, root_of(node, parts), inside, loads, through)
        else:
            vertex = Vertex(own, node, None, [], [base_of(each) for each in node.inputs], set())
        vertex.needs = tuple(sorted({number[id(each)] for each in vertex.loads if id(each) in number}))
        for each in vertex.needs:
            vertex.above |= parts.vertices[each].above | 1 << each
        number[id(node)] = own
        parts.vertices.append(vertex)
    for vertex in reversed(parts.vertices):
        for each in vertex.needs:
            parts.vertices[each].below |= vertex.below | 1 << vertex.number


def _find_needed(parts: Partition) -> None:
    """Find which results have to be in memory: what is asked for, and what another kernel or a library reads."""
    parts.needed.update(parts.outputs)
    for _, node in parts.calls:
        parts.needed.update(id(base_of(each)) for each in node.inputs)
    for group in parts.groups:
        for root in group.roots:
            _, loads, through = parts.cone(root.node)
            parts.needed.update(through)
            parts.needed.update(id(each) for each in loads if parts.where.get(id(each)) is not group)


def _cut_long(parts: Partition) -> None:
    """Cut where a loop would compute too many operations."""
    size: dict[int, int] = {}
    for node in parts.order:
        size[id(node)] = 0
        if not is_inline(node):
            continue
        inputs = [each for each in node.inputs if id(each) not in parts.cuts]
        guess = 1 + sum(size[id(each)] for each in inputs)
        if guess > MOST_OPS:
            guess = 1 + len(parts.cone(node)[0])
            if guess > MOST_OPS:
                longest = max(inputs, key=lambda each: size[id(each)])
                parts.cuts.add(id(longest))
                guess = 1 + len(parts.cone(node)[0])
        size[id(node)] = guess


def _cut_needed(parts: Partition) -> None:
    """Cut what a library, a view or a gather needs in memory."""
    for node in parts.order:
        if node.kind in ("Leaf", "Const"):
            continue
        needed: Sequence[Expr] = ()
        if node.kind == "View":
            needed = node.inputs
        elif node.kind == "Gather" and compiles(node):
            needed = node.inputs[:1]
        elif not compiles(node):
            parts.cuts.add(id(node))
            needed = node.inputs
        elif node.kind in ("Reduce", "Scan", "GroupReduce", "Scatter", "Concat"):
            parts.cuts.add(id(node))
            for key in node.inputs[: node.attr("keys", 0)]:
                while key.kind == "Filter" or (key.kind == "Gather" and compiles(key)):
                    key = key.inputs[0]
                if is_inline(base_of(key)):
                    parts.cuts.add(id(base_of(key)))  # its range is looked at; of what is taken, that of the table
            if node.kind == "Scan":
                continue
        # whoever else uses it may compute it again in its own loop
        parts.outputs.update(id(base_of(each)) for each in needed)


def _cut_mixed(parts: Partition) -> bool:
    """Find what lives below filters; cut what meets an array of the filtered length. Return whether anything was."""
    parts.virtual.clear()
    before = len(parts.cuts)
    for node in parts.order:
        if not is_inline(node):
            # a position, or a running value, is one of the filtered rows
            places = node.kind == "Scan" or (node.kind == "Reduce" and node.name in ("argmin", "argmax"))
            if places and compiles(node) and _virtual(node.inputs[0], parts):
                parts.cuts.add(id(node.inputs[0]))
            if node.kind == "Scatter" and compiles(node):
                parts.cuts.update(id(each) for each in node.inputs if _virtual(each, parts))
            if node.kind == "GroupReduce" and compiles(node):
                below = [each for each in node.inputs if _virtual(each, parts)]
                if len(below) < len(node.inputs):
                    parts.cuts.update(id(each) for each in below)
            continue
        sized = [each for each in node.inputs if any(isinstance(d, Size) for d in each.shape)]
        known: dict[Any, Any] = {}
        below = [each for each in sized if _virtual(each, parts)]
        if node.kind == "Rows":  # counts the rows that are there
            parts.cuts.update(id(each) for each in below)
            below = []
        if node.kind == "Gather":  # what is taken from has a slot
            sized = [each for each in sized if each is node.inputs[1]]
            below = [each for each in below if each is node.inputs[1]]
        if below and (len(below) < len(sized) or len(node.shape) != 1):
            parts.cuts.update(id(each) for each in below)
            below = []
        for each in below:
            known.update(parts.virtual[id(each)])
        if node.kind == "Filter":
            size, mask = node.shape[0], node.inputs[1]
            assert isinstance(size, Size)
            known[size] = known.get(mask.shape[0], mask.shape[0])
        if known:
            parts.virtual[id(node)] = known
    return len(parts.cuts) > before


def _virtual(node: Expr, parts: Partition) -> bool:
    return id(node) in parts.virtual and id(node) not in parts.cuts
