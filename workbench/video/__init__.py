"""Questions about objects in video: `wb.vquery`, the words of the query language, and what they are made of.

Names are loaded on first use. `from workbench.video import *` brings the words in which a query is written.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.video import samples as samples
    from workbench.video.api import detect as detect
    from workbench.video.api import explain as explain
    from workbench.video.api import start_vquery as start_vquery
    from workbench.video.api import tracks as tracks
    from workbench.video.api import vquery as vquery
    from workbench.video.language.compile import compile_query as compile_query
    from workbench.video.language.vocabulary import *  # noqa: F403
    from workbench.video.models.given import read_mot as read_mot
    from workbench.video.models.proxies import proxies as proxies
    from workbench.video.models.proxies import register_proxy as register_proxy
    from workbench.video.models.registry import detectors as detectors
    from workbench.video.models.registry import register_detector as register_detector
    from workbench.video.models.registry import register_tracker as register_tracker
    from workbench.video.result.drawing import draw_region as draw_region
    from workbench.video.result.result import VideoResult as VideoResult
    from workbench.video.source import Source as Source
    from workbench.video.source import VideoInfo as VideoInfo
    from workbench.video.source import from_array as from_array
    from workbench.video.source import probe as probe
    from workbench.video.source import read_frame as read_frame
    from workbench.video.source_live import live as live

#: public name -> (module, attribute); None is the module itself
_LAZY: dict[str, tuple[str, str | None]] = {
    "Source": ("workbench.video.source", "Source"),
    "VideoInfo": ("workbench.video.source", "VideoInfo"),
    "VideoResult": ("workbench.video.result.result", "VideoResult"),
    "compile_query": ("workbench.video.language.compile", "compile_query"),
    "detect": ("workbench.video.api", "detect"),
    "detectors": ("workbench.video.models.registry", "detectors"),
    "draw_region": ("workbench.video.result.drawing", "draw_region"),
    "explain": ("workbench.video.api", "explain"),
    "from_array": ("workbench.video.source", "from_array"),
    "live": ("workbench.video.source_live", "live"),
    "probe": ("workbench.video.source", "probe"),
    "proxies": ("workbench.video.models.proxies", "proxies"),
    "read_frame": ("workbench.video.source", "read_frame"),
    "read_mot": ("workbench.video.models.given", "read_mot"),
    "register_detector": ("workbench.video.models.registry", "register_detector"),
    "register_proxy": ("workbench.video.models.proxies", "register_proxy"),
    "register_tracker": ("workbench.video.models.registry", "register_tracker"),
    "samples": ("workbench.video.samples", None),
    "start_vquery": ("workbench.video.api", "start_vquery"),
    "tracks": ("workbench.video.api", "tracks"),
    "vquery": ("workbench.video.api", "vquery"),
}
_VOCABULARY = "workbench.video.language.vocabulary"


def __getattr__(name: str) -> Any:
    if name == "__all__":
        return sorted({*_LAZY, *importlib.import_module(_VOCABULARY).__all__})
    if name in _LAZY:
        path, attribute = _LAZY[name]
        module = importlib.import_module(path)
        value = module if attribute is None else getattr(module, attribute)
    elif name.startswith("_"):
        raise AttributeError(f"module 'workbench.video' has no attribute {name!r}")
    else:
        # A submodule that is being imported looks its own name up here first: the vocabulary must not answer for it.
        words = importlib.import_module(_VOCABULARY)
        if name not in words.__all__:
            raise AttributeError(f"module 'workbench.video' has no attribute {name!r}")
        value = getattr(words, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__getattr__("__all__")})


class _Package(ModuleType):
    """The function `tracks` and the module `tracks.py` share a name; the package's attribute is the function.

    `from workbench.video.tracks import ...` goes by the module's own path and still finds the module.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "tracks" and isinstance(value, ModuleType):
            return
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
