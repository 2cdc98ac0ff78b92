"""What a Binder image is made of: without a container, what its files say can be held against one another."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]
BINDER = ROOT / "binder"
SCRIPTS = ["postBuild", "start"]


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return dict(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"])


def test_it_has_the_environment_of_the_project() -> None:
    # Where there is a folder `binder`, nothing outside of it is read.
    assert (BINDER / "environment.yml").read_text() == (ROOT / "environment.yml").read_text()
    assert {path.name for path in BINDER.iterdir()} == {"apt.txt", "environment.yml", *SCRIPTS}


def test_the_environment_is_one_that_the_project_can_be_installed_into(project: dict[str, Any]) -> None:
    read = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert read["channels"] == ["conda-forge", "nodefaults"]
    pins = dict(re.fullmatch(r"([\w-]+)(?:=([\d.]+))?", line).groups() for line in read["dependencies"])  # type: ignore[union-attr]
    assert set(pins) == {"python", "ffmpeg", "jupyterlab", "pytorch-cpu", "pip"}
    assert f"{pins['python']}.0" in SpecifierSet(project["requires-python"])
    assert f"Programming Language :: Python :: {pins['python']}" in project["classifiers"]
    pinned = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    assert pinned["jupyterlab"].startswith(f"{pins['jupyterlab']}."), "pip would replace what conda has installed"
    [lab] = (Requirement(line) for line in project["optional-dependencies"]["lab"])
    assert f"{pins['jupyterlab']}.0" in lab.specifier


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_is_one(name: str) -> None:
    path = BINDER / name
    assert os.access(path, os.X_OK)
    assert path.read_text().startswith("#!/usr/bin/env bash\n")
    done = subprocess.run(["bash", "-n", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def ran(tmp_path: Path) -> list[str]:
    """Run postBuild in a copy of what it needs, with programs that write down how they were called."""
    tools, home = tmp_path / "bin", tmp_path / "home"
    tools.mkdir()
    home.mkdir()
    (home / "constraints.txt").write_bytes((ROOT / "constraints.txt").read_bytes())
    for folder in ("node_modules", ".yarn"):
        (home / "extensions" / "workbench-lab" / folder).mkdir(parents=True)
    (home / ".yarn" / "berry").mkdir(parents=True)
    log = tmp_path / "log"
    for name in ("pip", "jupyter", "workbench"):
        tool = tools / name
        tool.write_text(
            f'#!/bin/sh\necho "{name} $*" >> "{log}"\n'
            f'[ -z "$PIP_CONSTRAINT" ] || cp "$PIP_CONSTRAINT" "{tmp_path}/constraint"\n[ "$BREAKS" != {name} ]\n'
        )
        tool.chmod(0o755)
    environment = {"PATH": f"{tools}:{os.environ['PATH']}", "HOME": str(home)}
    done = subprocess.run(
        [BINDER / "postBuild"], cwd=home, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    left = [path for path in home.rglob("*") if path.name in ("node_modules", ".yarn")]
    assert left == [], "what only the build needs is no part of the image"
    for name in ("pip", "workbench"):
        broken = subprocess.run(
            [BINDER / "postBuild"], cwd=home, env={**environment, "BREAKS": name}, capture_output=True, check=False
        )
        assert broken.returncode != 0, f"an image in which {name} failed is none"
    return [*log.read_text().splitlines(), (tmp_path / "constraint").read_text()]


def test_post_build_installs_what_was_tested_and_fails_without_the_extension(
    ran: list[str], project: dict[str, Any]
) -> None:
    calls = ran[:4]
    assert calls == [
        'pip install --no-cache-dir -e .[all]', "pip check", "jupyter labextension list", "workbench doctor"
    ]  # fmt: skip
    assert "all" in project["optional-dependencies"]
    pins = set(ran[-1].splitlines())
    whole = set((ROOT / "constraints.txt").read_text().splitlines())
    assert {line.split("==")[0] for line in whole - pins} == {"torch"}, "torch is that of conda"


def test_a_session_starts_as_many_workers_as_it_has_memory_for() -> None:
    code = "import json, os, sys; print(json.dumps([os.environ['WORKBENCH_WORKERS'], sys.argv[1:]]))"
    done = subprocess.run(
        [BINDER / "start", sys.executable, "-c", code, "a b"], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == ["2", ["a b"]]
