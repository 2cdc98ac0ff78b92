"""Values of rows before: shifted ones, differences and running values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.fusion import expr as ir
from workbench.fusion.capture.columns import Column, missing
from workbench.fusion.capture.lazy import LazyPandas

if TYPE_CHECKING:
    from workbench.fusion.expr import Expr

__all__ = ["Scans", "difference", "running", "shifted"]


def shifted(column: Column, periods: int) -> Column | None:
    """Return a column moved by some rows, missing where nothing moved to; None if pandas has to do it."""
    size = column.domain.size
    if not isinstance(size, int) or column.masked:
        return None
    nothing: Any
    if column.text and (coded := column.coded()) is not None:
        x, nothing, words, dtype = coded[0], -1, coded[1], column.dtype
    elif column.time:
        x, nothing, words, dtype = column.expr, missing(column.dtype), None, column.dtype
    elif column.plain and column.dtype.kind == "f":
        x, nothing, words, dtype = column.expr, np.nan, None, column.dtype
    elif column.plain and column.dtype.kind in "iu" and column.dtype.itemsize >= 4 and periods:
        dtype = np.dtype(np.float64)
        x, nothing, words = ir.cast(column.expr, dtype), np.nan, None
    else:
        return None
    return Column(dtype, column.domain, _moved(x, periods, size, nothing), words=words)


def _moved(x: Expr, periods: int, size: int, nothing: Any) -> Expr:
    gone = min(abs(periods), size)
    if gone == 0:
        return x
    hole = ir.view(ir.const(nothing, x.dtype), "broadcast", (gone,), (gone,))
    if gone == size:
        return hole
    start, stop = (0, size - gone) if periods > 0 else (gone, size)
    rest = ir.view(x, "index", (("slice", start, stop, None),), (size - gone,))
    return ir.concat([hole, rest] if periods > 0 else [rest, hole])


def difference(column: Column, periods: int) -> Column | None:
    """Return the difference to the row some rows before."""
    size = column.domain.size
    if not column.plain or not isinstance(size, int):
        return None
    if column.dtype in (np.dtype(np.float64), np.dtype(np.float32)):
        moved = shifted(column, periods)
        return (
            None if moved is None else Column(column.dtype, column.domain, ir.map_("subtract", column.expr, moved.expr))
        )
    if column.dtype != np.int64 or periods == 0:
        return None
    gone = min(abs(periods), size)
    if gone == 0:
        return None
    moved_expr = _moved(column.expr, periods, size, 0)
    difference = ir.cast(ir.map_("subtract", column.expr, moved_expr), np.float64)
    rest = ir.view(
        difference,
        "index",
        (("slice", gone, size, None) if periods > 0 else ("slice", 0, size - gone, None),),
        (size - gone,),
    )
    hole = ir.view(ir.const(np.nan, np.float64), "broadcast", (gone,), (gone,))
    found = hole if gone == size else ir.concat([hole, rest] if periods > 0 else [rest, hole])
    return Column(found.dtype, column.domain, found)


def running(column: Column, name: str) -> Column | None:
    """Return running sums, products, least or greatest values; missing ones stay missing and are skipped."""
    if not column.plain or column.dtype.kind not in "iuf":
        return None
    found = ir.scan(f"nan{name}" if column.dtype.kind == "f" else name, column.expr)
    return Column(found.dtype, column.domain, found)


class Scans(LazyPandas):
    """Running values."""

    def _scan(self, name: str, args: Any, kwargs: Any) -> Any:
        raise NotImplementedError

    def cumsum(self, *args: Any, **kwargs: Any) -> Any:
        """Return running sums."""
        return self._scan("cumsum", args, kwargs)

    def cumprod(self, *args: Any, **kwargs: Any) -> Any:
        """Return running products."""
        return self._scan("cumprod", args, kwargs)

    def cummin(self, *args: Any, **kwargs: Any) -> Any:
        """Return running least values."""
        return self._scan("cummin", args, kwargs)

    def cummax(self, *args: Any, **kwargs: Any) -> Any:
        """Return running greatest values."""
        return self._scan("cummax", args, kwargs)
