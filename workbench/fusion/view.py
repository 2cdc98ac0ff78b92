"""What is seen of a plan: the work before and after, kernels with their times, and what did not fuse and why."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from workbench.fusion.capture.cell import CellResult
    from workbench.fusion.result import FusionPlan

__all__ = ["cell_blocks", "elsewhere", "nothing_fused", "plan_blocks"]

#: characters of machine code that a notebook keeps
MOST_TEXT = 60_000


def plan_blocks(plan: FusionPlan) -> dict[str, Any]:
    """Return the blocks of a plan."""
    return {"blocks": _blocks(plan, None)}


def cell_blocks(result: CellResult) -> dict[str, Any]:
    """Return the blocks of a fused cell: its plan, and the peers if some were raced."""
    return {"blocks": _blocks(result.plan, result.comparison, result.ran)}


def elsewhere(plan: FusionPlan, ran: FusionPlan | None) -> list[dict[str, Any]]:
    """Return a note for a plan of a GPU that is not here: where the cell ran, and in what time."""
    if ran is None:
        return []
    text = f"No GPU is here: the cell ran on the CPU ({ran.summary()}), and is planned for {plan.device}"
    text += ", compiled, not run." if plan.compiled else ", not run."
    return [{"kind": "note", "level": "info", "text": text}]


def nothing_fused(plan: FusionPlan) -> list[dict[str, Any]]:
    """Return a note for a plan without a single operation, which says what would have been one."""
    if plan.kernels or plan.reason_rows:
        return []
    text = (
        "Nothing was fused: that begins at arrays and tables that the cell reads by name, and ends at .to_numpy(), "
        "float() and print(). For the array of a column, .values goes on."
    )
    return [{"kind": "note", "level": "info", "text": text}]


def _blocks(plan: FusionPlan, comparison: pd.DataFrame | None, ran: FusionPlan | None = None) -> list[dict[str, Any]]:
    from workbench.fusion import drawing
    from workbench.fusion.explain import compiled_lines, compiled_table, kernel_lines

    blocks: list[dict[str, Any]] = [{"kind": "summary", "text": plan.summary()}]
    blocks += elsewhere(plan, ran)
    blocks += nothing_fused(plan)
    if plan.max_error is not None:
        blocks.append(
            {"kind": "note", "level": "info", "text": f"checked call by call: largest error {plan.max_error:.2g}"}
        )
    blocks += _switch(drawing.before(plan), drawing.after(plan))
    lines = "\n".join(kernel_lines(plan))
    kernels = plan.to_pandas()
    kernels.insert(3, "pattern", [kernel.pattern for kernel in plan.kernels])
    if plan.planned_only:
        kernels = kernels.drop(columns=["compile_ms", "cache"]).assign(measured_ms="not measured")
    blocks.append({"kind": "table", "name": "kernels", "frame": kernels, "text": lines})
    if plan.compiled:
        lines = "\n".join(compiled_lines(plan))
        blocks.append({"kind": "table", "name": "compiled, not run", "frame": compiled_table(plan), "text": lines})
    if plan.reason_rows:
        rows = [f"{row.op}: {row.reason}{f' ({row.where})' if row.where else ''}" for row in plan.reason_rows]
        blocks.append({"kind": "note", "level": "info", "text": "\n".join(_lines("not fused:", rows))})
    if comparison is not None:
        blocks += _picture(drawing.peers(comparison))
        blocks.append({"kind": "table", "name": "peers", "frame": comparison})
    if plan.op_rows:
        blocks.append({"kind": "table", "name": "captured operations", "frame": plan.ops, "text": False})
    texts = (("loop IR", "ir", plan.ir), ("Triton", "triton", plan.triton), ("assembly", "asm", plan.asm))
    for name, language, text in texts:
        if text:
            many = text.count("\n") + 1
            cut = text if len(text) <= MOST_TEXT else f"{text[:MOST_TEXT]}\n… all of it: plan.{language}"
            blocks.append({"kind": "code", "language": language, "text": cut, "fold": f"{name} ({many:,} lines)"})
    return blocks


def _picture(drawn: tuple[str, str] | None) -> list[dict[str, Any]]:
    # the tables say all of it in text
    return [] if drawn is None else [{"kind": "svg", "svg": drawn[0], "alt": drawn[1], "text": ""}]


def _switch(before: tuple[str, str] | None, after: tuple[str, str] | None) -> list[dict[str, Any]]:
    """Return the two pictures of the work, of which one is open at a time."""
    found = [*_picture(before), *_picture(after)]
    if len(found) == 2:
        group = f"wb-{zlib.crc32((found[0]['svg'] + found[1]['svg']).encode()):08x}"
        for block, fold in zip(found, ("Before", "After"), strict=True):
            block.update({"fold": fold, "open": fold == "After", "group": group})
    return found


def _lines(first: str, rows: list[str], most: int = 20) -> list[str]:
    """Return a line for each reason, each once."""
    found = list(dict.fromkeys(rows))
    lines = [f"{first} {row}" for row in found[:most]]
    return lines if len(found) <= most else [*lines, f"… and {len(found) - most} more: plan.reasons"]
