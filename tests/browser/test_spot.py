"""What machines cost, in a report without a network: throughput, cost and value of a spot market, and of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import workbench as wb
from tests.browser.conftest import PATIENCE, Told
from tests.browser.readable import poor
from tests.notebook.report import notebooks as nb
from tests.training.test_watch import run_of
from workbench.notebook import display
from workbench.training import RandomTrace, simulate
from workbench.training.bill import Bill
from workbench.training.run import TrainRun

SHOTS = Path(__file__).parent / "screenshots"
#: labels of the pictures that lie over each other, or beyond their picture
_CROWDED = """() => [...document.querySelectorAll('.wb svg[aria-label]')].flatMap(svg => {
  const frame = svg.getBoundingClientRect();
  const boxes = [...svg.querySelectorAll('text')].map(text => [text.textContent, text.getBoundingClientRect()]);
  const beyond = ([, box]) => box.left < frame.left - 1 || box.right > frame.right + 1 || box.bottom > frame.bottom + 1;
  const over = ([, a], [, b]) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
    && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 3;
  return [
    ...boxes.filter(beyond).map(([text]) => text),
    ...boxes.flatMap((one, k) => boxes.slice(k + 1).filter(other => over(one, other)).map(other => [one[0], other[0]])),
  ];
})"""


def priced(run: TrainRun) -> TrainRun:
    """Return a run of priced machines, of which one was lost for a while, with its losses."""
    run.bill = Bill(0.91, 3.06)
    run.bill.staff(2)
    run.bill._machines, run.bill._passed = 7000.0, 3600.0
    run.bill.close()
    for batch, seconds in enumerate((0.0, 0.5, 1.0, 1.5, 3.0, 3.5)):
        run._note_loss(batch, 0, 2.0 / (1 + batch), seconds, 0, [run.batch_size])
    run._spent = 3.5
    return run


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("spot")
    shown = [
        simulate("BERT", trace=RandomTrace(), duration="24h", seed=1, compat=True),
        simulate("BERT", trace=RandomTrace(), nodes=48, duration="24h", seed=2, policy="checkpoint"),
        priced(run_of()),
    ]
    cells = [nb.code(outputs=[nb.display(display.render_hook(each))]) for each in shown]
    return Path(wb.report(nb.write(folder / "spot.ipynb", cells), folder / "report.html").path)


def test_costs_can_be_read_in_both_themes(report: Path, offline: tuple[Any, Told]) -> None:
    page, told = offline
    page.set_default_timeout(PATIENCE)
    page.goto(report.as_uri())
    page.wait_for_function("document.documentElement.dataset.ready === '1'")
    for words in ("samples/s", "$/h", "value"):
        assert page.locator(".wb svg text", has_text=words).count() >= 2
    assert page.get_by_text("$ for 1,000,000 samples").is_visible()
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        page.screenshot(path=SHOTS / f"spot-report-{theme}.png", full_page=True)
        assert poor(page, ".wb-summary, .wb-note, .wb svg text, .wb th, .wb td") == []
    assert page.evaluate(_CROWDED) == []
    assert told.errors == [] and told.outside == []
