"""Order and repetition: sort_values, unique, value_counts, duplicates, the largest, and running values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.fusion import expr as ir
from workbench.fusion.capture.columns import Column, missing
from workbench.fusion.capture.domains import Counted, Domain, Keyed
from workbench.fusion.capture.keys import group_keys, key_of, sort_keys
from workbench.fusion.capture.scalars import LazyValue
from workbench.fusion.capture.scans import Scans, difference, running, shifted

if TYPE_CHECKING:
    from workbench.fusion.expr import Expr

__all__ = ["FrameOrdering", "SeriesOrdering", "sorted_rows"]


def sorted_rows(domain: Domain, columns: Sequence[Column], ascending: Sequence[bool]) -> Domain | None:
    """Return the rows in stable order of some columns, missing values last; None if pandas has to sort."""
    keys = sort_keys(columns, ascending)
    return None if keys is None else domain.take(ir.sort(keys, ascending))


def _ascending(value: Any, count: int) -> list[bool] | None:
    if isinstance(value, (bool, np.bool_)):
        return [bool(value)] * count
    if isinstance(value, list) and len(value) == count and all(isinstance(each, (bool, np.bool_)) for each in value):
        return [bool(each) for each in value]
    return None


def first_rows(keys: Sequence[Expr], keep: str) -> Expr:
    """Return where a combination of keys stands for the first time (or the last)."""
    [*_, codes] = ir.group_reduce(keys, [("codes", None)], sort=False, dropna=False)
    function = _first_of if keep == "first" else _last_of
    return ir.extern("first of each", function, (codes,), bool, codes.shape)


def _first_of(codes: Any) -> Any:
    # groups are numbered as they appear: a number above all before it is a new one
    before = np.empty_like(codes)
    if len(codes):
        before[0] = -1
        np.maximum.accumulate(codes[:-1], out=before[1:])
    return codes > before


def _last_of(codes: Any) -> Any:
    found = np.zeros(len(codes), bool)
    last = np.zeros(int(codes.max()) + 1 if len(codes) else 0, np.int64)
    last[codes] = np.arange(len(codes))
    found[last] = True
    return found


class SeriesOrdering(Scans):
    """What LazySeries has of it."""

    _column: Column
    _name: Any
    _new: Callable[..., Any]
    _pandas: Callable[..., Any]

    def sort_values(self, *, ascending: Any = True, ignore_index: bool = False, **kwargs: Any) -> Any:
        """Return it in ascending or descending order, equal values as they stood, missing ones last."""
        up = _ascending(ascending, 1)
        if up is not None and set(kwargs) <= {"kind", "axis"}:
            domain = sorted_rows(self._column.domain, [self._column], up)
            if domain is not None:
                if ignore_index:
                    domain = domain.relabel(Counted())
                return self._new(self._column.on(domain))
        return self._pandas("sort_values", ascending=ascending, ignore_index=ignore_index, **kwargs)

    def nlargest(self, n: int = 5, keep: str = "first") -> Any:
        """Return the largest values."""
        return self._extremes("nlargest", n, keep, False)

    def nsmallest(self, n: int = 5, keep: str = "first") -> Any:
        """Return the smallest values."""
        return self._extremes("nsmallest", n, keep, True)

    def _extremes(self, name: str, n: int, keep: str, up: bool) -> Any:
        if keep == "first" and type(n) is int and n > 0 and self._column.plain and self._column.dtype.kind in "iuf":
            domain = sorted_rows(self._column.domain, [self._column], [up])
            if domain is not None:
                return self._new(self._column.on(domain.slice(slice(0, n))))
        return self._pandas(name, n, keep)

    def head(self, n: int = 5) -> Any:
        """Return the first rows."""
        return self._new(self._column.on(self._column.domain.slice(slice(None, n))))

    def tail(self, n: int = 5) -> Any:
        """Return the last rows."""
        rows = slice(-n, None) if n > 0 else slice(-n, None) if n < 0 else slice(0, 0)
        return self._new(self._column.on(self._column.domain.slice(rows)))

    def unique(self) -> Any:
        """Return the values in order of first appearance: an array."""
        key = key_of(self._column, ordered=False)
        if key is None:
            return self._pandas("unique")
        found = _distinct(key.expr)
        back = key.back(found, self._column.domain)

        def made(values: Sequence[Any]) -> Any:
            array = back.build(values)
            if back.words is None and back.dtype.kind in "mM":
                import pandas as pd

                return pd.Series(array).array
            return array

        return LazyValue([found], made, self._notes)

    def nunique(self, dropna: bool = True) -> Any:
        """Return how many different values there are."""
        key = key_of(self._column, ordered=False)
        if key is None:
            return self._pandas("nunique", dropna)
        exprs = [_distinct(key.expr)]
        nothing = None if key.missing is None else -1 if key.words is not None else missing(self._column.dtype)

        def made(values: Sequence[Any]) -> int:
            some = values[0]
            absent = some != some if nothing is None else some == nothing
            return int(len(some) - (np.count_nonzero(absent) if dropna else 0))

        return LazyValue(exprs, made, self._notes)

    def value_counts(
        self, normalize: bool = False, sort: bool = True, ascending: bool = False, bins: Any = None, dropna: bool = True
    ) -> Any:
        """Return how often each value stands, the most frequent first."""
        if bins is None and not normalize and dropna and isinstance(sort, bool):
            found = self._frequencies(sort, ascending)
            if found is not None:
                return found
        return self._pandas("value_counts", normalize, sort, ascending, bins, dropna)

    def _frequencies(self, sort: bool, ascending: bool) -> Any:
        from workbench.fusion.capture.series import LazySeries

        column = self._column
        grouped = group_keys([column], False, True)
        if grouped is None or ascending:
            return None
        [key], keep = grouped
        if keep is not None:
            column = column.on(column.domain.filter(keep))
            grouped = group_keys([column], False, True)
            assert grouped is not None
            [key] = grouped[0]
        values, sizes = ir.group_reduce([key.expr], [("size", None)], sort=False)
        domain = Domain(sizes.shape[0])
        domain._labels = Keyed([key.back(values, domain)], [self._name])
        counts = Column(sizes.dtype, domain, sizes)
        if sort:
            ordered = domain.take(ir.sort([sizes], [False]))
            counts = counts.on(ordered)
        return LazySeries(counts, "count", self._notes)

    def drop_duplicates(self, *, keep: Any = "first", ignore_index: bool = False, **kwargs: Any) -> Any:
        """Return it without values that stood before."""
        key = key_of(self._column, ordered=False)
        if key is None or kwargs or keep not in ("first", "last"):
            return self._pandas("drop_duplicates", keep=keep, ignore_index=ignore_index, **kwargs)
        domain = self._column.domain.filter(first_rows([key.expr], keep))
        return self._new(self._column.on(domain.relabel(Counted()) if ignore_index else domain))

    def duplicated(self, keep: Any = "first") -> Any:
        """Return which values stood before."""
        key = key_of(self._column, ordered=False)
        if key is None or keep not in ("first", "last"):
            return self._pandas("duplicated", keep)
        found = ir.map_("logical_not", first_rows([key.expr], keep))
        return self._new(Column(found.dtype, self._column.domain, found))

    def shift(self, periods: Any = 1, *args: Any, **kwargs: Any) -> Any:
        """Return it moved by some rows."""
        found = shifted(self._column, periods) if type(periods) is int and not args and not kwargs else None
        return self._pandas("shift", periods, *args, **kwargs) if found is None else self._new(found)

    def diff(self, periods: Any = 1) -> Any:
        """Return differences to the row some rows before."""
        found = difference(self._column, periods) if type(periods) is int else None
        return self._pandas("diff", periods) if found is None else self._new(found)

    def _scan(self, name: str, args: Any, kwargs: Any) -> Any:
        found = None if args or kwargs else running(self._column, name)
        return self._pandas(name, *args, **kwargs) if found is None else self._new(found)


def _distinct(key: Expr) -> Expr:
    """Return the distinct keys in order of first appearance."""
    if key.dtype.kind in "biu" and key.dtype != np.uint64:  # groups of which nothing is asked, in one kernel
        return ir.group_reduce([key], [], sort=False, dropna=False)[0]
    return ir.extern("unique", _unique, (key,), key.dtype, (ir.Size("unique"),))


def _unique(values: Any) -> Any:
    import pandas as pd

    return pd.unique(values)


class FrameOrdering(Scans):
    """What LazyFrame has of it."""

    _all: Callable[[], list[Column]]
    _column: Callable[[int], Column]
    _new: Callable[..., Any]
    _over: Callable[[Domain], Any]
    _pandas: Callable[..., Any]
    _labels: Any
    _domain: Any

    def _named(self, by: Any) -> list[Column] | None:
        """Return the columns of one label or several; None if they are not plainly there."""
        labels = by if isinstance(by, list) else [by]
        try:
            if not labels or self._labels.nlevels > 1 or not all(each in self._labels for each in labels):
                return None
        except TypeError:
            return None
        places = [self._labels.get_loc(each) for each in labels]
        return [self._column(k) for k in places] if all(isinstance(k, int) for k in places) else None

    def sort_values(self, by: Any, *, ascending: Any = True, ignore_index: bool = False, **kwargs: Any) -> Any:
        """Return the rows in ascending or descending order of some columns, equal ones as they stood."""
        columns = self._named(by)
        up = None if columns is None else _ascending(ascending, len(columns))
        if columns is not None and up is not None and set(kwargs) <= {"kind"}:
            domain = sorted_rows(self._domain, columns, up)
            if domain is not None:
                return self._over(domain.relabel(Counted()) if ignore_index else domain)
        return self._pandas("sort_values", by, ascending=ascending, ignore_index=ignore_index, **kwargs)

    def nlargest(self, n: int, columns: Any, keep: str = "first") -> Any:
        """Return the rows with the largest values."""
        return self._extremes("nlargest", n, columns, keep, False)

    def nsmallest(self, n: int, columns: Any, keep: str = "first") -> Any:
        """Return the rows with the smallest values."""
        return self._extremes("nsmallest", n, columns, keep, True)

    def _extremes(self, name: str, n: int, by: Any, keep: str, up: bool) -> Any:
        columns = self._named(by)
        # with NaN in columns before the last pandas has a meaning of its own: more rows than asked for, or an error
        plain = columns is not None and all(
            each.plain and each.dtype.kind in ("iuf" if k == len(columns) - 1 else "iu")
            for k, each in enumerate(columns)
        )
        if plain and columns is not None and keep == "first" and type(n) is int and n > 0:
            domain = sorted_rows(self._domain, columns, [up] * len(columns))
            if domain is not None:
                return self._over(domain.slice(slice(0, n)))
        return self._pandas(name, n, by, keep)

    def head(self, n: int = 5) -> Any:
        """Return the first rows."""
        return self._over(self._domain.slice(slice(None, n)))

    def tail(self, n: int = 5) -> Any:
        """Return the last rows."""
        return self._over(self._domain.slice(slice(-n, None) if n else slice(0, 0)))

    def drop_duplicates(
        self, subset: Any = None, *, keep: Any = "first", inplace: bool = False, ignore_index: bool = False
    ) -> Any:
        """Return the rows without those that stood before."""
        mask = None if inplace else self._first(subset, keep)
        if mask is None:
            return self._pandas("drop_duplicates", subset, keep=keep, inplace=inplace, ignore_index=ignore_index)
        domain = self._domain.filter(mask)
        return self._over(domain.relabel(Counted()) if ignore_index else domain)

    def duplicated(self, subset: Any = None, keep: Any = "first") -> Any:
        """Return which rows stood before."""
        from workbench.fusion.capture.series import LazySeries

        mask = self._first(subset, keep)
        if mask is None:
            return self._pandas("duplicated", subset, keep)
        found = ir.map_("logical_not", mask)
        return LazySeries(Column(found.dtype, self._domain, found), None, self._notes)

    def _first(self, subset: Any, keep: Any) -> Expr | None:
        columns = (
            self._all()
            if subset is None
            else self._named(list(subset) if isinstance(subset, (list, tuple)) else subset)
        )
        if not columns or keep not in ("first", "last"):
            return None
        keys = [key_of(each, ordered=False) for each in columns]
        found = [key.expr for key in keys if key is not None]
        return first_rows(found, keep) if len(found) == len(keys) else None

    def _each_or(self, name: str, change: Callable[[Column], Column | None], *args: Any, **kwargs: Any) -> Any:
        found: list[Column] = []
        for column in self._all():
            changed = change(column)
            if changed is None:
                return self._pandas(name, *args, **kwargs)
            found.append(changed)
        return self._new(found, self._labels)

    def shift(self, periods: Any = 1, *args: Any, **kwargs: Any) -> Any:
        """Return the rows moved by some."""
        if type(periods) is not int or args or kwargs:
            return self._pandas("shift", periods, *args, **kwargs)
        return self._each_or("shift", lambda column: shifted(column, periods), periods)

    def diff(self, periods: Any = 1, axis: Any = 0) -> Any:
        """Return differences to the row some rows before."""
        if type(periods) is not int or axis not in (0, "index"):
            return self._pandas("diff", periods, axis)
        return self._each_or("diff", lambda column: difference(column, periods), periods)

    def _scan(self, name: str, args: Any, kwargs: Any) -> Any:
        if args or kwargs:
            return self._pandas(name, *args, **kwargs)
        return self._each_or(name, lambda column: running(column, name))
