"""What all ES modules hold to: focus that is seen, names that are read out, narrow pages, nothing left behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser.test_curve import live
from tests.browser.test_modules import GANTT, RUN, Mount, clip, mount, region
from tests.browser.test_ranked import state as ranked
from tests.notebook.report.notebooks import player, timeline

__all__ = ["mount"]

STATIC = Path(__file__).parents[2] / "workbench" / "notebook" / "static"

#: the element that has the focus: its tag, whether a line around it tells so, and what it is called
FOCUS = """() => {
  const it = document.activeElement;
  if (it === document.body) return null;
  const style = getComputedStyle(it);
  const line = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 1;
  const words = it.getAttribute('aria-label') || it.labels?.[0]?.textContent || it.title || it.textContent;
  return [it.tagName.toLowerCase(), it.matches(':focus-visible') && line, (words || '').trim()];
}"""
#: counts what listens at the page itself, where nothing of a removed element may stay
HOLD = """() => {
  window.held = new Set();
  for (const place of [window, document]) {
    const [add, remove] = [place.addEventListener, place.removeEventListener];
    place.addEventListener = function (name, tell, ...rest) { window.held.add(tell); add.call(place, name, tell, ...rest); };
    place.removeEventListener = function (name, tell, ...rest) { window.held.delete(tell); remove.call(place, name, tell, ...rest); };
  }
}"""  # noqa: E501


STATES: dict[str, Callable[[], dict[str, Any]]] = {
    "curve": live,
    "gantt": lambda: dict(GANTT),
    "player": lambda: player()["state"],
    "ranked": lambda: ranked(12),
    "region": region,
    "run": lambda: dict(RUN),
    "timeline": lambda: timeline()["state"],
}
MODULES = sorted(STATES)


def state_of(module: str, tmp_path: Path) -> dict[str, Any]:
    """Return a state with something in it; what can be played is written to a folder."""
    found = STATES[module]()
    return found | {"asset": clip(tmp_path)} if module == "player" else found


def test_these_are_all_modules() -> None:
    assert sorted(path.stem for path in STATIC.glob("*.js")) == MODULES


@pytest.mark.parametrize("module", MODULES)
def test_n38_what_the_tab_key_reaches_is_seen_and_named(mount: Mount, module: str, tmp_path: Path) -> None:
    page = mount(module, state_of(module, tmp_path))
    reached = []
    for _ in range(30):
        page.keyboard.press("Tab")
        found = page.evaluate(FOCUS)
        if found is None or found in reached:
            break
        reached.append(found)
    assert reached, "nothing in it is reached by the keyboard"
    for tag, seen, name in reached:
        assert seen and name, (tag, seen, name)


@pytest.mark.parametrize("module", MODULES)
def test_n39_nothing_is_left_behind(mount: Mount, offline: tuple[Any, Any], module: str, tmp_path: Path) -> None:
    offline[0].evaluate(HOLD)
    page = mount(module, state_of(module, tmp_path))
    assert page.evaluate("window.model.listeners()") > 0
    page.evaluate("window.clean()")
    left = page.evaluate("[window.model.listeners(), window.held.size, document.body.innerText.trim()]")
    assert left == [0, 0, ""]
    # one blob is that of the module's own source
    assert page.evaluate("window.blobs.size") <= 1


@pytest.mark.parametrize("module", MODULES)
def test_a_narrow_page_holds_it(mount: Mount, offline: tuple[Any, Any], module: str, tmp_path: Path) -> None:
    offline[0].set_viewport_size({"width": 340, "height": 700})
    page = mount(module, state_of(module, tmp_path))
    assert page.evaluate("document.documentElement.scrollWidth") <= 340


def test_the_controls_of_a_narrow_player_can_be_used(mount: Mount, offline: tuple[Any, Any], tmp_path: Path) -> None:
    offline[0].set_viewport_size({"width": 320, "height": 700})
    page = mount("player", state_of("player", tmp_path))
    assert page.locator(".wb-player-track").bounding_box()["width"] >= 120
    line = page.locator(".wb-player button").first.bounding_box()["height"]
    assert page.locator(".wb-player-clock").bounding_box()["height"] <= line, "the clock stands on one line"


def test_names_beside_a_narrow_timeline_end_before_its_bars(mount: Mount, offline: tuple[Any, Any]) -> None:
    offline[0].set_viewport_size({"width": 320, "height": 700})
    name = "the gate in the north.mp4"
    page = mount("timeline", timeline(lanes=[{"id": "0", "label": name}])["state"])
    label, ground = page.locator(".wb-timeline text", has_text="\u2026"), page.locator(".wb-ground")
    box = label.bounding_box()
    assert box["x"] + box["width"] <= ground.bounding_box()["x"]
    assert label.locator("title").text_content() == name
