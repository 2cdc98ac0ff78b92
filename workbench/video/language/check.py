"""Checking of conditions: from Python's syntax tree to the typed tree, with every mistake named."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from workbench.engine.errors import suggest
from workbench.video.language import catalogue
from workbench.video.language.catalogue import METHODS
from workbench.video.language.intervals import Intervals
from workbench.video.language.parse import Position, position, too_deep, unsupported
from workbench.video.language.scope import MISSING, as_collection, as_scalar, root
from workbench.video.language.sorts import METRES, Sort, Value, metric, short
from workbench.video.language.tree import (
    And,
    Compare,
    Constant,
    Contains,
    Crosses,
    InRegion,
    Known,
    Node,
    Not,
    Or,
    Relation,
    Truth,
    Turns,
)
from workbench.video.language.values import Values
from workbench.video.language.vocabulary import QueryMeta

_COMPARISONS = {"Eq": "==", "NotEq": "!=", "Lt": "<", "LtE": "<=", "Gt": ">", "GtE": ">="}
_MIXED = "Put the frame condition inside lasts(), or use during() or sequence()."


@dataclass(slots=True)
class Conditions(Intervals):
    """Checks conditions and intervals of one class of a query."""

    def where(self, node: ast.expr) -> Node:
        """Return the checked condition of a `where`.

        Raises
        ------
        WorkbenchError
            For every mistake of section 6 of the design.
        """
        try:
            return self.condition(node)
        except RecursionError as error:
            raise too_deep() from error

    def condition(self, node: ast.expr) -> Node:
        """Return the checked form of a condition or an interval."""
        at = position(node)
        match node:
            case ast.BoolOp(op=op, values=parts):
                operands = [self.condition(part) for part in parts]
                check_one_kind(self, parts, operands)
                if isinstance(op, ast.Or) and operands[0].kind == "interval":
                    self.check_alike(parts, operands)
                return join("and" if isinstance(op, ast.And) else "or", operands, at)
            case ast.UnaryOp(op=ast.Not(), operand=part):
                operand = self.condition(part)
                if operand.kind == "interval":
                    raise self.error(
                        node,
                        f"{short(part)} gives an interval, which 'not' cannot take.",
                        "Put the not inside lasts().",
                    )
                return Not(operand, **at)
            case ast.Compare():
                return self._comparison(node)
            case ast.Call():
                return self._called(node)
            case ast.Constant(value=bool() as fixed):
                return Truth(Constant(fixed, **at), **at)
        return self._truth(node, self.value(node))

    def _truth(self, node: ast.expr, value: Value) -> Node:
        at = position(node)
        if value.tree is None and isinstance(value.fixed, bool):
            return Truth(Constant(value.fixed, **at), **at)
        if value.tree is not None and value.sort.shape in ("bool", "any"):
            return Truth(value.tree, **at)
        text = short(node)
        if value.tree is None:
            raise self.error(
                node, f"{text} is a fixed value, not a condition.", 'Compare a property: car.color == "red".'
            )
        if value.sort.shape in ("text", "number"):
            op = "==" if value.sort.shape == "text" else ">"
            kind = "text" if value.sort.shape == "text" else "a number"
            raise self.error(
                node, f"{text} is {kind}, not a condition.", f"Compare it: {text} {op} {value.sort.first_example()}."
            )
        raise self.error(
            node, f"{text} is {value.sort.units()}, not a condition.", "Use a method such as inside() or crosses()."
        )

    # -------------------------------------------------------------------------------------------------- comparison

    def _comparison(self, node: ast.Compare) -> Node:
        sides = [node.left, *node.comparators]
        steps: list[Node] = []
        for left, op, right in zip(sides, node.ops, sides[1:], strict=False):
            if isinstance(op, ast.Is | ast.IsNot):
                raise unsupported(self.scope.place, node, "is" if isinstance(op, ast.Is) else "is not")
            if isinstance(op, ast.In | ast.NotIn):
                steps.append(self._contains(node, left, right, isinstance(op, ast.NotIn)))
            else:
                steps.append(self._compare(node, _COMPARISONS[type(op).__name__], left, right))
        return join("and", steps, position(node))

    def _compare(self, node: ast.Compare, op: str, left_node: ast.expr, right_node: ast.expr) -> Node:
        at = position(node)
        left, right = self.value(left_node), self.value(right_node)
        ordered = op not in ("==", "!=")
        for side in (left, right):
            if side.tree is not None and side.sort.shape in ("point", "box", "image", "vector"):
                raise self.reader.no_comparison(side.at, replace(side.sort, name=side.name))
            if side.tree is not None and ordered and side.sort.shape in ("text", "bool"):
                raise self.error(
                    side.at, f"{side.name} is {side.sort.units()}, which has no order.", "Compare it with ==, != or in."
                )
        if left.tree is None and right.tree is None:
            raise self.error(
                node, f"{short(node)} compares two fixed values.", "Compare a property, such as car.speed."
            )
        if left.tree is None:
            one: Node = self.reader.constant(left, replace(right.sort, name=right.name), ordered=ordered)
            assert right.tree is not None
            return Compare(op, one, right.tree, **at)
        if right.tree is None:
            two = self.reader.constant(right, replace(left.sort, name=left.name), ordered=ordered)
            return Compare(op, left.tree, two, **at)
        self._check_alike(node, left, right)
        return Compare(op, left.tree, right.tree, **at)

    def _check_alike(self, node: ast.expr, left: Value, right: Value) -> None:
        shapes = {left.sort.shape, right.sort.shape}
        if "any" in shapes:
            for own, other in ((left, right), (right, left)):
                if own.sort.shape == "any" and other.sort.shape == "number" and other.sort.dimension:
                    raise self.error(
                        node,
                        f"{other.name} is {other.sort.units()} and {own.name} has no unit.",
                        f"Divide it first: {short(other.at)} / {_one(other.sort)}.",
                    )
            return
        if len(shapes) > 1 or left.sort.dimension != right.sort.dimension:
            raise self.error(
                node,
                f"{left.name} is {left.sort.units()} and {right.name} is {right.sort.units()}.",
                "Both sides need to be of one kind.",
            )

    def _contains(self, node: ast.Compare, item_node: ast.expr, collection_node: ast.expr, negated: bool) -> Node:
        at = position(node)
        item = self.value(item_node)
        if item.tree is None:
            raise self.error(
                item_node, f"{short(item_node)} is a fixed value.", 'Ask of a property: car.color in ("red", "blue").'
            )
        if item.sort.shape in ("point", "box", "image", "vector"):
            raise self.reader.no_comparison(item.at, replace(item.sort, name=item.name))
        wanted = replace(item.sort, name=item.name)
        constants = [self.reader.constant(part, wanted) for part in self._collection(collection_node)]
        members = Constant(
            tuple(dict.fromkeys(one.value for one in constants)), wanted.dimension, short(collection_node), **at
        )
        inside = Contains(item.tree, members, **at)
        return Not(inside, **at) if negated else inside

    def _collection(self, node: ast.expr) -> list[Value]:
        """Return the fixed values on the right of `in`: a literal, or a name that holds several or one."""
        named = node.elts[0] if isinstance(node, ast.Set) and len(node.elts) == 1 else node
        if isinstance(named, ast.Name | ast.Attribute) and not self.variable(named):
            value = self.scope.find(named)
            if value is MISSING:
                raise self._not_a_value(named, value)
            scalar = as_scalar(value)
            parts = (scalar,) if scalar is not MISSING else as_collection(value)
            if parts is None:
                kind = type(value).__name__
                raise self.error(
                    node,
                    f"{ast.unparse(named)} is a {kind}, which 'in' cannot take (line {node.lineno}).",
                    "Use a list, set, array or column of numbers or texts.",
                )
            return [Value(Sort("fixed"), node, fixed=part) for part in parts]
        parts_nodes = node.elts if isinstance(node, ast.Tuple | ast.List | ast.Set) else [node]
        values = []
        for part in parts_nodes:
            value = self.value(part)
            if value.tree is not None:
                raise self.error(
                    part, f"'in' takes fixed values, and {short(part)} is not (line {node.lineno}).", "Write == and or."
                )
            values.append(value)
        return values

    # ------------------------------------------------------------------------------------------------------- calls

    def _called(self, node: ast.Call) -> Node:
        function = node.func
        if isinstance(function, ast.Attribute):
            if var := self.variable(function.value):
                return self._method(node, var, function.attr)
            if self.scope.find(function) is MISSING and not self.variable(root(function)):
                raise self.undeclared(function)
        word = self.scope.word(function)
        if word in catalogue.INTERVAL_WORDS:
            return self.interval(node, word)
        if isinstance(query := self.scope.find(function), QueryMeta):
            return self.inner(node, query)
        if word == "known":
            self.check_no_keywords(node, word)
            if len(node.args) != 1:
                raise self.error(node, f"known() takes one value (line {node.lineno}).", "Write known(car.crossed_to).")
            value = self.value(node.args[0])
            if value.tree is None:
                raise self.error(node, f"{short(node.args[0])} is a fixed value.", "Write known(car.crossed_to).")
            return Known(value.tree, **position(node))
        if word in ("any", "all"):
            return self.quantified(node, word)
        if word in ("abs", "min", "max"):
            return self._truth(node, self.value(node))
        raise self.not_a_value_call(node, word)

    def _method(self, node: ast.Call, var: str, name: str) -> Node:
        at = position(node)
        kind = self.type_of(var)
        if name not in METHODS:
            assert isinstance(node.func, ast.Attribute)
            if kind.property(name) is not None or (
                name in catalogue.PROPERTIES and kind.is_a(catalogue.PROPERTIES[name].owner)
            ):
                raise self.error(node, f"{name} is a property (line {node.lineno}).", f"Write {var}.{name} without ().")
            raise self.error(
                node.func,
                f"{kind.name} has no method '{name}' (line {node.lineno}).",
                suggest(name, METHODS, f"Methods: {', '.join(METHODS)}."),
            )
        if name in ("region_of", "distance", "closing"):
            return self._truth(node, self.method_value(node, var, name))
        given = self.arguments(node, name)
        if name == "inside" and (other := self.variable(given["region"])):
            return Relation("inside", var, self.other(given["region"], name, var) and other, **at)
        if name in ("inside", "enters", "leaves"):
            region = self.region(given["region"], name)
            by: Any = self.text(given["by"], "by", ("foot", "center", "box")) if "by" in given else "foot"
            which: Literal["inside", "enters", "leaves"] = name  # type: ignore[assignment]
            return InRegion(which, var, region, by, **at)
        if name == "crosses":
            line = self.line(given["line"])
            to = self._side(given["to"], line) if "to" in given else None
            return Crosses(var, line, to, **at)
        if name == "turns":
            side: Any = self.text(given["side"], "turns()", ("left", "right"))
            by_degrees = self._degrees(given["by"]) if "by" in given else 60.0
            over = self.seconds(given["over"], "over", positive=True) if "over" in given else 3.0
            return Turns(var, side, by_degrees, over, **at)
        return self._relation(node, var, name, given)

    def _relation(self, node: ast.Call, var: str, name: str, given: dict[str, ast.expr]) -> Node:
        at = position(node)
        other = self.other(given["other"], name, var)
        if name == "near":
            limit = self.value(given["distance"])
            if limit.tree is not None:
                raise self.error(
                    limit.at, f"near() takes a fixed distance, got {short(limit.at)}.", 'Write "2m" or "80px".'
                )
            if isinstance(limit.fixed, (int, float)) and not isinstance(limit.fixed, bool) and limit.fixed != 0:
                raise self.error(limit.at, f"near() needs a unit, got {limit.fixed:g}.", 'Write "2m" or "80px".')
            quantity = self.reader.quantity(limit)
            wanted = metric(Sort("number", catalogue.PIXELS, name="near()"), False)
            if quantity is not None and quantity.dimension == METRES and self.scale is not None:
                return Relation(name, var, other, quantity.value, METRES, **at)
            constant = self.reader.constant(limit, wanted)
            return Relation(name, var, other, float(constant.value), catalogue.PIXELS, **at)
        if name == "same_as":
            for one in (var, other):
                if not self.type_of(one).is_a(catalogue.PROPERTIES["embedding"].owner):
                    raise self.error(
                        node,
                        f"same_as() compares people, and {one} is a {self.type_of(one).name}.",
                        f"Declare {one} as Person, or compare color.",
                    )
        if name in ("overlaps", "same_as"):
            least = {"overlaps": ("iou", 0.0), "same_as": ("min", 0.6)}[name]
            limit_value = least[1]
            if least[0] in given:
                value = self.value(given[least[0]])
                if value.tree is not None:
                    raise self.error(
                        value.at, f"{least[0]} takes a fixed number, got {short(value.at)}.", f"Write {least[0]}=0.5."
                    )
                limit_value = float(self.reader.constant(value, Sort("number", name=least[0])).value)
            return Relation(name, var, other, limit_value, **at)
        return Relation(name, var, other, **at)


def check_one_kind(checker: Values, parts: Sequence[ast.expr], operands: Sequence[Node]) -> None:
    """Raise if frame conditions and intervals are mixed."""
    interval = next((part for part, operand in zip(parts, operands, strict=True) if operand.kind == "interval"), None)
    frame = next((part for part, operand in zip(parts, operands, strict=True) if operand.kind != "interval"), None)
    if interval is not None and frame is not None:
        raise checker.error(frame, f"{short(interval)} gives an interval and {short(frame)} is true per frame.", _MIXED)


def join(word: str, operands: Iterable[Node], at: Position | None = None) -> Node:
    """Return the And or Or of operands, flattened; one operand alone is itself."""
    kind = And if word == "and" else Or
    flat: list[Node] = []
    for operand in operands:
        flat.extend(operand.operands if isinstance(operand, kind) else (operand,))
    return flat[0] if len(flat) == 1 else kind(tuple(flat), **(at or Position(line=0, column=0)))


def _one(sort: Sort) -> str:
    return f'"1{sort.dimension}"'
