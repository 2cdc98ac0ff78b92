"""The reference's temporal algebra: the intervals of a condition for one binding, in plain Python."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tests.video.operators.naive_conditions import Conditions
from tests.video.operators.naive_objects import EPS, Track
from tests.video.operators.naive_relations import Env
from tests.video.operators.naive_spans import Span, chain, intersect, join, unite
from workbench.video.language import tree


@dataclass(frozen=True)
class Level:
    """A query, or one inside another: its variables, and those that its condition does not name."""

    names: tuple[str, ...]
    unnamed: frozenset[str]


class Intervals(Conditions):
    """When something holds."""

    def spans(self, env: Env, node: tree.Node, level: Level, gap: float = 0.5) -> tuple[list[Span], set[int]]:
        """The intervals of a condition or interval for a binding, and the frames that match."""
        if node.kind == "condition":
            named = set(node.variables()) | level.unnamed
            if not named and not any(part.binds() for part in node.walk()):
                named = set(level.names)
            matched = {p for p in self.domain(env, named) if self.evaluate(env, p, node) is True}
            return join([Span(*self.span_of(p), p, p) for p in sorted(matched)], gap), matched
        match node:
            case tree.Lasts(operand=operand, duration=duration, gap=gap):
                spans, matched = self.spans(env, operand, level, gap)
                spans = [span for span in join(spans, gap) if span.end - span.start >= duration - EPS]
            case tree.Turns(var=var):
                spans, matched = self._turned(env, node, {var} | level.unnamed)
            case tree.And(operands=operands):
                spans, matched = self.spans(env, operands[0], level)
                for operand in operands[1:]:
                    more, also = self.spans(env, operand, level)
                    spans, matched = intersect(spans, more), matched | also
            case tree.Or(operands=operands):
                spans, matched = [], set()
                for operand in operands:
                    more, also = self.spans(env, operand, level)
                    spans, matched = spans + more, matched | also
                spans = unite(spans)
            case tree.Sequence(steps=steps, within=within):
                parts = [self.spans(env, step, level) for step in steps]
                spans = chain([spans for spans, _ in parts], within)
                matched = set().union(*(also for _, also in parts))
            case tree.Before(first=first, then=then, within=within):
                spans, matched = self.spans(env, first, level)
                others, _ = self.spans(env, then, level)
                limit = math.inf if within is None else within
                spans = [a for a in spans if any(a.end - EPS <= b.start <= a.end + limit + EPS for b in others)]
            case tree.During(inner=inner, outer=outer):
                spans, matched = self.spans(env, inner, level)
                others, _ = self.spans(env, outer, level)
                spans = [a for a in spans if any(b.start <= a.start + EPS and a.end <= b.end + EPS for b in others)]
            case tree.Never(condition=condition, after=after, within=within):
                spans, matched = self.spans(env, after, level)
                _, true = self.spans(env, condition, level)
                reach = self.span_of(len(self.times) - 1)[1]
                spans = [
                    Span(a.start, a.end + within, a.first, a.last)
                    for a in spans
                    if a.end + within <= reach + EPS
                    and not any(a.end - EPS <= self.times[p] < a.end + within - EPS for p in true)
                ]
            case tree.Inner():
                return self._inner(env, node)
            case _:
                raise TypeError(type(node).__name__)
        return spans, {p for p in matched if any(span.first <= p <= span.last for span in spans)}

    def _inner(self, env: Env, node: tree.Inner) -> tuple[list[Span], set[int]]:
        mine = {name: env[name] for _, name in node.given}
        names = (*mine, *(variable.name for variable in node.hidden))
        level = Level(names, frozenset(names) - node.where.variables())
        spans: list[Span] = []
        matched: set[int] = set()
        for other in self.bindings(node.hidden):
            if {track.id for track in other.values()} & {track.id for track in mine.values()}:
                continue
            more, also = self.spans({**mine, **other}, node.where, level)
            spans, matched = spans + more, matched | also
        ordered = sorted(spans, key=lambda span: (span.start, span.end))
        return (join(ordered, 0.5) if node.hidden else ordered), matched

    def _turned(self, env: Env, node: tree.Turns, names: set[str]) -> tuple[list[Span], set[int]]:
        """The turns of a track, as far as all objects are there."""
        there, spans, matched = self.domain(env, names), [], set()
        for turn in self._turns(env[node.var], node):
            within = [p for p in there if turn.start - EPS <= self.times[p] <= self.times[turn.last] + EPS]
            if within:
                matched |= set(within)
                spans.append(Span(self.times[within[0]], self.span_of(within[-1])[1], within[0], within[-1]))
        return spans, matched

    def _turns(self, track: Track, node: tree.Turns) -> list[Span]:
        kind = self.types[node.var]
        headings = [(i, self.value(track, i, "heading", kind)) for i in range(len(track.rows))]
        known = [(i, heading) for i, heading in headings if heading is not None]
        angles: dict[int, float] = {}
        for position, (i, heading) in enumerate(known):
            if not position:
                angles[i] = heading
                continue
            before, old = known[position - 1]
            change = heading - old
            while change > 180:
                change -= 360
            while change <= -180:
                change += 360
            angles[i] = angles[before] + change
        result: list[Span] = []
        after = -1
        for i, _ in known:
            row = track.rows[i]
            starts = [
                r
                for r, _ in known
                if after < r <= i
                and track.rows[r].time > row.time - node.over + EPS
                and (angles[i] - angles[r] if node.side == "left" else angles[r] - angles[i]) >= node.by - EPS
            ]
            if starts:
                places = [self.times.index(track.rows[at].time) for at in (starts[-1], i)]
                result.append(Span(track.rows[starts[-1]].time, row.time + row.span, places[0], places[1]))
                after = i
        return result
