"""What is said of profiles and plans: in one line, at length, and as the blocks of a view."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.training.units import show_bytes, show_seconds

if TYPE_CHECKING:
    import pandas as pd

    from workbench.training.graph import Profile
    from workbench.training.plan import PipelinePlan, Stage

__all__ = [
    "explained", "plan_blocks", "plan_line", "profile_blocks", "profile_line", "reason", "stage_table",
]  # fmt: skip


def profile_line(profile: Profile) -> str:
    """Return a profile as one line: nodes, time, activations, parameters."""
    nodes = profile.nodes
    batch = f" · batch of {profile.batch_size}" if profile.batch_size is not None else ""
    return (
        f"Profile of {len(nodes)} nodes · {show_seconds(sum(node.forward_ms for node in nodes) / 1000)} forward, "
        f"{show_seconds(sum(node.backward_ms for node in nodes) / 1000)} backward · "
        f"{show_bytes(sum(sum(node.activation_bytes) for node in nodes))} activations · "
        f"{show_bytes(sum(node.parameter_bytes for node in nodes))} parameters{batch}"
    )


def profile_blocks(profile: Profile) -> dict[str, Any]:
    """Return what is to be seen of a profile: a line, bars, the table."""
    from workbench.training.drawing import bars

    svg, alt = bars(profile)
    return {
        "blocks": [
            {"kind": "summary", "text": profile_line(profile)},
            {"kind": "svg", "svg": svg, "alt": alt, "text": ""},
            {"kind": "table", "name": "nodes", "frame": profile.to_pandas()},
        ]
    }


def plan_line(plan: PipelinePlan) -> str:
    """Return a plan as one line: configuration, time, speedups, bytes, memory."""
    most = max((stage.memory_bytes for stage in plan.stages), default=0.0)
    return (
        f"PipelinePlan {plan.config} · {show_seconds(plan.time)} per microbatch · {plan.speedup:.1f}x one machine, "
        f"{plan.speedup_over_data_parallel:.1f}x data parallel · {show_bytes(plan.communication_bytes)} sent, data "
        f"parallel {show_bytes(plan.data_parallel_bytes)} · up to {show_bytes(most)} on a machine"
    )


def plan_blocks(plan: PipelinePlan) -> dict[str, Any]:
    """Return what is to be seen of a plan: a line, the stages over the bars of the nodes, the reason, the table."""
    from workbench.training.drawing import bars

    svg, alt = bars(plan.profile, plan.stages)
    blocks: list[dict[str, Any]] = [
        {"kind": "summary", "text": plan_line(plan)},
        {"kind": "svg", "svg": svg, "alt": alt, "text": ""},
        {"kind": "note", "level": "info", "text": reason(plan)},
    ]
    if plan.options.contracted:
        blocks.append({"kind": "note", "level": "info", "text": plan.options.contracted})
    blocks.append({"kind": "table", "name": "stages", "frame": stage_table(plan)})
    return {"blocks": blocks}


def stage_table(plan: PipelinePlan) -> pd.DataFrame:
    """Return the table of a plan as it is shown: bytes in words, as it has many columns."""
    frame = plan.to_pandas()
    return frame.assign(**{name: frame[name].map(show_bytes) for name in frame if name.endswith("_bytes")})


def reason(plan: PipelinePlan) -> str:
    """Return why the plan is as it is, in one sentence."""
    worst = max(plan.stages, key=lambda stage: stage.time)
    other = (
        f"data parallelism sends {show_bytes(plan.data_parallel_bytes)} and takes "
        f"{show_seconds(plan.data_parallel_time)}"
    )
    if len(plan.stages) == 1:
        if plan.machines_used == 1:
            return "one machine is fastest: whatever would be sent takes longer than it saves"
        return f"no cut is faster than one stage on {plan.machines_used} machines: {other}"
    shrunk = plan.options.activation_compression or 1.0
    heaviest = max(plan.stages[:-1], key=lambda stage: stage.output_bytes)
    return (
        f"the cut after {heaviest.nodes[-1]} sends {show_bytes(2 * heaviest.output_bytes / shrunk)}; {other}; stage "
        f"{worst.index} takes longest ({_limit(plan, worst)})"
    )


def explained(plan: PipelinePlan) -> str:
    """Return a plan at length: what each stage computes, reduces, receives, sends and holds, and which is slowest."""
    rows: list[tuple[str, ...]] = [("stage", "nodes", "on", "compute", "all-reduce", "in", "out", "time", "memory", "")]
    worst = max(plan.stages, key=lambda stage: stage.time)
    for stage in plan.stages:
        first, last = stage.nodes[0], stage.nodes[-1]
        on = "×".join(str(count) for count in reversed(stage.machines))
        parts = plan.options.parts[stage.index] if stage.index < len(plan.options.parts) else None
        sent = (
            [show_seconds(part) for part in parts[:3]] if parts else [show_seconds(stage.communication_seconds), "", ""]
        )
        held = f"{show_bytes(stage.memory_bytes)} ({stage.versions} × weights, {stage.in_flight} × activations)"
        mark = f"<- the slowest: {_limit(plan, stage)}" if stage is worst else ""
        nodes = first if first == last else f"{first} to {last}"
        rows.append(
            (
                str(stage.index),
                nodes,
                on,
                show_seconds(stage.compute_seconds),
                *sent,
                show_seconds(stage.time),
                held,
                mark,
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    formulas = "PipeDream's formulas" if plan.compat else "one half-duplex link for each machine and level"
    lines = [
        plan_line(plan),
        "",
        *table,
        "",
        f"why: {reason(plan)}",
        f"one machine: {show_seconds(plan.single_time)}; data parallel on {plan.cluster.size}: "
        f"{show_seconds(plan.data_parallel_time)}; this plan on {plan.machines_used}: {show_seconds(plan.time)}",
        f"{plan.states} states, {formulas}, schedule {plan.options.schedule}",
    ]
    if plan.options.redundant and any(parts[3] for parts in plan.options.parts):
        lines.append(
            "copies of the next stage: "
            + ", ".join(f"{show_seconds(parts[3])} on stage {index}" for index, parts in enumerate(plan.options.parts))
        )
    if plan.options.contracted:
        lines.append(plan.options.contracted)
    return "\n".join(lines)


def _limit(plan: PipelinePlan, stage: Stage) -> str:
    """Return what bounds a stage: what it computes and reduces, or what it sends and receives."""
    if stage.index >= len(plan.options.parts):
        return "compute" if stage.compute_seconds >= stage.communication_seconds else "the links"
    reduce, taken, given, upkeep = plan.options.parts[stage.index]
    if taken + given + upkeep > stage.compute_seconds + reduce:
        return "its copy on the links" if upkeep > taken + given else "its activations on the links"
    return "compute" if stage.compute_seconds >= reduce else "its all-reduce"
