"""Missing and unwanted values: isna, fillna, where, mask, clip, round, isin, between, replace, map, astype."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.fusion import expr as ir
from workbench.fusion.capture.arithmetic import as_constant, both, there
from workbench.fusion.capture.columns import Column, missing
from workbench.fusion.capture.fallback import is_lazy
from workbench.fusion.capture.lazy import LazyPandas
from workbench.fusion.capture.selection import mask_over, restricted
from workbench.fusion.capture.words import Words
from workbench.fusion.capture.writes import holds, replaced

if TYPE_CHECKING:
    pass

__all__ = ["FrameCleaning", "SeriesCleaning", "absent", "cast_column", "known"]

_NOTHING: Any = object()


def known(column: Column) -> bool:
    """Return whether it can be told, without looking at Python objects, where a column is missing."""
    return column.computes or column.coded() is not None


def absent(column: Column) -> Column | None:
    """Return where a column is missing, as booleans; None if pandas has to look."""
    if not known(column):
        return None
    found = there(column)
    domain = column.domain
    if found is None:
        found = domain.full(ir.const(np.bool_(False)))
    else:
        found = ir.map_("logical_not", found)
    return None if found is None else Column(np.dtype(bool), domain, found)


def filled(column: Column, value: Any) -> Column | None:
    """Return a column with a single value, or another column's, where it is missing."""
    if not known(column):
        return None
    present = there(column)
    if isinstance(value, Column):
        if present is None or not column.plain or value.dtype != column.dtype:
            return None
        return Column(column.dtype, column.domain, ir.select(present, column.expr, value.expr))
    if is_lazy(value) or isinstance(value, (dict, list, np.ndarray)):
        if present is None or column.masked or not hasattr(value, "expr"):
            return None
        return replaced(column, ir.map_("logical_not", present), value)
    if column.masked:
        kind = column.expr.dtype
        if not holds(kind, value):
            return None
        if present is None:
            return column
        return Column(column.dtype, column.domain, ir.select(present, column.expr, ir.const(value, kind)))
    if present is None:
        return column if as_constant(value) is not None else None
    if column.time:
        return None
    return replaced(column, ir.map_("logical_not", present), value)


def kept_where(column: Column, condition: Any, other: Any) -> Column | None:
    """Return a column where a mask holds, and elsewhere another value or what stands for missing."""
    if other is _NOTHING or other is None or (isinstance(other, float) and other != other):
        if column.masked:
            return Column(column.dtype, column.domain, column.expr, valid=both(column.valid, condition))
        if column.text:
            return replaced(column, ir.map_("logical_not", condition), None)
        if column.time or column.dtype == np.float64 or column.dtype == np.float32:
            nothing = ir.const(missing(column.dtype), column.expr.dtype)
            return Column(column.dtype, column.domain, ir.select(condition, column.expr, nothing))
        return None
    return replaced(column, ir.map_("logical_not", condition), other)


def bounded(column: Column, lower: Any, upper: Any) -> Column | None:
    """Return a column with values below and above bounds replaced by them; missing ones stay."""
    if not column.plain or column.dtype.kind == "b":
        return None
    if lower is not None and upper is not None and lower > upper:
        lower, upper = upper, lower
    found = x = column.expr
    for bound, op in ((upper, "greater"), (lower, "less")):
        if bound is None:
            continue
        if not holds(column.dtype, bound):
            return None
        limit = ir.const(bound, column.dtype)
        found = ir.select(ir.map_(op, x, limit), limit, found)
    return Column(column.dtype, column.domain, found)


def rounded(column: Column, decimals: int) -> Column | None:
    """Return a column rounded as NumPy rounds: scaled, rounded to even, scaled back."""
    if not column.plain or column.dtype.kind == "b":
        return None
    if column.dtype.kind in "iu":
        return column if decimals >= 0 else None
    if column.dtype != np.float64 or abs(decimals) > 22:
        return None
    x = column.expr
    if decimals:
        x = ir.map_("multiply" if decimals > 0 else "divide", x, ir.const(10.0 ** abs(decimals)))
    x = ir.map_("rint", x)
    if decimals:
        x = ir.map_("divide" if decimals > 0 else "multiply", x, ir.const(10.0 ** abs(decimals)))
    return Column(column.dtype, column.domain, x)


def among(column: Column, values: Any) -> Column | None:
    """Return where a column's value is one of some."""
    import pandas as pd

    if isinstance(values, (str, bytes)) or is_lazy(values) or not isinstance(values, (list, tuple, set, np.ndarray)):
        return None
    some = list(values)
    coded = column.coded() if column.text else None
    if coded is not None:
        if not all(type(each) is str for each in some):
            return None
        from workbench.fusion.capture.arithmetic import table

        codes, words = coded
        return table(column, codes, words.values.isin(some).to_numpy(bool), fill=False)
    if not column.plain:
        return None
    integers = column.dtype.kind in "iu" and all(type(each) is int and abs(each) < 2**31 for each in some)
    if integers and 0 < len(some) <= 8:
        found = ir.map_("equal", column.expr, ir.const(np.int64(some[0])))
        for each in some[1:]:
            found = ir.map_("logical_or", found, ir.map_("equal", column.expr, ir.const(np.int64(each))))
        return Column(found.dtype, column.domain, found)
    found = ir.extern("isin", lambda x: pd.Series(x).isin(some).to_numpy(), (column.expr,), bool, column.expr.shape)
    return Column(found.dtype, column.domain, found)


def cast_column(column: Column, dtype: Any) -> Column | None:
    """Return a column in another dtype; None if that depends on values."""
    import pandas as pd

    from workbench.fusion.capture.columns import plain

    try:
        to = pd.api.types.pandas_dtype(dtype)
    except TypeError:
        return None
    if to == column.dtype:
        return column
    if not column.plain or not plain(to) or (column.dtype.kind == "f" and to.kind in "iu"):
        return None
    return Column(to, column.domain, ir.cast(column.expr, to))


class SeriesCleaning(LazyPandas):
    """What LazySeries has of it."""

    _column: Column
    _new: Callable[..., Any]
    _pandas: Callable[..., Any]

    def isna(self) -> Any:
        """Return where values are missing."""
        found = absent(self._column)
        return self._pandas("isna") if found is None else self._new(found)

    def notna(self) -> Any:
        """Return where values are not missing."""
        found = absent(self._column)
        return self._pandas("notna") if found is None else ~self._new(found)

    isnull, notnull = isna, notna

    def fillna(self, value: Any = _NOTHING, *args: Any, **kwargs: Any) -> Any:
        """Return it with missing values replaced."""
        from workbench.fusion.capture.series import LazySeries

        if not args and not kwargs and value is not None and value is not _NOTHING:
            other = restricted(value, self._column.domain) if isinstance(value, LazySeries) else value
            found = None if other is None else filled(self._column, other)
            if found is not None:
                return self._new(found)
        given = () if value is _NOTHING else (value,)
        return self._pandas("fillna", *given, *args, **kwargs)

    def where(self, cond: Any, other: Any = _NOTHING, *args: Any, **kwargs: Any) -> Any:
        """Return it where a condition holds, else another value."""
        return self._where("where", cond, other, args, kwargs)

    def mask(self, cond: Any, other: Any = _NOTHING, *args: Any, **kwargs: Any) -> Any:
        """Return it where a condition does not hold, else another value."""
        return self._where("mask", cond, other, args, kwargs)

    def _where(self, name: str, cond: Any, other: Any, args: Any, kwargs: Any) -> Any:
        from workbench.fusion.capture.frame import lazily

        if not args and not kwargs and not callable(cond) and not callable(other):
            cond, other = lazily(cond), lazily(other)
            dtype = getattr(cond, "dtype", None)
            condition = mask_over(cond, self._column.domain) if isinstance(dtype, np.dtype) or dtype is None else None
            if condition is not None:
                if name == "mask":
                    condition = ir.map_("logical_not", condition)
                found = kept_where(self._column, condition, other) if known(self._column) else None
                if found is not None:
                    return self._new(found)
        given = (cond,) if other is _NOTHING else (cond, other)
        why = "data-dependent dtype" if self._column.plain else "unsupported operation"
        return self._pandas(name, *given, *args, reason=why, **kwargs)

    def clip(self, lower: Any = None, upper: Any = None, **kwargs: Any) -> Any:
        """Return it with values outside of bounds replaced by the bounds."""
        bounds = [None if isinstance(each, float) and each != each else each for each in (lower, upper)]
        if not kwargs and all(each is None or isinstance(each, (int, float)) for each in bounds):
            found = bounded(self._column, *bounds)
            if found is not None:
                return self._new(found)
        return self._pandas("clip", lower, upper, **kwargs)

    def round(self, decimals: Any = 0, *args: Any, **kwargs: Any) -> Any:
        """Return it rounded to some decimals."""
        found = rounded(self._column, decimals) if type(decimals) is int and not args and not kwargs else None
        return self._pandas("round", decimals, *args, **kwargs) if found is None else self._new(found)

    def isin(self, values: Any) -> Any:
        """Return where values are among some."""
        found = among(self._column, values)
        return self._pandas("isin", values) if found is None else self._new(found)

    def between(self, left: Any, right: Any, inclusive: str = "both") -> Any:
        """Return where values are between two."""
        if inclusive not in ("both", "left", "right", "neither"):
            return self._pandas("between", left, right, inclusive=inclusive)
        me: Any = self
        low = me >= left if inclusive in ("both", "left") else me > left
        high = me <= right if inclusive in ("both", "right") else me < right
        return low & high

    def astype(self, dtype: Any, *args: Any, **kwargs: Any) -> Any:
        """Return it in another dtype."""
        found = cast_column(self._column, dtype) if not args and not kwargs and not isinstance(dtype, dict) else None
        why = "data-dependent dtype" if self._column.plain else "unsupported operation"
        return self._pandas("astype", dtype, *args, reason=why, **kwargs) if found is None else self._new(found)

    def replace(self, to_replace: Any = None, value: Any = _NOTHING, **kwargs: Any) -> Any:
        """Return it with some values replaced by others."""
        if not kwargs:
            found = _exchanged(self._column, to_replace, value)
            if found is not None:
                return self._new(found)
        given = (to_replace,) if value is _NOTHING else (to_replace, value)
        return self._pandas("replace", *given, **kwargs)

    def map(self, func: Any = None, na_action: Any = None, **kwargs: Any) -> Any:
        """Return for each value what a dict, a Series or a function makes of it."""
        from workbench.fusion.capture.fallback import forced

        func = forced(func)
        found = _looked_up(self._column, func) if na_action is None and not kwargs else None
        why = "user function" if callable(func) and not hasattr(func, "map") else "data-dependent dtype"
        if found is None:
            return self._pandas("map", func, na_action, reason=why, **kwargs)
        return self._new(found)

    def dropna(self, **kwargs: Any) -> Any:
        """Return it without missing values."""
        if kwargs or not known(self._column):
            return self._pandas("dropna", **kwargs)
        present = there(self._column)
        if present is None:
            return self._new(self._column)
        domain = self._column.domain.filter(present)
        return self._new(self._column.on(domain))


def _exchanged(column: Column, old: Any, new: Any) -> Column | None:
    if column.text and isinstance(old, dict) and new is _NOTHING:
        pairs = old
    elif column.text and type(old) is str and type(new) is str:
        pairs = {old: new}
    elif column.plain and new is not _NOTHING and column.dtype.kind in "iuf":
        if not holds(column.dtype, old) or not holds(column.dtype, new) or column.dtype == np.float32:
            return None
        return replaced(column, ir.map_("equal", column.expr, ir.const(old, column.dtype)), new)
    else:
        return None
    coded = column.coded()
    if coded is None or not all(type(each) is str for pair in pairs.items() for each in pair):
        return None
    codes, words = coded
    return Column(column.dtype, column.domain, codes, words=Words(words.values.replace(pairs), False))


def _looked_up(column: Column, values: Any) -> Column | None:
    """Return strings mapped word by word, where all words of the dictionary stand in the column and none is missing."""
    import pandas as pd

    from workbench.fusion.capture.arithmetic import table
    from workbench.fusion.capture.columns import plain

    if not column.text or not isinstance(values, (dict, pd.Series)) or column.source is None:
        return None
    coded = column.coded()
    if coded is None or column.domain is not column.source.home or column.gaps or column.source.missing_words():
        return None
    codes, words = coded
    found = words.values.map(values)
    if plain(found.dtype):
        return table(column, codes, found.to_numpy(), fill=0)
    return Column(found.dtype, column.domain, codes, words=Words(found, False)) if found.dtype == column.dtype else None


class FrameCleaning(LazyPandas):
    """What LazyFrame has of it: columns one by one, where all fuse."""

    _all: Callable[[], list[Column]]
    _new: Callable[..., Any]
    _pandas: Callable[..., Any]
    _labels: Any
    _domain: Any
    _over: Callable[..., Any]

    def _each(self, change: Callable[[Column], Column | None]) -> Any:
        """Return the frame with each column changed; None if one cannot be."""
        found = []
        for column in self._all():
            changed = change(column)
            if changed is None:
                return None
            found.append(changed)
        return self._new(found, self._labels)

    def isna(self) -> Any:
        """Return where values are missing."""
        found = self._each(absent)
        return self._pandas("isna") if found is None else found

    def notna(self) -> Any:
        """Return where values are not missing."""
        found = self._each(absent)
        return self._pandas("notna") if found is None else ~found

    isnull, notnull = isna, notna

    def fillna(self, value: Any = _NOTHING, *args: Any, **kwargs: Any) -> Any:
        """Return it with missing values replaced."""
        if not args and not kwargs and value is not None and value is not _NOTHING:
            found = None
            if isinstance(value, dict) and self._labels.is_unique and all(each in self._labels for each in value):
                names = iter(self._labels)
                found = self._each(
                    lambda column: filled(column, value[name]) if (name := next(names)) in value else column
                )
            elif not isinstance(value, (dict, LazyPandas)):
                found = self._each(lambda column: filled(column, value))
            if found is not None:
                return found
        given = () if value is _NOTHING else (value,)
        return self._pandas("fillna", *given, *args, **kwargs)

    def clip(self, lower: Any = None, upper: Any = None, **kwargs: Any) -> Any:
        """Return it with values outside of bounds replaced by the bounds."""
        bounds = [None if isinstance(each, float) and each != each else each for each in (lower, upper)]
        if not kwargs and all(each is None or isinstance(each, (int, float)) for each in bounds):
            found = self._each(lambda column: bounded(column, *bounds))
            if found is not None:
                return found
        return self._pandas("clip", lower, upper, **kwargs)

    def round(self, decimals: Any = 0, *args: Any, **kwargs: Any) -> Any:
        """Return it rounded to some decimals."""
        found = None
        if type(decimals) is int and not args and not kwargs:
            found = self._each(lambda column: rounded(column, decimals) if column.plain else None)
        return self._pandas("round", decimals, *args, **kwargs) if found is None else found

    def where(self, cond: Any, other: Any = _NOTHING, *args: Any, **kwargs: Any) -> Any:
        """Return it where a condition holds, else another value."""
        return self._where("where", cond, other, args, kwargs)

    def mask(self, cond: Any, other: Any = _NOTHING, *args: Any, **kwargs: Any) -> Any:
        """Return it where a condition does not hold, else another value."""
        return self._where("mask", cond, other, args, kwargs)

    def _where(self, name: str, cond: Any, other: Any, args: Any, kwargs: Any) -> Any:
        if not args and not kwargs and isinstance(cond, FrameCleaning) and not isinstance(other, (LazyPandas, list)):
            same = cond._domain.same_rows(self._domain) and cond._labels.equals(self._labels)
            conditions = iter(cond._all()) if same and self._labels.is_unique else iter(())

            def change(column: Column) -> Column | None:
                condition = next(conditions, None)
                if condition is None or condition.dtype != bool or not known(column):
                    return None
                mask = condition.expr if name == "where" else ir.map_("logical_not", condition.expr)
                return kept_where(column, mask, other)

            found = self._each(change) if len(self._labels) and not callable(other) else None
            if found is not None:
                return found
        given = (cond,) if other is _NOTHING else (cond, other)
        return self._pandas(name, *given, *args, **kwargs)

    def astype(self, dtype: Any, *args: Any, **kwargs: Any) -> Any:
        """Return it in other dtypes."""
        found = None
        if not args and not kwargs and self._labels.is_unique:
            if isinstance(dtype, dict):
                if all(each in self._labels for each in dtype):
                    names = iter(self._labels)
                    found = self._each(
                        lambda column: cast_column(column, dtype[name]) if (name := next(names)) in dtype else column
                    )
            elif not isinstance(dtype, LazyPandas):
                found = self._each(lambda column: cast_column(column, dtype))
        return self._pandas("astype", dtype, *args, **kwargs) if found is None else found

    def dropna(self, *, axis: Any = 0, how: Any = _NOTHING, subset: Any = None, **kwargs: Any) -> Any:
        """Return the rows without missing values."""
        if axis in (0, "index") and not kwargs and how in (_NOTHING, "any", "all") and self._labels.is_unique:
            labels = [subset] if isinstance(subset, str) else list(self._labels if subset is None else subset)
            if labels and all(label in self._labels for label in labels):
                columns = [self._all()[self._labels.get_loc(label)] for label in labels]
                if all(known(column) for column in columns):
                    return self._over(self._complete(columns, how == "all"))
        given = {} if how is _NOTHING else {"how": how}
        return self._pandas("dropna", axis=axis, subset=subset, **given, **kwargs)

    def _complete(self, columns: list[Column], some: bool) -> Any:
        """Return the rows in which all of some columns are there, or any of them."""
        masks = [there(column) for column in columns]
        if some and any(mask is None for mask in masks):
            return self._domain
        found = None
        for mask in masks:
            if mask is not None:
                found = mask if found is None else ir.map_("logical_or" if some else "logical_and", found, mask)
        return self._domain if found is None else self._domain.filter(found)
