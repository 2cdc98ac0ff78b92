"""The meaning of the loop IR in plain NumPy: slow, short, and what back ends are held to.

Every value is an array over the dimensions open where it was made, so that no Python loop runs over elements.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np

from workbench.fusion.loop import PARTS, Affine, Builder, For, If, Index, Instr, Merge, Program, Statement, Store
from workbench.fusion.ops import OPS

__all__ = ["run"]


def run(program: Program, buffers: Mapping[str, np.ndarray], sizes: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Run a program.

    Parameters
    ----------
    program : Program
    buffers : mapping of str to ndarray
        Its inputs.
    sizes : mapping of str to int

    Returns
    -------
    dict of str to ndarray
        Its outputs.
    """
    with np.errstate(all="ignore"):
        machine = _Machine(program, dict(buffers), sizes)
        for loop in program.loops:
            machine.loop(loop, None)
    return {each.name: machine.memory[each.name] for each in program.buffers if each.role == "out"}


class _Machine:
    def __init__(self, program: Program, memory: dict[str, np.ndarray], sizes: Mapping[str, int]) -> None:
        self.program, self.memory, self.sizes = program, memory, sizes
        self.values: dict[int, np.ndarray] = {}
        self.dims: list[tuple[str, int]] = []
        self.builders: dict[int, tuple[Builder, int, list[Any]]] = {}  # with the depth of their loop, and merges
        self.results: dict[int, list[np.ndarray]] = {}
        self.tiles: set[str] = set()
        for each in program.buffers:
            if each.role in ("out", "temp") and "?" not in each.shape:
                self.memory[each.name] = np.zeros([self.size(d) for d in each.shape], each.dtype)

    def size(self, size: int | str) -> int:
        return size if isinstance(size, int) else self.sizes[size]

    # statements

    def loop(self, loop: For, mask: np.ndarray | None) -> None:
        depth = len(self.dims)
        self.dims += [(dim.name, self.size(dim.size)) for dim in loop.dims]
        for builder in loop.builders:
            self.builders[builder.id] = (builder, depth, [])
        self.block(loop.body, mask)
        for builder in loop.builders:
            self.finish(builder.id)
        del self.dims[depth:]

    def block(self, body: tuple[Statement, ...], mask: np.ndarray | None) -> None:
        for each in body:
            if isinstance(each, For):
                self.loop(each, mask)
            elif isinstance(each, If):
                self.block(each.body, self.both(mask, each.pred))
            elif isinstance(each, Store):
                self.store(each, self.both(mask, each.pred))
            elif isinstance(each, Merge):
                values = [self.full(value) for value in each.values]
                keys = [self.full(key) for key in each.keys]
                self.builders[each.builder][2].append((values, keys, self.both(mask, each.pred)))
            else:
                found = np.asarray(self.instr(each, mask))
                # one axis for each open dimension: where more are open, others follow
                self.values[each.id] = found.reshape((1,) * (len(self.dims) - found.ndim) + found.shape)

    def both(self, mask: np.ndarray | None, pred: int | None) -> np.ndarray | None:
        if pred is None:
            return mask if mask is None else self.spread(mask)
        return self.full(pred) if mask is None else self.spread(mask) & self.full(pred)

    def instr(self, each: Instr, mask: np.ndarray | None) -> np.ndarray:
        if each.op == "const":
            return np.asarray(each.value).astype(each.dtype)
        if each.op == "size":
            return np.asarray(self.sizes[each.name], np.int64)
        if each.op == "index":
            return self.iota(each.name)
        if each.op == "load":
            return self.load(each)
        if each.op == "result":
            return _deeper(found := self.results[each.builder][each.part], found.ndim, len(self.dims))
        if each.op == "scan":
            return self.scan(each)
        args = [self.ranked(arg) for arg in each.args]
        if each.op == "select":
            return np.where(*args)
        if each.op == "cast":
            return _cast(args[0], each.dtype)
        if each.op == "clip":
            return np.minimum(np.maximum(args[0], args[1]), args[2])
        found = OPS[each.op].function(*args)
        return np.asarray(found).astype(each.dtype, copy=False)

    def store(self, each: Store, mask: np.ndarray | None) -> None:
        buffer = self.program.buffer(each.buffer)
        if buffer.role == "tile":
            # private to an iteration of the loops around: give it their dimensions
            inner = len(buffer.shape)
            self.memory[each.buffer] = np.array(self.full(each.value))
            assert inner <= len(self.dims)
            return
        memory = self.memory[each.buffer]
        if not each.index:
            value = self.full(each.value)
            if mask is None or mask.any():
                memory[()] = value[mask][-1] if mask is not None else value.reshape(-1)[-1]
            return
        where = np.broadcast_arrays(*[self.spread(self.position(index)) for index in each.index], self.full(each.value))
        picked = [part if mask is None else part[np.broadcast_to(mask, part.shape)] for part in where]
        memory[tuple(picked[:-1])] = picked[-1]

    def load(self, each: Instr) -> np.ndarray:
        buffer, memory = self.program.buffer(each.name), self.memory[each.name]
        if buffer.role == "tile":
            return memory
        if not each.index:
            return np.asarray(memory).reshape(())
        return memory[tuple([self.position(index) for index in each.index])]

    def scan(self, each: Instr) -> np.ndarray:
        builder, depth, merges = self.builders[each.builder]
        value = self.full(each.args[0])
        flat = value.reshape(*value.shape[:depth], math.prod(value.shape[depth:]))
        op = {"+": np.add, "*": np.multiply, "min": np.minimum, "max": np.maximum}[builder.ops[0]]
        merges.append(([value], [], None))
        return op.accumulate(flat, axis=-1, dtype=builder.dtypes[0]).reshape(value.shape)

    # values

    def iota(self, name: str) -> np.ndarray:
        k = [dim for dim, _ in self.dims].index(name)
        return np.arange(self.dims[k][1], dtype=np.int64).reshape(*[1] * k, -1, *[1] * (len(self.dims) - 1 - k))

    def position(self, index: Index) -> np.ndarray:
        if isinstance(index, int):
            return self.ranked(index)
        assert isinstance(index, Affine)
        found = np.full([1] * len(self.dims), index.offset, np.int64)
        for name, by in index.terms:
            found = found + by * (self.sizes[name] if name in self.sizes else self.iota(name))
        return found

    def ranked(self, value: int) -> np.ndarray:
        """Return a value with one axis for each open dimension, which were fewer where it was made."""
        found = self.values[value]
        return _deeper(found, found.ndim, len(self.dims))

    def full(self, value: int) -> np.ndarray:
        return self.spread(self.ranked(value))

    def spread(self, found: np.ndarray) -> np.ndarray:
        return np.broadcast_to(_deeper(found, found.ndim, len(self.dims)), [size for _, size in self.dims])

    # builders

    def finish(self, number: int) -> None:
        builder, depth, merges = self.builders[number]
        if builder.kind == "merge":
            self.results[number] = []
            for k, op in enumerate(builder.ops):
                self.results[number] += self.merged(op, builder.dtypes[k], depth, [(v[k], m) for v, _, m in merges])
        elif builder.kind == "append":
            for k, name in enumerate(builder.buffers):
                parts = [v[k].reshape(-1) if m is None else v[k][m] for v, _, m in merges]
                self.memory[name] = np.concatenate(parts) if parts else np.empty(0, builder.dtypes[k])
        elif builder.kind == "vecmerge":
            self.vector(builder, merges, self.size(builder.size or 0))
        else:
            self.groups(builder, merges)

    def merged(self, op: str, dtype: str, depth: int, merges: list[Any]) -> list[np.ndarray]:
        around = [size for _, size in self.dims[:depth]]
        rows = [v.reshape(*around, math.prod(v.shape[depth:])) for v, _ in merges]
        keep = [np.ones(v.shape, bool) if m is None else np.broadcast_to(m, v.shape) for v, m in merges]
        x = np.concatenate(rows, axis=-1) if rows else np.empty((*around, 0), dtype)
        there = (
            np.concatenate([k.reshape(*around, math.prod(k.shape[depth:])) for k in keep], axis=-1)
            if keep
            else np.empty(x.shape, bool)
        )
        flat = (math.prod(around), x.shape[-1])
        found = _reduce(op, dtype, x.reshape(flat), there.reshape(flat), self.program.exact)
        return [each.reshape(around) for each in found]

    def vector(self, builder: Builder, merges: list[Any], size: int) -> None:
        names = iter(builder.buffers)
        keys = [k[0] if m is None else k[0][m] for _, k, m in merges]
        key = np.concatenate([each.reshape(-1) for each in keys]) if keys else np.empty(0, np.int64)
        for k, op in enumerate(builder.ops):
            values = [(v[k] if m is None else v[k][m]).reshape(-1) for v, _, m in merges]
            x = np.concatenate(values) if values else np.empty(0, builder.dtypes[k])
            for part in _by_key(op, builder.dtypes[k], x, key, size, self.program.exact):
                name = next(names)
                self.memory[name] = part.astype(self.program.buffer(name).dtype).reshape(
                    [self.size(d) for d in self.program.buffer(name).shape]
                )

    def groups(self, builder: Builder, merges: list[Any]) -> None:
        (values, keys, mask) = merges[0]
        shape = keys[0].shape
        mask = np.ones(shape, bool) if mask is None else np.broadcast_to(mask, shape)
        columns = [k[mask] for k in keys]
        if builder.size is not None:
            ids, first = columns[0].astype(np.int64), np.arange(self.size(builder.size))
            outs: list[np.ndarray] = [first]
        else:
            ids, first = _first_seen(columns)
            outs = [column[first] for column in columns]
        for k, op in enumerate(builder.ops):
            outs += _by_key(op, builder.dtypes[k], values[k][mask], ids, len(first))
        if builder.kind == "groupmerge":
            outs += [
                np.concatenate([[0], np.cumsum(np.bincount(ids, minlength=len(first)))]),
                np.argsort(ids, kind="stable"),
            ]
        for name, part in zip(builder.buffers, outs, strict=True):
            self.memory[name] = part.astype(self.program.buffer(name).dtype)
        if builder.ids is not None:
            rows = np.full(shape, -1, np.int64)
            rows[mask] = ids
            self.memory[builder.ids] = rows


def _deeper(found: np.ndarray, ndim: int, depth: int) -> np.ndarray:
    return found if ndim == depth else found.reshape(found.shape + (1,) * (depth - ndim))


def identity(op: str, dtype: str) -> Any:
    """Return what merging begins with."""
    kind = np.dtype(dtype)
    if op in ("+", "or", "moments", "first", "last"):
        return kind.type(0)
    if op in ("*", "and"):
        return kind.type(1)
    low = op in ("max", "argmax")
    if kind.kind == "f":
        return kind.type(-np.inf if low else np.inf)
    if kind.kind == "b":
        return not low
    return kind.type(np.iinfo(kind).min if low else np.iinfo(kind).max)


def _reduce(op: str, dtype: str, x: np.ndarray, there: np.ndarray, exact: bool) -> list[np.ndarray]:
    """Return the parts of merging each row of x where it is there."""
    kind = np.dtype(dtype)
    if op in ("+", "*", "min", "max", "and", "or"):
        start = identity(op, dtype)
        filled = np.where(there, x, start).astype(kind)
        if op == "+" and exact and kind.kind == "f":
            return [np.array([_fsum(row) for row in filled], kind)]
        function: Any = {"+": np.add, "*": np.multiply, "min": np.minimum, "max": np.maximum}.get(op)
        if function is None:
            function = np.logical_and if op == "and" else np.logical_or
        return [np.asarray(function.reduce(filled, axis=1, initial=start), kind)]
    if op == "moments":
        count = there.sum(1).astype(np.float64)
        data = np.where(there, x, 0.0)
        mean = data.sum(1) / count
        spread = (np.where(there, x - mean[:, None], 0.0) ** 2).sum(1)
        return [count, np.where(count > 0, mean, 0.0), np.where(count > 0, spread, 0.0)]
    values, places = np.zeros(len(x), kind), np.full(len(x), -1, np.int64)
    for row in range(len(x)):
        at = np.flatnonzero(there[row])
        if len(at):
            part = x[row][at]
            k = {"first": 0, "last": len(part) - 1}.get(op)
            k = int((np.argmin if op == "argmin" else np.argmax)(part)) if k is None else k
            values[row], places[row] = part[k], at[k]
    return [values, places]


def _by_key(op: str, dtype: str, x: np.ndarray, key: np.ndarray, size: int, exact: bool = False) -> list[np.ndarray]:
    kind = np.dtype(dtype)
    simple: dict[str, Any] = {
        "+": np.add, "*": np.multiply, "min": np.minimum, "max": np.maximum, "and": np.logical_and, "or": np.logical_or,
    }  # fmt: skip
    if op in simple:
        found = np.full(size, identity(op, dtype), kind)
        if op == "+" and exact and kind.kind == "f":
            order = np.argsort(key, kind="stable")
            rows = np.split(x[order], np.searchsorted(key[order], np.arange(1, size)))
            return [np.array([_fsum(row) for row in rows[:size]], kind)]
        simple[op].at(found, key, x)
        return [found]
    parts: list[np.ndarray] = [np.zeros(size, np.float64 if op == "moments" else kind) for _ in range(PARTS[op])]
    if op != "moments":
        parts[1] = np.full(size, -1, np.int64)
    order = np.argsort(key, kind="stable")
    bounds = np.searchsorted(key[order], np.arange(size + 1))
    for group in range(size):
        at = order[bounds[group] : bounds[group + 1]]
        if len(at):
            merged = _reduce(op, dtype, x[at][None], np.ones((1, len(at)), bool), False)
            for part, value in zip(parts, merged, strict=True):
                part[group] = value[0]
            if op != "moments":
                parts[1][group] = at[parts[1][group]]
    return parts


def _first_seen(columns: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return each row's group, numbered by first appearance, and each group's first row; NaN is one key, so is 0."""
    codes = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        _, inverse = np.unique(column + 0 if column.dtype.kind == "f" else column, return_inverse=True)
        codes = codes * (int(inverse.max(initial=0)) + 1) + inverse.reshape(-1)
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(first), np.int64)
    rank[order] = np.arange(len(first))
    return rank[inverse.reshape(-1)], first[order]


def _cast(x: np.ndarray, dtype: str) -> np.ndarray:
    to = np.dtype(dtype)
    if x.dtype.kind == "f" and to.kind in "iu":
        with np.errstate(invalid="ignore"):
            return np.asarray(x).astype(to)
    return np.asarray(x).astype(to)


def _fsum(row: np.ndarray) -> float:
    """Return `math.fsum`, also where partial sums would leave the range of floats; infinities add up as NumPy's do."""
    finite = np.isfinite(row)
    if not finite.all():
        with np.errstate(invalid="ignore"):
            return float(np.sum(row[~finite]))
    try:
        return math.fsum(row.tolist())
    except OverflowError:
        total = sum(map(Fraction, row.tolist()), Fraction(0))
        try:
            return float(total)
        except OverflowError:
            return math.inf if total > 0 else -math.inf
