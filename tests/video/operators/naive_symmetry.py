"""Which variables a condition does not tell apart: trees that are equal but for the order of operands."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from workbench.video.language import tree


def normal(node: tree.Node, names: dict[str, str], depth: int = 0) -> Any:
    """A condition that is equal for trees equal but for the order of operands, with variables renamed."""
    for place, variable in enumerate(node.binds()):
        names = {**names, variable.name: f"bound {depth} {place}"}
    depth += bool(node.binds())
    if isinstance(node, (tree.And, tree.Or)):
        return (type(node).__name__, sorted(repr(normal(part, names, depth)) for part in node.operands))
    if isinstance(node, tree.Compare) and node.op in ("==", "!="):
        return ("same", node.op, sorted(repr(normal(part, names, depth)) for part in (node.left, node.right)))
    given = [names.get(name, name) for name in (getattr(node, "var", ""), getattr(node, "other", "")) if name]
    if getattr(node, "name", "") in ("near", "overlaps", "distance", "closing", "same_as"):
        given.sort()
    if isinstance(node, tree.OwnRelation):
        given = [names.get(name, name) for name in node.arguments]
    if isinstance(node, tree.Inner):
        given = sorted(names.get(mine, mine) for _, mine in node.given)
    rest = []
    for item in fields(node):
        value = getattr(node, item.name)
        if item.name in ("line", "column", "text", "var", "other", "arguments", "given") and not isinstance(
            node, tree.Function
        ):
            continue
        rest.append(_plain(value, names, depth))
    return (type(node).__name__, given, rest)


def _plain(value: Any, names: dict[str, str], depth: int) -> Any:
    if isinstance(value, tree.Node):
        return normal(value, names, depth)
    if isinstance(value, tree.Variable):
        return value.type.name
    return [_plain(part, names, depth) for part in value] if isinstance(value, tuple) else repr(value)
