"""Where the notebook of the tour is."""

from __future__ import annotations

from pathlib import Path

from workbench.engine.errors import WorkbenchError

__all__ = ["tour"]


def tour() -> Path:
    """Return the notebook of the tour: the clone's own, or the one that the wheel carries."""
    package = Path(__file__).parents[1]
    for place in (package.parent / "notebooks" / "00_tour.ipynb", package / "samples" / "00_tour.ipynb"):
        if place.is_file():
            return place
    raise WorkbenchError("The tour is not part of this installation.", "pip install --force-reinstall workbench")
