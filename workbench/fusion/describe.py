"""A plan written down: its kernels with traffic and times, the captured calls, and why some did not fuse."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from workbench.fusion.loop import text
from workbench.fusion.result import Kernel, OpRow, ReasonRow
from workbench.fusion.steps import GroupStep, KernelStep, Prepared
from workbench.fusion.telling import where_text

__all__ = ["described", "predictions"]

#: rows that a thread takes at a time
_CHUNK = 65_536


def described(
    plan: Prepared,
    lengths: Sequence[Any],
    wheres: Sequence[Any],
    names: Sequence[Any],
    facts: Sequence[tuple[float, str, Any]],
    measured: Sequence[float | None],
    threads: int = 1,
) -> dict[str, Any]:
    """Return the fields of a `FusionPlan`.

    Parameters
    ----------
    plan : Prepared
    lengths : sequence of int
        By number, as the run had them.
    wheres, names : sequence
        Source position, and (kind, name, dtype), of each node of the captured graph.
    facts : sequence of (float, str, object)
        Compile time and cache of each step, and the form of it that ran: the step itself or its branch.
    measured : sequence of float or None
        Milliseconds of each step.
    threads : int
        That may work.
    """
    from workbench.fusion.plan.model import device_model

    length, volume = _measures(plan, lengths)
    kernels = []
    model = device_model()
    told = zip(plan.steps, facts, measured, predictions(plan, lengths, threads), strict=True)
    for step, (compile_ms, cached, form), ms, (read, written, predicted) in told:
        if isinstance(step, KernelStep | GroupStep):
            program = step.lowered.program if form is step else form.program
            kind, scheme = ("group", "global") if isinstance(step, GroupStep) else (step.kind, step.scheme)
            kernel = Kernel(step.name, kind, scheme, step.ops, read, written, predicted, ms, model.memory)
            kernel.compile_ms, kernel.cache, kernel.ir = compile_ms, cached, text(program)
            kernel.program = program
            kernel.pattern = step.pattern
            kernel.asm = getattr(form.compiled, "asm", "") or ""
            kernels.append(kernel)
        elif step.node.kind != "Item":
            kind = {"Sort": "sort", "Join": "join", "GroupReduce": "group"}.get(step.node.kind, "extern")
            kernels.append(
                Kernel(
                    step.name, kind, "none", (step.node.name,), read, written, predicted, ms, model.memory, 0.0, "hit"
                )
            )
    ops = [
        OpRow(
            op,
            "(" + ", ".join(str(length(d)) for d in shape) + ("," if len(shape) == 1 else "") + ")",
            str(dtype),
            kernel,
            where_text(wheres[k]),
        )
        for op, shape, dtype, kernel, k in plan.rows
    ]
    before = sum(times * sum(volume(shape) * size for shape, size in sizes) for times, sizes in plan.before)
    kernel_of = {row[4]: row[3] for row in plan.rows}
    nodes = [
        {
            "id": k,
            "op": name,
            "kind": kind,
            "dtype": str(dtype),
            "kernel": kernel_of.get(k, ""),
            "where": where_text(wheres[k]),
        }
        for k, (kind, name, dtype) in enumerate(names)
    ]
    return {
        "kernels": kernels,
        "kernels_before": sum(times for times, _ in plan.before),
        "bytes_before": before,
        "op_rows": ops,
        "reason_rows": [ReasonRow(op, reason, where_text(wheres[k])) for op, reason, k in plan.reasons],
        "graph": {"nodes": nodes, "edges": [{"from": a, "to": b} for a, b in plan.edges]},
    }


def predictions(plan: Prepared, lengths: Sequence[Any], threads: int = 1) -> list[tuple[int, int, float]]:
    """Return for each step the bytes that it reads and writes, and the milliseconds of the latency model."""
    from workbench.fusion.plan.model import device_model, predicted_ms

    _, volume = _measures(plan, lengths)
    model, found = device_model(), []
    for step in plan.steps:
        if isinstance(step, KernelStep | GroupStep):
            read, written = _traffic(step, plan, lengths, volume)
            ns = sum(cost * max(volume(space), 1) for space, cost in step.work)
            chunks = max(volume(space) // _CHUNK for space, _ in step.work)
            again = sum(volume(shape) * size for shape, size in step.again) if isinstance(step, KernelStep) else 0
            ms = predicted_ms(model, read + written + again, ns, max(1, min(threads, chunks)))
        else:
            read = sum(volume(shape) * size for shape, size in step_inputs(step, plan))
            written = volume(step.shape) * step.node.dtype.itemsize
            ms = predicted_ms(model, read + written, _called_ns(step, volume)) if step.node.kind != "Item" else 0.0
        found.append((read, written, ms))
    return found


def _measures(plan: Prepared, lengths: Sequence[Any]) -> tuple[Callable[[Any], int], Callable[[Any], int]]:
    """Return what gives a length, and the number of elements of a shape."""

    def length(d: Any) -> int:
        found = plan.length(d, lengths)
        return found if isinstance(found, int) else 1000

    return length, lambda shape: math.prod([length(d) for d in shape])


def _traffic(step: Any, plan: Prepared, lengths: Sequence[Any], volume: Any) -> tuple[int, int]:
    """Return bytes read and written: each array once."""
    program = step.lowered.program
    sizes = {name: volume(ds) for name, ds in step.lowered.sizes.items()}
    read: dict[int, int] = {}
    for each, slot in step.inputs:
        buffer = program.buffer(each.buffer)
        count = math.prod([d if isinstance(d, int) else sizes[d] for d in buffer.shape])
        # views of one array overlap more often than not
        read[slot] = max(read.get(slot, 0), count * each.node.dtype.itemsize)
    if isinstance(step, GroupStep):
        return sum(read.values()), sum(volume(shape) * size for shape, size in step.outputs)
    written = sum(volume(shape) * output.node.dtype.itemsize for output, _, shape in step.outputs)
    return sum(read.values()), written


def _called_ns(step: Any, volume: Any) -> float:
    """Return nanoseconds that a library takes for a node: what sorts or looks up takes longer the more there is."""
    many = max([volume(step.shape), *[volume(shape) for shape, _ in step.sizes]])
    sorts = step.node.kind in ("Sort", "Join", "GroupReduce") or step.node.name in ("sort", "argsort", "unique")
    return float(many * (2.0 * math.log2(max(many, 2)) if sorts else 5.0))


def step_inputs(step: Any, plan: Prepared) -> list[tuple[Any, int]]:
    """Return shape and itemsize of what a library call reads."""
    return list(step.sizes)
