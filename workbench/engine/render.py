"""One hook between results and whoever draws them: `workbench.notebook` fills it; without it there is plain HTML."""

from __future__ import annotations

import html
import importlib
import os
from collections.abc import Callable, Container, Iterable
from pathlib import Path
from typing import Any

from workbench.engine import ranked
from workbench.engine.errors import WorkbenchError
from workbench.engine.paths import short_names

__all__ = [
    "make_widget", "mimebundle", "plain_bundle", "register", "table_html", "table_text", "unregister",
    "with_short_names", "write_page",
]  # fmt: skip

Hook = Callable[[Any], dict[str, Any]]

_hook: Hook | None = None

#: rows of a table that are shown without a front end
LIMIT = 20
#: what writes pages: found by its name, as nothing below the front imports it
_PAGES = "workbench.notebook.report.results"
_WIDGETS = "workbench.notebook.live_widgets"


def register(hook: Hook) -> None:
    """Let `hook(result)` make the MIME bundle of every result from now on."""
    global _hook
    _hook = hook


def unregister() -> None:
    """Go back to text and plain HTML."""
    global _hook
    _hook = None


def mimebundle(
    result: Any, include: Container[str] | None = None, exclude: Container[str] | None = None
) -> dict[str, Any]:
    """Return what a result looks like, by MIME type.

    Parameters
    ----------
    result : Result
        Anything with `view_data()`.
    include, exclude : container of str, optional
        MIME types that are wanted, or not.
    """
    bundle = _hook(result) if _hook is not None else plain_bundle(result)
    if include:
        bundle = {kind: data for kind, data in bundle.items() if kind in include}
    if exclude:
        bundle = {kind: data for kind, data in bundle.items() if kind not in exclude}
    return bundle


def make_widget(module: str, state: dict[str, Any]) -> Any:
    """Return a widget of one of the front's modules, for a kernel that runs.

    Raises
    ------
    WorkbenchError
        If ipywidgets is not installed.
    """
    try:
        return importlib.import_module(_WIDGETS).made(module, state)
    except ImportError as error:
        raise WorkbenchError("Widgets need ipywidgets and anywidget.", "pip install ipywidgets anywidget") from error


def write_page(parts: Iterable[Any], path: str | os.PathLike[str], title: str) -> Path:
    """Write Markdown, results and tables as one HTML file without a network; return its path."""
    written: Path = importlib.import_module(_PAGES).write(parts, path, title)
    return written


def plain_bundle(result: Any) -> dict[str, Any]:
    """Draw the blocks that text can hold: summary, notes, tables, plan and code."""
    text, parts = [], []
    for block in result.view_data()["blocks"]:
        kind = block["kind"]
        if kind in ("summary", "note"):
            level = block.get("level", "info")
            start = "" if kind == "summary" else "note: " if level == "info" else f"{level}: "
            text.append(f"{start}{block['text']}")
            parts.append(f"<p>{html.escape(str(block['text']))}</p>")
        elif kind == "table":
            frame = with_short_names(block["frame"], block.get("files") or ())
            text.append(table_text(frame))
            parts.append(table_html(frame))
        elif kind == "ranked" and ranked.is_ranked(block["state"]):
            table = "\n".join(ranked.lines(block["state"], LIMIT))
            text.append(table)
            parts.append(f"<pre>{html.escape(table)}</pre>")
        elif kind == "plan":
            text.append(str(block.get("text", block["plan"])))
            parts.append(block["plan"].explain("html"))
        elif kind == "code":
            if block.get("fold"):
                parts.append(f"<details><summary>{html.escape(str(block['fold']))}</summary>")
                parts.append(f"<pre>{html.escape(str(block['text']))}</pre></details>")
                continue
            text.append(str(block["text"]))
            parts.append(f"<pre>{html.escape(str(block['text']))}</pre>")
        elif kind == "region":
            text.append(str(block["state"]["code"]))
            parts.append(f"<pre>{html.escape(str(block['state']['code']))}</pre>")
        elif block.get("alt"):
            text.append(str(block.get("text", block["alt"])))
            parts.append(f"<p>{html.escape(str(block['alt']))}</p>")
    lines = "\n".join(part for part in text if part)
    return {"text/plain": lines, "text/html": f'<div class="wb-result">{"".join(parts)}</div>'}


def table_text(frame: Any, limit: int = LIMIT) -> str:
    """Write the first rows of a DataFrame as aligned text, and how many there are if that is not all."""
    shown = frame.head(limit).to_string(index=False, na_rep="")
    return shown if len(frame) <= limit else f"{shown}\n{limit:,} of {len(frame):,} rows"


def with_short_names(frame: Any, columns: Container[str]) -> Any:
    """Return a DataFrame to show: these columns, which hold paths, with names as short as they can be told apart."""
    short = {}
    for name in frame.columns:
        if name in columns:
            names = short_names(frame[name])
            short[name] = [names.get(path, path) for path in frame[name]]
    return frame.assign(**short) if short else frame


def table_html(frame: Any, limit: int = LIMIT) -> str:
    """Write the first rows of a DataFrame as an escaped HTML table."""
    head = "".join(f"<th>{html.escape(str(name))}</th>" for name in frame.columns)
    body = []
    for row in frame.head(limit).itertuples(index=False, name=None):
        cells = "".join(f"<td>{html.escape(_cell(value))}</td>" for value in row)
        body.append(f"<tr>{cells}</tr>")
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"
    return table if len(frame) <= limit else f"{table}<p>{limit:,} of {len(frame):,} rows</p>"


def _cell(value: Any) -> str:
    """Write one value; what is missing is an empty cell."""
    if value is None or type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and value != value):
        return ""
    return f"{value:,.4g}" if isinstance(value, float) else str(value)
