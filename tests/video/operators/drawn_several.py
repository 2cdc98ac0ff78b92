"""Random queries of several variables, or none: relations, quantifiers, all words for time, queries inside queries."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.video.operators.drawn import SECONDS, TYPES, QueryDraw
from workbench.engine.units import Dimension
from workbench.video.language import tree
from workbench.video.language.tree import UserProperty

PX, METRES = Dimension(px=1), Dimension(m=1)
SCENE = tree.ObjectType("Scene", None, ("Object",), ())


def _gap(self: Any, a: Any, b: Any) -> float | None:
    if a.x1 > 450:
        raise ValueError("too far right")
    return None if a.speed is None else float(abs(a.x1 - b.x1))


def _taller(self: Any, a: list[Any], b: list[Any]) -> list[bool]:
    return [one.height > other.height for one, other in zip(a, b, strict=True)]


RELATIONS = (
    UserProperty("gap", "Q", _gap, ("a", "b")),
    UserProperty("taller", "Q", _taller, ("a", "b"), batch=2),
)


class SeveralDraw(QueryDraw):
    """Draws queries about any number of objects."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.scale = rng.choice((None, None, None, tree.ScaleSpec("uniform", 3.5, ((0, 0), (30, 40)))))
        # all types have the same properties of one's own, or none
        self.kinds = rng.choice((TYPES[:3], (TYPES[3], tree.ObjectType("Any", None, ("Object",)))))
        self.kind = self.kinds[0]
        count = rng.choice((0, 1, 1, 2, 2, 2, 2, 3))
        same = rng.random() < 0.6
        kind = rng.choice(self.kinds)
        self.variables = tuple(
            tree.Variable(name, kind if same else rng.choice(self.kinds)) for name in ("x", "y", "z")[:count]
        )
        if self.variables and rng.random() < 0.08 and not self.kind.properties:
            self.variables = (*self.variables[:-1], tree.Variable("scene", SCENE))
        self.types = {variable.name: variable.type for variable in self.variables}
        self.scope = [variable.name for variable in self.variables]
        self.level = list(self.variables)
        self.made = 0

    @property
    def var(self) -> str:
        return self.rng.choice(self.scope)

    def _new(self, letter: str) -> str:
        self.made += 1
        return f"{letter}{self.made}"

    @contextmanager
    def among(self, names: list[str]) -> Iterator[None]:
        before, self.scope = self.scope, names
        yield
        self.scope = before

    def bound(self) -> tree.Variable:
        variable = tree.Variable(self._new("q"), self.rng.choice(self.kinds))
        self.types[variable.name] = variable.type
        return variable

    # ------------------------------------------------------------------------------------------------ frame by frame

    def condition(self, depth: int) -> tree.Node:
        rng = self.rng
        draw = rng.random()
        if not self.scope:
            if draw < 0.05:
                return tree.Truth(value=tree.Constant(value=True))
            return self.quantified(depth) if draw < 0.6 else self.counted(depth)
        if len(self.scope) > 1 and draw < 0.35:
            return self.relation()
        if depth and draw < 0.5:
            return self.quantified(depth - 1) if rng.random() < 0.7 else self.counted(depth - 1)
        return super().condition(depth)

    def relation(self) -> tree.Node:
        rng = self.rng
        one, other = rng.sample(self.scope, 2)
        draw = rng.random()
        scaled = self.scale is not None
        if draw < 0.35:
            limit = rng.choice((20.0, 60.0, 60.0, 150.0, 400.0)) * (0.07 if scaled else 1)
            return tree.Relation(name="near", var=one, other=other, limit=limit, dimension=METRES if scaled else PX)
        if draw < 0.6:
            name = rng.choice(("overlaps", "inside", "left_of", "right_of", "above", "below"))
            limit = rng.choice((0.0, 0.1, 0.4)) if name == "overlaps" else 0.0
            return tree.Relation(name=name, var=one, other=other, limit=limit)
        if draw < 0.8:
            name = rng.choice(("distance", "closing"))
            value = rng.choice((50.0, 120.0) if name == "distance" else (0.0, 20.0, -10.0)) * (0.07 if scaled else 1)
            left = tree.Measure(name=name, var=one, other=other, dimension=METRES if scaled else PX)
            return tree.Compare(op=rng.choice(("<", "<=", ">")), left=left, right=tree.Constant(value=value))
        if draw < 0.9:
            left_, right = tree.Property(var=one, name="x1"), tree.Property(var=other, name="x1")
            return tree.Compare(op=rng.choice(("<", "==", "!=")), left=left_, right=right)
        own = rng.choice(RELATIONS)
        called = tree.OwnRelation(function=own, arguments=(one, other))
        if own.name == "taller":
            return tree.Truth(value=called)
        return tree.Compare(op=rng.choice(("<", ">")), left=called, right=tree.Constant(value=rng.choice((40, 150))))

    def quantified(self, depth: int) -> tree.Node:
        rng, variable = self.rng, self.bound()
        with self.among([*self.scope, variable.name]):
            test = self.condition(0) if rng.random() < 0.3 else None
            inner = self.condition(depth)
        return tree.Quantified(name=rng.choice(("any", "any", "all")), variable=variable, condition=inner, test=test)

    def counted(self, depth: int) -> tree.Node:
        rng, variable = self.rng, self.bound()
        with self.among([*self.scope, variable.name]):
            test = self.condition(depth) if rng.random() < 0.6 else None
            value: tree.Node = tree.Constant(value=1) if rng.random() < 0.6 else self.number(0)
        total = tree.Total(variable=variable, value=value, test=test, dimension=tree.NUMBER)
        limit = tree.Constant(value=rng.choice((1, 2, 2, 3, 200)))
        return tree.Compare(op=rng.choice((">=", ">", "==", "<")), left=total, right=limit)

    # -------------------------------------------------------------------------------------------------------- in time

    def part(self, depth: int) -> tree.Node:
        """A condition or an interval, about some of the variables."""
        count = len(self.scope)
        names = self.scope if not count else self.rng.sample(self.scope, self.rng.randint(1, count))
        with self.among(names):
            return self.interval(depth) if depth and self.rng.random() < 0.4 else self.condition(1)

    def interval(self, depth: int) -> tree.Node:
        rng = self.rng
        draw = rng.random()
        within = rng.choice((None, 0.2, 1.0, 2.0))
        if depth and draw < 0.2:
            return tree.Sequence(steps=tuple(self.part(depth - 1) for _ in range(rng.choice((2, 2, 3)))), within=within)
        if depth and draw < 0.28:
            return tree.Before(first=self.part(depth - 1), then=self.part(depth - 1), within=within)
        if depth and draw < 0.36:
            return tree.During(inner=self.part(depth - 1), outer=self.part(depth - 1))
        if depth and draw < 0.46:
            return tree.Never(
                condition=self.part(depth - 1), after=self.part(depth - 1), within=rng.choice((0.1, 0.5, 1.0))
            )
        if depth and draw < 0.56:
            return self.inner(depth - 1)
        if depth and draw < 0.64:
            return tree.And(operands=tuple(self.only(depth - 1) for _ in range(rng.choice((2, 2, 3)))))
        if depth and draw < 0.72:
            return self.either(depth - 1)
        if draw < 0.78 and self.scope:
            by, over = rng.choice((60.0, 30.0)), rng.choice((3.0, 1.0))
            return tree.Turns(var=self.var, side=rng.choice(("left", "right")), by=by, over=over)
        operand = self.only(depth - 1) if depth and rng.random() < 0.2 else self.condition(rng.choice((0, 1, 2)))
        duration, gap = rng.choice((0.0, 0.1, 0.3, 0.5, 1.0)), rng.choice((0.5, 0.5, 0.0, 0.1, 1.0))
        return tree.Lasts(operand=operand, duration=duration, gap=gap)

    def only(self, depth: int) -> tree.Node:
        """An interval about some of the variables."""
        part = self.part(depth)
        return part if part.kind == "interval" else tree.Lasts(operand=part, duration=self.rng.choice((0.0, 0.2, 0.5)))

    def either(self, depth: int) -> tree.Node:
        first = self.only(depth)
        operands = [first]
        for _ in range(8):
            other = self.only(depth)
            if other.variables() == first.variables() and tree.depends(other) == tree.depends(first):
                operands.append(other)
        operands = operands[:3] if len(operands) > 1 else [first, tree.Lasts(operand=first, duration=0.4, gap=0.1)]
        return tree.Or(operands=tuple(operands))

    def inner(self, depth: int) -> tree.Node:
        rng = self.rng
        # only variables of the query can be given to another, and those that the part is about
        mine = [variable for variable in self.level if variable.name in self.scope]
        mine = rng.sample(mine, rng.randint(0, len(mine)))
        count = rng.choice((0, 1, 1, 2)) if mine else rng.choice((1, 2))
        hidden = tuple(tree.Variable(self._new("h"), rng.choice(self.kinds)) for _ in range(min(count, 3 - len(mine))))
        self.types |= {variable.name: variable.type for variable in hidden}
        level, self.level = self.level, [*mine, *hidden]
        with self.among([variable.name for variable in self.level]):
            where = self.interval(depth) if rng.random() < 0.5 else self.condition(1)
        self.level = level
        given = tuple((f"its{number}", variable.name) for number, variable in enumerate(mine))
        return tree.Inner(name="Other", given=given, hidden=hidden, where=where)

    # ------------------------------------------------------------------------------------------------------ the query

    def select(self) -> tuple[tree.Node, ...]:
        if self.variables:
            return super().select()
        duration = tree.Property(var="", name="duration", dimension=SECONDS)
        return self.rng.choice(((), (duration,), (tree.Aggregate(name="count"),)))

    def group(self) -> tuple[tree.Node, ...]:
        return super().group() if self.variables else (tree.Every(seconds=1.0),)

    def query(self) -> tree.CompiledQuery:
        rng = self.rng
        where = self.condition(rng.choice((1, 2))) if rng.random() < 0.45 else self.interval(rng.choice((1, 1, 2)))
        group = self.group() if rng.random() < 0.4 else ()
        return tree.CompiledQuery("Drawn", self.variables, where, self.select(), group, scale=self.scale)
