"""A plan in words: the summary, a line for each kernel, a line for each operation that did not fuse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from workbench.fusion.result import bytes_text

if TYPE_CHECKING:
    import pandas as pd

    from workbench.fusion.result import FusionPlan

__all__ = ["compiled_lines", "compiled_table", "explain_plan", "kernel_lines", "reason_lines"]


def explain_plan(plan: FusionPlan, form: Literal["text", "html"] = "text") -> str:
    """Return a plan as text, or as HTML that needs no script.

    Raises
    ------
    FusionError
        For another form.
    """
    from workbench.fusion.errors import FusionError

    if form == "text":
        return "\n".join([plan.summary(), *kernel_lines(plan), *compiled_lines(plan), *reason_lines(plan)])
    if form == "html":
        from workbench.engine import render

        return str(render.mimebundle(plan)["text/html"])
    raise FusionError(f'Unknown form "{form}".', 'Forms: "text", "html", "dict".')


def kernel_lines(plan: FusionPlan) -> list[str]:
    """Return `name kind scheme ops read written predicted measured pattern` of each kernel, in columns."""
    if not plan.kernels:
        return []
    rows = [("kernel", "kind", "scheme", "ops", "read", "written", "predicted", "measured", "pattern")]
    for kernel in plan.kernels:
        rows.append(
            (
                kernel.name, kernel.kind, kernel.scheme, str(len(kernel.ops)), bytes_text(kernel.bytes_read),
                bytes_text(kernel.bytes_written), _ms(kernel.predicted_ms),
                "not measured" if plan.planned_only else _ms(kernel.measured_ms),
                kernel.pattern,
            )
        )  # fmt: skip
    return _columns(rows, (0, 1, 2, 8))


def compiled_table(plan: FusionPlan) -> pd.DataFrame:
    """Return what was read from the code of each kernel that was compiled without running it: one row a kernel."""
    import pandas as pd

    names = ("name", "arch", "registers", "spills", "shared_bytes", "vector_bytes", "num_warps", "resident_blocks")
    return pd.DataFrame({name: [getattr(each, name) for each in plan.compiled] for name in names})


def compiled_lines(plan: FusionPlan) -> list[str]:
    """Return the same in columns."""
    frame = compiled_table(plan)
    rows = [tuple(map(str, row)) for row in frame.itertuples(index=False)]
    return _columns([tuple(frame.columns), *rows], (0, 1)) if rows else []


def _columns(rows: Sequence[Sequence[str]], left: Sequence[int]) -> list[str]:
    """Return rows of words as lines; columns are set to the right but for those that are named."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if k in left else cell.rjust(width)
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
