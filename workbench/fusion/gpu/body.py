"""The body of a task: a function of Triton's language that computes one tile."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from workbench.fusion.expr import Expr
from workbench.fusion.gpu.language import constant, known, operation
from workbench.fusion.gpu.memory import TYPES, looked
from workbench.fusion.gpu.merging import Merging
from workbench.fusion.gpu.tasks import Axis, Reach, Refs, Task, Unsupported, Work, fitting, scanned
from workbench.fusion.gpu.tiling import Tile, power_of_two
from workbench.fusion.ops import loop_dtypes
from workbench.fusion.plan.inline import promotes

__all__ = ["Body", "Slots"]


@dataclass
class Slots:
    """What a task's function is called with: for each parameter what it stands for.

    Attributes
    ----------
    names : dict
        Key -> parameter.
    keys : list
        ("array", node), ("part", node, number), ("scalar", node).
    """

    names: dict[Any, str] = field(default_factory=dict)
    keys: list[Any] = field(default_factory=list)

    def name(self, what: str, node: Expr, number: int = 0) -> str:
        """Return the parameter for an array, a partial result or a value that each block has."""
        key = (what, id(node), number)
        if key not in self.names:
            self.names[key] = f"{'s' if what == 'scalar' else 'p'}{len(self.names)}"
            self.keys.append((what, node, number))
        return self.names[key]


class Body(Merging):
    """Writes the function of a task.

    Parameters
    ----------
    task : Task
    reach : Reach
    stored : callable
        Tells of a node whether it is to be in memory.
    merged : dict
        Ids of nodes of other tasks that each block has the value of.
    storage : callable
        Gives the name of the type that a node is stored in.
    tile : Tile
    """

    def __init__(
        self,
        task: Task,
        reach: Reach,
        stored: Callable[[Expr], bool],
        merged: dict[int, int],
        storage: Callable[[Expr], str],
        tile: Tile,
    ) -> None:
        super().__init__()
        self.task, self.reach, self.stored, self.merged = task, reach, stored, merged
        self.storage, self.tile = storage, tile
        self.slots = Slots()
        self.mine = {id(each.node): each for each in task.works}
        #: values known in the block and in those around it
        self.scopes: list[dict[Any, str]] = [{}]
        self.side = ""
        self.long = False
        #: whether the text is to be the same for any number of rows
        self.symbolic = False

    def write(self) -> str:
        """Return the text of the function's parameters and body, without its name."""
        task, tile = self.task, self.tile
        rows = tile.rows
        if self.long:  # so is all that is computed from it
            self.line("t = t + tl.full((), 0, tl.int64)")
        if tile.whole and task.mode != "flat":
            for side in task.sides:
                width = power_of_two(int(side[1:]))
                self.line(f"{side} = tl.arange(0, {width})[None, :]")
                if width != int(side[1:]):
                    self.line(f"m{side} = {side} < {side[1:]}")
        if task.across:
            self.begin_across()
            many = f"(n + {rows - 1}) // {rows}" if self.symbolic else math.ceil(task.rows / rows)
            self.line(f"for q in range(t, {many}, {tile.pieces}):")
            self.deeper()
            self.line(f"r = q * {rows} + tl.arange(0, {rows})[:, None]")
        elif task.mode == "split":
            self.line(f"piece = t % {tile.pieces}")
            self.line(f"r = (t // {tile.pieces}) * {rows} + tl.arange(0, {rows})[:, None]")
            self.line(f"low = piece * {tile.length}")
        elif task.mode == "rows":
            self.line(f"r = t * {rows} + tl.arange(0, {rows})[:, None]")
        if task.mode != "flat" and self.ragged:
            self.line(f"rm = r < {'n' if task.mode == 'rows' else task.rows}")
        if task.mode == "flat":
            (self.side,) = task.sides or ["c1"]
            self.line(f"{self.side} = t * {tile.columns} + tl.arange(0, {tile.columns})[None, :]")
            self.line(f"m{self.side} = {self.side} < n")
        for stage in range(1 + max(each.stage for each in task.works)):
            if stage and not tile.whole and any(self.stored(each.node) for each in task.works if each.stage < stage):
                self.line("tl.debug_barrier()")  # what an earlier walk has written may be read by other threads
            self.stage([each for each in task.works if each.stage == stage])
        if task.across:
            self.shallower()
            self.end_across()
        names = ["t", "n", *self.slots.names.values()]
        text = "\n".join(self.lines)
        if task.mode == "flat":  # the same for all lengths
            [side] = task.sides or ["c1"]
            text = re.sub(rf"\b(m?){side}\b", r"\1c", text)
        return f"({', '.join(names)}):\n{text}\n"

    @property
    def ragged(self) -> bool:
        """Whether the last tile of rows may have less of them."""
        return bool(self.task.rows % self.tile.rows) or (
            self.symbolic and self.task.mode == "rows" and self.tile.rows > 1
        )

    # stages

    def stage(self, works: list[Work]) -> None:
        """Write what one walk over the columns computes."""
        if self.tile.whole:
            for work in works:
                self.side = work.side
                self.whole(work)
            return
        for work in [each for each in works if not each.side]:
            self.side = ""
            self.whole(work)
        for side in dict.fromkeys([each.side for each in works if each.side]):
            inside = [each for each in works if each.side == side]
            self.side = side
            width, total = self.tile.columns, int(side[1:])
            for work in inside:
                self.begin(work)
            split = self.task.mode == "split"
            low, high = ("low", f"tl.minimum(low + {self.tile.length}, {total})") if split else ("0", str(total))
            if split:
                self.line(f"high = {high}")
                high = "high"
            self.line(f"for at in range({low}, {high}, {width}):")
            self.deeper()
            self.line(f"{side} = at + tl.arange(0, {width})[None, :]")
            if total % width:
                self.line(f"m{side} = {side} < {high}")
            for work in inside:
                if work.how == "store":
                    self.whole(work)
                else:
                    self.step(work)
            self.shallower()
            for work in inside:
                self.end(work)

    def whole(self, work: Work) -> None:
        """Write a root whose tile holds all that it needs."""
        if work.into is not None:
            x = work.root.node
            value = self.cast(x, self.value(x, work.axes, work), work.into.dtype)
            self.put(work.into, work.axes, value, x.shape, work.moved)
        elif work.how == "store":
            value = self.value(work.node, work.axes, work)
            self.store(work.node, work.axes, value)
        elif work.how == "finish":
            self.finish(work)
        elif work.how == "across":
            self.step_across(work)
        elif work.how == "scan":
            self.scan(work)
        else:
            self.reduce(work)

    def input(self, work: Work) -> str:
        """Return the value that a root reduces or scans, in its dtype, as wide as the tile."""
        x = work.node.inputs[0]
        refs = fitting(x, scanned(work.root, work.axes))
        value = self.cast(x, self.value(x, refs, work), self.inner(work))
        missing = ("r" in self.rows_of(work)) or work.side
        wide = {axis.side for axis in refs if axis is not None}
        need = {work.side} | ({"r"} if self.tile.rows > 1 else set())
        if missing and not need <= wide:
            value = self.named(f"tl.broadcast_to({value}, [{self.tile.rows}, {self.width(work.side)}])")
        return value

    def rows_of(self, work: Work) -> str:
        """Return "r" where the task has rows."""
        return "r" if self.task.mode != "flat" else ""

    def width(self, side: str) -> int:
        """Return the columns of a tile along a side."""
        if not side:
            return 1
        return power_of_two(int(side[1:])) if self.tile.whole and self.task.mode != "flat" else self.tile.columns

    def mask_of(self, sides: set[str]) -> str:
        """Return the condition that a position is there; "" if it always is."""
        found = []
        if "r" in sides and self.ragged:
            found.append("rm")
        for side in sorted(sides - {"r"}):
            if self.task.mode == "flat" or (
                self.width(side) != int(side[1:]) and (self.tile.whole or int(side[1:]) % self.width(side))
            ):
                found.append(f"m{side}")
        return " & ".join(found)

    # values

    def value(self, node: Expr, along: Refs, work: Work) -> str:
        """Return the value of a node where its dimensions lie along those of the tile."""
        refs = fitting(node, along)
        key = (id(node), refs)
        for scope in reversed(self.scopes):
            if key in scope:
                return scope[key]
        found = self.compute(node, refs, work)
        self.scopes[-1][key] = found
        return found

    def remember(self, node: Expr, refs: Refs, name: str) -> None:
        """Note the value of a node."""
        self.scopes[-1][id(node), fitting(node, refs)] = name

    def compute(self, node: Expr, refs: Refs, work: Work) -> str:
        if node.kind == "Const":
            return self.named(constant(node.data, node.dtype))
        if not self.reach.inside(node, work.root):
            return self.load(node, refs)
        if node.kind == "Gather":
            return self.taken(node, refs, work)
        inputs = [self.value(x, refs, work) if x.kind != "Const" else "" for x in node.inputs]
        if node.kind == "Broadcast":
            return inputs[0] or self.named(constant(node.inputs[0].data, node.dtype))
        if node.kind == "Rows":
            axis = refs[0]
            return self.named(f"({self.place(axis)}).to(tl.int64)") if axis is not None else constant(0, np.int64)
        if node.kind == "Cast":
            return self.cast(node.inputs[0], inputs[0], node.dtype)
        if node.kind not in ("Map", "Select"):
            raise Unsupported(f"{node.kind.lower()} on the GPU")
        name = "where" if node.kind == "Select" else node.name
        dtypes = loop_dtypes(name, tuple([promotes(x) for x in node.inputs]))
        args = tuple([self.cast(x, v, d) for x, v, d in zip(node.inputs, inputs, dtypes, strict=False)])
        if node.kind == "Select":
            return self.named(f"tl.where({', '.join(args)})")
        kind = np.dtype(dtypes[0]).kind
        if not known(name, kind):
            raise Unsupported(f"{name} on the GPU")
        return self.named(operation(name, kind, args))

    def cast(self, x: Expr, value: str, dtype: Any) -> str:
        dtype = np.dtype(dtype)
        if x.kind == "Const":
            return self.named(constant(x.data, dtype))
        if x.dtype == dtype:
            return value
        if dtype.kind == "b":
            return self.named(f"{value} != 0")
        return self.named(f"{value}.to({TYPES[dtype.name][1]})")

    def taken(self, node: Expr, refs: Refs, work: Work) -> str:
        """Return the elements of an array at positions that are computed, and known to be there."""
        x, index = node.inputs
        if not node.attr("inside"):
            raise Unsupported("positions that may be outside on the GPU")
        at = self.cast(index, self.value(index, refs, work) if index.kind != "Const" else "", np.int64)
        look = looked(x)
        if look.below:
            raise Unsupported("what is taken of a reshaped view on the GPU")
        sides = {axis.side for axis in refs if axis is not None}
        mask = self.mask_of(sides)
        return self.read(look.base, f"({at} * {look.strides[0]} + {look.moved})", mask)

    def load(self, node: Expr, refs: Refs) -> str:
        """Return the value of an array, or of another root."""
        made = self.mine.get(id(node))
        if made is not None and made.part and any(axis is not None and axis.side != "r" for axis in refs):
            return self.spread(made, node, refs)
        look = looked(node)
        base = look.base
        if id(base) in self.merged:
            return self.slots.name("scalar", base)
        steps = [(axis, step) for axis, step in zip(refs, look.strides, strict=True) if axis is not None]
        offset, sides = self.offset(steps, look.moved)
        for shape, strides, moved in reversed(look.below):
            offset = self.unravelled(offset, shape, strides, moved)
        return self.read(base, offset, self.mask_of(sides))

    def read(self, base: Expr, offset: str, mask: str) -> str:
        """Return elements of an array, in the type that they are computed in."""
        pointer = self.slots.name("array", base)
        extra = f", mask={mask}, other=0" if mask else ""
        fresh = ', cache_modifier=".cg"' if self.task.phase and id(base) in self.reach.parts.where else ""
        text = f"tl.load({pointer} + {offset}{extra}{fresh})"
        storage = self.storage(base)
        if storage == "bool":
            text = f"{text}.to(tl.int1)"
        elif TYPES[storage][3] != storage:
            text = f"{text}.to(tl.float32)"
        return self.named(text)

    def unravelled(self, number: str, shape: tuple[int, ...], strides: tuple[int, ...], moved: int) -> str:
        """Return the offset of an element, given its number in the order of a shape."""
        at = self.named(number)
        terms, below = [str(moved)], 1
        for size, stride in reversed(list(zip(shape, strides, strict=True))):
            terms.append(f"(({at} // {below}) % {size}) * {stride}")
            below *= size
        return f"({' + '.join(terms)})"

    def offset(self, steps: list[tuple[Axis, int]], moved: int = 0) -> tuple[str, set[str]]:
        """Return the text of an offset in elements, at least [1, 1], and the sides that it moves along."""
        merged: list[tuple[str, int, int, int]] = []  # side, step, length, stride
        for axis, stride in sorted(steps, key=lambda each: (each[0].side, -each[0].step)):
            if not stride:
                continue
            if merged:
                side, step, length, outer = merged[-1]
                if side == axis.side and step == axis.step * axis.length and outer == stride * axis.length:
                    merged[-1] = (side, axis.step, length * axis.length, stride)
                    continue
            merged.append((axis.side, axis.step, axis.length, stride))
        terms = []
        for side, step, length, stride in merged:
            text = self.place(Axis(side, step, length))
            terms.append(text if stride == 1 else f"{text} * {stride}")
        if moved:
            terms.append(str(moved))
        sides = {each[0] for each in merged}
        if not sides:
            return f"({' + '.join(terms) or '0'}) + tl.zeros([1, 1], tl.int32)", sides
        return f"({' + '.join(terms)})", sides

    def place(self, axis: Axis) -> str:
        """Return the position along a dimension."""
        total = self.task.rows if axis.side == "r" else int(axis.side[1:])
        text = axis.side
        if self.long:
            text = f"{text}.to(tl.int64)"
        if axis.step > 1:
            text = f"({text} // {axis.step})"
        if axis.step * axis.length < total:
            text = f"({text} % {axis.length})"
        return text

    def spread(self, made: Work, node: Expr, refs: Refs) -> str:
        """Return a value of parts of a row, as wide as the row if it is asked for so."""
        part = made.part
        narrow = self.known_value(made)
        side = next(axis.side for axis in refs if axis is not None and axis.side != "r")
        if side != made.side:
            return narrow
        rows, columns = self.tile.rows, self.width(made.side)
        wide = f"tl.broadcast_to({narrow}[:, :, None], [{rows}, {columns // part}, {part}])"
        return self.named(f"tl.reshape({wide}, [{rows}, {columns}])")

    def known_value(self, made: Work) -> str:
        """Return the value that a root of this task has, "" if it has none yet."""
        key = (id(made.node), fitting(made.node, made.result))
        return next((scope[key] for scope in reversed(self.scopes) if key in scope), "")

    def store(self, node: Expr, refs: Refs, value: str) -> None:
        """Note a value, and write it to memory if someone reads it there."""
        self.remember(node, refs, value)
        if self.stored(node):
            self.put(node, refs, value, node.shape)

    def put(self, node: Expr, refs: Refs, value: str, shape: Sequence[Any], moved: int = 0) -> None:
        """Write a value to memory: an array, or from some element on a part of it that has a shape of its own."""
        stride = 1
        steps = []
        for d, own, axis in reversed(list(zip(node.shape, shape, refs[len(refs) - len(shape) :], strict=True))):
            if axis is not None and own != 1:
                steps.append((axis, stride))
            stride *= d
        offset, sides = self.offset(steps, moved)
        mask = self.mask_of(sides)
        extra = f", mask={mask}" if mask else ""
        storage = self.storage(node)
        text = f"{value}.to({TYPES[storage][1]})" if storage != node.dtype.name else value
        pointer = self.slots.name("array", node)
        self.line(f"tl.store({pointer} + {offset}, {text}{extra})")
