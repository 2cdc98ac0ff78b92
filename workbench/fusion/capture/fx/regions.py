"""A graph cut into regions: what moves memory between two calls of libraries is one region, computed by our kernels.

Nodes are put into levels: a region's level is one more than that of the library calls that it needs. All of one level
is one region, connected or not: what is not connected can be packed.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from workbench.fusion import expr as ir
from workbench.fusion.capture.fx import elementwise, lists, randoms, reductions, shapes
from workbench.fusion.capture.fx.calls import TABLE, Call, Unknown, dtype_of, value_of
from workbench.fusion.capture.fx.joined import joined, live
from workbench.fusion.capture.fx.writing import absorb
from workbench.fusion.expr import Expr
from workbench.fusion.plan.inline import compiles

__all__ = ["VIEWS", "Cut", "Region", "bytes_of", "cut", "expressions", "hint", "is_tensor", "stand_in", "where_of"]

_TABLES = (elementwise, lists, randoms, reductions, shapes)
aten = torch.ops.aten

#: operators that look at memory of another tensor: they cost nothing in torch
VIEWS = frozenset({
    aten.view.default, aten.expand.default, aten.permute.default, aten.t.default, aten.transpose.int,
    aten.squeeze.default, aten.squeeze.dim, aten.squeeze.dims, aten.unsqueeze.default, aten.select.int,
    aten.slice.Tensor, aten.split.Tensor, aten.split_with_sizes.default, aten.unbind.int, aten.alias.default,
    aten.detach.default, aten._unsafe_view.default, torch.ops.prims.broadcast_in_dim.default,
})  # fmt: skip
_LINE = re.compile(r'File "(.+?)", line (\d+)')


@dataclass(eq=False)
class Region:
    """Nodes that our kernels compute.

    Attributes
    ----------
    number : int
    nodes : list of torch.fx.Node
        Inputs first.
    inputs, outputs : list of torch.fx.Node
        Tensors, and among the inputs symbolic numbers.
    """

    number: int
    nodes: list[Any]
    inputs: list[Any] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)
    #: which output is copied into which input, by their places
    writes: list[tuple[int, int]] = field(default_factory=list)

    @property
    def storage_out(self) -> list[torch.dtype]:
        """What each output is in memory."""
        return [value_of(each).dtype for each in self.outputs]

    def build(self, values: Sequence[Any]) -> list[Expr]:
        """Return the expressions of the outputs, given those of the inputs, or numbers.

        16-bit floats are computed in float32.
        """
        return expressions(self.nodes, dict(zip(self.inputs, values, strict=True)), self.outputs)


@dataclass(eq=False)
class Cut:
    """A graph cut into regions and calls.

    Attributes
    ----------
    gm : torch.fx.GraphModule
    steps : list of Region or torch.fx.Node
        In the order in which they run.
    reasons : list of (torch.fx.Node, str)
        What no region holds, and why.
    """

    gm: Any
    steps: list[Any] = field(default_factory=list)
    reasons: list[tuple[Any, str]] = field(default_factory=list)

    @property
    def inputs(self) -> list[Any]:
        """The placeholders."""
        return [node for node in self.gm.graph.nodes if node.op == "placeholder"]

    @property
    def regions(self) -> list[Region]:
        """The regions alone."""
        return [each for each in self.steps if isinstance(each, Region)]


def expressions(nodes: Sequence[Any], values: dict[Any, Any], outputs: Sequence[Any]) -> list[Expr]:
    """Return the expressions of some nodes, given values of what they are computed from."""
    for node in nodes:
        values[node] = _translated(node, values)
    return [values[each] for each in outputs]


def _translated(node: Any, values: dict[Any, Any]) -> Any:
    if node.target is operator.getitem:
        return values[node.args[0]][node.args[1]]
    return TABLE[node.target](Call(node, values, where_of(node)))


def where_of(node: Any) -> tuple[str, int] | None:
    """Return the file and line of the user's code that a node comes from."""
    found = _LINE.findall(node.meta.get("stack_trace") or "")
    return (found[-1][0], int(found[-1][1])) if found else None


def called_together(nodes: Iterable[Any]) -> list[list[Any]]:
    """Return operators by the call that they were made of: those of one call stand beside each other."""
    groups: list[tuple[Any, list[Any]]] = []
    for node in nodes:
        key = (str(node.meta.get("original_aten")), node.meta.get("seq_nr"), node.meta.get("stack_trace"))
        if groups and key[0] != "None" and groups[-1][0] == key:
            groups[-1][1].append(node)
        else:
            groups.append((key, [node]))
    return [some for _, some in groups]


def traffic_of(nodes: Sequence[Any]) -> int:
    """Return the bytes that a call reads and writes, whatever it keeps to itself."""
    own = set(nodes)
    read = {each: bytes_of(each) for node in nodes for each in node.all_input_nodes if each not in own}
    written = {node: bytes_of(node) for node in nodes if any(user not in own for user in node.users)}
    return sum(read.values()) + sum(written.values())


def is_tensor(node: Any) -> bool:
    """Whether a node is one tensor."""
    return isinstance(value_of(node), torch.Tensor)


def hint(d: Any) -> int:
    """Return a length as it was in the example."""
    if isinstance(d, int):
        return d
    found = d.node.hint
    return 4096 if found is None else int(found)


def bytes_of(node: Any) -> int:
    """Return the bytes of the tensors that a node gives."""
    value = value_of(node)
    some = value if isinstance(value, list | tuple) else [value]
    return sum(_size(each) for each in some if isinstance(each, torch.Tensor))


def _size(value: torch.Tensor) -> int:
    """Bytes of a tensor; what is repeated without memory counts once."""
    found = value.element_size()
    for length, stride in zip(value.shape, value.stride(), strict=True):
        found *= hint(length) if hint(stride) else 1
    return found


def stand_in(value: torch.Tensor) -> np.ndarray:
    """Return an array of a tensor's form that has no memory of its own."""
    kind = dtype_of(value.dtype)
    strides = [hint(s) * kind.itemsize for s in value.stride()]
    return np.lib.stride_tricks.as_strided(np.empty(1, kind), [hint(d) for d in value.shape], strides)


def _supposed(node: Any) -> Any:
    """Return a value for a node that is computed elsewhere."""
    value = value_of(node)
    if isinstance(value, torch.Tensor):
        return ir.leaf(stand_in(value))
    if isinstance(value, torch.SymInt | torch.SymFloat | torch.SymBool):
        return value.node.hint if value.node.hint is not None else 4096
    return value


def cut(gm: Any) -> Cut:
    """Return a functional graph of ATen operators, cut into regions and calls."""
    joined(gm)
    return _Cutting(gm).run()


class _Cutting:
    def __init__(self, gm: Any) -> None:
        self.found = Cut(gm)
        self.nodes = live(gm)
        self.alive = {*self.nodes, *[node for node in gm.graph.nodes if node.op == "output"]}
        #: what our kernels can compute, views among it
        self.ours: set[Any] = set()
        self.level: dict[Any, int] = {}
        self.tail: set[Any] = set()

    def run(self) -> Cut:
        self.look()
        self.put()
        self.sink()
        members: dict[int, list[Any]] = {}
        for node in self.nodes:
            if self.inner(node):
                members.setdefault(self.level[node], []).append(node)
        outside = [node for node in self.nodes if not self.inner(node) and node not in self.tail]
        asked = self.asked(outside)
        levels = sorted({-1, *members, *[self.level[node] for node in outside]})
        regions: dict[int, Region] = {}
        for level in levels:
            if level in members:
                regions[level] = self.region(len(regions), members[level])
        for region in regions.values():
            inside = set(region.nodes)
            needed = {each for other in regions.values() if other is not region for each in other.inputs}
            region.outputs = [n for n in region.nodes if (n in asked or n in needed) and self.inner(n)]
            assert inside
        for level in levels:
            if level in regions:
                self.found.steps.append(regions[level])
            self.found.steps += [n for n in outside if self.level[n] == level and n in asked]
        self.found.steps += [node for node in self.nodes if node in self.tail]
        self.found.steps = absorb(self.found.steps, lambda step: isinstance(step, Region))
        return self.found

    def look(self) -> None:
        """Find which nodes our kernels can compute."""
        values: dict[Any, Any] = {}
        for node in self.found.gm.graph.nodes:
            if node.op == "output":
                continue
            reason = self.refused(node, values)
            if reason is None:
                self.ours.add(node)
                continue
            try:
                values[node] = _supposed(node)
            except Unknown:
                values[node] = None
            if reason:
                self.found.reasons.append((node, reason))

    def refused(self, node: Any, values: dict[Any, Any]) -> str | None:
        """Return why a node is a call, "" if there is nothing to say; None if it is ours, whose value is kept then."""
        if node.op != "call_function":
            return ""
        if node.target is operator.getitem:
            if node.args[0] in self.ours:
                values[node] = values[node.args[0]][node.args[1]]
                return None
            return ""
        if not isinstance(node.target, torch._ops.OpOverload) or not _has_tensor(node):
            return ""
        if node.target not in TABLE:
            return "" if _mutates(node) or node.target is torch.ops.workbench.seed.default else library_reason(node)
        if any(values.get(each) is None for each in node.all_input_nodes):
            return "unsupported operation"
        try:
            found = _translated(node, values)
            if not all(_fits(*pair) for pair in zip(_flat(found), _flat(value_of(node)), strict=True)):
                return "unsupported operation"
        except (Unknown, TypeError, ValueError, OverflowError):
            return "unsupported operation"
        values[node] = found
        return None

    def inner(self, node: Any) -> bool:
        """Whether a node is a region's own: views are not, who needs one looks for itself."""
        return node in self.ours and not _is_view(node) and node not in self.tail

    def put(self) -> None:
        """Give each node its level: for a call that of the last region it needs, -1 for none."""
        for node in self.nodes:
            if _mutates(node) or any(each in self.tail for each in node.all_input_nodes):
                self.tail.add(node)
                continue
            level = -1
            for each in node.all_input_nodes:
                known = self.level.get(each, -1)
                beyond = self.inner(node) and not self.inner(_base(each) if self.is_ours_view(each) else each)
                level = max(level, known + 1 if beyond else known)
            self.level[node] = max(level, 0) if self.inner(node) else level

    def is_ours_view(self, node: Any) -> bool:
        return node in self.ours and _is_view(node)

    def sink(self) -> None:
        """Have what is made of inputs alone computed where it is needed: it would lie in memory until then."""
        free: set[Any] = set()
        for node in self.nodes:
            if node in self.ours and node not in self.tail:
                needs = [each for each in node.all_input_nodes if is_tensor(each) or each in self.ours]
                if all(each.op == "placeholder" or each in free for each in needs):
                    free.add(node)
        for node in reversed(self.nodes):
            users = [each for each in node.users if each in self.alive]
            if node in free and users and all(each in self.level for each in users):
                self.level[node] = max(self.level[node], min(self.level[each] for each in users))

    def asked(self, outside: Sequence[Any]) -> set[Any]:
        """Return what calls, and whoever asked for the graph, need in memory, and those calls."""
        found: set[Any] = set()
        ends = [n for n in outside if not self.is_ours_view(n)] + [n for n in self.nodes if n in self.tail]
        ends += [node for node in self.found.gm.graph.nodes if node.op == "output"]
        stack = [each for end in ends for each in end.all_input_nodes]
        found.update(n for n in ends if n.op != "output")
        while stack:
            node = stack.pop()
            if node in found:
                continue
            found.add(node)
            if self.is_ours_view(node):
                stack.extend(node.all_input_nodes)
        return found

    def region(self, number: int, members: list[Any]) -> Region:
        """Return the region of some nodes, with the views that they look through."""
        inside: dict[Any, None] = {}
        inputs: dict[Any, None] = {}
        own = set(members)

        def need(node: Any) -> None:
            if node in inside or node in inputs:
                return
            if node in own or self.is_ours_view(node):
                for each in node.all_input_nodes:
                    need(each)
                inside[node] = None
            else:
                inputs[node] = None

        for node in members:
            need(node)
        return Region(number, list(inside), list(inputs))


def _is_view(node: Any) -> bool:
    if node.target is operator.getitem:
        return _is_view(node.args[0])
    return node.target in VIEWS


def _base(node: Any) -> Any:
    while _is_view(node):
        node = node.args[0]
    return node


def _has_tensor(node: Any) -> bool:
    return any(isinstance(each, torch.Tensor) for each in _flat(value_of(node)))


def _flat(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _fits(found: Any, told: Any) -> bool:
    """Whether an expression is what torch says, and kernels compute all that is new in it."""
    if not isinstance(found, Expr) or found.shape != tuple([hint(d) for d in told.shape]):
        return False
    if found.dtype != dtype_of(told.dtype) or told.device.type not in ("cpu", "cuda"):
        return False
    stack, seen = [found], set()
    while stack:
        node = stack.pop()
        if id(node) in seen or node.kind in ("Leaf", "Const"):
            continue
        seen.add(id(node))
        if node.kind != "View" and not compiles(node):
            return False
        stack.extend(node.inputs)
    return True


def _mutates(node: Any) -> bool:
    return isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable


_LIBRARY = {"mm": "matmul", "bmm": "matmul", "addmm": "matmul", "baddbmm": "matmul", "addbmm": "matmul",
            "mv": "matmul", "dot": "matmul"}  # fmt: skip


def library_reason(node: Any) -> str:
    """Return why an operator is no work of ours."""
    name = node.target.overloadpacket.__name__
    if name in _LIBRARY:
        return f"library call ({_LIBRARY[name]})"
    if "convolution" in name:
        return "library call (convolution)"
    if "attention" in name:
        return "library call (attention)"
    if "embedding" in name:
        return "library call (embedding)"
    return "unsupported operation"
