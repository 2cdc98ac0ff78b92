"""Primitives as SVG and as PNG: the same shapes in the same places."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from PIL import Image

from workbench.notebook.draw import Bar, Drawing, Line, Path, Text, nice_ticks
from workbench.notebook.svg import clean_svg


def drawing() -> Drawing:
    made = Drawing(100, 40, 'a "drawing" <b>')
    made.add(
        Line(0, 20, 100, 20, "grid", dash="4 2"),
        Bar(10, 5, 20, 10, "#ff0000", "tip <i>", radius=2),
        Bar(40, 5, 20, 10, "muted", hatch=True),
        Path([(0, 0), (50, 40), (100, 0)], "accent", 2),
        Path([(60, 30), (80, 30), (70, 38)], "good", fill=True, opacity=0.5),
        Text(50, 36, "tick & 日本", anchor="middle"),
    )
    return made


def pixels(made: Drawing, theme: str = "light", scale: int = 1) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(made.png(theme, scale))).convert("RGB"))  # type: ignore[arg-type]


def test_svg_is_well_formed_escaped_and_on_the_list() -> None:
    svg = drawing().svg()
    root = ElementTree.fromstring(svg)
    assert root.get("aria-label") == 'a "drawing" <b>' and root.get("viewBox") == "0 0 100 40"
    assert clean_svg(svg).count("<") == svg.count("<")
    assert "<i>" not in svg and " id=" not in svg


def test_svg_is_the_same_each_time() -> None:
    assert drawing().svg() == drawing().svg()
    assert drawing().png() == drawing().png()


@pytest.mark.parametrize(("theme", "page"), [("auto", 255), ("light", 255), ("dark", 17)])
def test_png_has_the_background_of_the_theme(theme: str, page: int) -> None:
    shown = pixels(Drawing(20, 10), theme)
    assert shown.shape == (10, 20, 3) and (shown == page).all()


def test_n34_png_has_bars_where_they_belong() -> None:
    made = Drawing(40, 20)
    made.add(Bar(10, 5, 20, 10, "#ff0000"))
    red = (pixels(made)[:, :, 0] > 200) & (pixels(made)[:, :, 1] < 60)
    rows, columns = np.nonzero(red)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (5, 14, 10, 29)


def test_a_bar_is_never_lost() -> None:
    made = Drawing(40, 20)
    made.add(Bar(10, 5, 0.01, 10, "#ff0000"))
    assert ((pixels(made)[:, :, 1] < 60).any(axis=0)).sum() == 1


def test_hatching_stays_inside() -> None:
    made = Drawing(60, 30)
    made.add(Bar(10, 10, 40, 8, "#000000", hatch=True))
    inked = pixels(made).min(axis=2) < 128
    rows, columns = np.nonzero(inked)
    assert rows.min() >= 9 and rows.max() <= 19 and columns.min() >= 9 and columns.max() <= 51
    assert 0.1 < inked[11:17, 11:49].mean() < 0.6


@pytest.mark.parametrize(
    ("low", "high", "count", "ticks"),
    [
        (0, 10, 5, [0, 2, 4, 6, 8, 10]),
        (0, 1, 5, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (3, 3, 5, [3]),
        (-1, 1, 4, [-1, -0.5, 0, 0.5, 1]),
        (float("nan"), 1, 5, []),
        (95, 1250, 4, [500, 1000]),
    ],
)
def test_ticks_are_round(low: float, high: float, count: int, ticks: list[float]) -> None:
    assert nice_ticks(low, high, count) == pytest.approx(ticks)
