"""A group-by over whole-number keys as one loop: filters, values and aggregates in it, tables by key beside it.

The range of keys is guessed from a sample; the loop tells whether a key was outside, and then another way is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.fusion import aggregates
from workbench.fusion.expr import Expr
from workbench.fusion.loop import Buffer, Builder, For, Merge, Program, verify
from workbench.fusion.lower import Input, Lowered, Lowering
from workbench.fusion.plan.kernels import Group, Partition

__all__ = ["Aggregate", "GroupLowered", "finish", "lower_group", "spans_of"]

#: most entries of the tables
DENSE = 1 << 20


@dataclass(frozen=True)
class Aggregate:
    """One result by group.

    Attributes
    ----------
    op : str
    dtype : str
        Of the values; "" for size.
    buffers : tuple of str
        Its tables: what was merged, then the count of what is not NaN where that is needed.
    """

    op: str
    dtype: str
    buffers: tuple[str, ...]


@dataclass
class GroupLowered:
    """A program that fills tables.

    Attributes
    ----------
    lowered : Lowered
    keys : list of Input
        The arrays that keys are, before filters, or that they are taken from: their range is looked at.
    fills : list of tuple of int
        For each key what stands where nothing is taken.
    dtypes : list of str
        Of the keys.
    aggregates : list of Aggregate
    sort : bool
    ddof : int
    """

    lowered: Lowered
    keys: list[Input]
    fills: list[tuple[int, ...]]
    dtypes: list[str]
    aggregates: list[Aggregate]
    sort: bool
    ddof: int


def lower_group(
    group: Group, parts: Partition, strides: Callable[[Expr], Any], name: str, exact: bool = False
) -> GroupLowered:
    """Return the program of a group-by; see `lower`."""
    return _GroupLowering(group, parts, strides, exact).fill(name)


class _GroupLowering(Lowering):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.tables: dict[tuple[str, str, int, int], tuple[str, ...]] = {}

    def fill(self, name: str) -> GroupLowered:
        self.scan_sources()
        self.collapse()
        self.begin()
        root = self.group.roots[0]
        node, axes = root.node, self.axes_of(root)
        many, ops = node.attr("keys"), node.attr("ops")
        keys, values = node.inputs[:many], list(node.inputs[many:])
        pred = self.guard_all(node.inputs, axes)
        key, inside = self.key(keys, axes)
        outside = self.add("logical_not", (inside,), "bool")
        if pred is not None:
            outside = self.add("logical_and", (pred, outside), "bool")
            inside = self.add("logical_and", (pred, inside), "bool")
        self.builders += 1
        self.outer_builders.append(Builder(self.builders, "merge", ("or",), ("bool",)))
        self.emit(Merge(self.builders, (outside,), (), pred))
        flag = self.builders
        one = self.const(1, "int64")
        self.sizes["k"] = ()
        self.table("rows", "+", "int64", one, key, inside)
        if not node.attr("sort"):
            self.table("first", "first", "int64", one, key, inside)
        made = []
        for k, op in enumerate(ops):
            if op == "size":
                made.append(Aggregate(op, "", ("rows",)))
            else:
                x = values.pop(0)
                made.append(self.aggregate(f"o{k}", op, x, self.value(x, axes, root), key, inside, one))
        loops = [For(tuple(self.reducing()), self.body(), tuple(self.outer_builders)), *self.told(flag)]
        program = Program(name, tuple(self.sizes), tuple(self.buffers.values()), tuple(loops), self.exact)
        lowered = Lowered(verify(program), self.inputs, [], {**self.sizes}, [], "local")
        del lowered.sizes["k"]
        sources = [self.base_input(each) for each in keys]
        dtypes = [each.dtype.name for each in keys]
        fills = [_fills(each) for each in keys]
        return GroupLowered(lowered, sources, fills, dtypes, made, node.attr("sort"), node.attr("ddof"))

    def guard_all(self, inputs: Sequence[Expr], axes: tuple[int, ...]) -> int | None:
        """Return the value that tells whether a row is there."""
        for each in inputs:
            found = self.guard(each, self.fitting(each, axes), self.group.roots[0])
            if found is not None:
                return found
        return None

    def key(self, keys: Sequence[Expr], axes: tuple[int, ...]) -> tuple[int, int]:
        """Return the place of a row in the tables, and whether it has one."""
        place: int | None = None
        inside: int | None = None
        for k, each in enumerate(keys):
            value = self.to(self.value(each, axes, self.group.roots[0]), each.dtype, "int64")
            low, span, step = (self.parameter(f"{what}{k}") for what in ("low", "span", "step"))
            digit = self.add("subtract", (value, low), "int64")
            above = self.add("greater_equal", (digit, self.const(0, "int64")), "bool")
            here = self.add("logical_and", (above, self.add("less", (digit, span), "bool")), "bool")
            inside = here if inside is None else self.add("logical_and", (inside, here), "bool")
            if len(keys) > 1:
                digit = self.add("multiply", (digit, step), "int64")
            place = digit if place is None else self.add("add", (place, digit), "int64")
        assert place is not None
        assert inside is not None
        safe = self.add("select", (inside, place, self.const(0, "int64")), "int64")
        return safe, inside

    def parameter(self, name: str) -> int:
        self.buffers.setdefault(name, Buffer(name, "int64", ()))
        return self.add("load", (), "int64", name=name, index=())

    def table(self, name: str, op: str, dtype: str, value: int, key: int, pred: int) -> tuple[str, ...]:
        """Return the buffers of a table, those that there are of one that is filled the same."""
        known = self.tables.get((op, dtype, value, pred))
        if known is not None:
            return known
        names: tuple[str, ...] = {"first": (f"{name}_0", f"{name}_1"), "last": (f"{name}_0", f"{name}_1")}.get(
            op, (name,)
        )
        if op == "moments":
            names = (f"{name}_0", f"{name}_1", f"{name}_2")
        for k, each in enumerate(names):
            kind = "int64" if op in ("first", "last") and k else dtype
            self.buffers[each] = Buffer(each, kind, ("k",), "out")
        self.builders += 1
        self.outer_builders.append(Builder(self.builders, "vecmerge", (op,), (dtype,), names, "k"))
        self.emit(Merge(self.builders, (value,), (key,), pred))
        self.tables[op, dtype, value, pred] = names
        return names

    def aggregate(self, name: str, op: str, x: Expr, value: int, key: int, pred: int, one: int) -> Aggregate:
        floating = x.dtype.kind == "f"
        if floating:
            there = self.add("logical_not", (self.add("isnan", (value,), "bool"),), "bool")
            pred = self.add("logical_and", (pred, there), "bool")
        how, dtype = aggregates.accumulator(op, x.dtype)
        merged = one if op == "count" else self.to(value, x.dtype, dtype)
        buffers = self.table(name, how, dtype, merged, key, pred)
        if op in ("mean", "min", "max"):
            # where nothing is NaN, a group's rows are its count
            buffers += self.table(f"{name}_n", "+", "int64", one, key, pred) if floating else ("rows",)
        return Aggregate(op, x.dtype.name, buffers)

    def base_input(self, key: Expr) -> Input:
        """Return how to get at the array that a key is, before filters, or is taken from."""
        while key.kind in ("Filter", "Gather"):
            key = key.inputs[0]
        views = []
        while key.kind == "View":
            views.append((key.name, key.attr("spec"), key.shape))
            key = key.inputs[0]
        return Input("", key, tuple(reversed(views)), (False,), ((0,),))


def _fills(key: Expr) -> tuple[int, ...]:
    found = []
    while key.kind in ("Filter", "Gather"):
        if key.attr("fill") is not None:
            found.append(int(key.attr("fill")))
        key = key.inputs[0]
    return tuple(found)


def spans_of(
    arrays: Sequence[np.ndarray], fills: Sequence[tuple[int, ...]], exact: bool
) -> tuple[list[int], list[int]]:
    """Return the least key and the span of each array of keys, from a sample with room around it, or exactly."""
    lows, spans = [], []
    for array, others in zip(arrays, fills, strict=True):
        if not exact and len(array) > 8192:
            array = array[:: len(array) // 4096]
            room = 16
        else:
            room = 0
        low, high = (int(array.min()), int(array.max())) if len(array) else (0, 0)
        # what stands for nothing is seldom met, and so costs a second run where it is far away
        near = [each for each in others if exact or low - 16 <= each <= high + 16]
        low, high = min([low, *near]), max([high, *near])
        room = max(room, (high - low) // 8) if room else 0
        lows.append(max(low - room, -(1 << 63)))  # NaT, of which there may be nothing else, is the least there is
        spans.append(high + room - lows[-1] + 1)
    return lows, spans


def finish(
    found: GroupLowered, outs: dict[str, np.ndarray], lows: Sequence[int], spans: Sequence[int]
) -> tuple[np.ndarray, ...]:
    """Return the keys and aggregates of the groups that are there, in order."""
    rows = outs["rows"]
    present = np.flatnonzero(rows)
    if not found.sort:
        present = present[np.argsort(outs["first_1"][present], kind="stable")]
    results: list[np.ndarray] = []
    rest = present
    digits: list[np.ndarray] = []
    for span in reversed(spans):
        digits.append(rest % span)
        rest = rest // span
    for digit, low, dtype in zip(reversed(digits), lows, found.dtypes, strict=True):
        results.append((digit + low).astype(dtype))
    for each in found.aggregates:
        parts = [outs[name][present] for name in each.buffers]
        results.append(aggregates.value(each.op, np.dtype(each.dtype or "int64"), parts, found.ddof))
    return tuple(results)
