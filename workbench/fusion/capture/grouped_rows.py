"""What groups say of single rows: the aggregate of their group, the first of each, their number in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.fusion import expr as ir
from workbench.fusion.capture.aggregates import AGGREGATES, aggregate, made
from workbench.fusion.capture.columns import Column

if TYPE_CHECKING:
    from workbench.fusion.capture.domains import Domain
    from workbench.fusion.capture.grouping import Grouping

__all__ = ["GroupedRows"]


class GroupedRows:
    """What LazyGroupBy has of it."""

    _target: Any
    _selection: Any
    _grouping: Callable[[], Grouping | None]
    _values: Callable[..., Any]
    _one: Callable[[], bool]
    _pandas: Callable[..., Any]

    @property
    def _rows(self) -> Domain:
        raise NotImplementedError

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
            found = aggregate(name, column)
            if found is None:
                return None
            asked.append(found[0])
            back.append(found[1])
        _, _, exprs = grouping.reduce([*asked, ("codes", None)])
        codes = exprs.pop()
        columns = [
            made(dtype, self._rows, ir.gather(each, codes), words)
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
        keys = [key.expr for key in grouping.keys]
        call = _first if name == "head" else _last
        mask = ir.extern(f"groupby.{name}", call, (ir.const(n), *keys), bool, keys[0].shape)
        domain = grouping.domain.filter(mask)
        return _narrow(self._target if self._selection is None else self._target[self._selection], domain)

    def cumcount(self, ascending: bool = True) -> Any:
        """Return the number of each row in its group."""
        grouping = self._grouping()
        if grouping is None or grouping.domain is not self._rows or grouping.drops() or ascending is not True:
            return self._pandas("cumcount", ascending)
        from workbench.fusion.capture.series import LazySeries

        keys = [key.expr for key in grouping.keys]
        found = ir.extern("groupby.cumcount", _numbered, keys, np.int64, keys[0].shape)
        return LazySeries(Column(found.dtype, self._rows, found), None, self._target._notes)


def _narrow(lazy: Any, domain: Domain) -> Any:
    if hasattr(lazy, "_over"):
        return lazy._over(domain)
    return lazy._new(lazy._column.on(domain))


def _numbered(*keys: Any) -> Any:
    """Return for each row how many of its group stand before it."""
    from workbench.fusion.cpu.group import places
    from workbench.fusion.cpu.sorting import occurrences

    return occurrences(*places(keys))


def _first(n: int, *keys: Any) -> Any:
    return _numbered(*keys) < n


def _last(n: int, *keys: Any) -> Any:
    return np.ascontiguousarray(_first(n, *[key[::-1] for key in keys])[::-1])
