"""From the roots of one kernel to a program of loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from workbench.fusion.expr import Expr
from workbench.fusion.loop import Affine, Buffer, Builder, Dim, For, Merge, Program, Store, verify
from workbench.fusion.lower.bindings import Lowered
from workbench.fusion.lower.reductions import Reductions
from workbench.fusion.lower.rowwise import rowwise
from workbench.fusion.lower.values import names_of, reduction
from workbench.fusion.lower.writer import Block
from workbench.fusion.passes.cost import costs
from workbench.fusion.plan.kernels import Group, Partition, Root

__all__ = ["Lowering", "lower"]


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
    if group.roots[0].kind == "concat":
        from workbench.fusion.lower.joined import lower_joined

        return lower_joined(group, parts, strides, name, exact)
    return Lowering(group, parts, strides, exact).run(name)


class Lowering(Reductions):
    """Writes the program of one kernel."""

    def run(self, name: str) -> Lowered:
        self.scan_sources()
        self.collapse()
        loops = self.nested() if self.rows else self.phases()
        if not self.rows and not self.exact:
            loops = rowwise(loops)
        program = Program(name, tuple(self.sizes), tuple(self.buffers.values()), tuple(loops), self.exact)
        wide = len([loop for loop in loops if loop.dims]) > 1
        scheme = "global" if wide else "regional" if self.rows else "local"
        return Lowered(verify(program), self.inputs, self.outputs, self.sizes, self.errors, scheme)

    def nested(self) -> list[For]:
        """Rows outside; for each stage a loop over the row inside, then what is computed once a row."""
        cut = len([run for run in self.runs if run[0] < self.rows])
        outside, inside = self.dims[:cut], self.dims[cut:]
        self.blocks = [Block()]
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
                self.blocks = [Block()]
                self.bodies(inner)
                block = self.blocks.pop()
                dims = tuple([Dim(d.name, d.size, _kind(inner)) for d in self.dims])
                # a name is free again once its loop is closed
                loops.append(For(dims, tuple(block.body), tuple(self.outer_builders)))
        return loops + self.ending()

    def ending(self) -> list[For]:
        """Return what is computed once, of results of the loops before."""
        columns = self.finish_columns()
        if not self.after:
            return columns
        self.blocks = [Block()]
        pending, self.after = self.after, []
        for root, merged in sorted(pending, key=lambda each: each[1] is None):
            if root.kind == "flag":
                self.error(self.add("result", (), "bool", builder=merged), "index")
            elif merged is not None:
                value = self.finish(root.node, merged)
                name = self.output(root.node, ()) if id(root.node) in self.parts.needed else self.kept(root.node)
                self.emit(Store(name, (), value))
                self.results[reduction(root.node)] = ("buffer", name)
                self.results[(*reduction(root.node), "value")] = value
            else:
                self.store(root)
        for key in [key for key in self.results if key[-1] == "value"]:
            del self.results[key]
        return [*columns, For((), tuple(self.blocks.pop().body))]

    def loop(self, roots: list[Root], dims: list[Dim]) -> None:
        """Emit a loop over a row, then the values of its reductions."""
        self.inner_builders = []
        self.blocks.append(Block())
        merged = self.bodies(roots)
        block = self.blocks.pop()
        inner = tuple([Dim(d.name, d.size, _kind(roots)) for d in dims])
        self.emit(For(inner, tuple(block.body), tuple(self.inner_builders)))
        for root, found in merged:
            key = reduction(root.node)
            if key not in self.results:
                self.results[key] = ("value", self.finish(root.node, found))
            if id(root.node) not in self.parts.needed:
                continue
            index = self.row_index(root)
            name = self.output(root.node, tuple([d.size for d in self.dims if d.name in names_of(index)]))
            self.emit(Store(name, index, self.results[key][1]))

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
            elif root.kind == "scatter":
                self.scattered(root)
            else:
                key = reduction(root.node)
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

    def told(self, flag: int) -> list[For]:
        """Return what tells whether any row merged true into a builder, in the output `e0`."""
        self.begin()
        self.error(self.add("result", (), "bool", builder=flag), "range")
        return [For((), self.body())]


def _kind(roots: list[Root]) -> str:
    """Return how the iterations of a loop depend on one another."""
    kinds = {root.kind for root in roots}
    return "scan" if "scan" in kinds else "parallel" if "store" in kinds else "reduce"
