"""Types in the tree: labels, ancestors, what properties need."""

from __future__ import annotations

import pytest

from workbench.engine.errors import WorkbenchError
from workbench.video.language.tree import Window
from workbench.video.language.types import object_type
from workbench.video.language.vocabulary import Bag, Car, Object, Person, Vehicle, prop


def test_built_in_types() -> None:
    kind = object_type(Car, None, [])
    assert (kind.name, kind.labels, kind.bases, kind.properties) == ("Car", ("car",), ("Vehicle", "Object"), ())
    assert kind.is_a("Vehicle")
    assert not kind.is_a("Person")
    assert object_type(Object, None, []).labels is None
    assert object_type(Bag, None, []).labels == ("backpack", "handbag", "suitcase")


class Tall(Person):
    @prop
    def ratio(self, height, width, scale=2.0):
        return height / width * scale

    @prop(window="5frames")
    def change(self, change, ratio):
        return ratio[-1]

    @prop(once=True)
    def coat(self, images):
        return "red"


class Taller(Tall, label=("person", "rider")):
    @prop
    def ratio(self, height):
        return height


def test_own_and_inherited_properties() -> None:
    kind = object_type(Taller, None, [])
    assert kind.labels == ("person", "rider")
    assert kind.bases == ("Tall", "Person", "Object")
    assert [(one.name, one.owner, one.arguments) for one in kind.properties] == [
        ("ratio", "Taller", ("height",)), ("change", "Tall", ("change", "ratio")), ("coat", "Tall", ("images",)),
    ]  # fmt: skip
    assert kind.properties[1].window == Window(rows=5)
    assert kind.properties[2].reads_pixels
    assert kind.property("coat") is kind.properties[2]


def test_an_override_changes_what_depends_on_it() -> None:
    base, child = object_type(Tall, None, []), object_type(Taller, None, [])
    assert base.properties[1].fingerprint != child.properties[1].fingerprint
    assert base.properties[2].fingerprint == child.properties[2].fingerprint


def test_mistakes_of_a_class_in_a_file_have_its_line() -> None:
    class Broken(Vehicle):
        @prop
        def jerk(self, velocty):
            return 1

    with pytest.raises(WorkbenchError) as caught:
        object_type(Broken, None, [])
    error = caught.value
    assert error.message == "jerk() needs 'velocty', which Broken does not have."
    assert error.text == "        def jerk(self, velocty):"
    assert error.column == error.text.index("velocty")


def test_a_function_without_prop_in_a_file() -> None:
    class Broken(Vehicle):
        def jerk(self, speed):
            return 1

    with pytest.raises(WorkbenchError, match=r"jerk\(\) is no property \(line \d+\)"):
        object_type(Broken, None, [])


def test_a_type_without_source_is_what_its_properties_say() -> None:
    space: dict[str, object] = {}
    exec(
        "from workbench.video.language.vocabulary import *\n"
        "class Gone(Car):\n    @prop(version='1')\n    def f(self, speed): return 1\n",
        space,
    )
    kind = object_type(space["Gone"], None, [])  # type: ignore[arg-type]
    assert [one.name for one in kind.properties] == ["f"]
    assert kind.properties[0].fingerprint
