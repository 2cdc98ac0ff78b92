"""Reductions inside the loops of a kernel: what is merged, and the value of what was merged."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from workbench.fusion.expr import Expr, Size
from workbench.fusion.loop import Affine, Buffer, Builder, Dim, For, Merge, Store
from workbench.fusion.lower.values import Values
from workbench.fusion.lower.writer import Block
from workbench.fusion.ops import REDUCERS, SCANS
from workbench.fusion.plan.partition import Group, Partition, Root

__all__ = ["Reductions"]


class Reductions(Values):
    """Merges into builders."""

    def __init__(self, group: Group, parts: Partition, strides: Callable[[Expr], Any], exact: bool) -> None:
        super().__init__(group, parts, strides, exact)
        self.later: list[tuple[Root, str, str]] = []  # columns that need one more step

    def merge(self, root: Root) -> Any:
        """Emit the merge of a reduction; return its builder, and that of its count where there is one."""
        node = root.node
        x, how = node.inputs[0], REDUCERS[node.name]
        axes = self.axes_of(root)
        value = self.value(x, axes, root)
        rows = pred = self.guard(x, axes, root)
        target = self.inner_builders if root.rows else self.outer_builders
        value, dtype, pred = self.prepared(node, x, value, pred)
        made = self.builder(target, how.builder, dtype)
        self.emit(Merge(made, (value,), (), pred))
        counted = every = None
        if node.name in ("mean", "nanmean", "min", "max", "nanmin", "nanmax") and pred is not None:
            counted = self.builder(target, "+", "int64")
            self.emit(Merge(counted, (self.const(1, np.int64),), (), pred))
        if rows is not None and node.name in ("nanmin", "nanmax") and rows != pred:
            every = self.builder(target, "+", "int64")
            self.emit(Merge(every, (self.const(1, np.int64),), (), rows))
        return made, counted, dtype, every

    def prepared(self, node: Expr, x: Expr, value: int, pred: int | None) -> tuple[int, str, int | None]:
        """Return what is merged, the accumulator's dtype, and where."""
        name, how = node.name, REDUCERS[node.name]
        if how.skips and x.dtype.kind == "f":
            there = self.add("logical_not", (self.add("isnan", (value,), "bool"),), "bool")
            pred = there if pred is None else self.add("logical_and", (pred, there), "bool")
        if name in ("any", "all"):
            return self.to(value, x.dtype, "bool"), "bool", pred
        if name == "count_nonzero":
            return self.to(self.to(value, x.dtype, "bool"), np.dtype(bool), "int64"), "int64", pred
        if name == "count":
            return self.const(1, np.int64), "int64", pred
        if how.builder in ("+", "*", "moments"):
            dtype = node.dtype if how.builder != "moments" else np.dtype(np.float64)
            if dtype.kind == "f":
                dtype = np.dtype(np.float64)
            return self.to(value, x.dtype, dtype.name), dtype.name, pred
        return value, x.dtype.name, pred

    def finish(self, node: Expr, merged: Any) -> int:
        """Return the value of a reduction, of what its loop merged."""
        made, counted, dtype, every = merged
        name, how = node.name, REDUCERS[node.name]
        if how.builder == "moments":
            return self.variance(node, made)
        if how.builder in ("argmin", "argmax"):
            place = self.add("result", (), "int64", builder=made, part=1)
            if isinstance(node.inputs[0].shape[0], Size):
                self.error(self.add("less", (place, self.const(0, "int64")), "bool"), f"{name} of nothing")
            return place
        if how.builder in ("first", "last"):
            return self.chosen(node, made, dtype)
        value = self.add("result", (), dtype, builder=made)
        if name in ("mean", "nanmean"):
            total = self.counted(node, counted)
            value = self.add("divide", (value, self.add("cast", (total,), "float64")), "float64")
        elif counted is not None:
            none = self.none(counted)
            if name in ("min", "max"):
                self.error(none, f"{name} of nothing")
            elif every is not None:
                self.error(self.none(every), f"{name} of nothing")
            if node.dtype.kind == "f":
                value = self.add("select", (none, self.const(float("nan"), dtype), value), dtype)
        return self.to(value, np.dtype(dtype), node.dtype.name)

    def none(self, counted: int) -> int:
        """Return whether a count is 0."""
        return self.add("equal", (self.add("result", (), "int64", builder=counted), self.const(0, "int64")), "bool")

    def counted(self, node: Expr, counted: int | None) -> int:
        """Return how many elements a mean is of."""
        if counted is not None:
            return self.add("result", (), "int64", builder=counted)
        axes = node.attr("axes")
        names: list[str] = []
        for axis in axes:
            if self.space[axis] != 1 and self.place[axis] not in names:
                names.append(self.place[axis])
        by_name = {dim.name: dim.size for dim in self.dims}
        total: int | None = None
        for each in names:
            size = by_name[each]
            one = self.const(size, "int64") if isinstance(size, int) else self.add("size", (), "int64", name=size)
            total = one if total is None else self.add("multiply", (total, one), "int64")
        return self.const(1, "int64") if total is None else total

    def variance(self, node: Expr, made: int) -> int:
        count = self.add("result", (), "float64", builder=made, part=0)
        spread = self.add("result", (), "float64", builder=made, part=2)
        zero, nan = self.const(0.0, "float64"), self.const(float("nan"), "float64")
        free = self.add("subtract", (count, self.const(float(node.attr("ddof")), "float64")), "float64")
        none = self.add("less_equal", (free, zero), "bool")
        if node.name.startswith("nan"):
            value = self.add("select", (none, nan, self.add("divide", (spread, free), "float64")), "float64")
        else:
            # NumPy divides by zero where no degree of freedom is left
            value = self.add("divide", (spread, self.add("maximum", (free, zero), "float64")), "float64")
        if node.name.endswith("std"):
            value = self.add("sqrt", (value,), "float64")
        return self.to(value, np.dtype(np.float64), node.dtype.name)

    def chosen(self, node: Expr, made: int, dtype: str) -> int:
        value = self.add("result", (), dtype, builder=made, part=0)
        if node.dtype.kind != "f":
            return value
        place = self.add("result", (), "int64", builder=made, part=1)
        none = self.add("less", (place, self.const(0, "int64")), "bool")
        return self.add("select", (none, self.const(float("nan"), dtype), value), dtype)

    def columns(self, root: Root) -> None:
        """Emit the merge of a reduction over axes that are not the last ones: one accumulator for each column."""
        node = root.node
        x, how = node.inputs[0], REDUCERS[node.name]
        axes = self.axes_of(root)
        value, dtype, pred = self.prepared(node, x, self.value(x, axes, root), self.guard(x, axes, root))
        kept = [axis for axis in range(len(self.space)) if axis not in node.attr("axes") and self.space[axis] != 1]
        names: list[str] = []
        for axis in kept:
            if self.place[axis] not in names:
                names.append(self.place[axis])
        by_name = {dim.name: dim.size for dim in self.dims}
        key = self.const(0, "int64")
        for k, name in enumerate(names):
            at = self.add("index", (), "int64", name=name)
            if k == 0:
                key = at
                continue
            size = by_name[name]
            step = self.const(size, "int64") if isinstance(size, int) else self.add("size", (), "int64", name=size)
            key = self.add("add", (self.add("multiply", (key, step), "int64"), at), "int64")
        total = f"m{len(self.sizes)}"
        self.sizes[total] = tuple([self.space[axis] for axis in kept])
        if node.name in ("mean", "nanmean") or dtype != node.dtype.name:
            out = f"t{len(self.buffers)}"
            self.buffers[out] = Buffer(out, dtype, (total,), "temp")
            self.later.append((root, out, total))
        else:
            out = self.output(node, (total,))
        self.builders += 1
        self.outer_builders.append(Builder(self.builders, "vecmerge", (how.builder,), (dtype,), (out,), total))
        self.emit(Merge(self.builders, (value,), (key,), pred))

    def finish_columns(self) -> list[For]:
        """Return the loops that turn sums of columns into their means, or into a narrower dtype."""
        loops: list[For] = []
        for root, temp, total in self.later:
            node, dtype = root.node, self.buffers[temp].dtype
            self.blocks = [Block()]
            index = (Affine(((f"j{len(loops)}", 1),)),)
            value = self.add("load", (), dtype, name=temp, index=index)
            if node.name in ("mean", "nanmean"):
                count = self.add("cast", (self.counted(node, None),), "float64")
                value = self.add("divide", (value, count), "float64")
            value = self.to(value, np.dtype(dtype), node.dtype.name)
            self.emit(Store(self.output(node, (total,)), index, value))
            loops.append(For((Dim(f"j{len(loops)}", total),), tuple(self.blocks.pop().body)))
        self.later = []
        return loops

    def running(self, root: Root) -> None:
        node = root.node
        x = node.inputs[0]
        axes = self.axes_of(root)
        value = self.to(self.value(x, axes, root), x.dtype, node.dtype.name)
        op = SCANS[node.name]
        skips = node.name.startswith("nan") and x.dtype.kind == "f"
        dtype = node.dtype.name
        fed = value
        missing = 0
        if skips:
            missing = self.add("isnan", (value,), "bool")
            fed = self.add("select", (missing, self.const(_identity(op), dtype), value), dtype)
        self.builders += 1
        self.outer_builders.append(Builder(self.builders, "merge", (op,), (dtype,)))
        found = self.add("scan", (fed,), dtype, builder=self.builders)
        if skips:
            found = self.add("select", (missing, self.const(float("nan"), dtype), found), dtype)
        index = self.index(axes)
        name = self.output(node, tuple([dim.size for dim in self.dims]))
        self.emit(Store(name, index, found))


def _identity(op: str) -> float:
    return {"+": 0.0, "*": 1.0, "min": math.inf, "max": -math.inf}[op]
