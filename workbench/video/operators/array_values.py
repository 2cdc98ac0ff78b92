"""Values of many calls at once, and the functions of Python, `math` and NumPy whose array form gives the same bits."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["EXACT", "FUNCTIONS", "METHODS", "Array", "Calls", "NotSimple", "Value", "aligned", "largest"]

#: whole numbers beyond this are not exact as floats
EXACT = 2**53

Array = NDArray[Any]


class NotSimple(Exception):
    """A function, or what it is given, has no array form."""


@dataclass(frozen=True)
class Value:
    """One value for each call: a number `(n,)`, a point `(n, k)`, a window `(n, length)` or a window of points."""

    array: Array
    window: bool = False
    point: bool = False

    @property
    def number(self) -> bool:
        return not self.window and not self.point

    @property
    def kind(self) -> str:
        return str(self.array.dtype.kind)

    def like(self, array: Array) -> Value:
        return Value(array, self.window, self.point)


class Calls:
    """Some calls of a function, of which those that are `live` have come as far as what is evaluated.

    What the others would give means nothing, and may not raise.
    """

    def __init__(self, count: int, live: Array) -> None:
        self.count, self.live = count, live

    def alive(self, value: Value) -> Array:
        return value.array[self.live]

    def over(self, reduce: Callable[..., Any], value: Value) -> Value:
        """Reduce each window; in rows that lie one behind the other NumPy adds in the order it does in one array."""
        if not value.window or value.point or value.kind not in "fib" or not value.array.shape[1]:
            raise NotSimple
        return Value(np.asarray(reduce(np.ascontiguousarray(value.array), axis=1)))

    def absolute(self, value: Value) -> Value:
        if value.kind not in "fi":
            raise NotSimple
        return value.like(np.abs(value.array))

    def as_float(self, value: Value) -> Value:
        if not value.number or value.kind not in "fib":
            raise NotSimple
        return Value(value.array.astype(np.float64))

    def as_int(self, value: Value) -> Value:
        return self._rounded(value, np.trunc)

    def rounded(self, value: Value) -> Value:
        if value.kind == "b":
            raise NotSimple
        return self._rounded(value, np.rint)

    def _rounded(self, value: Value, how: Callable[[Array], Array]) -> Value:
        if not value.number or value.kind not in "fib":
            raise NotSimple
        if value.kind == "f":
            alive = self.alive(value)
            if not np.isfinite(alive).all() or largest(alive) >= EXACT:
                raise NotSimple
            return Value(how(np.where(self.live, value.array, 0.0)).astype(np.int64))
        return Value(value.array.astype(np.int64))

    def as_bool(self, value: Value) -> Value:
        if not value.number or value.kind not in "fib":
            raise NotSimple
        return Value(value.array != 0)

    def length(self, value: Value) -> Value:
        if value.number:
            raise NotSimple
        return Value(np.full(self.count, value.array.shape[1]))

    def number_root(self, value: Value) -> Value:
        if not value.number:
            raise NotSimple
        return self.root(value)

    def root(self, value: Value) -> Value:
        if value.kind not in "fi" or (self.alive(value) < 0).any():
            raise NotSimple
        return value.like(np.sqrt(value.array.astype(np.float64)))

    def hypotenuse(self, one: Value, other: Value) -> Value:
        if one.kind != "f" or other.kind != "f":
            raise NotSimple
        first, second, result = aligned(one, other)
        return result.like(np.hypot(first, second))

    def difference(self, value: Value) -> Value:
        if not value.window or value.kind not in "fi":
            raise NotSimple
        return value.like(np.ascontiguousarray(value.array[:, 1:] - value.array[:, :-1]))

    def total(self, value: Value) -> Value:
        """Return Python's `sum`, which adds one after the other."""
        if not value.window or value.point or value.kind not in "fi" or not value.array.shape[1]:
            raise NotSimple
        return Value(np.add.accumulate(value.array, axis=1)[:, -1])


def _extreme(least: bool) -> Callable[..., Value]:
    """Return Python's `min` or `max`, of several numbers or of a window: the first of the extreme ones."""

    def made(calls: Calls, *values: Value) -> Value:
        if len(values) == 1:
            (value,) = values
            if np.isnan(value.array.astype(np.float64)).any():
                raise NotSimple  # what Python gives then depends on the order
            return calls.over(np.min if least else np.max, value)
        if not values or any(not value.number or value.kind != values[0].kind for value in values):
            raise NotSimple
        if values[0].kind not in "fi":
            raise NotSimple
        found = values[0].array
        for value in values[1:]:
            found = np.where(value.array < found if least else value.array > found, value.array, found)
        return Value(found)

    return made


def _reduced(reduce: Callable[..., Any]) -> Callable[..., Value]:
    return lambda calls, value: calls.over(reduce, value)


METHODS: dict[str, Callable[..., Any]] = {
    "mean": np.mean, "sum": np.sum, "min": np.min, "max": np.max, "std": np.std, "any": np.any, "all": np.all,
}  # fmt: skip
#: a function -> its array form; left out are those whose vector code may differ in the last bit
FUNCTIONS: tuple[tuple[Any, Callable[..., Value]], ...] = (
    (abs, Calls.absolute), (float, Calls.as_float), (int, Calls.as_int),
    (bool, Calls.as_bool), (round, Calls.rounded), (len, Calls.length), (sum, Calls.total),
    (min, _extreme(True)), (max, _extreme(False)), (math.sqrt, Calls.number_root), (np.sqrt, Calls.root),
    (np.abs, Calls.absolute), (np.hypot, Calls.hypotenuse), (np.diff, Calls.difference),
    *((getattr(np, name), _reduced(reduce)) for name, reduce in METHODS.items()),
)  # fmt: skip


def aligned(left: Value, right: Value) -> tuple[Array, Array, Value]:
    """Return both arrays so that they broadcast as their rows would by themselves, and the form of the result."""
    if left.number and right.number:
        return left.array, right.array, left
    if left.point != right.point and not (left.number or right.number):
        raise NotSimple  # a window of numbers beside a point: lengths that agree by chance
    form = Value(left.array, left.window or right.window, left.point or right.point)
    arrays = []
    for value in (left, right):
        array = value.array
        if value.number:
            array = array.reshape((-1, *[1] * (form.window + form.point)))
        elif form.window and not value.window:
            array = array[:, None, :]
        arrays.append(array)
    return arrays[0], arrays[1], form


def largest(array: Array) -> float:
    return float(np.abs(array.astype(np.float64)).max(initial=0.0))
