"""Workbench: ask videos, tables, arrays and training runs questions from a notebook.

`import workbench as wb`, or `%load_ext workbench` for the magics. Names are loaded on first use, so importing the
package costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from workbench.engine.version import __version__

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from workbench import anomaly, engine, fusion, training, tta, video
    from workbench.anomaly.api import outliers
    from workbench.anomaly.diffs import diff
    from workbench.anomaly.stream import outliers_stream
    from workbench.engine.fetch import fetch
    from workbench.engine.session import connect, session
    from workbench.notebook.report import report
    from workbench.video.api import vquery

__all__ = [
    "__version__",
    "anomaly",
    "connect",
    "diff",
    "engine",
    "fetch",
    "fusion",
    "load_ipython_extension",
    "outliers",
    "outliers_stream",
    "report",
    "session",
    "training",
    "tta",
    "video",
    "vquery",
]

#: public name -> (module, attribute); None is the module itself
_LAZY: dict[str, tuple[str, str | None]] = {
    "anomaly": ("workbench.anomaly", None),
    "connect": ("workbench.engine.session", "connect"),
    "diff": ("workbench.anomaly.diffs", "diff"),
    "engine": ("workbench.engine", None),
    "fetch": ("workbench.engine.fetch", "fetch"),
    "fusion": ("workbench.fusion", None),
    "outliers": ("workbench.anomaly.api", "outliers"),
    "outliers_stream": ("workbench.anomaly.stream", "outliers_stream"),
    "report": ("workbench.notebook.report", "report"),
    "session": ("workbench.engine.session", "session"),
    "training": ("workbench.training", None),
    "tta": ("workbench.tta", None),
    "video": ("workbench.video", None),
    "vquery": ("workbench.video.api", "vquery"),
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'workbench' has no attribute {name!r}")
    path, attribute = _LAZY[name]
    module = importlib.import_module(path)
    value = module if attribute is None else getattr(module, attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})


def load_ipython_extension(ipython: InteractiveShell) -> None:
    """Register the magics: what `%load_ext workbench` calls."""
    from workbench.notebook import load

    load(ipython)


def unload_ipython_extension(ipython: InteractiveShell) -> None:
    """Take the magics away again: what `%unload_ext workbench` calls."""
    from workbench.notebook import unload

    unload(ipython)


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    return [{"src": "labextension", "dest": "workbench-lab"}]


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "workbench.notebook.server"}]
