"""LazyArray: what NumPy code computes with, and records."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.fusion import expr as ir
from workbench.fusion.capture import storage
from workbench.fusion.errors import FusionError
from workbench.fusion.expr import Expr, Size
from workbench.fusion.forcing import needed
from workbench.fusion.positions import here

if TYPE_CHECKING:
    from workbench.fusion.result import FusionPlan

__all__ = ["LazyArray", "lazy", "now", "settle_sizes"]


class LazyArray:
    """An array that is computed when it is asked for.

    It has the operators, methods and functions of an ndarray. What is not known to it runs in NumPy on computed
    inputs, and is told in the plan.
    """

    __slots__ = ("__weakref__", "_chain", "_expr", "_made", "_plan", "_seen", "_store", "_value")

    __array_priority__ = 1000.0
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, expr: Expr) -> None:
        self._expr = expr
        #: the buffer that it is a view of, once views or writes make that matter; and how it looks at it
        self._store: storage.Store | None = None
        self._chain: tuple[Any, ...] = ()
        self._seen = 0
        self._value: Any = _UNSET
        #: what a kept value was computed by, for who asks for it anew
        self._made: Expr | None = None
        self._plan: FusionPlan | None = None

    # what it is

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths; one that depends on a filter is counted, and nothing else computed."""
        return settle_sizes(now(self).shape)

    @property
    def dtype(self) -> np.dtype:
        """The dtype that NumPy gives."""
        return self._expr.dtype

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self._expr.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        found = 1
        for length in self.shape:
            found *= length
        return found

    @property
    def device(self) -> str:
        """Where its memory is."""
        return "cpu"

    @property
    def itemsize(self) -> int:
        """Bytes of an element."""
        return self._expr.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.size * self.itemsize

    @property
    def T(self) -> LazyArray:
        """The transposed array, a view."""
        return self.transpose()

    @property
    def plan(self) -> FusionPlan | None:
        """The plan of the run that computed it, None before."""
        return self._plan

    # computing

    def _parts(self) -> list[Expr]:
        return [now(self)]

    def _finish(self, values: Sequence[Any]) -> Any:
        return values[0]

    def _keep(self, value: Any) -> None:
        """Keep a value: from now on it is a borrowed leaf."""
        if self._store is not None and self._store.dirty:
            value = self._store.write_back(self, value)
        array = np.asarray(value)
        if not (self._expr.kind == "Leaf" and self._expr.data is array):
            # a view of the user's memory among them: its readers are spared when that is written to
            name, where = self._expr.name, self._expr.where
            self._made = self._expr if self._store is None else None
            self._expr = storage.leaf_of(array)
            self._expr.name, self._expr.where = name, where
            if self._store is not None and not self._chain:
                self._store.settled(self._expr)
        self._value = value

    def compute(
        self, device: str = "auto", threads: int | None = None, exact: bool = False, check: bool = False
    ) -> Any:
        """Return the value, an ndarray or for 0 dimensions a NumPy scalar.

        Parameters
        ----------
        device : str
            "auto", "cpu", "interpreter" or "eager"; one that is named computes anew.
        threads : int, optional
            Default: the CPUs that this process may use.
        exact : bool
            No reassociation and no contraction.
        check : bool
            Compute in NumPy too, and compare.
        """
        current = now(self)
        if self._value is not _UNSET and device == "auto" and not check and current is self._expr:
            return self._value
        from workbench.fusion import api

        if self._made is not None and self._store is None:
            return api.compute(LazyArray(self._made), device=device, threads=threads, exact=exact, check=check)[0]
        return api.compute(self, device=device, threads=threads, exact=exact, check=check)[0]

    def explain(self, form: str = "text") -> Any:
        """Show the plan: what it will run, or of a computed value what it ran."""
        from workbench.fusion import api

        return api.explain(self).explain(form)

    def to_numpy(self, dtype: Any = None, copy: bool = False) -> Any:
        """Return the value as an ndarray."""
        found = np.asarray(self.compute(), dtype)
        return found.copy() if copy else found

    def item(self, *args: Any) -> Any:
        """Return an element as a Python number."""
        return np.asarray(needed(self.compute)).item(*args)

    def tolist(self) -> Any:
        """Return the value as nested lists."""
        return np.asarray(needed(self.compute)).tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        found = np.asarray(self.compute())
        if dtype is not None and found.dtype != dtype:
            return found.astype(dtype)
        return found.copy() if copy else found

    def __float__(self) -> float:
        return float(needed(self.compute))

    def __int__(self) -> int:
        return int(needed(self.compute))

    def __complex__(self) -> complex:
        return complex(needed(self.compute))

    def __index__(self) -> int:
        return needed(self.compute).__index__()

    def __bool__(self) -> bool:
        return bool(needed(self.compute))

    def __len__(self) -> int:
        shape = now(self).shape
        if not shape:
            raise TypeError("len() of unsized object")
        return settle_sizes(shape[:1])[0]

    def __iter__(self) -> Iterator[Any]:
        return iter(needed(self.compute))

    def __contains__(self, value: Any) -> bool:
        return value in np.asarray(needed(self.compute))

    def __repr__(self) -> str:
        return _shown(self, repr)

    def __str__(self) -> str:
        return _shown(self, str)

    def __format__(self, spec: str) -> str:
        return format(needed(self.compute), spec)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {"text/plain": repr(self)}

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (self.compute(),)

    def __copy__(self) -> LazyArray:
        return self.copy()

    def __deepcopy__(self, memo: Any) -> LazyArray:
        return self.copy()

    # NumPy's protocols

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        from workbench.fusion.capture import ndufuncs

        return ndufuncs.ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        from workbench.fusion.capture import ndfunctions

        return ndfunctions.call(function, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        from workbench.fusion.capture import ndmethods

        return ndmethods.attribute(self, name)

    # indexing

    def __getitem__(self, key: Any) -> Any:
        from workbench.fusion.capture import ndindex

        return ndindex.getitem(self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        from workbench.fusion.capture import ndindex

        ndindex.setitem(self, key, value)

    # the views and conversions that are asked for most

    def transpose(self, *axes: Any) -> LazyArray:
        """Return the array with axes in another order, a view."""
        from workbench.fusion.capture import ndindex

        return ndindex.transpose(self, axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes or None)

    def reshape(self, *shape: Any, **kwargs: Any) -> Any:
        """Return the array in another shape."""
        from workbench.fusion.capture import ndindex, ndinputs

        if kwargs:
            return ndinputs.run_in_numpy("reshape", np.ndarray.reshape, (self, *shape), kwargs)
        return ndindex.reshape(self, shape[0] if len(shape) == 1 else shape)

    def astype(
        self, dtype: Any, order: str = "K", casting: str = "unsafe", subok: bool = True, copy: bool = True
    ) -> Any:
        """Return the array converted to a dtype."""
        wanted = np.dtype(dtype)
        x = now(self)
        if casting != "unsafe" and not np.can_cast(x.dtype, wanted, casting):  # type: ignore[arg-type]
            np.empty(0, x.dtype).astype(wanted, casting=casting)  # type: ignore[call-overload]
        return self._alike(lazy(ir.cast(x, wanted, here(2))))

    def copy(self, order: str = "C") -> LazyArray:
        """Return a copy: writes to one are not seen by the other."""
        found = LazyArray(now(self))
        if found._expr.kind in ("Leaf", "View", "Broadcast"):
            # a write to the memory below must not be seen
            found._expr = ir.cast(found._expr, found._expr.dtype, here(2))
            found._expr.calls = 0
        return self._alike(found)

    def _alike(self, found: LazyArray) -> LazyArray:
        """Return a copy that has memory where a single value of this one has: the others are numbers."""
        if self._store is not None and not found._expr.shape:
            found._store = storage.Store(found._expr, None)
        return found


_UNSET: Any = object()


def lazy(expr: Expr) -> LazyArray:
    """Return an array that is computed by an expression."""
    return LazyArray(expr)


def _unpickled(value: Any) -> LazyArray:
    return LazyArray(ir.leaf(np.asarray(value)))


def now(x: LazyArray) -> Expr:
    """Return the expression of an array as it is now, writes through views included."""
    if x._store is not None and x._seen != x._store.version:
        x._expr = x._store.seen_through(x._chain)
        x._seen = x._store.version
        x._value = _UNSET
    return x._expr


def _shown(x: LazyArray, how: Callable[[Any], str]) -> str:
    try:
        return how(x.compute())
    except Exception as error:
        # looking at an object must not raise: debuggers do so too
        return f"<LazyArray: {type(error).__name__}: {error}>"


def settle_sizes(shape: Sequence[Any]) -> tuple[int, ...]:
    """Return a shape in numbers: of a filter's rows only the count is computed."""
    found = []
    for size in shape:
        if isinstance(size, Size):
            if size.value is None:
                _count(size)
            found.append(size.value)
        else:
            found.append(size)
    return tuple(found)  # type: ignore[arg-type]


def _count(size: Size) -> None:
    from workbench.fusion.run import force

    if size.mask is None:
        raise FusionError(f"The length {size.name} is not known before the run.", "Compute the array first.")
    size.value = int(force([ir.reduce_("count_nonzero", size.mask)])[0][0])
