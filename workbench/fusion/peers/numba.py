"""Numba: plain loops, as somebody who knows Numba writes them, under a plain `@njit`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from workbench.fusion.expr import Expr, Size
from workbench.fusion.graph import walk
from workbench.fusion.peers.graph import (
    FUNCTIONS,
    INFIX,
    Groups,
    NotExpressible,
    groups_of,
    literal,
    masks_of,
    rows_of,
)

__all__ = ["build", "group_columns", "source"]

_ROWS = ("Map", "Select", "Cast", "Filter")
_OWN = {
    "absolute": "abs({})", "fabs": "abs({})", "erf": "math.erf({})", "erfc": "math.erfc({})",
    "expit": "(1.0 / (1.0 + math.exp(-{})))", "ndtr": "(0.5 * math.erfc(-{} * 0.7071067811865476))",
    "logical_not": "(not {})", "clip": "min(max({}, {}), {})", "cbrt": "np.cbrt({})",
}  # fmt: skip


def build(exprs: Sequence[Expr], threads: int) -> Callable[[], list[Any]]:
    """Return a function that runs generated loops; with plain `@njit` they have one thread."""
    import math

    import numba

    program = _Program(exprs)
    scope: dict[str, Any] = {"np": np, "math": math}
    exec(program.source, scope)
    kernel = numba.njit(error_model="numpy")(scope["kernel"])
    return lambda: program.finish(kernel(*program.arguments))


def source(exprs: Sequence[Expr]) -> str:
    """Return the loops as text."""
    return _Program(exprs).source


class _Program:
    """One function: a loop for each level of values that whole reductions have to be there for."""

    def __init__(self, exprs: Sequence[Expr]) -> None:
        self.exprs = list(exprs)
        order = walk(exprs)
        leaves = [node for node in order if node.kind == "Leaf"]
        self.names = {id(node): f"x{k}" for k, node in enumerate(leaves)}
        self.arguments = [np.ascontiguousarray(each.data).reshape(-1) if each.ndim else each.data for each in leaves]
        self.shape = next((each.shape for each in leaves if each.ndim), None)
        if self.shape is None:
            raise NotExpressible("single values")
        self.rows = next(each for each in leaves if each.ndim)
        self.level: dict[int, int] = {}
        for node in order:
            self._check(node)
            below = max((self.level[id(each)] for each in node.inputs), default=0)
            self.level[id(node)] = below + 1 if node.kind in ("Reduce", "GroupReduce") else below
        self.reductions = [node for node in order if node.kind == "Reduce"]
        self.groups = [groups_of(node) for node in order if node.kind == "GroupReduce"]
        self.outputs = [each for each in exprs if each.ndim and each.kind != "Item"]
        self.lines: list[str] = []
        self.scalars: dict[int, str] = {}
        self._emit()
        self.source = "\n".join(self.lines) + "\n"

    def _check(self, node: Expr) -> None:
        if node.kind in ("Leaf", "Const", "GroupReduce"):
            if node.kind == "Leaf" and node.ndim and node.shape != self.shape:
                raise NotExpressible("broadcast")
            return
        if node.kind == "Item":
            if node.inputs[0].kind != "GroupReduce" or not any(node is each for each in self.exprs):
                raise NotExpressible(node.name)
            return
        if node.kind not in (*_ROWS, "Reduce") or node.call is not None:
            raise NotExpressible(node.name)
        if node.kind == "Reduce":
            if len(node.attr("axes")) != node.inputs[0].ndim:
                raise NotExpressible(f"{node.name} along an axis")
        elif node.ndim and self.shape is not None and (rows_of(node.shape[0]), *node.shape[1:]) != self.shape:
            raise NotExpressible("broadcast")
        elif any(each.kind == "Item" for each in node.inputs):
            raise NotExpressible("groupby")

    # the text

    def _emit(self) -> None:
        self.lines.append(f"def kernel({', '.join(self.names.values())}):")
        self._put(1, f"n = {self.names[id(self.rows)]}.shape[0]")
        for k, output in enumerate(self.outputs):
            self._put(1, f"out{k} = np.empty(n, np.{output.dtype.name})", f"m{k} = 0")
        for level in range(1 + max(self.level.values())):
            for node in self._scalar_nodes(level):
                self.scalars[id(node)] = f"s{len(self.scalars)}"
                self._put(1, f"{self.scalars[id(node)]} = {self._text(node, self.scalars)}")
            self._loop(level)
        found = [f"out{k}[:m{k}]" if masks_of(each.shape[0]) else f"out{k}" for k, each in enumerate(self.outputs)]
        found += [self._operand(each, self.scalars) for each in self.exprs if not each.ndim]
        for k, group in enumerate(self.groups):
            found += [f"g{k}_rows", *(f"g{k}_{j}" for j in range(len(group.aggregates)))]
            found += [f"g{k}_n{j}" for j, (_, value) in enumerate(group.aggregates) if value is not None]
        self._put(1, f"return ({', '.join(found)},)")

    def _scalar_nodes(self, level: int) -> Iterator[Expr]:
        for node in walk(self.exprs):
            if node.kind in ("Map", "Select", "Cast") and not node.ndim and self.level[id(node)] == level:
                yield node

    def _loop(self, level: int) -> None:
        """Emit the loop of a level: its reductions, group-bys and outputs, those behind the same masks together."""
        todo: dict[tuple[Expr, ...], list[Any]] = {}
        for node in self.reductions:
            if self.level[id(node.inputs[0])] == level:
                if not node.inputs[0].ndim:
                    raise NotExpressible(node.name)
                todo.setdefault(masks_of(node.inputs[0].shape[0]), []).append(node)
        for group in self.groups:
            if self.level[id(group.node)] == level + 1:
                todo.setdefault(group.masks, []).append(group)
        for k, output in enumerate(self.outputs):
            if self.level[id(output)] == level:
                todo.setdefault(masks_of(output.shape[0]), []).append(k)
        if not todo:
            return
        for node in (each for work in todo.values() for each in work if isinstance(each, Expr)):
            self.scalars[id(node)] = f"s{len(self.scalars)}"
            self._put(1, *_start(node, self.scalars[id(node)]))
        for k, group in enumerate(self.groups):
            if self.level[id(group.node)] == level + 1:
                self._tables(k, group)
        self._put(1, "for i in range(n):")
        for masks, work in todo.items():
            names, depth = dict(self.scalars), 2
            for mask in masks:
                self._put(depth, f"if {self._row(mask, names, depth)}:")
                depth += 1
            for each in work:
                if isinstance(each, int):
                    self._put(depth, *self._store(each, bool(masks), names, depth))
                elif isinstance(each, Groups):
                    self._put(depth, *self._group(each, names, depth))
                else:
                    value = self._row(each.inputs[0], names, depth)
                    self._put(depth, *_step(each, self.scalars[id(each)], value))
        for node in (each for work in todo.values() for each in work if isinstance(each, Expr)):
            self._put(1, *_end(node, self.scalars[id(node)]))

    def _store(self, k: int, filtered: bool, names: dict[int, str], depth: int) -> list[str]:
        value = self._row(self.outputs[k], names, depth)
        return [f"out{k}[m{k}] = {value}", f"m{k} += 1"] if filtered else [f"out{k}[i] = {value}"]

    def _tables(self, k: int, group: Groups) -> None:
        span = group.span
        self._put(1, f"g{k}_rows = np.zeros({span}, np.int64)")
        for j, (name, value) in enumerate(group.aggregates):
            if value is None:
                self._put(1, f"g{k}_{j} = g{k}_rows")
                continue
            first = {"min": "np.inf", "max": "-np.inf"}.get(name, "0")
            if name in ("min", "max") and value.dtype.kind != "f":
                raise NotExpressible(name)
            kind = value.dtype.name if value.dtype.kind == "f" else "int64"
            self._put(1, f"g{k}_{j} = np.full({span}, {first}, np.{kind})", f"g{k}_n{j} = np.zeros({span}, np.int64)")

    def _group(self, group: Groups, names: dict[int, str], depth: int) -> list[str]:
        k = self.groups.index(group)
        lines = [f"j = {self._row(group.key, names, depth)} - {group.low}", f"g{k}_rows[j] += 1"]
        for j, (name, value) in enumerate(group.aggregates):
            if value is None:
                continue
            v = self._row(value, names, depth)
            inner = {
                "min": f"if {v} < g{k}_{j}[j]: g{k}_{j}[j] = {v}",
                "max": f"if {v} > g{k}_{j}[j]: g{k}_{j}[j] = {v}",
                "count": "pass",
            }.get(name, f"g{k}_{j}[j] += {v}")
            body = [inner, f"g{k}_n{j}[j] += 1"]
            if value.dtype.kind == "f":
                lines += [f"if {v} == {v}:", *(f"    {each}" for each in body)]
            else:
                lines += body
        return lines

    def _row(self, node: Expr, names: dict[int, str], depth: int) -> str:
        """Return the name of a row's value, having put what it needs before it."""
        if id(node) in names:
            return names[id(node)]
        stack = [node]
        while stack:
            top = stack[-1]
            if id(top) in names or top.kind in ("Leaf", "Const"):
                stack.pop()
                continue
            needs = top.inputs[:1] if top.kind == "Filter" else top.inputs
            waiting = [each for each in needs if id(each) not in names and each.kind not in ("Leaf", "Const")]
            if waiting:
                stack += reversed(waiting)
                continue
            stack.pop()
            if top.kind == "Filter":
                names[id(top)] = self._operand(top.inputs[0], names)
                continue
            name = f"v{len(names)}_{depth}"
            self._put(depth, f"{name} = {self._text(top, names)}")
            names[id(top)] = name
        return self._operand(node, names)

    def _operand(self, node: Expr, names: dict[int, str]) -> str:
        if id(node) in names:
            return names[id(node)]
        if node.kind == "Const":
            return literal(node.data)
        return f"{self.names[id(node)]}[i]" if node.ndim else self.names[id(node)]

    def _text(self, node: Expr, names: dict[int, str]) -> str:
        inputs = [self._operand(each, names) for each in node.inputs]
        if node.kind == "Select":
            return f"{inputs[1]} if {inputs[0]} else {inputs[2]}"
        if node.kind == "Cast":
            return f"np.{node.dtype.name.replace('bool', 'bool_')}({inputs[0]})"
        if node.name in INFIX:
            return INFIX[node.name].format(*inputs)
        if node.name in _OWN:
            return _OWN[node.name].format(*inputs)
        if node.name in FUNCTIONS:
            return f"np.{node.name}({', '.join(inputs)})"
        if node.name == "invert":
            return f"(not {inputs[0]})" if node.dtype == bool else f"(~{inputs[0]})"
        raise NotExpressible(node.name)

    def _put(self, depth: int, *lines: str) -> None:
        self.lines += ["    " * depth + line for line in lines]

    # back to what was asked for

    def finish(self, found: tuple[Any, ...]) -> list[Any]:
        """Return the values in the order of the expressions."""
        parts = iter(found)
        by_id: dict[int, Any] = {}
        for each in self.outputs:
            value = next(parts)
            by_id[id(each)] = value.reshape(each.shape) if not isinstance(each.shape[0], Size) else value
        scalars = [next(parts) for each in self.exprs if not each.ndim]
        for group in self.groups:
            rows = next(parts)
            sums = [next(parts) for _ in group.aggregates]
            counts = [None if value is None else next(parts) for _, value in group.aggregates]
            columns = group_columns(group, rows, sums, counts)
            for each in self.exprs:
                if each.kind == "Item" and each.inputs[0] is group.node:
                    by_id[id(each)] = columns[each.attr("index")]
        rest = iter(scalars)
        return [by_id[id(each)] if each.ndim else next(rest) for each in self.exprs]


def group_columns(group: Groups, rows: Any, tables: Sequence[Any], counts: Sequence[Any]) -> list[Any]:
    """Return keys and aggregates of the groups that have rows, from dense tables."""
    there = np.flatnonzero(rows)
    found = [(there + group.low).astype(group.key.dtype)]
    with np.errstate(all="ignore"):
        for (name, _), table, count in zip(group.aggregates, tables, counts, strict=True):
            if name == "count":
                found.append(count[there])
            elif name == "mean":
                found.append(table[there] / count[there])
            elif name in ("min", "max"):
                found.append(np.where(count[there] > 0, table[there], np.nan))
            else:
                found.append(table[there])
    return found


def _start(node: Expr, name: str) -> list[str]:
    """Return how a reduction begins."""
    kind, x = node.name.removeprefix("nan"), node.inputs[0].dtype
    if kind in ("min", "max"):
        if x.kind == "f":
            return [f"{name} = {'' if kind == 'min' else '-'}np.inf", f"{name}_n = 0"]
        if x.kind not in "iu":
            raise NotExpressible(node.name)
        edge = np.iinfo(x).max if kind == "min" else np.iinfo(x).min
        return [f"{name} = {edge}", f"{name}_n = 0"]
    if kind in ("var", "std"):
        return [f"{name} = 0.0", f"{name}_m = 0.0", f"{name}_n = 0"]
    if kind in ("any", "all"):
        return [f"{name} = {kind == 'all'}"]
    if kind not in ("sum", "prod", "mean", "count", "count_nonzero"):
        raise NotExpressible(node.name)
    zero = "0.0" if x.kind == "f" and kind != "count" else "0"
    return [f"{name} = {zero.replace('0', '1', 1) if kind == 'prod' else zero}", f"{name}_n = 0"]


def _step(node: Expr, name: str, v: str) -> list[str]:
    """Return what a row does to a reduction."""
    plain = node.name.removeprefix("nan")
    floats = node.inputs[0].dtype.kind == "f"
    skips = floats and (node.name.startswith("nan") or plain == "count")
    if plain == "sum":
        lines = [f"{name} += {v}"]
    elif plain == "prod":
        lines = [f"{name} *= {v}"]
    elif plain == "mean":
        lines = [f"{name} += {v}", f"{name}_n += 1"]
    elif plain == "count":
        lines = [f"{name} += 1"]
    elif plain == "count_nonzero":
        lines = [f"{name} += {v} != 0"]
    elif plain in ("any", "all"):
        lines = [f"{name} {'|=' if plain == 'any' else '&='} {v} != 0"]
    elif plain in ("var", "std"):
        lines = [
            f"{name}_n += 1", f"{name}_d = {v} - {name}_m", f"{name}_m += {name}_d / {name}_n",
            f"{name} += {name}_d * ({v} - {name}_m)",
        ]  # fmt: skip
    else:
        test = f"{v} {'<' if plain == 'min' else '>'} {name}"
        lines = [f"if {test}{f' or {v} != {v}' if floats and not skips else ''}: {name} = {v}", f"{name}_n += 1"]
    return [f"if {v} == {v}:", *(f"    {line}" for line in lines)] if skips else lines


def _end(node: Expr, name: str) -> list[str]:
    """Return how a reduction ends."""
    plain = node.name.removeprefix("nan")
    if plain == "mean":
        return [f"{name} = {name} / {name}_n if {name}_n else np.nan"]
    if plain in ("var", "std"):
        least = node.attr("ddof")
        found = f"{name} / ({name}_n - {least})"
        return [f"{name} = {f'math.sqrt({found})' if plain == 'std' else found} if {name}_n > {least} else np.nan"]
    if plain in ("min", "max") and node.inputs[0].dtype.kind == "f":
        return [f"{name} = {name} if {name}_n else np.nan"]
    return []
