"""Missing and unwanted values: isna, fillna, where, mask, clip, round, isin, between, replace, map, astype."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from workbench.fusion import expr as ir
from workbench.fusion.capture.arithmetic import there
from workbench.fusion.capture.columns import Column
from workbench.fusion.capture.lazy import LazyPandas
from workbench.fusion.capture.replacing import (
    NOTHING,
    absent,
    among,
    bounded,
    cast_column,
    exchanged,
    filled,
    kept_where,
    known,
    looked_up,
    rounded,
)
from workbench.fusion.capture.selection import mask_over, restricted

__all__ = ["FrameCleaning", "SeriesCleaning"]


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

    def fillna(self, value: Any = NOTHING, *args: Any, **kwargs: Any) -> Any:
        """Return it with missing values replaced."""
        from workbench.fusion.capture.series import LazySeries

        if not args and not kwargs and value is not None and value is not NOTHING:
            other = restricted(value, self._column.domain) if isinstance(value, LazySeries) else value
            found = None if other is None else filled(self._column, other)
            if found is not None:
                return self._new(found)
        given = () if value is NOTHING else (value,)
        return self._pandas("fillna", *given, *args, **kwargs)

    def where(self, cond: Any, other: Any = NOTHING, *args: Any, **kwargs: Any) -> Any:
        """Return it where a condition holds, else another value."""
        return self._where("where", cond, other, args, kwargs)

    def mask(self, cond: Any, other: Any = NOTHING, *args: Any, **kwargs: Any) -> Any:
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
        given = (cond,) if other is NOTHING else (cond, other)
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

    def replace(self, to_replace: Any = None, value: Any = NOTHING, **kwargs: Any) -> Any:
        """Return it with some values replaced by others."""
        if not kwargs:
            found = exchanged(self._column, to_replace, value)
            if found is not None:
                return self._new(found)
        given = (to_replace,) if value is NOTHING else (to_replace, value)
        return self._pandas("replace", *given, **kwargs)

    def map(self, func: Any = None, na_action: Any = None, **kwargs: Any) -> Any:
        """Return for each value what a dict, a Series or a function makes of it."""
        from workbench.fusion.capture.fallback import forced

        func = forced(func)
        found = looked_up(self._column, func) if na_action is None and not kwargs else None
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

    def fillna(self, value: Any = NOTHING, *args: Any, **kwargs: Any) -> Any:
        """Return it with missing values replaced."""
        if not args and not kwargs and value is not None and value is not NOTHING:
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
        given = () if value is NOTHING else (value,)
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

    def where(self, cond: Any, other: Any = NOTHING, *args: Any, **kwargs: Any) -> Any:
        """Return it where a condition holds, else another value."""
        return self._where("where", cond, other, args, kwargs)

    def mask(self, cond: Any, other: Any = NOTHING, *args: Any, **kwargs: Any) -> Any:
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
        given = (cond,) if other is NOTHING else (cond, other)
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

    def dropna(self, *, axis: Any = 0, how: Any = NOTHING, subset: Any = None, **kwargs: Any) -> Any:
        """Return the rows without missing values."""
        if axis in (0, "index") and not kwargs and how in (NOTHING, "any", "all") and self._labels.is_unique:
            labels = [subset] if isinstance(subset, str) else list(self._labels if subset is None else subset)
            if labels and all(label in self._labels for label in labels):
                columns = [self._all()[self._labels.get_loc(label)] for label in labels]
                if all(known(column) for column in columns):
                    return self._over(self._complete(columns, how == "all"))
        given = {} if how is NOTHING else {"how": how}
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
