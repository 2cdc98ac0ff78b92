"""What is said around a run's chart: the figures above it, the bar of its spans, and the rule below."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.tta.crossings import below_after, crossing, quantum
from workbench.tta.live_rows import aim_of, errors_of, first_crossing, seconds_of, when
from workbench.tta.texts import NOT_COUNTED, Z, amount, duration

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from workbench.tta.price import Price
    from workbench.tta.record import Record

    Floats = NDArray[np.float64]

__all__ = ["facts", "foot", "shares"]


def facts(record: Record, rows: pd.DataFrame, now: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the figures above the chart: what it took so far, or in the end."""
    running = record.state == "running"
    values, seconds = rows["value"].to_numpy(np.float64), seconds_of(record, rows)
    first = first_crossing(record, rows)
    found = []
    if running:
        found.append(_fact("Now", duration(now.get("seconds", math.nan)), _progress(record, rows)))
        found.append(_latest(record, rows))
    if first is not None:
        found += _reached(record, rows, first, values, seconds)
    elif not running:
        found.append(_missed(record, rows))
    at = first if not running else None
    found += _spent(record, rows, at, now)
    if not math.isnan(record.gap):
        worse = record.gap < 0 if record.goal == "max" else record.gap > 0
        found.append(_fact("Gap", f"{record.gap:+.2f}", "on fresh data", "warning" if worse else ""))
    if first is not None and not running:
        hidden = quantum(seconds, first)
        if hidden >= 0.02:
            found.append(_fact("Hidden", f"{100 * hidden:.0f} %", "of it lies between two evaluations"))
    return found


def foot(record: Record, rows: pd.DataFrame) -> str:
    """Return the rule by which the figures were made, and why some are missing."""
    left_out = " and ".join(kind for kind in NOT_COUNTED.get(record.clock, ()) if kind != "down")
    counts = f"{left_out} not counted" if left_out else "everything counts"
    parts = [f"Rule: first evaluation with {aim_of(record)}, {record.clock} clock ({counts})."]
    if record.price is None or math.isnan(record.price.rate):
        parts.append("No price: listed by time only.")
    elif record.price.kind == "spot":
        parts.append("The spot price is shown, but boards rank by on-demand.")
    if not rows["energy_j"].notna().any():
        reason = record.environment.get("energy")
        parts.append(f"Energy not measurable{f': {reason}' if reason else ''}.")
    return " ".join(parts)


def shares(record: Record) -> list[dict[str, Any]]:
    """Return the stacked bar: own time of each kind of span, and whether the clock counts it."""
    if not len(record.spans):
        return []
    left_out = NOT_COUNTED.get(record.clock, ())
    seconds = record.spans.groupby("kind", sort=False)["seconds"].sum()
    return [
        {
            "name": str(kind), "value": float(own), "counted": kind not in left_out,
            "text": duration(float(own)) + (" not counted" if kind in left_out else ""),
        }
        for kind, own in seconds.items()
    ]  # fmt: skip


def _reached(record: Record, rows: pd.DataFrame, at: int, values: Floats, seconds: Floats) -> list[dict[str, str]]:
    later = below_after(values, record.target, at, record.goal)
    error = float(Z * errors_of(record, rows)[at])
    value = f"{values[at]:.2f}" + (f" ± {error:.2f}" if not math.isnan(error) else "")
    found = [_fact("TTA, first crossing", duration(seconds[at]), f"{when(rows, at)}, {value}", "" if later else "good")]
    for confirm in sorted({2, max(2, record.confirm)}):
        again = crossing(values, record.target, record.goal, confirm)
        running = record.state == "running"
        text = ("not yet" if running else "not reached") if again is None else duration(seconds[again])
        note = "" if again is None else when(rows, again)
        found.append(_fact(f"Confirmed by {confirm}", text, note, "warning" if again is None else ""))
    if later:
        side = "below" if record.goal == "max" else "above"
        found.append(_fact("Unstable", f"{later} later", f"evaluation{'' if later == 1 else 's'} {side}", "warning"))
    return found


def _missed(record: Record, rows: pd.DataFrame) -> dict[str, str]:
    values = rows["value"].to_numpy(np.float64)
    if not len(values) or np.isnan(values).all():
        return _fact("TTA", "none", "no evaluation was logged" if not len(values) else "NaN in every evaluation")
    best = int(np.nanargmax(values) if record.goal == "max" else np.nanargmin(values))
    side = "below" if record.goal == "max" else "above"
    note = f"best {values[best]:.2f} at {duration(seconds_of(record, rows)[best])}"
    return _fact("TTA", "not reached", f"{note}, {abs(record.target - values[best]):.2f} {side}", "warning")


def _spent(record: Record, rows: pd.DataFrame, at: int | None, now: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return cost and energy: so far, to the crossing, or of all where it was not reached."""
    running = record.state == "running"
    cost, energy = now.get("cost_usd", math.nan), now.get("energy_j", math.nan)
    if not running and len(rows):
        at = len(rows) - 1 if at is None else at
        cost, energy = _cost(record, rows, at), float(rows["energy_j"].iloc[at])
    found = []
    price = record.price
    if price is not None and not math.isnan(price.rate):
        # Short while it runs, so that one line holds all that may come.
        note = f"${price.usd_per_hour:g}/h" if running else _price_text(price)
        found.append(_fact("Cost" + (" so far" if running else ""), _usd(cost), note, _spot(price)))
    if energy is not None and math.isfinite(energy):
        found.append(_fact("Energy" + (" so far" if running else ""), amount(energy, "J"), ""))
    return found


def _cost(record: Record, rows: pd.DataFrame, at: int) -> float:
    rate = math.nan if record.price is None else record.price.rate
    if record.hours_cost is not None and not math.isnan(rate):
        return record.hours_cost(int(rows["eval"].iloc[at]), rate)
    return float(seconds_of(record, rows)[at]) / 3600 * rate


def _price_text(price: Price) -> str:
    """Return a price with its kind, source and day."""
    kind = "on demand" if price.kind == "ondemand" else price.kind
    parts = [f"${price.usd_per_hour:g}/h {kind}", *([price.source] if price.source else [])]
    return ", ".join([*parts, *([price.date] if price.date else [])])


def _spot(price: Price) -> str:
    return "warning" if price.kind == "spot" else ""


def _usd(cost: float) -> str:
    return "unknown" if math.isnan(cost) else f"${cost:.2f}" if cost >= 0.005 or cost == 0 else f"${cost:.2g}"


def _latest(record: Record, rows: pd.DataFrame) -> dict[str, str]:
    values = rows["value"].to_numpy(np.float64)
    if not len(values):
        return _fact(record.metric, "none yet", "no evaluation yet")
    error = float(Z * errors_of(record, rows.iloc[-1:])[0])
    best = np.nan if np.isnan(values).all() else np.nanmax(values) if record.goal == "max" else np.nanmin(values)
    text = f"{values[-1]:.2f}" + (f" ± {error:.2f}" if not math.isnan(error) else "")
    return _fact(record.metric, text, f"best {best:.2f}")


def _progress(record: Record, rows: pd.DataFrame) -> str:
    if not len(rows):
        return ""
    step = int(rows["step"].iloc[-1])
    return f"step {step:,} of {record.steps:,}" if record.steps else when(rows, len(rows) - 1)


def _fact(label: str, value: str, note: str = "", level: str = "") -> dict[str, str]:
    return {"label": label, "value": value, "note": note, "level": level}
