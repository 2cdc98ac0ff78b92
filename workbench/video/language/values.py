"""Checking of the value parts of a condition: properties, fixed values, arithmetic, measures, choices."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from workbench.engine.errors import WorkbenchError, suggest
from workbench.engine.units import Quantity
from workbench.video.language import catalogue
from workbench.video.language.catalogue import AGGREGATES, METHODS, NUMBER, PROPERTIES
from workbench.video.language.inert import Word
from workbench.video.language.parse import position, unsupported
from workbench.video.language.scope import MISSING, Scope, as_collection, as_scalar, root
from workbench.video.language.sorts import Reader, Sort, Value, metric, short
from workbench.video.language.tree import (
    Arithmetic,
    Choose,
    Constant,
    Function,
    Measure,
    Negate,
    Node,
    ObjectType,
    Property,
    RegionOf,
    RegionShape,
    ScaleSpec,
)
from workbench.video.language.vocabulary import ObjectMeta, QueryMeta

_OPERATORS = {"Add": "+", "Sub": "-", "Mult": "*", "Div": "/"}


@dataclass(slots=True)
class Values:
    """Checks values; `Conditions` adds what is true or false.

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
    """

    scope: Scope
    variables: Mapping[str, ObjectType]
    scale: ScaleSpec | None
    reader: Reader
    sides: tuple[str, ...] = ()
    shapes: dict[str, Any] = field(default_factory=dict)

    def error(self, node: ast.AST, message: str, hint: str = "") -> WorkbenchError:
        """Return an error at a node of the text."""
        return self.scope.place.error(node, message, hint)

    def variable(self, node: ast.expr) -> str:
        """Return the variable that this name is, or ""."""
        if isinstance(node, ast.Name) and node.id in self.variables and not self.scope.cell.is_reference(node):
            return node.id
        return ""

    def value(self, node: ast.expr) -> Value:
        """Return the checked form of a value.

        Raises
        ------
        WorkbenchError
            For what is no value, or not part of queries.
        """
        match node:
            case ast.Constant(value=fixed) if fixed is None or isinstance(fixed, (bool, int, float, str)):
                return Value(Sort("fixed"), node, fixed=fixed)
            case ast.Attribute(value=base) if self.variable(base):
                return self.property(node, self.variable(base))
            case ast.Name() | ast.Attribute():
                return self._named(node, node)
            case ast.Set(elts=[ast.Name() | ast.Attribute() as inner]):  # {name}: the value of a name
                return self._named(inner, node)
            case ast.BinOp(op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div()):
                return self._arithmetic(node)
            case ast.UnaryOp(op=ast.USub()):
                return self._negate(node)
            case ast.IfExp():
                return self._choose(node)
            case ast.Call():
                return self._call(node)
            case ast.Compare() | ast.BoolOp() | ast.UnaryOp(op=ast.Not()):
                raise self.error(
                    node, f"{short(node)} is a condition, not a value.", "Join conditions with and, or, not."
                )
        raise unsupported(self.scope.place, node)

    # ------------------------------------------------------------------------------------------------------ names

    def property(self, node: ast.Attribute, var: str) -> Value:
        """Return `var.name`."""
        kind, name = self.variables[var], node.attr
        at = position(node)
        if kind.property(name) is not None:
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
            own = [one.name for one in kind.properties]
            names = [one.name for one in PROPERTIES.values() if kind.is_a(one.owner)] + own
            raise self.error(
                node,
                f"{kind.name} has no property '{name}' (line {node.lineno}).",
                suggest(name, [*names, *METHODS], f"Properties: {', '.join(sorted(names))}."),
            )
        if name == "embedding":
            raise self.error(
                node, "embedding is not available yet.", "Use color, or an @prop function that reads image."
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
        if isinstance(base, ast.Name) and base is not node and self.scope.get(base.id) is MISSING:
            name = base.id
            kinds = {kind.lower(): kind for kind in catalogue.TYPES}
            near = suggest(name, self.variables, "")
            if near and name not in kinds:
                return self.error(base, f"'{name}' is not declared (line {node.lineno}).", near)
            kind = kinds.get(name.rstrip("0123456789_").lower(), "Object")
            return self.error(
                base, f"'{name}' is not declared (line {node.lineno}).", f'Add a line "{name}: {kind}" to the query.'
            )
        if isinstance(node, ast.Name):
            known = {*self.variables, *self.scope.names()}
            return self.error(
                node,
                f"'{node.id}' is not declared (line {node.lineno}).",
                suggest(node.id, known, f"Give {node.id} a value above the query, or in a cell before."),
            )
        return self.scope.undeclared(node)

    # -------------------------------------------------------------------------------------------------- arithmetic

    def _arithmetic(self, node: ast.BinOp) -> Value:
        op = _OPERATORS[type(node.op).__name__]
        left, right = self.value(node.left), self.value(node.right)
        if left.tree is None and right.tree is None:
            return self._fold(node, op, left, right)
        one, two = self._number(left, right, op), self._number(right, left, op)
        first, second = one.sort.dimension, two.sort.dimension
        if op in "+-" and first != second:
            raise self.error(
                node,
                f"{one.name} is {one.sort.units()} and {two.name} is {two.sort.units()}.",
                f"Both sides of {op} need the same unit.",
            )
        dimension = first * second if op == "*" else first / second if op == "/" else first
        sort = Sort("number", dimension, name=short(node), metric=one.sort.metric or two.sort.metric)
        assert one.tree is not None
        assert two.tree is not None
        tree = Arithmetic(op, one.tree, two.tree, dimension, **position(node))
        return Value(sort, node, tree)

    def _number(self, value: Value, other: Value, op: str) -> Value:
        """Return a side of arithmetic as a number with a tree."""
        if value.tree is None:
            if op in "+-":
                wanted = other.sort if other.sort.shape == "number" else Sort("number", name=other.name)
                return Value(wanted, value.at, self.reader.constant(value, wanted))
            quantity = self.reader.quantity(value)
            if quantity is None:
                raise self.error(
                    value.at, f"{short(value.at)} is no number or quantity.", 'Calculate with numbers, or "5px".'
                )
            at = position(value.at)
            constant = Constant(quantity.value, quantity.dimension, quantity.text, **at)
            return Value(Sort("number", quantity.dimension, name=short(value.at)), value.at, constant)
        if value.sort.shape == "any":  # one's own property counts as a plain number
            return Value(Sort("number", name=value.name), value.at, value.tree)
        if value.sort.shape != "number":
            raise self.error(
                value.at, f"{value.name} is {value.sort.units()}, which '{op}' cannot take.", "Calculate with numbers."
            )
        return value

    def _fold(self, node: ast.BinOp, op: str, left: Value, right: Value) -> Value:
        one, two = self.reader.quantity(left), self.reader.quantity(right)
        for side, value in ((one, left), (two, right)):
            if side is None:
                raise self.error(
                    value.at, f"{short(value.at)} is no number or quantity.", 'Calculate with numbers, or "5px".'
                )
        assert one is not None
        assert two is not None
        if op in "+-" and one.dimension != two.dimension:
            raise self.error(
                node,
                f"{short(left.at)} and {short(right.at)} have different units.",
                f"Both sides of {op} need the same unit.",
            )
        if op == "/" and two.value == 0:
            raise self.error(node, f"{short(node)} divides by zero.", "Correct the number.")
        number = {
            "+": lambda: one.value + two.value,
            "-": lambda: one.value - two.value,
            "*": lambda: one.value * two.value,
            "/": lambda: one.value / two.value,
        }[op]()
        dimension = {"*": one.dimension * two.dimension, "/": one.dimension / two.dimension}.get(op, one.dimension)
        return Value(Sort("fixed"), node, fixed=Quantity(number, dimension, short(node)) if dimension else number)

    def _negate(self, node: ast.UnaryOp) -> Value:
        inner = self.value(node.operand)
        if inner.tree is None:
            quantity = self.reader.quantity(inner)
            if quantity is None:
                raise self.error(
                    node, f"{short(inner.at)} is no number or quantity.", 'Calculate with numbers, or "5px".'
                )
            fixed = (
                Quantity(-quantity.value, quantity.dimension, f"-{quantity.text}")
                if quantity.dimension
                else -quantity.value
            )
            return Value(Sort("fixed"), node, fixed=fixed)
        number = self._number(inner, inner, "-")
        assert number.tree is not None
        tree = Negate(number.tree, **position(node))
        return Value(Sort("number", number.sort.dimension, name=short(node), metric=number.sort.metric), node, tree)

    def _alike(self, node: ast.expr, values: Sequence[Value]) -> tuple[Sort, list[Node]]:
        """Return the one sort of several values, and their trees."""
        leading = next((value for value in values if value.tree is not None), None)
        sort = leading.sort if leading is not None else self._sort_of_fixed(values)
        trees: list[Node] = []
        for value in values:
            if value.tree is None:
                trees.append(self.reader.constant(value, sort, matched=False))
            else:
                same = value.sort.shape == sort.shape and value.sort.dimension == sort.dimension
                if (not same and not {value.sort.shape, sort.shape} == {"any", "number"}) or value.sort.shape in (
                    "point",
                    "box",
                ):
                    raise self.error(
                        node,
                        f"{sort.name} is {sort.units()} and {value.name} is {value.sort.units()}.",
                        "All of them need to be of one kind.",
                    )
                trees.append(value.tree)
        return sort, trees

    def _sort_of_fixed(self, values: Sequence[Value]) -> Sort:
        quantities = [self.reader.quantity(value) for value in values]
        name = short(values[0].at)
        dimensions = {quantity.dimension for quantity in quantities if quantity is not None and quantity.value != 0}
        if None not in quantities and len(dimensions) <= 1:
            return Sort("number", dimensions.pop() if dimensions else NUMBER, name=name)
        if all(isinstance(value.fixed, bool) for value in values):
            return Sort("bool", name=name)
        return Sort("text", name=name) if isinstance(values[0].fixed, str) else Sort("number", name=name)

    def _choose(self, node: ast.IfExp) -> Value:
        condition = self.condition(node.test)
        if condition.kind == "interval":
            raise self.error(
                node.test,
                f"{short(node.test)} gives an interval, not a condition.",
                "Choose by what is true per frame.",
            )
        sort, (then, otherwise) = self._alike(node, [self.value(node.body), self.value(node.orelse)])
        if sort.shape == "text" and any(isinstance(side, Constant) for side in (then, otherwise)):
            sort = Sort("text", name=sort.name)
        tree = Choose(condition, then, otherwise, **position(node))
        return Value(Sort(sort.shape, sort.dimension, sort.choices, short(node), sort.metric), node, tree)

    def condition(self, node: ast.expr) -> Node:
        """Return the checked form of a condition; `Conditions` has it."""
        raise NotImplementedError

    # ------------------------------------------------------------------------------------------------------- calls

    def _call(self, node: ast.Call) -> Value:
        if isinstance(node.func, ast.Attribute) and (var := self.variable(node.func.value)):
            return self.method_value(node, var, node.func.attr)
        word = self.scope.word(node.func)
        at = position(node)
        if word in ("abs", "min", "max"):
            self.check_no_keywords(node, word)
            if word == "abs":
                if len(node.args) != 1:
                    raise self.error(
                        node, f"abs() takes one value (line {node.lineno}).", "Write abs(car.x1 - car.x2)."
                    )
                inner = self._number(value := self.value(node.args[0]), value, "abs")
                assert inner.tree is not None
                sort = Sort("number", inner.sort.dimension, name=short(node), metric=inner.sort.metric)
                return Value(sort, node, Function("abs", (inner.tree,), **at))
            if len(node.args) < 2:
                raise self.error(
                    node,
                    f"{word}() of one value belongs in select (line {node.lineno}).",
                    f"In where, write {word}(a, b).",
                )
            sort, trees = self._alike(node, [self.value(argument) for argument in node.args])
            if sort.shape not in ("number", "any"):
                raise self.error(
                    node, f"{word}() needs numbers; {sort.name} is {sort.units()}.", "Compare texts with == and in."
                )
            sort = Sort("number", sort.dimension, name=short(node), metric=sort.metric)
            return Value(sort, node, Function("min" if word == "min" else "max", tuple(trees), **at))
        raise self.not_a_value_call(node, word)

    def not_a_value_call(self, node: ast.Call, word: str) -> WorkbenchError:
        """Return the error for a call that gives no value."""
        if word in ("any", "all", "sum") and node.args and isinstance(node.args[0], ast.GeneratorExp):
            return self.error(
                node,
                f"{word}() over a type is not available yet (line {node.lineno}).",
                "Ask about one object at a time.",
            )
        if word in AGGREGATES:
            return self.error(
                node, f"'{word}()' belongs in select (line {node.lineno}).", f"Write select = {short(node)}."
            )
        if word == "every":
            return self.error(node, f"'every()' belongs in group (line {node.lineno}).", 'Write group = every("1min").')
        if word == "known":
            return self.error(node, f"{short(node)} is a condition, not a value.", "Join conditions with and, or, not.")
        if word in catalogue.INTERVAL_WORDS:
            return self.error(node, f"{short(node)} gives an interval, not a value.", "Use it as the condition itself.")
        found = self.scope.find(node.func)
        if isinstance(found, QueryMeta):
            return self.error(
                node,
                f"A query inside a query is not available yet (line {node.lineno}).",
                f"Inherit from it: class Name({found.__name__}):",
            )
        if found is MISSING and isinstance(node.func, ast.Attribute) and not self.variable(root(node.func)):
            return self.undeclared(node.func)
        if found is MISSING and isinstance(node.func, ast.Name) and not hasattr(builtins, node.func.id):
            name = node.func.id
            return self.error(
                node,
                f"'{name}' is not declared (line {node.lineno}).",
                suggest(name, [*catalogue.WORDS, *self.scope.names()], "Put the call in an @prop function."),
            )
        return unsupported(self.scope.place, node)

    def check_no_keywords(self, node: ast.Call, name: str) -> None:
        """Raise if a call has keywords, stars or a generator."""
        if node.keywords:
            raise self.error(
                node.keywords[0],
                f"{name}() has no argument '{node.keywords[0].arg or '**'}' (line {node.lineno}).",
                f"Write {catalogue.WORDS.get(name, name)}.",
            )
        for argument in node.args:
            if isinstance(argument, ast.Starred | ast.GeneratorExp):
                raise unsupported(self.scope.place, argument)

    def method_value(self, node: ast.Call, var: str, name: str) -> Value:
        """Return the value of a method: `region_of`, `distance`, `closing`; `Conditions` handles the others."""
        at = position(node)
        if name == "region_of":
            self.check_no_keywords(node, name)
            if not node.args:
                raise self.error(node, "region_of() needs at least one region.", f"Write {var}.region_of(yard, road).")
            regions = tuple(self.region(argument, name) for argument in node.args)
            choices = tuple(dict.fromkeys(region.name for region in regions))
            return Value(Sort("text", choices=choices, name="region_of()"), node, RegionOf(var, regions, **at))
        if name in ("distance", "closing"):
            other = self.other(self.arguments(node, name)["other"], name, var)
            base = catalogue.PIXELS if name == "distance" else catalogue.PIXEL_SPEED
            sort = metric(Sort("number", base, name=f"{name}()"), self.scale is not None)
            tree = Measure("distance" if name == "distance" else "closing", var, other, sort.dimension, **at)
            return Value(sort, node, tree)
        raise self.error(node, f"{short(node)} is a condition, not a value.", "Join conditions with and, or, not.")

    def arguments(self, node: ast.Call, name: str) -> dict[str, ast.expr]:
        """Return the arguments of a method by name.

        Raises
        ------
        WorkbenchError
            For one too few, too many, twice or unknown.
        """
        method = METHODS[name]
        example = f"Write {method.text.split(': ')[0]}."
        found: dict[str, ast.expr] = {}
        for argument in node.args:
            if isinstance(argument, ast.Starred):
                raise unsupported(self.scope.place, argument)
        if len(node.args) > len(method.parameters):
            raise self.error(
                node.args[-1],
                f"{name}() takes at most {len(method.parameters)} arguments (line {node.lineno}).",
                example,
            )
        found.update(zip(method.parameters, node.args, strict=False))
        for keyword in node.keywords:
            if keyword.arg is None:
                raise unsupported(self.scope.place, keyword.value, "**")
            if keyword.arg not in method.parameters or keyword.arg in found:
                raise self.error(
                    keyword,
                    f"{name}() has no argument '{keyword.arg}' (line {node.lineno}).",
                    suggest(keyword.arg, method.parameters, example),
                )
            found[keyword.arg] = keyword.value
        for parameter in method.parameters[: method.required]:
            if parameter not in found:
                raise self.error(
                    node,
                    f"{name}() needs {'an' if parameter[0] in 'aeiou' else 'a'} {parameter} (line {node.lineno}).",
                    example,
                )
        return found

    def other(self, node: ast.expr, name: str, var: str) -> str:
        """Return the second variable of a relation."""
        other = self.variable(node)
        if not other:
            if isinstance(node, ast.Name) and self.scope.get(node.id) is MISSING:
                raise self.undeclared(ast.copy_location(ast.Attribute(node, "id", ast.Load()), node))
            raise self.error(
                node, f"{name}() needs a variable of the query, got {short(node)}.", f"Write {var}.{name}(other)."
            )
        if other == var:
            raise self.error(
                node, f"{name}() compares {var} with itself (line {node.lineno}).", "Name another variable."
            )
        return other

    def region(self, node: ast.expr, name: str) -> RegionShape:
        """Return the region that an argument means; `Conditions` has it."""
        raise NotImplementedError
