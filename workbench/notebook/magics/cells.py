"""Two small things that IPython asks of every cell: one-line cells of ours, and `%tb`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from workbench.engine.errors import _TwoLines
from workbench.notebook.magics.base import specs

__all__ = ["install", "second_line"]


def second_line(lines: list[str]) -> list[str]:
    """Give a cell that is only the line of one of our cell magics a second, blank line.

    IPython refuses a cell magic without a body by itself; so usage and errors are ours.
    """
    if len(lines) != 1:
        return lines
    found = re.match(r"%%(\w+)(?!\w|\?)", lines[0])
    spec = specs().get(found[1]) if found else None
    if spec is None or "cell" not in spec.kinds or lines[0].rstrip().endswith("?"):
        return lines
    return [lines[0].rstrip("\n") + "\n", "\n"]


def install(shell: Any) -> Callable[[], None]:
    """Add the transformer and let `%tb` show the whole chain; the returned function takes both away."""
    short_before = []

    def before(info: Any = None) -> None:
        text = getattr(info, "raw_cell", "") or ""
        if re.match(r"\s*%tb\b", text):
            short_before.append(_TwoLines.short)
            _TwoLines.short = False

    def after(result: Any = None) -> None:
        while short_before:
            _TwoLines.short = short_before.pop()

    shell.input_transformers_cleanup.append(second_line)
    shell.events.register("pre_run_cell", before)
    shell.events.register("post_run_cell", after)

    def remove() -> None:
        shell.input_transformers_cleanup.remove(second_line)
        shell.events.unregister("pre_run_cell", before)
        shell.events.unregister("post_run_cell", after)

    return remove
