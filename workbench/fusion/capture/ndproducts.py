"""Products of vectors and matrices, and norms."""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.fusion import expr as ir
from workbench.fusion.capture import ndindex, ndreduce
from workbench.fusion.capture.array import LazyArray, lazy, now
from workbench.fusion.capture.ndcalls import Unknown, expr_of, handles, lazy_of, one_call, step
from workbench.fusion.capture.ndinputs import run_in_numpy
from workbench.fusion.capture.ndoperators import combine
from workbench.fusion.ops import supported
from workbench.fusion.positions import here

__all__ = ["SMALL", "matmul"]

#: shared dimension up to which a product is a sum of that many terms, in the loop of whoever uses it
SMALL = 16


@handles(np.dot)
def _dot(a: Any, b: Any, out: Any = None) -> Any:
    if out is not None:
        raise Unknown
    x, y = expr_of(a), expr_of(b)
    if not x.shape or not y.shape:
        return combine("multiply", (a, b), here(3))
    return _product(lazy_of(a), lazy_of(b), "dot")


@handles(np.linalg.norm)
def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    x = lazy_of(x)
    if ord not in (None, 2) or (ord == 2 and (x.ndim != 1 and not isinstance(axis, int))):
        raise Unknown
    if x.dtype.kind != "f":
        x = x.astype(np.float64)
        x._expr.calls = 0
    if axis is None and x.ndim > 1:
        axis = tuple(range(x.ndim))
    axes = ndreduce.axes_of(axis, x.ndim)
    if axes is None or not axes:
        raise Unknown
    total = lazy(ir.reduce_("sum", now(step("square", x)), axes, keepdims=keepdims, where=here(4)))
    total._expr.calls = 0
    return one_call(step("sqrt", total))


def matmul(x: Any, y: Any) -> Any:
    """Return `x @ y`."""
    if not np.ndim(x) or not np.ndim(y):
        raise ValueError("matmul: Input operand 1 does not have enough dimensions")
    try:
        return _product(lazy_of(x), lazy_of(y), "matmul")
    except Unknown:
        return run_in_numpy("matmul", np.matmul, (x, y), {}, "library call (matmul)")


def _product(x: LazyArray, y: LazyArray, name: str) -> Any:
    """Return a product of matrices: unrolled where the shared dimension is small, else by the library."""
    a, b = ndindex.known(x), ndindex.known(y)
    shared: Any = a.shape[-1]
    other = b.shape[0] if len(b.shape) == 1 else b.shape[-2]
    if shared != other:
        raise Unknown  # NumPy says so
    dtype = np.result_type(a.dtype, b.dtype)
    numbers = supported(a.dtype) and supported(b.dtype) and dtype.kind in "iuf"
    if numbers and len(a.shape) == 1 and len(b.shape) == 1:
        options = {} if dtype.kind == "f" else {"dtype": dtype}
        total = ndreduce.reduce("sum", step("multiply", x, y), options, np.sum)
        if total.dtype == dtype:
            return total
    if numbers and 0 < shared <= SMALL and _one_is_small(a.shape, b.shape):
        found: Any = None
        for k in range(shared):
            left = x[..., k : k + 1] if len(b.shape) > 1 and len(a.shape) > 1 else x[..., k]
            right = y[k : k + 1] if len(a.shape) > 1 else y[k]
            part = step("multiply", left, right if len(b.shape) > 1 else y[k])
            found = part if found is None else step("add", found, part)
        return one_call(found)
    function = getattr(np, name)
    sample = function(*[np.empty([1] * len(e.shape), e.dtype) for e in (a, b)])
    shape = _product_shape(a.shape, b.shape, name)
    if shape is None:
        raise Unknown
    return lazy(ir.extern(name, function, (a, b), sample.dtype, shape, here(4)))


def _one_is_small(a: Any, b: Any) -> bool:
    """Whether one of the operands, their shared dimension small, is small as a whole: then the product is unrolled."""
    if len(b) == 1:
        return True
    if len(b) > 2:
        return False
    return len(a) == 1 or b[-1] <= SMALL or (len(a) == 2 and a[0] <= SMALL)


def _product_shape(a: Any, b: Any, name: str) -> Any:
    if len(a) == 1 and len(b) == 1:
        return ()
    if len(b) == 1:
        return a[:-1]
    if len(a) == 1:
        return (*b[:-2], b[-1])
    if len(a) == 2 and len(b) == 2:
        return (a[0], b[1])
    return None
