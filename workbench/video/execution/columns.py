"""Kept columns of a person's own properties that need no pixels: sparse, with what was asked for.

They are kept for whole tracks only, under what they follow from: the tracks, and the fingerprints of the property and
of all that it needs.
"""

from __future__ import annotations

import json
import pickle
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.engine import store as artefacts
from workbench.engine.version import __version__
from workbench.video.language.tree import CompiledQuery, ObjectType, UserProperty
from workbench.video.operators.columns import AskedColumn, PropertyColumns

__all__ = ["ColumnCache"]

_PLAIN: dict[type, str] = {bool: "bool", int: "int64", float: "float64"}


class ColumnCache:
    """The property columns of one query over one video's tracks.

    Parameters
    ----------
    query : CompiledQuery
        Whose types' properties are meant, and whose scale they may follow from.
    tracks_key : str or None
        What the tracks follow from; None keeps nothing.
    """

    def __init__(self, query: CompiledQuery, tracks_key: str | None) -> None:
        self._keys: dict[tuple[str, str], str] = {}
        self._needs: dict[tuple[str, str], set[str]] = {}
        self._loaded: dict[tuple[str, str], int] = {}
        for kind in {kind.name: kind for kind in query.types().values()}.values():
            for prop in kind.properties:
                parts = _parts(kind, prop, query)
                if tracks_key is not None and parts is not None:
                    self._keys[kind.name, prop.name] = artefacts.key("column", __version__, tracks_key, parts)
                    self._needs[kind.name, prop.name] = _closure(kind, prop)

    def load(self, count: int) -> PropertyColumns:
        """Return what is kept, for tracks of `count` rows."""
        columns = PropertyColumns(count)
        for (kind, name), key in self._keys.items():
            arrays = artefacts.store().get_arrays(key)
            if arrays is not None and int(arrays["count"][0]) == count:
                _unpack(arrays, columns.get(kind, name))
                self._loaded[kind, name] = len(arrays["rows"])
        return columns

    @property
    def names(self) -> set[str]:
        """Names of the properties of which something was found."""
        return {name for _, name in self._loaded}

    def save(self, columns: PropertyColumns, failed: set[str], seconds: float) -> None:
        """Keep what is new; properties that failed somewhere, or need one that did, are asked again next time."""
        for (kind, name), key in self._keys.items():
            column = columns.get(kind, name)
            asked = int(np.count_nonzero(column.asked))
            if asked > self._loaded.get((kind, name), 0) and not failed & self._needs[kind, name]:
                artefacts.store().put_arrays(key, _pack(column), kind="property", cost_s=seconds)


def _closure(kind: ObjectType, prop: UserProperty) -> set[str]:
    """Return the names of a property and of all properties that it needs."""
    found: set[str] = set()
    waiting = [prop.name]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            own = kind.property(name)
            waiting += own.arguments if own is not None else ()
    return found


def _parts(kind: ObjectType, prop: UserProperty, query: CompiledQuery) -> list[Any] | None:
    """Return what a property's values follow from beside the tracks; None if that cannot be told."""
    names = sorted(_closure(kind, prop))
    if prop.reads_pixels or "crossed_to" in names:
        return None  # crops are kept call by call; the sides of lines belong to the condition
    parts: list[Any] = [prop.name]
    for name in names:
        own = kind.property(name)
        if own is None:
            parts.append(name)
            continue
        if own.fingerprint is None:
            return None
        parts.append([name, own.fingerprint, own.window, own.once, own.batch, own.partial, list(own.arguments)])
    # Only a speed changes with the scale.
    return [parts, query.scale if "speed" in names else None]


def _pack(column: AskedColumn) -> dict[str, NDArray[Any]]:
    rows = np.flatnonzero(column.asked)
    valid = column.valid[rows]
    values = column.values[rows][valid].tolist()
    arrays = {"count": np.array([len(column.asked)]), "rows": rows, "valid": valid}
    kinds = {type(value) for value in values}
    dtype = _PLAIN.get(next(iter(kinds), float)) if len(kinds) <= 1 else None
    if dtype is not None and (dtype != "int64" or all(abs(value) < 2**63 for value in values)):
        return {**arrays, "values": np.array(values, dtype)}
    if kinds == {str}:
        return {**arrays, "text": np.frombuffer(json.dumps(values).encode(), np.uint8)}
    import cloudpickle  # classes of the notebook go by value

    # Read back from the reader's own store only.
    return {**arrays, "objects": np.frombuffer(cloudpickle.dumps(values, protocol=5), np.uint8)}


def _unpack(arrays: dict[str, NDArray[Any]], column: AskedColumn) -> None:
    rows, valid = arrays["rows"], arrays["valid"]
    if "values" in arrays:
        values = arrays["values"].tolist()
    elif "text" in arrays:
        values = json.loads(arrays["text"].tobytes())
    else:
        try:
            values = pickle.loads(arrays["objects"].tobytes())
        except Exception:
            return  # a class that exists no more: computed anew
    known = rows[valid]
    cells = np.empty(len(known), object)
    for index, value in enumerate(values):  # one by one: values may be lists, which numpy would unfold
        cells[index] = value
    column.values[known] = cells
    column.valid[rows] = valid
    column.asked[rows] = True
