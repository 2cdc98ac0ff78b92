"""The widgets of a run in progress, and how they go away without leaving a comm open."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Sequence
from typing import Any

from workbench.notebook import display
from workbench.notebook.page import plain
from workbench.notebook.progress import preview_blocks, quietly

__all__ = ["LiveWidgets", "answer_at_once", "close_all", "made", "widget_view"]


class LiveWidgets:
    """The live widgets of one run: its progress, its status line, the charts that fill, and the growing table."""

    def __init__(self, module: Any, toolkit: Any, run: Any) -> None:
        self._module, self._toolkit = module, toolkit
        self.progress = module.RunWidget(**_state(run, run.progress))
        self.progress.observe(lambda change: run.cancel() if change.new else None, "stopping")
        answer_at_once(self.progress)
        self.status: Any = None
        self.timeline: Any = None
        self.gantt: Any = None
        self.curve: Any = None
        self.ranked: Any = None
        self.table: Any = None
        self.box = toolkit.VBox([self.progress])

    @classmethod
    def make(cls, run: Any) -> LiveWidgets | None:
        """Return the widgets, or None where there are none to be had."""
        try:
            import ipywidgets

            from workbench.notebook import widgets

            return cls(widgets, ipywidgets, run)
        except Exception:
            # Without widgets (not installed, no comm) the same is shown as static HTML.
            return None

    def view(self) -> dict[str, Any]:
        return _view_model(self.box)

    def update(self, run: Any, progress: Any, blocks: Sequence[dict[str, Any]]) -> None:
        """Show where the run stands, and the blocks of its growing result, if there are new ones."""
        with self.progress.hold_sync():
            for name, value in _state(run, progress).items():
                setattr(self.progress, name, value)
        shown = preview_blocks(blocks)
        self.status = self._html(self.status, [block for block in shown if block["kind"] in ("summary", "note")])
        self.table = self._html(self.table, [block for block in shown if block["kind"] == "table"])
        state = next((block["state"] for block in blocks if block["kind"] == "timeline"), None)
        if state is not None and self.timeline is None:
            self.timeline = self._module.TimelineWidget(**plain(state))
        elif state is not None:
            with self.timeline.hold_sync():
                for name in ("lanes", "bars", "duration", "searched", "skipped"):
                    setattr(self.timeline, name, plain(state[name]))
        state = next((block["state"] for block in blocks if block["kind"] == "ranked"), None)
        if state is not None and self.ranked is None:
            self.ranked = self._module.RankedWidget(**plain(state))
        elif state is not None:
            with self.ranked.hold_sync():
                for name in ("columns", "rows", "details", "total"):
                    setattr(self.ranked, name, plain(state[name]))
        self.gantt = self._filled(self.gantt, "GanttWidget", "gantt", blocks)
        self.curve = self._filled(self.curve, "CurveWidget", "curve", blocks)
        parts = (self.progress, self.status, self.timeline, self.gantt, self.curve, self.ranked, self.table)
        children = [part for part in parts if part is not None]
        if len(children) != len(self.box.children):
            self.box.children = children

    def _filled(self, part: Any, widget: str, kind: str, blocks: Sequence[dict[str, Any]]) -> Any:
        """Return the widget of this kind of block, made or brought up to date; as it was if there is no such block."""
        state = next((block["state"] for block in blocks if block["kind"] == kind), None)
        if state is None:
            return part
        if part is None:
            return getattr(self._module, widget)(**plain(state))
        with part.hold_sync():
            for name, value in state.items():
                setattr(part, name, plain(value))
        return part

    def _html(self, part: Any, blocks: Sequence[dict[str, Any]]) -> Any:
        """Return the widget that shows these blocks; as it was if there are none."""
        if blocks:
            part = self._toolkit.HTML() if part is None else part
            part.value = display.wrap(quietly(lambda: display.blocks_html(list(blocks))) or "")
        return part

    def close(self) -> None:
        close_all(self.box)


def _state(run: Any, progress: Any) -> dict[str, Any]:
    names = ("done", "total", "unit", "rate", "eta_s", "stage", "workers", "elapsed", "message", "state")
    return {"run_id": run.run_id, "title": str(run.title), **{name: getattr(progress, name) for name in names}}


_CLASSES = {
    "curve": "CurveWidget", "gantt": "GanttWidget", "timeline": "TimelineWidget", "player": "PlayerWidget",
    "ranked": "RankedWidget", "region": "RegionWidget",
}  # fmt: skip


def made(module: str, state: dict[str, Any]) -> Any:
    """Return the widget of a module whose state holds its picture as bytes."""
    from workbench.notebook import widgets

    picture = base64.b64encode(state["asset"]).decode("ascii")
    return getattr(widgets, _CLASSES[module])(**{**state, "asset": f"data:image/jpeg;base64,{picture}"})


def widget_view(states: list[tuple[str, dict[str, Any]]]) -> dict[str, Any] | None:
    """Return the widget view of a result's modules; None where there is none to be had."""
    try:
        import ipywidgets

        from workbench.notebook import widgets
    except ImportError:
        return None
    made = [getattr(widgets, _CLASSES[module])(**_live(state)) for module, state in states if module in _CLASSES]
    return _view_model(ipywidgets.VBox(made)) if made else None


def _live(state: dict[str, Any]) -> dict[str, Any]:
    """Return the state of a widget whose kernel is there to be asked."""
    return {**state, "live": True} if state.get("key") else state


def _view_model(widget: Any) -> dict[str, Any]:
    return {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}


def close_all(widget: Any) -> None:
    """Close a widget and all below it, with their layouts and styles, so that no comm stays open."""
    for child in getattr(widget, "children", ()):
        close_all(child)
    for name in ("layout", "style"):
        part: Any = getattr(widget, name, None)
        if part is not None and hasattr(part, "close"):
            part.close()
    widget.close()


def answer_at_once(widget: Any) -> None:
    """Let messages of this widget be read while its cell runs, where the front end sends them to a subshell.

    ipykernel sends them to the shell that made the widget, which is busy until the cell ends. Where this does not work
    a press on Stop is heard at the end of the cell, and the page and an interrupt still stop it.
    """
    with contextlib.suppress(AttributeError):
        comm = widget.comm
        if hasattr(comm, "_reply_subshell_for"):
            comm._reply_subshell_for = lambda data, default: default
