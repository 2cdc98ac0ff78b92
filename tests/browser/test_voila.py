"""A notebook as a Voila app, in which no extension of ours is loaded: the answers are there all the same."""

from __future__ import annotations

import contextlib
import os
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from tests.browser.serving import free_port, serving

pytestmark = pytest.mark.slow

CELLS = [
    "%load_ext workbench\n%load_ext tests.notebook.slow",
    "%%slow 14 -o counted\nbody",
    "import pandas as pd\nfrom workbench import outliers\n"
    "rows = pd.DataFrame({'ms': [10.0] * 960 + [900.0] * 40, 'host': ['a'] * 500 + ['b'] * 460 + ['c'] * 40})\n"
    "outliers(rows, 'ms', ['host'], top=0.04)",
]


@pytest.fixture
def app(tmp_path: Path) -> Iterator[str]:
    """Return the address of a running app."""
    pytest.importorskip("voila")
    made = new_notebook(cells=[new_code_cell(cell) for cell in CELLS])
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(made, tmp_path / "page.ipynb")
    port = free_port()
    words = [sys.executable, "-m", "voila", "page.ipynb", "--no-browser", f"--port={port}", "--Voila.ip=127.0.0.1"]
    environment = {**os.environ, "PYTHONPATH": os.getcwd(), "JUPYTER_CONFIG_DIR": str(tmp_path / "config")}
    with serving(words, environment, tmp_path) as (process, log):
        address = f"http://127.0.0.1:{port}/"
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            # a visit runs the notebook: a file tells as well that the server is there
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}voila/static/voila.js", timeout=60):
                break
            time.sleep(0.2)
        assert process.poll() is None, log.read_text()
        yield address


def test_n41_n42_answers_are_shown_without_our_extension(app: str, browser: Any) -> None:
    context = browser.new_context(viewport={"width": 1100, "height": 900})
    page = context.new_page()
    page.goto(app, timeout=120_000)
    page.get_by_text("14 counted").first.wait_for(timeout=120_000)
    page.get_by_text("host = c").first.wait_for(timeout=120_000)
    assert page.locator("svg .wb-bar, svg rect").count() >= 14  # the timeline, drawn without a script
    body = page.inner_text("body")
    assert "Traceback" not in body and "Error displaying widget" not in body
    context.close()
