"""What the extension adds to JupyterLab: runs, reports, queries of videos, the tour, coloured lines of magics."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser.conftest import PATIENCE, Lab, wait_idle
from tests.browser.test_lab import SPEC
from tests.notebook.report import notebooks as nb
from workbench.notebook import runs

#: a run that goes on until somebody cancels it, in a cell that waits for it: the kernel is busy all the time
LOAD = """%load_ext workbench
from workbench.engine.run import Run

def work(run):
    done = 0
    while not run.cancelled.wait(0.05):
        done = min(done + 1, 990)
        run.update(done=done, message="counting")"""
COUNT = """run = Run.start(work, kind="count", title="count to a thousand", unit="steps", total=1000)
run.wait(600)"""
FUSE = '%%fuse --explain --compare numpy,pandas\nx = "--explain"'
#: a title and a message that would run, were they ever read as HTML
HOSTILE = "<img src=x onerror='window.taken = true'></li><script>window.taken = true</script>"
NOTEBOOK = "window.jupyterapp.shell.currentWidget"
BUSY = ".wb-runs-item[data-state='running']"


@pytest.fixture(scope="module")
def page(lab: Lab, browser: Any) -> Iterator[Any]:
    """Return JupyterLab with a notebook whose kernel is idle."""
    if not lab.extension:
        pytest.skip("the extension is not built")
    sources = (LOAD, COUNT, "# " + "\n# ".join("a line" for _ in range(80)), FUSE)
    path = nb.write(lab.folder / "work.ipynb", [nb.code(text, count=None) for text in sources], kernelspec=SPEC)
    (lab.folder / "gate 1.mp4").write_bytes(b"no film, but its name says so")
    (lab.folder / "notes.txt").write_text("no film")
    page = lab.open(browser, path)
    yield page
    page.context.close()


def begin(page: Any, name: str, **arguments: Any) -> None:
    """Execute a command without waiting for its end, nor for what it returns."""
    page.evaluate("([name, given]) => { window.jupyterapp.commands.execute(name, given); }", [name, arguments])


def back(page: Any) -> None:
    """Show the notebook of the fixture."""
    begin(page, "docmanager:open", path="work.ipynb")
    page.wait_for_function(f"{NOTEBOOK}?.context?.path === 'work.ipynb'")


def record(lab: Lab, run_id: str, **values: Any) -> None:
    """Write the record of a run of another kernel."""
    zero: dict[type, Any] = {str: "", float: None, int: 0, bool: False}
    made = {name: zero[kind] for name, kind in runs.COLUMNS.items()}
    made |= {"run_id": run_id, "kind": "vquery", "state": "finished", "pid": os.getpid(), "started": time.time() - 60}
    (runs.folder(lab.home) / f"{run_id}.json").write_text(json.dumps(made | values))


def test_runs_of_all_kernels_are_listed_cancelled_and_cleared(lab: Lab, page: Any) -> None:
    now = time.time()
    record(lab, "a" * 32, title=HOSTILE, message=HOSTILE, ended=now, state="failed", notebook=f"/{HOSTILE}.ipynb")
    record(lab, "b" * 32, title="gate.mp4", total=900.0, done=412.0, unit="frames", started=now - 60, ended=now,
           state="cancelled")  # fmt: skip
    record(lab, "c" * 32, title="flights", kind="outliers", started=now, state="running", eta_s=75.0, workers=2)
    begin(page, "workbench:show-runs")
    begin(page, "notebook:run-all-cells")
    mine = page.locator(f"{BUSY}:has-text('count to a thousand')")
    mine.get_by_text(" of 1,000 steps · ").wait_for(timeout=PATIENCE)
    assert mine.locator("progress").get_attribute("aria-label") == "Progress of count to a thousand"
    other = page.locator(".wb-runs-item[data-run^='c']")
    assert other.locator(".wb-runs-text").inner_text() == "running · 1:15 min left · 2 workers"
    assert other.get_by_role("button", name="Go to").count() == 0, "nobody knows its notebook"
    assert page.get_by_text("412 of 900 frames · 1:00 min").is_visible()
    assert page.locator(".wb-runs-title", has_text="<img src=x").first.is_visible()
    page.locator(".lm-TabBar-tab.wb-runs-busy").wait_for()

    page.evaluate(f"{NOTEBOOK}.content.activeCellIndex = 3")
    mine.get_by_role("button", name="Go to the cell of count to a thousand").click()
    page.wait_for_function(f"{NOTEBOOK}.content.activeCellIndex === 1")
    page.locator(".jp-Cell.jp-mod-active", has_text="Run.start").wait_for()

    cancel = mine.get_by_role("button", name="Cancel count to a thousand")
    cancel.focus()
    page.keyboard.press("Enter")
    page.locator(".wb-runs-item[data-state='cancelled']", has_text="count to a thousand").wait_for(timeout=PATIENCE)
    wait_idle(page)
    page.locator(".wb-runs-voice", has_text="count to a thousand cancelled.").wait_for(state="attached")

    page.get_by_role("button", name="Clear ended").click()
    page.wait_for_function("document.querySelectorAll('.wb-runs-item').length === 1")
    assert [path.stem for path in runs.folder(lab.home).glob("*.json")] == ["c" * 32]
    record(lab, "c" * 32, title="flights")
    page.locator(".wb-runs-item[data-state='finished']").wait_for()
    page.get_by_role("button", name="Clear ended").press("Space")
    page.get_by_text("No runs.").wait_for()
    assert page.evaluate("window.taken") is None
