"""The widgets of a run in progress, without a front end."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from workbench.engine.run import Progress
from workbench.notebook.live_widgets import LiveWidgets
from workbench.notebook.progress import blocks_of

PROGRESS = Progress(412, 900, "frames", 52.34, 9.32, "detect", 2, 8.0)
TIMELINE = {
    "lanes": [{"id": "0", "label": "cam1.mp4"}], "bars": [], "duration": 8.0, "searched": [[0, 2]], "skipped": [],
    "selected": None, "time": 0.0,
}  # fmt: skip


def blocks(line: str, rows: int = 2, **more: Any) -> list[dict[str, Any]]:
    return [
        {"kind": "summary", "text": line},
        {"kind": "note", "level": "warning", "text": "About 15 min on 2 workers."},
        {"kind": "timeline", "state": {**TIMELINE, **more}},
        {"kind": "table", "name": "events", "frame": pd.DataFrame({"event": range(rows)})},
        {"kind": "table", "name": "objects", "frame": pd.DataFrame({"id": range(99)})},
    ]


@pytest.fixture
def live() -> Any:
    run = SimpleNamespace(run_id="a" * 32, title="Cars in cam1.mp4", progress=PROGRESS, cancel=lambda: None)
    made = LiveWidgets.make(run)
    assert made is not None
    yield made, run
    made.close()


def kinds(made: LiveWidgets) -> list[str]:
    return [type(part).__name__ for part in made.box.children]


def test_progress_then_status_then_timeline_then_table(live: Any) -> None:
    made, run = live
    made.update(run, PROGRESS, [])
    assert kinds(made) == ["RunWidget"]
    made.update(run, PROGRESS, blocks("1 event, 1 car | 00:02 of 00:08 | 9 s left | exact"))
    assert kinds(made) == ["RunWidget", "HTML", "TimelineWidget", "HTML"]
    status, timeline, table = made.box.children[1:]
    assert "1 event, 1 car | 00:02 of 00:08 | 9 s left | exact</div>" in status.value
    assert "About 15 min" in status.value
    assert len(re.findall("<tr>", table.value)) == 3
    assert "objects" not in table.value
    made.update(run, PROGRESS, blocks("2 events, 2 cars", 3, searched=[[0, 4]]))
    assert made.box.children[1:] == (status, timeline, table)
    assert "2 events, 2 cars" in status.value
    assert timeline.searched == [[0, 4]]
    made.update(run, PROGRESS, [])  # no new preview: what is there stays
    assert "2 events, 2 cars" in status.value


def test_charts_that_fill(live: Any) -> None:
    made, run = live
    gantt = {"lanes": [{"id": 0, "label": "worker 0"}], "bars": [], "kinds": [], "unit": "ms"}
    curve = {"series": [{"name": "loss", "x": [0.0], "y": [1.0]}], "x_label": "step", "y_label": "loss"}
    made.update(run, PROGRESS, [{"kind": "gantt", "state": gantt}, {"kind": "curve", "state": curve}])
    assert kinds(made) == ["RunWidget", "GanttWidget", "CurveWidget"]
    chart, losses = made.box.children[1:]
    bar = {"lane": 0, "start": 0.0, "end": 1.0, "kind": "forward", "label": "forward"}
    made.update(run, PROGRESS, [{"kind": "gantt", "state": {**gantt, "bars": [bar]}}])
    assert made.box.children[1:] == (chart, losses) and chart.bars == [bar]


def test_a_preview_is_made_of_what_is_cheap() -> None:
    cheap = SimpleNamespace(preview_data=lambda: {"blocks": blocks("cheap")}, view_data=lambda: 1 / 0)
    assert blocks_of(cheap)[0]["text"] == "cheap"
    whole = SimpleNamespace(view_data=lambda: {"blocks": blocks("whole")})
    assert blocks_of(whole)[0]["text"] == "whole"
    assert blocks_of(3) == []


def ranked(rows: int) -> dict[str, Any]:
    columns = [{"name": "rank", "label": "#", "format": "rank"}, {"name": "ratio", "label": "", "format": "ratio"}]
    figures = {"value": "inf", "low": 1.0, "high": None}
    state = {"columns": columns, "rows": [[i + 1, figures] for i in range(rows)], "details": {}, "sort": {},
             "selected": None, "page": 10, "total": rows}  # fmt: skip
    return {"kind": "ranked", "state": state}


def test_c40_the_ranked_table_grows_in_its_place(live: Any) -> None:
    made, run = live
    made.update(run, PROGRESS, [{"kind": "summary", "text": "1 column"}, ranked(1)])
    table = made.ranked
    assert table in made.box.children and len(table.rows) == 1 and not table.live
    table.selected = 0
    made.update(run, PROGRESS, [ranked(3)])
    assert made.ranked is table and len(table.rows) == 3 and table.selected == 0
    made.update(run, PROGRESS, [])
    assert len(table.rows) == 3
