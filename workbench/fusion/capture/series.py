"""LazySeries: one column, with the names that pandas gives its operations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.fusion import expr as ir
from workbench.fusion.capture import arithmetic
from workbench.fusion.capture.arithmetic import METHODS
from workbench.fusion.capture.cleaning import SeriesCleaning
from workbench.fusion.capture.columns import Column, plain
from workbench.fusion.capture.domains import Domain
from workbench.fusion.capture.fallback import forced, run_in_pandas
from workbench.fusion.capture.framing import SeriesShaping
from workbench.fusion.capture.lazy import _UNSET, LazyPandas, array_expr, located
from workbench.fusion.capture.ordering import SeriesOrdering
from workbench.fusion.capture.reductions import SeriesReductions
from workbench.fusion.capture.scalars import LazyScalar
from workbench.fusion.ops import COMPARISONS

if TYPE_CHECKING:
    import pandas as pd

    from workbench.fusion.expr import Expr, Fallback

__all__ = ["LazySeries", "meet", "same_name"]


class LazySeries(SeriesReductions, SeriesCleaning, SeriesOrdering, SeriesShaping, LazyPandas):
    """A column that is computed when it is asked for; made by `wb.fusion.frame`.

    Operations are pandas' own, by name and by result; those that do not fuse run in pandas at once.
    """

    _column: Column
    _name: Any

    def __init__(self, column: Column, name: Any = None, notes: tuple[Fallback, ...] = ()) -> None:
        self._column, self._name, self._notes = column, name, notes
        located(column._expr)

    @classmethod
    def _of(cls, value: pd.Series, notes: tuple[Fallback, ...] = (), original: bool = False) -> LazySeries:
        """Return the lazy form of a Series that is there."""
        found = cls(_leaf_column(value, Domain.root(value.index), notes), value.name, notes)
        found._value = value
        found._original = value if original else None
        return found

    # how it is forced

    def _needs(self) -> list[Expr]:
        return [*self._column.exprs(), *self._column.domain.labels.exprs()]

    def _make(self, values: Sequence[Any]) -> pd.Series:
        import pandas as pd

        column, count = self._column, len(self._column.exprs())
        array = column.build(values[:count])
        index = column.domain.labels.build(values[count:], len(array))
        if isinstance(array, pd.Series):
            found = array.copy(deep=False)
            if not found.index.is_(index):
                found.index = index
            found.name = self._name
            return found
        return pd.Series(array, index=index, name=self._name, dtype=column.dtype, copy=False)

    def _keep(self, value: pd.Series) -> None:
        if self._value is not _UNSET:
            return
        self._value = value
        domain = self._column.domain
        if self._column.source is not None and self._column.source.home is domain:
            return
        if domain.settled is None:
            domain.settled = domain if domain.index is not None else Domain.root(value.index)
        self._column = _leaf_column(value, domain.settled, ())

    def _fusion_value(self, **options: Any) -> pd.Series:
        self._written(super()._fusion_value(**options))
        return self._value

    def _finish(self, values: Sequence[Any]) -> pd.Series:
        found = super()._finish(values)
        self._written(found)
        return found if self._original is None else self._original

    def _written(self, found: pd.Series) -> None:
        """Write a computed value into the user's own Series."""
        if self._original is not None and found is not self._original:
            self._original._update_inplace(found.copy(deep=False))
            self._value = self._original
            self._column = _leaf_column(self._original, Domain.root(self._original.index), ())

    @property
    def _rows(self) -> Domain:
        return self._column.domain

    def _new(self, column: Column, name: Any = _UNSET) -> LazySeries:
        return LazySeries(column, self._name if name is _UNSET else name, self._notes)

    def _assign(self, other: LazySeries) -> None:
        """Become another column in place: a write."""
        self._column, self._name, self._value = other._column, other._name, other._value
        self._notes = (*self._notes, *other._notes)

    def _pandas(self, method: str, /, *args: Any, reason: str = "unsupported operation", **kwargs: Any) -> Any:
        """Run a method of pandas.Series on forced arguments; one that writes, on the object itself."""
        if kwargs.get("inplace") is True:
            return self._write_in_pandas(method, *args, **kwargs)
        return run_in_pandas(
            method, lambda s, /, *a, **k: getattr(s, method)(*a, **k), self, *args, reason=reason, **kwargs
        )

    def _write_in_pandas(self, method: str, /, *args: Any, **kwargs: Any) -> Any:
        value = self._fusion_value()
        if self._original is None:
            value = value.copy(deep=False)
        found = run_in_pandas(method, lambda *a, **k: getattr(value, method)(*a, **k), *args, **kwargs)
        self._value = value
        self._name = value.name
        self._column = _leaf_column(value, Domain.root(value.index), ())
        return self if found is value else found

    # what it is

    @property
    def name(self) -> Any:
        """Its name."""
        return self._name

    @name.setter
    def name(self, name: Any) -> None:
        self._name = name
        if self._original is not None:
            self._original.name = name
        elif self._value is not _UNSET:
            self._value = self._value.rename(name)

    @property
    def dtype(self) -> Any:
        """Its dtype."""
        return self._column.dtype

    dtypes = dtype
    ndim = 1

    @property
    def index(self) -> pd.Index:
        """Its labels."""
        known = self._column.domain.index
        return known if known is not None else self._fusion_value().index

    @index.setter
    def index(self, labels: Any) -> None:
        value = self._fusion_value() if self._original is not None else self._fusion_value().copy(deep=False)
        value.index = forced(labels)
        self._value, self._column = value, _leaf_column(value, Domain.root(value.index), ())

    def __len__(self) -> int:
        size = self._column.domain.size
        if isinstance(size, int):
            return size
        return size.value if size.value is not None else len(self._fusion_value())

    @property
    def size(self) -> int:
        """Number of rows."""
        return len(self)

    @property
    def shape(self) -> tuple[int]:
        """Number of rows, in a tuple."""
        return (len(self),)

    @property
    def empty(self) -> bool:
        """Whether there are no rows."""
        return len(self) == 0

    @property
    def values(self) -> Any:
        """Its values: a LazyArray of numbers and booleans, else what pandas gives."""
        return _as_array(self)

    def to_numpy(self, *args: Any, **kwargs: Any) -> Any:
        """Return the values as a NumPy array."""
        return self._fusion_value().to_numpy(*args, **kwargs)

    def copy(self, deep: bool = True) -> LazySeries:
        """Return a copy."""
        if self._original is not None:
            return LazySeries._of(self._fusion_value().copy(deep=deep))
        found = self._new(self._column)
        if self._value is not _UNSET:
            found._value = self._value.copy(deep=False)
        return found

    @property
    def str(self) -> Any:
        """Operations on strings."""
        from workbench.fusion.capture.strings import Strings

        if not self._column.text:
            _ = self._fusion_value().str  # raises as pandas does
        return Strings(self)

    @property
    def dt(self) -> Any:
        """Fields of times."""
        from workbench.fusion.capture.dates import Dates

        if not self._column.time:
            _ = self._fusion_value().dt  # raises as pandas does
        return Dates(self)

    @property
    def loc(self) -> Any:
        """Rows by label or mask."""
        from workbench.fusion.capture.selection import SeriesLoc

        return SeriesLoc(self, "loc")

    @property
    def iloc(self) -> Any:
        """Rows by position."""
        from workbench.fusion.capture.selection import SeriesLoc

        return SeriesLoc(self, "iloc")

    def __getitem__(self, key: Any) -> Any:
        from workbench.fusion.capture.selection import series_item

        return series_item(self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        from workbench.fusion.capture.writes import set_series

        set_series(self, key, value)

    def __contains__(self, label: Any) -> bool:
        return label in self.index

    def __getattr__(self, name: Any) -> Any:
        import pandas as pd

        if name.startswith("_"):
            raise AttributeError(name)
        found = getattr(pd.Series, name, None)
        if found is None:
            return getattr(self._fusion_value(), name)  # a label, or the error of pandas
        if not callable(found) or isinstance(found, type):
            return run_in_pandas(name, lambda value: getattr(value, name), self)

        def call(*args: Any, **kwargs: Any) -> Any:
            return self._pandas(name, *args, **kwargs)

        call.__name__, call.__doc__ = name, found.__doc__
        return call

    def __dir__(self) -> list[Any]:
        import pandas as pd

        return sorted({*super().__dir__(), *dir(pd.Series)})

    # operators

    def _binary(self, method: Any, other: Any, reflected: bool = False) -> Any:
        """Return `self method other`; pandas does it where columns do not meet or the dtype depends on values."""
        lazy = type(other) is LazySeries
        short = arithmetic.shortly(OPERATIONS[method], self._column, other._column if lazy else other, reflected)
        if short is not None:
            same = not lazy or same_name(self._name, other._name)
            return LazySeries(short, self._name if same else None, self._notes + other._notes if lazy else self._notes)
        python: Any = f"__r{method}__" if reflected else f"__{method}__"
        if _frame(other) or _outranks(other):
            return NotImplemented
        if method not in COMPARISONS and _is_array(other) and not reflected and other.ndim != 1:
            return self._pandas(python, other)
        name = self._name
        if type(other).__name__ == "Series":
            from workbench.fusion.capture.frame import lazily

            other = lazily(other)
        if isinstance(other, LazySeries):
            met = meet(self, other)
            if met is None:
                return self._pandas(python, other, reason="index must be aligned")
            mine, theirs = met
            name = name if same_name(name, other._name) else None
        else:
            mine, theirs = self._column, operand(other, self._column.domain)
        op = OPERATIONS[method]
        found = arithmetic.binary(op, theirs, mine) if reflected else arithmetic.binary(op, mine, theirs)
        if found is None:
            return self._pandas(python, other, reason=_why(method, mine))
        return LazySeries(found, name, (*self._notes, *getattr(other, "_notes", ())))

    def _inplace(self, method: Any, other: Any) -> LazySeries:
        """Write the result of an operator back: `x += y`."""
        found = self._binary(method, other)
        if not isinstance(found, LazySeries):
            return found
        name = self._name
        self._assign(found)
        self._name = name
        return self

    def _filled(self, name: Any, method: Any, other: Any, fill_value: Any, reflected: bool) -> Any:
        """Return an operation in which a value stands for one that is missing beside one that is not."""
        if isinstance(other, (int, float, np.number)):
            return self._filling(fill_value)._binary(method, other, reflected)
        return self._pandas(name, other, fill_value=fill_value)

    def _filling(self, value: Any) -> Any:
        return self.fillna(value)

    def __invert__(self) -> Any:
        found = arithmetic.invert(self._column)
        return self._pandas("__invert__") if found is None else self._new(found)

    def __neg__(self) -> Any:
        return self._unary("negative", "__neg__")

    def __pos__(self) -> Any:
        return self._unary("positive", "__pos__")

    def __abs__(self) -> Any:
        return self._unary("absolute", "__abs__")

    def abs(self) -> Any:
        """Return absolute values."""
        return self._unary("absolute", "abs")

    def _unary(self, op: Any, method: Any) -> Any:
        found = arithmetic.unary(op, self._column)
        return self._pandas(method) if found is None else self._new(found)

    def __array_ufunc__(self, function: Any, method: Any, *inputs: Any, **kwargs: Any) -> Any:
        from workbench.fusion.capture.ufuncs import apply

        return apply(function, method, inputs, kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        from workbench.fusion.capture.ufuncs import function_of_numpy

        return function_of_numpy(function, args, kwargs)


#: method -> operation of the op table
OPERATIONS = {**METHODS, **arithmetic.LOGIC}


def _leaf_column(series: pd.Series, domain: Domain, notes: tuple[Fallback, ...]) -> Column:
    found = Column.of(series.copy(deep=False), domain)
    if notes and found.source is not None:
        found.source.note = notes[-1]
    return found


def same_name(first: Any, second: Any) -> bool:
    """Return whether two names are one, so that a result keeps it."""
    try:
        return first is second or bool(first == second) or bool(first != first and second != second)
    except (TypeError, ValueError):
        return False


def meet(*lazies: Any) -> list[Column] | None:
    """Return the columns of several Series over one domain, if they combine by position; None if labels decide."""
    domains = [each._column.domain for each in lazies]
    roots = {id(domain.settled) for domain in domains if domain.settled is not None}
    if roots and len({id(domain) for domain in domains}) > 1:
        for each in lazies:
            settled = each._column.domain.settled
            if settled is not None and settled is not each._column.domain:
                each._fusion_value()
                if each._column.domain is not settled:
                    each._keep(each._value)
        domains = [each._column.domain for each in lazies]
    if all(domain.same_rows(domains[0]) for domain in domains[1:]):
        from workbench.fusion.capture.selection import rebased

        return [rebased(each._column, domains[0]) for each in lazies]
    return None


def operand(other: Any, domain: Domain) -> Any:
    """Return what stands beside a column: a column over its rows, a 0-d expression, or the value as it is."""
    if isinstance(other, LazyScalar):
        return other.expr
    if type(other).__name__ == "LazyArray":
        found = array_expr(other)
        if found.ndim == 0:
            return found
        if found.ndim == 1 and (found.shape[0] is domain.size or found.shape[0] == domain.size):
            return Column(found.dtype, domain, found)
        return other
    if isinstance(other, np.ndarray) and plain(other.dtype):
        if other.ndim == 0:
            return other[()]
        if other.ndim == 1 and len(other) == domain.size and len(other) != 1:
            return Column(other.dtype, domain, ir.leaf(other))
    return other


def _is_array(other: Any) -> bool:
    return isinstance(other, np.ndarray) or type(other).__name__ == "LazyArray"


def _frame(other: Any) -> bool:
    return type(other).__name__ == "LazyFrame"


def _outranks(other: Any) -> bool:
    """Return whether an operand's own operator has to answer: a concrete DataFrame's."""
    return type(other).__name__ == "DataFrame"


def _why(method: Any, column: Column) -> Any:
    if method in ("floordiv", "mod", "pow") and column.plain and column.dtype.kind in "iub":
        return "data-dependent dtype"
    return "unsupported operation"


def _as_array(series: LazySeries) -> Any:
    from workbench import fusion

    column = series._column
    if column.plain and hasattr(fusion, "array"):
        from workbench.fusion.capture.array import LazyArray

        return LazyArray(column.expr)
    return series._fusion_value().values


def _add_operators() -> None:
    for method in OPERATIONS:

        def plain(self: LazySeries, other: Any, _method: Any = method) -> Any:
            return self._binary(_method, other)

        def mirrored(self: LazySeries, other: Any, _method: Any = method) -> Any:
            return self._binary(_method, other, True)

        def inplace(self: LazySeries, other: Any, _method: Any = method) -> Any:
            return self._inplace(_method, other)

        setattr(LazySeries, f"__{method}__", plain)
        if method not in COMPARISONS:
            setattr(LazySeries, f"__r{method}__", mirrored)
            setattr(LazySeries, f"__i{method}__", inplace)
        if method in METHODS:
            setattr(LazySeries, method, _method_of(method, False))
            if method not in COMPARISONS:
                setattr(LazySeries, f"r{method}", _method_of(method, True))
    for short, method in (("div", "truediv"), ("divide", "truediv"), ("multiply", "mul"), ("subtract", "sub")):
        setattr(LazySeries, short, getattr(LazySeries, method))
    LazySeries.rdiv = LazySeries.rtruediv  # type: ignore[attr-defined]


def _method_of(method: str, reflected: bool) -> Callable[..., Any]:
    name = f"r{method}" if reflected else method

    def call(self: LazySeries, other: Any, level: Any = None, fill_value: Any = None, axis: Any = 0) -> Any:
        if level is not None or axis not in (0, "index") or isinstance(other, (list, tuple)):
            return self._pandas(name, other, level=level, fill_value=fill_value, axis=axis)
        if fill_value is not None:
            return self._filled(name, method, other, fill_value, reflected)
        if isinstance(other, LazySeries) and method in COMPARISONS and meet(self, other) is None:
            return self._pandas(name, other)  # the method aligns, the operator does not
        found = self._binary(method, other, reflected)
        return self._pandas(name, other) if found is NotImplemented else found

    call.__name__ = name
    call.__doc__ = f"Return the operation `{name}` of pandas.Series, by position where rows are the same."
    return call


_add_operators()
