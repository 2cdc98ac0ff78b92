"""What a name in a condition is: a variable of the query, one of its properties, or a value from outside."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from workbench.engine.errors import WorkbenchError, suggest
from workbench.video.language import catalogue
from workbench.video.language.catalogue import METHODS, PROPERTIES
from workbench.video.language.inert import Word
from workbench.video.language.parse import position, unsupported
from workbench.video.language.scene import SCENE_PROPERTIES
from workbench.video.language.scope import MISSING, Scope, as_collection, as_scalar, root
from workbench.video.language.sorts import Reader, Sort, Value, metric
from workbench.video.language.tree import Node, ObjectType, OwnRelation, Property, ScaleSpec
from workbench.video.language.vocabulary import ObjectMeta, QueryMeta


@dataclass(slots=True)
class Names:
    """Reads names; `Arguments`, `Values` and `Conditions` add the rest of the language.

    Attributes
    ----------
    scope : Scope
        What names mean.
    variables : Mapping
        The query's variables and their types.
    scale : ScaleSpec, optional
        With one, speeds and distances are in metres.
    reader : Reader
    sides : tuple of str
        Names of the sides that `crossed_to` can be, if all are known.
    relations : Mapping
        The query's own properties.
    hidden : dict
        Variables that exist inside quantifiers and inner queries only, and their types.
    inside : Mapping
        For the variables of the quantifiers around this place as written, their names in the tree.
    """

    scope: Scope
    variables: Mapping[str, ObjectType]
    scale: ScaleSpec | None
    reader: Reader
    sides: tuple[str, ...] = ()
    shapes: dict[str, Any] = field(default_factory=dict)
    relations: Mapping[str, OwnRelation] = field(default_factory=dict)
    hidden: dict[str, ObjectType] = field(default_factory=dict)
    inside: Mapping[str, str] = field(default_factory=dict)

    def error(self, node: ast.AST, message: str, hint: str = "") -> WorkbenchError:
        """Return an error at a node of the text."""
        return self.scope.place.error(node, message, hint)

    def variable(self, node: ast.expr) -> str:
        """Return the variable that this name is, or ""."""
        if not isinstance(node, ast.Name) or self.scope.cell.is_reference(node):
            return ""
        return self.inside.get(node.id, node.id if node.id in self.variables else "")

    def type_of(self, var: str) -> ObjectType:
        """Return the type of a variable of the query, or of one that a quantifier binds."""
        return self.variables[var] if var in self.variables else self.hidden[var]

    def fresh(self, name: str, kind: ObjectType) -> str:
        """Return a name for a variable that exists inside a part of the condition only.

        It is the one written, unless that means another variable; parts that mean the same then are equal.
        """
        number, found = 1, name
        while found in self.variables or found in self.inside.values() or self.hidden.get(found, kind) != kind:
            number += 1
            found = f"{name}_{number}"
        self.hidden[found] = kind
        return found

    def property(self, node: ast.Attribute, var: str) -> Value:
        """Return `var.name`."""
        kind, name = self.type_of(var), node.attr
        at = position(node)
        own = kind.property(name)
        if own is not None and own not in SCENE_PROPERTIES:
            return Value(Sort("any", name=name), node, Property(var, name, None, **at))
        known = PROPERTIES.get(name)
        if known is None or not kind.is_a(known.owner):
            if name in METHODS:
                raise self.error(
                    node,
                    f"{name} is a method (line {node.lineno}).",
                    f"Write {var}.{METHODS[name].text.split(':')[0]}.",
                )
            if known is not None:
                raise self.error(
                    node,
                    f"{kind.name} has no property '{name}' (line {node.lineno}).",
                    f"{name} is a property of {known.owner}.",
                )
            names = [one.name for one in PROPERTIES.values() if kind.is_a(one.owner)]
            names += [one.name for one in kind.properties if one.name not in names]
            raise self.error(
                node,
                f"{kind.name} has no property '{name}' (line {node.lineno}).",
                suggest(name, [*names, *METHODS], f"Properties: {', '.join(sorted(names))}."),
            )
        if known.shape == "image":
            raise self.error(
                node,
                f"image can be read in @prop functions only (line {node.lineno}).",
                "Write a property with an argument named image.",
            )
        choices = known.choices
        if name == "label" and kind.labels is not None:
            choices = kind.labels
        elif name == "crossed_to":
            choices = self.sides
        sort = Sort(known.shape, known.dimension, choices, name)
        if known.scaled:
            sort = metric(sort, self.scale is not None)
        dimension = sort.dimension if known.shape == "number" else None
        return Value(sort, node, Property(var, name, dimension, **at))

    def _named(self, node: ast.expr, at: ast.expr) -> Value:
        if var := self.variable(node):
            raise self.error(at, f"{var} is an object, not a value.", f"Ask for a property: {var}.speed.")
        if isinstance(node, ast.Name) and node.id in self.relations and not self.scope.cell.is_reference(node):
            return Value(Sort("any", name=node.id), at, replace(self.relations[node.id], **position(at)))
        value = self.scope.find(node)
        if value is MISSING or isinstance(value, Word):
            raise self._not_a_value(node, value)
        if isinstance(value, (ObjectMeta, QueryMeta)):
            raise self.error(
                at,
                f"{value.__name__} is a type, not a value.",
                f"Declare a variable: {value.__name__.lower()}: {value.__name__}.",
            )
        scalar = as_scalar(value)
        if scalar is not MISSING:
            return Value(Sort("fixed"), at, fixed=scalar)
        if as_collection(value) is not None:
            raise self.error(
                at, f"{ast.unparse(node)} holds several values (line {node.lineno}).", f"Write: in {ast.unparse(node)}."
            )
        kind = type(value).__name__
        raise self.error(
            at,
            f"{ast.unparse(node)} is a {kind}, which a condition cannot compare (line {node.lineno}).",
            "Use a number, a text or a list of these.",
        )

    def _not_a_value(self, node: ast.expr, value: Any) -> WorkbenchError:
        word = self.scope.word(node)
        if word in catalogue.BOUNDS:
            return self.error(
                node, f"'{word}' belongs in select (line {node.lineno}).", 'In where, write lasts(condition, "5s").'
            )
        if word:
            return self.error(
                node, f"'{word}' is called with () (line {node.lineno}).", f"Write {catalogue.WORDS[word]}."
            )
        return self.undeclared(node)

    def undeclared(self, node: ast.expr) -> WorkbenchError:
        """Return the error for a name that neither the query nor anything else declares."""
        base = root(node)
        if self.variable(base):  # a property of a property
            return unsupported(self.scope.place, node)
        kinds = {kind.lower(): kind for kind in catalogue.TYPES}
        name = base.id if isinstance(base, ast.Name) else ""
        kind = kinds.get(name.rstrip("0123456789_").lower(), "")
        alone = base is node
        if name and self.scope.get(name) is MISSING and (kind or not alone):
            near = "" if kind else suggest(name, [*self.variables, *self.inside], "")
            add = f'Add a line "{name}: {kind or "Object"}" to the query.'
            return self.error(base, f"'{name}' is not declared (line {node.lineno}).", near or add)
        if isinstance(node, ast.Name):
            known = {*self.variables, *self.inside, *self.relations, *self.scope.names()}
            return self.error(
                node,
                f"'{node.id}' is not declared (line {node.lineno}).",
                suggest(node.id, known, f"Give {node.id} a value above the query, or in a cell before."),
            )
        return self.scope.undeclared(node)

    def value(self, node: ast.expr) -> Value:
        """Return the checked form of a value; `Values` has it."""
        raise NotImplementedError

    def condition(self, node: ast.expr) -> Node:
        """Return the checked form of a condition; `Conditions` has it."""
        raise NotImplementedError
