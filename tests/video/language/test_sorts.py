"""Reading of fixed values, and the words of messages."""

from __future__ import annotations

import ast

import pytest

from workbench.engine.units import Dimension
from workbench.video.language.catalogue import NUMBER, PIXEL_SPEED, PIXELS, SECONDS, SPEED
from workbench.video.language.sorts import METRES, Sort, called, metric, read_quantity, short


def expression(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("lasts(x, '3s')", "lasts(...)"), ("f()", "f()"), ("a.b(c=1)", "a.b(...)"), ("x == 'red'", 'x == "red"'),
        ("a + " * 20 + "a", "a + a + a + a + a + a + a + a + a + a..."),
    ],
)  # fmt: skip
def test_short_texts(text: str, shown: str) -> None:
    assert short(expression(text)) == shown


@pytest.mark.parametrize(
    ("text", "value", "dimension"),
    [("2500px*px", 2500, PIXELS * PIXELS), ("5px2", 5, PIXELS * PIXELS), ("1e3px^2", 1000, PIXELS * PIXELS),
     ("5px", 5, PIXELS)],
)  # fmt: skip
def test_areas_are_quantities(text: str, value: float, dimension: Dimension) -> None:
    quantity = read_quantity(text)
    assert quantity is not None
    assert (quantity.value, quantity.dimension) == (value, dimension)


@pytest.mark.parametrize("text", ["red", "5", "", "px*px", "..px*px", "5 px*m"])
def test_texts_that_are_no_quantities(text: str) -> None:
    assert read_quantity(text) is None


def test_what_quantities_are_called() -> None:
    names = {
        "2s": "a time", "2px": "a length in px", "2m": "a length", "2px/s": "a speed in px", "2km/h": "a speed",
        "2deg": "an angle", "2frames": "a number of frames", "2%": "a share of the picture", "2MB": "in bytes",
    }  # fmt: skip
    for text, name in names.items():
        quantity = read_quantity(text)
        assert quantity is not None
        assert called(quantity) == name


def test_sorts_describe_themselves() -> None:
    assert Sort("number", SECONDS).units() == "a time"
    assert Sort("number", PIXEL_SPEED).units() == "px/s"
    assert Sort("number", NUMBER).units() == "a number"
    assert Sort("image").units() == "an image"
    assert Sort("any").units() == "a value of its own"
    assert Sort("text").example() == '"text"'
    assert Sort("text", choices=("a", "b")).example() == '"a"'
    assert Sort("number", SECONDS / PIXELS).example() == '"1s/px"'


def test_a_scale_makes_metres_of_px() -> None:
    speed = Sort("number", PIXEL_SPEED)
    assert metric(speed, True).dimension == SPEED
    assert metric(speed, False) == Sort("number", PIXEL_SPEED, metric=True)
    assert metric(Sort("number", PIXELS), True).dimension == METRES
