"""Outliers: find the rows that are wrong, say what they share, compare two tables, follow a stream.

Names are loaded on first use, so importing the subpackage costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.anomaly import samples
    from workbench.anomaly.api import outliers
    from workbench.anomaly.cube import Cube
    from workbench.anomaly.diffs import diff
    from workbench.anomaly.results import Explanations
    from workbench.anomaly.score import Cutoff
    from workbench.anomaly.seasonal import Seasonal
    from workbench.anomaly.stream import OutlierStream, outliers_stream

__all__ = [
    "Cube",
    "Cutoff",
    "Explanations",
    "OutlierStream",
    "Seasonal",
    "diff",
    "outliers",
    "outliers_stream",
    "samples",
]

_LAZY = {
    "Cube": "workbench.anomaly.cube",
    "Cutoff": "workbench.anomaly.score",
    "Explanations": "workbench.anomaly.results",
    "OutlierStream": "workbench.anomaly.stream",
    "Seasonal": "workbench.anomaly.seasonal",
    "diff": "workbench.anomaly.diffs",
    "outliers": "workbench.anomaly.api",
    "outliers_stream": "workbench.anomaly.stream",
}


def __getattr__(name: str) -> Any:
    if name == "samples":
        return importlib.import_module("workbench.anomaly.samples")
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY, "samples"})
