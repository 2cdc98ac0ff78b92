"""What kind of value a part of a condition has, and how fixed values are read where such a value is expected."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, replace
from typing import Any, Literal

from workbench.engine.errors import WorkbenchError, suggest
from workbench.engine.units import Dimension, Quantity, as_seconds, parse_quantity
from workbench.video.language.catalogue import NUMBER, PIXEL_SPEED, PIXELS, SECONDS, SPEED
from workbench.video.language.parse import Place, position
from workbench.video.language.tree import Constant, Node

Shape = Literal["number", "text", "bool", "point", "box", "image", "vector", "any", "fixed"]

METRES = Dimension(m=1)
AREA = PIXELS * PIXELS

#: what a quantity is called when it stands where another is expected
_CALLED = {
    SECONDS: "a time",
    PIXELS: "a length in px",
    METRES: "a length",
    PIXEL_SPEED: "a speed in px",
    SPEED: "a speed",
    Dimension(deg=1): "an angle",
    Dimension(frames=1): "a number of frames",
    Dimension(percent=1): "a share of the picture",
    AREA: "an area",
}
#: what a property in these units can be compared with
EXAMPLES = {
    SECONDS: '"2s" or "1min"',
    PIXELS: '"80px"',
    METRES: '"2m" or "150cm"',
    PIXEL_SPEED: '"50px/s" or "5km/h"',
    SPEED: '"5km/h" or "2m/s"',
    Dimension(deg=1): '"90deg"',
    AREA: '"2500px*px"',
    NUMBER: "0.5",
}


@dataclass(frozen=True, slots=True)
class Sort:
    """Kind of a value.

    Attributes
    ----------
    shape : str
        "any" for a property of one's own, "fixed" for a value from the text that waits for what it is compared with.
    dimension : Dimension
        Of a number.
    choices : tuple of str
        The texts that it can be, if known.
    name : str
        What messages call it.
    metric : bool
        Whether it would be in metres with a `Scale`, which is not there.
    """

    shape: Shape
    dimension: Dimension = NUMBER
    choices: tuple[str, ...] = ()
    name: str = ""
    metric: bool = False

    def example(self) -> str:
        """Return what a value of this sort may be compared with, as written."""
        if self.shape == "text":
            return f'"{self.choices[3] if len(self.choices) > 3 else self.choices[0] if self.choices else "text"}"'
        return EXAMPLES.get(self.dimension, f'"1{self.dimension}"')

    def first_example(self) -> str:
        """Return the first of the examples."""
        return self.example().split(" or ")[0]

    def units(self) -> str:
        """Return what the value is, in a message: its units, or the kind of value."""
        if self.shape == "any":
            return "a value of its own"
        if self.shape != "number":
            return {"text": "text", "bool": "true or false", "vector": "a list of numbers"}.get(
                self.shape, f"{'an' if self.shape == 'image' else 'a'} {self.shape}"
            )
        if self.dimension == SECONDS:
            return "a time"
        return str(self.dimension) if self.dimension else "a number"


@dataclass(frozen=True, slots=True)
class Value:
    """A part of a condition: its tree, or (`fixed`) what is known of it already, with its sort and its text."""

    sort: Sort
    at: ast.expr
    tree: Node | None = None
    fixed: Any = None

    @property
    def name(self) -> str:
        return self.sort.name or short(self.at)


def short(node: ast.expr) -> str:
    """Return a piece of text for a message: a call without its arguments, anything else cut at 40 characters."""
    if isinstance(node, ast.Call):
        return f"{ast.unparse(node.func)}({'...' if node.args or node.keywords else ''})"
    text = ast.unparse(node).replace("'", '"')
    return text if len(text) <= 40 else text[:37] + "..."


def called(quantity: Quantity) -> str:
    """Return what a quantity is: a time, a length ..."""
    return _CALLED.get(quantity.dimension, f"in {quantity.dimension}")


_PRODUCT = re.compile(r"\s*([+-]?[\d.]+(?:[eE][+-]?\d+)?)\s*px\s*(?:\*\s*px|\^\s*2|2|²)\s*\Z")


def read_quantity(text: str) -> Quantity | None:
    """Read a quantity, areas such as ``"2500px*px"`` included."""
    if (quantity := parse_quantity(text)) is not None:
        return quantity
    if found := _PRODUCT.match(text):
        try:
            return Quantity(float(found[1]), AREA, text.strip())
        except ValueError:
            return None
    return None


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads fixed values where a value of some sort is expected; errors name the place, the video and the fix."""

    place: Place
    video: str
    warnings: list[tuple[str, str]]

    def constant(self, value: Value, wanted: Sort, *, ordered: bool = False, matched: bool = True) -> Constant:
        """Return the constant that a fixed value is, beside a value of the sort `wanted`.

        Parameters
        ----------
        value : Value
            A fixed one.
        wanted : Sort
            Of what it is compared with.
        ordered : bool
            Whether it is compared by size.
        matched : bool
            Whether to warn about a text that the other side never is.
        """
        fixed, place = value.fixed, position(value.at)
        if fixed is None:
            raise self.place.error(
                value.at,
                "A comparison with None is always missing.",
                f"Write known({wanted.name}) or not known({wanted.name}).",
            )
        if wanted.shape == "number":
            number, text = self._number(value, wanted)
            return Constant(number, wanted.dimension, text, **place)
        if wanted.shape == "text":
            if not isinstance(fixed, str):
                raise self.place.error(
                    value.at,
                    f"{wanted.name} is text and {_shown(fixed)} is {_kind(fixed)}.",
                    f"Compare {wanted.name} with {wanted.example()}.",
                )
            if matched and wanted.choices and fixed not in wanted.choices:
                self._never(fixed, wanted)
            return Constant(fixed, text=fixed, **place)
        if wanted.shape == "bool":
            if not isinstance(fixed, bool):
                raise self.place.error(
                    value.at,
                    f"{wanted.name} is true or false and {_shown(fixed)} is {_kind(fixed)}.",
                    f"Write {wanted.name} alone, or not {wanted.name}.",
                )
            return Constant(fixed, **place)
        if wanted.shape == "any":
            quantity = (
                fixed if isinstance(fixed, Quantity) else read_quantity(fixed) if isinstance(fixed, str) else None
            )
            if quantity is not None and (ordered or isinstance(fixed, Quantity)):
                raise self.place.error(
                    value.at,
                    f"{wanted.name} has no unit and {_shown(fixed)} is {called(quantity)}.",
                    f"Compare {wanted.name} with a bare number.",
                )
            return Constant(fixed, text=fixed if isinstance(fixed, str) else "", **place)
        raise self.no_comparison(value.at, wanted)

    def quantity(self, value: Value) -> Quantity | None:
        """Return a fixed value as a quantity (bare numbers have none), or None for other values."""
        fixed = value.fixed
        if isinstance(fixed, str):
            return read_quantity(fixed)
        if isinstance(fixed, (int, float)) and not isinstance(fixed, bool):
            return Quantity(fixed, NUMBER)
        return fixed if isinstance(fixed, Quantity) else None

    def no_comparison(self, at: ast.expr, sort: Sort) -> WorkbenchError:
        """Return the error for a point, box, image or vector among values that compare."""
        hints = {
            "point": "Use x1, y1, x2 or y2, or a method such as inside() or near().",
            "box": "Use x1, y1, x2, y2, width, height or area.",
        }
        return self.place.error(
            at,
            f"{sort.name} is {sort.units()}, which cannot be compared.",
            hints.get(sort.shape, "Use it in an @prop function."),
        )

    def no_scale(self, at: ast.expr) -> WorkbenchError:
        """Return the error for metres without a scale."""
        return self.place.error(
            at, f"{self.video} has no scale, so metres mean nothing.", 'Add scale = Scale(person="1.7m") or use px.'
        )

    def _number(self, value: Value, wanted: Sort) -> tuple[float | int, str]:
        fixed, name = value.fixed, wanted.name
        if isinstance(fixed, bool):
            raise self.place.error(
                value.at,
                f"{name} is {wanted.units()} and {fixed} is true or false.",
                f"Compare {name} with {wanted.example()}.",
            )
        if isinstance(fixed, (int, float)):
            if wanted.dimension and fixed != 0:
                raise self.place.error(value.at, f"{name} needs a unit, got {fixed:g}.", f"Write {wanted.example()}.")
            return fixed, ""
        quantity = fixed if isinstance(fixed, Quantity) else read_quantity(fixed)
        if quantity is None and wanted.dimension == SECONDS and re.fullmatch(r"\s*\d+(:\d+)+(\.\d+)?\s*", fixed):
            return as_seconds(fixed, name), fixed
        if quantity is None or quantity.dimension != wanted.dimension:
            if quantity is not None and wanted.metric and quantity.dimension == _metric(wanted.dimension):
                raise self.no_scale(value.at)
            kind = called(quantity) if quantity is not None else "text"
            raise self.place.error(
                value.at,
                f"{name} is {wanted.units()} and {_shown(fixed)} is {kind}.",
                f"Compare {name} with {wanted.example()}.",
            )
        return quantity.value, quantity.text

    def _never(self, text: str, wanted: Sort) -> None:
        listed = ", ".join(wanted.choices) if len(wanted.choices) <= 3 else ", ".join(wanted.choices[:2]) + ", ..."
        one_of = f"one of {listed}" if len(wanted.choices) > 1 else listed
        full = f"It can be {', '.join(wanted.choices)}."
        warning = (f"{wanted.name} is {one_of}; '{text}' never matches.", suggest(text, wanted.choices, full))
        if warning not in self.warnings:
            self.warnings.append(warning)


def metric(sort: Sort, scaled: bool) -> Sort:
    """Return the sort of a measure that a `Scale` turns into metres."""
    return replace(sort, dimension=_metric(sort.dimension)) if scaled else replace(sort, metric=True)


def _metric(dimension: Dimension) -> Dimension:
    return replace(dimension, m=dimension.px, px=0)


def _shown(fixed: Any) -> str:
    if isinstance(fixed, Quantity):
        return f'"{fixed}"'
    return f'"{fixed}"' if isinstance(fixed, str) else str(fixed)


def _kind(fixed: Any) -> str:
    if isinstance(fixed, bool):
        return "true or false"
    return "text" if isinstance(fixed, str) else called(fixed) if isinstance(fixed, Quantity) else "a number"
