"""Which loop computes what: the root that a node becomes, and the kernel whose stage it can be."""

from __future__ import annotations

from workbench.fusion.expr import Expr
from workbench.fusion.plan.kernels import Group, Partition, Root, Vertex

__all__ = ["begun", "joined", "joins", "root_of"]


def root_of(node: Expr, parts: Partition) -> Root:
    """Return what the loop that computes a node leaves behind."""
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


def joined(parts: Partition) -> list[list[int]]:
    """Return kernels as large as they get: each vertex joins the first one that it can be computed in.

    Returns
    -------
    list of list of int
        Numbers of vertices, inputs first; a library's call is alone.
    """
    found: list[list[int]] = []
    groups: list[Group] = []
    home: dict[int, int] = {}
    level: dict[int, int] = {}
    for vertex in parts.vertices:
        number = vertex.number
        place = -1 if vertex.root is None else _place(vertex, groups, home, level, parts)
        if place < 0:
            place = len(found)
            groups.append(begun(vertex, max([level[each] + 1 for each in vertex.needs], default=0)))
            found.append([])
        found[place].append(number)
        home[number], level[number] = place, groups[place].level
    return found


def begun(vertex: Vertex, level: int = 0) -> Group:
    """Return a kernel of one vertex; of none for a library's call."""
    root = vertex.root
    if root is None:
        return Group(level, ())
    found = Group(level, root.space, root.rows or None)
    found.add(Root(root.node, root.kind, root.space, root.rows))
    return found


def _place(vertex: Vertex, groups: list[Group], home: dict[int, int], level: dict[int, int], parts: Partition) -> int:
    """Add a vertex to the kernel that it can be computed in; return its number, -1 if it is to have one of its own."""
    near = [each for each in vertex.needs if _near(vertex, each, parts)]
    lowest = max([level[each] + 1 for each in vertex.needs if each not in near], default=0)
    if near:
        # those of earlier kernels are simply loaded
        last = max([home[each] for each in near], key=lambda number: groups[number].level)
        lowest = max([lowest, *[level[each] + 1 for each in near if home[each] != last]])
        if groups[last].level >= lowest and joins(vertex, groups[last], parts):
            return last
        lowest = max(lowest, groups[last].level + 1)
    for number, group in enumerate(groups):
        if group.level == lowest and group.roots and joins(vertex, group, parts):
            return number
    return -1


def joins(vertex: Vertex, group: Group, parts: Partition) -> bool:
    """Add a vertex to a kernel, and return True, if the kernel's loops can compute it too.

    Parameters
    ----------
    vertex : Vertex
    group : Group
        Of vertices of lower numbers.
    parts : Partition
    """
    root = vertex.root
    if root is None:
        return False
    made = [group.made[id(each)] for each in vertex.loads if id(each) in group.made]
    if not made:
        if root.kind in ("group", "concat") or group.space != root.space or not _beside(root, group):
            return False
        if root.rows:
            group.rows = root.rows
        group.add(Root(root.node, root.kind, root.space, root.rows))
        return True
    if any(id(each.node) in vertex.through or not _aligned(each, root, parts) for each in made):
        return False
    # running values are used where they are made: a later stage has them from memory, in a kernel of its own
    stage = max(each.stage + (each.kind != "scan") for each in made)
    if any(each.kind == "scan" and each.stage != stage for each in made):
        return False
    if not _follows(root, group, made, parts):
        return False
    group.add(Root(root.node, root.kind, root.space, root.rows, root.space == group.space, stage))
    return True


def _near(vertex: Vertex, number: int, parts: Partition) -> bool:
    """Return whether a vertex could read another one in the loop that makes it."""
    root, made = vertex.root, parts.vertices[number]
    if root is None or made.root is None or id(made.node) in vertex.through:
        return False
    return _aligned(made.root, root, parts)


def _follows(root: Root, home: Group, made: list[Root], parts: Partition) -> bool:
    """Return whether a root that uses reductions of a kernel can be a later stage of it."""
    if root.space != home.space and id(root.node) in parts.virtual:
        return False
    if root.space != home.space:
        last = all(each.rows == 0 for each in made) and all(d == 1 for d in root.space)
        return root.kind == "store" and (last or all(each.rows == (home.rows or 0) for each in made))
    if any(each.rows != (home.rows or 0) for each in made):
        return False
    if root.placed and home.rows:
        return False
    return root.kind == "store" or (root.kind == "reduce" and root.rows in (0, home.rows or 0))


def _beside(root: Root, group: Group) -> bool:
    """Return whether a root that does not depend on the kernel can be computed in its first loop."""
    if group.kinds & {"group", "concat"}:
        return False
    if (root.kind == "scan") != ("scan" in group.kinds):
        return False
    if root.kind == "scan":
        return root.rows == (group.rows or 0)
    if root.kind in ("columns", "scatter") or root.placed:
        return not group.rows
    if root.kind == "reduce" and root.rows:
        if group.rows:
            return group.rows == root.rows
        return not group.placed and group.kinds <= {"store", "reduce"} and not group.later
    return True


def _aligned(made: Root, root: Root, parts: Partition) -> bool:
    """Return whether a reduction is used row by row, in the loops that make it."""
    need = made.node
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
