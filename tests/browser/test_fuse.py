"""`%%fuse --explain` in a real JupyterLab: shown, saved, reopened without a kernel, and in the offline report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest

import workbench as wb
from tests.browser.conftest import PATIENCE, Lab, Told, command, themed, wait_idle
from tests.browser.readable import poor
from tests.browser.test_lab import SHOTS, SPEC
from tests.notebook.report import notebooks as nb

SETUP = """%load_ext workbench
import numpy as np, pandas as pd
random = np.random.default_rng(0)
df = pd.DataFrame({name: random.uniform(0, 1_000_000, 100_000) for name in ("people", "adults", "robberies")})"""
CELL = """%%fuse --explain --compare numpy,pandas
big = df[df.people > 500_000]; ci = (big.people + 2*big.adults - 2000*big.robberies) / 1e5
ci = ci.mask(ci >= 0.02, 0.032); ci.mask(ci < 0.01, 0.005).sum()"""
RUN = "() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }"
TEXT = ".wb-summary, .wb-note, .wb svg text, .wb th, .wb td, .wb summary"
#: what a reader sees of a plan
SEEN = """() => {
  const root = [...document.querySelectorAll('.wb')].find(each => each.querySelector('svg'));
  return {
    pictures: [...root.querySelectorAll('svg')].map(each => each.getAttribute('aria-label')),
    words: [...root.querySelectorAll('svg text')].map(each => each.textContent),
    folded: [...root.querySelectorAll('details > summary')].map(each => each.textContent.replace(/[0-9,]+/, 'n')),
    wide: Math.max(...[...root.querySelectorAll('svg')].map(each => each.getBoundingClientRect().right))
      - root.getBoundingClientRect().right,
  };
}"""


@pytest.fixture(scope="module")
def notebook(lab: Lab) -> Path:
    """Return a notebook with a fused cell."""
    cells = [nb.code(source, count=None) for source in (SETUP, CELL)]
    return nb.write(lab.folder / "fuse.ipynb", cells, kernelspec=SPEC)


#: which of the two pictures of the work is open
OPEN = """() => [...document.querySelectorAll('.wb details > summary')]
  .filter(each => ['Before', 'After'].includes(each.textContent)).map(each => each.parentElement.open)"""


def switched(page: Any) -> None:
    """Turn the switch from after to before and back."""
    assert page.evaluate(OPEN) == [False, True]
    for fold, wanted in (("Before", [True, False]), ("After", [False, True])):
        page.locator(".wb details > summary", has_text=fold).first.click()
        assert page.evaluate(OPEN) == wanted
        assert page.locator(f".wb svg[aria-label^='{fold}:']").first.is_visible()


def checked(seen: dict[str, Any]) -> None:
    assert seen["pictures"][0].startswith("Before: ") and seen["pictures"][1].startswith("After: 1 kernel, ")
    assert seen["pictures"][2].startswith("Median times: workbench ")
    assert "people" in seen["words"] and "greater 500000" in seen["words"]
    assert any(word.startswith("k0_") and " · reduce · " in word for word in seen["words"])
    assert any(word.startswith("loop IR (n line") for word in seen["folded"])
    assert seen["wide"] <= 1


@pytest.mark.slow
def test_explained_in_the_lab_and_the_same_without_a_kernel(lab: Lab, browser: Any, notebook: Path) -> None:
    SHOTS.mkdir(exist_ok=True)
    page = lab.open(browser, notebook)
    page.evaluate(RUN)
    page.locator(".wb svg[aria-label^='Median times']").wait_for(timeout=PATIENCE)
    wait_idle(page)
    seen = page.evaluate(SEEN)
    checked(seen)
    switched(page)
    page.locator(".wb svg:visible").first.scroll_into_view_if_needed()
    page.screenshot(path=SHOTS / "fuse-light.png")
    assert poor(page, TEXT) == []
    command(page, "docmanager:save")
    page.wait_for_function("!window.jupyterapp.shell.currentWidget.context.model.dirty", timeout=PATIENCE)
    for session in json.loads(lab.call("GET", "api/sessions")[1]):
        assert lab.call("DELETE", f"api/sessions/{session['id']}")[0] == 204
    page.reload()
    page.locator(".wb svg[aria-label^='Median times']").wait_for(timeout=PATIENCE)
    again = page.evaluate(SEEN)
    assert again["pictures"] == seen["pictures"] and again["words"] == seen["words"]
    switched(page)
    themed(page, "Dark")
    page.locator(".wb svg:visible").first.scroll_into_view_if_needed()
    page.screenshot(path=SHOTS / "fuse-dark.png")
    assert poor(page, TEXT) == []
    themed(page, "Light")
    page.context.close()


@pytest.mark.slow
def test_the_report_shows_it_offline(lab: Lab, notebook: Path, offline: tuple[Any, Told], tmp_path: Path) -> None:
    stored = nbformat.read(notebook, as_version=4)
    if not stored.cells[1].outputs:
        pytest.skip("nothing was saved: the test before has to pass first")
    page, told = offline
    page.goto(wb.report(notebook, tmp_path / "report.html").path.as_uri())
    page.wait_for_function("document.documentElement.dataset.ready === '1'")
    checked(page.evaluate(SEEN))
    switched(page)
    page.screenshot(path=SHOTS / "fuse-report.png", full_page=True)
    for theme in ("dark", "light"):
        page.emulate_media(color_scheme=theme)
        assert poor(page, TEXT) == []
    assert told.errors == [] and told.outside == []
