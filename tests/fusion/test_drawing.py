"""Pictures of plans: what is in them, that they are plain SVG, and what is left out where there is too much."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

import workbench as wb
from workbench.fusion import drawing
from workbench.notebook.svg import clean_svg

RNG = np.random.default_rng(2)


def plan_of(steps: int = 3) -> Any:
    x = wb.fusion.array(RNG.normal(size=1000), name="height")
    y = x
    for _ in range(steps):
        y = np.sqrt(y * y + 2)
    total = y.sum()
    total.compute()
    return wb.fusion.explain(total)


def words(svg: str) -> list[str]:
    root = ElementTree.fromstring(svg)
    return [each.text or "" for each in root.iter() if each.tag.endswith("text")]


def test_c44_before_has_each_operation_and_after_each_kernel() -> None:
    plan = plan_of()
    before, after = drawing.before(plan), drawing.after(plan)
    assert before is not None
    assert after is not None
    assert words(before[0]).count("sqrt") == 3
    assert "height" in words(before[0])
    assert "add 2" in words(before[0])
    assert any(line.startswith(f"{plan.kernels[0].name} · reduce · local") for line in words(after[0]))
    assert any(line.startswith("predicted") and "took" in line for line in words(after[0]))
    assert before[1].startswith(f"Before: {plan.kernels_before} ops")
    assert after[1].startswith("After: 1 kernel,")


def test_pictures_pass_what_the_page_allows() -> None:
    for drawn in (drawing.before(plan_of()), drawing.after(plan_of())):
        assert drawn is not None
        svg, alt = drawn
        assert alt in svg
        cleaned = clean_svg(svg)
        assert len(re.findall(r"<(rect|text|path) ", cleaned)) == len(re.findall(r"<(rect|text|path) ", svg))
        assert cleaned.count("stroke-dasharray") == svg.count("stroke-dasharray")
        assert "script" not in svg


def test_many_operations_are_one_box_a_kernel() -> None:
    plan = plan_of(steps=80)
    assert drawing.before(plan) is None
    after = drawing.after(plan)
    assert after is not None
    assert any(re.fullmatch(r"\d+ ops", line) for line in words(after[0]))


def test_what_ran_unfused_is_dashed() -> None:
    frame = pd.DataFrame({"x": RNG.normal(size=500)})
    with pytest.warns(match="rolling ran in pandas"):
        result = wb.fusion.run_cell("y = (df.x * 2).rolling(3).sum()\n(y + 1).max()", {"df": frame})
    after = drawing.after(result.plan)
    assert after is not None
    assert "stroke-dasharray" in after[0]
    assert any("fallback" in line for line in words(after[0]))


def test_peers_are_bars_by_median_time() -> None:
    nan = float("nan")
    frame = pd.DataFrame(
        {
            "peer": ["workbench", "numpy", "jax"], "ms": [2.0, 8.0, nan], "ratio": [1.0, 4.0, nan],
            "status": ["ok", "differs", "not installed"],
        }
    )  # fmt: skip
    drawn = drawing.peers(frame)
    assert drawn is not None
    svg, alt = drawn
    widths = [float(w) for w in re.findall(r'<rect [^>]*width="([\d.]+)"', svg)]
    assert len(widths) == 2
    assert abs(widths[1] / widths[0] - 4) < 0.01
    assert "8 ms · 4× ours · differs" in svg
    assert "jax not installed" in alt
    assert drawing.peers(frame.iloc[:0]) is None


def test_equal_work_is_drawn_with_its_own_names() -> None:
    drawn = []
    for name in ("height", "weight"):
        y = wb.fusion.array(RNG.normal(size=100), name=name) + 1
        y.compute()
        drawn.append(drawing.before(wb.fusion.explain(y)))
    assert drawn[0] is not None
    assert drawn[1] is not None
    assert "height" in words(drawn[0][0])
    assert "weight" in words(drawn[1][0])
    assert "height" not in words(drawn[1][0])


def test_words_are_escaped_and_boxes_do_not_overlap() -> None:
    x = wb.fusion.array(RNG.normal(size=100), name="a<b & c")
    y = x + 1
    y.compute()
    before = drawing.before(wb.fusion.explain(y))
    assert before is not None
    assert "a<b & c" in words(before[0])
    boxes = [
        tuple(float(found) for found in each)
        for each in re.findall(r'<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)" rx="4"', before[0])
    ]
    for k, (x1, y1, w1, h1) in enumerate(boxes):
        assert x1 >= 0
        assert x1 + w1 <= 760
        for x2, y2, w2, h2 in boxes[k + 2 :]:  # each has a background of its own
            same = (x1, y1) == (x2, y2)
            assert same or x1 + w1 <= x2 or x2 + w2 <= x1 or y1 + h1 <= y2 or y2 + h2 <= y1
