"""Captured work on the GPU: what there are kernels for is sent there and back, and planned where there is none."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from workbench.fusion.capture.storage import owned
from workbench.fusion.expr import Expr
from workbench.fusion.gpu.driver import available, interpreting
from workbench.fusion.gpu.graphs import add_launches
from workbench.fusion.gpu.planning import Planned, device_of, planned, program_of_plan
from workbench.fusion.gpu.tasks import Unsupported
from workbench.fusion.plan.inline import base_of
from workbench.fusion.plan.model import DeviceModel, device_model
from workbench.fusion.result import FusionPlan, ReasonRow, merged
from workbench.fusion.telling import where_text

__all__ = ["available", "compile_ahead", "computed", "forecast"]

#: computes expressions on the CPU, and gives their values and the plan that ran; or only plans them
OnCPU = Callable[[Sequence[Expr]], tuple[list[Any], FusionPlan]]


def computed(exprs: Sequence[Expr], on_cpu: OnCPU) -> tuple[list[Any], FusionPlan]:
    """Return the values of expressions, as NumPy has them, and the plan that ran.

    Those that there are no kernels for, as those that keep filtered rows, are computed by `on_cpu`, and the plan says
    which and why.
    """
    parts = _divided(exprs, device_of())
    values: list[Any] = [None] * len(exprs)
    plans = []
    begin = time.perf_counter()
    measured: list[float] = []
    try:
        tensors = program_of_plan(parts.found, [])(measured=measured) if parts.found is not None else []
    except Unsupported as reason:  # the device refuses a kernel
        node = exprs[parts.ours[-1]]
        parts.reasons.append(ReasonRow(node.name, str(reason), where_text(node.where)))
        parts.found, parts.ours, parts.rest = None, [], list(range(len(exprs)))
    if parts.found is not None:
        leaves = [node for node in parts.found.captured if node.kind == "Leaf"]
        arrays = [each.cpu().numpy()[()] for each in tensors]
        ours = owned([exprs[k] for k in parts.ours], arrays, leaves)
        for k, value in zip(parts.ours, ours, strict=True):
            values[k] = value
        plan = _plan(parts, parts.found, parts.model)
        plan.device, plan.run_ms = "triton-interpreter" if interpreting() else "cuda", 0.0
        for kernel, ms in zip(plan.kernels, measured, strict=True):
            kernel.measured_ms = ms
        plan.run_ms = 1e3 * (time.perf_counter() - begin)
        plans.append(plan)
    if parts.rest:
        others, plan = on_cpu([exprs[k] for k in parts.rest])
        for k, value in zip(parts.rest, others, strict=True):
            values[k] = value
        plans.append(plan)
    return values, _whole(plans, parts)


def forecast(exprs: Sequence[Expr], on_cpu: OnCPU, device: str = "") -> FusionPlan:
    """Return the plan of expressions for a GPU that need not be here; nothing runs.

    Parameters
    ----------
    exprs : sequence of Expr
    on_cpu : callable
        Plans those that there are no kernels for.
    device : str
        As "cuda:sm_90"; by default that of this machine, else that.
    """
    model = device_model(device) if device else device_of()
    parts = _divided(exprs, model)
    plans = [] if parts.found is None else [_plan(parts, parts.found, model)]
    if parts.rest:
        plans.append(on_cpu([exprs[k] for k in parts.rest])[1])
    found = _whole(plans, parts)
    found.device = model.device
    return found


def compile_ahead(plan: FusionPlan) -> None:
    """Compile the kernels of a plan for the GPU that it names; without Triton, or where one fails, say so in it."""
    if not plan.sources:
        return
    from workbench.fusion.gpu.aot import aot

    try:
        aot(plan, plan.device.partition(":")[2])
    except Exception as error:  # Triton is there for Linux on x86-64 only
        plan.reason_rows.append(ReasonRow("compiling ahead", _first_line(error), ""))


@dataclass(eq=False)
class _Parts:
    """Expressions by who computes them, by their places."""

    model: DeviceModel
    found: Planned | None
    ours: list[int]
    rest: list[int]
    reasons: list[ReasonRow] = field(default_factory=list)
    plan_ms: float = 0.0


def _divided(exprs: Sequence[Expr], model: DeviceModel) -> _Parts:
    """Return which expressions there are kernels for, with these."""
    begin = time.perf_counter()
    reasons: list[ReasonRow] = []
    ours = [k for k, each in enumerate(exprs) if base_of(each).kind not in ("Leaf", "Const")]
    found = _planned([exprs[k] for k in ours], model, reasons if len(ours) == 1 else [])
    if found is None and len(ours) > 1:  # those that can go by themselves
        ours = [k for k in ours if _planned([exprs[k]], model, reasons) is not None]
        found = _planned([exprs[k] for k in ours], model, reasons)
    ours = ours if found is not None else []
    rest = [k for k in range(len(exprs)) if k not in ours]
    reasons = list(dict.fromkeys(reasons))
    return _Parts(model, found, ours, rest, reasons, 1e3 * (time.perf_counter() - begin))


def _planned(exprs: Sequence[Expr], model: DeviceModel, reasons: list[ReasonRow]) -> Planned | None:
    """Return the kernels of expressions; None if there are not for all, and why is added."""
    if not exprs:
        return None
    try:
        found = planned(exprs, model)
    except Exception as error:  # a type or a form that kernels do not have
        node = exprs[-1]
        reasons.append(ReasonRow(node.name, _first_line(error), where_text(node.where)))
        return None
    if any(base_of(each).kind == "Leaf" for each in found.roots):
        return None  # nothing is left to compute
    if len(found.kernels) == len(found.sources) and not found.parts.calls:
        return found
    told = found.reasons or [(exprs[-1], "unsupported operation")]
    reasons += [ReasonRow(node.name, reason, where_text(node.where)) for node, reason in told]
    return None


def _plan(parts: _Parts, found: Planned, model: DeviceModel) -> FusionPlan:
    plan = FusionPlan(device=model.device)
    add_launches(plan, found, model)
    plan.plan_ms = parts.plan_ms
    plan.triton = "\n\n".join(each.text for each in plan.sources)
    _tell_before(plan, found.captured)
    return plan


def _tell_before(plan: FusionPlan, order: Sequence[Expr]) -> None:
    """Note what the captured calls move if each is computed by itself, as on the CPU."""
    for node in order:
        if node.kind in ("Leaf", "Const", "Item", "View", "Broadcast") or not node.calls:
            continue
        plan.kernels_before += node.calls
        read = sum(_size(each) for each in node.inputs if each.kind != "Const")
        plan.bytes_before += node.calls * (read + _size(node))


def _size(node: Expr) -> int:
    many = 1
    for d in node.shape:
        many *= d if isinstance(d, int) else getattr(d, "value", None) or 1
    return many * node.dtype.itemsize


def _whole(plans: Sequence[FusionPlan], parts: _Parts) -> FusionPlan:
    found = plans[0] if len(plans) == 1 else merged(plans)
    found.segments = 1
    if not parts.ours:
        found.plan_ms += parts.plan_ms
    found.reason_rows += [row for row in parts.reasons if row not in found.reason_rows]
    return found


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
