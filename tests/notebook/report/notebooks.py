"""Notebooks made by hand for the tests of reports."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

QUERY = '%%vquery sample:street -o red --limit 20\nclass RedCars(Query):\n    car: Car\n    where = car.color == "red"'
VIEW = "application/vnd.workbench.view+json"
PLOTLY = "application/vnd.plotly.v1+json"


def player(identifier: str = "v0", asset: str = "a0", **state: Any) -> dict[str, Any]:
    """Return a view of the player; its clip is stored under `asset`."""
    base = {
        "asset": asset, "mime": "video/mp4", "source": "cam.mp4", "width": 320, "height": 180, "fps": 25.0, "time": 0.0,
        "offset": 0.0, "regions": [], "hits": [{"start": 1.0, "end": 2.0, "label": "car 1"}],
        "frames": [[i / 25, [[20.0 + i % 100, 30.0, 60.0 + i % 100, 70.0, 1, "car", 0.9]]] for i in range(100)],
    }  # fmt: skip
    return {"module": "player", "id": identifier, "state": {**base, **state}}


def timeline(identifier: str = "v1", **state: Any) -> dict[str, Any]:
    """Return a view of the timeline: two lanes, four seconds."""
    base = {
        "lanes": [{"id": "car", "label": "cars"}, {"id": "person", "label": "people"}],
        "bars": [{"lane": "car", "start": 1.0, "end": 2.0, "kind": "event", "label": "car 1"},
                 {"lane": "person", "start": 3.0, "end": 3.5, "kind": "event", "label": "person 2"}],
        "duration": 4.0, "searched": [[0.0, 4.0]], "skipped": [], "selected": None, "time": 0.0,
    }  # fmt: skip
    return {"module": "timeline", "id": identifier, "state": {**base, **state}}


def video(content: bytes, asset: str = "a0", label: str = "red #1", poster: str = "") -> str:
    """Return the element that holds a clip, as the notebook's outputs do."""
    still = f' poster="{poster}"' if poster else ""
    uri = f"data:video/mp4;base64,{base64.b64encode(content).decode()}"
    return f'<video controls data-wb-asset="{asset}" aria-label="{label}"{still} src="{uri}"></video>'


def ours(html: str, views: Sequence[dict[str, Any]], text: str = "VideoResult: 1 event") -> Any:
    """Return an output of the workbench."""
    return display({"text/plain": text, "text/html": html, VIEW: {"v": 1, "views": list(views)}})


def display(data: dict[str, Any]) -> Any:
    """Return one display output."""
    return new_output("display_data", data)


def code(source: str = "1", outputs: Sequence[Any] = (), count: int | None = 1, tags: Sequence[str] = ()) -> Any:
    """Return a code cell."""
    metadata = {"tags": list(tags)}
    return new_code_cell(source, execution_count=count, outputs=list(outputs), metadata=metadata)


def write(path: Path, cells: Sequence[Any], **metadata: Any) -> Path:
    """Write a notebook and return its path."""
    nbformat.write(new_notebook(cells=list(cells), metadata=metadata), path)
    return path


def text(source: str) -> Any:
    """Return a markdown cell."""
    return new_markdown_cell(source)
