"""The words of the language as plain data: types, their labels and properties, methods, functions.

The checker and the completion of the notebook both read these tables. Nothing heavy is imported here, and the functions
for completion also work on the text of a cell that is only half written.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from workbench.engine.units import Dimension

Shape = Literal["number", "text", "bool", "point", "box", "image", "vector"]

NUMBER = Dimension()
SECONDS = Dimension(s=1)
PIXELS = Dimension(px=1)
DEGREES = Dimension(deg=1)
PIXEL_SPEED = Dimension(px=1, s=-1)
SPEED = Dimension(m=1, s=-1)

COLORS = ("white", "gray", "yellow", "red", "green", "blue", "black")
KINDS = ("car", "van", "truck", "bus")


@dataclass(frozen=True, slots=True)
class BuiltinType:
    """A type of the vocabulary: its parent, and the detector labels that it stands for (None: any)."""

    name: str
    parent: str
    labels: tuple[str, ...] | None
    text: str


@dataclass(frozen=True, slots=True)
class BuiltinProperty:
    """A property of the vocabulary.

    Attributes
    ----------
    dimension : Dimension
        Of a number, without a `Scale`.
    owner : str
        The type that has it, with all types below.
    choices : tuple of str
        The texts that it can be, if these are known.
    scaled : bool
        Whether a `Scale` turns px into metres.
    model : bool
        Whether a model reads pixels for it.
    """

    name: str
    shape: Shape
    text: str
    dimension: Dimension = NUMBER
    owner: str = "Object"
    choices: tuple[str, ...] = ()
    scaled: bool = False
    model: bool = False


@dataclass(frozen=True, slots=True)
class Method:
    """A method of a variable: its parameters in order, of which `required` must be given."""

    name: str
    parameters: tuple[str, ...]
    required: int
    text: str
    relation: bool = False


def _type(name: str, parent: str, labels: str | tuple[str, ...] | None, text: str) -> BuiltinType:
    return BuiltinType(name, parent, (labels,) if isinstance(labels, str) else labels, text)


TYPES: dict[str, BuiltinType] = {
    one.name: one
    for one in (
        _type("Object", "", None, "anything that the detector finds"),
        _type("Scene", "Object", None, "the whole frame (id 0)"),
        _type("Person", "Object", "person", "a person"),
        _type("Bicycle", "Object", "bicycle", "a bicycle"),
        _type("Animal", "Object", ("dog", "cat", "bird", "horse"), "a dog, cat, bird or horse"),
        _type("Dog", "Animal", "dog", "a dog"),
        _type("Cat", "Animal", "cat", "a cat"),
        _type("Bird", "Animal", "bird", "a bird"),
        _type("Horse", "Animal", "horse", "a horse"),
        _type("Ball", "Object", "sports ball", "a ball"),
        _type("Vehicle", "Object", ("car", "truck", "bus", "motorcycle"), "a car, truck, bus or motorcycle"),
        _type("Car", "Vehicle", "car", "a car"),
        _type("Truck", "Vehicle", "truck", "a truck"),
        _type("Bus", "Vehicle", "bus", "a bus"),
        _type("Motorcycle", "Vehicle", "motorcycle", "a motorcycle"),
        _type("Bag", "Object", ("backpack", "handbag", "suitcase"), "a backpack, handbag or suitcase"),
    )
}

PROPERTIES: dict[str, BuiltinProperty] = {
    one.name: one
    for one in (
        BuiltinProperty("id", "number", "number of the track"),
        BuiltinProperty("label", "text", "label of the track"),
        BuiltinProperty("score", "number", "score of the detection, 0 to 1"),
        BuiltinProperty("frame", "number", "index of the frame"),
        BuiltinProperty("time", "number", "seconds since the first frame", SECONDS),
        BuiltinProperty("box", "box", "corners of the box in px"),
        BuiltinProperty("x1", "number", "left edge of the box", PIXELS),
        BuiltinProperty("y1", "number", "upper edge of the box", PIXELS),
        BuiltinProperty("x2", "number", "right edge of the box", PIXELS),
        BuiltinProperty("y2", "number", "lower edge of the box", PIXELS),
        BuiltinProperty("center", "point", "middle of the box"),
        BuiltinProperty("foot", "point", "middle of the lower edge"),
        BuiltinProperty("width", "number", "width of the box", PIXELS),
        BuiltinProperty("height", "number", "height of the box", PIXELS),
        BuiltinProperty("area", "number", "area of the box", PIXELS * PIXELS),
        BuiltinProperty("image", "image", "crop as a BGR array, in @prop functions only"),
        BuiltinProperty("speed", "number", "speed of the foot point over 0.5 s", PIXEL_SPEED, scaled=True),
        BuiltinProperty("heading", "number", "direction of movement: 0 right, 90 up", DEGREES),
        BuiltinProperty("still", "bool", "whether it has hardly moved for 1 s"),
        BuiltinProperty("age", "number", "time since its first row", SECONDS),
        BuiltinProperty("first", "number", "time of its first row", SECONDS),
        BuiltinProperty("last", "number", "time of its last row", SECONDS),
        BuiltinProperty("crossed_to", "text", "side last crossed to, at the frame of a crossing"),
        BuiltinProperty("color", "text", "colour, by a vote over its best crops", choices=COLORS, model=True),
        BuiltinProperty(
            "kind", "text", "body of the vehicle, by a vote", owner="Vehicle", choices=KINDS, model=True
        ),
        BuiltinProperty("embedding", "vector", "256 numbers of its best crops' looks", owner="Person", model=True),
        BuiltinProperty("brightness", "number", "mean brightness of the frame, 0 to 1", owner="Scene"),
        BuiltinProperty("motion", "number", "share of the frame that changes, 0 to 1", owner="Scene"),
    )
}  # fmt: skip

METHODS: dict[str, Method] = {
    one.name: one
    for one in (
        Method("inside", ("region", "by"), 1, 'inside(region, by="foot"): the foot, center or whole box is in it'),
        Method("enters", ("region",), 1, "enters(region): comes in at this frame"),
        Method("leaves", ("region",), 1, "leaves(region): goes out at this frame"),
        Method("region_of", ("regions",), 1, "region_of(r1, r2, ...): name of the region that holds the foot"),
        Method("crosses", ("line", "to"), 1, "crosses(line, to=None): crosses it at this frame"),
        Method("turns", ("side", "by", "over"), 1, 'turns("left" or "right", by="60deg", over="3s")'),
        Method("near", ("other", "distance"), 2, 'near(other, "60px"): the feet are this close', True),
        Method("distance", ("other",), 1, "distance(other): between the feet", True),
        Method("closing", ("other",), 1, "closing(other): how fast the distance falls", True),
        Method("overlaps", ("other", "iou"), 1, "overlaps(other, iou=0.0): the boxes overlap", True),
        Method("same_as", ("other", "min"), 1, "same_as(other, min=0.6): looks alike", True),
        Method("left_of", ("other",), 1, "left_of(other)", True),
        Method("right_of", ("other",), 1, "right_of(other)", True),
        Method("above", ("other",), 1, "above(other)", True),
        Method("below", ("other",), 1, "below(other)", True),
    )
}

#: words of the language that are called or named, with what they mean
WORDS: dict[str, str] = {
    "Query": "class Name(Query): variables, where, group, select",
    "prop": '@prop or @prop(window="1s", once=False, batch=None, partial=False, version=None) above a function',
    "Region": "Region((x, y), ...) or Region.rect(x1, y1, x2, y2): a polygon in px or %",
    "Line": 'Line((x, y), (x, y), sides=("left", "right")): a line to cross',
    "Scale": 'Scale(p, q, "3.5m") or Scale(person="1.7m"): turns px into metres',
    "where": "where = condition",
    "select": "select = car.id, start, end, count(), ...",
    "group": 'group = every("1min"), person.crossed_to, ...',
    "lasts": 'lasts(condition, "30s", gap="0.5s"): true this long',
    "sequence": "sequence(c1, c2, within=None): one after the other",
    "before": "before(a, b, within=None): a, then b",
    "during": "during(a, b): a inside b",
    "never": 'never(c, after=a, within="10s"): no c after a',
    "every": 'every("1min"): a group for each stretch of time',
    "count": "count(): events; count(x): different values",
    "mean": "mean(x): mean over the matched frames",
    "first": "first(x): value at the first matched frame",
    "last": "last(x): value at the last matched frame",
    "known": "known(x): the value is not missing",
    "start": "start of the event in seconds",
    "end": "end of the event in seconds",
    "duration": "duration of the event in seconds",
    "abs": "abs(x)",
    "min": "min(x, y) in a condition; min(x) over the event in select",
    "max": "max(x, y) in a condition; max(x) over the event in select",
    "sum": "sum(x) over the event in select",
    "any": "any(condition for v in Type)",
    "all": "all(condition for v in Type)",
    "and": "both",
    "or": "at least one",
    "not": "the opposite",
    "in": "one of a collection",
}
#: words that are functions of conditions and intervals
INTERVAL_WORDS = ("lasts", "sequence", "before", "during", "never")
AGGREGATES = ("count", "mean", "min", "max", "sum", "first", "last")
BOUNDS = ("start", "end", "duration")


def ancestors(type_name: str) -> tuple[str, ...]:
    """Return the names of the type's ancestors, nearest first; () for an unknown one."""
    found: list[str] = []
    while (one := TYPES.get(type_name)) is not None and one.parent:
        found.append(one.parent)
        type_name = one.parent
    return tuple(found)


def type_names() -> list[str]:
    """Return the names of the types, `Object` first."""
    return list(TYPES)


def property_names(type_name: str) -> list[str]:
    """Return the names of the properties of a built-in type (of `Object` for an unknown one)."""
    kin = {type_name, *ancestors(type_name), "Object"}
    return [one.name for one in PROPERTIES.values() if one.owner in kin]


def method_names() -> list[str]:
    """Return the names of the methods that every variable has."""
    return list(METHODS)


def words() -> list[str]:
    """Return the words of the language: functions, clauses and operators."""
    return list(WORDS)


def describe(name: str) -> str:
    """Return one line about a type, word, property or method; empty for anything else."""
    if name in TYPES:
        return f"{name}: {TYPES[name].text}"
    if name in WORDS:
        return WORDS[name]
    if name in PROPERTIES:
        own = PROPERTIES[name]
        unit = f" ({own.dimension})" if own.dimension else ""
        return f"{name}: {own.text}{unit}"
    return METHODS[name].text if name in METHODS else ""


# ------------------------------------------------------------------------------------- names in a half-written cell

_CLASS = re.compile(r"^(?P<indent>[ \t]*)class\s+(?P<name>\w+)\s*(?:\((?P<bases>[^)\n]*)\)?)?[^\n]*", re.M)
_ASSIGN = re.compile(r"^(\w+)\s*=\s*(?:\w+\.)*(Region|Line|Scale)\b", re.M)
_VALUE = re.compile(r"^(\w+)\s*=(?!=)", re.M)
_VARIABLE = re.compile(r"^[ \t]+(\w+)[ \t]*:[ \t]*(?:\w+\.)*(\w+)[ \t]*(?:#.*)?$", re.M)
_PROP = re.compile(r"^[ \t]+(?:async[ \t]+)?def[ \t]+(\w+)", re.M)
_IMPORT = re.compile(r"^\s*(?:from\s+\S+\s+)?import\s+(.+)$", re.M)


@dataclass(frozen=True, slots=True)
class CellClass:
    """A class of a cell: its name, bases, variables and properties, and its first line and the one after its last."""

    name: str
    bases: tuple[str, ...]
    variables: dict[str, str]
    properties: tuple[str, ...]
    lines: tuple[int, int]


def classes_in(text: str) -> list[CellClass]:
    """Return the classes of a cell, finished or not, in order (lines count from 0, the last one excluded)."""
    heads = list(_CLASS.finditer(text))
    found = []
    for head, following in zip(heads, [*heads[1:], None], strict=False):
        stop = following.start() if following else len(text)
        body = text[head.end() : stop]
        outside = re.search(r"^[^\s#)]", body, re.M)
        if outside:
            body = body[: outside.start()]
        bases = tuple(
            part.strip().rpartition(".")[2]
            for part in (head["bases"] or "").split(",")
            if part.strip() and "=" not in part
        )
        first = text.count("\n", 0, head.start())
        found.append(
            CellClass(
                head["name"],
                bases,
                {name: kind for name, kind in _VARIABLE.findall(body) if name not in ("else", "try", "lambda")},
                tuple(_PROP.findall(body)),
                (first, first + (text[head.start() : head.end()] + body).count("\n") + 1),
            )
        )
    return found


def names_in(text: str) -> dict[str, dict[str, str]]:
    """Return the names that the body of a cell declares, even if it is only half written.

    Returns
    -------
    dict
        `variables`: name -> type; `types` and `queries`: name -> first base; `regions`, `lines`, `scales` and `names`
        (other values and imports): name -> what it is; `properties`: `Type.name` -> name.
    """
    found: dict[str, dict[str, str]] = {
        key: {} for key in ("variables", "types", "queries", "regions", "lines", "scales", "names", "properties")
    }
    queries = {"Query"}
    for one in classes_in(text):
        base = one.bases[0] if one.bases else ""
        is_query = any(name in queries for name in one.bases) or bool(one.variables)
        if is_query:
            queries.add(one.name)
        found["queries" if is_query else "types"][one.name] = base
        found["variables"].update(one.variables)
        found["properties"].update({f"{one.name}.{name}": name for name in one.properties})
    for name, word in _ASSIGN.findall(text):
        found[{"Region": "regions", "Line": "lines", "Scale": "scales"}[word]][name] = word
    shapes = {*found["regions"], *found["lines"], *found["scales"]}
    found["names"] = {name: "value" for name in _VALUE.findall(text) if name not in shapes}
    for group in _IMPORT.findall(text):
        for part in group.split("#")[0].strip("() ").split(","):
            name = part.split(" as ")[-1].strip().split(".")[0]
            if name.isidentifier():
                found["names"][name] = "import"
    return found


def cell_property_names(text: str, variable_or_type: str) -> list[str]:
    """Return properties and methods of a variable (or type) of this cell text, the cell's own properties first."""
    names = names_in(text)
    kind = names["variables"].get(variable_or_type, variable_or_type)
    own: list[str] = []
    seen: set[str] = set()
    while kind in names["types"] and kind not in seen:
        seen.add(kind)
        own += [name for path, name in names["properties"].items() if path.startswith(f"{kind}.")]
        kind = names["types"][kind]
    return list(dict.fromkeys([*own, *property_names(kind), *method_names()]))
