"""The frame to draw a region on: what is seen of the corners, the cross and the ring of what has the focus."""

from __future__ import annotations

from typing import Any

from tests.browser.test_modules import SETUP, STATIC

FRAME = "data:image/gif;base64,R0lGODlhAQABAIAAAAUEBAAAACwAAAAAAQABAAACAkQBADs="


def shown(page: Any, **more: Any) -> Any:
    """Show the module, and return the frame."""
    page.goto("about:blank")
    state = {"asset": FRAME, "width": 640, "height": 480, "name": "yard", "points": [], "code": "", **more}
    page.evaluate(SETUP, [(STATIC / "region.js").read_text("utf-8"), state, 0])
    return page.get_by_role("application")


def test_how_to_draw_is_said_for_the_mouse_and_for_keys(offline: tuple[Any, Any]) -> None:
    page, told = offline
    shown(page)
    first = page.get_by_role("status").inner_text()
    assert first.startswith(
        "Click to set corners, drag one to move it: two are a line, more a region. Arrows move the "
    )
    assert told.errors == []


def test_the_cross_is_for_keys_and_what_was_clicked_stays_said(offline: tuple[Any, Any]) -> None:
    page, told = offline
    frame, cross = shown(page), page.locator(".wb-region-cross")
    box = frame.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 4, box["y"] + box["height"] / 4)
    assert not cross.is_visible()
    assert page.get_by_role("status").inner_text() == "Corner at 160, 120. 1 corner."
    assert page.locator(".wb-region-corner[data-chosen]").count() == 0
    page.keyboard.press("ArrowRight")
    assert cross.is_visible()
    page.keyboard.press("]")  # a corner that is chosen is seen, with no cross over it
    assert page.locator(".wb-region-corner[data-chosen]").count() == 1
    assert [path.get_attribute("d") for path in cross.locator("path").all()] == ["", ""]
    page.keyboard.press("Escape")
    assert cross.is_visible()
    page.get_by_label("Name").focus()
    assert not cross.is_visible()
    page.keyboard.press("Shift+Tab")
    assert cross.is_visible()
    assert told.errors == []


def test_the_ring_of_the_frame_is_not_cut_off(offline: tuple[Any, Any]) -> None:
    page, _ = offline
    frame = shown(page)
    page.keyboard.press("Tab")
    ring = frame.evaluate("e => [getComputedStyle(e).outlineWidth, getComputedStyle(e).outlineOffset].map(parseFloat)")
    assert ring[0] >= 2
    outer, inner = page.locator(".wb-region").bounding_box(), frame.bounding_box()
    assert inner["x"] - outer["x"] >= sum(ring)
    assert inner["y"] - outer["y"] >= sum(ring)
