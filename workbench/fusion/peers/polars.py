"""Polars: the expression as a lazy query, on its streaming engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from workbench.fusion.expr import Expr
from workbench.fusion.graph import walk
from workbench.fusion.peers.graph import NotExpressible, masks_of, rows_of

__all__ = ["build"]

_INFIX = {
    "add": "__add__", "subtract": "__sub__", "multiply": "__mul__", "divide": "__truediv__", "less": "__lt__",
    "less_equal": "__le__", "greater": "__gt__", "greater_equal": "__ge__", "equal": "__eq__", "not_equal": "__ne__",
    "bitwise_and": "__and__", "bitwise_or": "__or__", "bitwise_xor": "__xor__", "logical_and": "__and__",
    "logical_or": "__or__", "logical_xor": "__xor__", "power": "__pow__",
}  # fmt: skip
_METHODS = {
    "negative": "neg", "absolute": "abs", "fabs": "abs", "sqrt": "sqrt", "cbrt": "cbrt", "exp": "exp", "log": "log",
    "log10": "log10", "log1p": "log1p", "sin": "sin", "cos": "cos", "tan": "tan", "arcsin": "arcsin",
    "arccos": "arccos", "arctan": "arctan", "sinh": "sinh", "cosh": "cosh", "tanh": "tanh", "arcsinh": "arcsinh",
    "arccosh": "arccosh", "arctanh": "arctanh", "deg2rad": "radians", "rad2deg": "degrees", "floor": "floor",
    "ceil": "ceil", "sign": "sign", "isnan": "is_nan", "isfinite": "is_finite", "isinf": "is_infinite",
    "logical_not": "not_", "invert": "not_",
}  # fmt: skip

#: column of the places of rows
_ROWS = "rows"


def build(exprs: Sequence[Expr], threads: int) -> Callable[[], list[Any]]:
    """Return a function that collects a lazy query.

    Raises
    ------
    NotExpressible
        Also where Polars' pool, whose size is fixed when it starts, has another number of threads.
    """
    import polars as pl

    if pl.thread_pool_size() != threads:
        raise NotExpressible(f"{threads} of {pl.thread_pool_size()} threads of its pool")
    # a query gives columns of one length: the others are queries of their own, which polars collects together
    places: dict[Any, list[int]] = {}
    for k, each in enumerate(exprs):
        kind = id(each.inputs[0]) if each.kind == "Item" else each.shape
        places.setdefault(kind, []).append(k)
    queries = [_Query([exprs[k] for k in found]) for found in places.values()]
    order = [k for found in places.values() for k in found]

    def run() -> list[Any]:
        tables = pl.collect_all([each.query for each in queries], engine="streaming")
        values = [value for each, table in zip(queries, tables, strict=True) for value in each.values(table)]
        return [value for _, value in sorted(zip(order, values, strict=True), key=lambda pair: pair[0])]

    return run


class _Query:
    """One table of the leaves, and an expression for each result."""

    def __init__(self, exprs: Sequence[Expr]) -> None:
        import polars as pl

        order = walk(exprs)
        leaves = [node for node in order if node.kind == "Leaf"]
        lengths = {node.shape for node in leaves if node.ndim}
        if len(lengths) != 1 or len(next(iter(lengths))) != 1:
            raise NotExpressible("tables of different lengths" if lengths else "single values")
        self.rows = next(iter(lengths))[0]
        self.made: dict[int, pl.Expr] = {}
        self.names = {id(node): f"c{k}" for k, node in enumerate(leaves)}
        self.table = pl.DataFrame({self.names[id(node)]: node.data for node in leaves if node.ndim}).lazy()
        if any(node.kind == "Rows" for node in order):
            self.table = self.table.with_row_index(_ROWS)
        self.exprs = list(exprs)
        chains = {masks_of(node.inputs[0].shape[0]) for node in order if node.kind in ("Reduce", "GroupReduce")}
        chains |= {masks_of(each.shape[0]) for each in exprs if each.ndim and each.kind != "Item"}
        # rows that everybody leaves out are left out first, as whoever writes a query does
        self.first: tuple[Expr, ...] = next(iter(chains)) if len(chains) == 1 else ()
        for mask in self.first:
            self.table = self.table.filter(self.expr(mask, ()))
        groups = {id(each.inputs[0]): each.inputs[0] for each in exprs if each.kind == "Item"}
        if groups and (len(groups) > 1 or any(each.kind != "Item" for each in exprs)):
            raise NotExpressible("groupby")
        if groups:
            self.query, self.columns = self.grouped(next(iter(groups.values())))
        else:
            self.columns = [str(k) for k in range(len(exprs))]
            found = [self.expr(each, self.first).alias(name) for name, each in zip(self.columns, exprs, strict=True)]
            self.query = self.table.select(found)

    def values(self, table: Any) -> list[Any]:
        """Return what the expressions are in the collected table."""
        columns = [table[name].to_numpy() for name in self.columns]
        return [value if each.ndim else value[0] for value, each in zip(columns, self.exprs, strict=True)]

    def grouped(self, node: Expr) -> tuple[Any, list[str]]:
        import polars as pl

        many = node.attr("keys")
        chain = masks_of(node.inputs[0].shape[0])
        keys = [self.expr(each, self.first).alias(f"k{k}") for k, each in enumerate(node.inputs[:many])]
        rest = list(node.inputs[many:])
        aggregates = []
        if chain != self.first:
            raise NotExpressible("groupby")
        for k, name in enumerate(node.attr("ops")):
            if name not in ("sum", "mean", "min", "max", "count", "size", "std", "var"):
                raise NotExpressible(name)
            if name == "size":
                aggregates.append(pl.len().cast(pl.Int64).alias(f"a{k}"))
                continue
            value = rest.pop(0)
            expr = self.expr(value, self.first)
            if value.dtype.kind == "f":
                expr = expr.fill_nan(None)
            expr = getattr(expr, name)(**({"ddof": node.attr("ddof")} if name in ("std", "var") else {}))
            aggregates.append((expr.cast(pl.Int64) if name == "count" else expr).alias(f"a{k}"))
        query = self.table.group_by(keys).agg(aggregates)
        if node.attr("sort"):
            query = query.sort([f"k{k}" for k in range(many)])
        names = [*(f"k{k}" for k in range(many)), *(f"a{k}" for k in range(len(aggregates)))]
        return query, [names[each.attr("index")] for each in self.exprs]

    def expr(self, node: Expr, done: tuple[Expr, ...]) -> Any:
        """Return a node as an expression of the table, from which the rows that `done` leaves out are gone."""
        found = self.made.get(id(node))
        if found is None:
            found = self.made[id(node)] = self._expr(node, done)
        return found

    def _expr(self, node: Expr, done: tuple[Expr, ...]) -> Any:
        import polars as pl

        kind, name = node.kind, node.name
        if kind == "Leaf":
            return pl.col(self.names[id(node)]) if node.ndim else pl.lit(np.asarray(node.data).item())
        if kind == "Const":
            value = node.data
            return pl.lit(value.item() if isinstance(value, np.generic) else value)
        if kind == "Filter":
            if rows_of(node.shape[0]) != self.rows:
                raise NotExpressible("filter")
            inner = self.expr(node.inputs[0], done)
            return inner if node.inputs[1] in done else inner.filter(self.expr(node.inputs[1], done))
        if kind == "Rows" and node.shape[0] == self.rows:
            return pl.col(_ROWS).cast(pl.Int64)
        if node.call is not None or kind not in ("Map", "Select", "Cast", "Reduce"):
            raise NotExpressible(name)
        inputs = [self.expr(each, done) for each in node.inputs]
        if kind == "Select":
            return pl.when(inputs[0]).then(inputs[1]).otherwise(inputs[2])
        if kind == "Cast":
            return inputs[0].cast(_dtype(node.dtype))
        if kind == "Reduce":
            return _reduced(node, inputs[0])
        if name in _INFIX:
            return getattr(inputs[0], _INFIX[name])(inputs[1])
        if name in _METHODS:
            return getattr(inputs[0], _METHODS[name])()
        if name == "square":
            return inputs[0] * inputs[0]
        if name == "arctan2":
            return pl.arctan2(*inputs)
        if name == "clip":
            return inputs[0].clip(inputs[1], inputs[2])
        raise NotExpressible(name)


def _reduced(node: Expr, x: Any) -> Any:
    name = node.name
    if node.attr("keepdims"):
        raise NotExpressible(name)
    if name.startswith("nan") and node.inputs[0].dtype.kind == "f":
        x = x.fill_nan(None)
    plain = name.removeprefix("nan")
    if plain in ("sum", "mean", "min", "max", "any", "all"):
        if plain in ("min", "max") and not name.startswith("nan"):
            plain = f"nan_{plain}" if node.inputs[0].dtype.kind == "f" else plain
        return getattr(x, plain)()
    if plain in ("var", "std"):
        return getattr(x, plain)(ddof=node.attr("ddof"))
    if name == "count":
        return x.fill_nan(None).count() if node.inputs[0].dtype.kind == "f" else x.count()
    raise NotExpressible(name)


def _dtype(dtype: np.dtype) -> Any:
    import polars as pl

    names = {"bool": "Boolean", "float32": "Float32", "float64": "Float64"}
    return getattr(pl, names.get(str(dtype), str(dtype).replace("uint", "UInt").replace("int", "Int", 1)))
