"""What a graph cut into kernels is made of: what each loop leaves behind, which of it is one kernel, what is loaded.

A *vertex* is a node that has a slot in memory or is asked for: a dominant, which a kernel computes, or the call of a
library. A *root* is what the loop of a dominant leaves behind: a stored array, or a reduction. Roots over the same
iteration space share one kernel; a reduction along rows and what uses it row by row are stages of one kernel.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from workbench.fusion.expr import Expr, Shape
from workbench.fusion.plan.inline import base_of, is_inline

__all__ = ["MOST_OPS", "Group", "Partition", "Root", "Vertex"]

#: nodes that one kernel computes at most: compile time grows faster than their number
MOST_OPS = 240


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
    scheme : str
        How its value reaches its users in the kernel: local, warp, regional or global.
    """

    node: Expr
    kind: str
    space: Shape
    rows: int = 0
    inner: bool = True
    stage: int = 0
    scheme: str = "local"

    @property
    def placed(self) -> bool:
        """Whether it is a position among all elements: it counts in the dimensions of one loop."""
        return self.node.kind == "Reduce" and not self.rows and self.node.name in ("argmin", "argmax", "first", "last")


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
    pack : int
        Groups of one number are loops of one launch.
    """

    level: int
    space: Shape
    rows: int | None = None
    roots: list[Root] = field(default_factory=list)
    pack: int = -1
    #: what the roots are: by id of their nodes, their kinds, whether there is a position, or a later loop
    made: dict[int, Root] = field(default_factory=dict)
    kinds: set[str] = field(default_factory=set)
    placed: bool = False
    later: bool = False

    @property
    def pattern(self) -> str:
        """What it leaves behind, as it is shown: loop after loop."""
        stages: dict[tuple[int, bool], list[str]] = {}
        for root in self.roots:
            stages.setdefault((root.stage, root.inner), []).append(root.node.name)
        return " → ".join(", ".join(stages[each]) for each in sorted(stages, key=lambda each: (each[0], not each[1])))

    def again(self, parts: Partition) -> list[Expr]:
        """Return what its later loops read from memory once more; rows stay near the core."""
        if self.rows:
            return []
        found: list[Expr] = []
        for stage in range(1, 1 + max(root.stage for root in self.roots)):
            roots = [root for root in self.roots if root.stage == stage and root.inner]
            loads = {id(each): each for root in roots for each in parts.cone(root.node)[1]}
            found += [each for each in loads.values() if each.shape and id(each) not in self.made]
        return found

    def add(self, root: Root) -> None:
        """Have the kernel leave one more root behind."""
        self.roots.append(root)
        self.made[id(root.node)] = root
        self.kinds.add(root.kind)
        self.placed |= root.placed
        self.later |= root.inner and root.stage > 0

    @property
    def flat(self) -> bool:
        """Whether all its reductions leave single values."""
        return not self.rows


@dataclass(eq=False)
class Vertex:
    """A node that a kernel or a library leaves in memory, or in what a later stage of its kernel reads.

    Attributes
    ----------
    number : int
        Its place among the vertices, inputs first.
    node : Expr
    root : Root or None
        None for what a library computes.
    inside, loads, through
        What `Partition.cone` tells of it; of a call only what it loads.
    needs : tuple of int
        Vertices that it reads.
    above : int
        Set of the vertices that it is computed from, directly or not: bit k is vertex k.
    below : int
        Set of the vertices that are computed from it.
    """

    number: int
    node: Expr
    root: Root | None
    inside: list[Expr]
    loads: list[Expr]
    through: set[int]
    needs: tuple[int, ...] = ()
    above: int = 0
    below: int = 0


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
    vertices : list of Vertex
        Inputs first.
    levels : dict
        Id of a node with a slot -> the level from whose next on it can be loaded.
    refused : list of (Expr, str)
        What was not computed where it could have been, and why.
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
    vertices: list[Vertex] = field(default_factory=list)
    levels: dict[int, int] = field(default_factory=dict)
    where: dict[int, Group] = field(default_factory=dict)
    roots: dict[int, Root] = field(default_factory=dict)
    refused: list[tuple[Expr, str]] = field(default_factory=list)
    #: which nodes are of a kind that is computed in registers, as far as anyone asked
    inlined: dict[int, bool] = field(default_factory=dict)
    #: what `cone` told of the vertices
    cones: dict[int, tuple[list[Expr], list[Expr], set[int]]] = field(default_factory=dict)

    def inline(self, node: Expr) -> bool:
        """Return whether the node is computed inside the loops of its users."""
        if id(node) in self.cuts:
            return False
        found = self.inlined.get(id(node))
        if found is None:
            found = self.inlined[id(node)] = is_inline(node)
        return found

    def space(self, node: Expr) -> Shape:
        """Return the dimensions that a loop computing the node runs over."""
        known = self.virtual.get(id(node))
        return tuple([known.get(d, d) for d in node.shape]) if known else node.shape

    def cone(self, root: Expr) -> tuple[list[Expr], list[Expr], set[int]]:
        """Return the inline nodes that a root's loop computes, the bases of what it loads, and what is seen askew.

        The last are ids of bases that are seen through a view, or at places that are computed.
        """
        return self.cones.get(id(root)) or self._cone(root)

    def _cone(self, root: Expr) -> tuple[list[Expr], list[Expr], set[int]]:
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
