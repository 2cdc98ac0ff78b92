"""From the roots of one kernel to a program of loops, and how its buffers are bound when it runs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from workbench.fusion.eager import view_of
from workbench.fusion.expr import Expr, Size
from workbench.fusion.loop import Affine, Buffer, Builder, Dim, For, Instr, Merge, Program, Statement, Store, verify
from workbench.fusion.ops import REDUCERS, SCANS, loop_dtypes
from workbench.fusion.passes.cost import costs
from workbench.fusion.plan.partition import Group, Partition, Root, promotes

__all__ = ["Input", "Lowered", "Lowering", "Output", "like", "lower"]


@dataclass(frozen=True)
class Input:
    """How an input buffer is made of a slot's value.

    Attributes
    ----------
    buffer : str
    node : Expr
        The leaf or cut whose value it is.
    views : tuple of (how, spec, shape)
        Applied to the value one after another.
    drop : tuple of bool
        Axes along which nothing moves: their first element stands for all.
    merge : tuple of tuple of int
        Which of the axes left are walked as one.
    """

    buffer: str
    node: Expr
    views: tuple[tuple[str, Any, Any], ...]
    drop: tuple[bool, ...]
    merge: tuple[tuple[int, ...], ...]

    def bind(self, value: Any, length: Callable[[Any], int]) -> np.ndarray:
        """Return the array for the buffer."""
        array = np.asarray(value)
        for how, spec, shape in self.views:
            array = view_of(array, how, tuple([length(d) for d in shape]) if how == "reshape" else spec)
        if any(self.drop):
            if 0 in array.shape:
                kept = [size for size, drop in zip(array.shape, self.drop, strict=True) if not drop]
                return np.zeros([math.prod([kept[axis] for axis in each]) for each in self.merge], array.dtype)
            array = array[tuple([0 if drop else slice(None) for drop in self.drop])]
        if any(len(each) > 1 for each in self.merge):
            array = array.reshape([math.prod([array.shape[axis] for axis in each]) for each in self.merge])
        return array


@dataclass(frozen=True)
class Output:
    """Which node's value an output buffer holds; its shape is the node's, or for an append as long as it came out.

    Attributes
    ----------
    buffer : str
    node : Expr
    appended : bool
    """

    buffer: str
    node: Expr
    appended: bool = False


@dataclass
class Lowered:
    """A program with its bindings.

    Attributes
    ----------
    program : Program
    inputs : list of Input
    outputs : list of Output
    sizes : dict of str to tuple
        Symbol -> the lengths that it is the product of.
    errors : list of (str, str)
        Output of one bool -> what is wrong if it is true.
    scheme : str
        local, regional or global.
    """

    program: Program
    inputs: list[Input]
    outputs: list[Output]
    sizes: dict[str, tuple[Any, ...]]
    errors: list[tuple[str, str]]
    scheme: str


def lower(group: Group, parts: Partition, strides: Callable[[Expr], Any], name: str, exact: bool = False) -> Lowered:
    """Return the program of a kernel.

    Parameters
    ----------
    group : Group
    parts : Partition
    strides : callable
        Gives for a leaf or cut an array of its dtype, shape and strides, whose memory is not looked at.
    name : str
    exact : bool
    """
    return Lowering(group, parts, strides, exact).run(name)


@dataclass
class _Source:
    """Memory seen along the dimensions of the kernel's space: for each its stride in bytes, None where it is not."""

    node: Expr
    views: tuple[tuple[str, Any, Any], ...]
    along: tuple[int, ...]
    stride: dict[int, int]
    input: Input | None = None
    index: tuple[Affine, ...] = ()


@dataclass
class _Block:
    """A list of statements under construction, with the values known there."""

    body: list[Statement] = field(default_factory=list)
    known: dict[Any, int] = field(default_factory=dict)


class Lowering:
    """Writes the program of one kernel."""

    def __init__(self, group: Group, parts: Partition, strides: Callable[[Expr], Any], exact: bool) -> None:
        self.group, self.parts, self.strides, self.exact = group, parts, strides, exact
        self.space = group.space
        self.rows = group.rows or 0
        self.buffers: dict[str, Buffer] = {}
        self.inputs: list[Input] = []
        self.outputs: list[Output] = []
        self.errors: list[tuple[str, str]] = []
        self.sizes: dict[str, tuple[Any, ...]] = {}
        self.sources: dict[Any, _Source] = {}
        self.blocks: list[_Block] = []
        self.count = 0
        self.builders = 0
        self.dims: list[Dim] = []
        #: space axis -> (loop dimension, its multiplier once merged)
        self.place: dict[int, str] = {}
        self.outer_builders: list[Builder] = []
        self.inner_builders: list[Builder] = []
        self.after: list[tuple[Root, Any]] = []  # finished once the outermost loop is
        self.results: dict[Any, Any] = {}  # of reductions: key -> where the value is
        self.outside = False  # whether instructions go before the loop over a row
        self.appends: dict[int | None, tuple[list[str], list[str], list[int]]] = {}
        self.tiles: dict[int, str] = {}  # id of a node -> where a row of it is kept
        self.written: set[str | None] = set()
        self.row_index_inside: tuple[Affine, ...] = ()
        self.later: list[tuple[Root, str, str]] = []  # columns that need one more step

    def begin(self) -> None:
        """Open the body of the outermost loop."""
        self.blocks = [_Block()]

    def body(self) -> tuple[Statement, ...]:
        """Close the body of the outermost loop."""
        return tuple(self.blocks.pop().body)

    def reducing(self) -> list[Dim]:
        """Return the dimensions of a loop that stores nothing."""
        return [Dim(dim.name, dim.size, "reduce") for dim in self.dims]

    def told(self, flag: int) -> list[For]:
        """Return what tells whether any row merged true into a builder, in the output `e0`."""
        self.begin()
        self.error(self.add("result", (), "bool", builder=flag), "range")
        return [For((), self.body())]

    def run(self, name: str) -> Lowered:
        self.scan_sources()
        self.collapse()
        loops = self.nested() if self.rows else self.phases()
        program = Program(name, tuple(self.sizes), tuple(self.buffers.values()), tuple(loops), self.exact)
        wide = len([loop for loop in loops if loop.dims]) > 1
        scheme = "global" if wide else "regional" if self.rows else "local"
        return Lowered(verify(program), self.inputs, self.outputs, self.sizes, self.errors, scheme)

    # what is loaded, and which dimensions can be walked as one

    def scan_sources(self) -> None:
        for root in self.group.roots:
            axes = self.axes_of(root)
            start = [root.node] if root.kind == "store" else list(root.node.inputs)
            seen: set[Any] = set()
            stack = [(each, axes) for each in start]
            while stack:
                node, along = stack.pop()
                along = self.fitting(node, along)
                if (id(node), along) in seen or node.kind == "Const":
                    continue
                seen.add((id(node), along))
                if self.inside(node, root):
                    inputs = node.inputs[1:] if node.kind == "Gather" else node.inputs
                    stack.extend((each, along) for each in inputs)
                elif id(node) not in self.parts.where or self.parts.where[id(node)] is not self.group:
                    self.source(node, along)

    def inside(self, node: Expr, root: Root) -> bool:
        """Whether a node is computed in the loop of a root; not if an earlier kernel has stored it."""
        if node is root.node and root.kind == "store":
            return True
        home = self.parts.where.get(id(node))
        stored = home is not None and home.level < self.group.level and id(node) not in self.parts.virtual
        return self.parts.inline(node) and not stored

    def axes_of(self, root: Root) -> tuple[int, ...]:
        """Return the axes of the space that the axes of a root's values go along, -1 for those of length 1."""
        if root.space == self.space:
            return tuple([-1 if d == 1 else k for k, d in enumerate(self.space)])
        return tuple([k if k < self.rows and d != 1 else -1 for k, d in enumerate(root.space)])

    def fitting(self, node: Expr, along: tuple[int, ...]) -> tuple[int, ...]:
        """Return the axes of the space for the axes of a node, which go along the last of `along`."""
        shape = self.parts.space(node) if self.parts.inline(node) else node.shape
        last = along[len(along) - len(shape) :]
        return tuple([-1 if d == 1 else axis for d, axis in zip(shape, last, strict=True)])

    def source(self, node: Expr, along: tuple[int, ...]) -> _Source:
        key = (id(node), along)
        if key not in self.sources:
            views = []
            base = node
            while base.kind == "View":
                views.append((base.name, base.attr("spec"), base.shape))
                base = base.inputs[0]
            views.reverse()
            array = self.strides(base)
            for how, spec, shape in views:
                array = seen(array, how, spec, shape)
            stride = {axis: array.strides[k] for k, axis in enumerate(along) if axis >= 0 and array.strides[k] != 0}
            self.sources[key] = _Source(base, tuple(views), along, stride)
        return self.sources[key]

    def collapse(self) -> None:
        """Name the loop dimensions: neighbours become one where every access allows it."""
        real = [axis for axis, d in enumerate(self.space) if d != 1]
        apart = {self.rows} | self.boundaries()
        runs: list[list[int]] = []
        for axis in real:
            if (
                runs
                and axis not in apart
                and not self.between(runs[-1][-1], axis, apart)
                and self.joined(runs[-1][-1], axis)
            ):
                runs[-1].append(axis)
            else:
                runs.append([axis])
        for run in runs:
            number = len(self.dims)
            lengths = tuple([self.space[axis] for axis in run])
            small = len(run) == 1 and isinstance(lengths[0], int) and lengths[0] <= 16 and number > 0
            size: Any = lengths[0] if small else f"n{number}"
            if not small:
                self.sizes[f"n{number}"] = lengths
            self.dims.append(Dim(f"i{number}", size))
            for axis in run:
                self.place[axis] = f"i{number}"
        self.runs = runs

    def boundaries(self) -> set[int]:
        found: set[int] = set()
        for root in self.group.roots:
            if root.kind == "columns":
                axes = root.node.attr("axes")
                found |= {k for k in range(1, len(self.space)) if (k in axes) != (k - 1 in axes)}
        return found

    def between(self, left: int, right: int, apart: set[int]) -> bool:
        return any(left < axis <= right for axis in apart)

    def joined(self, left: int, right: int) -> bool:
        size = _dummy(self.space[right])
        return all(s.stride.get(left, 0) == s.stride.get(right, 0) * size for s in self.sources.values()) and not any(
            root.kind == "scan" for root in self.group.roots
        )

    def input_of(self, source: _Source) -> tuple[Input, tuple[Affine, ...]]:
        """Return the buffer of a source, and its index."""
        if source.input is None:
            kept = [k for k, axis in enumerate(source.along) if axis in source.stride]
            drop = tuple([k not in kept for k in range(len(source.along))])
            merge: list[list[int]] = []
            names: list[str] = []
            for position, k in enumerate(kept):
                place = self.place[source.along[k]]
                if names and names[-1] == place:
                    merge[-1].append(position)
                else:
                    merge.append([position])
                    names.append(place)
            by_name = {dim.name: dim.size for dim in self.dims}
            number = f"a{len(self.inputs)}"
            array = self.strides(source.node)
            last = source.stride[source.along[kept[-1]]] if kept else 0
            unit = not kept or last == array.dtype.itemsize
            shape = tuple([by_name[each] for each in names])
            self.buffers[number] = Buffer(number, array.dtype.name, shape, "in", unit)
            source.input = Input(number, source.node, source.views, drop, tuple(tuple(each) for each in merge))
            source.index = tuple([Affine(((each, 1),)) for each in names])
            self.inputs.append(source.input)
        return source.input, source.index

    # the loops

    def nested(self) -> list[For]:
        """Rows outside; for each stage a loop over the row inside, then what is computed once a row."""
        cut = len([run for run in self.runs if run[0] < self.rows])
        outside, inside = self.dims[:cut], self.dims[cut:]
        self.blocks = [_Block()]
        self.tiles = self.worth_keeping(inside)
        last = max(root.stage for root in self.group.roots)
        for stage in range(last + 1):
            roots = [root for root in self.group.roots if root.stage == stage]
            self.row_stores([root for root in roots if not root.inner])
            inner = [root for root in roots if root.inner]
            if inner:
                self.loop(inner, inside)
        block = self.blocks.pop()
        loops = [For(tuple(outside), tuple(block.body), tuple(self.outer_builders))]
        return loops + self.ending()

    def worth_keeping(self, inside: list[Dim]) -> dict[int, str]:
        """Return, by id, the dear values that more than one loop over a row needs, each with a buffer for a row."""
        stages: dict[int, set[int]] = {}
        nodes: dict[int, Expr] = {}
        for root in self.group.roots:
            if root.inner:
                for node in self.parts.cone(root.node)[0]:
                    stages.setdefault(id(node), set()).add(root.stage)
                    nodes[id(node)] = node
        shared = [node for key, node in nodes.items() if len(stages[key]) > 1 and len(node.shape) == len(self.space)]
        cost = costs(self.parts.order)
        found: dict[int, str] = {}
        for node in shared:
            whole = node.shape[self.rows :] == self.space[self.rows :]
            end = not any(node in other.inputs and stages[id(other)] >= stages[id(node)] for other in shared)
            if whole and end and cost[id(node)] > 0.5 and node.kind not in ("Filter", "Gather"):
                name = f"r{len(found)}"
                self.buffers[name] = Buffer(name, node.dtype.name, tuple([dim.size for dim in inside]), "tile")
                self.row_index_inside = tuple([Affine(((dim.name, 1),)) for dim in inside])
                found[id(node)] = name
        return found

    def row_stores(self, roots: list[Root]) -> None:
        for root in roots:
            made = [self.parts.roots.get(id(each)) for each in self.parts.cone(root.node)[1]]
            if any(each is not None and each in self.group.roots and not each.rows for each in made):
                self.after.append((root, None))  # of what is known once all rows are through
            else:
                self.store(root)

    def phases(self) -> list[For]:
        """One loop over the whole space after another, with what is computed of their results between them."""
        loops: list[For] = []
        last = max(root.stage for root in self.group.roots)
        for stage in range(last + 1):
            roots = [root for root in self.group.roots if root.stage == stage]
            inner = [root for root in roots if root.inner]
            self.after += [(root, None) for root in roots if not root.inner]
            if inner:
                if stage:
                    loops += self.ending()
                self.outer_builders = []
                self.blocks = [_Block()]
                self.bodies(inner)
                block = self.blocks.pop()
                reducing = all(root.kind != "store" for root in inner)
                kind = "scan" if any(root.kind == "scan" for root in inner) else "reduce" if reducing else "parallel"
                dims = tuple([Dim(d.name, d.size, kind) for d in self.dims])
                # a name is free again once its loop is closed
                loops.append(For(dims, tuple(block.body), tuple(self.outer_builders)))
        return loops + self.ending()

    def ending(self) -> list[For]:
        """Return what is computed once, of results of the loops before."""
        columns = self.finish_columns()
        if not self.after:
            return columns
        self.blocks = [_Block()]
        pending, self.after = self.after, []
        for root, merged in sorted(pending, key=lambda each: each[1] is None):
            if root.kind == "flag":
                self.error(self.add("result", (), "bool", builder=merged), "index")
            elif merged is not None:
                value = self.finish(root.node, merged)
                name = self.output(root.node, ()) if id(root.node) in self.parts.needed else self.kept(root.node)
                self.emit(Store(name, (), value))
                self.results[_reduction(root.node)] = ("buffer", name)
                self.results[(*_reduction(root.node), "value")] = value
            else:
                self.store(root)
        for key in [key for key in self.results if key[-1] == "value"]:
            del self.results[key]
        return [*columns, For((), tuple(self.blocks.pop().body))]

    def error(self, wrong: int, what: str) -> None:
        name = f"e{len(self.errors)}"
        self.buffers[name] = Buffer(name, "bool", (), "out")
        self.errors.append((name, what))
        self.emit(Store(name, (), wrong))

    def loop(self, roots: list[Root], dims: list[Dim]) -> None:
        """Emit a loop over a row, then the values of its reductions."""
        self.inner_builders = []
        self.blocks.append(_Block())
        merged = self.bodies(roots)
        block = self.blocks.pop()
        reducing = all(root.kind != "store" for root in roots)
        inner = tuple([Dim(d.name, d.size, "reduce" if reducing else "parallel") for d in dims])
        self.emit(For(inner, tuple(block.body), tuple(self.inner_builders)))
        for root, found in merged:
            key = _reduction(root.node)
            if key not in self.results:
                self.results[key] = ("value", self.finish(root.node, found))
            if id(root.node) not in self.parts.needed:
                continue
            index = self.row_index(root)
            name = self.output(root.node, tuple([self.size_of(d) for d in self.dims if d.name in _names(index)]))
            self.emit(Store(name, index, self.results[key][1]))

    def row_index(self, root: Root) -> tuple[Affine, ...]:
        axes = [axis for axis in range(self.rows) if self.space[axis] != 1]
        return self.index(axes)

    def bodies(self, roots: list[Root]) -> list[tuple[Root, Any]]:
        """Emit stores and merges of one loop; return the reductions whose values are to be had after it."""
        found: list[tuple[Root, Any]] = []
        done: dict[Any, Any] = {}
        for root in roots:
            if root.kind == "store":
                self.store(root)
            elif root.kind == "columns":
                self.columns(root)
            elif root.kind == "scan":
                self.running(root)
            else:
                key = _reduction(root.node)
                if key not in done:
                    done[key] = self.merge(root)
                if root.rows:
                    found.append((root, done[key]))
                else:
                    self.after.append((root, done[key]))
        for pred, (names, dtypes, values) in self.appends.items():
            self.builders += 1
            self.outer_builders.append(Builder(self.builders, "append", (), tuple(dtypes), tuple(names)))
            self.emit(Merge(self.builders, tuple(values), (), pred))
        self.appends = {}
        return found

    def size_of(self, dim: Dim) -> Any:
        return dim.size

    # statements

    def emit(self, each: Statement) -> None:
        self.blocks[-1].body.append(each)

    def number(self) -> int:
        self.count += 1
        return self.count

    def add(self, op: str, args: tuple[int, ...], dtype: str, **rest: Any) -> int:
        """Emit an instruction, or return the value of an equal one that is known here."""
        key = (op, args, dtype, *[(k, _hashable(v)) for k, v in rest.items()])
        target = self.blocks[0 if self.outside else -1]
        for each in self.blocks:
            if key in each.known:
                return each.known[key]
            if each is target:
                break
        number = self.number()
        target.body.append(Instr(number, op, args, dtype, **rest))
        target.known[key] = number
        return number

    def const(self, value: Any, dtype: Any) -> int:
        kind = np.dtype(dtype)
        plain = np.asarray(value).astype(kind).item()
        return self.add("const", (), kind.name, value=plain)

    def index(self, axes: Any) -> tuple[Affine, ...]:
        names: list[str] = []
        for axis in axes:
            if axis >= 0 and self.place[axis] not in names:
                names.append(self.place[axis])
        return tuple([Affine(((name, 1),)) for name in names])

    def output(self, node: Expr, shape: tuple[Any, ...], appended: bool = False, dtype: Any = None) -> str:
        name = f"o{len(self.outputs)}"
        self.outputs.append(Output(name, node, appended))
        self.buffers[name] = Buffer(name, np.dtype(dtype or node.dtype).name, shape, "out")
        return name

    def kept(self, node: Expr) -> str:
        """Return a buffer for a value that only later loops of this kernel read."""
        name = f"t{len(self.buffers)}"
        self.buffers[name] = Buffer(name, node.dtype.name, (), "temp")
        return name

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
        name = self.output(root.node, tuple([by_name[each] for each in _names(index)]))
        self.emit(Store(name, index, value))

    # values

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

    def find(self, key: Any) -> int | None:
        for block in reversed(self.blocks):
            if key in block.known:
                return block.known[key]
        return None

    def compute(self, node: Expr, axes: tuple[int, ...], root: Root) -> int:
        if node.kind == "Const":
            return self.const(node.data, node.dtype)
        if not self.inside(node, root):
            return self.load(node, axes)
        known = [self.find(("node", id(x), self.fitting(x, axes))) for x in node.inputs]
        if node.kind in ("Filter", "Broadcast"):
            assert known[0] is not None
            return known[0]
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
        key = _reduction(node)
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
            source = self.sources[key] = _Source(base, made.views, (), {}, made, (Affine(((size, 0),)),))
        assert source.input is not None
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

    # reductions

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

    def builder(self, target: list[Builder], op: str, dtype: str) -> int:
        self.builders += 1
        target.append(Builder(self.builders, "merge", (op,), (dtype,)))
        return self.builders

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

    def to(self, value: int, dtype: np.dtype, wanted: str) -> int:
        return value if dtype.name == wanted else self.add("cast", (value,), wanted)

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
            self.blocks = [_Block()]
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


def seen(array: np.ndarray, how: str, spec: Any, shape: Any) -> np.ndarray:
    """Return a view without looking at memory: where NumPy would have to copy, what the copy is like."""
    if how != "reshape":
        return view_of(array, how, spec)
    lengths = tuple([_dummy(d) for d in shape])
    if not array.flags.c_contiguous:
        try:
            return np.reshape(array, lengths, copy=False)
        except ValueError:
            pass
    return like(array.dtype, lengths)


def like(dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """Return an array of this shape in C order that has next to no memory, and is not to be looked at."""
    strides = [dtype.itemsize]
    for size in reversed(shape[1:]):
        strides.append(strides[-1] * max(size, 1))
    return np.lib.stride_tricks.as_strided(np.empty(1, dtype), shape, strides[::-1][: len(shape)] if shape else ())


def _reduction(node: Expr) -> tuple[Any, ...]:
    """Return what makes two reductions one, whether or not they keep the axes."""
    return ("reduce", node.kind, node.name, id(node.inputs[0]), node.attr("axes"), node.attr("ddof"), node.dtype)


def _identity(op: str) -> float:
    return {"+": 0.0, "*": 1.0, "min": math.inf, "max": -math.inf}[op]


def _names(index: tuple[Affine, ...]) -> list[str]:
    return [each.terms[0][0] for each in index]


def _dummy(size: Any) -> int:
    return 3 if isinstance(size, Size) else size


def _hashable(value: Any) -> Any:
    return (type(value).__name__, value.hex()) if isinstance(value, float) else (type(value).__name__, value)
