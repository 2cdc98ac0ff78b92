"""In a real JupyterLab: a query cell is coloured, completed and run; its answer outlives the kernel."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import PATIENCE, Lab, command, themed, wait_idle
from tests.browser.counted import READ_FRAME, write_counted
from tests.browser.test_modules import LEFT_EDGE
from tests.notebook.report import notebooks as nb

SPEC = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
SHOTS = Path(__file__).parent / "screenshots"

#: a detector that reads the number in the picture, slowly, so that there is progress to be seen
SETUP = """%load_ext workbench
import time
import pandas as pd
import workbench as wb

def read(images):
    found = []
    for image in images:
        time.sleep(0.02)
        n = sum(1 << bit for bit in range(10) if image[165, bit * 32 + 16].mean() > 127)
        box = dict(x1=20 + n, y1=20, x2=60 + n, y2=60, label="car", score=0.9)
        found.append(pd.DataFrame([box] if 20 <= n < 240 else [], columns=list(box)))
    return found

wb.video.register_detector("reader", read, labels=["car"], version="1")"""

QUERY = """%%vquery counted.mp4 --detector reader -o red
class Passing(Query):
    car: Car
    where = car.x1 > "60px"
    select = car.id, start, end"""

WATCH = """() => {
  window.seen = [];
  new MutationObserver(() => {
    for (const bar of document.querySelectorAll('.wb-run progress, .jp-OutputArea progress')) {
      if (bar.hasAttribute('value') && window.seen.at(-1) !== bar.value) window.seen.push(bar.value);
    }
  }).observe(document.body, { subtree: true, childList: true, attributes: true, characterData: true });
}"""


#: another frame is shown than before, and it is the one that the player went to
ARRIVED = """before => {
  const root = document.querySelector('.wb-player'), video = root.querySelector('video');
  const away = Math.abs(Number(root.dataset.frame) - video.currentTime * 25);
  return root.dataset.frame !== before && !video.seeking && away <= 1;
}"""


@pytest.fixture(scope="module")
def notebook(lab: Lab) -> Path:
    """Return a notebook with one query on a clip whose frames carry their number."""
    write_counted(lab.folder / "counted.mp4", frames=300)
    cells = [nb.code(SETUP, count=None), nb.code(QUERY, count=None)]
    return nb.write(lab.folder / "query.ipynb", cells, kernelspec=SPEC)


def seek_and_check(page: Any) -> None:
    """Click into the bar of the timeline: the player must show that frame, and the box that belongs to it."""
    line, root = page.locator(".wb-timeline svg").first, page.locator(".wb-player").first
    line.scroll_into_view_if_needed()
    page.wait_for_function("document.querySelector('.wb-player video').readyState >= 2", timeout=PATIENCE)
    bar = page.locator(".wb-bar").first.bounding_box()
    for part in (0.2, 0.55):
        before = root.get_attribute("data-frame")
        page.mouse.click(bar["x"] + bar["width"] * part, bar["y"] + bar["height"] / 2)
        page.wait_for_function(ARRIVED, arg=before, timeout=30_000)
        number = root.evaluate(READ_FRAME)
        # The clip begins before its event; the picture's own number is that of the source.
        assert number == pytest.approx(41 + (240 - 41) * part, abs=6)
        assert root.get_attribute("data-boxes") == "1"
        assert page.evaluate(LEFT_EDGE, 40) == pytest.approx(20 + number, abs=1.5)


def test_n33_the_answer_outlives_its_kernel(lab: Lab, browser: Any, notebook: Path) -> None:
    SHOTS.mkdir(exist_ok=True)
    page = lab.open(browser, notebook)
    page.evaluate(WATCH)
    command(page, "notebook:run-all-cells")
    page.locator(".wb-player, .jp-OutputArea-output video").first.wait_for(timeout=PATIENCE)
    wait_idle(page)
    assert page.get_by_text("1 event").first.is_visible()
    seen = page.evaluate("window.seen")
    assert len(set(seen)) >= 2, f"no progress moved: {seen}"
    lab.needs_extension()
    seek_and_check(page)
    page.screenshot(path=SHOTS / "light.png")

    command(page, "docmanager:save")
    page.wait_for_function("!window.jupyterapp.shell.currentWidget.context.model.dirty", timeout=PATIENCE)
    stored = json.loads(notebook.read_text("utf-8"))
    [output] = [output for output in stored["cells"][1]["outputs"] if output["output_type"] == "display_data"]
    assert nb.VIEW in output["data"]
    assert "application/vnd.jupyter.widget-view+json" not in output["data"]

    for session in json.loads(lab.call("GET", "api/sessions")[1]):
        assert lab.call("DELETE", f"api/sessions/{session['id']}")[0] == 204
    told: list[str] = []
    page.on("pageerror", lambda error: told.append(str(error)))
    page.reload()
    page.locator(".wb-player").first.wait_for(timeout=PATIENCE)
    assert page.get_by_text("1 event").first.is_visible()
    seek_and_check(page)
    assert told == []
    themed(page, "Dark")
    page.screenshot(path=SHOTS / "dark.png")
    themed(page, "Light")
    page.context.close()


@pytest.mark.slow
def test_a_notebook_that_is_not_trusted_shows_its_player_and_runs_no_script(lab: Lab, browser: Any) -> None:
    lab.needs_extension()
    clip = write_counted(lab.folder / "other.mp4").read_bytes()
    html = f'<p>1 event</p><div data-wb-view="v0">{nb.video(clip)}</div><div data-wb-view="v1">-</div>'
    html += "<script>window.taken = true</script><img src='x' onerror='window.taken = true'>"
    cells = [nb.code(QUERY, [nb.ours(html, [nb.player(), nb.timeline()])])]
    page = lab.open(browser, nb.write(lab.folder / "foreign.ipynb", cells, kernelspec=SPEC))
    page.wait_for_function("document.querySelector('.wb-player video')?.readyState >= 2", timeout=PATIENCE)
    page.locator(".wb-timeline svg").press("]")
    page.wait_for_selector(".wb-player[data-frame='25']", timeout=10_000)
    assert page.locator(".wb-player").evaluate(READ_FRAME) == 25
    assert page.get_by_text("1 event").is_visible()
    assert page.evaluate("window.taken") is None
    page.context.close()


@pytest.mark.slow
@pytest.mark.parametrize("enabled", [True, False])
def test_a_player_without_a_clip_asks_the_server_for_parts(lab: Lab, browser: Any, enabled: bool) -> None:
    """Of a video beside the notebook; a server without our part gives the whole file, as it gives any other."""
    lab.needs_extension()
    write_counted(lab.folder / "long way.mp4", frames=1000)
    html = '<p>1 event</p><div data-wb-view="v0">-</div>'
    view = nb.player(source="long way.mp4", hits=[{"start": 36.0, "end": 38.0, "label": "car 1"}], frames=[])
    name = f"part-{enabled}.ipynb"
    nb.write(lab.folder / name, [nb.code("1", [nb.ours(html, [view])])], kernelspec=SPEC)
    page = browser.new_context(viewport={"width": 1280, "height": 1000}).new_page()
    page.set_default_timeout(PATIENCE)
    answers: list[tuple[str, int]] = []
    page.on("response", lambda answer: answers.append((answer.url, answer.status)))
    if not enabled:
        page.route("**/workbench/**", lambda route: route.fulfill(status=404, body="{}"))
    page.goto(f"{lab.url}/lab/tree/{name}?token={lab.token}&reset")
    page.wait_for_function("document.querySelector('.wb-player video')?.readyState >= 2", timeout=PATIENCE)
    page.get_by_role("button", name="Next hit (])").click()
    page.wait_for_selector(".wb-player[data-frame='900']", timeout=PATIENCE)
    assert page.locator(".wb-player").evaluate(READ_FRAME) == 900
    place = page.locator(".wb-player video").evaluate("video => video.src").split("?")[0]
    assert place.endswith("/workbench/video" if enabled else "/files/long%20way.mp4"), place
    got = {status for url, status in answers if url.startswith(place)}
    assert (206 in got) if enabled else got & {200, 206}, got
    page.context.close()


@pytest.mark.slow
def test_query_cells_are_coloured_and_completed(lab: Lab, browser: Any, notebook: Path) -> None:
    lab.needs_extension()
    page = lab.open(browser, notebook)
    types = "window.jupyterapp.shell.currentWidget.content.widgets.map(cell => cell.model.mimeType)"
    assert page.evaluate(types) == ["text/x-ipython", "text/x-vquery"]
    colour = """word => {
      const span = [...document.querySelectorAll('.jp-CodeCell:nth-of-type(2) .cm-line span')].concat(
        [...document.querySelectorAll('.jp-Cell .cm-line span')]).find(span => span.textContent === word);
      return span ? getComputedStyle(span).color : null;
    }"""
    colours = {word: page.evaluate(colour, word) for word in ("%%vquery", "--detector", "Query", "where", '"60px"')}
    assert None not in colours.values(), colours
    assert len(set(colours.values())) >= 4, colours

    command(page, "notebook:insert-cell-below")
    command(page, "notebook:enter-edit-mode")
    page.keyboard.type("%load_ext workbench")
    command(page, "notebook:run-cell-and-insert-below")
    wait_idle(page)
    command(page, "notebook:enter-edit-mode")
    page.keyboard.type("%%vquery counted.mp4 --li")
    page.keyboard.press("Tab")
    page.locator(".jp-Completer-item", has_text="--limit").wait_for(timeout=PATIENCE)
    page.keyboard.press("Enter")
    source = "window.jupyterapp.shell.currentWidget.content.activeCell.model.sharedModel.getSource()"
    page.wait_for_function(f"{source} === '%%vquery counted.mp4 --limit'", timeout=PATIENCE)
    own = "window.jupyterapp.shell.currentWidget.content.activeCell.model.mimeType"
    assert page.evaluate(own) == "text/x-vquery"
    page.keyboard.press("Home")
    page.keyboard.press("Delete")
    page.wait_for_function(f"{own} === 'text/x-ipython'", timeout=PATIENCE)
    page.context.close()


def test_routes_need_a_token_and_answer(lab: Lab, notebook: Path) -> None:
    run = f"workbench/runs/{'a' * 32}"
    routes = [("GET", "workbench/runs"), ("GET", "workbench/status"), ("GET", "workbench/report?path=query.ipynb"),
              ("POST", "workbench/report"), ("POST", f"{run}/cancel"), ("DELETE", run)]  # fmt: skip
    for method, path in routes:
        assert lab.call(method, path, {} if method == "POST" else None, token=None)[0] in (401, 403), path
    status, content = lab.call("GET", "workbench/runs")
    assert status == 200
    assert isinstance(json.loads(content)["runs"], list)
    status, content = lab.call("POST", "workbench/report", {"path": "query.ipynb"})
    assert status == 200
    assert content.startswith(b"<!DOCTYPE html>")
