"""Pivot tables: aggregates by two keys, fused; only what is left of them is turned into a table by pandas."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from workbench.fusion.capture.fallback import wrap

if TYPE_CHECKING:
    from workbench.fusion.capture.frame import LazyFrame

__all__ = ["pivot_table"]

_FUSED = frozenset(["sum", "mean", "min", "max", "count", "prod", "std", "var", "first", "last"])


def pivot_table(frame: LazyFrame, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return `frame.pivot_table(...)`."""
    import pandas as pd

    given = inspect.signature(pd.DataFrame.pivot_table).bind(None, *args, **kwargs).arguments
    given.pop("self")
    found = _fused(frame, dict(given))
    return frame._pandas("pivot_table", *args, **kwargs) if found is None else found


def _fused(frame: LazyFrame, given: dict[str, Any]) -> Any:
    name, dropna = given.pop("aggfunc", "mean"), given.pop("dropna", True)
    values, index, columns = (_labels(given.pop(each, None)) for each in ("values", "index", "columns"))
    given.pop("observed", None)
    if not isinstance(name, str) or name not in _FUSED or given or dropna is not True:
        return None
    if not values or not index or columns is None:
        return None
    keys = [*index, *columns]
    wanted = [*keys, *values]
    if not all(isinstance(each, str) and each in frame._labels for each in wanted) or len(set(wanted)) < len(wanted):
        return None
    if not frame._labels.is_unique:
        return None
    groups = frame.groupby(keys)
    grouping = groups._grouping()
    if grouping is None or any(not frame._column(frame._labels.get_loc(each)).plain for each in values):
        return None
    small = getattr(groups[values], name)()
    value = small._fusion_value()
    # one row a group: its first value is its aggregate
    single = values[0] if len(values) == 1 else values
    table = value.reset_index().pivot_table(
        values=single, index=index, columns=columns or None, aggfunc="first", dropna=True
    )
    found = wrap(table, frame._notes)
    found._plan = small._plan
    return found


def _labels(value: Any) -> list[Any] | None:
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]
