"""What people read of runs: a run in two lines, a recipe in one, and the blocks of their views."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.tta.crossings import below_after, crossing
from workbench.tta.statistics import accuracy_se

if TYPE_CHECKING:
    import pandas as pd

    from workbench.tta.run import Run
    from workbench.tta.runs import Runs

__all__ = ["NOT_COUNTED", "Z", "amount", "duration", "runs_told", "told", "words"]

#: standard errors on each side that make an interval of 95 %
Z = 1.96
#: kinds of spans that a clock leaves out
NOT_COUNTED = {
    "dawnbench": ("eval", "checkpoint", "down"),
    "algoperf": ("init", "eval", "checkpoint", "down"),
    "mlperf": (),
    "wall": (),
}


def duration(seconds: float) -> str:
    """Write a length of time: `9.43 s`, `4:12`, `1:02:03`."""
    if not math.isfinite(seconds):
        return "never" if seconds > 0 else "unknown"
    if 0 < seconds < 1e-3:
        return f"{1e3 * seconds:.3g} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def amount(value: float, unit: str) -> str:
    """Write an amount with the prefix that fits: `1.2 kJ`."""
    for factor, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{value / factor:.3g} {prefix}{unit}"
    return f"{value:.3g} {unit}"


def told(run: Run) -> str:
    """Return what a run came to, its warnings and its notes."""
    record = run.record
    return "\n".join([*words(run), *record.warnings, *(f"note: {note}" for note in record.notes)])


def words(run: Run) -> list[str]:
    """Return what a run came to, line by line."""
    record = run.record
    curve = run.curve()
    head = record.name + (f" seed {record.seed}" if record.seed is not None else "")
    sign = ">=" if record.goal == "max" else "<="
    aim = f"{head}: {record.metric} {sign} {record.target:g}"
    if not len(curve):
        lines = [f"{aim}: No evaluation was logged, so there is no TTA.", "Call tta.eval(top1=…, n=…) in the loop."]
    else:
        at = crossing(curve["value"].to_numpy(), record.target, record.goal)
        lines = _missed(run, curve, head) if at is None else [f"{aim} {_reached(run, curve, at)}"]
    return [*lines, _circumstances(run)]


def _reached(run: Run, curve: pd.DataFrame, at: int) -> str:
    row = curve.iloc[at]
    error = _error(run, at)
    value = f"{row['value']:.2f}" + (f" +- {Z * error:.2f}" if not math.isnan(error) else "")
    again = run.time_to(confirm=2)
    confirmed = "not reached" if math.isnan(again) else f"at {duration(again)}"
    return f"reached at {duration(row['seconds'])} ({_when(row)}, {value}), confirmed by 2: {confirmed}"


def _missed(run: Run, curve: pd.DataFrame, head: str) -> list[str]:
    record = run.record
    values = curve["value"].to_numpy()
    if np.isnan(values).all():
        return [f"{head}: {record.target:.2f} not reached: {record.metric} is NaN in every evaluation."]
    best = int(np.nanargmax(values) if record.goal == "max" else np.nanargmin(values))
    row = curve.iloc[best]
    side = "below" if record.goal == "max" else "above"
    lines = [
        f"{head}: {record.target:.2f} not reached: best {row['value']:.2f} at {duration(row['seconds'])} "
        f"({_when(row)}), {abs(record.target - row['value']):.2f} {side}."
    ]
    error, judged = _error(run, best), _judged(run, best)
    if not math.isnan(error) and judged:
        lines.append(f"{judged:,} images give +-{Z * error:.2f} at 95 %; no TTA is reported.")
    return lines


def _circumstances(run: Run) -> str:
    record = run.record
    parts = [f"{record.clock} clock"]
    spans = record.spans
    if len(spans):
        left_out = NOT_COUNTED.get(record.clock, ())
        seconds = spans.groupby("kind", sort=False)["seconds"].sum()
        parts.append(
            ", ".join(
                f"{kind} {duration(s)}" + (" not counted" if kind in left_out else "") for kind, s in seconds.items()
            )
        )
    if record.price is not None and not math.isnan(record.price.rate):
        cost, kind = run.cost_to(), "on demand" if record.price.kind == "ondemand" else record.price.kind
        spent = f"${cost:.2f} at " if not math.isnan(cost) else ""
        parts.append(f"{spent}${record.price.usd_per_hour:g}/h {kind}")
    at = crossing(run.curve()["value"].to_numpy(), record.target, record.goal)
    if at is not None:
        later = below_after(run.curve()["value"].to_numpy(), record.target, at, record.goal)
        parts.append("stable" if not later else f"unstable: {later} later evaluation{'s' if later > 1 else ''} below")
    if not math.isnan(record.gap):
        parts.append(f"gap {record.gap:+.2f} on fresh data")
    if record.state not in ("finished", "reached"):
        parts.append(record.state)
    return "; ".join(parts)


def _when(row: Any) -> str:
    return f"step {int(row['step'])}" if math.isnan(row["epoch"]) else f"epoch {row['epoch']:g}"


def _judged(run: Run, at: int) -> int | None:
    rows = run.evals[run.evals["metric"] == run.metric]
    n = rows["n"].iloc[at]
    return int(n) if isinstance(n, (int, np.integer)) else run.record.eval_count


def _error(run: Run, at: int) -> float:
    """Return the standard error of an evaluation: as stored, else from the samples judged."""
    rows = run.evals[run.evals["metric"] == run.metric]
    stored = float(rows["se"].iloc[at])
    if not math.isnan(stored):
        return stored
    value = float(rows["value"].iloc[at])
    return accuracy_se(value, _judged(run, at), percent=run.threshold > 1, goal=run.goal)


# ---------------------------------------------------------------------------------------------------------- many runs


def runs_told(runs: Runs) -> str:
    """Return a line for each recipe, and what is missing."""
    lines = []
    for row in runs.summary().itertuples():
        if not row.n:
            lines.append(f"{row.recipe}: no run has come to its end")
            continue
        aim = "" if math.isnan(row.threshold) else f" {row.threshold:g}"
        text = f"{row.recipe}: {row.reached} of {row.n} reached{aim} ({_share(row.reach_low, row.reach_high)})"
        if row.reached:
            spread = "" if math.isnan(row.cv) else f" (CV {100 * row.cv:.0f} %{_ends(row)})"
            text += f"; median {duration(row.median)}{spread}; expected {duration(row.expected_seconds)} to a success"
        lines.append(text)
    return "\n".join([*lines, *runs.missing])


def _share(low: float, high: float) -> str:
    return f"{100 * low:.0f} to {100 * high:.0f} %"


def _ends(row: Any) -> str:
    if math.isnan(row.cv_low):
        return ""
    # A few runs bound it from below only.
    return f", {_share(row.cv_low, row.cv_high)}" if row.cv_high <= 1 else f", at least {100 * row.cv_low:.0f} %"
