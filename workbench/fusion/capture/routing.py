"""The calls of a cell: who gets lazy objects, and who gets what they stand for."""

from __future__ import annotations

import builtins
import functools
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from workbench.fusion.capture.fallback import forced, is_lazy

__all__ = ["Router", "concrete_type"]

#: containers whose methods take anything
_CONTAINERS = (list, dict, set, tuple, frozenset, str)


class Router:
    """Calls a function as a cell means it.

    NumPy, SciPy's special functions, builtins, methods of lazy objects and functions of the notebook get lazy objects;
    functions of pandas that have a lazy form run in it; all others get computed arguments.

    Parameters
    ----------
    namespace : dict
        The notebook's names.
    """

    def __init__(self, namespace: dict[str, Any]) -> None:
        self.namespace = namespace

    def __call__(self, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        if not (any(map(_has_lazy, args)) or any(map(_has_lazy, kwargs.values()))):
            return function(*args, **kwargs)
        if function is isinstance and len(args) == 2 and not kwargs:
            return issubclass(concrete_type(args[0]), forced(args[1])) or isinstance(args[0], args[1])
        if function is type and len(args) == 1 and not kwargs:
            return concrete_type(args[0])
        form = _form_of(function)
        if form is not None:
            return form(*args, **kwargs)
        if self._takes_lazy(function):
            if type(function) is types.BuiltinMethodType and _of_numpy(function):
                # it would ask each element of a list for its value, one after another
                args = tuple([forced(each) if type(each) in (list, tuple) else each for each in args])
            return function(*args, **kwargs)
        return function(*[forced(each) for each in args], **{name: forced(each) for name, each in kwargs.items()})

    def item(self, value: Any, key: Any) -> Any:
        """Return `value[key]`; what is not lazy, as an index is, gets a computed key."""
        __tracebackhide__ = True
        return value[forced(key) if is_lazy(key) and not is_lazy(value) else key]

    def __reduce__(self) -> Any:
        return _Plain, ()  # a function of the cell that travels to another process leaves the notebook here

    def _takes_lazy(self, function: Any) -> bool:
        kind = type(function)
        if isinstance(function, functools.partial):
            return self._takes_lazy(function.func)
        if isinstance(function, np.ufunc):
            return True
        home = getattr(function, "__self__", None)
        if kind is types.MethodType:
            return is_lazy(home) or self._takes_lazy(function.__func__)
        if kind is types.BuiltinMethodType:
            return home is builtins or isinstance(home, _CONTAINERS) or is_lazy(home) or _of_numpy(function)
        if kind is types.FunctionType:
            return function.__globals__ is self.namespace or _of_numpy(function)
        module = getattr(function, "__module__", None) or ""
        if isinstance(function, type):
            return module == "builtins" or module == self.namespace.get("__name__")
        return _of_numpy(function)


class _Plain:
    """A router for code that is not in a cell: calls are calls."""

    def __call__(self, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    def item(self, value: Any, key: Any) -> Any:
        return value[key]

    def __reduce__(self) -> Any:
        return _Plain, ()


def concrete_type(value: Any) -> type:
    """Return the type that a value has where nothing is lazy."""
    import pandas as pd

    from workbench.fusion.capture.array import LazyArray
    from workbench.fusion.capture.frame import LazyFrame
    from workbench.fusion.capture.series import LazySeries

    kind = type(value)
    if kind is LazyArray:
        return np.ndarray if value.ndim else value.dtype.type
    if kind is LazyFrame:
        return pd.DataFrame
    if kind is LazySeries:
        return pd.Series
    return type(forced(value))


def _has_lazy(value: Any, depth: int = 2) -> bool:
    """Return whether a value is lazy, or what is in it: a table is often made of a dict of lists."""
    if is_lazy(value):
        return True
    kind = type(value)
    if not depth or kind not in (list, tuple, dict):
        return False
    return any(_has_lazy(each, depth - 1) for each in (value.values() if kind is dict else value))


def _of_numpy(function: Any) -> bool:
    module = getattr(function, "__module__", None) or ""
    return module.split(".")[0] == "numpy" or module.startswith(("scipy.special", "workbench.fusion"))


# ------------------------------------------------------------------------------------------------- functions of pandas


def _form_of(function: Any) -> Callable[..., Any] | None:
    """Return the lazy form of a function of pandas, None if it has none."""
    name = getattr(function, "__name__", "")
    if not name or (getattr(function, "__module__", None) or "").split(".")[0] != "pandas":
        return None
    if name not in _FORMS:
        return None
    import pandas as pd

    return _FORMS[name] if getattr(pd, name, None) is function else None


def _merge(left: Any, right: Any, *args: Any, **kwargs: Any) -> Any:
    from workbench.fusion.capture.frame import lazily

    return lazily(left).merge(right, *args, **kwargs)


def _isna(obj: Any) -> Any:
    import pandas as pd

    if concrete_type(obj) in (pd.Series, pd.DataFrame):
        return obj.isna()
    return np.isnan(obj) if concrete_type(obj) is np.ndarray else pd.isna(forced(obj))


def _notna(obj: Any) -> Any:
    found = _isna(obj)
    return not found if isinstance(found, bool) else ~found


def _assembled(name: str) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        from workbench.fusion.capture import assembling

        return getattr(assembling, name)(*args, **kwargs)

    return run


_FORMS: dict[str, Callable[..., Any]] = {
    "concat": _assembled("concat"),
    "DataFrame": _assembled("data_frame"),
    "Series": _assembled("series"),
    "merge": _merge,
    "isna": _isna,
    "isnull": _isna,
    "notna": _notna,
    "notnull": _notna,
}
