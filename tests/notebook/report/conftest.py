"""A video that says in each frame which frame it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.counted import write_counted


@pytest.fixture
def counted(tmp_path: Path) -> Path:
    """Return a clip of 100 frames at 25 fps, 320 x 180."""
    return write_counted(tmp_path / "counted.mp4")
