"""The curve module in a plain page: a run as it grows, its projection, its figures, Stop, keys and pointer."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.browser.test_modules import Mount, get, mount, put

__all__ = ["mount"]

LIVE: dict[str, Any] = {
    "title": "digits-cnn seed 3: top1 >= 97", "status": "running", "running": True, "stopping": False, "now": 3.4,
    "series": [
        {"name": "digits-cnn/1", "x": [0.5, 1, 4.5], "y": [40, 90, 97.5], "role": "history"},
        {"name": "digits-cnn/3", "x": [1, 2, 3], "y": [50, None, 93.25], "lo": [44, None, 90], "hi": [56, None, 96],
         "labels": ["step 0", "step 1", "step 2"]},
    ],
    "x_label": "time on the dawnbench clock", "x_unit": "s", "x_log": False, "y_label": "top1", "target": 97,
    "band": None, "marks": [],
    "projection": {"known": True, "low": 4.0, "median": 4.5, "high": 5.5, "text": "4 s to 5.5 s, from 12 earlier runs"},
    "facts": [{"label": "Now", "value": "3.4 s", "note": "step 2 of 15", "level": ""}],
    "shares": [{"name": "train", "value": 3.0, "text": "3 s", "counted": True},
               {"name": "eval", "value": 1.0, "text": "1 s not counted", "counted": False}],
    "foot": "",
}  # fmt: skip


def live(**more: Any) -> dict[str, Any]:
    return {**copy.deepcopy(LIVE), **more}


def drawn(page: Any, **values: Any) -> None:
    """Change the state and wait for the drawing that follows."""
    before = int(page.locator(".wb-curve").get_attribute("data-drawn") or 0)
    put(page, **values)
    page.wait_for_function(f"Number(document.querySelector('.wb-curve').dataset.drawn) > {before}")


def bar_of(page: Any) -> tuple[float, float]:
    box = page.locator(".wb-c-bar").first
    left, width = float(box.get_attribute("x")), float(box.get_attribute("width"))
    return left, left + width


def test_c57_target_history_projection_and_spans(mount: Mount) -> None:
    page = mount("curve", live())
    assert page.locator(".wb-c-target").count() == 1 and page.locator(".wb-c-old").count() == 1
    assert page.locator("circle").count() == 2, "a missing value is no point"
    left, right = bar_of(page)
    middle = float(page.locator(".wb-c-middle").get_attribute("x1"))
    assert left < middle < right
    words = page.locator("svg text").all_text_contents()
    assert "4 s to 5.5 s, from 12 earlier runs" in words and "1 earlier run" in words
    assert "time on the dawnbench clock (s)" in words
    assert page.locator("dl dt").all_inner_texts() == ["Now"] and page.locator("dd").first.inner_text() == "3.4 s"
    widths = page.locator(".wb-c-shares i").evaluate_all("parts => parts.map(part => part.offsetWidth)")
    assert widths[0] == pytest.approx(3 * widths[1], abs=4)
    assert page.locator(".wb-c-key").inner_text().split("\n")[0].startswith("train 3 s")
    assert page.locator(".wb-c-shares i[data-out]").count() == 1


def test_c12_never_is_open_and_unknown_has_no_bar(mount: Mount) -> None:
    page = mount("curve", live())
    edge = float(page.locator(".wb-c-target").get_attribute("x2"))
    drawn(page, projection={"known": True, "low": 4.0, "median": 4.5, "high": None, "text": "4 s or never"})
    assert bar_of(page)[1] == pytest.approx(edge, abs=1)
    drawn(page, projection={"known": False, "low": None, "median": None, "high": None, "text": "cannot tell: x"})
    assert page.locator(".wb-c-bar").count() == 0
    assert page.get_by_text("cannot tell: x").is_visible()
    drawn(page, projection=None)
    assert page.locator(".wb-c-aim").count() == 0


def test_c57_many_changes_are_one_drawing_and_the_page_stays(mount: Mount) -> None:
    page = mount("curve", live())
    high = page.locator(".wb-curve").bounding_box()["height"]
    box = page.locator("dl > div").first.element_handle()
    page.evaluate("() => { for (let i = 0; i < 50; i += 1) { window.model.set('now', 3 + i / 50); } }")
    page.wait_for_timeout(100)
    assert page.locator(".wb-curve").get_attribute("data-drawn") == "1"
    drawn(page, facts=[{"label": "Now", "value": "3.9 s", "note": "step 3 of 15", "level": ""}])
    assert box.evaluate("one => one.isConnected && one.children[1].textContent") == "3.9 s"
    assert page.locator(".wb-curve").bounding_box()["height"] == high


def test_stop_is_asked_once_and_goes_with_the_end(mount: Mount) -> None:
    page = mount("curve", live())
    page.get_by_role("button", name="Stop digits-cnn seed 3").press("Enter")
    assert get(page, "stopping") is True and page.evaluate("window.model.saved") == 1
    assert page.get_by_role("button").is_disabled()
    assert page.get_by_role("status").first.inner_text() == "Stopping at the next evaluation."
    drawn(page, running=False, status="interrupted", projection=None)
    assert page.get_by_role("button", include_hidden=True).is_hidden()
    assert page.get_by_role("status").first.inner_text() == "interrupted"


def test_points_are_read_by_keys_and_pointer(mount: Mount) -> None:
    page = mount("curve", live())
    chart, read = page.locator("svg"), page.locator(".wb-c-read")
    chart.focus()
    page.keyboard.press("ArrowLeft")
    assert read.inner_text() == "top1 93.25 ± 2.8 at 3 s, step 2"
    page.keyboard.press("Home")
    assert read.inner_text() == "top1 50 ± 6 at 1 s, step 0"
    page.keyboard.press("Escape")
    assert read.inner_text() == ""
    place = page.locator("circle").last.bounding_box()
    page.mouse.move(place["x"], place["y"] + 40)
    assert read.inner_text().startswith("top1 93.25")
    assert chart.get_attribute("aria-label").startswith("top1 against time on the dawnbench clock, target 97")


def test_final_figures_marks_and_long_times(mount: Mount) -> None:
    facts = [{"label": "TTA, first crossing", "value": "1:02:03", "note": "epoch 15", "level": "good"},
             {"label": "Unstable", "value": "2 later", "note": "evaluations below", "level": "warning"}]  # fmt: skip
    page = mount("curve", live(
        running=False, projection=None, facts=facts, foot="Rule: <b>first</b>", marks=[{"x": 3723, "label": "1:02:03"}],
        series=[{"name": "a", "x": [1000, 3723, 7400], "y": [50, 97, 98]}],
    ))  # fmt: skip
    words = page.locator("svg text").all_text_contents()
    assert "1:00:00" in words and "time on the dawnbench clock (h:min:s)" in words and "1:02:03" in words
    assert page.locator(".wb-c-foot").inner_text() == "Rule: <b>first</b>"
    levels = page.locator("dl > div").evaluate_all("all => all.map(one => one.dataset.level)")
    assert levels == ["good", "warning"]


def test_empty_odd_and_long_states(mount: Mount) -> None:
    page = mount("curve", {})
    assert page.locator("svg").count() == 1
    page = mount("curve", live(series=[], projection={"known": False, "text": "cannot tell: no evaluation yet"}))
    labels = page.locator(".wb-curve").last.locator("svg text").all_text_contents()
    assert "0" in labels and "100" in labels, "the axis has room for what comes"
    page = mount("curve", live(series=[{"name": "a", "x": [0.001, 3e5], "y": [1, 2]}], x_log=True, target=None))
    assert "10 min" in page.locator(".wb-curve").last.locator("svg text").all_text_contents()
    many = {"name": "a", "x": list(range(10_000)), "y": [i % 7 for i in range(10_000)]}
    page = mount("curve", live(series=[many], running=False))
    points = page.locator(".wb-curve").last.locator("polyline").first.get_attribute("points").split()
    assert len(points) <= 2000


def test_nothing_is_left_behind(mount: Mount) -> None:
    page = mount("curve", live())
    assert page.evaluate("window.model.listeners()") > 0
    put(page, now=4.0)
    page.evaluate("window.clean()")
    assert page.evaluate("window.model.listeners()") == 0
    assert page.locator(".wb-curve").count() == 0


@pytest.mark.parametrize("name", ["title", "status", "y_label", "foot"])
def test_text_is_never_markup(mount: Mount, name: str) -> None:
    page = mount("curve", live(**{name: "<img src=x onerror=alert(1)>"}))
    assert page.locator(".wb-curve img").count() == 0
