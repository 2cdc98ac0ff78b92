"""Functions of NumPy that take elements, or look for them."""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.fusion.capture import ndindex
from workbench.fusion.capture.array import LazyArray
from workbench.fusion.capture.ndcalls import Unknown, expr_of, handles, lazy_of, one_call, step
from workbench.fusion.capture.ndinputs import force_in, run_in_numpy
from workbench.fusion.ops import supported
from workbench.fusion.positions import here

__all__: list[str] = []


@handles(np.take)
def _take(a: Any, indices: Any, axis: Any = None, out: Any = None, mode: str = "raise") -> Any:
    x = lazy_of(a)
    if out is not None or mode != "raise" or (axis is not None and not (isinstance(axis, int) and x.ndim == 1)):
        raise Unknown
    picks = expr_of(indices)
    if not picks.shape or picks.dtype.kind not in "iu":
        raise Unknown
    if x.ndim != 1:
        x = ndindex.reshape(x, (-1,))
    return ndindex.take_rows(x, picks, here(3))


@handles(np.compress)
def _compress(condition: Any, a: Any, axis: Any = None, out: Any = None) -> Any:
    x, mask = lazy_of(a), lazy_of(condition)
    if out is not None or x.ndim != 1 or mask.ndim != 1 or mask.dtype != np.bool_ or mask.shape != x.shape:
        raise Unknown
    return ndindex.getitem(x, mask)


@handles(np.isin)
def _isin(
    element: Any, test_elements: Any, assume_unique: bool = False, invert: bool = False, *, kind: Any = None
) -> Any:
    values = np.asarray(force_in(test_elements)).ravel()
    x = lazy_of(element)
    if (
        len(values) > 16
        or values.dtype.kind not in "biuf"
        or not supported(x.dtype)
        or x.dtype.kind != values.dtype.kind
    ):
        return run_in_numpy("isin", np.isin, (element, test_elements), {"invert": invert}, "library call (isin)")
    if not len(values):
        raise Unknown
    found = step("equal", x, values[0])
    for value in values[1:]:
        found = step("logical_or", found, step("equal", x, value))
    return one_call(step("logical_not", found) if invert else found)


@handles(np.digitize)
def _digitize(x: Any, bins: Any, right: bool = False) -> Any:
    edges = np.asarray(force_in(bins))
    up = edges.ndim == 1 and bool(np.all(edges[1:] >= edges[:-1]))
    if not up or len(edges) > 16 or not len(edges) or edges.dtype.kind not in "iuf":
        return run_in_numpy("digitize", np.digitize, (x, bins), {"right": right}, "library call (digitize)")
    return _places(lazy_of(x), edges, "greater" if right else "greater_equal")


@handles(np.searchsorted)
def _searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> Any:
    edges = np.asarray(force_in(a))
    small = sorter is None and edges.ndim == 1 and 0 < len(edges) <= 16 and edges.dtype.kind in "iuf"
    if not small or not isinstance(v, LazyArray | np.ndarray):
        return run_in_numpy(
            "searchsorted", np.searchsorted, (a, v), {"side": side, "sorter": sorter}, "library call (searchsorted)"
        )
    return _places(lazy_of(v), edges, "greater" if side == "left" else "greater_equal")


def _places(x: LazyArray, edges: np.ndarray, compare: str) -> Any:
    """Return how many edges are below each element; NaN is above all."""
    found: Any = None
    for edge in edges:
        above = step(compare, x, edge)
        if x.dtype.kind == "f":
            above = step("logical_or", above, step("isnan", x))
        one = above.astype(np.int64)
        one._expr.calls = 0
        found = one if found is None else step("add", found, one)
    return one_call(found)
