"""A training cell in a real JupyterLab: live while it runs, stopped by its button, and its facts without a kernel."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest

import workbench as wb
from tests.browser.conftest import PATIENCE, Lab, Told, command, themed, wait_idle
from tests.browser.test_lab import SHOTS, SPEC
from tests.notebook.report import notebooks as nb

SETUP = """%load_ext workbench
import math, time
def accuracy(epoch, best):
    return best - 60 * math.exp(-epoch / 4)"""
#: with three earlier runs the projection can be told
EARLIER = """import workbench as wb
for seed in range(4):
    with wb.tta.Tracker("curve", {"top1": 97}, steps=30, schedule="cosine-30", seed=seed, price=3.06) as t:
        for epoch in range(30):
            with t.span("train"): time.sleep(0.005)
            t.eval(step=epoch, n=2000, top1=lambda: accuracy(epoch, 98.8 + seed / 10))"""
TRAIN = """%%tta top1>=97 --price 3.06 --name curve -o run
tta.plan(steps=30, schedule="cosine-30")
with tta.span("data"): time.sleep(0.3)
for epoch in range(30):
    with tta.span("train"): time.sleep(0.4)
    tta.eval(step=epoch, n=2000, top1=lambda: time.sleep(0.05) or accuracy(epoch, 99))"""
LONG = """%%tta top1>=99.9 --name long -o stopped
tta.plan(steps=1000)
for epoch in range(1000):
    with tta.span("train"): time.sleep(0.1)
    tta.eval(step=epoch, n=2000, top1=lambda: accuracy(epoch, 90))"""
#: begins to run all cells; the command's own promise is kept only when they have ended
RUN = "() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }"
#: what a reader saw while the cell ran
WATCH = """() => {
  window.seen = { now: [], drawn: 0, texts: [], heights: [], stop: 0 };
  window.watching = setInterval(() => {
    const root = document.querySelector('.wb-curve');
    if (root && root.dataset.running === 'true') {
      const now = root.querySelector('dd').textContent;
      if (window.seen.now.at(-1) !== now) window.seen.now.push(now);
      window.seen.drawn = Number(root.dataset.drawn || 0);
      window.seen.heights.push(root.offsetHeight);
      const text = root.querySelector('.wb-c-aim')?.textContent;
      if (text && window.seen.texts.at(-1) !== text) window.seen.texts.push(text);
      window.seen.stop += root.querySelector('button').hidden ? 0 : 1;
    }
  }, 20);
}"""
FACTS = """() => [...document.querySelectorAll('.wb-curve')].slice(0, 1).map(root => ({
  facts: [...root.querySelectorAll('dl > div')].map(one => [...one.children].map(part => part.textContent)),
  key: [...root.querySelectorAll('.wb-c-key > span')].map(one => one.textContent),
  foot: root.querySelector('.wb-c-foot').textContent,
  earlier: root.querySelectorAll('.wb-c-old').length,
  points: root.querySelectorAll('circle').length
}))[0]"""


@pytest.fixture(scope="module")
def notebook(lab: Lab) -> Path:
    """Return a notebook with a recipe that has a history, and one more run of it."""
    cells = [nb.code(source, count=None) for source in (SETUP, EARLIER, TRAIN)]
    return nb.write(lab.folder / "tta.ipynb", cells, kernelspec=SPEC)


@pytest.mark.slow
def test_c57_live_while_it_runs_and_the_same_facts_without_a_kernel(lab: Lab, browser: Any, notebook: Path) -> None:
    SHOTS.mkdir(exist_ok=True)
    page = lab.open(browser, notebook)
    told: list[str] = []
    page.on("pageerror", lambda error: told.append(str(error)))
    page.evaluate(WATCH)
    page.evaluate(RUN)
    page.locator(".wb-curve[data-running='true']").wait_for(timeout=PATIENCE)
    page.wait_for_function("window.seen.now.length >= 5", timeout=PATIENCE)
    page.screenshot(path=SHOTS / "tta-live-light.png")
    page.get_by_text("curve: top1 >= 97 reached at").first.wait_for(timeout=PATIENCE)
    wait_idle(page)
    seen = page.evaluate("() => { clearInterval(window.watching); return window.seen; }")
    assert len(seen["now"]) >= 5, seen["now"]
    assert seen["stop"] > 0
    assert any("from 4 earlier runs; 4 reached" in text for text in seen["texts"]), seen["texts"]
    assert seen["drawn"] <= 4 * 40, "at most 4 redraws a second"
    assert max(seen["heights"]) - min(seen["heights"]) <= 4, "nothing below it jumps"
    if not lab.extension:
        pytest.skip("the extension is not built: the live and the static form were there, the module was not")
    facts = page.evaluate(FACTS)
    assert [fact[0] for fact in facts["facts"]][:3] == ["TTA, first crossing", "Confirmed by 2", "Cost"]
    assert facts["earlier"] == 4 and facts["points"] == 30
    assert [word.split()[0] for word in facts["key"]] == ["data", "train", "eval"]
    assert "Rule: first evaluation with top1 >= 97" in facts["foot"]
    page.screenshot(path=SHOTS / "tta-light.png")

    command(page, "docmanager:save")
    page.wait_for_function("!window.jupyterapp.shell.currentWidget.context.model.dirty", timeout=PATIENCE)
    stored = nbformat.read(notebook, as_version=4)
    [output] = [output for output in stored.cells[2].outputs if output["output_type"] == "display_data"]
    assert "application/vnd.jupyter.widget-view+json" not in output["data"]
    assert "widgets" not in stored.metadata or not stored.metadata["widgets"]

    for session in json.loads(lab.call("GET", "api/sessions")[1]):
        assert lab.call("DELETE", f"api/sessions/{session['id']}")[0] == 204
    page.reload()
    page.locator(".wb-curve").first.wait_for(timeout=PATIENCE)
    assert page.evaluate(FACTS) == facts
    page.locator(".wb-curve svg").focus()
    page.keyboard.press("End")
    assert page.locator(".wb-c-read").inner_text().startswith("top1 98.")
    assert told == []
    themed(page, "Dark")
    page.screenshot(path=SHOTS / "tta-dark.png")
    themed(page, "Light")
    page.context.close()


@pytest.mark.slow
def test_c59_the_report_shows_the_same_facts_offline(
    lab: Lab, notebook: Path, offline: tuple[Any, Told], tmp_path: Path
) -> None:
    if not nbformat.read(notebook, as_version=4).cells[2].outputs:
        pytest.skip("nothing was saved: the test before has to pass first")
    page, told = offline
    page.goto(wb.report(notebook, tmp_path / "report.html").path.as_uri())
    page.wait_for_function("document.documentElement.dataset.ready === '1'")
    facts = page.evaluate(FACTS)
    assert facts["earlier"] == 4 and facts["points"] == 30
    plain = "".join(nbformat.read(notebook, as_version=4).cells[2].outputs[0]["data"]["text/plain"])
    assert f"reached at {facts['facts'][0][1]} (" in plain and f"confirmed by 2: at {facts['facts'][1][1]}" in plain
    page.screenshot(path=SHOTS / "tta-report.png")
    assert told.errors == [] and told.outside == []


@pytest.mark.slow
def test_c57_stop_ends_the_cell_at_its_next_evaluation(lab: Lab, browser: Any) -> None:
    notebook = nb.write(
        lab.folder / "stop.ipynb",
        [nb.code(SETUP, count=None), nb.code(LONG, count=None), nb.code("print('went on')", count=None)],
        kernelspec=SPEC,
    )
    page = lab.open(browser, notebook)
    page.evaluate(RUN)
    page.get_by_role("button", name="Stop long").click(timeout=PATIENCE)
    page.get_by_text("Stopped at step").first.wait_for(timeout=20_000)
    wait_idle(page)
    body = page.locator(".jp-Notebook").inner_text()
    assert "what was logged is kept in stopped" in body
    assert page.get_by_text("went on", exact=True).count() == 0, "Run All stops here"
    page.locator(".wb-curve").first.scroll_into_view_if_needed()
    page.screenshot(path=SHOTS / "tta-stopped.png")
    page.context.close()


def test_c59_the_page_of_report_is_offline_and_draws_everything(offline: tuple[Any, Told], tmp_path: Path) -> None:
    from tests.tta.test_report import recipe

    page, told = offline
    groups = [recipe("one_cycle", 1.0, environment={"host": "a"}), recipe("plain", 1.6, environment={"host": "b"})]
    page.goto(wb.tta.report(groups, tmp_path / "page.html").as_uri())
    page.wait_for_function("document.documentElement.dataset.ready === '1'")
    assert page.locator(".wb-curve").count() == 3
    assert page.get_by_role("heading").all_inner_texts() == [
        "Time to accuracy: one_cycle, plain", "one_cycle", "plain", "Comparison", "Sensitivity", "Environments",
    ]  # fmt: skip
    page.screenshot(path=SHOTS / "tta-page.png", full_page=True)
    assert told.errors == [] and told.outside == []
