"""When a condition or an interval holds: each part for the variables that it names, joined on those they share."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from workbench.engine.errors import WorkbenchError
from workbench.video.language import tree
from workbench.video.language.tree import Node, ObjectType, Variable
from workbench.video.operators.bind import Space, bind, rows_of_type
from workbench.video.operators.columns import TIME_TOLERANCE
from workbench.video.operators.evaluator import Evaluator, NodeStats
from workbench.video.operators.intervals import (
    Spans,
    chained,
    followed,
    inside,
    intersection,
    joined,
    lasting,
    places_within,
    runs,
    union,
)
from workbench.video.operators.members import near_in
from workbench.video.operators.motion_props import turn_spans
from workbench.video.operators.occurrences import Joiner, Occurrences, place
from workbench.video.operators.properties import Properties
from workbench.video.operators.symmetry import symmetric_pairs
from workbench.video.tracks import Bools, Ints, Tracks

__all__ = ["Temporal"]

#: For a variable, the rows of the tracks that can still matter; all of a variable that is not there.
Alive = Mapping[str, Bools]


@dataclass
class Temporal:
    """Finds when the condition of a query, or of a query inside it, holds.

    Parameters
    ----------
    properties : Properties
    variables : tuple of Variable
        Those of the query, in its order.
    where : Node
    types : Mapping
        The types of all variables of the outermost query.
    naive, planned : bool
        As of `Evaluator`.
    once : bool
        Whether of two variables that can be exchanged the first binds the lower id.
    stats : dict
    """

    properties: Properties
    variables: tuple[Variable, ...]
    where: Node
    types: Mapping[str, ObjectType]
    naive: bool = False
    planned: bool = False
    once: bool = True
    stats: dict[Node, NodeStats] = field(default_factory=dict)
    _alone: dict[tuple[str, ...], Evaluator] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tracks: Tracks = self.properties.tracks
        self._base = len(self.tracks.frames) + 1
        named = self.where.variables()
        names = [variable.name for variable in self.variables]
        # what the condition does not name is there at every frame of a binding nevertheless
        self._unnamed = {name for name in names if name not in named}
        ordered = symmetric_pairs(self.where, self.variables) if self.once else set()
        self._joiner = Joiner(names, ordered, self._tracks_of)

    def answer(self, alive: Alive | None = None) -> Occurrences:
        """Return when the whole condition holds, for bindings of all variables."""
        return self._joiner.extended(self.occurrences(self.where, alive or {}), self._joiner.order)

    def occurrences(self, node: Node, alive: Alive) -> Occurrences:
        """Return when a condition (as runs of true frames) or an interval holds."""
        if node.kind == "condition":
            return self._held(node, alive)
        match node:
            case tree.Lasts():
                return self._lasts(node, alive)
            case tree.Turns():
                return self._turns(node, alive)
            case tree.And(operands=operands):
                return self._all(operands, alive)
            case tree.Or(operands=operands):
                return self._any(operands, alive)
            case tree.Sequence(steps=steps, within=within):
                parts = self._joiner.together(self._each(steps, alive))
                return _with(parts, chained([part.spans for part in parts], within), parts)
            case tree.Before(first=first, then=then, within=within):
                one, other = self._joiner.together(self._each((first, then), alive))
                return _with([one], one.spans.take(followed(one.spans, other.spans, within)), [one])
            case tree.During(inner=inner, outer=outer):
                one, other = self._joiner.together(self._each((inner, outer), alive))
                return _with([one], one.spans.take(inside(one.spans, other.spans)), [one])
            case tree.Never():
                return self._never(node, alive)
            case tree.Inner():
                return self._inner(node, alive)
        raise WorkbenchError(f"{type(node).__name__} is not an interval.", "Use lasts() or sequence().")

    # -------------------------------------------------------------------------------------------------- frame by frame

    def evaluator(self, node: Node, alive: Alive) -> tuple[Evaluator, Bools]:
        """Return an evaluator for a frame condition, and the rows of its space that can still matter."""
        named = node.variables() | self._unnamed if tree.depends(node) else set(self._joiner.order)
        names = tuple(name for name in self._joiner.order if name in named)
        if len(names) < 2:
            evaluator = self._whole(names)
        else:
            alive = dict(alive) if self.naive else self._narrowed(node, names, alive)
            near = tuple(near_in([node], None if self.naive else self.properties))
            space = bind(self.tracks, self._variables(names), self._joiner.ordered, alive, near)
            evaluator = self._of(space)
        need = np.ones(len(evaluator.space), bool)
        for name in names:
            if name in alive:
                need &= alive[name][evaluator.space.track_rows(name)]
        return evaluator, need

    def _variables(self, names: Sequence[str]) -> tuple[Variable, ...]:
        return tuple(variable for variable in self.variables if variable.name in names)

    def _of(self, space: Space) -> Evaluator:
        return Evaluator(space, self.properties, self.types, self.naive, self.planned, self.stats)

    def _whole(self, names: tuple[str, ...]) -> Evaluator:
        """Return the evaluator of all rows of at most one variable."""
        if names not in self._alone:
            self._alone[names] = self._of(bind(self.tracks, self._variables(names)))
        return self._alone[names]

    def _narrowed(self, node: Node, names: tuple[str, ...], alive: Alive) -> dict[str, Bools]:
        """Return for each variable the rows at which its own cheap conjuncts are true: no others are in an event."""
        found = dict(alive)
        for operand in node.operands if isinstance(node, tree.And) else (node,):
            own = operand.variables()
            if len(own) != 1 or operand.kind != "condition":
                continue
            (name,) = own
            evaluator = self._whole((name,))
            if evaluator.cost(operand):
                continue
            true = evaluator.condition(operand, np.ones(len(evaluator.space), bool)).true
            rows = evaluator.space.track_mask(name, true)
            found[name] = found[name] & rows if name in found else rows
        return found

    def _held(self, node: Node, alive: Alive) -> Occurrences:
        evaluator, need = self.evaluator(node, alive)
        return Occurrences.of_rows(evaluator.space, evaluator.condition(node, need).true & need)

    def _lasts(self, node: tree.Lasts, alive: Alive) -> Occurrences:
        if node.operand.kind == "interval":
            part = self.occurrences(node.operand, alive)
            return part.given(lasting(joined(part.spans, node.gap), node.duration))
        began = time.perf_counter()
        evaluator, need = self.evaluator(node.operand, alive)
        space = evaluator.space

        def narrow(true: Bools) -> Bools:
            # what is not in a long enough span before a further operand is not in one after it either
            spans = lasting(runs(space, true, node.gap), node.duration)
            return true & places_within(spans, space.binding, space.position, self._base)

        true = evaluator.condition(node.operand, need, narrow=narrow).true & need
        part = Occurrences.of_rows(space, true, node.gap)
        part = part.given(lasting(part.spans, node.duration))
        self._count(node, len(space), len(part.matched), began)
        return part

    def _turns(self, node: tree.Turns, alive: Alive) -> Occurrences:
        began = time.perf_counter()
        evaluator, need = self.evaluator(node, alive)
        space = evaluator.space
        first, last = turn_spans(self.properties.history, node.side, node.by, node.over)
        turn = np.full(len(self.tracks), -1)
        for number, (start, stop) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
            turn[start : stop + 1] = number
        true = need & (turn[space.track_rows(node.var)] >= 0)
        rows = np.flatnonzero(true)
        which, binding = turn[space.track_rows(node.var)[rows]], space.binding[rows]
        fresh = np.append(True, (np.diff(which) != 0) | (np.diff(binding) != 0))[: len(rows)]
        begins = np.flatnonzero(fresh)
        ends = np.append(begins[1:], len(rows))[: len(begins)] - 1
        a, b = rows[begins], rows[ends]
        spans = Spans(space.binding[a], space.time[a], space.end[b], space.position[a], space.position[b])
        self._count(node, len(space), len(rows), began)
        return replace(Occurrences.of_rows(space, true), spans=spans)

    def _count(self, node: Node, rows: int, kept: int, began: float) -> None:
        stats = self.stats.setdefault(node, NodeStats())
        stats.rows_in += rows
        stats.rows_kept += kept
        stats.ms += (time.perf_counter() - began) * 1e3

    # ------------------------------------------------------------------------------------------------- several parts

    def cost(self, node: Node) -> int:
        """Return the cost of a part, as `Evaluator.cost`."""
        return self._whole(()).cost(node)

    def _each(self, parts: Sequence[Node], alive: Alive) -> list[Occurrences]:
        """Return each part, later ones for tracks only that the earlier ones have left; cheap ones come first."""
        order = list(range(len(parts)))
        if not self.naive:
            order.sort(key=lambda number: self.cost(parts[number]))
        found: dict[int, Occurrences] = {}
        for number in order:
            found[number] = self.occurrences(parts[number], alive)
            alive = self._left(found[number], alive)
        return [found[number] for number in range(len(parts))]

    def _left(self, part: Occurrences, alive: Alive) -> Alive:
        """Return what can matter of the tracks that have a span."""
        if self.naive:
            return alive
        left, ids = dict(alive), part.ids[np.unique(part.spans.binding)]
        for column, name in enumerate(part.names):
            kept = np.isin(self.tracks.ids, ids[:, column])[self.tracks.owner]
            left[name] = left[name] & kept if name in left else kept
        return left

    def _all(self, operands: Sequence[Node], alive: Alive) -> Occurrences:
        ordered = operands if self.naive or self.planned else sorted(operands, key=self.cost)
        found = self.occurrences(ordered[0], alive)
        for operand in ordered[1:]:
            alive = self._left(found, alive)
            both = self._joiner.together([found, self.occurrences(operand, alive)])
            found = _with(both, intersection(both[0].spans, both[1].spans), both)
        return found

    def _any(self, operands: Sequence[Node], alive: Alive) -> Occurrences:
        parts = [self.occurrences(operand, alive) for operand in operands]
        names = {name for part in parts for name in part.names}
        parts = [self._joiner.extended(part, names) for part in parts]
        ids = np.unique(np.concatenate([part.ids for part in parts]), axis=0)
        parts = [part.spread(part.names, ids, place(part.ids, ids)) for part in parts]
        spans = parts[0].spans
        for part in parts[1:]:
            spans = union(spans, part.spans)
        return _with(parts, spans, parts)

    def _never(self, node: tree.Never, alive: Alive) -> Occurrences:
        after = self.occurrences(node.after, alive)
        other = self.occurrences(node.condition, self._left(after, alive))
        after = self._joiner.extended(after, other.names)
        mine = after.ids[:, [after.names.index(name) for name in other.names]]
        times, frames = self.tracks.frames.time, self.tracks.frames
        true = other.spread(after.names, after.ids, place(other.ids, mine)).matched
        spans, until = after.spans, after.spans.end + node.within
        bounds = [np.searchsorted(times, limit - TIME_TOLERANCE, side="left") for limit in (spans.end, until)]
        low, high = (np.searchsorted(true, spans.binding * self._base + bound, side="left") for bound in bounds)
        end = float(times[-1] + frames.span[-1]) if len(times) else 0.0
        kept = (low == high) & (end >= until - TIME_TOLERANCE)
        spans = replace(spans, end=until).take(kept)
        return _with([after], spans, [after])

    def _inner(self, node: tree.Inner, alive: Alive) -> Occurrences:
        mine = [name for _, name in node.given]
        variables = (*self._variables(mine), *node.hidden)
        inner = Temporal(
            self.properties, variables, node.where, self.types, self.naive, self.planned, False, self.stats
        )  # fmt: skip
        names = tuple(variable.name for variable in self._variables(mine))
        return self._joiner.once(inner._joiner.projected(inner.answer(alive), names))

    def _tracks_of(self, name: str) -> Ints:
        (variable,) = self._variables((name,))
        return np.unique(self.tracks.id[rows_of_type(self.tracks, variable.type)])


def _with(parts: Sequence[Occurrences], spans: Spans, matching: Sequence[Occurrences]) -> Occurrences:
    """Return spans of the bindings of `parts`, with the frames in them at which one of `matching` is true."""
    matched = matching[0].matched
    for part in matching[1:]:
        matched = np.union1d(matched, part.matched)
    return replace(parts[0], matched=matched).given(spans)
