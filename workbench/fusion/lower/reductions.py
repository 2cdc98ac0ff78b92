"""Reductions inside the loops of a kernel: what is merged, and the value of what was merged."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from workbench.fusion.expr import Expr, Size
from workbench.fusion.loop import Affine, Buffer, Builder, Dim, For, Merge, Store
from workbench.fusion.lower.values import Values, names_of
from workbench.fusion.lower.writer import Block
from workbench.fusion.ops import REDUCERS, SCANS
from workbench.fusion.plan.kernels import Group, Partition, Root

__all__ = ["Reductions"]


class Reductions(Values):
    """Merges into builders."""

    def __init__(self, group: Group, parts: Partition, strides: Callable[[Expr], Any], exact: bool) -> None:
        super().__init__(group, parts, strides, exact)
        self.later: list[tuple[Root, list[str], str]] = []  # columns that need one more step

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
            count = self.add("result", (), "float64", builder=made, part=0)
            return self.variance(node, count, self.add("result", (), "float64", builder=made, part=2))
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
            one = self.length(by_name[each])
            total = one if total is None else self.add("multiply", (total, one), "int64")
        return self.const(1, "int64") if total is None else total

    def variance(self, node: Expr, count: int, spread: int) -> int:
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
        key = self.column(kept)
        total = f"m{len(self.sizes)}"
        self.sizes[total] = tuple([self.space[axis] for axis in kept])
        parts = how.builder in ("moments", "argmin", "argmax")
        counted = node.name in ("nanmean", "nanmin", "nanmax") and pred is not None
        if not (parts or counted or node.name in ("mean", "nanmean") or dtype != node.dtype.name):
            self.keyed(how.builder, dtype, [self.output(node, (total,))], total, value, key, pred)
            return
        dtypes = ["float64"] * 3 if how.builder == "moments" else [dtype, "int64"] if parts else [dtype]
        names = [self.temporary(each, total) for each in dtypes]
        self.keyed(how.builder, dtype, names, total, value, key, pred)
        if counted:
            names.append(self.temporary("int64", total))
            self.keyed("+", "int64", names[-1:], total, self.const(1, np.int64), key, pred)
        self.later.append((root, names, total))

    def column(self, kept: list[int]) -> int:
        """Return the row-major position in the axes that are kept."""
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
            key = self.add("add", (self.add("multiply", (key, self.length(by_name[name])), "int64"), at), "int64")
        return key

    def length(self, size: Any) -> int:
        """Return a loop dimension's length as a value."""
        return self.const(size, "int64") if isinstance(size, int) else self.add("size", (), "int64", name=size)

    def temporary(self, dtype: str, size: str) -> str:
        """Return a buffer that only later loops of this kernel read."""
        name = f"t{len(self.buffers)}"
        self.buffers[name] = Buffer(name, dtype, (size,), "temp")
        return name

    def keyed(
        self, op: str, dtype: str, names: list[str], size: str, value: int, key: int, pred: int | None = None
    ) -> None:
        """Emit a merge by key into buffers."""
        self.builders += 1
        self.outer_builders.append(Builder(self.builders, "vecmerge", (op,), (dtype,), tuple(names), size))
        self.emit(Merge(self.builders, (value,), (key,), pred))

    def finish_columns(self) -> list[For]:
        """Return the loops that turn what was merged of columns into the values of reductions."""
        loops: list[For] = []
        for root, names, total in self.later:
            node = root.node
            self.blocks = [Block()]
            dim = Dim(f"j{len(loops)}", total)
            index = (Affine(((dim.name, 1),)),)
            parts = [self.add("load", (), self.buffers[each].dtype, name=each, index=index) for each in names]
            self.emit(Store(self.output(node, (total,)), index, self.finished_column(node, parts, names)))
            loops.append(For((dim,), tuple(self.blocks.pop().body)))
        self.later = []
        return loops

    def finished_column(self, node: Expr, parts: list[int], names: list[str]) -> int:
        """Return the value of a reduction, of what was merged of its column."""
        if len(parts) == 3:
            return self.variance(node, parts[0], parts[2])
        if node.name in ("argmin", "argmax"):
            return self.along(node, parts[1])
        value, dtype = parts[0], self.buffers[names[0]].dtype
        if node.name in ("mean", "nanmean"):
            count = parts[1] if len(parts) > 1 else self.counted(node, None)
            value = self.add("divide", (value, self.add("cast", (count,), "float64")), "float64")
        elif len(parts) > 1:
            none = self.add("equal", (parts[1], self.const(0, "int64")), "bool")
            value = self.add("select", (none, self.const(float("nan"), dtype), value), dtype)
        return self.to(value, np.dtype(dtype), node.dtype.name)

    def along(self, node: Expr, place: int) -> int:
        """Return the position along the reduced axis, of the row-major one in all dimensions of the loop."""
        (axis,) = node.attr("axes")
        if self.space[axis] == 1:
            return self.const(0, "int64")
        at = next(k for k, dim in enumerate(self.dims) if dim.name == self.place[axis])
        for dim in self.dims[at + 1 :]:
            place = self.add("floor_divide", (place, self.length(dim.size)), "int64")
        return self.add("remainder", (place, self.length(self.dims[at].size)), "int64") if at else place

    def scattered(self, root: Root) -> None:
        """Emit a sum at places; one outside is left out, or told."""
        node = root.node
        _, index, x = node.inputs
        axes = self.axes_of(root)
        key = self.cast(index, self.value(index, axes, root), np.int64)
        value = self.cast(x, self.value(x, axes, root), node.dtype)
        total = f"m{len(self.sizes)}"
        self.sizes[total] = node.shape
        low = self.add("greater_equal", (key, self.const(0, "int64")), "bool")
        there = self.add("logical_and", (low, self.add("less", (key, self.length(total)), "bool")), "bool")
        if not node.attr("drop"):
            self.flag(node, self.add("logical_not", (there,), "bool"), axes)
        self.keyed("+", node.dtype.name, [self.output(node, (total,))], total, value, key, there)

    def running(self, root: Root) -> None:
        """Emit running values; what uses them in the same loop takes them as they are."""
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
        made = self.builder(self.inner_builders if root.rows else self.outer_builders, op, dtype)
        found = self.add("scan", (fed,), dtype, builder=made)
        if skips:
            found = self.add("select", (missing, self.const(float("nan"), dtype), found), dtype)
        self.blocks[-1].known["node", id(node), axes] = found
        if id(node) not in self.parts.needed:
            return
        index = self.index(axes)
        by_name = {dim.name: dim.size for dim in self.dims}
        self.emit(Store(self.output(node, tuple([by_name[each] for each in names_of(index)])), index, found))


def _identity(op: str) -> float:
    return {"+": 0.0, "*": 1.0, "min": math.inf, "max": -math.inf}[op]
