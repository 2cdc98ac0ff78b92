"""The notebook front: magics, displays, widgets, reports."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

__all__ = ["load", "unload"]

_undo: dict[int, list[Callable[[], Any]]] = {}


def load(ipython: Any) -> None:
    """Register the magics, the completion and the run view with a shell; starts no thread, cluster or network.

    Parameters
    ----------
    ipython : InteractiveShell
    """
    if id(ipython) in _undo:
        return
    from workbench.engine import render
    from workbench.notebook import again, completion, display, live
    from workbench.notebook.config import settings
    from workbench.notebook.magics import base, cells, diff, fuse, outliers, pipeline, tta, vquery, workbench

    holder = settings(ipython)
    if not any(known is holder for known in ipython.configurables):
        ipython.configurables.append(holder)  # after an unload: `%config` looks there
    undo: list[Callable[[], Any]] = []
    for spec in (vquery.SPEC, outliers.SPEC, diff.SPEC, fuse.SPEC, pipeline.SPEC, tta.SPEC, workbench.SPEC):
        base.register(holder, spec)
    undo.append(lambda: base.unregister(ipython))
    render.register(display.render_hook)
    undo.append(render.unregister)
    undo.append(live.install(ipython))
    undo.append(again.install(ipython))
    undo.append(cells.install(ipython))
    undo.append(completion.install(ipython))
    _undo[id(ipython)] = undo


def unload(ipython: Any) -> None:
    """Take everything back that `load` did."""
    for step in reversed(_undo.pop(id(ipython), [])):
        step()
    with contextlib.suppress(AttributeError, ValueError):
        from workbench.notebook.config import settings

        ipython.configurables.remove(settings())
