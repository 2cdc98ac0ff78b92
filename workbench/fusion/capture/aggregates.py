"""Aggregates of groups: which of them fuse, and what `agg` asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.fusion import expr as ir
from workbench.fusion.capture.columns import Column
from workbench.fusion.capture.domains import Domain
from workbench.fusion.capture.keys import key_of

if TYPE_CHECKING:
    from workbench.fusion.capture.groupby import LazyGroupBy
    from workbench.fusion.expr import Expr

__all__ = ["AGGREGATES", "Kept", "aggregate", "made", "wanted"]

#: aggregates of numbers
AGGREGATES = frozenset(
    {
        "sum", "prod", "mean", "var", "std", "min", "max", "count", "first", "last", "any", "all", "nunique", "size",
    }
)  # fmt: skip


class Kept:
    """The label of a column that stays a column, even if it is the only one."""

    __slots__ = ("label",)

    def __init__(self, label: Any) -> None:
        self.label = label


def aggregate(name: str, column: Column) -> tuple[tuple[str, Expr | None], tuple[Any, Any]] | None:
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


def made(dtype: Any, domain: Domain, expr: Expr, words: Any) -> Column:
    """Return an aggregate over the groups' domain as a column."""
    if words is None and isinstance(dtype, np.dtype) and dtype.kind not in "mM" and expr.dtype != dtype:
        expr = ir.cast(expr, dtype)
    return Column(dtype, domain, expr, words=words)


def wanted(groups: LazyGroupBy, func: Any, named: dict[str, Any]) -> list[tuple[Any, str, Column]] | None:
    """Return what `agg` asks for, as (label, aggregate, column); None if that is not plain names."""
    values = groups._values()
    if values is None:
        return None
    columns = dict(zip(*values, strict=True))
    one = groups._one()
    if func is None and named:
        found = []
        for label, spec in named.items():
            if one and isinstance(spec, str):
                found.append((Kept(label), spec, next(iter(columns.values()))))
            elif not one and isinstance(spec, tuple) and len(spec) == 2 and isinstance(spec[1], str):
                column = _any_column(groups, spec[0], columns)
                if column is None:
                    return None
                found.append((Kept(label), spec[1], column))
            else:
                return None
        return found
    if named or not func:
        return None
    if isinstance(func, list) and all(isinstance(each, str) for each in func) and len(set(func)) == len(func):
        if one:
            return [(Kept(name), name, next(iter(columns.values()))) for name in func]
        return [(Kept((label, name)), name, column) for label, column in columns.items() for name in func]
    if isinstance(func, dict) and not one:
        lists = [isinstance(each, list) for each in func.values()]
        if any(lists) and not all(lists):
            return None
        found = []
        for label, names in func.items():
            column = _any_column(groups, label, columns)
            if column is None:
                return None
            for name in names if isinstance(names, list) else [names]:
                if not isinstance(name, str):
                    return None
                found.append((Kept((label, name) if isinstance(names, list) else label), name, column))
        return found
    return None


def _any_column(groups: LazyGroupBy, label: Any, columns: dict[Any, Column]) -> Column | None:
    """Return a column by label, a key too if the whole frame is grouped."""
    from workbench.fusion.errors import no_column

    target: Any = groups._target
    if label in columns:
        return columns[label]
    grouping = groups._grouping()
    if groups._selection is None and grouping is not None and label in target._labels:
        return target._column(target._labels.get_loc(label)).on(grouping.domain)
    if isinstance(label, str) and groups._selection is None:
        raise no_column(label, list(target._labels))
    return None
