"""Arrays joined along an axis: each is computed where it belongs in the result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from workbench.fusion.expr import Expr
from workbench.fusion.loop import Affine, Dim, For, Program, Store, verify
from workbench.fusion.lower.bindings import Lowered
from workbench.fusion.lower.loops import Lowering
from workbench.fusion.lower.writer import Block
from workbench.fusion.plan.kernels import Group, Partition, Root
from workbench.fusion.structure import SMALL

__all__ = ["lower_joined"]


def lower_joined(
    group: Group, parts: Partition, strides: Callable[[Expr], Any], name: str, exact: bool = False
) -> Lowered:
    """Return the program of a concatenation: a loop for each part, into one buffer."""
    node = group.roots[0].node
    axis = node.attr("axis")
    before: Lowering | None = None
    loops: list[For] = []
    offset: list[Any] = []
    for part in node.inputs:
        root = Root(part, "part", part.shape)
        made = _Part(Group(group.level, part.shape, None, [root]), parts, strides, exact)
        if before is None:
            out = made.output(node, tuple([made.length_of(d) for d in node.shape]))
        else:
            made.go_on(before)
        loops += made.loops(root, node, out, axis, offset)
        offset.append(part.shape[axis])
        before = made
    assert before is not None
    program = Program(name, tuple(before.sizes), tuple(before.buffers.values()), tuple(loops), exact)
    scheme = "packed" if len(node.inputs) > 1 else "local"
    return Lowered(verify(program), before.inputs, before.outputs, before.sizes, before.errors, scheme)


class _Part(Lowering):
    """Writes the loop of one part."""

    def go_on(self, before: Lowering) -> None:
        """Write into the program that the part before has written into."""
        self.buffers, self.inputs, self.outputs = before.buffers, before.inputs, before.outputs
        self.sizes, self.errors = before.sizes, before.errors
        self.count, self.builders = before.count, before.builders

    def length_of(self, d: Any) -> Any:
        """Return a length for the program: itself where it is part of the form, else a symbol."""
        if isinstance(d, int) and d <= SMALL:
            return d
        known = next((name for name, lengths in self.sizes.items() if lengths == (d,)), None)
        if known is None:
            known = f"n{len(self.sizes)}"
            self.sizes[known] = (d,)
        return known

    def loops(self, root: Root, node: Expr, out: str, axis: int, offset: list[Any]) -> list[For]:
        """Return the loop that writes the part, the lengths before it being `offset`."""
        self.scan_sources()
        self.collapse()
        self.blocks = [Block()]
        value = self.cast(root.node, self.value(root.node, self.axes_of(root), root), node.dtype)
        moved = [self.length_of(d) for d in offset]
        index = []
        for k in range(len(self.space)):
            terms = [(self.place[k], 1)] if k in self.place else []
            steps = moved if k == axis else []
            terms += [(each, 1) for each in steps if isinstance(each, str)]
            index.append(Affine(tuple(terms), sum(each for each in steps if isinstance(each, int))))
        self.emit(Store(out, tuple(index), value))
        block = self.blocks.pop()
        dims = tuple([Dim(dim.name, dim.size) for dim in self.dims])
        return [For(dims, tuple(block.body), tuple(self.outer_builders)), *self.ending()]
