"""Outliers: find the rows that are wrong, say what they share, compare two tables, follow a stream.

Names are loaded on first use, so importing the subpackage costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.engine.lazy import attach

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

__getattr__, __dir__ = attach(__name__, _LAZY, ("samples",))
