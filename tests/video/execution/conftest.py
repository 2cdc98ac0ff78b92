"""The fixtures that tests of `accuracy` and of streams share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import workbench as wb
from tests.video import scenes
from tests.video.execution.streets import Detector
from workbench.video.models import proxies, registry


@pytest.fixture
def sees(tmp_path: Path) -> Iterator[Any]:
    """Register detectors that need so many px of an object to be sure of it; return how many pictures they saw."""
    made: list[str] = []

    def register(sure: float = 20.0) -> Any:
        folder = tmp_path / f"seen {sure:g}"
        folder.mkdir()
        name = f"sees-{sure:g}"
        wb.video.register_detector(name, Detector(folder, sure), labels=["car"], version=str(folder), batch=8)
        made.append(name)

        def seen() -> int:
            files = list(folder.iterdir())
            for file in files:
                file.unlink()
            return sum(int(file.name.rpartition("-")[2]) for file in files)

        return name, seen

    yield register
    for name in made:
        registry._REGISTERED.pop(name)


@pytest.fixture
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no proxies but those that the test registers."""
    monkeypatch.setattr(proxies, "_PROXIES", {})


@pytest.fixture(scope="session")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the scene as an MPEG transport stream, which can be read while it grows."""
    import av

    path = tmp_path_factory.mktemp("live") / "scene.ts"
    with av.open(str(path), "w", format="mpegts") as container:
        made: Any = container.add_stream("libx264", rate=10, options={"g": "10", "bf": "0", "crf": "18"})
        made.width, made.height, made.pix_fmt = 128, 96, "yuv420p"
        for picture in scenes.frames(200):
            container.mux(made.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(made.encode(None))
    return path
