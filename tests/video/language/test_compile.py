"""From text or class to the tree: what the words mean, names, inheritance, exports."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest

from workbench.engine.errors import WorkbenchError
from workbench.engine.units import Dimension
from workbench.video.language.compile import compile_query
from workbench.video.language.tree import (
    Aggregate,
    And,
    Arithmetic,
    Choose,
    Compare,
    CompiledQuery,
    Constant,
    Contains,
    Crosses,
    Every,
    Function,
    InRegion,
    Known,
    Lasts,
    LineShape,
    Measure,
    Negate,
    Not,
    Or,
    Property,
    RegionOf,
    RegionShape,
    ScaleSpec,
    Truth,
    Turns,
    Window,
)  # fmt: skip
from workbench.video.language.vocabulary import Car, Line, Object, Query, Region, prop

S, PX, NUMBER = Dimension(s=1), Dimension(px=1), Dimension()
YARD = Region((0, 0), (100, 0), (100, 100))
DOOR = Line((0, 0), (100, 0), sides=("street", "lobby"))
SHAPE = RegionShape("yard", ((0, 0), (100, 0), (100, 100)))
DOOR_SHAPE = LineShape("door", ((0, 0), (100, 0)), ("street", "lobby"))


def compiled(text: str, **names: Any) -> CompiledQuery:
    return compile_query(text, {"yard": YARD, "door": DOOR, **names}).__compiled__


def where(condition: str, **names: Any) -> Any:
    return compiled(f"class Q(Query):\n    car: Car\n    where = {condition}\n", **names).where


def car(name: str, dimension: Dimension | None = NUMBER) -> Property:
    return Property("car", name, dimension)


RED = Compare("==", car("color", None), Constant("red"))

CONDITIONS = [
    ('car.color == "red"', RED),
    ('"red" == car.color', Compare("==", Constant("red"), car("color", None))),
    ("car.still", Truth(car("still", None))),
    ("not car.still", Not(Truth(car("still", None)))),
    ("car.still == True", Compare("==", car("still", None), Constant(True))),
    ("True", Truth(Constant(True))),
    ("car.score > 0.5", Compare(">", car("score"), Constant(0.5))),
    ('"10px" < car.x1 <= "2e2px"',
     And((Compare("<", Constant(10.0, PX), car("x1", PX)), Compare("<=", car("x1", PX), Constant(200.0, PX))))),
    ('car.age > "1min"', Compare(">", car("age", S), Constant(60.0, S))),
    ('car.time > "01:30"', Compare(">", car("time", S), Constant(90.0, S))),
    ("car.x1 > 0", Compare(">", car("x1", PX), Constant(0, PX))),
    ('car.area > "2500px*px"', Compare(">", car("area", PX * PX), Constant(2500.0, PX * PX))),
    ('car.area > "50px" * "50px"', Compare(">", car("area", PX * PX), Constant(2500.0, PX * PX))),
    ('car.color in ("red", "blue", "red")', Contains(car("color", None), Constant(("red", "blue")))),
    ('car.color not in ["red"]', Not(Contains(car("color", None), Constant(("red",))))),
    ('car.color in {"red", "blue"}', Contains(car("color", None), Constant(("red", "blue")))),
    ('car.heading in ("0deg", "90deg")',
     Contains(car("heading", Dimension(deg=1)), Constant((0.0, 90.0), Dimension(deg=1)))),
    ("car.id in ()", Contains(car("id"), Constant(()))),
    ("car.still and car.still or car.still",
     Or((And((Truth(car("still", None)), Truth(car("still", None)))), Truth(car("still", None))))),
    ("(car.still and car.id == 1) and car.id == 2",
     And((Truth(car("still", None)), Compare("==", car("id"), Constant(1)), Compare("==", car("id"), Constant(2))))),
    ('(car.x2 - car.x1) / car.height > 2 * 0.25',
     Compare(">", Arithmetic("/", Arithmetic("-", car("x2", PX), car("x1", PX), PX), car("height", PX), NUMBER),
             Constant(0.5))),
    ('car.x1 + "10px" > "20px"',
     Compare(">", Arithmetic("+", car("x1", PX), Constant(10.0, PX), PX), Constant(20.0, PX))),
    ('2 * car.x1 > "20px"', Compare(">", Arithmetic("*", Constant(2), car("x1", PX), PX), Constant(20.0, PX))),
    ('-car.x1 < -"20px"', Compare("<", Negate(car("x1", PX)), Constant(-20.0, PX))),
    ("car.score > -1", Compare(">", car("score"), Constant(-1))),
    ('abs(car.x1 - "9px") < "3px"',
     Compare("<", Function("abs", (Arithmetic("-", car("x1", PX), Constant(9.0, PX), PX),)), Constant(3.0, PX))),
    ('max(car.width, car.height, "9px") < "30px"',
     Compare("<", Function("max", (car("width", PX), car("height", PX), Constant(9.0, PX))), Constant(30.0, PX))),
    ("(1 if car.still else 2) == 1",
     Compare("==", Choose(Truth(car("still", None)), Constant(1), Constant(2)), Constant(1))),
    ("known(car.crossed_to)", Known(car("crossed_to", None))),
    ("car.inside(yard)", InRegion("inside", "car", SHAPE)),
    ('car.inside(yard, by="box")', InRegion("inside", "car", SHAPE, "box")),
    ("car.enters(region=yard)", InRegion("enters", "car", SHAPE)),
    ("car.leaves({yard})", InRegion("leaves", "car", SHAPE)),
    ("car.crosses(door)", Crosses("car", DOOR_SHAPE)),
    ('car.crosses(door, to="lobby")', Crosses("car", DOOR_SHAPE, "lobby")),
    ('car.region_of(yard) == "yard"', Compare("==", RegionOf("car", (SHAPE,)), Constant("yard"))),
    ('car.turns("left")', Turns("car", "left")),
    ('car.turns("right", by="90deg", over="5s")', Turns("car", "right", 90.0, 5.0)),
    ('lasts(car.still, "30s")', Lasts(Truth(car("still", None)), 30.0)),
    ('lasts(car.still, duration="1min", gap="2s")', Lasts(Truth(car("still", None)), 60.0, 2.0)),
    ('lasts(lasts(car.still, "3s"), "30s") or car.turns("left")',
     Or((Lasts(Lasts(Truth(car("still", None)), 3.0), 30.0), Turns("car", "left")))),
]  # fmt: skip


@pytest.mark.parametrize(("text", "tree"), CONDITIONS)
def test_conditions(text: str, tree: Any) -> None:
    found = where(text)
    assert found == tree
    assert hash(found) == hash(tree)


def test_positions_are_those_of_the_text() -> None:
    tree = where('car.score > 0.5 and car.color == "red"')
    assert [(node.line, node.column) for node in tree.operands] == [(3, 12), (3, 32)]


@pytest.mark.parametrize(
    "reference", ["limit", "$limit", "{limit}", " $limit ", "config.limit", "$config.limit", "{config.limit}"]
)
def test_values_of_the_notebook_have_three_spellings(reference: str) -> None:
    config = ModuleType("config")
    config.limit = 7  # type: ignore[attr-defined]
    assert where(f"car.id > {reference}", limit=7, config=config) == Compare(">", car("id"), Constant(7))


@pytest.mark.parametrize("reference", ["ids", "$ids", "{ids}"])
def test_in_takes_collections_and_scalars(reference: str) -> None:
    def found(value: Any) -> Any:
        return where(f"car.id in {reference}", ids=value).collection.value

    assert found([3, 1, 3]) == (3, 1)
    assert found(4) == (4,)
    assert found({3, 1, 2}) == (1, 2, 3)
    assert found({1: "a", 2: "b"}) == (1, 2)
    assert found(range(3)) == (0, 1, 2)


def test_a_dollar_never_means_the_variable_of_the_query() -> None:
    assert where("car.id > $car", car=3) == Compare(">", car("id"), Constant(3))


def test_dollars_in_strings_and_comments_stay() -> None:
    tree = where('car.label == "$car" and car.label != """a $b""" # $c')
    assert [part.right.value for part in tree.operands] == ["$car", "a $b"]


def test_names_resolve_from_the_query_to_the_vocabulary() -> None:
    text = "limit = 2\nclass Q(Query):\n    car: Car\n    where = car.id == limit\n"
    assert compiled(text, limit=3).where.right.value == 2
    assert compiled(text.replace("limit = 2\n", "\n"), limit=3).where.right.value == 3
    # a variable of the notebook that is called like a word does not take the word away
    assert compiled(
        "class Q(Query):\n    car: Car\n    where = car.still\n    select = start, count()\n", start=5, count=3
    ).select


def test_a_cell_type_hides_the_one_of_the_vocabulary() -> None:
    text = 'class Car(Object, label=("car", "van")):\n    pass\nclass Q(Query):\n    x: Car\n    where = x.still\n'
    kind = compiled(text).variables[0].type
    assert (kind.name, kind.labels, kind.bases) == ("Car", ("car", "van"), ("Object",))


def test_words_may_be_imported_under_another_name() -> None:
    text = (
        "from workbench.video.language.vocabulary import lasts as stays, Region as Area, Car as Auto\n"
        "import workbench.video.language.vocabulary as v\n"
        "spot = Area.rect(0, 0, 9, 9)\n"
        "class Q(v.Query):\n    car: Auto\n    other: v.Car\n    where = stays(car.inside(spot), '3s')\n"
    )
    tree = compiled(text)
    assert isinstance(tree.where, Lasts)
    assert [variable.type.name for variable in tree.variables] == ["Car", "Car"]


def test_select_and_group() -> None:
    text = (
        "class Q(Query):\n    car: Car\n    where = car.crosses(door)\n"
        "    group = every('1min'), car.crossed_to, car.region_of(yard)\n"
        "    select = car.id, car.box, start, end, duration, count(), count(car.id), max(car.speed), first(car.color), "
        "mean(duration), car.id\n"
    )
    query = compiled(text)
    assert query.group == (Every(60.0), car("crossed_to", None), RegionOf("car", (SHAPE,)))
    assert query.select == (
        car("id"), car("box", None), Property("", "start", S), Property("", "end", S), Property("", "duration", S),
        Aggregate("count"), Aggregate("count", car("id")), Aggregate("max", car("speed", PX / S)),
        Aggregate("first", car("color", None)), Aggregate("mean", Property("", "duration", S)),
    )  # fmt: skip
    assert query.shapes == (DOOR_SHAPE, SHAPE)


def test_one_item_needs_no_comma() -> None:
    query = compiled(
        "class Q(Query):\n    car: Car\n    where = car.still\n    select = count()\n    group = [car.color]\n"
    )
    assert query.select == (Aggregate("count"),)
    assert query.group == (car("color", None),)


TAXI = """\
scale = Scale(person="1.7m")
class Taxi(Car):
    @prop(once=True)
    def yellow(self, image): return yellow_share(image) > 0.4
    @prop(window="1s")
    def jerk(self, speed): return float(abs(speed[-1] - speed[0]))
class FastTaxi(Query):
    taxi: Taxi
    where = taxi.yellow and "20km/h" < taxi.speed < "90km/h"
    select = taxi.id, start, end, max(taxi.speed), max(taxi.jerk)
class FastTaxiInLane(FastTaxi):
    where = taxi.inside(yard)
"""


def test_the_last_query_runs_and_children_add_their_condition() -> None:
    cls = compile_query(TAXI, {"yellow_share": lambda image: 1, "yard": YARD})
    query = cls.__compiled__
    assert query.name == cls.__name__ == "FastTaxiInLane"
    speed = Property("taxi", "speed", Dimension(m=1, s=-1))
    assert query.where == And((
        Truth(Property("taxi", "yellow")),
        Compare("<", Constant(20 / 3.6, Dimension(m=1, s=-1)), speed),
        Compare("<", speed, Constant(90 / 3.6, Dimension(m=1, s=-1))),
        InRegion("inside", "taxi", SHAPE),
    ))  # fmt: skip
    assert len(query.select) == 5
    assert query.scale == ScaleSpec("person", 1.7)
    kind = query.variables[0].type
    assert (kind.name, kind.labels, kind.bases) == ("Taxi", ("car",), ("Car", "Vehicle", "Object"))
    yellow, jerk = kind.properties
    assert (yellow.once, yellow.arguments, yellow.owner, yellow.reads_pixels) == (True, ("image",), "Taxi", True)
    assert (jerk.window, jerk.arguments, jerk.reads_pixels) == (Window(seconds=1.0), ("speed",), False)
    assert yellow.function(None, "crop") is True
    assert list(cls.__exports__) == ["Taxi", "FastTaxi", "FastTaxiInLane"]


def test_exports_are_regions_lines_types_and_queries() -> None:
    text = (
        "import math\na = Region.rect(0, 0, 9, 9)\nb = Line((0, 0), (5, 5))\nc = 5\nclass T(Car): pass\n"
        "class Q(Query):\n    x: T\n    where = x.inside(a) and x.crosses(b)\n"
    )
    exports = compile_query(text).__exports__
    assert list(exports) == ["a", "b", "T", "Q"]
    # a later cell uses them
    later = compile_query("class Q2(Q):\n    select = x.id\nclass T2(T):\n    pass\n", exports).__compiled__
    assert later.where == compile_query(text).__compiled__.where
    assert [shape.name for shape in later.shapes] == ["a", "b"]

    kind = exports["T"]

    class Here(exports["Q"]):
        x: kind
        where = x.still  # noqa: F821

    assert len(compile_query(Here).__compiled__.where.operands) == 3


PARENTS = """\
class A(Query):
    x: Vehicle
    where = x.score > 0.5
    select = x.id
class B(A):
    where = x.still
    select = x.color
class C(A):
    where = x.inside(yard)
    group = x.color
class D(B, C):
    x: Car
"""


def test_several_parents_share_what_they_inherit() -> None:
    query = compiled(PARENTS)
    assert query.where == And((
        Compare(">", Property("x", "score", NUMBER), Constant(0.5)), Truth(Property("x", "still")),
        InRegion("inside", "x", SHAPE),
    ))  # fmt: skip
    assert query.variables[0].type.name == "Car"
    assert query.select == (Property("x", "color"),)
    assert query.group == (Property("x", "color"),)


def test_a_parent_is_checked_with_the_narrower_type() -> None:
    text = (
        "class Slow(Car):\n    @prop\n    def speed(self, x1): return 1\n"
        "class A(Query):\n    x: Car\n    where = x.speed > '5px/s'\nclass B(A):\n    x: Slow\n"
    )
    with pytest.raises(WorkbenchError, match="speed has no unit"):
        compiled(text)


def test_types_inherit_and_override_properties() -> None:
    text = (
        "class A(Car, label='truck'):\n    @prop\n    def f(self, speed): return 1\n"
        "    @prop\n    def g(self, f): return 1\n"
        "class B(A):\n    @prop\n    def f(self, x1, k=3): return 2\n"
        "class Q(Query):\n    x: B\n    where = x.g > 1\n"
    )
    kind = compiled(text).variables[0].type
    assert kind.labels == ("truck",)
    assert [(one.name, one.owner, one.arguments) for one in kind.properties] == [
        ("f", "B", ("x1",)),
        ("g", "A", ("f",)),
    ]


def test_a_property_may_use_its_own_past() -> None:
    text = (
        'class T(Car):\n    @prop(window="2frames")\n    def f(self, f, x1): return 1\n'
        "class Q(Query):\n    x: T\n    where = x.f > 1\n"
    )
    assert compiled(text).variables[0].type.properties[0].window == Window(rows=2)


def test_property_bodies_run_as_ordinary_python_with_the_names_of_cell_and_notebook() -> None:
    text = """\
    from math import floor as down
    import os.path
    base = 10
    names = {"a", "b"}
    class T(Car):
        @prop
        def f(self, x1):
            '''Adds.'''
            parts = [y for y in range(3) if (z := y) > 0]
            return down(x1) + base + extra + sum(parts) + len({base}) + len(names) + len($names) + len(os.path.sep)
        @prop(batch=4)
        def g(self, x1, k=extra): return (lambda v: v + k)(x1)
    class Q(Query):
        x: T
        where = x.f > 1
"""
    f, g = compiled(text, extra=100).variables[0].type.properties
    assert f.function(None, 1.5) == 1 + 10 + 100 + 3 + 1 + 2 + 2 + 1
    assert g.function(None, 1) == 101
    assert g.batch == 4


def test_a_traceback_of_a_property_shows_its_line() -> None:
    import traceback

    function = (
        compiled(
            "class T(Car):\n    @prop\n    def f(self, x1):\n        return 1 / 0  # here\n"
            "class Q(Query):\n    x: T\n    where = x.f\n"
        )
        .variables[0]
        .type.properties[0]
        .function
    )
    with pytest.raises(ZeroDivisionError) as caught:
        function(None, 1)
    assert "return 1 / 0  # here" in "".join(traceback.format_exception(caught.value))


def test_fingerprints_follow_the_code_the_options_and_what_a_property_needs() -> None:
    def prints(body: str, scale: str = "", extra: int = 1) -> list[str | None]:
        text = f"{scale}\nclass T(Car):\n{body}\nclass Q(Query):\n    x: T\n    where = x.b > 1\n"
        return [one.fingerprint for one in compiled(text, extra=extra).variables[0].type.properties]

    first = "    @prop\n    def a(self, x1): return x1 + extra\n    @prop\n    def b(self, a): return a\n"
    base = prints(first)
    assert prints(first) == base
    assert prints(first.replace("return a", "return  a  # same")) == base
    changed = prints(first.replace("x1 + extra", "x1 - extra"))
    assert changed[0] != base[0]
    assert changed[1] != base[1]
    assert prints(first, extra=2)[1] != base[1]
    assert prints(first.replace("@prop\n    def b", "@prop(partial=False)\n    def b")) == base
    assert prints(first.replace("@prop\n    def b", "@prop(batch=2)\n    def b"))[1] != base[1]
    fast = "    @prop\n    def b(self, speed): return speed\n"
    assert prints(fast) != prints(fast, "s = Scale((0, 0), (9, 0), '3m')")
    assert prints(fast, "s = Scale((0, 0), (9, 0), '3m')") != prints(fast, "s = Scale((0, 0), (9, 0), '4m')")


def test_speeds_are_metric_with_a_scale() -> None:
    query = compiled('s = Scale((0, 0), (9, 0), "3m")\nclass Q(Query):\n    x: Car\n    where = x.speed > "36km/h"\n')
    assert query.where == Compare(
        ">", Property("x", "speed", Dimension(m=1, s=-1)), Constant(10.0, Dimension(m=1, s=-1))
    )
    assert query.scale == ScaleSpec("uniform", 3.0, ((0.0, 0.0), (9.0, 0.0)))


def test_relations_are_checked_for_n_variables() -> None:
    text = (
        'class Q(Query):\n    a: Car\n    b: Person\n    where = a.near(b, "60px") and a.distance(b) > "5px" and '
        'a.closing(b) > "1px/s" and a.overlaps(b, iou=0.5) and a.left_of(b) and a.inside(b)\n'
    )
    query = compiled(text)
    assert [variable.name for variable in query.variables] == ["a", "b"]
    assert query.where.operands[1] == Compare(">", Measure("distance", "a", "b", PX), Constant(5.0, PX))
    assert [node.name for node in query.where.walk() if hasattr(node, "limit")] == [
        "near",
        "overlaps",
        "left_of",
        "inside",
    ]
    metric = compiled(
        's = Scale(person="1.7m")\n' + text.replace('"60px"', '"2m"').replace('"5px"', '"5m"').replace("px/s", "m/s")
    )
    assert metric.where.operands[0].dimension == Dimension(m=1)
    assert query.where.variables() == {"a", "b"}


def test_a_class_is_compiled_anew_when_what_it_reads_was_edited() -> None:
    first = compile_query(Module).__compiled__
    again = compile_query(Module).__compiled__
    assert again == first
    assert again is not first
    before = first.variables[0].type.properties[0].fingerprint
    try:
        globals()["SHIFT"] = 5
        changed = compile_query(Module).__compiled__.variables[0].type.properties[0].fingerprint
    finally:
        globals()["SHIFT"] = 0
    assert changed != before
    assert compile_query(Module).__compiled__ == first


def test_a_cell_keeps_only_what_it_names() -> None:
    names = {"big": object(), "limit": 3, "yard": YARD}
    text = (
        "class T(Car):\n    @prop\n    def f(self, x1): return limit\n"
        "class Q(Query):\n    x: T\n    where = x.f > limit\n"
    )
    cls = compile_query(text, names)
    assert set(cls.__origin__.outside) == {"limit"}
    function = cls.__compiled__.variables[0].type.properties[0].function
    assert "big" not in function.__globals__


def test_compiling_a_class_again_gives_the_same() -> None:
    cls = compile_query("class Q(Query):\n    x: Car\n    where = x.still\n")
    before = cls.__compiled__
    assert compile_query(cls) is cls
    assert cls.__compiled__ is before


def test_a_string_annotation_is_a_type() -> None:
    assert compiled('class Q(Query):\n    x: "Car"\n    where = x.still\n').variables[0].type.name == "Car"


def test_empty_parts_of_a_cell_are_no_matter() -> None:
    text = (
        '\n\n# a comment\n"""text"""\nclass T(Car):\n    """A type."""\n'
        'class Q(Query):\n    """A query."""\n    x: T\n    where = x.still\n\n# end'
    )
    assert compile_query(text).__doc__ == "A query."


def test_windows_line_ends_and_a_byte_order_mark() -> None:
    assert compile_query("\ufeffclass Q(Query):\r\n    x: Car\r\n    where = x.still\r\n").__compiled__.name == "Q"


def test_the_notebook_is_not_changed() -> None:
    names: dict[str, Any] = {"limit": 3}
    compile_query("k = limit\nimport math\nclass Q(Query):\n    x: Car\n    where = x.id > k\n", names)
    assert names == {"limit": 3}


SHIFT = 0


class Loud(Car):
    @prop
    def loud(self, score):
        return score + SHIFT


class Module(Query):
    x: Loud
    where = x.loud > 0.5  # noqa: F821


def test_a_class_of_a_module_is_compiled_from_its_file() -> None:
    query = compile_query(Module).__compiled__
    assert query.where == Compare(">", Property("x", "loud"), Constant(0.5))
    assert query.where.line == query.where.walk().__next__().line > 300
    assert query.text.startswith("class Module(Query):")
    assert not hasattr(Module, "where")
    assert isinstance(Module, type(Query))
    assert issubclass(Loud, Object)
    assert sys.modules[Module.__module__].Module is Module
