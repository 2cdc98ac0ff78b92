"""Runs as they go: records, one view of the progress after half a second, previews, and the final output in its place.

Each run is followed by one thread. In a kernel the view is a widget (or plain HTML where widgets cannot be made) in one
display, which the final bundle replaces; in a console it is one line that is written over.
"""

from __future__ import annotations

import contextlib
import contextvars
import math
import os
import re
import secrets
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Literal

from workbench.engine.errors import WorkbenchWarning
from workbench.notebook import display, runs
from workbench.notebook.config import settings
from workbench.notebook.live_widgets import LiveWidgets
from workbench.notebook.progress import (
    ConsoleLine,
    blocks_of,
    bundle_of,
    ended_line,
    has_rows,
    progress_line,
    quietly,
    status_bundle,
    with_note,
)

__all__ = ["View", "attended", "install", "note_hook", "preparing", "settle", "view_of", "where"]

Mode = Literal["magic", "background", "call", "none"]

TICK = 0.1  # seconds between updates: at most 10 a second
PREVIEW = 0.25  # seconds between previews of the partial result: at most 4 a second


class _Attended:
    """A magic that is running: the first run started inside it is its own."""

    def __init__(self, mode: Mode, quiet: bool) -> None:
        self.mode: Mode = mode
        self.quiet = quiet
        self.view: View | None = None
        self.warnings: list[WorkbenchWarning] = []
        self.display_id = ""  # of what is shown before there is a run

    def tell(self) -> None:
        """Show the warnings that no final output of a run will have below it; end what never became a run."""
        if self.view is None and self.display_id:
            display.publish(status_bundle("It did not begin."), display_id=self.display_id, update=True)
        if self.view is None or self.mode == "call":
            _show_warnings(self.warnings)
            self.warnings.clear()


_attended: contextvars.ContextVar[_Attended | None] = contextvars.ContextVar("workbench_attended", default=None)
_views: dict[str, View] = {}


@contextlib.contextmanager
def attended(mode: Mode, quiet: bool = False) -> Iterator[_Attended]:
    """Give the run that is started inside the block to a magic of this mode."""
    holder = _Attended(mode, quiet)
    token = _attended.set(holder)
    try:
        yield holder
    finally:
        _attended.reset(token)


def preparing(text: str) -> None:
    """Show what a magic does before it has a run, in the place where the run will be shown."""
    holder = _attended.get()
    if holder is None or holder.quiet or holder.view is not None or not hasattr(_shell(), "kernel"):
        return
    holder.display_id = f"workbench-{secrets.token_hex(16)}"
    display.publish(status_bundle(text), display_id=holder.display_id)


def view_of(run: Any) -> View:
    """Return the view of a run; one is made if nobody follows it yet."""
    view = _views.get(run.run_id)
    return view if view is not None else _observe(run)


def _observe(run: Any) -> View:
    """Follow a run that starts: called by the engine on the thread that starts it."""
    holder = _attended.get()
    if holder is not None and holder.view is None:
        view = holder.view = View(run, holder.mode, holder)
    elif holder is None and threading.current_thread() is threading.main_thread():
        view = View(run, "call")
    else:
        view = View(run, "none")  # work inside other work: recorded, not shown
    _views[run.run_id] = view
    view.start()
    return view


def settle() -> None:
    """Wait for the views of calls that have ended, so that their last update belongs to the cell that is ending."""
    for view in list(_views.values()):
        if view.mode == "call" and view.run.state in runs.ENDED:
            view.join(1.0)


# ------------------------------------------------------------------------------------------------------------ the view


class View:
    """What is shown of one run, from its start to its final output.

    Parameters
    ----------
    run : Run
    mode : {"magic", "background", "call", "none"}
        Who shows the end: the magic itself (`finish`), or the view on its own.
    holder : _Attended, optional
        The magic that the run belongs to.
    """

    def __init__(self, run: Any, mode: Mode, holder: _Attended | None = None) -> None:
        self.run, self.mode = run, mode
        #: what was shown before the run gives its place to it
        self._display_id = (holder.display_id if holder else "") or f"workbench-{run.run_id}"
        self.shown = bool(holder is not None and holder.display_id)
        self._live = False
        self._quiet = holder is not None and holder.quiet
        self._holder = holder
        self._kernel = hasattr(_shell(), "kernel")
        self._recorder = runs.watch(run, where(_shell()))
        self._lock = threading.RLock()
        self._over = False
        self._widgets: LiveWidgets | None = None
        self._line = ConsoleLine()
        self._drawn = -math.inf
        self._next_preview = 0.0
        self._version = -1
        self._context = contextvars.copy_context()  # the cell's own, so that output reaches the cell
        self._thread = self._worker(self._follow)

    def start(self) -> None:
        """Begin to follow the run."""
        self._thread.start()

    def join(self, timeout: float) -> None:
        """Wait until nothing more will be shown."""
        if self._thread is not threading.current_thread():
            self._thread.join(timeout)

    def settle_alone(self) -> None:
        """Let the view show the result itself when the run ends (`--background`)."""
        with self._lock:
            if self._live or not self._kernel or self._over:
                return
            # The cell ends at once: its display must exist before that, so that the result has a place.
            line = progress_line(self.run.progress, self.run.title)
            self._publish({"text/plain": line} if self._quiet else self._live_bundle([]))

    def finish(self, result: Any, *, note: str = "", failed: bool = False, within: float | None = None) -> None:
        """Put the final output in the place of the live one and close its widgets.

        Parameters
        ----------
        result : object or None
            What is shown; None leaves one line on how the run ended, if anything was shown.
        note : str
            A remark on top.
        failed : bool
            Whether an error follows.
        within : float, optional
            Seconds that drawing may take; a picture that is not ready by then follows when it is.
        """
        note = note or (ended_line(self.run) if failed else "")
        drawing = _Drawing(result if not (self._quiet and failed) else None, note, self._quiet)
        if within is None:
            drawing.draw()
        else:
            worker = self._worker(lambda: self._late(drawing))
            worker.start()
            drawing.ready.wait(within)
        with self._lock:
            if self._over:
                return
            self._over = True
            self._line.clear()
            if drawing.bundle is not None:
                self._publish(drawing.bundle)
            elif not drawing.ready.is_set():
                self._publish(status_bundle(note))
                drawing.late = True
            elif self.shown and not self._quiet:
                self._publish(status_bundle(note or ended_line(self.run)))
            self._close()
            self._tell(result)
        self._recorder.save()
        _views.pop(self.run.run_id, None)

    # below: on threads of the view's own

    def _worker(self, target: Callable[[], None]) -> threading.Thread:
        return threading.Thread(target=self._context.copy().run, args=(target,), name="workbench-view", daemon=True)

    def _follow(self) -> None:
        delay = settings().delay
        while not self.run.wait(TICK):
            self._recorder.save()
            progress = self.run.progress
            if not self._quiet and self.mode != "none" and progress.elapsed >= delay:
                self._draw(progress)
        self._recorder.save()
        if self.mode == "background":
            self._end_background()
        elif self.mode in ("call", "none"):
            with self._lock:
                self._over = True
                self._line.clear()
                if self.shown:
                    self._publish(status_bundle(ended_line(self.run)))
                self._close()
            _views.pop(self.run.run_id, None)

    def _end_background(self) -> None:
        result, error, note = None, None, ""
        try:
            result = self.run.result(timeout=0)
            note = ended_line(self.run) if self.run.state == "cancelled" else ""
        except BaseException as raised:
            error = raised
            note = "\n".join(error.lines() if hasattr(error, "lines") else [f"{type(error).__name__}: {error}"])
            result = quietly(self.run.partial)
        if error is not None and not has_rows(result):
            result = None
        drawing = _Drawing(result, note, self._quiet and error is None, "error" if error is not None else "warning")
        drawing.draw()
        with self._lock:
            self._over = True
            self._line.clear()
            self._publish(drawing.bundle or status_bundle(note or ended_line(self.run)))
            self._close()
            self._tell(result)
        _views.pop(self.run.run_id, None)

    def _late(self, drawing: _Drawing) -> None:
        drawing.draw()
        with self._lock:
            if drawing.late and drawing.bundle is not None and self._kernel:
                self._publish(drawing.bundle)

    def _draw(self, progress: Any) -> None:
        """Show where the run stands; called at most 10 times a second."""
        begun = time.monotonic()
        blocks = self._preview(begun)  # not under the lock: it may take a while, and the end must not wait for it
        with self._lock:
            if self._over or self.run.state in runs.ENDED:
                return
            if not self._kernel:
                self._line.write(progress_line(progress, self.run.title))
            elif not self._live:
                self._publish(self._live_bundle(blocks))
            elif self._widgets is not None:
                self._widgets.update(self.run, progress, blocks)
            elif time.monotonic() - self._drawn >= PREVIEW:
                self._publish(self._live_bundle(blocks))
        if blocks:
            # Previews take at most a tenth of the time, however long one takes: the workers need the cores.
            self._next_preview = begun + max(PREVIEW, 10 * (time.monotonic() - begun))

    def _preview(self, now: float) -> list[dict[str, Any]]:
        """Return the blocks of the growing result where a new preview is due."""
        version = getattr(self.run, "version", 0)
        if not self._kernel or now < self._next_preview or version == self._version:
            return []
        self._version = version
        return quietly(lambda: blocks_of(self.run.partial())) or []

    def _live_bundle(self, blocks: list[dict[str, Any]]) -> dict[str, object]:
        progress = self.run.progress
        bundle = status_bundle(progress_line(progress, self.run.title), progress, blocks)
        if not self._live:
            self._live, self._widgets = True, LiveWidgets.make(self.run)
        if self._widgets is not None:
            self._widgets.update(self.run, progress, blocks)
            bundle[display.WIDGET_MIME] = self._widgets.view()
        return bundle

    def _publish(self, bundle: dict[str, object]) -> None:
        display.publish(bundle, display_id=self._display_id, update=self.shown)
        self.shown = self._kernel  # a console cannot replace what it has printed
        self._drawn = time.monotonic()

    def _close(self) -> None:
        if self._widgets is not None:
            self._widgets.close()
            self._widgets = None

    def _tell(self, result: Any) -> None:
        """Show the warnings of the run that its result does not tell itself."""
        if self._holder is None:
            return
        notes = [str(note) for note in getattr(result, "notes", [])]
        told = [each for each in self._holder.warnings if any(each.message in note for note in notes)]
        _show_warnings([each for each in self._holder.warnings if each not in told])
        self._holder.warnings.clear()


class _Drawing:
    """The final bundle of a result, drawn now or on a thread."""

    def __init__(self, result: Any, note: str, quiet: bool, level: str = "warning") -> None:
        self.result, self.note, self.quiet, self.level = result, note, quiet, level
        self.bundle: dict[str, object] | None = None
        self.ready = threading.Event()
        self.late = False

    def draw(self) -> None:
        if self.result is not None and self.quiet:
            self.bundle = {"text/plain": repr(self.result)}
        elif self.result is not None:
            self.bundle = with_note(bundle_of(self.result), self.note, self.level)
        elif self.level == "error":
            self.bundle = display.blocks_bundle([{"kind": "note", "level": "error", "text": self.note}])
        self.ready.set()


# --------------------------------------------------------------------------------------------------------- the process


def _show_warnings(warnings: list[WorkbenchWarning]) -> None:
    """Show warnings, those with the same hint together."""
    hints: dict[str, list[str]] = {}
    for each in warnings:
        hints.setdefault(each.hint, []).append(each.message)
    for hint, messages in hints.items():
        display.message("\n".join([*dict.fromkeys(messages), *([hint] if hint else [])]), "warning")


def _shell() -> Any:
    from IPython.core.getipython import get_ipython

    return get_ipython()


def where(shell: Any) -> dict[str, str]:
    """Return what a record says of the cell: kernel, notebook and cell id, as far as they are known."""
    place = {"kernel_id": "", "notebook": os.environ.get("JPY_SESSION_NAME", ""), "cell_id": ""}
    kernel = getattr(shell, "kernel", None)
    if kernel is None:
        return place
    with contextlib.suppress(Exception):  # an embedded kernel has no connection file
        from ipykernel.connect import get_connection_file

        found = re.search(r"kernel-(.+)\.json$", os.path.basename(get_connection_file()))
        place["kernel_id"] = found[1] if found else ""
    with contextlib.suppress(Exception):  # a cell of a console has no id
        place["cell_id"] = str(kernel.get_parent("shell")["metadata"].get("cellId") or "")
    return place


def note_hook(otherwise: Any) -> Any:
    """Return a `warnings.showwarning` that shows ours as notes, and gives all others to `otherwise`."""

    def show_warning(
        message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: Any = None
    ) -> None:
        if not issubclass(category, WorkbenchWarning) or file is not None:
            otherwise(message, category, filename, lineno, file, line)
            return
        holder = _attended.get()
        if holder is not None:
            holder.warnings.append(message)  # the magic shows them after its result
        else:
            display.message(str(message), "warning")

    return show_warning


def install(shell: Any) -> Any:
    """Follow all runs from now on, and show our warnings as notes; the returned function ends that."""
    from workbench.engine import run as engine_run

    shown_before = warnings.showwarning
    hook = note_hook(shown_before)
    forget = engine_run.on_start(_observe)
    warnings.showwarning = hook
    # A cell that is run again warns again; last, so that whoever wants errors or silence gets them.
    warnings.filterwarnings("always", category=WorkbenchWarning, append=True)
    always = warnings.filters[-1]
    shell.events.register("post_run_cell", _after_cell)

    def remove() -> None:
        forget()
        if warnings.showwarning is hook:
            warnings.showwarning = shown_before
        with contextlib.suppress(ValueError):
            warnings.filters.remove(always)  # type: ignore[attr-defined]
        with contextlib.suppress(ValueError):
            shell.events.unregister("post_run_cell", _after_cell)

    return remove


def _after_cell(result: Any = None) -> None:
    settle()
