"""Relations of one's own: functions that are called with views of two or more objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from workbench.video.language import tree
from workbench.video.language.catalogue import PROPERTIES
from workbench.video.operators.bind import Space
from workbench.video.operators.calls import call_property
from workbench.video.operators.columns import Column, plain, typed
from workbench.video.operators.properties import Properties
from workbench.video.tracks import Bools, Ints

__all__ = ["View", "call_relation"]

#: crops fetched at once for views
_CROPS = 64


class View:
    """An object at one frame, as a relation of one's own sees it: `a.x1`, `a.speed`, `a.image`; None where missing."""

    __slots__ = ("_row", "_source")

    def __init__(self, source: _Source, row: int) -> None:
        self._source, self._row = source, row

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self._source.value(name, self._row)

    def __repr__(self) -> str:
        return f"<{self._source.variable} {self.id}>"


class _Source:
    """Reads properties for all rows of the views of one variable at once, the first time that one is asked for."""

    def __init__(self, variable: str, kind: tree.ObjectType, rows: Ints, properties: Properties) -> None:
        self.variable, self.kind, self.rows, self.properties = variable, kind, np.unique(rows), properties
        self._known: dict[str, dict[int, Any]] = {}

    def value(self, name: str, row: int) -> Any:
        if name == "image":
            return self._image(row)
        if name not in self._known:
            known = PROPERTIES.get(name)
            if self.kind.property(name) is None and (known is None or not self.kind.is_a(known.owner)):
                raise AttributeError(f"{self.kind.name} has no property '{name}'")
            mask = np.zeros(len(self.properties.tracks), bool)
            mask[self.rows] = True
            column = self.properties.column(self.kind, name, mask, self.variable)
            self._known[name] = dict(zip(self.rows.tolist(), column.python(self.rows), strict=True))
        return self._known[name][row]

    def _image(self, row: int) -> Any:
        crops = self._known.setdefault("image", {})
        if row not in crops:
            at = int(np.searchsorted(self.rows, row))
            wanted = self.rows[at : at + _CROPS]
            crops.clear()  # views go through the rows in order: what was passed is not asked for again soon
            crops.update(zip(wanted.tolist(), self.properties.crops(wanted), strict=True))
        return crops[row]


def call_relation(
    node: tree.OwnRelation, space: Space, need: Bools, properties: Properties, types: Mapping[str, tree.ObjectType]
) -> Column:
    """Return the value of a relation of one's own at the rows of `need`; no two objects are asked twice in a frame."""
    columns = [space.track_rows(name) for name in node.arguments]
    rows = np.flatnonzero(need)
    keys = list(zip(*(column[rows].tolist() for column in columns), strict=True))
    known = properties.relations.setdefault(node, {})
    fresh = list(dict.fromkeys(key for key in keys if key not in known))
    if fresh:
        arguments: dict[str, list[Any]] = {}
        for number, name in enumerate(node.arguments):
            mine = [key[number] for key in fresh]
            source = _Source(name, types[name], np.array(mine, np.int64), properties)
            arguments[node.function.arguments[number]] = [View(source, row) for row in mine]
        results = call_property(node.function, arguments, len(fresh))
        properties.failed(node.function.name, len(fresh), [key[0] for key in fresh], results.failed)
        known.update(zip(fresh, map(plain, results.values), strict=True))
    values, valid = np.empty(len(space), object), np.zeros(len(space), bool)
    for row, key in zip(rows.tolist(), keys, strict=True):
        values[row] = known[key]
        valid[row] = values[row] is not None
    return typed(values, valid)
