"""The words of a run in progress: one line, the same as a bundle, and the line of a console that is written over."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

from workbench.notebook import display, tables

__all__ = [
    "ConsoleLine",
    "blocks_of",
    "bundle_of",
    "counted",
    "ended_line",
    "has_rows",
    "preview_blocks",
    "progress_line",
    "quietly",
    "status_bundle",
    "with_note",
]

LOG = 10.0  # seconds between lines where they cannot be written over


def counted(progress: Any) -> str:
    """Return how far a run is: `412 of 900 frames`; empty if nothing is counted."""
    unit = f" {progress.unit}" if progress.unit else ""
    total = progress.total
    if total is not None and not math.isnan(total):
        return f"{tables.number(_whole(progress.done))} of {tables.number(_whole(total))}{unit}"
    return f"{tables.number(_whole(progress.done))}{unit}" if progress.done else ""


def progress_line(progress: Any, title: str = "") -> str:
    """Return the one line of a run in progress: count, percent, rate, time left, stage, workers."""
    parts = [title, counted(progress)]
    total = progress.total
    if total and not math.isnan(total):
        parts.append(f"{int(min(1.0, progress.done / total) * 100)} %")
    if progress.rate:
        parts.append(f"{tables.number(float(f'{progress.rate:.3g}'))} {progress.unit or 'units'}/s")
    if progress.eta_s is not None and not math.isnan(progress.eta_s):
        parts.append(f"{_duration(progress.eta_s)} left")
    parts.append(progress.stage)
    if progress.workers:
        parts.append(f"{progress.workers} worker{'s' if progress.workers != 1 else ''}")
    parts.append(progress.message)
    return " | ".join(part for part in parts if part)


def ended_line(run: Any) -> str:
    place = counted(run.progress)
    verb = {"finished": "done", "cancelled": "cancelled", "failed": "failed"}.get(run.state, str(run.state))
    if run.state == "finished":
        return f"{run.title}: {place}" if place else f"{run.title}: {verb}"
    return f"{run.title}: {verb} at {place}" if place else f"{run.title}: {verb}"


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes}:{rest:02} min" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02}:{rest:02} h"


def _whole(value: float) -> float:
    return int(value) if float(value).is_integer() else float(value)


def bundle_of(result: Any) -> dict[str, object]:
    """Return the bundle of a result; one that cannot be drawn is shown as its one line, and why."""
    if not hasattr(result, "view_data"):
        if hasattr(result, "iloc") and hasattr(result, "columns"):
            return display.blocks_bundle([{"kind": "table", "name": "", "frame": result}])
        return {"text/plain": repr(result), "text/html": display.wrap(f"<pre>{display.escape(repr(result))}</pre>")}
    try:
        return display.mimebundle(result)
    except Exception as error:
        # What was computed must not be lost for a picture: the value is bound, and the reader is told.
        why = f"The result cannot be drawn ({type(error).__name__}: {error})."
        return display.blocks_bundle(
            [{"kind": "summary", "text": repr(result)}, {"kind": "note", "level": "warning", "text": why}]
        )


def has_rows(result: Any) -> bool:
    """Whether a partial result holds anything yet."""
    try:
        return len(result) > 0
    except TypeError:
        return False


def with_note(bundle: dict[str, object], note: str, level: str = "warning") -> dict[str, object]:
    """Return a bundle with a note on top."""
    if not note:
        return bundle
    mark = display.wrap("")[: -len("</div>")]  # our root and style, still open: the note comes right after
    shown = display.blocks_html([{"kind": "note", "level": level, "text": note}])
    return {
        **bundle,
        "text/plain": f"{note}\n{bundle['text/plain']}",
        "text/html": str(bundle["text/html"]).replace(mark, mark + shown, 1),
    }


def status_bundle(line: str, progress: Any = None, blocks: Sequence[dict[str, Any]] = ()) -> dict[str, object]:
    """Return the line of a run as a bundle, with a bar while it runs, and the growing result below."""
    bar = ""
    if progress is not None:
        known = progress.total and not math.isnan(progress.total)
        value = f' value="{min(1.0, progress.done / progress.total):.3f}"' if known else ""
        bar = f'<progress max="1"{value} aria-label="progress"></progress>'
    inner = f'<div class="wb-muted">{display.escape(line)}</div>{bar}'
    inner += quietly(lambda: display.blocks_html(preview_blocks(blocks))) or ""
    return {"text/plain": line, "text/html": display.wrap(inner)}


def preview_blocks(blocks: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the blocks of a growing result that are shown early: no clips, pictures and plan, and one table."""
    kept = [block for block in blocks if block["kind"] in ("summary", "note", "timeline", "ranked", "table")]
    first = next((block for block in kept if block["kind"] == "table"), None)
    return [block for block in kept if block["kind"] != "table" or block is first]


def blocks_of(result: Any) -> list[dict[str, Any]]:
    """Return the blocks of a growing result: those that are cheap, where it says which these are."""
    make = getattr(result, "preview_data", None) or getattr(result, "view_data", None)
    return list(make()["blocks"]) if make is not None else []


def quietly(function: Any) -> Any:
    """Return the value of something that only adorns: a preview that fails is left out, the run goes on."""
    try:
        return function()
    except Exception:
        return None


class ConsoleLine:
    """A line of progress on the terminal that is written over; in a log a new line each 10 s."""

    def __init__(self) -> None:
        self._width = 0
        self._last = -math.inf

    def write(self, text: str) -> None:
        stream = sys.stderr
        if not stream.isatty():
            if time.monotonic() - self._last >= LOG:
                self._last = time.monotonic()
                print(text, file=stream, flush=True)
            return
        with contextlib.suppress(OSError):
            text = text[: max(20, os.get_terminal_size(stream.fileno()).columns - 1)]
        print(f"\r{text:<{self._width}}", end="", file=stream, flush=True)
        self._width = len(text)

    def clear(self) -> None:
        if self._width:
            print(f"\r{'':<{self._width}}\r", end="", file=sys.stderr, flush=True)
            self._width = 0
