"""Reductions of columns and frames by pandas' rules: missing values are skipped, nothing summed is 0."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.fusion import expr as ir
from workbench.fusion.capture.arithmetic import there
from workbench.fusion.capture.columns import Column
from workbench.fusion.capture.domains import Domain, Known
from workbench.fusion.capture.lazy import LazyPandas
from workbench.fusion.capture.replacing import known
from workbench.fusion.capture.scalars import LazyScalar, LazyValue
from workbench.fusion.graph import walk

if TYPE_CHECKING:
    from workbench.fusion.expr import Expr

__all__ = ["FrameReductions", "SeriesReductions", "reduced"]

#: pandas' method -> reductions that skip missing values, and that do not
REDUCERS = {
    "sum": ("nansum", "sum"), "prod": ("nanprod", "prod"), "mean": ("nanmean", "mean"), "var": ("nanvar", "var"),
    "std": ("nanstd", "std"), "min": ("nanmin", "min"), "max": ("nanmax", "max"),
}  # fmt: skip


def reduced(column: Column, name: str, *, skipna: bool = True, min_count: int = 0, ddof: int = 1) -> Expr | None:
    """Return a reduction of a column as a 0-d expression; None if pandas has to do it.

    Parameters
    ----------
    name : str
        sum prod mean var std min max count any all size.
    """
    if name == "count":
        return _count(column)
    if not column.plain:
        return None
    x, kind = column.expr, column.dtype.kind
    if name in ("any", "all"):
        return ir.reduce_(name, x) if kind in "biu" else None
    if name not in REDUCERS or (name in ("var", "std") and ddof not in (0, 1)):
        return None
    if name in ("min", "max") and not _rows(column.domain):
        return None  # the minimum of nothing is NaN, whatever the dtype
    if kind == "b" and name in ("min", "max"):
        return ir.reduce_("all" if name == "min" else "any", x)
    if kind == "b" and name in ("var", "std"):
        return None
    floating = kind == "f"
    if min_count > 0:
        if not floating:
            return None
        found = ir.reduce_(REDUCERS[name][0 if skipna else 1], x)
        enough = ir.map_("greater_equal", ir.reduce_("count", x), ir.const(min_count))
        return ir.select(enough, found, ir.const(np.nan, x.dtype))
    function = REDUCERS[name][0 if floating and skipna else 1]
    return ir.reduce_(function, x, ddof=ddof) if name in ("var", "std") else ir.reduce_(function, x)


def _rows(domain: Domain) -> bool:
    """Return whether it is known that there are rows."""
    return isinstance(domain.size, int) and domain.size > 0


def _of_nothing(column: Column, name: str, skipna: bool) -> Expr | None:
    """Return what is 0 where pandas gives Python's NaN, which for float64 is as good as NumPy's."""
    if column.dtype != np.dtype(np.float32) or name in ("sum", "prod", "count", "any", "all"):
        return None
    if name == "mean" and skipna:
        return ir.reduce_("count", column.expr)
    return None if _rows(column.domain) else ir.reduce_("count", ir.map_("isnan", column.expr))


def _count(column: Column) -> Expr | None:
    if not known(column):
        return None
    present = there(column)
    if present is not None:
        return ir.reduce_("count_nonzero", present)
    return ir.reduce_("count", column.expr)


class Reductions(LazyPandas):
    """The reductions whose arguments are the same for a column and a table: of columns, or of rows."""

    def _reduce(self, name: str, options: dict[str, Any], allowed: tuple[str, ...]) -> Any:
        """Return a reduction, by pandas where it has other options than those allowed."""
        raise NotImplementedError

    def sum(self, axis: Any = None, skipna: Any = None, numeric_only: Any = None, min_count: Any = None) -> Any:
        """Return the sum."""
        options = {"axis": axis, "skipna": skipna, "numeric_only": numeric_only, "min_count": min_count}
        return self._reduce("sum", options, ("skipna", "min_count"))

    def prod(self, axis: Any = None, skipna: Any = None, numeric_only: Any = None, min_count: Any = None) -> Any:
        """Return the product."""
        options = {"axis": axis, "skipna": skipna, "numeric_only": numeric_only, "min_count": min_count}
        return self._reduce("prod", options, ("skipna", "min_count"))

    product = prod

    def mean(self, axis: Any = None, skipna: Any = None, numeric_only: Any = None) -> Any:
        """Return the mean."""
        return self._reduce("mean", {"axis": axis, "skipna": skipna, "numeric_only": numeric_only}, ("skipna",))

    def var(self, axis: Any = None, skipna: Any = None, ddof: Any = None, numeric_only: Any = None) -> Any:
        """Return the variance."""
        options = {"axis": axis, "skipna": skipna, "numeric_only": numeric_only, "ddof": ddof}
        return self._reduce("var", options, ("skipna", "ddof"))

    def std(self, axis: Any = None, skipna: Any = None, ddof: Any = None, numeric_only: Any = None) -> Any:
        """Return the standard deviation."""
        options = {"axis": axis, "skipna": skipna, "numeric_only": numeric_only, "ddof": ddof}
        return self._reduce("std", options, ("skipna", "ddof"))

    def min(self, axis: Any = None, skipna: Any = None, numeric_only: Any = None) -> Any:
        """Return the least value."""
        return self._reduce("min", {"axis": axis, "skipna": skipna, "numeric_only": numeric_only}, ("skipna",))

    def max(self, axis: Any = None, skipna: Any = None, numeric_only: Any = None) -> Any:
        """Return the greatest value."""
        return self._reduce("max", {"axis": axis, "skipna": skipna, "numeric_only": numeric_only}, ("skipna",))


class SeriesReductions(Reductions):
    """What LazySeries has of them."""

    _column: Column
    _pandas: Callable[..., Any]

    def _reduce(self, name: str, options: dict[str, Any], allowed: tuple[str, ...]) -> Any:
        given = {key: value for key, value in options.items() if value is not None}
        plain = given.pop("axis", 0) in (0, "index") and not given.pop("numeric_only", False)
        if plain and set(given) <= set(allowed) and isinstance(given.get("skipna", True), bool):
            found = reduced(self._column, name, **given)
            if found is not None:
                counted = _of_nothing(self._column, name, given.get("skipna", True))
                return LazyScalar(found, notes=self._notes, counted=counted)
            if name in ("min", "max") and self._column.plain and not _rows(self._column.domain):
                found = self._extreme(name, given.get("skipna", True))
                if found is not None:
                    return found
        return self._pandas(name, **{key: value for key, value in options.items() if value is not None})

    def _extreme(self, name: str, skipna: bool) -> Any:
        """Return the least or greatest of rows of which there may be none: over the rows that were filtered."""
        column = self._column
        domain, x = column.domain, column.expr
        if column.dtype.kind == "b" or not skipna:
            return None
        info = np.finfo(x.dtype) if x.dtype.kind == "f" else np.iinfo(x.dtype)
        least = name == "min"
        nothing = ir.const(np.nan if x.dtype.kind == "f" else info.max if least else info.min, x.dtype)
        some: Expr | None = None
        while domain.kind == "filter" and domain.parent is not None:
            above = pulled(x, domain)
            there_above = domain.by if some is None else pulled(some, domain)
            if above is None or there_above is None:
                return None
            some = there_above if some is None else ir.map_("logical_and", domain.by, there_above)
            x, domain = ir.select(domain.by, above, nothing), domain.parent
        if some is None or not _rows(domain):
            return None
        found = ir.reduce_(REDUCERS[name][0 if x.dtype.kind == "f" else 1], x)
        if x.dtype.kind == "f":
            return LazyScalar(found, notes=self._notes, counted=_of_nothing(column, name, skipna))
        return LazyValue([found, ir.reduce_("count_nonzero", some)], _extreme_value, self._notes)

    def count(self) -> Any:
        """Return how many values are not missing."""
        return self._reduce("count", {}, ())

    def any(self, axis: Any = None, bool_only: Any = None, skipna: Any = None) -> Any:
        """Return whether any value is true."""
        return self._reduce("any", {"axis": axis, "bool_only": bool_only, "skipna": skipna}, ())

    def all(self, axis: Any = None, bool_only: Any = None, skipna: Any = None) -> Any:
        """Return whether all values are true."""
        return self._reduce("all", {"axis": axis, "bool_only": bool_only, "skipna": skipna}, ())

    def agg(self, func: Any = None, axis: Any = 0, *args: Any, **kwargs: Any) -> Any:
        """Return one reduction by name, or several."""
        if isinstance(func, str) and axis in (0, "index") and not args and not kwargs and func in _BY_NAME:
            return getattr(self, func)()
        if isinstance(func, list) and func and not args and not kwargs and all(each in _BY_NAME for each in func):
            found = self._several(func)
            if found is not None:
                return found
        return self._pandas("agg", func, axis, *args, **kwargs)

    aggregate = agg

    def _several(self, names: list[str]) -> Any:
        import pandas as pd

        from workbench.fusion.capture.series import LazySeries

        values = [reduced(self._column, each) for each in names]
        if len(set(names)) < len(names) or any(each is None for each in values):
            return None
        column = stacked([each for each in values if each is not None], pd.Index(names))
        return None if column is None else LazySeries(column, getattr(self, "name", None), self._notes)

    def dot(self, other: Any) -> Any:
        """Return the sum of products."""
        from workbench.fusion.capture.series import LazySeries, meet

        if isinstance(other, LazySeries):
            met = meet(self, other)
            if met is not None and all(each.plain and each.dtype.kind in "iuf" for each in met):
                product = ir.map_("multiply", met[0].expr, met[1].expr)
                if product.dtype in (np.dtype(np.int64), np.dtype(np.float64)):
                    return LazyScalar(ir.reduce_("sum", product), notes=self._notes)
        return self._pandas("dot", other)

    __matmul__ = dot

    @property
    def hasnans(self) -> Any:
        """Whether a value is missing."""
        return self._pandas_attribute("hasnans")

    def _pandas_attribute(self, name: str) -> Any:
        return getattr(self._fusion_value(), name)


_BY_NAME = frozenset(["sum", "prod", "mean", "var", "std", "min", "max", "count", "any", "all"])


def _extreme_value(values: Any) -> Any:
    return values[0] if values[1] else float("nan")


def pulled(node: Expr, domain: Domain) -> Expr | None:
    """Return an expression over a filter's rows as one over all rows that were filtered; None if it cannot be."""
    assert domain.parent is not None
    size, above = domain.size, domain.parent.size
    known: dict[int, Expr | None] = {}
    for each in walk([node]):
        if not each.shape or each.shape[0] is not size:
            known[id(each)] = each
        elif each.kind == "Filter":
            known[id(each)] = each.inputs[0] if each.inputs[1] is domain.by else None
        elif each.kind in ("Map", "Select", "Cast", "Gather"):
            inputs = [known[id(of)] for of in each.inputs]
            if any(of is None for of in inputs) or len(each.shape) != 1:
                return None
            found = ir.Expr(
                each.kind, each.name, tuple(of for of in inputs if of is not None), each.attrs, each.dtype, (above,),
                each.where, each.data,
            )  # fmt: skip
            found.calls, found.call = each.calls, each.call
            known[id(each)] = found
        else:
            known[id(each)] = None
    return known[id(node)]


def stacked(values: list[Expr], index: Any) -> Column | None:
    """Return single values as a column under labels, in the dtype that pandas finds for all of them."""
    import pandas as pd
    from pandas.core.dtypes.cast import find_common_type

    if not values:
        return None
    dtype = find_common_type([each.dtype for each in values])
    if not isinstance(dtype, np.dtype) or dtype.kind not in "biuf":
        return None
    rows = [ir.view(each if each.dtype == dtype else ir.cast(each, dtype), "reshape", (1,), (1,)) for each in values]
    found = ir.concat(rows) if len(rows) > 1 else rows[0]
    assert isinstance(index, pd.Index)
    return Column(dtype, Domain(len(values), labels=Known(index)), found)


class FrameReductions(Reductions):
    """What LazyFrame has of them: one value a column, or with axis=1 one a row."""

    _all: Callable[[], list[Column]]
    _pandas: Callable[..., Any]
    _labels: Any
    _domain: Any

    def _reduce(self, name: str, options: dict[str, Any], allowed: tuple[str, ...]) -> Any:
        from workbench.fusion.capture.series import LazySeries

        given = {key: value for key, value in options.items() if value is not None}
        axis = given.pop("axis", 0)
        numeric = given.pop("numeric_only", False)
        if set(given) <= set(allowed) and isinstance(given.get("skipna", True), bool) and isinstance(numeric, bool):
            places = [k for k, each in enumerate(self._all()) if not numeric or _numeric(each)]
            columns = [self._all()[k] for k in places]
            column = None
            if axis in (0, "index"):
                column = self._down(name, columns, places, given)
            elif axis in (1, "columns") and not given:
                column = across(name, columns)
            if column is not None:
                return LazySeries(column, None, self._notes)
        return self._pandas(name, **{key: value for key, value in options.items() if value is not None})

    def _down(self, name: str, columns: list[Column], places: list[int], given: dict[str, Any]) -> Column | None:
        if name in ("min", "max") and not _rows(self._domain):
            return None
        values = [reduced(each, name, **given) for each in columns]
        if any(each is None for each in values):
            return None
        labels = self._labels if len(places) == len(self._labels) else self._labels.take(places)
        return stacked([each for each in values if each is not None], labels)

    def count(self, axis: Any = None, numeric_only: Any = None) -> Any:
        """Return how many values of columns, or of rows, are not missing."""
        return self._reduce("count", {"axis": axis, "numeric_only": numeric_only}, ())

    def any(self, *, axis: Any = None, bool_only: Any = None, skipna: Any = None) -> Any:
        """Return whether any value of a column is true."""
        return self._reduce("any", {"axis": axis, "bool_only": bool_only, "skipna": skipna}, ())

    def all(self, *, axis: Any = None, bool_only: Any = None, skipna: Any = None) -> Any:
        """Return whether all values of a column are true."""
        return self._reduce("all", {"axis": axis, "bool_only": bool_only, "skipna": skipna}, ())

    def agg(self, func: Any = None, axis: Any = 0, *args: Any, **kwargs: Any) -> Any:
        """Return reductions by name."""
        if isinstance(func, str) and axis in (0, "index") and not args and not kwargs and func in _BY_NAME:
            return getattr(self, func)()
        return self._pandas("agg", func, axis, *args, **kwargs)

    aggregate = agg


def _numeric(column: Column) -> bool:
    return column.masked or (isinstance(column.dtype, np.dtype) and column.dtype.kind in "biufc")


def across(name: str, columns: list[Column]) -> Column | None:
    """Return a reduction of each row, for columns of one float64 or int64 dtype."""
    if not columns or name not in ("sum", "mean", "min", "max", "count"):
        return None
    first = columns[0]
    if any(not each.plain or each.dtype != first.dtype for each in columns) or first.dtype not in (_F8, _I8):
        return None
    floating = first.dtype == _F8
    present = [ir.map_("logical_not", ir.map_("isnan", each.expr)) for each in columns] if floating else []
    if name in ("min", "max"):
        found = columns[0].expr
        for each in columns[1:]:
            found = ir.map_("fmin" if name == "min" else "fmax", found, each.expr)
        return Column(first.dtype, first.domain, found)
    count: Any = None
    for mask in present:
        one = ir.cast(mask, np.int64)
        count = one if count is None else ir.map_("add", count, one)
    if name == "count":
        if count is None:
            count = first.domain.full(ir.const(len(columns), np.int64))
            if count is None:
                return None
        return Column(_I8, first.domain, count)
    total: Any = None
    for k, each in enumerate(columns):
        term = ir.select(present[k], each.expr, ir.const(0.0)) if floating else each.expr
        total = term if total is None else ir.map_("add", total, term)
    if name == "mean":
        total = ir.map_("divide", total, ir.const(float(len(columns))) if count is None else count)
    return Column(total.dtype, first.domain, total)


_F8, _I8 = np.dtype(np.float64), np.dtype(np.int64)
