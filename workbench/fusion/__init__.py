"""Fusion: one lazy compiler for NumPy and pandas code.

Names are loaded on first use, so importing the subpackage costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.fusion.errors import FusionError, FusionKeyError, FusionShapeError, FusionTypeError
    from workbench.fusion.result import FusionPlan, Kernel

__all__ = [
    "FusionError",
    "FusionKeyError",
    "FusionPlan",
    "FusionShapeError",
    "FusionTypeError",
    "Kernel",
]

_LAZY = {
    "FusionError": "workbench.fusion.errors",
    "FusionKeyError": "workbench.fusion.errors",
    "FusionPlan": "workbench.fusion.result",
    "FusionShapeError": "workbench.fusion.errors",
    "FusionTypeError": "workbench.fusion.errors",
    "Kernel": "workbench.fusion.result",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
