"""Conditions in words: what `query` and `eval` take, read by Python's own parser."""

from __future__ import annotations

import ast
import operator
import re
from typing import Any

from workbench.fusion import positions

__all__ = ["evaluated", "scope"]

_LOCAL = "__wb_local_"

_OPERATORS: dict[type, Any] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.Pow: operator.pow, ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.USub: operator.neg, ast.UAdd: operator.pos,
    ast.Invert: operator.invert, ast.Not: operator.invert,
}  # fmt: skip


class _Unknown(Exception):
    """Something that pandas has to read."""


def scope() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return local and global names where the user's code calls."""
    from workbench.fusion.capture.fallback import forced

    frame = positions.caller()
    return {key: forced(value) for key, value in frame.f_locals.items()}, dict(frame.f_globals)


def evaluated(frame: Any, text: str) -> Any:
    """Return what an expression over columns and, with @, local names gives; None if pandas has to read it."""
    if "`" in text or "\n" in text.strip():
        return None
    # in the grammar of queries & and | bind as `and` and `or` do
    if "&" in text or "|" in text:
        text = text.replace("&", " and ").replace("|", " or ")
    try:
        tree = ast.parse(re.sub(r"@(?=[A-Za-z_])", _LOCAL, text.strip()), mode="eval")
    except SyntaxError:
        return None
    try:
        return _value(tree.body, frame, positions.caller())
    except _Unknown:
        return None


def _value(node: ast.AST, frame: Any, caller: Any) -> Any:
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float, str, bool)):
        return node.value
    if isinstance(node, ast.Name):
        return _named(node.id, frame, caller)
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _applied(node.op, _value(node.left, frame, caller), _value(node.right, frame, caller))
    if isinstance(node, ast.UnaryOp) and type(node.op) in _OPERATORS:
        value = _value(node.operand, frame, caller)
        if type(value) in (int, float) and isinstance(node.op, ast.USub):
            return -value
        return _applied(node.op, value)
    if isinstance(node, ast.BoolOp):
        found = _value(node.values[0], frame, caller)
        for each in node.values[1:]:
            other = _value(each, frame, caller)
            if not all(str(getattr(one, "dtype", "")) == "bool" for one in (found, other)):
                raise _Unknown
            found = found & other if isinstance(node.op, ast.And) else found | other
        return found
    if isinstance(node, ast.Compare):
        return _compared(node, frame, caller)
    raise _Unknown


def _named(name: str, frame: Any, caller: Any) -> Any:
    if name.startswith(_LOCAL):
        name = name.removeprefix(_LOCAL)
        for names in (caller.f_locals, caller.f_globals) if caller is not None else ():
            if name in names:
                return names[name]
        raise _Unknown
    if name in frame._labels and name not in frame._domain.labels.level_names() and name != "index":
        return frame[name]
    raise _Unknown


def _compared(node: ast.Compare, frame: Any, caller: Any) -> Any:
    left, found = _value(node.left, frame, caller), None
    for op, each in zip(node.ops, node.comparators, strict=True):
        if isinstance(op, (ast.In, ast.NotIn)):
            part = _within(op, left, each, frame, caller)
        else:
            right = _value(each, frame, caller)
            if isinstance(right, (list, tuple, set)) or type(op) not in _OPERATORS:
                raise _Unknown
            part = _applied(op, left, right)
            left = right
        found = part if found is None else found & part
    return found


def _within(op: ast.cmpop, left: Any, node: ast.AST, frame: Any, caller: Any) -> Any:
    if isinstance(node, (ast.List, ast.Tuple)):
        values = [_value(each, frame, caller) for each in node.elts]
    else:
        values = _value(node, frame, caller)
    if not isinstance(values, (list, tuple)) or not hasattr(left, "isin"):
        raise _Unknown
    found = left.isin(list(values))
    return ~found if isinstance(op, ast.NotIn) else found


def _applied(op: ast.AST, *operands: Any) -> Any:
    from workbench.fusion.capture.lazy import LazyPandas

    if not any(isinstance(each, LazyPandas) for each in operands):
        raise _Unknown
    return _OPERATORS[type(op)](*operands)
