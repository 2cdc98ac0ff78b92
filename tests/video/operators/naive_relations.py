"""The reference's bindings, relations between objects, and what quantifiers go over; in plain Python."""

from __future__ import annotations

import itertools
import math
from typing import Any

from tests.video.operators.naive_objects import Objects, Row, Track
from workbench.video.language import tree

#: which track each variable stands for
Env = dict[str, Track]


class Relations(Objects):
    """Several objects in one frame."""

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

    # ----------------------------------------------------------------------------------------------------- relations

    def evaluate(self, env: Env, position: int, node: tree.Node) -> Any:
        """A value or condition at a frame; None where missing."""
        raise NotImplementedError

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


class View:
    """What a relation of one's own is given."""

    def __init__(self, reference: Relations, env: Env, position: int, var: str) -> None:
        self._given = (reference, env, position, var)

    def __getattr__(self, name: str) -> Any:
        reference, env, position, var = self._given
        return reference.evaluate(env, position, tree.Property(var=var, name=name))
