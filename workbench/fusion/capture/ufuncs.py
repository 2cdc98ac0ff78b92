"""NumPy's functions on lazy columns and frames."""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.fusion import expr as ir
from workbench.fusion.capture.columns import Column
from workbench.fusion.capture.fallback import run_in_pandas
from workbench.fusion.capture.lazy import LazyPandas
from workbench.fusion.ops import OPS

__all__ = ["apply", "function_of_numpy"]

#: ufuncs that pandas hands to its operators -> name of the operator's method
_OPERATORS = {
    "add": "add", "subtract": "sub", "multiply": "mul", "divide": "truediv", "true_divide": "truediv",
    "floor_divide": "floordiv", "remainder": "mod", "power": "pow", "less": "lt", "less_equal": "le",
    "greater": "gt", "greater_equal": "ge", "equal": "eq", "not_equal": "ne", "bitwise_and": "and",
    "bitwise_or": "or", "bitwise_xor": "xor",
}  # fmt: skip


def apply(function: Any, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return what a ufunc gives on lazy columns and frames, as pandas wraps it."""
    from workbench.fusion.capture.frame import LazyFrame
    from workbench.fusion.capture.series import LazySeries

    name = function.__name__
    if method == "__call__" and not kwargs and name in OPS:
        found: Any = None
        if any(isinstance(each, LazyFrame) for each in inputs):
            if len(inputs) == 1:
                found = _each_column(name, inputs[0])
        elif name in _OPERATORS and len(inputs) == 2:
            first, second = inputs
            if isinstance(first, LazySeries):
                found = first._binary(_OPERATORS[name], second)
            else:
                found = second._binary(_mirrored(_OPERATORS[name]), first, _OPERATORS[name] not in _MIRROR)
        elif name == "absolute" and isinstance(inputs[0], LazySeries):
            found = inputs[0].abs()
        elif name == "invert" and isinstance(inputs[0], LazySeries):
            found = ~inputs[0]
        else:
            found = _mapped(name, inputs)
        if found is not None and found is not NotImplemented:
            return found
    return run_in_pandas(name, lambda *a, **k: getattr(function, method)(*a, **k), *inputs, **kwargs)


_MIRROR = {"lt": "gt", "le": "ge", "gt": "lt", "ge": "le", "eq": "eq", "ne": "ne"}


def _mirrored(method: str) -> str:
    return _MIRROR.get(method, method)


def _mapped(name: str, inputs: tuple[Any, ...]) -> Any:
    from workbench.fusion.capture.frame import lazily
    from workbench.fusion.capture.series import LazySeries, meet, operand, same_name

    inputs = tuple([lazily(each) for each in inputs])
    series = [each for each in inputs if isinstance(each, LazySeries)]
    columns = meet(*series)
    if columns is None or not all(each.plain for each in columns):
        return None
    domain = columns[0].domain
    exprs = []
    rest = iter(columns)
    for each in inputs:
        found = next(rest) if isinstance(each, LazySeries) else operand(each, domain)
        if isinstance(found, Column):
            found = found.expr
        elif not isinstance(found, ir.Expr):
            from workbench.fusion.capture.arithmetic import as_constant

            found = as_constant(found)
        if found is None:
            return None
        exprs.append(found)
    made = mapped(name, exprs)
    if made is None:
        return None
    label = series[0]._name
    for each in series[1:]:
        label = label if same_name(label, each._name) else None
    notes = sum((each._notes for each in series), ())
    return LazySeries(Column(made.dtype, domain, made), label, notes)


def mapped(name: str, exprs: list[ir.Expr]) -> ir.Expr | None:
    """Return an operation of the op table; None if its result is no dtype of ours, or NumPy raises."""
    from workbench.fusion.ops import supported

    try:
        found = ir.map_(name, *exprs)
    except (TypeError, ValueError):
        return None
    integer = all(each.dtype.kind in "iu" for each in exprs)
    if name in ("power", "floor_divide", "remainder", "fmod") and integer:
        return None
    return found if supported(found.dtype) else None


def _each_column(name: str, frame: Any) -> Any:
    columns = frame._all()
    if not columns or not all(each.plain and each.dtype.kind in "iuf" for each in columns):
        return None
    found = []
    for each in columns:
        made = mapped(name, [each.expr])
        if made is None:
            return None
        found.append(Column(made.dtype, each.domain, made))
    return frame._new(found, frame._labels)


def function_of_numpy(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return what a function of NumPy gives: those of the shape of arrays through lazy arrays, others in NumPy."""
    found = _through_arrays(function, args, kwargs)
    if found is not None:
        return found
    return run_in_pandas(f"numpy.{function.__name__}", function, *args, **kwargs)


def _through_arrays(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    from workbench import fusion
    from workbench.fusion.capture.series import LazySeries, meet

    if function is not np.where or len(args) != 3 or kwargs or not hasattr(fusion, "array"):
        return None
    series = [each for each in args if isinstance(each, LazySeries)]
    if any(isinstance(each, LazyPandas) and not isinstance(each, LazySeries) for each in args):
        return None
    if not all(each._column.plain for each in series):
        return None
    if meet(*series) is None:
        return None
    return np.where(*[each.values if isinstance(each, LazySeries) else each for each in args])
