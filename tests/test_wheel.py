"""The wheel, installed where no Node.js is: its extension is enabled, its server answers, it holds no test."""

from __future__ import annotations

import json
import os
import shutil
import site
import subprocess
import sys
import time
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.browser.serving import free_port, serving

ROOT = Path(__file__).parents[1]
BUILT = ("workbench/labextension", "workbench/notebook/static/vendor")

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="paths of a POSIX environment")]


def run(*words: Any, **options: Any) -> str:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from the files that git knows and the extension that was built when the clone was set up."""
    if not (ROOT / ".git").exists() or not all((ROOT / part).is_dir() for part in BUILT):
        pytest.skip("needs a clone with the extension built")
    place = tmp_path_factory.mktemp("wheel")
    for name in run("git", "ls-files", cwd=ROOT).splitlines():
        if (ROOT / name).is_file():
            (place / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, place / "source" / name)
    for part in BUILT:
        shutil.copytree(ROOT / part, place / "source" / part, dirs_exist_ok=True)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", place / "dist", place / "source"]
    built = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False,
        env={**os.environ, "PIP_CONSTRAINT": str(ROOT / "constraints.txt")},
    )  # fmt: skip
    if "No matching distribution" in built.stderr or "Connection" in built.stderr:
        pytest.skip("what builds wheels cannot be fetched here")
    assert built.returncode == 0, built.stderr
    (found,) = (place / "dist").glob("*.whl")
    return found


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel by itself into a new environment; what it depends on is that of this one."""
    place = tmp_path_factory.mktemp("installed") / "env"
    run(sys.executable, "-m", "venv", "--without-pip", place)
    found = place / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", found, "install", "--quiet", "--no-deps", "--no-index", wheel)
    (packages,) = (place / "lib").glob("python*/site-packages")
    # a path alone: the editable install of this environment is not followed
    (packages / "others.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    return found


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment without Node.js, and without what this one has for JupyterLab but JupyterLab itself."""
    folders = [each for each in os.environ["PATH"].split(os.pathsep) if not (Path(each) / "node").exists()]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "PYTHON"))}
    return kept | {
        "PATH": os.pathsep.join(each for each in folders if Path(each) != Path(sys.executable).parent),
        "HOME": str(tmp_path),
        "WORKBENCH_HOME": str(tmp_path / "home"),
        "JUPYTERLAB_DIR": str(Path(sys.prefix) / "share" / "jupyter" / "lab"),
        "JUPYTER_PREFER_ENV_PATH": "1",
    }


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    parts = {name.partition("/")[0] for name in names}
    assert {part.partition("-")[0] for part in parts} == {"workbench"}
    assert not [name for name in names if "/tests/" in name or "node_modules" in name or name.endswith(".ts")]
    assert "workbench/samples/00_tour.ipynb" in names
    shared = [name for name in names if "/labextensions/workbench-lab/" in name]
    assert any("/static/remoteEntry." in name for name in shared)
    assert any(name.endswith("/install.json") for name in shared)
    assert wheel.stat().st_size < 8_000_000


def test_the_extension_is_enabled_without_node(python: Path, environment: dict[str, str], tmp_path: Path) -> None:
    where = run(python, "-c", "import workbench; print(workbench.__file__)", env=environment, cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(python.parents[1])
    told = run(python, "-m", "jupyterlab.labextensions", "list", env=environment, cwd=tmp_path)
    (line,) = [line for line in told.splitlines() if "workbench-lab" in line]
    assert "enabled" in line and "OK" in line
    told = run(python, "-m", "jupyter_server.extension.serverextension", "list", env=environment, cwd=tmp_path)
    assert "workbench.notebook.server" in told and "Validation failed" not in told
    rows = json.loads(run(python, "-m", "workbench", "doctor", "--json", env=environment, cwd=tmp_path))["rows"]
    found = {row["name"]: row for row in rows}
    assert found["JupyterLab extension"]["found"], found["JupyterLab extension"]
    assert not found["Node.js"]["found"]


def asked(url: str, seconds: float = 120.0) -> str:
    """Return what a server answers, once it does."""
    request = urllib.request.Request(url, headers={"Authorization": "token token"})
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return str(answer.read().decode())
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def test_jupyterlab_of_the_wheel_serves_extension_and_routes(
    python: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    port = free_port()
    words = [
        python, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0", "--ServerApp.ip=127.0.0.1", "--IdentityProvider.token=token",
        f"--ServerApp.root_dir={tmp_path}",
    ]  # fmt: skip
    with serving(words, environment, tmp_path):
        address = f"http://127.0.0.1:{port}"
        asked(f"{address}/api/status")
        assert '"name": "workbench-lab"' in asked(f"{address}/lab")  # among the extensions that the page loads
        rows = json.loads(asked(f"{address}/workbench/status"))["rows"]
        assert next(row for row in rows if row["name"] == "JupyterLab extension")["found"]
        assert json.loads(asked(f"{address}/workbench/runs")) == {"runs": []}
