"""What many calls of a property's function are given, as arrays for `compiled`: single rows, or windows of rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.video.language.tree import UserProperty
from workbench.video.operators.calls import Unbound
from workbench.video.operators.columns import AskedColumn, Column
from workbench.video.operators.compiled import LEAST, Value, at_once
from workbench.video.tracks import Bools, Ints

__all__ = ["rows_at_once", "windows_at_once"]

#: values of one argument that are laid out at a time
_MOST = 1 << 20


def rows_at_once(prop: UserProperty, given: Mapping[str, Column], rows: Ints) -> list[Any] | None:
    """Return what a function gives for single rows, at all of which its arguments are known; None: call it.

    Parameters
    ----------
    prop : UserProperty
    given : Mapping
        Argument -> its column over all rows of the tracks.
    rows : ndarray of int64
    """
    if not _possible(prop, len(rows)) or any(column.values.dtype.kind not in "fibU" for column in given.values()):
        return None
    own = Unbound(prop.name)

    def call(index: int) -> Any:
        row = rows[index : index + 1]
        return prop.function(own, *(given[name].python(row)[0] for name in prop.arguments))

    arguments = {name: Value(column.values[rows], point=column.values.ndim > 1) for name, column in given.items()}
    return at_once(prop.function, arguments, len(rows), call)


def windows_at_once(
    prop: UserProperty,
    histories: Mapping[str, Column | AskedColumn],
    starts: Ints,
    stops: Ints,
    windows: Callable[[str, Ints, Ints], list[Any]],
) -> tuple[list[Any], Bools]:
    """Return what a function gives for windows of rows, [start, stop) each, and for which it has to be called.

    Parameters
    ----------
    prop : UserProperty
    histories : Mapping
        Argument -> its column over all rows of the tracks, or, if it is a property of one's own, what was asked of it.
    starts, stops : ndarray of int64
    windows : callable
        Gives an argument's values in some windows, as the function gets them.
    """
    values: list[Any] = [None] * len(starts)
    left = np.ones(len(starts), bool)
    if not _possible(prop, len(starts)):
        return values, left
    own, lengths = Unbound(prop.name), stops - starts
    for length in np.unique(lengths).tolist():
        group = np.flatnonzero(lengths == length)
        for part in np.array_split(group, -(-len(group) * length // _MOST)):
            index = starts[part][:, None] + np.arange(length)
            for history in histories.values():
                if isinstance(history, AskedColumn):  # a window without any value is an array of another type
                    some = history.valid[index].any(axis=1)
                    part, index = part[some], index[some]
            arguments = {name: _window(history, index) for name, history in histories.items()}
            known = {name: value for name, value in arguments.items() if value is not None}
            if len(part) < LEAST or len(known) < len(arguments):
                continue

            def call(at: int, part: Ints = part) -> Any:
                start, stop = starts[part[at : at + 1]], stops[part[at : at + 1]]
                return prop.function(own, *(windows(name, start, stop)[0] for name in prop.arguments))

            found = at_once(prop.function, known, len(part), call)
            if found is None:
                return [None] * len(starts), np.ones(len(starts), bool)
            left[part] = False
            for place, one in zip(part.tolist(), found, strict=True):
                values[place] = one
    return values, left


def _possible(prop: UserProperty, count: int) -> bool:
    return count >= LEAST and prop.batch is None and not prop.reads_pixels and prop.name not in prop.arguments


def _window(history: Column | AskedColumn, index: NDArray[np.int64]) -> Value | None:
    """Return the values at `index`, of the type that each window by itself would have; None if windows differ."""
    valid = history.valid[index]
    if isinstance(history, Column):
        values = history.values[index]
        if values.dtype.kind == "f":
            known = valid if values.ndim == 2 else valid[:, :, None]
            return Value(np.where(known, values, np.nan), window=True, point=values.ndim == 3)
        whole = values.dtype.kind in "ib" and valid.all()
        return Value(values, window=True, point=values.ndim == 3) if whole else None
    kinds = set(map(type, history.values[index][valid].tolist()))
    if kinds == {float}:
        return Value(np.where(valid, history.values[index], np.nan).astype(np.float64), window=True)
    if valid.all() and kinds in ({int}, {bool}):
        try:
            return Value(history.values[index].astype(np.int64 if kinds == {int} else bool), window=True)
        except OverflowError:
            return None
    return None
