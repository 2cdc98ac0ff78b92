"""Tables and columns over Dask: pandas names, recorded; reductions and group-bys end the record."""

from __future__ import annotations

from typing import Any

from workbench.fusion.dask.cluster import computed, gathered, tree
from workbench.fusion.dask.grouping import Grouped
from workbench.fusion.dask.partials import Reduction, exactly, finished
from workbench.fusion.dask.recording import REDUCTIONS, OverDask, like_of, wrapped
from workbench.fusion.dask.steps import Step, last_merge, tables
from workbench.fusion.dask.tasks import ended, numbered, partition
from workbench.fusion.errors import cannot_fuse

__all__ = ["DaskFrame", "frame"]

#: methods of tables and columns that look at one row at a time
_ROWS = frozenset(
    {
        "abs", "add", "sub", "mul", "div", "truediv", "mod", "pow", "eq", "ne", "gt", "ge", "lt", "le", "isin",
        "between", "isna", "notna", "isnull", "notnull", "fillna", "replace", "map", "astype", "clip", "round", "mask",
        "where", "assign", "rename", "dropna", "filter", "query", "floordiv", "radd", "rsub", "rmul", "rdiv",
    }
)  # fmt: skip


class DaskFrame(OverDask):
    """A table or a column over a Dask collection; made by `wb.fusion.frame`."""

    def __getitem__(self, key: Any) -> Any:
        return self._rows("item", "", self, key)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        import pandas as pd

        if self._end is not None:
            return getattr(self.compute(), name)
        if name in ("str", "dt"):
            return _Accessor(self, name)
        if isinstance(self._like, pd.DataFrame) and name in self._like.columns:
            return self._rows("attribute", name, self)
        if name in _ROWS:
            return lambda *args, **kwargs: self._rows("method", name, self, *args, **kwargs)
        if name in REDUCTIONS:
            return lambda *args, **kwargs: self._reduced(name, args, kwargs)
        if name in ("dtype", "dtypes", "columns", "name", "ndim"):
            return getattr(self._like, name)
        if not hasattr(self._like, name):
            getattr(self._like, name)  # pandas' own error
        return self._others(name)

    def _others(self, name: str) -> Any:
        found = getattr(self.to_dask(), name)
        if not callable(found):
            return wrapped(found)
        return lambda *args, **kwargs: self._in_dask("method", name, self, *args, **kwargs)

    def _reduced(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        import pandas as pd

        numbers = isinstance(self._like, pd.Series) and self._like.dtype.kind in "biuf"
        ddof = kwargs.get("ddof", 1)
        if args or not set(kwargs) <= ({"ddof"} if name in ("var", "std") else set()) or not numbers:
            return self._in_dask("method", name, self, *args, **kwargs)
        like = getattr(self._like, name)(**kwargs)
        return DaskFrame(self._source, self._step, like, Reduction(name, ddof))

    def groupby(
        self, by: Any, *, sort: bool = True, dropna: bool = True, as_index: bool = True, observed: bool = True
    ) -> Any:
        """Group the rows, as pandas does; `sum prod min max mean var std count size first last` and `agg` of them."""
        import pandas as pd

        keys = by if isinstance(by, list) else [by]
        inside = all(isinstance(each, str) for each in keys) and isinstance(self._like, pd.DataFrame) and as_index
        self._like.groupby([like_of(each) for each in keys], observed=True)  # pandas' own error for what is not there
        if not inside or any(isinstance(self._like[each].dtype, pd.CategoricalDtype) for each in keys):
            given = [each.to_dask() if isinstance(each, DaskFrame) else each for each in keys]
            options = {"sort": sort, "dropna": dropna, "observed": observed}
            return self.to_dask().groupby(given if isinstance(by, list) else given[0], **options)
        return Grouped(self, by, sort, dropna)

    def __len__(self) -> int:
        return len(self.to_dask()) if self._end is None else len(self.compute())

    # joins

    def merge(self, right: Any, how: str = "inner", on: Any = None, **kwargs: Any) -> Any:
        """Join with another table, as pandas does.

        A table of pandas of at most 64 MiB goes to each worker once and is looked up inside the partitions, which keeps
        one task for each and the order of the rows; anything else is Dask's own join, between work inside partitions.
        """
        from workbench.fusion.dask.joining import broadcast

        found = broadcast(self, right, how, on, kwargs)
        return self._in_dask("method", "merge", self, right, how=how, on=on, **kwargs) if found is None else found

    # how it runs

    def _mapped(self, function: Any, *args: Any, meta: Any) -> Any:
        from dask import delayed

        joined = tables(self._step)
        sides = [delayed(each, pure=True) for each in joined.values()]
        return self._source.map_partitions(
            function, self._step, *args, list(joined), *sides, meta=meta, enforce_metadata=False
        )

    def to_dask(self) -> Any:
        """Return the Dask collection; nothing runs."""
        return self._source if self._step.how == "leaf" else self._mapped(partition, {}, meta=self._like.iloc[:0])

    def _run(self, options: dict[str, Any]) -> Any:
        import pandas as pd

        if self._end is None:
            return self._all_rows(options)
        if options["exact"]:
            made = self._step.on({0: self._source._meta_nonempty, **tables(self._step)})
            return exactly(self._end, DaskFrame(self._source, self._step, made)._all_rows(options))
        parts = self._mapped(ended, self._end, options, meta=pd.Series(dtype=object))
        return finished(self._end, tree(parts, self._end))

    def _all_rows(self, options: dict[str, Any]) -> Any:
        import pandas as pd

        from workbench.fusion.dask.joining import put_together

        if self._step.how == "leaf":
            return computed(self._source)
        if last_merge(self._step) is not None:
            return put_together(gathered(self._mapped(numbered, options, meta=pd.Series(dtype=object))))
        rows = gathered(self._mapped(partition, options, meta=self._like.iloc[:0]))
        return rows[0] if len(rows) == 1 else pd.concat(rows)


class _Accessor:
    """`.str` and `.dt` of a column."""

    def __init__(self, column: DaskFrame, name: str) -> None:
        self._column, self._name = column, name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        column, path = self._column, f"{self._name}.{name}"
        found = getattr(getattr(column._like, self._name), name)
        if callable(found):
            return lambda *args, **kwargs: column._rows("method", path, column, *args, **kwargs)
        return column._rows("attribute", path, column)


def frame(df: Any, *, name: str | None = None) -> DaskFrame:
    """Return the recorder of a Dask table or column.

    Parameters
    ----------
    df : dask DataFrame or Series
    name : str, optional
        Not used: a partition's columns have names.

    Raises
    ------
    FusionTypeError
        For another Dask collection.
    """
    import dask.dataframe as dd

    if not isinstance(df, (dd.DataFrame, dd.Series)):
        raise cannot_fuse(df, table=True)
    return DaskFrame(df, Step("leaf", "", (0,)), df._meta_nonempty)
