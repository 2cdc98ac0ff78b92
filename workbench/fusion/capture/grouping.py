"""Which rows are of one group: keys as numbers, over rows of which those with missing keys are gone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from workbench.fusion import expr as ir
from workbench.fusion.capture.columns import Column
from workbench.fusion.capture.domains import Domain
from workbench.fusion.capture.keys import Key, group_keys
from workbench.fusion.capture.selection import restricted

if TYPE_CHECKING:
    from workbench.fusion.expr import Expr

__all__ = ["Grouping", "grouping_of"]


class Grouping:
    """Rows by group: keys as numbers, over rows of which those with missing keys are gone."""

    def __init__(self, domain: Domain, keys: list[Key], names: list[Any], sort: bool, dropna: bool) -> None:
        self.domain, self.keys, self.names, self.sort, self.dropna = domain, keys, names, sort, dropna

    def reduce(
        self, values: Sequence[tuple[str, Expr | None]], ddof: int = 1
    ) -> tuple[Domain, list[Column], list[Expr]]:
        """Return the domain of the groups, their keys, and the aggregates over it."""
        exprs = [key.expr for key in self.keys]
        size = self.domain.groups(exprs, self.sort, self.dropna)
        found = ir.group_reduce(exprs, values, sort=self.sort, dropna=self.dropna, ddof=ddof, size=size)
        domain = Domain(found[0].shape[0])
        keys = [key.back(each, domain) for key, each in zip(self.keys, found, strict=False)]
        return domain, keys, list(found[len(keys) :])

    def drops(self) -> bool:
        """Return whether a row may be in no group."""
        return self.dropna and any(key.expr.dtype.kind == "f" for key in self.keys)


def grouping_of(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Grouping | None:
    """Return the groups of a frame or a Series as expressions; None if pandas has to make them."""
    known = {"by", "sort", "dropna", "as_index", "observed", "group_keys"}
    if len(args) > 1 or not set(kwargs) <= known or (args and "by" in kwargs):
        return None
    by = args[0] if args else kwargs.get("by")
    sort, dropna = kwargs.get("sort", True), kwargs.get("dropna", True)
    if not isinstance(sort, bool) or not isinstance(dropna, bool):
        return None
    columns: list[Column] = []
    names: list[Any] = []
    for each in by if isinstance(by, list) else [by]:
        found = _key(target, each)
        if found is None:
            return None
        columns.append(found[0])
        names.append(found[1])
    if not columns or any(not each.plain and not each.time and not each.text for each in columns):
        return None
    grouped = group_keys(columns, sort, dropna)
    if grouped is None or (isinstance(target._rows.size, int) and target._rows.size == 0):
        return None
    keys, keep = grouped
    domain = target._rows
    if keep is not None:
        domain = domain.filter(keep)
        again = group_keys([each.on(domain) for each in columns], sort, dropna)
        assert again is not None
        keys = again[0]
    return Grouping(domain, keys, names, sort, dropna)


def _key(target: Any, by: Any) -> tuple[Column, Any] | None:
    """Return one key as a column, and its name."""
    from workbench.fusion.capture.frame import LazyFrame, lazily
    from workbench.fusion.capture.series import LazySeries

    by = lazily(by)
    if isinstance(by, LazySeries):
        if by._column.domain.settled is not None and by._column.domain is not target._rows:
            by._fusion_value()
        column = restricted(by, target._rows)
        return None if column is None else (column, by._name)
    if not isinstance(target, LazyFrame) or target._labels.nlevels > 1:
        return None
    try:
        if by not in target._labels or by in target._domain.labels.level_names():
            return None
        place = target._labels.get_loc(by)
    except TypeError:
        return None
    return (target._column(place), by) if isinstance(place, int) else None
