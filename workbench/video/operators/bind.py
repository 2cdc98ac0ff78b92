"""Bindings: which tracks stand for a query's variables, and the rows at which all of them are there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

from workbench.video.language.tree import And, Compare, CompiledQuery, Measure, Node, ObjectType, Or, Relation, Variable
from workbench.video.tracks import Bools, Floats, Ints, Tracks

__all__ = ["Space", "bind", "rows_of_type", "symmetric_pairs"]

#: Relations that mean the same with their two objects exchanged.
_SYMMETRIC = ("near", "overlaps", "distance", "closing", "same_as")


@dataclass(frozen=True)
class Space:
    """The rows over which a query's condition is evaluated: one for each binding and frame of its domain.

    Sorted by binding, then frame; bindings are sorted by their ids in variable order.

    Parameters
    ----------
    tracks : Tracks
    variables : tuple of Variable
    rows : ndarray of int64, shape (n, variables)
        For each variable, the row of `tracks`.
    binding : ndarray of int64, shape (n,)
        Index of the binding, into `ids`.
    ids : ndarray of int64, shape (bindings, variables)
        The tracks of each binding.
    """

    tracks: Tracks
    variables: tuple[Variable, ...]
    rows: Ints
    binding: Ints
    ids: Ints

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def position(self) -> Ints:
        """For each row, the position of its frame in the processed frames."""
        return self.tracks.position[self.rows[:, 0]]

    @cached_property
    def frame(self) -> Ints:
        """For each row, its frame's index in the source."""
        return self.tracks.frame[self.rows[:, 0]]

    @cached_property
    def time(self) -> Floats:
        """For each row, its time."""
        return self.tracks.time[self.rows[:, 0]]

    @cached_property
    def end(self) -> Floats:
        """For each row, the end of the time that its frame covers."""
        return self.time + self.tracks.frames.span[self.position]

    def index(self, name: str) -> int:
        """Return which of the variables has this name."""
        return next(i for i, variable in enumerate(self.variables) if variable.name == name)

    def track_rows(self, name: str) -> Ints:
        """Return for each row the row of `tracks` of this variable."""
        return self.rows[:, self.index(name)]

    def track_mask(self, name: str, mask: Bools) -> Bools:
        """Return a mask over `tracks`: the rows of this variable in the rows of `mask`."""
        wanted = np.zeros(len(self.tracks), bool)
        wanted[self.track_rows(name)[mask]] = True
        return wanted


def rows_of_type(tracks: Tracks, kind: ObjectType) -> Bools:
    """Return which rows belong to objects of a type, by their track's label."""
    if kind.labels is None:
        return np.ones(len(tracks), bool)
    wanted = np.array([label in kind.labels for label in tracks.labels], bool)
    return wanted[tracks.label] if len(tracks) else np.zeros(0, bool)


def bind(query: CompiledQuery, tracks: Tracks, alive: Mapping[str, Bools] | None = None) -> Space:
    """Return the space of a query's bindings.

    Variables bind tracks of their types; two variables never bind the same track; of two variables that can be
    exchanged the first binds the lower id.

    Parameters
    ----------
    query : CompiledQuery
        With at least one variable.
    tracks : Tracks
    alive : mapping, optional
        For each variable, the rows (mask over `tracks`) that one-variable conjuncts have left; None: all.
    """
    masks = [rows_of_type(tracks, variable.type) for variable in query.variables]
    if alive is not None:
        masks = [mask & alive.get(v.name, mask) for mask, v in zip(masks, query.variables, strict=True)]
    rows = np.flatnonzero(masks[0])[:, None]
    ordered = symmetric_pairs(query)
    for column, mask in enumerate(masks[1:], start=1):
        more = np.flatnonzero(mask)
        more = more[np.argsort(tracks.position[more], kind="stable")]
        rows = _join(rows, more, tracks.position)
        for earlier in range(column):
            ids, new = tracks.id[rows[:, earlier]], tracks.id[rows[:, column]]
            rows = rows[ids < new if (earlier, column) in ordered else ids != new]
    numbers = tracks.id[rows]
    if len(query.variables) > 1:
        order = np.lexsort((tracks.position[rows[:, 0]], *numbers.T[::-1]))
        rows, numbers = rows[order], numbers[order]
    new = np.ones(len(rows), bool)
    new[1:] = (numbers[1:] != numbers[:-1]).any(axis=1)
    return Space(tracks, query.variables, rows, np.cumsum(new) - 1, numbers[new])


def _join(rows: Ints, more: Ints, position: Ints) -> Ints:
    """Return each of `rows` beside each of `more` (sorted by position) of the same frame."""
    at = position[more]
    low = np.searchsorted(at, position[rows[:, 0]], side="left")
    count = np.searchsorted(at, position[rows[:, 0]], side="right") - low
    left = np.repeat(np.arange(len(rows)), count)
    within = np.arange(len(left)) - np.repeat(np.cumsum(count) - count, count)
    return np.column_stack((rows[left], more[low[left] + within]))


# ---------------------------------------------------------------------------------------------------------- symmetry


def symmetric_pairs(query: CompiledQuery) -> set[tuple[int, int]]:
    """Return the pairs of variables (by index) of one type that can be exchanged without changing the condition."""
    variables = query.variables
    return {
        (i, j)
        for i in range(len(variables))
        for j in range(i + 1, len(variables))
        if variables[i].type == variables[j].type
        and _normal(query.where)
        == _normal(_renamed(query.where, {variables[i].name: variables[j].name, variables[j].name: variables[i].name}))
    }


def _renamed(node: Node, names: Mapping[str, str]) -> Node:
    def change(value: Any) -> Any:
        if isinstance(value, Node):
            return _renamed(value, names)
        return tuple(map(change, value)) if isinstance(value, tuple) else value

    changes = {
        item.name: names.get(value, value) if item.name in ("var", "other") else change(value)
        for item in fields(node)
        for value in (getattr(node, item.name),)
    }
    return replace(node, **changes)


def _normal(node: Node) -> str:
    """Return a text that is equal for trees equal up to the order of interchangeable operands."""
    if isinstance(node, (And, Or)):
        return f"{type(node).__name__}({sorted(map(_normal, node.operands))})"
    if isinstance(node, Compare) and node.op in ("==", "!="):
        return f"{node.op}({sorted((_normal(node.left), _normal(node.right)))})"
    parts: list[str] = []
    swap = isinstance(node, (Relation, Measure)) and node.name in _SYMMETRIC
    for item in fields(node):
        value = getattr(node, item.name)
        if not item.compare or (swap and item.name in ("var", "other")):
            continue
        parts.append(f"{item.name}={_normal(value) if isinstance(value, Node) else _normal_value(value)}")
    if isinstance(node, (Relation, Measure)) and swap:
        parts.append(str(sorted((node.var, node.other))))
    return f"{type(node).__name__}({', '.join(parts)})"


def _normal_value(value: Any) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(_normal(part) if isinstance(part, Node) else repr(part) for part in value)})"
    return repr(value)
