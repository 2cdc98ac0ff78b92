"""One evaluation of a run under way: measured, judged, handed on, and what follows from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from time import perf_counter_ns, process_time_ns
from typing import TYPE_CHECKING, Any

from workbench.engine.errors import WorkbenchError, did_you_mean, one_line
from workbench.tta.arguments import number, step_of, whole
from workbench.tta.evalset import wrong_count
from workbench.tta.judge import Crossed, Warned
from workbench.tta.statistics import accuracy_se
from workbench.tta.status import Status

if TYPE_CHECKING:
    from workbench.tta.spanlog import Open
    from workbench.tta.tracking import Tracking

__all__ = ["evaluate", "take_fresh"]


def evaluate(t: Tracking, step: Any, n: Any, epoch: Any, metrics: Mapping[str, Any]) -> Status:
    """Take one evaluation."""
    t.check_open("eval")
    if t.stopping:
        raise t.leave(None)
    place = None if step is None else step_of(step)
    at_epoch = None if epoch is None else _epoch(epoch)
    judged = _judged(t, n)
    if not metrics:
        raise WorkbenchError("eval needs a metric.", f"Write eval({t.target.metric}=…).")
    values, span, told = _measure(t, metrics)
    if span is None:
        t.sync()
    time = perf_counter_ns() if span is None else span[1]
    with t.lock:
        t.check_open("eval")
        status, crossings = _take(t, place, at_epoch, judged, values, time, None if span is None else span[0], told)
    for row in crossings:
        t.sink.crossing(row)  # returns when it is durable, so not under the lock
    if any(row["confirm"] == t.settings.confirm for row in crossings):
        told += take_fresh(t, status.value)
    for message, hint in told:
        t.warn(message, hint)
    if status.stop:
        raise t.leave(status)
    return status


def _judged(t: Tracking, n: Any) -> int | None:
    """Return the samples judged; another number than declared is an error."""
    if n is None:
        return None
    count = whole(n, "n", 1, "n=10_000")
    declared = t.settings.eval_set.count
    if declared is not None and count != declared:
        raise wrong_count(count, declared)
    return count


def _epoch(value: Any) -> float:
    epoch = number(value, "epoch")
    if not (math.isfinite(epoch) and epoch >= 0):
        raise WorkbenchError(f"epoch is a number from 0, not {epoch:g}.", "Write epoch=3.5.")
    return epoch


def _measure(t: Tracking, metrics: Mapping[str, Any]) -> tuple[dict[str, float], tuple[Open, int] | None, list[Warned]]:
    """Return the values of metrics; callables are run inside an `eval` span, which is returned with its end."""
    if not any(map(callable, metrics.values())):
        values = {name: number(value, name) for name, value in metrics.items()}
        told = []
        if not t.spans.in_eval and "eval" not in t.said:
            t.said.add("eval")
            told.append(
                Warned(
                    "eval got a value outside an eval span, so its time counts as training.",
                    f"Pass {next(iter(metrics))}=lambda: ….",
                )
            )
        return values, None, told
    span = t.open("eval")
    try:
        values = {
            name: number(value() if callable(value) else value, name)  # inside: reading a device takes time too
            for name, value in metrics.items()
        }
    finally:
        end = t.close(span)
    return values, (span, end), []


def _take(
    t: Tracking, step: int | None, epoch: float | None, n: int | None, values: dict[str, float], time: int,
    span: Open | None, told: list[Warned],
) -> tuple[Status, list[dict[str, Any]]]:  # fmt: skip
    """Keep and judge an evaluation; return how the run stands, and the rows of the crossings that it brings."""
    metric = t.target.metric
    if metric in values:
        t.judge.check(values[metric])
    at = t.count if step is None else step
    for name, value in values.items():
        if not math.isfinite(value):
            if (odd := t.judge.odd_value(name, value, at)) is not None:
                told.append(odd)
            if name == metric and t.target.meets(value):
                values[name] = math.nan  # an infinite accuracy is none
    told += _odd_order(t, step, values)
    own = time - t.zero
    wall = own + t.offset
    seconds = t.spans.evaluated(wall, span) / 1e9
    cpu = process_time_ns() - t.cpu_zero
    energy = t.energy()
    used = None if energy is None else energy - t.energy_before
    rows = [(t.own_count, at, epoch, name, value, n, own, cpu, used) for name, value in values.items()]
    t.own_count += 1
    t.evals += rows
    t.count += 1
    t.sink.eval(rows)
    found: list[Crossed] = []
    if metric in values:
        value = values[metric]
        found = t.judge.judge(value)
        if found and found[0].confirm == 1:
            t.crossed_at = seconds
        if (low := t.judge.unit_warning()) is not None:
            told.append(low)
        t.judged_steps.append(at)
        t.judged_seconds.append(seconds)
    reading = t.spans.read(wall)
    reason = t.stopping = _reason_to_stop(t, at, reading, wall, energy) or t.stopping
    if t.limits_energy and energy is None and "energy" not in t.said and t.beside is not None and t.beside.looked:
        t.said.add("energy")
        told.append(Warned(f"Energy is not measurable: {t.beside.energy.reason}.", "max_energy= is not watched."))
    t.set_gate(time, reading, wall)
    t.status = Status(
        reached=t.judge.reached,
        confirmed=t.judge.confirmed,
        stop=bool(reason),
        reason=reason,
        step=at,
        value=values.get(metric, math.nan),
        se=accuracy_se(
            values.get(metric, math.nan), n or t.settings.eval_set.count, percent=t.target.percent,
            goal=t.target.goal,
        ),
        seconds=seconds,
        cost_usd=t.cost(seconds),
        energy_j=math.nan if energy is None else energy / 1e3,
        projection=t.project(seconds),
    )  # fmt: skip
    t.changed()
    return t.status, [_crossing_row(t, crossed, t.evals[-len(rows) :]) for crossed in found]


def _odd_order(t: Tracking, step: int | None, values: Mapping[str, float]) -> list[Warned]:
    """Return what is odd about where an evaluation stands and what it holds."""
    told = []
    last = t.judged_steps[-1] if t.judged_steps else -1
    if step is not None and step < last and t.resumed_step is None and "order" not in t.said:
        t.said.add("order")
        told.append(
            Warned(
                f"Step {step} comes after step {last}: evaluations count in the order logged.",
                "After going back to a checkpoint, call resume(step).",
            )
        )
    metric = t.target.metric
    if metric not in values and not t.judged_steps and "metric" not in t.said:
        near = did_you_mean(metric, values)
        if near is not None:
            t.said.add("metric")
            told.append(Warned(f'The target is of "{metric}", but eval got "{near}".', f"Did you mean {metric}=…?"))
    return told


def _reason_to_stop(t: Tracking, step: int, reading: int, wall: int, energy: int | None) -> str:
    """Return why the run is to be left, `""` if it is not."""
    if t.judge.confirmed and t.settings.stop:
        return "target"
    if spent := t.budgets.spent(reading, wall, energy):
        return spent
    if t.settings.hopeless and not t.judge.reached and t.earlier().hopeless(step):
        return "hopeless"
    return ""


def _crossing_row(t: Tracking, crossed: Crossed, rows: list[tuple[Any, ...]]) -> dict[str, Any]:
    """Return the row of a crossing that an evaluation with these rows brings."""
    seq, step, epoch, metric, value, _, t_ns, _, _ = next(row for row in rows if row[3] == t.target.metric)
    status = t.status
    return {
        "metric": metric, "threshold": t.target.value, "confirm": crossed.confirm, "seq": seq, "step": step,
        "epoch": epoch, "value": value, "t_ns": t_ns, "seconds": status.seconds, "cost_usd": status.cost_usd,
        "energy_j": status.energy_j,
    }  # fmt: skip


def take_fresh(t: Tracking, value: float) -> list[Warned]:
    """Judge on data held out to the end, once."""
    if t.settings.fresh is None or t.fresh_done:
        return []
    t.fresh_done = True
    span = t.open("eval")
    try:
        t.gap = number(t.settings.fresh(), "fresh") - value
    except Exception as error:
        return [Warned(f"fresh= failed ({one_line(error)}), so there is no gap.", "Return the metric as a number.")]
    finally:
        t.close(span)
    t.sink.update({"gap": t.gap})
    return []
