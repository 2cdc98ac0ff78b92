"""One offline HTML file from results themselves, without a notebook: headings, words and what each result shows."""

from __future__ import annotations

import html
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from workbench.engine.errors import WorkbenchError
from workbench.engine.units import as_bytes
from workbench.notebook import progress
from workbench.notebook.report import exporter

__all__ = ["write"]


def write(parts: Iterable[Any], path: str | os.PathLike[str], title: str) -> Path:
    """Write results as a page, as `wb.report` writes a notebook; return its path.

    Parameters
    ----------
    parts : iterable of str or object
        Markdown, results with `view_data()`, and DataFrames.
    path : path
    title : str

    Raises
    ------
    WorkbenchError
        The folder is not there, or the file cannot be written.
    """
    from nbformat import v4

    target = Path(path)
    if target.is_dir():
        raise WorkbenchError(f"{target} is a folder.", f"Write {target / 'report.html'}.")
    exporter.check_folder(target)
    cells = [v4.new_markdown_cell(f"# {html.escape(title)}")]
    for part in parts:
        if isinstance(part, str):
            cells.append(v4.new_markdown_cell(part))
        else:
            output = v4.new_output("display_data", progress.bundle_of(part))
            cells.append(v4.new_code_cell("", outputs=[output]))
    for place, cell in enumerate(cells):
        cell["id"] = f"part-{place}"  # a random one would make two pages of the same results differ
    content = v4.new_notebook(cells=cells, metadata={"language_info": {"name": "python"}})
    limit = as_bytes(exporter.DEFAULT_LIMIT, "limit")
    return exporter.save(content, target, target, limit=limit, hide_code=True, title=title).path
