"""Properties of a query itself: functions of views of its variables, relations of one's own."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping
from typing import Any

from workbench.engine.errors import suggest
from workbench.video.language.parse import Place, QueryParts
from workbench.video.language.tree import OwnRelation, UserProperty
from workbench.video.language.vocabulary import Prop

__all__ = ["own_relations"]


def own_relations(cls: Any, place: Place, parts: QueryParts, variables: Mapping[str, Any]) -> dict[str, OwnRelation]:
    """Return the properties that the class of a query has written, by name.

    Raises
    ------
    WorkbenchError
        For a function without @prop, an argument that is no variable, or an option that relations do not take.
    """
    return {node.name: _relation(cls, place, node, variables) for node in parts.functions}


def _relation(cls: Any, place: Place, node: ast.FunctionDef, variables: Mapping[str, Any]) -> OwnRelation:
    name, line = node.name, node.lineno
    own = vars(cls).get(name)
    if not isinstance(own, Prop):
        raise place.error(node, f"{name}() is no property (line {line}).", "Write @prop above its def.")
    if name in variables:
        raise place.error(node, f"{name} is a variable of {cls.__name__} (line {line}).", "Give one another name.")
    parameters = list(inspect.signature(own.function).parameters.values())
    if not parameters or parameters[0].name != "self":
        given = ", ".join(["self", *(one.name for one in parameters)])
        raise place.error(node, f"{name}() has no self.", f"Write def {name}({given}):")
    if own.window is not None or own.once:
        word = "once=True" if own.once else "window="
        raise place.error(
            node,
            f"{name}() is of the objects of a frame, so it takes no {word} (line {line}).",
            "Write that property in a type, and read it here: a.name.",
        )
    needed = [one for one in parameters[1:] if one.default is one.empty]
    for one in needed:
        if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD):
            stars = "*" if one.kind is one.VAR_POSITIONAL else "**"
            raise place.error(
                node, f"{name}() takes {stars}{one.name}, which names no variable.", "Name each variable that it needs."
            )
        if one.name not in variables:
            raise place.error(
                next((arg for arg in node.args.args if arg.arg == one.name), node),
                f"{name}() needs '{one.name}', which {cls.__name__} does not have.",
                suggest(one.name, variables, f'Add a line "{one.name}: Object" to the query.'),
            )
    if not needed:
        raise place.error(node, f"{name}() names no variable (line {line}).", f"Write def {name}(self, a, b):")
    arguments = tuple(one.name for one in needed)
    return OwnRelation(UserProperty(name, cls.__name__, own.function, arguments, batch=own.batch), arguments)
