"""SVG is checked against a list."""

from __future__ import annotations

import pytest

from workbench.notebook.svg import clean_svg

NS = 'xmlns="http://www.w3.org/2000/svg"'


def test_what_is_drawn_stays() -> None:
    text = f'<svg {NS} viewBox="0 0 9 9"><rect x="1" y="2" style="fill:var(--a, #fff)"><title>t</title></rect></svg>'
    assert clean_svg(text) == text


@pytest.mark.parametrize(
    "inside",
    [
        "<script>alert(1)</script>", '<rect onload="alert(1)"/>', "<foreignObject><body/></foreignObject>",
        '<a href="javascript:alert(1)"><text>x</text></a>', '<image href="https://example.org/x.png"/>',
        '<use href="#x"/>', "<style>*{}</style>", '<rect style="fill:url(https://example.org)"/>',
        '<image href="data:image/svg+xml;base64,AAAA"/>', '<rect fill="url(#x)"/>', "<animate/>", "<set/>",
        '<x:script xmlns:x="http://www.w3.org/2000/svg">alert(1)</x:script>',
    ],
)  # fmt: skip
def test_what_acts_or_reaches_out_is_dropped(inside: str) -> None:
    drawn = clean_svg(f"<svg {NS}>{inside}</svg>")
    assert drawn.startswith("<svg")
    for word in (
        "script",
        "alert",
        "onload",
        "example.org",
        "url(",
        "foreignObject",
        "style>",
        "animate",
        "svg+xml",
        "use",
    ):
        assert word not in drawn


def test_pictures_inside_stay() -> None:
    assert 'href="data:image/png;base64,AAAA"' in clean_svg(
        f'<svg {NS}><image href="data:image/png;base64,AAAA"/></svg>'
    )


@pytest.mark.parametrize("text", ["", "<svg", "<p/>", '<!DOCTYPE svg [<!ENTITY a "b">]><svg>&a;</svg>'])
def test_what_is_no_svg_is_nothing(text: str) -> None:
    assert clean_svg(text) == ""
