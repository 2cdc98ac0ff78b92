"""Every mistake that the text of a query can hold, with its exact words and its place."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest

from workbench.engine.errors import WorkbenchError
from workbench.video.language.compile import compile_query
from workbench.video.language.vocabulary import Line, Region, Scale
from workbench.video.plan.logical import plan_query

NOTEBOOK: dict[str, Any] = {
    "yard": Region((0, 0), (100, 0), (100, 100)),
    "door": Line((0, 0), (100, 0), sides=("street", "lobby")),
    "limit": 5,
    "words": ["red", "blue"],
    "frame_table": pd.DataFrame({"a": [1]}),
    "helper": len,
    "later": datetime.datetime(2024, 1, 1),
}


def fail(text: str, video: str | None = None, **names: Any) -> WorkbenchError:
    with pytest.raises(WorkbenchError) as caught:
        compile_query(text, {**NOTEBOOK, **names}, video=video)
    return caught.value


def car(where: str, rest: str = "") -> str:
    return f"class Q(Query):\n    car: Car\n    where = {where}\n{rest}"


def person(where: str, rest: str = "") -> str:
    return f"class Q(Query):\n    person: Person\n    where = {where}\n{rest}"


#: a query inside another, and a property of a query with its options and arguments
NESTED = "class A(Query):\n    x: Car\n    where = x.still\nclass Q(Query):\n    car: Car\n    where = {}\n"
OWN = "class Q(Query):\n    car: Car\n    @prop{}\n    def gap({}): return 1\n    where = gap > 3\n"


def taxi(body: str, where: str = "taxi.still") -> str:
    return f"class Taxi(Car):\n{body}\nclass Q(Query):\n    taxi: Taxi\n    where = {where}\n"


#: text, message, hint, line
DESIGN = [
    # unknown property, and as an argument
    (car('car.colour == "red"'), "Car has no property 'colour' (line 3).", "Did you mean 'color'?", 3),
    (
        taxi("    @prop\n    def jerk(self, velocity, speed): return 1\n"
             "    @prop\n    def fast(self, velocty): return 1\n"
             "    @prop\n    def velocity(self, speed): return 1"),
        "fast() needs 'velocty', which Taxi does not have.", "Did you mean 'velocity'?", 5,
    ),
    # unknown variable
    ("class Q(Query):\n    car: Car\n    where = (\n        truck.still)\n", "'truck' is not declared (line 4).",
     'Add a line "truck: Truck" to the query.', 4),
    # cycle
    (taxi("    @prop\n    def color(self, shirt): return 1\n    @prop\n    def shirt(self, color): return 1"),
     "color needs shirt and shirt needs color.", "A property may use itself only with window=.", 3),
    # bare numbers
    ("class Q(Query):\n    a: Car\n    b: Car\n    where = a.near(b, 2)\n", "near() needs a unit, got 2.",
     'Write "2m" or "80px".', 4),
    (car("lasts(car.still, 30)"), "lasts() needs a unit, got 30.", 'Write "30s".', 3),
    (car("car.speed > 5"), "speed needs a unit, got 5.", 'Write "50px/s" or "5km/h".', 3),
    # wrong dimension
    (car('car.speed > "2s"'), 'speed is px/s and "2s" is a time.', 'Compare speed with "50px/s" or "5km/h".', 3),
    # no query, no condition
    ("", "The cell has no query.", "Add class Name(Query): with a where line.", None),
    ("yard2 = Region.rect(0, 0, 9, 9)\n", "The cell has no query.", "Add class Name(Query): with a where line.", None),
    (person("person.speed"), "person.speed is a number, not a condition.", 'Compare it: person.speed > "50px/s".', 3),
    # mixed kinds
    (person('lasts(person.still, "3s") and person.inside(yard)'),
     "lasts(...) gives an interval and person.inside(...) is true per frame.",
     "Put the frame condition inside lasts(), or use during() or sequence().", 3),
    # unsupported Python
    ("class Q(Query):\n    car: Car\n    where = (\n        car.still and\n        (lambda: 1))\n",
     "'lambda' is not part of a query (line 5).", "Put it in an @prop function.", 5),
    # shapes
    ("yard = Region((0, 0), (10, 10), (10, 0), (0, 10))\n" + car("car.inside(yard)"), "yard is not a simple polygon.",
     "List at least 3 corners in order around it.", 1),
    ("yard = Region((0, 0), (10, 10))\n" + car("car.inside(yard)"), "yard is not a simple polygon.",
     "List at least 3 corners in order around it.", 1),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message", "hint", "line"), DESIGN)
def test_the_table_of_the_design(text: str, message: str, hint: str, line: int | None) -> None:
    error = fail(text)
    assert (error.message, error.hint) == (message, hint)
    assert error.line == line
    if line is not None:
        assert error.text == text.split("\n")[line - 1]


def test_metres_without_a_scale_name_the_video() -> None:
    error = fail(car('car.speed > "20km/h"'), video="cam1.mp4")
    assert error.message == "cam1.mp4 has no scale, so metres mean nothing."
    assert error.hint == 'Add scale = Scale(person="1.7m") or use px.'
    near = "class Q(Query):\n    a: Car\n    b: Car\n    where = a.near(b, '2m')\n"
    assert fail(near).message == "The video has no scale, so metres mean nothing."
    assert compile_query('scale = Scale(person="1.7m")\n' + car('car.speed > "20km/h"')).__compiled__.scale is not None


def test_the_caret_points_at_the_mistake() -> None:
    error = fail(car('car.score > 0.5 and car.colour == "red"'))
    assert error.column == len("    where = car.score > 0.5 and ")
    assert error.lines() == [
        "Car has no property 'colour' (line 3).",
        '        where = car.score > 0.5 and car.colour == "red"',
        "                                    ^",
        "Did you mean 'color'?",
    ]


def test_columns_count_characters_and_survive_indentation() -> None:
    text = '\n    class Q(Query):\n        car: Car\n        where = car.label == "äöü€" and car.colour == "x"\n    '
    error = fail(text)
    assert error.line == 4
    assert error.text is not None
    assert error.column == error.text.index("car.colour")


def test_a_line_with_the_magic_counts() -> None:
    error = fail("%%vquery cam1.mp4 -o red\n" + car("car.colour == 1"))
    assert (error.line, error.message) == (4, "Car has no property 'colour' (line 4).")


#: constructs that are Python and no query
UNSUPPORTED = [
    ("f'{car.color}' == 'red'", "f-string"), ("(x := car.still)", ":="), ("[c for c in words]", "comprehension"),
    ("{c for c in words}", "comprehension"), ("{c: 1 for c in words}", "comprehension"), ("(c for c in words)", "for"),
    ("{'a': 1}", "{...: ...}"), ("car['color'] == 'red'", "[...]"), ("car.speed ** 2 > 1", "**"),
    ("car.id // 2 == 1", "//"), ("car.id % 2 == 1", "%"), ("car.id @ 2 == 1", "@"), ("+car.id > 1", "+"),
    ("car.id << 2 == 1", "<<"), ("car.still ^ car.still", "^"), ("(car.still, car.still)", "(..., ...)"),
    ("[car.still]", "[...]"), ("b'x' == car.label", "bytes"), ("car.id == 1j", "complex"), ("car.id == ...", "..."),
    ("lasts(*words)", "*"), ("car.inside(**words)", "**"), ("len(car.color) > 1", "len()"),
    ("helper(car.color) > 1", "helper()"), ("(yield)", "yield"), ("(await car.still)", "await"),
    ("print('x')", "print()"), ("car.color.upper() == 'RED'", "car.color.upper()"), ("(yield from words)",
     "yield from"),
    ("car.id == (lambda: 1)()", "(...)"),
]  # fmt: skip


@pytest.mark.parametrize(("where", "called"), UNSUPPORTED)
def test_unsupported_python_in_a_condition(where: str, called: str) -> None:
    error = fail(car(where))
    assert error.message == f"'{called}' is not part of a query (line 3)."
    assert error.hint == "Put it in an @prop function."


@pytest.mark.parametrize(
    ("where", "called", "hint"),
    [
        ("car.still & car.still", "&", "Write 'and'."),
        ("car.still | car.still", "|", "Write 'or'."),
        ("~car.still", "~", "Write 'not'."),
        ("car.color is None", "is", "Write ==, or known(...) to ask whether there is a value."),
        ("car.color is not None", "is not", "Write !=, or known(...) to ask whether there is a value."),
    ],
)
def test_operators_of_other_languages_name_the_word(where: str, called: str, hint: str) -> None:
    error = fail(car(where))
    assert (error.message, error.hint) == (f"'{called}' is not part of a query (line 3).", hint)


#: statements of a cell or a class, the first of which is at the line given
STATEMENTS = [
    ("for x in words:\n    pass\n", "for", 1), ("while True:\n    pass\n", "while", 1), ("if limit:\n    pass\n",
     "if", 1),
    ("with open('x') as f:\n    pass\n", "with", 1), ("try:\n    pass\nfinally:\n    pass\n", "try", 1),
    ("def f():\n    pass\n", "def", 1), ("async def f():\n    pass\n", "async def", 1), ("del limit\n", "del", 1),
    ("limit += 1\n", "+=", 1), ("assert limit\n", "assert", 1), ("raise ValueError\n", "raise", 1),
    ("global limit\n", "global", 1), ("print('x')\n", "print()", 1), ("a, b = 1, 2\n", "=", 1),
    ("match limit:\n    case 1:\n        pass\n", "match", 1), ("type Number = int\n", "type", 1),
    ("# a comment\n  \ntype Number[T] = list[T]\n", "type", 3), ("async for x in y:\n    pass\n", "async for", 1),
    ("class Q(Query):\n    car: Car\n    for x in words:\n        pass\n    where = car.still\n", "for", 3),
    ("class Q(Query):\n    car: Car\n    class Inner:\n        pass\n", "class", 3),
    ("class Q(Query):\n    car: Car\n    async def f(self): pass\n", "async def", 3),
    ("class Q(Query):\n    car: Car\n    type X = int\n", "type", 3),
    ("class Q(Query):\n    car: Car\n    import os\n", "import", 3),
    ("class Q(Query):\n    car: Car\n    where += car.still\n", "+=", 3),
    ("class Taxi(Car):\n    x = 5\n", "=", 2), ("class Taxi(Car):\n    x: int\n", ":", 2),
    ("@helper\nclass Q(Query):\n    car: Car\n    where = car.still\n", "@helper", 1),
    ("class Q(Query):\n    car: Car\n    @helper\n    def f(self): pass\n    where = car.still\n", "@helper", 3),
    ("class Q(helper()):\n    car: Car\n", "helper()", 1), ("class Q(Query):\n    car: Car | None\n", "|", 2),
]  # fmt: skip


@pytest.mark.parametrize(("text", "called", "line"), STATEMENTS)
def test_unsupported_statements(text: str, called: str, line: int) -> None:
    error = fail(text)
    assert error.message == f"'{called}' is not part of a query (line {line})."
    assert error.line == line


#: text, message, hint
OTHERS = [
    (car('car.color = "red"'), "'=' gives a name its value (line 3).", "To compare, write ==."),
    ("class Q(Query):\n    car: Car\n    were = car.still\n", "A query has no 'were' (line 3).",
     "Did you mean 'where'?"),
    ("class Q(Query):\n    car: Car\n    speed_limit = 5\n    where = car.still",
     "A query has no 'speed_limit' (line 3).",
     "Put speed_limit = ... above the class."),
    ("class Q(Query):\n    car: Car\n", "Q has no where line.",
     "Add where = with a condition; where = True takes every object."),
    ("class Q(Query):\n    car: Cars\n    where = car.still\n", "'Cars' is not declared (line 2).",
     "Did you mean 'Car'?"),
    ("class Q(Query):\n    lift: Forklift\n    where = lift.still\n", "'Forklift' is not declared (line 2).",
     'Write "lift: Object", or class Forklift(Object): above the query.'),
    ("class Q(Query):\n    car: limit\n    where = car.still\n", "limit is not a type of object (line 2).",
     'Write "car: Object".'),
    ("class Q(Query):\n    car: Car\n    car: Truck\n    where = car.still\n", "'car' stands here twice (line 3).",
     "Remove one, or rename it."),
    ("class Q(Query):\n    where: Car\n", "'where' is a word of queries (line 2).",
     "Write where = ..., or give the variable another name."),
    ("class Q(Query):\n    car: Car = 5\n", "'car' takes no value (line 2).",
     'Write "car: Type" alone; conditions stand in where.'),
    ("class Q(Quary):\n    car: Car\n", "'Quary' is not declared (line 1).", "Did you mean 'Query'?"),
    ("class Q:\n    car: Car\n", "Q has no base (line 1).",
     "Write class Q(Query): for a query, class Q(Car): for a type."),
    ("class Q(Query, Car):\n    car: Car\n", "Q is both a type and a query (line 1).",
     "Write class Q(Query): for a query, class Q(Car): for a type."),
    ("class Q(limit):\n    car: Car\n", "limit is no type and no query (line 1).",
     "Write class Name(Query): or class Name(Car):."),
    ("class Q(Query, label='x'):\n    car: Car\n", "A class of a query takes no 'label' (line 1).", "Remove it."),
    ("where = 5\n", "'where' stands outside a query (line 1).", "Indent it below class Name(Query):."),
    ("class Taxi(Car):\n    where = 5\n", "Taxi is a type, and 'where' belongs in a query (line 2).",
     "Write class Taxi(Query):, with a variable for the object."),
    (taxi("    def yellow(self, image): return 1"), "yellow() is no property (line 2).", "Write @prop above its def."),
    (taxi("    @prop\n    def yellow(image): return 1"), "yellow() has no self.", "Write def yellow(self, image):"),
    (taxi("    @prop\n    def yellow(self, *args): return 1"), "yellow() takes *args, which names no property.",
     "Name each property that it needs."),
    (taxi("    @prop\n    def yellow(self, images): return 1"),
     "yellow() needs 'images', which only a once-property has.",
     "Write @prop(once=True)."),
    (taxi("    @prop(window=5)\n    def f(self, speed): return 1"), "window needs a unit, got 5.",
     'Write "5s" or "5frames".'),
    (taxi("    @prop(window='2px')\n    def f(self, speed): return 1"),
     "window is a time or a number of frames; got '2px'.",
     'Write "1s" or "5frames".'),
    (taxi("    @prop(batch=0)\n    def f(self, speed): return 1"), "batch must be a whole number of at least 1, got 0.",
     "Use batch=16."),
    (taxi("    @prop(once=1)\n    def f(self, speed): return 1"), "once is True or False, got 1.",
     "Write @prop(once=True)."),
    (taxi("    @prop(once=True, window='1s')\n    def f(self, speed): return 1"),
     "once= and window= exclude each other.",
     "A once-property sees the whole track."),
    (taxi("    @prop(partial=True)\n    def f(self, speed): return 1"), "partial= is for properties with window=.",
     'Write @prop(window="1s", partial=True).'),
    (taxi("    @prop\n    def f(self, f): return 1"), "f needs f.", "A property may use itself only with window=."),
    (taxi("    @prop\n    def a(self, b): return 1\n    @prop\n    def b(self, c): return 1\n    @prop\n"
          "    def c(self, a): return 1"), "a needs b, b needs c and c needs a.",
     "A property may use itself only with window=."),
    ("class Lift(Object, label=5):\n    pass\n", "label is a text or several, got 5.",
     'Write label="forklift" or label=("car", "truck").'),
    # names
    (car("foo"), "'foo' is not declared (line 3).",
     "Give foo a value above the query, or in a cell before."),
    (car("car.score > limt"), "'limt' is not declared (line 3).", "Did you mean 'limit'?"),
    (car("car.inside(yrd)"), "'yrd' is not declared (line 3).", "Did you mean 'yard'?"),
    (car("car.inside(zzz)"), "'zzz' is not declared (line 3).", "Add zzz = Region((x, y), ...) above the query."),
    (car("car.crosses(zzz)"), "'zzz' is not declared (line 3).", "Add zzz = Line((x1, y1), (x2, y2)) above the query."),
    (car("cat.still"), "'cat' is not declared (line 3).", 'Add a line "cat: Cat" to the query.'),
    (car("cr.still"), "'cr' is not declared (line 3).", "Did you mean 'car'?"),
    (car("truck"), "'truck' is not declared (line 3).", 'Add a line "truck: Truck" to the query.'),
    (car("car.near(truck, '5px')"), "'truck' is not declared (line 3).", 'Add a line "truck: Truck" to the query.'),
    (car("bag2.still"), "'bag2' is not declared (line 3).", 'Add a line "bag2: Bag" to the query.'),
    (car("zebra.inside(yard)"), "'zebra' is not declared (line 3).", 'Add a line "zebra: Object" to the query.'),
    (car("last(car.still, '3s')"), "'last()' belongs in select (line 3).", "Write select = last(...)."),
    (car("lst(car.still, '3s')"), "'lst' is not declared (line 3).", "Did you mean 'last'?"),
    (car("$nothing > car.score"), "'nothing' is not declared (line 3).",
     "Give nothing a value above the query, or in a cell before."),
    # values
    (car("car"), "car is an object, not a value.", "Ask for a property: car.speed."),
    (car("Car"), "Car is a type, not a value.", "Declare a variable: car: Car."),
    (car("car.color"), "car.color is text, not a condition.", 'Compare it: car.color == "red".'),
    (car("car.score"), "car.score is a number, not a condition.", "Compare it: car.score > 0.5."),
    (car("car.age"), "car.age is a number, not a condition.", 'Compare it: car.age > "2s".'),
    (car("car.center"), "car.center is a point, not a condition.", "Use a method such as inside() or crosses()."),
    (car("car.x1 - car.x2"), "car.x1 - car.x2 is a number, not a condition.", 'Compare it: car.x1 - car.x2 > "80px".'),
    (car("'red'"), '"red" is a fixed value, not a condition.', 'Compare a property: car.color == "red".'),
    (car("1 < 2"), "1 < 2 compares two fixed values.", "Compare a property, such as car.speed."),
    (car("car.image == 1"), "image can be read in @prop functions only (line 3).",
     "Write a property with an argument named image."),
    (car("car.center == car.foot"), "center is a point, which cannot be compared.",
     "Use x1, y1, x2 or y2, or a method such as inside() or near()."),
    (person("person.kind == 'car'"), "Person has no property 'kind' (line 3).",
     "kind is a property of Vehicle."),
    (car("car.zzz == 1"), "Car has no property 'zzz' (line 3).",
     "Properties: age, area, box, center, color, crossed_to, first, foot, frame, heading, height, id, image, "
     "kind, label, last, score, speed, still, time, width, x1, x2, y1, y2."),
    (car("car.color < 'red'"), "color is text, which has no order.", "Compare it with ==, != or in."),
    (car("car.still > 0"), "still is true or false, which has no order.", "Compare it with ==, != or in."),
    (car("car.color == 5"), "color is text and 5 is a number.", 'Compare color with "red".'),
    (car("car.score > 'high'"), 'score is a number and "high" is text.', "Compare score with 0.5."),
    (car("car.score > '2s'"), 'score is a number and "2s" is a time.', "Compare score with 0.5."),
    (car("car.age > '2px'"), 'age is a time and "2px" is a length in px.', 'Compare age with "2s" or "1min".'),
    (car("car.x1 > '50%'"), 'x1 is px and "50%" is a share of the picture.', 'Compare x1 with "80px".'),
    (car("car.area > 5000"), "area needs a unit, got 5000.", 'Write "2500px*px".'),
    (car("car.heading > 90"), "heading needs a unit, got 90.", 'Write "90deg".'),
    (car("car.x1 - car.x2 > 3"), "car.x1 - car.x2 needs a unit, got 3.", 'Write "80px".'),
    (car("car.x1 + car.age > '3px'"), "x1 is px and age is a time.", "Both sides of + need the same unit."),
    (car("car.x1 > car.age"), "x1 is px and age is a time.", "Both sides need to be of one kind."),
    (car("car.color == None"), "A comparison with None is always missing.",
     "Write known(color) or not known(color)."),
    (car("car.color == words"), "words holds several values (line 3).", "Write: in words."),
    (car("car.color == frame_table"), "frame_table is a DataFrame, which a condition cannot compare (line 3).",
     "Use a number, a text or a list of these."),
    (car("car.color == later"), "later is a datetime, which a condition cannot compare (line 3).",
     "Use a number, a text or a list of these."),
    (car("car.color in later"), "later is a datetime, which 'in' cannot take (line 3).",
     "Use a list, set, array or column of numbers or texts."),
    (car("car.id in (car.frame, 2)"), "'in' takes fixed values, and car.frame is not (line 3).", "Write == and or."),
    (car("car.x1 in (5, 6)"), "x1 needs a unit, got 5.", 'Write "80px".'),
    (car("not lasts(car.still, '3s')"), "lasts(...) gives an interval, which 'not' cannot take.",
     "Put the not inside lasts()."),
    (car("lasts(car.still, '3px')"), 'lasts() is a time and "3px" is not.', 'Write "0.5s" or "2min".'),
    (car("lasts(car.still)"), "lasts() needs a duration (line 3).", 'Write lasts(person.still, "30s", gap="2s").'),
    (car("lasts(car.still, '3s', gab='1s')"), "lasts() has no argument 'gab' (line 3).", "Did you mean 'gap'?"),
    (car("lasts(car.still, '-3s')"), 'lasts() needs a time above 0, got "-3s".', 'Write "0.5s" or "2min".'),
    (car("lasts(car.speed, '3s')"), "car.speed is a number, not a condition.", 'Compare it: car.speed > "50px/s".'),
    (car("car.speed()"), "speed is a property (line 3).", "Write car.speed without ()."),
    (car("car.inside"), "inside is a method (line 3).", 'Write car.inside(region, by="foot").'),
    (car("car.insde(yard)"), "Car has no method 'insde' (line 3).", "Did you mean 'inside'?"),
    (car("car.inside()"), "inside() needs a region (line 3).", 'Write inside(region, by="foot").'),
    (car("car.inside(yard, bye='box')"), "inside() has no argument 'bye' (line 3).", "Did you mean 'by'?"),
    (car("car.inside(yard, by='feet')"), 'by is "foot", "center" or "box", got "feet".', 'Write "foot".'),
    (car("car.inside(yard, 'foot', 3)"), "inside() takes at most 2 arguments (line 3).",
     'Write inside(region, by="foot").'),
    (car("car.inside(door)"), "inside() needs a region, and door is a line.", "Use crosses(door)."),
    (car("car.crosses(yard)"), "crosses() needs a line, and yard is a region.", "Use inside(yard)."),
    (car("car.crosses(limit)"), "crosses() needs a line, and limit is a int.",
     "Write limit = Line((120, 610), (540, 600))."),
    (car("car.crosses(door, to='loby')"), "door has no side 'loby'.", "Did you mean 'lobby'?"),
    (car("car.turns('up')"), 'turns() is "left" or "right", got "up".', 'Write "left".'),
    (car("car.turns('left', by=60)"), "by needs a unit, got 60.", 'Write "60deg".'),
    (car("known(5)"), "5 is a fixed value.", "Write known(car.crossed_to)."),
    (car("start > '3s'"), "'start' belongs in select (line 3).", 'In where, write lasts(condition, "5s").'),
    (car("count() > 3"), "'count()' belongs in select (line 3).", "Write select = count()."),
    (car("every('1min')"), "'every()' belongs in group (line 3).", 'Write group = every("1min").'),
    (car("min(car.x1) > '3px'"), "min() of one value belongs in select (line 3).", "In where, write min(a, b)."),
    (car("(car.still if car.score > 1 else 'x') == 1"), "still is true or false and \"x\" is text.",
     "Write still alone, or not still."),
    (taxi("    @prop\n    def wild(self, speed): return 1", "taxi.wild > '5s'"), 'wild has no unit and "5s" is a time.',
     "Compare wild with a bare number."),
    (taxi("    @prop\n    def wild(self, speed): return 1", "taxi.wild > taxi.speed"),
     "speed is px/s and wild has no unit.",
     'Divide it first: taxi.speed / "1px/s".'),
    # select and group
    (car("car.still", "    select = car\n"), "car is an object, not a column.", "Select a property: car.id."),
    (car("car.still", "    select = cuont()\n"), "'cuont()' cannot be selected (line 4).", "Did you mean 'count'?"),
    (car("car.still", "    select = strat\n"), "'strat' cannot be selected (line 4).", "Did you mean 'start'?"),
    (car("car.still", "    select = car.speed * 2\n"), "car.speed * 2 cannot be selected (line 4).",
     "Write names such as car.id, start or count()."),
    (car("car.still", "    select = mean(car.color)\n"), "mean() needs numbers; color is text.",
     "Use count(car.color) or first(car.color)."),
    (car("car.still", "    select = mean()\n"), "mean() takes one property (line 4).", "Write mean(car.speed)."),
    (car("car.still", "    select = count\n"), "'count' is called with () (line 4).",
     "Write count(): events; count(x): different values."),
    (car("car.still", "    group = every(60)\n"), "every() needs a unit, got 60.", 'Write "60s".'),
    (car("car.still", "    group = every('1s'), every('2s')\n"), "group has two every() (line 4).", "Keep one."),
    (car("car.still", "    group = car.box\n"), "box is a box, which cannot be a key.", "Group by a text or a number."),
    (car("car.still", "    group = start\n"), "start cannot be a key of group (line 4).",
     'Write every("1min"), car.color or car.region_of(yard, road).'),
    # inheritance
    ("class A(Query):\n    x: Vehicle\n    where = x.still\nclass B(A):\n    x: Person\n",
     "x is a Vehicle in A, and Person is none.", "Write Vehicle or a type derived from it."),
    ("class A(Query):\n    x: Car\n    where = x.still\nclass B(A):\n    where = lasts(x.still, '3s')\n",
     "lasts(...) gives an interval and the condition of A is true per frame.",
     "Put the frame condition inside lasts(), or use during() or sequence()."),
    # scales and shapes
    ("a = Scale(person='1.7m')\nb = Scale(person='1.8m')\n" + car("car.still"),
     "A cell has one scale; b is a second (line 2).", "Remove a or b."),
    ("a = Scale(person=1.7)\n" + car("car.still"), "Scale() needs a unit, got 1.7.", 'Write "1.7m".'),
    ("a = Scale()\n" + car("car.still"), "A scale is one of: two points and a length, person=, ground=.",
     'Write Scale((100, 300), (220, 300), "3.5m") or Scale(person="1.7m").'),
    ("a = Region((1, 2), (3, 'x'), (5, 6))\n" + car("car.still"), 'A corner is in px or "%", got "x".',
     'Write (120, 610) or ("10%", "90%").'),
    ("a = Line((1, 2), (1, 2))\n" + car("car.still"), "A line needs two different points.",
     "Write Line((120, 610), (540, 600))."),
    ("a = Line((1, 2), (3, 2), sides='ab')\n" + car("car.still"), "sides are two different names.",
     'Write sides=("street", "lobby").'),
    ("a = open('x')\n" + car("car.still"), "'open()' is not part of a query (line 1).", "Put it in an @prop function."),
    ("a = 'x' + 1\n" + car("car.still"), "''x'' is no number (line 1).", "Calculate with numbers here."),
    ("import no_such_module_at_all\n" + car("car.still"),
     "The import failed (line 1): No module named 'no_such_module_at_all'.",
      "Install the package, or correct its name."),
    # several objects
    (car("any(p.still and car.near(p) for p in Person)"), "near() needs a distance (line 3).",
     'Write near(other, "60px").'),
    (car("any(p.still for p in Persn)"), "'Persn' is not declared (line 3).", "Did you mean 'Person'?"),
    (car("any(p.still for p in car)"), "car is not a type of object (line 3).", "Did you mean 'Car'?"),
    (car("any(p.still for p in [1])"), "[1] is not a type of object (line 3).", "Write: for p in Object."),
    (car("any(lasts(p.still, '1s') for p in Person)"),
     "lasts(...) gives an interval, and any asks frame by frame.", "Put any(...) inside it."),
    (car("any(p.still for p in Person for q in Person)"), "any() goes over one type (line 3).",
     "Nest them: any(any(...) for ...)."),
    (car("any(car.still)"), "any() takes one condition over a type (line 3).",
     'Write any(p.near(bag, "2m") for p in Person).'),
    (car("all(p for p in Person)"), "p is an object, not a value.", "Ask for a property: p.speed."),
    (car("any(p.still for p in Person) > 3"), "any(...) is a condition, not a value.",
     "Join conditions with and, or, not."),
    (car("sum(p.still and p.id for p in Person) > 3"), "sum() adds numbers, and p.still and p.id is a condition.",
     "Write sum(1 for p in Person if ...)."),
    (car("sum(p.label for p in Person) > 3"), "sum() needs numbers; label is text.",
     "Write sum(1 for p in Person if p.still) >= 2."),
    (car("sum(p.speed for p in Person) > 3"), "sum() needs a unit, got 3.",
     'Write "50px/s" or "5km/h".'),
    (car("p.still and any(p.still for p in Person)"), "'p' is not declared (line 3).",
     'Add a line "p: Object" to the query.'),
    (car("sequence(car.still)"), "sequence() needs at least two steps (line 3).",
     'Write sequence(a.enters(yard), lasts(a.still, "5s"), within="60s").'),
    (car("sequence(car.still, car.still, within=60)"), "within needs a unit, got 60.", 'Write "60s".'),
    (car("sequence(car.still, car.still, withn='6s')"), "sequence() has no argument 'withn' (line 3).",
     "Did you mean 'within'?"),
    (car("never(car.still, within='3s')"), "never() needs an after (line 3).",
     'Write never(a.leaves(yard), after=a.enters(yard), within="10s").'),
    (car("never(car.still, after=car.still)"), "never() needs a within (line 3).",
     'Write never(a.leaves(yard), after=a.enters(yard), within="10s").'),
    (car("before(car.still)"), "before() needs a then (line 3).",
     'Write before(a.enters(yard), a.leaves(yard), within="10s").'),
    (car("during(car.still, car.still, car.still)"), "during() takes at most 2 arguments (line 3).",
     'Write during(lasts(a.still, "5s"), lasts(a.inside(yard), "30s")).'),
    (car("not sequence(car.still, car.still)"), "sequence(...) gives an interval, which 'not' cannot take.",
     "Put the not inside lasts()."),
    (car("sequence(car.still, car.still) and car.inside(yard)"),
     "sequence(...) gives an interval and car.inside(...) is true per frame.",
     "Put the frame condition inside lasts(), or use during() or sequence()."),
    ("class Q(Query):\n    a: Car\n    b: Car\n    where = lasts(a.still, '1s') or lasts(b.still, '1s')\n",
     "lasts(...) is about a and lasts(...) about b.", "Both sides of or need the same variables."),
    (NESTED.format("A(y=car)"), "A has no variable 'y' (line 6).", "Write A(x=...)."),
    (NESTED.format("A(car)"), "A() takes its variables by name (line 6).", "Write A(x=...)."),
    (NESTED.format("A(x=3)"), "A() needs a variable of the query, got 3.", "Write x=person."),
    (NESTED.format("A(x=car) > 3"), "A(...) gives an interval, not a value.", "Use it as the condition itself."),
    (NESTED.format("A(x=car) and car.still"), "A(...) gives an interval and car.still is true per frame.",
     "Put the frame condition inside lasts(), or use during() or sequence()."),
    (NESTED.format("A(x=p)").replace("car: Car", "p: Person"), "p is a Person, and x of A is a Car.",
     "Declare p as Car or a type derived from it."),
    (NESTED.format("B(x=car, y=car)").replace("class Q", "class B(A):\n    y: Car\nclass Q"),
     "car stands twice in B() (line 8).", "Write B(x=..., y=...)."),
    (OWN.format("", "self, c"), "gap() needs 'c', which Q does not have.", 'Add a line "c: Object" to the query.'),
    (OWN.format("", "self, ca"), "gap() needs 'ca', which Q does not have.", "Did you mean 'car'?"),
    (OWN.format("", "car"), "gap() has no self.", "Write def gap(self, car):"),
    (OWN.format("", "self"), "gap() names no variable (line 4).", "Write def gap(self, a, b):"),
    (OWN.format("(once=True)", "self, car"),
     "gap() is of the objects of a frame, so it takes no once=True (line 4).",
     "Write that property in a type, and read it here: a.name."),
    (OWN.format("(window='1s')", "self, car"),
     "gap() is of the objects of a frame, so it takes no window= (line 4).",
     "Write that property in a type, and read it here: a.name."),
    ("class Q(Query):\n    a: Car\n    b: Car\n    where = a.same_as(b)\n",
     "same_as() compares people, and a is a Car.", "Declare a as Person, or compare color."),
    (person("person.embedding == 1"), "embedding is a list of numbers, which cannot be compared.",
     "Use it in an @prop function."),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message", "hint"), OTHERS)
def test_other_mistakes(text: str, message: str, hint: str) -> None:
    error = fail(text)
    assert (error.message, error.hint) == (message, hint)


#: text, message, hint, line, column
SYNTAX = [
    ("class Q(Query)\n    car: Car\n", "Expected ':' (line 1).", "Expected ':' at the end of the line.", 1, 14),
    ("class Q(Query):\n    car: Car\n    where = (car.still\n", "'(' was never closed (line 3).", "Close it.", 3, 12),
    ("class Q(Query):\ncar: Car\n", "Expected an indented block after class definition on line 1 (line 2).",
     "Indent the lines of the class by 4 spaces.", 2, 0),
    ("class Q(Query):\n    car: Car\n      where = car.still\n", "Unexpected indent (line 3).",
     "Expected all lines of a class in the same column.", 3, 5),
    ("class Q(Query):\n    where = 'abc\n", "Unterminated string literal (line 2).",
     "Expected the closing quote.", 2, 12),
    ("class Q(Query):\n    where = car.still)\n", "Unmatched ')' (line 2).", "Remove it, or open it before.", 2, 21),
    ("class Q(Query):\n    where = car.still and\n", "Invalid syntax (line 2).",
     'Expected a line such as: where = car.color == "red" and car.score > 0.5', 2, 25),
    ("Find red cars\n", "Invalid syntax (line 1).", "Expected class Name(Query):, name = value, or an import.", 1, 5),
    ("class Q(Query):\n    where = car.speed > 5px\n", "Invalid decimal literal (line 2).",
     'A quantity is text: "5px", "30s".', 2, 24),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message", "hint", "line", "column"), SYNTAX)
def test_syntax_errors_have_line_column_and_what_was_expected(
    text: str, message: str, hint: str, line: int, column: int
) -> None:
    error = fail(text)
    assert (error.message, error.hint) == (message, hint)
    assert (error.line, error.column) == (line, column)
    assert error.lines()[2] == "    " + " " * column + "^"


@pytest.mark.parametrize("text", ["\0", "class Q(Query):\n    where = '\0'", "\ud800", "x = '\ud800'"])
def test_characters_that_are_no_text(text: str) -> None:
    assert fail(text).hint


@pytest.mark.parametrize(
    "where",
    ["(" * 150 + "car.still" + ")" * 150, "(" * 5000, "not " * 5000 + "car.still", "-" * 3000 + "car.id > 1",
     " + ".join(["car.id"] * 6000) + " > 1"],
)  # fmt: skip
def test_deep_nesting_ends_in_an_answer_or_two_lines(where: str) -> None:
    try:
        message = "" if compile_query(car(where)).__compiled__.where.kind == "condition" else "no condition"
    except WorkbenchError as error:
        message = error.message
    assert message in ("", "The query is nested too deeply.")


def test_what_compiles_is_not_too_deep_for_what_follows() -> None:
    for where in ("not " * 150 + "car.still", " + ".join(["car.id"] * 150) + " > 1"):
        plan_query(compile_query(car(where)).__compiled__).to_plan()
    with pytest.raises(WorkbenchError, match="nested too deeply"):
        compile_query(car("not " * 400 + "car.still"))


def test_long_flat_conditions_are_fine() -> None:
    where = " or ".join(f"car.id == {i}" for i in range(5000))
    assert len(compile_query(car(where)).__compiled__.where.operands) == 5000


@pytest.mark.parametrize("query", [5, None, list, object(), b"class Q(Query): pass"])
def test_things_that_are_no_query(query: Any) -> None:
    with pytest.raises(WorkbenchError, match="A query is the text of a cell or a class, got "):
        compile_query(query)


def test_the_source_of_a_class_that_was_made_by_exec_is_gone() -> None:
    space: dict[str, Any] = {}
    exec(
        "from workbench.video.language.vocabulary import *\nclass FastTaxi(Query):\n    car: Car\n    where = 1", space
    )
    with pytest.raises(WorkbenchError) as caught:
        compile_query(space["FastTaxi"])
    assert caught.value.message == "The source of FastTaxi cannot be found."
    assert caught.value.hint == "Define it in a file or a cell, or pass the query as text."


#: condition, warning, hint
NEVER = [
    ('car.color == "rad"', "color is one of white, gray, ...; 'rad' never matches.", "Did you mean 'red'?"),
    ('car.color in ("red", "bleu")', "color is one of white, gray, ...; 'bleu' never matches.", "Did you mean 'blue'?"),
    ('car.color != "xyz"', "color is one of white, gray, ...; 'xyz' never matches.",
     "It can be white, gray, yellow, red, green, blue, black."),
    ('car.label == "truck"', "label is car; 'truck' never matches.", "It can be car."),
    ('car.kind == "lorry"', "kind is one of car, van, ...; 'lorry' never matches.", "It can be car, van, truck, bus."),
    ('car.crosses(door) and car.crossed_to == "loby"', "crossed_to is one of street, lobby; 'loby' never matches.",
     "Did you mean 'lobby'?"),
    ('car.region_of(yard) == "yrd"', "region_of() is yard; 'yrd' never matches.", "Did you mean 'yard'?"),
]  # fmt: skip


@pytest.mark.parametrize(("where", "message", "hint"), NEVER)
def test_values_that_are_never_met_are_warned_about(where: str, message: str, hint: str) -> None:
    assert compile_query(car(where), NOTEBOOK).__compiled__.warnings == ((message, hint),)


def test_values_that_can_be_met_are_not_warned_about() -> None:
    text = car('car.color in ("red", "blue") and car.kind == "van" and car.label == "car"')
    assert compile_query(text, NOTEBOOK).__compiled__.warnings == ()


def test_a_side_without_a_crossing_is_warned_about() -> None:
    text = car("car.still", "    select = car.id, car.crossed_to\n")
    warning = ("crossed_to is always missing: car crosses no line here.", "Add car.crosses(line) to where.")
    assert compile_query(text).__compiled__.warnings == (warning,)
    assert compile_query(text.replace("car.still", "car.crosses(door)"), NOTEBOOK).__compiled__.warnings == ()


def test_a_property_that_cannot_be_fingerprinted() -> None:
    model = object()
    body = (
        "    @prop(once=True{})\n    def is_taxi(self, image): return model(image)\n"
        "    @prop\n    def other(self, is_taxi): return 1"
    )
    compiled = compile_query(taxi(body.format("")), {"model": model}).__compiled__
    assert compiled.warnings == (
        ("is_taxi reads 'model', which cannot be fingerprinted; not cached.", 'Pass version="..." to @prop.'),
    )
    assert [one.fingerprint for one in compiled.variables[0].type.properties] == [None, None]
    compiled = compile_query(taxi(body.format(', version="1"')), {"model": model}).__compiled__
    assert compiled.warnings == ()
    assert all(one.fingerprint for one in compiled.variables[0].type.properties)


def test_numpy_scalars_and_pandas_columns_are_values() -> None:
    names = {"a": np.float64(0.5), "b": pd.Series(["red", None, "blue", "red"]), "c": np.array([3, 1])}
    compiled = compile_query(car("car.score > a and car.color in b and car.id in c"), names).__compiled__
    score, color, ident = compiled.where.operands
    assert score.right.value == 0.5
    assert color.collection.value == ("red", "blue")
    assert ident.collection.value == (3, 1)


def test_scales_of_the_notebook_do_not_apply_to_a_cell() -> None:
    error = fail(car('car.speed > "5km/h"'), scale=Scale(person="1.7m"))
    assert error.message == "The video has no scale, so metres mean nothing."
