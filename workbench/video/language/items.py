"""`select` and `group`: their checking, and the names and units of the columns that they become."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from workbench.engine.errors import suggest
from workbench.video.language import catalogue
from workbench.video.language.catalogue import AGGREGATES, BOUNDS, SECONDS
from workbench.video.language.check import Conditions
from workbench.video.language.parse import position, unsupported
from workbench.video.language.sorts import short
from workbench.video.language.tree import Aggregate, Every, Node, Property, RegionOf

_ITEM = "Write names such as car.id, start or count()."


def select_item(checker: Conditions, node: ast.expr) -> Node:
    """Return the checked form of an item of `select`.

    Raises
    ------
    WorkbenchError
        For what is neither a property, a bound of the event, nor an aggregate.
    """
    at = position(node)
    if isinstance(node, ast.Attribute) and (var := checker.variable(node.value)):
        value = checker.property(node, var)
        if value.sort.shape == "vector":
            raise checker.error(node, f"{value.name} cannot be selected.", _ITEM)
        assert value.tree is not None
        return value.tree
    word = checker.scope.word(node.func if isinstance(node, ast.Call) else node)
    if isinstance(node, ast.Name | ast.Attribute):
        if word in BOUNDS:
            return Property("", word, SECONDS, **at)
        if word in AGGREGATES and word not in ("first", "last"):
            raise checker.error(
                node, f"'{word}' is called with () (line {node.lineno}).", f"Write {catalogue.WORDS[word]}."
            )
        if var := checker.variable(node):
            raise checker.error(node, f"{var} is an object, not a column.", f"Select a property: {var}.id.")
        names = [*checker.variables, *BOUNDS, *AGGREGATES]
        if isinstance(node, ast.Attribute):
            raise checker.undeclared(node)
        raise checker.error(
            node, f"'{node.id}' cannot be selected (line {node.lineno}).", suggest(node.id, names, _ITEM)
        )
    if isinstance(node, ast.Call) and word in AGGREGATES:
        return _aggregate(checker, node, word)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not word:
        raise checker.error(
            node,
            f"'{node.func.id}()' cannot be selected (line {node.lineno}).",
            suggest(node.func.id, AGGREGATES, _ITEM),
        )
    if isinstance(node, ast.Lambda | ast.JoinedStr | ast.NamedExpr | ast.Await | ast.Starred | ast.GeneratorExp):
        raise unsupported(checker.scope.place, node)
    raise checker.error(node, f"{short(node)} cannot be selected (line {node.lineno}).", _ITEM)


def _aggregate(checker: Conditions, node: ast.Call, word: str) -> Node:
    at = position(node)
    checker.check_no_keywords(node, word)
    if len(node.args) > 1 or (not node.args and word != "count"):
        raise checker.error(node, f"{word}() takes one property (line {node.lineno}).", f"Write {word}(car.speed).")
    if not node.args:
        return Aggregate("count", **at)
    inner = node.args[0]
    if isinstance(inner, ast.Attribute) and (var := checker.variable(inner.value)):
        value = checker.property(inner, var)
        numeric = value.sort.shape in ("number", "bool", "any")
        if value.sort.shape in ("point", "box", "vector") or (not numeric and word not in ("count", "first", "last")):
            raise checker.error(
                inner,
                f"{word}() needs numbers; {value.name} is {value.sort.units()}.",
                f"Use count({short(inner)}) or first({short(inner)}).",
            )
        argument = value.tree
        assert isinstance(argument, Property)
    elif checker.scope.word(inner) == "duration":
        argument = Property("", "duration", SECONDS, **at)
    else:
        raise checker.error(
            inner, f"{word}() takes a property or duration, got {short(inner)}.", f"Write {word}(car.speed)."
        )
    return Aggregate(word, argument, **at)  # type: ignore[arg-type]


def group_key(checker: Conditions, node: ast.expr) -> Node:
    """Return the checked form of a key of `group`.

    Raises
    ------
    WorkbenchError
        For what is neither `every(...)`, a property, nor `region_of(...)`.
    """
    at = position(node)
    if isinstance(node, ast.Attribute) and (var := checker.variable(node.value)):
        value = checker.property(node, var)
        if value.sort.shape in ("point", "box", "vector"):
            raise checker.error(
                node, f"{value.name} is {value.sort.units()}, which cannot be a key.", "Group by a text or a number."
            )
        assert value.tree is not None
        return value.tree
    if isinstance(node, ast.Call):
        if checker.scope.word(node.func) == "every":
            checker.check_no_keywords(node, "every")
            if len(node.args) != 1:
                raise checker.error(node, f"every() takes one time (line {node.lineno}).", 'Write every("1min").')
            return Every(checker.seconds(node.args[0], "every()", positive=True), **at)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "region_of" and checker.variable(node.func.value):
            tree = checker.value(node).tree
            assert tree is not None
            return tree
    if isinstance(node, ast.Attribute):
        raise checker.undeclared(node)
    raise checker.error(
        node,
        f"{short(node)} cannot be a key of group (line {node.lineno}).",
        'Write every("1min"), car.color or car.region_of(yard, road).',
    )


def check_keys(checker: Conditions, nodes: Sequence[ast.expr], keys: Sequence[Node]) -> None:
    """Raise if there are two stretches of time among the keys."""
    times = [node for node, key in zip(nodes, keys, strict=True) if isinstance(key, Every)]
    if len(times) > 1:
        raise checker.error(times[1], f"group has two every() (line {times[1].lineno}).", "Keep one.")


# -------------------------------------------------------------------------------------------------- names of columns


def item_columns(item: Node) -> tuple[str, ...]:
    """Return the columns that an item of `select`, or a key of `group`, becomes.

    >>> item_columns(Aggregate("count", Property("person", "id")))
    ('count_person_id',)
    """
    match item:
        case Property(var="", name=name):
            return (name,)
        case Property(var=var, name="box"):
            return tuple(f"{var}_{part}" for part in ("x1", "y1", "x2", "y2"))
        case Property(var=var, name="center" | "foot" as name):
            return (f"{var}_{name}_x", f"{var}_{name}_y")
        case Property(var=var, name=name):
            return (f"{var}_{name}",)
        case Aggregate(name=name, argument=None):
            return (name,)
        case Aggregate(name=name, argument=Property() as argument):
            return (f"{name}_{item_columns(argument)[0]}",)
        case RegionOf():
            return ("region",)
        case Every():
            return ("start", "end")
    raise TypeError(f"{type(item).__name__} is no item of select or group")
