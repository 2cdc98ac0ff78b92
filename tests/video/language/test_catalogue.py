"""What completion knows, also of half a cell."""

from __future__ import annotations

import time

import pytest

from workbench.video.language import catalogue
from workbench.video.language.catalogue import (
    cell_property_names,
    classes_in,
    describe,
    method_names,
    names_in,
    property_names,
    type_names,
    words,
)  # fmt: skip

CELL = """\
import numpy as np
from my.shapes import pier, quay as dock
yard = Region((1, 2), (3, 4), (5, 6))
door = Line((1, 2), (3, 4))
scale = Scale(person="1.7m")
limit = 5
class Taxi(Car, label="car"):
    @prop(once=True)
    def yellow(self, image):
        return image.mean() > 3
class Night(Taxi):
    @prop
    def dark(self, image): return 1
class Q(Query):
    taxi: Night   # the one
    person: Person
    where = taxi.yellow and taxi.
"""


def test_names_of_a_cell_that_is_not_finished() -> None:
    found = names_in(CELL)
    assert found["variables"] == {"taxi": "Night", "person": "Person"}
    assert found["types"] == {"Taxi": "Car", "Night": "Taxi"}
    assert found["queries"] == {"Q": "Query"}
    assert (found["regions"], found["lines"]) == ({"yard": "Region"}, {"door": "Line"})
    assert found["scales"] == {"scale": "Scale"}
    assert found["names"] == {"limit": "value", "np": "import", "pier": "import", "dock": "import"}
    assert found["properties"] == {"Taxi.yellow": "yellow", "Night.dark": "dark"}


def test_properties_of_a_variable_of_the_cell() -> None:
    names = cell_property_names(CELL, "taxi")
    assert names[:2] == ["dark", "yellow"]
    assert "color" in names
    assert "inside" in names
    assert cell_property_names(CELL, "person")[:2] == ["id", "label"]
    assert "kind" not in cell_property_names(CELL, "person")


@pytest.mark.parametrize("cut", range(0, len(CELL), 7))
def test_every_beginning_of_a_cell_is_answered(cut: int) -> None:
    found = names_in(CELL[:cut])
    assert set(found) == {"variables", "types", "queries", "regions", "lines", "scales", "names", "properties"}
    assert len(classes_in(CELL[:cut])) <= 3


@pytest.mark.parametrize(
    "text", ["", "\n", "class", "class Q", "class Q(", "class A(B):\n  a:", "((((", "'''", "a = b = c"]
)
def test_scraps(text: str) -> None:
    assert names_in(text)["variables"] == {}


def test_a_class_that_refers_to_itself_ends() -> None:
    assert "id" in cell_property_names("class A(A):\n    pass\nclass Q(Query):\n    x: A\n", "x")


def test_it_is_fast() -> None:
    long = CELL * 20
    began = time.process_time()
    names_in(long)
    assert time.process_time() - began < 0.1


def test_names_and_descriptions() -> None:
    assert type_names()[0] == "Object"
    assert {"Car", "Person", "Scene"} <= set(type_names())
    assert "kind" in property_names("Car")
    assert "kind" not in property_names("Person")
    assert property_names("Unknown") == property_names("Object")
    assert {"lasts", "where", "and", "prop"} <= set(words())
    assert {"inside", "crosses", "near"} <= set(method_names())
    assert describe("speed") == "speed: speed of the foot point over 0.5 s (px/s)"
    assert describe("Car") == "Car: a car"
    for name in (*type_names(), *words(), *method_names(), *catalogue.PROPERTIES):
        assert describe(name)
    assert describe("no such thing") == ""
