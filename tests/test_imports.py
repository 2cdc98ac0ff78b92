"""Imports point one way, and importing the package is cheap."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import workbench

ROOT = Path(workbench.__file__).parents[1]

#: libraries that no import of the package and no `%load_ext` may load
HEAVY = {"torch", "cv2", "plotly", "numba", "triton", "av", "onnxruntime", "distributed", "duckdb"}


def python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_imports_point_one_way() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as lint; lint()", "--no-cache"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 broken" in done.stdout
    assert "1 kept" in done.stdout


def test_import_loads_nothing_heavy() -> None:
    loaded = set(python("import sys, workbench; print(*{name.partition('.')[0] for name in sys.modules})").split())
    assert not loaded & HEAVY
    assert not loaded & {"numpy", "pandas", "dask", "IPython"}


def test_load_ext_loads_nothing_heavy_and_starts_nothing() -> None:
    code = """
import json, sys, threading
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
threads = threading.active_count()
import workbench
workbench.load_ipython_extension(shell)
from workbench.engine import session
print(json.dumps({
    "loaded": sorted({name.partition(".")[0] for name in sys.modules}),
    "threads": threading.active_count() - threads,
    "started": session.is_started(),
    "magics": sorted(shell.magics_manager.magics["cell"]),
}))
"""
    found = json.loads(python(code).splitlines()[-1])
    assert not set(found["loaded"]) & HEAVY
    assert found["threads"] == 0
    assert found["started"] is False
    assert "vquery" in found["magics"]


def test_import_costs_less_than_a_tenth_of_a_second() -> None:
    code = "import time; t = time.process_time(); import workbench; print(time.process_time() - t)"
    assert min(float(python(code)) for _ in range(3)) < 0.1


def test_public_names() -> None:
    assert workbench.__version__
    assert set(workbench.__all__) <= set(dir(workbench))
    from workbench.engine.fetch import fetch
    from workbench.engine.session import connect, session

    assert workbench.session is session
    assert workbench.connect is connect
    assert workbench.fetch is fetch
    assert workbench.engine.__name__ == "workbench.engine"
    assert workbench.video.__name__ == "workbench.video"
    with pytest.raises(AttributeError, match="module 'workbench' has no attribute 'nothing'"):
        _ = workbench.nothing


def test_every_public_name_is_there() -> None:
    for name in workbench.__all__:
        assert getattr(workbench, name) is not None


def test_what_jupyter_asks_for() -> None:
    assert workbench._jupyter_labextension_paths() == [{"src": "labextension", "dest": "workbench-lab"}]
    assert workbench._jupyter_server_extension_points() == [{"module": "workbench.notebook.server"}]


def test_every_test_module_has_its_module() -> None:
    """Tests mirror the package: a test of a module that is gone, or renamed, is found."""
    for test in (ROOT / "tests" / "engine").glob("test_*.py"):
        assert (ROOT / "workbench" / "engine" / test.name.removeprefix("test_")).exists(), test.name
