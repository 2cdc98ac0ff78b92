"""LazyGroupBy: reductions, agg and size by keys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from workbench.fusion.capture.aggregates import AGGREGATES, Kept, aggregate, made, wanted
from workbench.fusion.capture.columns import Column
from workbench.fusion.capture.domains import Counted, Domain, Keyed
from workbench.fusion.capture.fallback import is_lazy, run_in_pandas
from workbench.fusion.capture.grouped_rows import GroupedRows
from workbench.fusion.capture.grouping import Grouping, grouping_of

if TYPE_CHECKING:
    from workbench.fusion.capture.frame import LazyFrame
    from workbench.fusion.capture.series import LazySeries
    from workbench.fusion.expr import Expr

__all__ = ["LazyGroupBy", "group_by"]


def group_by(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> LazyGroupBy:
    """Return the groups of a frame or a Series; what pandas does not take raises here, as there."""
    found = LazyGroupBy(target, args, kwargs)
    if found._grouping() is None:
        found._in_pandas()
    return found


class LazyGroupBy(GroupedRows):
    """What `groupby` gives, for a frame, some of its columns, or one."""

    def __init__(
        self, target: LazyFrame | LazySeries, args: tuple[Any, ...], kwargs: dict[str, Any], selection: Any = None
    ) -> None:
        self._target, self._args, self._kwargs, self._selection = target, args, kwargs, selection
        self._found: Grouping | None = None
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

    def _pandas(self, name: str, /, *args: Any, reason: str = "unsupported operation", **kwargs: Any) -> Any:
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

    def _grouping(self) -> Grouping | None:
        """Return the groups as expressions; None if pandas has to make them."""
        if not self._looked:
            self._looked = True
            self._found = grouping_of(self._target, self._args, self._kwargs)
        return self._found

    @property
    def _rows(self) -> Domain:
        return self._target._rows

    def __getitem__(self, key: Any) -> LazyGroupBy:
        from workbench.fusion.errors import no_column

        frame: Any = self._target
        wanted = list(key) if isinstance(key, (list, tuple)) else [key]
        for each in wanted:
            if isinstance(each, str) and each not in frame._labels:
                raise no_column(each, list(frame._labels))
        found = LazyGroupBy(self._target, self._args, self._kwargs, list(key) if isinstance(key, tuple) else key)
        found._found, found._looked = self._found, self._looked
        return found

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
            found = aggregate(name, column)
            if found is None:
                return None
            asked.append(found[0])
            back.append(found[1])
        domain, keys, exprs = grouping.reduce(asked, ddof)
        columns = [made(dtype, domain, each, words) for (dtype, words), each in zip(back, exprs, strict=True)]
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
            if self._one() and len(columns) == 1 and not isinstance(labels[0], Kept):
                return LazySeries(columns[0], labels[0], notes)
        else:
            domain._labels = Counted()
            columns, labels = [*keys, *columns], [*names, *labels]
        plain = [each.label if isinstance(each, Kept) else each for each in labels]
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
            asked = wanted(self, func, kwargs)
            if asked:
                labels = [label.label if isinstance(label, Kept) else label for label, _, _ in asked]
                if self._option("as_index", True) or self._plain_keys(labels):
                    found = self._aggregated(asked)
                    if found is not None:
                        return found
        return self._pandas("agg", func, *args, **kwargs)

    aggregate = agg


def _forced(value: Any) -> Any:
    from workbench.fusion.capture.fallback import forced

    return [forced(each) for each in value] if isinstance(value, list) else forced(value)


for _name in sorted(AGGREGATES - {"size"}):

    def _method(self: LazyGroupBy, *args: Any, _name: str = _name, **kwargs: Any) -> Any:
        return self._reduce(_name, args, kwargs)

    _method.__name__ = _name
    _method.__doc__ = f"Return `{_name}` of each group."
    setattr(LazyGroupBy, _name, _method)
