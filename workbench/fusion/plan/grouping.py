"""Which loop computes what: the root that a node becomes, and the kernel whose stage it can be."""

from __future__ import annotations

from workbench.fusion.expr import Expr
from workbench.fusion.plan.kernels import Group, Partition, Root

__all__ = ["group_of", "root_of"]


def root_of(node: Expr, parts: Partition) -> Root:
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


def group_of(root: Root, parts: Partition) -> Group:
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
