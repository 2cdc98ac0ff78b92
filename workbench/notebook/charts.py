"""The static forms of timeline, curve and Gantt chart, drawn from the same state as their live modules."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from workbench.engine.units import format_clock
from workbench.notebook.draw import Bar, Drawing, Line, Path, Text, nice_ticks, short_number
from workbench.notebook.theme import SERIES

__all__ = ["BARS", "GANTT_BARS", "POINTS", "curve", "gantt", "outline", "thin", "thinned", "timeline"]

BARS, GANTT_BARS, POINTS = 2000, 5000, 2000  # most marks in one static chart
_WIDTH = 760.0
_FRAME = 960.0  # of a still frame at most, px
_LOG_TICKS = (
    (0.01, "10 ms"), (0.1, "0.1 s"), (1, "1 s"), (10, "10 s"), (60, "1 min"), (600, "10 min"), (3600, "1 h"),
    (36000, "10 h"), (360000, "100 h"), (3600000, "1,000 h"),
)  # fmt: skip
_DOTS = 60  # points up to which each is marked
_CLOCK_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)


def timeline(state: Mapping[str, Any]) -> Drawing:
    """Draw events on lanes over time: a bar is an event, grey was searched, hatched was skipped.

    Parameters
    ----------
    state : mapping
        `lanes`, `bars`, `duration`, `searched`, `skipped` (seconds).
    """
    lanes = list(state.get("lanes") or []) or [{"id": "", "label": ""}]
    bars = list(state.get("bars") or [])
    duration = max([float(state.get("duration") or 0.0), *(float(bar["end"]) for bar in bars)]) or 1.0
    label = _label_width(lane.get("label", "") for lane in lanes)
    row, top = 18.0, 4.0
    chart = Drawing(_WIDTH, top + row * len(lanes) + 20, f"Timeline: {len(bars):,} events in {format_clock(duration)}")
    scale = (_WIDTH - label - 12) / duration
    rows = {lane.get("id"): index for index, lane in enumerate(lanes)}
    for index, lane in enumerate(lanes):
        y = top + row * index
        chart.add(Text(0, y + 12, _fit(lane.get("label", ""), label), "text"))
        chart.add(Bar(label, y + 2, duration * scale, row - 6, "track", radius=2))
        for start, end in state.get("searched") or []:
            chart.add(Bar(label + start * scale, y + 2, max(0.0, end - start) * scale, row - 6, "searched", radius=2))
        for start, end in state.get("skipped") or []:
            chart.add(Bar(label + start * scale, y + 2, max(0.0, end - start) * scale, row - 6, "muted", hatch=True))
    kinds: dict[Any, int] = {"event": 0, "ongoing": 0}
    for bar in bars[:BARS]:
        y = top + row * rows.get(bar.get("lane"), 0)
        colour = SERIES[kinds.setdefault(bar.get("kind"), len(kinds) - 1) % len(SERIES)]
        faint = 0.55 if bar.get("kind") == "ongoing" else 1.0
        span = f"{_clock(bar['start'])} – {_clock(bar['end'])}"
        title = f"{bar['label']}, {span}" if bar.get("label") else span
        width = max(2.0, (bar["end"] - bar["start"]) * scale)
        left = min(label + bar["start"] * scale, _WIDTH - 12 - width)
        chart.add(Bar(left, y, width, row - 2, colour, title, faint, radius=2 if width >= 6 else 0))
    base = top + row * len(lanes)
    chart.add(Line(label, base, label + duration * scale, base))
    step = next((s for s in _CLOCK_STEPS if duration / s <= 8), duration / 6)
    for index in range(int(duration / step + 1e-9) + 1):
        x = label + index * step * scale
        anchor = "middle" if x < _WIDTH - 30 else "end"
        text = format_clock(index * step) if step >= 1 else f"{index * step:.1f}s"
        chart.add(
            Line(x, base, x, base + 4),
            Text(x if index else label, base + 16, text, anchor=anchor if index else "start"),
        )
    return chart


def curve(state: Mapping[str, Any]) -> Drawing:
    """Draw series as lines with their bands, a target and marks; at most 2,000 points a series.

    Parameters
    ----------
    state : mapping
        `series` (`name`, `x`, `y`, and where there are some `lo`, `hi`; grey where its `role` is "history"), `x_label`,
        `y_label`, `x_unit` ("s": the axis shows times), `x_log` (times on a logarithmic axis), `target`, `band`,
        `marks`, and `projection` (`known`, `low`, `median`, `high`, `text`): a bar on the target line.
    """
    series = [one for one in state.get("series") or [] if one.get("role") != "history"]
    earlier = [_columns(one) for one in state.get("series") or [] if one.get("role") == "history"]
    cleaned = [_columns(one) for one in series]
    projection = state.get("projection") or {}
    marks = [mark for mark in state.get("marks") or [] if mark.get("x") is not None]
    seconds, log = state.get("x_unit") == "s", bool(state.get("x_log"))
    ends = [projection.get(name) for name in ("low", "median", "high")] if projection.get("known") else []
    ends += [mark["x"] for mark in marks] + ([0.0] if seconds and not log else [])
    xs = np.concatenate([c["x"] for c in (*cleaned, *earlier)] + [_floats(ends)])
    ys = np.concatenate([c[k] for c in (*cleaned, *earlier) for k in ("y", "lo", "hi") if k in c] or [np.empty(0)])
    target = state.get("target")
    if target is not None:
        ys = np.append(ys, [float(target)] if np.isfinite(ys).any() else [0.0, float(target)])
    names = ", ".join(str(one.get("name", "")) for one in series)
    chart = Drawing(_WIDTH, 260, f"Curves: {names}")
    left, right, top, bottom = 56.0, 14.0, 26.0, 40.0
    x0, x1 = _range(xs[xs > 0]) if log else _range(xs)
    y0, y1 = _range(ys, 0.06)
    scaled = (lambda x: np.log(np.maximum(np.asarray(x, float), x0))) if log else (lambda x: np.asarray(x, float))

    def at(x: Any, y: Any) -> list[tuple[float, float]]:
        px = left + (scaled(x) - scaled(x0)) / (scaled(x1) - scaled(x0)) * (_WIDTH - left - right)
        py = 260 - bottom - (np.asarray(y, float) - y0) / (y1 - y0) * (260 - top - bottom)
        return list(zip(px.tolist(), py.tolist(), strict=True))

    if state.get("band"):
        (bx0, _), (bx1, _) = at(state["band"], [y0, y0])
        chart.add(Bar(bx0, top, bx1 - bx0, 260 - top - bottom, "track"))
    for tick in nice_ticks(y0, y1, 5):
        ((_, y),) = at([x0], [tick])
        chart.add(Line(left, y, _WIDTH - right, y), Text(left - 6, y + 4, short_number(tick), anchor="end"))
    ticks, unit = _time_ticks(x0, x1, log) if seconds else ([(t, short_number(t)) for t in nice_ticks(x0, x1, 8)], "")
    for tick, text in ticks:
        ((x, base),) = at([tick], [y0])
        chart.add(Line(x, base, x, base + 4), Text(x, base + 16, text, anchor="middle"))
    for columns in earlier:  # first: what came before never covers what is now
        for part in _unbroken(columns["x"], columns["y"]):
            chart.add(Path(_two(at(*part)), "muted", 1.0, opacity=0.38))
    for index, columns in enumerate(cleaned):
        colour = SERIES[index % len(SERIES)]
        if "lo" in columns and "hi" in columns and len(columns["x"]):
            good = np.isfinite(columns["lo"]) & np.isfinite(columns["hi"])
            edges = [at(columns["x"][good], columns[name][good]) for name in ("hi", "lo")]
            chart.add(Path(edges[0] + edges[1][::-1], colour, fill=True, opacity=0.18))
        for part in _unbroken(columns["x"], columns["y"]):
            points = at(*part)
            chart.add(Path(_two(points), colour, 1.8))
            if len(columns["x"]) <= _DOTS:
                chart.add(*(Bar(x - 2.5, y - 2.5, 5, 5, colour, radius=2.5) for x, y in points))
    if target is not None:
        ((_, y),) = at([x0], [float(target)])
        chart.add(Line(left, y, _WIDTH - right, y, "warn", 1.0, "5 4"))
        _project(chart, projection, y, lambda x: at([x], [y0])[0][0], (left, _WIDTH - right))
    for mark in marks:
        ((x, base),) = at([mark["x"]], [y0])
        word = str(mark.get("label", ""))
        inside = x <= _WIDTH - right - 7 * len(word)
        chart.add(Line(x, top, x, base, "muted", 1.0, "2 3"))
        chart.add(Text(x + (4 if inside else -4), base - 6, word, "text", "start" if inside else "end"))
    _legend(chart, [str(one.get("name", "")) for one in series], len(earlier), str(state.get("y_label") or ""), left)
    chart.add(Text((_WIDTH + left) / 2, 254, f"{state.get('x_label') or ''}{unit}", anchor="middle"))
    chart.add(Text(_WIDTH - right, 15, str(state.get("y_label") or ""), anchor="end"))
    return chart


def _project(
    chart: Drawing, projection: Mapping[str, Any], y: float, at: Callable[[float], float], ends: tuple[float, float]
) -> None:
    """Draw the projected crossing on the target line: a bar, open on the right where it may never come; its words."""
    place, text = ends[0] + 6, str(projection.get("text") or "")
    low, median, high = (projection.get(name) for name in ("low", "median", "high"))
    if projection.get("known") and low is not None:
        place, last = at(float(low)), ends[1] if high is None or math.isinf(high) else at(float(high))
        chart.add(Bar(place, y - 5, max(3.0, last - place), 10, "warn", text, 0.5, radius=3))
        if median is not None and math.isfinite(median):
            chart.add(Line(at(float(median)), y - 7, at(float(median)), y + 7, "text", 2.0))
    if text:
        x = max(ends[0] + 4, min(place, ends[1] - 6.1 * len(text)))
        chart.add(Text(x, y + 20 if y < 52 else y - 11, text, "warn"))


def _legend(chart: Drawing, names: Sequence[str], earlier: int, y_label: str, left: float) -> None:
    words = [(name, SERIES[i % len(SERIES)]) for i, name in enumerate(names[:8])] if len(names) > 1 or earlier else []
    if len(names) > 8:
        words.append((f"and {len(names) - 8} more", "page"))
    if earlier:
        words.append((f"{earlier} {'earlier ' if names else ''}run{'' if earlier == 1 else 's'}", "muted"))
    for name, colour in words:
        if left + 24 + 6.2 * len(name) > _WIDTH - 14 - 6.2 * len(y_label):
            return
        chart.add(Bar(left, 7, 10, 10, colour, radius=2), Text(left + 14, 16, name, "text"))
        left += 30 + 6.2 * len(name)


def _time_ticks(low: float, high: float, log: bool) -> tuple[list[tuple[float, str]], str]:
    """Return ticks of seconds with their texts, and the unit for the axis."""
    if log:
        return [(place, text) for place, text in _LOG_TICKS if low <= place <= high], ""
    step = next((s for s in _CLOCK_STEPS if (high - low) / s <= 8), (high - low) / 8)
    places = [i * step for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]
    if high <= 120:
        return [(place, short_number(place)) for place in places], " (s)"
    return [(p, _hours(p)) for p in places], " (h:min:s)" if high > 3600 else " (min:s)"


def _hours(seconds: float) -> str:
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _two(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return points that make a line, also where there is one."""
    return points if len(points) > 1 else [points[0], (points[0][0] + 2, points[0][1])]


def _floats(values: Iterable[Any]) -> np.ndarray:
    return np.array([math.nan if value is None else value for value in values], float)


def _gantt_colour(kind: Mapping[str, Any], index: int) -> str:
    return {"idle": "muted", "flag": "warn"}.get(str(kind.get("role")), SERIES[index % len(SERIES)])


def _gantt_bar(
    x: float, y: float, width: float, height: float, colour: str, kind: Mapping[str, Any], title: str = ""
) -> list[Bar]:
    """Return a bar in the look of its kind, which differs by more than its colour: hatched, or half as high."""
    part = kind.get("part")
    if part:
        y, height = y + height * {"upper": 0.0, "middle": 0.25}.get(part, 0.5), height / 2
    if not kind.get("hatch"):
        return [Bar(x, y, width, height, colour, title)]
    faint = 0.15 if kind.get("role") == "idle" else 0.4
    return [Bar(x, y, width, height, colour, title, faint), Bar(x, y, width, height, colour, hatch=True)]


def gantt(state: Mapping[str, Any]) -> Drawing:
    """Draw bars of several kinds on lanes over a common axis; at most 5,000 bars.

    Parameters
    ----------
    state : mapping
        `lanes`, `bars`, `unit`, and `kinds`: `kind`, `label`, `role` ("idle" is grey, a "flag" is a mark of its own
        colour), `hatch`, `part` ("upper", "middle" or "lower" half of a lane), and `rare`: in the legend only if drawn.
    """
    lanes = list(state.get("lanes") or [])
    bars = list(state.get("bars") or [])[:GANTT_BARS]
    kinds = list(state.get("kinds") or [])
    names = {kind["kind"]: index for index, kind in enumerate(kinds)}
    low, high = _range(np.array([value for bar in bars for value in (bar["start"], bar["end"])], float))
    label = _label_width(lane.get("label", "") for lane in lanes)
    row = 22.0
    scale = (_WIDTH - label - 12) / (high - low)
    rows = {lane.get("id"): index for index, lane in enumerate(lanes)}
    looks: dict[Any, Mapping[str, Any]] = {kind["kind"]: kind for kind in kinds}
    seen = {bar.get("kind") for bar in bars}
    legend: list[Bar | Text] = []
    place, line = label, 3.0
    for index, kind in enumerate(kinds):
        if kind.get("rare") and kind["kind"] not in seen:
            continue
        text = str(kind.get("label") or kind["kind"])
        wide = 30 + 6.2 * len(text)
        if place > label and place + wide > _WIDTH:
            place, line = label, line + 18
        legend += _gantt_bar(place, line, 12, 12, _gantt_colour(kind, index), kind)
        legend.append(Text(place + 16, line + 10, text, "text"))
        place += wide
    top = line + 23
    chart = Drawing(_WIDTH, top + row * len(lanes) + 22, f"Gantt chart: {len(bars):,} bars on {len(lanes)} lanes")
    chart.add(*legend)
    for index, lane in enumerate(lanes):
        chart.add(Text(0, top + row * index + 14, _fit(lane.get("label", ""), label), "text"))
        chart.add(Bar(label, top + row * index + 2, _WIDTH - label - 12, row - 4, "track"))
    for bar in bars:
        y = top + row * rows.get(bar.get("lane"), 0)
        look = looks.get(bar.get("kind"), {})
        colour = _gantt_colour(look, names.setdefault(bar.get("kind"), len(names)))
        left = label + (bar["start"] - low) * scale
        width = max(3.0 if look.get("role") == "flag" else 1.0, (bar["end"] - bar["start"]) * scale - 0.5)
        chart.add(*_gantt_bar(left, y + 2, width, row - 4, colour, look, str(bar.get("label", ""))))
    base = top + row * len(lanes)
    unit = f" {state['unit']}" if state.get("unit") else ""
    for tick in nice_ticks(low, high, 7):
        x = label + (tick - low) * scale
        chart.add(Line(x, base, x, base + 4), Text(x, base + 16, short_number(tick) + unit, anchor="middle"))
    return chart


def outline(state: Mapping[str, Any]) -> Drawing:
    """Draw the corners of a region or a line, to lie over the frame that they are on."""
    width, height = float(state["width"]), float(state["height"])
    share = min(1.0, _FRAME / width)
    points = [(float(x) * share, float(y) * share) for x, y in state["points"]]
    count = f"{len(points)} corner{'' if len(points) == 1 else 's'}"
    drawing = Drawing(round(width * share), round(height * share), f"A frame with {count} of {state['name']} on it")
    if len(points) > 2:
        drawing.add(Path(points, "accent", fill=True, opacity=0.3))
    ring = [*points, points[0]] if len(points) > 2 else points
    drawing.add(Path(ring, "page", 4.0), Path(ring, "accent", 2.0))
    drawing.add(*(Bar(x - 4, y - 4, 8, 8, "accent", f"({a:g}, {b:g})", radius=4)
                  for (x, y), (a, b) in zip(points, state["points"], strict=True)))  # fmt: skip
    return drawing


def thin(x: np.ndarray, y: np.ndarray, most: int = POINTS) -> np.ndarray:
    """Return the indices of at most `most` points that keep minimum and maximum of each bucket."""
    if len(x) <= most:
        return np.arange(len(x))
    edges = np.linspace(0, len(x), most // 2 + 1).astype(int)
    kept = set()
    for start, stop in itertools.pairwise(edges.tolist()):
        part = y[start:stop]
        if np.isfinite(part).any():
            kept |= {start + int(np.nanargmin(part)), start + int(np.nanargmax(part))}
    return np.array(sorted(kept), dtype=int)


def thinned(one: Mapping[str, Any]) -> dict[str, Any]:
    """Return a series with at most 2,000 points."""
    return {**one, **{name: values.tolist() for name, values in _columns(one).items()}}


def _columns(one: Mapping[str, Any]) -> dict[str, np.ndarray]:
    columns = {
        k: np.array([math.nan if v is None else v for v in one[k]], float)
        for k in ("x", "y", "lo", "hi")
        if one.get(k) is not None
    }
    columns.setdefault("x", np.empty(0))
    columns.setdefault("y", np.empty(0))
    keep = thin(columns["x"], columns["y"])
    return {name: values[keep] for name, values in columns.items()}


def _unbroken(x: np.ndarray, y: np.ndarray) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    """Yield the stretches between missing values."""
    good = np.isfinite(x) & np.isfinite(y)
    edges = np.flatnonzero(np.diff(np.concatenate(([False], good, [False])).astype(int)))
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        yield x[start:stop], y[start:stop]


def _range(values: np.ndarray, margin: float = 0.0) -> tuple[float, float]:
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    if low == high:
        return low - 0.5, high + 0.5
    return low - (high - low) * margin, high + (high - low) * margin


def _label_width(labels: Iterable[str]) -> float:
    return min(180.0, max((6.4 * len(str(label)) + 14 for label in labels if label), default=0.0))


def _fit(label: Any, width: float) -> str:
    text, most = str(label), int((width - 10) / 6.4 + 1e-6)
    return text if len(text) <= most else text[: max(1, most - 1)] + "…"


def _clock(seconds: float) -> str:
    tenths = round(float(seconds) * 10)
    return format_clock(tenths // 10) + (f".{tenths % 10}" if tenths % 10 else "")
