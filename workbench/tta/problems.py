"""The warnings of this subpackage."""

from __future__ import annotations

from workbench.engine.errors import WorkbenchWarning

__all__ = ["TTAWarning"]


class TTAWarning(WorkbenchWarning):
    """A warning of two lines about a run, its evaluations or its files; the work goes on."""
