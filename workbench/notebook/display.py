"""What each front end gets of a result: its MIME bundle, shown once, and messages of one style."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any, Literal

from workbench.notebook import again
from workbench.notebook.page import Page, escape, note_html, note_text, wrap

__all__ = [
    "VIEW_MIME",
    "WIDGET_MIME",
    "blocks_bundle",
    "blocks_html",
    "escape",
    "mark_shown",
    "message",
    "mimebundle",
    "one_line",
    "publish",
    "quieted",
    "show",
    "wrap",
]

VIEW_MIME = "application/vnd.workbench.view+json"
WIDGET_MIME = "application/vnd.jupyter.widget-view+json"
PLOTLY_MIME = "application/vnd.plotly.v1+json"

_quiet: ContextVar[bool] = ContextVar("workbench_quiet", default=False)


def mimebundle(result: Any, *, live: bool = False) -> dict[str, object]:
    """Return what a result looks like, by MIME type.

    Parameters
    ----------
    result : object
        Anything with `view_data()`.
    live : bool
        Add a widget view of its timeline and players; the caller closes the widgets (`live_widgets.close_all`).
    """
    data = result.view_data()
    page = Page(data["blocks"])
    for module, state in page.states:
        if module == "ranked":
            state["key"] = again.offer(result, state)
    text = str(result) if hasattr(type(result), "_repr_pretty_") else page.text()
    bundle: dict[str, object] = {"text/plain": text, "text/html": page.html()}
    if (picture := page.png()) is not None:
        bundle["image/png"] = base64.b64encode(picture).decode("ascii")
    if page.views:
        bundle[VIEW_MIME] = {"v": 1, "views": page.views}
    if page.figures and len(page.blocks) == 1:
        bundle[PLOTLY_MIME] = page.figures[0]
    if live:
        from workbench.notebook.live_widgets import widget_view

        if (model := widget_view(page.states)) is not None:
            bundle[WIDGET_MIME] = model
    return bundle


def blocks_html(blocks: list[dict[str, Any]]) -> str:
    """Return blocks as HTML without our root element, to stand inside another output."""
    return "".join(Page(blocks).parts)


def blocks_bundle(blocks: list[dict[str, Any]]) -> dict[str, object]:
    """Return blocks as text and HTML."""
    page = Page(blocks)
    return {"text/plain": page.text(), "text/html": page.html()}


def render_hook(result: Any) -> dict[str, Any]:
    """Return the bundle for `engine.render`."""
    return mimebundle(result)


# ------------------------------------------------------------------------------------------------------------- showing


def publish(bundle: Mapping[str, object], *, display_id: str | None = None, update: bool = False) -> None:
    """Send one display to the front end, or print its text where there is none."""
    shell = _shell()
    if shell is None:
        print(bundle["text/plain"])
        return
    transient = {"display_id": display_id} if display_id else {}
    shell.display_pub.publish(data=dict(bundle), metadata={}, transient=transient, update=update)


def show(result: Any) -> None:
    """Show a result as one display, without an `Out` entry."""
    publish(mimebundle(result) if hasattr(result, "view_data") else {"text/plain": repr(result)})


def message(text: str, level: Literal["info", "warning"] = "info") -> None:
    """Show a line for the reader; `--quiet` keeps those of level `info` back."""
    if level == "info" and _quiet.get():
        return
    publish({"text/plain": note_text(level, text), "text/html": wrap(note_html(level, text))})


def one_line(result: Any) -> None:
    """Show a result as its one line: what `--quiet` leaves."""
    publish({"text/plain": repr(result)})


@contextlib.contextmanager
def quieted(quiet: bool) -> Iterator[None]:
    """Keep messages of level `info` back inside the block, if `quiet`."""
    token = _quiet.set(quiet)
    try:
        yield
    finally:
        _quiet.reset(token)


def mark_shown(value: Any) -> None:
    """Make the display hook show nothing for this value, once: the magic has shown it."""
    if value is None:
        return
    with contextlib.suppress(AttributeError, TypeError):
        value._shown_once = True
    shell = _shell()
    if shell is not None and not hasattr(type(value), "_ipython_display_"):
        shell.display_formatter.ipython_display_formatter.for_type(type(value), _display_marked)


def _display_marked(value: Any) -> None:
    if getattr(value, "_shown_once", False):
        value._shown_once = False
        return
    raise NotImplementedError  # IPython goes on to the MIME bundle


def _shell() -> Any:
    from IPython.core.getipython import get_ipython

    return get_ipython()
