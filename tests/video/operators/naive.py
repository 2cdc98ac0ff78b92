"""The reference: every operator by its definition, one binding and one frame after another in plain Python.

Slow and simple on purpose. It shares no code with the engine's operators: it reads the typed tree and the rows of the
tracks, and gives the answer's tables as lists of dictionaries.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from tests.video.operators.naive_objects import EPS, Objects, Row, Track
from workbench.video.language import tree

#: which track each variable stands for
Env = dict[str, Track]


@dataclass(frozen=True)
class Span:
    """An interval: its bounds, and the positions of its first and last true frame."""

    start: float
    end: float
    first: int
    last: int


@dataclass(frozen=True)
class Event:
    """An interval of a binding, and the positions at which it matches."""

    span: Span
    env: Env
    matched: list[int]


@dataclass(frozen=True)
class Level:
    """A query, or one inside another: its variables, and those that its condition does not name."""

    names: tuple[str, ...]
    unnamed: frozenset[str]


class View:
    """What a relation of one's own is given."""

    def __init__(self, reference: Reference, env: Env, position: int, var: str) -> None:
        self._given = (reference, env, position, var)

    def __getattr__(self, name: str) -> Any:
        reference, env, position, var = self._given
        return reference.evaluate(env, position, tree.Property(var=var, name=name))


class Reference(Objects):
    """Evaluates one query."""

    # ------------------------------------------------------------------------------------------------------- bindings

    def at(self, track: Track, position: int) -> int | None:
        """The row of a track at a frame."""
        if "at" not in track.memo:
            places = {time: place for place, time in enumerate(self.times)}
            track.memo["at"] = {places[row.time]: i for i, row in enumerate(track.rows)}
        found: int | None = track.memo["at"].get(position)
        return found

    def row(self, env: Env, position: int, var: str) -> Row:
        i = self.at(env[var], position)
        assert i is not None
        return env[var].rows[i]

    def domain(self, env: Env, names: set[str]) -> list[int]:
        """The frames at which all these objects are."""
        return [
            position
            for position in range(len(self.times))
            if all(self.at(env[name], position) is not None for name in names)
        ]

    def span_of(self, position: int) -> tuple[float, float]:
        """When a frame begins, and until when it lasts."""
        after = self.times[position + 1] - self.times[position] if position + 1 < len(self.times) else self.dt
        return self.times[position], self.times[position] + min(after, 2 * self.dt)

    def bindings(self, variables: tuple[tree.Variable, ...]) -> list[Env]:
        """All ways in which different tracks can stand for variables."""
        choices = itertools.product(*(self.of_type(variable.type) for variable in variables))
        return [
            {variable.name: track for variable, track in zip(variables, tracks, strict=True)}
            for tracks in choices
            if len({track.id for track in tracks}) == len(tracks)
        ]

    def exchangeable(self) -> list[tuple[str, str]]:
        """The pairs of variables that the condition does not tell apart."""
        where, found = self.query.where, []
        for one, other in itertools.combinations(self.query.variables, 2):
            swapped = {one.name: other.name, other.name: one.name}
            if one.type == other.type and normal(where, {}) == normal(where, swapped):
                found.append((one.name, other.name))
        return found

    # ----------------------------------------------------------------------------------------------------- conditions

    def evaluate(self, env: Env, position: int, node: tree.Node) -> Any:
        """A value or condition at a frame; None where missing."""
        match node:
            case tree.Constant(value=value):
                return value
            case tree.Property(var=var, name=name):
                i = self.at(env[var], position)
                return None if i is None else self.value(env[var], i, name, self.types[var], var)
            case tree.RegionOf(var=var, regions=regions):
                i = self.at(env[var], position)
                if i is None:
                    return None
                foot = env[var].rows[i].foot
                inside = [r.name for r in regions if self.inside(foot, r.in_pixels(self.width, self.height))]
                return inside[0] if inside else None
            case tree.Measure(name="distance", var=var, other=other):
                return self.apart(env, position, var, other)
            case tree.Measure(var=var, other=other):
                earlier = [
                    p for p in self.domain(env, {var, other}) if self.times[p] <= self.times[position] - 0.5 + EPS
                ]
                if not earlier:
                    return None
                before = self.apart(env, earlier[-1], var, other)
                elapsed = self.times[position] - self.times[earlier[-1]]
                return (before - self.apart(env, position, var, other)) / elapsed
            case tree.OwnRelation():
                return self._relation_of_ones_own(env, position, node)
            case tree.Total(value=value):
                terms = [self.evaluate(inner, position, value) for inner in self.members(env, position, node)]
                return float(sum(term for term in terms if term is not None))
            case tree.Quantified(name=name, condition=condition):
                found = [self.evaluate(inner, position, condition) for inner in self.members(env, position, node)]
                decisive = name == "any"
                return decisive if decisive in found else None if None in found else not decisive
            case tree.Arithmetic(op=op, left=left, right=right):
                a, b = self.evaluate(env, position, left), self.evaluate(env, position, right)
                if a is None or b is None or (op == "/" and b == 0):
                    return None
                return {"+": lambda: a + b, "-": lambda: a - b, "*": lambda: a * b, "/": lambda: a / b}[op]()
            case tree.Negate(operand=operand):
                value = self.evaluate(env, position, operand)
                return None if value is None else -value
            case tree.Function(name=name, arguments=arguments):
                values = [self.evaluate(env, position, argument) for argument in arguments]
                if None in values:
                    return None
                return abs(values[0]) if name == "abs" else (min if name == "min" else max)(values)
            case tree.Choose(condition=condition, then=then, otherwise=otherwise):
                test = self.evaluate(env, position, condition)
                return None if test is None else self.evaluate(env, position, then if test else otherwise)
            case tree.Compare(op=op, left=left, right=right):
                return self._compare(env, position, op, left, right)
            case tree.Contains(item=item, collection=collection):
                value = self.evaluate(env, position, item)
                return None if value is None else value in collection.value
            case tree.Truth(value=value):
                found = self.evaluate(env, position, value)
                return None if found is None else bool(found)
            case tree.Known(value=value):
                return self.evaluate(env, position, value) is not None
            case tree.Relation():
                return self._relation(env, position, node)
            case tree.InRegion(name="inside", var=var, region=region, by=by):
                x1, y1, x2, y2 = self.row(env, position, var).box
                points = {
                    "foot": [((x1 + x2) / 2, y2)],
                    "center": [((x1 + x2) / 2, (y1 + y2) / 2)],
                    "box": [(x1, y1), (x1, y2), (x2, y1), (x2, y2)],
                }[by]
                polygon = region.in_pixels(self.width, self.height)
                return all(self.inside(point, polygon) for point in points)
            case tree.InRegion(name=name, var=var, region=region):
                i = self.at(env[var], position)
                assert i is not None
                return self._passage(env[var], i, region) == name
            case tree.Crosses(var=var, shape=shape, to=to):
                i = self.at(env[var], position)
                assert i is not None
                side = self._crossing(env[var], i, shape)
                return side is not None and to in (None, side)
            case tree.Not(operand=operand):
                value = self.evaluate(env, position, operand)
                return None if value is None else not value
            case tree.And(operands=operands):
                values = [self.evaluate(env, position, operand) for operand in operands]
                return False if False in values else None if None in values else True
            case tree.Or(operands=operands):
                values = [self.evaluate(env, position, operand) for operand in operands]
                return True if True in values else None if None in values else False
        raise TypeError(type(node).__name__)

    def apart(self, env: Env, position: int, var: str, other: str) -> float:
        """The distance of two objects' feet."""
        one, two = self.row(env, position, var).foot, self.row(env, position, other).foot
        dx, dy = two[0] - one[0], two[1] - one[1]
        return math.sqrt(dx * dx + dy * dy) if self.scale is None else self.scale(one, two)

    def _relation(self, env: Env, position: int, node: tree.Relation) -> bool | None:
        if node.name == "near":
            return self.apart(env, position, node.var, node.other) <= node.limit
        a, b = self.row(env, position, node.var), self.row(env, position, node.other)
        (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = a.box, b.box
        if node.name == "overlaps":
            wide, high = min(ax2, bx2) - max(ax1, bx1), min(ay2, by2) - max(ay1, by1)
            shared = wide * high if wide > 0 and high > 0 else 0.0
            total = (ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - shared
            return shared / total > node.limit if total > 0 else False
        return {
            "inside": ax1 >= bx1 and ay1 >= by1 and ax2 <= bx2 and ay2 <= by2,
            "left_of": ax2 <= bx1, "right_of": bx2 <= ax1, "above": ay2 <= by1, "below": by2 <= ay1,
        }[node.name]  # fmt: skip

    def _relation_of_ones_own(self, env: Env, position: int, node: tree.OwnRelation) -> Any:
        views: list[Any] = [View(self, env, position, name) for name in node.arguments]
        first = env[node.arguments[0]]
        try:
            if node.function.batch is not None:
                return node.function.function(None, *([view] for view in views))[0]
            return node.function.function(None, *views)
        except Exception as error:
            row = self.row(env, position, node.arguments[0])
            self.errors.add((node.function.name, first.id, row.frame, f"{type(error).__name__}: {error}"))
            return None

    def members(self, env: Env, position: int, node: tree.Quantified | tree.Total) -> list[Env]:
        """The objects that a quantifier goes over, less those that its condition names."""
        named = {env[name].id for name in node.variables()}
        found = []
        for track in self.of_type(node.variable.type):
            if self.at(track, position) is None or track.id in named:
                continue
            inner = {**env, node.variable.name: track}
            if node.test is None or self.evaluate(inner, position, node.test) is True:
                found.append(inner)
        return found

    def _compare(self, env: Env, position: int, op: str, left: tree.Node, right: tree.Node) -> Any:
        a, b = self.evaluate(env, position, left), self.evaluate(env, position, right)
        if a is None or b is None:
            return None
        timed = any(getattr(side, "dimension", None) == tree.Dimension(s=1) for side in (left, right))
        if timed and abs(a - b) <= EPS:
            return op in ("==", "<=", ">=")
        try:
            return {
                "==": lambda: a == b, "!=": lambda: a != b, "<": lambda: a < b,
                "<=": lambda: a <= b, ">": lambda: a > b, ">=": lambda: a >= b,
            }[op]()  # fmt: skip
        except TypeError:
            return None

    # ------------------------------------------------------------------------------------------------------ intervals

    def spans(self, env: Env, node: tree.Node, level: Level, gap: float = 0.5) -> tuple[list[Span], set[int]]:
        """The intervals of a condition or interval for a binding, and the frames that match."""
        if node.kind == "condition":
            named = set(node.variables()) | level.unnamed
            if not named and not any(part.binds() for part in node.walk()):
                named = set(level.names)
            matched = {p for p in self.domain(env, named) if self.evaluate(env, p, node) is True}
            return self._join([Span(*self.span_of(p), p, p) for p in sorted(matched)], gap), matched
        match node:
            case tree.Lasts(operand=operand, duration=duration, gap=gap):
                spans, matched = self.spans(env, operand, level, gap)
                spans = [span for span in self._join(spans, gap) if span.end - span.start >= duration - EPS]
            case tree.Turns(var=var):
                spans, matched = self._turned(env, node, {var} | level.unnamed)
            case tree.And(operands=operands):
                spans, matched = self.spans(env, operands[0], level)
                for operand in operands[1:]:
                    more, also = self.spans(env, operand, level)
                    spans, matched = self._intersect(spans, more), matched | also
            case tree.Or(operands=operands):
                spans, matched = [], set()
                for operand in operands:
                    more, also = self.spans(env, operand, level)
                    spans, matched = spans + more, matched | also
                spans = self._unite(spans)
            case tree.Sequence(steps=steps, within=within):
                parts = [self.spans(env, step, level) for step in steps]
                spans = self._chain([spans for spans, _ in parts], within)
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
        return (self._join(ordered, 0.5) if node.hidden else ordered), matched

    @staticmethod
    def _chain(steps: list[list[Span]], within: float | None) -> list[Span]:
        result = []
        for last in steps[-1]:
            now: Span | None = last
            for earlier in reversed(steps[:-1]):
                assert now is not None
                ended = [span for span in earlier if span.end <= now.start + EPS]
                now = max(ended, key=lambda span: (span.end, span.start), default=None)
                if now is None:
                    break
            if now is not None and (within is None or last.start - now.end <= within + EPS):
                result.append(Span(now.start, last.end, now.first, last.last))
        return sorted(set(result), key=lambda span: (span.start, span.end))

    def _turned(self, env: Env, node: tree.Turns, names: set[str]) -> tuple[list[Span], set[int]]:
        """The turns of a track, as far as all objects are there."""
        there, spans, matched = self.domain(env, names), [], set()
        for turn in self._turns(env[node.var], node):
            within = [p for p in there if turn.start - EPS <= self.times[p] <= self.times[turn.last] + EPS]
            if within:
                matched |= set(within)
                spans.append(Span(self.times[within[0]], self.span_of(within[-1])[1], within[0], within[-1]))
        return spans, matched

    @staticmethod
    def _join(spans: list[Span], gap: float) -> list[Span]:
        result: list[Span] = []
        for span in spans:
            if result and span.start - result[-1].end <= gap + EPS:
                before = result[-1]
                last = max(before.last, span.last)
                result[-1] = Span(before.start, max(before.end, span.end), min(before.first, span.first), last)
            else:
                result.append(span)
        return result

    @staticmethod
    def _intersect(left: list[Span], right: list[Span]) -> list[Span]:
        result = []
        for a in left:
            for b in right:
                begin, end = max(a, b, key=lambda s: s.start), min(a, b, key=lambda s: s.end)
                if end.end - begin.start > EPS:
                    result.append(Span(begin.start, end.end, begin.first, end.last))
        return sorted(set(result), key=lambda span: (span.start, span.end))

    @staticmethod
    def _unite(spans: list[Span]) -> list[Span]:
        result: list[Span] = []
        for span in sorted(spans, key=lambda span: span.start):
            if result and span.start <= result[-1].end + EPS:
                before = result[-1]
                last = max(before.last, span.last)
                result[-1] = Span(before.start, max(before.end, span.end), min(before.first, span.first), last)
            else:
                result.append(span)
        return result

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

    # --------------------------------------------------------------------------------------------------------- tables

    def events(self) -> list[Event]:
        """All events in the order of the table."""
        names = tuple(variable.name for variable in self.query.variables)
        level = Level(names, frozenset(names) - self.query.where.variables())
        ordered = self.exchangeable()
        found = []
        for env in self.bindings(self.query.variables):
            if any(env[one].id > env[other].id for one, other in ordered):
                continue
            spans, matched = self.spans(env, self.query.where, level)
            found += [Event(s, env, [p for p in range(s.first, s.last + 1) if p in matched]) for s in spans]
        return sorted(found, key=lambda e: (e.span.start, e.span.end, [track.id for track in e.env.values()]))

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """All tables, as lists of rows; a missing value is None."""
        events = self.events()
        return {
            "events": self._events(events),
            "objects": self._objects(events),
            "frames": self._frames(events),
            "groups": self._groups(events),
        }

    def _item(self, event: Event, node: tree.Node) -> Any:
        span = event.span
        if isinstance(node, tree.Property) and not node.var:
            return {"start": span.start, "end": span.end, "duration": span.end - span.start}[node.name]
        values = [self.evaluate(event.env, p, node) for p in event.matched]
        return next((value for value in values if value is not None), None)

    def _aggregate(self, events: list[Event], node: tree.Aggregate) -> Any:
        argument = node.argument
        if argument is None:
            return len(events)
        if not argument.var:
            values = [self._item(event, argument) for event in events]
        else:
            values = [self.evaluate(event.env, p, argument) for event in events for p in event.matched]
        values = [value for value in values if value is not None]
        if node.name == "count":
            return len(set(values))
        if not values:
            return 0.0 if node.name == "sum" else None
        return self._reduce(node.name, values)

    @staticmethod
    def _reduce(name: str, values: list[Any]) -> Any:
        if name == "mean":
            return math.fsum(values) / len(values)
        functions: dict[str, Callable[[list[Any]], Any]] = {
            "sum": lambda v: float(sum(v)), "min": min, "max": max, "first": lambda v: v[0], "last": lambda v: v[-1],
        }  # fmt: skip
        return functions[name](values)

    @staticmethod
    def _names(node: tree.Node) -> list[str]:
        if isinstance(node, tree.Aggregate):
            if node.argument is None:
                return [node.name]
            if node.name == "count":
                return [f"count_{node.argument.var}_{node.argument.name}".replace("__", "_")]
            return [f"{node.name}_{name}" for name in Reference._names(node.argument)]
        if isinstance(node, tree.RegionOf):
            return ["region"]
        assert isinstance(node, tree.Property)
        if not node.var:
            return [node.name]
        if node.name == "box":
            return [f"{node.var}_{part}" for part in ("x1", "y1", "x2", "y2")]
        if node.name in ("center", "foot"):
            return [f"{node.var}_{node.name}_{part}" for part in "xy"]
        return [f"{node.var}_{node.name}"]

    def _put(self, row: dict[str, Any], node: tree.Node, value: Any) -> None:
        names = self._names(node)
        parts = value if isinstance(value, tuple) else [value] * len(names)
        for name, part in zip(names, parts, strict=True):
            row.setdefault(name, part)

    def _events(self, events: list[Event]) -> list[dict[str, Any]]:
        table = []
        frames = self.frames
        for number, event in enumerate(events):
            span = event.span
            row = {"event": number, "video": self.video}
            row |= {f"{name}_id": track.id for name, track in event.env.items()}
            row |= {
                "start": span.start, "end": span.end, "duration": span.end - span.start,
                "frame_start": frames[span.first], "frame_end": frames[span.last],
            }  # fmt: skip
            for item in self.query.select:
                one = self._aggregate([event], item) if isinstance(item, tree.Aggregate) else self._item(event, item)
                self._put(row, item, one)
            table.append(row)
        return table

    def _objects(self, events: list[Event]) -> list[dict[str, Any]]:
        table = []
        for track in self.tracks:
            mine = [event for event in events if track in event.env.values()]
            if not mine:
                continue
            bound = [v for v in self.query.variables if any(event.env[v.name] is track for event in mine)]
            rows, best = track.rows, (self.best(track) or track.rows)[0]
            scores = [row.score for row in rows if row.score is not None]
            row = {
                "video": self.video, "id": track.id, "type": bound[0].type.name, "label": track.label,
                "first": rows[0].time, "last": rows[-1].time, "duration": rows[-1].time - rows[0].time,
                "frames": len(rows), "score": math.fsum(scores) / len(scores) if scores else None,
                "events": len(mine), "best_frame": best.frame,
                "x1": best.box[0], "y1": best.box[1], "x2": best.box[2], "y2": best.box[3],
            }  # fmt: skip
            for node in self.query.nodes():
                if isinstance(node, tree.Property) and node.var in {v.name for v in self.query.variables}:
                    own = self.types[node.var].property(node.name)
                    if own.once if own is not None else node.name in ("color", "kind"):
                        row.setdefault(node.name, self._once_of(track, node.name, bound))
            table.append(row)
        return sorted(table, key=lambda row: (row["first"], row["id"]))

    def _once_of(self, track: Track, name: str, bound: list[tree.Variable]) -> Any:
        """A once-property of the first variable that binds the object, is asked for it, and knows it."""
        asked = {node.var for node in self.query.nodes() if isinstance(node, tree.Property) and node.name == name}
        values = [self.value(track, 0, name, v.type, v.name) for v in bound if v.name in asked]
        return next((value for value in values if value is not None), None)

    def _frames(self, events: list[Event]) -> list[dict[str, Any]]:
        table = []
        for number, event in enumerate(events):
            for position in range(event.span.first, event.span.last + 1):
                for name, track in event.env.items():
                    i = self.at(track, position)
                    if i is None:
                        continue
                    row = track.rows[i]
                    table.append({
                        "event": number, "video": self.video, "frame": row.frame, "time": row.time,
                        "variable": name, "id": track.id, "label": track.label, "score": row.score,
                        "x1": row.box[0], "y1": row.box[1], "x2": row.box[2], "y2": row.box[3],
                        "interpolated": row.interpolated, "matched": position in event.matched,
                    })  # fmt: skip
        return table

    def _groups(self, events: list[Event]) -> list[dict[str, Any]]:
        query = self.query
        aggregates = [item for item in query.select if isinstance(item, tree.Aggregate)]
        if not query.group and (not query.select or len(aggregates) < len(query.select)):
            return []
        members: dict[tuple[Any, ...], list[Event]] = {}
        if not query.group:
            members[()] = []
        if len(query.group) == 1 and isinstance(query.group[0], tree.Every) and self.times:
            seconds = query.group[0].seconds
            bucket = math.floor((self.times[0] + EPS) / seconds)
            while bucket <= math.floor((self.times[-1] + EPS) / seconds):
                members[(bucket,)] = []
                bucket += 1
        for event in events:
            key = tuple(
                math.floor((event.span.start + EPS) / node.seconds)
                if isinstance(node, tree.Every)
                else self._item(event, node)
                for node in query.group
            )
            members.setdefault(key, []).append(event)
        table = []
        for key in sorted(members, key=lambda key: [(part is None, part) for part in key]):
            row: dict[str, Any] = {"video": self.video}
            for node, part in zip(query.group, key, strict=True):
                if isinstance(node, tree.Every):
                    row |= {"start": part * node.seconds, "end": part * node.seconds + node.seconds}
                else:
                    row[self._names(node)[0]] = part
            for item in aggregates:
                self._put(row, item, self._aggregate(members[key], item))
            table.append(row)
        return table


def normal(node: tree.Node, names: dict[str, str], depth: int = 0) -> Any:
    """A condition that is equal for trees equal but for the order of operands, with variables renamed."""
    for place, variable in enumerate(node.binds()):
        names = {**names, variable.name: f"bound {depth} {place}"}
    depth += bool(node.binds())
    if isinstance(node, (tree.And, tree.Or)):
        return (type(node).__name__, sorted(repr(normal(part, names, depth)) for part in node.operands))
    if isinstance(node, tree.Compare) and node.op in ("==", "!="):
        return ("same", node.op, sorted(repr(normal(part, names, depth)) for part in (node.left, node.right)))
    given = [names.get(name, name) for name in (getattr(node, "var", ""), getattr(node, "other", "")) if name]
    if getattr(node, "name", "") in ("near", "overlaps", "distance", "closing", "same_as"):
        given.sort()
    if isinstance(node, tree.OwnRelation):
        given = [names.get(name, name) for name in node.arguments]
    if isinstance(node, tree.Inner):
        given = sorted(names.get(mine, mine) for _, mine in node.given)
    rest = []
    for item in fields(node):
        value = getattr(node, item.name)
        if item.name in ("line", "column", "text", "var", "other", "arguments", "given") and not isinstance(
            node, tree.Function
        ):
            continue
        rest.append(_plain(value, names, depth))
    return (type(node).__name__, given, rest)


def _plain(value: Any, names: dict[str, str], depth: int) -> Any:
    if isinstance(value, tree.Node):
        return normal(value, names, depth)
    if isinstance(value, tree.Variable):
        return value.type.name
    return [_plain(part, names, depth) for part in value] if isinstance(value, tuple) else repr(value)
