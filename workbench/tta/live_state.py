"""A run as the state of its chart: the same plain dict for the live widget, the saved notebook and the report.

All words are made here, so that every form says the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.tta.crossings import crossing
from workbench.tta.live_facts import facts, foot, shares
from workbench.tta.live_rows import aim_of, errors_of, first_crossing, name_of, rows_of, seconds_of, whens
from workbench.tta.record import Record, record_of
from workbench.tta.texts import Z, duration

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["EARLIER", "LiveState", "earlier_runs", "earlier_series", "series_of", "state_of"]

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
            self._rows = rows_of(self._record)
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
    rows = rows_of(record)
    projection = now.get("projection")
    found = first_crossing(record, rows)
    head = record.name + (f" seed {record.seed}" if record.seed is not None else "")
    return {
        "title": f"{head}: {aim_of(record)}",
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
        "foot": "" if running else foot(record, rows),
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
    rows = rows_of(record) if rows is None else rows
    keep = _thin(rows["value"].to_numpy(np.float64), POINTS)
    rows = rows.iloc[keep]
    values = rows["value"].to_numpy(np.float64)
    one: dict[str, Any] = {"name": name_of(record), "x": _listed(seconds_of(record, rows)), "y": _listed(values)}
    errors = Z * errors_of(record, rows)
    if np.isfinite(errors).any():
        top = 100.0 if record.target > 1 else 1.0
        low, high = np.clip(values - errors, min(0.0, np.nanmin(values)), top), np.clip(values + errors, 0.0, top)
        one |= {"lo": _listed(low), "hi": _listed(np.maximum(high, values))}
    one["labels"] = whens(rows)
    return one


def earlier_series(runs: Iterable[Any], record: Record, most: int = EARLIER) -> list[dict[str, Any]]:
    """Return the grey curves: the latest runs of the same metric whose times are on the same clock."""
    found = []
    for other in map(record_of, runs):
        if other.id == record.id or other.metric != record.metric or record.clock not in other.clocks:
            continue
        rows = rows_of(other)
        if not len(rows):
            continue
        keep = _thin(rows["value"].to_numpy(np.float64), EARLIER_POINTS)
        rows = rows.iloc[keep]
        times, values = (rows[name].to_numpy(np.float64) for name in (f"{record.clock}_s", "value"))
        found.append({"name": name_of(other), "x": _listed(times), "y": _listed(values), "role": "history"})
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


# --------------------------------------------------------------------------------------------------------------- parts


def _projection(projection: Any) -> dict[str, Any] | None:
    if projection is None:
        return None
    read = projection.get if isinstance(projection, Mapping) else lambda name: getattr(projection, name)
    return {
        "known": bool(read("known")), "text": str(read("text")),
        **{name: _known(read(name)) for name in ("low", "median", "high")},
    }  # fmt: skip


def _marks(record: Record, rows: pd.DataFrame) -> list[dict[str, Any]]:
    at = first_crossing(record, rows)
    if at is None:
        return []
    seconds = seconds_of(record, rows)
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


def _known(value: Any) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
