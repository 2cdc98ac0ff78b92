"""Elementwise operations on lazy arrays, and the operators that write them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from workbench.fusion import expr as ir
from workbench.fusion.capture.array import LazyArray, now
from workbench.fusion.capture.ndinputs import as_expr, run_in_numpy, settled
from workbench.fusion.errors import shapes_differ
from workbench.fusion.expr import Expr, Size
from workbench.fusion.ops import COMPARISONS, OPS, call_dtype
from workbench.fusion.positions import here, line_of

__all__ = ["combine", "elementwise"]

_PLAIN = (int, float, bool)
const, _frame = ir.const, sys._getframe


def combine(name: str, inputs: tuple[Any, ...], where: Any = None) -> Any:
    """Return an elementwise operation on inputs, or NotImplemented where one of them is for another library."""
    exprs = []
    for value in inputs:
        found = as_expr(value)
        if found is None:
            if type(value) is complex or isinstance(value, np.ndarray | np.generic | list | tuple):
                return run_in_numpy(name, OPS[name].function, inputs, {})
            return NotImplemented
        exprs.append(found)
    return elementwise(name, tuple(exprs), where or here(2))


def elementwise(name: str, exprs: tuple[Expr, ...], where: Any) -> LazyArray:
    """Return an elementwise operation as a lazy array.

    Raises
    ------
    FusionShapeError
        If the shapes do not broadcast.
    """
    if _raising():
        return run_in_numpy(
            name, OPS[name].function, [LazyArray(each) for each in exprs], {}, "numpy error state is raise"
        )
    shape = exprs[0].shape
    kinds: list[Any] = []
    wide = differ = False
    for each in exprs:
        if each.kind == "Const" and type(each.data) in _PLAIN:
            kinds.append(type(each.data))
            wide = wide or type(each.data) is int
        else:
            kinds.append(each.dtype)
            differ = differ or each.shape != shape
    dtype = call_dtype(name, tuple(kinds))
    if differ:
        shape = _broadcast(name, exprs, where)
        if shape is None:
            return elementwise(name, tuple([settled(each) for each in exprs]), where)
    if name == "power" and dtype.kind in "iu" and not _safe_power(exprs[1]):
        return run_in_numpy(name, np.power, [LazyArray(each) for each in exprs], {}, "data-dependent dtype")
    found = Expr("Map", name, exprs, (), dtype, shape, where)
    if wide:
        _check_numbers(found)
    return LazyArray(found)


def _error_state_getter() -> Callable[[], Any]:
    """Return what gives the object that holds NumPy's error state; of an unknown NumPy, always None."""
    core: Any = getattr(np, "_core", None)
    found = getattr(getattr(core, "umath", None), "_extobj_contextvar", None)
    return found.get if found is not None else lambda: None


_error_state = _error_state_getter()
#: the last error state that was looked at and does not raise
_calm: Any = object()


def _raising() -> bool:
    """Whether NumPy is asked to raise, or to call, at what is divided by zero and the like."""
    global _calm
    state = _error_state()
    if state is _calm:
        return False
    asked = np.geterr().values()
    if "raise" in asked or "call" in asked:
        return True
    if state is not None:
        _calm = state
    return False


def _broadcast(name: str, exprs: tuple[Expr, ...], where: Any) -> Any:
    """Return the shape of inputs broadcast together; None if lengths have to be known first."""
    shape = exprs[0].shape
    for each in exprs[1:]:
        if each.shape == shape or not each.shape:
            continue
        try:
            shape = ir.broadcast_shapes(shape, each.shape)
        except ValueError:
            if any(isinstance(d, Size) for e in exprs for d in e.shape):
                return None
            raise shapes_differ(_tuple(shape), _tuple(each.shape), name, line_of(where)) from None
    return shape


def _tuple(shape: Any) -> str:
    return str(tuple(shape))


def _safe_power(by: Expr) -> bool:
    """An integer to a negative power raises, at the call: only NumPy knows."""
    return by.dtype.kind in "ub" or (by.kind == "Const" and by.data >= 0)


def _check_numbers(node: Expr) -> None:
    """A Python integer that does not fit the dtype: NumPy raises, or compares it as it is."""
    kinds = [each.dtype for each in node.inputs if not (each.kind == "Const" and type(each.data) in _PLAIN)]
    if not kinds or any(kind.kind not in "iu" for kind in kinds):
        return
    low, high = _range(np.result_type(*kinds))
    for each in node.inputs:
        if each.kind == "Const" and type(each.data) is int and not low <= each.data <= high:
            empty = [e.data if e.kind == "Const" else np.empty(0, e.dtype) for e in node.inputs]
            OPS[node.name].function(*empty)  # raises what NumPy raises
            node.call = (OPS[node.name].function, ())
            return


_ranges: dict[np.dtype, tuple[int, int]] = {}


def _range(dtype: np.dtype) -> tuple[int, int]:
    if dtype not in _ranges:
        facts = np.iinfo(dtype)
        _ranges[dtype] = int(facts.min), int(facts.max)
    return _ranges[dtype]


def _power(x: LazyArray, by: Any) -> Any:
    """`x ** 2` and its like are other operations in NumPy, too."""
    if type(by) in (int, float) and x._expr.dtype.kind == "f":
        name = {1: "positive", -1: "reciprocal", 0.5: "sqrt", 2: "square"}.get(by)
        if name is not None:
            return combine(name, (x,), here(2))
    # a single boolean that a ufunc or a reduction gave is a NumPy scalar, with rules of its own
    array = x._expr.shape or (x._made is None and x._expr.kind not in ("Map", "Reduce"))
    kinds = "iub" if array else "iu"
    if type(by) is int and by == 2 and x._expr.dtype.kind in kinds:
        return combine("square", (x,), here(2))
    return combine("power", (x, by), here(2))


def _matmul(x: Any, y: Any) -> Any:
    from workbench.fusion.capture import ndproducts

    if not isinstance(x, LazyArray | np.ndarray | list) or not isinstance(y, LazyArray | np.ndarray | list):
        return NotImplemented
    return ndproducts.matmul(x, y)


def _binary(name: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    #: dtypes of the results, by those of two arrays, and by that of one beside a number of Python
    pairs: dict[Any, np.dtype] = {}
    singles: dict[type, dict[np.dtype, np.dtype]] = {float: {}, int: {}}
    beside = singles[float]

    def forward(self: LazyArray, other: Any) -> Any:
        # the common cases by the shortest way: capture has to cost next to nothing
        kind = type(other)
        a = self._expr if self._store is None else now(self)
        shape = a.shape
        dtype: Any
        if kind is float:
            b = const(other)
            dtype = beside.get(a.dtype)
        elif kind is LazyArray:
            b = other._expr if other._store is None else now(other)
            dtype = pairs.get((a.dtype, b.dtype)) if b.shape == shape else None
        elif kind is int and a.dtype.kind == "f":
            b = const(other)
            dtype = singles[int].get(a.dtype)
        else:
            return combine(name, (self, other), here(2))
        frame = _frame(1)
        if dtype is not None and _error_state() is _calm:
            return LazyArray(Expr("Map", name, (a, b), (), dtype, shape, (frame.f_code, frame.f_lasti)))
        found = elementwise(name, (a, b), (frame.f_code, frame.f_lasti))
        if a.kind != "Const" and kind is not LazyArray:
            singles[kind][a.dtype] = found.dtype
        elif a.kind != "Const" and b.kind != "Const":
            pairs[a.dtype, b.dtype] = found.dtype
        return found

    def reflected(self: LazyArray, other: Any) -> Any:
        return combine(name, (other, self), here(2))

    return forward, reflected


def _inplace(name: str) -> Callable[..., Any]:
    def inplace(self: LazyArray, other: Any) -> Any:
        found = combine(name, (self, other), here(2))
        if found is NotImplemented or (not self._expr.shape and self._store is None):
            return found  # a single value is no memory: the name is bound anew, and others keep what they have
        from workbench.fusion.capture import ndindex

        ndindex.assign(self, found, same_kind=name)
        return self

    return inplace


def _unary(name: str) -> Callable[..., Any]:
    def unary(self: LazyArray) -> Any:
        return combine(name, (self,), here(2))

    return unary


def _install() -> None:
    pairs = {
        "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide", "floordiv": "floor_divide",
        "mod": "remainder", "and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor", "lshift": "left_shift",
        "rshift": "right_shift",
    }  # fmt: skip
    for short, name in pairs.items():
        forward, reflected = _binary(name)
        setattr(LazyArray, f"__{short}__", forward)
        setattr(LazyArray, f"__r{short}__", reflected)
        setattr(LazyArray, f"__i{short}__", _inplace(name))
    for short, name in COMPARISONS.items():
        setattr(LazyArray, f"__{short}__", _binary(name)[0])
    for short, name in {"neg": "negative", "pos": "positive", "abs": "absolute", "invert": "invert"}.items():
        setattr(LazyArray, f"__{short}__", _unary(name))
    rest: dict[str, Callable[..., Any]] = {
        "pow": _power,
        "rpow": _binary("power")[1],
        "ipow": _inplace("power"),
        "matmul": _matmul,
        "rmatmul": lambda self, other: _matmul(other, self),
        "divmod": lambda self, other: (self // other, self % other),
        "rdivmod": lambda self, other: (other // self, other % self),
        "round": lambda self, ndigits=None: np.round(self, ndigits or 0),
    }
    for short, function in rest.items():
        setattr(LazyArray, f"__{short}__", function)


_install()
