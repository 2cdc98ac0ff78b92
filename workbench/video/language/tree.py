"""The typed tree that a query compiles to: plain data, comparable, without any pixel or frame in it.

Nodes are frozen and compare by structure (positions in the text do not count), so that common subtrees can be found by
hashing. Three kinds exist: a *value* (one for each row of a track, or one per frame), a *frame condition* (true, false
or missing at each frame of a binding) and an *interval* (a set of spans of a binding).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from workbench.engine.units import Dimension

Kind = Literal["value", "condition", "interval"]
NUMBER = Dimension()


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node of the tree, with the place in the cell it came from."""

    line: int = field(default=0, compare=False)
    column: int = field(default=0, compare=False)

    @property
    def kind(self) -> Kind:
        return "value"

    def children(self) -> Iterator[Node]:
        """Yield the nodes directly below this one, in the order they are written."""
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, Node):
                yield value
            elif isinstance(value, tuple):
                yield from (part for part in value if isinstance(part, Node))

    def walk(self) -> Iterator[Node]:
        """Yield this node and all below it, parents first."""
        yield self
        for child in self.children():
            yield from child.walk()

    def binds(self) -> tuple[Variable, ...]:
        """Return the variables that exist inside this node only."""
        return ()

    def variables(self) -> frozenset[str]:
        """Return the names of the variables that this node reads and does not bind itself."""
        names = {value for name in ("var", "other") if (value := getattr(self, name, None))}
        for child in self.children():
            names |= child.variables()
        return frozenset(names - {variable.name for variable in self.binds()})


# ---------------------------------------------------------------------------------------------------------- shapes


@dataclass(frozen=True, slots=True)
class RegionShape:
    """A simple polygon; coordinates in px of the source, or fractions of width and height where `percent` says so."""

    name: str
    points: tuple[tuple[float, float], ...]
    #: for each point, whether (x, y) are fractions
    percent: tuple[tuple[bool, bool], ...] = ()

    def in_pixels(self, width: int, height: int) -> tuple[tuple[float, float], ...]:
        """Return the corners in px of a picture of this size."""
        if not self.percent:
            return self.points
        return tuple(
            (x * width if px else x, y * height if py else y)
            for (x, y), (px, py) in zip(self.points, self.percent, strict=True)
        )


@dataclass(frozen=True, slots=True)
class LineShape:
    """A directed segment with the names of its two sides (left of the way from start to end first)."""

    name: str
    points: tuple[tuple[float, float], tuple[float, float]]
    sides: tuple[str, str] = ("left", "right")
    percent: tuple[tuple[bool, bool], ...] = ()

    def in_pixels(self, width: int, height: int) -> tuple[tuple[float, float], tuple[float, float]]:
        """Return both ends in px of a picture of this size."""
        start, end = RegionShape(self.name, self.points, self.percent).in_pixels(width, height)
        return start, end


@dataclass(frozen=True, slots=True)
class ScaleSpec:
    """How metres are found: `uniform` (two points and a length), `person` (a height) or `ground` (pairs of points)."""

    mode: Literal["uniform", "person", "ground"]
    metres: float = 0.0
    points: tuple[tuple[float, ...], ...] = ()


# ---------------------------------------------------------------------------------------------------------- values


@dataclass(frozen=True, slots=True)
class Constant(Node):
    """A number, text, bool, None, or (on the right of `in`) a tuple of these. Quantities are in base units."""

    value: Any
    dimension: Dimension = NUMBER
    text: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Property(Node):
    """`var.name`: a built-in property, a user's property, or (`var` empty) the bounds `start`, `end`, `duration`."""

    var: str
    name: str
    dimension: Dimension | None = None  # None: no fixed dimension (text, point, a property of one's own)


@dataclass(frozen=True, slots=True)
class RegionOf(Node):
    """`var.region_of(r1, r2, ...)`: the name of the first region that holds the foot point, or missing."""

    var: str
    regions: tuple[RegionShape, ...]


@dataclass(frozen=True, slots=True)
class Measure(Node):
    """`var.distance(other)` (px or m) and `var.closing(other)` (px/s or m/s)."""

    name: Literal["distance", "closing"]
    var: str
    other: str
    dimension: Dimension | None = None


@dataclass(frozen=True, slots=True)
class OwnRelation(Node):
    """A property of the query itself: a function of views of some of its variables, called for each row."""

    function: UserProperty
    arguments: tuple[str, ...]

    def variables(self) -> frozenset[str]:
        return frozenset(self.arguments)


@dataclass(frozen=True, slots=True)
class Total(Node):
    """`sum(value for variable in Type if test)`; missing terms are skipped, the sum of nothing is 0."""

    variable: Variable
    value: Node
    test: Node | None = None
    dimension: Dimension | None = None

    def binds(self) -> tuple[Variable, ...]:
        return (self.variable,)


@dataclass(frozen=True, slots=True)
class Arithmetic(Node):
    """`left op right` with op one of `+ - * /`."""

    op: str
    left: Node
    right: Node
    dimension: Dimension | None = None


@dataclass(frozen=True, slots=True)
class Negate(Node):
    """`-operand`."""

    operand: Node


@dataclass(frozen=True, slots=True)
class Function(Node):
    """`abs(x)`, `min(x, y, ...)`, `max(x, y, ...)` of values of one row."""

    name: Literal["abs", "min", "max"]
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Choose(Node):
    """`then if condition else other_value`; missing where the condition is missing."""

    condition: Node
    then: Node
    otherwise: Node


# ------------------------------------------------------------------------------------------------ frame conditions


@dataclass(frozen=True, slots=True)
class Condition(Node):
    """Base of the nodes that are true, false or missing at each frame."""

    @property
    def kind(self) -> Kind:
        return "condition"


@dataclass(frozen=True, slots=True)
class Compare(Condition):
    """`left op right` with op one of `== != < <= > >=`; a chain is an `And` of these."""

    op: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Contains(Condition):
    """`item in collection`; the collection is a Constant that holds a tuple. `not in` is a `Not` around it."""

    item: Node
    collection: Constant


@dataclass(frozen=True, slots=True)
class Truth(Condition):
    """A property of bool value used as a condition by itself."""

    value: Node


@dataclass(frozen=True, slots=True)
class Known(Condition):
    """`known(x)`: the value is not missing; never missing itself."""

    value: Node


@dataclass(frozen=True, slots=True)
class InRegion(Condition):
    """`var.inside(region, by)`, `var.enters(region)`, `var.leaves(region)`."""

    name: Literal["inside", "enters", "leaves"]
    var: str
    region: RegionShape
    by: Literal["foot", "center", "box"] = "foot"


@dataclass(frozen=True, slots=True)
class Crosses(Condition):
    """`var.crosses(line, to)`."""

    var: str
    shape: LineShape
    to: str | None = None


@dataclass(frozen=True, slots=True)
class Relation(Condition):
    """A condition on two variables: `near`, `overlaps`, `left_of` ...; `limit` in base units."""

    name: str
    var: str
    other: str
    limit: float = 0.0
    dimension: Dimension = NUMBER


@dataclass(frozen=True, slots=True)
class Quantified(Condition):
    """`any(condition for variable in Type if test)` and `all(...)`: over the objects of the type in the frame."""

    name: Literal["any", "all"]
    variable: Variable
    condition: Node
    test: Node | None = None

    def binds(self) -> tuple[Variable, ...]:
        return (self.variable,)


def depends(node: Node) -> bool:
    """Return whether a node is about anything: a condition of constants alone is about whatever the query is about."""
    return bool(node.variables()) or any(part.binds() for part in node.walk())


@dataclass(frozen=True, slots=True)
class Not(Condition):
    """Kleene negation of a frame condition."""

    operand: Node


class _Joined:
    """And and Or take the kind of their operands: all conditions, or all intervals."""

    operands: tuple[Node, ...]

    @property
    def kind(self) -> Kind:
        return "interval" if self.operands[0].kind == "interval" else "condition"


@dataclass(frozen=True, slots=True)
class And(_Joined, Node):
    """Kleene conjunction of conditions, or intersection of intervals; at least two operands."""

    operands: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Or(_Joined, Node):
    """Kleene disjunction of conditions, or union of intervals; at least two operands."""

    operands: tuple[Node, ...]


# ------------------------------------------------------------------------------------------------------- intervals


@dataclass(frozen=True, slots=True)
class Interval(Node):
    """Base of the nodes that give spans of a binding."""

    @property
    def kind(self) -> Kind:
        return "interval"


@dataclass(frozen=True, slots=True)
class Lasts(Interval):
    """`lasts(operand, duration, gap)`; seconds. The operand is a condition or an interval."""

    operand: Node
    duration: float
    gap: float = 0.5


@dataclass(frozen=True, slots=True)
class Turns(Interval):
    """`var.turns(side, by, over)`; degrees and seconds."""

    var: str
    side: Literal["left", "right"]
    by: float = 60.0
    over: float = 3.0


@dataclass(frozen=True, slots=True)
class Sequence(Interval):
    """`sequence(c1, ..., ck, within)`: the steps one after another; seconds."""

    steps: tuple[Node, ...]
    within: float | None = None


@dataclass(frozen=True, slots=True)
class Before(Interval):
    """`before(first, then, within)`: the intervals of `first` that one of `then` follows; seconds."""

    first: Node
    then: Node
    within: float | None = None


@dataclass(frozen=True, slots=True)
class During(Interval):
    """`during(inner, outer)`: the intervals of `inner` inside one of `outer`."""

    inner: Node
    outer: Node


@dataclass(frozen=True, slots=True)
class Never(Interval):
    """`never(condition, after, within)`: the intervals of `after` that nothing follows; seconds."""

    condition: Node
    after: Node
    within: float


@dataclass(frozen=True, slots=True)
class Inner(Interval):
    """`QUERY(its=mine, ...)`: the intervals of another query, whose condition speaks of `mine` already.

    `hidden` are its other variables, which exist in here only.
    """

    name: str
    given: tuple[tuple[str, str], ...]  # its variable, mine
    hidden: tuple[Variable, ...]
    where: Node

    def binds(self) -> tuple[Variable, ...]:
        return self.hidden

    def variables(self) -> frozenset[str]:
        return frozenset(mine for _, mine in self.given)


# --------------------------------------------------------------------------------------------------- the whole query


@dataclass(frozen=True, slots=True)
class Window:
    """How far back a property looks: seconds, or a number of rows."""

    seconds: float | None = None
    rows: int | None = None


@dataclass(frozen=True, slots=True)
class UserProperty:
    """A property written with `@prop`.

    `arguments` are the names of the properties it needs, in order; `image` and `images` among them make it read
    pixels. `fingerprint` is None if the function reads something that cannot be fingerprinted (then it is not cached).
    """

    name: str
    owner: str
    function: Callable[..., Any] = field(compare=False)
    arguments: tuple[str, ...] = ()
    window: Window | None = None
    once: bool = False
    batch: int | None = None
    partial: bool = False
    fingerprint: str | None = None

    @property
    def reads_pixels(self) -> bool:
        return "image" in self.arguments or "images" in self.arguments


@dataclass(frozen=True, slots=True)
class ObjectType:
    """A type of object: the labels that it stands for (None: any) and the user's properties, own and inherited."""

    name: str
    labels: tuple[str, ...] | None
    bases: tuple[str, ...] = ()  # names of all ancestors, nearest first: ("Vehicle", "Object") for Car
    properties: tuple[UserProperty, ...] = ()

    def is_a(self, name: str) -> bool:
        """Return whether this is the named type or derives from it."""
        return name == self.name or name in self.bases

    def property(self, name: str) -> UserProperty | None:
        """Return the user's property of this name, if there is one."""
        return next((own for own in self.properties if own.name == name), None)


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of a query and the type it binds."""

    name: str
    type: ObjectType


@dataclass(frozen=True, slots=True)
class Aggregate(Node):
    """`count() count(x) mean(x) min(x) max(x) sum(x) first(x) last(x)`; x is a Property (`duration` has var "")."""

    name: Literal["count", "mean", "min", "max", "sum", "first", "last"]
    argument: Property | None = None


@dataclass(frozen=True, slots=True)
class Every(Node):
    """The group key `every("1min")`; seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class CompiledQuery:
    """A query after checking: everything that planning and evaluation need.

    No two variables have one name, those inside quantifiers and inner queries included. `select` holds Property (also
    `start`, `end`, `duration` with var "") and Aggregate nodes; `group` holds Every, Property and RegionOf nodes.
    `where` is a condition or an interval. `shapes` are the regions and lines that the cell and its conditions name, for
    drawing. `warnings` are (message, hint) pairs found while checking.
    """

    name: str
    variables: tuple[Variable, ...]
    where: Node
    select: tuple[Node, ...] = ()
    group: tuple[Node, ...] = ()
    scale: ScaleSpec | None = None
    shapes: tuple[RegionShape | LineShape, ...] = ()
    warnings: tuple[tuple[str, str], ...] = ()
    text: str = field(default="", compare=False)

    def variable(self, name: str) -> Variable:
        """Return the variable of this name."""
        return next(variable for variable in self.variables if variable.name == name)

    def types(self) -> dict[str, ObjectType]:
        """Return the types of all variables, those that exist inside quantifiers and inner queries included."""
        found = {variable.name: variable.type for variable in self.variables}
        for node in self.nodes():
            found |= {variable.name: variable.type for variable in node.binds()}
        return found

    def nodes(self) -> Iterator[Node]:
        """Yield every node of condition, select and group."""
        for root in (self.where, *self.select, *self.group):
            yield from root.walk()
