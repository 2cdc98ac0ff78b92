"""A report in a browser without a network: nothing is asked for, nothing complains, everything plays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest

import workbench as wb
from tests.browser.counted import READ_FRAME, write_counted
from tests.notebook.report import notebooks as nb

SHOTS = Path(__file__).parent / "screenshots"


@pytest.fixture
def report(tmp_path: Path) -> Path:
    """Return a report with two players, two plots, and outputs that would like to do more than they may."""
    clip = write_counted(tmp_path / "c.mp4").read_bytes()
    pair = f'<p>1 event</p><div data-wb-view="v0">{nb.video(clip)}</div><div data-wb-view="v1">-</div>'
    lone = f"<figure>{nb.video(clip, label='red #2')}<figcaption>second</figcaption></figure>"
    bad = (
        "<script>document.title = 'taken'; fetch('https://example.org')</script><b onclick='x()'>bold</b>"
        "<img src='https://example.org/a.png'><iframe src='https://example.org'></iframe>"
        "<link rel='stylesheet' href='https://example.org/a.css'>"
        "<style>b { background: url(//example.org/b.png) }</style>"
        "<!--><script>document.title = 'taken'</script>-->"
    )
    scatter = {"data": [{"type": "scatter", "y": [1, 3, 2]}], "layout": {"height": 300}}
    bars = {"data": [{"type": "bar", "x": ["a"], "y": [1]}], "layout": {"height": 300}}
    cells = [
        nb.text("# Report\n\n![x](https://example.org/m.png) [link](https://example.org)"),
        nb.code(nb.QUERY, [nb.ours(pair, [nb.player(), nb.timeline()])], 1),
        nb.code("red.clip(1)", [nb.ours(lone, [nb.player(source="", hits=[])])], 2),
        nb.code("px", [nb.display({nb.PLOTLY: scatter}), nb.display({nb.PLOTLY: bars})], 3),
        nb.code("html", [nb.display({"text/html": bad})], 4),
    ]
    return wb.report(nb.write(tmp_path / "n.ipynb", cells)).path


def test_offline_everything_works(report: Path, offline: tuple[Any, Any]) -> None:
    page, told = offline
    page.goto(report.as_uri())
    page.wait_for_selector("html[data-ready='1']", timeout=30_000)
    page.wait_for_function(
        "[...document.querySelectorAll('video')].every(video => video.readyState === 4)", timeout=30_000
    )
    assert page.locator("video").count() == 2
    assert page.locator(".js-plotly-plot .main-svg").count() >= 2
    assert page.locator(".wb-timeline svg .wb-bar").count() == 2

    line = page.locator(".wb-timeline svg")
    line.scroll_into_view_if_needed()
    box = line.bounding_box()
    page.mouse.click(box["x"] + 110 + (box["width"] - 111) * 0.45, box["y"] + 30)
    page.wait_for_selector(".wb-player[data-frame='45']", timeout=10_000)
    root = page.locator(".wb-player").first
    assert root.evaluate(READ_FRAME) == 45
    assert root.get_attribute("data-boxes") == "1"
    assert "00:01.80 of 00:04 | car 1" in page.locator(".wb-timeline-status").inner_text()
    assert page.locator(".wb-player").nth(1).get_attribute("data-frame") == "0"  # another result's clock

    assert page.title() == "n"
    assert told.outside == []
    assert told.errors == []
    SHOTS.mkdir(exist_ok=True)
    page.evaluate("window.scrollTo(0, 0)")
    page.screenshot(path=SHOTS / "report-light.png", full_page=True)
    page.emulate_media(color_scheme="dark")
    page.screenshot(path=SHOTS / "report-dark.png", full_page=True)


def test_without_scripts_the_clips_still_play(report: Path, browser: Any) -> None:
    context = browser.new_context(java_script_enabled=False, offline=True)
    page = context.new_page()
    page.goto(report.as_uri())
    assert page.locator("video[controls]").count() == 2
    assert page.get_by_text("1 event").is_visible()
    context.close()


def test_trusted_scripts_run(tmp_path: Path, offline: tuple[Any, Any]) -> None:
    page, told = offline
    html = "<p id='x'>off</p><script>document.getElementById('x').textContent = 'on'</script>"
    path = nb.write(tmp_path / "n.ipynb", [nb.code("1", [nb.display({"text/html": html})])])
    for trust, text in ((False, "off"), (True, "on")):
        page.goto(wb.report(path, trust_outputs=trust).path.as_uri())
        page.wait_for_selector("html[data-ready='1']")
        assert page.locator("#x").inner_text() == text
    assert told.errors == []


def every(selector: str) -> str:
    """Return the expression for all elements of a selector."""
    return f"[...document.querySelectorAll('{selector}')]"


def test_code_and_outputs_begin_at_one_line_and_narrow_pages_hold_them(
    tmp_path: Path, offline: tuple[Any, Any]
) -> None:
    page, _ = offline
    html = {"text/html": "<p>x</p>"}
    numbered = nbformat.v4.new_output("execute_result", html, execution_count=123)
    cells = [nb.code("1", [nb.display(html)], 4), nb.code("2", [numbered], 123), nb.code("wide = " + "1 + " * 60 + "1")]
    page.goto(wb.report(nb.write(tmp_path / "n.ipynb", cells)).path.as_uri())
    found = page.evaluate(
        f"{every('.jp-InputArea-editor, .jp-OutputArea-output')}.map(e => e.getBoundingClientRect().x)"
    )
    assert len(found) == 5
    assert max(found) - min(found) < 1
    cut = page.evaluate(f"{every('.jp-InputPrompt, .jp-OutputPrompt')}.map(e => e.scrollWidth - e.clientWidth)")
    assert max(cut) <= 0, "no number is cut"
    page.set_viewport_size({"width": 600, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 600
