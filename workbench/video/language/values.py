"""Checking of the value parts of a condition: properties, fixed values, arithmetic, measures, choices."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Sequence
from dataclasses import dataclass

from workbench.engine.errors import WorkbenchError, suggest
from workbench.engine.units import Quantity
from workbench.video.language import catalogue
from workbench.video.language.catalogue import AGGREGATES, NUMBER
from workbench.video.language.parse import position, unsupported
from workbench.video.language.quantify import Quantifiers
from workbench.video.language.scope import MISSING, root
from workbench.video.language.sorts import Sort, Value, metric, short
from workbench.video.language.tree import (
    Arithmetic,
    Choose,
    Constant,
    Function,
    Measure,
    Negate,
    Node,
    RegionOf,
)
from workbench.video.language.vocabulary import QueryMeta

_OPERATORS = {"Add": "+", "Sub": "-", "Mult": "*", "Div": "/"}


@dataclass(slots=True)
class Values(Quantifiers):
    """Checks the values of conditions."""

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

    # ------------------------------------------------------------------------------------------------------- calls

    def _call(self, node: ast.Call) -> Value:
        if isinstance(node.func, ast.Attribute) and (var := self.variable(node.func.value)):
            return self.method_value(node, var, node.func.attr)
        word = self.scope.word(node.func)
        at = position(node)
        if word == "sum" and node.args and isinstance(node.args[0], ast.GeneratorExp):
            return self.total(node)
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
        if word in ("any", "all"):
            return self.error(node, f"{short(node)} is a condition, not a value.", "Join conditions with and, or, not.")
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
            return self.error(node, f"{short(node)} gives an interval, not a value.", "Use it as the condition itself.")
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
