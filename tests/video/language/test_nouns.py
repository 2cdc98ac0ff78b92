"""What the objects of a query are called in a sentence."""

import pytest

from workbench.video.language.catalogue import TYPES
from workbench.video.language.compile import compile_query
from workbench.video.language.nouns import counted, noun, noun_of_all
from workbench.video.language.tree import ObjectType, Variable

CELL = """\
class SteadyCar(Car):
    pass
class Taxi(SteadyCar):
    pass
class Guard(Person):
    pass
class Thing(Object):
    pass
class Q(Query):
    x: {}
    where = x.score > 0.5
"""


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("Car", "car"), ("SteadyCar", "car"), ("Taxi", "car"), ("Guard", "person"), ("Vehicle", "vehicle"),
        ("Object", "object"), ("Thing", "object"),
    ],
)  # fmt: skip
def test_own_types_are_called_after_the_nearest_built_in_one(name, word):
    (variable,) = compile_query(CELL.format(name)).__compiled__.variables
    assert noun(variable.type) == word


@pytest.mark.parametrize(
    ("number", "word", "text"),
    [
        (0, "car", "0 cars"), (1, "car", "1 car"), (1532, "car", "1,532 cars"), (1, "person", "1 person"),
        (2, "person", "2 people"), (2, "bus", "2 buses"), (2, "object", "2 objects"),
    ],
)  # fmt: skip
def test_counts(number, word, text):
    assert counted(number, word) == text


def test_all_built_in_types_have_a_plural():
    words = {counted(2, name.lower()) for name in TYPES}
    assert {"2 animals", "2 bicycles", "2 birds", "2 buses", "2 people"} <= words
    assert not any(word.endswith(("ss", "xs", "ys")) for word in words)


def test_variables_of_different_types_are_objects():
    kinds = {name: ObjectType(name, None, ("Object",)) for name in ("Car", "Person")}
    car, person = Variable("a", kinds["Car"]), Variable("b", kinds["Person"])
    assert noun_of_all([car, car]) == "car"
    assert noun_of_all([car, person]) == "object"
