"""Which nodes become memory, and which loop computes each: the cut of a graph into kernels.

A node is *inline* if it is computed in registers inside the loops of whoever uses it. What is not inline is a *cut*: it
has a slot in memory. A *root* is what a loop leaves behind: a stored array, or a reduction. Roots over the same
iteration space share one kernel; a reduction along rows and what uses it row by row are stages of one kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from workbench.fusion.expr import Expr, Shape, Size, walk
from workbench.fusion.ops import OPS, REDUCERS, SCANS, loop_dtypes, supported

__all__ = ["Group", "Partition", "Root", "base_of", "compiles", "partition", "promotes"]

#: aggregates by group that merge
GROUPED = ("sum", "prod", "mean", "var", "std", "min", "max", "count", "first", "last", "any", "all", "size")
#: nodes that one kernel computes at most: compile time grows faster than their number
MOST_OPS = 240
#: arrays that one kernel joins at most
MOST_PARTS = 16


@dataclass(eq=False)
class Root:
    """What a loop leaves behind.

    Attributes
    ----------
    node : Expr
    kind : {"store", "reduce", "columns", "scan", "scatter", "group", "concat", "part"}
        An array; a reduction of the trailing axes (all of them included), or of others; running values, whose axis is
        the last one of the space; what is merged at places that are computed; a group-by; arrays joined, and one of
        them.
    space : tuple of int or Size
        The dimensions that its loop runs over.
    rows : int
        For a reduction or running values, how many leading dimensions of the space it keeps.
    inner : bool
        False for what is computed once a row, after the row's reductions.
    stage : int
        Which of the group's loops it belongs to.
    """

    node: Expr
    kind: str
    space: Shape
    rows: int = 0
    inner: bool = True
    stage: int = 0


@dataclass(eq=False)
class Group:
    """The roots of one kernel.

    Attributes
    ----------
    level : int
        Groups of lower level run first.
    space : tuple of int or Size
    rows : int or None
        How many leading dimensions are rows, each worked on by inner loops; None or 0: there are no rows.
    roots : list of Root
    """

    level: int
    space: Shape
    rows: int | None = None
    roots: list[Root] = field(default_factory=list)

    @property
    def flat(self) -> bool:
        """Whether all its reductions leave single values."""
        return not self.rows


@dataclass(eq=False)
class Partition:
    """A graph cut into kernels and calls.

    Attributes
    ----------
    order : list of Expr
        All nodes, inputs first.
    cuts : set of int
        Ids of nodes that have a slot and are loaded from it.
    virtual : dict
        Id of an inline node below a filter -> {its unknown size: the dimension that its loop runs over}.
    groups : list of Group
    calls : list of (level, Expr)
        Nodes that a library computes.
    levels : dict
        Id of a node with a slot -> the level from whose next on it can be loaded.
    reasons : list of (Expr, str)
    """

    order: list[Expr]
    #: ids of nodes that have to be in memory
    outputs: set[int]
    cuts: set[int] = field(default_factory=set)
    #: ids of nodes that are read from memory, or asked for
    needed: set[int] = field(default_factory=set)
    virtual: dict[int, dict[Any, Any]] = field(default_factory=dict)
    groups: list[Group] = field(default_factory=list)
    calls: list[tuple[int, Expr]] = field(default_factory=list)
    levels: dict[int, int] = field(default_factory=dict)
    where: dict[int, Group] = field(default_factory=dict)
    roots: dict[int, Root] = field(default_factory=dict)

    def inline(self, node: Expr) -> bool:
        """Return whether the node is computed inside the loops of its users."""
        return id(node) not in self.cuts and is_inline(node)

    def space(self, node: Expr) -> Shape:
        """Return the dimensions that a loop computing the node runs over."""
        known = self.virtual.get(id(node))
        return tuple([known.get(d, d) for d in node.shape]) if known else node.shape

    def cone(self, root: Expr) -> tuple[list[Expr], list[Expr], set[int]]:
        """Return the inline nodes that a root's loop computes, the bases of what it loads, and what is seen askew.

        The last are ids of bases that are seen through a view, or at places that are computed.
        """
        inside: list[Expr] = []
        loads: dict[int, Expr] = {}
        through: set[int] = set()
        seen: set[int] = set()
        stack: list[tuple[Expr, bool]] = [(root, True)] if is_inline(root) else []

        def ask(node: Expr) -> None:
            inputs = node.inputs
            if node.kind == "Gather":  # what is taken from is in memory, even if it could be computed here
                base = base_of(inputs[0])
                through.add(id(base))
                loads[id(base)] = base
                inputs = inputs[1:]
            stack.extend((each, False) for each in reversed(inputs))

        ask(root)
        while stack:
            node, done = stack.pop()
            if done:
                inside.append(node)
                continue
            if id(node) in seen:
                continue
            seen.add(id(node))
            if node.kind == "Const":
                continue
            if not self.inline(node):
                base = base_of(node)
                loads[id(base)] = base
                if base is not node:
                    through.add(id(base))
                continue
            stack.append((node, True))
            ask(node)
        return inside, list(loads.values()), through


def base_of(node: Expr) -> Expr:
    """Return what a chain of views looks at."""
    while node.kind == "View":
        node = node.inputs[0]
    return node


def promotes(x: Expr) -> Any:
    """Return how an input takes part in promotion: its dtype, or the type of a Python number."""
    return type(x.data) if x.kind == "Const" and type(x.data) in (int, float, bool) else x.dtype


def compiles(node: Expr) -> bool:
    """Return whether a kernel can compute the node."""
    kind = node.kind
    if kind == "Map":
        if node.name not in OPS or node.call is not None or not supported(node.dtype):
            return False
        if node.name == "power" and not _safe_power(node):
            return False
        loop = loop_dtypes(node.name, tuple([promotes(x) for x in node.inputs]))
        return all(supported(x.dtype) for x in node.inputs) and all(supported(each) for each in loop)
    if kind in ("Select", "Cast", "Broadcast"):
        return supported(node.dtype) and all(supported(x.dtype) for x in node.inputs)
    if kind == "Rows":
        return len(node.shape) == 1
    if kind == "Filter":
        x, mask = node.inputs
        return len(x.shape) == 1 and len(mask.shape) == 1 and supported(x.dtype) and mask.dtype == np.bool_
    if kind == "Gather":
        x, index = node.inputs
        if len(x.shape) != 1 or x.shape[0] == 0:  # there is nothing to load where nothing is
            return False
        return supported(x.dtype) and index.dtype.kind in "iu" and supported(index.dtype)
    if kind == "GroupReduce":
        return _groups(node)
    if kind == "Reduce":
        return _reduces(node)
    if kind == "Scan":
        plain = len(node.shape) == 1 or not any(isinstance(d, Size) for d in node.shape)
        return node.name in SCANS and plain and supported(node.dtype) and supported(node.inputs[0].dtype)
    if kind == "Scatter":
        return _counts(node)
    if kind == "Concat":
        known = not any(isinstance(d, Size) for x in node.inputs for d in x.shape)
        return known and len(node.inputs) <= MOST_PARTS and all(supported(x.dtype) for x in (*node.inputs, node))
    return False


def is_inline(node: Expr) -> bool:
    """Return whether the node is of a kind that loops compute in registers."""
    return node.kind in ("Map", "Select", "Cast", "Broadcast", "Filter", "Gather", "Rows") and compiles(node)


def _safe_power(node: Expr) -> bool:
    """An integer to a negative power raises: only a constant that is not negative is known not to."""
    if node.dtype.kind not in "iu":
        return True
    by = node.inputs[1]
    return node.dtype.kind == "u" or (by.kind == "Const" and int(by.data) >= 0)


def _groups(node: Expr) -> bool:
    """Whole-number keys, and aggregates that merge."""
    many, ops = node.attr("keys"), node.attr("ops")
    whole = all(each.dtype.kind in "biu" and each.dtype != np.uint64 for each in node.inputs[:many])
    known = all(op in GROUPED for op in ops) and not single_mean(node)
    return whole and known and all(len(each.shape) == 1 and supported(each.dtype) for each in node.inputs)


def single_mean(node: Expr) -> bool:
    """Whether a group-by has a mean of float32, whose dtype depends on the values in pandas."""
    values = list(node.inputs[node.attr("keys") :])
    pairs = [(op, values.pop(0).dtype) for op in node.attr("ops") if op not in ("size", "codes")]
    return any(op == "mean" and dtype == np.float32 for op, dtype in pairs)


def _reduces(node: Expr) -> bool:
    x = node.inputs[0]
    if node.name not in REDUCERS or not supported(x.dtype) or not supported(node.dtype):
        return False
    if not x.shape:
        return False
    axes = node.attr("axes")
    if axes != tuple(range(len(x.shape) - len(axes), len(x.shape))):
        return REDUCERS[node.name].builder not in ("first", "last")
    return len(x.shape) == 1 or not any(isinstance(d, Size) for d in x.shape)


def _counts(node: Expr) -> bool:
    """Sums at places, of an array that is 0 before."""
    base, index, value = node.inputs
    empty = base.kind == "Broadcast" and base.inputs[0].kind == "Const" and not base.inputs[0].data
    whole = supported(index.dtype) and index.dtype.kind in "iu" and len(index.shape) == len(node.shape) == 1
    return empty and whole and node.attr("op") == "add" and value.dtype == node.dtype and supported(node.dtype)


def partition(roots: Sequence[Expr], cuts: Sequence[int] = ()) -> Partition:
    """Return the kernels that compute the roots.

    Parameters
    ----------
    roots : sequence of Expr
    cuts : sequence of int
        Ids of nodes that are to be stored and loaded, though they could be computed where they are used.
    """
    order = walk(roots, masks=False)
    parts = Partition(order, {id(base_of(root)) for root in roots}, set(cuts))
    _cut_long(parts)
    _cut_needed(parts)
    while _cut_mixed(parts):
        pass
    for node in order:
        _place(node, parts)
    _find_needed(parts)
    return parts


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


def _place(node: Expr, parts: Partition) -> None:
    """Give a node that has a slot, or is asked for, to a kernel."""
    if node.kind in ("Leaf", "Const", "View"):
        return
    slot = id(node) in parts.cuts
    if not slot and id(node) not in parts.outputs:
        return
    if not compiles(node):
        bases = [base_of(each) for each in node.inputs]
        level = max([parts.levels.get(id(each), -1) for each in bases], default=-1) + 1
        parts.levels[id(node)] = level
        parts.calls.append((level, node))
        return
    root = _root(node, parts)
    group = _group(root, parts)
    group.roots.append(root)
    parts.where[id(node)], parts.roots[id(node)] = group, root
    parts.levels[id(node)] = group.level


def _root(node: Expr, parts: Partition) -> Root:
    if node.kind == "Reduce":
        x = node.inputs[0]
        space = parts.space(x) if parts.inline(x) else x.shape
        axes = node.attr("axes")
        if axes == tuple(range(len(space) - len(axes), len(space))):
            rows = len(space) - len(axes)
            # one row is no rows
            return Root(node, "reduce", space, 0 if all(d == 1 for d in space[:rows]) else rows)
        return Root(node, "columns", space)
    if node.kind == "GroupReduce":
        x = node.inputs[0]
        return Root(node, "group", parts.space(x) if parts.inline(x) else x.shape)
    if node.kind == "Scan":
        axis = node.attr("axis")
        others = (*node.shape[:axis], *node.shape[axis + 1 :])
        return Root(node, "scan", (*others, node.shape[axis]), 0 if all(d == 1 for d in others) else len(others))
    if node.kind == "Scatter":
        return Root(node, "scatter", node.inputs[1].shape)
    if node.kind == "Concat":
        return Root(node, "concat", node.shape)
    return Root(node, "store", parts.space(node))


def _group(root: Root, parts: Partition) -> Group:
    """Find or make the kernel for a root, and set its stage."""
    _, loads, through = parts.cone(root.node)
    needs = [each for each in loads if id(each) in parts.levels]
    aligned = [each for each in needs if id(each) not in through and _aligned(each, root, parts)]
    level = max([parts.levels[id(each)] + 1 for each in needs if each not in aligned], default=0)
    if aligned:
        home = max((parts.where[id(each)] for each in aligned), key=lambda group: group.level)
        # those of earlier kernels are simply loaded
        inside = [each for each in aligned if parts.where[id(each)] is home]
        level = max([level, *[parts.levels[id(each)] + 1 for each in aligned if each not in inside]])
        # running values are used where they are made: a later stage has them from memory, in a kernel of its own
        stage = max(parts.roots[id(each)].stage + (each.kind != "Scan") for each in inside)
        there = all(each.kind != "Scan" or parts.roots[id(each)].stage == stage for each in inside)
        if there and home.level >= level and _follows(root, home, [parts.roots[id(each)] for each in inside], parts):
            root.inner = root.space == home.space
            root.stage = stage
            return home
        level = max(level, home.level + 1)
    for group in parts.groups if root.kind not in ("group", "concat") else ():
        if group.level == level and group.space == root.space and _joins(root, group):
            if root.rows:
                group.rows = root.rows
            return group
    group = Group(level, root.space, root.rows or None)
    parts.groups.append(group)
    return group


def _follows(root: Root, home: Group, made: list[Root], parts: Partition) -> bool:
    """Return whether a root that uses reductions of a kernel can be a later stage of it."""
    if root.space != home.space and id(root.node) in parts.virtual:
        return False
    if root.space != home.space:
        last = all(each.rows == 0 for each in made) and all(d == 1 for d in root.space)
        return root.kind == "store" and (last or all(each.rows == (home.rows or 0) for each in made))
    if any(each.rows != (home.rows or 0) for each in made):
        return False
    if _placed(root) and home.rows:
        return False
    return root.kind == "store" or (root.kind == "reduce" and root.rows in (0, home.rows or 0))


def _placed(root: Root) -> bool:
    """Return whether a reduction gives a position among all elements: it counts in the dimensions of one loop."""
    return root.node.kind == "Reduce" and not root.rows and root.node.name in ("argmin", "argmax", "first", "last")


def _joins(root: Root, group: Group) -> bool:
    """Return whether a root that does not depend on the kernel can be computed in its first loop."""
    if any(each.kind in ("group", "concat") for each in group.roots):
        return False
    if (root.kind == "scan") != any(each.kind == "scan" for each in group.roots):
        return False
    if root.kind == "scan":
        return root.rows == (group.rows or 0)
    if root.kind in ("columns", "scatter") or _placed(root):
        return not group.rows
    if root.kind == "reduce" and root.rows:
        if group.rows:
            return group.rows == root.rows
        if any(_placed(each) for each in group.roots):
            return False
        return all(each.kind in ("store", "reduce") and (each.stage == 0 or not each.inner) for each in group.roots)
    return True


def _aligned(need: Expr, root: Root, parts: Partition) -> bool:
    """Return whether a reduction is used row by row, in the loops that make it."""
    if need.kind not in ("Reduce", "Scan") or id(need) not in parts.where:
        return False
    made = parts.roots[id(need)]
    if made.kind == "scan":
        # element by element, in the loop that makes them
        along = root.space == made.space == need.shape and need.attr("axis") == len(need.shape) - 1
        if root.kind == "store":
            return along and id(root.node) not in parts.virtual
        return along and root.kind == "reduce" and root.rows in (made.rows, 0)
    if made.kind != "reduce":
        return False
    rows, space = made.space[: made.rows], made.space
    kept = (*rows, *(1,) * (len(space) - made.rows))
    if root.kind in ("scan", "columns", "scatter", "concat"):
        return False
    if root.space == space and (root.kind == "store" or root.rows in (made.rows, 0)):
        if made.rows == 0:
            return True
        return need.shape == kept
    if root.kind != "store":
        return False
    # once a row
    return root.space in (rows, kept) and need.shape == root.space
