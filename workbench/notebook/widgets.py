"""The widgets: synced traits in Python, the views in `static/*.js`, which the extension and the report use as well.

Each trait is one entry of the state that the module of the same name reads. Final outputs of a notebook are never
widgets: these live while something runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anywidget
from traitlets import Bool, Dict, Float, Int, List, Unicode

__all__ = ["CurveWidget", "GanttWidget", "PlayerWidget", "RankedWidget", "RegionWidget", "RunWidget", "TimelineWidget"]

_STATIC = Path(__file__).parent / "static"


class RunWidget(anywidget.AnyWidget):  # type: ignore[misc]
    """Work in progress: one line, a bar and a Stop button.

    `stopping` becomes True when Stop is pressed; observe it to cancel. Numbers that are not known are None.
    """

    _esm = _STATIC / "run.js"

    run_id = Unicode().tag(sync=True)
    title = Unicode().tag(sync=True)
    #: queued, running, finished, cancelled, failed, lost
    state = Unicode("queued").tag(sync=True)
    done = Float(0.0, allow_none=True).tag(sync=True)
    total = Float(None, allow_none=True).tag(sync=True)
    unit = Unicode().tag(sync=True)
    #: units per second over the last 10 s
    rate = Float(0.0, allow_none=True).tag(sync=True)
    eta_s = Float(None, allow_none=True).tag(sync=True)
    stage = Unicode().tag(sync=True)
    workers = Int(0).tag(sync=True)
    elapsed = Float(0.0).tag(sync=True)
    message = Unicode().tag(sync=True)
    stopping = Bool(False).tag(sync=True)


class CurveWidget(anywidget.AnyWidget):  # type: ignore[misc]
    """Curves as they grow: a target, a projected crossing, earlier curves in grey, figures, shares and a Stop button.

    `stopping` becomes True when Stop is pressed; observe it. Numbers that are not known are None.
    """

    _esm = _STATIC / "curve.js"

    title = Unicode().tag(sync=True)
    #: one line on how it stands
    status = Unicode().tag(sync=True)
    #: whether it goes on, and so can be stopped
    running = Bool(False).tag(sync=True)
    stopping = Bool(False).tag(sync=True)
    #: where it stands on the x axis while it goes on
    now = Float(None, allow_none=True).tag(sync=True)
    #: [{name, x, y, lo, hi, labels, role}]; role "history" is drawn grey
    series = List(Dict()).tag(sync=True)
    x_label = Unicode().tag(sync=True)
    #: "s" for an axis of times
    x_unit = Unicode().tag(sync=True)
    #: whether these times are on a logarithmic axis
    x_log = Bool(False).tag(sync=True)
    y_label = Unicode().tag(sync=True)
    target = Float(None, allow_none=True).tag(sync=True)
    #: [x0, x1], shaded
    band = List(None, allow_none=True).tag(sync=True)
    #: [{x, label}]
    marks = List(Dict()).tag(sync=True)
    #: {known, low, median, high, text}: a bar on the target line
    projection = Dict(None, allow_none=True).tag(sync=True)
    #: [{label, value, note, level}]; level "", "good" or "warning"
    facts = List(Dict()).tag(sync=True)
    #: [{name, value, text, counted}], a stacked bar
    shares = List(Dict()).tag(sync=True)
    #: one line below
    foot = Unicode().tag(sync=True)


class TimelineWidget(anywidget.AnyWidget):  # type: ignore[misc]
    """What was found when. Times are seconds of the source.

    A click sets `time`, a drag sets `selected` to (start, end).
    """

    _esm = _STATIC / "timeline.js"

    #: [{id, label}], top to bottom
    lanes = List(Dict()).tag(sync=True)
    #: [{lane, start, end, kind, label}]
    bars = List(Dict()).tag(sync=True)
    duration = Float(0.0).tag(sync=True)
    #: [[start, end]]: searched (grey), skipped (hatched)
    searched = List().tag(sync=True)
    skipped = List().tag(sync=True)
    selected = List(None, allow_none=True).tag(sync=True)
    time = Float(0.0).tag(sync=True)


class GanttWidget(anywidget.AnyWidget):  # type: ignore[misc]
    """Who did what when: a lane for each worker, at most 2,000 bars; kinds differ by colour, and by hatch or height."""

    _esm = _STATIC / "gantt.js"

    #: [{id, label}], top to bottom
    lanes = List(Dict()).tag(sync=True)
    #: [{lane, start, end, kind, label}]
    bars = List(Dict()).tag(sync=True)
    #: [{kind, role, label, hatch, part}]; role "idle" is drawn grey; part "", "upper" or "lower" half of the lane
    kinds = List(Dict()).tag(sync=True)
    #: of start and end
    unit = Unicode().tag(sync=True)


class PlayerWidget(anywidget.AnyWidget):  # type: ignore[misc]
    """A clip with boxes on exactly the frame that is shown.

    Link its `time` with a timeline's: `traitlets.link((player, "time"), (timeline, "time"))`, or in the front end
    alone with `ipywidgets.jslink`.
    """

    _esm = _STATIC / "player.js"

    #: a data URI, or a URL relative to the page
    asset = Unicode().tag(sync=True)
    mime = Unicode("video/mp4").tag(sync=True)
    #: the video that it is a part of, as the user wrote it
    source = Unicode().tag(sync=True)
    #: px of the source, in which boxes and regions are given
    width = Int(0).tag(sync=True)
    height = Int(0).tag(sync=True)
    fps = Float(25.0).tag(sync=True)
    #: seconds of the source
    time = Float(0.0).tag(sync=True)
    #: the second of the source at which the clip begins
    offset = Float(0.0).tag(sync=True)
    #: [{name, points: [[x, y], ...]}]
    regions = List(Dict()).tag(sync=True)
    #: [{start, end, label}]
    hits = List(Dict()).tag(sync=True)
    #: [[t, [[x1, y1, x2, y2, track, label, score], ...]], ...], t ascending in seconds of the source
    frames = List().tag(sync=True)


class RegionWidget(anywidget.AnyWidget):  # type: ignore[misc]
    """A frame to draw a region or a line on; `code` is the line to paste."""

    _esm = _STATIC / "region.js"

    #: the frame, a data URI
    asset = Unicode().tag(sync=True)
    #: px of the source, in which corners are given
    width = Int(1).tag(sync=True)
    height = Int(1).tag(sync=True)
    #: what the code assigns to
    name = Unicode("region").tag(sync=True)
    #: [[x, y], ...]
    points = List().tag(sync=True)
    code = Unicode().tag(sync=True)


class RankedWidget(anywidget.AnyWidget):  # type: ignore[misc]
    """Explanations, best first, with a drill-down.

    While `live` is set, its buttons send `{"do": "within" | "without", "row": rank, "key": key, "id": n}`, and are
    answered with what `again.reply` gives.
    """

    _esm = _STATIC / "ranked.js"

    #: [{name, label, format}]
    columns = List(Dict()).tag(sync=True)
    #: a list of cells each; `engine.ranked` says what a cell of each format is
    rows = List().tag(sync=True)
    #: number of a row as text -> blocks of its drill-down
    details = Dict().tag(sync=True)
    #: {column: name or null, descending}
    sort = Dict().tag(sync=True)
    #: number of the row whose details are shown
    selected = Int(None, allow_none=True).tag(sync=True)
    #: rows before "show all"
    page = Int(10).tag(sync=True)
    #: explanations in all, where not all are in `rows`
    total = Int(0).tag(sync=True)
    #: what the kernel knows the result by
    key = Unicode().tag(sync=True)
    live = Bool(False).tag(sync=True)

    def __init__(self, **state: Any) -> None:
        super().__init__(**state)
        self._held: dict[str, Any] = {}
        self.on_msg(self._asked)

    def _asked(self, _: Any, message: Any, __: Any) -> None:
        from workbench.notebook import again

        self.send(again.reply(message, self._held))
