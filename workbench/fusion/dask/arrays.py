"""Arrays over Dask: NumPy names, recorded; reductions of the whole array end the record."""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.fusion.dask.cluster import computed, tree
from workbench.fusion.dask.partials import Reduction, exactly, finished
from workbench.fusion.dask.recording import REDUCTIONS, OverDask, ones, wrapped
from workbench.fusion.dask.steps import Step
from workbench.fusion.dask.tasks import block, ended_block
from workbench.fusion.errors import cannot_fuse, dtype_unsupported

__all__ = ["DaskArray", "array"]


class DaskArray(OverDask):
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
        if name in REDUCTIONS - {"count"}:
            return lambda *args, **kwargs: self._reduced(name, args, kwargs)
        found = getattr(self.to_dask(), name)
        if not callable(found):
            return wrapped(found)
        return lambda *args, **kwargs: self._in_dask("method", name, self, *args, **kwargs)

    def __getitem__(self, key: Any) -> Any:
        return self._in_dask("item", "", self, key)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        name = function.__name__
        if name in REDUCTIONS and len(args) == 1 and isinstance(args[0], DaskArray):
            return getattr(args[0], name)(**kwargs)
        return wrapped(function(*[e._collection() if isinstance(e, DaskArray) else e for e in args], **kwargs))

    def astype(self, dtype: Any) -> Any:
        """Convert each element."""
        return self._rows("method", "astype", self, dtype)

    def _rows(self, how: str, name: str, *args: Any, **kwargs: Any) -> Any:
        numbers = (int, float, bool, np.number, np.bool_, OverDask, str, np.dtype, type)
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
        return self._source.map_blocks(block, self._step, {}, dtype=self.dtype, meta=empty)

    def _run(self, options: dict[str, Any]) -> Any:
        source = self._source
        if self._end is None:
            return self._all(options)
        if options["exact"]:
            made = self._step.on({0: ones(source)})
            return exactly(self._end, DaskArray(source, self._step, made)._all(options))
        parts = source.map_blocks(
            ended_block, self._step, self._end, options, dtype=object, chunks=(1,) * source.ndim,
            meta=np.empty((0,) * source.ndim, object),
        )  # fmt: skip
        return finished(self._end, tree(parts, self._end))

    def _all(self, options: dict[str, Any]) -> Any:
        if self._step.how == "leaf":
            return computed(self._source)
        empty = np.empty((0,) * self._source.ndim, self.dtype)
        return computed(self._source.map_blocks(block, self._step, options, dtype=self.dtype, meta=empty))


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
    return DaskArray(x, Step("leaf", "", (0,)), ones(x))
