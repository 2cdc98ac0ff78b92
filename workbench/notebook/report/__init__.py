"""One offline HTML file from a notebook."""

from __future__ import annotations

from workbench.notebook.report.exporter import Report, report

__all__ = ["Report", "report"]
