"""A fused function's calls before it runs: those of pandas get what lazy objects stand for, or their lazy forms."""

from __future__ import annotations
import __future__

import ast
import dis
import inspect
import types
from collections.abc import Callable, Iterator
from typing import Any

from workbench.fusion.capture.rewriting import ROUTER, Routed
from workbench.fusion.capture.routing import Router

__all__ = ["routed"]

_FUTURE = 0
for _name in __future__.all_feature_names:
    _FUTURE |= getattr(__future__, _name).compiler_flag

_OUTER = "__workbench_outer__"


class _FunctionRouter(Router):
    """Sends calls of a fused function; whom it does not know gets lazy objects, as protocols are there for that."""

    def _takes_lazy(self, function: Any) -> bool:
        return (getattr(function, "__module__", None) or "").partition(".")[0] not in ("pandas", "dask")


def routed(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function whose calls go through a router, so that `pd.concat` and `isinstance` mean what they say.

    It has the names, defaults, globals and closure of the one given, and its lines in tracebacks. Where there is no
    source, or it is no longer that of the function, calls stay as they are.

    Parameters
    ----------
    function : callable
    """
    if type(function) is not types.FunctionType:
        return function
    try:
        lines, first = inspect.getsourcelines(function)
        tree = ast.parse("if 1:\n" + "".join(lines) if lines[0][:1].isspace() else "".join(lines))
    except (OSError, TypeError, SyntaxError, IndentationError):
        return function
    node: Any = tree.body[0]
    if isinstance(node, ast.If):
        node, first = node.body[0], first - 1
    if not isinstance(node, ast.FunctionDef) or node.name != function.__name__:
        return function
    node.decorator_list, node.returns = [], None
    ast.increment_lineno(node, first - 1)
    old = function.__code__
    plain = _compiled(node, old)
    if plain is None or list(_steps(plain)) != list(_steps(old)):
        return function
    code = _compiled(Routed(keys=False).visit(node), old)
    if code is None or ROUTER not in code.co_freevars:
        return function
    cells = dict(zip(old.co_freevars, function.__closure__ or (), strict=True))
    cells[ROUTER] = types.CellType(_FunctionRouter(function.__globals__))
    found = types.FunctionType(
        code.replace(co_qualname=old.co_qualname, co_firstlineno=old.co_firstlineno), function.__globals__,
        function.__name__, function.__defaults__, tuple(cells[name] for name in code.co_freevars),
    )  # fmt: skip
    found.__kwdefaults__, found.__qualname__ = function.__kwdefaults__, function.__qualname__
    found.__module__, found.__doc__ = function.__module__, function.__doc__
    return found


def _steps(code: types.CodeType) -> Iterator[tuple[str, str]]:
    """Give a code's instructions, told the same whether the compiler knew of a name that it is an import's or not."""
    for each in dis.get_instructions(code):
        if isinstance(each.argval, types.CodeType):
            yield from _steps(each.argval)
            continue
        if each.opname == "PUSH_NULL":
            continue
        jump = each.opcode in dis.hasjrel or each.opcode in dis.hasjabs
        yield each.opname.replace("LOAD_METHOD", "LOAD_ATTR"), "" if jump else each.argrepr.rpartition(" + ")[2]


def _compiled(node: ast.FunctionDef, old: types.CodeType) -> types.CodeType | None:
    """Return the code of a function definition whose free names are those of another code, and the router."""
    names = ast.arguments([], [ast.arg(name) for name in (ROUTER, *old.co_freevars)], None, [], [], None, [])
    bare = ast.copy_location(ast.FunctionDef(node.name, _without_defaults(node.args), node.body, [], None), node)
    outer = ast.copy_location(ast.FunctionDef(_OUTER, names, [bare], [], None), node)
    tree = ast.fix_missing_locations(ast.Module([outer], []))
    try:
        code = compile(tree, old.co_filename, "exec", flags=old.co_flags & _FUTURE, dont_inherit=True)
    except (SyntaxError, ValueError):
        return None
    for name in (_OUTER, node.name):
        code = next(each for each in code.co_consts if isinstance(each, types.CodeType) and each.co_name == name)
    return code


def _without_defaults(given: ast.arguments) -> ast.arguments:
    """Return arguments with defaults that cost nothing: the function brings its own."""
    none = ast.Constant(None)
    bare = [ast.arg(each.arg) for each in given.args]
    return ast.arguments(
        [ast.arg(each.arg) for each in given.posonlyargs], bare,
        ast.arg(given.vararg.arg) if given.vararg else None, [ast.arg(each.arg) for each in given.kwonlyargs],
        [none if each is not None else None for each in given.kw_defaults],
        ast.arg(given.kwarg.arg) if given.kwarg else None, [none for _ in given.defaults],
    )  # fmt: skip
