"""Arguments of words and methods: which is which, and the fixed times, texts, angles, regions and lines among them."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from workbench.engine.errors import WorkbenchError, suggest
from workbench.engine.units import as_seconds
from workbench.video.language import catalogue
from workbench.video.language.catalogue import METHODS
from workbench.video.language.names import Names
from workbench.video.language.parse import unsupported
from workbench.video.language.scope import MISSING
from workbench.video.language.shapes import line_shape, region_shape
from workbench.video.language.sorts import read_quantity, short
from workbench.video.language.tree import LineShape, RegionShape


@dataclass(slots=True)
class Arguments(Names):
    """Reads the arguments of calls."""

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

    def seconds(self, node: ast.expr, name: str, *, positive: bool = False) -> float:
        """Return the seconds of a fixed time."""
        value = self.value(node)
        if value.tree is not None:
            raise self.error(node, f"{name} takes a fixed time, got {short(node)}.", 'Write "0.5s" or "2min".')
        fixed = value.fixed
        try:
            seconds = (
                fixed.value
                if getattr(fixed, "dimension", None) == catalogue.SECONDS
                else as_seconds(fixed, name, clock=False)
            )
        except WorkbenchError as error:
            raise self.error(node, error.message, error.hint) from None
        if seconds < 0 or (positive and seconds == 0):
            raise self.error(node, f"{name} needs a time above 0, got {short(node)}.", 'Write "0.5s" or "2min".')
        return float(seconds)

    def text(self, node: ast.expr, name: str, choices: Sequence[str]) -> str:
        """Return a fixed text that is one of `choices`."""
        value = self.value(node)
        if value.tree is None and value.fixed in choices:
            return str(value.fixed)
        listed = ", ".join(f'"{one}"' for one in choices[:-1]) + f' or "{choices[-1]}"'
        given = value.fixed if isinstance(value.fixed, str) else ""
        raise self.error(
            node,
            f"{name} is {listed}, got {short(node)}.",
            suggest(given, choices, f'Write "{choices[0]}".', quote='"{}"'),
        )

    def _degrees(self, node: ast.expr) -> float:
        value = self.value(node)
        quantity = read_quantity(value.fixed) if isinstance(value.fixed, str) else None
        if quantity is not None and quantity.dimension == catalogue.DEGREES and quantity.value > 0:
            return quantity.value
        if isinstance(value.fixed, (int, float)) and not isinstance(value.fixed, bool):
            raise self.error(node, f"by needs a unit, got {value.fixed:g}.", f'Write "{value.fixed:g}deg".')
        raise self.error(node, f"by is an angle above 0, got {short(node)}.", 'Write "60deg".')

    def _side(self, node: ast.expr, line: LineShape) -> str | None:
        value = self.value(node)
        if value.tree is None and (value.fixed is None or value.fixed in line.sides):
            return None if value.fixed is None else str(value.fixed)
        shown = value.fixed if isinstance(value.fixed, str) else short(node)
        raise self.error(
            node,
            f"{line.name} has no side '{shown}'.",
            suggest(str(shown), line.sides, f"Its sides are {line.sides[0]} and {line.sides[1]}."),
        )

    def region(self, node: ast.expr, name: str) -> RegionShape:
        """Return the region that an argument means."""
        return self._shape(node, f"{name}() needs a region", region_shape)

    def line(self, node: ast.expr) -> LineShape:
        """Return the line that an argument means."""
        return self._shape(node, "crosses() needs a line", line_shape)

    def _shape(self, node: ast.expr, needs: str, make: Any) -> Any:
        inner = node.elts[0] if isinstance(node, ast.Set) and len(node.elts) == 1 else node
        wants_line = make is line_shape
        if var := self.variable(inner):
            raise self.error(
                node, f"{needs}, and {var} is an object.", "Compare two objects with near() or overlaps()."
            )
        if isinstance(inner, ast.Name | ast.Attribute):
            name = inner.id if isinstance(inner, ast.Name) else inner.attr
            value = self.scope.find(inner)
            if value is MISSING:
                if isinstance(inner, ast.Attribute):
                    raise self.undeclared(inner)
                add = "Line((x1, y1), (x2, y2))" if wants_line else "Region((x, y), ...)"
                raise self.error(
                    inner,
                    f"'{name}' is not declared (line {node.lineno}).",
                    suggest(name, self.scope.names(), f"Add {name} = {add} above the query."),
                )
        elif isinstance(inner, ast.Call | ast.Tuple | ast.List):
            name, value = "line" if wants_line else "region", self.scope.evaluate(inner)
        else:
            name, value = short(inner), None
        try:
            shape = make(name, value)
        except WorkbenchError as error:
            raise self.error(node, error.message, error.hint) from None
        if shape is None:
            other = line_shape if not wants_line else region_shape
            is_other = not isinstance(value, (list, tuple)) and other(name, value) is not None
            kind = ("a region" if wants_line else "a line") if is_other else f"a {type(value).__name__}"
            example = "Line((120, 610), (540, 600))" if wants_line else "Region((360, 367), (773, 267), (1143, 480))"
            hint = f"Use {'inside' if wants_line else 'crosses'}({name})." if is_other else f"Write {name} = {example}."
            if not isinstance(inner, ast.Name | ast.Attribute):
                kind, hint = f"not {short(node)}", f"Write a name: yard = {example}."
                raise self.error(node, f"{needs}, {kind}.", hint)
            raise self.error(node, f"{needs}, and {name} is {kind}.", hint)
        self.shapes.setdefault(shape.name, shape)
        return shape
