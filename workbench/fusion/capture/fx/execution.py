"""A region on tensors of the CPU: planned once for each form of its inputs, run on their memory."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from workbench.fusion import cache
from workbench.fusion import expr as ir
from workbench.fusion.capture.fx.again import HALF, Again, Unfit
from workbench.fusion.capture.fx.boundaries import boundaries
from workbench.fusion.capture.fx.calls import dtype_of, value_of
from workbench.fusion.capture.fx.regions import Region, hint, stand_in, where_of
from workbench.fusion.capture.fx.shapes import transpose
from workbench.fusion.capture.fx.writing import places
from workbench.fusion.expr import Expr
from workbench.fusion.plan.model import generation
from workbench.fusion.prepare import prepare
from workbench.fusion.result import FusionPlan, ReasonRow
from workbench.fusion.run import report
from workbench.fusion.stepping import Running
from workbench.fusion.steps import KernelStep, Prepared
from workbench.fusion.structure import Structure, structure
from workbench.fusion.telling import where_text

__all__ = ["RegionCall", "ordered", "planned"]

#: forms of inputs that a region remembers
MOST_FORMS = 64
clock = time.perf_counter


class RegionCall:
    """What computes the outputs of a region.

    Parameters
    ----------
    region : Region
    exact : bool
        No reassociation, no contraction.
    """

    def __init__(self, region: Region, exact: bool = False) -> None:
        self.region, self.exact = region, exact
        self.forms: dict[Any, _Formed] = {}
        self.last: _Formed | None = None
        self.example: _Formed | None = None
        #: why torch computed it, once it did
        self.reasons: list[ReasonRow] = []

    def plan(self) -> FusionPlan:
        """Return the plan of the form that ran last, with its times, or of the example's without any."""
        plan = self._formed().shown()
        plan.reason_rows += self.reasons
        return plan

    def copied(self) -> int:
        """Return how many elements are copied into another order of memory, before kernels and after them."""
        return self._formed().copied()

    def _formed(self) -> _Formed:
        """Return the form that ran last, else that of the example."""
        if self.last is not None:
            return self.last
        if self.example is None:
            values = [value_of(each) for each in self.region.inputs]
            shown = [stand_in(each) if isinstance(each, torch.Tensor) else hint(each) for each in values]
            self.example = _Formed(self.region, shown, self.exact)
        return self.example

    def __call__(self, *values: Any) -> list[torch.Tensor]:
        """Return the outputs, given tensors and numbers."""
        last = self.last
        if last is not None and last.again is not None:
            try:
                outputs = last.again.run(values, last.measured)
            except MemoryError:  # before any kernel has run
                return self.by_torch(values)
            if outputs is not None:
                return outputs
        key = tuple([(each.shape, each.stride()) if isinstance(each, torch.Tensor) else each for each in values])
        found = self.forms.get(key)
        if found is None:
            while len(self.forms) >= MOST_FORMS:
                del self.forms[next(iter(self.forms))]
            found = self.forms[key] = _Formed(self.region, values, self.exact)
        self.last = found
        try:
            return found.run(values)
        except MemoryError as error:
            if found.direct:  # something may be written over already
                from workbench.fusion import room

                raise room.shortage(found.plan, found.form) from error
            return self.by_torch(values)

    def by_torch(self, values: Sequence[Any]) -> list[torch.Tensor]:
        """Return the outputs as torch computes them, operator after operator: it needs less memory at a time."""
        from workbench.fusion.capture.fx.checking import EagerCall

        node = self.region.outputs[-1]
        name = getattr(getattr(node.target, "overloadpacket", node.target), "__name__", node.name)
        row = ReasonRow(name, "out of memory", where_text(where_of(node)))
        if row not in self.reasons:
            self.reasons.append(row)
        return EagerCall(self.region)(*values)


class _Formed:
    """A region for inputs of one form."""

    def __init__(self, region: Region, values: Sequence[Any], exact: bool) -> None:
        arrays = [_array(each) if isinstance(each, torch.Tensor) else each for each in values]
        leaves = [ir.leaf(each) if isinstance(each, np.ndarray) else each for each in arrays]
        start = time.perf_counter()
        roots, self.orders = ordered(region.build(leaves), region)
        self.form, self.plan, self.how = planned(roots, exact)
        self.plan_ms = 1e3 * (time.perf_counter() - start)
        self.exact = exact
        self.measured: list[float | None] = [None] * len(self.plan.steps)
        place = {id(leaf): k for k, leaf in enumerate(leaves)}
        #: for each leaf of the plan the input that it is, or the array of a symbolic number
        self.sources = [(place.get(id(leaf)), leaf.data) for leaf in self.form.leaves]
        self.dtypes = region.storage_out
        self.writes = dict(region.writes)
        self.direct = self._direct(arrays)
        self.form.leaves = []
        for node in self.form.order:  # arrays are those of one call
            if node.kind == "Leaf":
                node.data = None
        self.shapes: list[Any] = [root.shape for root in roots]
        #: how it runs from the second time on, if that is known
        self.again: Again | None = None
        self.tried = exact

    def _direct(self, arrays: Sequence[Any]) -> dict[int, list[tuple[str, int]]]:
        """Return for each step the buffers that are inputs written over, and which: those that can be."""
        found: dict[int, list[tuple[str, int]]] = {}
        slots = {k: slot for slot, (k, _) in enumerate(self.sources) if k is not None}
        for made, to in self.writes.items():
            fits = self.orders[made] is None and self.dtypes[made] not in HALF and arrays[to].flags.c_contiguous
            place = places(self.plan, self.plan.results[made], slots.get(to)) if fits else None
            if place is not None:
                found.setdefault(place[0], []).append((place[1], to))
        return found

    def run(self, values: Sequence[Any]) -> list[torch.Tensor]:
        arrays = [data if k is None else _array(values[k]) for k, data in self.sources]
        running = _Running(self.plan, self.form, arrays, torch.get_num_threads(), self.exact)
        running.direct = {
            id(self.plan.steps[k]): [(name, _array(values[to])) for name, to in some] for k, some in self.direct.items()
        }
        measured: list[float | None] = []
        for step, free in zip(self.plan.steps, self.plan.last_use, strict=True):
            start = clock()
            compiling = 0.0
            if isinstance(step, KernelStep):
                running.kernel(step)
                compiling = step.compile_ms
            else:
                running.call(step)
            for slot in free:
                running.values[slot] = None
            measured.append(1e3 * (clock() - start) - compiling)
        self.measured = measured
        if not self.tried:
            self.tried = True
            self.again = self._again(values, arrays, running)
        found = []
        taken: set[int] = set()
        told = zip(self.plan.results, self.orders, self.dtypes, self.shapes, strict=True)
        for k, (reference, order, dtype, shape) in enumerate(told):
            value = np.asarray(running.result(reference))
            if reference[0] == "const" or reference[2] or reference[1] < len(self.sources) or reference[1] in taken:
                value = value.copy()  # each output has memory of its own
            if reference[0] == "slot":
                taken.add(reference[1])
            tensor = torch.from_numpy(value.reshape(shape))
            if order is not None:
                tensor = tensor.permute(order)
            tensor = tensor if tensor.dtype == dtype else tensor.to(dtype)
            to = self.writes.get(k)
            if to is not None and tensor.data_ptr() != values[to].data_ptr():
                values[to].detach().copy_(tensor)
            found.append(tensor)
        return found

    def _again(self, values: Sequence[Any], arrays: list[np.ndarray], running: _Running) -> Again | None:
        told = list(zip(self.dtypes, self.orders, self.shapes, strict=True))
        try:
            return Again(
                self.plan, values, arrays, self.sources, running.length, running.sizes, told, self.writes, self.direct
            )
        except Unfit:
            return None

    def copied(self) -> int:
        """Return how many elements are copied because they lie in another order than they are asked for."""
        known = zip(self.plan.results, self.shapes, strict=True)
        total = sum(math.prod(shape) for reference, shape in known if reference[0] == "slot" and reference[2])
        for step in self.plan.steps:
            for each, _, _ in step.bindings if isinstance(step, KernelStep) else ():
                turned = [k for k, (how, _, _) in enumerate(each.views) if how == "transpose"]
                last = len(each.views) if any(len(axes) > 1 for axes in each.merge) else 0
                last = max([last, *[k for k, (how, _, _) in enumerate(each.views) if how == "reshape"]])
                if turned and turned[0] < last:
                    total += math.prod([self.plan.length(d, self.form.lengths) for d in each.views[-1][2]])
        return total

    def shown(self) -> FusionPlan:
        """Return the plan as people see it."""
        found = report(self.plan, self.form, self.form.lengths, "cpu", self.how, self.plan_ms, self.measured, 1)
        order = self.form.order
        for op, reason, k in boundaries(self.plan, self.form.lengths):
            found.reason_rows.append(ReasonRow(op, reason, where_text(order[k].where)))
        return found


class _Running(Running):
    """One run of a plan on arrays that stand in the place of those that it was made for."""

    def __init__(self, plan: Prepared, form: Structure, arrays: list[np.ndarray], threads: int, exact: bool) -> None:
        self.plan, self.device, self.threads, self.exact = plan, "cpu", threads, exact
        self.lengths = form.lengths[:]
        self.direct: dict[int, list[tuple[str, np.ndarray]]] = {}
        self.values = [*arrays, *itertools.repeat(None, plan.slots - len(arrays))]

    def sizes(self, step: KernelStep) -> dict[str, int]:
        """Return the numbers of a program's symbols."""
        return self._sizes(step)

    def written(self, step: KernelStep, sizes: dict[str, int]) -> dict[str, np.ndarray]:
        found = {}
        for name, array in self.direct.get(id(step), ()):
            shape = [d if isinstance(d, int) else sizes[d] for d in step.lowered.program.buffer(name).shape]
            found[name] = array.reshape(shape)
        return found


def planned(roots: Sequence[Expr], exact: bool = False) -> tuple[Structure, Prepared, str]:
    """Return the form of expressions, their plan, and whether it was known; one plan serves all of one form."""
    form = structure(roots)
    key = (form.key, exact, generation())
    plan = cache.plans.get(key)
    if plan is not None:
        return form, plan, "hit"
    plan = prepare(roots, form, exact=exact)
    cache.plans.put(key, plan)
    return form, plan, "miss"


def ordered(roots: Sequence[Expr], region: Region) -> tuple[list[Expr], list[tuple[int, ...] | None]]:
    """Return outputs as they lie in memory, which is how torch has laid them out, and how to look at each.

    Kernels write arrays whose last dimension is dense; another order of memory is one of dimensions.
    """
    found: list[Expr] = []
    looks: list[tuple[int, ...] | None] = []
    for root, node in zip(roots, region.outputs, strict=True):
        strides = [hint(s) for s in value_of(node).stride()]
        order = sorted(range(root.ndim), key=lambda k: (-strides[k], k))
        if order == list(range(root.ndim)):
            found.append(root)
            looks.append(None)
            continue
        found.append(transpose(root, order))
        looks.append(tuple(np.argsort(order).tolist()))
    return found, looks


def _array(tensor: torch.Tensor) -> np.ndarray:
    """Return a tensor's memory; 16-bit floats become float32."""
    data = tensor.detach()
    if data.dtype in HALF:
        data = data.float()
    if data.is_neg() or data.is_conj():
        data = data.resolve_neg().resolve_conj()
    assert dtype_of(tensor.dtype) is not None
    return data.numpy()
