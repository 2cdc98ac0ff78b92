"""A training cell as it goes: its record for the runs panel, one live chart, and the final output in its place.

The cell's body has the main thread, so a thread beside it draws. What drawing costs is kept at a twentieth of one core,
however long one drawing takes.
"""

from __future__ import annotations

import contextvars
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

from workbench.engine.progress import Progress, State
from workbench.notebook import display, live, runs
from workbench.notebook.config import settings
from workbench.notebook.live_widgets import answer_at_once, close_all
from workbench.notebook.page import Page
from workbench.notebook.progress import ConsoleLine, bundle_of, quietly, with_note

__all__ = ["LiveCurve"]

REDRAW = 0.25  # seconds between drawings: at most 4 a second
SHARE = 0.05  # of one core that drawing may take
SLOWEST = 4.0  # seconds between drawings, however long one takes
STILL = 1.0  # seconds between drawings where there are no widgets: each replaces the whole output


class LiveCurve:
    """What is shown of a training cell.

    Parameters
    ----------
    title : str
    state : callable
        Gives the state of the `curve` module, all plain, as `workbench.tta.live_state.LiveState` does.
    progress : callable
        Gives how far it is: (done, total or None).
    stop : callable
        Asks the training to stop at its next evaluation.
    quiet : bool
        Show nothing while it runs.
    """

    kind = "tta"
    partial_result = False

    def __init__(
        self,
        title: str,
        state: Callable[[], dict[str, Any]],
        progress: Callable[[], tuple[float, float | None]],
        stop: Callable[[], None],
        *,
        quiet: bool = False,
    ) -> None:
        self.run_id, self.title = uuid.uuid4().hex, title
        self.state: State = "running"
        self.started = False
        #: whether Stop was pressed, or the run was cancelled from outside
        self.cancelled = False
        self._state, self._progress, self._stop, self._quiet = state, progress, stop, quiet
        shell = live._shell()
        self._kernel = hasattr(shell, "kernel")
        self._begun = time.monotonic()
        self._lock = threading.RLock()
        self._ended = threading.Event()
        self._shown = False
        self._widget: Any = None
        self._drawing: int | None = None
        self._box: Any = None
        self._notes: Any = None
        self._line = ConsoleLine()
        self._last: dict[str, Any] = {}
        if self._kernel and not quiet:
            quietly(_load)  # now, as the training's clocks will run while it is drawn
        self._recorder = runs.watch(self, live.where(shell))
        context = contextvars.copy_context()  # the cell's own, so that output reaches the cell
        self._thread = threading.Thread(
            target=context.run, args=(self._follow,), name="workbench-live-curve", daemon=True
        )

    def start(self) -> None:
        """Begin to draw."""
        self.started = True
        self._thread.start()

    @property
    def progress(self) -> Progress:
        """How far the training is, for the record."""
        done, total = quietly(self._progress) or (0.0, None)
        elapsed = time.monotonic() - self._begun
        return Progress(done=done, total=total, unit="steps", elapsed=elapsed, state=self.state)

    def cancel(self) -> None:
        """Ask the training to stop."""
        self.cancelled = True
        self._stop()

    def finish(self, result: Any, state: State, *, note: str = "", level: str = "warning") -> None:
        """Put the final output in the place of the live one and close its widgets.

        Parameters
        ----------
        result : object or None
            What is shown, if anything.
        state : {"finished", "cancelled", "failed"}
        note : str
            A remark on top.
        level : {"info", "warning", "error"}
        """
        self._ended.set()
        # A drawing that is under way ends first; one that hangs is not waited for.
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(2.0)
        self.state = state
        with self._lock:
            self._line.clear()
            if result is not None and not self._quiet:
                self._publish(with_note(bundle_of(result), note, level))
            self._close()
        self._recorder.save()

    # below: on the thread that draws

    def _follow(self) -> None:
        wait, drawn = settings().delay, False
        while not self._ended.wait(wait):
            begun, cost = time.monotonic(), time.thread_time()
            self._recorder.save()
            if not self._quiet:
                quietly(self._draw)
            # The first drawing makes the widget, once.
            cost = time.thread_time() - cost if drawn else 0.0
            drawn = drawn or self._shown
            floor = REDRAW if self._widget is not None or not self._shown else STILL
            wait = min(SLOWEST, max(floor, cost / SHARE)) - (time.monotonic() - begun)
            wait = max(wait, floor / 2)

    def _draw(self) -> None:
        state = dict(self._state())
        state["stopping"] = state.get("stopping") or self.cancelled
        with self._lock:
            if self._ended.is_set():
                return
            if not self._kernel:
                self._line.write(f"{state['title']} | {_told(state)}")
            elif not self._shown:
                self._publish(self._first(state))
            elif self._widget is not None:
                self._update(state)
            elif state != self._last:
                self._publish(_still(state))
            self._last = state

    def _first(self, state: dict[str, Any]) -> dict[str, object]:
        """Return the bundle that begins the display: a widget where there can be one, with the still form beside it."""
        bundle = _still(state)
        made = quietly(lambda: self._widgets(state))
        if made is not None:
            bundle[display.WIDGET_MIME] = {"version_major": 2, "version_minor": 0, "model_id": made.model_id}
        return bundle

    def _widgets(self, state: dict[str, Any]) -> Any:
        import ipywidgets

        from workbench.notebook.widgets import CurveWidget

        widget = CurveWidget(**_traits(state))
        answer_at_once(widget)
        widget.observe(lambda change: self._pressed() if change.new else None, "stopping")
        self._widget, self._notes = widget, ipywidgets.HTML(_notes(state))
        self._box = ipywidgets.VBox([widget, self._notes])
        return self._box

    def _pressed(self) -> None:
        # a tracker that has reached its target is stopping, too: that is shown, and nobody pressed
        if not self.cancelled and self._drawing != threading.get_ident():
            self.cancel()

    def _update(self, state: dict[str, Any]) -> None:
        self._drawing = threading.get_ident()
        try:
            with self._widget.hold_sync():
                for name, value in _traits(state).items():
                    if value != self._last.get(name):
                        setattr(self._widget, name, value)
        finally:
            self._drawing = None
        notes = _notes(state)
        if notes != self._notes.value:
            self._notes.value = notes

    def _publish(self, bundle: dict[str, object]) -> None:
        display.publish(bundle, display_id=f"workbench-{self.run_id}", update=self._shown)
        self._shown = self._kernel  # a console cannot replace what it has printed

    def _close(self) -> None:
        if self._box is not None:
            box, self._box, self._widget, self._notes = self._box, None, None, None
            close_all(box)


def _load() -> None:
    """Import what drawing needs."""
    import ipywidgets  # noqa: F401

    from workbench.notebook import widgets  # noqa: F401


def _traits(state: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in state.items() if name != "notes"}


def _still(state: dict[str, Any]) -> dict[str, object]:
    page = Page([{"kind": "curve", "state": _traits(state), "text": f"{state['title']} | {_told(state)}"}])
    return {"text/plain": page.text(), "text/html": page.html()}


def _told(state: dict[str, Any]) -> str:
    """Return the figures as one line."""
    facts = [f"{fact['label']} {fact['value']}" for fact in state.get("facts") or []]
    projection = state.get("projection") or {}
    return " | ".join(part for part in (state.get("status"), *facts, projection.get("text")) if part)


def _notes(state: dict[str, Any]) -> str:
    blocks = [{"kind": "note", "level": "warning", "text": text} for text in state.get("notes") or []]
    return display.wrap(display.blocks_html(blocks)) if blocks else ""
