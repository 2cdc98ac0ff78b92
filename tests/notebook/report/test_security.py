"""Foreign HTML is made inert, and nothing can break out of our own scripts."""

from __future__ import annotations

import base64
import hashlib
import json
import re

import pytest

from workbench.notebook.report.security import data_script, inline_script, make_inert, policy, script_hash


@pytest.mark.parametrize(
    "html",
    [
        "<p>a &amp; b &lt;c&gt; &#233; &nbsp; x & y</p>",
        '<table class="dataframe"><tr><td title="1 &lt; 2">1</td></tr></table>',
        '<svg viewBox="0 0 1 1"><linearGradient id="g"/><path d="M0 0"/><use href="#g"></use></svg>',
        '<img src="data:image/png;base64,AAAA" alt="x">',
        '<a href="https://example.org/">out</a>',
        "<details open><summary>Plan</summary><pre>a\n  b</pre></details>",
        '<script type="application/json">{"a": "<b>"}</script>',
        '<video controls src="data:video/mp4;base64,AA" poster="data:image/jpeg;base64,AA"></video>',
    ],
)
def test_what_neither_runs_nor_loads_stays_word_for_word(html: str) -> None:
    made = make_inert(html)
    assert made.text() == html
    assert (made.scripts, made.outside) == (0, [])


@pytest.mark.parametrize(
    ("html", "left"),
    [
        ("<script>alert(1)</script>", '<script type="text/plain">alert(1)</script>'),
        ('<SCRIPT TYPE="module">x</SCRIPT>', '<script type="text/plain">x</script>'),
        ('<b onclick="x()">t</b>', "<b>t</b>"),
        ('<a href=" java\tscript:x()">t</a>', "<a>t</a>"),
        ('<svg onload="x()"></svg>', "<svg></svg>"),
    ],
)
def test_scripts_are_switched_off(html: str, left: str) -> None:
    made = make_inert(html)
    assert made.text() == left
    assert made.scripts == 1


@pytest.mark.parametrize(
    "html",
    [
        '<img src="https://example.org/a.png">',
        '<img srcset="//example.org/a.png 2x">',
        '<link rel="stylesheet" href="https://example.org/a.css">',
        '<video poster="http://example.org/a.jpg"></video>',
        '<iframe src="https://example.org"></iframe>',
        '<iframe srcdoc="<p>x</p>"></iframe>',
        '<object data="data:text/html,x"></object>',
        '<style>@import "https://example.org/a.css"; p { background: url(https://example.org/a.png) }</style>',
        "<p style=\"background: URL( 'https://example.org/a.png' )\">x</p>",
        '<svg><image xlink:href="https://example.org/a.png"/></svg>',
        '<base href="https://example.org/">',
        '<meta http-equiv="refresh" content="0; url=https://example.org">',
        '<td background="https://example.org/a.png">',
    ],
)
def test_nothing_is_loaded(html: str) -> None:
    left = make_inert(html).text()
    loading = re.sub(r'data-was-[\w-]+="[^"]*"', "", left)
    assert "example.org" not in loading
    assert "srcdoc" not in loading
    assert 'data="data:' not in loading


def test_comments_are_dropped_since_browsers_disagree_on_their_end() -> None:
    assert make_inert("a<!--><script>x</script>-->b").text() == "ab"


def test_relative_images_are_embedded() -> None:
    made = make_inert('<img src="plot.png" alt="p">', embed=lambda source: f"data:image/png,{source}")
    assert made.text() == '<img src="data:image/png,plot.png" alt="p">'
    assert made.outside == []


def test_trust_keeps_inline_scripts_with_their_hash_and_no_others() -> None:
    made = make_inert('<script>go()</script><script src="https://example.org/x.js"></script>', trust=True)
    assert "<script>go()</script>" in made.text()
    assert made.hashes == [script_hash("go()")]
    assert made.scripts == 1
    assert 'src="https' not in made.text().replace("data-was-src", "")


def test_a_hash_is_the_one_that_browsers_compute() -> None:
    digest = base64.b64encode(hashlib.sha256(b"a\nb").digest()).decode()
    assert script_hash("a\r\nb") == f"'sha256-{digest}'"


def test_an_inline_script_cannot_be_ended_from_inside() -> None:
    element, source_hash = inline_script('const a = "</SCRIPT><b>"; // <!--')
    body = element.removeprefix("<script>").removesuffix("</script>")
    assert "</script" not in body.lower()
    assert "<!--" not in body
    assert source_hash == script_hash(body)


def test_data_cannot_break_out_of_its_block() -> None:
    value = {"a": "</script><script>x</script>\u2028\u2029", "b": [float("nan"), float("inf"), 1.5]}
    block = data_script("wb-x", value)
    body = re.fullmatch(r'<script type="application/json" id="wb-x">(.*)</script>', block, re.DOTALL)
    assert body is not None
    assert "<" not in body.group(1)
    assert "\u2028" not in body.group(1)
    assert json.loads(body.group(1)) == {"a": value["a"], "b": [None, None, 1.5]}


def test_the_policy_allows_our_scripts_and_nothing_else() -> None:
    meta = policy(["'sha256-b'", "'sha256-a'", "'sha256-a'"])
    assert meta == (
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "script-src 'sha256-a' 'sha256-b' blob:; style-src 'unsafe-inline'; img-src data: blob:; "
        "media-src data: blob:; font-src data:; connect-src 'none'; base-uri 'none'; form-action 'none'\">"
    )
