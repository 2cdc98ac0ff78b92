from __future__ import annotations

import tomllib
from pathlib import Path

import workbench
from workbench.engine.version import __version__


def test_the_version_is_that_of_the_project() -> None:
    project = Path(workbench.__file__).parents[1] / "pyproject.toml"
    assert tomllib.loads(project.read_text())["project"]["version"] == __version__ == workbench.__version__
