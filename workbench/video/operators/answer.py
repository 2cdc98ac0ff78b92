"""The tables of an answer: events, objects, frames, groups, errors, with exact columns, dtypes and orders."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workbench.video.language.items import item_columns
from workbench.video.language.tree import Aggregate, CompiledQuery, Every, Node, Property, RegionOf
from workbench.video.operators.aggregate import EventValues, aggregate, bucket
from workbench.video.operators.columns import Column, typed
from workbench.video.operators.evaluate import Evaluation
from workbench.video.operators.properties import is_once
from workbench.video.tracks import Frames, Ints, Tracks, empty_tracks

__all__ = ["answer_tables", "empty_tables", "has_groups"]

_PX = dict.fromkeys(("x1", "y1", "x2", "y2"), "px")
_UNITS = {
    "time": "s", "age": "s", "first": "s", "last": "s", "start": "s", "end": "s", "duration": "s", "heading": "deg",
    "width": "px", "height": "px", "box": "px", "center": "px", "foot": "px", "area": "px*px", **_PX,
}  # fmt: skip


def has_groups(query: CompiledQuery) -> bool:
    """Return whether an answer has a table of groups: with `group`, or with nothing but aggregates in `select`."""
    only = bool(query.select) and all(isinstance(item, Aggregate) for item in query.select)
    return bool(query.group) or only


def answer_tables(
    query: CompiledQuery, evaluation: Evaluation, tracks: Tracks, video: str, limit: int | None = None
) -> dict[str, pd.DataFrame]:
    """Return the tables `events objects frames groups errors` of one video.

    Properties that only `select` or `group` name are computed here, at the matched frames of events.

    Parameters
    ----------
    query : CompiledQuery
    evaluation : Evaluation
    tracks : Tracks
        The tracks that were evaluated.
    video : str
        What the tables call the video.
    limit : int, optional
        Only the first events, in order; the other tables follow.

    Returns
    -------
    dict of str to DataFrame
        `.attrs["units"]` of each names the unit of each column that has one.
    """
    if limit is not None and limit < len(evaluation):
        evaluation = evaluation.first(limit)
    values = EventValues(evaluation)
    tables = {
        "events": _events(query, evaluation, values, video),
        "objects": _objects(query, evaluation, tracks, video),
        "frames": _frames(query, evaluation, tracks, video),
        "groups": _groups(query, evaluation, values, tracks, video),
    }
    # last, since the tables above may have called properties
    tables["errors"] = evaluation.errors
    tables["errors"].attrs["units"] = {}
    return tables


def empty_tables(query: CompiledQuery) -> dict[str, pd.DataFrame]:
    """Return the tables of an answer over no video at all: all columns and dtypes, no rows."""
    from workbench.video.operators.evaluate import evaluate

    none = empty_tracks(Frames(np.empty(0, np.int64), np.empty(0)), 1, 1)
    unscaled = CompiledQuery(
        query.name, query.variables, query.where, query.select, query.group, None, query.shapes, query.warnings
    )
    tables = answer_tables(query, evaluate(unscaled, none), none, "")
    # aggregates over nothing make one row of groups, and there is no video to name in it
    return {name: table.iloc[:0] for name, table in tables.items()}


# ------------------------------------------------------------------------------------------------------------ columns


def _text(values: Any) -> pd.Series:
    return pd.Series(list(values), dtype="str")


def _series(column: Column, kind: str | None = None) -> pd.Series:
    """Return a column as a series: text as str, whole numbers as int64 unless some are missing.

    `kind` None stands for a property of one's own: what its known values are tells the dtype, object without any.
    """
    if kind is None:
        column = typed(_objects_of(column), column.valid)
        kind = {"b": "bool", "i": "int64", "f": "float64", "U": "str"}.get(column.values.dtype.kind, "object")
        kind = kind if column.valid.any() else "object"
    values, valid, dtype = column.values, column.valid, kind
    if dtype == "str":
        return _text(column.python())
    if dtype == "int64" and not valid.all():
        dtype = "float64"
    if dtype == "float64":
        known = np.full(len(values), np.nan)
        known[valid] = values[valid]
        return pd.Series(known)
    if dtype == "bool" and not valid.all():
        return pd.Series(pd.array(column.python(), dtype="boolean"))
    if dtype == "object":
        return pd.Series(_objects_of(column), dtype=object)
    return pd.Series(np.array(column.python(), dtype))


def _objects_of(column: Column) -> NDArray[np.object_]:
    values = np.empty(len(column), object)
    values[:] = column.python()
    return values


def _kind(query: CompiledQuery, node: Property | RegionOf) -> str | None:
    """Return the dtype that a built-in property has even when nothing is known of it; None for one's own."""
    if isinstance(node, RegionOf):
        return "str"
    if not node.var:
        return "float64"
    if query.variable(node.var).type.property(node.name) is not None:
        return None
    kinds = {"id": "int64", "frame": "int64", "still": "bool"}
    text = ("label", "color", "kind", "crossed_to")
    return "str" if node.name in text else kinds.get(node.name, "float64")


def _unit(query: CompiledQuery, node: Node) -> str | None:
    if isinstance(node, Aggregate):
        return _unit(query, node.argument) if node.argument is not None and node.name != "count" else None
    if isinstance(node, Every):
        return "s"
    if not isinstance(node, Property):
        return None
    if node.var and query.variable(node.var).type.property(node.name) is not None:
        return None
    if node.name == "speed":
        return "px/s" if query.scale is None else "m/s"
    return _UNITS.get(node.name)


def _add(table: dict[str, Any], units: dict[str, str], query: CompiledQuery, node: Node, column: Column) -> None:
    """Add the columns of an item, unless they are there already."""
    names = item_columns(node)
    property_of = node.argument if isinstance(node, Aggregate) else node
    kind = _kind(query, property_of) if isinstance(property_of, (Property, RegionOf)) else None
    if isinstance(node, Aggregate) and node.name in ("count", "sum", "mean"):
        kind = "int64" if node.name == "count" else "float64"
    unit = _unit(query, node)
    for index, name in enumerate(names):
        if name in table:
            continue
        part = column
        if column.values.ndim == 2:
            # a point or box makes one column for each coordinate, in the order of its numbers
            part = Column(column.values[:, index], column.valid)
        table[name] = _series(part, kind)
        if unit is not None:
            units[name] = unit


def _frame(columns: dict[str, Any], units: dict[str, str]) -> pd.DataFrame:
    table = pd.DataFrame(columns)
    table.attrs["units"] = {name: unit for name, unit in units.items() if name in table.columns}
    return table


# ------------------------------------------------------------------------------------------------------------- tables


def _events(query: CompiledQuery, found: Evaluation, values: EventValues, video: str) -> pd.DataFrame:
    table: dict[str, Any] = {"event": np.arange(len(found), dtype=np.int64), "video": _text([video] * len(found))}
    for number, variable in enumerate(query.variables):
        table[f"{variable.name}_id"] = found.ids[:, number].astype(np.int64)
    table |= {
        "start": found.start, "end": found.end, "duration": found.end - found.start,
        "frame_start": found.frame_start, "frame_end": found.frame_end,
    }  # fmt: skip
    units = {"start": "s", "end": "s", "duration": "s"}
    for item in query.select:
        if all(name in table for name in item_columns(item)):
            continue
        if isinstance(item, Aggregate):
            column = aggregate(item, values, np.arange(len(found)), len(found))
        else:
            assert isinstance(item, (Property, RegionOf))
            column = values.first(item)
        _add(table, units, query, item, column)
    return _frame(table, units)


def _objects(query: CompiledQuery, found: Evaluation, tracks: Tracks, video: str) -> pd.DataFrame:
    bound = found.ids  # (events, variables)
    ids, events = np.unique(bound, return_counts=True)
    which = np.searchsorted(tracks.ids, ids)
    first, last = tracks.offsets[which], tracks.offsets[which + 1] - 1 if len(ids) else tracks.offsets[which]
    begins, ends = (tracks.time[rows] for rows in (first, last))
    order = np.lexsort((ids, begins))
    ids, events, which, first, last = ids[order], events[order], which[order], first[order], last[order]
    begins, ends = begins[order], ends[order]
    variable = [int(np.argmax((bound == number).any(axis=0))) for number in ids]
    crops = [found.properties.best_crops(track, 1) for track in which.tolist()]
    best = np.array([rows[0] if len(rows) else start for rows, start in zip(crops, first, strict=True)], np.int64)
    score = [
        tracks.score[start : stop + 1][~tracks.interpolated[start : stop + 1]]
        for start, stop in zip(first.tolist(), last.tolist(), strict=True)
    ]
    table: dict[str, Any] = {
        "video": _text([video] * len(ids)),
        "id": ids.astype(np.int64),
        "type": _text(query.variables[number].type.name for number in variable),
        "label": _text(tracks.label_names()[first] if len(ids) else []),
        "first": begins,
        "last": ends,
        "duration": ends - begins,
        "frames": (last - first + 1).astype(np.int64),
        "score": np.array([float(np.mean(part)) if len(part) else np.nan for part in score], float),
        "events": events.astype(np.int64),
        "best_frame": tracks.frame[best],
    }
    for index, name in enumerate(("x1", "y1", "x2", "y2")):
        table[name] = tracks.box[best, index]
    units = {"first": "s", "last": "s", "duration": "s", **_PX}
    used = _once_names(query)
    for name in dict.fromkeys(name for _, name in used):
        if name not in table:
            table[name] = _once(query, found, name, used, bound, ids, first)
    return _frame(table, units)


def _once_names(query: CompiledQuery) -> list[tuple[str, str]]:
    """Return (variable, property) of the once-properties that the query names of its variables, as written."""
    types = {variable.name: variable.type for variable in query.variables}
    found = (node for node in query.nodes() if isinstance(node, Property) and node.var in types)
    return list(dict.fromkeys((node.var, node.name) for node in found if is_once(types[node.var], node.name)))


def _once(
    query: CompiledQuery,
    found: Evaluation,
    name: str,
    used: list[tuple[str, str]],
    bound: Ints,
    ids: Ints,
    rows: Ints,
) -> pd.Series:
    """Return a once-property of the objects that a variable binds for which the query names it."""
    count = len(found.tracks)
    values, valid = np.empty(len(ids), object), np.zeros(len(ids), bool)
    kind: str | None = None
    for number, variable in enumerate(query.variables):
        if (variable.name, name) not in used:
            continue
        kind = _kind(query, Property(var=variable.name, name=name))
        mine = np.isin(ids, bound[:, number]) & ~valid
        need = np.zeros(count, bool)
        need[rows[mine]] = True
        found.properties.column(variable.type, name, need)
        column = found.columns.get(variable.type.name, name).objects().take(rows)
        for index in np.flatnonzero(mine & column.valid).tolist():
            values[index], valid[index] = column.python([index])[0], True
    return _series(Column(values, valid), kind)


def _frames(query: CompiledQuery, found: Evaluation, tracks: Tracks, video: str) -> pd.DataFrame:
    parts: list[tuple[Ints, Ints, Ints]] = []  # event, variable, row of the tracks
    for number in range(len(query.variables)):
        which = np.searchsorted(tracks.ids, found.ids[:, number])
        low = _row_at(tracks, which, found.spans.first)
        high = _row_at(tracks, which, found.spans.last + 1)
        event = np.repeat(np.arange(len(found)), high - low)
        within = np.arange(len(event)) - np.repeat(np.cumsum(high - low) - (high - low), high - low)
        parts.append((event, np.full(len(event), number), low[event] + within))
    none = np.empty(0, np.int64)
    event, variable, rows = (np.concatenate(column) for column in zip((none, none, none), *parts, strict=True))
    order = np.lexsort((variable, tracks.frame[rows], event))
    event, variable, rows = event[order], variable[order], rows[order]
    # a row of the event is matched if the event is at that frame
    base = len(tracks.frames) + 1
    hit, position = found.matched
    matched = np.isin(event * base + tracks.position[rows], hit * base + position)
    names = np.array([item.name for item in query.variables], object)
    table: dict[str, Any] = {
        "event": event.astype(np.int64),
        "video": _text([video] * len(rows)),
        "frame": tracks.frame[rows],
        "time": tracks.time[rows],
        "variable": _text(names[variable]),
        "id": tracks.id[rows],
        "label": _text(tracks.label_names()[rows]),
        "score": tracks.score[rows],
    }
    for index, name in enumerate(("x1", "y1", "x2", "y2")):
        table[name] = tracks.box[rows, index]
    table |= {"interpolated": tracks.interpolated[rows], "matched": matched}
    return _frame(table, {"time": "s", **_PX})


def _row_at(tracks: Tracks, which: Ints, position: Ints) -> Ints:
    """Return the first row of each track at or after a position of the processed frames."""
    base = len(tracks.frames) + 1
    return np.searchsorted(tracks.owner * base + tracks.position, which * base + position).astype(np.int64)


def _groups(query: CompiledQuery, found: Evaluation, values: EventValues, tracks: Tracks, video: str) -> pd.DataFrame:
    if not has_groups(query):
        return _frame({}, {})
    keys = [_key(query, node, found, values) for node in query.group]
    of_events = list(zip(*keys, strict=True)) if keys else [()] * len(found)
    groups = set(of_events) or ({()} if not keys else set())
    if len(query.group) == 1 and isinstance(query.group[0], Every) and len(tracks.frames):
        every = query.group[0].seconds
        first, last = bucket(tracks.frames.time[[0, -1]], every).tolist()
        groups |= {(number,) for number in range(first, last + 1)}
    ordered = sorted(groups, key=lambda group: tuple((value is None, value) for value in group))
    number = {group: index for index, group in enumerate(ordered)}
    of_event = np.array([number[group] for group in of_events], np.int64)
    table: dict[str, Any] = {"video": _text([video] * len(ordered))}
    units: dict[str, str] = {}
    for index, node in enumerate(query.group):
        column = [group[index] for group in ordered]
        if isinstance(node, Every):
            start = np.array(column, float) * node.seconds
            table |= {"start": start, "end": start + node.seconds}
            units |= {"start": "s", "end": "s"}
        else:
            assert isinstance(node, (Property, RegionOf))
            name = next(n for n in (item_columns(node)[0], *(f"region_{i}" for i in range(2, 99))) if n not in table)
            table[name] = _key_series(query, node, column)
            if (unit := _unit(query, node)) is not None:
                units[name] = unit
    for item in query.select:
        if isinstance(item, Aggregate):
            _add(table, units, query, item, aggregate(item, values, of_event, len(ordered)))
    return _frame(table, units)


def _key(query: CompiledQuery, node: Node, found: Evaluation, values: EventValues) -> list[Any]:
    """Return a key of each event: the number of the bucket, or the value (None: missing)."""
    if isinstance(node, Every):
        return [int(number) for number in bucket(found.start, node.seconds)]
    assert isinstance(node, (Property, RegionOf))
    return values.first(node).python()


def _key_series(query: CompiledQuery, node: Property | RegionOf, column: list[Any]) -> pd.Series:
    values = np.empty(len(column), object)
    values[:] = column
    return _series(Column(values, np.array([value is not None for value in column], bool)), _kind(query, node))
