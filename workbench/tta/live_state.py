"""A run as the state of its chart: the same plain dict for the live widget, the saved notebook and the report.

All words are made here, so that every form says the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.tta.crossings import below_after, crossing, quantum
from workbench.tta.price import Price
from workbench.tta.record import Record, record_of
from workbench.tta.statistics import accuracy_se
from workbench.tta.texts import NOT_COUNTED, Z, amount, duration

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["EARLIER", "LiveState", "earlier_runs", "earlier_series", "facts", "series_of", "shares", "state_of"]

#: earlier runs of the recipe that are drawn grey, and points of each
EARLIER, EARLIER_POINTS = 20, 200
#: points of a live curve: what a reader can see, and what is sent at each redraw
POINTS = 2000

_ENDED = {
    "reached": "stopped at the target",
    "finished": "finished",
    "interrupted": "interrupted",
    "budget": "budget spent",
    "hopeless": "stopped: the target is out of reach",
    "failed": "failed",
    "lost": "lost: its process is gone",
}


class LiveState:
    """The state of a run under way, asked for several times a second.

    While nothing was logged only what the clock changes is made anew.

    Parameters
    ----------
    tracker : Tracker
    earlier : iterable of Run or Record
        Of the same recipe: drawn grey.
    """

    def __init__(self, tracker: Any, earlier: Iterable[Any] = ()) -> None:
        self._tracker, self._earlier = tracker, list(earlier)
        self._version: int | None = None
        self._record: Record | None = None
        self._state: dict[str, Any] = {}

    def __call__(self) -> dict[str, Any]:
        """Return the state now."""
        now = self._tracker.live()
        if self._record is None or now["version"] != self._version:
            self._record, self._version = self._tracker.live_record(), now["version"]
            self._rows = _rows(self._record)
            self._state = state_of(self._record, earlier=self._earlier, now=now)
            return self._state
        rows = self._rows
        return {
            **self._state, "now": _known(now["seconds"]), "stopping": bool(now["stopping"]),
            "status": _status(self._record, rows, now), "facts": facts(self._record, rows, now),
        }  # fmt: skip


def state_of(run: Any, *, earlier: Iterable[Any] = (), now: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the state of the `curve` module for a run.

    Parameters
    ----------
    run : Run, Record or Tracker
        A tracker is asked for its record and for `now`.
    earlier : iterable of Run or Record
        Of the same recipe: drawn grey.
    now : mapping, optional
        Of a run that goes on: `seconds` on its clock, `cost_usd`, `energy_j`, `projection`, `stopping`.

    Returns
    -------
    dict
        `title, status, running, stopping, now, series, x_label, x_unit, y_label, target, band, marks, projection,
        facts, shares, foot, notes`, all plain.
    """
    if hasattr(run, "live_record"):
        record, now = run.live_record(), run.live() if now is None else now
    else:
        record = record_of(run)
    running = record.state == "running"
    now = dict(now or {}) if running else {}
    rows = _rows(record)
    projection = now.get("projection")
    found = _first(record, rows)
    head = record.name + (f" seed {record.seed}" if record.seed is not None else "")
    return {
        "title": f"{head}: {_aim(record)}",
        "status": _status(record, rows, now),
        "running": running,
        "stopping": bool(now.get("stopping")),
        "now": _known(now.get("seconds")),
        "series": [*earlier_series(earlier, record), *([series_of(record, rows)] if len(rows) else [])],
        "x_label": f"time on the {record.clock} clock",
        "x_unit": "s",
        "y_label": record.metric,
        "target": record.target,
        "band": None,
        "marks": _marks(record, rows),
        "projection": _projection(projection) if running and found is None else None,
        "facts": facts(record, rows, now),
        "shares": shares(record),
        "foot": "" if running else _foot(record, rows),
        "notes": list(record.warnings) if running else [],
    }


def earlier_runs(recipe: str, metric: str, store: Any = None) -> list[Record]:
    """Return the latest runs of a recipe, for the grey curves; none if their store cannot be read."""
    from workbench.engine.errors import WorkbenchError
    from workbench.tta.store import open_store

    try:
        found = open_store(store).records(recipe)
    except WorkbenchError:
        return []
    return [one for one in found if one.metric == metric and one.state != "running"][-EARLIER:]


# ------------------------------------------------------------------------------------------------------------- curves


def series_of(record: Record, rows: pd.DataFrame | None = None) -> dict[str, Any]:
    """Return the curve of a run with its binomial ribbon (1.96 standard errors), and what each point is called."""
    rows = _rows(record) if rows is None else rows
    keep = _thin(rows["value"].to_numpy(np.float64), POINTS)
    rows = rows.iloc[keep]
    values = rows["value"].to_numpy(np.float64)
    one: dict[str, Any] = {"name": _name(record), "x": _listed(_seconds(record, rows)), "y": _listed(values)}
    errors = Z * _errors(record, rows)
    if np.isfinite(errors).any():
        top = 100.0 if record.target > 1 else 1.0
        low, high = np.clip(values - errors, min(0.0, np.nanmin(values)), top), np.clip(values + errors, 0.0, top)
        one |= {"lo": _listed(low), "hi": _listed(np.maximum(high, values))}
    one["labels"] = _whens(rows)
    return one


def earlier_series(runs: Iterable[Any], record: Record, most: int = EARLIER) -> list[dict[str, Any]]:
    """Return the grey curves: the latest runs of the same metric whose times are on the same clock."""
    found = []
    for other in map(record_of, runs):
        if other.id == record.id or other.metric != record.metric or record.clock not in other.clocks:
            continue
        rows = _rows(other)
        if not len(rows):
            continue
        keep = _thin(rows["value"].to_numpy(np.float64), EARLIER_POINTS)
        rows = rows.iloc[keep]
        times, values = (rows[name].to_numpy(np.float64) for name in (f"{record.clock}_s", "value"))
        found.append({"name": _name(other), "x": _listed(times), "y": _listed(values), "role": "history"})
    return found[-most:]


def _listed(values: Floats) -> list[float | None]:
    """Return numbers as JSON can hold them."""
    return [value if math.isfinite(value) else None for value in values.tolist()]


def _thin(values: Floats, most: int) -> NDArray[np.int64]:
    """Return indices of at most `most` points, least and greatest of each bucket among them."""
    if len(values) <= most:
        return np.arange(len(values))
    edges = np.linspace(0, len(values), most // 2).astype(np.int64)[:-1]  # with both ends, at most `most`
    low = np.where(np.isnan(values), np.inf, values)
    high = np.where(np.isnan(values), -np.inf, values)
    starts = np.append(edges, len(values))
    kept = set()
    for begin, end in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        kept |= {begin + int(low[begin:end].argmin()), begin + int(high[begin:end].argmax())}
    return np.array(sorted({0, len(values) - 1} | kept))


# -------------------------------------------------------------------------------------------------------------- facts


def facts(record: Record, rows: pd.DataFrame, now: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the figures above the chart: what it took so far, or in the end."""
    running = record.state == "running"
    values, seconds = rows["value"].to_numpy(np.float64), _seconds(record, rows)
    first = _first(record, rows)
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


def _foot(record: Record, rows: pd.DataFrame) -> str:
    """Return the rule by which the figures were made, and why some are missing."""
    left_out = " and ".join(kind for kind in NOT_COUNTED.get(record.clock, ()) if kind != "down")
    counts = f"{left_out} not counted" if left_out else "everything counts"
    parts = [f"Rule: first evaluation with {_aim(record)}, {record.clock} clock ({counts})."]
    if record.price is None or math.isnan(record.price.rate):
        parts.append("No price: listed by time only.")
    elif record.price.kind == "spot":
        parts.append("The spot price is shown, but boards rank by on-demand.")
    if not rows["energy_j"].notna().any():
        reason = record.environment.get("energy")
        parts.append(f"Energy not measurable{f': {reason}' if reason else ''}.")
    return " ".join(parts)


def _reached(record: Record, rows: pd.DataFrame, at: int, values: Floats, seconds: Floats) -> list[dict[str, str]]:
    later = below_after(values, record.target, at, record.goal)
    error = float(Z * _errors(record, rows)[at])
    value = f"{values[at]:.2f}" + (f" ± {error:.2f}" if not math.isnan(error) else "")
    found = [
        _fact("TTA, first crossing", duration(seconds[at]), f"{_when(rows, at)}, {value}", "" if later else "good")
    ]
    for confirm in sorted({2, max(2, record.confirm)}):
        again = crossing(values, record.target, record.goal, confirm)
        running = record.state == "running"
        text = ("not yet" if running else "not reached") if again is None else duration(seconds[again])
        note = "" if again is None else _when(rows, again)
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
    note = f"best {values[best]:.2f} at {duration(_seconds(record, rows)[best])}"
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
        note = f"${price.usd_per_hour:g}/h" if running else price_text(price)
        found.append(_fact("Cost" + (" so far" if running else ""), _usd(cost), note, _spot(price)))
    if energy is not None and math.isfinite(energy):
        found.append(_fact("Energy" + (" so far" if running else ""), amount(energy, "J"), ""))
    return found


def _cost(record: Record, rows: pd.DataFrame, at: int) -> float:
    rate = math.nan if record.price is None else record.price.rate
    if record.hours_cost is not None and not math.isnan(rate):
        return record.hours_cost(int(rows["eval"].iloc[at]), rate)
    return float(_seconds(record, rows)[at]) / 3600 * rate


def price_text(price: Price) -> str:
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
    error = float(Z * _errors(record, rows.iloc[-1:])[0])
    best = np.nan if np.isnan(values).all() else np.nanmax(values) if record.goal == "max" else np.nanmin(values)
    text = f"{values[-1]:.2f}" + (f" ± {error:.2f}" if not math.isnan(error) else "")
    return _fact(record.metric, text, f"best {best:.2f}")


# --------------------------------------------------------------------------------------------------------------- parts


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


def _projection(projection: Any) -> dict[str, Any] | None:
    if projection is None:
        return None
    read = projection.get if isinstance(projection, Mapping) else lambda name: getattr(projection, name)
    return {
        "known": bool(read("known")), "text": str(read("text")),
        **{name: _known(read(name)) for name in ("low", "median", "high")},
    }  # fmt: skip


def _marks(record: Record, rows: pd.DataFrame) -> list[dict[str, Any]]:
    at = _first(record, rows)
    if at is None:
        return []
    seconds = _seconds(record, rows)
    found = [{"x": float(seconds[at]), "label": duration(seconds[at])}]
    again = crossing(rows["value"].to_numpy(np.float64), record.target, record.goal, 2)
    if again is not None:
        found.append({"x": float(seconds[again]), "label": ""})
    return found


def _status(record: Record, rows: pd.DataFrame, now: Mapping[str, Any]) -> str:
    if record.state != "running":
        return _ENDED.get(record.state, record.state)
    if now.get("stopping"):
        return "Stopping at the next evaluation."
    return "running" if len(rows) else "running, no evaluation yet"


def _progress(record: Record, rows: pd.DataFrame) -> str:
    if not len(rows):
        return ""
    step = int(rows["step"].iloc[-1])
    return f"step {step:,} of {record.steps:,}" if record.steps else _when(rows, len(rows) - 1)


def _fact(label: str, value: str, note: str = "", level: str = "") -> dict[str, str]:
    return {"label": label, "value": value, "note": note, "level": level}


def _aim(record: Record) -> str:
    return f"{record.metric} {'>=' if record.goal == 'max' else '<='} {record.target:g}"


def _name(record: Record) -> str:
    return record.name + (f"/{record.seed}" if record.seed is not None else "")


def _rows(record: Record) -> pd.DataFrame:
    return record.evals[record.evals["metric"] == record.metric]


def _seconds(record: Record, rows: pd.DataFrame) -> Floats:
    return rows[f"{record.clock}_s"].to_numpy(np.float64)


def _first(record: Record, rows: pd.DataFrame) -> int | None:
    return crossing(rows["value"].to_numpy(np.float64), record.target, record.goal)


def _errors(record: Record, rows: pd.DataFrame) -> Floats:
    """Return the standard error of each evaluation: as stored, else from the samples judged."""
    stored = rows["se"].to_numpy(np.float64).copy()
    missing = np.flatnonzero(np.isnan(stored))
    if record.goal == "min" or not len(missing):
        return stored
    judged = rows["n"].astype("float64").to_numpy(np.float64, na_value=math.nan)
    judged = np.where(np.isnan(judged), math.nan if record.eval_count is None else record.eval_count, judged)
    values = rows["value"].to_numpy(np.float64)
    for at in missing[~np.isnan(judged[missing])].tolist():
        stored[at] = accuracy_se(float(values[at]), int(judged[at]), percent=record.target > 1, goal=record.goal)
    return stored


def _when(rows: pd.DataFrame, at: int) -> str:
    return _whens(rows.iloc[at : at + 1])[0]


def _whens(rows: pd.DataFrame) -> list[str]:
    pairs = zip(rows["step"].tolist(), rows["epoch"].tolist(), strict=True)
    return [f"step {step:,}" if math.isnan(epoch) else f"epoch {epoch:g}" for step, epoch in pairs]


def _known(value: Any) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
