"""Pages in a real Chromium: a report without a network, and a notebook opened cold in JupyterLab, in seconds."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

from tests.browser.conftest import FLAGS, Lab, Told, running_lab, wait_idle
from tests.browser.test_lab import SPEC
from workbench import doctor

ROUNDS = 6
QUERY = "%%vquery cam.mp4\nclass Q(Query):\n    car: Car\n    where = car.color == 'red'"


@contextmanager
def _chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=doctor.chromium(), args=FLAGS)
        yield browser
        browser.close()


def opened_offline(path: Path) -> dict[str, int]:
    """Open a page without a network; return how much it asks for and how often it complains."""
    with _chromium() as browser:
        context = browser.new_context(offline=True)
        page, told = context.new_page(), Told([], [])
        told.watch(page)
        page.goto(path.as_uri())
        page.wait_for_timeout(3000)
        return {"requests": len(told.outside), "errors": len(told.errors)}


def opened() -> tuple[float, float]:
    """Return how long a notebook takes until its kernel is idle: with the extension, and with it disabled.

    Every opening is a browser context of its own, without a cache; the two servers take turns, after one opening each.
    """
    with tempfile.TemporaryDirectory() as folder, _chromium() as browser:
        bare = Path(folder) / "bare"
        (bare / "config" / "labconfig").mkdir(parents=True)
        disabled = {"disabledExtensions": {"workbench-lab": True}}
        (bare / "config" / "labconfig" / "page_config.json").write_text(json.dumps(disabled))
        with running_lab(Path(folder) / "with") as ours, running_lab(bare) as without:
            ours.needs_extension()
            pairs = [(_open(browser, ours), _open(browser, without)) for _ in range(ROUNDS + 1)][1:]
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)


def _open(browser: Any, lab: Lab) -> float:
    """Open a new notebook; return the seconds until its kernel is idle, and stop the kernel."""
    path = lab.folder / f"n{time.monotonic_ns()}.ipynb"
    cells = [new_code_cell(QUERY) for _ in range(3)]
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": SPEC}), path)
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    page = context.new_page()
    begun = time.perf_counter()
    page.goto(f"{lab.url}/lab/tree/{path.name}?token={lab.token}&reset")
    wait_idle(page)
    taken = time.perf_counter() - begun
    context.close()
    _, sessions = lab.call("GET", "api/sessions")
    for session in json.loads(sessions):
        lab.call("DELETE", f"api/sessions/{session['id']}")
    return taken
