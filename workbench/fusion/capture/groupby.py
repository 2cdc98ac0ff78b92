"""Groups: reductions, agg, transform, head and size by keys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.fusion import expr as ir
from workbench.fusion.capture.columns import Column
from workbench.fusion.capture.domains import Counted, Domain, Keyed
from workbench.fusion.capture.fallback import is_lazy, run_in_pandas
from workbench.fusion.capture.keys import Key, group_keys, key_of
from workbench.fusion.capture.selection import restricted

if TYPE_CHECKING:
    from workbench.fusion.capture.frame import LazyFrame
    from workbench.fusion.capture.series import LazySeries
    from workbench.fusion.expr import Expr

__all__ = ["LazyGroupBy", "group_by"]

#: aggregates of numbers
AGGREGATES = frozenset(
    {
        "sum", "prod", "mean", "var", "std", "min", "max", "count", "first", "last", "any", "all", "nunique", "size",
    }
)  # fmt: skip


class _Grouping:
    """Rows by group: keys as numbers, over rows of which those with missing keys are gone."""

    def __init__(self, domain: Domain, keys: list[Key], names: list[Any], sort: bool, dropna: bool) -> None:
        self.domain, self.keys, self.names, self.sort, self.dropna = domain, keys, names, sort, dropna

    def reduce(
        self, values: Sequence[tuple[str, Expr | None]], ddof: int = 1
    ) -> tuple[Domain, list[Column], list[Expr]]:
        """Return the domain of the groups, their keys, and the aggregates over it."""
        exprs = [key.expr for key in self.keys]
        found = ir.group_reduce(exprs, values, sort=self.sort, dropna=self.dropna, ddof=ddof)
        domain = Domain(found[0].shape[0])
        keys = [key.back(each, domain) for key, each in zip(self.keys, found, strict=False)]
        return domain, keys, list(found[len(keys) :])

    def codes(self) -> Expr:
        """Return for each row the number of its group."""
        exprs = [key.expr for key in self.keys]
        return ir.group_reduce(exprs, [("codes", None)], sort=self.sort, dropna=self.dropna)[-1]

    def drops(self) -> bool:
        """Return whether a row may be in no group."""
        return self.dropna and any(key.expr.dtype.kind == "f" for key in self.keys)


def group_by(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> LazyGroupBy:
    """Return the groups of a frame or a Series; what pandas does not take raises here, as there."""
    found = LazyGroupBy(target, args, kwargs)
    if found._grouping() is None:
        found._in_pandas()
    return found


class LazyGroupBy:
    """What `groupby` gives, for a frame, some of its columns, or one."""

    def __init__(
        self, target: LazyFrame | LazySeries, args: tuple[Any, ...], kwargs: dict[str, Any], selection: Any = None
    ) -> None:
        self._target, self._args, self._kwargs, self._selection = target, args, kwargs, selection
        self._found: _Grouping | None = None
        self._looked = False

    # what pandas does

    def _of_pandas(self, value: Any, args: Any, kwargs: Any) -> Any:
        groups = value.groupby(*args, **kwargs)
        return groups if self._selection is None else groups[self._selection]

    def _in_pandas(self) -> Any:
        from workbench.fusion.capture.fallback import forced

        plain = [_forced(each) for each in self._args]
        named = {key: _forced(each) for key, each in self._kwargs.items()}
        return self._of_pandas(forced(self._target), plain, named)

    def _pandas(self, name: str, *args: Any, reason: str = "unsupported operation", **kwargs: Any) -> Any:
        keys = [_forced(each) for each in self._args]
        named = {key: _forced(each) for key, each in self._kwargs.items()}

        def call(value: Any, *a: Any, **k: Any) -> Any:
            found = getattr(self._of_pandas(value, keys, named), name)
            return found(*a, **k) if callable(found) else found

        if any(callable(each) for each in args):
            reason = "user function"
        return run_in_pandas(f"groupby.{name}", call, self._target, *args, reason=reason, **kwargs)

    # what is grouped

    def _option(self, name: str, default: Any) -> Any:
        return self._kwargs.get(name, default)

    def _grouping(self) -> _Grouping | None:
        """Return the groups as expressions; None if pandas has to make them."""
        if not self._looked:
            self._looked = True
            self._found = self._find()
        return self._found

    def _find(self) -> _Grouping | None:
        known = {"by", "sort", "dropna", "as_index", "observed", "group_keys"}
        if len(self._args) > 1 or not set(self._kwargs) <= known or (self._args and "by" in self._kwargs):
            return None
        by = self._args[0] if self._args else self._kwargs.get("by")
        sort, dropna = self._option("sort", True), self._option("dropna", True)
        if not isinstance(sort, bool) or not isinstance(dropna, bool):
            return None
        columns: list[Column] = []
        names: list[Any] = []
        for each in by if isinstance(by, list) else [by]:
            found = self._key(each)
            if found is None:
                return None
            columns.append(found[0])
            names.append(found[1])
        if not columns or any(not each.plain and not each.time and not each.text for each in columns):
            return None
        grouped = group_keys(columns, sort, dropna)
        if grouped is None or (isinstance(self._rows.size, int) and self._rows.size == 0):
            return None
        keys, keep = grouped
        domain = self._rows
        if keep is not None:
            domain = domain.filter(keep)
            again = group_keys([each.on(domain) for each in columns], sort, dropna)
            assert again is not None
            keys = again[0]
        return _Grouping(domain, keys, names, sort, dropna)

    @property
    def _rows(self) -> Domain:
        return self._target._rows

    def _key(self, by: Any) -> tuple[Column, Any] | None:
        """Return one key as a column, and its name."""
        from workbench.fusion.capture.frame import LazyFrame, lazily
        from workbench.fusion.capture.series import LazySeries

        by = lazily(by)
        if isinstance(by, LazySeries):
            if by._column.domain.settled is not None and by._column.domain is not self._rows:
                by._fusion_value()
            column = restricted(by, self._rows)
            return None if column is None else (column, by._name)
        target = self._target
        if not isinstance(target, LazyFrame) or target._labels.nlevels > 1:
            return None
        try:
            if by not in target._labels or by in target._domain.labels.level_names():
                return None
            place = target._labels.get_loc(by)
        except TypeError:
            return None
        return (target._column(place), by) if isinstance(place, int) else None

    def __getitem__(self, key: Any) -> LazyGroupBy:
        from workbench.fusion.errors import no_column

        frame: Any = self._target
        wanted = list(key) if isinstance(key, (list, tuple)) else [key]
        for each in wanted:
            if isinstance(each, str) and each not in frame._labels:
                raise no_column(each, list(frame._labels))
        return LazyGroupBy(self._target, self._args, self._kwargs, list(key) if isinstance(key, tuple) else key)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._in_pandas())

    def __len__(self) -> int:
        return len(self._in_pandas())

    def __getattr__(self, name: str) -> Any:
        from workbench.fusion.capture.frame import LazyFrame

        if name.startswith("_"):
            raise AttributeError(name)
        if isinstance(self._target, LazyFrame) and self._selection is None and name in self._target._labels:
            import pandas as pd

            if not hasattr(pd.core.groupby.DataFrameGroupBy, name):
                return self[name]
        found = getattr(self._in_pandas(), name)
        if not callable(found):
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            why = "user function" if name in ("apply", "pipe", "filter") else "unsupported operation"
            return self._pandas(name, *args, reason=why, **kwargs)

        return call

    # values

    def _values(self, numeric_only: bool = False) -> tuple[list[Any], list[Column]] | None:
        """Return labels and columns that are aggregated, over the grouped rows; None if there are two of a label."""
        from workbench.fusion.capture.frame import LazyFrame

        target, grouping = self._target, self._grouping()
        if grouping is None:
            return None
        if not isinstance(target, LazyFrame):
            return [target._name], [target._column.on(grouping.domain)]
        if not target._labels.is_unique:
            return None
        labels = list(target._labels)
        if self._selection is not None:
            labels = self._selection if isinstance(self._selection, list) else [self._selection]
        else:
            keys = {each for each in self._key_labels() if isinstance(each, str) or each in labels}
            labels = [each for each in labels if each not in keys]
        columns = [target._column(target._labels.get_loc(each)).on(grouping.domain) for each in labels]
        if numeric_only:
            from workbench.fusion.capture.reductions import _numeric

            chosen = [k for k, each in enumerate(columns) if _numeric(each)]
            labels, columns = [labels[k] for k in chosen], [columns[k] for k in chosen]
        return labels, columns

    def _key_labels(self) -> list[Any]:
        by = self._args[0] if self._args else self._kwargs.get("by")
        return [
            each for each in (by if isinstance(by, list) else [by]) if not is_lazy(each) and not hasattr(each, "iloc")
        ]

    def _one(self) -> bool:
        """Return whether the result of an aggregate is a Series."""
        from workbench.fusion.capture.frame import LazyFrame

        if not isinstance(self._target, LazyFrame):
            return True
        return self._selection is not None and not isinstance(self._selection, list)

    def _aggregated(self, wanted: Sequence[tuple[Any, str, Column]], ddof: int = 1) -> Any:
        """Return a frame of aggregates: for each its label, the aggregate's name and the column; None for pandas."""
        grouping = self._grouping()
        if grouping is None:
            return None
        asked: list[tuple[str, Expr | None]] = []
        back = []
        for _, name, column in wanted:
            found = _aggregate(name, column)
            if found is None:
                return None
            asked.append(found[0])
            back.append(found[1])
        domain, keys, exprs = grouping.reduce(asked, ddof)
        columns = [_column(dtype, domain, each, words) for (dtype, words), each in zip(back, exprs, strict=True)]
        return self._framed(domain, keys, columns, [label for label, _, _ in wanted])

    def _framed(self, domain: Domain, keys: list[Column], columns: list[Column], labels: list[Any]) -> Any:
        import pandas as pd

        from workbench.fusion.capture.frame import LazyFrame
        from workbench.fusion.capture.series import LazySeries

        grouping = self._grouping()
        assert grouping is not None
        names, notes = grouping.names, self._target._notes
        if self._option("as_index", True):
            domain._labels = Keyed(keys, names)
            if self._one() and len(columns) == 1 and not isinstance(labels[0], _Column):
                return LazySeries(columns[0], labels[0], notes)
        else:
            domain._labels = Counted()
            columns, labels = [*keys, *columns], [*names, *labels]
        plain = [each.label if isinstance(each, _Column) else each for each in labels]
        if all(isinstance(each, tuple) for each in plain) and plain:
            index: Any = pd.MultiIndex.from_tuples(plain)
        else:
            index = pd.Index(plain, tupleize_cols=False)
        return LazyFrame(columns, index, domain, notes)

    def _reduce(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        options = dict(kwargs)
        numeric, ddof = options.pop("numeric_only", False), options.pop("ddof", 1)
        if not args and not options and isinstance(numeric, bool) and ddof in (0, 1):
            values = self._values(numeric)
            if values is not None and values[0] and (self._option("as_index", True) or self._plain_keys(values[0])):
                found = self._aggregated([(label, name, column) for label, column in zip(*values, strict=True)], ddof)
                if found is not None:
                    return found
        return self._pandas(name, *args, **kwargs)

    def _plain_keys(self, labels: Sequence[Any]) -> bool:
        """Return whether keys may stand as columns beside the values: they are labels, and none stands twice."""
        grouping = self._grouping()
        by = self._args[0] if self._args else self._kwargs.get("by")
        count = len(by) if isinstance(by, list) else 1
        return grouping is not None and len(self._key_labels()) == count and not set(grouping.names) & set(labels)

    def size(self) -> Any:
        """Return how many rows groups have."""
        grouping = self._grouping()
        if grouping is None or (not self._option("as_index", True) and not self._plain_keys(["size"])):
            return self._pandas("size")
        from workbench.fusion.capture.frame import LazyFrame
        from workbench.fusion.capture.series import LazySeries

        domain, keys, [sizes] = grouping.reduce([("size", None)])
        column = Column(sizes.dtype, domain, sizes)
        if not self._option("as_index", True):
            import pandas as pd

            domain._labels = Counted()
            return LazyFrame([*keys, column], pd.Index([*grouping.names, "size"]), domain, self._target._notes)
        domain._labels = Keyed(keys, grouping.names)
        name = None if isinstance(self._target, LazyFrame) and not self._one() else self._series_name()
        return LazySeries(column, name, self._target._notes)

    def _series_name(self) -> Any:
        from workbench.fusion.capture.frame import LazyFrame

        return self._selection if isinstance(self._target, LazyFrame) else self._target._name

    def agg(self, func: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Return aggregates by name: one, several of each column, or by column."""
        if not args:
            if isinstance(func, str) and func in AGGREGATES and not kwargs:
                return getattr(self, func)()
            wanted = self._wanted(func, kwargs)
            if wanted:
                labels = [label.label if isinstance(label, _Column) else label for label, _, _ in wanted]
                if self._option("as_index", True) or self._plain_keys(labels):
                    found = self._aggregated(wanted)
                    if found is not None:
                        return found
        return self._pandas("agg", func, *args, **kwargs)

    aggregate = agg

    def _wanted(self, func: Any, named: dict[str, Any]) -> list[tuple[Any, str, Column]] | None:
        """Return what `agg` asks for, as (label, aggregate, column); None if that is not plain names."""
        values = self._values()
        if values is None:
            return None
        columns = dict(zip(*values, strict=True))
        target: Any = self._target
        one = self._one()
        if func is None and named:
            found = []
            for label, spec in named.items():
                if one and isinstance(spec, str):
                    found.append((_Column(label), spec, next(iter(columns.values()))))
                elif not one and isinstance(spec, tuple) and len(spec) == 2 and isinstance(spec[1], str):
                    column = self._any_column(target, spec[0], columns)
                    if column is None:
                        return None
                    found.append((_Column(label), spec[1], column))
                else:
                    return None
            return found
        if named or not func:
            return None
        if isinstance(func, list) and all(isinstance(each, str) for each in func) and len(set(func)) == len(func):
            if one:
                return [(_Column(name), name, next(iter(columns.values()))) for name in func]
            return [(_Column((label, name)), name, column) for label, column in columns.items() for name in func]
        if isinstance(func, dict) and not one:
            lists = [isinstance(each, list) for each in func.values()]
            if any(lists) and not all(lists):
                return None
            found = []
            for label, names in func.items():
                column = self._any_column(target, label, columns)
                if column is None:
                    return None
                for name in names if isinstance(names, list) else [names]:
                    if not isinstance(name, str):
                        return None
                    found.append((_Column((label, name) if isinstance(names, list) else label), name, column))
            return found
        return None

    def _any_column(self, target: Any, label: Any, columns: dict[Any, Column]) -> Column | None:
        """Return a column by label, a key too if the whole frame is grouped."""
        from workbench.fusion.errors import no_column

        if label in columns:
            return columns[label]
        grouping = self._grouping()
        if self._selection is None and grouping is not None and label in target._labels:
            return target._column(target._labels.get_loc(label)).on(grouping.domain)
        if isinstance(label, str) and self._selection is None:
            raise no_column(label, list(target._labels))
        return None

    def transform(self, func: Any, *args: Any, **kwargs: Any) -> Any:
        """Return for each row the aggregate of its group."""
        if isinstance(func, str) and func in AGGREGATES and not args and not kwargs:
            found = self._transformed(func)
            if found is not None:
                return found
        return self._pandas("transform", func, *args, **kwargs)

    def _transformed(self, name: str) -> Any:
        import pandas as pd

        from workbench.fusion.capture.frame import LazyFrame
        from workbench.fusion.capture.series import LazySeries

        grouping, values = self._grouping(), self._values()
        if (
            grouping is None
            or values is None
            or grouping.domain is not self._rows
            or grouping.drops()
            or name == "size"
        ):
            return None
        asked, back = [], []
        for column in values[1]:
            found = _aggregate(name, column)
            if found is None:
                return None
            asked.append(found[0])
            back.append(found[1])
        _, _, exprs = grouping.reduce([*asked, ("codes", None)])
        codes = exprs.pop()
        columns = [
            _column(dtype, self._rows, _of_groups(each, codes), words)
            for (dtype, words), each in zip(back, exprs, strict=True)
        ]
        notes = self._target._notes
        if self._one():
            return LazySeries(columns[0], values[0][0], notes)
        return LazyFrame(columns, pd.Index(values[0], tupleize_cols=False), self._rows, notes)

    def head(self, n: int = 5) -> Any:
        """Return the first rows of each group, as they stood."""
        return self._ends("head", n)

    def tail(self, n: int = 5) -> Any:
        """Return the last rows of each group, as they stood."""
        return self._ends("tail", n)

    def _ends(self, name: str, n: int) -> Any:
        grouping = self._grouping()
        if grouping is None or type(n) is not int or n < 0:
            return self._pandas(name, n)
        codes = grouping.codes()

        def among(rows: Any) -> Any:
            return _within(rows, n, name == "tail")

        mask = ir.extern(f"groupby.{name}", among, (codes,), bool, codes.shape)
        domain = grouping.domain.filter(mask)
        target: Any = self._target
        if self._selection is not None:
            return _narrow(target[self._selection], domain)
        return _narrow(target, domain)

    def cumcount(self, ascending: bool = True) -> Any:
        """Return the number of each row in its group."""
        grouping = self._grouping()
        if grouping is None or grouping.domain is not self._rows or grouping.drops() or ascending is not True:
            return self._pandas("cumcount", ascending)
        from workbench.fusion.capture.series import LazySeries

        codes = grouping.codes()
        found = ir.extern("groupby.cumcount", _numbered, (codes,), np.int64, codes.shape)
        return LazySeries(Column(found.dtype, self._rows, found), None, self._target._notes)


class _Column:
    """The label of a column that stays a column, even if it is the only one."""

    __slots__ = ("label",)

    def __init__(self, label: Any) -> None:
        self.label = label


def _forced(value: Any) -> Any:
    from workbench.fusion.capture.fallback import forced

    return [forced(each) for each in value] if isinstance(value, list) else forced(value)


def _narrow(lazy: Any, domain: Domain) -> Any:
    if hasattr(lazy, "_over"):
        return lazy._over(domain)
    return lazy._new(lazy._column.on(domain))


def _aggregate(name: str, column: Column) -> tuple[tuple[str, Expr | None], tuple[Any, Any]] | None:
    """Return what to ask of groups for an aggregate of a column, and its dtype and words; None for pandas."""
    if name not in AGGREGATES:
        return None
    if name == "size":
        return ("size", None), (np.dtype(np.int64), None)
    if column.plain:
        kind = column.dtype.kind
        if name in ("any", "all") and kind == "f":
            return None
        if kind == "b" and name in ("var", "std", "prod"):
            return None
        if name in ("sum", "prod") and kind in "iu" and column.dtype.itemsize < 8:
            return None  # pandas keeps the dtype where the sums fit it
        return (name, column.expr), (ir.group_dtype(name, column.expr.dtype), None)
    key = key_of(column) if name in ("min", "max", "first", "last", "nunique", "count") else None
    if key is None:
        return None
    if name in ("nunique", "count"):
        if key.missing is None:
            return (name, key.expr), (np.dtype(np.int64), None)
        if name == "count":
            return ("sum", ir.map_("logical_not", key.missing)), (np.dtype(np.int64), None)
        return None
    return None if key.missing is not None else ((name, key.expr), (column.dtype, key.words))


def _column(dtype: Any, domain: Domain, expr: Expr, words: Any) -> Column:
    if words is None and isinstance(dtype, np.dtype) and dtype.kind not in "mM" and expr.dtype != dtype:
        expr = ir.cast(expr, dtype)
    return Column(dtype, domain, expr, words=words)


def _of_groups(values: Expr, codes: Expr) -> Expr:
    """Return for each row the value of its group."""
    return ir.extern("groupby.transform", _taken, (values, codes), values.dtype, codes.shape)


def _taken(values: Any, codes: Any) -> Any:
    return values[codes]


def _numbered(codes: Any) -> Any:
    """Return for each row how many of its group stand before it."""
    narrow = len(codes) > 0 and int(codes.max()) < 2**16 - 1
    order = np.argsort(codes.astype(np.uint16) if narrow else codes, kind="stable")  # 16 bits: by radix
    ordered = codes[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(codes) else np.zeros(0, np.int64)
    found = np.empty(len(codes), np.int64)
    found[order] = np.arange(len(codes)) - np.repeat(starts, np.diff(np.r_[starts, len(codes)]))
    return found


def _within(codes: Any, n: int, last: bool) -> Any:
    """Return which rows are among the first (or last) of their group; those of no group are not."""
    rows = codes[::-1] if last else codes
    found = (_numbered(rows) < n) & (rows >= 0)
    return np.ascontiguousarray(found[::-1]) if last else found


for _name in sorted(AGGREGATES - {"size"}):

    def _method(self: LazyGroupBy, *args: Any, _name: str = _name, **kwargs: Any) -> Any:
        return self._reduce(_name, args, kwargs)

    _method.__name__ = _name
    _method.__doc__ = f"Return `{_name}` of each group."
    setattr(LazyGroupBy, _name, _method)
