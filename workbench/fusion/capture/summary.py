"""Summaries of columns: describe, correlation and covariance."""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.fusion import expr as ir
from workbench.fusion.capture.arithmetic import there
from workbench.fusion.capture.columns import Column
from workbench.fusion.capture.lazy import LazyScalar
from workbench.fusion.expr import Expr

__all__ = ["described", "paired", "pairwise"]


def described(lazy: Any) -> Any:
    """Return `lazy.describe()` for columns of numbers; None if pandas has to do it."""
    return None


def paired(first: Any, second: Any, name: str) -> LazyScalar | None:
    """Return the correlation or covariance of two Series over the same rows; None if labels decide which."""
    from workbench.fusion.capture.series import LazySeries, meet

    if not isinstance(second, LazySeries):
        return None
    met = meet(first, second)
    if met is None or not all(_numbers(each) for each in met):
        return None
    return LazyScalar(_moment(met[0], met[1], name))


def _numbers(column: Column) -> bool:
    return column.plain and column.dtype in (np.dtype(np.float64), np.dtype(np.int64))


def _moment(x: Column, y: Column, name: str) -> Expr:
    masks = [mask for mask in (there(x), there(y)) if mask is not None]
    domain = x.domain
    if masks:
        both = masks[0] if len(masks) == 1 else ir.map_("logical_and", *masks)
        domain = domain.filter(both)
    a, b = [ir.cast(each.on(domain).expr, np.float64) for each in (x, y)]
    count = ir.cast(ir.reduce_("count", a), np.float64)
    mine, theirs = [ir.map_("subtract", each, ir.reduce_("mean", each)) for each in (a, b)]
    cross = ir.reduce_("sum", ir.map_("multiply", mine, theirs))
    if name == "cov":
        free = ir.map_("subtract", count, ir.const(1.0))
        enough = ir.map_("greater", free, ir.const(0.0))
        return ir.select(enough, ir.map_("divide", cross, free), ir.const(np.nan, np.float64))
    spread = ir.map_(
        "sqrt",
        ir.map_(
            "multiply",
            ir.reduce_("sum", ir.map_("multiply", mine, mine)),
            ir.reduce_("sum", ir.map_("multiply", theirs, theirs)),
        ),
    )
    found = ir.map_("divide", cross, spread)
    return ir.map_("maximum", ir.map_("minimum", found, ir.const(1.0)), ir.const(-1.0))


def pairwise(frame: Any, name: str) -> Any:
    """Return the matrix of correlations or covariances of a frame; None if pandas has to do it."""
    return None
