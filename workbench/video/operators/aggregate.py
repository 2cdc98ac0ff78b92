"""Values and aggregates of events: what `select` and `group` ask of the matched frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.video.language.tree import Aggregate, ObjectType, Property, RegionOf
from workbench.video.operators.columns import TIME_TOLERANCE, Column, typed
from workbench.video.operators.evaluate import Evaluation
from workbench.video.operators.evaluator import regions_of
from workbench.video.operators.properties import is_costly
from workbench.video.tracks import Bools, Ints

__all__ = ["EventValues", "aggregate", "bucket"]


@dataclass
class EventValues:
    """Reads values at the matched frames of events, asking for costly ones no further than needed.

    Parameters
    ----------
    found : Evaluation
    """

    found: Evaluation

    def __post_init__(self) -> None:
        #: event of each (event, matched frame) pair, in order, and the position of the frame
        self.event, self.position = self.found.matched
        count = np.bincount(self.event, minlength=len(self.found))
        self.offsets: Ints = np.concatenate(([0], np.cumsum(count))).astype(np.int64)

    def bound(self, name: str) -> Column:
        """Return `start`, `end` or `duration` of each event."""
        spans = self.found.spans
        values = {"start": spans.start, "end": spans.end, "duration": spans.end - spans.start}[name]
        return Column(values, np.ones(len(values), bool))

    def _rows(self, var: str) -> Ints:
        """Return the row of the tracks of a variable at each pair, -1 where the object is not there."""
        tracks, base = self.found.tracks, len(self.found.tracks.frames) + 1
        number = [variable.name for variable in self.found.query.variables].index(var)
        owner = np.searchsorted(tracks.ids, self.found.ids[:, number])[self.event]
        keys = tracks.owner * base + tracks.position
        rows = np.searchsorted(keys, owner * base + self.position)
        there = rows < len(keys)
        there[there] = keys[rows[there]] == (owner * base + self.position)[there]
        return np.where(there, rows, -1)

    def _at(self, node: Property | RegionOf, pairs: Bools) -> Column:
        """Return a value at all pairs of (event, matched frame); known at least where `pairs` is true."""
        tracks, variable = self.found.tracks, self.found.query.variable(node.var)
        rows = self._rows(node.var)
        wanted = np.zeros(len(tracks), bool)
        wanted[rows[pairs & (rows >= 0)]] = True
        if isinstance(node, Property):
            column = self.found.properties.column(variable.type, node.name, wanted, node.var)
            if is_costly(variable.type, node.name):
                # the values as they were given: a typed column depends on which other rows were asked for
                column = self.found.columns.get(variable.type.name, node.name).objects()
        else:
            column = regions_of(node, tracks)
        if not len(column):
            return Column(
                np.zeros((len(rows), *column.values.shape[1:]), column.values.dtype), np.zeros(len(rows), bool)
            )
        column = column.take(np.maximum(rows, 0))
        return Column(column.values, column.valid & (rows >= 0))

    def _type(self, var: str) -> ObjectType:
        return self.found.query.variable(var).type

    def all(self, node: Property) -> tuple[Column, Ints]:
        """Return a value at every matched frame of every event, and the event of each."""
        if not node.var:
            return self.bound(node.name), np.arange(len(self.found))
        return self._at(node, np.ones(len(self.event), bool)), self.event

    def first(self, node: Property | RegionOf) -> Column:
        """Return for each event the value at its first matched frame at which it is not missing."""
        if isinstance(node, Property) and not node.var:
            return self.bound(node.name)
        events, count = len(self.found), np.diff(self.offsets)
        costly = isinstance(node, Property) and is_costly(self._type(node.var), node.name)
        nth = np.arange(len(self.event)) - self.offsets[:-1][self.event]
        chosen = np.full(events, -1)
        asked, wave = 0, 1 if costly else max([1, *count])
        open_events = count > 0
        column = self._at(node, np.zeros(len(self.event), bool))
        while open_events.any():
            # twice as far each time: few waves, and mostly the first frame will do
            pairs = open_events[self.event] & (nth >= asked) & (nth < asked + wave)
            column = self._at(node, pairs)
            known = np.flatnonzero(pairs & column.valid)
            at = self.event[known]
            new = np.flatnonzero(np.append(True, np.diff(at) != 0)[: len(at)])
            chosen[at[new]] = known[new]
            asked, wave = asked + wave, 2 * wave
            open_events = (chosen < 0) & (count > asked)
        if not len(self.event):
            return Column(np.zeros((events, *column.values.shape[1:]), column.values.dtype), np.zeros(events, bool))
        picked = column.take(np.maximum(chosen, 0))
        return Column(picked.values, picked.valid & (chosen >= 0))


def aggregate(node: Aggregate, values: EventValues, group: Ints, groups: int) -> Column:
    """Return an aggregate for each group of events.

    Parameters
    ----------
    node : Aggregate
    values : EventValues
    group : ndarray of int64, shape (events,)
        The group of each event.
    groups : int

    Returns
    -------
    Column
        Counts are int64, 0 of nothing; a sum of nothing is 0; anything else of nothing is missing.
    """
    if node.argument is None:
        return Column(np.bincount(group, minlength=groups).astype(np.int64), np.ones(groups, bool))
    column, event = values.all(node.argument)
    known = np.flatnonzero(column.valid)
    owner, column = group[event[known]], column.take(known)
    order = np.argsort(owner, kind="stable")
    owner, column = owner[order], column.take(order)
    if column.values.dtype.kind == "O":
        column = typed(column.values, column.valid)
    if node.name == "count":
        seen = {(g, _hashable(value)) for g, value in zip(owner.tolist(), column.python(), strict=True)}
        counts = np.bincount(np.array([g for g, _ in seen], np.int64), minlength=groups)
        return Column(counts.astype(np.int64), np.ones(groups, bool))
    return _reduce(node.name, column, owner, groups)


def _hashable(value: Any) -> Any:
    return value if isinstance(value, (bool, int, float, str)) else repr(value)


def _reduce(name: str, column: Column, owner: Ints, groups: int) -> Column:
    """Reduce known values, sorted by owner, to one for each group."""
    count = np.bincount(owner, minlength=groups)
    some = count > 0
    starts = np.cumsum(count) - count
    if name in ("first", "last"):
        place = starts if name == "first" else starts + count - 1
        picked = column.take(np.where(some, place, 0)) if len(column) else _nothing(column, groups)
        return Column(picked.values, some)
    if column.values.dtype.kind not in "bif":
        return _reduce_objects(name, column, owner, some)
    if name in ("sum", "mean"):
        # sums run in order of events and frames, whatever the number of workers
        total = np.bincount(owner, weights=column.values.astype(float), minlength=groups)
        return Column(total, np.ones(groups, bool)) if name == "sum" else Column(total / np.maximum(count, 1), some)
    result = _nothing(column, groups).values
    least = np.minimum if name == "min" else np.maximum
    result[some] = least.reduceat(column.values, starts[some])
    return Column(result, some)


def _reduce_objects(name: str, column: Column, owner: Ints, some: Bools) -> Column:
    functions: dict[str, Callable[[list[Any]], Any]] = {"min": min, "max": max, "sum": sum}
    functions["mean"] = lambda items: sum(items) / len(items)
    result, valid = np.empty(len(some), object), some.copy()
    values = column.python()
    for group in np.flatnonzero(some).tolist():
        low, high = np.searchsorted(owner, [group, group + 1])
        try:
            result[group] = functions[name](values[low:high])
        except (TypeError, ValueError):
            valid[group] = False
    return Column(result, valid)


def _nothing(column: Column, count: int) -> Column:
    return Column(np.zeros(count, column.values.dtype), np.zeros(count, bool))


def bucket(start: Any, seconds: float) -> Any:
    """Return the index of the time bucket that a start falls in, from time 0 of the video."""
    return np.floor((np.asarray(start, float) + TIME_TOLERANCE) / seconds).astype(np.int64)
