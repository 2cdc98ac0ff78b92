"""The reference: every operator by its definition, one row after another in plain Python.

Slow and simple on purpose. It shares no code with the engine's operators: it reads the typed tree and the rows of the
tracks, and gives the answer's tables as lists of dictionaries.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.video.operators.naive_objects import EPS, Objects, Track
from workbench.video.language import tree


@dataclass
class Span:
    """An interval: its bounds, and the rows of its first and last true frame."""

    start: float
    end: float
    first: int
    last: int


class Reference(Objects):
    """Evaluates one query."""

    # ----------------------------------------------------------------------------------------------------- conditions

    def evaluate(self, track: Track, i: int, node: tree.Node) -> Any:
        """A value or condition at a row; None where missing."""
        match node:
            case tree.Constant(value=value):
                return value
            case tree.Property(name=name):
                return self.value(track, i, name)
            case tree.RegionOf(regions=regions):
                foot = track.rows[i].foot
                inside = [r.name for r in regions if self.inside(foot, r.in_pixels(self.width, self.height))]
                return inside[0] if inside else None
            case tree.Arithmetic(op=op, left=left, right=right):
                a, b = self.evaluate(track, i, left), self.evaluate(track, i, right)
                if a is None or b is None or (op == "/" and b == 0):
                    return None
                return {"+": lambda: a + b, "-": lambda: a - b, "*": lambda: a * b, "/": lambda: a / b}[op]()
            case tree.Negate(operand=operand):
                value = self.evaluate(track, i, operand)
                return None if value is None else -value
            case tree.Function(name=name, arguments=arguments):
                values = [self.evaluate(track, i, argument) for argument in arguments]
                if None in values:
                    return None
                return abs(values[0]) if name == "abs" else (min if name == "min" else max)(values)
            case tree.Choose(condition=condition, then=then, otherwise=otherwise):
                test = self.evaluate(track, i, condition)
                return None if test is None else self.evaluate(track, i, then if test else otherwise)
            case tree.Compare(op=op, left=left, right=right):
                return self._compare(track, i, op, left, right)
            case tree.Contains(item=item, collection=collection):
                value = self.evaluate(track, i, item)
                return None if value is None else value in collection.value
            case tree.Truth(value=value):
                found = self.evaluate(track, i, value)
                return None if found is None else bool(found)
            case tree.Known(value=value):
                return self.evaluate(track, i, value) is not None
            case tree.InRegion(name="inside", region=region, by=by):
                x1, y1, x2, y2 = track.rows[i].box
                points = {
                    "foot": [((x1 + x2) / 2, y2)],
                    "center": [((x1 + x2) / 2, (y1 + y2) / 2)],
                    "box": [(x1, y1), (x1, y2), (x2, y1), (x2, y2)],
                }[by]
                polygon = region.in_pixels(self.width, self.height)
                return all(self.inside(point, polygon) for point in points)
            case tree.InRegion(name=name, region=region):
                return self._passage(track, i, region) == name
            case tree.Crosses(shape=shape, to=to):
                side = self._crossing(track, i, shape)
                return side is not None and to in (None, side)
            case tree.Not(operand=operand):
                value = self.evaluate(track, i, operand)
                return None if value is None else not value
            case tree.And(operands=operands):
                values = [self.evaluate(track, i, operand) for operand in operands]
                return False if False in values else None if None in values else True
            case tree.Or(operands=operands):
                values = [self.evaluate(track, i, operand) for operand in operands]
                return True if True in values else None if None in values else False
        raise TypeError(type(node).__name__)

    def _compare(self, track: Track, i: int, op: str, left: tree.Node, right: tree.Node) -> Any:
        a, b = self.evaluate(track, i, left), self.evaluate(track, i, right)
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

    def spans(self, track: Track, node: tree.Node, gap: float = 0.5) -> tuple[list[Span], set[int]]:
        """The intervals of a condition or interval on one track, and the rows that match."""
        if node.kind == "condition":
            matched = {i for i in range(len(track.rows)) if self.evaluate(track, i, node) is True}
            single = [Span(track.rows[i].time, track.rows[i].time + track.rows[i].span, i, i) for i in sorted(matched)]
            return self._join(single, gap), matched
        match node:
            case tree.Lasts(operand=operand, duration=duration, gap=gap):
                spans, matched = self.spans(track, operand, gap)
                spans = [span for span in self._join(spans, gap) if span.end - span.start >= duration - EPS]
            case tree.Turns():
                spans = self._turns(track, node)
                matched = set(range(len(track.rows)))
            case tree.And(operands=operands):
                spans, matched = self.spans(track, operands[0])
                for operand in operands[1:]:
                    more, also = self.spans(track, operand)
                    spans, matched = self._intersect(spans, more), matched | also
            case tree.Or(operands=operands):
                spans, matched = [], set()
                for operand in operands:
                    more, also = self.spans(track, operand)
                    spans, matched = spans + more, matched | also
                spans = self._unite(spans)
            case _:
                raise TypeError(type(node).__name__)
        return spans, {i for i in matched if any(span.first <= i <= span.last for span in spans)}

    @staticmethod
    def _join(spans: list[Span], gap: float) -> list[Span]:
        result: list[Span] = []
        for span in spans:
            if result and span.start - result[-1].end <= gap + EPS:
                result[-1] = Span(result[-1].start, span.end, result[-1].first, span.last)
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
        return sorted(result, key=lambda span: span.start)

    @staticmethod
    def _unite(spans: list[Span]) -> list[Span]:
        result: list[Span] = []
        for span in sorted(spans, key=lambda span: span.start):
            if result and span.start <= result[-1].end + EPS:
                last = max(result[-1], span, key=lambda s: s.end)
                result[-1] = Span(result[-1].start, last.end, result[-1].first, last.last)
            else:
                result.append(span)
        return result

    def _turns(self, track: Track, node: tree.Turns) -> list[Span]:
        headings = [(i, self.value(track, i, "heading")) for i in range(len(track.rows))]
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
                result.append(Span(track.rows[starts[-1]].time, row.time + row.span, starts[-1], i))
                after = i
        return result

    # --------------------------------------------------------------------------------------------------------- tables

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """All tables, as lists of rows; a missing value is None."""
        events: list[tuple[Span, Track, list[int]]] = []
        for track in self.domain():
            spans, matched = self.spans(track, self.query.where)
            events += [(s, track, [i for i in range(s.first, s.last + 1) if i in matched]) for s in spans]
        events.sort(key=lambda event: (event[0].start, event[0].end, event[1].id))
        return {
            "events": self._events(events),
            "objects": self._objects(events),
            "frames": self._frames(events),
            "groups": self._groups(events),
        }

    def _item(self, event: tuple[Span, Track, list[int]], node: tree.Node) -> Any:
        span, track, matched = event
        if isinstance(node, tree.Property) and not node.var:
            return {"start": span.start, "end": span.end, "duration": span.end - span.start}[node.name]
        values = [self.evaluate(track, i, node) for i in matched]
        return next((value for value in values if value is not None), None)

    def _aggregate(self, events: list[Any], node: tree.Aggregate) -> Any:
        if node.argument is None:
            return len(events)
        if not node.argument.var:
            values = [self._item(event, node.argument) for event in events]
        else:
            values = [self.value(track, i, node.argument.name) for _, track, matched in events for i in matched]
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

    def _events(self, events: list[Any]) -> list[dict[str, Any]]:
        table = []
        for number, event in enumerate(events):
            span, track, _ = event
            row = {
                "event": number, "video": self.video, f"{self.variable.name}_id": track.id, "start": span.start,
                "end": span.end, "duration": span.end - span.start,
                "frame_start": track.rows[span.first].frame, "frame_end": track.rows[span.last].frame,
            }  # fmt: skip
            for item in self.query.select:
                one = self._aggregate([event], item) if isinstance(item, tree.Aggregate) else self._item(event, item)
                self._put(row, item, one)
            table.append(row)
        return table

    def _objects(self, events: list[Any]) -> list[dict[str, Any]]:
        table = []
        for track in self.domain():
            count = sum(1 for _, other, _ in events if other is track)
            if not count:
                continue
            rows, best = track.rows, (self.best(track) or track.rows)[0]
            scores = [row.score for row in rows if row.score is not None]
            row = {
                "video": self.video, "id": track.id, "type": self.kind.name, "label": track.label,
                "first": rows[0].time, "last": rows[-1].time, "duration": rows[-1].time - rows[0].time,
                "frames": len(rows), "score": math.fsum(scores) / len(scores) if scores else None, "events": count,
                "best_frame": best.frame,
                "x1": best.box[0], "y1": best.box[1], "x2": best.box[2], "y2": best.box[3],
            }  # fmt: skip
            for node in self.query.nodes():
                if isinstance(node, tree.Property) and node.var:
                    own = self.kind.property(node.name)
                    if own.once if own is not None else node.name in ("color", "kind"):
                        row.setdefault(node.name, self.value(track, 0, node.name))
            table.append(row)
        return sorted(table, key=lambda row: (row["first"], row["id"]))

    def _frames(self, events: list[Any]) -> list[dict[str, Any]]:
        return [
            {
                "event": number, "video": self.video, "frame": row.frame, "time": row.time,
                "variable": self.variable.name, "id": track.id, "label": track.label, "score": row.score,
                "x1": row.box[0], "y1": row.box[1], "x2": row.box[2], "y2": row.box[3],
                "interpolated": row.interpolated, "matched": i in matched,
            }
            for number, (span, track, matched) in enumerate(events)
            for i, row in enumerate(track.rows)
            if span.first <= i <= span.last
        ]  # fmt: skip

    def _groups(self, events: list[Any]) -> list[dict[str, Any]]:
        query = self.query
        aggregates = [item for item in query.select if isinstance(item, tree.Aggregate)]
        if not query.group and (not query.select or len(aggregates) < len(query.select)):
            return []
        members: dict[tuple[Any, ...], list[Any]] = {}
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
                math.floor((event[0].start + EPS) / node.seconds)
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
