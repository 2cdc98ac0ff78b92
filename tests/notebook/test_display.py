"""Blocks as bundles: each kind in three forms, caps, escaping, and nothing that changes from run to run."""

from __future__ import annotations

import base64
import io
import json
import re
from html.parser import HTMLParser
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from workbench.engine.plan import Node, Plan
from workbench.engine.result import Result, Table
from workbench.notebook import display
from workbench.notebook.config import settings
from workbench.notebook.display import PLOTLY_MIME, VIEW_MIME, WIDGET_MIME, mimebundle

FRAME = pd.DataFrame({"event": [0, 1], "start": [0.5, 1234.567]})
TIMELINE = {
    "lanes": [{"id": "0", "label": "cam1.mp4"}],
    "bars": [{"lane": "0", "start": 1, "end": 2, "kind": "event", "label": "car 1"}],
    "duration": 10.0, "searched": [[0, 10]], "skipped": [], "selected": None, "time": 0.0,
}  # fmt: skip


class Blocks(Result):
    """A result of these blocks."""

    def __init__(self, *blocks: dict[str, Any]) -> None:
        self.blocks = list(blocks)

    def view_data(self) -> dict[str, Any]:
        return {"blocks": self.blocks}

    def __repr__(self) -> str:
        return "<Blocks>"


class _Check(HTMLParser):
    """Elements must nest; no script, no handler, no address outside."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.tags: list[str] = []
        self.feed(text)
        assert self.stack == [], self.stack

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        assert tag not in ("script", "iframe", "object", "embed", "link", "form", "base"), tag
        for name, value in attrs:
            assert not name.startswith("on"), name
            if name in ("src", "href", "poster"):
                assert (value or "").startswith("data:"), value
            assert name != "id"
        self.tags.append(tag)
        if tag not in ("img", "br", "hr", "input"):
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.handle_starttag(tag, attrs)
        if self.stack and self.stack[-1] == tag:
            self.stack.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag


def jpeg(width: int = 64, height: int = 48) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), (200, 60, 40)).save(out, "JPEG")
    return out.getvalue()


def clip(number: int, size: int = 1000, **more: Any) -> dict[str, Any]:
    state = {
        "mime": "video/mp4",
        "width": 64,
        "height": 48,
        "fps": 25.0,
        "time": 0.0,
        "offset": 1.0,
        "frames": [],
        "hits": [],
    }
    return {
        "kind": "clip", "state": state, "data": bytes(size), "poster": jpeg(), "label": f"event {number}",
        "path": f"clips/{number}.mp4", **more,
    }  # fmt: skip


PLAN = Plan(Node("intervals", "Red <b>", 10, 12))
KINDS: list[tuple[dict[str, Any], str, str]] = [
    ({"kind": "summary", "text": "2 <events>"}, "2 <events>", "2 &lt;events&gt;</div>"),
    (
        {"kind": "note", "level": "warning", "text": "a\nb"},
        "warning: a\nb",
        'class="wb-note wb-warning" role="note">a\nb<',
    ),
    ({"kind": "note", "level": "info", "text": "a"}, "note: a", 'class="wb-note wb-info"'),
    (
        {"kind": "table", "name": "Events", "frame": FRAME},
        "event  start\n    0    0.5\n    1  1,235",
        "<caption>Events",
    ),
    ({"kind": "svg", "svg": "<svg><rect/></svg>", "alt": "a box"}, "a box", "<rect"),
    ({"kind": "svg", "svg": "<nonsense", "alt": "a box"}, "a box", '<div class="wb-muted">a box</div>'),
    (
        {"kind": "image", "data": jpeg(), "mime": "image/jpeg", "alt": "crops", "width": 64, "height": 48},
        "crops",
        'alt="crops"',
    ),
    ({"kind": "plan", "plan": PLAN}, "", "<details><summary>Plan</summary>"),
    ({"kind": "code", "language": "python", "text": "a < b"}, "a < b", '<pre data-language="python">a &lt; b</pre>'),
    ({"kind": "timeline", "state": TIMELINE}, "", '<div data-wb-view="v0"><svg'),
    (
        {"kind": "curve", "state": {"series": [{"name": "loss", "x": [1, 2], "y": [3, 4]}]}},
        "Curves: loss",
        '<div data-wb-view="v0"><svg',
    ),
    (
        {
            "kind": "gantt",
            "state": {"lanes": [{"id": 0, "label": "s"}], "bars": [{"lane": 0, "start": 0, "end": 1, "kind": "f"}]},
        },
        "Gantt chart: 1 bars on 1 lanes",
        '<div data-wb-view="v0"><svg',
    ),
    (
        {"kind": "ranked", "state": {"columns": [{"name": "a", "label": "A"}], "rows": [["x"], ["y"]]}},
        "A\nx\ny",
        '<div data-wb-view="v0"><div class="wb-scroll" tabindex="0" role="group" aria-label="Table"><table>',
    ),
    (clip(3), "event 3", '<figure><div data-wb-view="v0"><video controls'),
    (
        {
            "kind": "figure",
            "plotly": {"data": [{"type": "scatter", "x": [1, 2], "y": [3, 4], "name": "n"}]},
            "alt": "a curve",
        },
        "a curve",
        'aria-label="a curve"',
    ),
    ({"kind": "figure", "plotly": {"data": [{"type": "pie", "values": [1]}]}, "alt": "a pie"}, "a pie", ">a pie</div>"),
]


@pytest.mark.parametrize(
    ("block", "text", "part"), KINDS, ids=lambda value: value["kind"] if isinstance(value, dict) else ""
)
def test_n14_n31_each_kind_in_three_forms(block: dict[str, Any], text: str, part: str) -> None:
    bundle = mimebundle(Blocks(block))
    assert bundle["text/plain"] == text
    html = str(bundle["text/html"])
    assert part in html
    _Check(html)
    json.dumps(bundle, allow_nan=False)
    modules = {"timeline", "curve", "gantt", "ranked", "clip"}
    assert (VIEW_MIME in bundle) == (block["kind"] in modules)
    assert WIDGET_MIME not in bundle
    assert (PLOTLY_MIME in bundle) == (block["kind"] == "figure")
    picture = block["kind"] in ("timeline", "curve", "gantt", "clip") or part == 'aria-label="a curve"'
    assert ("image/png" in bundle) == picture
    if picture:
        assert Image.open(io.BytesIO(base64.b64decode(str(bundle["image/png"])))).format == "PNG"


def test_a_timeline_says_in_words_what_it_shows() -> None:
    shown = mimebundle(Blocks({"kind": "timeline", "state": TIMELINE, "alt": "Timeline of <cam1>"}))
    assert 'aria-label="Timeline of &lt;cam1&gt;"' in str(shown["text/html"])


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(ValueError, match="no block of kind 'zzz'"):
        mimebundle(Blocks({"kind": "zzz"}))


def test_views_are_numbered_and_share_the_page() -> None:
    bundle: Any = mimebundle(Blocks({"kind": "timeline", "state": TIMELINE}, clip(0), clip(1)))
    views = bundle[VIEW_MIME]
    assert views["v"] == 1
    assert [(view["module"], view["id"]) for view in views["views"]] == [
        ("timeline", "v0"),
        ("player", "v1"),
        ("player", "v2"),
    ]
    assert views["views"][0]["state"] == TIMELINE
    assert [view["state"]["asset"] for view in views["views"][1:]] == ["a0", "a1"]
    html = bundle["text/html"]
    assert re.findall(r'data-wb-view="(\w+)"', html) == ["v0", "v1", "v2"]
    assert re.findall(r'data-wb-asset="(\w+)"', html) == ["a0", "a1"]
    # A clip is in the notebook once: in the HTML, not in the state.
    encoded = base64.b64encode(bytes(1000)).decode()
    assert html.count(encoded) == 2 and encoded not in json.dumps(views)


def test_a_player_that_names_its_hits_takes_the_place_of_the_caption_too() -> None:
    plain, named = clip(0), clip(0)
    named["state"]["hits"] = [{"start": 1.0, "end": 2.0, "label": "event 0"}]
    still = "<figcaption>event 0</figcaption>"
    outside, inside = (str(mimebundle(Blocks(block))["text/html"]) for block in (plain, named))
    assert f"</video></div>{still}</figure>" in outside
    assert '<div data-wb-view="v0"><figure><video' in inside
    assert f"</video>{still}</figure></div>" in inside


def test_an_asset_given_as_a_data_uri_moves_into_the_html() -> None:
    block = clip(0, data=None)
    block["state"]["asset"] = "data:video/mp4;base64,AAAA"
    bundle: Any = mimebundle(Blocks(block))
    assert 'src="data:video/mp4;base64,AAAA"' in bundle["text/html"]
    assert bundle[VIEW_MIME]["views"][0]["state"]["asset"] == "a0"


def test_n35_clips_over_the_limit_become_posters_with_the_way_out() -> None:
    settings().clip_limit = "1MiB"
    try:
        bundle: Any = mimebundle(Blocks(*(clip(number, 400_000) for number in range(4))))
    finally:
        settings().clip_limit = "8MiB"
    html = bundle["text/html"]
    assert html.count("<video") == 2 and html.count("<img") == 2
    assert "event 2: clips/2.mp4" in html and "event 2: clips/2.mp4" in bundle["text/plain"]
    note = 'Showing 2 of 4 clips (1 MiB).\nMore: %config Workbench.clip_limit = "4MiB"'
    assert f"warning: {note}" in bundle["text/plain"] and display.escape(note) in html


def test_the_note_on_clips_is_that_of_the_design() -> None:
    bundle: Any = mimebundle(Blocks(*(clip(n, 700_000 if n < 12 else 9_000_000) for n in range(37))))
    assert 'Showing 11 of 37 clips (8 MiB).\nMore: %config Workbench.clip_limit = "32MiB"' in bundle["text/plain"]


def test_a_missing_clip_shows_its_poster_and_path() -> None:
    html = str(mimebundle(Blocks(clip(5, data=None)))["text/html"])
    assert "<video" not in html and "event 5: clips/5.mp4" in html and "<img" in html


def test_n17_large_states_stay_out_of_the_notebook() -> None:
    bars = [{"lane": "0", "start": 0, "end": 1, "kind": "event", "label": "x" * 2000}] * 2000
    bundle: Any = mimebundle(Blocks({"kind": "timeline", "state": {**TIMELINE, "bars": bars}}))
    assert VIEW_MIME not in bundle and "<svg" in bundle["text/html"]
    note = "are more than a notebook should hold (2 MiB). All of it is in the result's tables."
    assert note in bundle["text/plain"] and display.escape(note) in bundle["text/html"], "what, and the way out"
    assert len(bundle["text/html"]) < 8 * 2**20


@pytest.mark.parametrize(
    ("block", "line"),
    [
        (
            {"kind": "timeline", "state": {**TIMELINE, "bars": TIMELINE["bars"] * 2001}},
            "2,000 of 2,001 bars are drawn.",
        ),
        ({"kind": "ranked", "state": {"columns": [{"name": "a"}], "rows": [[1]] * 201}}, "200 of 201 rows are drawn."),
        (
            {"kind": "curve", "state": {"series": [{"name": "a", "x": list(range(3000)), "y": list(range(3000))}]}},
            "2,000 of 3,000 points a series are drawn; each bucket's least and greatest are.",
        ),
    ],
)
def test_what_is_left_out_is_said(block: dict[str, Any], line: str) -> None:
    bundle: Any = mimebundle(Blocks(block))
    assert line in bundle["text/plain"] and display.escape(line) in bundle["text/html"]


def test_n16_tables_obey_display_limit_and_their_own() -> None:
    frame = pd.DataFrame({"n": range(1532)})
    table = {"kind": "table", "name": "", "frame": frame}
    assert "20 of 1,532 rows" in str(mimebundle(Blocks(table))["text/html"])
    assert "10 of 1,532 rows" in str(mimebundle(Blocks({**table, "limit": 10}))["text/html"])
    settings().display_limit = 50
    try:
        assert "50 of 1,532 rows" in str(mimebundle(Blocks({**table, "limit": 10}))["text/html"])
        settings().display_limit = -1
        bundle = mimebundle(Blocks(table))
        assert "1,000 of 1,532 rows" in str(bundle["text/html"])
        assert str(bundle["text/plain"]).count("\n") == 1532
    finally:
        settings().display_limit = 20


def test_further_tables_are_folded() -> None:
    table = {"kind": "table", "name": "Events", "frame": FRAME}
    html = str(mimebundle(Blocks(table, {**table, "name": "Objects"}))["text/html"])
    assert html.count("<details>") == 1 and "<summary>Objects (2 rows)</summary>" in html


EVIL = ["<script>alert(1)</script>", "\"'><img src=x onerror=alert(1)>", "\u2028</style>", "x" * 10**6]


@pytest.mark.parametrize("text", EVIL, ids=["script", "quotes", "separator", "long"])
def test_every_string_is_escaped(text: str) -> None:
    state = {
        **TIMELINE,
        "lanes": [{"id": text, "label": text}],
        "bars": [{**TIMELINE["bars"][0], "lane": text, "label": text}],
    }
    bundle = mimebundle(
        Blocks(
            {"kind": "summary", "text": text},
            {"kind": "note", "level": text, "text": text},
            {"kind": "timeline", "state": state},
            {"kind": "table", "name": text, "frame": pd.DataFrame({text: [text]})},
            {"kind": "svg", "svg": "", "alt": text},
            {"kind": "table", "name": text, "frame": pd.DataFrame({text: [text]})},
            {"kind": "code", "language": text, "text": text},
            {"kind": "image", "data": jpeg(), "mime": text, "alt": text},
            clip(0, label=text, path=text, data=None),
            {"kind": "figure", "plotly": {"data": []}, "alt": text},
            {"kind": "plan", "plan": Plan(Node(text, text))},
        )
    )
    html = str(bundle["text/html"])
    tags = _Check(html.replace(f'src="{display.escape("data:" + text)}', 'src="data:')).tags
    assert "script" not in tags and tags.count("style") == 1
    assert tags.count("img") == 2


def test_bundles_are_the_same_each_time() -> None:
    blocks = Blocks({"kind": "timeline", "state": TIMELINE}, clip(0), {"kind": "table", "name": "t", "frame": FRAME})
    assert mimebundle(blocks) == mimebundle(blocks)


@pytest.mark.parametrize("frame", [pd.DataFrame(), FRAME.head(0), FRAME.head(1)])
def test_small_tables(frame: pd.DataFrame) -> None:
    _Check(str(mimebundle(Table(frame, "t"))["text/html"]))


def test_results_reach_it_through_the_engine(front: Any) -> None:
    table = Table(FRAME, "Events", units={"start": "s"})
    bundle = table._repr_mimebundle_()
    assert bundle == mimebundle(table)
    assert table._repr_mimebundle_(include={"text/plain"}) == {"text/plain": bundle["text/plain"]}
    assert "<span>s</span>" in bundle["text/html"]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_fixed_theme(theme: Any) -> None:
    settings().theme = theme
    try:
        bundle = mimebundle(Blocks({"kind": "timeline", "state": TIMELINE}))
    finally:
        settings().theme = "auto"
    assert f'<div class="wb wb-{theme}">' in str(bundle["text/html"])
    shown = Image.open(io.BytesIO(base64.b64decode(str(bundle["image/png"])))).convert("RGB")
    assert shown.getpixel((shown.width - 1, 0)) == ((255, 255, 255) if theme == "light" else (17, 17, 17))


def test_n18_show_and_message(front: Any) -> None:
    display.show(Table(FRAME, "Events"))
    display.show(3)
    display.message("for you")
    display.message("mind", "warning")
    texts = [bundle["text/plain"] for bundle, _, _ in front.shown]
    assert texts[0].startswith("Events\nevent") and texts[1:] == ["3", "note: for you", "warning: mind"]
    with display.quieted(True):
        display.message("for you")
        display.message("mind", "warning")
    assert [bundle["text/plain"] for bundle, _, _ in front.shown][4:] == ["warning: mind"]


def test_live_adds_widgets_that_can_be_closed() -> None:
    from workbench.notebook.live_widgets import close_all

    before = len(widget_instances())
    bundle: Any = mimebundle(Blocks({"kind": "timeline", "state": TIMELINE}, clip(0)), live=True)
    model = bundle[WIDGET_MIME]["model_id"]
    box = widget_instances()[model]
    assert [type(child).__name__ for child in box.children] == ["TimelineWidget", "PlayerWidget"]
    assert box.children[0].bars == TIMELINE["bars"] and box.children[1].asset.startswith("data:video/mp4;base64,")
    close_all(box)
    assert len(widget_instances()) == before
    assert WIDGET_MIME not in mimebundle(Blocks({"kind": "summary", "text": "x"}), live=True)


def widget_instances() -> dict[str, Any]:
    from ipywidgets.widgets import widget

    return dict(widget._instances)


def test_the_static_form_is_small() -> None:
    frame = pd.DataFrame({"event": range(500), "start": [float(n) for n in range(500)]})
    bars = [{"lane": "0", "start": n, "end": n + 0.5, "kind": "event", "label": f"car {n}"} for n in range(500)]
    blocks = Blocks(
        {"kind": "summary", "text": "500 events"},
        {"kind": "timeline", "state": {**TIMELINE, "bars": bars, "duration": 500.0}},
        {"kind": "table", "name": "Events", "frame": frame},
    )
    assert len(json.dumps(mimebundle(blocks))) < 300_000
