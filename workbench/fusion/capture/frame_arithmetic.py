"""Operators of frames: column by column with a number, a frame of the same rows and columns, or a Series by rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from workbench.fusion.capture import arithmetic
from workbench.fusion.capture.arithmetic import LOGIC, METHODS
from workbench.fusion.capture.columns import Column
from workbench.fusion.capture.domains import Domain
from workbench.fusion.capture.lazy import LazyPandas
from workbench.fusion.ops import COMPARISONS

__all__ = ["FrameArithmetic"]

OPERATIONS = {**METHODS, **LOGIC}


class FrameArithmetic(LazyPandas):
    """What LazyFrame has of it."""

    _all: Callable[[], list[Column]]
    _new: Callable[..., Any]
    _pandas: Callable[..., Any]
    _labels: Any
    _domain: Domain

    def _operate(self, method: str, other: Any, reflected: bool) -> Any:
        """Return the operation column by column; None if pandas has to align or to compute."""
        others = self._beside(other)
        if others is None or not len(self._labels):
            return None
        found = []
        for column, each in zip(self._all(), others, strict=True):
            first, second = (each, column) if reflected else (column, each)
            made = arithmetic.binary(OPERATIONS[method], first, second)
            if made is None:
                return None
            found.append(made)
        return self._new(found, self._labels)

    def _beside(self, other: Any) -> list[Any] | None:
        """Return what stands beside each column."""
        from workbench.fusion.capture.frame import lazily
        from workbench.fusion.capture.series import operand

        other = lazily(other)
        if isinstance(other, FrameArithmetic):
            same = (
                self._labels.is_unique and other._labels.equals(self._labels) and other._domain.same_rows(self._domain)
            )
            return other._all() if same else None
        if isinstance(other, LazyPandas) and hasattr(other, "_column"):
            return None
        found = operand(other, self._domain)
        return None if isinstance(found, Column) or getattr(found, "ndim", 0) > 0 else [found] * len(self._labels)

    def _by_rows(self, method: str, other: Any, reflected: bool) -> Any:
        """Return the operation of each column with a Series over the same rows."""
        column = other._column
        if not column.domain.same_rows(self._domain):
            return None
        found = []
        for each in self._all():
            first, second = (column, each) if reflected else (each, column)
            made = arithmetic.binary(OPERATIONS[method], first, second)
            if made is None:
                return None
            found.append(made)
        return self._new(found, self._labels)

    def __invert__(self) -> Any:
        return self._unary(arithmetic.invert, "__invert__")

    def __neg__(self) -> Any:
        return self._unary(lambda column: arithmetic.unary("negative", column), "__neg__")

    def __abs__(self) -> Any:
        return self._unary(lambda column: arithmetic.unary("absolute", column), "__abs__")

    def abs(self) -> Any:
        """Return absolute values."""
        return self._unary(lambda column: arithmetic.unary("absolute", column), "abs")

    def _unary(self, change: Callable[[Column], Column | None], method: str) -> Any:
        found = [change(column) for column in self._all()]
        if not found or any(each is None for each in found):
            return self._pandas(method)
        return self._new(found, self._labels)


def _operator(method: str, reflected: bool) -> Callable[..., Any]:
    python = f"__r{method}__" if reflected else f"__{method}__"

    def apply(self: FrameArithmetic, other: Any) -> Any:
        found = self._operate(method, other, reflected)
        return self._pandas(python, other) if found is None else found

    apply.__name__ = python
    return apply


def _named(method: str, reflected: bool) -> Callable[..., Any]:
    name = f"r{method}" if reflected else method

    def call(
        self: FrameArithmetic, other: Any, axis: Any = "columns", level: Any = None, fill_value: Any = None
    ) -> Any:
        from workbench.fusion.capture.frame import lazily

        other = lazily(other)
        if level is None and fill_value is None:
            series = (
                isinstance(other, LazyPandas) and hasattr(other, "_rows") and not isinstance(other, FrameArithmetic)
            )
            if not series:
                found = self._operate(method, other, reflected)
            else:
                found = self._by_rows(method, other, reflected) if axis in (0, "index") else None
            if found is not None:
                return found
        rest = {"axis": axis, "level": level}
        if method not in COMPARISONS:
            rest["fill_value"] = fill_value
        return self._pandas(name, other, **rest)

    call.__name__ = name
    call.__doc__ = f"Return the operation `{name}` of pandas.DataFrame, column by column."
    return call


def _inplace(method: str) -> Callable[..., Any]:
    def apply(self: Any, other: Any) -> Any:
        found = self._operate(method, other, False)
        if found is None:
            found = self._pandas(f"__{method}__", other)
        if type(found) is not type(self) or not found._labels.equals(self._labels):
            return found
        if self._original is not None:
            for label in self._labels:
                self[label] = found[label]
            return self
        self.__dict__.update({key: found.__dict__[key] for key in ("_columns", "_labels", "_domain", "_notes")})
        self._snapshot = found._snapshot
        self.__dict__.pop("_value", None)
        return self

    return apply


for _method in OPERATIONS:
    setattr(FrameArithmetic, f"__{_method}__", _operator(_method, False))
    if _method not in COMPARISONS:
        setattr(FrameArithmetic, f"__r{_method}__", _operator(_method, True))
        setattr(FrameArithmetic, f"__i{_method}__", _inplace(_method))
    if _method in METHODS:
        setattr(FrameArithmetic, _method, _named(_method, False))
        if _method not in COMPARISONS:
            setattr(FrameArithmetic, f"r{_method}", _named(_method, True))
for _short, _long in (("div", "truediv"), ("divide", "truediv"), ("multiply", "mul"), ("subtract", "sub")):
    setattr(FrameArithmetic, _short, getattr(FrameArithmetic, _long))
FrameArithmetic.rdiv = FrameArithmetic.rtruediv  # type: ignore[attr-defined]
