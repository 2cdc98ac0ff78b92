"""Going on with an earlier attempt: both are one run, whose clocks go on."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from workbench.tta.clock import DOWN, clock_seconds
from workbench.tta.judge import Judge

if TYPE_CHECKING:
    from workbench.tta.tracking import Tracking

__all__ = ["all_evals", "join"]


def join(t: Tracking, stacklevel: int = 4) -> None:
    """Put the earlier attempts before this one: one run, whose clocks go on."""
    previous = t.previous
    if previous is None or t.joined:
        return
    log = previous.log
    with t.lock:
        t.joined = True
        offset = max(t.started_ns - previous.started_ns, log.last_ns)
        earlier = [*log.spans, *([(DOWN, log.last_ns, offset, 0)] if offset > log.last_ns else [])]
        first_eval = min((row[6] for row in log.evals), default=None)
        t.spans.join(offset, earlier, first_eval)
        t.offset, t.cpu_before, t.energy_before = offset, log.cpu_ns or 0, log.energy_mj or 0
        t.earlier_evals = list(log.evals)
        t.count = t.own_count + (log.evals[-1][0] + 1 if log.evals else 0)
        _judge_again(t)
        t.gate[0] = -1  # budgets are nearer now
        t.changed()
    seconds = round((offset - log.last_ns) / 1e9)
    down = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    clock = t.settings.clock
    counts = "left out" if clock in ("dawnbench", "algoperf") else "included"
    rest = "cost" if clock == "wall" else "wall and cost"
    t.warn(f"Run resumed after {down} down.", f"{clock} clock: {counts}; {rest}: included.", stacklevel=stacklevel)


def _judge_again(t: Tracking) -> None:
    """Judge all evaluations of the run from the first on."""
    t.judge = Judge(t.target, t.settings.confirm)
    rows = [row for row in all_evals(t) if row[3] == t.target.metric]
    seconds = clock_seconds(t.spans.spans(t.now() + t.offset), [row[6] for row in rows], t.settings.clock)
    t.judged_steps = [row[1] for row in rows]
    t.judged_seconds = seconds.tolist()
    for row, at in zip(rows, t.judged_seconds, strict=True):
        if t.judge.judge(math.nan if row[4] is None else row[4]) and math.isnan(t.crossed_at):
            t.crossed_at = at


def all_evals(t: Tracking) -> list[tuple[Any, ...]]:
    """Return the evaluations of the run in its own time, those of earlier attempts first."""
    before, offset, cpu, energy = t.earlier_evals, t.offset, t.cpu_before, t.energy_before
    if not t.joined:
        return list(t.evals)
    first = before[-1][0] + 1 if before else 0
    return before + [
        (seq + first, step, epoch, metric, value, n, t + offset, used + cpu, None if mj is None else mj + energy)
        for seq, step, epoch, metric, value, n, t, used, mj in t.evals
    ]
