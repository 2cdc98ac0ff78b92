"""What operations take in: expressions of inputs, and calls that NumPy runs on computed ones."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from workbench.fusion import expr as ir
from workbench.fusion.capture import storage
from workbench.fusion.capture.array import LazyArray, now
from workbench.fusion.expr import Expr, Fallback, Size
from workbench.fusion.positions import here

__all__ = ["as_expr", "force_in", "run_in_numpy", "settled"]

_PLAIN = (int, float, bool)


def as_expr(value: Any) -> Expr | None:
    """Return the expression of an input of an operation; None for what has no place in one."""
    kind = type(value)
    if kind is LazyArray:
        return now(value)
    if kind in _PLAIN:
        return ir.const(value)
    if kind is np.ndarray:
        if value.dtype.hasobject or value.dtype.names:
            return None
        return storage.leaf_of(value)
    if isinstance(value, np.generic):
        return ir.const(value) if value.dtype.kind in "biuf" else None
    if kind is complex:
        return None
    if kind in (list, tuple):
        array = np.asarray(force_in(value))
        return ir.leaf(array) if array.dtype.kind in "biuf" else None
    return None


def force_in(value: Any) -> Any:
    """Return a value with the lazy arrays in it computed, also those inside lists, tuples, dicts and slices."""
    kind = type(value)
    if kind is LazyArray:
        return value.compute()
    if kind in (list, tuple):
        return kind([force_in(each) for each in value])
    if kind is dict:
        return {key: force_in(each) for key, each in value.items()}
    if kind is slice:
        return slice(*[force_in(each) for each in (value.start, value.stop, value.step)])
    return value


def run_in_numpy(
    name: str,
    function: Callable[..., Any],
    args: Sequence[Any],
    kwargs: dict[str, Any],
    reason: str = "unsupported operation",
) -> Any:
    """Run a call in its own library on computed inputs; arrays that come out are lazy again, told in the plan."""
    where = here(2)
    inputs, named = force_in(tuple(args)), force_in(dict(kwargs))
    start = time.perf_counter()
    found = function(*inputs, **named)
    ms = 1e3 * (time.perf_counter() - start)
    note = Fallback(name, reason, where, ms, _bytes(inputs) + _bytes(tuple(named.values())), _bytes(found))
    note.earlier = tuple([x._expr.call for x in args if type(x) is LazyArray and isinstance(x._expr.call, Fallback)])
    answer = _wrapped(found, note)
    if reason == "unsupported operation" and isinstance(answer, LazyArray | tuple | list):
        from workbench.fusion.capture.fallback import warn_once

        warn_once(name, where, "NumPy")
    for original, value in zip(args, inputs, strict=True):
        # a function that writes to its input has written to the computed one
        if type(original) is LazyArray and isinstance(value, np.ndarray) and original._value is not value:
            original._keep(value)
    return answer


def _wrapped(found: Any, note: Fallback) -> Any:
    if type(found) is np.ndarray and not found.dtype.hasobject:
        made = storage.leaf_of(found)
        made.name, made.where, made.call = note.name, note.where, note
        return LazyArray(made)
    if type(found) in (tuple, list):
        return type(found)([_wrapped(each, note) for each in found])
    return found


def _bytes(value: Any) -> int:
    if isinstance(value, tuple | list):
        return sum(_bytes(each) for each in value)
    return int(value.nbytes) if isinstance(value, np.ndarray | np.generic) else 0


def settled(x: Expr) -> Expr:
    """Return an expression with its lengths known, computed where they were not."""
    if not any(isinstance(d, Size) for d in x.shape):
        return x
    from workbench.fusion.run import force

    return storage.leaf_of(np.asarray(force([x])[0][0]))
