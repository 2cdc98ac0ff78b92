"""The dimensions of a kernel: what is loaded, along which of them, and which can be walked as one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from workbench.fusion.expr import Expr
from workbench.fusion.loop import Affine, Buffer, Dim
from workbench.fusion.lower.bindings import Input, dummy, seen
from workbench.fusion.lower.writer import Writer
from workbench.fusion.plan.kernels import Group, Partition, Root

__all__ = ["Source", "Space"]


@dataclass
class Source:
    """Memory seen along the dimensions of the kernel's space: for each its stride in bytes, None where it is not."""

    node: Expr
    views: tuple[tuple[str, Any, Any], ...]
    along: tuple[int, ...]
    stride: dict[int, int]
    input: Input | None = None
    index: tuple[Affine, ...] = ()


class Space(Writer):
    """The iteration space of one kernel."""

    def __init__(self, group: Group, parts: Partition, strides: Callable[[Expr], Any], exact: bool) -> None:
        super().__init__()
        self.group, self.parts, self.strides, self.exact = group, parts, strides, exact
        self.space = group.space
        self.rows = group.rows or 0
        self.sources: dict[Any, Source] = {}
        self.dims: list[Dim] = []
        #: space axis -> the loop dimension that walks it
        self.place: dict[int, str] = {}
        #: axes of the space walked as one, a list for each loop dimension
        self.runs: list[list[int]] = []

    def scan_sources(self) -> None:
        for root in self.group.roots:
            axes = self.axes_of(root)
            start = [root.node] if root.kind in ("store", "part") else list(root.node.inputs)
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
        if root.kind == "scan":
            order = list(range(len(self.space) - 1))
            order.insert(root.node.attr("axis"), len(self.space) - 1)
            return tuple([-1 if self.space[axis] == 1 else axis for axis in order])
        if root.space == self.space:
            return tuple([-1 if d == 1 else k for k, d in enumerate(self.space)])
        return tuple([k if k < self.rows and d != 1 else -1 for k, d in enumerate(root.space)])

    def fitting(self, node: Expr, along: tuple[int, ...]) -> tuple[int, ...]:
        """Return the axes of the space for the axes of a node, which go along the last of `along`."""
        shape = self.parts.space(node) if self.parts.inline(node) else node.shape
        last = along[len(along) - len(shape) :]
        return tuple([-1 if d == 1 else axis for d, axis in zip(shape, last, strict=True)])

    def source(self, node: Expr, along: tuple[int, ...]) -> Source:
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
            self.sources[key] = Source(base, tuple(views), along, stride)
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
            size: Any = lengths[0] if small else f"n{len(self.sizes)}"
            if not small:
                self.sizes[size] = lengths
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
        size = dummy(self.space[right])
        return all(s.stride.get(left, 0) == s.stride.get(right, 0) * size for s in self.sources.values()) and not any(
            root.kind in ("scan", "part") for root in self.group.roots
        )

    def input_of(self, source: Source) -> tuple[Input, tuple[Affine, ...]]:
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

    def index(self, axes: Any) -> tuple[Affine, ...]:
        names: list[str] = []
        for axis in axes:
            if axis >= 0 and self.place[axis] not in names:
                names.append(self.place[axis])
        return tuple([Affine(((name, 1),)) for name in names])

    def row_index(self, root: Root) -> tuple[Affine, ...]:
        axes = [axis for axis in range(self.rows) if self.space[axis] != 1]
        return self.index(axes)

    def reducing(self) -> list[Dim]:
        """Return the dimensions of a loop that stores nothing."""
        return [Dim(dim.name, dim.size, "reduce") for dim in self.dims]
