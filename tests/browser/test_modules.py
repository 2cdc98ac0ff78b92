"""The ES modules in a plain page: what they draw, their keys, and that they leave nothing behind."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser.counted import READ_FRAME, write_counted
from tests.notebook.report.notebooks import player, timeline

STATIC = Path(__file__).parents[2] / "workbench" / "notebook" / "static"

SETUP = """async ([source, state, offset]) => {
  const kept = new Map();
  const model = {
    saved: 0,
    sent: [],
    state,
    get: name => state[name],
    set: (name, value) => {
      if (!Object.is(state[name], value)) {
        state[name] = value;
        [...(kept.get('change:' + name) || [])].forEach(tell => tell());
      }
    },
    on: (name, tell) => kept.set(name, (kept.get(name) || new Set()).add(tell)),
    off: (name, tell) => kept.get(name)?.delete(tell),
    save_changes: () => { model.saved += 1; },
    send: content => { model.sent.push(content); },
    tell: (name, value) => [...(kept.get(name) || [])].forEach(tell => tell(value)),
    listeners: () => [...kept.values()].reduce((sum, set) => sum + set.size, 0)
  };
  const [make, revoke] = [URL.createObjectURL.bind(URL), URL.revokeObjectURL.bind(URL)];
  window.blobs = new Set();
  URL.createObjectURL = blob => { const url = make(blob); window.blobs.add(url); return url; };
  URL.revokeObjectURL = url => { window.blobs.delete(url); revoke(url); };
  const module = (await import(make(new Blob([source], { type: 'text/javascript' })))).default;
  const el = document.body.appendChild(document.createElement('div'));
  window.model = model;
  window.clean = module.render({ model, el });
}"""

Mount = Callable[..., Any]


@pytest.fixture
def mount(offline: tuple[Any, Any]) -> Mount:
    """Return a function that shows a module with a state and returns the page."""
    page, told = offline
    page.goto("about:blank")

    def show(module: str, state: dict[str, Any]) -> Any:
        page.evaluate(SETUP, [(STATIC / f"{module}.js").read_text("utf-8"), state, 0])
        return page

    yield show
    assert told.errors == []
    assert told.outside == []


def get(page: Any, name: str) -> Any:
    return page.evaluate(f"window.model.get({json.dumps(name)})")


def put(page: Any, **values: Any) -> None:
    page.evaluate("values => Object.entries(values).forEach(pair => window.model.set(...pair))", values)


def clip(tmp_path: Path) -> str:
    return f"data:video/mp4;base64,{base64.b64encode(write_counted(tmp_path / 'c.mp4').read_bytes()).decode()}"


RUN = {
    "run_id": "a" * 32, "title": "red cars", "state": "running", "done": 412, "total": 900, "unit": "frames",
    "rate": 61.44, "eta_s": 83.4, "stage": "detect", "workers": 2, "elapsed": 7.0, "message": "", "stopping": False,
}  # fmt: skip


def test_run_says_how_far_it_is(mount: Mount) -> None:
    page = mount("run", dict(RUN))
    text = page.locator(".wb-run-text")
    assert text.inner_text() == "412 of 900 frames | 45 % | 61.4 frames/s | 1:23 min left | detect | 2 workers"
    put(page, done=899.9)
    assert "99 %" in text.inner_text()
    put(page, total=None, eta_s=None, done=1532)
    assert text.inner_text().startswith("1,532 frames | 61.4 frames/s | 7 s")
    put(page, state="finished", message="1 worker lost, 2 tasks redone")
    assert text.inner_text().startswith("finished | ")
    assert page.get_by_role("status").inner_text() == "1 worker lost, 2 tasks redone"
    assert page.get_by_role("button", include_hidden=True).is_hidden()


def test_stop_asks_once_and_says_what_comes(mount: Mount) -> None:
    page = mount("run", dict(RUN))
    page.get_by_role("button", name="Stop red cars").press("Enter")
    assert get(page, "stopping") is True
    assert page.evaluate("window.model.saved") == 1
    assert page.get_by_role("button").is_disabled()
    assert page.get_by_role("status").inner_text() == "Stopping after this batch."


def test_text_is_never_markup(mount: Mount) -> None:
    bad = "<img src=x onerror=alert(1)>"
    page = mount("run", {**RUN, "title": bad, "message": bad, "stage": bad})
    assert page.locator(".wb-run img").count() == 0
    assert bad in page.locator(".wb-run").inner_text()


def test_n38_timeline_moves_by_click_and_keys(mount: Mount) -> None:
    page = mount("timeline", timeline(duration=8.0)["state"])
    line = page.get_by_role("slider")
    box = line.bounding_box()
    left = 110
    page.mouse.click(box["x"] + left + (box["width"] - left - 1) * 5 / 8, box["y"] + 30)
    assert get(page, "time") == pytest.approx(5.0, abs=0.01)
    assert get(page, "selected") is None
    line.press("Home")
    assert get(page, "time") == 0
    for key, time in (
        ("]", 1.0),
        ("]", 3.0),
        ("]", 3.0),
        ("[", 1.0),
        ("End", 8.0),
        ("ArrowLeft", 7.92),
        ("Shift+ArrowLeft", 7.12),
    ):
        line.press(key)
        assert get(page, "time") == pytest.approx(time), key
    assert line.get_attribute("aria-valuenow") == "7.12"
    put(page, time=1.5)
    assert line.get_attribute("aria-valuetext") == "00:01.50 of 00:08, car 1"
    assert page.locator(".wb-bar[data-on]").count() == 1


def test_timeline_selects_a_bar_or_a_stretch(mount: Mount) -> None:
    page = mount("timeline", timeline()["state"])
    page.locator(".wb-bar").nth(1).click()
    assert get(page, "selected") == [3.0, 3.5]
    assert 3.0 <= get(page, "time") < 3.5
    box = page.get_by_role("slider").bounding_box()
    x = [box["x"] + 110 + (box["width"] - 111) * at / 4 for at in (1.0, 2.5)]
    page.mouse.move(x[1], box["y"] + 30)
    page.mouse.down()
    page.mouse.move(x[0], box["y"] + 30, steps=4)
    page.mouse.up()
    assert get(page, "selected") == pytest.approx([1.0, 2.5], abs=0.02)
    assert get(page, "time") == pytest.approx(1.0, abs=0.02)
    page.get_by_role("slider").press("Escape")
    assert get(page, "selected") is None


def test_timeline_shows_what_was_searched_and_skipped(mount: Mount) -> None:
    page = mount("timeline", timeline(searched=[[0, 2]], skipped=[[2, 3]])["state"])
    assert page.locator(".wb-searched").count() == 1
    assert page.locator(".wb-skipped").get_attribute("fill").startswith("url(#wb-hatch-")
    put(page, searched=[[0, 2], [3, 4]], bars=[])
    assert page.locator(".wb-searched").count() == 2
    assert page.locator(".wb-bar").count() == 0


@pytest.mark.parametrize("state", [{"lanes": [], "bars": [], "duration": 0, "searched": [], "skipped": []}, {}])
def test_an_empty_timeline_is_drawn(mount: Mount, state: dict[str, Any]) -> None:
    page = mount("timeline", {"selected": None, "time": 0, **state})
    assert page.get_by_role("slider").is_visible()


def settle(page: Any, frame: int) -> None:
    page.wait_for_selector(f".wb-player[data-frame='{frame}']", timeout=30_000)


def test_player_shows_the_frame_that_it_names(mount: Mount, tmp_path: Path) -> None:
    state = player(asset=clip(tmp_path))["state"]
    page = mount("player", state)
    root = page.locator(".wb-player")
    page.wait_for_function("document.querySelector('video').readyState >= 2")
    for time, frame in ((1.0, 25), (3.96, 99), (2.02, 50), (0.0, 0), (0.039, 0), (0.0401, 1)):
        put(page, time=time)
        settle(page, frame)
        assert root.evaluate(READ_FRAME) == frame, time
        assert root.get_attribute("data-boxes") == "1"


def test_n38_player_keys(mount: Mount, tmp_path: Path) -> None:
    hits = [{"start": 1.0, "end": 2.0, "label": "a"}, {"start": 3.0, "end": 3.2, "label": "b"}]
    page = mount("player", player(asset=clip(tmp_path), hits=hits)["state"])
    page.wait_for_function("document.querySelector('video').readyState >= 2")
    root = page.locator(".wb-player")
    root.focus()
    for key, frame in (
        ("]", 25),
        ("]", 75),
        ("]", 75),
        ("ArrowLeft", 74),
        ("[", 25),
        ("ArrowRight", 26),
        ("ArrowRight", 27),
    ):
        page.keyboard.press(key)
        settle(page, frame)
        assert root.evaluate(READ_FRAME) == frame, key
    for _ in range(5):  # faster than a seek ends
        page.keyboard.press("ArrowRight")
    settle(page, 32)
    assert get(page, "time") == pytest.approx(32 / 25)
    page.evaluate("document.querySelector('video').loop = true")  # its end must not come before the second press
    page.keyboard.press(" ")
    page.wait_for_function("Number(document.querySelector('.wb-player').dataset.frame) > 40")
    page.keyboard.press(" ")
    page.wait_for_function("document.querySelector('video').paused")
    page.get_by_role("button", name="Play (space)").wait_for()
    assert page.locator(".wb-player-hits span").count() == 2


def test_player_boxes_are_those_of_the_source_second(mount: Mount, tmp_path: Path) -> None:
    frames = [[10 + i / 25, [[float(i), 20, i + 40.0, 60, 7, "car", 0.5]] if i != 30 else []] for i in range(20, 60)]
    page = mount("player", player(asset=clip(tmp_path), offset=10.0, frames=frames, hits=[], regions=[
        {"name": "yard", "points": [[10, 100], [60, 100], [60, 130]]}])["state"])  # fmt: skip
    page.wait_for_function("document.querySelector('video').readyState >= 2")
    root = page.locator(".wb-player")
    for frame, count in ((19, 0), (20, 1), (30, 0), (31, 1), (59, 1), (70, 0)):
        put(page, time=10 + frame / 25)
        settle(page, frame)
        assert root.get_attribute("data-boxes") == str(count), frame
    put(page, time=10 + 45 / 25)
    settle(page, 45)
    edge = page.evaluate(LEFT_EDGE, 40)
    assert edge == pytest.approx(45, abs=1.5)
    assert "11.80 s | car #7 0.50" in root.inner_text()
    put(page, time=50.0)
    assert "00:50.00 is not in this clip (00:10.00 to 00:14.00)." in root.inner_text()
    assert root.get_attribute("data-frame") == "45"


#: the leftmost source pixel that the overlay paints in a row of the source
LEFT_EDGE = """row => {
  const canvas = document.querySelector('.wb-player canvas');
  const [sx, sy] = [canvas.width / 320, canvas.height / 180];
  const data = canvas.getContext('2d').getImageData(0, Math.round(row * sy), canvas.width, 1).data;
  for (let x = 0; x < canvas.width; x++) if (data[4 * x + 3] > 200) return x / sx;
  return -1;
}"""


def test_player_opens_at_its_time_with_one_line_below(mount: Mount, tmp_path: Path) -> None:
    hits = [{"start": 11.0, "end": 12.0, "label": "event 0"}]
    frames = [[10 + i / 25, [[10.0, 20.0, 50.0, 60.0, 7, "car", 0.5]]] for i in range(25, 50)]
    state = player(asset=clip(tmp_path), offset=10.0, time=11.0, hits=hits, frames=frames, regions=[])["state"]
    page = mount("player", state)
    settle(page, 25)
    root, line = page.locator(".wb-player"), page.locator(".wb-player-text")
    assert root.get_attribute("data-boxes") == "1"
    assert line.inner_text() == "event 0 | 11.00 s | car #7 0.50"
    height = line.bounding_box()["height"]
    put(page, time=10.0)
    settle(page, 0)
    assert line.inner_text() == "10.00 s"
    assert line.bounding_box()["height"] == height


def test_a_clip_of_which_nothing_is_known_has_no_line(mount: Mount, tmp_path: Path) -> None:
    page = mount("player", player(asset=clip(tmp_path), hits=[], frames=[], regions=[])["state"])
    settle(page, 0)
    assert page.locator(".wb-player-text").is_hidden()


def test_n39_player_leaves_nothing_behind(mount: Mount, tmp_path: Path) -> None:
    page = mount("player", player(asset=clip(tmp_path))["state"])
    page.wait_for_function("document.querySelector('video').readyState >= 2")
    assert page.evaluate("[window.blobs.size, window.model.listeners() > 0]") == [1, True]
    page.evaluate("window.clean()")
    assert page.evaluate("[window.blobs.size, window.model.listeners(), document.body.innerText.trim()]") == [0, 0, ""]


def test_player_without_a_clip_says_so(mount: Mount) -> None:
    page = mount("player", player(asset="", source="cam1.mp4")["state"])
    assert "No clip is stored here. cam1.mp4" in page.locator(".wb-player").inner_text()


def test_a_clip_that_does_not_play_says_so(mount: Mount) -> None:
    page = mount("player", player(asset="data:video/mp4;base64,AAAA", source="cam1.mp4")["state"])
    page.get_by_text("This clip cannot be played here. cam1.mp4").wait_for(timeout=5000)


@pytest.mark.parametrize("module", ["gantt", "player", "ranked", "run", "timeline"])
def test_modules_import_nothing_and_write_no_markup(module: str) -> None:
    source = (STATIC / f"{module}.js").read_text("utf-8")
    for word in (
        "import ",
        "import(",
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "eval(",
        "Function(",
        "http:",
        "https:",
    ):
        assert word not in source.replace("http://www.w3.org/2000/svg", ""), word


GANTT = {
    "lanes": [{"id": 0, "label": "worker 0 (stage 0)"}, {"id": 1, "label": "worker 1 (stage 1)"}],
    "kinds": [
        {"kind": "forward", "role": "compute", "label": "forward", "hatch": False, "part": ""},
        {"kind": "backward", "role": "compute", "label": "backward", "hatch": True, "part": ""},
        {"kind": "send", "role": "transfer", "label": "send", "hatch": False, "part": "upper"},
        {"kind": "idle", "role": "idle", "label": "idle", "hatch": True, "part": ""},
    ],
    "bars": [
        {"lane": 0, "start": 0.0, "end": 2.0, "kind": "forward", "label": "forward 0"},
        {"lane": 0, "start": 2.0, "end": 2.5, "kind": "send", "label": "send 0"},
        {"lane": 0, "start": 2.5, "end": 6.0, "kind": "idle", "label": "idle"},
        {"lane": 1, "start": 2.5, "end": 4.0, "kind": "forward", "label": "forward 0 there"},
        {"lane": 1, "start": 4.0, "end": 6.0, "kind": "backward", "label": "backward 0 there"},
    ],
    "unit": "ms",
}  # fmt: skip


def test_gantt_draws_kinds_that_differ_and_answers_to_keys(mount: Mount) -> None:
    page = mount("gantt", {**GANTT})
    fills = {
        kind: page.locator(f'.wb-gantt rect[data-kind="{kind}"]').first.evaluate("bar => bar.style.fill")
        for kind in ("forward", "backward", "send", "idle")
    }
    assert len(set(fills.values())) == 4
    assert "url(" in fills["backward"] and "url(" in fills["idle"] and "url(" not in fills["forward"]
    heights = {
        kind: float(page.locator(f'rect[data-kind="{kind}"]').first.get_attribute("height"))
        for kind in ("forward", "send")
    }
    assert heights["send"] == heights["forward"] / 2
    chart = page.get_by_role("application")
    assert chart.get_attribute("aria-label").startswith("Gantt chart: 5 bars on 2 lanes")
    status = page.locator(".wb-gantt-status")
    chart.press("ArrowRight")
    assert status.inner_text() == "worker 0 (stage 0) | forward 0 | from 0 ms"
    chart.press("End")
    assert "idle" in status.inner_text()
    chart.press("ArrowDown")
    assert "worker 1 (stage 1) | forward 0 there" in status.inner_text()
    put(page, bars=GANTT["bars"][:1])
    assert page.locator(".wb-gantt rect[data-kind]").count() == 1
    page.evaluate("window.clean()")
    assert page.evaluate("[window.model.listeners(), document.body.innerText.trim()]") == [0, ""]


#: whether a key is left to the page
PRESS = """key => document.querySelector('.wb-gantt svg').dispatchEvent(new KeyboardEvent('keydown', {
  key: key.split('+').pop(), ctrlKey: key.startsWith('Ctrl+'), bubbles: true, cancelable: true }))"""


def test_gantt_keys_go_through_a_lane_and_stop_at_its_ends(mount: Mount) -> None:
    page = mount("gantt", {**GANTT})
    chart, status, frame = page.get_by_role("application"), page.locator(".wb-gantt-status"), page.locator(".wb-on")
    assert status.inner_text() == "6 ms shown" and status.get_attribute("aria-live") == "off"
    for key, said in (
        ("ArrowLeft", "forward 0"), ("ArrowRight", "send 0"), ("ArrowRight", "idle"), ("ArrowRight", "idle"),
        ("Home", "forward 0"), ("ArrowUp", "forward 0"), ("End", "idle"), ("ArrowDown", "forward 0 there"),
        ("ArrowDown", "forward 0 there"), ("End", "backward 0 there"), ("ArrowUp", "idle"),
    ):  # fmt: skip
        chart.press(key)
        assert status.inner_text().split(" | ")[1] == said, key
        assert frame.count() == 1
    assert status.get_attribute("aria-live") == "polite"
    bar = page.locator('rect[data-kind="idle"]')
    assert [frame.get_attribute(each) for each in ("x", "y", "width")] == [
        bar.get_attribute(each) for each in ("x", "y", "width")
    ]
    assert [page.evaluate(PRESS, key) for key in ("Tab", "a", "Escape", "Ctrl+ArrowLeft")] == [True] * 4, (
        "the page's own"
    )


def test_gantt_tells_what_is_under_the_pointer(mount: Mount) -> None:
    page = mount("gantt", {**GANTT})
    titles = page.locator("rect[data-kind] title").all_text_contents()
    assert titles == [bar["label"] for bar in GANTT["bars"]]
    page.locator('rect[data-kind="backward"]').hover()
    status = page.locator(".wb-gantt-status")
    assert status.inner_text() == "worker 1 (stage 1) | backward 0 there | from 4 ms"
    page.mouse.move(0, 0)
    assert status.inner_text() == "worker 1 (stage 1) | backward 0 there | from 4 ms"  # time to read it


def test_gantt_keeps_what_is_looked_at_while_work_goes_on(mount: Mount) -> None:
    page = mount("gantt", {**GANTT})
    page.get_by_role("application").press("ArrowRight")
    page.get_by_role("application").press("ArrowRight")
    status = page.locator(".wb-gantt-status")
    assert status.inner_text() == "worker 0 (stage 0) | send 0 | from 2 ms"
    moved = [{**bar, "start": bar["start"] - 1, "end": bar["end"] - 1} for bar in GANTT["bars"]]
    put(page, bars=moved[1:])
    assert status.inner_text() == "worker 0 (stage 0) | send 0 | from 1 ms"
    assert page.locator(".wb-on").get_attribute("x") == page.locator('rect[data-kind="send"]').get_attribute("x")
    assert status.get_attribute("aria-live") == "off"  # a reader is not told the same again
    put(page, bars=moved[2:])
    assert status.inner_text() == "3.5 ms shown" and page.locator(".wb-on").count() == 0


@pytest.mark.parametrize("state", [{}, {**GANTT, "bars": []}])
def test_an_empty_gantt_says_so(mount: Mount, state: dict[str, Any]) -> None:
    page = mount("gantt", state)
    chart = page.get_by_role("application")
    assert page.locator(".wb-gantt-status").inner_text() == "No operations yet."
    assert chart.get_attribute("aria-label").startswith("Gantt chart: 0 bars")
    for key in ("ArrowRight", "ArrowDown", "End"):
        chart.press(key)
    assert page.locator(".wb-on").count() == 0


def test_gantt_legend_goes_on_in_a_second_line(mount: Mount) -> None:
    page = mount("gantt", {**GANTT, "kinds": [{**kind, "label": kind["kind"] * 6} for kind in GANTT["kinds"]]})
    page.set_viewport_size({"width": 480, "height": 600})
    page.wait_for_function("document.querySelector('.wb-gantt svg').viewBox.baseVal.width < 480")
    words = page.locator(".wb-gantt svg text").evaluate_all(
        "all => all.map(each => each.getBoundingClientRect().toJSON())"
    )
    legend, lane = words[:4], words[4]
    assert len({each["top"] for each in legend}) > 1 and max(each["bottom"] for each in legend) <= lane["top"]
    assert max(each["right"] for each in legend) <= page.locator(".wb-gantt svg").bounding_box()["width"] + 8


def test_gantt_draws_no_more_than_the_newest_2000(mount: Mount) -> None:
    bars = [{"lane": 0, "start": i, "end": i + 1, "kind": "forward", "label": str(i)} for i in range(2100)]
    page = mount("gantt", {**GANTT, "bars": bars})
    drawn = page.locator("rect[data-kind] title").all_text_contents()
    assert len(drawn) == 2000 and drawn[-1] == "2099"


def region(**more: Any) -> dict[str, Any]:
    picture = "data:image/gif;base64,R0lGODlhAQABAIAAAAUEBAAAACwAAAAAAQABAAACAkQBADs="
    return {"asset": picture, "width": 640, "height": 480, "name": "yard", "points": [], "code": "", **more}


def test_a_region_is_drawn_by_mouse(mount: Mount) -> None:
    page = mount("region", region())
    frame = page.get_by_role("application")
    box = frame.bounding_box()
    share = box["width"] / 640

    def at(x: float, y: float) -> tuple[float, float]:
        return box["x"] + x * share, box["y"] + y * share

    for corner in ((100, 100), (300, 100), (300, 250)):
        page.mouse.click(*at(*corner))
    assert get(page, "points") == [[100, 100], [300, 100], [300, 250]]
    code = page.locator(".wb-region-code")
    assert code.inner_text() == get(page, "code") == "yard = Region((100, 100), (300, 100), (300, 250))"
    # a corner is dragged, not set anew
    page.mouse.move(*at(300, 250))
    page.mouse.down()
    page.mouse.move(*at(320, 270), steps=4)
    page.mouse.up()
    assert get(page, "points") == [[100, 100], [300, 100], [320, 270]]
    page.mouse.click(*at(120, 260))
    page.get_by_role("button", name="Undo").click()
    assert len(get(page, "points")) == 3
    assert page.evaluate("window.model.saved") > 0
    page.get_by_label("Name").fill("gate 1")
    assert page.get_by_label("Name").get_attribute("aria-invalid") == "true"
    page.get_by_label("Name").fill("gate")
    assert code.inner_text().startswith("gate = Region(")
    page.get_by_role("button", name="Clear").click()
    assert code.inner_text() == "gate = Region()"
    assert page.get_by_role("button", name="Copy code").is_disabled()


def test_a_region_is_drawn_by_keys(mount: Mount) -> None:
    page = mount("region", region())
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('role')") == "application"
    press = page.keyboard.press
    press("Enter")
    for _ in range(3):
        press("ArrowRight")
    press("Shift+ArrowDown")
    press("Enter")
    assert get(page, "points") == [[320, 240], [350, 241]]
    assert page.locator(".wb-region-code").inner_text() == "yard = Line((320, 240), (350, 241))"
    assert page.get_by_role("status").inner_text() == "Corner at 350, 241. 2 corners, a line."
    press("ArrowDown")
    press("Enter")
    press("[")  # the last one, and from there to the one before
    press("[")
    press("ArrowUp")
    assert get(page, "points") == [[320, 240], [350, 231], [350, 251]]
    assert page.locator(".wb-region-corner[data-chosen]").count() == 1
    press("Delete")
    assert get(page, "points") == [[320, 240], [350, 251]]
    press("Escape")
    press("Backspace")
    assert get(page, "points") == [[320, 240]]
    press("Tab")
    assert page.evaluate("document.activeElement.tagName") == "INPUT"  # the keys let go of the frame


def test_a_region_that_crosses_itself_is_told_and_nothing_stays_behind(mount: Mount) -> None:
    page = mount("region", region(points=[[0, 0], [100, 100], [100, 0], [0, 90]]))
    page.get_by_role("application").press("]")
    page.get_by_role("application").press("Shift+ArrowDown")
    assert "crosses itself" in page.get_by_role("status").inner_text()
    put(page, points=[[0, 0], [100, 0], [100, 100], [0, 100]])
    page.get_by_role("application").press("Shift+ArrowDown")
    assert "crosses" not in page.get_by_role("status").inner_text()
    page.evaluate("window.clean()")
    assert page.evaluate("window.model.listeners()") == 0
    assert page.locator(".wb-region").count() == 0
