"""A plan in words: the summary, a line for each kernel, a line for each operation that did not fuse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from workbench.fusion.result import FusionPlan

__all__ = ["explain_plan", "kernel_lines", "reason_lines"]


def explain_plan(plan: FusionPlan, form: Literal["text", "html"] = "text") -> str:
    """Return a plan as text, or as HTML that needs no script.

    Raises
    ------
    FusionError
        For another form.
    """
    from workbench.fusion.errors import FusionError

    if form == "text":
        return "\n".join([plan.summary(), *kernel_lines(plan), *reason_lines(plan)])
    if form == "html":
        from workbench.engine import render

        return str(render.mimebundle(plan)["text/html"])
    raise FusionError(f'Unknown form "{form}".', 'Forms: "text", "html", "dict".')


def kernel_lines(plan: FusionPlan) -> list[str]:
    """Return `name kind scheme ops read written predicted measured pattern` of each kernel, in columns."""
    from workbench.fusion.result import bytes_text

    if not plan.kernels:
        return []
    rows = [("kernel", "kind", "scheme", "ops", "read", "written", "predicted", "measured", "pattern")]
    for kernel in plan.kernels:
        rows.append(
            (
                kernel.name, kernel.kind, kernel.scheme, str(len(kernel.ops)), bytes_text(kernel.bytes_read),
                bytes_text(kernel.bytes_written), _ms(kernel.predicted_ms), _ms(kernel.measured_ms),
                kernel.pattern,
            )
        )  # fmt: skip
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if k < 3 or k == 8 else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def reason_lines(plan: FusionPlan) -> list[str]:
    """Return a line for each operation that did not fuse: what, why, and where it stands."""
    return [
        f"not fused: {row.op}: {row.reason}{f' ({row.where})' if row.where else ''}"
        for row in dict.fromkeys(plan.reason_rows)
    ]


def _ms(value: Any) -> str:
    return "" if value is None else f"{value:.3g} ms"
