"""The arguments of a stream: what is checked before a row comes, and where its panes end."""

from __future__ import annotations

import re
from typing import Any

from workbench.anomaly import checks
from workbench.anomaly.panes import Cut
from workbench.engine.errors import WorkbenchError

__all__ = ["bytes_of", "check_options", "cut_of", "length_of"]

_ROWS = re.compile(r"^\s*([0-9][0-9_,]*)\s*rows?\s*$")


def check_options(options: dict[str, Any]) -> None:
    options["decay"] = checks.check_decay(options["decay"])
    if options["window"] is not None and options["decay"]:
        raise WorkbenchError(
            "window and decay exclude each other.", "Use window for exact windows, decay for fading memory."
        )
    if options["metric"] is None and options["where"] is None:
        raise WorkbenchError("No metric, where or labels given.", "Name a metric, or mark the rows with where.")
    if hasattr(options["score"], "period") and options["window"] is None:
        raise WorkbenchError("A Seasonal score needs whole periods of rows.", "Give a window of several periods.")
    if options["compare"] in ("mean_shift", "mean_deviation") and options["window"] is None:
        raise WorkbenchError(f"{options['compare']} needs all rows it compares.", "Give a window.")
    options["reservoir"] = checks.check_count("reservoir", options["reservoir"], "a number of rows", 1, 10_000)
    bytes_of(options["memory"])


def cut_of(options: dict[str, Any]) -> Cut:
    """Return where panes end, from window, slide, time and lateness."""
    window, slide = options["window"], options["slide"]
    if window is None and slide is None:
        return Cut()
    kind, length = length_of(slide if slide is not None else window, "slide" if slide is not None else "window")
    if window is not None:
        other, whole = length_of(window, "window")
        if other != kind:
            raise WorkbenchError(
                "window and slide are of two kinds.", 'Give both in rows or both as times: "10m", "1m".'
            )
        if whole % length:
            raise WorkbenchError(
                f"window {window} is not a multiple of slide {slide}.", 'Give such as window="10m", slide="1m".'
            )
    if kind == "time" and options["time"] is None:
        raise WorkbenchError(
            f'"{window if window is not None else slide}" is a time, and time= is not given.',
            'Name a timestamp column: time="ts"; or count rows: "100000rows".',
        )
    lateness = _duration(options["lateness"], "lateness") if kind == "time" else 0
    return Cut("time" if kind == "time" else "rows", length, lateness)


def length_of(value: Any, name: str) -> tuple[str, int]:
    """Return ("rows", n) or ("time", nanoseconds)."""
    match = _ROWS.match(value) if isinstance(value, str) else None
    if match:
        rows = int(match[1].replace("_", "").replace(",", ""))
        return "rows", checks.check_count(name, rows, "a number of rows", 1, 100_000)
    if isinstance(value, (int, float)):
        raise WorkbenchError(f"{name}={value!r} has no unit.", f'Write {name}="10m" or {name}="{value}rows".')
    length = _duration(value, name)
    if length <= 0:
        raise WorkbenchError(f"{name} is {value!r}; it is a length of time.", f'Write {name}="10m".')
    return "time", length


def _duration(value: Any, name: str) -> int:
    from workbench.anomaly.durations import as_nanoseconds

    return as_nanoseconds(value, name)


def bytes_of(memory: Any) -> int:
    from workbench.engine.units import as_bytes

    return as_bytes(memory, "memory") if isinstance(memory, str) else int(memory)
