"""Every kind of result on one page: what is in its names never runs, and all of it can be read and used by all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import workbench as wb
from tests.browser import everything
from tests.browser.conftest import PATIENCE, Lab, Told, command, themed
from tests.browser.readable import faults
from tests.browser.test_lab import SPEC
from tests.browser.test_modules import SETUP, STATIC
from tests.notebook.report import notebooks as nb

#: opens all that is folded, and looks into each answer; the static form has no rows to be pressed
OPEN = """() => {
  document.querySelectorAll('details').forEach(each => { each.open = true; });
  document.querySelectorAll('tr.wb-r-row').forEach(each => each.click());
}"""
MODULES = ("player", "timeline", "ranked", "gantt", "curve")


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return everything.write(tmp_path_factory.mktemp("everything"), kernelspec=SPEC)


def bundles(notebook: Path) -> list[dict[str, Any]]:
    """Return what the cells show, by MIME type."""
    cells = json.loads(notebook.read_text("utf-8"))["cells"]
    shown = [output.get("data", {}) for cell in cells for output in cell.get("outputs", [])]
    return [{kind: "".join(data) if isinstance(data, list) else data for kind, data in each.items()} for each in shown]


def test_static_forms_run_nothing(notebook: Path, offline: tuple[Any, Told]) -> None:
    """Even where no policy of the page keeps scripts from running."""
    page, told = offline
    forms = [each["text/html"] for each in bundles(notebook) if "text/html" in each]
    page.set_content("".join(forms))
    page.evaluate(OPEN)
    assert len(forms) == page.locator(".wb").count() == 10
    assert everything.NAME in page.inner_text("body")
    assert page.locator(".wb img[src='x'], .wb script, .wb [onload], .wb [onerror]").count() == 0
    assert page.evaluate("window.taken") is None
    assert told.errors == [] and told.outside == []


def test_widgets_run_nothing(notebook: Path, offline: tuple[Any, Told]) -> None:
    page, told = offline
    page.goto("about:blank")
    views = [view for each in bundles(notebook) for view in each.get(nb.VIEW, {"views": []})["views"]]
    assert {view["module"] for view in views} == set(MODULES)
    run = {"run_id": "a" * 32, "state": "running", "done": 1, "total": 9}
    run |= dict.fromkeys(("title", "message", "unit", "stage"), everything.BAD)
    for view in [*views, {"module": "run", "state": run}]:
        page.evaluate(SETUP, [(STATIC / f"{view['module']}.js").read_text("utf-8"), view["state"], 0])
    page.evaluate(OPEN)
    assert page.locator("tr.wb-r-row").count() >= 5
    assert page.locator("img[src='x'], script, [onload], [onerror]").count() == 0
    assert everything.BAD in page.locator(".wb-run").inner_text()
    assert page.evaluate("window.taken") is None
    assert told.errors == [] and told.outside == []


def test_a_report_runs_nothing_and_axe_finds_nothing(notebook: Path, offline: tuple[Any, Told]) -> None:
    page, told = offline
    made = wb.report(notebook, title=everything.BAD)
    assert made.bytes < 2_000_000
    page.goto(made.path.as_uri())
    page.wait_for_selector("html[data-ready='1']", timeout=PATIENCE)
    page.evaluate(OPEN)
    for module in MODULES:
        assert page.locator(f".wb-{module}").count() >= 1, module
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        assert faults(page, "body") == []
    assert page.title() == everything.BAD
    assert page.evaluate("window.taken") is None
    assert told.errors == [] and told.outside == []


@pytest.mark.slow
def test_jupyterlab_runs_nothing_and_axe_finds_nothing(notebook: Path, lab: Lab, browser: Any) -> None:
    """In a notebook that its reader trusts: JupyterLab cleans nothing then."""
    lab.needs_extension()
    (lab.folder / "everything.ipynb").write_bytes(notebook.read_bytes())
    page = lab.open(browser, lab.folder / "everything.ipynb")
    told = Told([], [])
    told.watch(page)
    page.evaluate("() => { window.jupyterapp.commands.execute('notebook:trust'); }")
    page.get_by_role("dialog").get_by_role("button", name="Trust").click()
    page.wait_for_function("window.jupyterapp.shell.currentWidget.context.model.cells.get(1).trusted", timeout=PATIENCE)
    command(page, "notebook:enter-command-mode")
    for module in MODULES:
        page.locator(f".wb-{module}").first.wait_for(state="attached", timeout=PATIENCE)
    page.evaluate(OPEN)
    for theme in ("Dark", "Light"):
        themed(page, theme)
        assert faults(page, ".wb", ".wb-view-part") == []
    assert page.evaluate("window.taken") is None
    page.context.close()
