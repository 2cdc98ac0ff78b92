"""Forcing: expressions in, values and a plan out."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from workbench.fusion import cache, errors, forcing, long, whole
from workbench.fusion.capture.fallback import unreported
from workbench.fusion.capture.storage import owned, sample
from workbench.fusion.cpu.watch import watching
from workbench.fusion.eager import evaluate
from workbench.fusion.expr import Expr, Fallback, Size
from workbench.fusion.graph import walk
from workbench.fusion.plan.calibrate import measured_here
from workbench.fusion.plan.model import calibrated, generation
from workbench.fusion.prepare import prepare
from workbench.fusion.result import FusionPlan, Kernel, OpRow, ReasonRow
from workbench.fusion.stepping import Running
from workbench.fusion.steps import CallStep, GroupStep, KernelStep, Prepared
from workbench.fusion.structure import Structure, structure
from workbench.fusion.telling import nbytes, shape_text, tell_fallbacks, where_text

__all__ = ["DEVICES", "checked_device", "force", "plan_of", "report"]

DEVICES = ("auto", "cpu", "cuda", "interpreter", "triton-interpreter", "eager")
#: those of kernels in Triton
ON_GPU = ("cuda", "triton-interpreter")

#: nodes beyond which a graph is not compiled: making kernels would take longer than the work
MOST_NODES = 8_000
#: milliseconds that a plan is to take before the machine is measured, and elements below which none takes so long
WORTH_MEASURING, FEWEST = 50.0, 500_000
#: the part of the time that computing takes at the least: the rest may be memory's
MAYBE_LONG = 0.05
#: nanoseconds an element of a library's call, at the least
_CALL_NS = 5.0

#: compile time, cache and form of a library's call
_CALLED: tuple[float, str, Any] = (0.0, "hit", None)
#: how many threads may work
_THREADS = "WORKBENCH_FUSION_THREADS"


def force(
    exprs: Sequence[Expr],
    *,
    device: str = "auto",
    threads: int | None = None,
    exact: bool = False,
    check: bool = False,
) -> tuple[list[Any], FusionPlan]:
    """Return the values of expressions, computed in one plan, and that plan.

    Parameters
    ----------
    exprs : sequence of Expr
    device : {"auto", "cpu", "cuda", "interpreter", "triton-interpreter", "eager"}
    threads : int, optional
        Default: the CPUs that this process may use.
    exact : bool
        No reassociation, no contraction.
    check : bool
        Compute the captured calls one by one too, and compare.

    Raises
    ------
    FusionError
        If a check fails, or the device is not there.
    FusionMemoryError
        If there is no memory for what the plan computes.
    """
    said = forcing.chosen(device=device, threads=threads, exact=exact, check=check)
    device, threads, exact, check = said["device"], said["threads"], said["exact"], said["check"]
    checked_device(device, exact)
    start = time.perf_counter()
    form = structure(exprs) if device != "eager" else None
    placed: list[tuple[Expr, Any]] | None = None
    many, kept = len(exprs), forcing.shared(exprs, form.order) if form is not None else []
    if kept:
        exprs = [*exprs, *kept]
        form = structure(exprs)
    replay, where = forcing.again(form.leaves) if form is not None and device != "interpreter" else (False, None)
    if form is None or (replay and not exact):
        values, plan = _eagerly(exprs, start)
        if where is not None:
            plan.reason_rows.append(ReasonRow(exprs[0].name, "forced in a loop", where_text(where)))
    elif device in ON_GPU:
        values, plan = _on_gpu(exprs, threads)
    else:
        where_to = "interpreter" if device == "interpreter" else "cpu"
        placed = [] if not check and where_to == "cpu" else None  # what is checked is computed by both
        try:
            values, plan = _compiled(exprs, form, where_to, threads, exact, start, placed)
        except MemoryError as error:
            from workbench.fusion import room

            raise room.shortage(_prepared(exprs, form, exact)[0], form) from error
    asked = forcing.asked()
    if asked is not None and not replay:
        plan.reason_rows.append(ReasonRow(exprs[0].name, "value needed by Python", where_text(asked)))
    if check and device != "eager":
        from workbench.fusion.check import compare_values

        plan.max_error = compare_values(exprs, values)
    if forcing.forecasts and form is not None:
        forcing.forecasts[-1].append(_forecast(exprs[:many], ""))
    for node, value in zip(kept, values[many:], strict=True):
        forcing.keep(node, value)
    for node, value in placed or ():
        forcing.hold(node, form.order if form is not None else (), value)
    cache.remember(plan)
    return values[:many], plan


def plan_of(exprs: Sequence[Expr], *, device: str = "auto", exact: bool = False) -> FusionPlan:
    """Return the plan of expressions without running it; for a GPU also where there is none."""
    said = forcing.chosen(device=device, exact=exact)
    device, exact = said["device"], said["exact"]
    if device == "cuda" or device.startswith("cuda:"):
        from workbench.fusion.plan.model import gpu_named

        if exact:
            raise errors.exact_on_gpu()
        return _forecast(exprs, gpu_named(device))
    checked_device(device, exact)
    start = time.perf_counter()
    form = structure(exprs)
    plan, how = _prepared(exprs, form, exact)
    lengths = _estimated(plan, form.lengths)
    spent = 1e3 * (time.perf_counter() - start)
    shown = "cpu" if device == "auto" else device
    return report(plan, form, lengths, shown, how, spent, [None] * len(plan.steps), _threads(None))


def checked_device(device: str, exact: bool) -> None:
    """Raise the error for a device that is not known or not there."""
    if device not in DEVICES:
        from workbench.engine.errors import suggest

        raise errors.FusionError(
            f'Unknown device "{device}".', suggest(device, DEVICES, f"Devices: {', '.join(DEVICES)}.")
        )
    if device in ON_GPU:
        from workbench.fusion.gpu.launch import interpreting
        from workbench.fusion.gpu.running import available

        if exact:
            raise errors.exact_on_gpu()
        if device == "cuda" and not available():
            raise errors.no_gpu()
        if device == "triton-interpreter" and not interpreting():
            raise errors.interpreter_off()


def _on_gpu(exprs: Sequence[Expr], threads: int | None) -> tuple[list[Any], FusionPlan]:
    """Compute expressions on the GPU; on the CPU those that there are no kernels for."""
    from workbench.fusion.gpu import running

    def on_cpu(some: Sequence[Expr]) -> tuple[list[Any], FusionPlan]:
        return _compiled(some, structure(some), "cpu", threads, False, time.perf_counter())

    return running.computed(exprs, on_cpu)


def _forecast(exprs: Sequence[Expr], device: str) -> FusionPlan:
    """Plan expressions for a GPU that need not be here; for the CPU those that there are no kernels for."""
    from workbench.fusion.gpu import running

    return running.forecast(exprs, lambda some: ([], plan_of(some, device="cpu")), device)


def _eagerly(exprs: Sequence[Expr], start: float) -> tuple[list[Any], FusionPlan]:
    known: dict[int, Any] = {}
    order = walk(exprs)
    values = owned(exprs, evaluate(exprs, known), [node for node in order if node.kind == "Leaf"])
    plan = FusionPlan(device="eager", run_ms=1e3 * (time.perf_counter() - start), cache="hit")
    for node in order:
        if node.kind in ("Leaf", "Const", "Item", "View", "Broadcast"):
            continue
        name = f"k{len(plan.kernels)}_{node.name}"
        read = sum(nbytes(known[id(each)]) for each in node.inputs if each.kind != "Const")
        kernel = Kernel(name, "extern", "none", (node.name,), read, nbytes(known[id(node)]))
        plan.kernels.append(kernel)
        plan.kernels_before += node.calls
        plan.bytes_before += kernel.bytes_read + kernel.bytes_written
        plan.op_rows.append(OpRow(node.name, shape_text(node.shape), str(node.dtype), name, where_text(node.where)))
    return values, plan


# planned work


def _prepared(exprs: Sequence[Expr], form: Structure, exact: bool) -> tuple[Prepared, str]:
    key = (form.key, exact, generation())
    plan = cache.plans.get(key)
    if plan is not None:
        return plan, "hit"
    plan = prepare(exprs, form, exact=exact)
    if plan.cacheable:
        cache.plans.put(key, plan)
    return plan, "miss"


def _computing_ns(plan: Prepared, form: Structure) -> float:
    """Return the nanoseconds that computing takes on one core, as planned; worked out once for the same lengths."""
    known = plan.timed
    if known is not None and known[0] == form.lengths:
        return known[1]
    told = all(type(d) is int for d in form.lengths)
    if not told and max([getattr(leaf.data, "size", 0) for leaf in form.leaves], default=0) < FEWEST:
        return 0.0  # to estimate lengths takes longer
    lengths = _estimated(plan, form.lengths)
    ns = 0.0
    for step in plan.steps:
        if isinstance(step, CallStep):
            shapes = [step.shape, *[shape for shape, _ in step.sizes]]
            ns += _CALL_NS * max([math.prod([plan.length(d, lengths) for d in shape]) for shape in shapes])
        else:
            ns += sum(cost * math.prod([plan.length(d, lengths) for d in space]) for space, cost in step.work)
    if told:
        plan.timed = form.lengths, ns
    return ns


def _predicted_s(plan: Prepared, form: Structure, threads: int) -> float:
    from workbench.fusion.describe import predictions

    return sum(ms for _, _, ms in predictions(plan, _estimated(plan, form.lengths), threads)) / 1e3


def _estimated(plan: Prepared, lengths: Sequence[Any]) -> list[int]:
    return [plan.rows_of.of(d, k) if type(d) is Size else d for k, d in enumerate(lengths)]


def _compiled(
    exprs: Sequence[Expr],
    form: Structure,
    device: str,
    threads: int | None,
    exact: bool,
    start: float,
    placed: list[tuple[Expr, Any]] | None = None,
) -> tuple[list[Any], FusionPlan]:
    if len(form.order) > MOST_NODES:
        answers, told = _eagerly(exprs, start)
        told.reason_rows.append(ReasonRow(exprs[0].name, "predicted slower fused", where_text(exprs[0].where)))
        return answers, told
    for leaf in form.leaves:
        if leaf.attrs:
            _look_again(leaf)
    plan, how = _prepared(exprs, form, exact)
    ns = _computing_ns(plan, form)
    if ns > 1e6 * WORTH_MEASURING and not calibrated() and measured_here():
        plan, how = _prepared(exprs, form, exact)
    planned = time.perf_counter()
    threads = _threads(threads)
    running = Running(plan, form, device, threads, exact)
    if ns > MAYBE_LONG * 1e9 * long.LONG and long.is_long(_predicted_s(plan, form, threads)):
        rows = sum(running.rows(step) for step in plan.steps)
        measured = long.followed(lambda: _stepped(running, form, placed), rows)
    else:
        measured = _stepped(running, form, placed)
    results = [running.result(each) for each in plan.results]
    if not plan.fresh:
        results = owned(exprs, results, form.leaves)
    known = all(type(d) is int for d in form.lengths)
    for root, value in () if known else zip(exprs, results, strict=True):
        for size, length in zip(root.shape, np.shape(value), strict=False):
            if type(size) is Size and size.value is None:
                size.value = length
    end = time.perf_counter()
    found = report(
        plan,
        form,
        running.lengths if known else _estimated(plan, running.lengths),
        device,
        how,
        1e3 * (planned - start),
        measured,
        threads,
    )
    found.run_ms = 1e3 * (end - planned) - found.compile_ms
    notes = unreported([leaf.call for leaf in form.leaves if isinstance(leaf.call, Fallback)])
    if notes:
        tell_fallbacks(found, notes)
    return results, found


def _stepped(running: Running, form: Structure, placed: list[tuple[Expr, Any]] | None) -> list[float]:
    """Go through the steps of a plan; return how many milliseconds each took, without compiling."""
    plan, values = running.plan, running.values
    measured: list[float] = []
    watch = watching.get()
    for step, free in zip(plan.steps, plan.last_use, strict=True):
        begin = time.perf_counter()
        compiling = 0.0
        if watch is not None:
            watch.step(step.name, running.rows(step), running.loops(step))
        if isinstance(step, KernelStep):
            running.kernel(step)
            compiling = step.compile_ms
        elif isinstance(step, GroupStep):
            if not running.group(step):
                wanted = [form.order[k] for k in step.originals]
                inner = structure(wanted)
                inputs = _compiled(wanted, inner, running.device, running.threads, running.exact, begin)[0]
                running.grouped(step, whole.compute(step.node, inputs, running.threads, running.exact))
        else:
            value = running.call(step)
            if step.original >= 0 and placed is not None:
                placed.append((form.order[step.original], value))
        for slot in free:
            values[slot] = None
        measured.append(1e3 * (time.perf_counter() - begin) - compiling)
    return measured


def _look_again(leaf: Expr) -> None:
    """Warn if an array that was borrowed has other values than when it was wrapped."""
    before = leaf.attr("sample")
    if before is not None and sample(leaf.data) != before:
        leaf.attrs = ()
        errors.warn_leaf_changed(leaf.name or "array")


def _threads(threads: int | None) -> int:
    # a name that is not there costs its lookup an exception
    asked = os.environ[_THREADS] if _THREADS in os.environ else ""  # noqa: SIM401
    if asked:
        return max(1, int(asked))
    if threads is not None:
        return max(1, int(threads))
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# what became of it


def report(
    plan: Prepared,
    form: Structure,
    lengths: list[Any],
    device: str,
    how: str,
    plan_ms: float,
    measured: Sequence[float | None],
    threads: int,
) -> FusionPlan:
    """Return the plan as people see it; what takes time to write down is written down when it is looked at."""
    wheres = [node.where for node in form.order]
    names = [node.name for node in form.order]  # of its own arrays: a plan serves all graphs of its form
    facts = [
        _CALLED if type(s) is CallStep else (s.compile_ms, s.cache, s.branch if s.jumped else s) for s in plan.steps
    ]

    def make() -> dict[str, Any]:
        from workbench.fusion.describe import described

        nodes = [(kind, name, dtype) for (kind, dtype), name in zip(plan.nodes, names, strict=True)]
        return described(plan, lengths, wheres, nodes, facts, measured, threads)

    compile_ms = sum([ms for ms, _, _ in facts])
    if how == "miss" and facts and all(cached == "disk" for _, cached, _ in facts):
        how = "disk"
    return FusionPlan.deferred(
        make,
        device=device,
        plan_ms=plan_ms,
        compile_ms=compile_ms,
        cache=how,
        max_error=None,
        segments=1,
        run_ms=0.0,
        triton="",
    )
