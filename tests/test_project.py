"""What holds the project together: files that have to agree with one another."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_every_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = list(project["project"]["dependencies"]) + project["build-system"]["requires"]
    for extra in project["project"]["optional-dependencies"].values():
        wanted += extra
    pinned = {
        line.split("==")[0].replace("_", "-").lower()
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    names = {re.match(r"[A-Za-z0-9_.-]+", item)[0].replace("_", "-").lower() for item in wanted}  # type: ignore[index]
    assert names - pinned == {"workbench"}


def test_constraints_name_each_package_once_in_order() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    names = [line.split("==")[0] for line in lines]
    assert names == sorted(set(names))


@pytest.mark.parametrize("path", ["README.md", "CHANGELOG.md", "LICENSE", "Makefile", ".ci/run", "binder/apt.txt"])
def test_a_newcomer_finds(path: str) -> None:
    assert (ROOT / path).read_text().strip()


def test_no_file_of_the_package_holds_a_path_of_one_machine() -> None:
    homes = re.compile(r"(?<![\w.])/(?:root|work|home|Users)/\w")
    found = [
        str(path.relative_to(ROOT))
        for folder in ("workbench", "benchmarks", "notebooks", "extensions/workbench-lab/src", "binder")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".py", ".js", ".ts", ".ipynb", ".json", ""} and path.is_file() and "vendor" not in path.parts
        if homes.search(path.read_text(errors="ignore"))
    ]
    assert found == []
