"""Counts by value: bincount, and histograms of uniform bins."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from workbench.fusion import expr as ir
from workbench.fusion.capture import ndindex
from workbench.fusion.capture.array import LazyArray, lazy, now
from workbench.fusion.capture.ndcalls import Unknown, handles, lazy_of, one_call, step
from workbench.fusion.capture.ndinputs import run_in_numpy
from workbench.fusion.expr import Expr
from workbench.fusion.ops import supported
from workbench.fusion.positions import here

__all__: list[str] = []


@handles(np.bincount)
def _bincount(x: Any, /, weights: Any = None, minlength: Any = 0) -> Any:
    places = lazy_of(x)
    kind = places.dtype
    if places.ndim != 1 or kind.kind not in "biu" or kind == np.uint64 or not isinstance(minlength, int):
        raise Unknown
    if minlength < 0 or not places.size:
        raise Unknown
    values = None if weights is None else lazy_of(weights)
    if values is not None and (values.shape != places.shape or not supported(values.dtype)):
        raise Unknown  # NumPy says what is wrong
    low, high = _range(places)
    if low < 0:
        raise Unknown
    at = now(places) if kind.kind != "b" else ir.cast(now(places), np.uint8)
    return _summed(at, values, max(int(high) + 1, minlength), "bincount", drop=False)


@handles(np.histogram)
def _histogram(a: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None) -> Any:
    x = lazy_of(a)
    values = None if weights is None else lazy_of(weights)
    if np.ndim(bins) or isinstance(bins, str):
        return _by_numpy(a, bins, range, density, weights)
    many = operator.index(bins)
    weighted = values is None or (values.shape == x.shape and np.can_cast(values.dtype, np.double))
    if x.dtype.kind not in "iuf" or not weighted:
        return _by_numpy(a, bins, range, density, weights)
    if x.ndim != 1:
        x = ndindex.reshape(x, (-1,))
        values = None if values is None else ndindex.reshape(values, (-1,))
    if not x.size:
        return _by_numpy(a, bins, range, density, weights)
    first, last = _range(x) if range is None else range
    # NumPy's edges, and its errors, depend on the outermost elements alone
    edges = np.histogram_bin_edges(
        np.array([first, last]).astype(x.dtype) if range is None else np.empty(0, x.dtype), many, range
    )
    if first == last:
        first, last = first - 0.5, last + 0.5
    places = _places(x, edges, first, last, many)
    kind = np.dtype(np.intp) if values is None else values.dtype
    counts = _summed(now(places), values, many, "histogram", drop=True)
    if counts.dtype != kind:
        counts = counts.astype(kind)
        counts._expr.calls = 0
    if density:
        counts = one_call(step("divide", step("divide", counts, np.diff(edges).astype(float)), np.sum(counts)))
    return counts, lazy(ir.leaf(edges))


def _by_numpy(a: Any, bins: Any, range: Any, density: Any, weights: Any) -> Any:
    options = {"bins": bins, "range": range, "density": density, "weights": weights}
    return run_in_numpy("histogram", np.histogram, (a,), options, "library call (histogram)")


def _range(x: LazyArray) -> tuple[Any, Any]:
    """Return the least and the greatest element: how long the result is hangs on them."""
    from workbench.fusion.run import force

    low, high = force([ir.reduce_("min", now(x)), ir.reduce_("max", now(x))])[0]
    return low, high


def _places(x: LazyArray, edges: np.ndarray, first: Any, last: Any, many: int) -> LazyArray:
    """Return the bin of each element, -1 for those outside: computed as NumPy does, which edges it is held to."""
    # as floats, exact for these: a Python integer may be outside of the dtype
    ends = (float(first), float(last)) if x.dtype.kind in "iu" and x.dtype.itemsize < 8 else (first, last)
    keep = step("logical_and", step("greater_equal", x, ends[0]), step("less_equal", x, ends[1]))
    if x.dtype != edges.dtype:
        x = x.astype(edges.dtype)
        x._expr.calls = 0
    scaled = step("multiply", step("divide", step("subtract", x, first), _distance(first, last)), float(many))
    near = lazy(ir.cast(ir.select(now(keep), now(scaled), ir.const(0.0)), np.int64))
    near = step("clip", near, 0, many - 1)
    table = ir.leaf(edges)
    down = step("less", x, _edge(table, near))
    near = step("subtract", near, down)
    up = step("greater_equal", x, _edge(table, step("add", near, 1)))
    up = step("logical_and", up, step("not_equal", near, many - 1))
    found = ir.select(now(keep), now(step("add", near, up)), ir.const(-1))
    found.calls = 0
    return lazy(found)


def _edge(table: Expr, at: LazyArray) -> LazyArray:
    found = ir.gather(table, now(at), here(5), inside=True)
    found.calls = 0
    return lazy(found)


def _distance(first: Any, last: Any) -> Any:
    """Return the distance of the outer edges; of signed integers it may need the unsigned ones."""
    kind = np.result_type(first, last)
    if kind.kind != "i":
        return np.subtract(last, first, dtype=kind)
    wide = np.dtype(f"u{kind.itemsize}")
    return np.subtract(np.asarray(last, kind), np.asarray(first, kind), casting="unsafe", dtype=wide)[()]


def _summed(places: Expr, values: LazyArray | None, size: int, name: str, drop: bool) -> LazyArray:
    """Return how often each place is met, or the sum of what is met there."""
    dtype = np.dtype(np.int64 if values is None else np.float64)
    one: Expr = ir.const(1, dtype) if values is None else now(values)
    if one.dtype != dtype:
        one = ir.cast(one, dtype)
        one.calls = 0
    base = ir.view(ir.const(0, dtype), "broadcast", (size,), (size,))
    return lazy(ir.scatter(base, places, one, here(4), name, op="add", drop=drop))
