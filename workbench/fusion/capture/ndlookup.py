"""Functions of NumPy that take elements, or look for them."""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.fusion import expr as ir
from workbench.fusion.capture import ndindex, ndtake
from workbench.fusion.capture.array import LazyArray, lazy, now
from workbench.fusion.capture.ndcalls import Unknown, axis_of, expr_of, handles, lazy_of, number, one_call, step
from workbench.fusion.capture.ndinputs import force_in, run_in_numpy
from workbench.fusion.expr import Expr
from workbench.fusion.ops import supported
from workbench.fusion.positions import here

__all__: list[str] = []


@handles(np.take)
def _take(a: Any, indices: Any, axis: Any = None, out: Any = None, mode: str = "raise") -> Any:
    x, picks = lazy_of(a), expr_of(indices)
    if out is not None or mode not in ("raise", "wrap", "clip") or not picks.shape or picks.dtype.kind not in "iu":
        raise Unknown
    if axis is None:
        x, axis = ndindex.reshape(x, (-1,)) if x.ndim != 1 else x, 0
    at = axis_of(axis, x.ndim)
    size = x.shape[at]
    if mode == "raise" or not size:
        return ndtake.taken(x, picks, at, here(3))
    places = lazy(picks).astype(np.int64)
    places = step("remainder", places, size) if mode == "wrap" else step("clip", places, 0, size - 1)
    return ndtake.taken(x, now(places), at, here(3), inside=True)


@handles(np.compress)
def _compress(condition: Any, a: Any, axis: Any = None, out: Any = None) -> Any:
    x, mask = lazy_of(a), lazy_of(condition)
    if out is not None or mask.ndim != 1 or mask.dtype != np.bool_:
        raise Unknown
    if axis is None:
        x, axis = ndindex.reshape(x, (-1,)) if x.ndim != 1 else x, 0
    at = axis_of(axis, x.ndim)
    if mask.shape != (x.shape[at],):
        raise Unknown
    if x.ndim == 1:
        return ndindex.getitem(x, mask)
    return ndtake.taken(x, ndindex.places(now(mask), here(3)), at, here(3), inside=True)


@handles(np.isin)
def _isin(
    element: Any, test_elements: Any, assume_unique: bool = False, invert: bool = False, *, kind: Any = None
) -> Any:
    values = np.unique(np.asarray(force_in(test_elements)))
    x = lazy_of(element)
    if not _comparable(x, values):
        options = {"assume_unique": assume_unique, "invert": invert, "kind": kind}
        return run_in_numpy("isin", np.isin, (element, test_elements), options, "library call (isin)")
    if not len(values):
        return np.full_like(x, bool(invert), dtype=bool)
    least = step("minimum", _rank(x, values, right=False), len(values) - 1)
    near = lazy(ir.gather(ir.leaf(values), now(least), here(3), inside=True))
    near._expr.calls = 0
    return one_call(step("not_equal" if invert else "equal", x, near))


@handles(np.digitize)
def _digitize(x: Any, bins: Any, right: bool = False) -> Any:
    edges = np.asarray(force_in(bins))
    base = lazy_of(x)
    if edges.ndim == 1 and len(edges) and _comparable(base, edges):
        if _ascends(edges):
            return one_call(_rank(base, edges, right=not right))
        if _ascends(edges[::-1]):
            return one_call(step("subtract", len(edges), _rank(base, edges[::-1], right=not right)))
    return run_in_numpy("digitize", np.digitize, (x, bins), {"right": right}, "library call (digitize)")


@handles(np.searchsorted)
def _searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> Any:
    edges = np.asarray(force_in(a))
    many = sorter is None and side in ("left", "right") and edges.ndim == 1 and len(edges) and _ascends(edges)
    if many and isinstance(v, LazyArray | np.ndarray) and _comparable(lazy_of(v), edges):
        return one_call(_rank(lazy_of(v), edges, right=side == "right"))
    options = {"side": side, "sorter": sorter}
    return run_in_numpy("searchsorted", np.searchsorted, (a, v), options, "library call (searchsorted)")


def _comparable(x: LazyArray, values: np.ndarray) -> bool:
    """Whether elements and values compare as they do in a common dtype that kernels know."""
    known = values.dtype.kind in "biuf" and supported(values.dtype) and supported(x.dtype)
    if not known:
        return False
    # NumPy looks for int64 in uint64 as float64, and compares them as integers
    return np.result_type(x.dtype, values.dtype).kind == "f" or not {x.dtype, values.dtype} > {np.dtype(np.uint64)}


def _ascends(edges: np.ndarray) -> bool:
    """Whether edges are in order, none of them NaN."""
    return bool(np.all(edges[:-1] <= edges[1:])) and not bool(np.any(edges != edges))


def _rank(x: LazyArray, edges: np.ndarray, right: bool) -> LazyArray:
    """Return how many of the sorted edges are below each element, with `right` also those equal to it; NaN is last.

    A search by halves without branches: in edges that are made one less than a power of two, every element takes the
    same steps.
    """
    dtype = np.result_type(x.dtype, edges.dtype)
    if dtype == np.bool_:
        dtype = np.dtype(np.uint8)
    if dtype.kind == "f":
        edges = edges[edges == edges]
    count = len(edges)
    if x.dtype != dtype:
        x = x.astype(dtype)
        x._expr.calls = 0
    half = 1 << max(count.bit_length() - 1, 0)
    most = np.inf if dtype.kind == "f" else np.iinfo(dtype).max
    table = ir.leaf(np.concatenate([edges.astype(dtype), np.full(2 * half - 1 - count, most, dtype)]))
    # written so that NaN goes up
    above = "greater" if right else "greater_equal"
    found: Any = None
    while half:
        probe = ir.const(half - 1, np.int64) if found is None else now(step("add", found, half - 1))
        edge = lazy(_at(table, probe, now(x)))
        up = step("logical_not", step(above, edge, x)).astype(np.int64)
        up._expr.calls = 0
        more = step("multiply", up, half) if half > 1 else up
        found = more if found is None else step("add", found, more)
        half //= 2
    return step("minimum", found, lazy(number(count)))


def _at(table: Expr, probe: Expr, x: Expr) -> Expr:
    if not probe.shape and x.shape:
        probe = ir.view(probe, "broadcast", x.shape, x.shape, here(4))
    found = ir.gather(table, probe, here(4), inside=True)
    found.calls = 0
    return found
