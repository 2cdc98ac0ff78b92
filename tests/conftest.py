"""What every test gets: a home folder of its own, and no network by accident."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

# A shell that starts the tests in its background lets them, and all kernels, ignore Ctrl-C: interrupts are tested.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test an empty WORKBENCH_HOME."""
    folder = tmp_path / "workbench-home"
    folder.mkdir()
    monkeypatch.setenv("WORKBENCH_HOME", str(folder))
    return folder
