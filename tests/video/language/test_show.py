"""Trees as text: what is shown compiles to the same tree."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.video.language.test_compile import CONDITIONS, DOOR, YARD
from tests.video.language.test_forms import HEAD, TYPE, intervals, nested
from workbench.video.language.compile import compile_query
from workbench.video.language.show import show
from workbench.video.language.tree import Aggregate, Constant, Every, Negate, Property, RegionOf, RegionShape


@pytest.mark.parametrize("text", [text for text, _ in CONDITIONS])
def test_examples_come_back(text: str) -> None:
    cell = "class Q(Query):\n    car: Car\n    where = {}\n"
    names = {"yard": YARD, "door": DOOR}
    tree = compile_query(cell.format(text), names).__compiled__.where
    assert compile_query(cell.format(show(tree)), names).__compiled__.where == tree


@given(st.one_of(nested, intervals))
@settings(max_examples=40, deadline=None)
def test_random_conditions_come_back(text: str) -> None:
    cell = HEAD + TYPE.replace("once=True", 'once=True, version="1"') + "class Q(Query):\n    x: Mine\n    where = {}\n"
    tree = compile_query(cell.format(text)).__compiled__.where
    assert compile_query(cell.format(show(tree))).__compiled__.where == tree


def test_other_nodes() -> None:
    assert show(Aggregate("count")) == "count()"
    assert show(Aggregate("max", Property("car", "speed"))) == "max(car.speed)"
    assert show(Every(60.0)) == 'every("60s")'
    assert show(RegionOf("car", (RegionShape("a", ()), RegionShape("b", ())))) == "car.region_of(a, b)"
    assert show(Constant('a "b" \\')) == '"a \\"b\\" \\\\"'
    assert show(Negate(Negate(Constant(1)))) == "--1"
