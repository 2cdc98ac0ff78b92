"""Summaries of columns: describe, correlation and covariance."""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.fusion import expr as ir
from workbench.fusion.capture.arithmetic import there
from workbench.fusion.capture.columns import Column
from workbench.fusion.capture.domains import Domain, Known
from workbench.fusion.capture.reductions import reduced, stacked
from workbench.fusion.capture.scalars import LazyScalar
from workbench.fusion.expr import Expr

__all__ = ["described", "paired", "pairwise"]

_ROWS = ("count", "mean", "std", "min", "25%", "50%", "75%", "max")
_QUARTERS = (0.25, 0.5, 0.75)


def described(lazy: Any) -> Any:
    """Return `lazy.describe()` for columns of numbers; None if pandas has to do it."""
    import pandas as pd

    from workbench.fusion.capture.frame import LazyFrame
    from workbench.fusion.capture.series import LazySeries

    index = pd.Index(_ROWS)
    if isinstance(lazy, LazySeries):
        column = _summary(lazy._column, index)
        return None if column is None else LazySeries(column, lazy._name, lazy._notes)
    places = [k for k, each in enumerate(lazy._all()) if each.plain and each.dtype.kind in "iuf"]
    others = [each for k, each in enumerate(lazy._all()) if k not in places]
    if not places or any(not (each.text or each.dtype == bool or each.dtype == object) for each in others):
        return None  # times and masked columns are described too
    domain = Domain(len(index), labels=Known(index))
    columns = [_summary(lazy._column(k), index) for k in places]
    found = [Column(each.dtype, domain, each.expr) for each in columns if each is not None]
    return LazyFrame(found, lazy._labels.take(places), domain, lazy._notes) if len(found) == len(places) else None


def _summary(column: Column, index: Any) -> Column | None:
    """Return count, mean, deviation, least, quartiles and greatest of a column, as a column of eight rows."""
    if not column.plain or column.dtype.kind not in "iuf" or column.dtype == np.float32:
        return None
    ends = [reduced(column, name) for name in ("count", "mean", "std", "min", "max")]
    if any(each is None for each in ends):
        return None
    count, mean, deviation, least, greatest = [each for each in ends if each is not None]
    quarters = ir.extern("quantile", _quartiles, (column.expr,), np.float64, (len(_QUARTERS),))
    parts = [ir.view(quarters, "index", (k,), ()) for k in range(len(_QUARTERS))]
    values = [count, mean, deviation, least, *parts, greatest]
    return stacked([ir.cast(each, np.float64) if each.dtype != np.float64 else each for each in values], index)


def _quartiles(values: Any) -> Any:
    import pandas as pd

    return pd.Series(values).quantile(list(_QUARTERS)).to_numpy()


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
    """Return the covariance or correlation of two columns, of the rows where both are there."""
    masks = [mask for mask in (there(x), there(y)) if mask is not None]
    domain = x.domain
    if masks:
        both = masks[0] if len(masks) == 1 else ir.map_("logical_and", *masks)
        domain = domain.filter(both)
    a, b = [ir.cast(each.on(domain).expr, np.float64) for each in (x, y)]
    mine, theirs = [ir.map_("subtract", each, ir.reduce_("mean", each)) for each in (a, b)]
    cross = ir.reduce_("sum", ir.map_("multiply", mine, theirs))
    if name == "cov":
        free = ir.map_("subtract", ir.cast(ir.reduce_("count", a), np.float64), ir.const(1.0))
        enough = ir.map_("greater", free, ir.const(0.0))
        return ir.select(enough, ir.map_("divide", cross, free), ir.const(np.nan, np.float64))
    squares = [ir.reduce_("sum", ir.map_("multiply", each, each)) for each in (mine, theirs)]
    found = ir.map_("divide", cross, ir.map_("sqrt", ir.map_("multiply", *squares)))
    found = ir.map_("maximum", ir.map_("minimum", found, ir.const(1.0)), ir.const(-1.0))
    # what does not vary has no correlation, whatever rounding left of its spread
    same = [ir.reduce_("all", ir.map_("equal", each, ir.reduce_("first", each))) for each in (a, b)]
    return ir.select(ir.map_("logical_or", *same), ir.const(np.nan, np.float64), found)


def pairwise(frame: Any, name: str) -> Any:
    """Return the matrix of correlations or covariances of a frame; None if pandas has to do it."""
    from workbench.fusion.capture.frame import LazyFrame

    columns = frame._all()
    rows = frame._domain.size
    if (
        not 0 < len(columns) <= 16
        or not all(_numbers(each) for each in columns)
        or not isinstance(rows, int)
        or rows < 3
    ):
        return None
    found: dict[tuple[int, int], Expr] = {}
    for k, x in enumerate(columns):
        for m, y in enumerate(columns[: k + 1]):
            found[k, m] = found[m, k] = _moment(x, y, name)
    domain = Domain(len(columns), labels=Known(frame._labels))
    made = []
    for k in range(len(columns)):
        column = stacked([found[m, k] for m in range(len(columns))], frame._labels)
        if column is None:
            return None
        made.append(Column(column.dtype, domain, column.expr))
    return LazyFrame(made, frame._labels, domain, frame._notes)
