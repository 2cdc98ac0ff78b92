"""The fixtures that tests of whole queries share: one cluster, one clip."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.video import scenes
from workbench.video.models import registry


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a clip of 300 frames, 30 s."""
    return scenes.write_scene(tmp_path_factory.mktemp("clips") / "scene.mp4")


@pytest.fixture
def cluster() -> None:
    """Have a session of two workers; it is started once and stays for the tests that follow."""
    from workbench.engine import session

    session.session(workers=2)


@pytest.fixture
def seen(tmp_path: Path) -> Path:
    """Return a folder for the counting detector."""
    folder = tmp_path / "seen"
    folder.mkdir()
    return folder


@pytest.fixture
def bright(seen: Path) -> Iterator[Path]:
    """Register the counting detector as `bright`, and return its folder."""
    registry.register_detector(
        "bright", scenes.counting_detector(seen), labels=["car", "person"], version=str(seen), batch=8
    )
    yield seen
    registry._REGISTERED.pop("bright")
