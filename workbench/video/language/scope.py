"""What a name in a query means: the cell, then the notebook, then the vocabulary; and the values that it may have."""

from __future__ import annotations

import ast
import builtins
import datetime as dt
import math
import numbers
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from workbench.engine.errors import WorkbenchError, suggest
from workbench.engine.units import Dimension, Quantity
from workbench.video.language import vocabulary
from workbench.video.language.catalogue import WORDS
from workbench.video.language.inert import Word
from workbench.video.language.parse import Cell, Place, unsupported

MISSING = object()


@dataclass(slots=True)
class Scope:
    """The names that a class or a cell sees, nearest first, without the query's own variables."""

    cell: Cell
    layers: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)

    @property
    def place(self) -> Place:
        return self.cell.place

    def get(self, name: str) -> Any:
        """Return what the name means, or `MISSING`."""
        for names in self.layers:
            try:
                return names[name]
            except KeyError:
                continue
        return vocabulary.NAMES.get(name, MISSING)

    def names(self) -> set[str]:
        """Return every name that could have been meant, without private ones."""
        return {name for names in (*self.layers, vocabulary.NAMES) for name in names if not name.startswith("_")}

    def find(self, node: ast.expr) -> Any:
        """Return the value of a name or a dotted path that starts with a name of cell or notebook, or `MISSING`."""
        if isinstance(node, ast.Name):
            return self.get(node.id)
        if isinstance(node, ast.Attribute):
            value = self.find(node.value)
            if value is MISSING or (isinstance(value, (Word, type)) and not isinstance(value, ModuleType)):
                return getattr(value, node.attr, MISSING) if isinstance(value, type) else MISSING
            return getattr(value, node.attr, MISSING)
        return MISSING

    def word(self, node: ast.expr) -> str:
        """Return the word of the language that this name is (by itself, or imported under another one), or ""."""
        value = self.find(node)
        if isinstance(value, Word):
            return value.word
        for named in (vocabulary.prop, vocabulary.Region, vocabulary.Line, vocabulary.Scale):
            if value is named:
                return named.__name__
        return node.id if isinstance(node, ast.Name) and node.id in WORDS else ""

    def undeclared(self, node: ast.expr, hint: str = "") -> WorkbenchError:
        """Return the error for a name that nothing declares."""
        base = root(node)
        name = base.id if isinstance(base, ast.Name) else ast.unparse(node)
        if base is not node and self.get(name) is not MISSING:
            name = ast.unparse(node)
        otherwise = hint or f"Give {name} a value above the query, or in a cell before."
        return self.place.error(
            node, f"'{name}' is not declared (line {node.lineno}).", suggest(name, self.names(), otherwise)
        )

    # ------------------------------------------------------------------------------------------- values of a cell

    def evaluate(self, node: ast.expr) -> Any:
        """Return the value of a literal, a shape, a scale, a name, or arithmetic of these.

        Raises
        ------
        WorkbenchError
            For anything else.
        """
        match node:
            case ast.Constant(value=value) if value is None or isinstance(value, (bool, int, float, str)):
                return value
            case ast.Name() | ast.Attribute():
                value = self.find(node)
                if value is MISSING:
                    raise self.undeclared(node)
                return value
            case ast.Tuple(elts=parts):
                return tuple(self.evaluate(part) for part in parts)
            case ast.List(elts=parts):
                return [self.evaluate(part) for part in parts]
            case ast.Set(elts=parts):
                return self._hashed(node, lambda: {self.evaluate(part) for part in parts})
            case ast.Dict(keys=keys, values=values) if None not in keys:
                return self._hashed(
                    node,
                    lambda: {
                        self.evaluate(key): self.evaluate(value) for key, value in zip(keys, values, strict=True) if key
                    },
                )
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self._number(operand)
            case ast.BinOp(op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div() as op, left=left, right=right):
                return self._arithmetic(node, type(op).__name__, self._number(left), self._number(right))
            case ast.Call():
                return self._call(node)
        raise unsupported(self.place, node)

    def _hashed(self, node: ast.expr, make: Any) -> Any:
        try:
            return make()
        except TypeError:
            raise self.place.error(
                node, f"A set holds numbers and texts only (line {node.lineno}).", "Write a list."
            ) from None

    def _number(self, node: ast.expr) -> Any:
        value = self.evaluate(node)
        if isinstance(value, numbers.Real) and not isinstance(value, bool):
            return value
        raise self.place.error(
            node, f"'{ast.unparse(node)}' is no number (line {node.lineno}).", "Calculate with numbers here."
        )

    def _arithmetic(self, node: ast.expr, op: str, left: Any, right: Any) -> Any:
        try:
            return {
                "Add": lambda: left + right,
                "Sub": lambda: left - right,
                "Mult": lambda: left * right,
                "Div": lambda: left / right,
            }[op]()
        except (ZeroDivisionError, OverflowError) as error:
            raise self.place.error(
                node, f"This has no value: {error} (line {node.lineno}).", "Correct the numbers."
            ) from error

    def _call(self, node: ast.Call) -> Any:
        function = node.func
        if isinstance(function, ast.Attribute) and self.word(function.value) == "Region" and function.attr == "rect":
            make: Any = vocabulary.Region.rect
        else:
            made = {"Region": vocabulary.Region, "Line": vocabulary.Line, "Scale": vocabulary.Scale}
            make = made.get(self.word(function))
        if make is None:
            if isinstance(function, ast.Name) and self.find(function) is MISSING and not hasattr(builtins, function.id):
                raise self.undeclared(function)
            raise unsupported(self.place, node)
        arguments: list[Any] = []
        for argument in node.args:
            if isinstance(argument, ast.Starred):
                arguments += list(self.evaluate(argument.value))
            else:
                arguments.append(self.evaluate(argument))
        options = {}
        for keyword in node.keywords:
            if keyword.arg is None:
                raise unsupported(self.place, keyword.value, "**")
            options[keyword.arg] = self.evaluate(keyword.value)
        try:
            return make(*arguments, **options)
        except WorkbenchError as error:
            raise self.place.error(node, error.message, error.hint) from error
        except TypeError as error:
            name = ast.unparse(function)
            examples = {"Region.rect": "Region.rect(x1, y1, x2, y2)"}
            hint = f"Write {examples.get(name, WORDS.get(name.rpartition('.')[2], name + '(...)'))}."
            message = (
                str(error).replace("__init__()", f"{name}()").rpartition(".")[2]
                if "Region.rect" not in name
                else str(error)
            )
            raise self.place.error(node, f"{message[:1].upper()}{message[1:]} (line {node.lineno}).", hint) from error


# ---------------------------------------------------------------------------------------------- values of a notebook


def root(node: ast.expr) -> ast.expr:
    """Return what a chain of attributes, calls and indices starts from."""
    while isinstance(node, ast.Attribute | ast.Call | ast.Subscript):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node


def as_scalar(value: Any) -> Any:
    """Return a bool, int, float, str, None or Quantity for a value that a query can compare with, else `MISSING`."""
    if value is None or isinstance(value, (bool, str, Quantity)):
        return str(value) if isinstance(value, str) else value
    if isinstance(value, dt.timedelta):
        return Quantity(value.total_seconds(), Dimension(s=1), f"{value.total_seconds():g}s")
    if type(value).__module__ == "numpy" and getattr(value, "shape", None) == ():
        return as_scalar(value.item())
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real) or type(value).__name__ == "Decimal":
        return float(value)
    return MISSING


def as_collection(value: Any) -> tuple[Any, ...] | None:
    """Return the scalars of a collection without missing ones, in order (sets sorted), or None if it is none."""
    if isinstance(value, (str, bytes, ModuleType, type, Word)):
        return None
    for method in ("tolist", "to_list"):  # numpy, pandas, pyarrow and polars
        if callable(getattr(value, method, None)) and not isinstance(value, type):
            value = getattr(value, method)()
            break
    if not isinstance(value, Iterable) or hasattr(value, "columns"):  # a table is no collection of values
        return None
    scalars = [as_scalar(part) for part in value]
    if any(part is MISSING for part in scalars):
        return None
    if isinstance(value, (set, frozenset)):
        scalars.sort(key=lambda part: (type(part).__name__, part if isinstance(part, (int, float)) else 0, str(part)))
    kept = [part for part in scalars if part is not None and not (isinstance(part, float) and math.isnan(part))]
    return tuple(dict.fromkeys(kept))
