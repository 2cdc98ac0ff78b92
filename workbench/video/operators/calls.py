"""Calling the functions of `@prop`: arguments by name, batches, and failures that become missing values."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.engine.errors import one_line
from workbench.video.language.tree import UserProperty
from workbench.video.operators.columns import CallResults, Column, plain

__all__ = ["Unbound", "call_property", "crops_as_argument", "window_array"]

#: What makes a call's value missing. A function that exits would take the kernel, or one worker after another, with it.
_FAILURES = (Exception, SystemExit)
_PLAIN = (type(None), bool, int, float, str)


class Unbound:
    """What `self` is inside a property's function: it has nothing, since arguments are how a property asks."""

    def __init__(self, property_name: str) -> None:
        self.__dict__["_property_name"] = property_name

    def __getattr__(self, name: str) -> Any:
        own = self.__dict__.get("_property_name", "a property")
        raise AttributeError(f"self has no values; write def {own}(self, {name}) to get {name}")


def call_property(prop: UserProperty, arguments: dict[str, list[Any]], count: int) -> CallResults:
    """Call a property's function `count` times, or for batches of calls.

    Parameters
    ----------
    prop : UserProperty
    arguments : dict
        For each of the property's arguments by name, its value in each call (`image` and `images` too).
    count : int
        Number of calls.

    Returns
    -------
    CallResults
        A call that raises gives None and a row of `failed`; a batch that raises is tried again item by item.
    """
    columns = [arguments[name] for name in prop.arguments]
    own = Unbound(prop.name)
    values: list[Any] = [None] * count
    failed: list[tuple[int, str, str]] = []
    if prop.batch is None:
        function = prop.function
        for call, given in enumerate(zip(*columns, strict=True) if columns else [()] * count):
            try:
                values[call] = _sendable(prop, function(own, *given))
            except _FAILURES as error:
                failed.append((call, one_line(error), trace(error)))
        return CallResults(values, failed)
    for start in range(0, count, prop.batch):
        stop = min(start + prop.batch, count)
        try:
            values[start:stop] = _batch(prop, own, [column[start:stop] for column in columns], stop - start)
        except _FAILURES as error:
            if stop - start == 1:
                failed.append((start, one_line(error), trace(error)))
                continue
            # one by one, so that an item's value never depends on which others shared its batch
            for call in range(start, stop):
                try:
                    values[call : call + 1] = _batch(prop, own, [column[call : call + 1] for column in columns], 1)
                except _FAILURES as single:
                    failed.append((call, one_line(single), trace(single)))
    return CallResults(values, failed)


def _batch(prop: UserProperty, own: Unbound, columns: list[list[Any]], count: int) -> list[Any]:
    given = list(prop.function(own, *columns))
    if len(given) != count:
        raise ValueError(f"{prop.name} returned {len(given)} values for {count} items")
    return [_sendable(prop, value) for value in given]


def _sendable(prop: UserProperty, value: Any) -> Any:
    """Return a value that can be sent to another process and kept; TypeError for what cannot (a lock, a generator).

    Found out here, where the call is known, it costs that call alone, not all that came with it.
    """
    if isinstance(value, str) and not value.isascii():
        value.encode()  # half a surrogate pair is no text that a table can hold
    if type(value) in _PLAIN or (isinstance(value, (np.generic, np.ndarray)) and value.dtype != object):
        return value
    import cloudpickle

    try:
        cloudpickle.dumps(value)
    except Exception:
        raise TypeError(f"{prop.name} returned a {type(value).__name__}, which cannot be kept") from None
    return value


def trace(error: BaseException) -> str:
    """Return the traceback below this module, which is what the property's author wants to see."""
    frames = error.__traceback__.tb_next if error.__traceback__ else None
    return "".join(traceback.format_exception(type(error), error, frames))


def crops_as_argument(prop: UserProperty, crops: Sequence[NDArray[Any] | None]) -> Any:
    """Return what `image` or `images` is in a call over these crops: one crop, or the list of them.

    `image` of a property with a window is a list with a crop, or None, for each row of the window.
    """
    if "images" in prop.arguments or (prop.window is not None and not prop.once):
        return list(crops)
    return crops[0]


def window_array(column: Column, start: int, stop: int) -> NDArray[Any]:
    """Return the values of rows `start` to `stop` as an array of their own, missing ones as NaN or None.

    The kind of array depends on these rows alone, never on which other rows happen to be known.
    """
    values, valid = column.values[start:stop], column.valid[start:stop]
    kind = column.values.dtype.kind
    if kind == "f":
        return values.copy() if valid.all() else np.where(valid if values.ndim == 1 else valid[:, None], values, np.nan)
    if kind != "O" and valid.all():
        return values.astype(object) if kind == "U" else values.copy()
    if kind == "i":
        return np.where(valid, values, np.nan)
    result = np.empty(stop - start, object)
    result[:] = [value if known else None for value, known in zip(values.tolist(), valid.tolist(), strict=True)]
    return result


def own_values(values: Sequence[Any]) -> NDArray[Any]:
    """Return values of a user's property as an array: bool, int64 or float64 where all are, else objects."""
    kinds = {type(value) for value in values}
    if kinds <= {int, float, type(None)} and kinds & {int, float}:
        if kinds == {int} and all(abs(value) < 2**63 for value in values):
            return np.array(values, np.int64)
        return np.array([np.nan if value is None else value for value in values], float)
    if kinds == {bool}:
        return np.array(values, bool)
    result = np.empty(len(values), object)
    for index, value in enumerate(values):
        result[index] = plain(value)
    return result
