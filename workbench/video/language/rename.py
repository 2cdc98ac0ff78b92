"""Other names for the variables of a tree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, TypeVar

from workbench.video.language.tree import Inner, Node, OwnRelation, Variable

__all__ = ["renamed"]

_Node = TypeVar("_Node", bound=Node)


def renamed(node: _Node, names: Mapping[str, str]) -> _Node:
    """Return the tree with its variables renamed, those that it binds itself included.

    Parameters
    ----------
    node : Node
    names : Mapping
        Old name -> new one; a variable that is not in it keeps its own.
    """

    def change(value: Any) -> Any:
        if isinstance(value, Node):
            return renamed(value, names)
        if isinstance(value, Variable):
            return replace(value, name=names.get(value.name, value.name))
        return tuple(map(change, value)) if isinstance(value, tuple) else value

    changes = {
        item.name: names.get(value, value) if item.name in ("var", "other") else change(value)
        for item in fields(node)
        for value in (getattr(node, item.name),)
    }
    if isinstance(node, OwnRelation):
        changes["arguments"] = tuple(names.get(name, name) for name in node.arguments)
    elif isinstance(node, Inner):
        changes["given"] = tuple((its, names.get(mine, mine)) for its, mine in node.given)
    return replace(node, **changes)
