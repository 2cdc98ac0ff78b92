"""The plan of a region that is not our kernels'."""

from __future__ import annotations

import torch

from workbench.fusion.capture.fx.calls import value_of
from workbench.fusion.capture.fx.regions import VIEWS, Region, bytes_of, hint, where_of
from workbench.fusion.result import FusionPlan, Kernel, OpRow, ReasonRow
from workbench.fusion.telling import shape_text, where_text

__all__ = ["whole_plan"]


def whole_plan(
    region: Region, kind: str, measured_ms: float | None, reason: str = "", predicted: float | None = None
) -> FusionPlan:
    """Return the plan of a region that is shown as one kernel.

    Parameters
    ----------
    region : Region
    kind : {"inductor", "fallback"}
    measured_ms : float or None
        Of the last run.
    reason : str
        Why it is not ours, told of each operator.
    predicted : float, optional
        Milliseconds; by default what moving inputs and outputs takes.
    """
    from workbench.fusion.plan.model import device_model, predicted_ms

    model = device_model()
    read, written = sum(map(bytes_of, region.inputs)), sum(map(bytes_of, region.outputs))
    ms = predicted_ms(model, read + written, 0.0) if predicted is None else predicted
    nodes = [n for n in region.nodes if isinstance(n.target, torch._ops.OpOverload) and n.target not in VIEWS]
    names = tuple(node.target.overloadpacket.__name__ for node in nodes)
    name = "k0_inductor" if kind == "inductor" else f"k0_{names[-1] if names else 'copy'}"
    kernel = Kernel(name, kind, "none", names, read, written, ms, measured_ms, model.memory, 0.0, "hit")
    plan = FusionPlan(device="cpu", cache="miss" if kind == "inductor" else "hit", kernels=[kernel])
    for op, node in zip(names, nodes, strict=True):
        value = value_of(node)
        shape = shape_text(tuple(map(hint, value.shape))) if isinstance(value, torch.Tensor) else ""
        dtype = str(value.dtype).removeprefix("torch.") if isinstance(value, torch.Tensor) else ""
        where = where_text(where_of(node))
        plan.op_rows.append(OpRow(op, shape, dtype, kernel.name, where))
        if reason:
            plan.reason_rows.append(ReasonRow(op, reason, where))
    shown = [{"id": k, "op": row.op, "kind": "Extern", "dtype": row.dtype, "kernel": name, "where": row.where}
             for k, row in enumerate(plan.op_rows)]  # fmt: skip
    at = {node: k for k, node in enumerate(nodes)}
    edges = [{"from": at[each], "to": k} for node, k in at.items() for each in node.all_input_nodes if each in at]
    plan.graph = {"nodes": shown, "edges": edges}
    return plan
