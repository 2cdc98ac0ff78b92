"""Simple functions of `@prop` as array code: all calls at once instead of one after another.

Taken are functions that only compute: arithmetic, comparisons, `and or not`, conditional expressions, `if` with
`return`, a few functions of Python, `math` and NumPy whose array form gives the same bits, and elements, parts and
means of windows. Whatever else a function does, or would raise, is left to plain calls; some calls are made in any
case, and if one of them gives another value, all are.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from workbench.engine.fingerprint import source_tree
from workbench.video.operators.array_values import (
    EXACT,
    FUNCTIONS,
    METHODS,
    Array,
    Calls,
    NotSimple,
    Value,
    aligned,
    largest,
)
from workbench.video.operators.columns import plain

__all__ = ["LEAST", "Value", "at_once"]

#: fewer calls than this are simply made
LEAST = 64
#: calls that are made to compare with
_CHECKED = 8
#: products of larger whole numbers than this may overflow
_FACTOR = 2**26


def at_once(
    function: Callable[..., Any], arguments: Mapping[str, Value], count: int, call: Callable[[int], Any]
) -> list[Any] | None:
    """Return the values of all calls, None for missing; or None if plain calls have to be made.

    Parameters
    ----------
    function : callable
        Of the property; its first argument is `self`.
    arguments : Mapping
        The other arguments by name.
    count : int
        Number of calls.
    call : callable
        Makes one of the calls, for comparison.
    """
    tree = source_tree(function)
    if not isinstance(tree, ast.FunctionDef) or not count:
        return None
    try:
        with np.errstate(all="ignore"):
            values = _Body(function, arguments, count).values(tree)
        picked = np.unique(np.linspace(0, count - 1, _CHECKED).astype(int)).tolist()
        same = all(_same(values[index], plain(call(index))) for index in picked)
    except Exception:  # whatever goes wrong here, a plain call says what it is
        return None
    return values if same else None


def _same(mine: Any, theirs: Any) -> bool:
    return type(mine) is type(theirs) and (mine == theirs)


# ---------------------------------------------------------------------------------------------------------- statements


class _Body:
    """Runs the statements of a function over all calls; `live` says which calls are still on their way."""

    def __init__(self, function: Callable[..., Any], arguments: Mapping[str, Value], count: int) -> None:
        self.function, self.count = function, count
        self.names: dict[str, Value] = dict(arguments)
        self.result: Array | None = None
        self.known = np.zeros(count, bool)

    def values(self, tree: ast.FunctionDef) -> list[Any]:
        self._run(tree.body, np.ones(self.count, bool), top=True)
        if self.result is None:
            return [None] * self.count
        return [
            plain(value) if known else None
            for value, known in zip(self.result.tolist(), self.known.tolist(), strict=True)
        ]

    def _run(self, statements: Sequence[ast.stmt], live: Array, *, top: bool = False) -> Array:
        """Return which calls go on behind the statements."""
        for statement in statements:
            match statement:
                case ast.Return(value=value):
                    self._return(value, live)
                    return np.zeros(self.count, bool)
                case ast.If(test=test, body=body, orelse=orelse):
                    chosen = self._test(test, live)
                    live = self._run(body, live & chosen) | self._run(orelse, live & ~chosen)
                case ast.Assign(targets=[ast.Name(id=name)], value=value) if top:
                    self.names[name] = _Expression(self, live).value(value)
                case ast.Pass() | ast.Expr(value=ast.Constant()):
                    pass
                case _:
                    raise NotSimple
        return live

    def _test(self, node: ast.expr, live: Array) -> Array:
        return _Expression(self, live).boolean(node)

    def _return(self, node: ast.expr | None, live: Array) -> None:
        match node:
            case None | ast.Constant(value=None):
                return
            case ast.IfExp(test=test, body=body, orelse=orelse):
                chosen = self._test(test, live)
                self._return(body, live & chosen)
                self._return(orelse, live & ~chosen)
                return
        if not live.any():
            return
        value = _Expression(self, live).value(node)
        if not value.number:
            raise NotSimple
        if self.result is None:
            self.result = value.array.copy()
        elif self.result.dtype.kind != value.kind or value.kind == "U":
            raise NotSimple
        self.result[live] = value.array[live]
        self.known |= live

    def outside(self, name: str) -> Any:
        """Return what a name means that is neither an argument nor assigned."""
        code = getattr(self.function, "__code__", None)
        cells = getattr(self.function, "__closure__", None) or ()
        if code is None or name in code.co_varnames:
            raise NotSimple  # assigned later, or an argument with a default
        if name in code.co_freevars:
            return cells[code.co_freevars.index(name)].cell_contents
        known = getattr(self.function, "__globals__", {})
        return known[name] if name in known else getattr(builtins, name)


# --------------------------------------------------------------------------------------------------------- expressions


class _Expression(Calls):
    """Evaluates one expression; what the calls that are not `live` would give means nothing, and may not raise."""

    def __init__(self, body: _Body, live: Array) -> None:
        super().__init__(body.count, live)
        self.body = body

    def boolean(self, node: ast.expr) -> Array:
        value = self.value(node)
        if not value.number or value.kind != "b":
            raise NotSimple
        return value.array

    def value(self, node: ast.expr) -> Value:
        match node:
            case ast.Constant(value=value):
                return self._constant(value)
            case ast.Name(id=name):
                return self.body.names[name] if name in self.body.names else self._constant(self.body.outside(name))
            case ast.BinOp(left=left, op=op, right=right):
                return self._arithmetic(op, self.value(left), self.value(right))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return self._negative(self.value(operand))
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return Value(~self.boolean(operand))
            case ast.BoolOp(op=op, values=operands):
                return self._joined(isinstance(op, ast.And), operands)
            case ast.Compare(left=left, ops=ops, comparators=others):
                return self._compared(left, ops, others)
            case ast.IfExp(test=test, body=then, orelse=otherwise):
                return self._chosen(test, then, otherwise)
            case ast.Subscript(value=holder, slice=index):
                return self._part(self.value(holder), index)
            case ast.Call(func=called, args=given, keywords=[]):
                return self._called(called, given)
        raise NotSimple

    def _constant(self, value: Any) -> Value:
        if type(value) not in (bool, int, float, str) or (type(value) is int and abs(value) >= EXACT):
            raise NotSimple
        return Value(np.full(self.count, value))

    # -------------------------------------------------------------------------------------------------- arithmetic

    def _arithmetic(self, op: ast.operator, left: Value, right: Value) -> Value:
        if {left.kind, right.kind} - {"f", "i"}:
            raise NotSimple
        one, other, result = aligned(left, right)
        whole = left.kind == right.kind == "i"
        match op:
            case ast.Add():
                made = one + other
            case ast.Sub():
                made = one - other
            case ast.Mult():
                if whole and max(largest(one), largest(other)) > _FACTOR:
                    raise NotSimple
                made = one * other
            case ast.Div():
                if (self.alive(right) == 0).any():
                    raise NotSimple  # a plain call raises, or warns
                made = one / other
            case _:
                raise NotSimple
        if whole and made.dtype.kind == "i" and largest(made) >= EXACT:
            raise NotSimple
        return result.like(made)

    def _negative(self, value: Value) -> Value:
        if value.kind not in "fi":
            raise NotSimple
        return value.like(-value.array)

    def _joined(self, every: bool, operands: Sequence[ast.expr]) -> Value:
        live, found = self.live, np.full(self.count, every)
        for operand in operands:
            value = _Expression(self.body, live).boolean(operand)
            found = found & value if every else found | value
            live = live & (value if every else ~value)
        return Value(found)

    def _compared(self, left: ast.expr, ops: Sequence[ast.cmpop], others: Sequence[ast.expr]) -> Value:
        if len(others) > 1:  # a < x < b is a < x and x < b
            ends = [left, *others]
            links: list[ast.expr] = [
                ast.Compare(left=one, ops=[op], comparators=[other])
                for one, op, other in zip(ends[:-1], ops, others, strict=True)
            ]
            return self._joined(True, links)
        first, second, op = self.value(left), self.value(others[0]), type(ops[0])
        texts = first.kind == second.kind == "U"
        if op not in _COMPARE or not (texts or not {first.kind, second.kind} - {"f", "i", "b"}):
            raise NotSimple
        if texts and op not in (ast.Eq, ast.NotEq):
            raise NotSimple
        one, other, result = aligned(first, second)
        return result.like(_COMPARE[op](one, other))

    def _chosen(self, test: ast.expr, then: ast.expr, otherwise: ast.expr) -> Value:
        chosen = self.boolean(test)
        if not (self.live & chosen).any():
            return self.value(otherwise)
        if not (self.live & ~chosen).any():
            return self.value(then)
        one = _Expression(self.body, self.live & chosen).value(then)
        other = _Expression(self.body, self.live & ~chosen).value(otherwise)
        if not (one.number and other.number) or one.kind != other.kind:
            raise NotSimple
        return Value(np.where(chosen, one.array, other.array))

    # ------------------------------------------------------------------------------------------ parts and functions

    def _part(self, value: Value, index: ast.expr) -> Value:
        if value.number:
            raise NotSimple
        match index:
            case ast.Slice():
                if not value.window:
                    raise NotSimple
                bounds = [None if one is None else _whole(one) for one in (index.lower, index.upper, index.step)]
                return value.like(np.ascontiguousarray(value.array[:, slice(*bounds)]))
        place = _whole(index)
        found = value.array[:, place]  # an IndexError is the plain call's too
        return Value(np.ascontiguousarray(found), False, value.window and value.point)

    def _called(self, called: ast.expr, given: Sequence[ast.expr]) -> Value:
        match called:
            case ast.Attribute(value=ast.Name(id=name), attr=attribute) if name not in self.body.names:
                function = getattr(self.body.outside(name), attribute)
            case ast.Attribute(value=holder, attr=attribute):
                if given or attribute not in METHODS:
                    raise NotSimple
                return self.over(METHODS[attribute], self.value(holder))
            case ast.Name(id=name) if name not in self.body.names:
                function = self.body.outside(name)
            case _:
                raise NotSimple
        values = [self.value(one) for one in given]
        for known, make in FUNCTIONS:
            if function is known:
                return make(self, *values)
        raise NotSimple


_COMPARE: dict[type[ast.cmpop], Callable[[Array, Array], Array]] = {
    ast.Lt: np.less, ast.LtE: np.less_equal, ast.Gt: np.greater, ast.GtE: np.greater_equal,
    ast.Eq: np.equal, ast.NotEq: np.not_equal,
}  # fmt: skip


def _whole(node: ast.expr) -> int:
    match node:
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=value)) if type(value) is int:
            return -value
        case ast.Constant(value=value) if type(value) is int:
            return value
    raise NotSimple
