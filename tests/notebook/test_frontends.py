"""The same cell in plain `ipython`, in nbclient and in papermill."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from workbench.notebook.display import VIEW_MIME, WIDGET_MIME

pytestmark = pytest.mark.filterwarnings("ignore")  # of jupyter_client and papermill
CELLS = [
    "%load_ext workbench\n%load_ext tests.notebook.slow",
    "steps = 14",
    "%%slow {steps} -o counted\nbody",
    "len(counted)",
]


def notebook() -> Any:
    made = new_notebook(cells=[new_code_cell(cell) for cell in CELLS])
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    made.cells[1].metadata["tags"] = ["parameters"]
    return made


def check(made: Any, steps: int) -> None:
    magic, length = made.cells[-2:]
    (shown,) = magic.outputs
    assert shown.output_type == "display_data"
    assert shown.data["text/plain"].startswith(f"{steps} counted") and "<svg" in shown.data["text/html"]
    assert VIEW_MIME in shown.data and WIDGET_MIME not in shown.data
    assert length.outputs[0].data["text/plain"] == str(steps)


def test_n26_n41_nbclient_and_an_error_that_stops_it() -> None:
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    made = notebook()
    made.cells += [new_code_cell("%%slow 1 --fail\nbody"), new_code_cell("never = 1")]
    with pytest.raises(CellExecutionError):
        NotebookClient(made, timeout=60).execute()
    failed, after = made.cells[-2:]
    assert failed.outputs[-1].traceback == ["It broke.", "Mend it."]
    assert after.outputs == [] and after.execution_count is None
    del made.cells[-2:]
    check(made, 14)


def test_n41_papermill(tmp_path: Path) -> None:
    import papermill

    nbformat.write(notebook(), tmp_path / "in.ipynb")
    papermill.execute_notebook(
        tmp_path / "in.ipynb", tmp_path / "out.ipynb", parameters={"steps": 3}, progress_bar=False, cwd=os.getcwd()
    )
    check(nbformat.read(tmp_path / "out.ipynb", 4), 3)


def test_n20_n41_plain_ipython(tmp_path: Path) -> None:
    script = tmp_path / "cells.ipy"
    body = "\n".join(f"get_ipython().run_cell({cell!r})" for cell in CELLS)
    script.write_text(body)
    done = subprocess.run(
        [sys.executable, "-m", "IPython", "--no-banner", "--quick", "--colors=NoColor", str(script)],
        capture_output=True, text=True, timeout=60, env={**os.environ, "IPYTHONDIR": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "14 counted\n n  half\n 0     0\n" in done.stdout
    assert len(re.findall("14 counted", done.stdout)) == 1
    # Not a terminal: one line of progress, as the next would come after 10 s.
    assert len(re.findall(r"^slow count \| \d+ of 14 steps", done.stderr, re.M)) == 1
    assert "Widget" not in done.stdout + done.stderr
