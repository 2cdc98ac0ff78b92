"""Static timeline, curve and Gantt chart from the state of their modules."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from workbench.notebook.charts import BARS, GANTT_BARS, POINTS, curve, gantt, thin, timeline
from workbench.notebook.draw import Bar, Drawing


def bars(chart: Drawing) -> list[Bar]:
    return [shape for shape in chart.shapes if isinstance(shape, Bar)]


TIMELINE: dict[str, Any] = {
    "lanes": [{"id": "a", "label": "cam1.mp4"}, {"id": "b", "label": ""}],
    "bars": [
        {"lane": "a", "start": 10, "end": 20.5, "kind": "event", "label": "car 1"},
        {"lane": "b", "start": 99.9, "end": 100, "kind": "ongoing", "label": ""},
    ],
    "duration": 100.0, "searched": [[0, 50]], "skipped": [[50, 60]], "selected": None, "time": 0,
}  # fmt: skip


def test_timeline_puts_bars_in_their_place() -> None:
    chart = timeline(TIMELINE)
    first, second = (bar for bar in bars(chart) if bar.title)
    tracks = [bar for bar in bars(chart) if bar.colour == "track"]
    left, width = tracks[0].x, tracks[0].width
    assert first.x == pytest.approx(left + 0.1 * width) and first.width == pytest.approx(0.105 * width)
    assert first.title == "car 1, 00:10 – 00:20.5" and second.title == "01:39.9 – 01:40"
    assert second.y > first.y and second.x + second.width <= left + width + 0.01
    assert [bar.hatch for bar in bars(chart)].count(True) == 2
    assert chart.alt == "Timeline: 2 events in 01:40"


def test_timeline_without_anything() -> None:
    assert "<svg" in timeline({"lanes": [], "bars": [], "duration": 0}).svg()


def test_timeline_draws_at_most_2000_bars() -> None:
    many = [{"lane": "a", "start": i, "end": i + 1, "kind": "event", "label": ""} for i in range(BARS + 5)]
    chart = timeline({**TIMELINE, "bars": many, "searched": [], "skipped": []})
    assert sum(bool(bar.title) for bar in bars(chart)) == BARS
    assert len(chart.svg()) < 400_000


@pytest.mark.parametrize("duration", [0.5, 5, 60, 600, 7200, 10**6])
def test_timeline_has_few_ticks(duration: float) -> None:
    labels = re.findall(r">([\d:.s]+)</text>", timeline({"lanes": [], "bars": [], "duration": duration}).svg())
    assert 2 <= len(labels) <= 10 and labels[0] in ("00:00", "0.0s")


def test_curve_breaks_at_missing_values() -> None:
    state = {"series": [{"name": "a", "x": [0, 1, 2, 3, 4], "y": [1, 2, None, 4, 5]}], "target": 3, "band": [1, 2]}
    svg = curve(state).svg()
    assert svg.count("<polyline") == 2 and "stroke-dasharray" in svg


@pytest.mark.parametrize(
    "state",
    [
        {"series": []},
        {"series": [{"name": "a", "x": [], "y": []}]},
        {"series": [{"name": "a", "x": [1], "y": [1]}]},
        {"series": [{"name": "a", "x": [1, 2], "y": [None, float("nan")]}]},
    ],
)
def test_curve_of_little(state: dict[str, Any]) -> None:
    assert "nan" not in curve(state).svg()


def test_thinning_keeps_the_least_and_greatest_of_each_bucket() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=50_000)
    y[123], y[40_000] = 99, -99
    y[5:9] = np.nan
    kept = thin(np.arange(len(y)), y)
    assert len(kept) <= POINTS and {123, 40_000} <= set(kept.tolist()) and (np.diff(kept) > 0).all()
    assert list(thin(np.arange(3), y[:3])) == [0, 1, 2]


def test_gantt() -> None:
    state = {
        "lanes": [{"id": 0, "label": "stage 0"}, {"id": 1, "label": "stage 1"}],
        "bars": [
            {"lane": i % 2, "start": i, "end": i + 1, "kind": "f", "label": str(i)} for i in range(GANTT_BARS + 1)
        ],
        "kinds": [{"kind": "f", "role": "forward", "label": "forward"}],
        "unit": "ms",
    }
    chart = gantt(state)
    assert sum(bool(bar.title) for bar in bars(chart)) == GANTT_BARS
    assert "forward" in chart.svg() and " ms</text>" in chart.svg()
    assert "<svg" in gantt({"lanes": [], "bars": []}).svg()


def test_a_long_legend_of_a_gantt_chart_goes_on_in_a_second_line() -> None:
    names = [f"kind number {k}" for k in range(10)]
    state = {
        "lanes": [{"id": 0, "label": "worker 0"}], "unit": "ms", "kinds": [{"kind": name} for name in names],
        "bars": [{"lane": 0, "start": 0, "end": 1, "kind": names[0], "label": "a"}],
    }  # fmt: skip
    words = [shape for shape in gantt(state).shapes if getattr(shape, "text", None) in names]
    (lane,) = [bar for bar in bars(gantt(state)) if bar.title]
    assert all(word.x + 6.2 * len(word.text) <= 760 for word in words)
    assert len({word.y for word in words}) == 2 and max(word.y for word in words) < lane.y


def test_kinds_of_a_gantt_chart_differ_by_more_than_colour() -> None:
    looks = [
        {"kind": "a", "role": "compute", "hatch": False, "part": ""},
        {"kind": "b", "role": "compute", "hatch": True, "part": ""},
        {"kind": "c", "role": "transfer", "hatch": False, "part": "upper"},
        {"kind": "d", "role": "transfer", "hatch": False, "part": "lower"},
        {"kind": "e", "role": "idle", "hatch": True, "part": ""},
    ]
    state = {
        "lanes": [{"id": 0, "label": "worker 0"}], "kinds": looks, "unit": "ms",
        "bars": [{"lane": 0, "start": i, "end": i + 1, "kind": "abcde"[i], "label": "abcde"[i]} for i in range(5)],
    }  # fmt: skip
    drawn = {bar.title: bar for bar in bars(gantt(state)) if bar.title}
    a, b, c, d, e = (drawn[name] for name in "abcde")
    assert c.height == d.height == a.height / 2 and (c.y, d.y) == (a.y, a.y + c.height)
    hatched = [(bar.x, bar.colour) for bar in bars(gantt(state)) if bar.hatch and bar.x > 20]
    assert (b.x, b.colour) in hatched and (e.x, "muted") in hatched and (a.x, a.colour) not in hatched
