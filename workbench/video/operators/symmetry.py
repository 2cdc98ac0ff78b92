"""Which variables of a query can be exchanged without changing its condition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from workbench.video.language.rename import renamed
from workbench.video.language.tree import And, Compare, Inner, Measure, Node, Or, Relation, Variable

__all__ = ["symmetric_pairs"]

#: Relations that mean the same with their two objects exchanged.
_SYMMETRIC = ("near", "overlaps", "distance", "closing", "same_as")


def symmetric_pairs(where: Node, variables: tuple[Variable, ...]) -> set[tuple[str, str]]:
    """Return the pairs of variables of one type that can be exchanged, the one declared first before the other."""
    normal = _normal(where, {})
    return {
        (one.name, other.name)
        for number, one in enumerate(variables)
        for other in variables[number + 1 :]
        if one.type == other.type
        and normal == _normal(renamed(where, {one.name: other.name, other.name: one.name}), {})
    }


def _normal(node: Node, bound: Mapping[str, str]) -> str:
    """Return a text that is equal for trees equal up to the order of operands and the names of bound variables."""
    # a bound variable is known by how deep it is bound
    bound = {**bound, **{one.name: f"#{len(bound) + place}" for place, one in enumerate(node.binds())}}
    if isinstance(node, (And, Or)):
        return f"{type(node).__name__}({sorted(_normal(part, bound) for part in node.operands)})"
    if isinstance(node, Compare) and node.op in ("==", "!="):
        return f"{node.op}({sorted((_normal(node.left, bound), _normal(node.right, bound)))})"
    parts: list[str] = []
    swap = isinstance(node, (Relation, Measure)) and node.name in _SYMMETRIC
    for item in fields(node):
        value = getattr(node, item.name)
        if not item.compare:
            continue
        if item.name in ("var", "other"):
            if not swap:
                parts.append(f"{item.name}={bound.get(value, value)!r}")
            continue
        if isinstance(node, Inner) and item.name == "given":
            # the condition inside speaks of these already: by which names they go there makes no difference
            value = tuple(sorted(bound.get(mine, mine) for _, mine in node.given))
        parts.append(f"{item.name}={_value(value, bound)}")
    if swap:
        assert isinstance(node, (Relation, Measure))
        parts.append(str(sorted(bound.get(name, name) for name in (node.var, node.other))))
    return f"{type(node).__name__}({', '.join(parts)})"


def _value(value: Any, bound: Mapping[str, str]) -> str:
    if isinstance(value, Node):
        return _normal(value, bound)
    if isinstance(value, Variable):
        return f"{bound[value.name]}: {value.type!r}"
    if isinstance(value, tuple):
        return f"({', '.join(_value(part, bound) for part in value)})"
    return repr(value)
