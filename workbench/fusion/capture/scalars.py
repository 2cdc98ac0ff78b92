"""Lazy values that are no columns: a sum, a count, an array of words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from workbench.fusion import expr as ir
from workbench.fusion.capture.lazy import LazyPandas, is_array, located

if TYPE_CHECKING:
    from workbench.fusion.expr import Expr, Fallback

__all__ = ["LazyScalar", "LazyValue"]


class Single(LazyPandas):
    """One value, with what it has itself."""

    def __index__(self) -> int:
        import operator

        return operator.index(self._fusion_value())

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(self._fusion_value())

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._fusion_value(), name)


class LazyValue(Single):
    """A value that is no column: an array of words, a count as Python's int, a minimum that may be missing.

    Parameters
    ----------
    exprs : sequence of Expr
        What has to be computed.
    made : callable
        From what was computed to the value.
    """

    def __init__(
        self, exprs: Sequence[Expr], made: Callable[[Sequence[Any]], Any], notes: tuple[Fallback, ...] = ()
    ) -> None:
        self._exprs, self._made, self._notes = list(exprs), made, notes
        for each in self._exprs:
            located(each)

    def _needs(self) -> list[Expr]:
        return self._exprs

    def _make(self, values: Sequence[Any]) -> Any:
        return self._made(values)

    def __len__(self) -> int:
        return len(self._fusion_value())

    def __getitem__(self, key: Any) -> Any:
        return self._fusion_value()[key]

    def __contains__(self, value: Any) -> bool:
        return value in self._fusion_value()

    def __array_ufunc__(self, function: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        from workbench.fusion.capture.fallback import forced

        if any(isinstance(each, LazyPandas) and not isinstance(each, (LazyValue, LazyScalar)) for each in inputs):
            return NotImplemented
        return getattr(function, method)(*[forced(each) for each in inputs], **kwargs)


def _delegate(python: str) -> Callable[..., Any]:
    import operator

    function = getattr(operator, python)

    def apply(self: LazyValue, *others: Any) -> Any:
        if any(isinstance(each, LazyPandas) and not isinstance(each, (LazyValue, LazyScalar)) for each in others):
            return NotImplemented
        plain = [each._fusion_value() if isinstance(each, LazyPandas) else each for each in others]
        return function(self._fusion_value(), *plain)

    return apply


def _delegate_reflected(python: str) -> Callable[..., Any]:
    import operator

    function = getattr(operator, python)
    return lambda self, other: function(other, self._fusion_value())


for _python in (
    "add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "lt", "le", "gt", "ge", "eq", "ne", "and_", "or_",
    "neg", "abs",
):  # fmt: skip
    setattr(LazyValue, f"__{_python.strip('_')}__", _delegate(_python))
for _python in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and_", "or_"):
    setattr(LazyValue, f"__r{_python.strip('_')}__", _delegate_reflected(_python))


class LazyScalar(Single):
    """A single value: a sum, a mean, a count.

    Parameters
    ----------
    expr : Expr
        0-d, of the dtype of the value.
    counted : Expr, optional
        0-d: how many values it is of. Of none pandas gives Python's NaN, whatever the dtype.
    """

    def __init__(self, expr: Expr, notes: tuple[Fallback, ...] = (), *, counted: Expr | None = None) -> None:
        self.expr, self._counted, self._notes = expr, counted, notes
        located(expr)

    @property
    def dtype(self) -> Any:
        """Of the value."""
        return self.expr.dtype

    @property
    def shape(self) -> tuple[()]:
        """Of a single value."""
        return ()

    ndim, size = 0, 1

    def _needs(self) -> list[Expr]:
        return [self.expr] if self._counted is None else [self.expr, self._counted]

    def _make(self, values: Sequence[Any]) -> Any:
        if self._counted is not None and not values[1]:
            return float("nan")
        return values[0][()] if hasattr(values[0], "ndim") else values[0]

    def _array(self) -> Any:
        from workbench.fusion.capture.array import LazyArray

        return LazyArray(self.expr)

    def item(self) -> Any:
        """Return the value as a Python number."""
        return self._fusion_value().item()

    def tolist(self) -> Any:
        """Return the value as a Python number."""
        return self._fusion_value().item()

    def __array_ufunc__(self, function: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        from workbench.fusion.capture.fallback import forced
        from workbench.fusion.ops import OPS

        name = function.__name__
        plain = all(isinstance(each, (LazyScalar, int, float)) for each in inputs)
        if method == "__call__" and plain and not kwargs and name in OPS:
            found = self._map(name, *inputs)
            if found is not NotImplemented:
                return found
        if any(isinstance(each, LazyPandas) and not isinstance(each, LazyScalar) for each in inputs):
            return NotImplemented
        return getattr(function, method)(*[forced(each) for each in inputs], **kwargs)

    def _map(self, name: str, *inputs: Any) -> Any:
        """Apply an elementwise operation to single values; NotImplemented where others are involved."""
        import numpy as np

        exprs: list[Expr] = []
        for each in inputs:
            if isinstance(each, LazyScalar):
                exprs.append(each.expr)
            elif isinstance(each, (bool, int, float, np.number, np.bool_)) and not isinstance(each, np.longdouble):
                if isinstance(each, int) and not -(2**63) <= each < 2**63:
                    return NotImplemented
                exprs.append(ir.const(each))
            else:
                return NotImplemented
        try:
            return LazyScalar(ir.map_(name, *exprs))
        except TypeError:
            return NotImplemented


def _operator(name: str, python: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    import operator

    function = getattr(operator, python)

    def apply(self: LazyScalar, other: Any) -> Any:
        if isinstance(other, LazyPandas) and not isinstance(other, LazyScalar):
            return NotImplemented
        if is_array(other):
            return function(self._array(), other)
        found = self._map(name, self, other) if _safe(name, self, other) else NotImplemented
        if found is NotImplemented:
            return function(self._fusion_value(), other._fusion_value() if isinstance(other, LazyScalar) else other)
        return found

    def reflected(self: LazyScalar, other: Any) -> Any:
        if is_array(other):
            return function(other, self._array())
        found = self._map(name, other, self) if _safe(name, self, other) else NotImplemented
        return function(other, self._fusion_value()) if found is NotImplemented else found

    return apply, reflected


def _safe(name: str, first: Any, second: Any) -> bool:
    """Return whether single values may wait: NumPy's scalars raise at once where Python's numbers do not fit."""
    other = second if isinstance(first, LazyScalar) and not isinstance(second, LazyScalar) else first
    if isinstance(other, LazyScalar):
        return name not in ("power", "floor_divide", "remainder")
    kinds = [each.expr.dtype.kind for each in (first, second) if isinstance(each, LazyScalar)]
    return (bool(kinds) and all(kind == "f" for kind in kinds)) or isinstance(other, float)


for _name, _python, _word in [
    ("add", "add", "add"), ("subtract", "sub", "sub"), ("multiply", "mul", "mul"), ("divide", "truediv", "truediv"),
    ("floor_divide", "floordiv", "floordiv"), ("remainder", "mod", "mod"), ("power", "pow", "pow"),
    ("less", "lt", None), ("less_equal", "le", None), ("greater", "gt", None), ("greater_equal", "ge", None),
    ("equal", "eq", None), ("not_equal", "ne", None),
]:  # fmt: skip
    _apply, _reflected = _operator(_name, _python)
    setattr(LazyScalar, f"__{_python}__", _apply)
    if _word is not None:
        setattr(LazyScalar, f"__r{_word}__", _reflected)
setattr(LazyScalar, "__neg__", lambda self: -self._fusion_value())  # noqa: B010
setattr(LazyScalar, "__abs__", lambda self: abs(self._fusion_value()))  # noqa: B010
