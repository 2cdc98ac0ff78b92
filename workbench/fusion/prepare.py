"""From expressions to a plan that can run again on other data of the same form."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from workbench.fusion import forcing, whole
from workbench.fusion.eager import view_of
from workbench.fusion.expr import Expr, Size
from workbench.fusion.lower import Input, Output, like, lower
from workbench.fusion.passes import optimise
from workbench.fusion.plan.beam import search
from workbench.fusion.plan.branch import branch_of
from workbench.fusion.plan.cost import work
from workbench.fusion.plan.kernels import Group, Partition
from workbench.fusion.plan.model import device_model
from workbench.fusion.plan.pack import pack, packs
from workbench.fusion.steps import CallStep, GroupStep, KernelStep, Prepared
from workbench.fusion.structure import Structure

__all__ = ["prepare", "resolve", "run_call", "volume"]

#: kinds of nodes that are no calls of their own
UNCOUNTED = ("Leaf", "Const", "View", "Broadcast", "Item")


def prepare(roots: Sequence[Expr], form: Structure, *, exact: bool = False) -> Prepared:
    """Return the plan of a graph.

    Parameters
    ----------
    roots : sequence of Expr
    form : Structure
        Of the roots.
    exact : bool
    """
    return _Preparing(roots, form, exact).run()


class _Preparing:
    def __init__(self, roots: Sequence[Expr], form: Structure, exact: bool) -> None:
        self.form, self.exact = form, exact
        self.original = roots
        self.roots, self.became = optimise(roots, exact)
        self.plan = Prepared(symbols=dict(form.symbols))
        self.slot: dict[int, int] = {}
        self.kernel_of: dict[int, str] = {}
        #: number of the launch of the last kernel
        self.packed = -1

    def run(self) -> Prepared:
        plan = self.plan
        for k, leaf in enumerate(self.form.leaves):
            # interning made leaves over the same data one
            self.slot[id(self.became[id(leaf)])] = k
        plan.slots = len(self.form.leaves)
        parts = search(self.roots, device_model())
        refused = {id(node): reason for node, reason in parts.refused}
        work: list[tuple[int, int, Any]] = [(group.level, 1 + group.pack, group) for group in parts.groups]
        work += [(level, 0, node) for level, node in parts.calls]
        work.sort(key=lambda each: each[:2])
        for _, _, each in work:
            if isinstance(each, Expr):
                plan.steps.append(self.call(each))
            elif each.roots[0].kind == "group":
                plan.steps.append(self.grouped(each, parts))
            else:
                self.add(self.kernel(each, parts), each.pack)
        plan.results = [self.reference(root) for root in self.roots]
        self.describe(refused)
        self.uses()
        return plan

    def add(self, step: KernelStep, pack_number: int) -> None:
        """Put a kernel into the plan: into one with what it is to be packed with, where both have one form only."""
        last = self.plan.steps[-1] if self.plan.steps else None
        if self.packed == pack_number and isinstance(last, KernelStep) and packs(last, step):
            self.plan.steps[-1] = packed = pack(last, step)
            names = {last.name: packed.name, step.name: packed.name}
            self.kernel_of = {key: names.get(name, name) for key, name in self.kernel_of.items()}
        else:
            self.plan.steps.append(step)
        self.packed = pack_number

    def named(self) -> int:
        """Return the number of the next kernel; picking one of several results is none."""
        return sum(not (isinstance(each, CallStep) and each.node.kind == "Item") for each in self.plan.steps)

    def new_slot(self, node: Expr) -> int:
        self.slot[id(node)] = self.plan.slots
        self.plan.slots += 1
        return self.plan.slots - 1

    def strides(self, node: Expr) -> np.ndarray:
        if node.kind == "Leaf":
            data = np.asarray(node.data)
            return np.lib.stride_tricks.as_strided(np.empty(1, data.dtype), data.shape, data.strides)
        return like(node.dtype, tuple([3 if isinstance(d, Size) else d for d in node.shape]))

    def kernel(self, group: Any, parts: Partition) -> KernelStep:
        name = f"k{self.named()}_{group.roots[-1].node.name}"
        lowered = lower(group, parts, self.strides, name, self.exact)
        inputs = [(_stripped(each), self.slot[id(each.node)]) for each in lowered.inputs]
        outputs = [
            (Output(each.buffer, _bare(each.node), each.appended), self.new_slot(each.node), each.node.shape)
            for each in lowered.outputs
        ]
        inside: dict[int, Expr] = {}
        for root in group.roots:
            for node in (*parts.cone(root.node)[0], root.node):
                inside[id(node)] = node
        for node in inside.values():
            self.kernel_of.setdefault(id(node), name)
        ops = [node.name for node in inside.values() if node.kind not in UNCOUNTED for _ in range(node.calls)]
        lowered.inputs, lowered.outputs = [], []
        step = KernelStep(name, _kind(group, inside.values()), lowered.scheme, lowered, inputs, outputs, tuple(ops))
        step.again = [(each.shape, each.dtype.itemsize) for each in group.again(parts)]
        return self.costed(step, list(inside.values()), group)

    def costed(self, step: Any, inside: list[Expr], group: Group) -> Any:
        """Give a step what it costs, and its other form if it has one."""
        model = device_model()
        step.work.append((group.space, work(inside, model, group.space)))
        step.pattern = group.pattern
        step.branch = branch_of(step.lowered.program, model)
        return step

    def grouped(self, group: Any, parts: Partition) -> GroupStep:
        from workbench.fusion.lower_group import lower_group

        node = group.roots[0].node
        name = f"k{self.named()}_{node.name}"
        found = lower_group(group, parts, self.strides, name, self.exact)
        inputs = [(_stripped(each), self.slot[id(each.node)]) for each in found.lowered.inputs]
        keys = [(_stripped(each), self.slot[id(each.node)]) for each in found.keys]
        found.keys = []
        found.lowered.inputs = []
        inside = [*parts.cone(node)[0], node]
        for each in inside:
            self.kernel_of.setdefault(id(each), name)
        ops = [each.name for each in inside if each.kind not in UNCOUNTED for _ in range(each.calls)]
        originals = tuple([self.places[id(each)] for each in node.inputs])
        outputs = [(node.shape, dtype.itemsize) for dtype in _group_dtypes(node)]
        slot, bare = self.new_slot(node), _bare(node)
        step = GroupStep(name, found, inputs, keys, slot, tuple(ops), bare, originals, outputs, node.shape)
        return self.costed(step, inside, group)

    def call(self, node: Expr) -> CallStep:
        name = f"k{self.named()}_{node.name}"
        inputs = [self.reference(each) for each in node.inputs]
        self.kernel_of.setdefault(id(node), name)
        if getattr(node.data, "__closure__", None) and node.kind == "Extern":
            self.plan.cacheable = False  # what it holds on to, arrays maybe, is of this capture alone
        for size in node.shape:
            if isinstance(size, Size) and size not in self.plan.symbols:
                self.plan.cacheable = False
        sizes = tuple([(each.shape, each.dtype.itemsize) for each in node.inputs if each.kind != "Const"])
        step = CallStep(name, _bare(node), inputs, self.new_slot(node), node.shape, _reason(node), sizes)
        if forcing.places_rows(node):
            step.original = self.places.get(id(node), -1)
        return step

    @functools.cached_property
    def places(self) -> dict[int, int]:
        """Where a node stood in the walk of the captured graph."""
        return {id(self.became[id(each)]): k for k, each in enumerate(self.form.order)}

    def reference(self, node: Expr) -> tuple[Any, ...]:
        if node.kind == "Const":
            return ("const", node.data)
        views = []
        while node.kind == "View":
            views.append((node.name, node.attr("spec"), node.shape))
            node = node.inputs[0]
        return ("slot", self.slot[id(node)], tuple(reversed(views)))

    def describe(self, refused: dict[int, str]) -> None:
        """Note the captured calls: what the plan tells of before, and why some were not fused."""
        plan = self.plan
        number = {id(node): k for k, node in enumerate(self.form.order)}
        plan.nodes = [(node.kind, node.dtype) for node in self.form.order]
        for k, node in enumerate(self.form.order):
            plan.edges += [(number[id(each)], k) for each in node.inputs]
            if node.kind in UNCOUNTED or not node.calls:
                continue
            name = self.kernel_of.get(id(self.became[id(node)]), "")
            plan.rows.append((node.name, node.shape, node.dtype, name, k))
            sizes = [(each.shape, each.dtype.itemsize) for each in node.inputs if each.kind != "Const"]
            plan.before.append((node.calls, [*sizes, (node.shape, node.dtype.itemsize)]))
            step = next((each for each in plan.steps if each.name == name and isinstance(each, CallStep)), None)
            reason = step.reason if step is not None else refused.pop(id(self.became[id(node)]), None)
            if reason is not None:
                plan.reasons.append((node.name, reason, k))

    def uses(self) -> None:
        """Find after which step each slot is free."""
        last: dict[int, int] = {}
        for k, step in enumerate(self.plan.steps):
            if isinstance(step, CallStep):
                slots = [each[1] for each in step.inputs if each[0] == "slot"]
            else:
                slots = [slot for _, slot in step.inputs]
                slots += [slot for _, slot in step.keys] if isinstance(step, GroupStep) else []
            made = [s for _, s, _ in step.outputs] if isinstance(step, KernelStep) else [step.slot]
            for slot in (*slots, *made):
                last[slot] = k
        for each in self.plan.results:
            if each[0] == "slot":
                last.pop(each[1], None)
        self.plan.last_use = [[slot for slot, k in last.items() if k == step] for step in range(len(self.plan.steps))]


def _group_dtypes(node: Expr) -> list[np.dtype]:
    from workbench.fusion.expr import group_dtype

    many = node.attr("keys")
    values = list(node.inputs[many:])
    found = [each.dtype for each in node.inputs[:many]]
    for op in node.attr("ops"):
        found.append(group_dtype(op, None if op == "size" else values.pop(0).dtype))
    return found


def _stripped(each: Input) -> Input:
    return Input(each.buffer, _bare(each.node), each.views, each.drop, each.merge)


def _bare(node: Expr) -> Expr:
    """Return the node without its inputs, or a leaf without its data: a plan that is kept keeps no arrays."""
    data = node.data if node.kind == "Extern" else None
    found = Expr(node.kind, node.name, (), node.attrs, node.dtype, (), node.where, data)
    found.call, found.calls = node.call, node.calls
    return found


def _kind(group: Any, inside: Any) -> str:
    kinds = {node.kind for node in inside}
    if kinds & {"GroupReduce", "Scatter"}:
        return "group"
    if "Reduce" in kinds:
        return "reduce"
    if "Scan" in kinds:
        return "scan"
    return "gather" if kinds & {"Gather"} else "map"


def _reason(node: Expr) -> str:
    if node.kind == "Extern" and node.name in ("matmul", "dot", "tensordot", "vecdot"):
        return "library call (matmul)"
    if node.kind in ("Sort", "Join", "Extern"):
        return f"library call ({node.name})"
    return "unsupported operation"


def run_call(step: CallStep, values: list[Any], length: Callable[[Any], int], threads: int, exact: bool) -> Any:
    """Return the value of a node that is computed as a whole."""
    inputs = [resolve(each, values, length) for each in step.inputs]
    if step.node.kind == "Broadcast":
        return np.broadcast_to(inputs[0], [length(d) for d in step.shape])
    with np.errstate(all="ignore"):
        return whole.compute(step.node, inputs, threads, exact)


def resolve(reference: tuple[Any, ...], values: list[Any], length: Callable[[Any], int]) -> Any:
    """Return the value of a reference to a slot, through its views, or to a constant."""
    if reference[0] == "const":
        return reference[1]
    value = values[reference[1]]
    for how, spec, shape in reference[2]:
        value = view_of(value, how, tuple([length(d) for d in shape]) if how == "reshape" else spec)
    return value


def volume(shape: Sequence[Any], length: Callable[[Any], int]) -> int:
    """Return the number of elements of a shape."""
    return math.prod([length(d) for d in shape])
