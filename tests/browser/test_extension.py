"""What the extension adds to JupyterLab: runs, reports, queries of videos, the tour, coloured lines of magics."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import PATIENCE, Lab, command, themed, wait_idle
from tests.browser.readable import faults, poor
from tests.browser.test_lab import SHOTS, SPEC
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
    lab.needs_extension()
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
    assert other.locator(".wb-runs-text").inner_text().replace("\u00a0", " ") == "running · 1:15 min left · 2 workers"
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


def test_a_report_is_saved_described_and_downloaded(lab: Lab, page: Any) -> None:
    back(page)
    page.evaluate(f"{NOTEBOOK}.content.widgets[3].model.sharedModel.setSource('# written last')")
    page.get_by_role("button", name="Report", exact=True).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("About ").wait_for(timeout=PATIENCE)
    assert "# written last" in (lab.folder / "work.ipynb").read_text("utf-8")
    sizes = [dialog.locator("[role=status]").inner_text()]
    for hide in (True, False):
        dialog.get_by_label("Hide code").set_checked(hide)
        page.wait_for_function(
            "before => { const now = document.querySelector('.wb-report-dialog [role=status]').innerText;"
            " return now.startsWith('About') && now !== before; }", arg=sizes[-1], timeout=PATIENCE
        )  # fmt: skip
        sizes.append(dialog.locator("[role=status]").inner_text())
    assert sizes[0] == sizes[2] != sizes[1]
    dialog.get_by_label("Hide code").check()
    with page.expect_download(timeout=PATIENCE) as caught:
        dialog.get_by_role("button", name="Download").click()
    assert caught.value.suggested_filename == "work.html"
    html = Path(caught.value.path()).read_text("utf-8")
    assert html.startswith("<!DOCTYPE html>")
    assert "written last" not in html
    page.evaluate(f"{NOTEBOOK}.content.widgets[3].model.sharedModel.setSource({json.dumps(FUSE)})")
    command(page, "docmanager:save")  # the page is loaded again later


def test_a_video_of_the_file_browser_is_queried(lab: Lab, page: Any) -> None:
    (lab.folder / "gate 1 query.ipynb").unlink(missing_ok=True)
    begin(page, "filebrowser:activate")
    begin(page, "filebrowser:go-to-path", path="/", dontShowBrowser=False)
    entry = page.locator(".lm-Menu-item", has_text="Query This Video")
    page.locator(".jp-DirListing-item", has_text="notes.txt").click(button="right")
    page.locator(".lm-Menu-item", has_text="Rename").wait_for()
    assert not entry.is_visible()
    page.keyboard.press("Escape")
    page.locator(".jp-DirListing-item", has_text="gate 1.mp4").click(button="right")
    entry.click()
    page.wait_for_function(f"{NOTEBOOK}?.context?.path === 'gate 1 query.ipynb'", timeout=PATIENCE)
    stored = json.loads((lab.folder / "gate 1 query.ipynb").read_text("utf-8"))
    first, second = ("".join(cell["source"]) for cell in stored["cells"])
    assert first == "%load_ext workbench"
    assert second.startswith('%%vquery "gate 1.mp4" ')
    assert stored["metadata"]["kernelspec"]["name"] == "python3"
    page.wait_for_function(f"{NOTEBOOK}.content.activeCellIndex === 1")


def test_the_launcher_opens_the_tour(lab: Lab, page: Any) -> None:
    begin(page, "launcher:create")
    card = page.locator(".jp-LauncherCard:visible", has_text="Tour of Workbench").first
    card.wait_for()
    card.click()
    page.wait_for_function(f"{NOTEBOOK}?.context?.path === '00_tour.ipynb'", timeout=PATIENCE)
    cells = json.loads((lab.folder / "00_tour.ipynb").read_text("utf-8"))["cells"]
    tour = json.loads((Path(__file__).parents[2] / "notebooks" / "00_tour.ipynb").read_text("utf-8"))["cells"]
    assert [cell["source"] for cell in cells] == [cell["source"] for cell in tour]


def test_lines_of_magics_are_coloured_unless_they_shall_not_be(lab: Lab, page: Any) -> None:
    back(page)
    seen = """() => {
      const cell = window.jupyterapp.shell.currentWidget.content.widgets[3].node;
      return ['meta', 'attributeName', 'string'].map(style => {
        const all = [...cell.querySelectorAll(`.wb-magic-${style}`)];
        return [all.map(each => each.textContent).join(''), getComputedStyle(all[0]).color];
      });
    }"""
    page.evaluate(f"{NOTEBOOK}.content.scrollToItem(3)")
    page.locator(".wb-magic-meta:visible").first.wait_for()
    words, colours = zip(*page.evaluate(seen), strict=True)
    assert words == ("%%fuse", "--explain--compare", "numpy,pandas")
    assert len(set(colours)) == 3
    assert page.evaluate(f"{NOTEBOOK}.content.widgets[3].model.mimeType") == "text/x-ipython"
    settings = "lab/api/settings/workbench-lab:plugin"
    assert lab.call("PUT", settings, {"raw": '{"highlightMagics": "no"}'})[0] == 400  # its schema is there
    assert lab.call("PUT", settings, {"raw": '{"highlightMagics": false, "hideCode": true}'})[0] == 204
    try:
        page.reload()
        wait_idle(page)
        page.wait_for_function("!document.body.classList.contains('wb-colour-magics')")
        page.evaluate(f"{NOTEBOOK}.content.scrollToItem(3)")
        page.locator(".wb-magic-meta:visible").first.wait_for()
        assert len({colour for _, colour in page.evaluate(seen)}) < 3
        page.get_by_role("button", name="Report", exact=True).click()
        assert page.get_by_role("dialog").get_by_label("Hide code").is_checked()
        page.keyboard.press("Escape")
    finally:
        assert lab.call("PUT", settings, {"raw": "{}"})[0] == 204


@pytest.mark.slow
def test_panel_and_dialog_are_readable_in_both_themes(lab: Lab, page: Any) -> None:
    SHOTS.mkdir(exist_ok=True)
    back(page)
    for number, state in enumerate(("running", "finished", "cancelled", "failed", "lost")):
        values = {"total": 900.0, "done": 412.0, "unit": "frames", "message": "what there is to be said", "workers": 2}
        record(lab, str(number) * 32, title=f"gate{number}.mp4", started=time.time(), state=state, **values)
    begin(page, "workbench:show-runs")
    page.locator(".wb-runs-item[data-state='lost']").wait_for()
    page.get_by_role("button", name="Report", exact=True).click()
    page.get_by_role("dialog").get_by_text("About ").wait_for(timeout=PATIENCE)
    for theme in ("Dark", "Light"):
        themed(page, theme)
        page.screenshot(path=SHOTS / f"extension-{theme.lower()}.png")
        assert poor(page, ".wb-runs :is(span, .wb-runs-text, .wb-runs-message, button, h2)") == []
        assert poor(page, ".wb-report-dialog :is(label, div)") == []
        assert faults(page, ".wb-runs", ".wb-report-dialog") == []
    page.keyboard.press("Escape")
