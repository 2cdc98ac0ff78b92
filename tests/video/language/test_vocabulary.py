"""Types, `prop` and the inert words, as ordinary Python sees them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from workbench.engine.errors import WorkbenchError
from workbench.video.language import catalogue, vocabulary
from workbench.video.language.inert import INERT, Inert
from workbench.video.language.tree import Window
from workbench.video.language.vocabulary import Animal, Bag, Car, Dog, Object, Person, Prop, Query, Vehicle, lasts, prop


def test_types_are_those_of_the_catalogue() -> None:
    for name, known in catalogue.TYPES.items():
        cls = getattr(vocabulary, name)
        assert (cls.__name__, cls.__labels__) == (name, known.labels)
        assert tuple(base.__name__ for base in cls.__mro__[1:-1]) == catalogue.ancestors(name)
        assert name in vocabulary.__all__


def test_the_labels_of_the_design() -> None:
    assert Object.__labels__ is None
    assert Person.__labels__ == ("person",)
    assert Vehicle.__labels__ == ("car", "truck", "bus", "motorcycle")
    assert Bag.__labels__ == ("backpack", "handbag", "suitcase")
    assert vocabulary.Ball.__labels__ == ("sports ball",)
    assert issubclass(Dog, Animal)


def test_a_subclass_has_its_parents_labels_unless_it_says_otherwise() -> None:
    class Taxi(Car):
        pass

    class Lift(Object, label="forklift"):
        pass

    assert Taxi.__labels__ == ("car",)
    assert Lift.__labels__ == ("forklift",)
    assert Object.__labels__ is None


@pytest.mark.parametrize("label", [5, (), (1,), "", ("car", "")])
def test_labels_are_texts(label: object) -> None:
    with pytest.raises(WorkbenchError, match="label is a text or several"):

        class Lift(Object, label=label):
            pass


def test_prop_keeps_the_function_and_its_options() -> None:
    class Taxi(Car):
        @prop
        def a(self, speed):
            """Twice."""
            return speed * 2

        @prop(window="500ms", partial=True)
        def b(self, speed):
            return speed[-1]

        @prop(once=True, batch=3, version="7")
        def c(self, image):
            return image

    assert isinstance(Taxi.a, Prop)
    assert (Taxi.a(None, 2), Taxi.a.__doc__, Taxi.a.__name__) == (4, "Twice.", "a")
    assert (Taxi.b.window, Taxi.b.partial) == (Window(seconds=0.5), True)
    assert (Taxi.c.once, Taxi.c.batch, Taxi.c.version) == (True, 3, "7")


def test_prop_stands_above_a_function() -> None:
    with pytest.raises(WorkbenchError, match="@prop stands above a function"):
        prop(5)
    with pytest.raises(WorkbenchError, match=r"version is text, got 7"):
        prop(version=7)  # type: ignore[arg-type]


def test_words_and_queries_are_inert_when_called() -> None:
    assert lasts(1, 2, x=3) is INERT
    assert isinstance(Query(person=1), Inert)
    assert list(Person) == []
    assert repr(lasts) == "<lasts, a word of queries>"


def test_inert_answers_everything_with_itself() -> None:
    value = INERT
    assert value.a.b[3](4) is value
    assert (value + 1) is (2 / value) is (value**2) is (-value) is abs(value) is value
    assert (value == 1) is (value > 1) is (value != value) is value
    assert bool(value)
    assert 5 in value
    assert list(value) == []
    assert len({value, value}) == 1
    with pytest.raises(AttributeError):
        value.__array__  # noqa: B018
    assert f"{value}" == "<a part of a query>"


def test_undefined_names_and_shadowed_functions_in_a_class_body() -> None:
    class Q(Query):
        car: Car
        where = any(undefined.near(car) for p in Person) and sum(x for x in nothing) and max(car, other)  # noqa: F821

    assert not hasattr(Q, "where")


def test_a_body_still_fails_where_python_itself_does() -> None:
    with pytest.raises(ZeroDivisionError):

        class Q(Query):
            car: Car
            where = 1 / 0


def test_importing_the_language_is_light() -> None:
    code = (
        "import sys; import workbench.video.language.catalogue, workbench.video.language.vocabulary; "
        "print([m for m in ('numpy', 'pandas', 'av', 'cv2', 'distributed') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
