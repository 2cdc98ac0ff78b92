"""Fusion over Dask: one compiled task for each partition, and partial results merged in partition order.

Calls are recorded, and each is tried on a few made-up rows at once, so that mistakes show where they are made. Work by
rows runs inside the partitions. A reduction or a group-by ends it: each partition gives a partial result, and a tree of
width 8 merges them. What is neither runs in Dask, over what was recorded so far.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.fusion.errors import cannot_fuse, dtype_unsupported
from workbench.fusion.partials import Groups, Reduction, finished, merged_parts, partial_of

if TYPE_CHECKING:
    from workbench.fusion.expr import Expr

__all__ = ["DaskArray", "DaskFrame", "array", "frame"]

#: partial results that are merged at a time
WIDTH = 8

_UNSET: Any = object()

#: methods of tables and columns that look at one row at a time
_ROWS = frozenset(
    {
        "abs", "add", "sub", "mul", "div", "truediv", "mod", "pow", "eq", "ne", "gt", "ge", "lt", "le", "isin",
        "between", "isna", "notna", "isnull", "notnull", "fillna", "replace", "map", "astype", "clip", "round", "mask",
        "where", "assign", "rename", "dropna", "filter", "query", "floordiv", "radd", "rsub", "rmul", "rdiv",
    }
)  # fmt: skip
_REDUCTIONS = frozenset({"sum", "prod", "min", "max", "mean", "var", "std", "count", "any", "all"})
_GROUPED = frozenset({"sum", "prod", "min", "max", "mean", "var", "std", "count", "size", "first", "last"})


@dataclass(frozen=True, eq=False)
class Step:
    """One recorded call: `getattr(operator or object, name)` on values and other steps; picklable.

    Attributes
    ----------
    how : {"leaf", "item", "attribute", "method", "operator", "ufunc"}
    name : str
    args : tuple
        Steps or plain values; of a leaf its number.
    kwargs : dict
    """

    how: str
    name: str = ""
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] | None = None

    def on(self, leaves: Sequence[Any], known: dict[int, Any] | None = None) -> Any:
        """Return what the call gives, with these values for the leaves."""
        known = {} if known is None else known
        if id(self) not in known:
            args = [each.on(leaves, known) if isinstance(each, Step) else each for each in self.args]
            kwargs = {
                key: each.on(leaves, known) if isinstance(each, Step) else each
                for key, each in (self.kwargs or {}).items()
            }
            known[id(self)] = leaves[self.args[0]] if self.how == "leaf" else _call(self.how, self.name, args, kwargs)
        return known[id(self)]


def _call(how: str, name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
    if how == "item":
        return args[0][args[1]]
    if how == "operator":
        return getattr(operator, name)(*args)
    if how == "ufunc":
        return getattr(np, name)(*args, **kwargs)
    found = args[0]
    for part in name.split("."):
        found = getattr(found, part)
    return found if how == "attribute" else found(*args[1:], **kwargs)


class _OverDask:
    """What was recorded over one Dask collection."""

    # ndarrays leave operators to us
    __array_priority__ = 2000
    __hash__ = None  # type: ignore[assignment]
    _value: Any = _UNSET

    def __init__(self, source: Any, step: Step, like: Any, end: Any = None) -> None:
        #: the Dask collection, what is done to its partitions, a made-up value of the result, and how it ends
        self._source, self._step, self._like, self._end = source, step, like, end

    # recording

    def _rows(self, how: str, name: str, *args: Any, **kwargs: Any) -> Any:
        """Return the record of a call that looks at one row at a time; in Dask if others are involved."""
        others = [each for each in (*args, *kwargs.values()) if isinstance(each, _OverDask)]
        if self._end is not None or any(each._source is not self._source or each._end is not None for each in others):
            return self._in_dask(how, name, *args, **kwargs)
        like = _call(how, name, [_like(each) for each in args], {key: _like(each) for key, each in kwargs.items()})
        step = Step(how, name, tuple(map(_step, args)), {key: _step(each) for key, each in kwargs.items()})
        return type(self)(self._source, step, like)

    def _in_dask(self, how: str, name: str, *args: Any, **kwargs: Any) -> Any:
        """Return what Dask makes of a call, recorded again where it can be."""
        plain = [each._collection() if isinstance(each, _OverDask) else each for each in args]
        named = {key: each._collection() if isinstance(each, _OverDask) else each for key, each in kwargs.items()}
        return _wrapped(_call(how, name, plain, named))

    def _collection(self) -> Any:
        return self.compute() if self._end is not None else self.to_dask()

    def to_dask(self) -> Any:
        """Return the Dask collection; nothing runs."""
        raise NotImplementedError

    # computing

    def compute(
        self, device: str = "auto", threads: int | None = None, exact: bool = False, check: bool = False
    ) -> Any:
        """Return the value that eager code gives, computed on the session's cluster.

        Parameters
        ----------
        device, threads, exact, check
            As in `workbench.fusion.compute`, inside each partition; a worker has its own number of threads.
        """
        if self._value is _UNSET or device != "auto" or check:
            value = self._run({"device": device, "threads": threads, "exact": exact, "check": check})
            if self._value is not _UNSET:
                return value
            self._value = value
        return self._value

    def _run(self, options: dict[str, Any]) -> Any:
        raise NotImplementedError

    def to_pandas(self) -> Any:
        """Return the value."""
        return self.compute()

    def explain(self) -> Any:
        """Return the plan of one partition, on made-up rows; runs nothing on the cluster."""
        from workbench.fusion.api import explain

        rows = getattr(self._source, "_meta_nonempty", None)
        lazy = self._step.on([_lazy(_ones(self._source) if rows is None else rows)])
        return explain(lazy if self._end is None else self._end.lazies(lazy)[0])

    # as other lazy objects, in one plan with them

    def _parts(self) -> list[Expr]:
        from workbench.fusion import expr as ir

        return [ir.extern("dask", lambda: _Box(self.compute()), [], np.dtype(object), ())]

    def _finish(self, values: Sequence[Any]) -> Any:
        return values[0].value if isinstance(values[0], _Box) else values[0]

    def _keep(self, value: Any) -> None:
        self._value = value

    def _fusion_value(self) -> Any:
        return self.compute()

    def __repr__(self) -> str:
        return repr(self.compute())

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        value = self.compute()
        html = getattr(value, "_repr_html_", None)
        return {"text/plain": repr(value), **({"text/html": html()} if html is not None else {})}

    def __float__(self) -> float:
        return float(self.compute())

    def __int__(self) -> int:
        return int(self.compute())

    def __bool__(self) -> bool:
        return bool(self.compute())

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.array(self.compute(), dtype=dtype)

    def __reduce__(self) -> Any:
        return _same, (self.compute(),)

    def __array_ufunc__(self, function: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        name = str(function.__name__)
        if method == "__call__" and getattr(np, name, None) is function:
            return self._rows("ufunc", name, *inputs, **kwargs)
        plain = [each.compute() if isinstance(each, _OverDask) else each for each in inputs]
        return getattr(function, method)(*plain, **kwargs)


class _Box:
    """A value that is no array, on its way through a plan."""

    def __init__(self, value: Any) -> None:
        self.value = value


def _same(value: Any) -> Any:
    return value


def _operators() -> None:
    for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor"):
        word = f"{name}_" if name in ("and", "or") else name

        def forward(self: _OverDask, other: Any, word: str = word) -> Any:
            return self._rows("operator", word, self, other)

        def back(self: _OverDask, other: Any, word: str = word) -> Any:
            return self._rows("operator", word, other, self)

        setattr(_OverDask, f"__{name}__", forward)
        setattr(_OverDask, f"__r{name}__", back)
    for name in ("lt", "le", "gt", "ge", "eq", "ne"):
        setattr(_OverDask, f"__{name}__", lambda self, other, name=name: self._rows("operator", name, self, other))
    for name in ("neg", "pos", "abs", "invert"):
        setattr(_OverDask, f"__{name}__", lambda self, name=name: self._rows("operator", name, self))


_operators()


class DaskFrame(_OverDask):
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
        if name in _REDUCTIONS:
            return lambda *args, **kwargs: self._reduced(name, args, kwargs)
        if name in ("dtype", "dtypes", "columns", "name", "ndim"):
            return getattr(self._like, name)
        if not hasattr(self._like, name):
            getattr(self._like, name)  # pandas' own error
        return self._others(name)

    def _others(self, name: str) -> Any:
        found = getattr(self.to_dask(), name)
        if not callable(found):
            return _wrapped(found)
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
        self._like.groupby([_like(each) for each in keys], observed=True)  # pandas' own error for what is not there
        if not inside or any(isinstance(self._like[each].dtype, pd.CategoricalDtype) for each in keys):
            given = [each.to_dask() if isinstance(each, DaskFrame) else each for each in keys]
            options = {"sort": sort, "dropna": dropna, "observed": observed}
            return self.to_dask().groupby(given if isinstance(by, list) else given[0], **options)
        return _Grouped(self, by, sort, dropna)

    def __len__(self) -> int:
        return int(self._in_dask("method", "count", self).compute()) if self._end is None else len(self.compute())

    # how it runs

    def to_dask(self) -> Any:
        """Return the Dask collection; nothing runs."""
        if self._step.how == "leaf":
            return self._source
        return self._source.map_partitions(_partition, self._step, {}, meta=self._like.iloc[:0], enforce_metadata=False)

    def _run(self, options: dict[str, Any]) -> Any:
        import pandas as pd

        if self._end is None:
            return _computed(
                self._source.map_partitions(_partition, self._step, options, meta=self._like.iloc[:0])
                if self._step.how != "leaf"
                else self._source
            )
        meta = pd.Series(dtype=object)
        parts = self._source.map_partitions(_ended, self._step, self._end, options, meta=meta, enforce_metadata=False)
        return finished(self._end, _tree(parts, self._end))


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


class _Grouped:
    """Groups of the rows of a table."""

    def __init__(self, table: DaskFrame, by: Any, sort: bool, dropna: bool, columns: Any = None) -> None:
        self._table, self._by, self._sort, self._dropna, self._columns = table, by, sort, dropna, columns

    def __getitem__(self, columns: Any) -> _Grouped:
        _ = self._table._like[columns]
        return _Grouped(self._table, self._by, self._sort, self._dropna, columns)

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
        return _wrapped(self._in_dask().agg(how))

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
            return _wrapped(getattr(self._in_dask(), name)(**kwargs))
        groups = table._like.groupby(self._by, sort=self._sort, dropna=self._dropna, observed=True)
        like = getattr(groups if columns is None else groups[columns], name)(**kwargs)
        title = getattr(like, "name", None)
        ddof = kwargs.get("ddof", 1)
        end = Groups(name, self._by, tuple(chosen), like.ndim == 1, self._sort, self._dropna, ddof, title)
        return DaskFrame(table._source, table._step, like, end)


class DaskArray(_OverDask):
    """An array over a Dask array; made by `wb.fusion.array`."""

    @property
    def dtype(self) -> np.dtype:
        """Of the elements."""
        return np.asarray(self._like).dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the whole array."""
        return () if self._end is not None else self._source.shape

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if self._end is not None:
            return getattr(self.compute(), name)
        if name in _REDUCTIONS - {"count"}:
            return lambda *args, **kwargs: self._reduced(name, args, kwargs)
        found = getattr(self.to_dask(), name)
        if not callable(found):
            return _wrapped(found)
        return lambda *args, **kwargs: self._in_dask("method", name, self, *args, **kwargs)

    def __getitem__(self, key: Any) -> Any:
        return self._in_dask("item", "", self, key)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        name = function.__name__
        if name in _REDUCTIONS and len(args) == 1 and isinstance(args[0], DaskArray):
            return getattr(args[0], name)(**kwargs)
        return _wrapped(function(*[e._collection() if isinstance(e, DaskArray) else e for e in args], **kwargs))

    def astype(self, dtype: Any) -> Any:
        """Convert each element."""
        return self._rows("method", "astype", self, dtype)

    def _rows(self, how: str, name: str, *args: Any, **kwargs: Any) -> Any:
        numbers = (int, float, bool, np.number, np.bool_, _OverDask, str, np.dtype, type)
        if not all(isinstance(each, numbers) for each in (*args, *kwargs.values())):
            return self._in_dask(how, name, *args, **kwargs)
        return super()._rows(how, name, *args, **kwargs)

    def _reduced(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        allowed = {"ddof"} if name in ("var", "std") else set()
        if args or not set(kwargs) <= allowed or not self._source.size:
            return self._in_dask("method", name, self, *args, **kwargs)
        like = getattr(np.asarray(self._like), name)(**kwargs)
        return DaskArray(self._source, self._step, like, Reduction(name, kwargs.get("ddof", 0), numpy=True))

    def to_dask(self) -> Any:
        """Return the Dask array; nothing runs."""
        if self._step.how == "leaf":
            return self._source
        empty = np.empty((0,) * self._source.ndim, self.dtype)
        return self._source.map_blocks(_block, self._step, {}, dtype=self.dtype, meta=empty)

    def _run(self, options: dict[str, Any]) -> Any:
        source = self._source
        if self._end is None:
            return _computed(
                source.map_blocks(
                    _block, self._step, options, dtype=self.dtype, meta=np.empty((0,) * source.ndim, self.dtype)
                )
            )
        parts = source.map_blocks(
            _ended_block, self._step, self._end, options, dtype=object, chunks=(1,) * source.ndim,
            meta=np.empty((0,) * source.ndim, object),
        )  # fmt: skip
        return finished(self._end, _tree(parts, self._end))


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


def array(x: Any, *, name: str | None = None) -> DaskArray:
    """Return the recorder of a Dask array.

    Parameters
    ----------
    x : dask Array
    name : str, optional
        Not used.

    Raises
    ------
    FusionTypeError
        For another Dask collection, or a dtype that does not compile.
    """
    import dask.array as da

    from workbench.fusion.ops import supported

    if not isinstance(x, da.Array):
        raise cannot_fuse(x)
    if not supported(x.dtype):
        raise dtype_unsupported(x.dtype)
    return DaskArray(x, Step("leaf", "", (0,)), _ones(x))


def _ones(x: Any) -> np.ndarray:
    return np.ones((1,) * x.ndim, x.dtype)


def _like(value: Any) -> Any:
    return value._like if isinstance(value, _OverDask) else value


def _step(value: Any) -> Any:
    return value._step if isinstance(value, _OverDask) else value


def _wrapped(value: Any) -> Any:
    """Return a Dask table, column or array as a recorder, anything else as it is."""
    import dask.array as da
    import dask.dataframe as dd

    from workbench.fusion.ops import supported

    if isinstance(value, (dd.DataFrame, dd.Series)):
        return frame(value)
    return array(value) if isinstance(value, da.Array) and value.ndim and supported(value.dtype) else value


# what runs in tasks


def _lazy(value: Any) -> Any:
    from workbench.fusion.api import array as lazy_array
    from workbench.fusion.capture.frame import lazily

    # a partition is borrowed and never written to
    return lazy_array(value) if isinstance(value, np.ndarray) else lazily(value)


def _partition(part: Any, step: Step, options: dict[str, Any]) -> Any:
    """Return the rows of one partition after a step."""
    from workbench.fusion.api import compute

    return compute(step.on([_lazy(part)]), **_on_worker(options))[0]


def _block(part: Any, step: Step, options: dict[str, Any]) -> Any:
    return np.asarray(_partition(np.asarray(part), step, options))


def _ended(part: Any, step: Step, end: Any, options: dict[str, Any]) -> Any:
    """Return the partial result of one partition, in a column of one."""
    import pandas as pd

    found = pd.Series([None], dtype=object)
    found.iat[0] = partial_of(end, step.on([_lazy(part)]), _on_worker(options))
    return found


def _ended_block(part: Any, step: Step, end: Any, options: dict[str, Any]) -> Any:
    found = np.empty((1,) * np.ndim(part), object)
    found.flat[0] = partial_of(end, step.on([_lazy(np.asarray(part))]), _on_worker(options))
    return found


def _on_worker(options: dict[str, Any]) -> dict[str, Any]:
    """Return options with as many threads as the worker has; outside of one, as given."""
    if options.get("threads") is None:
        from distributed import get_worker

        try:
            return {**options, "threads": get_worker().state.nthreads}
        except ValueError:
            return options
    return options


# on the cluster


def _computed(collection: Any) -> Any:
    from workbench.engine import session

    client = session.session()
    future = client.compute(collection)
    return _awaited(client, future)


def _tree(parts: Any, end: Any) -> Any:
    """Return the merged partial result of all partitions, by a tree in their order."""
    from dask import delayed

    from workbench.engine import session

    parts = parts.optimize() if hasattr(parts, "optimize") else parts
    level: list[Any] = list(np.ravel(np.array(parts.to_delayed(), dtype=object)))
    merge: Callable[..., Any] = delayed(merged_parts, pure=False)
    while True:
        level = [merge(end, level[k : k + WIDTH]) for k in range(0, len(level), WIDTH)]
        if len(level) == 1:
            break
    client = session.session()
    return _awaited(client, client.compute(level[0]))


def _awaited(client: Any, future: Any) -> Any:
    try:
        return future.result()
    except KeyboardInterrupt:
        client.cancel([future])
        raise
