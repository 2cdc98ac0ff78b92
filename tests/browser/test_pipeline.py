"""`%%pipeline` in a real JupyterLab: live, stopped by its button, and all there without a kernel and in the report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest

import workbench as wb
from tests.browser.conftest import PATIENCE, Lab, Told, command, themed
from tests.browser.readable import poor
from tests.browser.test_lab import SHOTS, SPEC
from tests.notebook.report import notebooks as nb

SETUP = """%load_ext workbench
import torch, workbench as wb
from torch import nn
torch.set_num_threads(1); torch.manual_seed(0)
X = torch.randn(512, 20); train_set = X, (X[:, :10].sum(1) > 0).long()
net = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))
before = [each.detach().clone() for each in net.parameters()]
cluster = wb.training.Cluster([2], [1e9])
plan = wb.training.partition(wb.training.profile(net, X[:16]), cluster, straight=True)"""
CELL = "%%pipeline net train_set --workers 2 --schedule 1f1b --micro 4 --batch 64 --epochs 100000 -o run\npass"
KEPT = """changed = any(bool((a != b).any()) for a, b in zip(before, net.parameters()))
finite = all(bool(torch.isfinite(each).all()) for each in net.parameters())
print(run.state, run.steps == len(run.losses) > 0, changed, finite)"""
#: the status bar does not tell when a cell is done: messages of widgets are answered beside it
RUN = """k => { const notebook = window.jupyterapp.shell.currentWidget.content; notebook.activeCellIndex = k;
  notebook.deselectAll(); window.done = false;
  window.jupyterapp.commands.execute('notebook:run-cell').finally(() => { window.done = true; }); }"""
#: the step in the line above the chart, while it goes on
STEP = """[...document.querySelectorAll('.jupyter-widgets .wb-summary')].map(each =>
  Number((/step ([0-9,]+)[/]/.exec(each.textContent) || [0, '0'])[1].replaceAll(',', ''))).at(-1) || 0"""
WATCH = """() => { window.drawn = 0; window.most = 0;
  new MutationObserver(() => { window.drawn += 1;
    window.most = Math.max(window.most, document.querySelectorAll('.wb-gantt rect[data-kind]').length);
  }).observe(document.querySelector('.wb-gantt svg'), {childList: true}); }"""
#: what a reader finds in the output of the cell that trained
FACTS = """() => { const all = (root, what) => [...root.querySelectorAll(what)];
  const root = all(document, '.jp-Notebook .jp-Cell').find(each => each.querySelector('.wb-summary') &&
    /TrainRun/.test(each.textContent)).querySelector('.jp-Cell-outputArea');
  return { words: all(root, '.wb-summary, .wb-note, td, .wb summary').map(each => each.textContent.trim()),
    error: all(root, '[data-mime-type*=stderr], [data-mime-type*=error]').map(each => each.textContent.trim()),
    pictures: all(root, 'svg[aria-label]').map(each => each.getAttribute('aria-label')),
    bars: all(root, 'svg rect title').length }; }"""


#: the picture of a stopped run may come after its message, where a machine is busy
ENDED = """window.done && !document.querySelector('.jupyter-widgets') && document.querySelector('.wb svg') &&
  [...document.querySelectorAll('.wb-note')].some(each => /what was found is kept in run[.]/.test(each.textContent))"""


@pytest.fixture(scope="module")
def notebook(lab: Lab) -> Path:
    """Return a notebook that trains for hours, and a cell that looks at what was kept."""
    cells = [nb.code(source, count=None) for source in (SETUP, CELL, KEPT)]
    return nb.write(lab.folder / "pipeline.ipynb", cells, kernelspec=SPEC)


def run(page: Any, cell: int, *, wait: bool = True) -> None:
    page.evaluate(RUN, cell)
    if wait:
        page.wait_for_function("window.done", timeout=PATIENCE)


def trains(page: Any) -> None:
    """Start to train, and wait until the chart has been drawn some times and steps have been made."""
    run(page, 1, wait=False)
    page.locator(".wb-gantt rect[data-kind='backward']").first.wait_for(timeout=PATIENCE)
    page.evaluate(WATCH)
    begun = page.evaluate(STEP)
    page.wait_for_function(f"window.drawn > 2 && ({STEP}) > {begun} + 2", timeout=PATIENCE)
    assert 0 < page.evaluate("window.most") <= 2000


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_stopped_by_its_button_and_all_there_without_a_kernel(lab: Lab, browser: Any, notebook: Path) -> None:
    SHOTS.mkdir(exist_ok=True)
    page = lab.open(browser, notebook)
    told: list[str] = []
    page.on("pageerror", lambda error: told.append(str(error)))
    run(page, 0)

    trains(page)
    command(page, "notebook:interrupt-kernel")
    page.wait_for_function(ENDED, timeout=PATIENCE)
    assert page.evaluate(FACTS)["words"][0].startswith("Stopped at ")

    trains(page)
    assert page.locator(".wb-gantt svg pattern").count() >= 3, "kinds differ by hatch as well"
    themed(page, "Dark")
    assert poor(page, ".wb-gantt text, .wb-gantt-status, .wb-run, .wb-summary") == []
    page.screenshot(path=SHOTS / "pipeline-live-dark.png")
    themed(page, "Light")
    assert poor(page, ".wb-gantt text, .wb-gantt-status, .wb-run, .wb-summary") == []
    page.screenshot(path=SHOTS / "pipeline-live.png")
    stop = page.get_by_role("button", name="Stop Training")
    stop.focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('.wb-gantt') !== null"), "the chart is reached by keyboard"
    stop.click()
    page.wait_for_function(ENDED, timeout=PATIENCE)
    facts = page.evaluate(FACTS)
    assert facts["words"][0].startswith("Cancelled at ") and facts["words"][0].endswith(
        "what was found is kept in run."
    )
    assert len(facts["error"]) == 1 and facts["error"][0].startswith(facts["words"][0]), "said once more, in red"
    assert facts["bars"] > 0 and any(each.startswith("Gantt chart: ") for each in facts["pictures"])
    assert {"schedule", "1f1b", "bubble", "bytes sent"} <= set(facts["words"])
    run(page, 2)
    page.get_by_text("cancelled True True True").first.wait_for(timeout=PATIENCE)

    command(page, "docmanager:save")
    page.wait_for_function("!window.jupyterapp.shell.currentWidget.context.model.dirty", timeout=PATIENCE)
    stored = nbformat.read(notebook, as_version=4)
    assert all("widget-view" not in kind for one in stored.cells[1].outputs for kind in one.get("data", {}))
    for session in json.loads(lab.call("GET", "api/sessions")[1]):
        assert lab.call("DELETE", f"api/sessions/{session['id']}")[0] == 204
    page.reload()
    page.locator(".wb svg[aria-label^='Gantt chart']").first.wait_for(timeout=PATIENCE)
    page.wait_for_function(f"({FACTS})().bars === {facts['bars']}", timeout=PATIENCE)
    assert page.evaluate(FACTS) == facts
    if lab.extension:
        chart = page.locator(".wb-gantt svg").first
        chart.focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowDown")
        assert page.locator(".wb-gantt-status").first.inner_text().startswith("worker 1 (stage 1) | ")
    for theme in ("Dark", "Light"):
        themed(page, theme)
        page.locator(".wb-summary").first.scroll_into_view_if_needed()
        page.screenshot(path=SHOTS / f"pipeline-{theme.lower()}.png")
        assert poor(page, ".wb-summary, .wb-note, .wb svg text, .wb-gantt-status, .wb th, .wb td, .wb summary") == []
    assert told == []
    page.context.close()


@pytest.mark.slow
def test_the_report_shows_it_offline(lab: Lab, notebook: Path, offline: tuple[Any, Told], tmp_path: Path) -> None:
    if not nbformat.read(notebook, as_version=4).cells[1].outputs:
        pytest.skip("nothing was saved: the test before has to pass first")
    page, told = offline
    page.goto(wb.report(notebook, tmp_path / "report.html").path.as_uri())
    page.wait_for_function("document.documentElement.dataset.ready === '1'")
    assert page.locator(".wb-gantt rect[data-kind='forward']").count() > 0
    assert page.get_by_text("what was found is kept in run.").count() > 0
    assert page.get_by_text("bytes sent").is_visible()
    page.locator(".wb summary", has_text="plan (").click()
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        page.screenshot(path=SHOTS / f"pipeline-report-{theme}.png", full_page=True)
        assert poor(page, ".wb-summary, .wb-note, .wb svg text, .wb-gantt-status, .wb th, .wb td, .wb summary") == []
    assert told.errors == [] and told.outside == []
