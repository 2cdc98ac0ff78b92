"""LazyFrame: a table, with the names that pandas gives its operations; and `frame`, which makes one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from workbench.fusion.capture.cleaning import FrameCleaning
from workbench.fusion.capture.columns import Column
from workbench.fusion.capture.domains import Domain
from workbench.fusion.capture.fallback import forced, run_in_pandas
from workbench.fusion.capture.frame_arithmetic import FrameArithmetic
from workbench.fusion.capture.framing import FrameShaping
from workbench.fusion.capture.lazy import _UNSET, LazyPandas, located
from workbench.fusion.capture.merging import FrameMerging
from workbench.fusion.capture.ordering import FrameOrdering
from workbench.fusion.capture.reductions import FrameReductions
from workbench.fusion.capture.series import LazySeries
from workbench.fusion.errors import cannot_fuse

if TYPE_CHECKING:
    import pandas as pd

    from workbench.fusion.expr import Expr, Fallback

__all__ = ["LazyFrame", "frame", "lazily"]


def frame(df: Any, *, copy: bool = False, name: str | None = None) -> Any:
    """Return the lazy form of a table or of a column.

    Operations on it are recorded and run as compiled loops when the result is asked for. What is written to it is
    written to `df` itself, in program order, when it is computed.

    Parameters
    ----------
    df : DataFrame or Series
        Of pandas or dask; a lazy one is returned as it is.
    copy : bool
        Take a copy, so that neither writes go into `df` nor later changes of it are seen.
    name : str, optional
        How plans call it.

    Returns
    -------
    LazyFrame or LazySeries

    Raises
    ------
    FusionTypeError
        For anything else.
    """
    import pandas as pd

    if isinstance(df, (LazyFrame, LazySeries)):
        return df
    if isinstance(df, pd.DataFrame):
        return LazyFrame._of(df.copy() if copy else df, original=not copy)
    if isinstance(df, pd.Series):
        return LazySeries._of(df.copy() if copy else df, original=not copy)
    if type(df).__module__.partition(".")[0] in ("dask", "dask_expr"):
        try:
            from workbench.fusion import dask as over_dask
        except ImportError:
            raise cannot_fuse(df, table=True) from None
        return over_dask.frame(df, name=name)
    raise cannot_fuse(df, table=True)


def lazily(value: Any) -> Any:
    """Return a concrete table or column of pandas in its lazy form, anything else as it is."""
    import pandas as pd

    if isinstance(value, pd.Series):
        return LazySeries._of(value)
    return LazyFrame._of(value) if isinstance(value, pd.DataFrame) else value


class LazyFrame(FrameReductions, FrameCleaning, FrameOrdering, FrameMerging, FrameShaping, FrameArithmetic, LazyPandas):
    """A table that is computed when it is asked for; made by `wb.fusion.frame`.

    Operations are pandas' own, by name and by result; those that do not fuse run in pandas at once.
    """

    def __init__(
        self, columns: Sequence[Column | None], labels: pd.Index, domain: Domain, notes: tuple[Fallback, ...] = ()
    ) -> None:
        self.__dict__.update(
            _columns=list(columns), _labels=labels, _domain=domain, _notes=notes, _dirty={}, _snapshot=None
        )
        for each in columns:
            located(None if each is None else each._expr)

    @classmethod
    def _of(cls, value: pd.DataFrame, notes: tuple[Fallback, ...] = (), original: bool = False) -> LazyFrame:
        """Return the lazy form of a DataFrame that is there."""
        found = cls((), value.columns, Domain.root(value.index), notes)
        found._reset(value)
        if original:
            found._original = value
        return found

    def _reset(self, value: pd.DataFrame) -> None:
        """Become the lazy form of another DataFrame that is there."""
        # a shallow copy: pandas then copies before anyone writes into what is borrowed
        self._snapshot: Any = value.copy(deep=False)
        self._columns: list[Column | None] = [None] * value.shape[1]
        self._labels: pd.Index = value.columns
        self._domain: Domain = Domain.root(value.index)
        self._dirty: dict[Any, None] = {}
        self._value = value

    def _column(self, place: int) -> Column:
        """Return one column over the frame's rows."""
        found = self._columns[place]
        if found is None:
            found = Column.of(self._snapshot.iloc[:, place], self._domain)
            if self._notes and found.source is not None:
                found.source.note = self._notes[-1]
        elif found.domain is not self._domain:
            found = found.on(self._domain)
        self._columns[place] = found
        return found

    def _all(self) -> list[Column]:
        return [self._column(k) for k in range(len(self._columns))]

    @property
    def _rows(self) -> Domain:
        return self._domain

    def _series(self, place: int) -> LazySeries:
        return LazySeries(self._column(place), self._labels[place], self._notes)

    def _new(self, columns: Sequence[Column | None], labels: pd.Index, domain: Domain | None = None) -> LazyFrame:
        return LazyFrame(columns, labels, self._domain if domain is None else domain, self._notes)

    def _pick(self, places: Sequence[int], labels: pd.Index) -> LazyFrame:
        """Return some of the columns."""
        return self._new([self._column(k) for k in places], labels)

    def _over(self, domain: Domain) -> LazyFrame:
        """Return the frame over rows that were made of its own; columns follow when they are asked for."""
        return self._new([self._columns[k] or self._column(k) for k in range(len(self._columns))], self._labels, domain)

    # how it is forced

    def _needs(self) -> list[Expr]:
        found = [each for column in self._all() for each in column.exprs()]
        return [*found, *self._domain.labels.exprs(), *self._counted()]

    def _counted(self) -> list[Expr]:
        """Return an expression as long as the frame, where no column of it is computed."""
        if isinstance(self._domain.size, int) or self._columns or self._domain.labels.exprs():
            return []
        return [self._domain.places(self._top())]

    def _top(self) -> Domain:
        top = self._domain
        while top.parent is not None:
            top = top.parent
        return top

    def _make(self, values: Sequence[Any]) -> pd.DataFrame:
        import pandas as pd

        arrays: list[Any] = []
        at = 0
        for column in self._all():
            count = len(column.exprs())
            arrays.append(column.build(values[at : at + count]))
            at += count
        size = self._domain.size
        length = len(arrays[0]) if arrays else size if isinstance(size, int) else len(values[-1])
        index = self._domain.labels.build(values[at:], length)
        named = {
            k: _on(array, index, column) for k, (array, column) in enumerate(zip(arrays, self._all(), strict=True))
        }
        found = pd.DataFrame(named, index=index, copy=False)
        found.columns = self._labels
        return found

    def _keep(self, value: pd.DataFrame) -> None:
        if self._value is not _UNSET:
            return
        domain = self._domain
        if domain.settled is None:
            domain.settled = domain if domain.index is not None else Domain.root(value.index)
        notes, settled = self._notes, domain.settled
        self._reset(value)
        self._notes, self._domain = notes, settled

    def _fusion_value(self, **options: Any) -> pd.DataFrame:
        if self._original is not None and self._dirty:
            self._flush(**options)
        return super()._fusion_value(**options)

    def _written(self) -> LazyFrame:
        """Return the columns that the user's own frame does not have yet."""
        labels = list(self._dirty)
        return self._pick([self._labels.get_loc(label) for label in labels], _index(labels))

    def _flush(self, **options: Any) -> None:
        written = self._written()
        self._write(written._fusion_value(**options))
        self._plan = written._plan

    def _write(self, found: pd.DataFrame) -> None:
        """Write columns into the user's own frame, in program order."""
        original, domain = self._original, self._domain
        for k, label in enumerate(self._dirty):
            column = found.iloc[:, k]
            column.index = original.index
            original[label] = column
        self._reset(original)
        if domain.index is not None:
            self._domain = domain

    def _parts(self) -> list[Expr]:
        return self._written()._needs() if self._original is not None and self._dirty else super()._parts()

    def _finish(self, values: Sequence[Any]) -> pd.DataFrame:
        if self._original is not None and self._dirty:
            self._write(self._written()._make(values))
        return super()._finish(values)

    def _set_column(self, label: Any, column: Column) -> None:
        """Become a frame with another column under a label: a write."""
        if label in self._labels:
            self._columns[self._labels.get_loc(label)] = column
        else:
            self._columns.append(column)
            self._labels = self._labels.insert(len(self._labels), label)
        self._value = _UNSET
        if self._original is not None:
            self._dirty[label] = None  # where it stood first: that is the order of new columns

    def _pandas(self, method: str, /, *args: Any, reason: str = "unsupported operation", **kwargs: Any) -> Any:
        """Run a method of pandas.DataFrame on forced arguments; one that writes, on the object itself."""
        if kwargs.get("inplace") is True or method in ("insert", "pop", "update", "__delitem__", "__setitem__"):
            return self._write_in_pandas(method, lambda f, /, *a, **k: getattr(f, method)(*a, **k), *args, **kwargs)
        return run_in_pandas(
            method, lambda f, /, *a, **k: getattr(f, method)(*a, **k), self, *args, reason=reason, **kwargs
        )

    def _write_in_pandas(self, op: str, call: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Run a call that changes a DataFrame on the user's own frame, or on a copy that becomes this one."""
        value = self._fusion_value()
        if self._original is None:
            value = value.copy(deep=False)
        try:
            found = run_in_pandas(op, lambda *a, **k: call(value, *a, **k), *args, **kwargs)
        finally:
            self._reset(value)
        return self if found is value else found

    # what it is

    @property
    def columns(self) -> pd.Index:
        """The labels of its columns."""
        return self._labels

    @columns.setter
    def columns(self, labels: Any) -> None:
        import pandas as pd

        labels = forced(labels)
        if self._original is not None:
            self._fusion_value()
            self._original.columns = labels
            self._reset(self._original)
            return
        found = labels if isinstance(labels, pd.Index) else pd.Index(labels)
        if len(found) != len(self._labels):
            self._fusion_value().copy(deep=False).columns = labels  # raises as pandas does
        self._columns = [self._column(k) for k in range(len(self._columns))]
        self._labels, self._value = found, _UNSET

    @property
    def index(self) -> pd.Index:
        """The labels of its rows."""
        known = self._domain.index
        return known if known is not None else self._fusion_value().index

    @index.setter
    def index(self, labels: Any) -> None:
        def write(value: Any, given: Any) -> None:
            value.index = given

        self._write_in_pandas("index", write, labels)

    @property
    def dtypes(self) -> pd.Series:
        """The dtype of each column."""
        import pandas as pd

        return pd.Series([each.dtype for each in self._all()], index=self._labels, dtype=object)

    ndim = 2

    def __len__(self) -> int:
        size = self._domain.size
        if isinstance(size, int):
            return size
        return size.value if size.value is not None else len(self._fusion_value())

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and of columns."""
        return len(self), len(self._labels)

    @property
    def size(self) -> int:
        """Number of values."""
        return len(self) * len(self._labels)

    @property
    def empty(self) -> bool:
        """Whether there are no values."""
        return len(self._labels) == 0 or len(self) == 0

    @property
    def values(self) -> Any:
        """Its values: a 2-d LazyArray of numbers, else what pandas gives."""
        from workbench.fusion.api import array
        from workbench.fusion.capture.block import side_by_side

        found = side_by_side(self._all())
        if found is None:
            value = self._fusion_value().values
            found = array(value) if value.dtype.kind in "biuf" else value
        return found

    def to_numpy(self, *args: Any, **kwargs: Any) -> Any:
        """Return the values as a NumPy array."""
        return self._fusion_value().to_numpy(*args, **kwargs)

    def copy(self, deep: bool = True) -> LazyFrame:
        """Return a copy."""
        if self._original is not None:
            return LazyFrame._of(self._fusion_value().copy(deep=deep))
        return self._new(self._all(), self._labels)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._labels)

    def __contains__(self, label: Any) -> bool:
        return label in self._labels

    def keys(self) -> pd.Index:
        """Return the labels of its columns."""
        return self._labels

    def items(self) -> Iterator[tuple[Any, LazySeries]]:
        """Iterate over labels and columns."""
        for k, label in enumerate(self._labels):
            yield label, self._series(k)

    def get(self, key: Any, default: Any = None) -> Any:
        """Return a column, or the default."""
        try:
            return self[key]
        except (KeyError, ValueError, IndexError):
            return default

    @property
    def loc(self) -> Any:
        """Rows by label or mask, and columns by label."""
        from workbench.fusion.capture.selection import FrameLoc

        return FrameLoc(self, "loc")

    @property
    def iloc(self) -> Any:
        """Rows and columns by position."""
        from workbench.fusion.capture.selection import FrameLoc

        return FrameLoc(self, "iloc")

    @property
    def T(self) -> Any:
        """The table turned on its side."""
        return self._pandas("transpose")

    def __getitem__(self, key: Any) -> Any:
        from workbench.fusion.capture.selection import frame_item

        return frame_item(self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        from workbench.fusion.capture.writes import set_frame

        set_frame(self, key, value)

    def __delitem__(self, key: Any) -> None:
        def drop(value: Any, label: Any) -> None:
            del value[label]

        self._write_in_pandas("del", drop, key)

    def __getattr__(self, name: str) -> Any:
        import pandas as pd

        if name.startswith("__") or name == "_labels":  # asked for before it is made, as by a copy
            raise AttributeError(name)
        if name in self._labels and not hasattr(pd.DataFrame, name):
            return self[name]
        if name.startswith("_"):
            raise AttributeError(name)
        found = getattr(pd.DataFrame, name, None)
        if found is None:
            return getattr(pd.DataFrame(columns=self._labels), name)  # the error of pandas
        if not callable(found) or isinstance(found, type):
            return run_in_pandas(name, lambda value: getattr(value, name), self)

        def call(*args: Any, **kwargs: Any) -> Any:
            return self._pandas(name, *args, **kwargs)

        call.__name__, call.__doc__ = name, found.__doc__
        return call

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_") and name not in ("columns", "index") and name in self.__dict__.get("_labels", ()):
            self[name] = value
            return
        object.__setattr__(self, name, value)

    def __dir__(self) -> list[Any]:
        import pandas as pd

        names = [each for each in self._labels if isinstance(each, str) and each.isidentifier()]
        return sorted({*super().__dir__(), *dir(pd.DataFrame), *names})

    def __array_ufunc__(self, function: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        from workbench.fusion.capture.ufuncs import apply

        return apply(function, method, inputs, kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        from workbench.fusion.capture.ufuncs import function_of_numpy

        return function_of_numpy(function, args, kwargs)


def _index(labels: list[Any]) -> Any:
    import pandas as pd

    return pd.Index(labels, tupleize_cols=False)


def _on(array: Any, index: Any, column: Column) -> Any:
    """Return a column's values under an index, sharing memory in a way that pandas knows of."""
    import pandas as pd

    if isinstance(array, pd.Series):
        if array.index is index or array.index.is_(index):
            return array
        found = array.copy(deep=False)
        found.index = index
        return found
    return pd.Series(array, index=index, dtype=column.dtype, copy=False)
