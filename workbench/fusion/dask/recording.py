"""What was recorded over one Dask collection, and how it is computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.fusion.capture.fallback import forced
from workbench.fusion.dask.cluster import computed
from workbench.fusion.dask.steps import Step, called, last_merge, tables
from workbench.fusion.dask.tasks import lazy_part

if TYPE_CHECKING:
    from workbench.fusion.expr import Expr

__all__ = ["REDUCTIONS", "DaskValue", "OverDask", "like_of", "ones", "wrapped"]

_UNSET: Any = object()

#: methods that give one value for all rows
REDUCTIONS = frozenset({"sum", "prod", "min", "max", "mean", "var", "std", "count", "any", "all"})


class OverDask:
    """What was recorded over one Dask collection."""

    # ndarrays leave operators to us
    __array_priority__ = 2000
    __hash__ = None  # type: ignore[assignment]
    _value: Any = _UNSET

    def __init__(self, source: Any, step: Step, like: Any, end: Any = None) -> None:
        #: the Dask collection, what is done to its partitions, a made-up value of the result, and how it ends
        self._source, self._step, self._like, self._end = source, step, like, end

    # recording

    def _rows(self, how: str, name: str, /, *args: Any, **kwargs: Any) -> Any:
        """Return the record of a call that looks at one row at a time; in Dask if others are involved."""
        others = [each for each in (*args, *kwargs.values()) if isinstance(each, OverDask)]
        if self._end is not None or any(each._source is not self._source or each._end is not None for each in others):
            return self._in_dask(how, name, *args, **kwargs)
        if any(last_merge(each._step) is not last_merge(self._step) for each in others):
            return self._computed(how, name, *args, **kwargs)  # their labels are not of one kind
        like = called(how, name, [like_of(each) for each in args], {key: like_of(each) for key, each in kwargs.items()})
        step = Step(how, name, tuple(map(_step, args)), {key: _step(each) for key, each in kwargs.items()})
        return type(self)(self._source, step, like)

    def _in_dask(self, how: str, name: str, /, *args: Any, **kwargs: Any) -> Any:
        """Return what Dask makes of a call, recorded again where it can be."""
        plain = [each._collection() if isinstance(each, OverDask) else forced(each) for each in args]
        named = {
            key: each._collection() if isinstance(each, OverDask) else forced(each) for key, each in kwargs.items()
        }
        return wrapped(called(how, name, plain, named))

    def _computed(self, how: str, name: str, /, *args: Any, **kwargs: Any) -> Any:
        """Return what pandas makes of a call on computed tables, as a lazy object."""
        from workbench.fusion.capture.frame import lazily

        return lazily(called(how, name, forced(args), forced(kwargs)))

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
        made = lazy_part(ones(self._source) if rows is None else rows)
        joined = {token: lazy_part(table) for token, table in tables(self._step).items()}
        lazy = self._step.on({0: made, **joined})
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
        plain = [each.compute() if isinstance(each, OverDask) else each for each in inputs]
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

        def forward(self: OverDask, other: Any, word: str = word) -> Any:
            return self._rows("operator", word, self, other)

        def back(self: OverDask, other: Any, word: str = word) -> Any:
            return self._rows("operator", word, other, self)

        setattr(OverDask, f"__{name}__", forward)
        setattr(OverDask, f"__r{name}__", back)
    for name in ("lt", "le", "gt", "ge", "eq", "ne"):
        setattr(OverDask, f"__{name}__", lambda self, other, name=name: self._rows("operator", name, self, other))
    for name in ("neg", "pos", "abs", "invert"):
        setattr(OverDask, f"__{name}__", lambda self, name=name: self._rows("operator", name, self))


_operators()


def ones(x: Any) -> np.ndarray:
    """Return a made-up block of a Dask array."""
    return np.ones((1,) * x.ndim, x.dtype)


def like_of(value: Any) -> Any:
    """Return the made-up value of what was recorded; anything else as it is."""
    return value._like if isinstance(value, OverDask) else value


def _step(value: Any) -> Any:
    return value._step if isinstance(value, OverDask) else value


def _in_dask(value: Any) -> Any:
    return value._collection() if isinstance(value, OverDask) else forced(value)


class DaskValue(OverDask):
    """A single value of Dask: a quantile, a number of distinct values."""

    def __init__(self, source: Any) -> None:
        super().__init__(source, Step("leaf", "", (0,)), getattr(source, "_meta", None))

    def _rows(self, how: str, name: str, /, *args: Any, **kwargs: Any) -> Any:
        return self._in_dask(how, name, *args, **kwargs)

    def to_dask(self) -> Any:
        """Return Dask's value; nothing runs."""
        return self._source

    def _run(self, options: dict[str, Any]) -> Any:
        return computed(self._source)


def wrapped(value: Any) -> Any:
    """Return a Dask table, column, array or value as a recorder, anything else as it is."""
    import dask.array as da
    import dask.dataframe as dd

    from workbench.fusion.dask import array, frame
    from workbench.fusion.ops import supported

    if isinstance(value, (dd.DataFrame, dd.Series)):
        return frame(value)
    if isinstance(value, dd.Scalar) or (isinstance(value, da.Array) and not value.ndim):
        return DaskValue(value)
    return array(value) if isinstance(value, da.Array) and supported(value.dtype) else value
