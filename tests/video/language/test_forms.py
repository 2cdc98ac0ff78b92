"""The text of a cell, a class in a file and a class in an ordinary cell mean the same."""

from __future__ import annotations

import importlib.util
import linecache
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.engine.errors import WorkbenchError
from workbench.video.language import vocabulary
from workbench.video.language.compile import compile_query
from workbench.video.language.tree import CompiledQuery

NAMES = "from workbench.video.language.vocabulary import *\n"
HEAD = """\
yard = Region((0, 0), (100, 0), (100, 100))
road = Region.rect("10%", "10%", "90%", "50%")
door = Line((0, 0), (100, 0), sides=("street", "lobby"))
limit = 3
words = ("red", "blue")
factor = 2
"""
TYPE = '''\
class Mine(Vehicle, label=("car", "van")):
    """A type of one's own."""
    @prop
    def tall(self, height, width): return height / width * factor
    @prop(window="1s", partial=True)
    def jerk(self, speed): return speed[-1] - speed[0]
    @prop(once=True)
    def yellow(self, image): return image.mean() > limit
'''


def as_text(source: str, name: str = "Asked") -> CompiledQuery:
    return compile_query(source, {}).__compiled__


def as_file(source: str, name: str = "Asked", folder: Path | None = None) -> CompiledQuery:
    assert folder is not None
    path = folder / f"asked_{abs(hash(source))}.py"
    path.write_text(NAMES + source)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
        return compile_query(getattr(module, name)).__compiled__
    finally:
        del sys.modules[path.stem]


def as_cell(source: str, name: str = "Asked") -> CompiledQuery:
    """Run it as a notebook runs an ordinary cell, whose lines are only in `linecache`."""
    text = NAMES + source
    filename = f"<ipython-input-{abs(hash(text))}>"
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    space: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(text, filename, "exec"), space)
    return compile_query(space[name], space).__compiled__


def as_function(source: str, name: str = "Asked") -> CompiledQuery:
    """Run it inside a function, whose names are local."""
    inside = "".join(f"    {line}\n" for line in source.split("\n"))
    text = f"{NAMES}def make():\n{inside}\n    return {name}\n"
    filename = f"<function-{abs(hash(text))}>"
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    space: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(text, filename, "exec"), space)
    return compile_query(space["make"]()).__compiled__


def without_fingerprints(query: CompiledQuery) -> CompiledQuery:
    variables = []
    for variable in query.variables:
        own = tuple(replace(one, fingerprint=None) for one in variable.type.properties)
        variables.append(replace(variable, type=replace(variable.type, properties=own)))
    return replace(query, variables=tuple(variables))


# ---------------------------------------------------------------------------------------------------- random queries

LENGTHS = ("x1", "y2", "width", "height")
numbers = st.one_of(
    st.sampled_from(["x.score", "x.id", "limit", "0.5", "x.tall", "2 * factor", "x.width / x.height"]),
)
lengths = st.recursive(
    st.sampled_from([f"x.{name}" for name in LENGTHS]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        inner.map(lambda one: f"-{one}"),
        st.tuples(st.sampled_from(["min", "max"]), inner, inner).map(lambda t: f"{t[0]}({t[1]}, {t[2]})"),
        inner.map(lambda one: f"abs({one})"),
        inner.map(lambda one: f"({one} if x.still else x.x2)"),
    ),
    max_leaves=3,
)
compare = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
conditions = st.one_of(
    st.sampled_from([
        "x.still", "x.yellow", "x.inside(yard)", 'x.inside(road, by="box")', "x.enters(yard)", "x.crosses(door)",
        'x.crosses(door, to="lobby")', "known(x.crossed_to)", 'x.color == "red"', "x.color in words",
        'x.color not in ("red", "black")', 'x.region_of(yard, road) == "yard"', "x.id in (1, 2, limit)",
        '"5px/s" < x.speed <= "90px/s"', 'x.heading > "90deg"', "x.jerk > limit", 'x.kind == "van"', "True",
        'x.time > "01:00"', "x.label != 'car'", "not x.still",
    ]),
    st.tuples(lengths, compare).map(lambda t: f'{t[0]} {t[1]} "30px"'),
    st.tuples(st.sampled_from(["x.score", "x.tall", "x.id"]), compare, numbers).map(" ".join),
)  # fmt: skip
nested = st.recursive(
    conditions,
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: "(" + " and ".join(parts) + ")"),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: "(" + " or ".join(parts) + ")"),
        inner.map(lambda one: f"not ({one})"),
    ),
    max_leaves=5,
)
intervals = st.recursive(
    st.one_of(
        st.tuples(nested, st.sampled_from(["1s", "0.5min"])).map(lambda t: f'lasts({t[0]}, "{t[1]}")'),
        st.tuples(nested, st.sampled_from(["1s", "2s"])).map(lambda t: f'lasts({t[0]}, "3s", gap="{t[1]}")'),
        st.just('x.turns("left", by="90deg")'),
    ),
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=2).map(" or ".join).map(lambda one: f"({one})"),
        st.lists(inner, min_size=2, max_size=2).map(" and ".join).map(lambda one: f"({one})"),
        inner.map(lambda one: f'lasts({one}, "9s")'),
    ),
    max_leaves=3,
)
items = st.lists(
    st.sampled_from(["x.id", "x.color", "start", "end", "duration", "count()", "count(x.id)", "max(x.speed)",
                     "min(x.tall)", "mean(x.score)", "first(x.color)", "x.box", "sum(x.age)", "last(x.x1)"]),
    min_size=1, max_size=4,
)  # fmt: skip
keys = st.lists(
    st.sampled_from(["x.color", "x.region_of(yard, road)", "x.crossed_to", "x.tall"]), min_size=1, max_size=2
)


@st.composite
def queries(draw: Callable[[Any], Any]) -> str:
    wheres = draw(st.one_of(st.lists(nested, min_size=1, max_size=2), st.lists(intervals, min_size=1, max_size=2)))
    kind = draw(st.sampled_from(["Mine", "Mine", "Mine"]))
    lines = [HEAD + TYPE]
    names = [f"Parent{i}" for i in range(len(wheres) - 1)] + ["Asked"]
    parent = "Query"
    for name, where in zip(names, wheres, strict=True):
        lines += [f"class {name}({parent}):", f"    x: {kind}", f"    where = {where}"]
        if draw(st.booleans()):
            lines.append(f"    select = {', '.join(draw(items))}")
        if draw(st.booleans()):
            group = draw(keys)
            if draw(st.booleans()):
                group = ['every("1min")', *group]
            lines.append(f"    group = {', '.join(group)}")
        parent = name
    return "\n".join(lines) + "\n"


@given(queries())
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
def test_all_forms_compile_to_equal_trees(tmp_path_factory: pytest.TempPathFactory, source: str) -> None:
    text = as_text(source)
    folder = tmp_path_factory.getbasetemp()
    for other in (as_file(source, folder=folder), as_cell(source)):
        assert other == text
        assert hash(other.where) == hash(text.where)
    # fingerprints tell a function's closure from a module's globals
    assert without_fingerprints(as_function(source)) == without_fingerprints(text)


EXAMPLES = [
    'class Asked(Query):\n    car: Car\n    where = car.color == "red" and car.score > 0.5\n'
    "    select = car.id, car.color, start, end\n",
    HEAD + "class Asked(Query):\n    person: Person\n    where = person.crosses(door)\n"
    '    group = every("1min"), person.crossed_to\n    select = count(), count(person.id)\n',
    HEAD + 'class Asked(Query):\n    person: Person\n    where = lasts(person.inside(yard), "30s", gap="2s")\n',
    'scale = Scale(person="1.7m")\n' + HEAD + TYPE + "class Parent(Query):\n    taxi: Mine\n"
    '    where = taxi.yellow and "20km/h" < taxi.speed < "90km/h"\n'
    "    select = taxi.id, start, end, max(taxi.speed), max(taxi.jerk)\n"
    "class Asked(Parent):\n    where = taxi.inside(yard)\n",
]


@pytest.mark.parametrize("source", EXAMPLES)
def test_the_examples_of_the_design_in_all_forms(source: str, tmp_path: Path) -> None:
    text = as_text(source)
    assert as_file(source, folder=tmp_path) == text
    assert as_cell(source) == text


def test_a_scale_inside_a_function_is_not_at_the_top() -> None:
    source = 'scale = Scale(person="1.7m")\nclass Asked(Query):\n    x: Car\n    where = x.speed > "5km/h"\n'
    with pytest.raises(WorkbenchError, match="has no scale"):
        as_function(source)
    assert as_cell(source).scale is not None


@pytest.mark.parametrize(
    "body",
    [
        "any(p.near(x, '9px') for p in Person)",
        "all(p.still for p in Person if p.score > 0.5)",
        "sum(1 for p in Person) > 3",
        "sequence(x.still, Parent(x=x), within='3s')",
        "never(x.still, after=x.time > '3s', within='2s')",
        "gap > 3 and gap + 1 < 9",
    ],
)
def test_what_goes_over_types_and_time_is_the_same_in_all_forms(body: str, tmp_path: Path) -> None:
    own = "    @prop\n    def gap(self, x): return x.x1\n"
    source = (
        "class Parent(Query):\n    x: Car\n    where = x.still\n"
        f"class Asked(Query):\n    x: Car\n{own}    where = {body}\n"
    )
    text = as_text(source)
    assert as_file(source, folder=tmp_path) == text
    assert as_cell(source) == text


BODIES = [
    'any(p.near(x, "1s") for p in Person)', "max(p.speed for p in Person) > 3", "min(q for q in unknown)",
    "undefined.thing[3](4)",
    "x.speed ** 2 // 3 % 4 @ 5 << 1", "x in undefined and x not in undefined", "f'{x} {undefined!r:>3}' == 'x'",
    "-x + ~x - +x", "round(abs(x))", "[p for p in Person]", "{p: p for p in Person}",
    "(y := x.still) and y", "len(x) > 3 or sorted(x)", "sequence(x, x, within='3s')", "Parent(y=x)", "not not not x",
    "x if x else x", "x == x != x < x <= x > x >= x", "3 < x < 5", "5 in x", "x.__class__", "x[1:2, ...]",
]  # fmt: skip


@pytest.mark.parametrize("body", BODIES)
def test_running_a_body_never_fails(body: str) -> None:
    source = (
        f"class Parent(Query):\n    x: Car\n    where = x.still\nclass Asked(Query):\n    x: Car\n    where = {body}\n"
    )
    with pytest.raises(WorkbenchError) as caught:
        as_cell(source)
    # the same words as for the text, but for the line: the cell has one more at its top
    with pytest.raises(WorkbenchError) as text:
        as_text(source)
    if "line" in text.value.message:
        assert text.value.line is not None
        assert caught.value.line == text.value.line + 1
        same = text.value.message.replace(f"line {text.value.line}", f"line {caught.value.line}")
        assert caught.value.message == same
    else:
        assert caught.value.message == text.value.message
    assert caught.value.hint == text.value.hint


def test_numpy_and_pandas_take_part_in_a_body() -> None:
    source = (
        "import numpy as np, pandas as pd\na = np.array([1, 2])\ns = pd.Series([1, 2])\n"
        "class Asked(Query):\n    x: Car\n    where = x.id in a and x.frame in s and x.id == np.float64(3.0)\n"
    )
    with pytest.raises(WorkbenchError, match=r"'np.float64\(\)' is not part of a query"):
        as_cell(source)
    query = as_cell(source.replace("np.float64(3.0)", "3"))
    assert query.where.operands[0].collection.value == (1, 2)


def test_a_class_keeps_what_its_names_meant_when_it_was_made() -> None:
    source = HEAD + "class Asked(Query):\n    x: Car\n    where = x.id == limit\nlimit = 9\n"
    assert as_cell(source).where.right.value == 3
    later = "class Asked(Query):\n    x: Car\n    where = x.id == limit\nlimit = 9\n"
    assert as_cell(later).where.right.value == 9


def test_two_classes_of_one_name_are_told_apart_by_their_lines() -> None:
    source = (
        "class Asked(Query):\n    x: Car\n    where = x.id == 1\nfirst_one = Asked\n"
        "class Asked(Query):\n    x: Car\n    where = x.id == 2\n"
    )
    assert as_cell(source, "first_one").where.right.value == 1
    assert as_cell(source).where.right.value == 2


def test_future_annotations(tmp_path: Path) -> None:
    source = "class Asked(Query):\n    x: Car\n    where = x.still\n"
    path = tmp_path / "asked_future.py"
    path.write_text("from __future__ import annotations\n" + NAMES + source)
    spec = importlib.util.spec_from_file_location("asked_future", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert compile_query(module.Asked).__compiled__ == as_text(source)


@pytest.fixture
def pickles() -> Callable[[Any], Any]:
    import cloudpickle

    return lambda value: cloudpickle.loads(cloudpickle.dumps(value))


def test_compiled_queries_and_types_travel(pickles: Any) -> None:
    cls = compile_query(HEAD + TYPE + "class Asked(Query):\n    x: Mine\n    where = x.tall > 1\n")
    again = pickles(cls.__compiled__)
    assert again == cls.__compiled__
    assert again.variables[0].type.properties[0].function(None, 4, 2) == 4
    kind = pickles(cls.__exports__["Mine"])
    assert kind.__labels__ == ("car", "van")
    assert pickles(vocabulary.Car) is vocabulary.Car
    assert pickles(vocabulary.lasts) is vocabulary.lasts
    assert pickles(vocabulary.Region.rect(0, 0, 1, 1)) == vocabulary.Region.rect(0, 0, 1, 1)
