"""Values of nodes inside the loops of a kernel: loaded, computed, or taken from what is kept for a row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from workbench.fusion.expr import Expr
from workbench.fusion.loop import Affine, Buffer, Builder, Merge, Store
from workbench.fusion.lower.bindings import Input, seen
from workbench.fusion.lower.space import Source, Space
from workbench.fusion.ops import loop_dtypes
from workbench.fusion.plan.inline import promotes
from workbench.fusion.plan.kernels import Group, Partition, Root

__all__ = ["Values", "names_of", "reduction"]


class Values(Space):
    """Computes nodes in registers."""

    def __init__(self, group: Group, parts: Partition, strides: Callable[[Expr], Any], exact: bool) -> None:
        super().__init__(group, parts, strides, exact)
        self.after: list[tuple[Root, Any]] = []  # finished once the outermost loop is
        self.results: dict[Any, Any] = {}  # of reductions: key -> where the value is
        self.appends: dict[int | None, tuple[list[str], list[str], list[int]]] = {}
        self.tiles: dict[int, str] = {}  # id of a node -> where a row of it is kept
        self.written: set[str | None] = set()
        self.row_index_inside: tuple[Affine, ...] = ()

    def store(self, root: Root) -> None:
        axes = self.axes_of(root)
        value = self.value(root.node, axes, root)
        if id(root.node) in self.parts.virtual:
            pred = self.guard(root.node, axes, root)
            name = self.output(root.node, (), appended=True)
            self.buffers[name] = Buffer(name, root.node.dtype.name, ("?",), "out")
            names, dtypes, values = self.appends.setdefault(pred, ([], [], []))
            names.append(name)
            dtypes.append(root.node.dtype.name)
            values.append(value)
            return
        index = self.index(axes)
        by_name = {dim.name: dim.size for dim in self.dims}
        name = self.output(root.node, tuple([by_name[each] for each in names_of(index)]))
        self.emit(Store(name, index, value))

    def value(self, node: Expr, along: tuple[int, ...], root: Root) -> int:
        """Return the value of a node where its axes go along those of the space; without recursion into depth."""
        along = self.fitting(node, along)
        stack: list[tuple[Expr, tuple[int, ...], bool]] = [(node, along, False)]
        while stack:
            each, axes, ready = stack.pop()
            key = ("node", id(each), axes)
            if self.find(key) is not None:
                continue
            kept = len(self.blocks) > 1 and self.tiles.get(id(each)) in self.written
            if not ready and not kept and self.inside(each, root):
                stack.append((each, axes, True))
                for below in each.inputs[1:] if each.kind == "Gather" else each.inputs:
                    if below.kind == "Const" and each.kind in ("Map", "Select", "Cast"):
                        continue  # made with the dtype that it is wanted in
                    stack.append((below, self.fitting(below, axes), False))
                continue
            # what is the same for a whole row is computed before the loop over it
            self.outside = len(self.blocks) > 1 and all(axis < self.rows for axis in axes)
            tile = self.tiles.get(id(each)) if len(self.blocks) > 1 else None
            if tile is not None and tile in self.written:
                found = self.add("load", (), each.dtype.name, name=tile, index=self.row_index_inside)
            else:
                found = self.compute(each, axes, root)
            if tile is not None and tile not in self.written:
                self.emit(Store(tile, self.row_index_inside, found))
                self.written.add(tile)
            self.blocks[0 if self.outside else -1].known[key] = found
            self.outside = False
        result = self.find(("node", id(node), along))
        assert result is not None
        return result

    def compute(self, node: Expr, axes: tuple[int, ...], root: Root) -> int:
        if node.kind == "Const":
            return self.const(node.data, node.dtype)
        if not self.inside(node, root):
            return self.load(node, axes)
        known = [self.find(("node", id(x), self.fitting(x, axes))) for x in node.inputs]
        if node.kind in ("Filter", "Broadcast"):
            assert known[0] is not None
            return known[0]
        if node.kind == "Rows":
            return self.add("index", (), "int64", name=self.place[axes[0]]) if axes[0] >= 0 else self.const(0, np.int64)
        if node.kind == "Cast":
            return self.cast(node.inputs[0], known[0], node.dtype)
        if node.kind == "Gather":
            return self.gathered(node, axes, known[1])
        name = "where" if node.kind == "Select" else node.name
        dtypes = loop_dtypes(name, tuple([promotes(x) for x in node.inputs]))
        args = tuple([self.cast(x, v, d) for x, v, d in zip(node.inputs, known, dtypes, strict=False)])
        if node.kind == "Select":
            return self.add("select", args, node.dtype.name)
        if node.name == "clip":
            return self.add("minimum", (self.add("maximum", args[:2], dtypes[0].name), args[2]), dtypes[0].name)
        if node.name == "positive":
            return args[0]
        return self.add(node.name, args, dtypes[-1].name)

    def cast(self, x: Expr, value: int | None, dtype: Any) -> int:
        if x.kind == "Const":
            return self.const(x.data, dtype)
        assert value is not None
        if x.dtype == dtype:
            return value
        return self.add("cast", (value,), np.dtype(dtype).name)

    def load(self, node: Expr, axes: tuple[int, ...]) -> int:
        if node.kind == "Reduce" and self.parts.where.get(id(node)) is self.group:
            return self.result(node)
        source, index = self.input_of(self.sources[(id(node), axes)])
        return self.add("load", (), node.dtype.name, name=source.buffer, index=index)

    def result(self, node: Expr) -> int:
        """Return the value of a reduction of an earlier stage."""
        key = reduction(node)
        direct = self.results.get((*key, "value"))
        if direct is not None:
            return direct
        kind, what = self.results[key]
        if kind == "buffer":
            return self.add("load", (), node.dtype.name, name=what, index=())
        return what

    def gathered(self, node: Expr, axes: tuple[int, ...], index: int | None) -> int:
        assert index is not None
        x = node.inputs[0]
        at = self.cast(node.inputs[1], index, np.int64)
        base, views = x, []
        while base.kind == "View":
            views.append((base.name, base.attr("spec"), base.shape))
            base = base.inputs[0]
        key = ("gather", id(x))
        source = self.sources.get(key)
        if source is None:
            array = self.strides(base)
            for how, spec, shape in reversed(views):
                array = seen(array, how, spec, shape)
            number, size = f"a{len(self.inputs)}", f"g{len(self.sizes)}"
            self.sizes[size] = (x.shape[0],)
            unit = array.strides[0] == array.dtype.itemsize
            self.buffers[number] = Buffer(number, array.dtype.name, (size,), "in", unit)
            made = Input(number, base, tuple(reversed(views)), (False,), ((0,),))
            self.inputs.append(made)
            source = self.sources[key] = Source(base, made.views, (), {}, made, (Affine(((size, 0),)),))
        assert source.input is not None
        if node.attr("inside"):
            return self.add("load", (), node.dtype.name, name=source.input.buffer, index=(at,))
        size = str(self.buffers[source.input.buffer].shape[0])
        length = self.add("size", (), "int64", name=size)
        zero = self.const(0, np.int64)
        negative = self.add("less", (at, zero), "bool")
        high = self.add("greater_equal", (at, length), "bool")
        fill = node.attr("fill")
        if fill is not None:
            # a negative position is one that is not there
            self.flag(node, high, axes)
            nowhere = self.add("logical_or", (negative, high), "bool")
            safe = self.add("select", (nowhere, zero, at), "int64")
            value = self.add("load", (), node.dtype.name, name=source.input.buffer, index=(safe,))
            return self.add("select", (negative, self.const(fill, node.dtype), value), node.dtype.name)
        wrapped = self.add("select", (negative, self.add("add", (at, length), "int64"), at), "int64")
        low = self.add("less", (wrapped, zero), "bool")
        outside = self.add("logical_or", (low, high), "bool")
        self.flag(node, outside, axes)
        safe = self.add("select", (outside, zero, wrapped), "int64")
        return self.add("load", (), node.dtype.name, name=source.input.buffer, index=(safe,))

    def flag(self, node: Expr, wrong: int, axes: tuple[int, ...]) -> None:
        """Remember whether anything was wrong: raised once the kernel is through."""
        self.builders += 1
        self.outer_builders.append(Builder(self.builders, "merge", ("or",), ("bool",)))
        self.emit(Merge(self.builders, (wrong,), (), self.guard(node, axes, self.group.roots[0])))
        self.after.append((Root(node, "flag", ()), self.builders))

    def guard(self, node: Expr, axes: tuple[int, ...], root: Root) -> int | None:
        """Return the value that tells whether a row is there: all masks of the filters above it."""
        found: list[int] = []
        seen: set[int] = set()
        stack = [node] if self.inside(node, root) else []
        while stack:
            each = stack.pop()
            if (
                id(each) in seen
                or id(each) not in self.parts.virtual
                or (each is not node and not self.parts.inline(each))
            ):
                continue
            seen.add(id(each))
            if each.kind == "Filter":
                mask = self.value(each.inputs[1], axes, root)
                if mask not in found:
                    found.append(mask)
            stack.extend(each.inputs[1:] if each.kind == "Gather" else each.inputs)
        if not found:
            return None
        pred = found[0]
        for other in found[1:]:
            pred = self.add("logical_and", (pred, other), "bool")
        return pred


def reduction(node: Expr) -> tuple[Any, ...]:
    """Return what makes two reductions one, whether or not they keep the axes."""
    return ("reduce", node.kind, node.name, id(node.inputs[0]), node.attr("axes"), node.attr("ddof"), node.dtype)


def names_of(index: tuple[Affine, ...]) -> list[str]:
    """Return the dimensions that an index goes along."""
    return [each.terms[0][0] for each in index]
