"""What lazy columns, frames and single values of them have in common: how they are forced, shown and pickled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from workbench.fusion.capture.fallback import unreported
from workbench.fusion.forcing import DEFAULTS, needed
from workbench.fusion.positions import here

if TYPE_CHECKING:
    from workbench.fusion.expr import Expr, Fallback
    from workbench.fusion.result import FusionPlan

__all__ = ["DEFAULTS", "LazyPandas", "array_expr", "is_array", "located", "settle"]

_UNSET: Any = object()


def located(expr: Expr | None) -> None:
    """Give the nodes of an expression that have no source position that of the call that is being captured."""
    stack, where = [expr] if expr is not None else [], None
    while stack:
        node = stack.pop()
        if node.where is not None or node.kind in ("Leaf", "Const"):
            continue
        if where is None:
            where = here()
        node.where = where
        stack += node.inputs


def is_array(value: Any) -> bool:
    """Return whether a value is a LazyArray."""
    return type(value).__name__ == "LazyArray"


def array_expr(value: Any) -> Expr:
    """Return the expression of a LazyArray as it is now."""
    from workbench.fusion.capture.array import now

    return now(value)


def settle(lazies: Sequence[LazyPandas], **options: Any) -> tuple[list[Any], FusionPlan]:
    """Return the values of lazy objects, computed in one plan, and that plan."""
    from workbench.fusion import run
    from workbench.fusion.telling import tell_fallbacks

    parts = [each._needs() for each in lazies]
    flat = [expr for part in parts for expr in part]
    values, plan = run.force(flat, **options)
    notes = unreported([note for each in lazies for note in each._notes])
    if notes:
        tell_fallbacks(plan, notes)
    found, at = [], 0
    for each, part in zip(lazies, parts, strict=True):
        found.append(each._make(values[at : at + len(part)]))
        at += len(part)
    return found, plan


class LazyPandas:
    """A table, a column or a value of one that is computed when it is asked for."""

    _value: Any = _UNSET
    _notes: tuple[Fallback, ...] = ()
    _plan: FusionPlan | None = None
    #: the user's own object, that writes go into
    _original: Any = None
    # ndarrays leave operators to us
    __array_priority__ = 2000
    __hash__ = None  # type: ignore[assignment]

    # what subclasses give

    def _needs(self) -> list[Expr]:
        """Return what has to be computed."""
        raise NotImplementedError

    def _make(self, values: Sequence[Any]) -> Any:
        """Return the value, from what was computed."""
        raise NotImplementedError

    def _keep(self, value: Any) -> None:
        """Keep a value that was computed: from now on it is borrowed."""
        self._value = value

    # how several are computed in one plan

    def _parts(self) -> list[Expr]:
        """Return what has to be computed, if anything still has."""
        return self._needs() if self._value is _UNSET else []

    def _finish(self, values: Sequence[Any]) -> Any:
        """Return the value; what was written goes into the user's own object."""
        return self._make(values) if self._value is _UNSET else self._value

    @property
    def _store(self) -> Any:
        """Whether something was written that the user's own object does not have yet."""
        return SimpleNamespace(dirty=self._original is not None and self._value is _UNSET)

    # forcing

    def _fusion_value(self, **options: Any) -> Any:
        if self._value is _UNSET:
            [value], self._plan = settle([self], **options)
            self._keep(value)
        return self._value

    def compute(
        self, device: str = "auto", threads: int | None = None, exact: bool = False, check: bool = False
    ) -> Any:
        """Return the value that eager pandas code gives.

        Parameters
        ----------
        device : str
            "auto", "cpu", "interpreter" or "eager"; one that is named computes anew.
        threads : int, optional
            As many as this process may use if not given.
        exact : bool
            Correctly rounded sums, no contraction.
        check : bool
            Compare with eager work, call by call.
        """
        if self._original is not None:
            return self._fusion_value(device=device, threads=threads, exact=exact, check=check)
        if device == "auto" and not check and self._value is not _UNSET:
            return self._value
        [value], self._plan = settle([self], device=device, threads=threads, exact=exact, check=check)
        if self._value is _UNSET:
            self._keep(value)
        return self._fusion_value() if device == "auto" and not check else value

    def to_pandas(self) -> Any:
        """Return the value that eager pandas code gives."""
        return self._fusion_value()

    def explain(self, form: str = "text") -> Any:
        """Show the plan: what it will run, or of a computed value what it ran.

        Parameters
        ----------
        form : {"text", "html", "dict"}
        """
        from workbench import fusion

        return (self._plan or fusion.explain(self)).explain(form)

    # Python asks for the value

    def __repr__(self) -> str:
        return repr(self._fusion_value())

    def __str__(self) -> str:
        return str(self._fusion_value())

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        value = self._fusion_value()
        found = {"text/plain": repr(value)}
        html = getattr(value, "_repr_html_", None)
        if html is not None and (text := html()) is not None:
            found["text/html"] = text
        return found

    def __bool__(self) -> bool:
        return bool(needed(self._fusion_value))

    def __int__(self) -> int:
        return int(needed(self._fusion_value))

    def __float__(self) -> float:
        return float(needed(self._fusion_value))

    def __complex__(self) -> complex:
        return complex(needed(self._fusion_value))

    def __format__(self, spec: str) -> str:
        return format(needed(self._fusion_value), spec)

    def __iter__(self) -> Iterator[Any]:
        return iter(needed(self._fusion_value))

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        import numpy as np

        return np.array(self._fusion_value(), dtype=dtype, copy=copy)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rewrapped, (self._fusion_value(),)

    def __copy__(self) -> Any:
        return self.copy() if hasattr(self, "copy") else self

    def __deepcopy__(self, memo: Any) -> Any:
        return self.__copy__()


def _rewrapped(value: Any) -> Any:
    from workbench.fusion.capture.fallback import wrap

    return wrap(value)
