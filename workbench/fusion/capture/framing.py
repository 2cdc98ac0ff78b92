"""The frame as a whole: new and renamed columns, other labels for rows, conditions as text, and summaries."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.fusion.capture.columns import Column
from workbench.fusion.capture.domains import Counted, Domain, Keyed, Known
from workbench.fusion.capture.fallback import is_lazy
from workbench.fusion.capture.lazy import LazyPandas

if TYPE_CHECKING:
    from workbench.fusion.capture.frame import LazyFrame

__all__ = ["FrameShaping", "SeriesShaping"]


class FrameShaping(LazyPandas):
    """What LazyFrame has of it."""

    _all: Callable[[], list[Column]]
    _column: Callable[[int], Column]
    _new: Callable[..., Any]
    _pick: Callable[..., Any]
    _pandas: Callable[..., Any]
    _labels: Any
    _domain: Domain

    def assign(self, **kwargs: Any) -> Any:
        """Return the frame with more columns."""
        from workbench.fusion.capture.writes import set_frame

        found: LazyFrame = self._new(self._all(), self._labels)
        for label, value in kwargs.items():
            set_frame(found, label, value(found) if callable(value) and not is_lazy(value) else value)
        return found

    def _by_labels(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Return what pandas does with the labels of the columns alone, tried on one row of their numbers."""
        import pandas as pd

        if any(is_lazy(each) for each in (*args, *kwargs.values())):
            return None
        stand = pd.DataFrame([range(len(self._labels))], columns=self._labels, dtype=np.int64)
        found = getattr(stand, name)(*args, **kwargs)
        places = [int(each) for each in found.iloc[0]]
        return self._pick(places, found.columns)

    def rename(self, mapper: Any = None, *, columns: Any = None, **kwargs: Any) -> Any:
        """Return the frame with other labels."""
        if mapper is None and columns is not None and not kwargs:
            return self._by_labels("rename", columns=columns)
        if mapper is not None and columns is None and kwargs in ({"axis": 1}, {"axis": "columns"}):
            return self._by_labels("rename", mapper, **kwargs)
        return self._pandas("rename", mapper, columns=columns, **kwargs)

    def drop(self, labels: Any = None, *, axis: Any = 0, columns: Any = None, **kwargs: Any) -> Any:
        """Return the frame without some columns or rows."""
        if columns is not None and labels is None and not (set(kwargs) - {"errors"}):
            return self._by_labels("drop", columns=columns, **kwargs)
        if labels is not None and axis in (1, "columns") and columns is None and not (set(kwargs) - {"errors"}):
            return self._by_labels("drop", columns=labels, **kwargs)
        return self._pandas("drop", labels, axis=axis, columns=columns, **kwargs)

    def add_prefix(self, prefix: str, axis: Any = None) -> Any:
        """Return the frame with something before its labels."""
        if axis not in (None, 1, "columns"):
            return self._pandas("add_prefix", prefix, axis)
        return self._by_labels("add_prefix", prefix)

    def add_suffix(self, suffix: str, axis: Any = None) -> Any:
        """Return the frame with something after its labels."""
        if axis not in (None, 1, "columns"):
            return self._pandas("add_suffix", suffix, axis)
        return self._by_labels("add_suffix", suffix)

    def select_dtypes(self, include: Any = None, exclude: Any = None) -> Any:
        """Return the columns of some dtypes."""
        import pandas as pd

        stand = pd.DataFrame({k: pd.Series([], dtype=each.dtype) for k, each in enumerate(self._all())})
        places = [int(each) for each in stand.select_dtypes(include, exclude).columns]
        return self._pick(places, self._labels.take(places))

    def set_index(self, keys: Any, *, drop: bool = True, **kwargs: Any) -> Any:
        """Return the frame with columns for labels of its rows."""
        names = keys if isinstance(keys, list) else [keys]
        plain = not kwargs and self._labels.is_unique and self._labels.nlevels == 1
        if (
            plain
            and all(isinstance(each, str) and each in self._labels for each in names)
            and len(set(names)) == len(names)
        ):
            places = [self._labels.get_loc(each) for each in names]
            rest = [k for k in range(len(self._labels)) if not drop or k not in places]
            keyed = [self._column(k) for k in places]
            domain = self._domain.relabel(Keyed(keyed, names))
            return self._new([self._column(k).on(domain) for k in rest], self._labels.take(rest), domain)
        return self._pandas("set_index", keys, drop=drop, **kwargs)

    def reset_index(self, level: Any = None, *, drop: bool = False, **kwargs: Any) -> Any:
        """Return the frame with rows counted from 0, and their labels as columns."""
        if level is None and not kwargs:
            domain = self._domain.relabel(Counted())
            columns = [each.on(domain) for each in self._all()]
            if drop:
                return self._new(columns, self._labels, domain)
            keys = label_columns(self._domain, self._labels)
            if keys is not None:
                labels = self._labels
                for k, (name, _) in enumerate(keys):
                    labels = labels.insert(k, name)
                return self._new([*[each.on(domain) for _, each in keys], *columns], labels, domain)
        return self._pandas("reset_index", level, drop=drop, **kwargs)

    def query(self, expr: str, *, inplace: bool = False, **kwargs: Any) -> Any:
        """Return the rows for which a condition in words holds."""
        from workbench.fusion.capture.queries import evaluated

        if not inplace and not kwargs and isinstance(expr, str):
            mask = evaluated(self, expr)
            if mask is not None and str(getattr(mask, "dtype", "")) == "bool":
                return self[mask]  # type: ignore[index]
        return self._in_scope("query", expr, inplace, kwargs)

    def eval(self, expr: str, *, inplace: bool = False, **kwargs: Any) -> Any:
        """Return what an expression in words gives."""
        from workbench.fusion.capture.queries import evaluated

        if not inplace and not kwargs and isinstance(expr, str):
            found = evaluated(self, expr)
            if found is not None:
                return found
        return self._in_scope("eval", expr, inplace, kwargs)

    def _in_scope(self, name: str, expr: str, inplace: bool, kwargs: dict[str, Any]) -> Any:
        from workbench.fusion.capture.queries import scope

        here, there = scope()
        given = {"local_dict": here, "global_dict": there, **kwargs}
        return self._pandas(name, expr, inplace=inplace, **given)

    def groupby(self, *args: Any, **kwargs: Any) -> Any:
        """Return groups of rows by keys."""
        from workbench.fusion.capture.groupby import group_by

        return group_by(self, args, kwargs)

    def pivot_table(self, *args: Any, **kwargs: Any) -> Any:
        """Return a table of aggregates by two keys."""
        from workbench.fusion.capture.pivot import pivot_table

        me: Any = self
        return pivot_table(me, args, kwargs)

    def describe(self, *args: Any, **kwargs: Any) -> Any:
        """Return count, mean, deviation, least, quartiles and greatest of each column of numbers."""
        from workbench.fusion.capture.summary import described

        found = None if args or kwargs else described(self)
        return self._pandas("describe", *args, **kwargs) if found is None else found

    def corr(self, *args: Any, **kwargs: Any) -> Any:
        """Return correlations of columns, of rows where both are there."""
        from workbench.fusion.capture.summary import pairwise

        found = None if args or kwargs else pairwise(self, "corr")
        return self._pandas("corr", *args, **kwargs) if found is None else found

    def cov(self, *args: Any, **kwargs: Any) -> Any:
        """Return covariances of columns, of rows where both are there."""
        from workbench.fusion.capture.summary import pairwise

        found = None if args or kwargs else pairwise(self, "cov")
        return self._pandas("cov", *args, **kwargs) if found is None else found


def label_columns(domain: Domain, beside: Any) -> list[tuple[Any, Column]] | None:
    """Return the labels of rows as columns, and their names; None if pandas has to name them."""
    import pandas as pd

    labels = domain.labels
    if isinstance(labels, Keyed):
        found = [(name, column.on(domain)) for name, column in zip(labels.names, labels.columns, strict=True)]
        if any(name is None or name in beside for name, _ in found):
            return None
        return found
    top, _ = domain.positions()
    above = top.labels
    if not isinstance(above, Known) or above.index.nlevels > 1:
        return None
    index = above.index
    name = index.name if index.name is not None else "index"
    if name in beside or not isinstance(name, str):
        return None
    column = Column.of(pd.Series(index, index=index).copy(), top)
    return [(name, column.on(domain))]


class SeriesShaping(LazyPandas):
    """What LazySeries has of it."""

    _column: Column
    _name: Any
    _new: Callable[..., Any]
    _pandas: Callable[..., Any]

    def rename(self, index: Any = None, **kwargs: Any) -> Any:
        """Return it under another name, or with other labels."""
        if not kwargs and (isinstance(index, (str, int, float, tuple)) or index is None):
            return self._new(self._column, index)
        return self._pandas("rename", index, **kwargs)

    def reset_index(self, level: Any = None, *, drop: bool = False, **kwargs: Any) -> Any:
        """Return it with rows counted from 0, and their labels in a column beside it."""
        from workbench.fusion.capture.frame import LazyFrame

        if level is None and not (set(kwargs) - {"name"}):
            import pandas as pd

            domain = self._column.domain.relabel(Counted())
            if drop and not kwargs:
                return self._new(self._column.on(domain))
            name = kwargs.get("name", self._name)
            name = 0 if name is None and "name" not in kwargs else name
            keys = None if drop else label_columns(self._column.domain, [name])
            if keys is not None:
                labels = pd.Index([*[each for each, _ in keys], name], tupleize_cols=False)
                columns = [each.on(domain) for _, each in keys]
                return LazyFrame([*columns, self._column.on(domain)], labels, domain, self._notes)
        return self._pandas("reset_index", level, drop=drop, **kwargs)

    def to_frame(self, *args: Any, **kwargs: Any) -> Any:
        """Return it as a frame of one column."""
        import pandas as pd

        from workbench.fusion.capture.frame import LazyFrame

        if args or kwargs or not isinstance(self._name, str):
            return self._pandas("to_frame", *args, **kwargs)
        return LazyFrame([self._column], pd.Index([self._name]), self._column.domain, self._notes)

    def groupby(self, *args: Any, **kwargs: Any) -> Any:
        """Return groups of values by keys."""
        from workbench.fusion.capture.groupby import group_by

        return group_by(self, args, kwargs)

    def describe(self, *args: Any, **kwargs: Any) -> Any:
        """Return count, mean, deviation, least, quartiles and greatest."""
        from workbench.fusion.capture.summary import described

        found = None if args or kwargs else described(self)
        return self._pandas("describe", *args, **kwargs) if found is None else found

    def corr(self, other: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the correlation with another Series, of rows where both are there."""
        from workbench.fusion.capture.summary import paired

        found = None if args or kwargs else paired(self, other, "corr")
        return self._pandas("corr", other, *args, **kwargs) if found is None else found

    def cov(self, other: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the covariance with another Series, of rows where both are there."""
        from workbench.fusion.capture.summary import paired

        found = None if args or kwargs else paired(self, other, "cov")
        return self._pandas("cov", other, *args, **kwargs) if found is None else found
