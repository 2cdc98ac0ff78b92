"""Groups of the rows of a table over Dask: partial results by partition, merged by key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.fusion.dask.partials import Groups
from workbench.fusion.dask.recording import wrapped

if TYPE_CHECKING:
    from workbench.fusion.dask.frames import DaskFrame

__all__ = ["Grouped"]

_GROUPED = frozenset({"sum", "prod", "min", "max", "mean", "var", "std", "count", "size", "first", "last"})


class Grouped:
    """Groups of the rows of a table."""

    def __init__(self, table: DaskFrame, by: Any, sort: bool, dropna: bool, columns: Any = None) -> None:
        self._table, self._by, self._sort, self._dropna, self._columns = table, by, sort, dropna, columns

    def __getitem__(self, columns: Any) -> Grouped:
        _ = self._table._like[columns]
        return Grouped(self._table, self._by, self._sort, self._dropna, columns)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in _GROUPED:
            return lambda **kwargs: self._reduced(name, kwargs)
        if name in self._table._like.columns:
            return self[name]
        return getattr(self._in_dask(), name)

    def agg(self, how: Any) -> Any:
        """Aggregate by one name; lists, dicts and functions run in Dask."""
        if isinstance(how, str) and how in _GROUPED:
            return self._reduced(how, {})
        return wrapped(self._in_dask().agg(how))

    def _in_dask(self) -> Any:
        found = self._table.to_dask().groupby(self._by, sort=self._sort, dropna=self._dropna)
        return found if self._columns is None else found[self._columns]

    def _reduced(self, name: str, kwargs: dict[str, Any]) -> Any:
        table = self._table
        keys = self._by if isinstance(self._by, list) else [self._by]
        columns = self._columns
        chosen = [columns] if isinstance(columns, str) else columns
        if chosen is None:
            chosen = [each for each in table._like.columns if each not in keys]
        kinds = {table._like[each].dtype.kind for each in chosen}
        if set(kwargs) - {"ddof"} or (not kinds <= set("biuf") and name != "size"):
            return wrapped(getattr(self._in_dask(), name)(**kwargs))
        groups = table._like.groupby(self._by, sort=self._sort, dropna=self._dropna, observed=True)
        like = getattr(groups if columns is None else groups[columns], name)(**kwargs)
        title = getattr(like, "name", None)
        ddof = kwargs.get("ddof", 1)
        end = Groups(name, self._by, tuple(chosen), like.ndim == 1, self._sort, self._dropna, ddof, title)
        return type(table)(table._source, table._step, like, end)
