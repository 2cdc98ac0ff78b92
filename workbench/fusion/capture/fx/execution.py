"""A region on tensors of the CPU: planned once for each form of its inputs, run on their memory."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from workbench.fusion import cache
from workbench.fusion import expr as ir
from workbench.fusion.capture.fx.calls import dtype_of, value_of
from workbench.fusion.capture.fx.regions import Region, hint
from workbench.fusion.capture.fx.shapes import transpose
from workbench.fusion.expr import Expr
from workbench.fusion.plan.model import generation
from workbench.fusion.prepare import prepare
from workbench.fusion.stepping import Running
from workbench.fusion.steps import KernelStep, Prepared
from workbench.fusion.structure import Structure, structure

__all__ = ["RegionCall", "ordered", "planned"]

#: forms of inputs that a region remembers
MOST_FORMS = 64
_HALF = (torch.float16, torch.bfloat16)


class RegionCall:
    """What computes the outputs of a region.

    Parameters
    ----------
    region : Region
    """

    def __init__(self, region: Region) -> None:
        self.region = region
        self.forms: dict[Any, _Formed] = {}

    def __call__(self, *values: Any) -> list[torch.Tensor]:
        """Return the outputs, given tensors and numbers."""
        key = tuple([(each.shape, each.stride()) if isinstance(each, torch.Tensor) else each for each in values])
        found = self.forms.get(key)
        if found is None:
            while len(self.forms) >= MOST_FORMS:
                del self.forms[next(iter(self.forms))]
            found = self.forms[key] = _Formed(self.region, values)
        return found.run(values)


class _Formed:
    """A region for inputs of one form."""

    def __init__(self, region: Region, values: Sequence[Any]) -> None:
        leaves = [ir.leaf(_array(each)) if isinstance(each, torch.Tensor) else each for each in values]
        roots, self.orders = ordered(region.build(leaves), region)
        self.form, self.plan = planned(roots)
        place = {id(leaf): k for k, leaf in enumerate(leaves)}
        #: for each leaf of the plan the input that it is, or the array of a symbolic number
        self.sources = [(place.get(id(leaf)), leaf.data) for leaf in self.form.leaves]
        self.form.leaves = []
        self.dtypes = region.storage_out
        self.shapes: list[Any] = [root.shape for root in roots]

    def run(self, values: Sequence[Any]) -> list[torch.Tensor]:
        arrays = [data if k is None else _array(values[k]) for k, data in self.sources]
        running = _Running(self.plan, self.form, arrays, torch.get_num_threads())
        for step, free in zip(self.plan.steps, self.plan.last_use, strict=True):
            if isinstance(step, KernelStep):
                running.kernel(step)
            else:
                running.call(step)
            for slot in free:
                running.values[slot] = None
        found = []
        taken: set[int] = set()
        for reference, order, dtype, shape in zip(
            self.plan.results, self.orders, self.dtypes, self.shapes, strict=True
        ):
            value = np.asarray(running.result(reference))
            if reference[0] == "const" or reference[2] or reference[1] < len(self.sources) or reference[1] in taken:
                value = value.copy()  # each output has memory of its own
            if reference[0] == "slot":
                taken.add(reference[1])
            tensor = torch.from_numpy(value.reshape(shape))
            if order is not None:
                tensor = tensor.permute(order)
            found.append(tensor if tensor.dtype == dtype else tensor.to(dtype))
        return found


class _Running(Running):
    """One run of a plan on arrays that stand in the place of those that it was made for."""

    def __init__(self, plan: Prepared, form: Structure, arrays: list[np.ndarray], threads: int) -> None:
        self.plan, self.device, self.threads, self.exact = plan, "cpu", threads, False
        self.lengths = form.lengths[:]
        self.values = [*arrays, *itertools.repeat(None, plan.slots - len(arrays))]


def planned(roots: Sequence[Expr]) -> tuple[Structure, Prepared]:
    """Return the form of expressions and their plan; one plan serves all that have one form."""
    form = structure(roots)
    key = (form.key, False, generation())
    plan = cache.plans.get(key)
    if plan is None:
        plan = prepare(roots, form)
        cache.plans.put(key, plan)
    return form, plan


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
    if data.dtype in _HALF:
        data = data.float()
    if data.is_neg() or data.is_conj():
        data = data.resolve_neg().resolve_conj()
    assert dtype_of(tensor.dtype) is not None
    return data.numpy()
