"""Group-by on arrays: keys become small numbers, and every aggregate a table by number, filled in one loop.

Integer keys of a small range number themselves; others are numbered by first appearance. The tables are those of
`vecmerge`: private ones for each of a fixed number of parts, merged in order, so that results do not depend on threads.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from workbench.fusion import aggregates
from workbench.fusion.cpu import kernel
from workbench.fusion.cpu.numbering import number
from workbench.fusion.cpu.sorting import argsort
from workbench.fusion.loop import Affine, Buffer, Builder, Dim, For, Instr, Merge, Program, Statement, verify
from workbench.fusion.ops import DTYPES

__all__ = ["DENSE", "SMALL", "group", "places"]

#: numbers of groups up to which a table by key is made
DENSE = 1 << 20
#: rows below which pandas is as fast
SMALL = 20_000

_OPS = ("sum", "prod", "mean", "var", "std", "min", "max", "count", "first", "last", "any", "all", "size", "codes")
#: dtypes of the parts that a merge has beside its value
_MORE = {"first": ("int64",), "last": ("int64",), "moments": ("float64", "float64")}


def group(
    keys: Sequence[np.ndarray],
    ops: Sequence[str],
    values: Sequence[np.ndarray],
    *,
    sort: bool = True,
    dropna: bool = True,
    ddof: int = 1,
    threads: int = 1,
    exact: bool = False,
) -> tuple[np.ndarray, ...] | None:
    """Return the keys of groups and an aggregate of each op, as pandas means them; None for what pandas does better.

    Parameters
    ----------
    keys : sequence of ndarray
        1-d, of one length.
    ops : sequence of str
        sum prod mean var std min max count first last any all of the values in order (NaN skipped); "size" is the
        rows of a group, and "codes" for each row the number of its group, -1 where a key is NaN and dropped.
    values : sequence of ndarray
        One for each op but size and codes.
    sort : bool
        Groups by ascending key, else by first appearance.
    dropna : bool
        Rows with a NaN key are left out; else NaN is a key, the last one.
    ddof : int
        Of var and std.
    threads : int
    exact : bool
        Float sums are correctly rounded.
    """
    arrays = [np.asarray(each) for each in (*keys, *values)]
    rows = len(arrays[0])
    if rows < (1 if exact else SMALL) or any(op not in _OPS for op in ops):
        return None
    if any(each.ndim != 1 or each.dtype not in DTYPES or not each.dtype.isnative for each in arrays):
        return None
    columns, data = arrays[: len(keys)], arrays[len(keys) :]
    numbered = _by_range(columns) or _by_appearance(columns, dropna, threads)
    if numbered.size > max(DENSE, 2 * rows):
        return None
    wanted = [op for op in ops if op not in ("size", "codes")]
    found = _tables(
        numbered, list(zip(wanted, [each.dtype.name for each in data], strict=True)), data, sort, threads, exact
    )
    sizes, firsts, tables = found
    present = np.flatnonzero(sizes)
    labels = numbered.labels(present)
    order = _order(labels, present, firsts, sort, numbered)
    present, labels = present[order], [each[order] for each in labels]
    answers: list[np.ndarray] = list(labels)
    parts = iter(tables)
    for op in ops:
        if op == "size":
            answers.append(sizes[present])
        elif op == "codes":
            answers.append(_codes(numbered, present))
        else:
            table = next(parts)
            answers.append(aggregates.value(op, table.dtype, [part[present] for part in table.parts], ddof))
    return tuple(answers)


def places(keys: Sequence[np.ndarray]) -> tuple[np.ndarray, int]:
    """Return for each row a number of its group, NaN being a key, and a bound of the numbers; the order means nothing.

    Parameters
    ----------
    keys : sequence of ndarray
        1-d, of one length, of numbers or booleans.
    """
    if not len(keys[0]):
        return np.empty(0, np.int64), 0
    columns = list(keys)
    numbered = _by_range(columns) or _by_appearance(columns, False)
    return numbered.numbers(), numbered.size


class _Numbered:
    """Keys as numbers below `size`.

    Attributes
    ----------
    columns : list of ndarray
        From which the number of a row is computed: the sum of (column - base) * step; negative where a row is left out.
    bases, steps : list of int
    size : int
    sorted : bool
        Whether the numbers ascend as the keys do.
    """

    def __init__(self, columns: list[np.ndarray], bases: list[int], spans: list[int]) -> None:
        self.columns, self.bases, self.spans = columns, bases, spans
        self.steps = [math.prod(spans[k + 1 :]) for k in range(len(spans))]
        self.size = math.prod(spans)
        self.sorted = True
        self.uniques: list[np.ndarray] | None = None
        self.firsts: np.ndarray | None = None

    def labels(self, numbers: np.ndarray) -> list[np.ndarray]:
        """Return the keys of numbers."""
        if self.uniques is not None:
            return [each[numbers] for each in self.uniques]
        found = []
        for column, base, step, span in zip(self.columns, self.bases, self.steps, self.spans, strict=True):
            digit = numbers // step % span
            if column.dtype.kind == "u":
                found.append((digit.astype(np.uint64) + np.uint64(base)).astype(column.dtype))
            else:
                found.append((digit + base).astype(column.dtype))
        return found

    def numbers(self) -> np.ndarray:
        """Return the number of each row."""
        total: Any = None
        for column, base, step in zip(self.columns, self.bases, self.steps, strict=True):
            wide = column.astype(np.uint64 if column.dtype.kind == "u" else np.int64, copy=False)
            digit = (wide - wide.dtype.type(base)).view(np.int64)
            if step != 1:
                digit *= step
            total = digit if total is None else np.add(total, digit, out=total)
        return total


def _by_range(columns: list[np.ndarray]) -> _Numbered | None:
    """Number integer keys by their distance from the least; None if they are too far apart."""
    bases, spans = [], []
    for column in columns:
        if column.dtype.kind not in "biu":
            return None
        low, high = int(column.min()), int(column.max())
        bases.append(low)
        spans.append(high - low + 1)
        if math.prod(spans) > DENSE:
            return None
    return _Numbered(columns, bases, spans)


def _by_appearance(columns: list[np.ndarray], dropna: bool, threads: int = 1) -> _Numbered:
    """Number keys by first appearance, each column and then their combinations."""
    numbers, firsts = number(columns[0], drop=dropna, threads=threads)
    total = max(1, len(firsts))
    floating = any(each.dtype.kind == "f" for each in columns)
    for column in columns[1:]:
        near = _by_range([column])
        if near is None:
            codes, more = number(column, drop=dropna, threads=threads)
            count = max(1, len(more))
        else:
            codes, count = near.numbers(), near.size
        missing = (numbers < 0) | (codes < 0) if floating else None
        numbers = numbers * count + codes
        if missing is not None:
            numbers[missing] = -1
        numbers, firsts = _renumbered(numbers, threads)
        total = max(1, len(firsts))
    found = _Numbered([numbers], [0], [total])
    found.sorted = False
    found.uniques = [column[firsts] for column in columns]
    found.firsts = firsts
    return found


def _renumbered(numbers: np.ndarray, threads: int) -> tuple[np.ndarray, np.ndarray]:
    """Return numbers by first appearance of numbers that have gaps; -1 stays."""
    codes, firsts = number(numbers, threads=threads)
    left = numbers[firsts] < 0
    if left.any():
        gone = int(np.flatnonzero(left)[0])
        codes = np.where(codes == gone, -1, codes - (codes > gone))
        firsts = np.delete(firsts, gone)
    return codes, firsts


def _order(
    labels: list[np.ndarray], present: np.ndarray, firsts: np.ndarray | None, sort: bool, numbered: _Numbered
) -> np.ndarray:
    """Return the order in which groups come out."""
    if sort:
        if numbered.sorted:
            return np.arange(len(present))
        found = argsort(labels, [True] * len(labels))
        return np.lexsort(list(reversed(labels))) if found is None else found  # NaN goes last in both
    first = firsts if firsts is not None else numbered.firsts
    assert first is not None
    return np.argsort(first[present], kind="stable")


def _codes(numbered: _Numbered, present: np.ndarray) -> np.ndarray:
    """Return for each row the number of its group as groups come out."""
    rank = np.full(numbered.size + 1, -1, np.int64)
    rank[present] = np.arange(len(present))
    return rank[numbered.numbers()]  # -1 is the last element, which is -1


class _Table:
    """The parts of an aggregate by number, and the dtypes of values and result."""

    def __init__(self, parts: list[np.ndarray], dtype: np.dtype, counts: np.ndarray | None) -> None:
        self.parts, self.dtype = parts + ([counts] if counts is not None else []), dtype


def _tables(
    numbered: _Numbered,
    wanted: list[tuple[str, str]],
    data: list[np.ndarray],
    sort: bool,
    threads: int,
    exact: bool,
) -> tuple[np.ndarray, np.ndarray | None, list[_Table]]:
    """Fill all tables in one loop: rows of each group, its first row where that is asked for, and the aggregates."""
    first = not sort and numbered.sorted
    code = _compiled(tuple([c.dtype.name for c in numbered.columns]), tuple(wanted), first, not numbered.sorted, exact)
    sizes = {"n": len(numbered.columns[0]), "k": numbered.size}
    buffers: dict[str, np.ndarray] = {}
    for k, column in enumerate(numbered.columns):
        base = numbered.bases[k]
        buffers[f"key{k}"] = np.ascontiguousarray(column)
        buffers[f"base{k}"] = np.asarray(base if base < 1 << 63 else base - (1 << 64), np.int64)
        buffers[f"step{k}"] = np.asarray(numbered.steps[k], np.int64)
    for k, each in enumerate(data):
        buffers[f"x{k}"] = np.ascontiguousarray(each)
    found = code.run(buffers, sizes, threads=threads)
    tables = []
    for k, (_, dtype) in enumerate(wanted):
        parts = [found[name] for name in sorted(found) if name.startswith(f"o{k}_")]
        tables.append(_Table(parts, np.dtype(dtype), found.get(f"c{k}")))
    return found["rows"], found["first1"] if first else None, tables


@functools.lru_cache(maxsize=256)
def _compiled(
    keys: tuple[str, ...], wanted: tuple[tuple[str, str], ...], first: bool, guarded: bool, exact: bool
) -> kernel.Compiled:
    """Return the loop that fills the tables."""
    return kernel.compile(_Writer(keys, wanted, first, guarded).program(exact))


class _Writer:
    """Writes the loop."""

    def __init__(self, keys: tuple[str, ...], wanted: tuple[tuple[str, str], ...], first: bool, guarded: bool) -> None:
        self.keys, self.wanted, self.first, self.guarded = keys, wanted, first, guarded
        self.buffers: list[Buffer] = []
        self.body: list[Statement] = []
        self.builders: list[Builder] = []
        self.count = 0

    def add(self, op: str, args: tuple[int, ...] = (), dtype: str = "int64", **rest: Any) -> int:
        self.count += 1
        self.body.append(Instr(self.count, op, args, dtype, **rest))
        return self.count

    def load(self, name: str, dtype: str, single: bool = False) -> int:
        self.buffers.append(Buffer(name, dtype, () if single else ("n",)))
        return self.add("load", (), dtype, name=name, index=() if single else (Affine((("i", 1),)),))

    def cast(self, value: int, source: str, target: str) -> int:
        return value if source == target else self.add("cast", (value,), target)

    def table(self, op: str, dtype: str, names: list[tuple[str, str]], value: int, key: int, pred: int | None) -> None:
        for name, kind in names:
            self.buffers.append(Buffer(name, kind, ("k",), "out"))
        number = len(self.builders) + 1
        self.builders.append(Builder(number, "vecmerge", (op,), (dtype,), tuple([name for name, _ in names]), "k"))
        self.body.append(Merge(number, (value,), (key,), pred))

    def program(self, exact: bool) -> Program:
        key: int | None = None
        for k, dtype in enumerate(self.keys):
            column = self.cast(self.load(f"key{k}", dtype), dtype, "int64")
            digit = self.add("subtract", (column, self.load(f"base{k}", "int64", True)))
            step = self.load(f"step{k}", "int64", True)
            if len(self.keys) > 1:
                digit = self.add("multiply", (digit, step))
            key = digit if key is None else self.add("add", (key, digit))
        assert key is not None
        there: int | None = None
        if self.guarded:
            there = self.add("greater_equal", (key, self.add("const", value=0)), "bool")
        one = self.add("const", value=1)
        self.table("+", "int64", [("rows", "int64")], one, key, there)
        if self.first:
            self.table("first", "int64", [("first0", "int64"), ("first1", "int64")], key, key, there)
        for k, (op, dtype) in enumerate(self.wanted):
            self.aggregate(k, op, dtype, key, there, one)
        loop = For((Dim("i", "n", "reduce"),), tuple(self.body), tuple(self.builders))
        return verify(Program("group", ("n", "k"), tuple(self.buffers), (loop,), exact))

    def aggregate(self, k: int, op: str, dtype: str, key: int, there: int | None, one: int) -> None:
        x, pred = self.load(f"x{k}", dtype), there
        floating = dtype.startswith("float")
        if floating:
            pred = self.add("logical_not", (self.add("isnan", (x,), "bool"),), "bool")
            pred = pred if there is None else self.add("logical_and", (pred, there), "bool")
        how, wide = aggregates.accumulator(op, np.dtype(dtype))
        value = one if op == "count" else self.cast(x, dtype, wide)
        names = [(f"o{k}_{part}", kind) for part, kind in enumerate([wide, *_MORE.get(how, ())])]
        self.table(how, wide, names, value, key, pred)
        if op == "mean" or (op in ("min", "max") and floating):
            self.table("+", "int64", [(f"c{k}", "int64")], one, key, pred)
