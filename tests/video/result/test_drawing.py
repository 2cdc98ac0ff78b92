"""A region drawn on a frame: its code, what a saved notebook shows of it, and the widget that Python follows."""

from __future__ import annotations

import ast
import io
from typing import Any

import numpy as np
import pytest

import workbench as wb
from workbench.engine import render
from workbench.engine.errors import WorkbenchError
from workbench.notebook.display import VIEW_MIME, mimebundle
from workbench.video.language.shapes import Line, Region
from workbench.video.source import from_array

CORNERS = [(10.0, 20.0), (90.0, 20.0), (90.0, 60.0)]


def frames() -> Any:
    pictures = np.zeros((3, 80, 120, 3), np.uint8)
    pictures[2, :, :, 2] = 200  # the last one is red
    return from_array(pictures, fps=10.0)


def test_the_code_gives_the_region_that_was_drawn() -> None:
    drawn = wb.video.draw_region(frames(), 2, name="yard", points=CORNERS)
    assert drawn.code == "yard = Region((10, 20), (90, 20), (90, 60))"
    names: dict[str, Any] = {"Region": Region, "Line": Line}
    exec(compile(ast.parse(drawn.code), "cell", "exec"), names)
    assert names["yard"] == drawn.region == Region(*CORNERS)
    door = wb.video.draw_region(frames(), 0, name="door", points=CORNERS[:2])
    exec(compile(ast.parse(door.code), "cell", "exec"), names)
    assert names["door"] == door.line == Line(*CORNERS[:2])


def test_a_saved_notebook_shows_a_still_with_the_corners() -> None:
    from PIL import Image

    drawn = wb.video.draw_region(frames(), "0.2s", name="yard", points=CORNERS)
    bundle: Any = mimebundle(drawn)
    assert bundle["text/plain"] == drawn.code
    html = bundle["text/html"]
    assert "<script" not in html
    assert drawn.code in html
    assert html.count("data:image/jpeg") == 1
    assert "3 corners of yard" in html
    assert html.count("<rect") == 3
    (view,) = bundle[VIEW_MIME]["views"]
    assert view["module"] == "region"
    assert view["state"]["asset"] == "a0"
    assert 'data-wb-asset="a0"' in html
    assert view["state"]["points"] == [list(point) for point in CORNERS]
    picture = np.asarray(Image.open(io.BytesIO(drawn.picture())).convert("RGB"))
    assert picture.shape == (80, 120, 3)
    assert picture[40, 60, 0] > 180 > 30 > picture[40, 60, 2]
    assert mimebundle(drawn) == bundle
    assert drawn.code in render.plain_bundle(drawn)["text/html"]


def test_where_nobody_draws_it_the_frame_is_shown_and_how_to_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render, "_hook", None)
    drawn = wb.video.draw_region(frames(), 2, name="yard", points=CORNERS)
    page = drawn._repr_mimebundle_()["text/html"]
    assert page.count("data:image/jpeg;base64,") == 1
    assert f"<pre>{drawn.code}</pre>" in page
    assert "run <code>%load_ext workbench</code>" in page
    monkeypatch.setattr(render, "_hook", mimebundle)
    assert "%load_ext" not in drawn._repr_mimebundle_()["text/html"]


def test_python_follows_the_widget() -> None:
    pytest.importorskip("anywidget")
    drawn = wb.video.draw_region(frames(), 0)
    shown = drawn.widget()
    assert shown.asset.startswith("data:image/jpeg;base64,")
    assert (shown.width, shown.height, shown.points) == (120, 80, [])
    shown.points = [[1, 2], [30, 2], [30, 40]]
    assert drawn.region == Region((1, 2), (30, 2), (30, 40))
    assert drawn.code == "region = Region((1, 2), (30, 2), (30, 40))"
    shown.close()


def test_mistakes() -> None:
    with pytest.raises(WorkbenchError) as caught:
        wb.video.draw_region(frames(), 0, name="my yard")
    assert caught.value.lines() == ["'my yard' is no name of a variable.", 'Write name="yard".']
    with pytest.raises(WorkbenchError, match="region has 1 of 2 ends"):
        _ = wb.video.draw_region(frames(), 0, points=CORNERS[:1]).line
    with pytest.raises(WorkbenchError, match="region has 2 of 3 corners"):
        _ = wb.video.draw_region(frames(), 0, points=CORNERS[:2]).region
    for points in ([1, 2], "abc", 5, [(1, "x")]):
        with pytest.raises(WorkbenchError) as caught:
            wb.video.draw_region(frames(), 0, points=points)  # type: ignore[arg-type]
        assert caught.value.lines() == [
            f"points are corners in px, got {points!r}.", "Write points=[(360, 367), (773, 267), (1143, 480)].",
        ]  # fmt: skip
    assert repr(wb.video.draw_region(frames(), 0)) == "<DrawnShape region: 0 corners on 120x80>"
