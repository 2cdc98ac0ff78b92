"""What is seen of a plan: summary, kernels with predicted beside measured times, and what did not fuse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.fusion.capture.cell import CellResult
    from workbench.fusion.result import FusionPlan

__all__ = ["cell_blocks", "plan_blocks"]


def plan_blocks(plan: FusionPlan) -> dict[str, Any]:
    """Return the blocks of a plan."""
    blocks: list[dict[str, Any]] = [{"kind": "summary", "text": plan.summary()}]
    if plan.max_error is not None:
        blocks.append(_note(f"checked call by call: largest error {plan.max_error:.2g}"))
    blocks.append({"kind": "table", "name": "kernels", "frame": plan.to_pandas()})
    if plan.reason_rows:
        blocks.append({"kind": "table", "name": "not fused", "frame": plan.reasons.drop_duplicates()})
    if plan.op_rows:
        blocks.append({"kind": "table", "name": "captured operations", "frame": plan.ops, "text": False})
    return {"blocks": blocks}


def cell_blocks(result: CellResult) -> dict[str, Any]:
    """Return the blocks of a fused cell: its plan, and the peers if some were raced."""
    found = plan_blocks(result.plan)
    if result.comparison is not None:
        found["blocks"].insert(2, {"kind": "table", "name": "peers", "frame": result.comparison})
    return found


def _note(text: str) -> dict[str, Any]:
    return {"kind": "note", "level": "info", "text": text}
