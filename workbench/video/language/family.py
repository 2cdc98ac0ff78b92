"""Query classes and the queries that they inherit from, compiled together to one `CompiledQuery`."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from workbench.engine.errors import WorkbenchError, suggest
from workbench.video.language.check import Conditions, join
from workbench.video.language.items import check_keys, group_key, select_item
from workbench.video.language.parse import Cell, QueryParts, parse_query, unsupported
from workbench.video.language.relations import own_relations
from workbench.video.language.scope import MISSING, Scope
from workbench.video.language.shapes import Scale, line_shape
from workbench.video.language.sorts import Reader, short
from workbench.video.language.source import find_class
from workbench.video.language.tree import (
    And,
    CompiledQuery,
    Crosses,
    Node,
    ObjectType,
    OwnRelation,
    Property,
    ScaleSpec,
    Variable,
)
from workbench.video.language.types import object_type
from workbench.video.language.vocabulary import ObjectMeta, Query, QueryMeta

_NAMES = (ast.Name, ast.Attribute)


@dataclass(slots=True)
class _Written:
    """A class of the inheritance of a query, with its statement and the names that it sees."""

    cls: Any
    cell: Cell
    parts: QueryParts
    scope: Scope
    own: dict[str, type] = field(default_factory=dict)


def compile_class(
    query: Any,
    namespace: Mapping[str, Any],
    video: str,
    *,
    scale: ScaleSpec | None = None,
    within: tuple[Any, ...] = (),
) -> CompiledQuery:
    """Compile a query class: its own text and that of the queries that it inherits from.

    Parameters
    ----------
    query : type
    namespace : Mapping
        The notebook's names.
    video : str
        What the error about metres without a scale calls the video.
    scale : ScaleSpec, optional
        That of the query inside which this one stands.
    within : tuple of type
        The queries inside which this one stands.

    Raises
    ------
    WorkbenchError
        If a source is gone, or something in it is wrong.
    """
    if query in within:
        raise WorkbenchError(f"{query.__name__} asks for itself.", "A query can stand inside others only.")
    family = [_written(cls, namespace) for cls in _family(query)]
    if not family:
        raise WorkbenchError("Query has no where line.", "Write class Name(Query): with a where line.")
    scale = scale or _scale(query) or _scale_inside(family, (*within, query))
    warnings: list[tuple[str, str]] = []
    kinds = _variables(family)
    types = {name: object_type(cls, scale, warnings) for name, cls in kinds.items()}
    shapes: dict[str, Any] = {}
    hidden: dict[str, ObjectType] = {}
    relations: dict[str, OwnRelation] = {}
    conditions: list[Node] = []
    written: list[tuple[_Written, Conditions]] = []

    def inner(other: QueryMeta) -> CompiledQuery:
        return compile_class(other, namespace, video, scale=scale, within=(*within, query))

    for one in family:
        reader = Reader(one.cell.place, video, warnings)
        relations = relations | own_relations(one.cls, one.cell.place, one.parts, types)
        checker = Conditions(
            one.scope, types, scale, reader, _sides(one), shapes, relations, hidden, compiled=inner
        )  # fmt: skip
        written.append((one, checker))
        if one.parts.where is not None:
            condition = checker.where(one.parts.where)
            _check_joins(checker, one, conditions, condition)
            conditions.append(condition)
    own, _ = written[-1]
    if not conditions:
        raise own.cell.place.error(
            own.cls.__origin__.node or find_class(own.cls.__origin__, own.cls.__name__)[1],
            f"{query.__name__} has no where line.",
            "Add where = with a condition; where = True takes every object.",
        )
    where = conditions[0] if len(conditions) == 1 else join("and", _unique(conditions))
    select = _clause(query, written, "select")
    group = _clause(query, written, "group")
    variables = tuple(Variable(name, kind) for name, kind in types.items())
    compiled = CompiledQuery(
        query.__name__, variables, where, select, group, scale, tuple(shapes.values()), tuple(warnings), _text(own)
    )
    return replace(compiled, warnings=(*compiled.warnings, *_never_crossed(compiled)))


def _family(query: Any) -> list[Any]:
    """Return the queries that this one inherits from and itself: parents first, in the order of their writing."""
    found: list[Any] = []

    def visit(cls: Any) -> None:
        for base in cls.__bases__:
            visit(base)
        if isinstance(cls, QueryMeta) and cls is not Query and cls not in found:
            found.append(cls)

    visit(query)
    return found


def _written(cls: Any, namespace: Mapping[str, Any]) -> _Written:
    origin = vars(cls).get("__origin__")
    cell, node = find_class(origin, cls.__name__)
    parts = parse_query(cell.place, node)
    scope = Scope(cell, (origin.names, origin.outside, namespace))
    own: dict[str, type] = {}
    for name, annotation, statement in parts.variables:
        # of a class that Python has run, what it made of an expression is known
        run = getattr(cls, "__annotations__", {}).get(name) if not isinstance(annotation, _NAMES) else None
        own[name] = run if isinstance(run, ObjectMeta) else _type(scope, name, annotation, statement)
    return _Written(cls, cell, parts, scope, own)


def _type(scope: Scope, name: str, annotation: ast.expr, statement: ast.stmt) -> type:
    place, shown = scope.place, annotation
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        try:
            annotation = ast.parse(annotation.value, mode="eval").body
        except (SyntaxError, ValueError):
            raise unsupported(place, shown) from None
    if not isinstance(annotation, _NAMES):
        raise unsupported(place, shown)
    value = scope.find(annotation)
    known = {each for each in scope.names() if isinstance(scope.get(each), ObjectMeta)}
    text = ast.unparse(annotation)
    if value is MISSING:
        hint = suggest(text, known, f'Write "{name}: Object", or class {text}(Object): above the query.')
        raise place.error(shown, f"'{text}' is not declared (line {statement.lineno}).", hint)
    if not isinstance(value, ObjectMeta):
        raise place.error(
            shown,
            f"{text} is not a type of object (line {statement.lineno}).",
            suggest(text, known, f'Write "{name}: Object".'),
        )
    return value


def _variables(family: list[_Written]) -> dict[str, type]:
    """Return the variables of all parents, narrowed by their children."""
    found: dict[str, tuple[type, str]] = {}
    for one in family:
        for name, annotation, _ in one.parts.variables:
            kind = one.own[name]
            if name in found and not issubclass(kind, found[name][0]):
                before, parent = found[name]
                if issubclass(before, kind) and parent not in {base.__name__ for base in one.cls.__mro__[1:]}:
                    continue  # another parent knows it more exactly
                raise one.cell.place.error(
                    annotation,
                    f"{name} is a {before.__name__} in {parent}, and {kind.__name__} is none.",
                    f"Write {before.__name__} or a type derived from it.",
                )
            found[name] = (kind, one.cls.__name__)
    return {name: kind for name, (kind, _) in found.items()}


def _scale(query: Any) -> ScaleSpec | None:
    """Return the scale of the cell or file of the query, or of the nearest parent that has one."""
    for cls in query.__mro__:
        if not isinstance(cls, QueryMeta) or cls is Query:
            continue
        if "__scale__" in vars(cls):
            spec = cls.__scale__
        else:
            spec = _module_scale(cls)
        if spec is not None:
            return spec
    return None


def _scale_inside(family: list[_Written], within: tuple[Any, ...]) -> ScaleSpec | None:
    """Return the scale of the first query inside the condition that has one."""
    for one in family:
        for node in ast.walk(one.parts.where) if one.parts.where is not None else ():
            found = one.scope.find(node.func) if isinstance(node, ast.Call) else None
            if isinstance(found, QueryMeta) and found not in within and (spec := _scale(found)) is not None:
                return spec
    return None


def _module_scale(cls: Any) -> ScaleSpec | None:
    """Return the scale assigned at the top of the file or cell that a class was written in."""
    origin = cls.__origin__
    cell, _ = find_class(origin, cls.__name__)
    found: dict[str, Scale] = {}
    for statement in cell.module.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            name = statement.targets[0].id
            value = origin.outside.get(name)
            if isinstance(value, Scale) and isinstance(statement.value, ast.Call):
                if found and name not in found:
                    raise cell.place.error(
                        statement,
                        f"A cell has one scale; {name} is a second (line {statement.lineno}).",
                        f"Remove {next(iter(found))} or {name}.",
                    )
                found[name] = value
    return next(iter(found.values())).spec if found else None


def _sides(one: _Written) -> tuple[str, ...]:
    """Return the names of the sides of the lines that the condition crosses, in order; () if there is none."""
    found: dict[str, None] = {}
    for node in ast.walk(one.parts.where) if one.parts.where is not None else ():
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "crosses"
            and node.args
        ):
            value = one.scope.find(node.args[0])
            shape = None if value is MISSING else line_shape("", value)
            if shape is None:
                return ()
            found.update(dict.fromkeys(shape.sides))
    return tuple(found)


def _check_joins(checker: Conditions, one: _Written, conditions: list[Node], condition: Node) -> None:
    """Raise if an inherited condition and this one are of different kinds."""
    where = one.parts.where
    if not conditions or where is None or conditions[0].kind == "interval" == condition.kind:
        return
    if (conditions[0].kind == "interval") != (condition.kind == "interval"):
        parent = f"the condition of {one.cls.__bases__[0].__name__}"
        interval, frame = (short(where), parent) if condition.kind == "interval" else (parent, short(where))
        raise checker.error(
            where,
            f"{interval} gives an interval and {frame} is true per frame.",
            "Put the frame condition inside lasts(), or use during() or sequence().",
        )


def _unique(conditions: list[Node]) -> list[Node]:
    """Return the conjuncts without repetition: what two parents share is asked once."""
    joined = join("and", conditions)
    return list(dict.fromkeys(joined.operands if isinstance(joined, And) else (joined,)))


def _clause(query: Any, written: list[tuple[_Written, Conditions]], clause: str) -> tuple[Node, ...]:
    """Return the checked `select` or `group` of the nearest class that has one."""
    by_class = {one.cls: (one, checker) for one, checker in written}
    for cls in query.__mro__:
        if cls not in by_class:
            continue
        one, checker = by_class[cls]
        nodes = getattr(one.parts, clause)
        if nodes is None:
            continue
        if clause == "group":
            keys = [group_key(checker, node) for node in nodes]
            check_keys(checker, nodes, keys)
            return tuple(dict.fromkeys(keys))
        return tuple(dict.fromkeys(select_item(checker, node) for node in nodes))
    return ()


def _text(own: _Written) -> str:
    """Return the text of the query, as it was written."""
    _, node = find_class(own.cls.__origin__, own.cls.__name__)
    return "\n".join(own.cell.place.lines[node.lineno - 1 : node.end_lineno])


def _never_crossed(compiled: CompiledQuery) -> Iterator[tuple[str, str]]:
    """Yield a warning for each variable whose `crossed_to` is asked for, though it crosses no line."""
    types = compiled.types()
    crossing = {node.var for node in compiled.nodes() if isinstance(node, Crosses)}
    asked = (node.var for node in compiled.nodes() if isinstance(node, Property) and node.name == "crossed_to")
    for var in dict.fromkeys(asked):
        own = types[var].property("crossed_to")
        if var not in crossing and own is None:
            yield f"crossed_to is always missing: {var} crosses no line here.", f"Add {var}.crosses(line) to where."
