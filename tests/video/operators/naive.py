"""The reference: every operator by its definition, one binding and one frame after another in plain Python.

Slow and simple on purpose. It shares no code with the engine's operators: it reads the typed tree and the rows of the
tracks, and gives the answer's tables as lists of dictionaries.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.video.operators.naive_objects import EPS, Track
from tests.video.operators.naive_relations import Env
from tests.video.operators.naive_spans import Span
from tests.video.operators.naive_symmetry import normal
from tests.video.operators.naive_time import Intervals, Level
from workbench.video.language import tree


@dataclass(frozen=True)
class Event:
    """An interval of a binding, and the positions at which it matches."""

    span: Span
    env: Env
    matched: list[int]


class Reference(Intervals):
    """Evaluates one query."""

    def exchangeable(self) -> list[tuple[str, str]]:
        """The pairs of variables that the condition does not tell apart."""
        where, found = self.query.where, []
        for one, other in itertools.combinations(self.query.variables, 2):
            swapped = {one.name: other.name, other.name: one.name}
            if one.type == other.type and normal(where, {}) == normal(where, swapped):
                found.append((one.name, other.name))
        return found

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
