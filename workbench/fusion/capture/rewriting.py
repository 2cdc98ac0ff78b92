"""A cell's code before it runs: its names, and its calls and look-ups by key, sent through a router."""

from __future__ import annotations

import ast
import symtable
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType

__all__ = ["ROUTER", "VALUE", "CellCode", "Routed", "prepared"]

#: the names under which a cell finds its router, and leaves the value of its last expression
ROUTER, VALUE = "__workbench_call__", "__workbench_value__"

#: calls that look at the frame they are in, or at the text of names
LEFT_ALONE = frozenset({"super", "locals", "globals", "vars", "dir", "eval", "exec"})


@dataclass(frozen=True)
class CellCode:
    """A cell that can run.

    Attributes
    ----------
    code : code
    reads, writes : tuple of str
        Names of the notebook, those in functions that the cell defines included, in order of appearance.
    valued : bool
        Whether the last statement is an expression, without `;`.
    """

    code: CodeType
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    valued: bool


def prepared(source: str, filename: str) -> CellCode:
    """Return a cell's code with its calls routed.

    Parameters
    ----------
    source : str
        Python.
    filename : str
        What tracebacks call it.

    Raises
    ------
    SyntaxError
    """
    tree = ast.parse(source, filename)
    reads, writes = names_of(source, tree, filename)
    valued = bool(tree.body) and isinstance(tree.body[-1], ast.Expr) and not _silenced(source, tree.body[-1])
    if valued:
        last = tree.body[-1]
        assert isinstance(last, ast.Expr)
        kept = ast.Assign([ast.Name(VALUE, ast.Store())], last.value)
        tree.body[-1] = ast.copy_location(kept, last)
    tree = ast.fix_missing_locations(Routed().visit(tree))
    return CellCode(compile(tree, filename, "exec", dont_inherit=True), reads, writes, valued)


def names_of(source: str, tree: ast.Module, filename: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of the notebook that code reads, and those that it writes."""
    reads: dict[str, None] = {}
    writes: dict[str, None] = {}
    for table in _tables(symtable.symtable(source, filename, "exec")):
        top = table.get_type() == "module"
        for symbol in table.get_symbols():
            if not (top or symbol.is_global()):
                continue
            if symbol.is_referenced():
                reads[symbol.get_name()] = None
            if symbol.is_assigned() or symbol.is_imported():
                writes[symbol.get_name()] = None
    for node in ast.walk(tree):  # `a += 1` reads, too
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name) and node.target.id in writes:
            reads[node.target.id] = None
    return tuple(reads), tuple(writes)


def _tables(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for child in table.get_children():
        yield from _tables(child)


def _silenced(source: str, last: ast.stmt) -> bool:
    """Return whether a semicolon ends the last statement."""
    lines = source.splitlines()
    assert last.end_lineno is not None
    # positions count bytes
    rest = lines[last.end_lineno - 1].encode()[last.end_col_offset :].decode()
    return rest.lstrip().startswith(";")


class Routed(ast.NodeTransformer):
    """Turns `f(x)` into `router(f, x)`, and `x[key]` into `router.item(x, key)` where the key is told by the run.

    Parameters
    ----------
    keys : bool
        Whether look-ups by key are turned, too.
    """

    def __init__(self, *, keys: bool = True) -> None:
        self._keys = keys

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id in LEFT_ALONE:
            return node
        router = ast.copy_location(ast.Name(ROUTER, ast.Load()), node.func)
        return ast.copy_location(ast.Call(router, [node.func, *node.args], node.keywords), node)

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        self.generic_visit(node)
        if (
            not self._keys
            or not isinstance(node.ctx, ast.Load)
            or isinstance(node.slice, ast.Constant | ast.Slice | ast.Tuple)
        ):
            return node
        router = ast.copy_location(ast.Name(ROUTER, ast.Load()), node.value)
        item = ast.copy_location(ast.Attribute(router, "item", ast.Load()), node.value)
        return ast.copy_location(ast.Call(item, [node.value, node.slice], []), node)
