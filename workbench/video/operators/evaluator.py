"""Evaluates conditions and values over all rows of a space at once, costly ones only where they matter."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from workbench.engine.errors import WorkbenchError
from workbench.engine.units import Dimension
from workbench.video.language import tree
from workbench.video.language.tree import Node
from workbench.video.operators import geometry
from workbench.video.operators.bind import Space
from workbench.video.operators.columns import (
    TIME_TOLERANCE,
    Column,
    all_of,
    any_of,
    arithmetic,
    choose,
    compare,
    contains,
    negation,
    truth,
)
from workbench.video.operators.members import Members, members_of
from workbench.video.operators.pairs import alike, closing, feet_distance
from workbench.video.operators.properties import Properties, is_costly, reads_pixels
from workbench.video.operators.views import call_relation
from workbench.video.tracks import Bools, Tracks

__all__ = ["Evaluator", "NodeStats", "dimension_of", "regions_of"]

_TIME = Dimension(s=1)
Narrow = Callable[[Bools], Bools]


@dataclass
class NodeStats:
    """What a node of the condition did: rows it looked at, rows it left, milliseconds (those below it included)."""

    rows_in: int = 0
    rows_kept: int = 0
    ms: float = 0.0


@dataclass
class Evaluator:
    """Evaluates nodes over the rows of a space.

    `need` masks say at which rows the answer matters; elsewhere it means nothing.

    Parameters
    ----------
    types : Mapping
        The types of all variables of the query.
    naive : bool
        Whether to take operands as written and leave nothing out.
    planned : bool
        Whether the planner has put operands in order; if not, they go by cost.
    """

    space: Space
    properties: Properties
    types: Mapping[str, tree.ObjectType]
    naive: bool = False
    planned: bool = False
    stats: dict[Node, NodeStats] = field(default_factory=dict)
    _whole: dict[Node, Column] = field(default_factory=dict)
    _costs: dict[Node, int] = field(default_factory=dict)

    # ----------------------------------------------------------------------------------------------------------- costs

    def cost(self, node: Node) -> int:
        """Return 0 for what tracks alone tell, 1 for calls of functions, 2 for what needs crops."""
        if node not in self._costs:
            worst = 0
            for part in node.walk():
                if isinstance(part, tree.Property) and part.var:
                    kind = self.types[part.var]
                    worst = max(worst, is_costly(kind, part.name) + reads_pixels(kind, part.name))
                elif isinstance(part, tree.OwnRelation):
                    worst = max(worst, 1)
                elif isinstance(part, tree.Relation) and part.name == "same_as":
                    worst = 2
            self._costs[node] = worst
        return self._costs[node]

    def _ordered(self, node: tree.And | tree.Or) -> list[Node]:
        return list(node.operands) if self.naive or self.planned else sorted(node.operands, key=self.cost)

    # ------------------------------------------------------------------------------------------------------ conditions

    def condition(self, node: Node, need: Bools, *, exact: bool = False, narrow: Narrow | None = None) -> Column:
        """Return a condition at the rows of `need`.

        Parameters
        ----------
        exact : bool
            Whether false and missing are told apart. If not, only where it is true is right: that is all that an
            event, or an `and` outside of `not`, depends on.
        narrow : callable, optional
            Takes where an `and` can still be true and returns where that still matters.
        """
        began = time.perf_counter()
        whole = self.cost(node) == 0
        if whole and node in self._whole:
            result = self._whole[node]
        else:
            asked = np.ones(len(self.space), bool) if whole else need
            result = self._condition(node, asked, exact or whole, narrow)
            if whole:
                self._whole[node] = result
        self._count(node, need, result.true & need, began)
        return result

    def _count(self, node: Node, need: Bools, kept: Bools, began: float) -> None:
        stats = self.stats.setdefault(node, NodeStats())
        stats.rows_in += int(np.count_nonzero(need))
        stats.rows_kept += int(np.count_nonzero(kept))
        stats.ms += (time.perf_counter() - began) * 1e3

    def _condition(self, node: Node, need: Bools, exact: bool, narrow: Narrow | None) -> Column:
        match node:
            case tree.And():
                return self._and(node, need, exact, narrow)
            case tree.Or():
                return self._or(node, need, exact)
            case tree.Not(operand=operand):
                return negation(self.condition(operand, need, exact=True))
            case tree.Compare(op=op, left=left, right=right):
                tolerance = TIME_TOLERANCE if _TIME in (dimension_of(left), dimension_of(right)) else 0.0
                first = self.value(left, need)
                return compare(op, first, self.value(right, need & first.valid), tolerance)
            case tree.Contains(item=item, collection=collection):
                return contains(self.value(item, need), tuple(collection.value))
            case tree.Truth(value=value):
                return truth(self.value(value, need))
            case tree.Known(value=value):
                return Column.condition(self.value(value, need).valid)
            case tree.InRegion():
                return self._in_region(node)
            case tree.Crosses():
                return self._crosses(node)
            case tree.Relation():
                return self._relation(node, need)
            case tree.Quantified():
                return self._quantified(node, need, exact)
        raise WorkbenchError(f"{type(node).__name__} is not a condition.", "Compare it, or use lasts() or sequence().")

    def _and(self, node: tree.And, need: Bools, exact: bool, narrow: Narrow | None) -> Column:
        result = Column.condition(np.ones(len(need), bool))
        alive = need
        for operand in self._ordered(node):
            if narrow is not None and not exact and not self.naive and self.cost(operand):
                alive = narrow(alive)
            column = self.condition(operand, need if self.naive else alive, exact=exact)
            result = all_of(result, column)
            if not self.naive:
                alive = alive & (~column.false if exact else column.true)
        # without exactness, what was given up on the way was not asked further: it is not true
        return result if exact or self.naive else Column.condition(result.true & alive, alive)

    def _or(self, node: tree.Or, need: Bools, exact: bool) -> Column:
        result = Column.condition(np.zeros(len(need), bool))
        undecided = need
        for operand in self._ordered(node):
            column = self.condition(operand, need if self.naive else undecided, exact=exact)
            # what was decided before was not asked of this operand
            column = Column(column.values & undecided, column.valid & undecided) if not self.naive else column
            result = any_of(result, column)
            if not self.naive:
                undecided = undecided & ~column.true
        return result

    def _gather(self, var: str, column: Column) -> Column:
        return column.take(self.space.track_rows(var))

    def _in_region(self, node: tree.InRegion) -> Column:
        tracks = self.space.tracks
        polygon = node.region.in_pixels(tracks.width, tracks.height)
        if node.name == "inside":
            parts = [geometry.inside_polygon(points, polygon) for points in geometry.box_points(tracks.box, node.by)]
            true = np.logical_and.reduce(parts)
        else:
            to = geometry.passages(tracks.foot, tracks.box, tracks.owner, polygon)
            true = to == (1 if node.name == "enters" else 0)
        return self._gather(node.var, Column.condition(true))

    def _crosses(self, node: tree.Crosses) -> Column:
        tracks = self.space.tracks
        line = node.shape.in_pixels(tracks.width, tracks.height)
        to = geometry.crossings(tracks.foot, tracks.box, tracks.owner, line)
        true = to >= 0 if node.to is None else (to >= 0) & (to == node.shape.sides.index(node.to))
        return self._gather(node.var, Column.condition(true))

    def _relation(self, node: tree.Relation, need: Bools) -> Column:
        first, second = self.space.track_rows(node.var), self.space.track_rows(node.other)
        if node.name == "near":
            scale = self.properties.scale if node.dimension.m else None
            return Column.condition(feet_distance(self.space.tracks, first, second, scale) <= node.limit)
        if node.name == "same_as":
            kinds = self.types[node.var], self.types[node.other]
            masks = self.space.track_mask(node.var, need), self.space.track_mask(node.other, need)
            columns = [self.properties.vectors(kind, mask) for kind, mask in zip(kinds, masks, strict=True)]
            return alike(columns[0].take(first), columns[1].take(second), node.limit)
        box = self.space.tracks.box
        return Column.condition(geometry.relation(node.name, box[first], box[second], node.limit))

    # -------------------------------------------------------------------------------------------------- over a type

    def _members(self, node: tree.Quantified | tree.Total, need: Bools) -> tuple[Members, Evaluator, Bools]:
        """Return the objects that a node goes over, an evaluator of them, and which of them pass its test."""
        members = members_of(node, self.space, need, None if self.naive else self.properties)
        evaluator = Evaluator(members.space, self.properties, self.types, self.naive, self.planned, self.stats)
        among = np.ones(len(members.space), bool)
        if node.test is not None:
            among = evaluator.condition(node.test, among).true & among
        return members, evaluator, among

    def _quantified(self, node: tree.Quantified, need: Bools, exact: bool) -> Column:
        members, evaluator, among = self._members(node, need)
        found = evaluator.condition(node.condition, among, exact=exact or node.name == "all")
        unknown = members.count(among & ~found.valid) > 0
        if node.name == "any":
            true = members.count(among & found.true) > 0
            return members.scatter(Column.condition(true, true | ~unknown))
        false = members.count(among & found.false) > 0
        return members.scatter(Column.condition(~false & ~unknown, false | ~unknown))

    def _total(self, node: tree.Total, need: Bools) -> Column:
        members, evaluator, among = self._members(node, need)
        terms = arithmetic("+", evaluator.value(node.value, among), Column.constant(0.0, len(among)))
        return members.scatter(members.total(np.where(among & terms.valid, terms.values, 0.0)))

    # ---------------------------------------------------------------------------------------------------------- values

    def value(self, node: Node, need: Bools) -> Column:
        """Return a value at the rows of `need`."""
        count = len(self.space)
        match node:
            case tree.Constant(value=value):
                return Column.constant(value, count)
            case tree.Property(var=var, name=name):
                rows = self.space.track_mask(var, need)
                return self._gather(var, self.properties.column(self.types[var], name, rows, var))
            case tree.RegionOf(var=var):
                return self._gather(var, regions_of(node, self.space.tracks))
            case tree.Arithmetic(op=op, left=left, right=right):
                first = self.value(left, need)
                return arithmetic(op, first, self.value(right, need & first.valid))
            case tree.Negate(operand=operand):
                return arithmetic("-", Column.constant(0.0, count), self.value(operand, need))
            case tree.Function(name=name, arguments=arguments):
                return self._function(name, arguments, need)
            case tree.Choose(condition=condition, then=then, otherwise=otherwise):
                test = self.condition(condition, need, exact=True)
                return choose(test, self.value(then, need & test.true), self.value(otherwise, need & test.false))
            case tree.Measure(name=name, var=var, other=other):
                one, two = self.space.track_rows(var), self.space.track_rows(other)
                if name == "closing":
                    return closing(self.space.tracks, one, two, self.properties.scale)
                return Column.known(feet_distance(self.space.tracks, one, two, self.properties.scale))
            case tree.Total():
                return self._total(node, need)
            case tree.OwnRelation():
                return call_relation(node, self.space, need, self.properties, self.types)
        if node.kind == "condition":
            return self.condition(node, need, exact=True)
        raise WorkbenchError(f"{type(node).__name__} is not a value.", "Use it as the condition itself.")

    def _function(self, name: str, arguments: Sequence[Node], need: Bools) -> Column:
        result = self.value(arguments[0], need)
        if name == "abs":
            return arithmetic("max", result, arithmetic("-", Column.constant(0.0, len(result)), result))
        for argument in arguments[1:]:
            result = arithmetic(name, result, self.value(argument, need & result.valid))
        return result


def regions_of(node: tree.RegionOf, tracks: Tracks) -> Column:
    """Return the name of the first region that holds the foot, over all rows of the tracks."""
    which = np.full(len(tracks), -1)
    for number, region in enumerate(node.regions):
        within = geometry.inside_polygon(tracks.foot, region.in_pixels(tracks.width, tracks.height))
        which[within & (which < 0)] = number
    names = np.array([region.name for region in node.regions])[which]
    return Column(names, which >= 0)


def dimension_of(node: Node) -> Dimension | None:
    """Return the dimension of a value, None where it has none of its own (`0` fits any)."""
    match node:
        case tree.Constant(dimension=dimension, value=value):
            return dimension if value else None
        case tree.Property(dimension=dimension) | tree.Arithmetic(dimension=dimension):
            return dimension
        case tree.Measure(dimension=dimension) | tree.Total(dimension=dimension):
            return dimension
        case tree.Negate(operand=operand):
            return dimension_of(operand)
        case tree.Function(arguments=arguments):
            return next((found for part in arguments if (found := dimension_of(part)) is not None), None)
        case tree.Choose(then=then, otherwise=otherwise):
            return dimension_of(then) or dimension_of(otherwise)
    return None
