"""Evaluates the nodes of a condition over all rows of a space at once, costly ones only where they matter."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from workbench.engine.errors import WorkbenchError
from workbench.engine.units import Dimension
from workbench.video.language import tree
from workbench.video.language.tree import Node
from workbench.video.operators import geometry
from workbench.video.operators.bind import Space, rows_of_type
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
from workbench.video.operators.intervals import Spans, intersection, joined, lasting, rows_within, runs, union
from workbench.video.operators.motion_props import STEP, turn_spans
from workbench.video.operators.properties import Properties, is_costly, is_once, reads_pixels
from workbench.video.tracks import Bools, Floats

__all__ = ["Evaluator", "NodeStats", "dimension_of"]

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
    naive : bool
        Whether to take operands as written and leave nothing out.
    planned : bool
        Whether the planner has put operands in order; if not, they go by cost.
    """

    space: Space
    properties: Properties
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
                    kind = self._type(part.var)
                    worst = max(worst, is_costly(kind, part.name) + reads_pixels(kind, part.name))
            self._costs[node] = worst
        return self._costs[node]

    def _type(self, var: str) -> tree.ObjectType:
        return self.space.variables[self.space.index(var)].type

    def ask_everything(self) -> None:
        """Ask for every costly property that the query names at all rows of its type."""
        for node in self.properties.query.nodes():
            if isinstance(node, tree.Property) and node.var and is_costly(self._type(node.var), node.name):
                rows = rows_of_type(self.space.tracks, self._type(node.var))
                self.properties.column(self._type(node.var), node.name, rows)

    def _ordered(self, node: tree.And | tree.Or) -> list[Node]:
        return list(node.operands) if self.naive or self.planned else sorted(node.operands, key=self.cost)

    # ------------------------------------------------------------------------------------------------------- intervals

    def spans(self, node: Node, need: Bools) -> tuple[Spans, Bools]:
        """Return the spans of a condition or an interval, and which rows match it.

        `need` holds whole bindings.
        """
        if node.kind == "condition":
            true = self.condition(node, need).true & need
            return runs(self.space, true), true
        began = time.perf_counter()
        if isinstance(node, tree.Lasts):
            spans, matched = self._lasts(node, need)
        elif isinstance(node, tree.Turns):
            spans, matched = self._turns(node, need)
        elif isinstance(node, (tree.And, tree.Or)):
            spans, matched = self._combined(node, need)
        else:
            raise WorkbenchError(f"{type(node).__name__} is not available yet.", "Use lasts() or turns().")
        self._count(node, need, matched, began)
        return spans, matched

    def _lasts(self, node: tree.Lasts, need: Bools) -> tuple[Spans, Bools]:
        if node.operand.kind == "interval":
            spans, matched = self.spans(node.operand, need)
            spans = lasting(joined(spans, node.gap), node.duration)
        else:

            def narrow(true: Bools) -> Bools:
                # what is not in a long enough span before a further operand is not in one after it either
                return true & rows_within(lasting(runs(self.space, true, node.gap), node.duration), len(true))

            matched = self.condition(node.operand, need, narrow=narrow).true & need
            spans = lasting(runs(self.space, matched, node.gap), node.duration)
        return spans, matched & rows_within(spans, len(need))

    def _turns(self, node: tree.Turns, need: Bools) -> tuple[Spans, Bools]:
        tracks = self.space.tracks
        first, last = turn_spans(self.properties.history, node.side, node.by, node.over)
        turn = np.full(len(tracks), -1)
        for number, (start, stop) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
            turn[start : stop + 1] = number
        rows = np.flatnonzero(need & (turn[self.space.track_rows(node.var)] >= 0))
        which, binding = turn[self.space.track_rows(node.var)[rows]], self.space.binding[rows]
        fresh = np.append(True, (np.diff(which) != 0) | (np.diff(binding) != 0))[: len(rows)]
        begins = np.flatnonzero(fresh)
        ends = np.append(begins[1:], len(rows))[: len(begins)] - 1
        a, b = rows[begins], rows[ends]
        spans = Spans(self.space.binding[a], self.space.time[a], self.space.end[b], a, b)
        return spans, rows_within(spans, len(need))

    def _combined(self, node: tree.And | tree.Or, need: Bools) -> tuple[Spans, Bools]:
        operands = self._ordered(node)
        spans, matched = self.spans(operands[0], need)
        for operand in operands[1:]:
            if isinstance(node, tree.Or):
                more, also = self.spans(operand, need)
                spans, matched = union(spans, more), matched | also
                continue
            if not self.naive:
                # a binding without a span has none in the intersection
                kept = np.zeros(len(self.space.ids), bool)
                kept[spans.binding] = True
                need = need & kept[self.space.binding]
            more, also = self.spans(operand, need)
            spans = intersection(spans, more)
            matched = (matched | also) & rows_within(spans, len(need))
        return spans, matched

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
                return self._relation(node)
        raise WorkbenchError(f"{type(node).__name__} is not available yet.", "Write the condition with properties.")

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

    def _relation(self, node: tree.Relation) -> Column:
        if node.name == "near":
            near = self._distance(node.var, node.other, metres=node.dimension.m != 0) <= node.limit
            return Column.condition(near)
        boxes = [self.space.tracks.box[self.space.track_rows(var)] for var in (node.var, node.other)]
        return Column.condition(geometry.relation(node.name, boxes[0], boxes[1], node.limit))

    def _distance(self, var: str, other: str, metres: bool) -> Floats:
        a, b = (self.space.tracks.foot[self.space.track_rows(name)] for name in (var, other))
        return np.asarray(self.properties.scale.metres(a, b) if metres else geometry.length(b - a))

    # ---------------------------------------------------------------------------------------------------------- values

    def value(self, node: Node, need: Bools) -> Column:
        """Return a value at the rows of `need`."""
        count = len(self.space)
        match node:
            case tree.Constant(value=value):
                return Column.constant(value, count)
            case tree.Property(var=var, name=name):
                rows = self.space.track_mask(var, need)
                return self._gather(var, self.properties.column(self._type(var), name, rows, var))
            case tree.RegionOf(var=var, regions=regions):
                return self._region_of(var, regions)
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
                return self._measure(name, var, other)
        if node.kind == "condition":
            return self.condition(node, need, exact=True)
        raise WorkbenchError(f"{type(node).__name__} is not available yet.", "Write the value with properties.")

    def _function(self, name: str, arguments: Sequence[Node], need: Bools) -> Column:
        result = self.value(arguments[0], need)
        if name == "abs":
            return arithmetic("max", result, arithmetic("-", Column.constant(0.0, len(result)), result))
        for argument in arguments[1:]:
            result = arithmetic(name, result, self.value(argument, need & result.valid))
        return result

    def _region_of(self, var: str, regions: Sequence[tree.RegionShape]) -> Column:
        tracks = self.space.tracks
        which = np.full(len(tracks), -1)
        for number, region in enumerate(regions):
            within = geometry.inside_polygon(tracks.foot, region.in_pixels(tracks.width, tracks.height))
            which[within & (which < 0)] = number
        names = np.array([region.name for region in regions])[which]
        return self._gather(var, Column(names, which >= 0))

    def _measure(self, name: str, var: str, other: str) -> Column:
        distance = self._distance(var, other, metres=self.properties.scale is not None)
        if name == "distance":
            return Column(distance, np.ones(len(distance), bool))
        times, space = self.space.tracks.frames.time, self.space
        base = space.binding * (len(times) + 1)
        behind = np.searchsorted(times, times - STEP + TIME_TOLERANCE, side="right")[space.position]
        back = np.searchsorted(base + space.position, base + behind) - 1
        known = (back >= 0) & (space.binding[back] == space.binding)
        elapsed = np.where(known, space.time - space.time[back], 1.0)
        return Column((distance[back] - distance) / elapsed, known)

    def once_names(self) -> list[tuple[str, str]]:
        """Return (variable, property) of the once-properties that the query names, in the order written."""
        found: dict[tuple[str, str], None] = {}
        for node in self.properties.query.nodes():
            if isinstance(node, tree.Property) and node.var and is_once(self._type(node.var), node.name):
                found[node.var, node.name] = None
        return list(found)


def dimension_of(node: Node) -> Dimension | None:
    """Return the dimension of a value, None where it has none of its own (`0` fits any)."""
    match node:
        case tree.Constant(dimension=dimension, value=value):
            return dimension if value else None
        case tree.Property(dimension=dimension) | tree.Arithmetic(dimension=dimension):
            return dimension
        case tree.Measure(dimension=dimension):
            return dimension
        case tree.Negate(operand=operand):
            return dimension_of(operand)
        case tree.Function(arguments=arguments):
            return next((found for part in arguments if (found := dimension_of(part)) is not None), None)
        case tree.Choose(then=then, otherwise=otherwise):
            return dimension_of(then) or dimension_of(otherwise)
    return None
